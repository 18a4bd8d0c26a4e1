"""scale, softcap, bias and sink of softmax and log_softmax: the bits of the passes that they stand for, and gradients."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import LAYOUTS, OUT_LAYOUTS, each_dtype, each_precision, needs_wide

import fastrelu as fr
from fastrelu import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

    Array = NDArray[Any]

NAMES = {"softmax": 0.0, "log_softmax": -np.inf}  # and what a masked element becomes
each_function = pytest.mark.parametrize("name", NAMES)
SCALES = (1.0, -0.375)
CAPS = (None, 1.5)


def composed(
    name: str,
    x: Any,
    axis: int = -1,
    scale: float = 1.0,
    bias: Any = None,
    softcap: float | None = None,
    sink: Any = None,
    where: Any = True,
    kind: Any = None,
) -> Array:
    """Return the result in the passes of its definition, the sink as one more element of each row."""
    kind = np.dtype(x.dtype if kind is None else kind)
    z = np.multiply(x.astype(kind), kind.type(scale))
    if softcap is not None:
        z = fr.softcap(z, softcap)
    if bias is not None:
        with np.errstate(invalid="ignore"):  # of infinities that cancel
            z = z + np.asarray(bias).astype(kind)
    rows = np.moveaxis(z, axis, -1)
    mask = np.moveaxis(np.broadcast_to(where, x.shape), axis, -1)
    if sink is None:
        found = getattr(fr, name)(rows, where=mask)
    else:
        last = np.broadcast_to(np.asarray(sink, kind), rows.shape[:-1])[..., np.newaxis]
        rows, mask = np.concatenate([rows, last], -1), np.concatenate([mask, np.ones(last.shape, bool)], -1)
        found = getattr(fr, name)(rows, where=mask)[..., :-1]
        found[~mask[..., :-1].any(-1)] = NAMES[name]
    return np.moveaxis(found, -1, axis)


def shapes_of_bias(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes that broadcast to one, with an axis of length 1 here and there."""
    return [tuple(n if keep else 1 for n, keep in zip(shape, kept, strict=True))
            for kept in itertools.product((False, True), repeat=len(shape))]  # fmt: skip  # one loop a line


def data(shape: tuple[int, ...], dtype: DTypeLike, seed: int = 0) -> Array:
    """Return numbers with infinities, NaN and a row that is all -inf here and there."""
    rng = np.random.default_rng(seed)
    x: Array = rng.normal(0, 3, shape)
    spots = x.reshape(-1)
    spots[5::97], spots[11::131], spots[17::151] = -np.inf, np.inf, np.nan
    x[..., 0, :] = -np.inf
    return x.astype(dtype)


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(3, 21, 20), (2, 35, 130), (2, 2, 1), (1, 700, 3)])
def test_axes(name: str, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, ...]) -> None:
    """Every combination of options along every axis, with and without a mask, gives the bits of its passes."""
    x, rng = data(shape, dtype), np.random.default_rng(1)
    biases = [None, *(data(own, dtype, 2) for own in shapes_of_bias(shape))]
    mask = rng.random(shape) < 0.7
    mask[:, :1] = False
    with fr.precision(precision):
        for axis, scale, cap, where in itertools.product(range(3), SCALES, CAPS, (True, mask)):
            kept = shape[:axis] + shape[axis + 1 :]
            for count, bias in enumerate(biases):
                sink = [None, 0.0, rng.normal(size=kept).astype(dtype), rng.normal(size=(kept[0], 1)).astype(dtype)][
                    (count + (scale != 1) + 2 * (cap is None)) % 4
                ]
                options: dict[str, Any] = {"scale": scale, "bias": bias, "softcap": cap, "sink": sink, "where": where}
                got = getattr(fr, name)(x, axis, **options)
                assert_same_bits(got, composed(name, x, axis, **options), (axis, options))


@each_function
@each_dtype
@pytest.mark.parametrize("n", [32, 33, 128, 129, 250, 512, 513])
def test_rows_of_moderate_length(name: str, dtype: str, n: int) -> None:
    """Contiguous rows that go to a kernel several at a time are changed and masked before it."""
    rng = np.random.default_rng(5)
    for rows in (1, 2, 15, 16, 17, 40):
        x, full = data((rows, n), dtype), data((rows, n), dtype, 6)
        mask = rng.random((rows, n)) < 0.7
        mask[: rows // 2 : 3] = False
        biases = (None, full, full[0], full[:, :1])
        for bias, where, sink, cap in itertools.product(biases, (True, mask, mask[:1], mask[:, :1]), (None, 0.5), CAPS):
            options: dict[str, Any] = {"scale": 0.7, "bias": bias, "where": where, "sink": sink, "softcap": cap}
            wanted = composed(name, x, **options)
            assert_same_bits(getattr(fr, name)(x, **options), wanted, (rows, options))
            mine = x.copy()
            assert_same_bits(getattr(fr, name)(mine, out=mine, **options), wanted, (rows, options))


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(33, 20), (6, 300)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name: str, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int], layout: str) -> None:
    """The same bits from every layout of each operand, into every layout of the output, and in place."""
    rng = np.random.default_rng(3)
    x, bias, sink = data(shape, dtype), data(shape, dtype, 4), rng.normal(size=(2, shape[0])).astype(dtype)
    with fr.precision(precision):
        for cap, masked, sunk in itertools.product(CAPS, (False, True), (False, True)):
            options: dict[str, Any] = {"scale": 0.7, "softcap": cap, "where": x > -2 if masked else True}
            options["sink"] = sink[0] if sunk else None
            wanted = composed(name, x, bias=bias, **options)
            lay = LAYOUTS[layout]
            laid = lay(x)
            options["sink"] = lay(sink)[0] if sunk else None
            function: Callable[..., Array] = getattr(fr, name)
            assert_same_bits(function(laid, bias=bias, **options), wanted)
            assert_same_bits(function(x, bias=lay(bias), **options), wanted)
            assert_same_bits(function(laid.T, 0, bias=lay(bias).T, **options | {"where": np.transpose(options["where"])}),
                             wanted.T)  # fmt: skip  # the call is one line
            if layout not in OUT_LAYOUTS:
                continue
            out = OUT_LAYOUTS[layout](np.zeros_like(x))
            assert function(x, bias=bias, out=out, **options) is out
            assert_same_bits(out.astype(dtype), wanted)
            out = lay(bias)
            assert function(x, bias=out, out=out, **options) is out
            assert_same_bits(out.astype(dtype), wanted, "written over the bias")
            assert getattr(fr, f"{name}_")(laid, bias=bias, **options) is laid
            assert_same_bits(laid.astype(dtype), wanted)


@each_function
@each_dtype
def test_overlap(name: str, dtype: str) -> None:
    """An output that reaches into any operand gets what it would get from copies."""
    memory = np.random.default_rng(5).normal(0, 2, 5000).astype(dtype)
    for shape, x_at, bias_at, sink_at, out_at in (((20, 60), 0, 1300, 2600, 1), ((20, 60), 700, 0, 30, 3),
                                                  ((70, 20), 0, 2000, 1405, 1400), ((3, 500), 0, 700, 1600, 300)):  # fmt: skip  # a table
        work = memory.copy()
        size = shape[0] * shape[1]
        x, bias, out = (work[at : at + size].reshape(shape) for at in (x_at, bias_at, out_at))
        sink = work[sink_at : sink_at + shape[0]]
        wanted = composed(name, x.copy(), bias=bias.copy(), sink=sink.copy(), scale=0.5)
        getattr(fr, name)(x, bias=bias, sink=sink, scale=0.5, out=out)
        assert_same_bits(out, wanted)


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(301, 100), (3000, 10), (3, 20000)])
def test_threads(name: str, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int]) -> None:
    """The same bits for any number of threads."""
    x, bias = data(shape, dtype), data((1, shape[1]), dtype, 6)
    function = getattr(fr, name)
    with fr.precision(precision):
        for axis, threads in itertools.product((0, 1), (1, 2)):
            with fr.threads(threads):
                got = function(x, axis, scale=2.0, bias=bias, softcap=5.0, sink=0.5)
            assert_same_bits(got, composed(name, x, axis, scale=2.0, bias=bias, softcap=5.0, sink=0.5))


@each_function
@each_precision
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves(name: str, half: str, precision: fr.runtime.Precision) -> None:
    """Types of 16 bits are rounded once, at the end."""
    if half == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="the extra 'test' brings it")  # and NumPy then knows its types
    x, bias, sink = (data((4, 9, 30), half, seed) for seed in range(3))
    wide = np.dtype("float64" if precision == "accurate" and half == "float16" else "float32")
    options: dict[str, Any] = {"scale": 0.3, "softcap": 2.0}
    with fr.precision(precision):
        for axis in range(3):
            got = getattr(fr, name)(x, axis, bias=bias, sink=np.take(sink, 0, axis), **options)
            wanted = composed(name, x, axis, bias=bias, sink=np.take(sink, 0, axis), kind=wide, **options)
            with np.errstate(all="ignore"):  # rounding to 16 bits may underflow
                assert_same_bits(got, wanted.astype(half))


# --- Types, edges, errors -----------------------------------------------------------------------------------------------


@each_function
def test_types(name: str) -> None:
    """Arrays decide the type, numbers of Python do not; a number of NumPy is a scale like any other."""
    function, x = getattr(fr, name), np.array([[1, 2, 3], [4, 0, 1]], "f4")
    wanted = function(x * 2)
    for scale in (2, 2.0, np.float64(2), np.int8(2), np.array(2.0), np.float16(2)):
        assert_same_bits(function(x, scale=scale), wanted)
    assert_same_bits(function(x, bias=1, sink=2.0), composed(name, x, bias=1, sink=2))
    assert_same_bits(function(x, bias=[0.5, 0, 1]), composed(name, x, bias=[0.5, 0, 1], kind="f8"))
    assert_same_bits(function(x, sink=np.array([1.0, 2.0])), composed(name, x, sink=[1, 2], kind="f8"))
    assert_same_bits(function(x.astype("i1"), bias=x[0], scale=0.5), composed(name, x, bias=x[0], scale=0.5))
    assert_same_bits(function(x.astype("i4"), scale=0.5), composed(name, x, scale=0.5, kind="f8"))
    assert_same_bits(function(x.astype("f2"), bias=x[0]), composed(name, x, bias=x[0]))
    assert_same_bits(function(x, sink=1e300), np.full_like(x, NAMES[name]))
    assert_same_bits(function([[1.0, 2.0]], sink=0), composed(name, np.array([[1.0, 2.0]]), sink=0))
    assert type(function(3.0, None, sink=3.0)) is np.float64
    assert function(np.zeros((2, 0, 3)), 1, sink=np.ones((2, 3)), bias=1.0).shape == (2, 0, 3)


@each_function
@each_dtype
def test_several_axes(name: str, dtype: str) -> None:
    """Several axes are one row, with one sink."""
    x, bias = np.random.default_rng(7).normal(size=(2, 4, 5, 6)).astype(dtype)
    for axes, kept in (((0, 2), (5,)), ((2, 0), (5,)), (None, ()), ((), x.shape), ((-1,), (4, 5))):
        sink = np.random.default_rng(8).normal(size=kept).astype(dtype)
        got = getattr(fr, name)(x, axes, scale=0.3, bias=bias, sink=sink)
        axis = tuple(range(3)) if axes is None else axes
        turned = [np.moveaxis(a, axis, range(-len(axis), 0)).reshape(*kept, -1) for a in (x, bias)]
        wanted = composed(name, turned[0], scale=0.3, bias=turned[1], sink=sink)
        assert_same_bits(np.moveaxis(got, axis, range(-len(axis), 0)).reshape(wanted.shape), wanted, axes)


@each_function
@each_dtype
def test_sink_of_empty_rows(name: str, dtype: str) -> None:
    """A row that is all -inf, by its elements, its bias or its mask, has a limit beside a sink; a sink of -inf is none."""
    function, x = getattr(fr, name), np.zeros((3, 40), dtype)
    gone = np.full_like(x, NAMES[name])
    with np.errstate(all="raise"):
        assert_same_bits(function(x - np.inf, sink=0.0), gone)
        assert_same_bits(function(x, bias=-np.inf, sink=-3.0), gone)
        assert_same_bits(function(x, where=False, sink=0.0), gone)
        assert_same_bits(function(x, where=False, sink=np.nan), gone)
        assert_same_bits(function(x, sink=np.inf), gone)
        assert_same_bits(function(x, sink=-np.inf), function(x))
        assert np.isnan(function(x - np.inf, sink=-np.inf)).all()
        assert np.isnan(function(x, sink=np.nan)).all()
        assert np.isnan(function(x - np.inf, scale=0.0)).all()


@each_function
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": np.nan}, ValueError, "{name}: scale must be finite, not nan"),
        ({"scale": -np.inf}, ValueError, "{name}: scale must be finite, not -inf"),
        ({"scale": 1e39}, ValueError, "{name}: scale must be finite, not 1e\\+39, which is inf in float32"),
        ({"scale": "2"}, TypeError, "{name}: scale must be a number, got '2'"),
        ({"scale": None}, TypeError, "{name}: scale must be a number, got None"),
        ({"scale": np.ones(3)}, TypeError, "{name}: scale must be a number, got array"),
        ({"softcap": 0}, ValueError, "{name}: softcap must be finite and greater than 0, or None, not 0"),
        ({"softcap": -1.5}, ValueError, "{name}: softcap must be finite and greater than 0, or None, not -1.5"),
        ({"softcap": np.inf}, ValueError, "{name}: softcap must be finite and greater than 0, or None, not inf"),
        ({"softcap": np.nan}, ValueError, "{name}: softcap must be finite and greater than 0, or None, not nan"),
        ({"softcap": 1e-60}, ValueError, "cap=1e-60 \\(0.0 in float32\\)"),
        ({"softcap": 1j}, TypeError, "{name}: softcap must be a number, got 1j"),
        ({"bias": np.ones(4, np.float32)}, ValueError,
         r"{name}: bias of shape \(4,\) does not broadcast to the shape of x, \(2, 3\)"),
        ({"bias": np.ones((1, 2, 3))}, ValueError, r"{name}: bias of shape \(1, 2, 3\) does not broadcast"),
        ({"bias": [True, False, True]}, TypeError, "{name}: bias of type bool would be added .* a mask is where="),
        ({"bias": 1j}, TypeError, "{name} takes real numbers, not complex128"),
        ({"bias": np.ma.masked_array([1.0])}, TypeError, r"where=~x\.mask"),
        ({"sink": np.ones(3)}, ValueError,
         r"{name}: sink of shape \(3,\) does not broadcast to the shape of x without its axis, \(2,\)"),
        ({"sink": "no"}, TypeError, "{name} takes real numbers, not <U2"),
    ],
)  # fmt: skip  # one error a line
def test_errors(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Each wrong option is refused with its reason, before anything is written."""
    x = np.array([[1, 2, 3], [4, 5, 6]], "f4")
    before = x.copy()
    for call in (getattr(fr, name), getattr(fr, f"{name}_")):
        with pytest.raises(error, match=message.format(name=name)):
            call(x, **options)
    assert_same_bits(x, before)


@each_function
def test_options_of_other_libraries(name: str) -> None:
    """A dask array stays lazy and has the bits of the plain array; beside a sink it is refused, and told what to do."""
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    function, x = getattr(fr, name), np.random.default_rng(9).normal(0, 2, (6, 8)).astype("f4")
    calls: list[int] = []

    def seen(block: Array) -> Array:
        calls.append(0)
        return block

    lazy = dask.from_array(x, chunks=(2, 8)).map_blocks(seen, meta=x[:0])
    for options in ({"scale": 2}, {"bias": x[0]}, {"softcap": 3.0}, {"scale": 0.5, "bias": x, "softcap": 2.0}):
        got = function(lazy, **options)
        assert isinstance(got, dask.Array)
        assert got.chunks == lazy.chunks
        assert not calls
        assert_same_bits(np.asarray(got), function(x, **options))
        calls.clear()
    assert isinstance(function(x, bias=dask.from_array(x, chunks=(2, 8))), dask.Array)
    with pytest.raises(TypeError, match=r"sink= .* convert operands with numpy.asarray first"):
        function(lazy, sink=0.0)
    with pytest.raises(ValueError, match="does not broadcast to the shape of x"):
        function(lazy, bias=np.ones((1, 6, 8), "f4"))


# --- Gradients ----------------------------------------------------------------------------------------------------------


def definition(name: str, x: Array, axis: Any, scale: Any, bias: Any, softcap: Any, sink: Any, where: Any) -> Array:
    """Return the function in the type of x, by its definition; what is masked is 0."""
    z = x * scale
    z = z if softcap is None else softcap * np.tanh(z / softcap)
    z = z if bias is None else z + bias
    e = np.where(where, np.exp(z), 0)
    total = e.sum(axis, keepdims=True)
    total = (
        total if sink is None else total + np.exp(np.broadcast_to(sink, total.squeeze(axis).shape)).reshape(total.shape)
    )
    y: Array = e / total if name == "softmax" else np.where(where, z - np.log(total), 0)
    return y


def differences(function: Callable[[Array], Array], at: Array) -> Array:
    """Return the derivative of the sum of a function by central differences."""
    found, step = np.empty(at.shape, at.dtype), at.dtype.type(2) ** -20
    for index in np.ndindex(at.shape):
        moved = [at.copy(), at.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        found[index] = (function(moved[0]).sum() - function(moved[1]).sum()) / (2 * step)
    return found


SHAPE = (2, 3, 4)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"scale": 0.7},
    {"bias": (4,)},
    {"bias": SHAPE, "scale": -1.5},
    {"softcap": 1.5, "scale": 2.0},
    {"sink": ()},
    {"sink": "rows"},
    {"sink": "column", "bias": (2, 1, 4), "softcap": 2.0, "scale": 0.5},
]


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), None])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients(
    name: str, dtype: str, precision: fr.runtime.Precision, axis: int | tuple[int, ...] | None, options: dict[str, Any]
) -> None:
    """Each gradient is the derivative, in the shape and type of its operand; with a mask, and written over x."""
    needs_wide(np.dtype("float64"))
    rng = np.random.default_rng(10)
    kept = np.empty(SHAPE).sum(axis).shape
    shapes = {"rows": kept, "column": (*kept[:1], *(1 for _ in kept[1:]))}
    given = dict(options)
    for operand in ("bias", "sink"):
        if operand in given:
            given[operand] = rng.normal(size=shapes.get(given[operand], given[operand])).astype(dtype)
    x, grad = rng.normal(0, 2, (2, *SHAPE)).astype(dtype)
    mask = rng.random(SHAPE) < 0.7
    mask[0] = True
    for where in (True, mask):
        wide = {"scale": 1.0, "bias": None, "softcap": None, "sink": None} | given
        wide = {key: value if value is None else np.asarray(value, np.longdouble) for key, value in wide.items()}
        wide |= {"x": x.astype(np.longdouble)}

        def moved(operand: str, wide: dict[str, Any] = wide, where: Any = where) -> Array | None:
            if wide[operand] is None:
                return None
            return differences(
                lambda at: np.where(where, grad, 0) * definition(name, axis=axis, where=where, **wide | {operand: at}),
                wide[operand],
            )

        wanted = [moved(operand) for operand in ("x", "scale", "bias", "sink")]
        noisy, lost = x.copy(), grad.copy()
        if where is not True:
            noisy[~mask] = np.resize([np.nan, np.inf, -np.inf], (~mask).sum())
            lost[~mask] = np.nan
        with fr.precision(precision):
            found = getattr(fr, f"{name}_backward_parameters")(lost, noisy, axis, where=where, out=noisy, **given)
        assert found[0] is noisy
        for got, exact in zip(found, wanted, strict=True):
            if exact is None:
                assert got is None
                continue
            assert got.dtype == dtype
            assert np.shape(got) == exact.shape
            limit = 30 * np.finfo(dtype).eps * (1 + np.abs(exact).max()) + 1e-10
            assert np.abs(np.asarray(got, np.longdouble) - exact).max() <= limit, (where, got, exact)
        if where is not True:
            assert (found[0][~mask] == 0).all()


def passes(name: str, grad: Array, x: Array, axis: int, scale: float, bias: Any, softcap: Any, where: Any) -> Array:
    """Return the gradient of x in the passes of its definition."""
    kind = x.dtype.type
    y = getattr(fr, name)(x, axis, scale=scale, bias=bias, softcap=softcap, where=where)
    dz: Array = getattr(fr, f"{name}_backward_from_output")(grad, y, axis)
    if softcap is not None:
        dz = fr.softcap_backward(dz, x * kind(scale), softcap)
    dx: Array = np.where(where, dz, kind(0)) * kind(scale)
    return dx


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 2), (300, 2), (2, 300), (19, 33), (40, 300), (300, 40), (3, 700), (21, 9)]
)
def test_bits_of_gradients(name: str, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int]) -> None:
    """The bits of the passes, from every layout, for any number of threads; that of the scale is the same too."""
    rng = np.random.default_rng(16)
    x, grad = rng.normal(0, 2, (2, *shape)).astype(dtype)
    bias, sink, mask = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[0]).astype(dtype), x > -1
    mask[0] = False
    function = getattr(fr, f"{name}_backward_parameters")
    with fr.precision(precision):
        for cap, added, where in itertools.product(CAPS, (None, bias, bias[0]), (True, mask)):
            options: dict[str, Any] = {"scale": 0.7, "softcap": cap, "bias": added}
            wanted = passes(name, grad, x, 1, where=where, **options)
            dx, dscale, *_ = function(grad, x, where=where, **options)
            assert_same_bits(dx, wanted, options)
            sunk = function(grad, x, where=where, sink=sink, **options)
            for layout, lay in LAYOUTS.items():
                with fr.threads(1 + (layout == "F")):
                    assert_same_bits(function(lay(grad), lay(x), where=where, **options)[0], wanted, layout)
            turned = options | {"bias": None if added is None else np.broadcast_to(added, shape).T}
            beside = np.ascontiguousarray(np.broadcast_to(where, shape).T)
            for x_t, grad_t in ((x.T, grad.T), (np.ascontiguousarray(x.T), np.ascontiguousarray(grad.T))):
                got = function(grad_t, x_t, 0, where=beside, **turned)
                assert_same_bits(got[0].T, wanted, options)
                assert_same_bits(got[1], dscale)
                got = function(grad_t, x_t, 0, where=beside, sink=sink, **turned)
                assert_same_bits(got[0].T, sunk[0])
                assert_same_bits(got[3], sunk[3])
            out = np.full_like(x, 7)
            assert function(grad, x, where=where, out=out, **options)[0] is out
            assert_same_bits(out, wanted)
            for reached in (x.copy(), np.concatenate([x.ravel(), x.ravel()])[1 : x.size + 1].reshape(shape)):
                reached[...] = x
                assert function(grad, reached, where=where, out=reached, **options)[0] is reached
                assert_same_bits(reached, wanted)


@each_function
@each_dtype
def test_gradient_of_a_sink_that_has_no_share(name: str, dtype: str) -> None:
    """The gradient of a sink far below its row is right to its last digits."""
    needs_wide(np.dtype(dtype))
    rng = np.random.default_rng(11)
    grad, x = rng.normal(2, 1, (2, 5, 40)).astype(dtype)
    sink = np.array([-3, -20, -35, -60, -80], dtype)
    e = np.exp(x.astype(np.longdouble))
    below = np.exp(sink.astype(np.longdouble))
    share = below / (e.sum(-1) + below)
    y = e / (e.sum(-1) + below)[:, np.newaxis]
    exact = -share * (grad * y if name == "softmax" else grad).sum(-1, dtype=np.longdouble)
    got = getattr(fr, f"{name}_backward_parameters")(grad, x, sink=sink)[3]
    np.testing.assert_allclose(got.astype(np.longdouble), exact, rtol=60 * float(np.finfo(dtype).eps))


@each_function
@each_dtype
def test_gradient_from_output_takes_a_scale(name: str, dtype: str) -> None:
    """With a scale the result is that gradient times the scale; for 16 bits it is rounded once."""
    rng = np.random.default_rng(12)
    grad, x = rng.normal(size=(2, 30, 5)).astype(dtype)
    backward = getattr(fr, f"{name}_backward_from_output")
    for axis in (0, 1, None):
        y = getattr(fr, name)(x, axis, scale=0.3)
        wanted = backward(grad, y, axis) * np.dtype(dtype).type(0.3)
        assert_same_bits(backward(grad, y, axis, scale=0.3), wanted)
        assert_same_bits(backward(grad, y, axis, scale=1), backward(grad, y, axis))
        assert_same_bits(getattr(fr, f"{name}_backward_parameters")(grad, x, axis, scale=0.3)[0], wanted)
        out = grad.copy()
        assert backward(out, y, axis, scale=0.3, out=out) is out
        assert_same_bits(out, wanted)
    half, shares = grad.astype("f2"), y.astype("f2")
    wanted = backward(half.astype("f4"), shares.astype("f4"), scale=0.3).astype("f2")
    assert_same_bits(backward(half, shares, scale=0.3), wanted)
    with pytest.raises(ValueError, match=f"{name}_backward_from_output: scale must be finite, not inf"):
        backward(grad, y, scale=np.inf)


@each_function
def test_types_of_gradients(name: str) -> None:
    """Arrays decide the type, numbers do not; 16 bits are rounded once; a number has a number as its gradient."""
    function = getattr(fr, f"{name}_backward_parameters")
    rng = np.random.default_rng(13)
    grad, x = rng.normal(size=(2, 3, 6)).astype("f2")
    halves = function(grad, x, scale=0.5, bias=x[0], sink=0.0, softcap=1.0)
    floats = function(grad.astype("f4"), x.astype("f4"), scale=0.5, bias=x[0].astype("f4"), sink=0.0, softcap=1.0)
    for half, single in zip(halves, floats, strict=True):
        assert half.dtype == np.float16
        assert_same_bits(half, single.astype("f2"))
    assert [type(value) for value in floats] == [np.ndarray, np.float32, np.ndarray, np.float32]
    assert function(grad, x.astype("f4"), sink=np.zeros(3))[3].dtype == np.float64
    assert function([[1.0, 2.0]], [[1.0, 0.5]], bias=[0.5, 0])[2].shape == (2,)
    dx, dscale, dbias, dsink = function(np.ones((2, 0)), np.ones((2, 0)), bias=1.0, sink=[1.0, 2.0])
    assert dx.shape == (2, 0)
    assert (dscale, dbias, dsink.tolist()) == (0, 0, [0, 0])
    dx, dscale, dbias, _ = function(np.array([1.0, 2]), np.array([-np.inf, 1]), scale=2.0, bias=[0, 1.0])
    assert np.isfinite([*dx, dscale, *dbias]).all(), "an element without a share"


@each_function
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"grad": np.ones(3)}, ValueError, r"grad must have the shape of x, \(2, 3\), not \(3,\)"),
        ({"scale": np.inf}, ValueError, "scale must be finite, not inf"),
        ({"scale": 1e39}, ValueError, "scale must be finite, not 1e.39, which is inf in float32"),
        ({"softcap": 0}, ValueError, "softcap must be finite and greater than 0, or None, not 0"),
        ({"bias": np.ones((1, 2, 3), "f4")}, ValueError, r"bias of shape \(1, 2, 3\) does not broadcast"),
        ({"bias": np.ones(3, bool)}, TypeError, "a mask is where="),
        ({"sink": np.ones(3, "f4")}, ValueError, r"sink of shape \(3,\) does not broadcast .* axis, \(2,\)"),
        ({"where": np.ones(2, bool)}, ValueError, r"where of shape \(2,\) does not broadcast"),
        ({"where": [1, 0, 1]}, TypeError, "where must be of type bool"),
        ({"x": np.ma.masked_array(np.ones((2, 3)))}, TypeError, r"where=~x\.mask"),
        ({"axis": 2}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        ({"out": np.ones((3, 2), "f4")}, ValueError, r"out= of shape \(2, 3\), got \(3, 2\)"),
    ],
)
def test_errors_of_gradients(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Each wrong argument is refused with its reason and the name of the function."""
    x = np.array([[1, 2, 3], [4, 5, 6]], "f4")
    for more in ({}, {"sink": 0.0}):
        with pytest.raises(error, match=message) as raised:
            getattr(fr, f"{name}_backward_parameters")(**{"grad": x, "x": x} | more | options)
        assert error is np.exceptions.AxisError or f"{name}_backward_parameters" in str(raised.value)


# --- Layers -------------------------------------------------------------------------------------------------------------

LAYERS = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax}


@each_function
@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize(
    "options", [{"scale": 0.5}, {"softcap": 2.0}, {"sink": 0.0}, {"scale": 0.3, "softcap": 1.0, "sink": "learned"}]
)
def test_layers(name: str, dim: int, options: dict[str, Any]) -> None:
    """A layer gives what its function gives, forward and backward, alone and in a network, with and without a bias."""
    rng = np.random.default_rng(14)
    x, grad, bias = rng.normal(size=(3, 5, 5)).astype("f4")
    learned = options.get("sink") == "learned"
    given = options | ({"sink": rng.normal(size=5).astype("f4")} if learned else {})
    for second in (None, bias, nn.Parameter(bias)):
        layer = LAYERS[name](dim, **given)
        inputs = (x,) if second is None else (x, second)
        added = None if second is None else bias
        dx, _, dbias, dsink = getattr(fr, f"{name}_backward_parameters")(grad, x, dim, bias=added, **given)
        for count in (1, 2):
            assert_same_bits(layer(*inputs), getattr(fr, name)(x, dim, bias=added, **given))
            found = layer.backward(grad)
            for got, wanted in zip(found if second is not None else (found,), (dx, dbias), strict=False):
                assert_same_bits(got, wanted)
            if learned:
                assert_same_bits(layer.sink.grad, count * dsink)
        assert [*layer.state_dict()] == ["sink"] * learned
        assert type(layer).__name__ in repr(layer)
        layer.eval()
        assert_same_bits(layer(*inputs), getattr(fr, name)(x, dim, bias=added, **given))
    model = nn.Sequential(nn.Linear(5, 5, rng=0), LAYERS[name](dim, **given), nn.Linear(5, 2, rng=1))
    y = model(x)
    model.backward(np.ones_like(y))
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert len([*model.parameters()]) == 4 + learned


class Attention(nn.Module):
    """Scores with a learned bias."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(np.array([0.5, 0.0, -1.0], "f4"))
        self.softmax = nn.Softmax(scale=2.0, sink=np.zeros(1, np.float32))

    def forward(self, x: Array) -> Any:
        """Return the probabilities."""
        return self.softmax(x, self.bias)


def test_a_network_learns_bias_and_sink() -> None:
    """The record of a network has the gradients of the bias and the sink."""
    model, x, grad = Attention(), np.array([[1, 2, 0], [0, 1, 1]], "f4"), np.array([[1, 0, 0], [0, 0, 1]], "f4")
    model(x)
    dx = model.backward(grad, input_grad=True)
    wanted = fr.softmax_backward_parameters(grad, x, scale=2.0, bias=model.bias.data, sink=model.softmax.sink.data)
    for got, expected in zip((dx, model.bias.grad, model.softmax.sink.grad), wanted[:1] + wanted[2:], strict=True):
        assert_same_bits(got, expected)


def test_errors_of_layers() -> None:
    """Wrong options are refused when the layer is made."""
    with pytest.raises(ValueError, match="scale must be a number, got nan"):
        nn.Softmax(scale=np.nan)
    with pytest.raises(ValueError, match="log_softmax: softcap must be finite and greater than 0, or None, not 0"):
        nn.LogSoftmax(softcap=0)
    with pytest.raises(ValueError, match=r"sink of shape \(3,\) does not broadcast"):
        nn.Softmax(sink=np.zeros(3, "f4"))(np.ones((2, 2), "f4"))


# --- What a call would do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "hardmax", "sparsemax"])
def test_explained(name: str) -> None:
    """Each form of a function that normalizes rows is explained, with its checks, and writes nothing."""
    x = np.ones((20, 30), np.float32)
    forms: list[tuple[str, tuple[Any, ...]]] = [("", (x,)), ("_", (x,)), ("_backward_from_output", (x, x))]
    for form, data in forms:
        function = getattr(fr, name + form)
        found = fr.explain(function, *data)
        assert (found.function, found.kernel) == (name + form, name + form.removesuffix("_"))
        assert (found.dtype, found.door, found.output) == ("float32", "fast path", "given" if form == "_" else "new")
        alone = found.function == "hardmax_backward_from_output"  # each element for itself
        assert fr.explain(function, *data, axis=0).door == ("fast path" if alone else "N-d driver")
        halves = fr.explain(function, *(a.astype("f2") for a in data))
        assert (halves.dtype, halves.stores) == ("float32", "float32 to float16")
        with pytest.raises(np.exceptions.AxisError):
            fr.explain(function, *data, axis=2)
    assert fr.explain(getattr(fr, name), x, where=x > 0).why_not_fast == "where= is given"
    assert fr.explain(getattr(fr, name), x, out=np.empty_like(x)).output == "given"
    assert (x == 1).all()


@each_function
def test_explained_options(name: str) -> None:
    """The loader is named, and its errors are those of the call."""
    x = np.ones((20, 30), np.float32)
    found = fr.explain(getattr(fr, name), x, scale=2.0, softcap=3.0, bias=x, sink=0.0)
    assert found.loads == "x * scale, softcap, + bias, a sink"
    assert (found.door, found.why_not_fast) == ("N-d driver", "elements are changed as they are loaded")
    assert fr.explain(getattr(fr, f"{name}_"), x, scale=2.0).loads == "x * scale"
    assert fr.explain(getattr(fr, name), x, scale=1).door == "fast path"
    assert fr.explain(getattr(fr, name), x, bias=np.ones(30)).dtype == "float64"
    with pytest.raises(ValueError, match=f"{name}: scale must be finite"):
        fr.explain(getattr(fr, name), x, scale=np.inf)
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    assert fr.explain(getattr(fr, name), dask.from_array(x), scale=2.0).door == "ufunc"
    with pytest.raises(TypeError, match="sink= with arrays of NumPy alone"):
        fr.explain(getattr(fr, name), dask.from_array(x), sink=0.0)


@pytest.mark.parametrize("other", ["u1", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_gradients_have_the_type_of_both_arrays(kind: str, other: str) -> None:
    """An integer array beside a 16-bit one does not widen the result."""
    grad, x = np.zeros((1, 3), kind), np.ones((1, 3), other)
    for a, b in ((grad, x), (x, grad)):
        wanted = fr.softmax_backward_from_output(a, b).dtype
        assert fr.softmax_backward_parameters(a, b)[0].dtype == wanted
        assert fr.log_softmax_backward_parameters(a, b)[0].dtype == wanted
