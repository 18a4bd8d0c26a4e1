"""What all tests share: every kernel that runs here, inputs that reach every corner, and the measure of error."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from specs import FROM_OUTPUT, SPECS, Precision, Spec

import fastrelu as fr
from fastrelu import _core, _runtime, limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs import Array, Params

ISAS = _runtime.isa_available
PRECISIONS: tuple[Precision, ...] = ("fast", "accurate")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
# The references compute in a wider type than the result.
WIDE: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.float64),
    np.dtype(np.float64): np.dtype(np.longdouble),
}


class Case(NamedTuple):
    """One direction of one function."""

    spec: Spec
    direction: int

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return self.spec.kernel(self.direction)

    @property
    def ndata(self) -> int:
        """How many of the kernel's operands are no parameters."""
        return 2 if self.direction else 1


CASES = [Case(spec, direction) for spec in SPECS.values() for direction in spec.directions]
GRADIENTS = [case for case in CASES if case.direction]


def name_of(case: Case | Spec) -> str:
    """Return the name under which pytest shows a case."""
    return case.name


@pytest.fixture(params=CASES, ids=name_of)
def case(request: pytest.FixtureRequest) -> Case:
    """Return each kernel in turn."""
    found: Case = request.param
    return found


@pytest.fixture(params=GRADIENTS, ids=name_of)
def gradient(request: pytest.FixtureRequest) -> Case:
    """Return each gradient kernel in turn."""
    found: Case = request.param
    return found


@pytest.fixture(params=SPECS.values(), ids=name_of)
def spec(request: pytest.FixtureRequest) -> Spec:
    """Return each function in turn."""
    found: Spec = request.param
    return found


@pytest.fixture(params=[spec for spec in SPECS.values() if spec.params != ((),)], ids=name_of)
def parametric(request: pytest.FixtureRequest) -> Spec:
    """Return each function with parameters in turn."""
    found: Spec = request.param
    return found


@pytest.fixture(params=[case for case in CASES if case.spec.params != ((),)], ids=name_of)
def parametric_case(request: pytest.FixtureRequest) -> Case:
    """Return each kernel with parameters in turn."""
    found: Case = request.param
    return found


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Return each instruction set that runs here in turn."""
    return str(request.param)


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Precision:
    """Return each precision in turn."""
    found: Precision = request.param
    return found


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    """Return each type that has kernels in turn."""
    found: np.dtype[Any] = request.param
    return found


@pytest.fixture(autouse=True, scope="session")
def _threads_work() -> None:
    """Let every thread come to every large call: a test must not depend on when the last one ran, or on what else runs."""
    _runtime.set_defaults(waking_from=_runtime.parallel_from)
    _runtime.set_team(hold=False, insist=True)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Fail a test that leaves the process with another precision or number of threads."""
    before = fr.get_precision(), fr.get_num_threads()
    yield
    assert (fr.get_precision(), fr.get_num_threads()) == before


# --- Kernels ------------------------------------------------------------------------------------------------------


@functools.cache
def kernels(isa: str) -> dict[str, _core.Kernel]:
    """Return the kernels of one instruction set; ufuncs point into them, so they live for good."""
    return _core.load_kernels(isa)


def run(isa: str, name: str, precision: Precision, *args: object, out: object = None, where: object = True) -> Any:
    """Call a kernel of any instruction set the way the public functions call theirs."""
    with fr.precision(precision):
        return _core.call(kernels(isa)[name], out, where, *args)


def needs_wide(dtype: np.dtype[Any]) -> None:
    """Skip where the platform has no type to compute the reference in."""
    if np.finfo(WIDE[dtype]).nmant < np.finfo(dtype).nmant + 11:
        pytest.skip("no long double wider than double here")


# --- Inputs -------------------------------------------------------------------------------------------------------


def neighbours(points: Array, dtype: np.dtype[Any], count: int = 8) -> Array:
    """Return the points and the `count` floats on either side of each."""
    below = above = np.asarray(points, dtype)
    found = [below]
    for _ in range(count):
        below = np.nextafter(below, dtype.type(-np.inf))
        above = np.nextafter(above, dtype.type(np.inf))
        found += [below, above]
    return np.concatenate(found)


def _logarithmic(rng: np.random.Generator, low: float, high: float, count: int, dtype: np.dtype[Any]) -> Array:
    """Return numbers of both signs whose logarithms are uniform between two powers of two."""
    exponent = rng.uniform(low, high, count)
    whole = np.floor(exponent)
    magnitude = np.ldexp((2 ** (exponent - whole)).astype(dtype), whole.astype(np.int32))
    return np.asarray(magnitude * rng.choice(np.array([-1, 1], dtype), count))


@functools.cache
def edges(dtype: np.dtype[Any]) -> Array:
    """Return zeros, infinities, NaNs, subnormals and both sides of powers of two, of both signs."""
    info = np.finfo(dtype)
    lowest, highest = info.minexp - info.nmant, info.maxexp
    # Every power of two near 1, near the ends of the range and around its subnormal part, every seventh elsewhere.
    exponents = np.arange(lowest, highest)
    landmarks = np.array([lowest, info.minexp, 0, highest])
    near = np.min(np.abs(exponents[:, None] - landmarks), axis=1) <= 32
    powers = np.ldexp(dtype.type(1), exponents[near | (exponents % 7 == 0)].astype(np.int32))
    named = [0.0, np.inf, np.nan, info.smallest_subnormal, info.tiny, info.max, info.eps, 1.0, 1.5]
    positive = np.concatenate([np.array(named, dtype), neighbours(powers, dtype, 1)])
    return np.concatenate([positive, -positive])


@functools.cache
def samples(spec: Spec, params: Params, dtype: np.dtype[Any]) -> Array:
    """Return inputs over the full range, the interval of interest and around every kink, in random order."""
    rng = np.random.default_rng(20240229)
    info = np.finfo(dtype)
    low, high = spec.interval
    kinks = np.array([kink for kink in spec.kinks(*params) if np.isfinite(kink)], np.float64)
    x = np.concatenate(
        [
            edges(dtype),
            _logarithmic(rng, info.minexp - info.nmant, info.maxexp, 3000, dtype),
            _logarithmic(rng, -10, 10, 4000, dtype),
            rng.uniform(low, high, 4000).astype(dtype),
            neighbours(kinks.astype(dtype), dtype, 20),
        ]
    )
    rng.shuffle(x)
    x.flags.writeable = False
    return x


def rounded(params: Params, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Return the parameters as the references take them: rounded once, in the wider type."""
    return tuple(WIDE[dtype].type(dtype.type(value)) for value in params)


@functools.cache
def inputs(case: Case, params: Params, dtype: np.dtype[Any]) -> Array:
    """Return what a kernel's x or y operand can be: samples, or the outputs that belong to them."""
    x = samples(case.spec, params, dtype)
    if case.direction != FROM_OUTPUT:
        return x
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        y: Array = case.spec.forward(x.astype(WIDE[dtype]), *rounded(params, dtype)).astype(dtype)
    y.flags.writeable = False
    return y


@functools.cache
def expected(case: Case, params: Params, dtype: np.dtype[Any]) -> Array:
    """Return the reference at `inputs`, in the wider type, for a gradient of 1."""
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        exact: Array = case.spec.reference(case.direction)(
            inputs(case, params, dtype).astype(WIDE[dtype]), *rounded(params, dtype)
        )
    exact = exact.astype(WIDE[dtype])
    exact.flags.writeable = False
    return exact


@functools.cache
def gradients(dtype: np.dtype[Any], size: int) -> Array:
    """Return gradients of both signs, far from overflow, different in every lane."""
    return _logarithmic(np.random.default_rng(7), -20, 20, size, dtype)


def data_of(case: Case, x: Array, grad: Array | None = None) -> tuple[Array, ...]:
    """Return the data operands of a kernel: x, or a gradient (of 1 by default) and x or y."""
    if not case.direction:
        return (x,)
    return (np.ones_like(x) if grad is None else grad, x)


def tiled(case: Case, size: int, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """Return parameters as arrays that run through the grid, another tuple in every lane."""
    grid = np.array(case.spec.grid(case.direction), dtype)
    return tuple(np.resize(column, size) for column in grid.T)


# --- Errors -------------------------------------------------------------------------------------------------------


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


def assert_same_bits(got: Array, wanted: Array, context: str = "") -> None:
    """Assert that two arrays hold the same bits; NaNs need not."""
    assert got.dtype == wanted.dtype, f"{context}: {got.dtype} instead of {wanted.dtype}"
    assert got.shape == wanted.shape, f"{context}: {got.shape} instead of {wanted.shape}"
    same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | np.isnan(got) & np.isnan(wanted)
    if not same.all():
        at = tuple(int(index[0]) for index in np.nonzero(~np.atleast_1d(same)))
        pytest.fail(
            f"{context}: {np.count_nonzero(~same)} of {same.size} elements differ, the first at {at}: "
            f"{np.atleast_1d(got)[at]!r} instead of {np.atleast_1d(wanted)[at]!r}"
        )
