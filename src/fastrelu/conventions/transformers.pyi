"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]
ACT2FN: dict[str, Callable[..., Any]]
get_activation: Callable[[str], Callable[..., Any]]

def linear(input: ArrayLike) -> Any:
    """Identity: a copy of `x`, for tables of functions by name.

    As ``ACT2FN["linear"]`` of transformers, computed by :func:`fastrelu.identity`.
    """

def relu(input: ArrayLike) -> Any:
    """Rectified linear unit.

    As ``ACT2FN["relu"]`` of transformers, computed by :func:`fastrelu.relu`.
    """

def relu2(input: ArrayLike) -> Any:
    """Squared rectified linear unit.

    As ``ACT2FN["relu2"]`` of transformers, computed by :func:`fastrelu.squared_relu`.
    """

def relu6(input: ArrayLike) -> Any:
    """Rectified linear unit capped at 6.

    As ``ACT2FN["relu6"]`` of transformers, computed by :func:`fastrelu.relu6`.
    """

def leaky_relu(input: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Leaky rectified linear unit.

    As ``ACT2FN["leaky_relu"]`` of transformers, computed by :func:`fastrelu.leaky_relu`.
    """

def prelu(input: ArrayLike, weight: ArrayLike = 0.25) -> Any:
    """Parametric rectified linear unit: leaky ReLU with learnable slopes.

    As ``ACT2FN["prelu"]`` of transformers, computed by :func:`fastrelu.prelu`.
    """

def gelu(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_python(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_python"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_10(x: ArrayLike, min: ArrayLike = -10, max: ArrayLike = 10) -> Any:
    """GELU between two numbers.

    As ``ACT2FN["gelu_10"]`` of transformers.
    """

def gelu_new(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_new"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_fast(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_fast"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_accurate(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_accurate"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_pytorch_tanh(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_pytorch_tanh"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def gelu_python_tanh(input: ArrayLike) -> Any:
    """Gaussian error linear unit.

    As ``ACT2FN["gelu_python_tanh"]`` of transformers, computed by :func:`fastrelu.gelu`.
    """

def quick_gelu(input: ArrayLike) -> Any:
    """Sigmoid approximation of GELU.

    As ``ACT2FN["quick_gelu"]`` of transformers, computed by :func:`fastrelu.quick_gelu`.
    """

def silu(input: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``ACT2FN["silu"]`` of transformers, computed by :func:`fastrelu.silu`.
    """

def swish(input: ArrayLike) -> Any:
    """Sigmoid linear unit, also called swish.

    As ``ACT2FN["swish"]`` of transformers, computed by :func:`fastrelu.silu`.
    """

def mish(input: ArrayLike) -> Any:
    """Mish: `x` times the tanh of its softplus.

    As ``ACT2FN["mish"]`` of transformers, computed by :func:`fastrelu.mish`.
    """

def hardswish(input: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As ``ACT2FN["hardswish"]`` of transformers, computed by :func:`fastrelu.hard_swish`.
    """

def sigmoid(input: ArrayLike) -> Any:
    """Logistic function.

    As ``ACT2FN["sigmoid"]`` of transformers, computed by :func:`fastrelu.sigmoid`.
    """

def tanh(input: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As ``ACT2FN["tanh"]`` of transformers, computed by :func:`fastrelu.tanh`.
    """

def laplace(input: ArrayLike, mu: ArrayLike = 0.707107, sigma: ArrayLike = 0.282095) -> Any:
    """Cumulative probability of a normal distribution.

    As ``ACT2FN["laplace"]`` of transformers.
    """

def sqrtsoftplus(input: ArrayLike) -> Any:
    """Square root of softplus.

    As ``ACT2FN["sqrtsoftplus"]`` of transformers.
    """

def linear_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`linear` with respect to `input`."""

def relu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`relu` with respect to `input`."""

def relu2_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`relu2` with respect to `input`."""

def relu6_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`relu6` with respect to `input`."""

def leaky_relu_backward(grad: ArrayLike, input: ArrayLike, negative_slope: ArrayLike = 0.01) -> Any:
    """Gradient of :func:`leaky_relu` with respect to `input`."""

def prelu_backward(grad: ArrayLike, input: ArrayLike, weight: ArrayLike = 0.25) -> Any:
    """Gradient of :func:`prelu` with respect to `input`."""

def gelu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu` with respect to `input`."""

def gelu_python_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_python` with respect to `input`."""

def gelu_10_backward(grad: ArrayLike, x: ArrayLike, min: ArrayLike = -10, max: ArrayLike = 10) -> Any:
    """Gradient of :func:`gelu_10` with respect to `x`."""

def gelu_new_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_new` with respect to `input`."""

def gelu_fast_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_fast` with respect to `input`."""

def gelu_accurate_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_accurate` with respect to `input`."""

def gelu_pytorch_tanh_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_pytorch_tanh` with respect to `input`."""

def gelu_python_tanh_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`gelu_python_tanh` with respect to `input`."""

def quick_gelu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`quick_gelu` with respect to `input`."""

def silu_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`silu` with respect to `input`."""

def swish_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`swish` with respect to `input`."""

def mish_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`mish` with respect to `input`."""

def hardswish_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`hardswish` with respect to `input`."""

def sigmoid_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`sigmoid` with respect to `input`."""

def tanh_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`tanh` with respect to `input`."""

def laplace_backward(grad: ArrayLike, input: ArrayLike, mu: ArrayLike = 0.707107, sigma: ArrayLike = 0.282095) -> Any:
    """Gradient of :func:`laplace` with respect to `input`."""

def sqrtsoftplus_backward(grad: ArrayLike, input: ArrayLike) -> Any:
    """Gradient of :func:`sqrtsoftplus` with respect to `input`."""

def get(hidden_act: str) -> Callable[..., Any]:
    """Return the activation that a configuration names.

    Parameters
    ----------
    hidden_act : str
        A name in ``transformers.activations.ACT2FN``, as ``"gelu_new"``; with ``"_backward"`` behind it, its gradient.

    Raises
    ------
    TypeError
        If it is no string.
    ValueError
        If there is none of that name; the message has the closest one and all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu.conventions import transformers
    >>> transformers.get("relu2")(np.float32([-1.0, 3.0]))
    array([0., 9.], dtype=float32)
    """
