"""Functions of the form x times a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from fastrelu._core import call, call_in_place
from fastrelu.runtime import kernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastrelu._typing import Output

__all__ = [
    "hard_swish",
    "hard_swish_",
    "hard_swish_backward",
]

_T = TypeVar("_T")

_hard_swish = kernels["hard_swish"]
_hard_swish_backward = kernels["hard_swish_backward"]


def hard_swish(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Piecewise quadratic stand-in for swish.

    Computes ``x * min(max(x + 3, 0), 6) / 6``.

    In NumPy: ``x * np.clip(x + 3, 0, 6) / 6``.

    Parameters
    ----------
    x : array_like
        Input of any shape: float32 or float64 as it is; float16, bool and integers of up to 16 bits become
        float32, wider integers float64.
    out : ndarray or writable buffer, optional
        Where the result goes; ``out=x`` works in place.
    where : array_like of bool, optional
        Where the result is computed; elsewhere `out` keeps its value.

    Returns
    -------
    ndarray or scalar
        ``hard_swish(x)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    TypeError
        If an argument is complex, object or text, or `out` cannot hold the result's type.
    ValueError
        If `out` is read-only or of another shape.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_swish(np.float32([-4.0, -1.5, 0.0, 3.0]))
    array([-0.   , -0.375,  0.   ,  3.   ], dtype=float32)
    """
    return call(_hard_swish, out, where, x)


def hard_swish_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_swish` in place.

    Parameters
    ----------
    x : ndarray or writable buffer
        Array, ``array.array``, ``memoryview`` or CPU tensor to overwrite.
    where : array_like of bool, optional
        Where x is overwritten.

    Returns
    -------
    ndarray or buffer
        `x` itself.

    Raises
    ------
    TypeError
        If `x` cannot hold the result's type, or is no buffer.
    ValueError
        If `x` is read-only.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-4.0, -1.5, 0.0, 3.0])
    >>> fr.hard_swish_(x) is x
    True
    >>> x
    array([-0.   , -0.375,  0.   ,  3.   ], dtype=float32)
    """
    return call_in_place(_hard_swish, where, x)


def hard_swish_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`hard_swish` from its input.

    Computes 0 where ``x <= -3``, ``grad`` where ``x >= 3``, ``grad * (2 * x + 3) / 6`` between.

    In NumPy: ``grad * np.where(x >= 3, 1, np.where(x <= -3, 0, (2 * x + 3) / 6))``.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output; broadcasts with `x`.
    x : array_like
        Input of the forward call.
    out : ndarray or writable buffer, optional
        Where the result goes; ``out=grad`` works in place.
    where : array_like of bool, optional
        Where the result is computed; elsewhere `out` keeps its value.

    Returns
    -------
    ndarray or scalar
        The gradient with respect to `x`, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    TypeError
        If an argument is complex, object or text, or `out` cannot hold the result's type.
    ValueError
        If `out` is read-only or of another shape.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_swish_backward(np.float32(1.0), np.float32([-4.0, -1.5, 0.0, 3.0]))
    array([0. , 0. , 0.5, 1. ], dtype=float32)
    """
    return call(_hard_swish_backward, out, where, grad, x)
