"""Losses that compare two arrays element by element, computed block by block.

:func:`fastrelu.cross_entropy` is in :mod:`fastrelu.along_axis`; the layers are in :mod:`fastrelu.nn`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import _core
from fastrelu._arguments import _as_output, _check_output
from fastrelu._core import quiet
from fastrelu._foreign import refuse
from fastrelu._runtime import pinned
from fastrelu._typing import Output
from fastrelu.activations import sigmoid, sigmoid_, softplus

# Called with memory for losses, memory for gradients (a scratch array if none are wanted), whether they are wanted, and a
# block of each operand. Returns the losses, or two arrays whose product they are.
Formula = Callable[..., tuple[NDArray[Any], ...]]

__all__ = [
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_value_and_grad",
]

Reduction = Literal["none", "mean", "sum"]

_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
# The types that are read as they are, and that of a loss of each: what `typed_array` finds, without the questions.
_LOSS_TYPES = {np.dtype(code): np.result_type(code, np.float32) for code in "?bBhHiIlLqQfd"}
_BLOCK = (
    131072  # elements: the fastest of 2**13 to 2**17, where smaller ones fit into a nearer cache but make more calls
)
_DOT = 8192  # elements: OpenBLAS computes dot products of more than 10,000 on several threads


# --- For all losses ---------------------------------------------------------------------------------------------------


def real_array(function: str, name: str, value: ArrayLike) -> NDArray[Any]:
    """Return an argument as an array of real numbers in its own type, float32 for one of 16 bits, or refuse it."""
    return typed_array(function, name, value)[0]


def typed_array(function: str, name: str, value: ArrayLike) -> tuple[NDArray[Any], np.dtype[Any]]:
    """Return an argument as an array of real numbers, and the type of a loss of it."""
    if type(value) is np.ndarray:
        found = _LOSS_TYPES.get(value.dtype)
        if found is not None:
            return value, found
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{function} got a masked {name}: select or fill the elements first")
    refuse(function, **{name: value})
    given = np.asarray(value)
    array = _core.as_native(given)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise TypeError(f"{function} needs a {name} of real numbers, got {array.dtype}")
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
    return _core.as_half(np.asarray(values), dtype)[()]


@quiet
def blockwise(
    name: str,
    formula: Formula,
    operands: Sequence[NDArray[Any]],
    dtype: np.dtype[Any],
    reduction: Reduction,
    *,
    loss_dtype: np.dtype[Any],
    factor: float = 1.0,
    grad_dtype: np.dtype[Any] | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[Any, Any]:
    """Return loss and gradient of operands of one shape, computed in `dtype`; no gradient without `grad_dtype`.

    `formula` computes the losses of a block, and the gradients without `factor`. Errors say `name`.
    """
    if grad_dtype is not None and grad_dtype not in _FLOATS:  # computed in the wider type, and rounded as a whole
        loss, wide = blockwise(
            name, formula, operands, dtype, reduction, loss_dtype=loss_dtype, factor=factor, grad_dtype=dtype
        )
        narrow = _core.as_half(wide, grad_dtype)
        if out is not None:
            _core.copy_into(out, narrow)
        return loss, narrow
    count, total, with_grad = operands[0].size, 0.0, grad_dtype is not None
    scale = factor / max(count, 1) if reduction == "mean" else factor
    shape = operands[0].shape
    if count <= _BLOCK:
        blocks: Any = [operand if operand.dtype is dtype else np.asarray(operand, dtype) for operand in operands]
        each, slope = np.empty_like(blocks[0], subok=False), np.empty_like(blocks[0], subok=False)
        parts = formula(each, slope, with_grad, *blocks)
        if reduction == "none":
            loss = rounded(_product(each, parts), loss_dtype)[()]
        else:
            loss = reduced(_sum(parts), count, reduction, loss_dtype)
        if with_grad:
            grad = np.multiply(slope, scale, out=slope).astype(grad_dtype, copy=False)
            if out is not None:
                out[...] = grad
        return loss, grad if with_grad else None
    _pins = pinned(name, *operands, *([] if out is None else [out]))  # the iterator keeps addresses between blocks
    losses = np.empty(shape, dtype) if reduction == "none" else None
    grad = np.empty_like(operands[0], grad_dtype, subok=False) if with_grad and out is None else out
    scratch = np.empty((2, _BLOCK), dtype)
    written = [array for array in (losses, grad) if array is not None]
    flags: Any = ("external_loop", "buffered", "copy_if_overlap")
    read: Any = ["readonly", "overlap_assume_elementwise"]
    write: Any = ["writeonly", "no_broadcast", "overlap_assume_elementwise"]
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


def _binary(
    each: NDArray[Any],
    slope: NDArray[Any],
    with_grad: bool,
    x: NDArray[Any],
    y: NDArray[Any],
    *factors: NDArray[Any],
    names: Sequence[str],
) -> tuple[NDArray[Any]]:
    """Compute binary cross-entropy and gradient of a block: sums of terms of one sign, which do not cancel."""
    share, rest, weight = y, 1 - y, None
    for name, each_factor in zip(names, factors, strict=True) if factors else ():
        if name == "weight":
            weight = each_factor
        else:
            share = y * each_factor
    # One sum is faster than a test of each element; one that overflows only asks for more care.
    minus, infinite = np.negative(x, out=np.empty_like(x)), not math.isfinite(np.add.reduce(x, None))
    _times(softplus(x, out=each), rest, infinite)
    each += _times(softplus(minus), share, infinite)
    if weight is not None:
        _times(each, weight, infinite)
    if with_grad:
        np.multiply(sigmoid(x), rest, out=slope)
        slope -= np.multiply(sigmoid_(minus), share, out=minus)
        if weight is not None:
            slope *= weight
    return (each,)


def _times(values: NDArray[Any], weights: NDArray[Any], infinite: bool) -> NDArray[Any]:
    """Multiply values by weights in place; no weight of an infinite value is 0."""
    if infinite:
        np.copyto(values, 0, where=(weights == 0) & np.isinf(values))
    values *= weights
    return values


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
    formula = functools.partial(_binary, names=tuple(factors))
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
