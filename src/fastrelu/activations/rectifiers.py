"""Rectifiers: piecewise linear functions that switch a unit off, or damp it, below a threshold."""

from __future__ import annotations

from math import inf
from typing import Any, TypeVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastrelu._core import call, call_in_place, call_unary, check_types, explaining
from fastrelu._foreign import is_foreign, refuse, wrapper
from fastrelu._fused import ADD, call_fused
from fastrelu._kernels import quiet, quietly, renamed
from fastrelu._options import axis_index, check_flag, generator, integer
from fastrelu._side_by_side import call_side_by_side, parts
from fastrelu._sums import call as call_learned
from fastrelu._sums import renamed as renamed_learned
from fastrelu._typing import Output
from fastrelu.runtime import isa, kernels, learned

__all__ = [
    "bounded_relu",
    "bounded_relu_",
    "bounded_relu_backward",
    "bounded_relu_backward_from_output",
    "crelu",
    "crelu_backward",
    "crelu_backward_from_output",
    "identity",
    "identity_",
    "identity_backward",
    "identity_backward_from_output",
    "leaky_relu",
    "leaky_relu_",
    "leaky_relu_backward",
    "leaky_relu_backward_from_output",
    "leaky_relu_backward_parameters",
    "prelu",
    "prelu_",
    "prelu_backward",
    "prelu_backward_from_output",
    "prelu_backward_parameters",
    "relu",
    "relu6",
    "relu6_",
    "relu6_backward",
    "relu6_backward_from_output",
    "relu_",
    "relu_backward",
    "relu_backward_from_output",
    "rrelu",
    "rrelu_",
    "squared_relu",
    "squared_relu_",
    "squared_relu_backward",
    "squared_relu_backward_from_output",
    "srelu",
    "srelu_",
    "srelu_backward",
    "srelu_backward_parameters",
    "threshold",
    "threshold_",
    "threshold_backward",
    "threshold_backward_from_output",
    "thresholded_relu",
    "thresholded_relu_",
    "thresholded_relu_backward",
    "thresholded_relu_backward_from_output",
]

_T = TypeVar("_T")

_identity = kernels["identity"]
_identity_backward = kernels["identity_backward"]
_identity_backward_from_output = kernels["identity_backward_from_output"]
_relu = kernels["relu"]
_relu_backward = kernels["relu_backward"]
_relu_backward_from_output = kernels["relu_backward_from_output"]
_relu6 = kernels["relu6"]
_relu6_backward = kernels["relu6_backward"]
_relu6_backward_from_output = kernels["relu6_backward_from_output"]
_leaky_relu = kernels["leaky_relu"]
_leaky_relu_backward = kernels["leaky_relu_backward"]
_leaky_relu_parameters = learned["leaky_relu"]
_leaky_relu_backward_from_output = kernels["leaky_relu_backward_from_output"]
_prelu = renamed(_leaky_relu, isa, "prelu", "weight")
_prelu_backward = renamed(_leaky_relu_backward, isa, "prelu", "weight")
_prelu_parameters = renamed_learned(_leaky_relu_parameters, "prelu", _prelu_backward)
_prelu_backward_from_output = renamed(_leaky_relu_backward_from_output, isa, "prelu", "weight")
_rrelu = renamed(_leaky_relu, isa, "rrelu", "slopes")
_srelu = kernels["srelu"]
_srelu_backward = kernels["srelu_backward"]
_srelu_parameters = learned["srelu"]
_bounded_relu = kernels["bounded_relu"]
_bounded_relu_backward = kernels["bounded_relu_backward"]
_bounded_relu_backward_from_output = kernels["bounded_relu_backward_from_output"]
_threshold = kernels["threshold"]
_threshold_backward = kernels["threshold_backward"]
_threshold_backward_from_output = kernels["threshold_backward_from_output"]
_thresholded_relu = kernels["thresholded_relu"]
_thresholded_relu_backward = kernels["thresholded_relu_backward"]
_thresholded_relu_backward_from_output = kernels["thresholded_relu_backward_from_output"]
_squared_relu = kernels["squared_relu"]
_squared_relu_backward = kernels["squared_relu_backward"]
_squared_relu_backward_from_output = kernels["squared_relu_backward_from_output"]


def identity(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Identity: a copy of `x`, for tables of functions by name.

    Computes ``x``; integers become a floating-point type as in every other function.

    In NumPy: ``np.positive(x)``.

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
        ``identity(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in JAX's ``jax.nn.identity``; Keras calls it ``linear``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.identity(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-2. , -0.5,  0. ,  3. ], dtype=float32)
    """
    return call_unary(_identity, out, where, x)


def identity_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`identity` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.identity_(x) is x
    True
    """
    return call_in_place(_identity, where, x)


def identity_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`identity` from its input.

    Computes ``grad``, and NaN where `x` is NaN.

    In NumPy: ``np.positive(grad)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.identity_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([1., 1., 1., 1.], dtype=float32)
    """
    return call(_identity_backward, out, where, grad, x)


def identity_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`identity` from its output.

    Computes ``grad``, and NaN where `y` is NaN.

    In NumPy: ``np.positive(grad)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.identity(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.identity_backward_from_output(np.float32(1.0), y)
    array([1., 1., 1., 1.], dtype=float32)
    """
    return call(_identity_backward_from_output, out, where, grad, y)


def relu(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Rectified linear unit.

    Computes ``max(x, 0)``; zero of either sign gives ``+0.0`` and NaN gives NaN.

    In NumPy: ``np.maximum(x, 0)``.

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
        ``relu(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    V. Nair, G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 3.], dtype=float32)
    """
    return call_unary(_relu, out, where, x)


def relu_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`relu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.relu_(x) is x
    True
    """
    return call_in_place(_relu, where, x)


def relu_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`relu` from its input.

    Computes ``grad`` where ``x > 0``, 0 elsewhere, the kink at 0 included.

    In NumPy: ``grad * (x > 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.relu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_relu_backward, out, where, grad, x)


def relu_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`relu` from its output.

    Computes ``grad`` where ``y > 0``, 0 elsewhere.

    In NumPy: ``grad * (y > 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.relu_backward_from_output(np.float32(1.0), y)
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_relu_backward_from_output, out, where, grad, y)


def relu6(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Rectified linear unit capped at 6.

    Computes ``min(max(x, 0), 6)``.

    In NumPy: ``np.clip(x, 0, 6)``.

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
        ``relu6(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.relu6(np.float32([-2.0, 0.5, 6.0, 8.0]))
    array([0. , 0.5, 6. , 6. ], dtype=float32)
    """
    return call_unary(_relu6, out, where, x)


def relu6_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`relu6` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, 0.5, 6.0, 8.0])
    >>> fr.relu6_(x) is x
    True
    """
    return call_in_place(_relu6, where, x)


def relu6_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`relu6` from its input.

    Computes ``grad`` where ``0 < x < 6``, 0 elsewhere.

    In NumPy: ``grad * ((x > 0) & (x < 6))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.relu6_backward(np.float32(1.0), np.float32([-2.0, 0.5, 6.0, 8.0]))
    array([0., 1., 0., 0.], dtype=float32)
    """
    return call(_relu6_backward, out, where, grad, x)


def relu6_backward_from_output(grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`relu6` from its output.

    Computes ``grad`` where ``0 < y < 6``, 0 elsewhere.

    In NumPy: ``grad * ((y > 0) & (y < 6))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.relu6(np.float32([-2.0, 0.5, 6.0, 8.0]))
    >>> fr.relu6_backward_from_output(np.float32(1.0), y)
    array([0., 1., 0., 0.], dtype=float32)
    """
    return call(_relu6_backward_from_output, out, where, grad, y)


def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Leaky rectified linear unit.

    Computes ``x`` where ``x > 0``, ``negative_slope * x`` elsewhere.

    In NumPy: ``np.where(x > 0, x, negative_slope * x)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    negative_slope : array_like, default 0.01
        Slope below zero.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``leaky_relu(x, negative_slope)``, of the shape the inputs broadcast to; `out` if given.

    Notes
    -----
    With a slope of 0, -inf gives 0, the limit.

    Keras and TensorFlow have other default slopes, 0.3 and 0.2.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML
    2013.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.leaky_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.02 , -0.005,  0.   ,  3.   ], dtype=float32)
    """
    return call(_leaky_relu, out, where, x, negative_slope)


def leaky_relu_(x: _T, negative_slope: ArrayLike = 0.01, *, where: ArrayLike = True) -> _T:
    """Apply :func:`leaky_relu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.leaky_relu_(x) is x
    True
    """
    return call_in_place(_leaky_relu, where, x, negative_slope)


def leaky_relu_backward(
    grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.01, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`leaky_relu` from its input.

    Computes ``grad`` where ``x > 0``, ``negative_slope * grad`` elsewhere, the kink included.

    In NumPy: ``np.where(x > 0, grad, negative_slope * grad)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.leaky_relu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0.01, 0.01, 0.01, 1.  ], dtype=float32)
    """
    return call(_leaky_relu_backward, out, where, grad, x, negative_slope)


def leaky_relu_backward_parameters(
    grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.01, *, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`leaky_relu` with respect to its input and `negative_slope`, in one pass.

    Computes ``dx`` as :func:`leaky_relu_backward` does and, for `negative_slope`, the sum of ``grad`` times the
    derivative ``x`` where ``x <= 0``, 0 elsewhere.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`leaky_relu_backward`; `out` if given.
    dnegative_slope : ndarray or scalar
        The gradient with respect to `negative_slope`, of its shape.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> dx, dslope = fr.leaky_relu_backward_parameters(np.float32([1.0, 1.0, 2.0]), np.float32([-2.0, 3.0, -0.5]), 0.25)
    >>> dx, dslope
    (array([0.25, 1.  , 0.5 ], dtype=float32), np.float32(-3.0))
    """
    return call_learned(_leaky_relu_parameters, out, grad, x, negative_slope)


def leaky_relu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, negative_slope: ArrayLike = 0.01, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`leaky_relu` from its output.

    Computes ``grad`` where ``y > 0``, ``negative_slope * grad`` elsewhere; requires ``negative_slope >= 0``.

    In NumPy: ``np.where(y > 0, grad, negative_slope * grad)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.leaky_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.leaky_relu_backward_from_output(np.float32(1.0), y)
    array([0.01, 0.01, 0.01, 1.  ], dtype=float32)
    """
    return call(_leaky_relu_backward_from_output, out, where, grad, y, negative_slope)


def srelu(
    x: ArrayLike,
    t_left: ArrayLike,
    a_left: ArrayLike,
    t_right: ArrayLike,
    a_right: ArrayLike,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """S-shaped rectified linear unit.

    Computes ``t_right + a_right * (x - t_right)`` where ``x >= t_right``, ``t_left + a_left * (x - t_left)`` where
    ``x <= t_left``, ``x`` between.

    In NumPy: ``np.where(x >= t_right, t_right + a_right * (x - t_right), np.where(x <= t_left, t_left + a_left * (x
    - t_left), x))``.

    Error: at most 1.05 ULP in float32, 1.05 in float64; "accurate" 0.51 and 1.05.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    t_left : array_like
        Upper end of the left piece; ``t_left <= t_right``.
    a_left : array_like
        Slope of the left piece.
    t_right : array_like
        Lower end of the right piece.
    a_right : array_like
        Slope of the right piece.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``srelu(x, t_left, a_left, t_right, a_right)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If ``t_left > t_right`` or one of them is NaN. In arrays, such elements give NaN instead.

    Notes
    -----
    An infinite threshold disables its piece.

    References
    ----------
    X. Jin et al., "Deep learning with S-shaped rectified linear activation units", AAAI 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.srelu(np.float32([-2.0, -0.5, 0.0, 3.0]), -1.0, 0.1, 1.0, 0.5).round(4)
    array([-1.1, -0.5,  0. ,  2. ], dtype=float32)
    """
    return call(_srelu, out, where, x, t_left, a_left, t_right, a_right)


def srelu_(
    x: _T, t_left: ArrayLike, a_left: ArrayLike, t_right: ArrayLike, a_right: ArrayLike, *, where: ArrayLike = True
) -> _T:
    """Apply :func:`srelu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.srelu_(x, -1.0, 0.1, 1.0, 0.5) is x
    True
    """
    return call_in_place(_srelu, where, x, t_left, a_left, t_right, a_right)


def srelu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    t_left: ArrayLike,
    a_left: ArrayLike,
    t_right: ArrayLike,
    a_right: ArrayLike,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`srelu` from its input.

    Computes ``a_right * grad`` where ``x >= t_right``, ``a_left * grad`` where ``x <= t_left``, ``grad`` between.

    In NumPy: ``np.where(x >= t_right, a_right * grad, np.where(x <= t_left, a_left * grad, grad))``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.srelu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]), -1.0, 0.1, 1.0, 0.5).round(4)
    array([0.1, 1. , 1. , 0.5], dtype=float32)
    """
    return call(_srelu_backward, out, where, grad, x, t_left, a_left, t_right, a_right)


def srelu_backward_parameters(
    grad: ArrayLike,
    x: ArrayLike,
    t_left: ArrayLike,
    a_left: ArrayLike,
    t_right: ArrayLike,
    a_right: ArrayLike,
    *,
    out: Output = None,
) -> tuple[Any, Any, Any, Any, Any]:
    """Gradients of :func:`srelu` with respect to its input and its four parameters, in one pass.

    Computes ``dx`` as :func:`srelu_backward` does and, for each parameter, the sum of ``grad`` times the derivative:
    where ``x <= t_left``, ``1 - a_left`` for `t_left` and ``x - t_left`` for `a_left`; where ``x >= t_right``, the
    same for `t_right` and `a_right`; 0 elsewhere.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`srelu_backward`; `out` if given.
    dt_left, da_left, dt_right, da_right : ndarray or scalar
        The gradient with respect to each parameter, of its shape.

    References
    ----------
    X. Jin et al., "Deep learning with S-shaped rectified linear activation units", AAAI 2016, equation 4.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-3.0, 0.0, 4.0])
    >>> dx, *gradients = fr.srelu_backward_parameters(np.float32([1.0, 1.0, 2.0]), x, -1.0, 0.5, 1.0, 0.25)
    >>> dx
    array([0.5, 1. , 0.5], dtype=float32)
    >>> [float(gradient) for gradient in gradients]
    [0.5, -2.0, 1.5, 6.0]
    """
    return call_learned(_srelu_parameters, out, grad, x, t_left, a_left, t_right, a_right)


def bounded_relu(
    x: ArrayLike,
    negative_slope: ArrayLike = 0.0,
    max_value: ArrayLike | None = None,
    threshold: ArrayLike = 0.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Rectified linear unit with a slope, an upper limit and a threshold, as Keras has it.

    Computes ``min(x, max_value)`` where ``x > threshold``, ``negative_slope * (x - threshold)`` elsewhere.
    :func:`relu`, :func:`leaky_relu`, :func:`relu6` and :func:`thresholded_relu` are its special cases, and faster.

    In NumPy: ``np.where(x > threshold, x, negative_slope * (x - threshold))``, without an upper limit.

    Error: at most 0.55 ULP in float32, 0.55 in float64; "accurate" 0.51 and 0.55.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    negative_slope : array_like, default 0.0
        Slope at and below the threshold.
    max_value : array_like or None, default None
        Upper limit of the output, at least `threshold`; None is none.
    threshold : array_like, default 0.0
        Inputs above it are kept.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``bounded_relu(x, negative_slope, max_value, threshold)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        Unless ``threshold <= max_value``. In arrays, such elements give NaN instead.

    References
    ----------
    Defined as Keras' ``keras.activations.relu``, where the derivative at the threshold is 0 instead of the slope.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.bounded_relu(np.float32([-2.0, -0.5, 0.0, 3.0]), 0.25, 2.0)
    array([-0.5  , -0.125,  0.   ,  2.   ], dtype=float32)
    """
    return call(_bounded_relu, out, where, x, negative_slope, inf if max_value is None else max_value, threshold)


def bounded_relu_(
    x: _T,
    negative_slope: ArrayLike = 0.0,
    max_value: ArrayLike | None = None,
    threshold: ArrayLike = 0.0,
    *,
    where: ArrayLike = True,
) -> _T:
    """Apply :func:`bounded_relu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.bounded_relu_(x) is x
    True
    """
    return call_in_place(_bounded_relu, where, x, negative_slope, inf if max_value is None else max_value, threshold)


def bounded_relu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    negative_slope: ArrayLike = 0.0,
    max_value: ArrayLike | None = None,
    threshold: ArrayLike = 0.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`bounded_relu` from its input.

    Computes ``grad`` where ``threshold < x < max_value``, ``negative_slope * grad`` where ``x <= threshold``, 0
    elsewhere.

    In NumPy: ``np.where(x > threshold, grad, negative_slope * grad)``, without an upper limit.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.bounded_relu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]), 0.25, 2.0)
    array([0.25, 0.25, 0.25, 0.  ], dtype=float32)
    """
    return call(
        _bounded_relu_backward, out, where, grad, x, negative_slope, inf if max_value is None else max_value, threshold
    )


def bounded_relu_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    negative_slope: ArrayLike = 0.0,
    max_value: ArrayLike | None = None,
    threshold: ArrayLike = 0.0,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`bounded_relu` from its output.

    Computes ``grad`` where ``0 < y < max_value``, ``negative_slope * grad`` where ``y <= 0``, 0
    elsewhere; requires ``negative_slope >= 0``, ``threshold >= 0`` and ``max_value > 0``.

    In NumPy: ``np.where(y > 0, grad, negative_slope * grad)``, without an upper limit.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.bounded_relu(np.float32([-2.0, -0.5, 0.0, 3.0]), 0.25, 2.0)
    >>> fr.bounded_relu_backward_from_output(np.float32(1.0), y, 0.25, 2.0)
    array([0.25, 0.25, 0.25, 0.  ], dtype=float32)
    """
    return call(
        _bounded_relu_backward_from_output,
        out,
        where,
        grad,
        y,
        negative_slope,
        inf if max_value is None else max_value,
        threshold,
    )


def threshold(
    x: ArrayLike, threshold: ArrayLike, value: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Identity above a threshold, a constant elsewhere.

    Computes ``x`` where ``x > threshold``, ``value`` elsewhere.

    In NumPy: ``np.where(x > threshold, x, value)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    threshold : array_like
        Inputs up to this one are replaced.
    value : array_like
        Their replacement.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``threshold(x, threshold, value)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    Defined as in PyTorch's ``torch.nn.functional.threshold``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.threshold(np.float32([-2.0, -0.5, 0.0, 3.0]), 1.0, -1.0)
    array([-1., -1., -1.,  3.], dtype=float32)
    """
    return call(_threshold, out, where, x, threshold, value)


def threshold_(x: _T, threshold: ArrayLike, value: ArrayLike, *, where: ArrayLike = True) -> _T:
    """Apply :func:`threshold` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.threshold_(x, 1.0, -1.0) is x
    True
    """
    return call_in_place(_threshold, where, x, threshold, value)


def threshold_backward(
    grad: ArrayLike,
    x: ArrayLike,
    threshold: ArrayLike,
    value: ArrayLike,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`threshold` from its input.

    Computes ``grad`` where ``x > threshold``, 0 elsewhere.

    In NumPy: ``grad * (x > threshold)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.threshold_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]), 1.0, -1.0)
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_threshold_backward, out, where, grad, x, threshold, value)


def threshold_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    threshold: ArrayLike,
    value: ArrayLike,
    *,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`threshold` from its output.

    Computes ``grad`` where ``y > threshold``, 0 elsewhere; requires ``value <= threshold``.

    In NumPy: ``grad * (y > threshold)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.threshold(np.float32([-2.0, -0.5, 0.0, 3.0]), 1.0, -1.0)
    >>> fr.threshold_backward_from_output(np.float32(1.0), y, 1.0, -1.0)
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_threshold_backward_from_output, out, where, grad, y, threshold, value)


def thresholded_relu(x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Thresholded rectified linear unit.

    Computes ``x`` where ``x > alpha``, 0 elsewhere.

    In NumPy: ``np.where(x > alpha, x, 0)``.

    Error: rounded once, at most 0.5 ULP.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    alpha : array_like, default 1.0
        Inputs up to this one give 0.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``thresholded_relu(x, alpha)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    K. Konda, R. Memisevic, D. Krueger, "Zero-bias autoencoders and the benefits of co-adapting features", ICLR
    2015.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.thresholded_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 3.], dtype=float32)
    """
    return call(_thresholded_relu, out, where, x, alpha)


def thresholded_relu_(x: _T, alpha: ArrayLike = 1.0, *, where: ArrayLike = True) -> _T:
    """Apply :func:`thresholded_relu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.thresholded_relu_(x) is x
    True
    """
    return call_in_place(_thresholded_relu, where, x, alpha)


def thresholded_relu_backward(
    grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`thresholded_relu` from its input.

    Computes ``grad`` where ``x > alpha``, 0 elsewhere.

    In NumPy: ``grad * (x > alpha)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.thresholded_relu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_thresholded_relu_backward, out, where, grad, x, alpha)


def thresholded_relu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, alpha: ArrayLike = 1.0, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`thresholded_relu` from its output.

    Computes ``grad`` where ``y > alpha``, 0 elsewhere; requires ``alpha >= 0``.

    In NumPy: ``grad * (y > alpha)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.thresholded_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.thresholded_relu_backward_from_output(np.float32(1.0), y)
    array([0., 0., 0., 1.], dtype=float32)
    """
    return call(_thresholded_relu_backward_from_output, out, where, grad, y, alpha)


def squared_relu(x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Squared rectified linear unit.

    Computes ``max(x, 0) ** 2``.

    In NumPy: ``np.maximum(x, 0) ** 2``.

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
        ``squared_relu(x)``, of the shape the inputs broadcast to; `out` if given.

    References
    ----------
    D. R. So et al., "Primer: searching for efficient transformers for language modeling", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.squared_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 9.], dtype=float32)
    """
    return call_unary(_squared_relu, out, where, x)


def squared_relu_(x: _T, *, where: ArrayLike = True) -> _T:
    """Apply :func:`squared_relu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, -0.5, 0.0, 3.0])
    >>> fr.squared_relu_(x) is x
    True
    """
    return call_in_place(_squared_relu, where, x)


def squared_relu_backward(grad: ArrayLike, x: ArrayLike, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Gradient of :func:`squared_relu` from its input.

    Computes ``2 * grad * max(x, 0)``.

    In NumPy: ``2 * grad * np.maximum(x, 0)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.squared_relu_backward(np.float32(1.0), np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 6.], dtype=float32)
    """
    return call(_squared_relu_backward, out, where, grad, x)


def squared_relu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, *, out: Output = None, where: ArrayLike = True
) -> Any:
    """Gradient of :func:`squared_relu` from its output.

    Computes ``2 * grad * sqrt(y)``.

    In NumPy: ``2 * grad * np.sqrt(y)``.

    Error: rounded once, at most 0.5 ULP.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.squared_relu(np.float32([-2.0, -0.5, 0.0, 3.0]))
    >>> fr.squared_relu_backward_from_output(np.float32(1.0), y)
    array([0., 0., 0., 6.], dtype=float32)
    """
    return call(_squared_relu_backward_from_output, out, where, grad, y)


def _check_weight(weight: Any, x: Any) -> None:
    """Refuse a weight of a type that no kernel takes, or of one dimension that does not meet the last axis of x."""
    if type(weight) is not np.ndarray or weight.dtype not in _OWN_TYPES:
        check_types("prelu", ("weight",), (weight,))
    plain = (np.ndarray, list, tuple)  # other arrays may broadcast by rules of their own
    if isinstance(weight, plain) and isinstance(x, plain) and np.ndim(weight) == 1 and len(weight) != 1:
        shape = np.shape(x)
        if shape and shape[-1] not in (1, len(weight)):
            raise ValueError(
                f"operands could not be broadcast together with shapes {shape} ({len(weight)},): prelu lays the weight along "
                f"the last axis; pass axis= for another one, such as axis=1 for the channels of NCHW"
            )


def _along(weight: Any, x: Any, axis: int | None, *others: Any) -> Any:
    """Shape a one-dimensional weight so that it lies along one axis of x, next to other arguments."""
    if type(weight) is list or type(weight) is tuple:
        weight = np.asarray(weight)  # once
    if axis is None:
        fits = type(weight) is type(x) is np.ndarray and weight.dtype is x.dtype and weight.shape == x.shape[-1:]
        if type(weight) is not float and not fits:
            _check_weight(weight, x)
        return weight
    check_types("prelu", ("weight",), (weight,))
    if is_foreign(weight) and not hasattr(weight, "reshape"):
        refuse("prelu with axis=", weight=weight)
    array = weight if hasattr(weight, "reshape") else np.asarray(weight)
    if array.ndim != 1:
        raise ValueError(f"prelu with axis= takes a one-dimensional weight, got {array.ndim} dimensions")
    ndim = np.ndim(x)
    axis = axis_index(axis, ndim)
    size = np.shape(x)[axis]
    if array.shape[0] not in (1, size):
        raise ValueError(f"prelu got {array.shape[0]} weights for axis {axis} of length {size}")
    for other in (x, *others):
        if type(array) is np.ndarray and not (other is None or other is True or type(other) is np.ndarray):
            array = array.copy()  # it may run code that frees the memory of a view
            break
    return array.reshape((-1,) + (1,) * (ndim - axis - 1))


def prelu(
    x: ArrayLike, weight: ArrayLike, *, axis: int | None = None, out: Output = None, where: ArrayLike = True
) -> Any:
    """Parametric rectified linear unit: leaky ReLU with learnable slopes.

    Computes ``x`` where ``x > 0``, ``weight * x`` elsewhere.

    In NumPy: ``np.where(x > 0, x, weight * x)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    weight : array_like
        Slopes, which broadcast with `x`; one-dimensional if `axis` is given.
    axis : int, optional
        The axis of `x` that `weight` lies along, such as 1 for the channels of NCHW.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        ``prelu(x, weight)``, of the shape the inputs broadcast to; `out` if given.

    Raises
    ------
    ValueError
        If `axis` is given and `weight` is not one-dimensional, or its length is neither 1 nor that of the axis.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.prelu(np.float32([[-1.0, 2.0], [-1.0, -2.0]]), np.float32([0.5, 0.1]), axis=0)
    array([[-0.5,  2. ],
           [-0.1, -0.2]], dtype=float32)
    """
    return call(_prelu, out, where, x, _along(weight, x, axis, out, where))


def prelu_(x: _T, weight: ArrayLike, *, axis: int | None = None, where: ArrayLike = True) -> _T:
    """Apply :func:`prelu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-2.0, 3.0])
    >>> fr.prelu_(x, 0.25) is x
    True
    """
    return call_in_place(_prelu, where, x, _along(weight, x, axis, where))


def prelu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    axis: int | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`prelu` from its input.

    Computes ``grad`` where ``x > 0``, ``weight * grad`` elsewhere, the kink included.

    In NumPy: ``np.where(x > 0, grad, weight * grad)``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.prelu_backward(np.float32([1.0, 1.0]), np.float32([-2.0, 3.0]), 0.25)
    array([0.25, 1.  ], dtype=float32)
    """
    return call(_prelu_backward, out, where, grad, x, _along(weight, x, axis, grad, out, where))


def prelu_backward_parameters(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike, *, axis: int | None = None, out: Output = None
) -> tuple[Any, Any]:
    """Gradients of :func:`prelu` with respect to its input and `weight`, in one pass.

    Computes ``dx`` as :func:`prelu_backward` does and, for each weight, the sum of ``grad`` times the derivative
    ``x`` where ``x <= 0``, 0 elsewhere.

    Returns
    -------
    dx : ndarray or scalar
        The gradient with respect to `x`, the same bits as from :func:`prelu_backward`; `out` if given.
    dweight : ndarray or scalar
        The gradient with respect to `weight`, of its shape.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> grad, x = np.float32([[1.0, 1.0], [2.0, 3.0]]), np.float32([[-1.0, 2.0], [-1.0, -2.0]])
    >>> dx, dweight = fr.prelu_backward_parameters(grad, x, np.float32([0.5, 0.1]), axis=1)
    >>> dx
    array([[0.5, 1. ],
           [1. , 0.3]], dtype=float32)
    >>> dweight
    array([-3., -6.], dtype=float32)
    """
    dx, dweight = call_learned(_prelu_parameters, out, grad, x, _along(weight, x, axis, grad, out))
    return dx, dweight if axis is None else dweight.reshape(-1)


def prelu_backward_from_output(
    grad: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike,
    *,
    axis: int | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Gradient of :func:`prelu` from its output.

    Computes ``grad`` where ``y > 0``, ``weight * grad`` elsewhere; requires ``weight >= 0``.

    In NumPy: ``np.where(y > 0, grad, weight * grad)``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.prelu_backward_from_output(np.float32([1.0, 1.0]), np.float32([-0.5, 3.0]), 0.25)
    array([0.25, 1.  ], dtype=float32)
    """
    return call(_prelu_backward_from_output, out, where, grad, y, _along(weight, y, axis, grad, out, where))


_OWN_TYPES: dict[Any, Any] = {np.dtype(kind): kind for kind in (np.float32, np.float64)}


def _loop_type(x: Any) -> Any:
    """Return the type in which the kernels compute for x."""
    own = _OWN_TYPES.get(getattr(x, "dtype", None))
    if own is not None:
        return own
    check_types("rrelu", ("x",), (x,))
    return np.float32 if np.can_cast(np.asanyarray(x).dtype, np.float32) else np.float64


def _draw(x: Any, lower: float, upper: float, training: bool, rng: Any, slopes: NDArray[Any] | None) -> Any:
    """Return the slopes of one rrelu call: their mean in evaluation, one draw per element in training.

    They have the type of `slopes`, which is written when the call has succeeded.
    """
    for name, bound in (("lower", lower), ("upper", upper)):
        if type(bound) is not float and (np.ndim(bound) > 0 or np.asarray(bound).dtype.kind not in "biuf"):
            raise TypeError(f"rrelu takes a number as {name}, got {bound!r}")
    lower, upper = float(lower), float(upper)
    if not lower <= upper:
        raise ValueError(f"rrelu requires lower <= upper, got lower={lower!r}, upper={upper!r}")
    check_flag("training", training)
    if not training:
        if rng is not None:
            generator(rng)  # nothing is drawn, but a wrong one is refused as in training
        if slopes is not None:
            raise ValueError("rrelu draws slopes only with training=True; slopes= would stay unwritten")
        return (lower + upper) / 2
    if slopes is not None and not isinstance(slopes, np.ndarray):
        raise TypeError(f"rrelu writes slopes= into an array, not into {type(slopes).__name__!r}")
    dtype, shape = _loop_type(x), np.shape(x)
    if slopes is not None and (slopes.shape != shape or not np.can_cast(dtype, slopes.dtype, "same_kind")):
        raise ValueError(f"rrelu needs slopes= of shape {shape} and a floating type, got {slopes.shape} {slopes.dtype}")
    if slopes is not None and not slopes.flags.writeable:
        raise ValueError("rrelu writes slopes=, which is read-only")
    if explaining():  # nothing is drawn
        return np.empty(shape, dtype) if slopes is None else slopes
    own = dtype if slopes is None else slopes.dtype
    given = getattr(x, "dtype", None)
    if slopes is None and isinstance(given, np.dtype) and given.name in {"float16", "bfloat16"}:  # so has the result
        own = given
    return _within(generator(rng).random(shape, dtype), lower, upper, own)


@quiet
def _within(drawn: NDArray[Any], lower: float, upper: float, own: Any) -> NDArray[Any]:
    """Return numbers between 0 and 1 scaled to a range, in a type."""
    drawn *= upper - lower
    drawn += lower
    return drawn.astype(own, copy=False)


def _keep(drawn: Any, slopes: NDArray[Any] | None) -> None:
    """Write the slopes of a call that has succeeded."""
    if slopes is not None and not explaining():
        slopes[...] = drawn


def rrelu(
    x: ArrayLike,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    *,
    training: bool = False,
    rng: Any = None,
    slopes: NDArray[Any] | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Randomized leaky rectified linear unit.

    Computes ``x`` where ``x > 0``, ``a * x`` elsewhere, with ``a`` drawn from ``[lower, upper]`` uniformly for
    each element if ``training=True``, else ``a = (lower + upper) / 2``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    lower, upper : float, default 1/8 and 1/3
        Range of the slopes; ``lower <= upper``.
    training : bool, default False
        Whether to draw slopes.
    rng : numpy.random.Generator or seed, optional
        Source of the random numbers: any argument of :func:`numpy.random.default_rng`.
    slopes : ndarray, optional
        Buffer of the shape of `x` for the drawn slopes, which the gradient needs; only with ``training=True``.
    out, where : optional
        Buffer for the result and mask of the elements to compute; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        The activations, of the shape of `x`; `out` if given.

    Raises
    ------
    ValueError
        If ``lower > upper`` or one of them is NaN, if `slopes` has another shape than `x` or no floating type, or is
        given without ``training=True``.

    Notes
    -----
    The gradient is ``leaky_relu_backward(grad, x, slopes)``; without training, ``slopes = (lower + upper) / 2``.

    References
    ----------
    B. Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-1.0, 2.0, -3.0])
    >>> fr.rrelu(x, 0.25, 0.75)
    array([-0.5,  2. , -1.5], dtype=float32)
    >>> slopes = np.empty_like(x)
    >>> y = fr.rrelu(x, training=True, rng=np.random.default_rng(0), slopes=slopes)
    >>> bool(y[0] == slopes[0] * x[0])
    True
    """
    if isinstance(x, (list, tuple)):
        x = np.asarray(x)  # once: the draw asks for its shape
    drawn = _draw(x, lower, upper, training, rng, slopes)
    y = call(_rrelu, out, where, x, drawn)
    _keep(drawn, slopes)
    return y


def rrelu_(
    x: _T,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    *,
    training: bool = False,
    rng: Any = None,
    slopes: NDArray[Any] | None = None,
    where: ArrayLike = True,
) -> _T:
    """Apply :func:`rrelu` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([-1.0, 2.0])
    >>> fr.rrelu_(x, 0.25, 0.75) is x
    True
    """
    drawn = _draw(x, lower, upper, training, rng, slopes)
    y = call_in_place(_rrelu, where, x, drawn)
    _keep(drawn, slopes)
    return y


# relu(-x) is srelu with slope -1 below 0 and slope 0 above.
_NEGATIVE = (0.0, -1.0, 0.0, 0.0)


def _halves(array: Any, axis: int) -> tuple[Any, Any]:
    """Return the two halves of an array along an axis, as views."""
    axis = normalize_axis_index(axis, array.ndim)
    length = array.shape[axis]
    if length % 2:
        raise ValueError(f"crelu's output has an even length along axis {axis}, got {length}")
    return parts(array, axis, length // 2)


def _kept(name: str, grad: Any, operand: str, x: Any, out: Any) -> tuple[Any, Any]:
    """Return the arrays whose halves are to be taken, or copies if the code of a subclass may change them meanwhile."""
    refuse(name, **{"grad": grad, operand: x, "out": out})
    if type(grad) is type(x) is np.ndarray:
        return grad, x
    grad, x = np.asanyarray(grad), np.asanyarray(x)
    check_types(name, ("grad", operand), (grad, x))  # None has no axis, which says nothing
    return (grad, x) if type(grad) is type(x) is np.ndarray else (grad.copy(), x.copy())


def _halves_of_gradient(grad: Any, x: Any, axis: int) -> tuple[Any, Any]:
    """Return the two halves of a gradient that belongs to x."""
    positive, negative = _halves(grad, axis)
    if positive.shape != x.shape:
        raise ValueError(f"crelu's gradient of shape {grad.shape} does not belong to {x.shape}")
    return positive, negative


def _is_16_bit(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype.itemsize == 2


def _sum(x: Any, y: Any, out: Any) -> Any:
    """Return the sum of two arrays that are nobody else's; NumPy takes ten times as long for 16 bits."""
    target = x if out is None else out
    if _is_16_bit(x):
        passes = ((_identity, (x,), ((0, ADD, y),), target),)
        results = call_fused("crelu", passes)
        if results is not None:
            return results[0]
    return quietly(np.add, x, y, out=target)


def crelu(x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any:
    """Concatenated rectified linear unit.

    Computes ``concatenate([relu(x), relu(-x)], axis)``.

    In NumPy: ``np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis)``.

    Parameters
    ----------
    x : array_like
        Input of at least one dimension; floats of 16, 32 and 64 bits keep their type.
    axis : int, default -1
        The axis that doubles.
    out : ndarray, optional
        Buffer for the result; may overlap `x`. See :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray
        Twice as long as `x` along `axis`; `out` if given.

    Raises
    ------
    numpy.exceptions.AxisError
        If `x` has no such axis.

    References
    ----------
    W. Shang et al., "Understanding and improving convolutional neural networks via concatenated rectified
    linear units", ICML 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.crelu(np.float32([-2.0, 3.0]))
    array([0., 3., 2., 0.], dtype=float32)
    """
    refuse("crelu", x=x, out=out)
    wrap = wrapper(x) if out is None and not isinstance(x, np.ndarray) else None
    y = call_side_by_side("crelu", _relu, _srelu, _NEGATIVE, x, axis, out)
    if isinstance(y, np.ma.MaskedArray):  # the halves are views, whose masks are not that of the whole
        mask = np.ma.getmaskarray(np.ma.asarray(x))
        y.unshare_mask()
        y.mask = np.concatenate([mask, mask], axis)
    return y if wrap is None else wrap(y)


def crelu_backward(grad: ArrayLike, x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None) -> Any:
    """Gradient of :func:`crelu` from its input.

    Computes the first half of ``grad`` along `axis` where ``x > 0``, minus its second half where ``x < 0``, 0 at 0.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.crelu_backward(np.float32([1.0, 2.0, 3.0, 4.0]), np.float32([-2.0, 3.0]))
    array([-3.,  2.], dtype=float32)
    """
    axis = integer("axis", axis)
    grad, array = _kept("crelu_backward", grad, "x", x, out)
    risen = call(_relu_backward, None, True, _halves_of_gradient(grad, array, axis)[0], array)
    fallen = call(_srelu_backward, None, True, _halves_of_gradient(grad, array, axis)[1], array, *_NEGATIVE)
    return _sum(risen, fallen, out)


def crelu_backward_from_output(
    grad: ArrayLike, y: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None
) -> Any:
    """Gradient of :func:`crelu` from its output.

    Computes the first half of ``grad`` along `axis` where that half of ``y`` is positive, minus its second half where
    that half of ``y`` is positive, 0 elsewhere.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.crelu_backward_from_output(np.float32([1.0, 2.0, 3.0, 4.0]), np.float32([0.0, 3.0, 2.0, 0.0]))
    array([-3.,  2.], dtype=float32)
    """
    axis = integer("axis", axis)
    grad, array = _kept("crelu_backward_from_output", grad, "y", y, out)
    first = _halves(array, axis)[0]
    risen = call(_relu_backward_from_output, None, True, _halves_of_gradient(grad, first, axis)[0], first)
    second = _halves(array, axis)[1]
    fallen = call(_relu_backward_from_output, None, True, _halves_of_gradient(grad, second, axis)[1], second)
    if _is_16_bit(risen):
        return _sum(risen, np.negative(fallen, out=fallen), out)
    return quietly(np.subtract, risen, fallen, out=risen if out is None else out)
