"""One row of data per function: what it computes, where it bends, and what it must return.

The tests know no function by name: they enumerate `SPECS`. References are plain NumPy and compute in the type of
x: float64 where the result is float32, long double where it is float64. Parameters arrive rounded to the type of
the kernel. Decimal coefficients (1.702, 0.044715, those of SELU) mean the decimal numbers, not their roundings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import fastrelu

if TYPE_CHECKING:
    from collections.abc import Mapping

Array: TypeAlias = NDArray[Any]
Params: TypeAlias = tuple[float, ...]
Reference: TypeAlias = Callable[..., Array]
Precision: TypeAlias = Literal["fast", "accurate"]

FORWARD, BACKWARD, FROM_OUTPUT = range(3)
SUFFIXES = ("", "_backward", "_backward_from_output")

inf = float("inf")
nan = float("nan")


# --- What a row holds ---------------------------------------------------------------------------------------------


def _nowhere(x: Array, *_: Any) -> Array:
    return np.zeros(np.shape(x), bool)


def _never(_eps: float, x: Array, *_: Any) -> Array:
    return np.zeros(np.shape(x), bool)


def _none(*_: float) -> tuple[Any, ...]:
    return ()


@dataclass(frozen=True)
class Spec:
    """A function: references, domain, landmarks and limits. The first tuple of `params` is the usual one."""

    name: str
    forward: Reference
    derivative: Reference
    derivative_from_output: Reference | None = None
    _: KW_ONLY
    params: tuple[Params, ...] = ((),)
    kinks: Callable[..., Params] = _none
    kink_derivatives: Params = ()  # at the kinks of the usual parameters
    out_of_domain: tuple[Params, ...] = ()
    out_of_domain_from_output: tuple[Params, ...] = ()
    outside_alone: tuple[tuple[int, float], ...] = ()  # a parameter and a value outside whatever the others are
    special: tuple[tuple[float, float], ...] = ()  # pairs, because 0.0 and -0.0 are the same key
    interval: tuple[float, float] = (-10.0, 10.0)
    exact: tuple[int, ...] = ()  # directions without any rounding; elsewhere fastrelu.limits says how far off it may be
    # Where the derivative is 0 by rule, so that no gradient gets through, not even an infinite one.
    off: Reference = _nowhere
    off_from_output: Reference = _nowhere
    # Where rounding decides the piece: the derivative may be 0 instead. The first argument is the type's epsilon.
    blurred: Callable[..., Array] = _never
    signed_zeros: bool = True  # results that underflow keep their sign; no sum of a zero and something tiny does
    output_is_exact: bool = False  # the output tells the pieces apart exactly: both gradients have the same bits
    by_parameters: tuple[Reference, ...] = ()  # derivatives by the parameters, where literature learns them
    parameter_limits: tuple[float, float, float] = (0.51, 0.51, 0.51)  # float32, float64 "fast" and "accurate"
    public: str = ""  # the public function, if its name is another
    keywords: tuple[tuple[str, Any], ...] = ()  # what selects this kernel among those behind the public function

    @property
    def directions(self) -> tuple[int, ...]:
        """Which kernels exist."""
        return (FORWARD, BACKWARD) if self.derivative_from_output is None else (FORWARD, BACKWARD, FROM_OUTPUT)

    def kernel(self, direction: int) -> str:
        """Name of a kernel and of its ufuncs."""
        return self.name + SUFFIXES[direction]

    def public_name(self, direction: int) -> str:
        """Name of a public function."""
        return (self.public or self.name) + SUFFIXES[direction]

    def function(self, direction: int) -> Callable[..., Any]:
        """Return the public function, as users call it."""
        return functools.partial(getattr(fastrelu, self.public_name(direction)), **dict(self.keywords))

    def in_place(self) -> Callable[..., Any]:
        """Return the public in-place function."""
        return functools.partial(getattr(fastrelu, f"{self.public or self.name}_"), **dict(self.keywords))

    def grid(self, direction: int = FORWARD) -> tuple[Params, ...]:
        """Return the parameters in the domain of a direction."""
        excluded = self.out_of_domain_from_output if direction == FROM_OUTPUT else ()
        return tuple(values for values in self.params if values not in excluded)

    def outside(self, direction: int = FORWARD) -> tuple[Params, ...]:
        """Return the parameters outside the domain of a direction."""
        extra = self.out_of_domain_from_output if direction == FROM_OUTPUT else ()
        return (*self.out_of_domain, *(values for values in extra if values not in self.out_of_domain))

    def reference(self, direction: int) -> Reference:
        """Return what the kernel computes, for a gradient of 1."""
        found = (self.forward, self.derivative, self.derivative_from_output)[direction]
        assert found is not None
        return found

    def off_in(self, direction: int) -> Reference:
        """Return where a gradient kernel gives 0 by rule."""
        return self.off_from_output if direction == FROM_OUTPUT else self.off


# --- Arithmetic of the references: sums and products with their rounding errors -----------------------------------


def _finite(x: Array) -> Array:
    return np.where(np.isfinite(x), x, 0)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a + b and its rounding error (Knuth)."""
    total = a + b
    part = total - a
    return total, _finite((a - (total - part)) + (b - part))


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a * b and its rounding error (Dekker's product of Veltkamp's halves)."""
    a, b = np.asarray(a), np.asarray(b)
    product = np.asarray(a * b)
    factor = product.dtype.type(2 ** ((np.finfo(product.dtype).nmant + 2) // 2) + 1)

    def halves(x: Array) -> tuple[Array, Array]:
        high = factor * x - (factor * x - x)
        return high, x - high

    (ah, al), (bh, bl) = halves(a), halves(b)
    return product, _finite(((ah * bh - product) + ah * bl + al * bh) + al * bl)


def _quotient(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a / b and what is missing from it."""
    quotient = np.asarray(a / b)
    product, error = _two_product(quotient, b)
    return quotient, _finite(((a - product) - error) / b)


def _constant(x: Array, text: str) -> tuple[Array, Array]:
    """Return a decimal number in the type of x, and what is missing from it."""
    high = x.dtype.type(text)
    rest = Fraction(text) - Fraction(*high.as_integer_ratio())
    return high, x.dtype.type(float(rest))


def _decay(z: Array, low: Array | float = 0.0) -> Array:
    """Return exp(-abs(z + low)), where low is the rounding error of z."""
    return np.asarray(np.exp(-np.abs(z)) * (1 - np.sign(z) * _finite(np.asarray(low))))


def _damped(x: Array, factor: Array) -> Array:
    """Return x * factor for a factor that falls faster than x grows."""
    return np.where(factor == 0, np.copysign(np.zeros_like(x), x), x * factor)


# --- Rectifiers ---------------------------------------------------------------------------------------------------


def _where_passes(passes: Array, x: Array, value: Any = 1) -> Array:
    """Return the derivative `value` where the unit passes, else 0, and NaN where x is NaN."""
    return np.where(np.isnan(x), x, np.where(passes, value, np.zeros_like(x)))


def _relu(x: Array) -> Array:
    return np.where(x <= 0, 0, x)


def _relu6(x: Array) -> Array:
    return np.where(x <= 0, 0, np.where(x > 6, 6, x))


def _leaky_relu(x: Array, a: Array) -> Array:
    return np.where(np.isnan(x) | (x > 0), x, np.where(a == 0, 0, a * x))


def _leaky_relu_derivative(x: Array, a: Array) -> Array:
    return np.where(np.isnan(x), x, np.where(x > 0, 1, np.where(a == 0, 0, a)))


def _srelu(x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array) -> Array:
    def piece(t: Array, a: Array) -> Array:
        distance, low = _two_sum(x, -t)
        product, error = _two_product(a, distance)
        total, rest = _two_sum(t, product)
        return np.where((x == t) | (a == 0), t, total + (rest + error + a * low))

    return np.where(x >= t_right, piece(t_right, a_right), np.where(x <= t_left, piece(t_left, a_left), x))


def _srelu_derivative(x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array) -> Array:
    slope = np.where(x >= t_right, a_right, np.where(x <= t_left, a_left, np.ones_like(x)))
    return np.where(np.isnan(x), x, slope)


def _leaky_relu_by_slope(x: Array, _a: Array) -> Array:
    return np.where(x > 0, 0, x)


def _srelu_by(right: bool, slope: bool) -> Reference:
    """Return the derivative of srelu by the slope, or else the threshold, of one side."""

    def derivative(x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array) -> Array:
        t, a = (t_right, a_right) if right else (t_left, a_left)
        here = x >= t_right if right else (x <= t_left) & ~(x >= t_right)
        value = np.where(x == t, 0, x - t) if slope else 1 - a
        return _where_passes(here, x, value)

    return derivative


def _srelu_off(x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array) -> Array:
    return np.asarray(np.where(x >= t_right, a_right == 0, (x <= t_left) & (a_left == 0)))


def _threshold(x: Array, t: Array, value: Array) -> Array:
    return np.where(np.isnan(x) | (x > t), x, value)


def _bounded_relu(x: Array, slope: Array, top: Array, t: Array) -> Array:
    distance, low = _two_sum(x, -t)
    damped = np.where(
        slope == 0, 0, np.where(x == t, slope * (x - np.where(np.isinf(t), x, t)), slope * (distance + low))
    )
    return np.where(np.isnan(x), x, np.where(x > t, np.where(x > top, top, x), damped))


def _bounded_relu_derivative(x: Array, slope: Array, top: Array, t: Array) -> Array:
    return np.where(np.isnan(x), x, np.where(x > t, (x < top) | np.isinf(top), np.where(slope == 0, 0, slope)))


def _bounded_relu_off(x: Array, slope: Array, top: Array, t: Array) -> Array:
    return np.asarray(((x <= t) & (slope == 0)) | ((x > t) & (x >= top) & np.isfinite(top)))


_ROWS = [
    Spec(
        "identity",
        lambda x: x,
        lambda x: np.where(np.isnan(x), x, 1),
        lambda y: np.where(np.isnan(y), y, 1),
        special=((-inf, -inf), (-1.0, -1.0), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        output_is_exact=True,
    ),
    Spec(
        "bounded_relu",
        _bounded_relu,
        _bounded_relu_derivative,
        lambda y, slope, top, _t: _bounded_relu_derivative(y, slope, top, np.zeros_like(y)),
        params=(
            (0.0, inf, 0.0),
            (0.2, 6.0, 0.0),
            (0.0, 6.0, 1.0),
            (0.1, 2.5, 0.7),
            (-0.5, 1.0, -0.3),
            (3.0, -1.5, -1.5),
        ),
        out_of_domain=((0.0, 1.0, 2.0), (0.0, nan, 0.0), (0.0, 1.0, nan)),
        outside_alone=((1, nan), (2, nan)),
        out_of_domain_from_output=((-0.5, 1.0, -0.3), (3.0, -1.5, -1.5), (0.1, 0.0, 0.0), (nan, 1.0, 0.0)),
        kinks=lambda _s, top, t: (t, top if top < inf else t),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (3.0, 3.0), (inf, inf)),
        exact=(BACKWARD, FROM_OUTPUT),
        off=_bounded_relu_off,
        off_from_output=lambda y, slope, top, _t: _bounded_relu_off(y, slope, top, np.zeros_like(y)),
        output_is_exact=True,
    ),
    Spec(
        "relu",
        _relu,
        lambda x: _where_passes(x > 0, x),
        lambda y: _where_passes(y > 0, y),
        kinks=lambda: (0.0,),
        kink_derivatives=(0.0,),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (inf, inf)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        off=lambda x: x <= 0,
        off_from_output=lambda y: y <= 0,
        output_is_exact=True,
    ),
    Spec(
        "relu6",
        _relu6,
        lambda x: _where_passes((x > 0) & (x < 6), x),
        lambda y: _where_passes((y > 0) & (y < 6), y),
        kinks=lambda: (0.0, 6.0),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (6.0, 6.0), (1e8, 6.0), (inf, 6.0)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        off=lambda x: (x <= 0) | (x >= 6),
        off_from_output=lambda y: (y <= 0) | (y >= 6),
        output_is_exact=True,
    ),
    Spec(
        "leaky_relu",
        _leaky_relu,
        _leaky_relu_derivative,
        _leaky_relu_derivative,
        params=((0.01,), (0.2,), (0.0,), (1.0,), (2.5,), (-0.5,)),
        out_of_domain_from_output=((-0.5,), (-1e-30,), (nan,)),
        kinks=lambda _a: (0.0,),
        kink_derivatives=(0.01,),
        special=((-inf, -inf), (-100.0, -1.0), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
        exact=(BACKWARD, FROM_OUTPUT),
        off=lambda x, a: (x <= 0) & (a == 0),
        off_from_output=lambda y, a: (y <= 0) & (a == 0),
        output_is_exact=True,
        by_parameters=(_leaky_relu_by_slope,),
        parameter_limits=(0.0, 0.0, 0.0),
    ),
    Spec(
        "srelu",
        _srelu,
        _srelu_derivative,
        params=(
            (-1.0, 0.1, 1.0, 0.5),
            (-0.4, 0.0, 0.7, 0.0),
            (0.0, 0.2, 0.0, 1.3),
            (-3.0, -0.5, 2.0, -0.25),
            (1.1, 2.0, 1.1, 0.0),
            (0.5, 3.0, 4.0, 1.0),
            (-0.7, 40.0, 1.3, -17.3),
        ),
        kinks=lambda t_left, _a, t_right, _b: (t_left, t_right),
        kink_derivatives=(0.1, 0.5),
        out_of_domain=((1.0, 0.1, -1.0, 0.5), (nan, 0.1, 1.0, 0.5), (-1.0, 0.1, nan, 0.5)),
        outside_alone=((0, nan), (2, nan)),
        special=((-inf, -inf), (-11.0, -2.0), (-0.0, -0.0), (0.0, 0.0), (0.5, 0.5), (3.0, 2.0), (inf, inf)),
        exact=(BACKWARD, FROM_OUTPUT),
        signed_zeros=False,
        off=_srelu_off,
        by_parameters=tuple(_srelu_by(right, slope) for right in (False, True) for slope in (False, True)),
    ),
    Spec(
        "threshold",
        _threshold,
        lambda x, t, _v: _where_passes(x > t, x),
        lambda y, t, _v: _where_passes(y > t, y),
        params=((1.0, -1.0), (0.5, 0.5), (-2.0, -3.0), (0.1, 7.0)),
        out_of_domain_from_output=((0.1, 7.0), (nan, 0.0), (0.0, nan)),
        kinks=lambda t, _v: (t,),
        kink_derivatives=(0.0,),
        special=((-inf, -1.0), (-0.0, -1.0), (0.0, -1.0), (1.0, -1.0), (2.0, 2.0), (inf, inf)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        off=lambda x, t, _v: x <= t,
        off_from_output=lambda y, t, _v: y <= t,
        output_is_exact=True,
    ),
    Spec(
        "thresholded_relu",
        lambda x, a: _threshold(x, a, np.zeros_like(x)),
        lambda x, a: _where_passes(x > a, x),
        lambda y, a: _where_passes(y > a, y),
        params=((1.0,), (0.0,), (2.6,), (-0.75,)),
        out_of_domain_from_output=((-0.75,), (nan,)),
        kinks=lambda a: (a,),
        kink_derivatives=(0.0,),
        special=((-inf, 0.0), (-0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (2.0, 2.0), (inf, inf)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        off=lambda x, a: x <= a,
        off_from_output=lambda y, a: y <= a,
        output_is_exact=True,
    ),
    Spec(
        "squared_relu",
        lambda x: _relu(x) ** 2,
        lambda x: 2 * _relu(x),
        lambda y: 2 * np.sqrt(_relu(y)),
        kinks=lambda: (0.0,),
        kink_derivatives=(0.0,),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (3.0, 9.0), (1e-200, 0.0), (inf, inf)),
        exact=(BACKWARD,),
        off=lambda x: x <= 0,
        off_from_output=lambda y: y <= 0,
    ),
]


# --- Rising from one level to another -----------------------------------------------------------------------------


def _line(x: Array, slope: Array, offset: Array) -> Array:
    """Return slope * x + offset without the cancellation where they are opposite."""
    product, error = _two_product(slope, x)
    total, rest = _two_sum(product, offset)
    return np.asarray(total + (rest + error))


def _is_sixth(slope: Array, offset: Array) -> Array:
    return np.asarray((offset == 0.5) & ((slope == 1 / 6) | (slope == float(np.float32(1 / 6)))))


def _hard_line(x: Array, slope: Array, offset: Array) -> Array:
    """Return slope x + offset; the usual slope means 1/6, not its rounding."""
    return np.where(_is_sixth(slope, offset), (np.clip(x, -3, 3) + 3) / 6, _line(x, slope, offset))


def _hard_sigmoid(x: Array, slope: Array, offset: Array) -> Array:
    t = _hard_line(x, slope, offset)
    return np.where(t <= 0, 0, np.where(t > 1, 1, t))


def _hard_sigmoid_off(x: Array, slope: Array, offset: Array) -> Array:
    t = _hard_line(x, slope, offset)
    return (t <= 0) | (t >= 1)


def _hard_sigmoid_blurred(eps: float, x: Array, slope: Array, offset: Array) -> Array:
    t = _line(x, slope, offset)
    near = (np.abs(t - 1) <= 2 * eps) | (np.abs(t) <= 2 * eps * np.abs(offset))
    return np.asarray(near & ~_is_sixth(slope, offset))


def _hard_tanh_off(x: Array, low: Array, high: Array) -> Array:
    return (x <= low) | (x >= high)


def _sparse_plus(x: Array) -> Array:
    return np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4))


def _sparse_plus_derivative(x: Array) -> Array:
    return np.where(x <= -1, 0, np.where(x >= 1, 1, (x + 1) / 2))


def _sparse_sigmoid(x: Array) -> Array:
    return np.where(x <= -1, 0, np.where(x >= 1, 1, (x + 1) / 2))


_ROWS += [
    Spec(
        "hard_sigmoid",
        _hard_sigmoid,
        lambda x, slope, offset: _where_passes(~_hard_sigmoid_off(x, slope, offset), x, slope),
        lambda y, slope, _offset: _where_passes((y > 0) & (y < 1), y, slope),
        params=((1 / 6, 0.5), (0.2, 0.5), (1.0, 0.0), (0.001, 0.25), (3.0, -7.0), (1.0, 1.0)),
        out_of_domain=((0.0, 0.5), (-0.2, 0.5), (nan, 0.5)),
        outside_alone=((0, -0.2), (0, 0.0), (0, nan)),
        kinks=lambda slope, offset: (-offset / slope, (1 - offset) / slope),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, 0.0), (-3.0, 0.0), (-0.0, 0.5), (0.0, 0.5), (3.0, 1.0), (inf, 1.0)),
        exact=(BACKWARD, FROM_OUTPUT),
        off=_hard_sigmoid_off,
        off_from_output=lambda y, _slope, _offset: (y <= 0) | (y >= 1),
        blurred=_hard_sigmoid_blurred,
    ),
    Spec(
        "hard_tanh",
        lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
        lambda x, low, high: _where_passes((x > low) & (x < high), x),
        lambda y, low, high: _where_passes((y > low) & (y < high), y),
        params=((-1.0, 1.0), (-0.3, 2.7), (0.0, 6.0), (0.5, 0.5), (-inf, 1.0)),
        out_of_domain=((1.0, -1.0), (nan, 1.0), (-1.0, nan)),
        outside_alone=((0, nan), (1, nan)),
        kinks=lambda low, high: (low, high),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, -1.0), (-1.0, -1.0), (-0.0, -0.0), (0.0, 0.0), (1.0, 1.0), (inf, 1.0)),
        exact=(FORWARD, BACKWARD, FROM_OUTPUT),
        off=_hard_tanh_off,
        off_from_output=_hard_tanh_off,
        output_is_exact=True,
    ),
    Spec(
        "sparse_plus",
        _sparse_plus,
        _sparse_plus_derivative,
        lambda y: np.where(y <= 0, 0, np.where(y >= 1, 1, np.sqrt(y))),
        kinks=lambda: (-1.0, 1.0),
        kink_derivatives=(0.0, 1.0),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.25), (0.0, 0.25), (1.0, 1.0), (3.0, 3.0), (inf, inf)),
        interval=(-2.0, 2.0),
        off=lambda x: x <= -1,
        off_from_output=lambda y: y <= 0,
    ),
    Spec(
        "sparse_sigmoid",
        _sparse_sigmoid,
        lambda x: _where_passes((x > -1) & (x < 1), x, 0.5),
        lambda y: _where_passes((y > 0) & (y < 1), y, 0.5),
        kinks=lambda: (-1.0, 1.0),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, 0.0), (-1.0, 0.0), (-0.0, 0.5), (0.0, 0.5), (1.0, 1.0), (inf, 1.0)),
        interval=(-2.0, 2.0),
        exact=(BACKWARD, FROM_OUTPUT),
        off=lambda x: (x <= -1) | (x >= 1),
        off_from_output=lambda y: (y <= 0) | (y >= 1),
    ),
]


# --- x times a gate -----------------------------------------------------------------------------------------------


def _hard_swish(x: Array) -> Array:
    return np.where(x <= -3, -0.0, np.where(x >= 3, x, x * (x + 3) / 6))


def _hard_swish_derivative(x: Array) -> Array:
    return np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6))


def _hard_swish_line(x: Array, slope: Array, offset: Array) -> Array:
    t = _line(x, slope, offset)
    other = np.where(t <= 0, np.copysign(np.zeros_like(x), x), np.where(t >= 1, x, x * t))
    return np.where(_is_sixth(slope, offset), _hard_swish(x), other)


def _hard_swish_line_derivative(x: Array, slope: Array, offset: Array) -> Array:
    t = _line(x, slope, offset)
    other = np.where(t <= 0, 0, np.where(t >= 1, 1, _line(2 * x, slope, offset)))
    return np.where(_is_sixth(slope, offset), _hard_swish_derivative(x), other)


_ROWS += [
    Spec(
        "hard_swish_line",
        _hard_swish_line,
        _hard_swish_line_derivative,
        params=((1 / 6, 0.5), (0.2, 0.5), (1.0, 0.0), (0.001, 0.25), (3.0, -7.0), (1.0, 1.0)),
        out_of_domain=((0.0, 0.5), (-0.2, 0.5), (nan, 0.5), (inf, 0.5), (0.2, nan), (0.2, -inf)),
        outside_alone=((0, -0.2), (0, 0.0), (0, nan), (1, inf)),
        kinks=lambda slope, offset: (-offset / slope, (1 - offset) / slope),
        kink_derivatives=(0.0, 1.0),
        special=((-inf, -0.0), (-3.0, -0.0), (-1.5, -0.375), (-0.0, -0.0), (0.0, 0.0), (3.0, 3.0), (inf, inf)),
        interval=(-4.0, 4.0),
        off=lambda x, slope, offset: _hard_line(x, slope, offset) <= 0,
        blurred=_hard_sigmoid_blurred,
        public="hard_swish",
    ),
    Spec(
        "hard_swish",
        _hard_swish,
        _hard_swish_derivative,
        keywords=(("slope", 1 / 6), ("offset", 0.5)),
        kinks=lambda: (-3.0, 3.0),
        kink_derivatives=(0.0, 1.0),
        special=((-inf, -0.0), (-3.0, -0.0), (-1.5, -0.375), (-0.0, -0.0), (0.0, 0.0), (3.0, 3.0), (inf, inf)),
        interval=(-4.0, 4.0),
        off=lambda x: x <= -3,
    ),
    Spec(
        "hard_mish",
        lambda x: np.where(x >= 0, x, np.where(x <= -2, -0.0, x * (x + 2) / 2)),
        lambda x: np.where(x >= 0, 1, np.where(x <= -2, 0, x + 1)),
        kinks=lambda: (-2.0, 0.0),
        kink_derivatives=(0.0, 1.0),
        special=((-inf, -0.0), (-2.0, -0.0), (-1.0, -0.5), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
        interval=(-4.0, 4.0),
        off=lambda x: x <= -2,
    ),
]


# --- Pulling small inputs to zero ---------------------------------------------------------------------------------


def _hard_shrink(x: Array, lambd: Array) -> Array:
    return np.where(np.abs(x) <= lambd, 0, x)


def _soft_shrink(x: Array, lambd: Array) -> Array:
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, np.where(np.isnan(x), x, 0)))


def _shrink_derivative(x: Array, lambd: Array) -> Array:
    return _where_passes(np.abs(x) > lambd, x)


def _shrink_derivative_from_output(y: Array, _lambd: Array) -> Array:
    return _where_passes(y != 0, y)


_ROWS += [
    Spec(
        name,
        forward,
        _shrink_derivative,
        _shrink_derivative_from_output,
        params=((0.5,), (0.0,), (0.3,), (2.0,)),
        out_of_domain=((-0.5,), (nan,)),
        kinks=lambda lambd: (-lambd, lambd),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, -inf), (-0.5, 0.0), (-0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (2.0, two), (inf, inf)),
        interval=(-3.0, 3.0),
        exact=exact,
        off=lambda x, lambd: np.abs(x) <= lambd,
        off_from_output=lambda y, _lambd: y == 0,
        output_is_exact=True,
    )
    for name, forward, two, exact in (
        ("hard_shrink", _hard_shrink, 2.0, (FORWARD, BACKWARD, FROM_OUTPUT)),
        ("soft_shrink", _soft_shrink, 1.5, (BACKWARD, FROM_OUTPUT)),
    )
]


_ROWS += [
    Spec(
        "shrink",
        lambda x, lambd, bias: np.where(
            x > lambd, x - bias, np.where(x < -lambd, x + bias, np.where(np.isnan(x), x, 0))
        ),
        lambda x, lambd, _bias: _shrink_derivative(x, lambd),
        lambda y, lambd, _bias: _shrink_derivative_from_output(y, lambd),
        params=((0.5, 0.0), (0.5, 0.5), (1.5, -0.3), (0.3, 2.0), (0.0, 0.0)),
        out_of_domain=((-0.5, 0.0), (nan, 0.0)),
        outside_alone=((0, -0.5), (0, nan)),
        out_of_domain_from_output=((0.3, 2.0), (0.5, nan)),
        kinks=lambda lambd, _bias: (-lambd, lambd),
        kink_derivatives=(0.0, 0.0),
        special=((-inf, -inf), (-0.5, 0.0), (-0.0, 0.0), (0.0, 0.0), (0.5, 0.0), (2.0, 2.0), (inf, inf)),
        interval=(-3.0, 3.0),
        exact=(BACKWARD, FROM_OUTPUT),
        off=lambda x, lambd, _bias: np.abs(x) <= lambd,
        off_from_output=lambda y, _lambd, _bias: y == 0,
        output_is_exact=True,
    )
]


# --- Exponential family -------------------------------------------------------------------------------------------

_SELU_SCALE = "1.0507009873554804934193349852946063519590"
_SELU_PRODUCT = "1.7580993408473768599402175208122795773235"  # scale * alpha, alpha = 1.67326324235437728481704...


def _below_zero(x: Array) -> Array:
    """Return x where negative, else 0, so that the other branch stays quiet."""
    return np.where(x > 0, 0, x)


def _elu(x: Array, alpha: Array) -> Array:
    return np.where(x < 0, alpha * np.expm1(_below_zero(x)), x)


def _elu_derivative(x: Array, alpha: Array) -> Array:
    return np.where(x > 0, 1, alpha * np.exp(_below_zero(x)))


def _celu_argument(x: Array, alpha: Array) -> tuple[Array, Array]:
    """Return x / alpha for x < 0 and what is missing from it; beyond the bounds exp is 0 or infinite in every type."""
    z, low = _quotient(_below_zero(x), alpha)
    bound = 20000
    return np.clip(z, -bound, bound), np.where(np.abs(z) < bound, low, 0)


def _celu(x: Array, alpha: Array) -> Array:
    z, low = _celu_argument(x, alpha)
    # expm1(z + low) = expm1(z) + low * exp(z), unless they are infinite
    value = np.expm1(z) + _finite(low * np.exp(z))
    return np.where(x < 0, alpha * value, x)


def _celu_derivative(x: Array, alpha: Array) -> Array:
    z, low = _celu_argument(x, alpha)
    return np.where(x > 0, 1, np.exp(z) * (1 + low))


def _elu_by_alpha(x: Array, _alpha: Array) -> Array:
    return np.where(x > 0, 0, np.expm1(_below_zero(x)))


def _celu_by_alpha(x: Array, alpha: Array) -> Array:
    u, low = _celu_argument(x, alpha)
    near = np.where(np.abs(u) < 1, u, 0)
    series, factor = np.zeros_like(u), np.ones_like(u)
    for k in range(26):  # (1 - u) e^u - 1 = -u^2 times the sum of u^k / (k! (k + 2))
        series = series + factor / (k + 2)
        factor = factor * near / (k + 1)
    near = -near * (near + 2 * _finite(low)) * series
    far = (1 - u) * np.exp(u) - 1
    return np.where(x > 0, 0, np.where(np.abs(u) < 1, near, far - _finite(u * low * np.exp(u))))


def _softplus_by_beta(x: Array, beta: Array) -> Array:
    z, low = _two_product(beta, x)
    decay = _decay(z, low)
    return np.asarray(-(np.log1p(decay) + _damped(np.abs(z), decay / (1 + decay))) / (beta * beta))


def _selu(x: Array) -> Array:
    scale, product = x.dtype.type(_SELU_SCALE), x.dtype.type(_SELU_PRODUCT)
    return np.asarray(np.where(x < 0, product * np.expm1(_below_zero(x)), scale * x))


def _selu_derivative(x: Array) -> Array:
    scale, product = x.dtype.type(_SELU_SCALE), x.dtype.type(_SELU_PRODUCT)
    return np.asarray(np.where(x > 0, scale, product * np.exp(_below_zero(x))))


def _selu_derivative_from_output(y: Array) -> Array:
    product, low = _constant(y, _SELU_PRODUCT)
    return np.where(y > 0, y.dtype.type(_SELU_SCALE), (y + product) + low)


def _softplus(x: Array, beta: Array) -> Array:
    e = _decay(*_two_product(beta, x))
    return np.asarray(np.where(x < 0, 0, x) + np.log1p(e) / beta)


_LN2 = 0.6931471805599453


def _log1mexp(x: Array) -> Array:
    a = np.where(x < 0, 0, x)
    near = np.log(-np.expm1(-np.minimum(a, 1)))
    return np.where(x < 0, nan, np.where(a <= _LN2, near, np.log1p(-np.exp(-np.maximum(a, _LN2)))))


def _squareplus(x: Array, b: Array) -> Array:
    root = np.sqrt(x * x + b)
    falling = np.where(b == 0, 0, b / (root - x)) / 2
    return np.where(x < 0, falling, (x + root) / 2)


def _squareplus_derivative(x: Array, b: Array) -> Array:
    root = np.sqrt(x * x + b)
    falling = np.where(b == 0, 0, b / (root * (root - x))) / 2
    rising = np.where(x == inf, 1, np.where(root == 0, 0.5, (1 + x / root) / 2))
    return np.where(x < 0, falling, rising)


def _sigmoid(z: Array, low: Array | float = 0.0) -> Array:
    e = _decay(z, low)
    return np.asarray(np.where(z < 0, e, 1) / (1 + e))


_ROWS += [
    Spec(
        "elu",
        _elu,
        _elu_derivative,
        lambda y, alpha: np.where(y > 0, 1, y + alpha),
        params=((1.0,), (0.25,), (1.7,), (-0.5,)),
        out_of_domain=((inf,), (-inf,), (nan,)),
        out_of_domain_from_output=((-0.5,),),
        kinks=lambda _alpha: (0.0,),
        kink_derivatives=(1.0,),
        special=((-inf, -1.0), (-0.0, -0.0), (0.0, 0.0), (2.0, 2.0), (inf, inf)),
        by_parameters=(_elu_by_alpha,),
        parameter_limits=(0.51, 1.5, 1.1),
    ),
    Spec(
        "celu",
        _celu,
        _celu_derivative,
        lambda y, alpha: np.where(y > 0, 1, (y + alpha) / alpha),
        params=((1.0,), (0.25,), (1.7,), (30.0,), (-1.5,)),
        out_of_domain=((0.0,), (inf,), (nan,)),
        out_of_domain_from_output=((-1.5,),),
        kinks=lambda _alpha: (0.0,),
        kink_derivatives=(1.0,),
        special=((-inf, -1.0), (-0.0, -0.0), (0.0, 0.0), (2.0, 2.0), (inf, inf)),
        by_parameters=(_celu_by_alpha,),
        parameter_limits=(0.51, 4.0, 1.1),
    ),
    Spec(
        "selu",
        _selu,
        _selu_derivative,
        _selu_derivative_from_output,
        kinks=lambda: (0.0,),
        kink_derivatives=(float(_SELU_PRODUCT),),
        special=((-inf, -float(_SELU_PRODUCT)), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
    ),
    Spec(
        "softplus",
        _softplus,
        lambda x, beta: _sigmoid(*_two_product(beta, x)),
        lambda y, beta: -np.expm1(-beta * y),
        params=((1.0,), (0.5,), (3.3,), (20.0,)),
        out_of_domain=((0.0,), (-1.0,), (inf,), (nan,)),
        special=((-inf, 0.0), (0.0, 0.6931471805599453), (-0.0, 0.6931471805599453), (inf, inf)),
        interval=(-40.0, 40.0),
        by_parameters=(_softplus_by_beta,),
        parameter_limits=(0.51, 6.0, 1.1),
    ),
    Spec(
        "log_sigmoid",
        lambda x: np.where(x > 0, -0.0, x) - np.log1p(_decay(x)),
        lambda x: _sigmoid(-x),
        lambda y: -np.expm1(y),
        special=((-inf, -inf), (0.0, -0.6931471805599453), (-0.0, -0.6931471805599453), (inf, -0.0)),
        interval=(-40.0, 40.0),
    ),
    Spec(
        "log1mexp",
        _log1mexp,
        lambda x: np.where(x < 0, nan, 1 / np.expm1(np.where(x < 0, 0, np.abs(x)))),
        lambda y: np.where(y == 0, 0, np.expm1(-y)),
        kinks=lambda: (0.0, _LN2),  # _LN2: where the formula changes
        kink_derivatives=(inf, 1.0),
        special=((-inf, nan), (-1.0, nan), (-0.0, -inf), (0.0, -inf), (_LN2, -_LN2), (inf, -0.0)),
        interval=(0.5, 40.0),
    ),
    Spec(
        "squareplus",
        _squareplus,
        _squareplus_derivative,
        lambda y, b: np.where(y == inf, 1, np.where(b == 0, y > 0, y * y / (y * y + b / 4))),
        params=((4.0,), (1.0,), (0.3,), (100.0,), (0.0,)),
        kinks=lambda b: () if b else (0.0,),
        out_of_domain=((-1.0,), (inf,), (nan,)),
        out_of_domain_from_output=((0.0,),),
        special=((-inf, 0.0), (-0.0, 1.0), (0.0, 1.0), (inf, inf)),
        interval=(-20.0, 20.0),
    ),
]


# --- Sigmoidal and gated functions --------------------------------------------------------------------------------


def _tanh_derivative(x: Array) -> Array:
    e = np.exp(-2 * np.abs(x))
    return np.asarray(4 * e / (1 + e) ** 2)


def _softsign(x: Array) -> Array:
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


def _gate(x: Array, z: Array, low: Array | float = 0.0) -> Array:
    """Return x * sigmoid(z + low)."""
    return _damped(x, _sigmoid(z, low))


def _gate_derivative(z: Array, low: Array | float, elasticity: Array) -> Array:
    """Return the derivative of x * sigmoid(z(x)), given elasticity = x * z'(x)."""
    e = _decay(z, low)
    rest = np.where(e == 0, 0, e * elasticity)
    return np.asarray(np.where(z < 0, e + e * e + rest, 1 + e + rest) / (1 + e) ** 2)


def _scaled(x: Array, beta: Array) -> tuple[Array, Array]:
    z, low = _two_product(beta, x)
    return np.where((beta == 0) & ~np.isnan(x), 0, z), low


def _swish(x: Array, beta: Array) -> Array:
    return _gate(x, *_scaled(x, beta))


def _swish_by_beta(x: Array, beta: Array) -> Array:
    decay = _decay(*_two_product(beta, x))
    value = np.where(beta == 0, x * x / 4, _damped(x * x, decay / (1 + decay) ** 2))
    return np.where(np.isnan(x), x, value)


def _swish_derivative(x: Array, beta: Array) -> Array:
    z, low = _scaled(x, beta)
    return _gate_derivative(z, low, z)


def _quick_argument(x: Array) -> tuple[Array, Array]:
    """Return 1.702 x with its rounding error; 851 x is exact."""
    return _quotient(851 * x, x.dtype.type(500))


def _quick_gelu(x: Array) -> Array:
    return _gate(x, *_quick_argument(x))


def _quick_gelu_derivative(x: Array) -> Array:
    z, low = _quick_argument(x)
    return _gate_derivative(z, low, z)


_TWICE_SQRT_2_OVER_PI = "1.595769121605730711759784239737527473883"


def _tanh_argument(x: Array) -> tuple[Array, Array, Array]:
    """Return z = 2 sqrt(2/pi) (x + 0.044715 x^3) with its rounding error, and x z'(x)."""
    x = np.clip(x, -200, 200)  # beyond, exp(-abs(z)) is 0 in every type
    cubic, cubic_low = _constant(x, "0.044715")
    scale, scale_low = _constant(x, _TWICE_SQRT_2_OVER_PI)
    square, square_low = _two_product(x, x)
    term, term_low = _two_product(cubic, square)
    inner, inner_low = _two_sum(np.ones_like(x), term)
    inner_low = inner_low + term_low + cubic * square_low + cubic_low * square
    product, product_low = _two_product(x, inner)
    product_low = product_low + x * inner_low
    z, low = _two_product(scale, product)
    low = low + scale * product_low + scale_low * product
    return z, low, np.asarray(scale * x * (1 + 3 * term))


def _gelu_tanh(x: Array) -> Array:
    z, low, _ = _tanh_argument(x)
    return _gate(x, z, low)


def _gelu_tanh_derivative(x: Array) -> Array:
    return _gate_derivative(*_tanh_argument(x))


_SQRT_2_PI = "2.506628274631000502415765284811045253007"


def _normal_tail(a: Array) -> tuple[Array, Array]:
    """Return the density phi(a) and Mills' ratio Phi(-a) / phi(a), for a >= 0."""
    a = np.minimum(a, 1000)  # beyond, phi is 0 in every type
    square, low = _two_product(a, a)
    phi = np.asarray(np.exp(-square / 2) * (1 - low / 2) / _constant(a, _SQRT_2_PI)[0])
    # a < 1: Phi(a) = 1/2 + phi(a) (a + a^3/3 + a^5/(3*5) + ...)
    small = np.minimum(a, 1)
    term = total = small
    for k in range(3, 63, 2):
        term = term * small * small / k
        total = total + term
    series = 1 / (2 * phi) - total
    # Else the continued fraction 1/(a + 1/(a + 2/(a + 3/...))), from an estimate of its far end.
    result = np.where(a < 1, series, a)
    for chosen, terms in (((a >= 1) & (a < 2), 420), ((a >= 2) & (a < 3), 130), (a >= 3, 70)):
        part = a[chosen]
        fraction = (part + np.sqrt(part * part + 4 * terms)) / 2
        for k in range(terms, 0, -1):
            fraction = part + k / fraction
        result[chosen] = 1 / fraction
    return phi, np.where(np.isnan(a), a, result)


def _gelu(x: Array) -> Array:
    phi, ratio = _normal_tail(np.abs(x))
    tail = phi * ratio
    return np.where(x < 0, _damped(x, tail), x * (1 - tail))


def _gelu_derivative(x: Array) -> Array:
    a = np.minimum(np.abs(x), 1000)
    phi, ratio = _normal_tail(a)
    falling = phi * (ratio - a)
    return np.asarray(np.where(x < 0, falling, 1 - falling))


def _erf(x: Array) -> Array:
    """Return erf(x): near 0 by its series of positive terms 2 / sqrt(pi) e^(-x^2) (x + 2 x^3/3 + 4 x^5/(3 5) + ...)."""
    root, low = _constant(x, "1.414213562373095048801688724209698078570")
    small = np.clip(x, -1, 1)
    term = total = small
    for k in range(3, 83, 2):
        term = term * small * small * 2 / k
        total = total + term
    a, error = _two_product(np.abs(x), root)
    phi, ratio = _normal_tail(a)
    tail = 1 - 2 * phi * (ratio - _finite(error + np.abs(x) * low))
    center = total * np.exp(-small * small) * _constant(x, _TWO_OVER_SQRT_PI)[0]
    return np.where(np.abs(x) < 1, center, np.where(np.isnan(x), x, np.copysign(tail, x)))


_TWO_OVER_SQRT_PI = "1.128379167095512573896158903121545171688"


def _logit_side(x: Array, eps: Array) -> Array:
    """Return x or 1 - x, whichever is at most 1/2, limited to eps."""
    side = np.where(x > 0.5, 1 - x, x)
    return np.where(side < eps, eps, side)


def _logit(x: Array, eps: Array) -> Array:
    m = _logit_side(x, eps)
    y = np.where(m > 0.3, 2 * np.arctanh(2 * m - 1), np.log(m) - np.log1p(-m))
    return np.where(m == 0.5, 0, np.where(x > 0.5, -y, y))


def _logit_derivative(x: Array, eps: Array) -> Array:
    m = np.where(x > 0.5, 1 - x, x)
    limited = (m < eps) & (eps >= 0)
    return np.where(limited, 0, np.where(m < 0, nan, 1 / np.abs(m) / (1 - m)))


def _dish(x: Array) -> Array:
    a = np.abs(x)
    s = np.sqrt(1 + a * a)
    falling = np.where(a > 1e100, -0.25 / a, -a / (2 * s * (s + a)))
    return np.where(x < 0, falling, np.where(a > 1e100, x, x / 2 * (1 + x / s)))


def _dish_derivative(x: Array) -> Array:
    a = np.minimum(np.abs(x), 1e100)
    s = np.sqrt(1 + a * a)
    u, w, t = a / s, a * a, s**3
    falling = np.where(np.abs(x) > 1e30, -0.5 / x * 0.5 / x, (1 - w - w * w) / (2 * t * (t + a * (w + 2))))
    return np.where(x < 0, falling, (1 + u) * (1 + u - u * u) / 2) + np.where(np.isnan(x), x, 0)


def _above_line(x: Array) -> Array:
    """Return exp(x) - 1 - x for x <= 0, near 0 by its series."""
    small = np.where(np.abs(x) < 0.5, x, 0)
    term, total = small * small / 2, np.zeros_like(x)
    for k in range(3, 40):
        total = total + term
        term = term * small / k
    return np.where(np.abs(x) < 0.5, total, np.expm1(_below_zero(x)) - _below_zero(x))


def _xielu(x: Array, alpha_p: Array, alpha_n: Array, beta: Array) -> Array:
    line, low = _two_product(alpha_p, x)
    total, rest = _two_sum(line, beta)
    right = x * (total + (rest + low))
    top = np.where(alpha_p == 0, beta, alpha_p)
    right = np.where(x == inf, np.where(top == 0, 0, top * x), right)
    below = _below_zero(x)
    slope, error = _two_sum(beta, -alpha_n)
    far = np.where(slope == 0, 0, slope * below) + _finite(error * below) + alpha_n * np.expm1(below)
    near = alpha_n * _above_line(np.maximum(below, -1)) + beta * x
    return np.where(x > 0, right, np.where(x < -1, far, near))


def _xielu_derivative(x: Array, alpha_p: Array, alpha_n: Array, beta: Array) -> Array:
    right = np.where(alpha_p == 0, beta, _line(2 * np.where(alpha_p == 0, 0, x), alpha_p, beta))
    right = np.where((x == inf) & (alpha_p != 0), alpha_p * x, right)
    below = _below_zero(x)
    slope, error = _two_sum(beta, -alpha_n)
    far = alpha_n * np.exp(below) + slope + error
    return np.where(x > 0, right, np.where(x < -1, far, alpha_n * np.expm1(below) + beta))


def _mish(x: Array) -> Array:
    e = _decay(x)
    n = e * (e + 2)
    rising = x * (1 + 2 * e) / (1 + 2 * e + 2 * e * e)
    return np.where(x < 0, _damped(x, n / (n + 2)), np.where(x == inf, x, rising))


def _mish_derivative(x: Array) -> Array:
    a = np.minimum(np.abs(x), 30000)
    e = _decay(a)
    falling = e * (4 * (1 - a) + (6 - 4 * a) * e + 4 * e**2 + e**3) / (2 + 2 * e + e**2) ** 2
    rising = (1 + 4 * e + (4 * a + 6) * e**2 + 4 * (a + 1) * e**3) / (1 + 2 * e + 2 * e**2) ** 2
    return np.asarray(np.where(x < 0, falling, rising))


def _tanh_shrink(x: Array) -> Array:
    # x - tanh(x) = (x cosh(x) - sinh(x)) / cosh(x), and the numerator is the sum of 2n x^(2n+1) / (2n+1)!
    small = np.clip(x, -2, 2)
    square = small * small
    power = small * square / 6
    total = 2 * power
    for n in range(2, 20):
        power = power * square / (2 * n * (2 * n + 1))
        total = total + 2 * n * power
    return np.where(np.abs(x) < 2, total / np.cosh(small), x - np.tanh(x))


_GATED: Mapping[str, Any] = {
    "special": ((-inf, -0.0), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
    "interval": (-20.0, 20.0),
}
_ROWS += [
    Spec(
        "sigmoid",
        _sigmoid,
        lambda x: _decay(x) / (1 + _decay(x)) ** 2,
        lambda y: y * (1 - y),
        special=((-inf, 0.0), (-0.0, 0.5), (0.0, 0.5), (inf, 1.0)),
        interval=(-20.0, 20.0),
    ),
    Spec(
        "logit",
        _logit,
        _logit_derivative,
        lambda y, _eps: (np.exp(np.abs(y) / 2) + np.exp(-np.abs(y) / 2)) ** 2,
        params=((-1.0,), (0.0,), (1e-6,), (0.1,), (0.5,)),
        out_of_domain=((0.75,), (inf,), (nan,)),
        out_of_domain_from_output=((0.0,), (1e-6,), (0.1,), (0.5,)),
        kinks=lambda eps: (eps, 1 - eps) if eps >= 0 else (),
        special=((-inf, nan), (-0.0, -inf), (0.0, -inf), (0.5, 0.0), (1.0, inf), (1.5, nan), (inf, nan)),
        interval=(0.3, 0.7),
        off=lambda x, eps: (eps >= 0) & ~(_logit_side(x, np.asarray(-inf)) >= eps) & ~np.isnan(x),
    ),
    Spec(
        "erf",
        _erf,
        lambda x: _decay(*_two_product(x, x)) * _constant(x, _TWO_OVER_SQRT_PI)[0],
        special=((-inf, -1.0), (-0.0, -0.0), (0.0, 0.0), (inf, 1.0)),
        interval=(-6.0, 6.0),
    ),
    Spec(
        "dish",
        _dish,
        _dish_derivative,
        **_GATED,
    ),
    Spec(
        "xielu",
        _xielu,
        _xielu_derivative,
        params=((0.8, 0.8, 0.5), (1.3, 2.0, 0.5), (0.3, 0.7, 0.7), (2.0, -0.5, 1.0), (0.1, 5.0, 0.25), (0.0, 0.6, 0.0)),
        out_of_domain=((nan, 0.8, 0.5), (0.8, inf, 0.5), (0.8, 0.8, -inf)),
        outside_alone=((0, inf), (1, nan), (2, inf)),
        kinks=lambda *_: (0.0,),  # of its derivative
        kink_derivatives=(0.5,),
        special=((-inf, inf), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
        signed_zeros=False,
        by_parameters=(
            lambda x, *_: np.where(x <= 0, 0, x * x),
            lambda x, *_: np.where(x > 0, 0, np.where(np.isnan(x), x, _above_line(x))),
            lambda x, *_: x,
        ),
        parameter_limits=(0.51, 3.0, 1.1),
    ),
    Spec(
        "tanh",
        np.tanh,
        _tanh_derivative,
        lambda y: (1 - y) * (1 + y),
        special=((-inf, -1.0), (-0.0, -0.0), (0.0, 0.0), (inf, 1.0)),
    ),
    Spec(
        "softcap",
        lambda x, cap: cap * np.tanh(x / cap),
        lambda x, cap: _tanh_derivative(x / cap),
        lambda y, cap: (cap - y) / cap * ((cap + y) / cap),
        params=((50.0,), (1.0,), (30.0,), (0.7,), (3.3,)),
        out_of_domain=((0.0,), (-1.0,), (inf,), (nan,)),
        special=((-inf, -50.0), (-0.0, -0.0), (0.0, 0.0), (1e-8, 1e-8), (inf, 50.0)),
        interval=(-200.0, 200.0),
    ),
    Spec(
        "softsign",
        _softsign,
        lambda x: 1 / (1 + np.abs(x)) ** 2,
        lambda y: (1 - np.abs(y)) ** 2,
        kinks=lambda: (0.0,),  # of its derivative
        kink_derivatives=(1.0,),
        special=((-inf, -1.0), (-1.0, -0.5), (-0.0, -0.0), (0.0, 0.0), (1.0, 0.5), (inf, 1.0)),
    ),
    Spec(
        "silu",
        lambda x: _gate(x, x),
        lambda x: _gate_derivative(x, 0.0, x),
        **_GATED,
    ),
    Spec(
        "swish",
        _swish,
        _swish_derivative,
        params=((1.0,), (0.5,), (1.702,), (3.3,), (-0.7,), (0.0,)),
        out_of_domain=((inf,), (-inf,), (nan,)),
        by_parameters=(_swish_by_beta,),
        parameter_limits=(0.51, 6.0, 1.1),
        **_GATED,
    ),
    Spec(
        "quick_gelu",
        _quick_gelu,
        _quick_gelu_derivative,
        **_GATED,
    ),
    Spec(
        "gelu",
        _gelu,
        _gelu_derivative,
        keywords=(("approximate", "none"),),
        **_GATED,
    ),
    Spec(
        "gelu_tanh",
        _gelu_tanh,
        _gelu_tanh_derivative,
        public="gelu",
        keywords=(("approximate", "tanh"),),
        **_GATED,
    ),
    Spec(
        "mish",
        _mish,
        _mish_derivative,
        **_GATED,
    ),
    Spec(
        "tanh_shrink",
        _tanh_shrink,
        lambda x: np.tanh(x) ** 2,
        special=((-inf, -inf), (-0.0, -0.0), (0.0, 0.0), (inf, inf)),
    ),
]

SPECS: dict[str, Spec] = {row.name: row for row in _ROWS}
