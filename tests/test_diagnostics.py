"""Statistics of activations: exact counts, moments to the last digits, any layout, any number of threads, batches."""

from __future__ import annotations

import copy
import itertools
import pickle
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from grid import DTYPES, LAYOUTS
from inputs import values

import fastrelu as fr
from fastrelu import _runtime, diagnostics, masks, nn, runtime
from fastrelu._catalogue import elementwise_names, network_names, required_arguments

if TYPE_CHECKING:
    from specs import Array

LIMITS = (-1.0, 1.0)
FIELDS = ("count", "nonfinite", "zeros", "saturated", "mean", "variance", "minimum", "maximum")
SHAPES = [
    (1,),
    (7,),
    (5000,),
    (200_000,),
    (3, 5),
    (300, 7),
    (1000, 33),
    (64, 300),
    (5, 2000),
    (300, 1),
    (1, 300),
    (2, 100),
    (90, 3, 2),
    (2, 64),  # as many elements as are summed without the kernels, and one more
    (2, 65),
    (3, 76_545),  # the last of the panels is one column wide
    (4, 3, 17, 19),
    (2, 3, 40, 50),
]
UNITS = [
    (shape, axes)
    for shape in SHAPES
    for k in range(len(shape) + 1)
    for axes in itertools.combinations(range(len(shape)), k)
]


def numbers(shape: tuple[int, ...], dtype: Any, *, special: bool) -> Array:
    """Return numbers with a mean unlike 0, a third of them zeros, with or without NaN and infinities."""
    rng = np.random.default_rng(len(shape))
    x = (rng.standard_normal(shape) + 0.5).astype(dtype)
    x[rng.random(shape) < 0.3] = 0
    if special:
        x[rng.random(shape) < 0.05] = np.nan
        x[rng.random(shape) < 0.05] = -np.inf
    return x


def assert_right(found: diagnostics.Summary, x: Array, axes: tuple[int, ...]) -> None:
    """Compare with NumPy in long double: counts and extremes exactly, moments to the rounding of double."""
    along = tuple(axis for axis in range(x.ndim) if axis not in axes)
    finite = np.isfinite(x)
    wide = np.where(finite, x, 0).astype(np.longdouble)
    n = finite.sum(along)
    np.testing.assert_array_equal(found.count, np.ones(x.shape, int).sum(along))
    np.testing.assert_array_equal(found.nonfinite, (~finite).sum(along))
    np.testing.assert_array_equal(found.zeros, (x == 0).sum(along))
    np.testing.assert_array_equal(found.saturated, (finite & ((x <= -1) | (x >= 1))).sum(along))
    empty = n == 0
    least, most = np.where(finite, x, np.inf).min(along), np.where(finite, x, -np.inf).max(along)
    np.testing.assert_array_equal(found.minimum, np.where(empty, np.nan, least))
    np.testing.assert_array_equal(found.maximum, np.where(empty, np.nan, most))
    some = np.maximum(n, 1)
    mean = wide.sum(along, keepdims=True) / some.reshape([1 if a in along else x.shape[a] for a in range(x.ndim)])
    variance = (np.where(finite, wide - mean, 0) ** 2).sum(along) / some
    rounding = 4 * np.finfo(np.float64).eps
    spread = np.sqrt(variance)
    error = np.abs(found.mean - mean.reshape(np.shape(n))) / np.maximum(
        spread, np.abs(mean.reshape(np.shape(n))) + 1e-300
    )
    assert (np.where(empty, 0, error) <= rounding).all()
    error = np.abs(found.variance - variance) / np.maximum(variance, 1e-30)
    assert (np.where(empty, 0, error) <= 4 * rounding).all()


@pytest.mark.parametrize("special", [False, True], ids=["finite", "special"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes"), UNITS, ids=str)
def test_every_shape_and_axis(
    shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any], special: bool
) -> None:
    """Every unit agrees with NumPy, for every shape and axis."""
    x = numbers(shape, dtype, special=special)
    assert_right(diagnostics.summarize(x, axes or None, saturation=LIMITS), x, axes)


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 2)], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout(layout: str, dtype: np.dtype[Any], axes: tuple[int, ...]) -> None:
    """Where the elements lie changes nothing but the order of the additions."""
    x = numbers((6, 70, 35), dtype, special=True)
    assert_right(diagnostics.summarize(LAYOUTS[layout](x), axes or None, saturation=LIMITS), x, axes)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((700, 900), None), ((700, 900), 0), ((700, 900), 1), ((200_000, 3), 0), ((3, 200_000), 1), ((400, 500), (0, 1))],
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _runtime.isa_available)
def test_same_bits(
    dtype: np.dtype[Any], shape: tuple[int, ...], axis: Any, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread or several, whatever the instructions: the same bits."""
    x = numbers(shape, dtype, special=True)
    with fr.threads(1):
        wanted = diagnostics.summarize(x, axis, saturation=LIMITS)
    monkeypatch.setattr(runtime, "isa", isa)
    found = diagnostics.summarize(x, axis, saturation=LIMITS)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(found, field), getattr(wanted, field), err_msg=field)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_mean_keeps_the_digits(dtype: np.dtype[Any]) -> None:
    """A spread of 1 about a mean of 2**20 is found, also where the first tile lies elsewhere."""
    x = (np.random.default_rng(0).standard_normal(100_000) + 2.0**20).astype(dtype)
    x[:5000] = 0
    wide = x.astype(np.longdouble)
    found = diagnostics.summarize(x[5000:])
    assert abs(found.variance / wide[5000:].var() - 1) < 1e-14
    assert abs(diagnostics.summarize(x).variance / wide.var() - 1) < 1e-14


@pytest.mark.parametrize("axis", [None, 1, (1, 2)])
def test_batches_are_merged(axis: Any) -> None:
    """Batches of any size make the whole; so do accumulators."""
    x = numbers((1000, 20, 3), np.float32, special=True)
    axes = () if axis is None else np.atleast_1d(axis)
    running, other = (diagnostics.Running(axis, saturation=LIMITS) for _ in range(2))
    for batch in np.split(x[:600], [1, 1, 7, 500]):
        running.update(batch)
    other.update(x[600:])
    running.merge(other)
    assert_right(running.result(), x, tuple(axes))
    running.reset()
    with pytest.raises(RuntimeError, match="nothing seen yet"):
        running.result()


@pytest.mark.parametrize("dtype", ["float16", "bool", "int8", "uint16", "int64", ">f4"])
def test_other_types_are_converted(dtype: np.dtype[Any]) -> None:
    """Types that the kernels do not read."""
    x = np.array([[0, 1, 2], [0, 3, 1]]).astype(dtype)
    found = diagnostics.summarize(x, 1)
    np.testing.assert_array_equal(found.zeros, [2, 0, 0])
    np.testing.assert_array_equal(found.mean, x.astype(float).mean(0))


def test_nothing_and_nothing_finite() -> None:
    """Empty arrays and units without a finite element have no mean, and are not dead."""
    for x in (np.empty((0, 3)), np.full((2, 3), np.nan)):
        found = diagnostics.summarize(x, 1, saturation=LIMITS)
        np.testing.assert_array_equal(found.finite, [0, 0, 0])
        for field in ("mean", "variance", "minimum", "maximum", "sparsity", "saturation", "std"):
            assert np.isnan(getattr(found, field)).all()
        assert not found.dead.any()
        assert not found.stuck.any()
    assert np.isnan(diagnostics.summarize([]).sparsity)


def test_special_values() -> None:
    """Zeros of both signs, subnormals, the largest: each counted as what it is."""
    x = values(4000, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # the moments of huge values are infinite
        found = diagnostics.summarize(x)
    assert found.zeros == np.count_nonzero(x == 0)
    assert found.nonfinite == np.count_nonzero(~np.isfinite(x))
    assert (found.minimum, found.maximum) == (x[np.isfinite(x)].min(), x[np.isfinite(x)].max())


HUGE = [
    [1e308],
    [-1e308],
    [1e308, 1e308],
    [-1e308] * 3,
    [1e308, -1e308],
    [1e308, 1e308, np.nan, np.inf],
    [1e308, 1.7e308, 1.0],
    [1e200] * 4,
    [1e200, 2e200],
    [1e154, -1e154, 3e154],
    [0.0, 1e155],
]


@pytest.mark.parametrize("units", [None, 2, 100])
@pytest.mark.parametrize("times", [1, 50])
@pytest.mark.parametrize("x", HUGE, ids=str)
def test_sums_that_overflow(x: list[float], times: int, units: int | None) -> None:
    """Mean and variance are those of NumPy, infinite where its sums are; so they are of batches and of units together."""
    whole = np.array(x * times) if times > 1 and max(x) != 1e308 else np.repeat(x, times)
    finite = whole[np.isfinite(whole)]
    with np.errstate(all="ignore"):
        # The order of the sums decides where both infinities may be met.
        mean, variance = (np.add.accumulate(finite)[-1] / len(finite), np.var(finite))
        variance = np.inf if np.isinf(mean) else variance if np.ptp(finite) else 0.0  # not the square of a rounding
    for layout in (np.ascontiguousarray, np.asfortranarray):
        a = whole if units is None else layout(np.tile(whole, (units, 1)))
        found = diagnostics.summarize(a, None if units is None else 0)
        for got, wanted in ((found.mean, mean), (found.variance, variance)):
            np.testing.assert_allclose(got, np.full_like(got, wanted), rtol=1e-12, atol=0)
        with np.errstate(all="raise"):  # nothing is computed by NumPy
            running = diagnostics.Running(None if units is None else 0)
            running.update(a)
            assert repr(running.result()) == repr(found)


def test_batches_whose_sums_overflow() -> None:
    """Infinite means stay infinite when batches are merged; opposite ones have no mean, and nothing has the variance 0."""
    for batches, mean, variance in (
        ([[1e308] * 10, [1.0]], np.inf, np.inf),
        ([[1.0], [1e308] * 10], np.inf, np.inf),
        ([[-1e308] * 10, [1e308]], -np.inf, np.inf),
        ([[1e308] * 10, [-1e308] * 10], np.nan, np.nan),
        ([[1e308], [-1e308]], 0.0, np.inf),
        ([[1e308], [1e308]], 1e308, 0.0),
        ([[np.nan], [1e308] * 10, [np.inf]], np.inf, np.inf),
    ):
        running, units = diagnostics.Running(), diagnostics.Running(0)
        with np.errstate(all="raise"):
            for batch in batches:
                running.update(batch)
                units.update(np.tile(batch, (2, 1)))
            found, each = running.result(), units.result()
        np.testing.assert_array_equal([found.mean, found.variance], [mean, variance])
        np.testing.assert_array_equal([each.mean, each.variance], [[mean] * 2, [variance] * 2])
    model = nn.Sequential(nn.Identity())
    with diagnostics.Monitor(model) as monitor:
        model(np.full((10, 3), 1e308))
    for report in monitor.layers():
        assert report.overall.mean == report.overall.std == np.inf
        np.testing.assert_array_equal(report.summary.variance, np.inf)
    assert "inf" in str(monitor)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: diagnostics.summarize(np.ones(3, complex)), TypeError, "got an array of complex128"),
        (lambda: diagnostics.summarize(np.ma.ones(3)), TypeError, "a.filled"),
        (lambda: diagnostics.summarize([1.0], saturation=(1, 0)), ValueError, "low < high"),
        (lambda: diagnostics.summarize([1.0], saturation=3), TypeError, "pair of numbers"),
        (lambda: diagnostics.summarize([1.0], 1), np.exceptions.AxisError, "out of bounds"),
        (lambda: diagnostics.saturation_limits("tanhh"), ValueError, "did you mean tanh"),
        (lambda: diagnostics.saturation_limits("tanh", 0.5), ValueError, "tolerance must be in"),
        (lambda: diagnostics.summarize(1.0, 0), np.exceptions.AxisError, "axis 0 is out of bounds .* dimension 0"),
        (lambda: diagnostics.summarize([1.0], 0.5), TypeError, "axis must be an integer, a tuple .*, got 0.5"),
        (lambda: diagnostics.Running("0"), TypeError, "axis must be an integer, a tuple .*, got '0'"),
        (lambda: diagnostics.Running(saturation="12"), TypeError, "a pair of numbers .*, got '12'"),
        (lambda: diagnostics.Running(saturation=(np.ma.masked, 1)), TypeError, "a pair of numbers"),
        (lambda: diagnostics.Running().merge(np.float32(1)), TypeError, "merge takes a Running, got 'float32'"),
        (lambda: diagnostics.saturation_limits(1.5), TypeError, "name of an activation is a string, got 1.5"),
        (lambda: diagnostics.saturation_limits("tanh", [0.1]), TypeError, r"tolerance must be a number, got \[0.1\]"),
        (lambda: diagnostics.saturation_limits("tanh", max_val=1), TypeError, "tanh has no parameter 'max_val'"),
        (lambda: diagnostics.saturation_limits("elu", where=1), TypeError, "elu has no parameter 'where'"),
        (
            lambda: diagnostics.saturation_limits("hard_tanh", max_val="1"),
            TypeError,
            "max_val must be a number, got '1'",
        ),
        (lambda: diagnostics.saturation_limits("hard_tanh", max_val=-2), ValueError, "wrong order: -1.0 and -2.0"),
        (
            lambda: diagnostics.saturation_limits("softcap"),
            TypeError,
            "the bounds of softcap depend on 'cap': pass cap=",
        ),
        (lambda: diagnostics.saturation_limits("softcap", cap=-1), ValueError, "wrong order: 1.0 and -1.0"),
        (lambda: diagnostics.saturation_limits("softcap", cap=None), TypeError, "cap must be a number, got None"),
        (lambda: diagnostics.plot(0.5), TypeError, "name of an activation is a string, got 0.5"),
        (lambda: diagnostics.plot(span=np.empty(0)), TypeError, "span must be a number, got array"),
        (lambda: diagnostics.plot(span=np.float32("nan")), ValueError, "span must be a positive number, got "),
        (lambda: diagnostics.Monitor(nn.ReLU(), axis=0.0), TypeError, "axis must be an integer, got 0.0"),
        (lambda: diagnostics.Monitor(nn.ReLU(), tolerance=0.7), ValueError, "tolerance must be in .*, got 0.7"),
        (lambda: diagnostics.Monitor(1.0), TypeError, "fastrelu.nn.Module, got 'float'"),
        (lambda: diagnostics.Monitor(np.ones(3)), TypeError, "Monitor watches a fastrelu.nn.Module"),
    ],
)
def test_errors_say_what_to_do(call: Any, error: type[Exception], message: str) -> None:
    """A bad argument is named."""
    with pytest.raises(error, match=message):
        call()


# Further parameters, by function: each of those that bounds may depend on, on either side of 0.
OTHERS: dict[str, list[dict[str, Any]]] = {
    "softcap": [{"cap": 30.0}, {"cap": 0.5}],
    "hard_tanh": [{"min_val": -3.0, "max_val": 0.5}, {"min_val": 1.0, "max_val": 4.0}, {"max_val": np.inf}],
    "bounded_relu": [
        {"max_value": 2.0},
        {"max_value": None},
        {"max_value": np.inf},
        {"negative_slope": 0.1, "max_value": 3.0, "threshold": 1.0},
        {"negative_slope": -0.1, "max_value": 3.0},
    ],
    "srelu": [
        {"t_left": -1.0, "a_left": a_left, "t_right": 2.0, "a_right": a_right}
        for a_left in (0.0, 0.5, -0.5)
        for a_right in (0.0, 0.5, 1.0)
    ],
    "logit": [{"eps": 0.1}, {"eps": 1e-6}, {"eps": None}, {"eps": 0.0}],
    "hard_sigmoid": [{"slope": 1.0, "offset": 3.0}],
    "leaky_relu": [{"negative_slope": -0.1}, {"negative_slope": 0.0}],
    "elu": [{"alpha": 3.0}],
    "softplus": [{"beta": 4.0}],
    "threshold": [{"threshold": 1.0, "value": 5.0}],
}


@pytest.mark.parametrize("name", sorted(elementwise_names()))
def test_bounded_functions_have_limits(name: str) -> None:
    """Whatever the parameters: a function has limits if large inputs stay below a bound, and they are where it is flat."""
    function, backward = getattr(fr, name), getattr(fr, f"{name}_backward", fr.leaky_relu_backward)  # of rrelu
    far = np.concatenate([sign * np.logspace(3, 100, 50) for sign in (1, -1)])
    x = np.concatenate([far, np.linspace(-120, 120, 4801), np.linspace(0, 1, 1001)])
    for parameters in [
        required_arguments(name),
        *({**required_arguments(name), **other} for other in OTHERS.get(name, [])),
    ]:
        with np.errstate(all="ignore"):
            y, y_far = function(x, **parameters), function(far, **parameters)
        # log1mexp has a domain; logit without eps as well, and is infinite at its end.
        known = y[~np.isnan(y)]
        is_bounded = known.max() < 1e50 and not np.isnan(y_far).all()
        limits = diagnostics.saturation_limits(name, 0, **parameters)
        assert (limits is not None) == is_bounded, parameters
        if limits is None:
            continue
        low, high = limits
        np.testing.assert_allclose(known.max(), high, rtol=1e-6, atol=1e-6)
        if np.isfinite(low):
            np.testing.assert_allclose(known.min(), low, rtol=1e-6, atol=1e-6)
        near = diagnostics.saturation_limits(name, **parameters)
        assert near is not None
        assert low <= near[0] < near[1] <= high
        summary = diagnostics.summarize(y, saturation=near)
        assert 0 < summary.saturated < summary.finite
        slopes = np.abs(backward(np.ones_like(far), far, **parameters))
        assert (slopes[(y_far <= near[0]) | (y_far >= near[1])] < 1e-3).all(), parameters


@pytest.mark.parametrize("name", sorted(network_names()))
def test_a_monitor_knows_the_same_limits(name: str) -> None:
    """A layer's limits are those of its function with the layer's parameters, unless it learns them."""
    kinds = [kind for kind in (getattr(nn, key) for key in dir(nn)) if getattr(kind, "_name", "") == name]
    assert kinds
    for kind in kinds:
        options = {key: value for key, value in required_arguments(name).items() if key in signature(kind).parameters}
        for others in [options, *({**options, **other} for other in OTHERS.get(name, []))]:
            if not set(others) <= set(signature(kind).parameters):
                continue
            model = nn.Sequential(kind(**others)).eval()
            with diagnostics.Monitor(model) as monitor:
                y = model(np.linspace(0.25, 100, 1000)[:, None])
            limits = None if name == "srelu" else diagnostics.saturation_limits(name, **others)
            assert monitor.layers()[1].overall.saturated == diagnostics.summarize(y, saturation=limits).saturated
            assert str(monitor).splitlines()[2].count("%") == 1 + (limits is not None)


NUMBERS = [1.5, 0, True, np.float32(2), np.int8(0), np.array(3.0), np.array(np.nan), np.array(3, ">f8"), np.float16(1)]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_an_array_of_one(value: Any) -> None:
    """Python numbers, NumPy scalars and arrays without axes, in every function that takes arrays."""
    wanted = diagnostics.summarize(np.asarray(value).reshape(1), saturation=LIMITS)
    running = diagnostics.Running(saturation=LIMITS)
    running.update(value)
    whole = diagnostics.Running(saturation=LIMITS)
    whole.merge(running)
    for found in (
        diagnostics.summarize(value, saturation=LIMITS),
        diagnostics.summarize(value, (), saturation=LIMITS),
        whole.result(),
    ):
        assert repr(found) == repr(wanted)
        for field in (*FIELDS, "sparsity", "saturation", "std", "dead", "stuck", "units"):
            assert np.ndim(getattr(found, field)) == 0
    model = nn.Sequential(nn.ReLU(), nn.Tanh()).eval()
    with diagnostics.Monitor(model) as monitor:
        model(value)
        model(value)
    for layer in monitor.layers():
        assert layer.summary.count.tolist() == [2]
        assert layer.overall.count == 2
    assert monitor.layers()[0].overall.minimum == value or np.isnan(value)
    assert str(monitor).startswith("layer")
    with (
        diagnostics.Monitor(model, axis=1),
        pytest.raises(np.exceptions.AxisError, match=r"Monitor, input: axis 1 is out"),
    ):
        model(value)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
def test_a_monitor_of_nothing(shape: tuple[int, ...]) -> None:
    """Batches without elements have units and no numbers; there is no advice about them."""
    model = nn.Sequential(nn.ReLU(), nn.Sigmoid()).eval()
    with diagnostics.Monitor(model) as monitor:
        model(np.empty(shape, np.float32))
    assert [layer.summary.units for layer in monitor.layers()] == [shape[-1]] * 3
    assert not monitor.advice()
    assert "nan" in str(monitor)


def test_a_monitor_does_not_watch_copies() -> None:
    """A copy of a watched model, which has its hooks, adds nothing to the statistics."""
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    with diagnostics.Monitor(model) as monitor:
        model(np.ones((2, 3)))
        copy.deepcopy(model)(np.full((5, 3), np.nan))
    assert [(layer.overall.count, layer.overall.nonfinite) for layer in monitor.layers()] == [(6, 0)] * 3


def test_a_monitor_refuses_masks_and_takes_keywords() -> None:
    """A masked array is refused; of an input that is passed by keyword only the output is watched."""
    layer = nn.ReLU().eval()
    with diagnostics.Monitor(layer) as monitor:
        with pytest.raises(TypeError, match="a masked array has no statistics here"):
            layer(np.ma.masked_array([1.0, 2.0], mask=[True, False]))
        monitor.reset()
        layer(x=np.ones(3))
    assert [report.name for report in monitor.layers()] == [""]


def test_plots_of_any_number() -> None:
    """The span is any real number."""
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    for span in (np.float32(2), np.array(3), 1, np.longdouble(2)):
        assert diagnostics.plot("relu", span=span).axes[0].lines[2].get_xdata()[-1] == float(span)


def test_other_units_are_refused() -> None:
    """Batches that do not belong together."""
    running = diagnostics.Running(1)
    running.update(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"same units along axis 1: \(3,\) before, \(4,\) now"):
        running.update(np.ones((2, 4)))
    with pytest.raises(ValueError, match="axis and saturation are the same"):
        running.merge(diagnostics.Running(0))


def test_monitor_reports_and_advises() -> None:
    """Dead and saturated units and an input that is not standardized are found, with what to do."""
    model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.ReLU(), nn.Linear(8, 2, rng=1), nn.Hardtanh(-0.1, 0.1))
    model[0].bias.data[:4] = -100.0
    x = np.random.default_rng(0).standard_normal((90, 4), np.float32) + np.float32(5)
    with diagnostics.Monitor(model) as monitor:
        for batch in np.split(x, 3):
            y = model(batch)
    model(x)  # no longer watched
    reports = {layer.name: layer for layer in monitor.layers()}
    assert list(reports) == ["input", "0", "1", "2", "3"]
    assert reports["1"].summary.count.tolist() == [90] * 8
    assert reports["1"].summary.dead.sum() >= 4
    assert reports["1"].overall.count == 720
    assert y.shape == (30, 2)
    text = str(monitor)
    assert "standardize the input" in text
    assert "1 ReLU: " in text
    assert "units are dead" in text
    assert "near a bound" in text
    monitor.reset()
    with pytest.raises(RuntimeError, match="nothing seen yet"):
        monitor.layers()


def test_pickles_name_the_package() -> None:
    """Whatever module a class stands in, pickles, on disk and from another process, find it by its public name."""
    assert {getattr(diagnostics, name).__module__ for name in diagnostics.__all__} == {"fastrelu.diagnostics"}
    running = diagnostics.Running(1, saturation=LIMITS)
    running.update([[1.0, 2.0], [0.0, 0.5]])
    copy = pickle.loads(pickle.dumps(running))
    assert repr(copy.result()) == repr(pickle.loads(pickle.dumps(running.result()))) == repr(running.result())


# --- Masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "axes"), [(s, a) for s, a in UNITS if np.prod(s) <= 20_000], ids=str)
def test_dead_from_mask(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """The units are those that are zero in all batches."""
    rng = np.random.default_rng(0)
    alive = rng.random(shape) < 2 / np.prod(shape) * np.prod([shape[axis] for axis in axes])
    batches = [np.where(alive & (rng.random(shape) < 0.5), 1.0, -1.0) for _ in range(2)]
    found = diagnostics.dead_from_mask(
        *(masks.relu_with_mask(batch)[1] for batch in batches), shape=shape, axis=axes or None
    )
    wanted = [np.asarray(diagnostics.summarize(fr.relu(batch), axes or None).dead) for batch in batches]
    assert np.array_equal(found, wanted[0] & wanted[1])
    assert isinstance(found, np.ndarray if axes else bool)


def test_errors_of_dead_from_mask() -> None:
    """Each error names what does not fit; a shape may be one number."""
    mask = np.zeros(2, np.uint8)
    assert diagnostics.dead_from_mask(mask, shape=16).tolist() == [True] * 16
    with pytest.raises(ValueError, match=r"dead_from_mask takes the shape of the data, got \(-2, -8\)"):
        diagnostics.dead_from_mask(mask, shape=(-2, -8))
    with pytest.raises(ValueError, match="dead_from_mask takes at least one mask"):
        diagnostics.dead_from_mask(shape=(2, 3))
    with pytest.raises(ValueError, match=r"dead_from_mask: the mask of 6 elements has the shape \(1,\), got \(2,\)"):
        diagnostics.dead_from_mask(mask, shape=(2, 3))
    with pytest.raises(TypeError, match="takes a mask of uint8, eight elements to a byte, got bool"):
        diagnostics.dead_from_mask(mask > 0, shape=(2, 8))
    with pytest.raises(np.exceptions.AxisError):
        diagnostics.dead_from_mask(mask, shape=(2, 8), axis=2)
