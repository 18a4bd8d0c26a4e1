"""hardmax, sparsemax and gumbel_softmax: values, ties, infinities, gradients, random numbers, errors.

Axes, layouts, types, masks, outputs and threads are tested with softmax (tests/test_softmax.py).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import DTYPE_NAMES, ISAS, LAYOUTS, PRECISIONS

import fastrelu as fr
from fastrelu import _row_kernels, _rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

INF, NAN = np.inf, np.nan
each_dtype = pytest.mark.parametrize("dtype", DTYPE_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_isa = pytest.mark.parametrize("isa", ISAS)
KERNELS = {isa: _row_kernels.RowKernels(isa) for isa in ISAS}
HARDMAX, SPARSEMAX = map(_row_kernels.names.index, ("hardmax", "sparsemax"))
# Fewer than a lane, a whole number of lanes, and more candidates for the support than are kept.
LENGTHS = [1, 2, 3, 15, 16, 17, 31, 100, 257, 1000, 5000]


def exact_sparsemax(row: Array) -> list[Fraction]:
    """Return the result in rational numbers, from the sorted row."""
    x = [Fraction(float(v)) for v in row]
    total, level = Fraction(-1), Fraction(0)
    for k, v in enumerate(sorted(x, reverse=True), 1):
        total += v
        if v * k <= total:
            break
        level = total / k
    return [max(v - level, Fraction(0)) for v in x]


@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize("n", LENGTHS)
def test_sparsemax(n: int, dtype: str, precision: fr.runtime.Precision, isa: str) -> None:
    """Rounded once, with the exact support: rows of any spread, ties at the level, all equal, far from 0."""
    rng = np.random.default_rng(n)
    scales = (0, 1e-30, 1e-6, 0.01, 0.1, 1, 30, 1e20) if n < 200 else (0, 0.01, 1)
    x = np.array([rng.standard_normal(n) * scale + shift for scale in scales for shift in (0, -40, 1e3)]).astype(dtype)
    x[1::3] = np.round(x[1::3] * 8) / 8
    x[2::4] = -np.inf
    x[2::4, -1] = 3
    with fr.precision(precision):
        got = _rows.forward(KERNELS[isa], SPARSEMAX, x, -1, None, True)
    unit = float(np.finfo(dtype).eps)
    for row, found in zip(np.where(np.isinf(x), -(2.0**70), x), got, strict=True):
        for mine, exact in zip(found.tolist(), exact_sparsemax(row), strict=True):
            assert (mine > 0) == (exact > 0)
            assert abs(Fraction(mine) - exact) <= Fraction(0.51 * unit) * exact


@each_dtype
@pytest.mark.parametrize("n", LENGTHS)
def test_hardmax(n: int, dtype: str) -> None:
    """One 1 in each row, at the first of the largest elements."""
    x = np.round(np.random.default_rng(n).standard_normal((40, n)) * 2).astype(dtype)
    x[::7] = -np.inf
    wanted = (np.arange(n) == x.argmax(-1)[:, None]).astype(dtype)
    assert_same_bits(fr.hardmax(x), wanted)
    assert_same_bits(fr.hardmax(np.asfortranarray(x).T, 0), wanted.T)


@each_dtype
@pytest.mark.parametrize("repeat", [1, 20, 400])
def test_infinities(dtype: str, repeat: int) -> None:
    """NaN spoils its row alone; +inf wins."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    rows: list[tuple[list[float], list[float], list[float]]] = [
        ([INF, 1.0, 2.0], [1, 0, 0], [1, 0, 0]),
        ([0.0, INF, INF], [0, 1, 0], [NAN] * 3),
        ([-INF] * 3, [1, 0, 0], [NAN] * 3),
        ([-INF, 5.0, -INF], [0, 1, 0], [0, 1, 0]),
        ([0.0, NAN, INF], [NAN] * 3, [NAN] * 3),
        ([-NAN, 1.0, 2.0], [NAN] * 3, [NAN] * 3),
        ([tiny, 0.0, -tiny], [1, 0, 0], [1 / 3] * 3),
        ([3e38, -3e38, 0.0], [1, 0, 0], [1, 0, 0]),
    ]
    for row, hard, sparse in rows:
        for pad in (0, 40, 700):
            x = np.array([row] + [[0.0, 1.0, 0.5]] * (repeat - 1)).astype(dtype)
            x = np.concatenate([x, np.full((repeat, pad), -INF, dtype)], -1)
            cases: Any = ((fr.hardmax, hard, [0, 1, 0]), (fr.sparsemax, sparse, [0, 0.75, 0.25]))
            for function, first, other in cases:
                got = function(x)
                np.testing.assert_allclose(got[0, :3], first, rtol=1e-6)
                np.testing.assert_array_equal(got[1:, :3], np.tile(other, (repeat - 1, 1)))
                np.testing.assert_array_equal(got[0, 3:], NAN if np.isnan(first[0]) else 0)
                assert_same_bits(function(np.asfortranarray(x)), got)


def hardmax_of(x: Array, mask: Array) -> Array:
    """Return the definition along the last axis: the first of the largest elements that take part."""
    v = np.where(mask, x, -INF)
    nan = np.isnan(v).any(-1, keepdims=True)
    first = mask & (v == np.where(nan, 0, v).max(-1, keepdims=True))
    one = first & (np.arange(x.shape[-1]) == first.argmax(-1)[..., None])
    return np.where(nan, NAN, one).astype(x.dtype)


def lay(array: Array, form: str) -> Array:
    """Return rows as they are, apart from each other, side by side, or side by side in a larger array."""
    rows, n = array.shape
    if form == "rows":
        return array.copy()
    if form == "apart":
        memory = np.zeros((rows, n + 3), array.dtype)
        found = memory[:, 1:-2]
    elif form == "across":
        found = np.zeros((n, rows), array.dtype).T
    else:
        found = np.zeros((n, rows + 3), array.dtype)[:, 1:-2].T
    found[...] = array
    return found


@each_dtype
@each_isa
@pytest.mark.parametrize("n", [*range(1, 19), 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 1000])
def test_hardmax_of_every_shape(n: int, dtype: str, isa: str) -> None:
    """The kernels of short, long, many and few rows agree with the definition, with masks, ties, NaN and in place."""
    rng = np.random.default_rng(n)
    for rows in (*range(1, 19), 31, 64, 255, 256, 257, 300) if n < 40 else (1, 2, 5, 16, 17, 40):
        x = np.round(rng.standard_normal((rows, n)) * 2).astype(dtype)
        x[rng.random(x.shape) < 0.1] = -INF
        x[::3] = -INF
        x[2::7, -1] = INF
        x[rows // 2, n // 2] = x[-1, 0] = NAN if rows % 2 else 1
        masks: list[Any] = [np.True_, rng.random(x.shape) < 0.6, rng.random(n) < 0.7, rng.random((rows, 1)) < 0.5]
        for given in masks:
            wanted = hardmax_of(x, np.broadcast_to(given, x.shape))
            for form in ("rows", "apart", "across", "within"):
                place = lay(x, form)
                where: Any = True if given is np.True_ else lay(given, form) if given.shape == x.shape else given
                context = (rows, form, given.shape)
                assert_same_bits(_rows.forward(KERNELS[isa], HARDMAX, place, -1, None, where), wanted, context)
                assert_same_bits(_rows.forward(KERNELS[isa], HARDMAX, place, -1, place, where), wanted, context)


@each_dtype
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(3, 40001, 4), (2, 30000, 17), (90001, 2), (90001, 7), (2, 90001), (130, 1000)])
def test_hardmax_of_large_arrays(shape: tuple[int, ...], threads: int, dtype: str) -> None:
    """Shares of several threads end anywhere in the rows that lie across."""
    rng = np.random.default_rng(5)
    x = np.round(rng.standard_normal(shape) * 2).astype(dtype)
    mask = rng.random(shape) < 0.5
    with fr.threads(threads):
        for axis in range(x.ndim):
            for given in (np.ones(shape, bool), mask):
                wanted = np.moveaxis(hardmax_of(np.moveaxis(x, axis, -1), np.moveaxis(given, axis, -1)), -1, axis)
                assert_same_bits(fr.hardmax(x, axis, where=True if given is not mask else mask), wanted)


def test_hardmax_with_a_mask() -> None:
    """The 1 stands at an element that takes part, also if all of those are -inf."""
    x = np.array([[5.0, -INF, -INF], [7.0, 1.0, 1.0], [1.0, 2.0, 3.0], [-INF, -INF, -INF]])
    mask = np.array([[False, True, True], [False, True, True], [False] * 3, [True] * 3])
    wanted = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(fr.hardmax(x, where=mask), wanted)
    np.testing.assert_array_equal(fr.hardmax(x.T, 0, where=mask.T), wanted.T)
    np.testing.assert_array_equal(fr.hardmax(x, None, where=mask).sum(), 1)


@each_dtype
@pytest.mark.parametrize("n", LENGTHS)
def test_sparsemax_gradient(n: int, dtype: str) -> None:
    """Grad minus its mean over the support, 0 elsewhere, where grad is ignored; the same along any axis."""
    rng = np.random.default_rng(n)
    y = fr.sparsemax((rng.standard_normal((24, n)) / 4).astype(dtype))
    grad = rng.normal(0, 3, (24, n)).astype(dtype)
    inside = y > 0
    g = np.where(inside, grad, 0).astype(np.longdouble)
    wanted = np.where(inside, g - g.sum(-1, keepdims=True) / inside.sum(-1, keepdims=True), 0)
    got = fr.sparsemax_backward_from_output(np.where(inside, grad, NAN).astype(dtype), y)
    assert (np.abs(got - wanted) <= 0.51 * np.finfo(dtype).eps * np.abs(wanted) + 1e-28).all() or dtype == "float64"
    np.testing.assert_allclose(got, wanted.astype(dtype), rtol=4 * float(np.finfo(dtype).eps), atol=1e-15)
    across = fr.sparsemax_backward_from_output(np.asfortranarray(grad), np.asfortranarray(y))
    assert_same_bits(across, got)


def test_gradients_of_nan() -> None:
    """A row of NaN has the gradient NaN; other gradients of hardmax are 0."""
    y = np.array([[NAN] * 3, [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(fr.sparsemax_backward_from_output(np.ones((2, 3)), y)[0], NAN)
    grad = np.array([[1.0, INF, NAN]] * 2)
    np.testing.assert_array_equal(fr.hardmax_backward_from_output(grad, y), [[NAN] * 3, [0.0] * 3])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("types", ["ff", "dd", "ee", "bb", "fd", "df", "ef", "eb"])
def test_hardmax_gradient_is_elementwise(types: str, layout: str) -> None:
    """Hardmax's gradient is the same along any axis, for any type and layout, into any output; grad is not read."""
    names = {
        "f": np.float32,
        "d": np.float64,
        "e": np.float16,
        "b": pytest.importorskip("ml_dtypes", reason="the extra 'test' brings ml_dtypes").bfloat16,
    }
    grad_type, y_type = (np.dtype(names[kind]) for kind in types)
    y = np.tile(np.array([0.0, 1.0, NAN, INF, -INF, -1.0, -0.0]), 90)
    grad = LAYOUTS[layout](np.full((18, 35), NAN, grad_type))
    y = LAYOUTS[layout](y.reshape(18, 35).astype(y_type))
    result = np.result_type(grad_type, y_type) if grad_type.kind == y_type.kind == "f" else grad_type
    if types == "eb":
        result = np.dtype(np.float32)
    wanted = np.where(np.isnan(y.astype(float)), NAN, 0).astype(result)
    for axis in (0, -1, None, (0, 1)):
        got = fr.hardmax_backward_from_output(grad, y, axis)
        assert got.dtype == result
        np.testing.assert_array_equal(got.astype(float), wanted.astype(float))
        assert not np.signbit(got.astype(float)[~np.isnan(y.astype(float))]).any()
        for out in (np.empty_like(got), np.empty((18, 70), result)[:, ::2], np.empty((35, 18), result).T):
            assert fr.hardmax_backward_from_output(grad, y, axis, out=out) is out
            np.testing.assert_array_equal(out.astype(float), wanted.astype(float))
    if grad_type == y_type:
        memory = np.concatenate([np.asarray(y).reshape(-1), np.zeros(7, y_type)])
        before = memory.astype(float)
        shifted = fr.hardmax_backward_from_output(memory[:-7], memory[:-7], 0, out=memory[3:-4])
        np.testing.assert_array_equal(shifted.astype(float), np.where(np.isnan(before[:-7]), NAN, 0))


@pytest.mark.parametrize("axis", [0, 1])
def test_explained_hardmax_gradient(axis: int) -> None:
    """Contiguous arrays take the fast path along any axis."""
    y = np.zeros((4, 5), np.float32)
    found = fr.explain(fr.hardmax_backward_from_output, y, y, axis)
    assert (found.door, found.why_not_fast) == ("fast path", "")
    assert fr.explain(fr.hardmax, y, 0).door == "N-d driver"


# --- gumbel_softmax ---------------------------------------------------------------------------------------------------


@each_dtype
def test_gumbel_softmax_is_softmax_of_noise(dtype: str) -> None:
    """The noise is minus the logarithm of exponential numbers, in the type and the order of the elements."""
    x = np.random.default_rng(1).normal(0, 2, (3, 4, 5)).astype(dtype)
    kind: Any = np.dtype(dtype)
    noise = -np.log(np.random.default_rng(7).standard_exponential(x.shape, kind))
    for axis in (-1, 0, (0, 2), None):
        wanted = fr.softmax((x + noise) / 0.5, axis)
        got = fr.gumbel_softmax(x, axis, tau=0.5, rng=7)
        assert_same_bits(got, wanted)
        assert_same_bits(fr.gumbel_softmax(np.asfortranarray(x), axis, tau=0.5, rng=7), wanted)
        hard = fr.gumbel_softmax(x, axis, tau=0.5, hard=True, rng=7)
        assert_same_bits(hard, fr.hardmax(wanted, axis))
        out = np.empty_like(x)
        assert fr.gumbel_softmax(x, axis, tau=0.5, rng=7, out=out) is out
        assert_same_bits(out, wanted)
        target = x.copy()
        assert fr.gumbel_softmax_(target, axis, tau=0.5, hard=True, rng=7) is target
        assert_same_bits(target, hard)
        grad = np.random.default_rng(2).normal(size=x.shape).astype(dtype)
        dx = fr.gumbel_softmax_backward_from_output(grad, got, axis, tau=0.5)
        np.testing.assert_allclose(dx, fr.softmax_backward_from_output(grad, got, axis) * 2, rtol=1e-6)
        assert fr.gumbel_softmax_backward_from_output(grad, got, axis, tau=0.5, out=out) is out
        assert_same_bits(out, dx)


@each_dtype
@pytest.mark.parametrize("shape", [(3, 2), (300, 2), (2, 300), (19, 33), (40, 300), (300, 40), (3, 700), (17, 2, 40)])
@pytest.mark.parametrize("tau", [0.5, 0.3, 4.0, 1e-60, 2.0**-130])
def test_gradient_of_gumbel_softmax_is_that_of_softmax_divided(dtype: str, shape: tuple[int, ...], tau: float) -> None:
    """The gradient has the bits of softmax's gradient and a division, along every axis and into an operand."""
    rng = np.random.default_rng(9)
    grad, x = rng.normal(0, 3, (2, *shape)).astype(dtype)
    kind = np.dtype(dtype).type
    divisor = max(kind(tau), np.finfo(kind).smallest_subnormal)
    for axis in (*range(len(shape)), None):
        y = fr.softmax(x, axis)
        with np.errstate(over="ignore"):  # of a small tau
            wanted = fr.softmax_backward_from_output(grad, y, axis) / divisor
        assert_same_bits(fr.gumbel_softmax_backward_from_output(grad, y, axis, tau=tau), wanted)
        assert_same_bits(fr.gumbel_softmax_backward_from_output(np.asfortranarray(grad), y, axis, tau=tau), wanted)
        for out in (grad.copy(), y):
            given = (out, y) if out is not y else (grad, out)
            assert fr.gumbel_softmax_backward_from_output(*given, axis, tau=tau, out=out) is out
            assert_same_bits(out, wanted)


def test_gumbel_softmax_chooses_with_the_probabilities_of_softmax() -> None:
    """The largest element of a sample is each one as often as softmax says."""
    x = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    samples = fr.gumbel_softmax(np.tile(x, (200_000, 1)), hard=True, rng=3)
    np.testing.assert_allclose(samples.mean(0), fr.softmax(x), atol=0.004)


def test_gumbel_softmax_with_a_mask() -> None:
    """Masked elements are 0, in hard samples too."""
    mask = np.array([[True, False, True], [False] * 3])
    x = np.array([[0.0, 50.0, 1.0], [1.0, 2.0, 3.0]])
    for hard in (False, True):
        y = fr.gumbel_softmax(x, where=mask, hard=hard, rng=0)
        np.testing.assert_array_equal(y[~mask], 0)
        np.testing.assert_allclose(y.sum(-1), [1, 0])


@each_dtype
def test_gumbel_softmax_at_extreme_temperatures(dtype: str) -> None:
    """Small ones give zeros and a 1, large ones equal numbers; the gradient stays a number."""
    x = np.random.default_rng(5).normal(0, 100, (50, 8)).astype(dtype)
    hard = fr.gumbel_softmax(x, hard=True, rng=1)
    for tau in (1e-300, 1e-45, 1e-30):
        np.testing.assert_array_equal(fr.gumbel_softmax(x, tau=tau, rng=1), hard)
        np.testing.assert_array_equal(fr.gumbel_softmax_backward_from_output(x, hard, tau=tau), 0)
    np.testing.assert_allclose(fr.gumbel_softmax(x, tau=1e30, rng=1), 1 / 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tau": 0.0}, ValueError, "tau must be finite and greater than 0, got 0.0"),
        ({"tau": -1}, ValueError, "tau must be finite and greater than 0, got -1"),
        ({"tau": INF}, ValueError, "tau must be finite and greater than 0, got inf"),
        ({"tau": NAN}, ValueError, "tau must be finite and greater than 0, got nan"),
        ({"tau": None}, TypeError, "tau must be a number, got None"),
        ({"where": [True]}, ValueError, None),
        ({"axis": 2}, np.exceptions.AxisError, "axis 2 is out of bounds"),
    ],
)
def test_gumbel_softmax_errors(options: dict[str, Any], error: type[Exception], message: str | None) -> None:
    """Errors name the option; nothing is written before them."""
    x = np.ones((2, 3))
    out = np.full((2, 3), 7.0)
    if message is None:
        options, message = {"where": np.ones(4, bool)}, "where of shape (4,) does not broadcast"
    with pytest.raises(error, match=re.escape(message)):
        fr.gumbel_softmax(x, out=out, **options)
    assert (out == 7).all()
    if "tau" in options:
        with pytest.raises(error, match=re.escape(message)):
            fr.gumbel_softmax_backward_from_output(x, x, out=out, **options)
    with pytest.raises(TypeError, match="gumbel_softmax does not read masks"):
        fr.gumbel_softmax(np.ma.masked_array(x))


def test_foreign_arrays_are_refused() -> None:
    """Random numbers of a lazy array would depend on its chunks; it is not computed in silence either."""
    dask = pytest.importorskip("dask.array", reason="dask makes lazy arrays")
    x = dask.ones((2, 3))
    with pytest.raises(TypeError, match="gumbel_softmax takes no 'Array' as x"):
        fr.gumbel_softmax(x)
    with pytest.raises(TypeError, match="gumbel_softmax_backward_from_output takes no 'Array' as y"):
        fr.gumbel_softmax_backward_from_output(np.ones((2, 3)), x)
