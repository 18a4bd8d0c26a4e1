"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]
SHARED: tuple[Row, ...]

def relu6(x: ArrayLike) -> Any:
    """Rectified linear unit capped at 6.

    As ``keras.ops.relu6``, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.2) -> Any:
    """Leaky rectified linear unit.

    As ``keras.ops.leaky_relu``, computed by :func:`fastrelu.leaky_relu`.
    """

def threshold(x: ArrayLike, threshold: ArrayLike, default_value: ArrayLike) -> Any:
    """Identity above a threshold, a constant elsewhere.

    As ``keras.ops.threshold``, computed by :func:`fastrelu.threshold`.
    """

def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Exponential linear unit.

    As ``keras.ops.elu``, computed by :func:`fastrelu.elu`.
    """

def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Continuously differentiable exponential linear unit.

    As ``keras.ops.celu``, computed by :func:`fastrelu.celu`.
    """

def selu(x: ArrayLike) -> Any:
    """Scaled exponential linear unit.

    As ``keras.ops.selu``, computed by :func:`fastrelu.selu`.
    """

def softplus(x: ArrayLike) -> Any:
    """Smooth rectifier.

    As ``keras.ops.softplus``, computed by :func:`fastrelu.softplus`.
    """

def log_sigmoid(x: ArrayLike) -> Any:
    """Logarithm of the sigmoid.

    As ``keras.ops.log_sigmoid``, computed by :func:`fastrelu.log_sigmoid`.
    """

def squareplus(x: ArrayLike, b: ArrayLike = 4) -> Any:
    """Algebraic smooth rectifier.

    As ``keras.ops.squareplus``, computed by :func:`fastrelu.squareplus`.
    """

def sigmoid(x: ArrayLike) -> Any:
    """Logistic function.

    As ``keras.ops.sigmoid``, computed by :func:`fastrelu.sigmoid`.
    """

def softsign(x: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As ``keras.ops.softsign``, computed by :func:`fastrelu.softsign`.
    """

def hard_sigmoid(x: ArrayLike) -> Any:
    """Piecewise linear approximation of :func:`fastrelu.sigmoid`.

    As ``keras.ops.hard_sigmoid``, computed by :func:`fastrelu.hard_sigmoid`.
    """

def hard_tanh(x: ArrayLike) -> Any:
    """Identity clipped to an interval.

    As ``keras.ops.hard_tanh``, computed by :func:`fastrelu.hard_tanh`.
    """

def sparse_plus(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.softplus`.

    As ``keras.ops.sparse_plus``, computed by :func:`fastrelu.sparse_plus`.
    """

def sparse_sigmoid(x: ArrayLike) -> Any:
    """Piecewise linear sigmoid, the derivative of :func:`fastrelu.sparse_plus`.

    As ``keras.ops.sparse_sigmoid``, computed by :func:`fastrelu.sparse_sigmoid`.
    """

def silu(x: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``keras.ops.silu``, computed by :func:`fastrelu.silu`.
    """

def swish(x: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``keras.ops.swish``, computed by :func:`fastrelu.silu`.
    """

def glu(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gated linear unit: half of the elements times the sigmoid of the other half.

    As ``keras.ops.glu``, computed by :func:`fastrelu.glu`.
    """

def hard_silu(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``keras.ops.hard_silu``, computed by :func:`fastrelu.hard_swish`.
    """

def hard_swish(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``keras.ops.hard_swish``, computed by :func:`fastrelu.hard_swish`.
    """

def hard_shrink(x: ArrayLike, threshold: ArrayLike = 0.5) -> Any:
    """Hard shrink; with a lambd below 0 the identity.

    As ``keras.ops.hard_shrink``.
    """

def soft_shrink(x: ArrayLike, threshold: ArrayLike = 0.5) -> Any:
    """Soft shrinkage: zero near zero, and pulled toward zero elsewhere.

    As ``keras.ops.soft_shrink``, computed by :func:`fastrelu.soft_shrink`.
    """

def tanh_shrink(x: ArrayLike) -> Any:
    """Tanh shrinkage.

    As ``keras.ops.tanh_shrink``, computed by :func:`fastrelu.tanh_shrink`.
    """

def softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``keras.ops.softmax``, computed by :func:`fastrelu.softmax`.
    """

def sparsemax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Sparsemax: probabilities of which most are exactly 0.

    As ``keras.ops.sparsemax``, computed by :func:`fastrelu.sparsemax`.
    """

def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``keras.ops.log_softmax``, computed by :func:`fastrelu.log_softmax`.
    """

def relu(x: ArrayLike) -> Any:
    """Rectified linear unit.

    As ``keras.ops.relu``, computed by :func:`fastrelu.relu`.
    """

def tanh(x: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As ``keras.ops.tanh``, computed by :func:`fastrelu.tanh`.
    """

def erf(x: ArrayLike) -> Any:
    """Error function.

    As ``keras.ops.erf``, computed by :func:`fastrelu.erf`.
    """

def logsumexp(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Logarithm of the sum of exponentials.

    As ``keras.ops.logsumexp``, computed by :func:`fastrelu.logsumexp`.
    """

def gelu(x: ArrayLike, approximate: bool = True) -> Any:
    """Gaussian error linear unit.

    As ``keras.ops.gelu``, computed by :func:`fastrelu.gelu`.
    """

def relu6_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `x`."""

def leaky_relu_backward(grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.2) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `x`.

    The derivative is 1 at 0, as in the framework.
    """

def threshold_backward(grad: ArrayLike, x: ArrayLike, threshold: ArrayLike, default_value: ArrayLike) -> Any:
    """Gradient of :func:`threshold` with respect to `x`."""

def elu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`elu` with respect to `x`."""

def celu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`celu` with respect to `x`."""

def selu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`selu` with respect to `x`."""

def softplus_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`softplus` with respect to `x`."""

def log_sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`log_sigmoid` with respect to `x`."""

def squareplus_backward(grad: ArrayLike, x: ArrayLike, b: ArrayLike = 4) -> Any:
    """Gradient of :func:`squareplus` with respect to `x`."""

def sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `x`."""

def softsign_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`softsign` with respect to `x`."""

def hard_sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_sigmoid` with respect to `x`."""

def hard_tanh_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_tanh` with respect to `x`.

    The derivative is 1 at -1 and 1 at 1, as in the framework.
    """

def sparse_plus_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sparse_plus` with respect to `x`."""

def sparse_sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sparse_sigmoid` with respect to `x`.

    The derivative is 0.25 at -1 and 0.25 at 1, as in the framework.
    """

def silu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`silu` with respect to `x`."""

def swish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`swish` with respect to `x`."""

def glu_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`glu` with respect to `x`."""

def hard_silu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_silu` with respect to `x`."""

def hard_swish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_swish` with respect to `x`."""

def hard_shrink_backward(grad: ArrayLike, x: ArrayLike, threshold: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`hard_shrink` with respect to `x`."""

def soft_shrink_backward(grad: ArrayLike, x: ArrayLike, threshold: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`soft_shrink` with respect to `x`."""

def tanh_shrink_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`tanh_shrink` with respect to `x`."""

def softmax_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`softmax` with respect to `x`."""

def sparsemax_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`sparsemax` with respect to `x`."""

def log_softmax_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`log_softmax` with respect to `x`."""

def relu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `x`."""

def tanh_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`tanh` with respect to `x`."""

def erf_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`erf` with respect to `x`."""

def logsumexp_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Any:
    """Gradient of :func:`logsumexp` with respect to `x`."""

def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: bool = True) -> Any:
    """Gradient of :func:`gelu` with respect to `x`."""
