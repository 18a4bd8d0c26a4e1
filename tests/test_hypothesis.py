"""Properties over shapes, types, views and overlaps that no table would think of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis.extra.numpy as npst
import numpy as np
from cases import CASES, PARAMETRIC_CASES, TWO_INPUT_CASES, Case
from compare import assert_same_bits
from grid import DTYPES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import values

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array


# The same examples in every run and no clock: a test that fails, fails again.
steady = settings(
    derandomize=True, deadline=None, database=None, max_examples=100, suppress_health_check=list(HealthCheck)
)
shapes = npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7)
kernels = st.sampled_from(CASES)
types = st.sampled_from(
    [np.dtype(name) for name in ["f4", "f8", ">f4", "<f8", ">f8", "f2", "?", "i1", "u2", "i4", "u8"]]
)
precisions = st.sampled_from(["fast", "accurate"])


def filled(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int) -> Array:
    """Return an array of any type with numbers that it can hold."""
    kind = np.dtype(dtype)
    x = values(int(np.prod(shape)), "f8" if kind.itemsize == 8 else "f4", seed)
    if kind.kind != "f":
        x = np.nan_to_num(x).clip(0, 9).round()
    elif kind.itemsize == 2:
        x = x.clip(-6e4, 6e4)
    return x.astype(kind).reshape(shape)


def plain(case: Case, data: list[Array], params: list[Any]) -> Array:
    """Compute on copies of the broadcast inputs in the type of the result, contiguous and aligned."""
    typed = [p for p in params if isinstance(p, np.ndarray)]
    half = np.result_type(*data, *typed) == np.float16
    loop = "f2" if half else "f4" if all(np.can_cast(a.dtype, "f4") for a in [*data, *typed]) else "f8"
    shape = np.broadcast_shapes(*[a.shape for a in data], *[p.shape for p in typed])
    full = [np.broadcast_to(a, shape).astype(loop, order="C") for a in data]
    columns = [np.broadcast_to(p, shape).astype(loop, order="C") if isinstance(p, np.ndarray) else p for p in params]
    return np.asarray(case(*full, *columns))


@st.composite
def views(draw: st.DrawFn, x: Array) -> Array:
    """Return a view of x: any basic index, order of axes, direction."""
    if x.ndim:
        index = draw(npst.basic_indices(x.shape, max_dims=8, allow_newaxis=True, allow_ellipsis=True))
        x = x[index]
        x = np.asarray(x) if not isinstance(x, np.ndarray) else x
    if x.ndim > 1:
        x = x.transpose(draw(st.permutations(range(x.ndim))))
    return x


@steady
@given(st.data(), kernels, shapes, types, precisions)
def test_any_view(data: st.DataObject, case: Case, shape: tuple[int, ...], dtype: np.dtype[Any], level: Any) -> None:
    """Any view of any type gives the bits of its plain copy, with the shape and order that NumPy gives."""
    x = data.draw(views(filled(shape, dtype, 1)))
    inputs = [x, *[filled(x.shape, dtype, 2)] * (case.ndata - 1)]
    with fr.precision(level):
        got = case(*inputs)
        assert_same_bits(got, plain(case, inputs, list(case.params)))
    # NumPy's own ufunc of one input says in which order the axes of the result lie.
    if case.ufunc.nin == 1 and x.dtype == got.dtype and got.size and 1 not in got.shape:
        assert got.strides == np.positive(x).strides


@steady
@given(st.data(), kernels, npst.mutually_broadcastable_shapes(num_shapes=6, max_dims=4, max_side=5), precisions)
def test_any_broadcast(data: st.DataObject, case: Case, shaped: npst.BroadcastableShapes, level: Any) -> None:
    """Any shapes that meet, any types, any parameters as arrays."""
    inputs = [filled(shaped.input_shapes[j], data.draw(types), j) for j in range(case.ndata)]
    params: list[Any] = []
    for j, value in enumerate(case.params):
        kind = data.draw(st.sampled_from(["number", "f4", "f8"]))
        shape = shaped.input_shapes[case.ndata + j]
        params.append(value if kind == "number" else np.full(shape, value, kind))
    with fr.precision(level):
        expected = plain(case, inputs, params)
        assert_same_bits(case(*inputs, *params), expected)
        out = np.zeros(expected.shape, expected.dtype, order=data.draw(st.sampled_from("CF")))
        assert case(*inputs, *params, out=out) is out
        assert_same_bits(out, expected)


@steady
@given(st.data(), kernels, npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9), st.sampled_from(DTYPES))
def test_any_overlap(data: st.DataObject, case: Case, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Any two windows on the same memory, of the same shape: as if the inputs had been copied."""
    block = filled(tuple(2 * n + 2 for n in shape), dtype, 3)
    expected = block.copy()

    def window() -> Callable[[Array], Array]:
        steps = [data.draw(st.sampled_from([1, 2, -1, -2])) for _ in shape]
        index = []
        for n, step, side in zip(shape, steps, block.shape, strict=True):
            reach = (n - 1) * abs(step)
            low = data.draw(st.integers(0, side - 1 - reach))
            span = slice(low, low + reach + 1)
            index.append((span, slice(None, None, step)))
        outer, inner = tuple(i for i, _ in index), tuple(i for _, i in index)
        return lambda memory: memory[outer][inner]

    pick = [window() for _ in range(case.ndata)]
    place = window()
    place(expected)[...] = case(*[p(block).copy() for p in pick])
    out = place(block)
    assert case(*[p(block) for p in pick], out=out) is out
    assert_same_bits(block, expected)


@steady
@given(st.data(), kernels, shapes, st.sampled_from(DTYPES))
def test_any_mask(data: st.DataObject, case: Case, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Any mask that broadcasts: elsewhere `out` keeps its bits."""
    inputs = [filled(shape, dtype, j) for j in range(case.ndata)]
    narrow = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    mask = data.draw(npst.arrays(bool, narrow[data.draw(st.integers(0, len(shape))) :]))
    out = np.full(shape, 7, dtype)
    assert case(*inputs, out=out, where=mask) is out
    assert_same_bits(out, np.where(mask, case(*inputs), dtype.type(7)))


@steady
@given(
    st.data(),
    st.sampled_from(TWO_INPUT_CASES),
    npst.array_shapes(max_dims=3, max_side=9),
    st.sampled_from(DTYPES),
)
def test_any_reduction(data: st.DataObject, case: Case, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Along any axis of any view, a reduction is the last element of the accumulation, and that a loop."""
    x = np.abs(filled(shape, dtype, 4))[tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in shape)]
    axis = data.draw(st.integers(0, x.ndim - 1))
    rows = np.moveaxis(x, axis, 0)
    total = rows[0].copy()
    for row in rows[1:]:
        total = case.ufunc(total, row)
    assert_same_bits(case.ufunc.reduce(x, axis=axis), total)
    assert_same_bits(np.moveaxis(case.ufunc.accumulate(x, axis=axis), axis, 0)[-1], total)


@steady
@given(st.data(), st.sampled_from(PARAMETRIC_CASES), st.integers(0, 600), st.sampled_from(DTYPES))
def test_any_mixture_of_parameters(data: st.DataObject, case: Case, n: int, dtype: np.dtype[Any]) -> None:
    """Each element with its own row of parameters gives what it gives alone."""
    rows = [data.draw(st.sampled_from(case.grid)) for _ in range(3)]
    columns = [np.resize(np.array(column, dtype), n) for column in zip(*rows, strict=True)]
    inputs = [filled((n,), dtype, j) for j in range(case.ndata)]
    got = case(*inputs, *columns)
    for k, row in enumerate(rows):
        assert_same_bits(got[k::3], case(*[a[k::3] for a in inputs], *row))
