"""Functions of the form x times a gate."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from numpy.typing import ArrayLike

from fastrelu._core import call, call_in_place, call_unary
from fastrelu._kernels import Kernel
from fastrelu._sums import call as call_learned
from fastrelu._typing import Output
from fastrelu.runtime import kernels, learned

__all__ = [
    "dish",
    "dish_",
    "dish_backward",
    "gelu",
    "gelu_",
    "gelu_backward",
    "hard_mish",
    "hard_mish_",
    "hard_mish_backward",
    "hard_swish",
    "hard_swish_",
    "hard_swish_backward",
    "mish",
    "mish_",
    "mish_backward",
    "quick_gelu",
    "quick_gelu_",
    "quick_gelu_backward",
    "silu",
    "silu_",
    "silu_backward",
    "swish",
    "swish_",
    "swish_backward",
    "swish_backward_parameters",
]

_T = TypeVar("_T")

_silu = kernels["silu"]
_silu_backward = kernels["silu_backward"]
_swish = kernels["swish"]
_swish_backward = kernels["swish_backward"]
_swish_parameters = learned["swish"]
_gelu = {"none": kernels["gelu"], "tanh": kernels["gelu_tanh"]}
_gelu_backward = {"none": kernels["gelu_backward"], "tanh": kernels["gelu_tanh_backward"]}
_quick_gelu = kernels["quick_gelu"]
_quick_gelu_backward = kernels["quick_gelu_backward"]
_mish = kernels["mish"]
_mish_backward = kernels["mish_backward"]
_hard_swish = kernels["hard_swish"]
_hard_swish_backward = kernels["hard_swish_backward"]
_hard_swish_line = kernels["hard_swish_line"]
_hard_swish_line_backward = kernels["hard_swish_line_backward"]
_dish = kernels["dish"]
_dish_backward = kernels["dish_backward"]
_hard_mish = kernels["hard_mish"]
_hard_mish_backward = kernels["hard_mish_backward"]


def silu(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Sigmoid linear unit, also called swish.

    Computes ``x * sigmoid(x)``.

    In NumPy: ``x / (1 + np.exp(-x))``.

    Error: at most 2.4 ULP in float32, 2.3 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``silu(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", Neural Networks 107, 2018.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.silu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.2384, -0.1888,  0.    ,  2.8577], dtype=float32)
    """
    return call_unary(_silu, out, where, x)


def silu_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`silu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.silu_(x) is x
    True
    """
    return call_in_place(_silu, where, x)


def silu_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`silu` from its input.

    Computes ``grad * (s + x * s * (1 - s))`` with ``s = sigmoid(x)``.

    In NumPy: ``grad * (1 + x / (1 + np.exp(x))) / (1 + np.exp(-x))``.

    Error: at most 2.8 ULP in float32, 2.8 in float64; "accurate" 0.51 and 0.9. Within 0.25 of the zero at x =
    -1.278 the absolute error is at most 0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.silu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0908,  0.26  ,  0.5   ,  1.0881], dtype=float32)
    """
    return call(_silu_backward, out, where, grad, x)


def swish(x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Swish: :func:`silu` with an adjustable steepness.

    Computes ``x * sigmoid(beta * x)``.

    In NumPy: ``x / (1 + np.exp(-beta * x))``.

    Error: at most 2.9 ULP in float32, 2.65 in float64; "accurate" 0.51 and 0.9.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    beta : array_like, default 1.0
        Steepness of the gate; finite.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``swish(x, beta)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `beta` is not finite. In an array `beta`, such elements give NaN instead.

    References
    ----------
    P. Ramachandran, B. Zoph, Q. V. Le, "Searching for activation functions", 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.swish(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.2384, -0.1888,  0.    ,  2.8577], dtype=float32)
    """
    return call(_swish, out, where, x, beta)


def swish_(x: _T, beta: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`swish` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.swish_(x) is x
    True
    """
    return call_in_place(_swish, where, x, beta)


def swish_backward(
    grad: ArrayLike, x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`swish` from its input.

    Computes ``grad * (s + beta * x * s * (1 - s))`` with ``s = sigmoid(beta * x)``.

    In NumPy: ``grad * (1 + beta * x / (1 + np.exp(beta * x))) / (1 + np.exp(-beta * x))``.

    Error: at most 2.95 ULP in float32, 3.2 in float64; "accurate" 0.51 and 0.9. Within 0.25 of the zero at beta x
    = -1.278 the absolute error is at most 0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.swish_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0908,  0.26  ,  0.5   ,  1.0881], dtype=float32)
    """
    return call(_swish_backward, out, where, grad, x, beta)


def swish_backward_parameters(
    grad: ArrayLike, x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`swish` with respect to its input and `beta`, in one pass.

    Computes ``dx`` as :func:`swish_backward` does and, for `beta`, the sum of ``grad`` times the derivative
    ``x**2 * s * (1 - s)`` with ``s = sigmoid(beta * x)``.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`swish_backward`; `out` if given.
    dbeta : ndarray or scalar
        The gradient with respect to `beta`, of its shape.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, dbeta = fr.swish_backward_parameters(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]))
    >>> dx.round(4), dbeta.round(4)
    (array([-0.0908,  1.0881], dtype=float32), np.float32(0.8266))
    """
    return call_learned(_swish_parameters, out, grad, x, beta)


def _form(kernels_by_form: dict[str, Kernel], approximate: str) -> Kernel:
    try:
        return kernels_by_form[approximate]
    except (KeyError, TypeError):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}') from None


def gelu(
    x: ArrayLike, approximate: Literal["none", "tanh"] = "none", *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gaussian error linear unit.

    Computes ``x * Phi(x)`` with the distribution function ``Phi`` of the normal distribution; with
    ``approximate="tanh"``, ``x / 2 * (1 + tanh(u))`` with ``u = sqrt(2 / pi) * (x + 0.044715 * x ** 3)``.

    In SciPy: ``0.5 * x * (1 + special.erf(x / 2**0.5))``.

    Error: at most 5.3 ULP in float32, 6.15 in float64; "accurate" 0.51 and 0.85. With ``approximate="tanh"``: at
    most 2.35 ULP in float32, 2.25 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    approximate : {"none", "tanh"}, default "none"
        The exact function or its tanh approximation.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``gelu(x)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `approximate` is neither ``"none"`` nor ``"tanh"``.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.gelu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0455, -0.1543,  0.    ,  2.996 ], dtype=float32)
    """
    return call_unary(_form(_gelu, approximate), out, where, x)


def gelu_(x: _T, approximate: Literal["none", "tanh"] = "none", *, where: ArrayLike = True) -> _T:
    """Apply :func:`gelu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.gelu_(x) is x
    True
    """
    return call_in_place(_form(_gelu, approximate), where, x)


def gelu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    approximate: Literal["none", "tanh"] = "none",
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`gelu` from its input.

    Computes ``grad * (Phi(x) + x * phi(x))`` with the normal density ``phi``, or the derivative of the tanh form.

    In SciPy: ``grad * (0.5 * (1 + special.erf(x / 2**0.5)) + x * np.exp(-x * x / 2) / (2 * np.pi) ** 0.5)``.

    Error: at most 5.4 ULP in float32, 6.35 in float64; "accurate" 0.51 and 0.85. Within 0.25 of the zero at x =
    -0.7518 the absolute error is at most 0.375 eps. With ``approximate="tanh"``: at most 5.4 ULP in float32, 5.2
    in float64; "accurate" 0.51 and 0.85. Within 0.25 of the zero at x = -0.7525 the absolute error is at most
    0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.gelu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0852,  0.1325,  0.5   ,  1.0119], dtype=float32)
    """
    return call(_form(_gelu_backward, approximate), out, where, grad, x)


def quick_gelu(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Sigmoid approximation of GELU.

    Computes ``x * sigmoid(1.702 * x)``.

    In NumPy: ``x / (1 + np.exp(-1.702 * x))``.

    Error: at most 2.5 ULP in float32, 2.3 in float64; "accurate" 0.51 and 0.9.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``quick_gelu(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.quick_gelu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0643, -0.1496,  0.    ,  2.9819], dtype=float32)
    """
    return call_unary(_quick_gelu, out, where, x)


def quick_gelu_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`quick_gelu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.quick_gelu_(x) is x
    True
    """
    return call_in_place(_quick_gelu, where, x)


def quick_gelu_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`quick_gelu` from its input.

    Computes ``grad * (s + 1.702 * x * s * (1 - s))`` with ``s = sigmoid(1.702 * x)``.

    In NumPy: ``grad * (1 + 1.702 * x / (1 + np.exp(1.702 * x))) / (1 + np.exp(-1.702 * x))``.

    Error: at most 2.95 ULP in float32, 2.9 in float64; "accurate" 0.51 and 0.85. Within 0.25 of the zero at x =
    -0.7512 the absolute error is at most 0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.quick_gelu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0738,  0.1208,  0.5   ,  1.0245], dtype=float32)
    """
    return call(_quick_gelu_backward, out, where, grad, x)


def mish(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Mish: `x` times the tanh of its softplus.

    Computes ``x * tanh(log(1 + exp(x)))``.

    In NumPy: ``x * np.tanh(np.log1p(np.exp(x)))``.

    Error: at most 2.9 ULP in float32, 2.9 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``mish(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.mish(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.2525, -0.2207,  0.    ,  2.9865], dtype=float32)
    """
    return call_unary(_mish, out, where, x)


def mish_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`mish` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.mish_(x) is x
    True
    """
    return call_in_place(_mish, where, x)


def mish_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`mish` from its input.

    Computes ``grad * (t + x * sigmoid(x) * (1 - t ** 2))`` with ``t = tanh(log(1 + exp(x)))``.

    In NumPy: ``grad * (np.tanh(np.log1p(np.exp(x))) + x / (1 + np.exp(-x)) / np.cosh(np.log1p(np.exp(x))) ** 2)``.

    Error: at most 4.8 ULP in float32, 4.25 in float64; "accurate" 0.51 and 0.9. Within 0.25 of the zero at x =
    -1.192 the absolute error is at most 0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.mish_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.1084,  0.2895,  0.6   ,  1.0211], dtype=float32)
    """
    return call(_mish_backward, out, where, grad, x)


def _usual(slope: Any, offset: Any) -> bool:
    return type(slope) is float and slope == 1 / 6 and type(offset) is float and offset == 0.5


def hard_swish(
    x: ArrayLike, slope: ArrayLike = 1 / 6, offset: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Piecewise quadratic approximation of :func:`silu`.

    Computes ``x * min(max(slope * x + offset, 0), 1)``, by default ``x * min(max(x + 3, 0), 6) / 6``: a slope of 1/6
    is the number, not its rounding. The gate is that of :func:`hard_sigmoid`.

    In NumPy: ``x * np.clip(x + 3, 0, 6) / 6``.

    Error: at most 2.25 ULP in float32, 2.25 in float64; "accurate" 0.51 and 0.55. With another gate: at most 2.6
    ULP in float32, 2.55 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    slope : array_like, default 1/6
        Slope of the gate; positive and finite.
    offset : array_like, default 0.5
        Value of the gate at 0; finite.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``hard_swish(x, slope, offset)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        Unless `slope` is positive and finite and `offset` is finite. In arrays, such elements give NaN instead.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_swish(np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([-0.   , -0.375,  0.   ,  3.   ], dtype=float32)
    >>> fr.hard_swish(np.float32([-4.0, -1.5, 0.0, 3.0]), 0.2).round(4)
    array([-0. , -0.3,  0. ,  3. ], dtype=float32)
    """
    if _usual(slope, offset):
        return call_unary(_hard_swish, out, where, x)
    return call(_hard_swish_line, out, where, x, slope, offset)


def hard_swish_(x: _T, slope: ArrayLike = 1 / 6, offset: ArrayLike = 0.5, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_swish` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-4.0, -1.5, 0.0, 3.0])
    >>> fr.hard_swish_(x) is x
    True
    """
    if _usual(slope, offset):
        return call_in_place(_hard_swish, where, x)
    return call_in_place(_hard_swish_line, where, x, slope, offset)


def hard_swish_backward(
    grad: ArrayLike,
    x: ArrayLike,
    slope: ArrayLike = 1 / 6,
    offset: ArrayLike = 0.5,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`hard_swish` from its input.

    Computes 0 where the gate is 0, ``grad`` where it is 1, ``grad * (2 * slope * x + offset)`` between.

    In NumPy: ``grad * np.where(x >= 3, 1, np.where(x <= -3, 0, (2 * x + 3) / 6))``.

    Error: at most 1.35 ULP in float32, 1.35 in float64; "accurate" 0.51 and 0.5. With another gate: at most 1.55
    ULP in float32, 1.55 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_swish_backward(np.float32(1.0), np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([0. , 0. , 0.5, 1. ], dtype=float32)
    """
    if _usual(slope, offset):
        return call(_hard_swish_backward, out, where, grad, x)
    return call(_hard_swish_line_backward, out, where, grad, x, slope, offset)


def dish(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Dish: a gated unit without exponential.

    Computes ``x / 2 * (1 + x / sqrt(1 + x ** 2))``.

    In NumPy: ``0.5 * x * (1 + x / np.sqrt(1 + x * x))``.

    Error: at most 2.8 ULP in float32, 2.9 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``dish(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in thinc's ``Dish``, which loses all digits of large negative inputs.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.dish(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.1056, -0.1382,  0.    ,  2.923 ], dtype=float32)
    """
    return call_unary(_dish, out, where, x)


def dish_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`dish` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.dish_(x) is x
    True
    """
    return call_in_place(_dish, where, x)


def dish_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`dish` from its input.

    Computes ``grad / 2 * (1 + u) * (1 + u - u ** 2)`` with ``u = x / sqrt(1 + x ** 2)``.

    In NumPy: ``grad * (0.5 + x / np.sqrt(1 + x * x) - 0.5 * (x / np.sqrt(1 + x * x)) ** 3)``.

    Error: at most 2.8 ULP in float32, 2.9 in float64; "accurate" 0.51 and 1.1. Within 0.25 of the zero at x =
    -0.7862 the absolute error is at most 0.375 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.dish_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0367,  0.0975,  0.5   ,  1.0218], dtype=float32)
    """
    return call(_dish_backward, out, where, grad, x)


def hard_mish(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Piecewise quadratic approximation of :func:`mish`.

    Computes ``x * min(max(x + 2, 0), 2) / 2``.

    In NumPy: ``x * np.clip(x + 2, 0, 2) / 2``.

    Error: at most 0.5 ULP in float32, 0.5 in float64; "accurate" 0.51 and 0.5.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``hard_mish(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as ``hard_mish`` in the library timm, after D. Misra, the author of Mish.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_mish(np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([-0.   , -0.375,  0.   ,  3.   ], dtype=float32)
    """
    return call_unary(_hard_mish, out, where, x)


def hard_mish_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_mish` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-4.0, -1.5, 0.0, 3.0])
    >>> fr.hard_mish_(x) is x
    True
    """
    return call_in_place(_hard_mish, where, x)


def hard_mish_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`hard_mish` from its input.

    Computes 0 where ``x <= -2``, ``grad`` where ``x >= 0``, ``grad * (x + 1)`` between.

    In NumPy: ``grad * np.where(x >= 0, 1, np.where(x <= -2, 0, x + 1))``.

    Error: at most 3 ULP in float32, 4 in float64; "accurate" 0.51 and 1.1.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_mish_backward(np.float32(1.0), np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([ 0. , -0.5,  1. ,  1. ], dtype=float32)
    """
    return call(_hard_mish_backward, out, where, grad, x)
