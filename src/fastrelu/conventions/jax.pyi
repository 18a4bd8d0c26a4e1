"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def identity(x: ArrayLike) -> Any:
    """Identity: a copy of `x`, for tables of functions by name.

    As ``jax.nn.identity``, computed by :func:`fastrelu.identity`.
    """

def relu(x: ArrayLike) -> Any:
    """Rectified linear unit.

    As ``jax.nn.relu``, computed by :func:`fastrelu.relu`.
    """

def relu6(x: ArrayLike) -> Any:
    """Rectified linear unit capped at 6.

    As ``jax.nn.relu6``, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Leaky rectified linear unit.

    As ``jax.nn.leaky_relu``, computed by :func:`fastrelu.leaky_relu`.
    """

def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Exponential linear unit.

    As ``jax.nn.elu``, computed by :func:`fastrelu.elu`.
    """

def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Continuously differentiable exponential linear unit.

    As ``jax.nn.celu``, computed by :func:`fastrelu.celu`.
    """

def selu(x: ArrayLike) -> Any:
    """Scaled exponential linear unit.

    As ``jax.nn.selu``, computed by :func:`fastrelu.selu`.
    """

def softplus(x: ArrayLike) -> Any:
    """Smooth rectifier.

    As ``jax.nn.softplus``, computed by :func:`fastrelu.softplus`.
    """

def log1mexp(x: ArrayLike) -> Any:
    """Logarithm of one minus the exponential of -x: the logarithm of a complementary probability.

    As ``jax.nn.log1mexp``, computed by :func:`fastrelu.log1mexp`.
    """

def log_sigmoid(x: ArrayLike) -> Any:
    """Logarithm of the sigmoid.

    As ``jax.nn.log_sigmoid``, computed by :func:`fastrelu.log_sigmoid`.
    """

def squareplus(x: ArrayLike, b: ArrayLike = 4) -> Any:
    """Algebraic smooth rectifier.

    As ``jax.nn.squareplus``, computed by :func:`fastrelu.squareplus`.
    """

def sigmoid(x: ArrayLike) -> Any:
    """Logistic function.

    As ``jax.nn.sigmoid``, computed by :func:`fastrelu.sigmoid`.
    """

def tanh(x: ArrayLike, /) -> Any:
    """Hyperbolic tangent.

    As ``jax.nn.tanh``, computed by :func:`fastrelu.tanh`.
    """

def soft_sign(x: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As ``jax.nn.soft_sign``, computed by :func:`fastrelu.softsign`.
    """

def hard_sigmoid(x: ArrayLike) -> Any:
    """Piecewise linear approximation of :func:`fastrelu.sigmoid`.

    As ``jax.nn.hard_sigmoid``, computed by :func:`fastrelu.hard_sigmoid`.
    """

def hard_tanh(x: ArrayLike) -> Any:
    """Identity clipped to an interval.

    As ``jax.nn.hard_tanh``, computed by :func:`fastrelu.hard_tanh`.
    """

def sparse_plus(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.softplus`.

    As ``jax.nn.sparse_plus``, computed by :func:`fastrelu.sparse_plus`.
    """

def sparse_sigmoid(x: ArrayLike) -> Any:
    """Piecewise linear sigmoid, the derivative of :func:`fastrelu.sparse_plus`.

    As ``jax.nn.sparse_sigmoid``, computed by :func:`fastrelu.sparse_sigmoid`.
    """

def silu(x: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``jax.nn.silu``, computed by :func:`fastrelu.silu`.
    """

def swish(x: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``jax.nn.swish``, computed by :func:`fastrelu.silu`.
    """

def gelu(x: ArrayLike, approximate: bool = True) -> Any:
    """Gaussian error linear unit.

    As ``jax.nn.gelu``, computed by :func:`fastrelu.gelu`.
    """

def glu(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gated linear unit: half of the elements times the sigmoid of the other half.

    As ``jax.nn.glu``, computed by :func:`fastrelu.glu`.
    """

def mish(x: ArrayLike) -> Any:
    """Mish: `x` times the tanh of its softplus.

    As ``jax.nn.mish``, computed by :func:`fastrelu.mish`.
    """

def hard_silu(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``jax.nn.hard_silu``, computed by :func:`fastrelu.hard_swish`.
    """

def hard_swish(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``jax.nn.hard_swish``, computed by :func:`fastrelu.hard_swish`.
    """

def softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``jax.nn.softmax``, computed by :func:`fastrelu.softmax`.
    """

def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``jax.nn.log_softmax``, computed by :func:`fastrelu.log_softmax`.
    """

def logsumexp(
    a: ArrayLike, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False, where: ArrayLike | None = None
) -> Any:
    """Logarithm of the sum of exponentials.

    As ``jax.nn.logsumexp``, computed by :func:`fastrelu.logsumexp`.
    """

def logmeanexp(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, where: ArrayLike | None = None, keepdims: bool = False
) -> Any:
    """Logarithm of the mean of exponentials.

    As ``jax.nn.logmeanexp``, computed by :func:`fastrelu.logmeanexp`.
    """

def identity_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`identity` with respect to `x`."""

def relu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `x`."""

def relu6_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `x`."""

def leaky_relu_backward(grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `x`.

    The derivative is 1 at 0, as in the framework.
    """

def elu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`elu` with respect to `x`."""

def celu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`celu` with respect to `x`."""

def selu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`selu` with respect to `x`."""

def softplus_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`softplus` with respect to `x`."""

def log1mexp_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`log1mexp` with respect to `x`."""

def log_sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`log_sigmoid` with respect to `x`."""

def squareplus_backward(grad: ArrayLike, x: ArrayLike, b: ArrayLike = 4) -> Any:
    """Gradient of :func:`squareplus` with respect to `x`."""

def sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `x`."""

def tanh_backward(grad: ArrayLike, x: ArrayLike, /) -> Any:
    """Gradient of :func:`tanh` with respect to `x`."""

def soft_sign_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`soft_sign` with respect to `x`."""

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

def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: bool = True) -> Any:
    """Gradient of :func:`gelu` with respect to `x`."""

def glu_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`glu` with respect to `x`."""

def mish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`mish` with respect to `x`."""

def hard_silu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_silu` with respect to `x`."""

def hard_swish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hard_swish` with respect to `x`."""

def softmax_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None
) -> Any:
    """Gradient of :func:`softmax` with respect to `x`."""

def log_softmax_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1, where: ArrayLike | None = None
) -> Any:
    """Gradient of :func:`log_softmax` with respect to `x`."""

def logsumexp_backward(
    grad: ArrayLike,
    a: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Any:
    """Gradient of :func:`logsumexp` with respect to `a`."""

def logmeanexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    where: ArrayLike | None = None,
    keepdims: bool = False,
) -> Any:
    """Gradient of :func:`logmeanexp` with respect to `x`."""
