"""Promise 1, forward and backward: every kernel is right over the full range, within the limits of its row."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from cases import Case, each_parametric_case, kernels
from compare import assert_same_bits, assert_within_limit, crossing_bounds
from grid import WIDE, needs_wide
from inputs import data_of, expected, gradients, inputs, rounded, samples, tiled
from specs import BACKWARD, FROM_OUTPUT, Array, Params, Precision

import fastrelu as fr
from fastrelu import _core


def settle(case: Case, got: Array, exact: Array, x: Array, params: tuple[Any, ...]) -> Array:
    """Return the reference, with the other piece's derivative where rounding decides the piece and `got` took it."""
    if case.direction != BACKWARD:
        return exact
    with np.errstate(all="ignore"):  # infinities and NaN are among the inputs
        blurred = case.spec.blurred(float(np.finfo(x.dtype).eps), x.astype(exact.dtype), *params)
        other = blurred & np.isin(got, np.unique(exact.astype(got.dtype)))
    return np.where(other, got.astype(exact.dtype), exact)


def test_values(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Numbers as parameters: the error is within the limit, and the sign is right."""
    needs_wide(dtype)
    for params in case.grid:
        x = inputs(case, params, dtype)
        got = case.on(isa, precision, *data_of(case, x), *params)
        exact = settle(case, got, expected(case, params, dtype), x, rounded(params, dtype))
        absolute = crossing_bounds(case, params, x, isa, precision)
        assert_within_limit(case, got, exact, x, absolute, isa, precision, context=str(params))
        # A result that underflows keeps its sign; forward, an exact zero has the sign of the reference too.
        signed = ~np.isnan(exact) & (absolute == 0) & ((exact != 0) | (case.direction == 0))
        if not case.spec.signed_zeros:
            signed &= got != 0
        wrong = signed & (np.signbit(got) != np.signbit(exact))
        assert not wrong.any(), f"{case.name}{params}: wrong sign of {got[wrong][:3]} at x={x[wrong][:3]}"


@each_parametric_case
def test_array_parameters(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Other parameters in every lane."""
    needs_wide(dtype)
    grid = case.grid
    x = samples(case.spec, grid[0], dtype)
    params = tiled(case, x.size, dtype)
    wide = tuple(values.astype(WIDE[dtype]) for values in params)
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        if case.direction == FROM_OUTPUT:
            x = np.asarray(case.spec.forward(x.astype(WIDE[dtype]), *wide)).astype(dtype)
        exact = np.asarray(case.spec.reference(case.direction)(x.astype(WIDE[dtype]), *wide), WIDE[dtype])
    got = case.on(isa, precision, *data_of(case, x), *params)
    absolute = np.zeros(x.shape)
    for lane, values in enumerate(grid):
        absolute[lane :: len(grid)] = crossing_bounds(case, values, x[lane :: len(grid)], isa, precision)
    assert_within_limit(case, got, settle(case, got, exact, x, wide), x, absolute, isa, precision)


@each_parametric_case
def test_parameters_same_bits(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """A parameter gives the same bits as a number, an array, a NumPy scalar, and in any mixture of them."""
    for params in case.grid:
        x = samples(case.spec, params, dtype)[:1500]
        data = data_of(case, x, gradients(dtype, x.size))
        wanted = case.on(isa, precision, *data, *params)
        kinds: tuple[Any, ...] = (float, functools.partial(np.full, x.size, dtype=dtype))
        for mixture in itertools.product(kinds, repeat=len(params)):
            got = case.on(isa, precision, *data, *(kind(v) for kind, v in zip(mixture, params, strict=True)))
            assert_same_bits(got, wanted, f"{case.name}{params} as {mixture}")
        for kind in (dtype.type, lambda value: np.array(value, dtype), lambda value: np.array([value], dtype)):
            got = case.on(isa, precision, *data, *(kind(value) for value in params))
            assert_same_bits(got, wanted, f"{case.name}{params} as scalars of the type")


def parts(case: Case, dtype: np.dtype[Any], size: int) -> tuple[Array, ...]:
    """Return data operands without NaN, whose results can be compared by their bytes."""
    x = inputs(case, case.params, dtype)
    x = x[np.isfinite(x)][:size]
    return data_of(case, x, gradients(dtype, x.size))


def parameter_kinds(case: Case, dtype: np.dtype[Any], size: int) -> list[tuple[Any, ...]]:
    """Return the usual parameters as numbers and, if there are any, arrays that differ in every lane."""
    params: Params = case.params
    return [params, tiled(case, size, dtype)] if params else [params]


def test_positions(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: 1 to 130 elements at offsets 0 to 15 have the bits they have in a long array, and no more is written."""
    size = 1024
    data = parts(case, dtype, size)
    kernel = kernels(isa)[case.name]
    with fr.precision(precision):
        for params in parameter_kinds(case, dtype, size):
            arrays = bool(params) and isinstance(params[0], np.ndarray)
            whole = _core.call(kernel, None, True, *data, *params)
            lengths = range(1, 131, 9 if arrays else 1)
            for offset in range(16):
                # Windows start in the vector body of the long array, and end up at another alignment, with a gap.
                start, to = 128 + offset, offset * 7 % 16
                buffer = np.full(to + sum(lengths) + len(lengths), 12345, dtype)
                wanted = buffer.copy()
                for n in lengths:
                    window = slice(start, start + n)
                    chosen = [values[window] for values in params] if arrays else params
                    _core.call(kernel, buffer[to : to + n], True, *(d[window] for d in data), *chosen)
                    wanted[to : to + n] = whole[window]
                    to += n + 1
                assert_same_bits(buffer, wanted, f"{case.name} at offset {offset}")


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda x: np.repeat(x, 2)[::2], id="every second"),
        pytest.param(lambda x: x[::-1].copy()[::-1], id="backwards"),
        pytest.param(lambda x: np.pad(x.reshape(8, -1), ((0, 0), (1, 2)))[:, 1:-2], id="inner block"),
        pytest.param(lambda x: np.pad(x.reshape(8, -1).T.copy(), ((0, 0), (0, 3)))[:, :-3].T, id="columns"),
    ],
)
def test_strides(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision, layout: Any) -> None:
    """Promise 3: strided operands give the bits of dense ones, with numbers and with arrays as parameters."""
    size = 1024
    data = parts(case, dtype, size)
    for params in parameter_kinds(case, dtype, size):
        whole = case.on(isa, precision, *data, *params)
        views = [layout(d) for d in data]
        assert not views[0].flags.c_contiguous
        chosen = [layout(p) if isinstance(p, np.ndarray) else p for p in params]
        got = case.on(isa, precision, *views, *chosen)
        assert_same_bits(got, whole.reshape(views[0].shape), case.name)


def test_one_element(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: an element alone has the bits it has in an array: as an array, 0-d, or a NumPy scalar."""
    data = parts(case, dtype, 128)
    params = case.params
    whole = case.on(isa, precision, *data, *params)
    alone = [case.on(isa, precision, *(d[i : i + 1] for d in data), *params)[0] for i in range(whole.size)]
    zero_d = [case.on(isa, precision, *(d[i : i + 1].reshape(()) for d in data), *params) for i in range(128)]
    scalar = [case.on(isa, precision, *(d[i] for d in data), *params) for i in range(whole.size)]
    for found in (alone, zero_d, scalar):
        assert_same_bits(np.array(found), whole, case.name)


def test_ufunc_same_bits(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: the ufunc behind a function gives the bits of the function."""
    ufunc = case.ufunc_of(precision, isa)
    data = parts(case, dtype, 2000)
    for params in parameter_kinds(case, dtype, data[0].size):
        typed = [np.asarray(value, dtype) for value in params]
        assert_same_bits(ufunc(*data, *typed), case.on(isa, precision, *data, *params), case.name)
