"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def relu(features: ArrayLike) -> Any:
    """Rectified linear unit.

    As ``tf.nn.relu``, computed by :func:`fastrelu.relu`.
    """

def relu6(features: ArrayLike) -> Any:
    """Rectified linear unit capped at 6.

    As ``tf.nn.relu6``, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(features: ArrayLike, alpha: ArrayLike = 0.2) -> Any:
    """Leaky rectified linear unit.

    As ``tf.nn.leaky_relu``, computed by :func:`fastrelu.leaky_relu`.
    """

def crelu(features: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Concatenated rectified linear unit.

    As ``tf.nn.crelu``, computed by :func:`fastrelu.crelu`.
    """

def elu(features: ArrayLike) -> Any:
    """Exponential linear unit.

    As ``tf.nn.elu``, computed by :func:`fastrelu.elu`.
    """

def selu(features: ArrayLike) -> Any:
    """Scaled exponential linear unit.

    As ``tf.nn.selu``, computed by :func:`fastrelu.selu`.
    """

def softplus(features: ArrayLike) -> Any:
    """Smooth rectifier.

    As ``tf.nn.softplus``, computed by :func:`fastrelu.softplus`.
    """

def sigmoid(x: ArrayLike) -> Any:
    """Logistic function.

    As ``tf.nn.sigmoid``, computed by :func:`fastrelu.sigmoid`.
    """

def tanh(x: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As ``tf.nn.tanh``, computed by :func:`fastrelu.tanh`.
    """

def softsign(features: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As ``tf.nn.softsign``, computed by :func:`fastrelu.softsign`.
    """

def silu(features: ArrayLike, beta: ArrayLike = 1.0) -> Any:
    """Swish: :func:`fastrelu.silu` with an adjustable steepness.

    As ``tf.nn.silu``, computed by :func:`fastrelu.swish`.
    """

def swish(features: ArrayLike, beta: ArrayLike = 1.0) -> Any:
    """Swish: :func:`fastrelu.silu` with an adjustable steepness.

    As ``tf.nn.swish``, computed by :func:`fastrelu.swish`.
    """

def gelu(features: ArrayLike, approximate: bool = False) -> Any:
    """Gaussian error linear unit.

    As ``tf.nn.gelu``, computed by :func:`fastrelu.gelu`.
    """

def softmax(logits: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``tf.nn.softmax``, computed by :func:`fastrelu.softmax`.
    """

def log_softmax(logits: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``tf.nn.log_softmax``, computed by :func:`fastrelu.log_softmax`.
    """

def relu_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `features`."""

def relu6_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `features`."""

def leaky_relu_backward(grad: ArrayLike, features: ArrayLike, alpha: ArrayLike = 0.2) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `features`."""

def crelu_backward(grad: ArrayLike, features: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`crelu` with respect to `features`."""

def elu_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`elu` with respect to `features`."""

def selu_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`selu` with respect to `features`.

    The derivative is 1.0507009873554804934 at 0, as in the framework.
    """

def softplus_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`softplus` with respect to `features`."""

def sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `x`."""

def tanh_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`tanh` with respect to `x`."""

def softsign_backward(grad: ArrayLike, features: ArrayLike) -> Any:
    """Gradient of :func:`softsign` with respect to `features`."""

def silu_backward(grad: ArrayLike, features: ArrayLike, beta: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`silu` with respect to `features`."""

def swish_backward(grad: ArrayLike, features: ArrayLike, beta: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`swish` with respect to `features`."""

def gelu_backward(grad: ArrayLike, features: ArrayLike, approximate: bool = False) -> Any:
    """Gradient of :func:`gelu` with respect to `features`."""

def softmax_backward(grad: ArrayLike, logits: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Any:
    """Gradient of :func:`softmax` with respect to `logits`."""

def log_softmax_backward(grad: ArrayLike, logits: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Any:
    """Gradient of :func:`log_softmax` with respect to `logits`."""

def erf(x: ArrayLike) -> Any:
    """Error function.

    As ``tf.math.erf``, computed by :func:`fastrelu.erf`.
    """

def log_sigmoid(x: ArrayLike) -> Any:
    """Logarithm of the sigmoid.

    As ``tf.math.log_sigmoid``, computed by :func:`fastrelu.log_sigmoid`.
    """

def reduce_logsumexp(input_tensor: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Logarithm of the sum of exponentials.

    As ``tf.math.reduce_logsumexp``, computed by :func:`fastrelu.logsumexp`.
    """

def erf_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`erf` with respect to `x`."""

def log_sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`log_sigmoid` with respect to `x`."""

def reduce_logsumexp_backward(
    grad: ArrayLike, input_tensor: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Any:
    """Gradient of :func:`reduce_logsumexp` with respect to `input_tensor`."""
