"""NaN, infinities, signed zeros and subnormal numbers, through every door and without a warning."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from cases import Case
from compare import assert_same_bits, ulp_error
from grid import DOORS, WIDE
from inputs import data_of, gradients, inputs, tiled
from specs import FORWARD, SPECS, Precision, Spec

from fastrelu import limits


def test_special_values(spec: Spec, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """The values of the row, with the sign of zero, in every lane of a vector."""
    x = np.repeat(np.array([x for x, _ in spec.special], dtype), 37)
    wanted = np.repeat(np.array([y for _, y in spec.special]), 37)
    limit = limits.error_bound(spec.name, dtype, precision=precision, isa=isa)
    for name, door in DOORS.items():
        got = Case(spec, FORWARD).on(isa, precision, door(x), *spec.params[0])
        error = ulp_error(got, wanted.astype(WIDE[dtype]))
        # The value in the row is rounded to double, the usual parameters are rounded to the type.
        far = (error > limit + 1) | (np.signbit(got) != np.signbit(wanted))
        assert not far.any(), f"{spec.name} {name}: {got[far][0]!r}, not {wanted[far][0]!r}, at x={x[far][0]!r}"


def test_nan(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """NaN of either sign in x gives NaN in every lane, whatever the gradient; no other lane is touched."""
    params = case.params
    x = inputs(case, params, dtype)
    x = x[~np.isnan(x)][:512]
    good = gradients(dtype, x.size)
    odd = np.resize(np.array([1, 0, -0.0, np.inf, -np.inf, np.nan, -3], dtype), x.size)
    clean = case.on(isa, precision, *data_of(case, x, good), *params)
    # Every 17th element: each lane of a vector in turn, next to clean ones.
    spoiled = np.arange(x.size) % 17 == 0
    for nan, door in itertools.product((np.nan, -np.nan), DOORS.values()):
        bad = np.where(spoiled, np.copysign(np.array(np.nan, dtype), nan), x)
        for values in (params, tiled(case, x.size, dtype)):
            got = case.on(isa, precision, *map(door, data_of(case, bad, odd)), *values)
            assert np.isnan(got[spoiled]).all(), f"{case.name} hides a NaN"
        got = case.on(isa, precision, *map(door, data_of(case, bad, good)), *params)
        assert_same_bits(got[~spoiled], clean[~spoiled], case.name)
        for values in case.grid:  # whatever the parameters are
            got = case.on(isa, precision, *map(door, data_of(case, bad[:40], odd[:40])), *values)
            assert np.isnan(got[spoiled[:40]]).all(), f"{case.name}{values} hides a NaN"


def test_signaling_nan(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """A signaling NaN, and NaNs with any payload, are NaNs too."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    infinity = np.array(np.inf, dtype).view(unsigned)
    payloads = infinity + np.array([1, 2, 12345, np.finfo(dtype).nmant], unsigned)
    quiet = np.array(np.nan, dtype).view(unsigned) + np.array([0, 1, 999], unsigned)
    x = np.concatenate([payloads, quiet]).view(dtype)
    x = np.resize(np.concatenate([x, np.negative(x)]), 100)
    with np.errstate(all="raise"):
        got = case.on(isa, precision, *data_of(case, x), *case.params)
    assert np.isnan(got).all()


def test_no_warnings(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """No floating-point flag gets out, not even of the ufunc, whose flags NumPy reads."""
    ufunc = case.ufunc_of(precision, isa)
    for params in case.grid:
        x = inputs(case, params, dtype)[:4000]
        data = data_of(case, x, gradients(dtype, x.size))
        with np.errstate(all="raise"):
            for door in DOORS.values():
                case.on(isa, precision, *map(door, data), *params)
            ufunc(*data, *(dtype.type(value) for value in params))


def test_rows_state_the_limits() -> None:
    """Every row says what happens at the infinities and at both zeros."""
    for spec in SPECS.values():
        stated = [x for x, _ in spec.special]
        assert {np.inf, -np.inf} <= set(stated), spec.name
        assert {np.signbit(x) for x in stated if x == 0} == {False, True}, spec.name
