"""softmax, log_softmax and softmin: values against long double, axes, layouts, types, masks, infinities, threads, errors."""

from __future__ import annotations

import array
import functools
import itertools
import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from compare import assert_same_bits, ulp_error
from grid import DTYPE_NAMES, ISAS, LAYOUTS, MASKS, OUT_LAYOUTS, PRECISIONS, needs_wide

import fastrelu as fr
from fastrelu import _arguments, _row_kernels, _rows, _runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Function(NamedTuple):
    """One function with its forms. A masked element counts as `absent` in its row and becomes `gone` in the result."""

    name: str
    kind: int
    absent: float
    gone: float

    @property
    def forward(self) -> Callable[..., Any]:
        """Return f(x, axis, *, out, where)."""
        found: Callable[..., Any] = getattr(fr, self.name)
        return found

    @property
    def in_place(self) -> Callable[..., Any]:
        """Return f_(x, axis, *, where)."""
        found: Callable[..., Any] = getattr(fr, f"{self.name}_")
        return found

    @property
    def backward(self) -> Callable[..., Any]:
        """Return the gradient from the output."""
        found: Callable[..., Any] = getattr(fr, f"{self.name}_backward_from_output")
        return found


FUNCTIONS = [
    Function("softmax", 0, -np.inf, 0.0),
    Function("log_softmax", 1, -np.inf, -np.inf),
    Function("softmin", 2, np.inf, 0.0),
    Function("hardmax", 3, -np.inf, 0.0),
    Function("sparsemax", 4, -np.inf, 0.0),
]
each_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: str(function.name))
# Those of exponentials; tests/test_select.py has the values and gradients of the others.
each_smooth = pytest.mark.parametrize("function", FUNCTIONS[:3], ids=lambda function: str(function.name))
each_dtype = pytest.mark.parametrize("dtype", DTYPE_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_isa = pytest.mark.parametrize("isa", ISAS)
KERNELS = {isa: _row_kernels.RowKernels(isa) for isa in ISAS}


def reference(function: Function, x: Array, axis: int | None = -1) -> Array:
    """Return the result in long double; the logarithm is taken of 1 plus what is beside the largest element."""
    wide = (-x if function.name == "softmin" else x).astype(np.longdouble)
    top = wide.max(axis, keepdims=True)
    e = np.exp(wide - top)
    if function.name != "log_softmax":
        found: Array = e / e.sum(axis, keepdims=True)
        return found
    is_top = wide == top
    beside = np.where(is_top, 0, e).sum(axis, keepdims=True) + (is_top.sum(axis, keepdims=True) - 1)
    return np.asarray((wide - top) - np.log1p(beside))


def rows(dtype: str, n: int, seed: int = 0) -> Array:
    """Return rows of n elements of any spread and position: flat, dominated by one, far from 0, with ties."""
    rng = np.random.default_rng(seed)
    found = [rng.standard_normal(n) * scale + shift for scale in (0, 1e-6, 0.1, 1, 5, 30, 90, 300, 1500) for shift in
             (0, 50, -120, 299.9, -301, 1499, -1501, 7e4)]  # fmt: skip  # one line each for scales and shifts
    x = np.array(found).astype(dtype)
    x[::3] = np.round(x[::3])
    if n > 2:
        x[::5, n // 2] = x[::5].max(-1) + np.linspace(0.5, 200, len(x[::5]))  # one dominates
        x[1::5, 0] = -np.inf
    return x


# --- Values -----------------------------------------------------------------------------------------------------------


@each_smooth
@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 15, 16, 17, 31, 64, 65, 127, 512, 513, 1000, 50257])
def test_values(function: Function, dtype: str, precision: fr.runtime.Precision, isa: str, n: int) -> None:
    """Every element is within the published bound, on every instruction set."""
    needs_wide(np.dtype(dtype))
    x = rows(dtype, n) if n < 2000 else rows(dtype, n)[2::9]
    x = -x if function.name == "softmin" else x
    with fr.precision(precision):
        got = _rows.forward(KERNELS[isa], function.kind, x, -1, None, True)
    error = ulp_error(got, reference(function, x))
    worst = np.unravel_index(int(error.argmax()), error.shape)
    limit = fr.error_bound(function.name, dtype, precision=precision, isa=isa)
    assert error.max() <= limit, f"{error.max():.4g} ULP at {worst}: {x[worst]!r} gives {got[worst]!r}"


@pytest.mark.parametrize("axis", [0, 1])
@each_dtype
@each_precision
@each_isa
def test_far_below_the_largest(dtype: str, precision: fr.runtime.Precision, isa: str, axis: int) -> None:
    """An element that is far below the largest gives 0, wherever the largest is and however its exponent is rounded."""
    needs_wide(np.dtype(dtype))
    near, low = (300, -740) if dtype == "float32" else (1500, -4000)
    tops = [np.random.default_rng(0).uniform(-near, near, 4000), np.arange(-near, near + 1)]
    tops += [np.log(2) * (np.arange(-near, near) + 0.5)]  # the exponent is rounded up or down
    m = np.concatenate(tops).astype(dtype)
    for far in (low, -1e9, -np.finfo(dtype).max, -np.inf):
        x = np.full((len(m), 5), far, dtype)
        x[:, 1] = x[:, 3] = m
        for kind, sign in ((0, 1), (2, -1)):
            given = np.ascontiguousarray(sign * (x.T if axis == 0 else x))
            with fr.precision(precision):
                y = _rows.forward(KERNELS[isa], kind, given, axis, None, True)
            y = y.T if axis == 0 else y
            assert_same_bits(y[:, ::2], np.zeros((len(m), 3), dtype))
            np.testing.assert_allclose(y[:, 1::2], 0.5, rtol=float(4 * np.finfo(dtype).eps))


@each_smooth
@each_precision
@each_isa
@pytest.mark.parametrize("n", [2, 3, 4, 5, 20, 64])
def test_many_rows(function: Function, precision: fr.runtime.Precision, isa: str, n: int) -> None:
    """The bound holds for 200,000 elements in random rows: the worst are rare where classes are few."""
    x = (2 * np.random.default_rng(n).standard_normal((200_000 // n, n))).astype(np.float32)
    with fr.precision(precision):
        got = _rows.forward(KERNELS[isa], function.kind, x, -1, None, True)
    limit = fr.error_bound(function.name, "float32", precision=precision, isa=isa)
    assert ulp_error(got, reference(function, x)).max() <= limit


@each_dtype
@each_precision
def test_close_to_zero(dtype: str, precision: fr.runtime.Precision) -> None:
    """log_softmax of an element that dominates is minus what the others have, down to the last subnormal number."""
    info = np.finfo(np.dtype(dtype))
    gaps = np.linspace(1, -np.log(float(info.smallest_subnormal)) - 1, 300)
    x = np.stack([gaps, np.zeros_like(gaps)], -1).astype(dtype)
    with fr.precision(precision):
        got = fr.log_softmax(x)[:, 0]
    exact = -np.log1p(np.exp(-x[:, 0].astype(np.longdouble)))
    assert (got < 0).all()
    needs_wide(np.dtype(dtype))
    assert ulp_error(got, exact).max() <= fr.error_bound("log_softmax", dtype, precision=precision)


@each_dtype
@each_precision
def test_sums_to_one(dtype: str, precision: fr.runtime.Precision) -> None:
    """Probabilities are between 0 and 1 and add up to 1."""
    with fr.precision(precision):
        y = fr.softmax(rows(dtype, 1000))
    assert ((y >= 0) & (y <= 1)).all()
    np.testing.assert_allclose(y.sum(-1, dtype=np.float64), 1, rtol=4 * np.finfo(np.dtype(dtype)).eps)


@pytest.mark.skipif(len(ISAS) < 2, reason="one instruction set runs here")
@each_smooth
def test_accurate_float32_is_the_same_everywhere(function: Function) -> None:
    """Accurate float32 has the same bits on every instruction set."""
    x = rows("float32", 777)
    with fr.precision("accurate"):
        first, *others = [_rows.forward(KERNELS[isa], function.kind, x, -1, None, True) for isa in ISAS]
    for other in others:
        assert_same_bits(other, first)


# --- Infinities and NaN -----------------------------------------------------------------------------------------------

INF, NAN = np.inf, np.nan
SPECIAL: list[tuple[list[float], list[float]]] = [
    ([1, -INF, 1], [0.5, 0, 0.5]),
    ([-INF, 3, -INF], [0, 1, 0]),
    ([1, INF, 2], [0, 1, 0]),
    ([-INF, INF, 2], [0, 1, 0]),
    ([INF, INF, 2], [NAN] * 3),
    ([-INF, -INF, -INF], [NAN] * 3),
    ([1, NAN, 2], [NAN] * 3),
    ([INF, NAN, 2], [NAN] * 3),
    ([-INF, NAN, -INF], [NAN] * 3),
    ([NAN, NAN, NAN], [NAN] * 3),
]


@each_smooth
@each_dtype
@each_precision
@pytest.mark.parametrize("repeat", [1, 20, 400])
def test_infinities(function: Function, dtype: str, precision: fr.runtime.Precision, repeat: int) -> None:
    """The limit where there is one, NaN where there is none; rows beside it and elements around it change nothing."""
    for row, wanted in SPECIAL:
        x = np.array([row] + [[0.0, 1.0, 2.0]] * (repeat - 1)).astype(dtype)
        exact = np.array(wanted)
        with np.errstate(divide="ignore"):  # log(0) is the exact answer
            exact = np.log(exact) if function.name == "log_softmax" else exact
        with fr.precision(precision):
            for pad in (0, 40, 700):
                padded = np.concatenate([x, np.full((repeat, pad), -np.inf, dtype)], -1)
                got = function.forward(-padded if function.name == "softmin" else padded)
                np.testing.assert_allclose(got[0, :3], exact, rtol=1e-6, err_msg=str(row))
                if pad:
                    absent = np.nan if np.isnan(wanted[0]) else function.gone
                    np.testing.assert_array_equal(got[0, 3:], absent)
                assert np.isfinite(got[1:, :3]).all()


@each_smooth
@each_dtype
def test_extremes(function: Function, dtype: str) -> None:
    """Neither the largest numbers nor their difference overflow."""
    big = np.finfo(np.dtype(dtype)).max
    x = np.array([[big, -big], [big, big], [-big, -big]])
    sign = -1 if function.name == "softmin" else 1
    got = function.forward(sign * x)
    wanted = np.array([[1, 0], [0.5, 0.5], [0.5, 0.5]])
    if function.name == "log_softmax":
        np.testing.assert_allclose(got[1:], np.log(wanted[1:]), rtol=1e-6)
        assert got[0, 0] == 0
        assert got[0, 1] < -big / 2
    else:
        np.testing.assert_array_equal(got, wanted)


# --- Axes, layouts, threads ---------------------------------------------------------------------------------------------


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(7,), (5, 9), (3, 21, 4, 5), (2, 70, 33), (40, 3), (1, 1), (4, 1, 3), (2, 600, 2)])
def test_axes(function: Function, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, ...]) -> None:
    """Any axis gives the bits that its rows give one by one, forward and backward."""
    with fr.precision(precision):
        check_axes(function, dtype, shape)


@each_function
@each_dtype
def test_axes_of_large_arrays(function: Function, dtype: str) -> None:
    """The same for arrays whose rows lie far apart, or of which a tile does not fit into the cache."""
    for shape in ((9000, 20), (100, 1024)):
        check_axes(function, dtype, shape)


@each_function
@each_dtype
def test_two_threads_share_short_lines(function: Function, dtype: str) -> None:
    """Lines of large arrays are cut into strips of 128 bytes: with the bits of one thread, gradients too."""
    x, grad = (np.random.default_rng(seed).normal(0, 3, (8200, 67)).astype(dtype) for seed in (0, 1))
    found = []
    for threads in (1, 2):
        with fr.threads(threads):
            y = function.forward(x, 0)
            found.append((y, function.backward(grad, y, 0)))
    assert_same_bits(found[1][0], found[0][0])
    assert_same_bits(found[1][1], found[0][1])


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("n", [129, 293, 1025])
def test_axes_of_few_columns(function: Function, dtype: str, precision: fr.runtime.Precision, n: int) -> None:
    """The same for a few long rows side by side, alone or after whole tiles."""
    with fr.precision(precision), fr.threads(2):
        for columns in range(1, 21):
            check_axes(function, dtype, (n, columns))
        check_axes(function, dtype, (3, n, 18))


@each_function
@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize("n", [32, 33, 48, 63, 64, 127, 200, 512, 513])
def test_bands(function: Function, dtype: str, precision: fr.runtime.Precision, isa: str, n: int) -> None:
    """Contiguous rows of any number give the bits of rows side by side, whatever row lies beside them."""
    kernels = KERNELS[isa]
    x = np.random.default_rng(n).normal(0, 3, (37, n)).astype(dtype)
    x[5::16, 3], x[6::16, 2], x[7::16] = np.inf, np.nan, -np.inf
    grad = np.random.default_rng(1).normal(0, 3, x.shape).astype(dtype)
    grad[20:, 1] = np.inf
    with fr.precision(precision):
        for rows in (1, 4, 16, 19, 37):
            across, turned = (np.ascontiguousarray(array[:rows].T) for array in (x, grad))
            y = _rows.forward(kernels, function.kind, x[:rows], -1, None, True)
            assert_same_bits(y, _rows.forward(kernels, function.kind, across, 0, None, True).T, rows)
            beside = np.ascontiguousarray(y.T)
            dx = _rows.from_output(kernels, function.kind, grad[:rows], y, -1, None)
            assert_same_bits(dx, _rows.from_output(kernels, function.kind, turned, beside, 0, None).T, rows)


@each_function
@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize("n", [129, 144, 192, 583])
def test_folds(function: Function, dtype: str, precision: fr.runtime.Precision, isa: str, n: int) -> None:
    """2 to 17 long rows side by side give the bits of rows one by one: masked or not, in place, in any layout."""
    kernels, rng = KERNELS[isa], np.random.default_rng(n)
    with fr.precision(precision):
        for columns in range(2, 18):
            x = rng.normal(0, 3, (3, n, columns)).astype(dtype)
            x[0, n // 2, 0], x[0, n - 1, -1], x[1, :, 0], x[2, 5, 1] = np.inf, np.nan, -np.inf, 60
            where = rng.random(x.shape) < 0.7
            where[1, :, -1] = False
            grad = rng.normal(0, 3, x.shape).astype(dtype)
            grad[2, n - 1, 0], grad[2, 7, -1] = np.inf, 1e30
            along, under, turned = (np.ascontiguousarray(array.swapaxes(1, 2)) for array in (x, where, grad))
            for mask, mask_along in ((True, True), (where, under)):
                wanted = _rows.forward(kernels, function.kind, along, -1, None, mask_along)
                y = np.ascontiguousarray(wanted.swapaxes(1, 2))
                for given in in_layouts(x):
                    for made in in_layouts(np.zeros_like(x)):
                        _rows.forward(kernels, function.kind, given, 1, made, mask)
                        assert_same_bits(made, y, columns)
                    assert_same_bits(_rows.forward(kernels, function.kind, given, 1, given, mask), y, columns)
            for factor, divides in ((1, False), (3, False), (3, True)):
                wanted = _rows.from_output(kernels, function.kind, turned, wanted, -1, None, factor, divides)
                dx = np.ascontiguousarray(wanted.swapaxes(1, 2))
                for given in in_layouts(grad):
                    got = _rows.from_output(kernels, function.kind, given, y, 1, given, factor, divides)
                    assert_same_bits(got, dx, columns)
                wanted = np.ascontiguousarray(y.swapaxes(1, 2))


@each_function
@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize(
    ("width", "n"),
    [
        *itertools.product((130, 512), (2, 33, 150, 600)),
        (130, 1600),
        (35, 5),
        (600, 5),
        (600, 70),
        (600, 150),
        (70, 5000),
    ],
)
def test_sets_of_columns(
    function: Function, dtype: str, precision: fr.runtime.Precision, isa: str, width: int, n: int
) -> None:
    """Rows side by side have the bits of contiguous ones: of any width, as lines of memory apart by a power of two, in place."""
    needs_wide(np.dtype(dtype))
    kernels, rng = KERNELS[isa], np.random.default_rng(16)
    x, grad = (rng.normal(0, 3, (width, n)).astype(dtype) for _ in range(2))
    x[::50, n // 2], x[1::50, -1], x[2::50], x[3::50, 0] = np.inf, np.nan, -np.inf, 80
    where = rng.random(x.shape) < 0.6
    where[::30] = False
    under = np.ascontiguousarray(where.T)
    y = np.abs(rng.normal(size=(width, n))).astype(dtype)
    y[::100, 1], grad[::100, 1] = function.gone, np.nan
    with fr.precision(precision):
        wanted = [_rows.forward(kernels, function.kind, x, -1, None, mask) for mask in (True, where)]
        gradient = _rows.from_output(kernels, function.kind, grad, y, -1, None)
        for whole in (width, 1024):  # the lines of a part of a wider array
            given, out, beside = (np.zeros((n, whole), dtype)[:, :width] for _ in range(3))
            for mask, values in zip((True, under), wanted, strict=True):
                given[...] = x.T
                assert_same_bits(_rows.forward(kernels, function.kind, given, 0, out, mask).T, values)
                assert_same_bits(_rows.forward(kernels, function.kind, given, 0, given, mask).T, values)
            for second_cache in (1 << 19, 1 << 21):  # gradients as they lie, and as copies
                given[...], beside[...] = grad.T, y.T
                _row_kernels.suit_cache(second_cache)
                try:
                    assert_same_bits(_rows.from_output(kernels, function.kind, given, beside, 0, None).T, gradient)
                    assert_same_bits(_rows.from_output(kernels, function.kind, given, beside, 0, given).T, gradient)
                finally:
                    _row_kernels.suit_cache(_runtime.second_cache)


@each_function
@each_dtype
@each_isa
@pytest.mark.parametrize("n", [1, 2, 3, 10, 33, 128, 150])
def test_masked_rows_side_by_side(function: Function, dtype: str, isa: str, n: int) -> None:
    """Rows of which many are masked altogether, or all but -inf: in short lines and long ones, each as it is alone."""
    kernels, rng = KERNELS[isa], np.random.default_rng(n)
    for columns in (2, 3, 7, 16, 21):
        x = rng.normal(0, 3, (12, n, columns)).astype(dtype)
        x[rng.random(x.shape) < 0.3] = -np.inf
        x[3, n // 2, -1] = np.nan
        where = rng.random(x.shape) < 0.4
        where[5], where[7, : n // 2] = False, False
        wanted = np.empty_like(x)
        for i, j in np.ndindex(12, columns):
            row, kept = np.ascontiguousarray(x[i, :, j]), np.ascontiguousarray(where[i, :, j])
            wanted[i, :, j] = _rows.forward(kernels, function.kind, row, -1, None, kept)
        one = where[:, :, :1]
        for mask in (where, np.asfortranarray(where), where[::-1].copy()[::-1]):
            assert_same_bits(_rows.forward(kernels, function.kind, x, 1, None, mask), wanted, columns)
            assert_same_bits(
                _rows.forward(kernels, function.kind, np.asfortranarray(x), 1, None, mask), wanted, columns
            )
        for j in range(columns):
            row, kept = np.ascontiguousarray(x[..., j]), np.ascontiguousarray(one[..., 0])
            wanted[..., j] = _rows.forward(kernels, function.kind, row, -1, None, kept)
        assert_same_bits(_rows.forward(kernels, function.kind, x, 1, x, one), wanted, columns)


def in_layouts(x: Array) -> Iterator[Array]:
    """Yield copies: whose lines lie behind each other, apart, or apart with other numbers between theirs, and turned."""
    yield x.copy()
    for step in (1, 2):
        wide = np.zeros((*x.shape[:-1], x.shape[-1] * step + 3), x.dtype)
        wide[..., : x.shape[-1] * step : step] = x
        yield wide[..., : x.shape[-1] * step : step]
    yield np.ascontiguousarray(x[:, ::-1])[:, ::-1]


def check_axes(function: Function, dtype: str, shape: tuple[int, ...]) -> None:
    """Compare each axis with its rows one by one; some rows have no finite maximum, and in some one element dominates."""
    x = np.random.default_rng(1).normal(0, 3, shape).astype(dtype)
    spots = x.reshape(-1)
    spots[::97], spots[5::89], spots[11::83], spots[50::201] = 60, np.inf, np.nan, -np.inf
    for axis in range(-len(shape), len(shape)):
        moved = np.moveaxis(x, axis, -1)
        wanted = np.empty_like(moved, order="C")
        for at in np.ndindex(moved.shape[:-1]):
            wanted[at] = function.forward(np.ascontiguousarray(moved[at]))
        assert_same_bits(function.forward(x, axis), np.moveaxis(wanted, -1, axis), axis)
        grad = np.random.default_rng(2).normal(0, 3, shape).astype(dtype)
        turned, dx = np.moveaxis(grad, axis, -1), np.empty_like(wanted)
        for at in np.ndindex(moved.shape[:-1]):
            dx[at] = function.backward(np.ascontiguousarray(turned[at]), wanted[at])
        assert_same_bits(function.backward(grad, np.moveaxis(wanted, -1, axis), axis), np.moveaxis(dx, -1, axis), axis)


@each_smooth
@pytest.mark.parametrize("axis", [None, (0, 2), (2, 0), (-1, 1), (0, 1, 2), (1,), ()])
def test_several_axes(function: Function, axis: tuple[int, ...] | None) -> None:
    """Several axes are one row; None is all of them."""
    x = np.random.default_rng(2).normal(0, 3, (4, 5, 6))
    axes = tuple(range(3)) if axis is None else tuple(a % 3 for a in axis)
    got = function.forward(x, axis)
    e = np.exp(-x if function.name == "softmin" else x)
    wanted = e / e.sum(axes, keepdims=True)
    wanted = np.log(wanted) if function.name == "log_softmax" else wanted
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)
    y = np.empty_like(x)
    assert function.forward(x, axis, out=y) is y
    assert_same_bits(y, got)
    grad = np.random.default_rng(3).normal(size=x.shape)
    dx = function.backward(grad, got, axis)
    if function.name == "log_softmax":
        np.testing.assert_allclose(dx, grad - np.exp(got) * grad.sum(axes, keepdims=True), atol=1e-12)
    else:
        sign = -1 if function.name == "softmin" else 1
        np.testing.assert_allclose(dx, sign * got * (grad - (grad * got).sum(axes, keepdims=True)), atol=1e-12)


@each_function
@each_dtype
@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_axes_are_a_set(function: Function, dtype: str, axes: tuple[int, ...]) -> None:
    """The order in which axes are named changes no bit, nor which of several largest elements is the first."""
    x = np.random.default_rng(0).integers(-3, 4, (4, 5, 6)).astype(dtype)
    grad = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    y = function.forward(x, axes)
    dx = function.backward(grad, y, axes)
    flat = np.moveaxis(x, axes, range(-len(axes), 0))
    rows = function.forward(np.ascontiguousarray(flat.reshape(*flat.shape[: 3 - len(axes)], -1)))
    assert_same_bits(np.moveaxis(y, axes, range(-len(axes), 0)).reshape(rows.shape), rows)
    for order in itertools.permutations(axes):
        assert_same_bits(function.forward(x, order), y, order)
        assert_same_bits(function.backward(grad, y, order), dx, order)


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(33, 20), (6, 300), (20, 700)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(
    function: Function, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, ...], layout: str
) -> None:
    """The same bits from every layout of the input, into every layout of the output, forward and backward."""
    rng = np.random.default_rng(4)
    x, grad = rng.normal(0, 3, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    with fr.precision(precision):
        wanted = function.forward(x)
        gradient = function.backward(grad, wanted)
        laid = LAYOUTS[layout](x)
        assert_same_bits(function.forward(laid), wanted)
        assert_same_bits(function.backward(LAYOUTS[layout](grad), wanted), gradient)
        assert_same_bits(function.backward(grad, LAYOUTS[layout](wanted)), gradient)
        if layout in OUT_LAYOUTS:
            out = OUT_LAYOUTS[layout](np.zeros_like(x))
            assert function.forward(x, out=out) is out
            assert_same_bits(out.astype(dtype), wanted)
            assert function.in_place(laid) is laid
            assert_same_bits(laid.astype(dtype), wanted)


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(301, 100), (3000, 10), (3, 20000), (200, 131), (100, 259), (50, 1030)])
def test_threads(function: Function, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int]) -> None:
    """The same bits for any number of threads."""
    x = np.random.default_rng(5).normal(0, 3, shape).astype(dtype)
    with fr.precision(precision):
        with fr.threads(1):
            wanted = [function.forward(x, axis) for axis in (0, 1)]
            gradients = [function.backward(x, y, axis) for axis, y in enumerate(wanted)]
        with fr.threads(2):
            for axis in (0, 1):
                assert_same_bits(function.forward(x, axis), wanted[axis], axis)
                assert_same_bits(function.backward(x, wanted[axis], axis), gradients[axis], axis)


@pytest.mark.skipif(fr.get_num_threads() < 2, reason="this machine grants one thread")
@pytest.mark.parametrize(
    ("shape", "dtype", "jobs"),
    [
        ((1000, 100), "f4", 0),
        ((1000, 255), "f4", 0),
        ((1000, 256), "f4", 1),
        ((1000, 127), "f8", 0),
        ((1000, 128), "f8", 1),
        ((7000, 64), "f4", 0),
        ((9000, 64), "f4", 1),
        ((9000, 32), "f8", 1),
        ((17_000, 31), "f4", 0),
        ((30_000, 4), "f4", 0),
        ((2, 30_000, 2), "f4", 1),
    ],
    ids=str,
)
def test_threads_do_not_share_lines(shape: tuple[int, ...], dtype: str, jobs: int) -> None:
    """Short lines of rows side by side have one thread, unless there are many such, or the result leaves the caches."""
    x = np.ones(shape, dtype)
    wide = shape[-1] * x.itemsize >= 1024 or shape[0] == 2
    calls: dict[Callable[..., Any], int] = dict.fromkeys((fr.softmax, fr.log_softmax, fr.softmin), jobs)
    calls[lambda x, axis: fr.log_softmax_backward_from_output(x, x, axis)] = jobs
    for gradient in (fr.softmax_backward_from_output, fr.softmin_backward_from_output):  # wait for memory
        calls[functools.partial(gradient, x)] = jobs * wide
    with fr.threads(2):
        for call, wanted in calls.items():
            before = _runtime.team()["jobs"]
            call(x, len(shape) - 2)
            assert _runtime.team()["jobs"] - before == wanted
        found = fr.explain(fr.softmax, x, len(shape) - 2)
        assert (found.threads, "at once" in found.why_threads) == (1 + jobs, not jobs)


@pytest.mark.skipif(fr.get_num_threads() < 2, reason="this machine grants one thread")
@pytest.mark.parametrize("dtype", ["f2", "i4", ">f4"])
def test_what_was_converted_stays_with_its_thread(dtype: str) -> None:
    """Rows of another type are in the cache of the thread that converted them, unless they are many."""
    labels = np.zeros(3000, np.int64)
    for n, jobs in ((50, False), (100, True)):
        x = np.ones((3000, n), dtype)
        by_thread = dtype == "f2"  # each converts the rows without gaps that it computes
        with fr.threads(2):
            for call in (
                lambda x: fr.softmax(np.repeat(x, 2, 1)[:, ::2]),
                lambda x: fr.logsumexp(np.repeat(x, 2, 1)[:, ::2], 1),
                lambda x: fr.cross_entropy(x, labels),
                lambda x: fr.softmax_backward_parameters(x, x, scale=2.0),
            ):
                before = _runtime.team()["jobs"]
                call(x)
                assert (_runtime.team()["jobs"] > before) == jobs  # one for each block
            assert fr.explain(fr.softmax, np.repeat(x, 2, 1)[:, ::2]).threads == 1 + jobs
            for mask, axis in ((True, -1), (x > 0, -1), (True, 0)):
                threads = 1 + (jobs or by_thread)
                before = _runtime.team()["jobs"]
                fr.softmax(x, axis, where=mask)
                if axis or dtype == "f2":  # others lie side by side in lines that one thread takes
                    assert (_runtime.team()["jobs"] > before) == threads - 1
                    assert fr.explain(fr.softmax, x, axis, where=mask).threads == threads
                    before = _runtime.team()["jobs"]
                    fr.logsumexp(x, axis, where=mask)
                    assert (_runtime.team()["jobs"] > before) == threads - 1


@each_function
@each_dtype
def test_position(function: Function, dtype: str) -> None:
    """A row has the same bits wherever it stands and whatever stands beside it."""
    row = np.random.default_rng(6).normal(0, 3, 10).astype(dtype)
    wanted = function.forward(row)
    for count in (1, 3, 4, 15, 16, 17, 40):
        x = np.random.default_rng(7).normal(0, 3, (count, 10)).astype(dtype)
        for at in {0, count // 2, count - 1}:
            x[at] = row
            assert_same_bits(function.forward(x)[at], wanted, (count, at))
            assert_same_bits(function.forward(np.ascontiguousarray(x.T), 0)[:, at], wanted, (count, at))


# --- Types, outputs -----------------------------------------------------------------------------------------------------


@each_function
@pytest.mark.parametrize(
    ("given", "result"),
    [("float16", "float16"), ("bool", "float32"), ("int8", "float32"), ("uint16", "float32"), ("int32", "float64"),
     ("uint64", "float64"), (">f4", "float32"), (">f8", "float64")],
)  # fmt: skip  # a table
def test_types(function: Function, given: str, result: str) -> None:
    """Other types become float32 or float64 by the rules of the ufuncs."""
    x = np.array([[0, 1, 1], [1, 0, 0]]).astype(given)
    got = function.forward(x)
    assert got.dtype == np.dtype(result)
    assert_same_bits(got, function.forward(x.astype(result)))


@each_function
def test_scalars_and_lists(function: Function) -> None:
    """Lists are arrays of float64; an array without axes is a row by itself if `axis` is None."""
    assert_same_bits(function.forward([1.0, 2.0]), function.forward(np.array([1.0, 2.0])))
    alone = function.forward(3.0, None)
    assert type(alone) is np.float64
    assert alone == (0 if function.name == "log_softmax" else 1)
    with pytest.raises(np.exceptions.AxisError):
        function.forward(3.0)


@each_function
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (0, 0), (2, 0, 3)])
def test_empty(function: Function, shape: tuple[int, ...]) -> None:
    """No rows, or rows of no elements: an empty result, on every axis."""
    x = np.zeros(shape, np.float32)
    for axis in [*range(len(shape)), None]:
        assert function.forward(x, axis).shape == shape
        assert function.backward(x, x, axis).shape == shape
        assert function.forward(x, axis, where=np.ones(shape, bool)).shape == shape
    assert function.in_place(x) is x


@each_function
def test_outputs(function: Function) -> None:
    """`out` is returned: an array, a one-tuple, another type, a buffer, a view; nothing around it is written."""
    x = np.random.default_rng(8).normal(0, 3, (6, 50)).astype(np.float32)
    wanted = function.forward(x)
    for out in (np.empty_like(x), np.empty(x.shape), np.empty(x.shape, np.float16), np.empty(x.shape, ">f4")):
        assert function.forward(x, out=out) is out
        np.testing.assert_array_equal(out, wanted.astype(out.dtype))
    out = np.empty_like(x)
    assert function.forward(x, out=(out,)) is out
    assert_same_bits(out, wanted)
    assert_same_bits(function.forward(x, out=...), wanted)
    memory = np.full((8, 54), 7, np.float32)
    function.forward(x, out=memory[1:-1, 2:-2])
    assert_same_bits(memory[1:-1, 2:-2], wanted)
    memory[1:-1, 2:-2] = 7
    assert (memory == 7).all()
    buffer = array.array("f", x[0].tolist())
    assert function.in_place(buffer) is buffer
    assert_same_bits(np.asarray(buffer), wanted[0])


@each_function
@each_dtype
def test_overlap(function: Function, dtype: str) -> None:
    """An output that reaches into the input gets what it would get from a copy."""
    memory = np.random.default_rng(9).normal(0, 3, 4000).astype(dtype)
    for x_at, out_at in ((0, 0), (0, 100), (100, 0), (50, 1050), (3, 2)):
        for columns in (20, 100):
            work = memory.copy()
            x = work[x_at : x_at + 2000].reshape(-1, columns)
            wanted = function.forward(x.copy())
            out = work[out_at : out_at + 2000].reshape(-1, columns)
            assert function.forward(x, out=out) is out
            assert_same_bits(out, wanted, (x_at, out_at))
    square = memory[:2500].reshape(50, 50).copy()
    wanted = function.forward(square.copy())
    function.forward(square, out=square.T)
    assert_same_bits(square.T, wanted)
    y = function.forward(memory[:1000].reshape(10, 100))
    grad = memory[1000:2000].reshape(10, 100).copy()
    wanted = function.backward(grad.copy(), y)
    assert function.backward(grad, y, out=grad) is grad
    assert_same_bits(grad, wanted)


# --- Masks ----------------------------------------------------------------------------------------------------------------


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(9, 12), (40, 90), (2, 700)])
def test_where(function: Function, dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int]) -> None:
    """Masked elements take no part in their row, whatever their values."""
    rng = np.random.default_rng(10)
    x = rng.normal(0, 3, shape).astype(dtype)
    mask = rng.random(shape) < 0.6
    mask[0] = False
    mask[1] = True
    filled = np.where(mask, x, function.absent).astype(dtype)
    x[~mask] = rng.choice([np.nan, np.inf, -np.inf, 1e30], int((~mask).sum()))
    with fr.precision(precision):
        wanted = function.forward(filled)
        wanted[0] = function.gone
        assert_same_bits(function.forward(x, where=mask), wanted)
        assert_same_bits(function.forward(x.T, 0, where=mask.T), wanted.T)
        assert_same_bits(function.forward(x, where=np.asfortranarray(mask)), wanted)
        together = function.forward(x, None, where=mask)
        assert_same_bits(together, function.forward(np.where(mask, x, function.absent).astype(dtype), None))
        target = x.copy()
        assert function.in_place(target, where=mask) is target
        assert_same_bits(target, wanted)
        assert_same_bits(
            function.forward(filled, where=mask[1]), function.forward(filled), "a mask broadcasts to the array"
        )
        np.testing.assert_array_equal(function.forward(x, where=False), function.gone)


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("n", [1, 2, 7, 17, 33, 130, 600])
def test_where_of_every_layout(function: Function, dtype: str, precision: fr.runtime.Precision, n: int) -> None:
    """Bits under masks of every kind are those of contiguous rows with the limit in place, wherever the rows lie."""
    rng = np.random.default_rng(n)
    sizes = (1, 2, 3, 4, 5, 8, 15, 16, 17, 40, 150)
    for (m, mask_of), isa in zip(itertools.product(sizes, MASKS.values()), itertools.cycle(ISAS), strict=False):
        forward = functools.partial(_rows.forward, KERNELS[isa], function.kind)
        x, mask = rng.normal(0, 3, (m, n)).astype(dtype), mask_of(rng, m, n)
        x[rng.random(x.shape) < 0.1] = -np.inf
        on = np.broadcast_to(mask.view(np.uint8) != 0, x.shape)
        taken = (
            np.maximum(x, np.finfo(dtype).min) if function.name == "hardmax" else x
        )  # 1 at the first that takes part
        filled = np.where(on, taken, function.absent).astype(dtype)
        x = np.where(on, x, rng.choice([np.nan, np.inf, -np.inf, 1e30], x.shape)).astype(dtype)
        columns, cube, spread = x.T.copy(), np.stack([x.T, x.T]), np.broadcast_to(mask, x.shape)
        with fr.precision(precision):
            wanted = forward(filled, -1, None, True)
            wanted[~on.any(1)] = function.gone
            for laid, where in ((x, mask), (LAYOUTS["every second"](x), mask), (x, spread.copy("F"))):
                assert_same_bits(forward(laid, -1, None, where), wanted)
            for where in (mask.T, spread.T.copy("C")):
                assert_same_bits(forward(columns, 0, None, where), wanted.T)
                assert_same_bits(forward(target := columns.copy(), 0, target, where), wanted.T)
                assert_same_bits(forward(cube, 1, None, where), np.stack([wanted.T, wanted.T]))
            assert_same_bits(forward(columns[:, ::-1], 0, None, mask.T[:, ::-1]), wanted.T[:, ::-1])
            assert_same_bits(forward(columns[:, 1:], 0, None, spread.T[:, 1:]), wanted.T[:, 1:])


@each_function
@each_precision
def test_padding_has_no_gradient(function: Function, precision: fr.runtime.Precision) -> None:
    """The gradient of a masked element is 0, and its element of `grad` is not used."""
    x = np.random.default_rng(11).normal(0, 2, (5, 30)).astype(np.float32)
    mask = np.arange(30) < np.array([[3], [30], [17], [1], [29]])
    grad = np.random.default_rng(12).normal(size=x.shape).astype(np.float32)
    with fr.precision(precision):
        y = function.forward(x, where=mask)
        dx = function.backward(np.where(mask, grad, np.nan).astype(np.float32), y)
        for row, own in enumerate(mask):
            alone = function.backward(grad[row][own], function.forward(x[row][own]))
            np.testing.assert_allclose(dx[row][own], alone, rtol=1e-5, atol=1e-6)
            assert (dx[row][~own] == 0).all()


# --- Gradients --------------------------------------------------------------------------------------------------------------


@each_smooth
@each_dtype
@each_precision
@each_isa
@pytest.mark.parametrize("n", [1, 2, 10, 16, 100, 1000])
def test_gradient(function: Function, dtype: str, precision: fr.runtime.Precision, isa: str, n: int) -> None:
    """Within 4 roundings (1.1 where accurate) of the terms whose difference it is."""
    needs_wide(np.dtype(dtype))
    rng = np.random.default_rng(13)
    y = function.forward(rng.normal(0, 4, (20, n)).astype(dtype))
    grad = rng.normal(0, 3, (20, n)).astype(dtype)
    with fr.precision(precision):
        got = _rows.from_output(KERNELS[isa], function.kind, grad, y, -1, None)
    g, wide = grad.astype(np.longdouble), y.astype(np.longdouble)
    if function.name == "log_softmax":
        part = np.exp(wide) * g.sum(-1, keepdims=True)
        exact, size = g - part, np.abs(g) + np.abs(part)
    else:
        dot = (g * wide).sum(-1, keepdims=True)
        exact, size = wide * (g - dot), np.abs(wide) * (np.abs(g) + np.abs(g * wide).sum(-1, keepdims=True))
        exact = -exact if function.name == "softmin" else exact
    limit = (1.1 if precision == "accurate" else 4) * float(np.finfo(np.dtype(dtype)).eps) / 2
    assert (np.abs(got - exact) <= limit * size + np.finfo(np.dtype(dtype)).smallest_subnormal).all()


@each_function
@each_dtype
@each_precision
@pytest.mark.parametrize("n", [2, 3, 20, 40, 200])
def test_gradient_of_what_has_no_share(function: Function, dtype: str, precision: fr.runtime.Precision, n: int) -> None:
    """An element without a share has the gradient +0 for any grad, and its grad changes nothing beside it."""
    rng = np.random.default_rng(14)
    most = np.finfo(np.dtype(dtype)).max
    y = rng.random((40, n)).astype(dtype)
    y[:, 0] = function.gone
    grad = rng.normal(size=(40, n)).astype(dtype)
    plain = grad.copy()
    plain[:, 0] = 0
    grad[:, 0] = np.resize([np.nan, np.inf, -np.inf, most, -most, 1, -0.0, 0], 40)
    grad[::9, 1] = plain[::9, 1] = most / 2
    with fr.precision(precision):
        wanted = function.backward(plain, y)
        assert_same_bits(wanted[:, 0], np.zeros(40, dtype))
        assert_same_bits(function.backward(grad, y), wanted)
        assert_same_bits(function.backward(np.ascontiguousarray(grad.T), np.ascontiguousarray(y.T), 0).T, wanted)
        for row in range(40):
            assert_same_bits(function.backward(grad[row], y[row]), wanted[row])


@each_smooth
def test_gradient_is_the_derivative(function: Function) -> None:
    """Central differences of the function in long double."""
    needs_wide(np.dtype("float64"))
    rng = np.random.default_rng(14)
    x, grad = rng.normal(0, 2, 8), rng.normal(size=8)
    step = np.longdouble(2) ** -20
    wanted = []
    for i in range(8):
        moved = [x.astype(np.longdouble) for _ in range(2)]
        moved[0][i] += step
        moved[1][i] -= step
        up, down = (reference(function, m) for m in moved)
        wanted.append(float((grad * (up - down)).sum() / (2 * step)))
    np.testing.assert_allclose(function.backward(grad, function.forward(x)), wanted, rtol=1e-9, atol=1e-11)


# --- Errors -----------------------------------------------------------------------------------------------------------------


@each_function
def test_errors(function: Function) -> None:
    """Each wrong argument is refused with its reason, before anything is written."""
    x = np.ones((2, 3), np.float32)
    with pytest.raises(np.exceptions.AxisError, match="axis 2 is out of bounds"):
        function.forward(x, 2)
    with pytest.raises(np.exceptions.AxisError):
        function.forward(x, (0, 5))
    with pytest.raises(ValueError, match="repeated axis"):
        function.forward(x, (0, 0))
    with pytest.raises(TypeError):
        function.forward(x, 1.0)
    for bad in (x.astype(complex), np.array(["a"]), np.array([object()])):
        with pytest.raises(TypeError, match="takes real numbers"):
            function.forward(bad)
    with pytest.raises(TypeError, match=r"where=~x\.mask"):
        function.forward(np.ma.masked_array(x))
    with pytest.raises(TypeError, match="where must be of type bool"):
        function.forward(x, where=[1, 0, 1])
    with pytest.raises(ValueError, match="broadcast"):
        function.forward(x, where=np.ones((2, 2, 3), bool))
    with pytest.raises(ValueError, match=r"out has the shape \(3, 2\), the result \(2, 3\)"):
        function.forward(x, out=np.empty((3, 2), np.float32))
    with pytest.raises(TypeError, match="cannot be cast into out of type int64"):
        function.forward(x, out=np.empty((2, 3), np.int64))
    with pytest.raises(TypeError, match="not into 'list'"):
        function.forward(x, out=[1, 2])
    with pytest.raises(TypeError, match="not into 'list'"):
        function.in_place([1.0, 2.0])
    frozen = x.copy()
    frozen.flags.writeable = False
    calls: list[Callable[[], Any]] = [lambda: function.in_place(frozen), lambda: function.forward(x, out=frozen)]
    for call in calls:
        with pytest.raises(ValueError, match="read-only"):
            call()
    with pytest.raises(TypeError, match="cannot be cast"):
        function.in_place(np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match="the same shape"):
        function.backward(x, np.ones(3, np.float32))


def test_no_warnings() -> None:
    """No warning reports overflow, underflow or an invalid operation."""
    with np.errstate(all="raise"):
        for function in FUNCTIONS:
            y = function.forward(np.array([[np.inf, 1, -np.inf], [1e38, -1e38, 0], [np.nan, 1, 2]], np.float32))
            function.backward(np.array([[1, 2, 3]] * 3, np.float32), y)


_SHAPES = ((1, 700), (300, 1), (3, 700), (60, 41), (41, 60), (7, 5, 40), (40, 5, 7), (2, 3, 1, 50))


def _spread(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Iterator[Array]:
    """Yield arrays of a shape that repeat their numbers along some axes: along each set of them."""
    for repeated in itertools.product((False, True), repeat=len(shape)):
        short = tuple(1 if again else n for n, again in zip(shape, repeated, strict=True))
        yield np.broadcast_to(rng.normal(0, 3, short).astype(dtype), shape)


@each_dtype
@pytest.mark.parametrize("shape", _SHAPES)
def test_repeated_numbers(dtype: str, shape: tuple[int, ...]) -> None:
    """Operands whose elements share memory give the bits of full ones, also into memory that they are part of."""
    rng = np.random.default_rng(len(shape))
    full = rng.normal(0, 1, shape).astype(dtype)
    gradients = [getattr(fr, f"{name}_backward_from_output") for name in _row_kernels.names]
    for x, axis in itertools.product(_spread(rng, shape, dtype), (*range(len(shape)), None)):
        for gradient in gradients:
            for g, y in ((x, full), (full, x), (x, x)):
                wanted = gradient(g.copy("C"), y.copy("C"), axis)
                assert_same_bits(gradient(g, y, axis), wanted, (gradient, g.strides, y.strides, axis))
                out = np.empty(shape, dtype, "F")
                assert gradient(g, y, axis, out=out) is out
                assert_same_bits(out, wanted, (gradient, g.strides, y.strides, axis))
                mine = full.copy()
                if y is full:
                    assert_same_bits(gradient(g, mine, axis, out=mine), wanted, (gradient, g.strides, axis))
                    inside = np.broadcast_to(mine[tuple(slice(0 if s else None, 1) for s in g.strides)], shape)
                    wanted = gradient(inside.copy("C"), mine.copy(), axis)
                    assert_same_bits(gradient(inside, mine, axis, out=mine), wanted, (gradient, g.strides, axis))
        assert_same_bits(fr.softmax(x, axis), fr.softmax(x.copy("C"), axis), (x.strides, axis))


@pytest.mark.parametrize("dtype", ["f2", "bfloat16", "i2", ">f4", "broadcast"])
@pytest.mark.parametrize(
    "shape", [(700, 600), (3, 200, 700), (9000, 40), (70, 3, 900), (90, 160, 12), (2, 300001), (300001, 2), (1, 300001)]
)
def test_blocks(shape: tuple[int, ...], dtype: str) -> None:
    """What is converted in blocks of rows has the bits of parts that fit into one, along each axis and in each order."""
    rng = np.random.default_rng(0)
    kind: Any = (
        pytest.importorskip("ml_dtypes", reason="the extra 'test' brings it").bfloat16 if dtype == "bfloat16" else dtype
    )
    x = (rng.normal(0, 3, shape) if kind != "i2" else rng.integers(-5, 6, shape)).astype(
        "f4" if kind == "broadcast" else kind
    )
    y = np.broadcast_to(x[..., :1], shape) if kind == "broadcast" else x[::-1]
    mask, sums = rng.random(shape) < 0.7, rng.normal(0, 1, shape).astype(x.dtype.newbyteorder("="))
    calls: dict[str, Callable[..., Any]] = {
        "softmax": lambda x, _y, _m, _s, axis: fr.softmax(x, axis),
        "masked": lambda x, _y, m, _s, axis: fr.log_softmax(x, axis, where=m),
        "options": lambda x, _y, m, s, axis: fr.softmax(x, axis, scale=0.5, bias=m.astype("f4"), sink=s),
        "gradient": lambda x, y, _m, _s, axis: fr.softmax_backward_from_output(y, x, axis),
        "logsumexp": lambda x, _y, _m, _s, axis: fr.logsumexp(x, axis),
        "masked mean": lambda x, _y, m, _s, axis: fr.logmeanexp(x, axis, where=m, keepdims=True),
        "its gradient": lambda x, _y, m, s, axis: fr.logsumexp_backward(s, x, axis, where=m),
    }
    for axis in range(len(shape)):
        other = max((k for k in range(len(shape)) if k != axis), key=lambda k: shape[k])
        sink = np.take(sums, 0, axis)
        for name, call in calls.items():
            parts = []
            for part in np.array_split(np.arange(shape[other]), 8):
                s = np.take(sink, part, other - (other > axis))
                parts.append(call(*(np.take(v, part, other) for v in (x, y, mask)), s, axis))
            wanted = np.concatenate(parts, other - (other > axis) * (parts[0].ndim < len(shape)))
            for order in ("C", "F"):
                for threads in (1, 2):
                    with fr.threads(threads):
                        got = call(x.copy(order), y, mask, sink, axis)
                    assert_same_bits(got, wanted, (name, axis, order, threads))
            if name == "softmax" and x.dtype == wanted.dtype:
                mine = x.copy()
                assert_same_bits(fr.softmax_(mine, axis), wanted, axis)
    pairs = tuple(range(len(shape)))[-2:]
    assert_same_bits(fr.softmax(x, pairs), fr.softmax(x.reshape(*shape[:-2], -1), -1).reshape(shape))


@pytest.mark.parametrize("dtype", ["f2", "bfloat16"])
@pytest.mark.parametrize(
    "shape", [(700, 600), (1000, 512), (9000, 40), (40, 9000), (70, 3, 900), (90, 160, 12), (6, 9, 8, 500)]
)
def test_parts_of_threads(shape: tuple[int, ...], dtype: str) -> None:
    """Rows of 16 bits that threads convert for themselves have the bits of float32, rounded once.

    Along each axis, in each layout, in new arrays and in those that are given, in place of each operand too.
    """
    rng = np.random.default_rng(0)
    kind: Any = (
        pytest.importorskip("ml_dtypes", reason="the extra 'test' brings it").bfloat16 if dtype != "f2" else "f2"
    )
    x, grad = (rng.normal(0, 3, shape).astype("f4").astype(kind) for _ in range(2))
    mask = rng.random(shape) < 0.7
    mask[0] = False
    layouts: list[Callable[[Array], Array]] = [
        np.copy,
        np.asfortranarray,
        lambda v: v.copy().swapaxes(0, -1).copy().swapaxes(0, -1),
        lambda v: np.concatenate([v, v], -1)[..., : shape[-1]],
        lambda v: np.repeat(v, 2, 0)[::2],
        lambda v: np.repeat(v, 2, -1)[..., ::2],
        lambda v: v[..., ::-1].copy()[..., ::-1],
    ]
    for axis, name in itertools.product(range(len(shape)), ("softmax", "log_softmax", "hardmax", "sparsemax")):
        function, backward = getattr(fr, name), getattr(fr, f"{name}_backward_from_output")
        with fr.threads(1):
            wide, masked = function(x.astype("f4"), axis), function(x.astype("f4"), axis, where=mask)
            y = wide.astype(kind)
            calls: list[tuple[Callable[..., Any], Array, tuple[Array, ...]]] = [
                (lambda x, out, axis=axis, f=function: f(x, axis, out=out), y, (x,)),
                (lambda x, out, axis=axis, f=function: f(x, axis, out=out, where=mask), masked.astype(kind), (x,)),
                (
                    lambda g, y, out, axis=axis, f=backward: f(g, y, axis, out=out),
                    backward(grad.astype("f4"), y.astype("f4"), axis).astype(kind),
                    (grad, y),
                ),
            ]
        for (call, wanted, operands), lay, threads in itertools.product(calls, layouts, (1, 2)):
            with fr.threads(threads):
                laid = [lay(v) for v in operands]
                assert_same_bits(call(*laid, None), wanted, (name, axis, laid[0].strides))
                out = lay(np.zeros_like(x))
                assert call(*laid, out) is out
                assert_same_bits(out, wanted, (name, axis, laid[0].strides))
                for k, mine in enumerate(laid):  # in place, and over what has been read already or is still to be read
                    others = [lay(v) for v in operands]
                    others[k] = mine
                    assert call(*others, mine) is mine
                    assert_same_bits(mine, wanted, (name, axis, mine.strides))
        if name == "softmax":
            gaps = layouts[-2](x)  # converted in blocks
            masks: list[Any] = [True, mask]
            for where, lay, threads in itertools.product(masks, layouts, (1, 2)):
                with fr.threads(threads):
                    for f, keepdims in ((fr.logsumexp, False), (fr.logmeanexp, True)):
                        wanted = f(gaps, axis, where=where, keepdims=keepdims)
                        assert_same_bits(
                            f(lay(x), axis, where=where, keepdims=keepdims), wanted, (axis, lay(x).strides)
                        )
        room = np.zeros(x.size + shape[-1], x.dtype)
        for first, second in ((room[: x.size], room[shape[-1] :]), (room[shape[-1] :], room[: x.size])):
            first[:] = x.ravel()
            with fr.threads(2):
                got = function(first.reshape(shape), axis, out=second.reshape(shape))
            assert_same_bits(got, y, (name, axis))


def test_memory_of_16_bits() -> None:
    """Of arrays of 16 bits, copies are no larger than some blocks."""
    x = np.ones((1500, 2000), np.float16)
    block = 4 * _arguments.BLOCK
    calls: list[tuple[Callable[[], Any], int]] = [
        (lambda: fr.softmax_(x), x.nbytes),
        (lambda: fr.softmax(x, 0), x.nbytes),
        (lambda: fr.softmax_backward_from_output(x, x), x.nbytes),
        (lambda: fr.logsumexp_backward(x[0], x, 0), x.nbytes),
        (lambda: fr.logsumexp(x, 0), 0),
        (lambda: fr.logsumexp(x, 1), 0),
    ]
    with fr.threads(1):
        for call, result in calls:
            tracemalloc.start()
            try:
                call()
                assert tracemalloc.get_traced_memory()[1] < result + 3 * block
            finally:
                tracemalloc.stop()
