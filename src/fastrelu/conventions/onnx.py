"""The operators of ONNX: ``onnx.HardSigmoid(x, alpha=0.2)``, or ``onnx.get("Softmax", opset=11)`` for a model's opset.

Attributes are keywords. Their defaults are the numbers of the specification, which are in float32.
"""

from fastrelu._catalogue import check_name
from fastrelu.conventions._build import Function, Row, build

_FLAT = "The axes from `axis` on are one row: before opset 13 the input was flattened to a matrix."

# A later row of the same operator replaces the earlier one from its opset on.
ROWS = (
    Row("Identity(input)", "identity(input)", since=1),
    Row("Relu(X)", "relu(X)", since=1),
    Row("LeakyRelu(X, *, alpha=0.009999999776482582)", "leaky_relu(X, alpha)", since=1),
    Row("PRelu(X, slope)", "prelu(X, slope, axis=weight_axis(slope, -1))", since=1),
    Row("ThresholdedRelu(X, *, alpha=1.0)", "thresholded_relu(X, alpha)", since=10),
    Row("Elu(X, *, alpha=1.0)", "elu(X, alpha)", since=1),
    Row("Celu(X, *, alpha=1.0)", "celu(X, alpha)", since=12),
    Row(
        "Selu(X, *, alpha=1.673200011253357, gamma=1.0506999492645264)",
        "scaled_elu(X, alpha, gamma)",
        since=1,
    ),
    Row(
        "Selu(X, *, alpha=1.6732631921768188, gamma=1.0507010221481323)",
        "scaled_elu(X, alpha, gamma)",
        since=6,
    ),
    Row("Softplus(X)", "softplus(X)", since=1),
    Row("Sigmoid(X)", "sigmoid(X)", since=1),
    Row("Tanh(input)", "tanh(input)", since=1),
    Row("Softsign(input)", "softsign(input)", since=1),
    Row("HardSigmoid(X, *, alpha=0.20000000298023224, beta=0.5)", "hard_sigmoid_any(X, alpha, beta)", since=1),
    Row("Erf(input)", "erf(input)", since=9),
    Row("Shrink(input, *, bias=0.0, lambd=0.5)", "shrink(input, lambd, bias)", since=9),
    Row("HardSwish(X)", "hard_swish(X)", since=14),
    Row("Swish(X, *, alpha=1.0)", "swish(X, alpha)", since=24),
    Row('Gelu(X, *, approximate="none")', "gelu(X, approximate)", since=20),
    Row("SwiGLU(A, B, *, alpha=1.0)", "swiglu((A, B), beta=alpha)", since=28),
    Row("Mish(X)", "mish(X)", since=18),
    Row("Softmax(input, *, axis=1)", "softmax(input, axes_from(input, axis))", note=_FLAT, since=1),
    Row("Softmax(input, *, axis=-1)", "softmax(input, axis)", since=13),
    Row("LogSoftmax(input, *, axis=1)", "log_softmax(input, axes_from(input, axis))", note=_FLAT, since=1),
    Row("LogSoftmax(input, *, axis=-1)", "log_softmax(input, axis)", since=13),
    Row("Hardmax(input, *, axis=1)", "hardmax(input, axes_from(input, axis))", note=_FLAT, since=1),
    Row("Hardmax(input, *, axis=-1)", "hardmax(input, axis)", since=13),
    Row("ReduceLogSumExp(data, *, axes=None, keepdims=1)", "reduce_logsumexp(data, axes, keepdims, 0)", since=1),
    Row(
        "ReduceLogSumExp(data, axes=None, *, keepdims=1, noop_with_empty_axes=0)",
        "reduce_logsumexp(data, axes, keepdims, noop_with_empty_axes)",
        since=18,
    ),
)
_VERSIONS = [(row, build(__name__, "the operator ``{}`` of ONNX", [row], backward=False)[row.name]) for row in ROWS]
FUNCTIONS = {row.name: function for row, function in _VERSIONS}


def get(op_type: str, opset: int | None = None) -> Function:
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
    check_name(op_type, FUNCTIONS, "operator of ONNX")
    if opset is None:
        return FUNCTIONS[op_type]
    if isinstance(opset, bool) or not hasattr(opset, "__index__"):
        raise TypeError(f"opset must be an integer, got {opset!r}")
    versions = {row.since: function for row, function in _VERSIONS if row.name == op_type}
    if opset < min(versions):
        raise ValueError(f"{op_type} is an operator since opset {min(versions)}, got opset {opset}")
    return versions[max(since for since in versions if since <= opset)]


__all__ = [*FUNCTIONS, "get"]
globals().update(FUNCTIONS)
