"""Functions that move small inputs to zero, or toward it."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import ArrayLike

from fastrelu._core import call, call_in_place, call_unary
from fastrelu._typing import Output
from fastrelu.runtime import kernels

__all__ = [
    "hard_shrink",
    "hard_shrink_",
    "hard_shrink_backward",
    "hard_shrink_backward_from_output",
    "shrink",
    "shrink_",
    "shrink_backward",
    "shrink_backward_from_output",
    "soft_shrink",
    "soft_shrink_",
    "soft_shrink_backward",
    "soft_shrink_backward_from_output",
    "tanh_shrink",
    "tanh_shrink_",
    "tanh_shrink_backward",
]

_T = TypeVar("_T")

_hard_shrink = kernels["hard_shrink"]
_hard_shrink_backward = kernels["hard_shrink_backward"]
_hard_shrink_backward_from_output = kernels["hard_shrink_backward_from_output"]
_soft_shrink = kernels["soft_shrink"]
_soft_shrink_backward = kernels["soft_shrink_backward"]
_soft_shrink_backward_from_output = kernels["soft_shrink_backward_from_output"]
_shrink = kernels["shrink"]
_shrink_backward = kernels["shrink_backward"]
_shrink_backward_from_output = kernels["shrink_backward_from_output"]
_tanh_shrink = kernels["tanh_shrink"]
_tanh_shrink_backward = kernels["tanh_shrink_backward"]


def hard_shrink(x: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Hard shrinkage: zero near zero, the identity elsewhere.

    Computes ``x`` where ``abs(x) > lambd``, 0 elsewhere.

    In NumPy: ``x * (np.abs(x) > lambd)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    lambd : array_like, default 0.5
        Half-width of the dead zone; not negative.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``hard_shrink(x, lambd)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `lambd` is negative or NaN. In an array `lambd`, such elements give NaN instead.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_shrink(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-2.,  0.,  0.,  3.], dtype=float32)
    """
    return call(_hard_shrink, out, where, x, lambd)


def hard_shrink_(x: _T, lambd: ArrayLike = 0.5, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_shrink` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.hard_shrink_(x) is x
    True
    """
    return call_in_place(_hard_shrink, where, x, lambd)


def hard_shrink_backward(
    grad: ArrayLike, x: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`hard_shrink` from its input.

    Computes ``grad`` where ``abs(x) > lambd``, 0 elsewhere.

    In NumPy: ``grad * (np.abs(x) > lambd)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_shrink_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_hard_shrink_backward, out, where, grad, x, lambd)


def hard_shrink_backward_from_output(
    grad: ArrayLike, y: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`hard_shrink` from its output.

    Computes ``grad`` where ``y != 0``, 0 elsewhere.

    In NumPy: ``grad * (y != 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.hard_shrink(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.hard_shrink_backward_from_output(np.float32(1.0), y)
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_hard_shrink_backward_from_output, out, where, grad, y, lambd)


def soft_shrink(x: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Soft shrinkage: zero near zero, and pulled toward zero elsewhere.

    Computes ``x - lambd`` where ``x > lambd``, ``x + lambd`` where ``x < -lambd``, 0 between.

    In NumPy: ``np.sign(x) * np.maximum(np.abs(x) - lambd, 0)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    lambd : array_like, default 0.5
        Half-width of the dead zone; not negative.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``soft_shrink(x, lambd)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `lambd` is negative or NaN. In an array `lambd`, such elements give NaN instead.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.soft_shrink(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1.5,  0. ,  0. ,  2.5], dtype=float32)
    """
    return call(_soft_shrink, out, where, x, lambd)


def soft_shrink_(x: _T, lambd: ArrayLike = 0.5, *, where: ArrayLike = True) -> _T:
    """Apply :func:`soft_shrink` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.soft_shrink_(x) is x
    True
    """
    return call_in_place(_soft_shrink, where, x, lambd)


def soft_shrink_backward(
    grad: ArrayLike, x: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`soft_shrink` from its input.

    Computes ``grad`` where ``abs(x) > lambd``, 0 elsewhere.

    In NumPy: ``grad * (np.abs(x) > lambd)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.soft_shrink_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_soft_shrink_backward, out, where, grad, x, lambd)


def soft_shrink_backward_from_output(
    grad: ArrayLike, y: ArrayLike, lambd: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`soft_shrink` from its output.

    Computes ``grad`` where ``y != 0``, 0 elsewhere.

    In NumPy: ``grad * (y != 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.soft_shrink(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.soft_shrink_backward_from_output(np.float32(1.0), y)
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_soft_shrink_backward_from_output, out, where, grad, y, lambd)


def shrink(
    x: ArrayLike, lambd: ArrayLike = 0.5, bias: ArrayLike = 0.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Shrinkage with separate dead zone and bias, as ONNX has it.

    Computes ``x - bias`` where ``x > lambd``, ``x + bias`` where ``x < -lambd``, 0 between. :func:`hard_shrink` is the
    case of no bias, :func:`soft_shrink` that of ``bias=lambd``.

    In NumPy: ``np.where(x > lambd, x - bias, np.where(x < -lambd, x + bias, 0))``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    lambd : array_like, default 0.5
        Half-width of the dead zone; not negative.
    bias : array_like, default 0.0
        How far the rest is moved toward zero.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``shrink(x, lambd, bias)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `lambd` is negative or NaN. In an array `lambd`, such elements give NaN instead.

    References
    ----------
    Defined as ONNX's operator ``Shrink``, which gives 0 for NaN.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.shrink(np.float32([-2.0, -0.5, 0.0, 3.0]), 0.5, 0.25)
    array([-1.75,  0.  ,  0.  ,  2.75], dtype=float32)
    """
    return call(_shrink, out, where, x, lambd, bias)


def shrink_(x: _T, lambd: ArrayLike = 0.5, bias: ArrayLike = 0.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`shrink` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.shrink_(x) is x
    True
    """
    return call_in_place(_shrink, where, x, lambd, bias)


def shrink_backward(
    grad: ArrayLike,
    x: ArrayLike,
    lambd: ArrayLike = 0.5,
    bias: ArrayLike = 0.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`shrink` from its input.

    Computes ``grad`` where ``abs(x) > lambd``, 0 elsewhere.

    In NumPy: ``grad * (np.abs(x) > lambd)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.shrink_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]), 0.5, 0.25)
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_shrink_backward, out, where, grad, x, lambd, bias)


def shrink_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    lambd: ArrayLike = 0.5,
    bias: ArrayLike = 0.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`shrink` from its output.

    Computes ``grad`` where ``y != 0``, 0 elsewhere; requires ``bias <= lambd``.

    In NumPy: ``grad * (y != 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.shrink(np.float32([-2.0, -0.5, 0.0, 3.0]), 0.5, 0.25)
    >>> fr.shrink_backward_from_output(np.float32(1.0), y, 0.5, 0.25)
    array([1., 0., 0., 1.], dtype=float32)
    """
    return call(_shrink_backward_from_output, out, where, grad, y, lambd, bias)


def tanh_shrink(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Tanh shrinkage.

    Computes ``x - tanh(x)``.

    In NumPy: ``x - np.tanh(x)``.

    Error: at most 2.75 ULP in float32, 3 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``tanh_shrink(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in PyTorch's ``torch.nn.functional.tanhshrink``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.tanh_shrink(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-1.036 , -0.0379,  0.    ,  2.0049], dtype=float32)
    """
    return call_unary(_tanh_shrink, out, where, x)


def tanh_shrink_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`tanh_shrink` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.tanh_shrink_(x) is x
    True
    """
    return call_in_place(_tanh_shrink, where, x)


def tanh_shrink_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`tanh_shrink` from its input.

    Computes ``grad * tanh(x) ** 2``.

    In NumPy: ``grad * np.tanh(x) ** 2``.

    Error: at most 2.9 ULP in float32, 3.2 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.tanh_shrink_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.9293, 0.2136, 0.    , 0.9901], dtype=float32)
    """
    return call(_tanh_shrink_backward, out, where, grad, x)
