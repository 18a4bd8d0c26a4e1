"""Functions of other frameworks that are a few calls of ours."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any, TypeGuard

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrelu import activations, along_axis
from fastrelu._core import check_types
from fastrelu._foreign import refuse
from fastrelu._kernels import as_half, as_native
from fastrelu._options import data_type, integer, integers
from fastrelu.limits import SOFTPLUS_ENDS

__all__ = [
    "axes_from",
    "axes_of",
    "cast",
    "clipped_gelu",
    "clipped_gelu_backward",
    "dim_of",
    "exponential",
    "exponential_backward",
    "hard_shrink_any",
    "hard_shrink_any_backward",
    "hard_sigmoid_any",
    "implicit_dim",
    "laplace",
    "laplace_backward",
    "log_softmax_backward",
    "reduce_logsumexp",
    "reduced",
    "scaled_elu",
    "scaled_elu_backward",
    "softmax_backward",
    "softmin_backward",
    "softplus_with_threshold",
    "softplus_with_threshold_backward",
    "sparsemax_backward",
    "sqrt_softplus",
    "sqrt_softplus_backward",
    "weight_axis",
    "weight_of",
]


# --- Arguments ----------------------------------------------------------------------------------------------------


def cast(x: ArrayLike, dtype: DTypeLike | None) -> Any:
    """Return an array in a type, or as it is."""
    return x if dtype is None else np.asanyarray(x, data_type("dtype", dtype))


def dim_of(x: ArrayLike, dim: Any) -> Any:
    """Return an axis, or no axis for a single number, which PyTorch takes for one element along axis 0."""
    if dim is not None:
        integers("dim", dim)
    return () if np.ndim(x) == 0 and dim in (0, -1, (0,), (-1,)) else dim


def implicit_dim(x: ArrayLike, dim: int | None) -> Any:
    """Return the axis that PyTorch takes if it is told none, with its warning."""
    if dim is not None:
        return dim_of(x, dim)
    axis = 0 if np.ndim(x) in {0, 1, 3} else 1
    warnings.warn(f"without dim, PyTorch takes axis {axis} of {np.ndim(x)}: pass dim={axis}", stacklevel=4)
    return dim_of(x, axis)


def axes_from(x: ArrayLike, axis: int) -> tuple[int, ...]:
    """Return the axes that ONNX flattened into one before opset 13: this one and those after it."""
    return tuple(range(normalize_axis_index(axis, np.ndim(x)), np.ndim(x)))


def axes_of(axis: Any) -> Any:
    """Return an axis, or axes in a list or array as a tuple, which is what our functions take."""
    several = isinstance(axis, list) or (isinstance(axis, np.ndarray) and axis.ndim)
    return tuple(integer("axis", each) for each in axis) if several else axis


def reduced(dim: Any) -> Any:
    """Return the axes of a sum, all of them for an empty tuple, as PyTorch takes it."""
    axes = axes_of(dim)
    return None if axes == () else axes


def weight_axis(weight: ArrayLike, axis: int) -> int | None:
    """Return the axis that a weight of one dimension lies along; None for others, and for a single number."""
    return axis if np.ndim(weight) == 1 and np.size(weight) > 1 else None


def weight_of(weight: Any) -> Any:
    """Return a weight; one of a single element as a number, which broadcasts to an input without axes too."""
    array = np.asarray(weight) if isinstance(weight, (list, tuple)) else weight
    return array.reshape(()) if type(array) is np.ndarray and array.shape == (1,) else array


# --- Along an axis ------------------------------------------------------------------------------------------------


def softmax_backward(grad: ArrayLike, x: ArrayLike, axis: Any = -1, *, where: ArrayLike = True) -> Any:
    """Gradient of softmax from its input."""
    return along_axis.softmax_backward_from_output(grad, along_axis.softmax(x, axis, where=where), axis)


def log_softmax_backward(grad: ArrayLike, x: ArrayLike, axis: Any = -1, *, where: ArrayLike = True) -> Any:
    """Gradient of log_softmax from its input."""
    refuse("log_softmax_backward", grad=grad, x=x)
    y = np.asanyarray(along_axis.log_softmax(x, axis, where=where))
    least = np.nextafter(y.dtype.type(-np.inf), y.dtype.type(0))
    # An output of -inf counts as masked, whatever the input.
    np.copyto(y, least, where=(y == -np.inf) & np.asarray(where, bool))
    return along_axis.log_softmax_backward_from_output(grad, y, axis)


def softmin_backward(grad: ArrayLike, x: ArrayLike, axis: Any = -1, *, where: ArrayLike = True) -> Any:
    """Gradient of softmin from its input."""
    return along_axis.softmin_backward_from_output(grad, along_axis.softmin(x, axis, where=where), axis)


def sparsemax_backward(grad: ArrayLike, x: ArrayLike, axis: Any = -1) -> Any:
    """Gradient of sparsemax from its input."""
    return along_axis.sparsemax_backward_from_output(grad, along_axis.sparsemax(x, axis), axis)


def reduce_logsumexp(x: ArrayLike, axes: Any, keepdims: int, noop_with_empty_axes: int) -> Any:
    """Logarithm of the sum of exponentials, over all axes if none are given, or none."""
    keeps, noop = _bit("keepdims", keepdims), _bit("noop_with_empty_axes", noop_with_empty_axes)
    given = () if axes is None else integers("axes", axes.tolist() if isinstance(axes, np.ndarray) else axes)
    along = given if isinstance(given, tuple) else (given,)
    if not along and noop:
        return np.array(x)
    return along_axis.logsumexp(x, along or None, keepdims=keeps)


def _bit(name: str, value: Any) -> bool:
    """Return an attribute that is 0 or 1."""
    if not isinstance(value, (bool, np.bool_)) and integer(name, value) not in {0, 1}:
        raise ValueError(f"{name} must be 0 or 1, got {value!r}")
    return bool(value)


quiet = functools.partial(np.errstate, all="ignore")  # infinities and NaN show in the result, as in all kernels


_BLOCK = 1 << 15  # elements, whose masks and products stay in the cache
_MANY = 512  # elements of 16 bits, from which on NumPy's arithmetic takes longer than ours with two conversions

# --- Element by element -------------------------------------------------------------------------------------------


def _is_negative(parameter: Any) -> TypeGuard[float]:
    return isinstance(parameter, (int, float, np.integer, np.floating)) and bool(parameter < 0)


def _has_no_threshold(x: Any, beta: Any, threshold: Any) -> bool:
    """Whether a threshold of softplus changes no bit."""
    numbers = type(beta) in {int, float} and type(threshold) in {int, float}
    return numbers and _is_real(x) and beta > 0 and bool(threshold >= SOFTPLUS_ENDS[x.dtype.itemsize])


def softplus_with_threshold(x: Any, beta: ArrayLike, threshold: ArrayLike) -> Any:
    """Softplus, and the identity where ``beta * x > threshold``; with a beta below 0 the mirror image."""
    if _has_no_threshold(x, beta, threshold):
        return activations.softplus(x, beta)
    x = _real("softplus_with_threshold", x)
    check_types("softplus_with_threshold", ("threshold",), (threshold,))
    if _is_negative(beta):
        y = np.negative(activations.softplus(np.negative(x), -float(beta)))
    else:
        y = activations.softplus(x, beta)
    return _put_above(y, x, x, beta, threshold)


def softplus_with_threshold_backward(grad: ArrayLike, x: Any, beta: ArrayLike, threshold: ArrayLike) -> Any:
    """Gradient of softplus with a threshold."""
    if _has_no_threshold(x, beta, threshold) and _is_real(grad) and grad.dtype == x.dtype:
        return activations.softplus_backward(grad, x, beta)
    refuse("softplus_with_threshold_backward", grad=grad)
    x = _real("softplus_with_threshold_backward", x)
    check_types("softplus_with_threshold_backward", ("threshold",), (threshold,))
    if _is_negative(beta):
        dx = activations.softplus_backward(grad, np.negative(x), -float(beta))
    else:
        dx = activations.softplus_backward(grad, x, beta)
    return _put_above(dx, grad, x, beta, threshold)


def _above(x: Any, beta: ArrayLike, threshold: ArrayLike) -> Any:
    with quiet():  # an infinite product is above any threshold, NaN above none
        if type(x) is np.ndarray and x.itemsize == 2 and x.size >= _MANY and _is_number(beta) and _is_number(threshold):
            product = as_half(np.multiply(as_native(x), np.float32(x.dtype.type(beta))), x.dtype)
            return as_native(product) > np.float32(x.dtype.type(threshold))
        return np.multiply(x, beta) > threshold


def _is_number(value: Any) -> bool:
    return type(value) in (float, int)


def _put_above(result: Any, value: Any, x: Any, beta: ArrayLike, threshold: ArrayLike) -> Any:
    """Return a result with another value where ``beta * x > threshold``, block by block if all are laid out alike."""
    array = np.asanyarray(result)
    given = (array, value, x)
    if array.size <= _BLOCK or not (
        all(type(a) is np.ndarray and a.flags.c_contiguous and a.shape == array.shape for a in given)
        and _is_number(beta)
        and _is_number(threshold)
    ):
        _copy_above(array, value, x, beta, threshold)
        return array if array is result else array[()]
    flat, value, x = (a.reshape(-1) for a in given)
    for start in range(0, array.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        _copy_above(flat[part], value[part], x[part], beta, threshold)
    return result


def _copy_above(array: Any, value: Any, x: Any, beta: ArrayLike, threshold: ArrayLike) -> None:
    np.copyto(array, value, where=_above(x, beta, threshold), casting="unsafe")


def hard_shrink_any(x: ArrayLike, lambd: ArrayLike) -> Any:
    """Hard shrink; with a lambd below 0 the identity."""
    return activations.identity(x) if _is_negative(lambd) else activations.hard_shrink(x, lambd)


def hard_shrink_any_backward(grad: ArrayLike, x: ArrayLike, lambd: ArrayLike) -> Any:
    """Gradient of hard shrink."""
    if _is_negative(lambd):
        return activations.identity_backward(grad, x)
    return activations.hard_shrink_backward(grad, x, lambd)


def hard_sigmoid_any(x: Any, slope: ArrayLike, offset: ArrayLike) -> Any:
    """Line ``slope * x + offset`` between 0 and 1, rising, falling or level."""
    if isinstance(slope, (int, float, np.integer, np.floating)) and slope == 0:
        check_types("hard_sigmoid", ("offset",), (offset,))
        x = _real("hard_sigmoid", x)
        return np.where(np.isnan(x), x, np.clip(offset, 0, 1)).astype(x.dtype, copy=False)[()]
    if not _is_negative(slope):
        return activations.hard_sigmoid(x, slope, offset)
    return activations.hard_sigmoid(np.negative(_real("hard_sigmoid", x)), -float(slope), offset)


def clipped_gelu(x: ArrayLike, min_val: float, max_val: float) -> Any:
    """GELU between two numbers."""
    check_types("clipped_gelu", ("x", "min_val", "max_val"), (x, min_val, max_val))
    return activations.hard_tanh(activations.gelu(x), min_val, max_val)


def clipped_gelu_backward(grad: ArrayLike, x: ArrayLike, min_val: float, max_val: float) -> Any:
    """Gradient of GELU between two numbers."""
    check_types("clipped_gelu_backward", ("grad", "x", "min_val", "max_val"), (grad, x, min_val, max_val))
    inside = activations.hard_tanh_backward(grad, activations.gelu(x), min_val, max_val)
    return activations.gelu_backward(inside, x)


def scaled_elu(x: Any, alpha: ArrayLike, gamma: ArrayLike) -> Any:
    """ELU times a number: SELU with other constants."""
    x = _real("scaled_elu", x)
    check_types("scaled_elu", ("gamma",), (gamma,))
    return _scaled(activations.elu(_wide(x), alpha), gamma, x.dtype)


def scaled_elu_backward(grad: Any, x: Any, alpha: ArrayLike, gamma: ArrayLike) -> Any:
    """Gradient of ELU times a number."""
    check_types("scaled_elu_backward", ("grad", "x", "gamma"), (grad, x, gamma))
    kind = np.asanyarray(activations.elu_backward(grad, x, alpha)).dtype
    grad, x = (_wide(_real("scaled_elu_backward", a)) for a in (grad, x))
    return _scaled(activations.elu_backward(grad, x, alpha), gamma, kind)


def _wide(x: Any) -> Any:
    """Return an array of 16 bits as float32, others as they are."""
    if type(x) is np.ndarray:
        return as_native(x)
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _narrow(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array in the type of a result; NumPy takes ten times as long for 16 bits."""
    if type(x) is np.ndarray and x.dtype != dtype and dtype.itemsize == 2:
        return as_half(x, dtype)
    return x.astype(dtype, copy=False)


def _scaled(y: Any, gamma: ArrayLike, dtype: np.dtype[Any]) -> Any:
    """Return an array times a number, rounded once to its type."""
    with quiet():
        return _narrow(np.asanyarray(np.multiply(y, gamma)), dtype)[()]


def _is_real(x: Any) -> TypeGuard[NDArray[Any]]:
    """Whether `x` is a plain array of float32 or float64."""
    return type(x) is np.ndarray and x.dtype.char in "fd" and x.dtype.isnative


def _real(name: str, x: ArrayLike) -> Any:
    """Return an array in the type of results."""
    if _is_real(x):
        return x
    refuse(name, x=x)
    check_types(name, ("x",), (x,))
    array = np.asanyarray(x)
    return array.astype(activations.relu(np.empty(0, array.dtype)).dtype, copy=False)


def _sqrt_softplus(x: Any) -> tuple[Any, Any]:
    """Return the square root of softplus and its derivative, of 16-bit types in float32."""
    wide = _wide(x)
    with quiet():
        # Below -40 softplus is the exponential, which would lose its digits to subnormal numbers.
        root = np.where(wide < -40, np.exp(np.minimum(wide, 0) / 2), np.sqrt(activations.softplus(wide)))
        slope = np.divide(activations.sigmoid(wide), root, out=root.copy(), where=~(wide < -40)) / 2
    return _narrow(root, x.dtype), _narrow(slope, x.dtype)


def sqrt_softplus(x: Any) -> Any:
    """Square root of softplus."""
    return _sqrt_softplus(_real("sqrt_softplus", x))[0][()]


def sqrt_softplus_backward(grad: ArrayLike, x: Any) -> Any:
    """Gradient of the square root of softplus."""
    check_types("sqrt_softplus_backward", ("grad",), (grad,))
    slope = _sqrt_softplus(_real("sqrt_softplus_backward", x))[1]
    with quiet():
        return np.multiply(grad, slope)[()]


def exponential(x: Any) -> Any:
    """Exponential function."""
    x = _real("exponential", x)
    with quiet():
        return np.exp(x)


def exponential_backward(grad: ArrayLike, x: Any) -> Any:
    """Gradient of the exponential function."""
    check_types("exponential_backward", ("grad",), (grad,))
    with quiet():
        return np.multiply(grad, np.exp(_real("exponential_backward", x)))


def laplace(x: Any, mu: float, sigma: float) -> Any:
    """Cumulative probability of a normal distribution."""
    x = _real("laplace", x)
    check_types("laplace", ("mu", "sigma"), (mu, sigma))
    with quiet():
        z = (_wide(x).astype(np.float64) - mu) / sigma
    # The left tail of GELU is right, that of 1 + erf is not.
    other = np.where(np.isnan(z), z, np.where(z == np.inf, 1.0, 0.5))
    where = (np.abs(z) > 1e-30) & (z < np.inf)
    return _narrow(np.divide(activations.gelu(z), z, out=other, where=where), x.dtype)[()]


def laplace_backward(grad: ArrayLike, x: Any, mu: float, sigma: float) -> Any:
    """Gradient of the cumulative probability: the density."""
    x = _real("laplace_backward", x)
    check_types("laplace_backward", ("grad", "mu", "sigma"), (grad, mu, sigma))
    with quiet():
        density = np.exp(((_wide(x).astype(np.float64) - mu) / sigma) ** 2 * -0.5) * (
            1 / (sigma * math.sqrt(2 * math.pi))
        )
        return np.multiply(grad, _narrow(density, x.dtype))[()]
