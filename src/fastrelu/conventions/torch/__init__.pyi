"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any, TypeVar

from numpy.typing import ArrayLike, DTypeLike

from fastrelu.conventions._build import Row
from fastrelu.conventions.torch import special as special

_T = TypeVar("_T")

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def relu(input: ArrayLike, inplace: bool = False) -> Any:
    """Rectified linear unit.

    As ``torch.nn.functional.relu``, computed by :func:`fastrelu.relu`.
    """

def relu_(input: _T) -> _T:
    """Apply :func:`fastrelu.relu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.relu_``, computed by :func:`fastrelu.relu_`.
    """

def relu6(input: ArrayLike, inplace: bool = False) -> Any:
    """Rectified linear unit capped at 6.

    As ``torch.nn.functional.relu6``, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(input: ArrayLike, negative_slope: ArrayLike = 0.01, inplace: bool = False) -> Any:
    """Leaky rectified linear unit.

    As ``torch.nn.functional.leaky_relu``, computed by :func:`fastrelu.leaky_relu`.
    """

def leaky_relu_(input: _T, negative_slope: ArrayLike = 0.01) -> _T:
    """Apply :func:`fastrelu.leaky_relu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.leaky_relu_``, computed by :func:`fastrelu.leaky_relu_`.
    """

def prelu(input: ArrayLike, weight: ArrayLike) -> Any:
    """Parametric rectified linear unit: leaky ReLU with learnable slopes.

    As ``torch.nn.functional.prelu``, computed by :func:`fastrelu.prelu`.
    """

def rrelu(
    input: ArrayLike,
    lower: ArrayLike = 0.125,
    upper: ArrayLike = 0.3333333333333333,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """Randomized leaky rectified linear unit.

    As ``torch.nn.functional.rrelu``, computed by :func:`fastrelu.rrelu`.
    """

def rrelu_(input: _T, lower: ArrayLike = 0.125, upper: ArrayLike = 0.3333333333333333, training: bool = False) -> _T:
    """Apply :func:`fastrelu.rrelu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.rrelu_``, computed by :func:`fastrelu.rrelu_`.
    """

def threshold(input: ArrayLike, threshold: ArrayLike, value: ArrayLike, inplace: bool = False) -> Any:
    """Identity above a threshold, a constant elsewhere.

    As ``torch.nn.functional.threshold``, computed by :func:`fastrelu.threshold`.
    """

def threshold_(input: _T, threshold: ArrayLike, value: ArrayLike) -> _T:
    """Apply :func:`fastrelu.threshold` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.threshold_``, computed by :func:`fastrelu.threshold_`.
    """

def elu(input: ArrayLike, alpha: ArrayLike = 1.0, inplace: bool = False) -> Any:
    """Exponential linear unit.

    As ``torch.nn.functional.elu``, computed by :func:`fastrelu.elu`.
    """

def elu_(input: _T, alpha: ArrayLike = 1.0) -> _T:
    """Apply :func:`fastrelu.elu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.elu_``, computed by :func:`fastrelu.elu_`.
    """

def celu(input: ArrayLike, alpha: ArrayLike = 1.0, inplace: bool = False) -> Any:
    """Continuously differentiable exponential linear unit.

    As ``torch.nn.functional.celu``, computed by :func:`fastrelu.celu`.
    """

def celu_(input: _T, alpha: ArrayLike = 1.0) -> _T:
    """Apply :func:`fastrelu.celu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.celu_``, computed by :func:`fastrelu.celu_`.
    """

def selu(input: ArrayLike, inplace: bool = False) -> Any:
    """Scaled exponential linear unit.

    As ``torch.nn.functional.selu``, computed by :func:`fastrelu.selu`.
    """

def selu_(input: _T) -> _T:
    """Apply :func:`fastrelu.selu` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.selu_``, computed by :func:`fastrelu.selu_`.
    """

def softplus(input: ArrayLike, beta: ArrayLike = 1, threshold: ArrayLike = 20) -> Any:
    """Softplus, and the identity where ``beta * x > threshold``; with a beta below 0 the mirror image.

    As ``torch.nn.functional.softplus``.
    """

def logsigmoid(input: ArrayLike) -> Any:
    """Logarithm of the sigmoid.

    As ``torch.nn.functional.logsigmoid``, computed by :func:`fastrelu.log_sigmoid`.
    """

def sigmoid(input: ArrayLike) -> Any:
    """Logistic function.

    As ``torch.nn.functional.sigmoid``, computed by :func:`fastrelu.sigmoid`.
    """

def tanh(input: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As ``torch.nn.functional.tanh``, computed by :func:`fastrelu.tanh`.
    """

def softsign(input: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As ``torch.nn.functional.softsign``, computed by :func:`fastrelu.softsign`.
    """

def hardsigmoid(input: ArrayLike, inplace: bool = False) -> Any:
    """Piecewise linear approximation of :func:`fastrelu.sigmoid`.

    As ``torch.nn.functional.hardsigmoid``, computed by :func:`fastrelu.hard_sigmoid`.
    """

def hardtanh(input: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0, inplace: bool = False) -> Any:
    """Identity clipped to an interval.

    As ``torch.nn.functional.hardtanh``, computed by :func:`fastrelu.hard_tanh`.
    """

def hardtanh_(input: _T, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0) -> _T:
    """Apply :func:`fastrelu.hard_tanh` in place to an array or a writable buffer, and return it.

    As ``torch.nn.functional.hardtanh_``, computed by :func:`fastrelu.hard_tanh_`.
    """

def silu(input: ArrayLike, inplace: bool = False) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``torch.nn.functional.silu``, computed by :func:`fastrelu.silu`.
    """

def gelu(input: ArrayLike, *, approximate: str = "none") -> Any:
    """Gaussian error linear unit.

    As ``torch.nn.functional.gelu``, computed by :func:`fastrelu.gelu`.
    """

def mish(input: ArrayLike, inplace: bool = False) -> Any:
    """Mish: `x` times the tanh of its softplus.

    As ``torch.nn.functional.mish``, computed by :func:`fastrelu.mish`.
    """

def hardswish(input: ArrayLike, inplace: bool = False) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``torch.nn.functional.hardswish``, computed by :func:`fastrelu.hard_swish`.
    """

def glu(input: ArrayLike, dim: int | tuple[int, ...] | None = -1) -> Any:
    """Gated linear unit: half of the elements times the sigmoid of the other half.

    As ``torch.nn.functional.glu``, computed by :func:`fastrelu.glu`.
    """

def hardshrink(input: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Hard shrink; with a lambd below 0 the identity.

    As ``torch.nn.functional.hardshrink``.
    """

def softshrink(input: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Soft shrinkage: zero near zero, and pulled toward zero elsewhere.

    As ``torch.nn.functional.softshrink``, computed by :func:`fastrelu.soft_shrink`.
    """

def tanhshrink(input: ArrayLike) -> Any:
    """Tanh shrinkage.

    As ``torch.nn.functional.tanhshrink``, computed by :func:`fastrelu.tanh_shrink`.
    """

def softmax(input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``torch.nn.functional.softmax``, computed by :func:`fastrelu.softmax`. `dtype` is the type that the input is
    converted to first. Without `dim` the axis is the one that PyTorch guesses, with a warning.
    """

def log_softmax(input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``torch.nn.functional.log_softmax``, computed by :func:`fastrelu.log_softmax`. `dtype` is the type that the input
    is converted to first. Without `dim` the axis is the one that PyTorch guesses, with a warning.
    """

def gumbel_softmax(
    logits: ArrayLike, tau: ArrayLike = 1, hard: bool = False, *, dim: int | tuple[int, ...] | None = -1
) -> Any:
    """Softmax of noisy logits: a sample of a category as numbers that have a gradient.

    As ``torch.nn.functional.gumbel_softmax``, computed by :func:`fastrelu.gumbel_softmax`.
    """

def softmin(input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Softmin: :func:`fastrelu.softmax` of the negated input.

    As ``torch.nn.functional.softmin``, computed by :func:`fastrelu.softmin`. `dtype` is the type that the input is
    converted to first. Without `dim` the axis is the one that PyTorch guesses, with a warning.
    """

def relu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `input`."""

def relu6_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `input`."""

def leaky_relu_backward(grad: ArrayLike, input: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `input`."""

def prelu_backward(grad: ArrayLike, input: ArrayLike, weight: ArrayLike) -> Any:
    """Gradient of :func:`prelu` with respect to `input`."""

def threshold_backward(grad: ArrayLike, input: ArrayLike, threshold: ArrayLike, value: ArrayLike) -> Any:
    """Gradient of :func:`threshold` with respect to `input`."""

def elu_backward(grad: ArrayLike, input: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`elu` with respect to `input`."""

def celu_backward(grad: ArrayLike, input: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`celu` with respect to `input`."""

def selu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`selu` with respect to `input`."""

def softplus_backward(grad: ArrayLike, input: ArrayLike, beta: ArrayLike = 1, threshold: ArrayLike = 20) -> Any:
    """Gradient of :func:`softplus` with respect to `input`."""

def logsigmoid_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`logsigmoid` with respect to `input`."""

def sigmoid_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `input`."""

def tanh_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`tanh` with respect to `input`."""

def softsign_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`softsign` with respect to `input`."""

def hardsigmoid_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`hardsigmoid` with respect to `input`."""

def hardtanh_backward(grad: ArrayLike, input: ArrayLike, min_val: ArrayLike = -1.0, max_val: ArrayLike = 1.0) -> Any:
    """Gradient of :func:`hardtanh` with respect to `input`."""

def silu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`silu` with respect to `input`."""

def gelu_backward(grad: ArrayLike, input: ArrayLike, *, approximate: str = "none") -> Any:
    """Gradient of :func:`gelu` with respect to `input`."""

def mish_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`mish` with respect to `input`."""

def hardswish_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`hardswish` with respect to `input`."""

def glu_backward(grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None = -1) -> Any:
    """Gradient of :func:`glu` with respect to `input`."""

def hardshrink_backward(grad: ArrayLike, input: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`hardshrink` with respect to `input`."""

def softshrink_backward(grad: ArrayLike, input: ArrayLike, lambd: ArrayLike = 0.5) -> Any:
    """Gradient of :func:`softshrink` with respect to `input`."""

def tanhshrink_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`tanhshrink` with respect to `input`."""

def softmax_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None
) -> Any:
    """Gradient of :func:`softmax` with respect to `input`."""

def log_softmax_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None
) -> Any:
    """Gradient of :func:`log_softmax` with respect to `input`."""

def softmin_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None = None, *, dtype: DTypeLike | None = None
) -> Any:
    """Gradient of :func:`softmin` with respect to `input`."""
