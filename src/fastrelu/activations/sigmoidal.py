"""Functions that rise from one level to another, and their piecewise linear approximations."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import ArrayLike

from fastrelu._core import call, call_in_place, call_unary
from fastrelu._typing import Output
from fastrelu.runtime import kernels

__all__ = [
    "erf",
    "erf_",
    "erf_backward",
    "hard_sigmoid",
    "hard_sigmoid_",
    "hard_sigmoid_backward",
    "hard_sigmoid_backward_from_output",
    "hard_tanh",
    "hard_tanh_",
    "hard_tanh_backward",
    "hard_tanh_backward_from_output",
    "logit",
    "logit_",
    "logit_backward",
    "logit_backward_from_output",
    "sigmoid",
    "sigmoid_",
    "sigmoid_backward",
    "sigmoid_backward_from_output",
    "softcap",
    "softcap_",
    "softcap_backward",
    "softcap_backward_from_output",
    "softsign",
    "softsign_",
    "softsign_backward",
    "softsign_backward_from_output",
    "sparse_plus",
    "sparse_plus_",
    "sparse_plus_backward",
    "sparse_plus_backward_from_output",
    "sparse_sigmoid",
    "sparse_sigmoid_",
    "sparse_sigmoid_backward",
    "sparse_sigmoid_backward_from_output",
    "tanh",
    "tanh_",
    "tanh_backward",
    "tanh_backward_from_output",
]

_T = TypeVar("_T")

_logit = kernels["logit"]
_logit_backward = kernels["logit_backward"]
_logit_backward_from_output = kernels["logit_backward_from_output"]
_sigmoid = kernels["sigmoid"]
_sigmoid_backward = kernels["sigmoid_backward"]
_sigmoid_backward_from_output = kernels["sigmoid_backward_from_output"]
_tanh = kernels["tanh"]
_tanh_backward = kernels["tanh_backward"]
_tanh_backward_from_output = kernels["tanh_backward_from_output"]
_softcap = kernels["softcap"]
_softcap_backward = kernels["softcap_backward"]
_softcap_backward_from_output = kernels["softcap_backward_from_output"]
_softsign = kernels["softsign"]
_softsign_backward = kernels["softsign_backward"]
_softsign_backward_from_output = kernels["softsign_backward_from_output"]
_erf = kernels["erf"]
_erf_backward = kernels["erf_backward"]
_hard_sigmoid = kernels["hard_sigmoid"]
_hard_sigmoid_backward = kernels["hard_sigmoid_backward"]
_hard_sigmoid_backward_from_output = kernels["hard_sigmoid_backward_from_output"]
_hard_tanh = kernels["hard_tanh"]
_hard_tanh_backward = kernels["hard_tanh_backward"]
_hard_tanh_backward_from_output = kernels["hard_tanh_backward_from_output"]
_sparse_plus = kernels["sparse_plus"]
_sparse_plus_backward = kernels["sparse_plus_backward"]
_sparse_plus_backward_from_output = kernels["sparse_plus_backward_from_output"]
_sparse_sigmoid = kernels["sparse_sigmoid"]
_sparse_sigmoid_backward = kernels["sparse_sigmoid_backward"]
_sparse_sigmoid_backward_from_output = kernels["sparse_sigmoid_backward_from_output"]


def logit(x: ArrayLike, eps: ArrayLike | None = None, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Logit: the inverse of :func:`sigmoid`.

    Computes ``log(x / (1 - x))``, accurately near 0, 1/2 and 1; minus infinity at 0, infinity at 1 and NaN outside.

    In NumPy: ``np.log(x / (1 - x))``.

    Error: at most 2.1 ULP in float32, 2.55 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    eps : array_like or None, default None
        `x` is limited to the interval from `eps` to ``1 - eps`` first; None or a negative number does not limit it.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``logit(x, eps)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `eps` is above 0.5 or NaN. In an array `eps`, such elements give NaN instead.

    References
    ----------
    Defined as in PyTorch's ``torch.logit``, where `x` is limited to ``1 - eps`` after rounding.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.logit(np.float32([0.1, 0.25, 0.5, 0.75])).round(4)
    array([-2.1972, -1.0986,  0.    ,  1.0986], dtype=float32)
    >>> fr.logit(np.float32([0.0, 2.0]), 0.25).round(4)
    array([-1.0986,  1.0986], dtype=float32)
    """
    return call(_logit, out, where, x, -1.0 if eps is None else eps)


def logit_(x: _T, eps: ArrayLike | None = None, *, where: ArrayLike = True) -> _T:
    """Apply :func:`logit` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([0.1, 0.25, 0.5, 0.75])
    >>> fr.logit_(x) is x
    True
    """
    return call_in_place(_logit, where, x, -1.0 if eps is None else eps)


def logit_backward(
    grad: ArrayLike, x: ArrayLike, eps: ArrayLike | None = None, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`logit` from its input.

    Computes ``grad / (x * (1 - x))``, and 0 where `eps` limits `x`; NaN outside 0 to 1 without `eps`.

    In NumPy: ``grad / (x * (1 - x))``.

    Error: at most 2.3 ULP in float32, 2.3 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.logit_backward(np.float32(1.0), np.float32([0.1, 0.25, 0.5, 0.75])).round(4)
    array([11.1111,  5.3333,  4.    ,  5.3333], dtype=float32)
    """
    return call(_logit_backward, out, where, grad, x, -1.0 if eps is None else eps)


def logit_backward_from_output(
    grad: ArrayLike, y: ArrayLike, eps: ArrayLike | None = None, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`logit` from its output.

    Computes ``grad * (2 + 2 * cosh(y))``; requires ``eps`` to be None or negative.

    In NumPy: ``grad * (2 + 2 * np.cosh(y))``.

    Error: at most 3 ULP in float32, 3.2 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.logit(np.float32([0.1, 0.25, 0.5, 0.75]))
    >>> fr.logit_backward_from_output(np.float32(1.0), y).round(4)
    array([11.1111,  5.3333,  4.    ,  5.3333], dtype=float32)
    """
    return call(_logit_backward_from_output, out, where, grad, y, -1.0 if eps is None else eps)


def sigmoid(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Logistic function.

    Computes ``1 / (1 + exp(-x))``.

    In NumPy: ``1 / (1 + np.exp(-x))``.

    Error: at most 2.5 ULP in float32, 2.55 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``sigmoid(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20, 1958.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1192, 0.3775, 0.5   , 0.9526], dtype=float32)
    """
    return call_unary(_sigmoid, out, where, x)


def sigmoid_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`sigmoid` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.sigmoid_(x) is x
    True
    """
    return call_in_place(_sigmoid, where, x)


def sigmoid_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`sigmoid` from its input.

    Computes ``grad * sigmoid(x) * sigmoid(-x)``.

    In NumPy: ``grad * np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2``.

    Error: at most 2.5 ULP in float32, 2.75 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sigmoid_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.105 , 0.235 , 0.25  , 0.0452], dtype=float32)
    """
    return call(_sigmoid_backward, out, where, grad, x)


def sigmoid_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`sigmoid` from its output.

    Computes ``grad * y * (1 - y)``.

    In NumPy: ``grad * y * (1 - y)``.

    Error: at most 1.5 ULP in float32, 1.7 in float64; "accurate" 0.51 and 0.5.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.sigmoid_backward_from_output(np.float32(1.0), y).round(4)
    array([0.105 , 0.235 , 0.25  , 0.0452], dtype=float32)
    """
    return call(_sigmoid_backward_from_output, out, where, grad, y)


def tanh(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Hyperbolic tangent.

    Computes ``tanh(x)``.

    In NumPy: ``np.tanh(x)``.

    Error: at most 2.85 ULP in float32, 3.25 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``tanh(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Y. LeCun et al., "Efficient backprop", in Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.tanh(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.964 , -0.4621,  0.    ,  0.9951], dtype=float32)
    """
    return call_unary(_tanh, out, where, x)


def tanh_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`tanh` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.tanh_(x) is x
    True
    """
    return call_in_place(_tanh, where, x)


def tanh_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`tanh` from its input.

    Computes ``grad / cosh(x) ** 2``.

    In NumPy: ``grad * (1 - np.tanh(x) ** 2)``.

    Error: at most 2.5 ULP in float32, 2.55 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.tanh_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.0707, 0.7864, 1.    , 0.0099], dtype=float32)
    """
    return call(_tanh_backward, out, where, grad, x)


def tanh_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`tanh` from its output.

    Computes ``grad * (1 - y ** 2)``.

    In NumPy: ``grad * (1 - y * y)``.

    Error: at most 1.5 ULP in float32, 1.75 in float64; "accurate" 0.51 and 0.5.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.tanh(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.tanh_backward_from_output(np.float32(1.0), y).round(4)
    array([0.0707, 0.7864, 1.    , 0.0099], dtype=float32)
    """
    return call(_tanh_backward_from_output, out, where, grad, y)


def softcap(x: ArrayLike, cap: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Hyperbolic tangent scaled to a limit, which keeps scores below it.

    Computes ``cap * tanh(x / cap)``.

    In NumPy: ``cap * np.tanh(x / cap)``.

    Error: at most 2.85 ULP in float32, 3.25 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    cap : array_like
        Limit of the result; finite and greater than 0. Language models take 30 to 50.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``softcap(x, cap)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `cap` is not positive or not finite. In an array `cap`, such elements give NaN instead.

    References
    ----------
    Gemma Team, "Gemma 2: Improving open language models at a practical size", 2024.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softcap(np.float32([-2.0, -0.5, 0.0, 3.0]), 2.0).round(4)
    array([-1.5232, -0.4898,  0.    ,  1.8103], dtype=float32)
    """
    return call(_softcap, out, where, x, cap)


def softcap_(x: _T, cap: ArrayLike, *, where: ArrayLike = True) -> _T:
    """Apply :func:`softcap` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.softcap_(x, 2.0) is x
    True
    """
    return call_in_place(_softcap, where, x, cap)


def softcap_backward(
    grad: ArrayLike, x: ArrayLike, cap: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`softcap` from its input.

    Computes ``grad / cosh(x / cap) ** 2``.

    In NumPy: ``grad * (1 - np.tanh(x / cap) ** 2)``.

    Error: at most 2.55 ULP in float32, 2.85 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softcap_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]), 2.0).round(4)
    array([0.42  , 0.94  , 1.    , 0.1807], dtype=float32)
    """
    return call(_softcap_backward, out, where, grad, x, cap)


def softcap_backward_from_output(
    grad: ArrayLike, y: ArrayLike, cap: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`softcap` from its output.

    Computes ``grad * (1 - y / cap) * (1 + y / cap)``.

    In NumPy: ``grad * (1 - (y / cap) ** 2)``.

    Error: at most 2.2 ULP in float32, 1.9 in float64; "accurate" 0.51 and 0.5.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.softcap(np.float32([-2.0, -0.5, 0.0, 3.0]), 2.0)
    >>> fr.softcap_backward_from_output(np.float32(1.0), y, 2.0).round(4)
    array([0.42  , 0.94  , 1.    , 0.1807], dtype=float32)
    """
    return call(_softcap_backward_from_output, out, where, grad, y, cap)


def softsign(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Algebraic counterpart of :func:`tanh`.

    Computes ``x / (1 + abs(x))``.

    In NumPy: ``x / (1 + np.abs(x))``.

    Error: at most 1.5 ULP in float32, 1.5 in float64; "accurate" 0.51 and 0.55.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``softsign(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softsign(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.6667, -0.3333,  0.    ,  0.75  ], dtype=float32)
    """
    return call_unary(_softsign, out, where, x)


def softsign_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`softsign` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.softsign_(x) is x
    True
    """
    return call_in_place(_softsign, where, x)


def softsign_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`softsign` from its input.

    Computes ``grad / (1 + abs(x)) ** 2``.

    In NumPy: ``grad / (1 + np.abs(x)) ** 2``.

    Error: at most 2.95 ULP in float32, 3.5 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softsign_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1111, 0.4444, 1.    , 0.0625], dtype=float32)
    """
    return call(_softsign_backward, out, where, grad, x)


def softsign_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`softsign` from its output.

    Computes ``grad * (1 - abs(y)) ** 2``.

    In NumPy: ``grad * (1 - np.abs(y)) ** 2``.

    Error: at most 1.95 ULP in float32, 1.95 in float64; "accurate" 0.51 and 0.5.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.softsign(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.softsign_backward_from_output(np.float32(1.0), y).round(4)
    array([0.1111, 0.4444, 1.    , 0.0625], dtype=float32)
    """
    return call(_softsign_backward_from_output, out, where, grad, y)


def erf(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Error function.

    Computes ``2 / sqrt(pi)`` times the integral of ``exp(-t ** 2)`` from 0 to `x`.

    In SciPy: ``special.erf(x)``.

    Error: at most 1.85 ULP in float32, 2 in float64; "accurate" 0.51 and 0.85.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``erf(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23, 1969.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.erf(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.9953, -0.5205,  0.    ,  1.    ], dtype=float32)
    """
    return call_unary(_erf, out, where, x)


def erf_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`erf` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.erf_(x) is x
    True
    """
    return call_in_place(_erf, where, x)


def erf_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`erf` from its input.

    Computes ``grad * 2 / sqrt(pi) * exp(-x ** 2)``.

    In NumPy: ``grad * (2 / np.pi**0.5) * np.exp(-x * x)``.

    Error: at most 2 ULP in float32, 2 in float64; "accurate" 0.51 and 0.85.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.erf_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 1.0])).round(4)
    array([0.0207, 0.8788, 1.1284, 0.4151], dtype=float32)
    """
    return call(_erf_backward, out, where, grad, x)


def hard_sigmoid(
    x: ArrayLike, slope: ArrayLike = 1 / 6, offset: ArrayLike = 0.5, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Piecewise linear approximation of :func:`sigmoid`.

    Computes ``min(max(slope * x + offset, 0), 1)``.

    In NumPy: ``np.clip(slope * x + offset, 0, 1)``.

    Error: at most 0.7 ULP in float32, 0.55 in float64; "accurate" 0.51 and 0.55.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    slope : array_like, default 1 / 6
        Slope between the ends; positive.
    offset : array_like, default 0.5
        Value at 0.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``hard_sigmoid(x, slope, offset)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `slope` is not positive. In an array `slope`, such elements give NaN instead.

    Notes
    -----
    PyTorch, JAX and Keras 3 have slope 1/6; ONNX and Keras 2 have 0.2.

    References
    ----------
    M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_sigmoid(np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([0.  , 0.25, 0.5 , 1.  ], dtype=float32)
    """
    return call(_hard_sigmoid, out, where, x, slope, offset)


def hard_sigmoid_(x: _T, slope: ArrayLike = 1 / 6, offset: ArrayLike = 0.5, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_sigmoid` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-4.0, -1.5, 0.0, 3.0])
    >>> fr.hard_sigmoid_(x) is x
    True
    """
    return call_in_place(_hard_sigmoid, where, x, slope, offset)


def hard_sigmoid_backward(
    grad: ArrayLike,
    x: ArrayLike,
    slope: ArrayLike = 1 / 6,
    offset: ArrayLike = 0.5,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`hard_sigmoid` from its input.

    Computes ``slope * grad`` where ``0 < slope * x + offset < 1``, 0 elsewhere.

    In NumPy: ``grad * slope * (np.abs(slope * x + offset - 0.5) < 0.5)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_sigmoid_backward(np.float32(1.0), np.float32([-4.0, -1.5, 0.0, 3.0])).round(4)
    array([0.    , 0.1667, 0.1667, 0.    ], dtype=float32)
    """
    return call(_hard_sigmoid_backward, out, where, grad, x, slope, offset)


def hard_sigmoid_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    slope: ArrayLike = 1 / 6,
    offset: ArrayLike = 0.5,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`hard_sigmoid` from its output.

    Computes ``slope * grad`` where ``0 < y < 1``, 0 elsewhere.

    In NumPy: ``grad * slope * ((y > 0) & (y < 1))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.hard_sigmoid(np.float32([-4.0, -1.5, 0.0, 3.0]))
    >>> fr.hard_sigmoid_backward_from_output(np.float32(1.0), y).round(4)
    array([0.    , 0.1667, 0.1667, 0.    ], dtype=float32)
    """
    return call(_hard_sigmoid_backward_from_output, out, where, grad, y, slope, offset)


def hard_tanh(
    x: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Identity clipped to an interval.

    Computes ``min(max(x, min_val), max_val)``.

    In NumPy: ``np.clip(x, min_val, max_val)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    min_val : array_like, default -1.0
        Lowest output; ``min_val <= max_val``.
    max_val : array_like, default 1.0
        Highest output.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``hard_tanh(x, min_val, max_val)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If ``min_val > max_val`` or one of them is NaN. In arrays, such elements give NaN instead.

    References
    ----------
    R. Collobert, "Large scale machine learning", PhD thesis, Universite Paris VI, 2004.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_tanh(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1. , -0.5,  0. ,  1. ], dtype=float32)
    """
    return call(_hard_tanh, out, where, x, min_val, max_val)


def hard_tanh_(x: _T, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hard_tanh` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.hard_tanh_(x) is x
    True
    """
    return call_in_place(_hard_tanh, where, x, min_val, max_val)


def hard_tanh_backward(
    grad: ArrayLike,
    x: ArrayLike,
    min_val: ArrayLike = -1.0,
    max_val: ArrayLike = 1.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`hard_tanh` from its input.

    Computes ``grad`` where ``min_val < x < max_val``, 0 elsewhere.

    In NumPy: ``grad * ((x > min_val) & (x < max_val))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hard_tanh_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 1., 1., 0.], dtype=float32)
    """
    return call(_hard_tanh_backward, out, where, grad, x, min_val, max_val)


def hard_tanh_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    min_val: ArrayLike = -1.0,
    max_val: ArrayLike = 1.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`hard_tanh` from its output.

    Computes ``grad`` where ``min_val < y < max_val``, 0 elsewhere.

    In NumPy: ``grad * ((y > min_val) & (y < max_val))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.hard_tanh(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.hard_tanh_backward_from_output(np.float32(1.0), y)
    array([0., 1., 1., 0.], dtype=float32)
    """
    return call(_hard_tanh_backward_from_output, out, where, grad, y, min_val, max_val)


def sparse_plus(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Piecewise quadratic approximation of :func:`softplus`.

    Computes 0 where ``x <= -1``, ``(x + 1) ** 2 / 4`` where ``-1 < x < 1``, ``x`` where ``x >= 1``.

    In NumPy: ``np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))``.

    Error: at most 0.55 ULP in float32, 0.5 in float64; "accurate" 0.51 and 0.5.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``sparse_plus(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in JAX's ``jax.nn.sparse_plus``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sparse_plus(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.    , 0.0625, 0.25  , 3.    ], dtype=float32)
    """
    return call_unary(_sparse_plus, out, where, x)


def sparse_plus_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`sparse_plus` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.sparse_plus_(x) is x
    True
    """
    return call_in_place(_sparse_plus, where, x)


def sparse_plus_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`sparse_plus` from its input.

    Computes ``grad * min(max((x + 1) / 2, 0), 1)``.

    In NumPy: ``grad * np.clip((x + 1) / 2, 0, 1)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sparse_plus_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.  , 0.25, 0.5 , 1.  ], dtype=float32)
    """
    return call(_sparse_plus_backward, out, where, grad, x)


def sparse_plus_backward_from_output(
    grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`sparse_plus` from its output.

    Computes ``grad * min(sqrt(y), 1)``.

    In NumPy: ``grad * np.minimum(np.sqrt(y), 1)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.sparse_plus(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.sparse_plus_backward_from_output(np.float32(1.0), y).round(4)
    array([0.  , 0.25, 0.5 , 1.  ], dtype=float32)
    """
    return call(_sparse_plus_backward_from_output, out, where, grad, y)


def sparse_sigmoid(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Piecewise linear sigmoid, the derivative of :func:`sparse_plus`.

    Computes ``min(max((x + 1) / 2, 0), 1)``.

    In NumPy: ``np.clip((x + 1) / 2, 0, 1)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``sparse_sigmoid(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in JAX's ``jax.nn.sparse_sigmoid``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sparse_sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0.  , 0.25, 0.5 , 1.  ], dtype=float32)
    """
    return call_unary(_sparse_sigmoid, out, where, x)


def sparse_sigmoid_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`sparse_sigmoid` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.sparse_sigmoid_(x) is x
    True
    """
    return call_in_place(_sparse_sigmoid, where, x)


def sparse_sigmoid_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`sparse_sigmoid` from its input.

    Computes ``grad / 2`` where ``-1 < x < 1``, 0 elsewhere.

    In NumPy: ``grad / 2 * (np.abs(x) < 1)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sparse_sigmoid_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0. , 0.5, 0.5, 0. ], dtype=float32)
    """
    return call(_sparse_sigmoid_backward, out, where, grad, x)


def sparse_sigmoid_backward_from_output(
    grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`sparse_sigmoid` from its output.

    Computes ``grad / 2`` where ``0 < y < 1``, 0 elsewhere.

    In NumPy: ``grad / 2 * ((y > 0) & (y < 1))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.sparse_sigmoid(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.sparse_sigmoid_backward_from_output(np.float32(1.0), y)
    array([0. , 0.5, 0.5, 0. ], dtype=float32)
    """
    return call(_sparse_sigmoid_backward_from_output, out, where, grad, y)
