"""Promise 1, forward and backward: every kernel is right over the full range, within the limits of its row."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from cases import Case, each_parametric_case
from compare import assert_same_bits, assert_within_limit, crossing_bounds
from grid import DOORS, LAYOUTS, WIDE, needs_wide
from inputs import data_of, expected, gradients, inputs, rounded, samples, tiled
from specs import BACKWARD, FROM_OUTPUT, Array, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


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
        tiny = np.finfo(dtype).tiny
        assert case.direction == FROM_OUTPUT or np.count_nonzero(np.abs(x) < tiny) > 20
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
        flushed = (got == 0) & (np.abs(exact) < tiny) & (np.abs(exact) > 10 * np.finfo(dtype).smallest_subnormal)
        assert not flushed.any(), f"{case.name}{params} flushes to zero at x={x[flushed][:3]}"


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
    """Return data operands of every sort, special values among them."""
    x = inputs(case, case.params, dtype)[:size]
    return data_of(case, x, gradients(dtype, x.size))


def parameter_kinds(case: Case, dtype: np.dtype[Any], size: int) -> list[tuple[Any, ...]]:
    """Return the usual parameters as numbers and, if there are any, arrays that differ in every lane."""
    return [case.params, tiled(case, size, dtype)] if case.params else [()]


def each(change: Callable[[Array], Array], operands: Iterable[Any]) -> list[Any]:
    """Change the arrays among operands and leave the numbers."""
    return [change(value) if isinstance(value, np.ndarray) else value for value in operands]


def test_positions(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: 0 to 130 elements at offsets 0 to 15 have the bits they have in a long array, and no more is written."""
    data, call = parts(case, dtype, 300), functools.partial(case.on, isa, precision)
    doors = ((call, DOORS["dense"], 1), (call, DOORS["strided"], 2), (case.ufunc_of(precision, isa), DOORS["dense"], 1))
    for params, (through, lay, step) in itertools.product(parameter_kinds(case, dtype, 300), doors):
        whole = call(*data, *params)
        operands = each(lay, (*data, *params))
        lengths = range(0, 131, 9 if params and isinstance(params[0], np.ndarray) else 1)
        for offset in range(0, 16, 1 if (through, step) == (call, 1) else 5):
            # Windows start in the vector body of the long array, and end up at another alignment, with a gap.
            start, to = 128 + offset, offset * 7 % 16
            buffer = np.full(to + step * sum(lengths) + len(lengths), 12345, dtype)
            wanted = buffer.copy()
            for n in lengths:
                window, place = slice(start, start + n), slice(to, to + step * n, step)
                through(*each(operator.itemgetter(window), operands), out=buffer[place])
                wanted[place] = whole[window]
                to += step * n + 1
            assert_same_bits(buffer, wanted, f"{case} with {through} and step {step} at offset {offset}")


def test_layouts(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: operands in any layout give the bits of dense ones, with numbers and with arrays as parameters."""
    data = parts(case, dtype, 1024)
    for params in parameter_kinds(case, dtype, 1024):
        whole = case.on(isa, precision, *data, *params).reshape(8, 128)
        operands = each(lambda x: x.reshape(8, 128), (*data, *params))
        for name, lay in LAYOUTS.items():
            assert_same_bits(case.on(isa, precision, *each(lay, operands)), whole, f"{case} {name}")


def test_one_element_or_none(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: an element alone has the bits it has in an array: as an array, 0-d, or a NumPy scalar."""
    data, ufunc = parts(case, dtype, 128), case.ufunc_of(precision, isa)
    whole = case.on(isa, precision, *data, *case.params)
    for call in (functools.partial(case.on, isa, precision), ufunc):
        alone = [call(*(d[i : i + 1] for d in data), *case.params)[0] for i in range(whole.size)]
        zero_d = [call(*(d[i : i + 1].reshape(()) for d in data), *case.params) for i in range(whole.size)]
        scalar = [call(*(d[i] for d in data), *case.params) for i in range(whole.size)]
        assert {type(y) for y in (*zero_d, *scalar)} == {dtype.type}
        for found in (alone, zero_d, scalar):
            assert_same_bits(np.array(found), whole, case)
        assert_same_bits(call(*(d[:0] for d in data), *case.params), whole[:0], case)


def test_in_place(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: the result may overwrite any operand, an array of parameters too, with the same bits."""
    data = parts(case, dtype, 4000)
    for params in parameter_kinds(case, dtype, 4000):
        wanted = case.on(isa, precision, *data, *params)
        for target, operand in enumerate((*data, *params)):
            if isinstance(operand, np.ndarray):
                operands = each(np.copy, (*data, *params))
                assert case.on(isa, precision, *operands, out=operands[target]) is operands[target]
                assert_same_bits(operands[target], wanted, case)


def test_ufunc_same_bits(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: the ufunc behind a function gives the bits of the function."""
    data = parts(case, dtype, 2000)
    for params in parameter_kinds(case, dtype, 2000):
        typed = [np.asarray(value, dtype) for value in params]
        wanted = case.on(isa, precision, *data, *params)
        assert_same_bits(case.ufunc_of(precision, isa)(*data, *typed), wanted, case)
