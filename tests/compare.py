"""Comparisons: of bits, of errors with the limits that fastrelu.limits tells users, of what lies around an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from grid import SENTINEL

from fastrelu import limits

if TYPE_CHECKING:
    from cases import Case
    from specs import Array, Params, Precision


def bits(x: Any) -> Array:
    """Return the bits of the elements, all NaNs made one: the sign and payload of a NaN are unspecified."""
    x = np.asarray(x)
    native = np.array(x, x.dtype.newbyteorder("="), order="C")
    native[np.isnan(native)] = np.nan
    return native.view(f"u{native.itemsize}")


def assert_same_bits(got: Any, expected: Any, context: object = "") -> None:
    """Fail unless both hold the same numbers, to the bit, in the same type and shape."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, f"{context}: {got.dtype} instead of {expected.dtype}"
    assert got.shape == expected.shape, f"{context}: {got.shape} instead of {expected.shape}"
    raw = f"u{got.itemsize}"
    if (got.view(raw) == expected.view(raw)).all():  # most often
        return
    wrong = bits(got) != bits(expected)
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        pytest.fail(
            f"{context}: {np.count_nonzero(wrong)} of {wrong.size} elements differ, the first at {at}: "
            f"{got[at]!r} instead of {expected[at]!r}"
        )


def assert_guards(array: Array, memory: Array) -> None:
    """Fail if anything was written to `memory` outside `array`."""
    start = (array.ctypes.data - memory.ctypes.data) // memory.itemsize
    for band in (memory[:start], memory[start + array.size :]):
        assert (band == SENTINEL[memory.itemsize]).all()


def ulp_error(got: Any, exact: Any, floor: Any = 0.0) -> Array:
    """Return the errors of `got` in units in the last place of `exact`, which is of a wider type.

    The unit is never less than the smallest subnormal, nor than the unit of `floor`. NaN equals NaN and an infinity
    itself; an infinity next to a finite number counts as the first number beyond the range.
    """
    got, exact = np.asarray(got), np.asarray(exact)
    info, wide = np.finfo(got.dtype), exact.dtype.type
    beyond = np.ldexp(wide(1), info.maxexp)
    with np.errstate(invalid="ignore"):  # signaling NaN are among the inputs
        got_wide = np.clip(got.astype(exact.dtype), -beyond, beyond)
        exact = np.clip(exact, -beyond, beyond)
        size = np.maximum(np.abs(exact), np.abs(np.asarray(floor, exact.dtype)))
        exponent = np.clip(np.frexp(np.where(np.isnan(size), 0, size))[1] - 1, info.minexp, info.maxexp - 1)
        error: Array = np.abs(got_wide - exact) / np.ldexp(wide(1), exponent - info.nmant)
    same = np.isnan(got) & np.isnan(exact)
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


def crossing_bounds(case: Case, params: Params, x: Array, isa: str, precision: Precision) -> Array:
    """Return the absolute error allowed for every element that lies at a zero crossing, 0 for all others."""
    found = limits.zero_crossing(case.name, x.dtype, params, precision=precision, isa=isa)
    if found is None:
        return np.zeros(x.shape)
    return np.where((x >= found.low) & (x <= found.high), found.bound, 0)


def assert_within_limit(
    case: Case,
    got: Array,
    exact: Array,
    x: Array,
    absolute: Array,
    isa: str,
    precision: Precision,
    *,
    grad: Array | None = None,
    context: str = "",
) -> None:
    """Assert what `fastrelu.limits` tells users, with `absolute` from `crossing_bounds`; without rounding, no error."""
    bound = limits.error_bound if grad is None else limits.product_bound
    # The reference is 0.001 ULP off.
    limit = bound(case.name, x.dtype, precision=precision, isa=isa) + 0.001
    if grad is None and case.direction in case.spec.exact:
        limit = 0
    inside = absolute > 0
    allowed = absolute[inside] * (1 if grad is None else np.abs(grad[inside])) + np.finfo(x.dtype).smallest_subnormal
    error = np.abs(got[inside].astype(exact.dtype) - exact[inside])
    worst = int(np.argmax(error / allowed)) if error.size else 0
    assert (error <= allowed).all(), f"{case.name} {context}: {error[worst]} at x={x[inside][worst]!r}"
    # A derivative that is subnormal itself has lost digits before the gradient comes in.
    floor = 0.0 if grad is None else np.abs(grad[~inside]) * np.finfo(x.dtype).tiny
    assert_close(got[~inside], exact[~inside], limit, x[~inside], floor, f"{case.name} {context}")


def assert_close(got: Array, exact: Array, limit: float, x: Array, floor: Any = 0.0, context: str = "") -> None:
    """Assert the limit in ULP, and show the worst element."""
    error = ulp_error(got, exact, floor)
    worst = int(np.argmax(error)) if error.size else 0
    assert (error <= limit).all(), (
        f"{context}: {error[worst]:.4g} ULP (limit {limit}) at x={x[worst]!r}: got {got[worst]!r}, "
        f"exact {exact[worst]!r}; {np.count_nonzero(error > limit)} of {error.size} beyond the limit"
    )
