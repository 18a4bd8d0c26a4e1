"""Numbers that reach every corner, and what the references make of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from grid import WIDE
from specs import FROM_OUTPUT

if TYPE_CHECKING:
    from cases import Case
    from specs import Array, Params, Spec


def values(n: int, dtype: Any, seed: int = 0) -> Array:
    """`n` numbers of every kind: ordinary, huge, subnormal, signed zeros, infinities, NaN and the usual kinks."""
    return _values(n, dtype, seed).copy()


@functools.cache
def _values(n: int, dtype: Any, seed: int) -> Array:
    kind = np.dtype(dtype)
    info = np.finfo(kind)
    rng = np.random.default_rng(seed)
    x = (4 * rng.standard_normal(n)).astype(kind)
    special = np.array(
        [
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            0.5,
            -0.5,
            1,
            -1,
            3,
            -3,
            6,
            info.tiny,
            -info.tiny / 4,
            info.max,
            -info.max,
            -90,
        ],
        kind,
    )
    # Some 30 % of the positions, so that vectors mix both sorts.
    chosen = rng.random(n) < 0.3
    x[chosen] = rng.choice(special, int(chosen.sum()))
    return x


def neighbors(points: Array, dtype: np.dtype[Any], count: int = 8) -> Array:
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
    positive = np.concatenate([np.array(named, dtype), neighbors(powers, dtype, 1)])
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
            neighbors(kinks.astype(dtype), dtype, 20),
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


def dtype_named(name: str) -> np.dtype[Any]:
    """Return a type, which a package may have to provide."""
    if name != "bfloat16":
        return np.dtype(name)
    found: np.dtype[Any] = np.dtype(pytest.importorskip("ml_dtypes", reason="the extra 'test' brings it").bfloat16)
    return found
