"""logsumexp and logmeanexp: values against long double, axes, masks, infinities, gradients, errors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import DTYPE_NAMES, ISAS, LAYOUTS, MASKS, PRECISIONS, needs_wide

import fastrelu as fr
from fastrelu import _logsumexp, _row_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

INF, NAN = np.inf, np.nan
each_dtype = pytest.mark.parametrize("dtype", DTYPE_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def reference(x: Array, axis: int = -1) -> Array:
    """Return the result in long double."""
    wide = x.astype(np.longdouble)
    at = np.expand_dims(wide.argmax(axis), axis)
    top = np.take_along_axis(wide, at, axis)
    beside = np.exp(wide - top)
    np.put_along_axis(beside, at, 0, axis)
    found: Array = np.squeeze(top, axis) + np.log1p(beside.sum(axis))
    return found


@each_dtype
@each_precision
@pytest.mark.parametrize("n", [1, 2, 3, 10, 17, 100, 1000, 50257])
def test_values(dtype: str, precision: fr.runtime.Precision, n: int) -> None:
    """The error is relative to the larger of the result and the largest element: their difference may cancel."""
    needs_wide(np.dtype(dtype))
    rng = np.random.default_rng(n)
    x = (
        rng.standard_normal((20, n)) * rng.choice([0, 1e-3, 3, 90], (20, 1)) + rng.choice([0, 80, -500], (20, 1))
    ).astype(dtype)
    wanted = reference(x)
    size = np.maximum(np.abs(wanted), np.abs(x.max(-1)))
    with fr.precision(precision):
        for got in (fr.logsumexp(x, -1), fr.logsumexp(np.ascontiguousarray(x.T), 0)):
            assert (np.abs(got - wanted) <= 2 * float(np.finfo(dtype).eps) * size).all()
            assert got.dtype == np.dtype(dtype)


@each_dtype
@each_precision
@pytest.mark.parametrize("shape", [(3, 2), (300, 2), (2, 300), (19, 33), (40, 300), (300, 40), (3, 700)])
def test_bits_of_gradients(dtype: str, precision: fr.runtime.Precision, shape: tuple[int, int]) -> None:
    """Gradients have the bits of `grad` times softmax, in every layout.

    Masked elements have 0 for any `grad`, also where the rest of the row is NaN or has no limit.
    """
    rng = np.random.default_rng(6)
    x = rng.normal(0, 3, shape).astype(dtype)
    grad = rng.normal(size=shape[0]).astype(dtype)
    mask = x > 0
    mask[0] = False
    mask[1:, 0] = True
    x[1::4, 0], x[2::8], x[6::8] = NAN, -INF, INF
    with fr.precision(precision), np.errstate(invalid="ignore"):  # NaN of infinities
        for factor, where in ((grad, True), (grad, mask), (np.resize([NAN, INF, -1], shape[0]).astype(dtype), mask)):
            wanted = fr.softmax(x, where=where)
            np.multiply(wanted, factor[:, np.newaxis], out=wanted, where=where)
            wanted[~np.broadcast_to(where, shape)] = 0
            assert_same_bits(fr.logsumexp_backward(factor, x, 1, where=where), wanted)
            for layout, lay in LAYOUTS.items():
                assert_same_bits(fr.logsumexp_backward(factor, lay(x), 1, where=where), wanted, layout)
            turned, across = np.ascontiguousarray(x.T), np.ascontiguousarray(np.broadcast_to(where, shape).T)
            for masked in (across, across if where is mask else True):
                assert_same_bits(fr.logsumexp_backward(factor, turned, 0, where=masked).T, wanted)
            out = x.copy()
            assert fr.logsumexp_backward(factor, out, 1, out=out, where=where) is out
            assert_same_bits(out, wanted)
            held = np.repeat(factor[:, np.newaxis], shape[1], 1)
            assert fr.logsumexp_backward(held[:, 0], x, 1, out=held, where=where) is held
            assert_same_bits(held, wanted, "written over grad")


@each_dtype
@each_precision
def test_beside_zero(dtype: str, precision: fr.runtime.Precision) -> None:
    """If the largest element is 0, the result has all its digits, which a rounded 1 + t would not leave."""
    gaps = np.linspace(1, -np.log(float(np.finfo(dtype).smallest_normal)) - 2, 300)
    x = np.stack([np.zeros_like(gaps), -gaps], -1).astype(dtype)
    with fr.precision(precision):
        got = fr.logsumexp(x, -1)
    wanted = np.log1p(np.exp(x[:, 1].astype(np.longdouble)))
    needs_wide(np.dtype(dtype))
    assert (np.abs(got - wanted) <= 3 * float(np.finfo(dtype).eps) * wanted).all()


@each_dtype
@each_precision
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("width", [35, 130, 512])
@pytest.mark.parametrize("n", [2, 40, 150, 600])
def test_sets_of_columns(isa: str, dtype: str, precision: fr.runtime.Precision, width: int, n: int) -> None:
    """Rows side by side have the bits of contiguous ones, on every instruction set, also as part of a wider array."""
    needs_wide(np.dtype(dtype))
    kernels = _row_kernels.RowKernels(isa)
    rng = np.random.default_rng(n)
    x = rng.normal(0, 3, (width, n)).astype(dtype)
    x[::50, n // 2], x[1::50, -1], x[2::50], x[3::50, 0] = INF, NAN, -INF, 80
    where = rng.random(x.shape) < 0.6
    where[::30] = False
    with fr.precision(precision):
        for whole, (mask, turned) in itertools.product((width, 1024), ((True, True), (where, where.T))):
            across = np.zeros((n, whole), dtype)[:, :width]
            across[...] = x.T
            wanted = _logsumexp.logsumexp(kernels, x, 1, None, mask, False, False)
            got = _logsumexp.logsumexp(kernels, across, 0, None, turned, False, False)
            assert_same_bits(got, wanted)


@each_dtype
@each_precision
def test_axes_and_layouts(dtype: str, precision: fr.runtime.Precision) -> None:
    """The same bits whatever the axis, the layout and the number of threads."""
    x = np.random.default_rng(0).normal(0, 3, (40, 33)).astype(dtype)
    with fr.precision(precision):
        wanted = np.array([fr.logsumexp(row) for row in x])
        for threads in (1, 2):
            with fr.threads(threads):
                assert_same_bits(fr.logsumexp(x, 1), wanted)
                assert_same_bits(fr.logsumexp(np.ascontiguousarray(x.T), 0), wanted)
        for layout, lay in LAYOUTS.items():
            assert_same_bits(fr.logsumexp(lay(x), 1), wanted, layout)
        large = np.random.default_rng(1).normal(0, 3, (700, 600)).astype(dtype)
        assert_same_bits(fr.logsumexp(large, 0), fr.logsumexp(np.ascontiguousarray(large.T), 1))


def test_shapes() -> None:
    """Tuples, None, `keepdims` and `out` as in a reduction of NumPy."""
    x = np.random.default_rng(1).normal(0, 3, (2, 3, 4))
    for axis in (None, 0, -1, (0, 2), (), (1, 0, 2)):
        for keepdims in (False, True):
            wanted = np.log(np.exp(x).sum(axis, keepdims=keepdims))
            got = fr.logsumexp(x, axis, keepdims=keepdims)
            assert np.shape(got) == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-13)
            mean = fr.logmeanexp(x, axis, keepdims=keepdims)
            np.testing.assert_allclose(mean, np.log(np.exp(x).mean(axis, keepdims=keepdims)), rtol=1e-12)
            grad = np.random.default_rng(2).normal(size=wanted.shape)
            dx = fr.logsumexp_backward(grad, x, axis, keepdims=keepdims)
            spread = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
            axes = tuple(range(3)) if axis is None else axis
            np.testing.assert_allclose(dx, (grad if keepdims else np.expand_dims(grad, axes)) * spread, rtol=1e-13)
            assert_same_bits(fr.logmeanexp_backward(grad, x, axis, keepdims=keepdims), dx)
    out = np.empty((2, 4), np.float32)
    assert fr.logsumexp(x, 1, out=out) is out
    np.testing.assert_array_equal(out, fr.logsumexp(x, 1).astype(np.float32))
    dx = np.empty(x.shape)
    assert fr.logsumexp_backward(np.ones((2, 4)), x, 1, out=dx) is dx
    assert type(fr.logsumexp(np.array([1, 2], np.float32))) is np.float32
    assert fr.logsumexp(3.0) == 3
    assert fr.logmeanexp(3.0) == 3
    assert fr.logsumexp_backward(2.0, 3.0) == 2


@each_dtype
@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0), (1, 0, 2), (2, 1, 7, 3), (5, 1), (70, 40)])
@pytest.mark.parametrize("function", [fr.logsumexp, fr.logmeanexp])
def test_one_axis_of_a_plain_array(function: Any, shape: tuple[int, ...], dtype: str) -> None:
    """The bits, the type and the shape are those of a call with a mask, which takes the general way."""
    x = np.random.default_rng(0).normal(0, 3, shape).astype(dtype)
    for special in (0, -0.0, np.inf, -np.inf, NAN):
        x.flat[:1] = special
        for axis in (None, *range(-len(shape), len(shape))):
            for keepdims in (False, True):
                got = function(x, axis, keepdims=keepdims)
                wanted = function(x, axis, keepdims=keepdims, where=np.ones(shape, np.bool_))
                assert type(got) is type(wanted)
                assert_same_bits(got, wanted, axis)
                out = np.full(np.shape(got), 7, dtype)
                assert function(x, axis, keepdims=keepdims, out=out) is out
                assert_same_bits(out, np.asarray(wanted), axis)
            grad = np.full(np.shape(wanted := function(x, axis)), 3, dtype)
            with np.errstate(invalid="ignore"):  # NaN of infinities
                dx = fr.logsumexp_backward(grad, x, axis)
                assert_same_bits(dx, fr.logsumexp_backward(grad, x, axis, where=np.ones(shape, np.bool_)), wanted)
    with pytest.raises(np.exceptions.AxisError):
        function(x, len(shape))


def _laid_out(x: Array) -> Iterator[Array]:
    """Yield the same numbers in every order of axes, and of those each backwards, with gaps, and in the other byte order."""
    for order in itertools.permutations(range(x.ndim)):
        back = np.argsort(order)
        moved = x.transpose(order).copy().transpose(back)
        yield moved
        yield np.repeat(x.transpose(order)[..., None], 2, -1)[..., 0].transpose(back)
        yield np.flip(np.flip(moved).copy())
        yield moved.astype(moved.dtype.newbyteorder())


@each_dtype
@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (4, 1), (1, 4), (3, 0), (1, 5, 2), (20, 2, 1), (3, 4, 5)])
@pytest.mark.parametrize("function", [fr.logsumexp, fr.logmeanexp])
def test_every_layout_of_an_operand(function: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Bits, types and shapes are those of a contiguous array, with masks of every layout too, and into its own memory."""
    rng = np.random.default_rng(len(shape))
    x = rng.normal(0, 3, shape).astype(dtype)
    x.flat[:2] = -0.0, -np.inf
    mask = rng.random(shape) < 0.6
    axes: list[Any] = [None, *range(len(shape)), *itertools.combinations(range(len(shape)), 2), ()]
    for axis, keepdims, masked in itertools.product(axes, (False, True), (False, True)):
        where = mask if masked else True
        wanted = function(x, axis, where=where, keepdims=keepdims)
        for y, laid_mask in zip(_laid_out(x), _laid_out(mask), strict=True):
            on = laid_mask if masked else True
            got = function(y, axis, where=on, keepdims=keepdims)
            assert type(got) is type(wanted)
            assert_same_bits(got, wanted, (axis, y.strides))
            for out in (np.full(np.shape(got), 7, dtype), np.full((*np.shape(got), 2), 7, dtype)[..., 0]):
                assert function(y, axis, out=out, where=on, keepdims=keepdims) is out
                assert_same_bits(out, np.asarray(wanted), (axis, y.strides))
            own = np.array(y, order="K")
            if keepdims and wanted.size <= own.size:
                at: tuple[Any, ...] = (*(slice(n) for n in np.shape(wanted)), ...)
                function(own, axis, out=own[at], where=on, keepdims=True)
                assert_same_bits(own[at].astype(dtype), np.asarray(wanted), (axis, y.strides))
    one = np.broadcast_to(np.float32(1.5), (4, 1, 3))
    for axis in range(3):
        assert_same_bits(function(one, axis), function(one.copy(), axis))


@each_dtype
@each_precision
def test_infinities(dtype: str, precision: fr.runtime.Precision) -> None:
    """NaN, +inf, -inf, in this order; no elements are the sum 0 and the mean of nothing."""
    rows = [([1, -INF], 1), ([INF, 1], INF), ([INF, INF], INF), ([INF, -INF], INF), ([-INF, -INF], -INF), ([NAN, 1], NAN),
            ([INF, NAN], NAN), ([-INF, NAN], NAN)]  # fmt: skip  # a table
    with fr.precision(precision):
        for row, wanted in rows:
            for pad in (0, 10, 300):
                x = np.array(row + [-INF] * pad, dtype)
                np.testing.assert_array_equal(fr.logsumexp(x), np.array(wanted, dtype))
                np.testing.assert_array_equal(fr.logsumexp(np.tile(x, (20, 1)), 1), np.full(20, wanted, dtype))
        assert fr.logsumexp(np.empty(0, dtype)) == -INF
        assert np.isnan(fr.logmeanexp(np.empty(0, dtype)))
        np.testing.assert_array_equal(fr.logsumexp(np.empty((3, 0), dtype), 1), [-INF] * 3)
        assert fr.logsumexp(np.empty((0, 3), dtype), 1).shape == (0,)


@each_dtype
@pytest.mark.parametrize("shape", [(30, 10), (5, 400), (40, 300)])
def test_where(dtype: str, shape: tuple[int, int]) -> None:
    """Masked elements take no part, whatever they are; their gradient is 0."""
    rng = np.random.default_rng(3)
    x, mask = rng.normal(0, 3, shape).astype(dtype), rng.random(shape) < 0.6
    mask[2] = False
    x[~mask] = np.nan
    filled = np.where(mask, x, -INF).astype(dtype)
    wanted = fr.logsumexp(filled, 1)
    assert wanted[2] == -INF
    assert_same_bits(fr.logsumexp(x, 1, where=mask), wanted)
    assert_same_bits(fr.logsumexp(x.T, 0, where=mask.T), wanted)
    assert_same_bits(fr.logsumexp(np.ascontiguousarray(x.T), 0, where=mask.T), wanted)
    counted = np.delete(fr.logmeanexp(x, 1, where=mask), 2)
    np.testing.assert_allclose(counted, np.delete(wanted - np.log(mask.sum(1).clip(1)), 2), rtol=1e-5)
    grad = rng.normal(size=shape[0]).astype(dtype)
    grad[3] = np.nan
    dx = fr.logsumexp_backward(grad, x, 1, where=mask)
    assert (dx[~mask] == 0).all()
    assert np.isnan(dx[3][mask[3]]).all()
    assert np.isfinite(np.delete(dx, 3, 0)).all()


@each_dtype
@each_precision
@pytest.mark.parametrize("n", [1, 2, 7, 17, 33, 130, 600])
def test_where_of_every_layout(dtype: str, precision: fr.runtime.Precision, n: int) -> None:
    """Bits under masks of every kind are those of contiguous rows with -inf in place, wherever the rows lie."""
    rng = np.random.default_rng(n)
    for m, mask_of in itertools.product((1, 2, 3, 4, 5, 8, 15, 16, 17, 40, 150), MASKS.values()):
        x, mask = rng.normal(0, 3, (m, n)).astype(dtype), mask_of(rng, m, n)
        on = np.broadcast_to(mask.view(np.uint8) != 0, x.shape)
        filled = np.where(on, x, -INF).astype(dtype)
        x = np.where(on, x, NAN).astype(dtype)
        columns, spread = x.T.copy(), np.broadcast_to(mask, x.shape)
        with fr.precision(precision):
            wanted = fr.logsumexp(filled, 1)
            assert_same_bits(fr.logsumexp(x, 1, where=mask), wanted)
            assert_same_bits(fr.logsumexp(LAYOUTS["every second"](x), 1, where=spread.copy("F")), wanted)
            for where in (mask.T, spread.T.copy("C")):
                assert_same_bits(fr.logsumexp(columns, 0, where=where), wanted)
                assert_same_bits(fr.logsumexp(np.stack([columns, columns]), 1, where=where), np.stack([wanted, wanted]))


def test_errors() -> None:
    """Wrong arguments are refused with their reason, before anything is written."""
    x = np.ones((4, 3))
    out = np.full(4, 7.0)
    with pytest.raises(np.exceptions.AxisError):
        fr.logsumexp(x, 2, out=out)
    with pytest.raises(ValueError, match=r"logsumexp: out has the shape \(4,\), the result \(3,\)"):
        fr.logsumexp(x, 0, out=out)
    with pytest.raises(ValueError, match="logmeanexp: where of shape"):
        fr.logmeanexp(x, 1, out=out, where=[True, False])
    with pytest.raises(TypeError, match="logsumexp: where must be of type bool"):
        fr.logsumexp(x, 1, out=out, where=x)
    with pytest.raises(TypeError, match=r"pass x\.data"):
        fr.logsumexp(np.ma.masked_array(x), 1, out=out)
    with pytest.raises(TypeError, match="takes real numbers"):
        fr.logsumexp(x * 1j, 1, out=out)
    with pytest.raises(TypeError, match="cannot be cast"):
        fr.logsumexp(x, 1, out=np.zeros(4, int))
    with pytest.raises(
        ValueError, match=r"logsumexp_backward: grad must have the shape of the result, \(4,\), not \(3,\)"
    ):
        fr.logsumexp_backward(np.ones(3), x, 1)
    assert (out == 7).all()
