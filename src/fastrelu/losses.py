"""Losses that compare two arrays element by element, computed block by block.

:func:`fastrelu.cross_entropy` is in :mod:`fastrelu.along_axis`; the layers are in :mod:`fastrelu.nn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import _kernels, runtime
from fastrelu._arguments import _as_output, _check_output
from fastrelu._foreign import refuse
from fastrelu._kernels import quiet
from fastrelu._losses import BINARY_WITH_LOGITS, Formula, small, use_kernels
from fastrelu._runtime import pinned
from fastrelu._typing import Output

__all__ = [
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_value_and_grad",
]

Reduction = Literal["none", "mean", "sum"]

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
# The types that are read as they are, and that of a loss of each: what `typed_array` finds, without the questions.
_LOSS_TYPES = {np.dtype(code): np.result_type(code, np.float32) for code in "?bBhHiIlLqQfd"}
# Elements of a block: the fastest of 2**13 to 2**17, where smaller ones fit into a nearer cache but make more calls.
_BLOCK = 131072
_DOT = 8192  # elements: OpenBLAS computes dot products of more than 10,000 on several threads

use_kernels(*(runtime.kernels[name] for name in ("softplus", "sigmoid", "hard_tanh")))


# --- For all losses ---------------------------------------------------------------------------------------------------


def real_array(function: str, name: str, value: ArrayLike) -> NDArray[Any]:
    """Return an argument as an array of real numbers in its own type, float32 for one of 16 bits, or refuse it."""
    return typed_array(function, name, value)[0]


def typed_array(function: str, name: str, value: Any) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return an argument as an array of real numbers, and the type of a loss of it."""
    if type(value) is np.ndarray:
        found = _LOSS_TYPES.get(value.dtype)
        if found is not None:
            return value, found
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{function} got a masked {name}: select or fill the elements first")
    refuse(function, **{name: value})
    given = np.asarray(value)
    array = _kernels.as_native(given)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise TypeError(f"{function} needs a {name} of real numbers, got {None if value is None else array.dtype}")
    return array, float_type(array) if array is given else given.dtype.newbyteorder("=")


def float_type(array: NDArray[Any]) -> np.dtype[Any]:
    """Return the type in which losses of an array are computed, float32 or float64."""
    return array.dtype if array.dtype in _FLOATS else np.result_type(array.dtype, np.float32)


def common_type(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of a loss of arrays of two types; float32 for two different ones of 16 bits."""
    return np.dtype(np.float32) if a.itemsize == b.itemsize == 2 and a != b else np.result_type(a, b)


def pair(
    function: str, names: tuple[str, str], x: ArrayLike, y: ArrayLike
) -> tuple[list[NDArray[Any]], list[np.dtype[Any]]]:
    """Return the two arguments of a loss as arrays of one shape, and the types of losses of each."""
    a, a_type = typed_array(function, names[0], x)
    b, b_type = typed_array(function, names[1], y)
    if a.shape != b.shape:
        raise ValueError(f"{function} needs one shape, got {a.shape} and {b.shape}")
    return [a, b], [a_type, b_type]


def factor(function: str, name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return weights that broadcast to the shape of the losses, which they do not change."""
    array = real_array(function, name, value)
    try:
        # Of a copy: later conversions may run the caller's code, which may free the memory below a view.
        return array if array.shape == shape else np.broadcast_to(array.copy(), shape)
    except ValueError:
        raise ValueError(
            f"{function}: {name} must broadcast to the shape of the losses, {shape}, not {array.shape}"
        ) from None


def reduced(total: float, count: float, reduction: Reduction, dtype: np.dtype[Any]) -> Any:
    """Return the sum or the mean of losses in their type; the mean of none is NaN."""
    if reduction == "mean":
        total = total / count if count else math.nan
    # The type of a number is faster to call than its array's method.
    return dtype.type(total) if dtype in _FLOATS else rounded(np.float64(total), dtype)


def rounded(values: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array or a number of a wider type in the type of a result."""
    if dtype in _FLOATS:
        return values.astype(dtype, copy=False)
    return _kernels.as_half(np.asarray(values), dtype)[()]


@quiet
def blockwise(
    name: str,
    formula: Formula,
    operands: Sequence[NDArray[Any]],
    dtype: np.dtype[Any],
    reduction: Reduction,
    *,
    loss_dtype: np.dtype[Any],
    grad_dtype: np.dtype[Any] | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return loss and gradient of operands of one shape, computed in `dtype`; no gradient without `grad_dtype`.

    `formula` computes a block: called with memory for losses, memory for gradients, whether these are wanted, and the block
    of each operand, it writes the gradients without its factor, and returns the losses or two arrays whose product they are.
    Errors say `name`.
    """
    count, total, with_grad = operands[0].size, 0.0, grad_dtype is not None
    if count <= _BLOCK:
        loss, grad = formula.whole(operands, dtype, reduction, loss_dtype, grad_dtype)
        if out is not None:
            _kernels.copy_into(out, grad)
        return loss, grad
    if grad_dtype is not None and grad_dtype not in _FLOATS:  # computed in the wider type, and rounded as a whole
        loss, wide = blockwise(name, formula, operands, dtype, reduction, loss_dtype=loss_dtype, grad_dtype=dtype)
        narrow = _kernels.as_half(wide, grad_dtype)
        if out is not None:
            _kernels.copy_into(out, narrow)
        return loss, narrow
    scale = formula.factor / max(count, 1) if reduction == "mean" else formula.factor
    shape = operands[0].shape
    _pins = pinned(name, *operands, *([] if out is None else [out]))  # the iterator keeps addresses between blocks
    losses = np.empty(shape, dtype) if reduction == "none" else None
    grad = np.empty_like(operands[0], grad_dtype, subok=False) if with_grad and out is None else out
    scratch = np.empty((2, _BLOCK), dtype)
    written = [array for array in (losses, grad) if array is not None]
    flags: Any = ("external_loop", "buffered", "copy_if_overlap")
    read: Any = ["readonly", "contig", "aligned", "overlap_assume_elementwise"]
    write: Any = ["writeonly", "contig", "aligned", "no_broadcast", "overlap_assume_elementwise"]
    iterator = np.nditer(
        (*operands, *written),
        flags,
        [read] * len(operands) + [write] * len(written),
        [dtype] * (len(operands) + len(written)),
        casting="same_kind",
        buffersize=_BLOCK,
    )
    with iterator:
        for blocks in iterator:
            n = len(blocks[0])
            each = scratch[0, :n] if losses is None else blocks[len(operands)]
            slope = blocks[-1] if with_grad else scratch[1, :n]
            parts = formula(each, slope, with_grad, *blocks[: len(operands)])
            if losses is None:
                total += _sum(parts)
            else:
                _product(each, parts)
            if with_grad and scale != 1:
                np.multiply(slope, scale, out=slope)
    return reduced(total, count, reduction, loss_dtype) if losses is None else rounded(losses, loss_dtype), grad


def _product(each: NDArray[Any], parts: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """Write the losses into `each`, where they may be already."""
    if len(parts) == 2:
        np.multiply(*parts, out=each)
    return each


def _sum(parts: tuple[NDArray[Any], ...]) -> float:
    """Return the sum of the losses of a block."""
    if len(parts) == 1:
        return float(np.add.reduce(parts[0], None))
    x, y = parts
    if x.size <= _DOT:
        return float(np.vdot(x, y))
    x, y = x.reshape(-1), y.reshape(-1)
    return sum(float(np.dot(x[i : i + _DOT], y[i : i + _DOT])) for i in range(0, x.size, _DOT))


# --- Binary cross-entropy ---------------------------------------------------------------------------------------------


def _binary_cross_entropy(
    name: str,
    logits: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike | None,
    pos_weight: ArrayLike | None,
    reduction: Reduction,
    with_grad: bool,
    out: Output,
) -> tuple[Any, Any]:
    if out is None:
        found = small(BINARY_WITH_LOGITS, 1.0, logits, labels, weight, pos_weight, reduction, with_grad, _BLOCK)
        if found is not None:
            return found
    given: Any = reduction
    if not isinstance(given, str) or given not in ("none", "mean", "sum"):
        raise ValueError(f'{name}: reduction must be "none", "mean" or "sum", not {reduction!r}')
    (x, y), (result, _) = pair(name, ("logits", "labels"), logits, labels)
    dtype = float_type(x)
    factors = {
        key: factor(name, key, value, x.shape)
        for key, value in (("weight", weight), ("pos_weight", pos_weight))
        if value is not None
    }
    target = _as_output(name, out)
    if target is not None:
        _check_output(name, target, x, result.num)

    operands = [x, y, *factors.values()]
    formula = Formula(BINARY_WITH_LOGITS, 1.0, weight is not None)
    loss, grad = blockwise(
        name,
        formula,
        operands,
        dtype,
        reduction,
        loss_dtype=result,
        grad_dtype=result if with_grad else None,
        out=target,
    )
    return loss, grad if target is None else out[0] if isinstance(out, tuple) else out


def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """Cross-entropy of labels and the sigmoid of logits.

    Computes ``labels * softplus(-logits) + (1 - labels) * softplus(logits)`` for each element, which neither overflows
    nor cancels.

    Parameters
    ----------
    logits : array_like
        Scores of any shape; floating point of 16, 32 and 64 bits keeps its type.
    labels : array_like
        The probability that each element is positive, of the shape of `logits`: 0 or 1, or a number between.
    weight : array_like, optional
        Factor of each loss; broadcasts to the shape of `logits`.
    pos_weight : array_like, optional
        Factor of the positive label's part of each loss; broadcasts to the shape of `logits`, so it may hold one number
        for each class along the last axis.
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or each of them.

    Returns
    -------
    scalar or ndarray
        The loss, of the type of `logits`; labels and weights do not change the type.

    Raises
    ------
    TypeError
        If an argument is masked, belongs to another array library, or does not consist of real numbers.
    ValueError
        If shapes do not match, or `reduction` has another value than those above.

    See Also
    --------
    binary_cross_entropy_with_logits_value_and_grad : The loss and its gradient in one pass.

    Notes
    -----
    Defined as ``torch.nn.functional.binary_cross_entropy_with_logits``, without its cancellation: for a logit of -50
    and a label of 0 the loss is 2e-22, and 0 there. A weight or a probability of 0 contributes 0, even where the loss is
    infinite. The mean of no losses is NaN.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> logits = np.float32([2.0, -1.0, 100.0])
    >>> fr.binary_cross_entropy_with_logits(logits, [1, 0, 1]).round(4)
    np.float32(0.1467)
    >>> fr.binary_cross_entropy_with_logits(logits, [1, 0, 0], reduction="none").round(4)
    array([  0.1269,   0.3133, 100.    ], dtype=float32)
    """
    name = "binary_cross_entropy_with_logits"
    return _binary_cross_entropy(name, logits, labels, weight, pos_weight, reduction, False, None)[0]


def binary_cross_entropy_with_logits_value_and_grad(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Output = None,
) -> tuple[Any, Any]:
    """Value of :func:`binary_cross_entropy_with_logits` and its gradient with respect to the logits, in one pass.

    The gradient is ``sigmoid(logits) - labels``, divided by the number of elements for the mean. Parameters and errors
    are those of :func:`binary_cross_entropy_with_logits`; `out` receives the gradient, and ``out=logits`` works in place.

    Returns
    -------
    loss : scalar or ndarray
        The result of :func:`binary_cross_entropy_with_logits`.
    grad : ndarray
        Gradient of the loss, or with ``reduction="none"`` of the sum of the losses; `out` if given.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> loss, grad = fr.binary_cross_entropy_with_logits_value_and_grad(np.float32([2.0, -1.0]), [1, 0])
    >>> grad.round(4)
    array([-0.0596,  0.1345], dtype=float32)
    """
    name = "binary_cross_entropy_with_logits_value_and_grad"
    return _binary_cross_entropy(name, logits, labels, weight, pos_weight, reduction, True, out)
