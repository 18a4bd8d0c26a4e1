"""Numbers of 8 bits: the results of ONNX's formulas, activations in the same pass, and tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case
from compare import assert_same_bits as assert_same_numbers
from grid import DTYPES, ISAS, LAYOUTS
from inputs import dtype_named, values
from test_fused import PUBLIC, options_of

import fastrelu as fr
from fastrelu import _kernels, _quantized, _runtime, quantized

BYTES = ["uint8", "int8"]
SCALES = [0.05, 0.5, 3.7, 1e-3, 1.0, 1e-35, 1e35]
each_type = pytest.mark.parametrize("dtype", BYTES)
each_input = pytest.mark.parametrize("x_type", [*map(str, DTYPES), "float16", "bfloat16"])


@pytest.fixture(params=[1, 2], ids="threads={}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run with one and with two threads."""
    with fr.threads(request.param):
        yield request.param


def assert_same_bits(got: Any, wanted: Any) -> None:
    """Fail unless both are the same, to the bit; bytes have no NaN."""
    if got.dtype.kind in "iu":
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
    else:
        assert_same_numbers(got, wanted)


def data(shape: tuple[int, ...], scale: float, dtype: Any, seed: int = 0) -> Any:
    """Return numbers of every kind, many of them at ties and at neighbors of ties."""
    n = int(np.prod(shape))
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):  # 16-bit types have no such numbers
        x = values(n, np.dtype("float32"), seed).astype(dtype)
        x[::2] = (rng.integers(-600, 601, x[::2].size) * (float(dtype.type(scale)) / 2)).astype(dtype)
    bits = x.view(f"u{x.itemsize}")
    bits[::6] += 1
    return x.reshape(shape)


def quantized_by_numpy(x: Any, scale: Any, zero: Any, dtype: Any) -> Any:
    """Return what QuantizeLinear makes of x; NaN gives the zero point."""
    wide = np.float64 if x.dtype == np.float64 else np.float32
    with np.errstate(all="ignore"):  # quotients may be infinite
        q = np.rint(x.astype(wide) / np.asarray(scale, wide))
    limits = np.iinfo(dtype)
    return np.clip(np.where(np.isnan(q), 0, q) + zero, limits.min, limits.max).astype(dtype)


@each_type
@each_input
@pytest.mark.parametrize("scale", SCALES)
def test_quantize_and_dequantize(dtype: str, x_type: str, scale: float) -> None:
    """Every scale and zero point, with numbers at and beside ties."""
    limits = np.iinfo(dtype)
    for zero in (limits.min, limits.max, 3):
        x = data((3001,), scale, dtype_named(x_type), zero & 7)
        got = quantized.quantize(x, scale, zero, dtype=dtype)
        assert_same_bits(got, quantized_by_numpy(x, scale, zero, dtype))
        wide = np.float64 if x_type == "float64" else np.float32
        with np.errstate(all="ignore"):  # large scales and small ones
            exact = (got.astype("float64") - zero) * float(wide(scale))
            # NumPy and ml_dtypes round twice to 16 bits.
            wanted = _kernels.as_half(exact, dtype_named(x_type)) if "16" in x_type else exact.astype(x_type)
        assert_same_bits(quantized.dequantize(got, scale, zero, dtype=dtype_named(x_type)), wanted)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x_type", DTYPES, ids=str)
def test_scales_whose_quotients_are_hardest_to_round(isa: str, x_type: Any) -> None:
    """A quotient that is all but halfway between a tie and its neighbor needs a scale beside a number of 8 bits."""
    step = np.finfo(x_type).eps
    scales = (1 + np.arange(129) / 128)[:, np.newaxis] + np.arange(-6, 7) * step
    for scale in scales.ravel().astype(x_type):
        near = ((np.arange(256) + 0.5).astype(x_type) * scale).view(f"i{x_type.itemsize}")
        x = (near[:, np.newaxis] + np.arange(-3, 4, dtype=near.dtype)).view(x_type)
        out = np.empty(x.shape, np.uint8)
        for zero in (0, 255):
            _quantized.quantize("q", isa, None, (), x, scale, zero, 0, 255, out)
            assert_same_bits(out, quantized_by_numpy(x, scale, zero, np.uint8))
            x = -x


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x_type", ["float16", "bfloat16"])
@each_type
def test_dequantize_to_16_bits_rounds_once(isa: str, x_type: str, dtype: str) -> None:
    """Scales of every exponent, and those of products beside the middle between two numbers of 16 bits."""
    rng, half = np.random.default_rng(0), dtype_named(x_type)
    every = rng.integers(1, 0x7F800000, 1000, np.uint32).view(np.float32)
    below = rng.integers(0, 0x7BFE, 300).astype(np.uint16)
    middle = (below.view(half).astype(np.float64) + (below + 1).astype(np.uint16).view(half).astype(np.float64)) / 2
    hard = (middle.clip(1e-36) / rng.integers(1, 256, 300)).astype(np.float32).view(np.uint32)[
        :, np.newaxis
    ] + np.arange(-2, 3)
    scales = np.concatenate([every, hard.astype(np.uint32).ravel().view(np.float32)])
    q = np.arange(256).astype(np.uint8).view(dtype)[:, np.newaxis].repeat(len(scales), 1)
    for zero in (np.iinfo(dtype).min, 3, np.iinfo(dtype).max):
        exact = (q.astype(np.float64) - zero) * scales.astype(np.float64)
        wanted, out = _kernels.as_half(exact, half), np.empty(q.shape, half)
        _quantized.dequantize("d", isa, q, scales, zero, out, 1)
        assert_same_bits(out, wanted)
        for k in range(0, len(scales), 97):
            _quantized.dequantize("d", isa, q[:, k].copy(), scales[k], zero, out[:, k])
        assert_same_bits(out, wanted)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x_type", DTYPES, ids=str)
def test_every_size_and_instruction_set(isa: str, x_type: Any) -> None:
    """Every size gives NumPy's results, and nothing is written beside them."""
    x = data((600,), 0.05, x_type)
    kernel = _kernels.load_kernels(isa)["relu"]
    table = np.random.default_rng(0).integers(0, 256, 256, np.uint8)
    for n in range(521):
        offset = n % 17
        part, q = x[offset : offset + n], np.full(600, 77, np.uint8)
        out = q[offset : offset + n]
        _quantized.quantize("q", isa, kernel, (), part, 0.05, 9, 0, 255, out)
        assert_same_bits(out, quantized_by_numpy(fr.relu(part), 0.05, 9, np.uint8))
        back = np.full(600, 77, x_type)
        _quantized.dequantize("d", isa, out, 0.05, 9, back[offset : offset + n])
        assert_same_bits(back[offset : offset + n], (out.astype(x_type) - 9) * x_type.type(0.05))
        wanted = table[out]
        _quantized.lookup("l", isa, table, out, out)
        assert_same_bits(out, wanted)
        for memory in (q, back):
            assert (memory[:offset] == 77).all()
            assert (memory[offset + n :] == 77).all()


@pytest.mark.usefixtures("threads")
@each_input
@pytest.mark.parametrize("case", PUBLIC, ids=str)
def test_every_activation(case: Case, x_type: str) -> None:
    """An activation in the same pass gives the bits of two passes."""
    name, options = options_of(case)
    x = data((2, 700), 0.05, dtype_named(x_type))
    with np.errstate(all="ignore"):  # of bfloat16, whose arithmetic is not ours
        y = getattr(fr, name)(x, **options)
    got = quantized.quantize(x, 0.05, 100, name, **options)
    assert_same_bits(got, quantized_by_numpy(y, 0.05, 100, np.uint8))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("lay", LAYOUTS)
@pytest.mark.parametrize("shape", [(64, 300), (3, 5, 7), (2, 3, 2, 130), (1200,)], ids=str)
@pytest.mark.parametrize("x_type", ["float32", "float64", "float16"])
def test_every_layout_and_axis(lay: str, shape: tuple[int, ...], x_type: str) -> None:
    """Per array and per channel, from and to memory of every layout."""
    x = data(shape, 0.05, np.dtype(x_type))
    laid = LAYOUTS[lay](x)
    assert_same_bits(np.ascontiguousarray(quantized.quantize(laid, 0.05, 9)), quantized_by_numpy(x, 0.05, 9, np.uint8))
    for axis in range(-1, len(shape) - 1):
        n = shape[axis]
        along = [1] * len(shape)
        along[axis] = n
        scale = np.linspace(0.01, 2, n, dtype="float32")
        zero = np.arange(n) % 256 - 128
        tables = np.random.default_rng(0).integers(-128, 128, (n, 256)).astype(np.int8)
        q = quantized_by_numpy(x, scale.reshape(along), zero.reshape(along), np.int8)
        out = LAYOUTS["C" if lay in {"read-only", "byte-swapped"} else lay](np.zeros(shape, np.int8))
        assert quantized.quantize(laid, scale, zero, dtype=np.int8, axis=axis, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), q)
        back = quantized.dequantize(out, scale, zero, axis=axis)
        assert_same_bits(
            np.ascontiguousarray(back),
            (q.astype("float32") - zero.reshape(along)).astype("float32") * scale.reshape(along),
        )
        rows = np.broadcast_to(np.arange(n).reshape(along), shape)
        assert quantized.lookup(tables, out, axis=axis, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), tables[rows, q.view(np.uint8)])
        one = quantized.quantize(x, scale, 5, axis=axis)  # only the scale is an array
        assert_same_bits(one, quantized_by_numpy(x, scale.reshape(along), 5, np.uint8))


CHANNELS = [
    ((7, 100), 0),  # channels of many elements in a row
    ((100, 7, 64), 1),
    ((1, 900), 0),  # one channel
    ((900, 1), 1),
    ((2100, 3), 1),  # all channels within a block, whose parameters are laid out once
    ((40, 16, 8), 1),
    ((30, 128), 1),
    ((30, 129), 1),  # as many as are read where they lie
    ((5, 600), 1),
    ((700,), 0),
    ((3, 300, 7), 1),  # laid out for each block
    ((3, 300, 8), 1),
    ((9, 60, 31), 1),
    ((4, 511), 1),
    ((4, 512), 1),
    ((4, 513), 1),
    ((3, 4, 5, 6), 2),
    ((1,), 0),
]


def each_channel(function: Any, x: Any, scale: Any, zero: Any, axis: int) -> Any:
    """Return what calls with numbers give, channel by channel."""
    parts = np.moveaxis(x, axis, 0)
    # Numbers of NumPy keep the bits of the scales.
    return np.moveaxis(
        np.array([function(part, *ends) for part, *ends in zip(parts, scale, zero, strict=True)]), 0, axis
    )


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("x_type", ["float32", "float64", "float16"])
@pytest.mark.parametrize("lay", ["C", "F", "gaps"])
@pytest.mark.parametrize(("shape", "axis"), CHANNELS, ids=str)
def test_channels_are_calls_of_each(shape: tuple[int, ...], axis: int, lay: str, x_type: str) -> None:
    """The bits of the calls with one number, however many elements of a channel lie side by side."""
    rng, n = np.random.default_rng(1), shape[axis]
    x = data(shape, 0.05, np.dtype(x_type))
    scale, zero = rng.uniform(0.01, 2, n).astype("float32"), rng.integers(-128, 128, n).astype(np.int8)
    if lay == "F":
        x = np.asfortranarray(x)
    elif lay == "gaps":
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    for activation in (None, "relu", "gelu"):

        def one(part: Any, s: Any, z: Any, activation: Any = activation) -> Any:
            return quantized.quantize(part, s, z, activation, dtype=np.int8)

        wanted = each_channel(one, x, scale, zero, axis)
        q = quantized.quantize(x, scale, zero, activation, dtype=np.int8, axis=axis)
        assert_same_bits(q, wanted)
        out = np.empty(shape, np.int8)
        assert quantized.quantize(x, scale, zero, activation, dtype=np.int8, axis=axis - len(shape), out=out) is out
        assert_same_bits(out, wanted)

    def back(part: Any, s: Any, z: Any) -> Any:
        return quantized.dequantize(part, s, z, dtype=x_type)

    assert_same_bits(
        quantized.dequantize(q, scale, zero, axis=axis, dtype=x_type), each_channel(back, q, scale, zero, axis)
    )


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("n", [3, 40, 200, 1000])
def test_large_results_of_channels(n: int) -> None:
    """Arrays that threads share and stream, in every position of the channels."""
    size = 2 * max(_runtime.parallel_from) // n + 7
    scale, zero = np.linspace(0.01, 2, n, dtype="float32"), np.arange(n) % 200
    for shape, axis in (((size, n), 1), ((n, size), 0), ((size // 7 + 1, n, 7), 1)):
        x = data(shape, 0.05, np.dtype("float32"))
        ends = [np.expand_dims(end, [k for k in range(len(shape)) if k != axis]) for end in (scale, zero)]
        wanted = quantized_by_numpy(x, ends[0], ends[1], np.uint8)
        for least in (1, -1):
            _runtime.set_defaults(stream_from=least)
            try:
                q = quantized.quantize(x, scale, zero, axis=axis)
                back = quantized.dequantize(q, scale, zero, axis=axis)
            finally:
                _runtime.set_defaults(stream_from=-1)
            assert_same_bits(q, wanted)
            assert_same_bits(back, (q - ends[1].astype("float32")) * ends[0])


@pytest.mark.parametrize("n", [5, 128, 129, 20000])
def test_parameters_of_every_type(n: int) -> None:
    """Scales and zero points of every type, number or array, contiguous or not, at the ends of their ranges."""
    rng = np.random.default_rng(2)
    x, scale = data((n,), 0.05, np.dtype("float32")), rng.uniform(0.01, 2, n).astype("float32")
    zero = rng.integers(0, 128, n)
    wanted = quantized_by_numpy(x, scale, zero, np.uint8)
    for kind in ("i1", "u1", "i2", "u2", "i4", "i8", "u8"):
        for s in (scale, scale.astype("float64"), np.repeat(scale, 2)[::2], scale.astype(">f4"), scale.tolist()):
            assert_same_bits(quantized.quantize(x, s, zero.astype(kind), axis=0), wanted)
    for s in (np.finfo("float32").smallest_subnormal, 1e-25, 1e25, np.finfo("float32").max):  # outside what is usual
        scales = scale.copy()
        scales[n // 2] = scales[-1] = s
        assert_same_bits(quantized.quantize(x, scales, zero, axis=0), quantized_by_numpy(x, scales, zero, np.uint8))
    assert_same_bits(quantized.quantize(x, scale, 7, axis=0), quantized_by_numpy(x, scale, 7, np.uint8))
    assert_same_bits(quantized.quantize(x, 0.5, zero, axis=0), quantized_by_numpy(x, 0.5, zero, np.uint8))
    q, out = zero.astype(np.uint8), scale.copy()  # the result in the memory of the scales
    wanted = (q - np.float32(3)) * scale
    assert quantized.dequantize(q, out, 3, axis=0, out=out) is out
    assert_same_bits(out, wanted)


# Ways to write the same numbers and types, and the same elements.
SPELLINGS: dict[str, Any] = {
    "arrays": lambda scale, zero: (scale, zero),
    "other types": lambda scale, zero: (scale.astype("float64"), zero.astype("int8")),
    "lists": lambda scale, zero: (scale.tolist(), zero.tolist()),
    "tuples": lambda scale, zero: (tuple(scale.tolist()), tuple(zero.tolist())),
    "lists of NumPy's numbers": lambda scale, zero: (list(scale), list(zero)),
    "some whole": lambda scale, zero: ([1, *scale.tolist()[1:]], [np.int8(3), *zero.tolist()[1:]]),
}
PLACES: dict[str, Any] = {
    "contiguous": lambda x: x,
    "reversed": lambda x: x[::-1].copy()[::-1],
    "gaps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "transposed": lambda x: x.T.copy().T,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("x_type", ["float32", "float64", "float16"])
@pytest.mark.parametrize("n", [1, 5, 129, 2000])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_every_spelling_is_the_same_call(x_type: str, n: int, rows: int | None) -> None:
    """Scales, zero points, types and elements however they are written: channels, tables, and one number for all."""
    rng = np.random.default_rng(n)
    shape = (n,) if rows is None else (rows, n)
    x, tables = data(shape, 0.05, np.dtype(x_type)), rng.integers(-128, 128, (n, 256)).astype(np.int8)
    q = rng.integers(-128, 128, shape).astype(np.int8)
    scale, zero = rng.uniform(0.01, 2, n).astype("float32"), rng.integers(-128, 128, n)
    scale[0], zero[0] = 1, 3
    wide = np.float64 if x_type == "float64" else np.float32
    there = quantized_by_numpy(x, scale, zero, np.int8)
    exact = (q.astype("float64") - zero) * scale.astype("float64")
    back = _kernels.as_half(exact, np.dtype(x_type)) if x_type == "float16" else exact.astype(x_type)
    entries = tables[np.arange(n), q.view(np.uint8)]
    one = quantized_by_numpy(x, wide(0.1), 3, np.int8)
    for place in PLACES.values():
        laid, coded = place(x), place(q)
        for spelled in SPELLINGS.values():
            s, z = spelled(scale, zero)
            assert_same_bits(quantized.quantize(laid, s, z, dtype="i1", axis=-1), there)
            assert_same_bits(quantized.dequantize(coded, s, z, dtype=np.dtype(x_type).char, axis=-1), back)
        assert_same_bits(quantized.lookup(tables, coded, axis=-1), entries)
        assert_same_bits(quantized.lookup(tables[0], coded), tables[0][q.view(np.uint8)])
        for s, z in ((0.1, 3), (np.float64(0.1), np.int8(3)), (np.array(0.1), np.array(3)), (wide(0.1), np.uint16(3))):
            assert_same_bits(quantized.quantize(laid, s, z, dtype=np.int8), one)


@pytest.mark.parametrize("n", [1, 128, 129])
@pytest.mark.parametrize("place", PLACES)
def test_scales_of_16_bit_results_are_rounded_to_float32(n: int, place: str) -> None:
    """On every path: the scale is just above a tie of float16, and in float32 a tie."""
    scale = 1 + 2.0**-11 + 2.0**-40
    q = PLACES[place](np.full((2, n), 4, np.uint8))
    for s in (scale, np.float64(scale), np.full(n, scale), [scale] * n):
        axis = 1 if np.ndim(s) else None
        assert (quantized.dequantize(q, s, 3, axis=axis, dtype=np.float16) == 1).all()
        assert (quantized.dequantize(q, s, 3, axis=axis, dtype=np.float64) == scale).all()


@pytest.mark.parametrize("empty", [[], (), np.zeros(0, np.uint8)], ids=repr)
def test_no_channels(empty: Any) -> None:
    """An empty list is no list of floats."""
    assert quantized.quantize(np.zeros((2, 0), np.float32), empty, empty, axis=1).shape == (2, 0)
    assert quantized.dequantize(np.zeros((2, 0), np.uint8), empty, empty, axis=1).shape == (2, 0)
    with pytest.raises(ValueError, match="one for each of the 3 elements along axis 0, got shape"):
        quantized.quantize(np.zeros(3, np.float32), 1.0, empty, axis=0)


@pytest.mark.parametrize("n", [5, 129, 20000])
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("place", [0, -1])
def test_wrong_parameters_of_channels(n: int, kind: str, place: int) -> None:
    """One wrong number of many is named, and nothing has been written."""
    x, q, zero = np.ones(n, np.float32), np.zeros(n, np.int8), np.zeros(n, np.int64)
    for wrong in (0.0, -0.0, -1.0, -1e-30, np.nan, np.inf, -np.inf):
        scale = np.ones(n, kind)
        scale[place] = wrong
        with pytest.raises(ValueError, match="quantize: scale must be positive and finite in float32, got "):
            quantized.quantize(x, scale, zero, dtype=np.int8, axis=0, out=q)
        with pytest.raises(ValueError, match="dequantize: scale must be positive and finite in float32, got "):
            quantized.dequantize(q, scale, zero, axis=0, out=x)
    for number in (-129, 128, 2**40):
        zero[place] = number
        with pytest.raises(ValueError, match=f"zero_point must be in the range of int8, -128 to 127, got {number}"):
            quantized.quantize(x, np.ones(n, kind), zero, dtype=np.int8, axis=0, out=q)
    with pytest.raises(ValueError, match="zero_point must be in the range of uint8, 0 to 255, got -1"):
        quantized.quantize(x, np.ones(n, kind), np.full(n, -1, np.int8), axis=0)
    assert not q.any()
    assert (x == 1).all()
    for axis in (1, -2, 2**70):
        with pytest.raises((np.exceptions.AxisError, OverflowError)):
            quantized.quantize(x, np.ones(n, kind), 0, axis=axis)


@pytest.mark.usefixtures("threads")
def test_large_results() -> None:
    """Arrays that threads share."""
    n = 2 * max(_runtime.parallel_from) + 77
    x = data((n,), 0.05, np.dtype("float32"))
    q = quantized.quantize(x, 0.05, 128, "relu")
    assert_same_bits(q, quantized_by_numpy(fr.relu(x), 0.05, 128, np.uint8))
    assert_same_bits(quantized.dequantize(q, 0.05, 128), (q.astype("float32") - 128) * np.float32(0.05))
    table = quantized.table("sigmoid", 0.05, 128, 1 / 256, 0, np.uint8)
    wanted = table[q]
    assert quantized.lookup(table, q, out=q) is q
    assert_same_bits(q, wanted)


@pytest.mark.skipif(fr.get_num_threads() < 2, reason="this machine grants one thread")
@pytest.mark.parametrize("step", [1, -1])
def test_an_activation_takes_threads_from_its_own_size(step: int) -> None:
    """A heavy one from fewer elements than the quantization alone, contiguous or not."""
    x = data((max(_runtime.parallel_from) - 1,), 0.05, np.dtype("float32"))[::step]
    quantized.quantize(np.ones(2 * x.size, np.float32), 0.05, 128)  # makes the team
    jobs = []
    for name in (None, "relu", "gelu"):
        before = _runtime.team()["jobs"]
        quantized.quantize(x, 0.05, 128, name)
        jobs.append(_runtime.team()["jobs"] - before)
    assert jobs == [0, 0, 1]


@each_type
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sigmoid", {}),
        ("gelu", {"approximate": "tanh"}),
        ("leaky_relu", {"negative_slope": 0.1}),
        ("tanh", {}),
        ("softplus", {}),
    ],
)
def test_tables(dtype: str, name: str, options: dict[str, Any]) -> None:
    """Entries are the rounded function, of one table and of several."""
    limits = np.iinfo(dtype)
    q = np.arange(limits.min, limits.max + 1).astype(dtype)
    x_zero, y_zero = 3 + limits.min // 2, 10
    table = quantized.table(name, 0.05, x_zero, 0.04, y_zero, dtype, **options)
    with fr.precision("accurate"):
        y = getattr(fr, name)((q.astype("float64") - x_zero) * 0.05, **options)
    assert_same_bits(quantized.lookup(table, q), quantized_by_numpy(y, 0.04, y_zero, dtype))
    several = quantized.table(name, np.array([0.05, 0.1]), x_zero, 0.04, np.array([y_zero, 0]), dtype, **options)
    assert several.shape == (2, 256)
    assert_same_bits(several[0], table)
    assert_same_bits(several[1], quantized.table(name, 0.1, x_zero, 0.04, 0, dtype, **options))
    slopes = [0.25, -0.5, 2.0]
    of_slopes = quantized.table("leaky_relu", 0.05, x_zero, 0.04, 0, dtype, negative_slope=slopes)
    for found, slope in zip(of_slopes, slopes, strict=True):
        assert_same_bits(found, quantized.table("leaky_relu", 0.05, x_zero, 0.04, 0, dtype, negative_slope=slope))


def test_small_and_converted_inputs() -> None:
    """Lists, integers, numbers, empty arrays, functions, outputs of another type, parameters in arrays."""
    assert quantized.quantize([1, 2], 1.0, 0, fr.relu).tolist() == [1, 2]
    assert quantized.quantize(3, 1, 0) == 3
    assert quantized.quantize(3.0, 1.0, 0, "relu") == quantized.quantize(np.float32(3.0), 1.0, 0) == 3
    assert np.ndim(quantized.quantize(np.array(3.0), 1.0, 0)) == 0
    for name in ("float16", "float32", "float64"):  # the type of a result is in native order, as that of a ufunc
        q, other = np.uint8([0, 131]), np.dtype(name).newbyteorder()
        assert_same_bits(quantized.dequantize(q, 0.05, 9, dtype=other), quantized.dequantize(q, 0.05, 9, dtype=name))
    assert quantized.dequantize(np.int8(3), 0.5, 1) == quantized.dequantize(np.array(3, np.int8), 0.5, 1) == 1.0
    assert quantized.quantize(np.empty((0, 3)), 1.0, 0).shape == (0, 3)
    wide = np.zeros(2, np.int32)
    assert quantized.quantize(np.array([-1.5, 300]), 1.0, 1, dtype="int8", out=wide) is wide
    assert wide.tolist() == [-1, 127]
    slopes = np.array([0.5, 2.0])
    got = quantized.quantize(np.array([-8.0, -8.0]), 1.0, 0, "leaky_relu", dtype="int8", negative_slope=slopes)
    assert got.tolist() == [-4, -16]
    swapped = np.array([1.0, -2.0], ">f4")
    assert quantized.quantize(swapped, 1.0, 0, dtype="int8").tolist() == [1, -2]
    x = np.array([5.0, 6.0, 7.0, 8.0], np.float32)  # the result in the memory of the input
    assert quantized.quantize(x, 1.0, 0, out=x.view(np.uint8)[3:7]).tolist() == [5, 6, 7, 8]


def test_errors() -> None:
    """Each error names what is wrong, and nothing has been written."""
    x, q = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int8)
    with pytest.raises(TypeError, match="quantize takes the types int8 and uint8, got int16"):
        quantized.quantize(x, 1.0, 0, dtype=np.int16)
    with pytest.raises(ValueError, match=r"quantize: scale must be positive and finite in float32, got 0\.0"):
        quantized.quantize(x, 0.0, 0)
    with pytest.raises(ValueError, match="quantize: scale must be positive and finite in float32, got 1e-60"):
        quantized.quantize(x, 1e-60, 0)
    with pytest.raises(ValueError, match="quantize: scale must be positive and finite in float32, got nan"):
        quantized.quantize(x, [1.0, np.nan, 2.0], 0, axis=1)
    with pytest.raises(ValueError, match="zero_point must be in the range of uint8, 0 to 255, got -1"):
        quantized.quantize(x, 1.0, -1)
    with pytest.raises(TypeError, match=r"quantize takes integers as zero_point, got 1\.5"):
        quantized.quantize(x, 1.0, 1.5)
    with pytest.raises(ValueError, match=r"quantize needs axis= to know where scale of shape \(3,\) lies"):
        quantized.quantize(x, np.ones(3), 0)
    with pytest.raises(ValueError, match="quantize takes axis= with one-dimensional scale and zero_point"):
        quantized.quantize(x, 1.0, 0, axis=1)
    with pytest.raises(ValueError, match=r"one for each of the 2 elements along axis 0, got shape \(3,\)"):
        quantized.quantize(x, np.ones(3), 0, axis=0)
    with pytest.raises(np.exceptions.AxisError):
        quantized.quantize(x, np.ones(3), 0, axis=2)
    with pytest.raises(TypeError, match="relu has no parameter 'slope'"):
        quantized.quantize(x, 1.0, 0, "relu", slope=1)
    with pytest.raises(TypeError, match="quantize has no parameter 'slope' without an activation"):
        quantized.quantize(x, 1.0, 0, slope=1)
    with pytest.raises(ValueError, match="hard_tanh requires min_val <= max_val, got min_val=2, max_val=1"):
        quantized.quantize(x, 1.0, 0, "hard_tanh", min_val=2, max_val=1)
    with pytest.raises(TypeError, match="quantize: the result of type uint8 cannot be cast into out of type int8"):
        quantized.quantize(x, 1.0, 0, out=q)
    with pytest.raises(TypeError, match="dequantize takes an array of int8 or uint8 as q, got float32"):
        quantized.dequantize(x, 1.0, 0)
    with pytest.raises(
        TypeError, match="dequantize returns floating-point numbers of at most 64 bits, got dtype int32"
    ):
        quantized.dequantize(q, 1.0, 0, dtype=np.int32)
    with pytest.raises(ValueError, match=r"lookup needs a table of shape \(256,\), got \(2, 256\)"):
        quantized.lookup(np.zeros((2, 256), np.int8), q)
    with pytest.raises(ValueError, match=r"lookup needs a table of shape \(3, 256\), got \(256,\)"):
        quantized.lookup(np.zeros(256, np.int8), q, axis=1)
    with pytest.raises(ValueError, match="scales and zero points are numbers or one-dimensional of one length"):
        quantized.table("relu", np.ones(2), 0, np.ones(3), 0)
    with pytest.raises(ValueError, match=r"one-dimensional of one length, and so are parameters, got {\(2, 3\)}"):
        quantized.table("elu", 1.0, 0, 1.0, 0, alpha=np.ones((2, 3)))
    for options in ({}, {"axis": 0}):
        with pytest.raises(ValueError, match=r"quantize: alpha of shape \(2, 3\) does not broadcast .* x, \(3,\)"):
            quantized.quantize(x[0], np.ones(3) if options else 1.0, 0, "elu", alpha=np.ones((2, 3)), **options)
    with pytest.raises(TypeError, match=r"quantize does not read masks of numpy\.ma"):
        quantized.quantize(x, np.ma.array([1.0, 2.0, 3.0], mask=[1, 0, 0]), 0, axis=1)
    with pytest.raises(TypeError, match=r"dequantize does not read masks of numpy\.ma"):
        quantized.dequantize(q, 1.0, np.ma.array([1, 2, 3], mask=[1, 0, 0]), axis=1)
    with pytest.raises(ValueError, match="no element-wise activation named 'none'"):
        quantized.table("none", 1.0, 0, 1.0, 0)
