"""Gradients: products with any gradient, zeros by rule, kinks, central differences, and gradients from the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, each_backward_case
from compare import assert_same_bits, assert_within_limit, crossing_bounds
from grid import WIDE, needs_wide
from inputs import expected, gradients, inputs, rounded, samples
from specs import BACKWARD, FORWARD, FROM_OUTPUT, SPECS, Precision, Spec


@each_backward_case
def test_product(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """With other gradients than 1 the product stays within its limit."""
    needs_wide(dtype)
    for params in case.grid:
        x = inputs(case, params, dtype)
        grad = gradients(dtype, x.size)
        wide = grad.astype(WIDE[dtype])
        with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
            exact = expected(case, params, dtype) * wide
            unclear = case.spec.blurred(float(np.finfo(dtype).eps), x.astype(WIDE[dtype]), *rounded(params, dtype))
        # A derivative that is beyond the range itself is known to be large, and no more.
        unclear |= np.abs(expected(case, params, dtype)) > np.finfo(dtype).max
        got = case.on(isa, precision, grad, x, *params)
        absolute = crossing_bounds(case, params, x, isa, precision)[~unclear]
        assert_within_limit(
            case,
            got[~unclear],
            exact[~unclear],
            x[~unclear],
            absolute,
            isa,
            precision,
            grad=grad[~unclear],
            context=str(params),
        )


@each_backward_case
def test_zero_by_rule(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Where a unit is off by rule the gradient is +0.0 whatever comes in, and only there is it cut off."""
    for params in case.grid:
        x = inputs(case, params, dtype)
        wide = x.astype(WIDE[dtype])
        with np.errstate(all="ignore"):  # infinities and NaN are among the inputs
            blurred = case.spec.blurred(float(np.finfo(dtype).eps), wide, *rounded(params, dtype))
            off = case.spec.off_in(case.direction)(wide, *rounded(params, dtype)) & ~blurred
        grad = np.resize(np.array([np.inf, -np.inf, np.nan, -0.0, -1.0], dtype), x.size)
        got = case.on(isa, precision, grad, x, *params)
        assert_same_bits(got[off], np.zeros(np.count_nonzero(off), dtype), f"{case.name}{params}")
        passed = ~off & ~blurred & np.isnan(grad)
        assert np.isnan(got[passed]).all(), f"{case.name}{params} loses a NaN gradient"


@pytest.mark.parametrize("spec", [spec for spec in SPECS.values() if spec.kink_derivatives], ids=lambda spec: spec.name)
def test_kinks(spec: Spec, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """At a kink the derivative is the one that the row states."""
    params = spec.params[0]
    x = np.array(spec.kinks(*params), dtype)
    got = Case(spec, BACKWARD).on(isa, precision, np.ones_like(x), x, *params)
    np.testing.assert_allclose(got, np.array(spec.kink_derivatives, dtype), rtol=4 * np.finfo(dtype).eps, strict=True)


def test_central_difference(spec: Spec, isa: str, precision: Precision) -> None:
    """Away from kinks the gradient is the slope of the function, by a difference of fourth order."""
    for params in spec.params:
        x = np.linspace(*spec.interval, 4001)
        h = 2.0**-10
        for kink in spec.kinks(*params):
            x = x[np.abs(x - kink) > 3 * h]
        one, two, minus_one, minus_two = (
            Case(spec, FORWARD).on(isa, precision, x + k * h, *params) for k in (1, 2, -1, -2)
        )
        slope = (8 * (one - minus_one) - (two - minus_two)) / (12 * h)
        got = Case(spec, BACKWARD).on(isa, precision, np.ones_like(x), x, *params)
        # The remainder is h**4/30 f^(5), which a parameter that scales x raises by its fourth power.
        scale = max(1.0, *(abs(value) for value in params if np.isfinite(value)), 0.0)
        tolerance = 1e-10 + 1e-12 * scale**4
        np.testing.assert_allclose(got, slope, rtol=1e-9, atol=tolerance, err_msg=f"{spec.name}{params}")


@pytest.mark.parametrize("spec", [spec for spec in SPECS.values() if spec.output_is_exact], ids=lambda spec: spec.name)
def test_from_output_equals_from_input(spec: Spec, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Where the output tells the pieces apart exactly, both gradients have the same bits."""
    for params in spec.grid(FROM_OUTPUT):
        x = samples(spec, params, dtype)
        grad = gradients(dtype, x.size)
        y = Case(spec, FORWARD).on(isa, precision, x, *params)
        from_input = Case(spec, BACKWARD).on(isa, precision, grad, x, *params)
        from_output = Case(spec, FROM_OUTPUT).on(isa, precision, grad, y, *params)
        assert_same_bits(from_output, from_input, f"{spec.name}{params}")
