"""Parameters and inputs from one end of the range to the other: the limits hold there too.

Where a factor is kept below the overflow, or a clamp ends before an exponential does, a product may come out finite that
is infinite, or the other way round; ordinary parameters do not show it. References are tools/reference.c in quadruple
precision, and for the gradients of parameters the long double of tests/specs.py.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import PARAMETRIC_CASES, Case, over
from compare import assert_close, crossing_bounds
from grid import ISAS, PRECISIONS, needs_wide
from inputs import data_of
from specs import BACKWARD, FORWARD, FROM_OUTPUT
from test_parameter_gradients import LEARNED, limit_of
from test_parameter_gradients import run as run_parameters
from test_verify import library, verify

from fastrelu import limits

if TYPE_CHECKING:
    from specs import Array, Params, Precision, Spec

__all__ = ["library"]  # a fixture

# Its two terms may cancel, and then the first of two roundings counts in full.
CANCELING = {"srelu": 1.5}


def magnitudes(dtype: np.dtype[Any]) -> Array:
    """Return positive numbers: around both ends, where the normal range begins, and some between."""
    info = np.finfo(dtype)
    low, high = info.minexp - info.nmant, info.maxexp
    steps = np.array([-5, -3, -2, -1])
    ends = [low, low + 2, low + 9, info.minexp - 1, info.minexp, info.minexp + 1, *(high + steps)]
    far = np.array([-0.8, -0.5, -0.25, 0.25, 0.5, 0.8]) * high
    return np.append(np.exp2(np.array([*ends, *far, -10, -3.3, 0, 3.3, 10], np.longdouble)), info.max).astype(dtype)


def points(case: Case, params: Params, dtype: np.dtype[Any]) -> Array:
    """Return what x or y can be: all magnitudes, and where x times a parameter, or x over it, is of order 1 to 1000."""
    steps = np.array([0.01, 0.3, 1, 2, 5, 17.4, 18.1, 39.5, 50, 88.5, 104, 149, 173, 175, 190, 708, 745, 1400, 1500])
    scales = np.array([1, *params], np.longdouble)
    scales = np.abs(np.append(scales, 1 / scales[scales != 0]))
    with np.errstate(all="ignore"):  # a step times a scale may leave the range of the type
        positive = np.concatenate([magnitudes(dtype), [0, np.inf], *(scale * steps for scale in scales)]).astype(dtype)
    x = np.concatenate([positive, -positive])
    if case.direction == FROM_OUTPUT:
        y: Array = Case(case.spec, FORWARD).on(ISAS[-1], "accurate", x, *params)
        return y[~np.isnan(y)]
    return x


def extremes(case: Case, dtype: np.dtype[Any]) -> list[Params]:
    """Return parameters in the domain of a kernel."""
    count = len(case.spec.params[0])
    sizes = magnitudes(dtype)
    values = np.concatenate([sizes, -sizes, [0]]) if count == 1 else np.concatenate([sizes[::3], -sizes[::5], [0]])
    found = list(itertools.product(values.tolist(), repeat=min(count, 2)))
    if count > 2:
        found = np.random.default_rng(1).choice(values, (200, count)).tolist()
    good = []
    for params in found:
        try:
            case(*data_of(case, np.zeros(0, dtype)), *params)
        except ValueError:  # outside the domain
            continue
        good.append(tuple(params))
    return good


def exact_results(case: Case, x: Array, params: Params, grad: Array) -> tuple[Array, Array]:
    """Return the results in long double, and where the reference leaves them open."""
    high, low = verify.exact_results(case.name, x, params, grad if case.direction else None)
    finite = np.isfinite(high) & (np.abs(high) >= np.finfo(high.dtype).tiny)
    unit = np.ldexp(np.longdouble(1), np.where(finite, np.frexp(np.where(finite, high, 1))[1] - 1, -1022) - 52)
    return high + np.where(np.isfinite(high), low * unit, 0), high == verify.ANYTHING


@over(PARAMETRIC_CASES)
@pytest.mark.usefixtures("library")
def test_limits(case: Case, dtype: np.dtype[Any]) -> None:
    """Every kernel with parameters, on every instruction set and precision, with small and large gradients too."""
    rows = [(params, points(case, params, dtype)) for params in extremes(case, dtype)]
    x = np.concatenate([x for _, x in rows])
    columns = np.concatenate([np.tile(np.array(params, dtype), (x.size, 1)) for params, x in rows])
    info = np.finfo(dtype)
    # Larger gradients do not give quite 0 at the end of the range: rmath.h.
    huge = 2.0 ** int(0.7 * info.maxexp)
    for size in (1.0, 1 / huge, -huge) if case.direction else (1.0,):
        grad = np.full_like(x, size)
        found = [exact_results(case, x, params, grad[: x.size]) for params, x in rows]
        exact, anything = (np.concatenate(parts) for parts in zip(*found, strict=True))
        with np.errstate(all="ignore"):  # x times a parameter may overflow
            anything |= case.spec.blurred(info.eps, x, *columns.T)
        # A derivative that is subnormal itself has lost digits before the gradient comes in.
        floor = 0.0 if size == 1 else abs(size) * float(info.tiny)
        for isa, precision in itertools.product(ISAS, PRECISIONS):
            got = case.on(isa, precision, *data_of(case, x, grad), *columns.T.copy())
            bound = limits.error_bound if size == 1 else limits.product_bound
            limit = max(bound(case.name, dtype, precision=precision, isa=isa), CANCELING.get(case.name, 0))
            with np.errstate(over="ignore"):  # a zero may lie beyond the range of the type
                near = [crossing_bounds(case, params, x, isa, precision) for params, x in rows]
            compared = ~anything & (np.concatenate(near) == 0)
            names = f"{case.name} {isa} {precision} gradient {size}"
            assert_close(got[compared], exact[compared], limit + 0.001, x[compared], floor, names)


@pytest.mark.parametrize("spec", LEARNED, ids=lambda spec: spec.name)
def test_parameter_limits(spec: Spec, dtype: np.dtype[Any], isa: str, precision: Precision) -> None:
    """The derivatives by the parameters."""
    needs_wide(dtype)
    case = Case(spec, BACKWARD)
    for params in extremes(case, dtype):
        x = points(case, params, dtype)
        found = run_parameters(isa, precision, spec, np.ones_like(x), x, *(np.full_like(x, value) for value in params))
        wide = [np.longdouble(value) for value in params]
        for reference, got in zip(spec.by_parameters, found[1:], strict=True):
            with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
                exact = np.asarray(reference(x.astype(np.longdouble), *wide), np.longdouble)
            assert_close(got, exact, limit_of(spec, dtype, precision), x, context=f"{spec.name}{params}")
