"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def relu(x: ArrayLike) -> Any:
    """Rectified linear unit.

    As ``mlx.nn.relu``, computed by :func:`fastrelu.relu`.
    """

def relu2(x: ArrayLike) -> Any:
    """Squared rectified linear unit.

    As ``mlx.nn.relu2``, computed by :func:`fastrelu.squared_relu`.
    """

def relu6(x: ArrayLike) -> Any:
    """Rectified linear unit capped at 6.

    As ``mlx.nn.relu6``, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Leaky rectified linear unit.

    As ``mlx.nn.leaky_relu``, computed by :func:`fastrelu.leaky_relu`.
    """

def prelu(x: ArrayLike, alpha: ArrayLike) -> Any:
    """Parametric rectified linear unit: leaky ReLU with learnable slopes.

    As ``mlx.nn.prelu``, computed by :func:`fastrelu.prelu`.
    """

def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Exponential linear unit.

    As ``mlx.nn.elu``, computed by :func:`fastrelu.elu`.
    """

def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Continuously differentiable exponential linear unit.

    As ``mlx.nn.celu``, computed by :func:`fastrelu.celu`.
    """

def selu(x: ArrayLike) -> Any:
    """ELU times a number: SELU with other constants.

    As ``mlx.nn.selu``. With the constants 1.67326 and 1.0507, as MLX defines it.
    """

def softplus(x: ArrayLike) -> Any:
    """Smooth rectifier.

    As ``mlx.nn.softplus``, computed by :func:`fastrelu.softplus`.
    """

def log_sigmoid(x: ArrayLike) -> Any:
    """Logarithm of the sigmoid.

    As ``mlx.nn.log_sigmoid``, computed by :func:`fastrelu.log_sigmoid`.
    """

def sigmoid(x: ArrayLike) -> Any:
    """Logistic function.

    As ``mlx.nn.sigmoid``, computed by :func:`fastrelu.sigmoid`.
    """

def tanh(x: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As ``mlx.nn.tanh``, computed by :func:`fastrelu.tanh`.
    """

def softsign(x: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As ``mlx.nn.softsign``, computed by :func:`fastrelu.softsign`.
    """

def hard_tanh(x: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0) -> Any:
    """Identity clipped to an interval.

    As ``mlx.nn.hard_tanh``, computed by :func:`fastrelu.hard_tanh`.
    """

def silu(x: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``mlx.nn.silu``, computed by :func:`fastrelu.silu`.
    """

def gelu(x: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``mlx.nn.gelu``, computed by :func:`fastrelu.gelu`.
    """

def gelu_approx(x: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``mlx.nn.gelu_approx``, computed by :func:`fastrelu.gelu`.
    """

def gelu_fast_approx(x: ArrayLike) -> Any:
    """Sigmoid approximation of GELU.

    As ``mlx.nn.gelu_fast_approx``, computed by :func:`fastrelu.quick_gelu`.
    """

def glu(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gated linear unit: half of the elements times the sigmoid of the other half.

    As ``mlx.nn.glu``, computed by :func:`fastrelu.glu`.
    """

def mish(x: ArrayLike) -> Any:
    """Mish: `x` times the tanh of its softplus.

    As ``mlx.nn.mish``, computed by :func:`fastrelu.mish`.
    """

def hardswish(x: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``mlx.nn.hardswish``, computed by :func:`fastrelu.hard_swish`.
    """

def hard_shrink(x: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Hard shrink; with a lambd below 0 the identity.

    As ``mlx.nn.hard_shrink``.
    """

def softshrink(x: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Soft shrinkage: zero near zero, and pulled toward zero elsewhere.

    As ``mlx.nn.softshrink``, computed by :func:`fastrelu.soft_shrink`.
    """

def softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``mlx.nn.softmax``, computed by :func:`fastrelu.softmax`.
    """

def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``mlx.nn.log_softmax``, computed by :func:`fastrelu.log_softmax`.
    """

def softmin(x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Softmin: :func:`fastrelu.softmax` of the negated input.

    As ``mlx.nn.softmin``, computed by :func:`fastrelu.softmin`.
    """

def relu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `x`."""

def relu2_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu2` with respect to `x`."""

def relu6_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `x`."""

def leaky_relu_backward(grad: ArrayLike, x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `x`.

    The derivative is 1 at 0, as in the framework.
    """

def prelu_backward(grad: ArrayLike, x: ArrayLike, alpha: ArrayLike) -> Any:
    """Gradient of :func:`prelu` with respect to `x`."""

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

def sigmoid_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `x`."""

def tanh_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`tanh` with respect to `x`."""

def softsign_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`softsign` with respect to `x`."""

def hard_tanh_backward(grad: ArrayLike, x: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`hard_tanh` with respect to `x`."""

def silu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`silu` with respect to `x`."""

def gelu_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`gelu` with respect to `x`."""

def gelu_approx_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`gelu_approx` with respect to `x`."""

def gelu_fast_approx_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`gelu_fast_approx` with respect to `x`."""

def glu_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`glu` with respect to `x`."""

def mish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`mish` with respect to `x`."""

def hardswish_backward(grad: ArrayLike, x: ArrayLike) -> Any:
    """Gradient of :func:`hardswish` with respect to `x`."""

def hard_shrink_backward(grad: ArrayLike, x: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`hard_shrink` with respect to `x`."""

def softshrink_backward(grad: ArrayLike, x: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`softshrink` with respect to `x`."""

def softmax_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`softmax` with respect to `x`."""

def log_softmax_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`log_softmax` with respect to `x`."""

def softmin_backward(grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`softmin` with respect to `x`."""
