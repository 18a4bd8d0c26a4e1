"""The cells of the functions along an axis: their rows, and the arrays of every cell (for grids.py)."""

from __future__ import annotations

import math
from typing import NamedTuple

AXES, LENGTHS, MASKS = ("last", "first", "middle", "narrow"), (2, 10, 1000, 50257), ("no mask", "random", "padding")
ELEMENTS = 1 << 17  # of an array; at least 4 rows of 50,257
NARROW = 7  # rows side by side, of a middle axis whose lines fill no vector

# Definitions in the namespace of every side. `lay_out` gives the names of a cell their arrays, and keeps them for the next one.
SETUP = """
cells = {}
def softmax(x):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)
def logsumexp(x):
    m = x.max(axis, keepdims=True)
    return np.log(np.exp(x - m).sum(axis)) + m.squeeze(axis)
def log_softmax(x):
    z = x - x.max(axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis, keepdims=True))
def hardmax(x):
    y = np.zeros_like(x)
    np.put_along_axis(y, x.argmax(axis, keepdims=True), 1, axis)
    return y
def sparsemax(x):
    x = x - x.max(axis, keepdims=True)
    z = np.flip(np.sort(x, axis), axis)
    c = np.cumsum(z, axis) - 1
    k = np.arange(1, n + 1, dtype=x.dtype).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    count = (k * z > c).sum(axis, keepdims=True)
    return np.maximum(x - np.take_along_axis(c, count - 1, axis) / count.astype(x.dtype), 0)
def sparsemax_grad(grad, y):
    s = (y > 0).astype(grad.dtype)
    return s * (grad - (s * grad).sum(axis, keepdims=True) / s.sum(axis, keepdims=True))
def cross_entropy(x):
    return -np.take_along_axis(log_softmax(x), np.expand_dims(labels, axis), axis).mean()
def cross_entropy_grad(x):
    y = softmax(x)
    at = np.expand_dims(labels, axis)
    np.put_along_axis(y, at, np.take_along_axis(y, at, axis) - 1, axis)
    return y / labels.size
def lay_out(shape, at, mask, dtype, whole=True):
    global axis, n, kind
    axis, n, kind = at, shape[at], dtype
    key = (shape, at, mask, dtype)
    if cells.get("key") != key:
        rng = np.random.default_rng(0)
        found = {"x": (2 * rng.standard_normal(shape)).astype(dtype)}
        if whole:
            found["grad"] = rng.standard_normal(shape).astype(dtype)
            found["y"], found["log_y"] = softmax(found["x"]), log_softmax(found["x"])
            found["sparse_y"] = sparsemax(found["x"])
            found["s"] = found["grad"].take(0, axis)
        rows = shape[:axis] + shape[axis + 1:]
        found["labels"] = rng.integers(0, n, rows)
        if mask == "random":
            found["keep"] = rng.random(shape) < 0.5
            found["keep"][(slice(None),) * axis + (0,)] = True
        if mask == "padding":
            place = np.arange(n).reshape([-1 if k == axis else 1 for k in range(len(shape))])
            found["keep"] = place < np.expand_dims(rng.integers(max(1, n // 2), n + 1, rows), axis)
        if mask == "few":
            found["keep"] = rng.random(shape) < 0.002
        if mask == "one row":
            found["keep"] = rng.random(shape[-1]) < 0.5
        cells.clear()
        cells.update({name: wrap(np.ascontiguousarray(array)) for name, array in found.items()}, key=key)
    globals().update({name: array for name, array in cells.items() if name != "key"})
"""


class Row(NamedTuple):
    """One function along an axis: the statements of all sides. `{x}` is x, or x with masked elements at their limit."""

    ours: str
    numpy: str
    torch: str = ""
    scipy: str = ""
    jax: str = ""
    onnx: str = ""  # the operator
    absent: str = ""  # the limit; functions without one take no mask
    reduces: bool = False


_LOSS = "torch.nn.functional.cross_entropy(x.movedim(axis, 1), labels)"
WITH_GRAD = f"""
def with_grad():
    with torch.enable_grad():
        given = x.detach().requires_grad_()
        {_LOSS.replace("(x.", "(given.")}.backward()
    return given.grad
"""
ROWS = {
    "softmax": Row(
        "fr.softmax(x, axis{where}, out=out)",
        "softmax({x})",
        "torch.softmax({x}, axis, out=out)",
        "special.softmax({x}, axis=axis)",
        "jax.nn.softmax({x}, axis)",
        "Softmax",
        "-np.inf",
    ),
    "log_softmax": Row(
        "fr.log_softmax(x, axis{where}, out=out)",
        "log_softmax({x})",
        "torch.log_softmax({x}, axis, out=out)",
        "special.log_softmax({x}, axis=axis)",
        "jax.nn.log_softmax({x}, axis)",
        "LogSoftmax",
        "-np.inf",
    ),
    "softmin": Row(
        "fr.softmin(x, axis{where}, out=out)",
        "softmax(-{x})",
        "torch.softmax(-{x}, axis, out=out)",
        "special.softmax(-{x}, axis=axis)",
        "jax.nn.softmax(-{x}, axis)",
        absent="np.inf",
    ),
    "softmax_backward_from_output": Row(
        "fr.softmax_backward_from_output(grad, y, axis, out=out)",
        "y * (grad - (grad * y).sum(axis, keepdims=True))",
        "torch._softmax_backward_data(grad, y, axis, x.dtype, grad_input=out)",
        jax="y * (grad - (grad * y).sum(axis, keepdims=True))",
    ),
    "log_softmax_backward_from_output": Row(
        "fr.log_softmax_backward_from_output(grad, log_y, axis, out=out)",
        "grad - np.exp(log_y) * grad.sum(axis, keepdims=True)",
        "torch._log_softmax_backward_data(grad, log_y, axis, x.dtype, out=out)",
        jax="grad - jnp.exp(log_y) * grad.sum(axis, keepdims=True)",
    ),
    "softmax_backward_parameters": Row(
        "fr.softmax_backward_parameters(grad, x, axis, scale=0.5)[0]",
        "0.5 * (p := softmax(0.5 * x)) * (grad - (grad * p).sum(axis, keepdims=True))",
        "torch._softmax_backward_data(grad, torch.softmax(0.5 * x, axis), axis, x.dtype).mul_(0.5)",
        jax="0.5 * (p := jax.nn.softmax(0.5 * x, axis)) * (grad - (grad * p).sum(axis, keepdims=True))",
    ),
    "log_softmax_backward_parameters": Row(
        "fr.log_softmax_backward_parameters(grad, x, axis, scale=0.5)[0]",
        "0.5 * (grad - np.exp(log_softmax(0.5 * x)) * grad.sum(axis, keepdims=True))",
        "torch._log_softmax_backward_data(grad, torch.log_softmax(0.5 * x, axis), axis, x.dtype).mul_(0.5)",
        jax="0.5 * (grad - jax.nn.softmax(0.5 * x, axis) * grad.sum(axis, keepdims=True))",
    ),
    "softmin_backward_from_output": Row(
        "fr.softmin_backward_from_output(grad, y, axis, out=out)",
        "y * ((grad * y).sum(axis, keepdims=True) - grad)",
        "torch._softmax_backward_data(-grad, y, axis, x.dtype, grad_input=out)",
        jax="y * ((grad * y).sum(axis, keepdims=True) - grad)",
    ),
    "hardmax": Row(
        "fr.hardmax(x, axis{where}, out=out)",
        "hardmax({x})",
        "torch.zeros_like(x).scatter_(axis, {x}.argmax(axis, keepdim=True), 1)",
        jax="jax.nn.one_hot({x}.argmax(axis), x.shape[axis], dtype=x.dtype, axis=axis)",
        onnx="Hardmax",
        absent="-np.inf",
    ),
    "hardmax_backward_from_output": Row(
        "fr.hardmax_backward_from_output(grad, y, axis, out=out)",
        "y * 0",
        "torch.mul(y, 0, out=out)",
    ),
    "sparsemax": Row("fr.sparsemax(x, axis{where}, out=out)", "sparsemax({x})", absent="-np.inf"),
    "sparsemax_backward_from_output": Row(
        "fr.sparsemax_backward_from_output(grad, sparse_y, axis, out=out)", "sparsemax_grad(grad, sparse_y)"
    ),
    "gumbel_softmax": Row(  # of the same noise: other libraries draw their own
        "fr.gumbel_softmax(x, axis, rng=0{where}, out=out)",
        "softmax({x} - np.log(np.random.default_rng(0).standard_exponential(x.shape, kind)))",
        absent="-np.inf",
    ),
    "gumbel_softmax_backward_from_output": Row(
        "fr.gumbel_softmax_backward_from_output(grad, y, axis, tau=0.5, out=out)",
        "y * (grad - (grad * y).sum(axis, keepdims=True)) / 0.5",
        "torch._softmax_backward_data(grad, y, axis, x.dtype, grad_input=out).div_(0.5)",
        jax="y * (grad - (grad * y).sum(axis, keepdims=True)) / 0.5",
    ),
    "logsumexp": Row(
        "fr.logsumexp(x, axis{where})",
        "logsumexp({x})",
        "torch.logsumexp({x}, axis)",
        "special.logsumexp({x}, axis=axis)",
        "jax.nn.logsumexp({x}, axis)",
        "ReduceLogSumExp",
        "-np.inf",
        reduces=True,
    ),
    "logsumexp_backward": Row(
        "fr.logsumexp_backward(s, x, axis, out=out)",
        "np.expand_dims(s, axis) * softmax(x)",
        "torch.mul(s.unsqueeze(axis), torch.softmax(x, axis), out=out)",
        "np.expand_dims(s, axis) * special.softmax(x, axis=axis)",
        "jnp.expand_dims(s, axis) * jax.nn.softmax(x, axis)",
    ),
    "logmeanexp": Row(
        "fr.logmeanexp(x, axis)",
        "logsumexp(x) - math.log(n)",
        "torch.logsumexp(x, axis) - math.log(n)",
        "special.logsumexp(x, axis=axis) - math.log(n)",
        "jax.nn.logsumexp(x, axis) - math.log(n)",
        reduces=True,
    ),
    "logmeanexp_backward": Row(
        "fr.logmeanexp_backward(s, x, axis, out=out)",
        "np.expand_dims(s, axis) * softmax(x)",
        "torch.mul(s.unsqueeze(axis), torch.softmax(x, axis), out=out)",
        "np.expand_dims(s, axis) * special.softmax(x, axis=axis)",
        "jnp.expand_dims(s, axis) * jax.nn.softmax(x, axis)",
    ),
    "cross_entropy": Row(
        "fr.cross_entropy(x, labels, axis=axis)",
        "cross_entropy(x)",
        _LOSS,
        jax="-jnp.take_along_axis(jax.nn.log_softmax(x, axis), jnp.expand_dims(labels, axis), axis).mean()",
        reduces=True,
    ),
    "cross_entropy_value_and_grad": Row(
        "fr.cross_entropy_value_and_grad(x, labels, axis=axis, out=out)[1]", "cross_entropy_grad(x)", "with_grad()"
    ),
}


def shape_of(axis: str, length: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of an array along whose axis rows of some length lie, and the axis."""
    rows = max(4, ELEMENTS // length)
    if axis == "narrow":
        return (max(1, rows // NARROW), length, NARROW), 1
    if axis == "middle":
        outer = 2 ** (int(math.log2(rows)) // 2)
        return (outer, length, rows // outer), 1
    return ((rows, length), 1) if axis == "last" else ((length, rows), 0)
