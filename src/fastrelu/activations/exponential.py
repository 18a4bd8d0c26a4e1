"""Functions built on one exponential of the negative half-axis."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import ArrayLike

from fastrelu._core import call, call_in_place, call_unary
from fastrelu._sums import call as call_learned
from fastrelu._typing import Output
from fastrelu.runtime import kernels, learned

__all__ = [
    "celu",
    "celu_",
    "celu_backward",
    "celu_backward_from_output",
    "celu_backward_parameters",
    "elu",
    "elu_",
    "elu_backward",
    "elu_backward_from_output",
    "elu_backward_parameters",
    "log1mexp",
    "log1mexp_",
    "log1mexp_backward",
    "log1mexp_backward_from_output",
    "log_sigmoid",
    "log_sigmoid_",
    "log_sigmoid_backward",
    "log_sigmoid_backward_from_output",
    "selu",
    "selu_",
    "selu_backward",
    "selu_backward_from_output",
    "softplus",
    "softplus_",
    "softplus_backward",
    "softplus_backward_from_output",
    "softplus_backward_parameters",
    "squareplus",
    "squareplus_",
    "squareplus_backward",
    "squareplus_backward_from_output",
    "xielu",
    "xielu_",
    "xielu_backward",
    "xielu_backward_parameters",
]

_T = TypeVar("_T")

_elu = kernels["elu"]
_elu_backward = kernels["elu_backward"]
_elu_parameters = learned["elu"]
_elu_backward_from_output = kernels["elu_backward_from_output"]
_celu = kernels["celu"]
_celu_backward = kernels["celu_backward"]
_celu_parameters = learned["celu"]
_celu_backward_from_output = kernels["celu_backward_from_output"]
_xielu = kernels["xielu"]
_xielu_backward = kernels["xielu_backward"]
_xielu_parameters = learned["xielu"]
_selu = kernels["selu"]
_selu_backward = kernels["selu_backward"]
_selu_backward_from_output = kernels["selu_backward_from_output"]
_softplus = kernels["softplus"]
_softplus_backward = kernels["softplus_backward"]
_softplus_parameters = learned["softplus"]
_softplus_backward_from_output = kernels["softplus_backward_from_output"]
_log_sigmoid = kernels["log_sigmoid"]
_log_sigmoid_backward = kernels["log_sigmoid_backward"]
_log_sigmoid_backward_from_output = kernels["log_sigmoid_backward_from_output"]
_log1mexp = kernels["log1mexp"]
_log1mexp_backward = kernels["log1mexp_backward"]
_log1mexp_backward_from_output = kernels["log1mexp_backward_from_output"]
_squareplus = kernels["squareplus"]
_squareplus_backward = kernels["squareplus_backward"]
_squareplus_backward_from_output = kernels["squareplus_backward_from_output"]


def elu(x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Exponential linear unit.

    Computes ``x`` where ``x > 0``, ``alpha * expm1(x)`` elsewhere.

    In NumPy: ``np.where(x > 0, x, alpha * np.expm1(x))``.

    Error: at most 2 ULP in float32, 2.3 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    alpha : array_like, default 1.0
        Minus the limit at -inf; finite.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``elu(x, alpha)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `alpha` is not finite. In an array `alpha`, such elements give NaN instead.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by exponential linear
    units", ICLR 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.elu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.8647, -0.3935,  0.    ,  3.    ], dtype=float32)
    """
    return call(_elu, out, where, x, alpha)


def elu_(x: _T, alpha: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`elu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.elu_(x) is x
    True
    """
    return call_in_place(_elu, where, x, alpha)


def elu_backward(
    grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`elu` from its input.

    Computes ``grad`` where ``x > 0``, ``grad * alpha * exp(x)`` elsewhere, the kink at 0 included.

    In NumPy: ``grad * np.where(x > 0, 1, alpha * np.exp(x))``.

    Error: at most 1.55 ULP in float32, 1.7 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.elu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1353, 0.6065, 1.    , 1.    ], dtype=float32)
    """
    return call(_elu_backward, out, where, grad, x, alpha)


def elu_backward_parameters(
    grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`elu` with respect to its input and `alpha`, in one pass.

    Computes ``dx`` as :func:`elu_backward` does and, for `alpha`, the sum of ``grad`` times the derivative
    ``expm1(x)`` where ``x <= 0``, 0 elsewhere.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`elu_backward`; `out` if given.
    dalpha : ndarray or scalar
        The gradient with respect to `alpha`, of its shape.

    References
    ----------
    L. Trottier, P. Giguere, B. Chaib-draa, "Parametric exponential linear unit for deep convolutional neural
    networks", ICMLA 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, dalpha = fr.elu_backward_parameters(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]))
    >>> dx.round(4), dalpha.round(4)
    (array([0.1353, 1.    ], dtype=float32), np.float32(-0.8647))
    """
    return call_learned(_elu_parameters, out, grad, x, alpha)


def elu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`elu` from its output.

    Computes ``grad`` where ``y > 0``, ``grad * (y + alpha)`` elsewhere; requires ``alpha >= 0``.

    In NumPy: ``grad * np.where(y > 0, 1, y + alpha)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.elu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.elu_backward_from_output(np.float32(1.0), y).round(4)
    array([0.1353, 0.6065, 1.    , 1.    ], dtype=float32)
    """
    return call(_elu_backward_from_output, out, where, grad, y, alpha)


def celu(x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Continuously differentiable exponential linear unit.

    Computes ``max(x, 0) + min(0, alpha * expm1(x / alpha))``.

    In NumPy: ``np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))``.

    Error: at most 2.55 ULP in float32, 2.8 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    alpha : array_like, default 1.0
        Minus the limit at -inf, and the scale of `x`; finite and not 0.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``celu(x, alpha)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `alpha` is 0 or not finite. In an array `alpha`, such elements give NaN instead.

    References
    ----------
    J. T. Barron, "Continuously differentiable exponential linear units", 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.celu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.8647, -0.3935,  0.    ,  3.    ], dtype=float32)
    """
    return call(_celu, out, where, x, alpha)


def celu_(x: _T, alpha: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`celu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.celu_(x) is x
    True
    """
    return call_in_place(_celu, where, x, alpha)


def celu_backward(
    grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`celu` from its input.

    Computes ``grad`` where ``x > 0``, ``grad * exp(x / alpha)`` elsewhere.

    In NumPy: ``grad * np.where(x > 0, 1, np.exp(x / alpha))``.

    Error: at most 1.05 ULP in float32, 1.2 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.celu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1353, 0.6065, 1.    , 1.    ], dtype=float32)
    """
    return call(_celu_backward, out, where, grad, x, alpha)


def celu_backward_parameters(
    grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`celu` with respect to its input and `alpha`, in one pass.

    Computes ``dx`` as :func:`celu_backward` does and, for `alpha`, the sum of ``grad`` times the derivative
    ``expm1(u) - u * exp(u)``, with ``u = x / alpha``, where ``x <= 0``, 0 elsewhere.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`celu_backward`; `out` if given.
    dalpha : ndarray or scalar
        The gradient with respect to `alpha`, of its shape.

    References
    ----------
    J. T. Barron, "Continuously differentiable exponential linear units", 2017, equation 4.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, dalpha = fr.celu_backward_parameters(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]))
    >>> dx.round(4), dalpha.round(4)
    (array([0.1353, 1.    ], dtype=float32), np.float32(-0.594))
    """
    return call_learned(_celu_parameters, out, grad, x, alpha)


def celu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`celu` from its output.

    Computes ``grad`` where ``y > 0``, ``grad * (1 + y / alpha)`` elsewhere; requires ``alpha > 0``.

    In NumPy: ``grad * np.where(y > 0, 1, 1 + y / alpha)``.

    Error: at most 1.3 ULP in float32, 1.3 in float64; "accurate" 0.51 and 0.5.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.celu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.celu_backward_from_output(np.float32(1.0), y).round(4)
    array([0.1353, 0.6065, 1.    , 1.    ], dtype=float32)
    """
    return call(_celu_backward_from_output, out, where, grad, y, alpha)


def xielu(
    x: ArrayLike,
    alpha_p: ArrayLike = 0.8,
    alpha_n: ArrayLike = 0.8,
    beta: ArrayLike = 0.5,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """xIELU: expanded integral of the exponential linear unit.

    Computes ``alpha_p * x ** 2 + beta * x`` where ``x > 0``, ``alpha_n * (exp(x) - 1 - x) + beta * x`` elsewhere.

    In NumPy: ``np.where(x > 0, alpha_p * x * x, alpha_n * (np.expm1(np.minimum(x, 0)) - x)) + beta * x``.

    Error: at most 2.95 ULP in float32, 3.4 in float64; "accurate" 0.51 and 1.05. Within 1.82436 of the zero at x =
    -2.432 the absolute error is at most 3.64873 eps.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    alpha_p : array_like, default 0.8
        Factor of ``x ** 2`` above 0; finite.
    alpha_n : array_like, default 0.8
        Factor of ``exp(x) - 1 - x`` below 0; finite.
    beta : array_like, default 0.5
        Slope at 0; finite.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``xielu(x, alpha_p, alpha_n, beta)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        Unless the parameters are finite. In arrays, such elements give NaN instead.

    References
    ----------
    A. H. Huang, I. Schlag, "Deriving activation functions using integration", 2024. Its `alpha_p` is the softplus of
    the learned number, its `alpha_n` that plus `beta`: see :class:`fastrelu.nn.XIELU`.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.xielu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0917, -0.1648,  0.    ,  8.7   ], dtype=float32)
    """
    return call(_xielu, out, where, x, alpha_p, alpha_n, beta)


def xielu_(
    x: _T, alpha_p: ArrayLike = 0.8, alpha_n: ArrayLike = 0.8, beta: ArrayLike = 0.5, *, where: ArrayLike = True
) -> _T:
    """Apply :func:`xielu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.xielu_(x) is x
    True
    """
    return call_in_place(_xielu, where, x, alpha_p, alpha_n, beta)


def xielu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    alpha_p: ArrayLike = 0.8,
    alpha_n: ArrayLike = 0.8,
    beta: ArrayLike = 0.5,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`xielu` from its input.

    Computes ``grad * (2 * alpha_p * x + beta)`` where ``x > 0``, ``grad * (alpha_n * (exp(x) - 1) + beta)`` elsewhere.

    In NumPy: ``grad * (np.where(x > 0, 2 * alpha_p * x, alpha_n * np.expm1(np.minimum(x, 0))) + beta)``.

    Error: at most 2.95 ULP in float32, 3.4 in float64; "accurate" 0.51 and 0.95. Within 0.735622 of the zero at x
    = -0.9808 the absolute error is at most 1 eps.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.xielu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.1917,  0.1852,  0.5   ,  5.3   ], dtype=float32)
    """
    return call(_xielu_backward, out, where, grad, x, alpha_p, alpha_n, beta)


def xielu_backward_parameters(
    grad: ArrayLike,
    x: ArrayLike,
    alpha_p: ArrayLike = 0.8,
    alpha_n: ArrayLike = 0.8,
    beta: ArrayLike = 0.5,
    *,
    out: Output = None,
) -> tuple[Any, Any, Any, Any]:
    """Gradients of :func:`xielu` with respect to its input and parameters, in one pass.

    Computes ``dx`` as :func:`xielu_backward` does and, for each parameter, the sum of ``grad`` times the derivative:
    ``x ** 2`` where ``x > 0`` for `alpha_p`, ``exp(x) - 1 - x`` where ``x <= 0`` for `alpha_n`, and `x` for `beta`.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`xielu_backward`; `out` if given.
    dalpha_p, dalpha_n, dbeta : ndarray or scalar
        The gradient with respect to each parameter, of its shape.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, *found = fr.xielu_backward_parameters(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]))
    >>> dx.round(4), [round(float(total), 4) for total in found]
    (array([-0.1917,  5.3   ], dtype=float32), [9.0, 1.1353, 1.0])
    """
    return call_learned(_xielu_parameters, out, grad, x, alpha_p, alpha_n, beta)


def selu(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Scaled exponential linear unit.

    Computes ``scale * x`` where ``x > 0``, ``scale * alpha * expm1(x)`` elsewhere, with
    ``scale = 1.0507009873554804934`` and ``alpha = 1.6732632423543772848``.

    In NumPy: ``1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))``.

    Error: at most 1.85 ULP in float32, 1.7 in float64; "accurate" 0.51 and 0.9.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``selu(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.selu(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-1.5202, -0.6918,  0.    ,  3.1521], dtype=float32)
    """
    return call_unary(_selu, out, where, x)


def selu_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`selu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.selu_(x) is x
    True
    """
    return call_in_place(_selu, where, x)


def selu_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`selu` from its input.

    Computes ``grad * scale`` where ``x > 0``, ``grad * scale * alpha * exp(x)`` elsewhere.

    In NumPy: ``1.0507009873554805 * grad * np.where(x > 0, 1, 1.6732632423543772 * np.exp(x))``.

    Error: at most 1.85 ULP in float32, 1.8 in float64; "accurate" 0.51 and 0.9.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.selu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.2379, 1.0663, 1.7581, 1.0507], dtype=float32)
    """
    return call(_selu_backward, out, where, grad, x)


def selu_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`selu` from its output.

    Computes ``grad * scale`` where ``y > 0``, ``grad * (y + scale * alpha)`` elsewhere.

    In NumPy: ``grad * np.where(y > 0, 1.0507009873554805, y + 1.7580993408473766)``.

    Error: at most 0.7 ULP in float32, 0.7 in float64; "accurate" 0.51 and 0.55.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.selu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.selu_backward_from_output(np.float32(1.0), y).round(4)
    array([0.2379, 1.0663, 1.7581, 1.0507], dtype=float32)
    """
    return call(_selu_backward_from_output, out, where, grad, y)


def softplus(x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Smooth rectifier.

    Computes ``log(1 + exp(beta * x)) / beta``, without a threshold.

    In NumPy: ``np.logaddexp(0, beta * x) / beta``.

    Error: at most 2.8 ULP in float32, 2.95 in float64; "accurate" 0.51 and 0.9.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    beta : array_like, default 1.0
        Steepness; positive and finite.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``softplus(x, beta)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `beta` is not positive or not finite. In an array `beta`, such elements give NaN instead.

    References
    ----------
    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NeurIPS 2000.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softplus(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1269, 0.4741, 0.6931, 3.0486], dtype=float32)
    """
    return call(_softplus, out, where, x, beta)


def softplus_(x: _T, beta: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`softplus` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.softplus_(x) is x
    True
    """
    return call_in_place(_softplus, where, x, beta)


def softplus_backward(
    grad: ArrayLike, x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`softplus` from its input.

    Computes ``grad * sigmoid(beta * x)``.

    In NumPy: ``grad / (1 + np.exp(-beta * x))``.

    Error: at most 2.6 ULP in float32, 2.7 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softplus_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1192, 0.3775, 0.5   , 0.9526], dtype=float32)
    """
    return call(_softplus_backward, out, where, grad, x, beta)


def softplus_backward_parameters(
    grad: ArrayLike, x: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`softplus` with respect to its input and `beta`, in one pass.

    Computes ``dx`` as :func:`softplus_backward` does and, for `beta`, the sum of ``grad`` times the derivative
    ``-(log1p(t) + z * t / (1 + t)) / beta**2`` with ``z = abs(beta * x)`` and ``t = exp(-z)``.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`softplus_backward`; `out` if given.
    dbeta : ndarray or scalar
        The gradient with respect to `beta`, of its shape.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, dbeta = fr.softplus_backward_parameters(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]))
    >>> dx.round(4), dbeta.round(4)
    (array([0.1192, 0.9526], dtype=float32), np.float32(-0.5562))
    """
    return call_learned(_softplus_parameters, out, grad, x, beta)


def softplus_backward_from_output(
    grad: ArrayLike, y: ArrayLike, beta: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`softplus` from its output.

    Computes ``-grad * expm1(-beta * y)``.

    In NumPy: ``-grad * np.expm1(-beta * y)``.

    Error: at most 1.8 ULP in float32, 1.7 in float64; "accurate" 0.51 and 0.9.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.softplus(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.softplus_backward_from_output(np.float32(1.0), y).round(4)
    array([0.1192, 0.3775, 0.5   , 0.9526], dtype=float32)
    """
    return call(_softplus_backward_from_output, out, where, grad, y, beta)


def log_sigmoid(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Logarithm of the sigmoid.

    Computes ``-log(1 + exp(-x))``.

    In NumPy: ``-np.logaddexp(0, -x)``.

    Error: at most 2.65 ULP in float32, 2.75 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``log_sigmoid(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in PyTorch's ``torch.nn.functional.logsigmoid``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.log_sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-2.1269, -0.9741, -0.6931, -0.0486], dtype=float32)
    """
    return call_unary(_log_sigmoid, out, where, x)


def log_sigmoid_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`log_sigmoid` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.log_sigmoid_(x) is x
    True
    """
    return call_in_place(_log_sigmoid, where, x)


def log_sigmoid_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`log_sigmoid` from its input.

    Computes ``grad * sigmoid(-x)``.

    In NumPy: ``grad / (1 + np.exp(x))``.

    Error: at most 2.5 ULP in float32, 2.55 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.log_sigmoid_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.8808, 0.6225, 0.5   , 0.0474], dtype=float32)
    """
    return call(_log_sigmoid_backward, out, where, grad, x)


def log_sigmoid_backward_from_output(
    grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`log_sigmoid` from its output.

    Computes ``-grad * expm1(y)``.

    In NumPy: ``-grad * np.expm1(y)``.

    Error: at most 1 ULP in float32, 1.3 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.log_sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.log_sigmoid_backward_from_output(np.float32(1.0), y).round(4)
    array([0.8808, 0.6225, 0.5   , 0.0474], dtype=float32)
    """
    return call(_log_sigmoid_backward_from_output, out, where, grad, y)


def log1mexp(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Logarithm of one minus the exponential of -x: the logarithm of a complementary probability.

    Computes ``log(1 - exp(-x))``.

    In NumPy: ``np.where(x <= np.log(2), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))``.

    Error: at most 2.9 ULP in float32, 3.25 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``log1mexp(x)``, -infinity at 0 and NaN for a negative x; `out` if given.

    References
    ----------
    M. Mächler, "Accurately computing ``log(1 - exp(-|a|))``", 2012. Defined as in JAX's ``jax.nn.log1mexp``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.log1mexp(np.float32([0.0, 0.5, 1.0, 3.0])).round(4)
    array([   -inf, -0.9328, -0.4587, -0.0511], dtype=float32)
    """
    return call_unary(_log1mexp, out, where, x)


def log1mexp_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`log1mexp` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([0.0, 0.5, 1.0, 3.0])
    >>> fr.log1mexp_(x) is x
    True
    """
    return call_in_place(_log1mexp, where, x)


def log1mexp_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`log1mexp` from its input.

    Computes ``grad / expm1(x)``.

    In NumPy: ``grad / np.expm1(x)``.

    Error: at most 2.55 ULP in float32, 3.25 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.log1mexp_backward(np.float32(1.0), np.float32([0.0, 0.5, 1.0, 3.0])).round(4)
    array([   inf, 1.5415, 0.582 , 0.0524], dtype=float32)
    """
    return call(_log1mexp_backward, out, where, grad, x)


def log1mexp_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`log1mexp` from its output.

    Computes ``grad * expm1(-y)``.

    In NumPy: ``grad * np.expm1(-y)``.

    Error: at most 1.55 ULP in float32, 2 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.log1mexp(np.float32([0.0, 0.5, 1.0, 3.0]))
    >>> fr.log1mexp_backward_from_output(np.float32(1.0), y).round(4)
    array([   inf, 1.5415, 0.582 , 0.0524], dtype=float32)
    """
    return call(_log1mexp_backward_from_output, out, where, grad, y)


def squareplus(x: ArrayLike, b: ArrayLike = 4.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Algebraic smooth rectifier.

    Computes ``(x + sqrt(x ** 2 + b)) / 2``.

    In NumPy: ``(x + np.sqrt(x * x + b)) / 2``.

    Error: at most 2.75 ULP in float32, 3.2 in float64; "accurate" 0.51 and 0.9.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    b : array_like, default 4.0
        Size of the smooth corner; finite and not negative. 0 gives ReLU.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``squareplus(x, b)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `b` is negative or not finite. In an array `b`, such elements give NaN instead.

    References
    ----------
    J. T. Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.squareplus(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.4142, 0.7808, 1.    , 3.3028], dtype=float32)
    """
    return call(_squareplus, out, where, x, b)


def squareplus_(x: _T, b: ArrayLike = 4.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`squareplus` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.squareplus_(x) is x
    True
    """
    return call_in_place(_squareplus, where, x, b)


def squareplus_backward(
    grad: ArrayLike, x: ArrayLike, b: ArrayLike = 4.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`squareplus` from its input.

    Computes ``grad * (1 + x / sqrt(x ** 2 + b)) / 2``.

    In NumPy: ``grad / 2 * (1 + x / np.sqrt(x * x + b))``.

    Error: at most 2.6 ULP in float32, 2.9 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.squareplus_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1464, 0.3787, 0.5   , 0.916 ], dtype=float32)
    """
    return call(_squareplus_backward, out, where, grad, x, b)


def squareplus_backward_from_output(
    grad: ArrayLike, y: ArrayLike, b: ArrayLike = 4.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`squareplus` from its output.

    Computes ``grad * y ** 2 / (y ** 2 + b / 4)``; requires ``b > 0``.

    In NumPy: ``grad * y * y / (y * y + b / 4)``.

    Error: at most 2.5 ULP in float32, 2.6 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.squareplus(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.squareplus_backward_from_output(np.float32(1.0), y).round(4)
    array([0.1464, 0.3787, 0.5   , 0.916 ], dtype=float32)
    """
    return call(_squareplus_backward_from_output, out, where, grad, y, b)
