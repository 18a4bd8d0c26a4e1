"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def Identity(input: ArrayLike) -> Any:
    """Identity: a copy of `x`, for tables of functions by name.

    As the operator ``Identity`` of ONNX, computed by :func:`fastrelu.identity`.
    """

def Relu(X: ArrayLike) -> Any:
    """Rectified linear unit.

    As the operator ``Relu`` of ONNX, computed by :func:`fastrelu.relu`.
    """

def LeakyRelu(X: ArrayLike, *, alpha: ArrayLike = 0.009999999776482582) -> Any:
    """Leaky rectified linear unit.

    As the operator ``LeakyRelu`` of ONNX, computed by :func:`fastrelu.leaky_relu`.
    """

def PRelu(X: ArrayLike, slope: ArrayLike) -> Any:
    """Parametric rectified linear unit: leaky ReLU with learnable slopes.

    As the operator ``PRelu`` of ONNX, computed by :func:`fastrelu.prelu`.
    """

def ThresholdedRelu(X: ArrayLike, *, alpha: ArrayLike = 1.0) -> Any:
    """Thresholded rectified linear unit.

    As the operator ``ThresholdedRelu`` of ONNX, computed by :func:`fastrelu.thresholded_relu`.
    """

def Elu(X: ArrayLike, *, alpha: ArrayLike = 1.0) -> Any:
    """Exponential linear unit.

    As the operator ``Elu`` of ONNX, computed by :func:`fastrelu.elu`.
    """

def Celu(X: ArrayLike, *, alpha: ArrayLike = 1.0) -> Any:
    """Continuously differentiable exponential linear unit.

    As the operator ``Celu`` of ONNX, computed by :func:`fastrelu.celu`.
    """

def Selu(X: ArrayLike, *, alpha: ArrayLike = 1.6732631921768188, gamma: ArrayLike = 1.0507010221481323) -> Any:
    """ELU times a number: SELU with other constants.

    As the operator ``Selu`` of ONNX.
    """

def Softplus(X: ArrayLike) -> Any:
    """Smooth rectifier.

    As the operator ``Softplus`` of ONNX, computed by :func:`fastrelu.softplus`.
    """

def Sigmoid(X: ArrayLike) -> Any:
    """Logistic function.

    As the operator ``Sigmoid`` of ONNX, computed by :func:`fastrelu.sigmoid`.
    """

def Tanh(input: ArrayLike) -> Any:
    """Hyperbolic tangent.

    As the operator ``Tanh`` of ONNX, computed by :func:`fastrelu.tanh`.
    """

def Softsign(input: ArrayLike) -> Any:
    """Algebraic counterpart of :func:`fastrelu.tanh`.

    As the operator ``Softsign`` of ONNX, computed by :func:`fastrelu.softsign`.
    """

def HardSigmoid(X: ArrayLike, *, alpha: ArrayLike = 0.20000000298023224, beta: ArrayLike = 0.5) -> Any:
    """Line ``slope * x + offset`` between 0 and 1, rising, falling or level.

    As the operator ``HardSigmoid`` of ONNX.
    """

def Erf(input: ArrayLike) -> Any:
    """Error function.

    As the operator ``Erf`` of ONNX, computed by :func:`fastrelu.erf`.
    """

def Shrink(input: ArrayLike, *, bias: ArrayLike = 0.0, lambd: ArrayLike = 0.5) -> Any:
    """Shrinkage with separate dead zone and bias, as ONNX has it.

    As the operator ``Shrink`` of ONNX, computed by :func:`fastrelu.shrink`.
    """

def HardSwish(X: ArrayLike) -> Any:
    """Piecewise quadratic approximation of :func:`fastrelu.silu`.

    As the operator ``HardSwish`` of ONNX, computed by :func:`fastrelu.hard_swish`.
    """

def Swish(X: ArrayLike, *, alpha: ArrayLike = 1.0) -> Any:
    """Swish: :func:`fastrelu.silu` with an adjustable steepness.

    As the operator ``Swish`` of ONNX, computed by :func:`fastrelu.swish`.
    """

def Gelu(X: ArrayLike, *, approximate: str = "none") -> Any:
    """Gaussian error linear unit.

    As the operator ``Gelu`` of ONNX, computed by :func:`fastrelu.gelu`.
    """

def SwiGLU(A: ArrayLike, B: ArrayLike, *, alpha: ArrayLike = 1.0) -> Any:
    """Gated linear unit with SiLU, or with Swish.

    As the operator ``SwiGLU`` of ONNX, computed by :func:`fastrelu.swiglu`.
    """

def Mish(X: ArrayLike) -> Any:
    """Mish: `x` times the tanh of its softplus.

    As the operator ``Mish`` of ONNX, computed by :func:`fastrelu.mish`.
    """

def Softmax(input: ArrayLike, *, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Softmax: exponentials divided by their sum.

    As the operator ``Softmax`` of ONNX, computed by :func:`fastrelu.softmax`.
    """

def LogSoftmax(input: ArrayLike, *, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As the operator ``LogSoftmax`` of ONNX, computed by :func:`fastrelu.log_softmax`.
    """

def Hardmax(input: ArrayLike, *, axis: int | tuple[int, ...] | None = -1) -> Any:
    """Hardmax: 1 at the largest element, 0 at all others.

    As the operator ``Hardmax`` of ONNX, computed by :func:`fastrelu.hardmax`.
    """

def ReduceLogSumExp(
    data: ArrayLike,
    axes: int | tuple[int, ...] | None = None,
    *,
    keepdims: ArrayLike = 1,
    noop_with_empty_axes: ArrayLike = 0,
) -> Any:
    """Logarithm of the sum of exponentials, over all axes if none are given, or none.

    As the operator ``ReduceLogSumExp`` of ONNX.
    """

def get(op_type: str, opset: int | None = None) -> Callable[..., Any]:
    """Return an operator as a model's opset defines it.

    Parameters
    ----------
    op_type : str
        Its name.
    opset : int, optional
        The version of the operator set; the newest without.

    Raises
    ------
    TypeError
        If the name is no string, or the opset no integer.
    ValueError
        If there is no such operator, or the opset does not have it yet.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu.conventions import onnx
    >>> onnx.get("Softmax", opset=11)(np.zeros((1, 2, 2)))
    array([[[0.25, 0.25],
            [0.25, 0.25]]])
    """
