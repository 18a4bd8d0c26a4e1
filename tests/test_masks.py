"""Masks of one bit per element: NumPy's order of bits, and gradients with the bits of those from the input."""

import inspect
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import DTYPES, ISAS, LAYOUTS
from inputs import dtype_named, values

import fastrelu as fr
from fastrelu import _kernels, _packed, _runtime, masks, nn, optim

# For each function: parameters, the derivative where the mask is not set, and where it is.
FUNCTIONS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "relu": [({}, {})],
    "relu6": [({}, {})],
    "leaky_relu": [({"negative_slope": slope}, {"negative_slope": slope}) for slope in (0.01, 0.0, -0.5, 1.0, 3.0)],
    "prelu": [({"weight": slope}, {"negative_slope": slope}) for slope in (0.25, -2.0)],
    "threshold": [({"threshold": 0.1, "value": 20.0}, {}), ({"threshold": -1.0, "value": -2.0}, {})],
    "thresholded_relu": [({}, {}), ({"alpha": -0.5}, {})],
    "hard_tanh": [({}, {}), ({"min_val": -0.25, "max_val": 2.0}, {})],
    "hard_sigmoid": [({}, {"slope": 1 / 6}), ({"slope": 0.2, "offset": 0.5}, {"slope": 0.2})],
    "hard_shrink": [({"lambd": 0.5}, {}), ({"lambd": 0.0}, {})],
    "soft_shrink": [({"lambd": 0.5}, {})],
    "shrink": [({"lambd": 0.5, "bias": 2.0}, {})],
}
CALLS = [(name, *call) for name, calls in FUNCTIONS.items() for call in calls]
HALVES = ["float16", "bfloat16"]
each_call = pytest.mark.parametrize(("name", "options", "slopes"), CALLS)


@pytest.fixture(params=[1, 2], ids="threads={}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run with one and with two threads."""
    with fr.threads(request.param):
        yield request.param


def packed(on: Any) -> Any:
    """Return a mask as NumPy packs it."""
    return np.packbits(on, axis=None, bitorder="little")


def data(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Return numbers of every kind but NaN, many of them near the kinks."""
    n = int(np.prod(shape))
    x = values(n, np.dtype("float32"), seed).astype("float64")
    x[::2] = np.random.default_rng(seed).integers(-7, 8, x[::2].size) / 2
    with np.errstate(over="ignore"):  # large numbers become infinite
        return np.nan_to_num(x, nan=0.5, posinf=np.inf, neginf=-np.inf).astype(dtype).reshape(shape)


def test_the_list_is_that_of_the_module() -> None:
    """Every function with a mask is tested."""
    assert sorted(masks.__all__) == sorted(["backward_from_mask", *(f"{name}_with_mask" for name in FUNCTIONS)])


@pytest.mark.usefixtures("threads")
@each_call
@pytest.mark.parametrize("dtype", [*map(str, DTYPES), *HALVES])
def test_of_every_function_and_type(name: str, options: dict[str, Any], slopes: dict[str, Any], dtype: str) -> None:
    """Result, mask and gradient are those without a mask, in place too."""
    function, with_mask = getattr(fr, name), getattr(masks, f"{name}_with_mask")
    x, grad = data((3, 700), dtype_named(dtype)), data((3, 700), dtype_named(dtype), 1)
    derivative = getattr(fr, f"{name}_backward")(np.ones_like(x, np.float32), x.astype(np.float32), **options)
    inside = slopes.get("slope", 1.0)
    wanted = x > 0 if name in {"leaky_relu", "prelu"} else np.isclose(derivative, inside)
    y, mask = with_mask(x, **options)
    assert_same_bits(y, function(x, **options))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, packed(wanted))
    dx = masks.backward_from_mask(grad, mask, **slopes)
    assert_same_bits(dx, getattr(fr, f"{name}_backward")(grad, x, **options))
    before = grad.copy()
    assert masks.backward_from_mask(before, mask, **slopes, out=before) is before
    assert_same_bits(before, dx)
    z = x.copy()
    result = with_mask(z, **options, out=z)
    assert result[0] is z
    assert_same_bits(z, y)
    assert np.array_equal(result[1], mask)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_size_and_offset(isa: str, dtype: Any) -> None:
    """Bits are NumPy's; nothing is written beside the result."""
    kernels = _kernels.load_kernels(isa)
    memory, g = data((600,), dtype), data((600,), dtype, 1)
    for n in range(521):
        offset = n % 17
        x, grad = memory[offset : offset + n], g[offset : offset + n]
        y = np.full(600, 7, dtype)
        mask = _packed.mask_of("f", isa, kernels["relu"], (), kernels["relu_backward"], (), x, y[offset : offset + n])
        assert np.array_equal(mask, packed(x > 0))
        assert_same_bits(y[offset : offset + n], fr.relu(x))
        _packed.select("g", isa, grad, mask, 1.0, -0.5, y[offset : offset + n])
        assert_same_bits(y[offset : offset + n], np.where(x > 0, grad, grad * dtype.type(-0.5)))
        assert (y[:offset] == 7).all()
        assert (y[offset + n :] == 7).all()
        words = np.arange(n, dtype=np.uint32) * np.uint32(2654435761)
        assert np.array_equal(_packed.words_from("w", isa, words, 2**31), packed(words >= 2**31))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("lay", LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(64, 300), (3, 5, 7), (2, 3, 2, 130), (1200,), (5, 1, 8), (300, 3), (15, 16, 17), (17, 2, 16)], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_layout(lay: str, shape: tuple[int, ...], dtype: str) -> None:
    """Bits follow the elements in C order, however they lie in memory."""
    x, grad = data(shape, dtype), data(shape, dtype, 1)
    laid, grad_laid, out = LAYOUTS[lay](x), LAYOUTS[lay](grad), LAYOUTS["C" if lay == "read-only" else lay](x)
    slope = np.linspace(-2, 2, shape[-1], dtype=dtype)
    wanted = packed(x > 0)
    y, mask = masks.leaky_relu_with_mask(laid, -0.5)
    assert_same_bits(np.ascontiguousarray(y), fr.leaky_relu(x, -0.5))
    assert np.array_equal(mask, wanted)
    dx = masks.backward_from_mask(grad_laid, mask, -0.5)
    assert_same_bits(np.ascontiguousarray(dx), fr.leaky_relu_backward(grad, x, -0.5))
    assert masks.backward_from_mask(grad_laid, mask, slope, out=out) is out
    assert_same_bits(np.ascontiguousarray(out).astype(dtype), fr.leaky_relu_backward(grad, x, slope))
    y, mask = masks.leaky_relu_with_mask(laid, slope)
    assert np.array_equal(mask, wanted)
    assert_same_bits(np.ascontiguousarray(y), fr.leaky_relu(x, slope))
    if lay != "read-only":
        assert masks.relu6_with_mask(laid, out=laid)[0] is laid
        assert_same_bits(np.ascontiguousarray(laid).astype(dtype), fr.relu6(x))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("least", [0, -1], ids="streamed from {}".format)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_large_results(dtype: str, least: int) -> None:
    """Arrays that threads share, cut where a cache line of bits ends; results that are stored past the cache."""
    n = 2 * max(_runtime.parallel_from) + 77
    x, grad = data((n + 1,), dtype)[1:], data((n,), dtype, 1)
    _runtime.set_defaults(stream_from=least)
    try:
        y, mask = masks.leaky_relu_with_mask(x, -0.5)
        dx = masks.backward_from_mask(grad, mask, -0.5)
        in_place = grad.copy()
        masks.backward_from_mask(in_place, mask, -0.5, out=in_place)
    finally:
        _runtime.set_defaults(stream_from=-1)
    assert_same_bits(y, fr.leaky_relu(x, -0.5))
    assert np.array_equal(mask, packed(x > 0))
    assert_same_bits(dx, fr.leaky_relu_backward(grad, x, -0.5))
    assert_same_bits(in_place, dx)


def test_prelu_along_an_axis() -> None:
    """Slopes may be arrays, forward and backward."""
    x, grad, weight = (
        data((4, 3, 70), "float32"),
        data((4, 3, 70), "float32", 1),
        np.array([0.5, -1.0, 0.0], np.float32),
    )
    y, mask = masks.prelu_with_mask(x, weight, axis=1)
    assert_same_bits(y, fr.prelu(x, weight, axis=1))
    dx = masks.backward_from_mask(grad, mask, weight[:, None])
    assert_same_bits(dx, fr.prelu_backward(grad, x, weight, axis=1))


def test_nan_sets_no_bit() -> None:
    """NaN is the one input at which the gradient differs from the gradient from the input."""
    x, grad = np.array([np.nan, 1.0, -1.0], np.float32), np.array([5.0, np.nan, np.nan], np.float32)
    y, mask = masks.relu_with_mask(x)
    assert np.isnan(y).tolist() == [True, False, False]
    assert mask.tolist() == [0b010]
    dx = masks.backward_from_mask(grad, mask)
    assert_same_bits(dx, np.float32([0.0, np.nan, 0.0]))


def test_small_and_converted_inputs() -> None:
    """Numbers, lists, integers, empty arrays, other byte orders, outputs of another type."""
    for number in (3, 3.0, np.float32(3.0), np.array(3.0)):
        y, mask = masks.relu_with_mask(number)
        assert (float(y), mask.tolist(), type(y).__name__) == (3.0, [1], type(fr.relu(number)).__name__)
        assert type(masks.backward_from_mask(number, mask)) is type(y)
    y, mask = masks.relu_with_mask([-1, 2])
    assert (y.tolist(), y.dtype, mask.tolist()) == ([0.0, 2.0], np.float64, [2])
    y, mask = masks.relu_with_mask(np.empty((0, 4), np.float32))
    assert (y.shape, mask.shape) == ((0, 4), (0,))
    swapped = np.array([-1.0, 2.0], ">f4")
    assert masks.relu_with_mask(swapped, out=swapped)[0] is swapped
    assert swapped.tolist() == [0.0, 2.0]
    wide = np.empty(2)
    assert masks.backward_from_mask(np.float32([1, 1]), np.uint8([1]), out=wide) is wide
    assert wide.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("number", [np.float16, np.float32, np.float64, np.array], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", ["int8", "int32", *HALVES, "float32", "float64"])
@each_call
def test_numbers_of_numpy(
    name: str, options: dict[str, Any], slopes: dict[str, Any], dtype: str, number: Callable[[float], Any]
) -> None:
    """Parameters with a type of their own promote as they do without a mask."""
    x = np.arange(-8, 8).astype(dtype_named(dtype))
    typed = {key: number(value) for key, value in options.items()}
    if number is np.array and name not in {"leaky_relu", "prelu"} and options:
        with pytest.raises(TypeError, match=f"{name}_with_mask takes numbers as parameters, got array"):
            getattr(masks, f"{name}_with_mask")(x, **typed)
        return
    assert_same_bits(getattr(masks, f"{name}_with_mask")(x, **typed)[0], getattr(fr, name)(x, **typed))
    if "negative_slope" in slopes:
        slope = number(slopes["negative_slope"])
        mask = masks.relu_with_mask(x)[1]
        assert_same_bits(masks.backward_from_mask(x, mask, slope), fr.leaky_relu_backward(x, x, slope))


def test_overlapping_memory() -> None:
    """An input that would be overwritten before it is read is copied."""
    memory = data((1500,), "float32")
    x, out = memory[:-1], memory[1:]
    before = x.copy()
    mask = masks.relu_with_mask(x, out=out)[1]
    assert_same_bits(out, fr.relu(before))
    assert np.array_equal(mask, packed(before > 0))
    raw = np.zeros(64, np.uint8)
    grad, bits = np.ones(16, np.float32), raw[:2]
    bits[:] = 255
    masks.backward_from_mask(grad, bits, out=raw.view(np.float32))
    assert raw.view(np.float32).tolist() == [1.0] * 16
    entries = np.arange(256, dtype=np.uint8)[::-1].copy()
    assert fr.quantized.lookup(entries, np.arange(3, dtype=np.uint8), out=entries[254:251:-1]).tolist() == [
        255,
        254,
        253,
    ]


def test_signatures_are_those_of_the_functions() -> None:
    """Parameters have the names and defaults of the function."""
    for name in FUNCTIONS:
        found = list(inspect.signature(getattr(masks, f"{name}_with_mask")).parameters)
        assert found == [p for p in inspect.signature(getattr(fr, name)).parameters if p != "where"]
        assert f"fastrelu.{name}`" in getattr(masks, f"{name}_with_mask").__doc__


def test_errors() -> None:
    """Each error names what is wrong, and nothing has been written."""
    x = np.zeros(9, np.float32)
    mask = np.zeros(2, np.uint8)
    with pytest.raises(
        TypeError, match=r"uint8, eight elements to a byte, got bool: pack booleans with numpy.packbits"
    ):
        masks.backward_from_mask(x, x > 0)
    with pytest.raises(ValueError, match=r"the mask of 9 elements has the shape \(2,\), got \(3,\)"):
        masks.backward_from_mask(x, np.zeros(3, np.uint8))
    with pytest.raises(TypeError, match=r"takes a number as slope, got \[1\]"):
        masks.backward_from_mask(x, mask, slope=[1])
    with pytest.raises(
        ValueError, match=r"negative_slope of shape \(2, 9\) does not broadcast to the shape of grad, \(9,\)"
    ):
        masks.backward_from_mask(x, mask, np.zeros((2, 9)))
    with pytest.raises(ValueError, match=r"relu_with_mask: out has the shape \(8,\), the result \(9,\)"):
        masks.relu_with_mask(x, out=x[:8])
    with pytest.raises(TypeError, match=r"result of type float32 cannot be cast into out of type int32"):
        masks.relu_with_mask(x, out=np.zeros(9, np.int32))
    x.flags.writeable = False
    with pytest.raises(ValueError, match="relu_with_mask: out is read-only"):
        masks.relu_with_mask(x, out=x)
    with pytest.raises(TypeError, match="relu_with_mask: got an unexpected keyword argument 'slope'"):
        masks.relu_with_mask(x, slope=3)
    with pytest.raises(ValueError, match="hard_tanh requires min_val <= max_val, got min_val=2, max_val=1"):
        masks.hard_tanh_with_mask(x, 2, 1)
    with pytest.raises(TypeError, match="hard_tanh_with_mask takes numbers as parameters, got array"):
        masks.hard_tanh_with_mask(x, np.zeros(9), 1)
    with pytest.raises(ValueError, match=r"weight of shape \(2, 9\) does not broadcast to the shape of x, \(9,\)"):
        masks.prelu_with_mask(x, np.zeros((2, 9)))
    with pytest.raises(
        TypeError, match="takes bool, integers and real numbers of at most 64 bits; x has the type complex"
    ):
        masks.relu_with_mask(x + 1j)
    with pytest.raises(ValueError, match=r"weight of shape \(4,\) does not broadcast to the shape of x, \(9,\)"):
        masks.prelu_with_mask(x, np.zeros(4))
    with pytest.raises(ValueError, match=r"negative_slope of shape \(4,\) does not broadcast to the shape of grad"):
        masks.backward_from_mask(x, mask, np.zeros(4))
    with pytest.raises(TypeError, match=r"hard_tanh_with_mask takes bool, .*; max_val has the type .*128"):
        masks.hard_tanh_with_mask(x, np.float32(0), np.longdouble(1))
    with pytest.raises(TypeError, match=r"backward_from_mask does not read masks of numpy\.ma"):
        masks.backward_from_mask(x, np.ma.array(mask, mask=[True, False]))
    with pytest.raises(TypeError, match=r"does not read masks of numpy\.ma"):
        masks.relu_with_mask(np.ma.array([1.0, 2.0], mask=[True, False]))


# --- Layers -------------------------------------------------------------------------------------------------------

LAYERS: list[Callable[[bool], nn.Module]] = [
    lambda inplace: nn.LeakyReLU(-0.5, inplace=inplace),
    lambda inplace: nn.Threshold(0.1, 2.0, inplace=inplace),
    lambda inplace: nn.ThresholdedReLU(-0.3, inplace=inplace),
    lambda inplace: nn.Shrink(0.2, 0.5, inplace=inplace),
]


@pytest.mark.parametrize("make", LAYERS, ids=lambda make: type(make(False)).__name__)
def test_layers_in_place_learn_the_same(make: Callable[[bool], nn.Module]) -> None:
    """Weights after some steps are those of the network that overwrites nothing."""
    x, grad = data((16, 8), "float32").clip(-3, 3), data((16, 4), "float32", 1).clip(-3, 3)
    found = []
    for inplace in (False, True):
        net = nn.Sequential(nn.Linear(8, 12, rng=0), make(inplace), nn.Linear(12, 4, rng=1))
        step = optim.SGD(net.parameters(), lr=0.01)
        for _ in range(5):
            net(x)
            net.backward(grad)
            step.step()
            step.zero_grad()
        found.append([parameter.copy() for parameter in net.state_dict().values()])
    for one, other in zip(*found, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("make", LAYERS, ids=lambda make: type(make(False)).__name__)
def test_layers_in_place_keep_a_mask(make: Callable[[bool], nn.Module]) -> None:
    """What is saved is 1/32 of the input; the gradient has the type that it has without a mask."""
    layer, plain = make(True), make(False)
    x, grad = data((100, 1000), "float32"), data((100, 1000), "float64", 1)
    plain(x)
    wanted = plain.backward(grad)
    make(True)(x.copy())  # the first call of all also fills caches
    tracemalloc.start()
    assert layer(x) is x
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < x.size // 8 + 4096
    assert_same_bits(layer.backward(grad), wanted)
