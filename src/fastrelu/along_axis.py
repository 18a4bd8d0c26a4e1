"""What runs along an axis: softmax, its logarithm, softmin, logsumexp, and the cross-entropy built on them.

Types, `out`, buffers, in place and threads are as :mod:`fastrelu.activations` says, except for `where`: here it is the
mask of the elements that take part. An operand with an ``__array_ufunc__`` of its own is handed the ufunc, which has one axis:
a dask array stays lazy, a DataFrame keeps its labels. Where that cannot work, and for masked arrays, a TypeError or a ValueError
says what to do instead; cross-entropy takes no such operand.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

from fastrelu import _foreign, runtime
from fastrelu._arguments import as_axis, as_scale, spread, spread_mask
from fastrelu._core import joint_dtype, stored, target_in_place
from fastrelu._cross_entropy import cross_entropy as _cross_entropy
from fastrelu._kernels import as_half, as_native, quiet
from fastrelu._logsumexp import logsumexp as _logsumexp
from fastrelu._logsumexp import logsumexp_backward as _logsumexp_backward
from fastrelu._options import check_flag, generator, real_number
from fastrelu._row_kernels import Load
from fastrelu._rows import as_real, backward_loaded, forward, forward_in_place, forward_loaded, from_output
from fastrelu._typing import Output

__all__ = [
    "cross_entropy",
    "cross_entropy_value_and_grad",
    "gumbel_softmax",
    "gumbel_softmax_",
    "gumbel_softmax_backward_from_output",
    "hardmax",
    "hardmax_",
    "hardmax_backward_from_output",
    "log_softmax",
    "log_softmax_",
    "log_softmax_backward_from_output",
    "log_softmax_backward_parameters",
    "logmeanexp",
    "logmeanexp_backward",
    "logsumexp",
    "logsumexp_backward",
    "softmax",
    "softmax_",
    "softmax_backward_from_output",
    "softmax_backward_parameters",
    "softmin",
    "softmin_",
    "softmin_backward_from_output",
    "sparsemax",
    "sparsemax_",
    "sparsemax_backward_from_output",
]

_T = TypeVar("_T")
Axis = int | tuple[int, ...] | None
Reduction = Literal["none", "mean", "sum"]

_rows = runtime.rows
_SOFTMAX, _LOG_SOFTMAX, _SOFTMIN, _HARDMAX, _SPARSEMAX = range(5)
_capper, _capper_backward = runtime.kernels["softcap"], runtime.kernels["softcap_backward"]


def _temperature(tau: Any) -> float:
    """Return tau as a number that a division takes."""
    found = real_number("tau", tau)
    if not 0 < found < math.inf:
        raise ValueError(f"tau must be finite and greater than 0, got {tau!r}")
    return found


def _at_least_tiny(tau: float, dtype: np.dtype[Any]) -> float:
    """Return tau as a number that is not 0 in a type."""
    return max(tau, float(np.finfo(dtype).smallest_subnormal)) if dtype.kind == "f" else tau


@quiet  # of infinities, which softmax gives the limit for
def _noisy(name: str, x: ArrayLike, axis: Axis, tau: float, rng: Any) -> NDArray[Any]:
    """Return x with noise, divided by tau, in float32 or float64."""
    x = as_real(name, x)
    kind = np.float32 if x.dtype.itemsize == 2 else x.dtype.type
    noise: NDArray[Any] = np.asarray(generator(rng).standard_exponential(x.shape, kind))
    tiny = np.finfo(kind).tiny
    if noise.min(initial=1) < tiny:  # which is rare; to look for it costs less than to change each
        np.maximum(noise, tiny, out=noise)
    np.log(noise, out=noise)
    np.subtract(as_native(x), noise, out=noise)
    if tau < 2.0**-20 and x.size:  # the quotients may overflow where their differences do not
        top = noise.max(axis, keepdims=True, initial=-np.inf, where=np.isfinite(noise))
        np.subtract(noise, np.where(np.isfinite(top), top, 0), out=noise)
    if tau != 1:
        np.divide(noise, _at_least_tiny(tau, noise.dtype), out=noise)
    return noise


@quiet
def _scaled_from_output(name: str, kind: int, grad: Any, y: Any, axis: Axis, scale: Any, out: Output) -> Any:
    """Return the gradient from the output, times a scale; a type of 16 bits is rounded once."""
    factor = as_scale(name, scale)
    grad, y = (np.asarray(v) if isinstance(v, (list, tuple)) else v for v in (grad, y))
    if not (_foreign.is_foreign(grad) or _foreign.is_foreign(y) or _foreign.is_foreign(out)):
        return from_output(_rows, kind, grad, y, axis, out, factor)
    dx = from_output(_rows, kind, grad, y, axis, None)
    return stored(name, np.multiply(dx, factor, out=dx if type(dx) is np.ndarray else None), out)


def _summed(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return values summed to a shape that broadcasts to theirs, in float64; or the values where nothing is summed."""
    lead = values.ndim - len(shape)
    long = tuple(k for k in range(values.ndim) if k < lead or (shape[k - lead] == 1 != values.shape[k]))
    found: NDArray[Any] = values.sum(long, np.float64) if long else values
    return np.asarray(found).reshape(shape)  # no scalar, which NumPy cannot index where memory ends


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a copy of values of float32 or float64 in the type of a result."""
    return as_half(values, dtype) if dtype.itemsize == 2 else values.astype(dtype)


@quiet
def _backward_parameters(
    function: str,
    kind: int,
    grad: Any,
    x: Any,
    axis: Axis,
    scale: Any,
    bias: Any,
    softcap: float | None,
    sink: Any,
    where: Any,
    out: Output,
) -> tuple[Any, Any, Any, Any]:
    """Return the gradients of x, scale, bias and sink."""
    name = f"{function}_backward_parameters"
    _foreign.refuse(name, grad=grad, x=x, bias=bias, sink=sink, where=where, out=out)
    _foreign.refuse_mask(name, where)
    axis, factor = as_axis(axis), as_scale(name, scale)
    operands = {"grad": grad, "x": x, "bias": bias, "sink": sink}
    # All conversions first: code of the caller that they run may change arrays that were converted before.
    given = {k: np.asanyarray(value) for k, value in operands.items() if value is not None or k in {"grad", "x"}}
    arrays = {operand: as_real(name, array) for operand, array in given.items()}
    kinds: list[Any] = []
    for operand, array in arrays.items():  # CPython loses what a generator yields where a tuple of it finds no memory
        kinds.append(v if type(v := operands[operand]) in (int, float, np.ndarray) else array)
    result = joint_dtype(*kinds)
    work = np.dtype(np.float32) if result.itemsize == 2 else result
    grad, x = (as_native(arrays[k]).astype(work, copy=False) for k in ("grad", "x"))
    if grad.shape != x.shape:
        raise ValueError(f"{name}: grad must have the shape of x, {x.shape}, not {grad.shape}")
    Load(name, scale, bias, _capper, softcap, sink).choose(name, work.num)
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    # Views of copies: the caller's code may run in a warning, and free the memory below a view.
    mask = None if where is True else spread_mask(name, np.array(where), x.shape)
    kept = tuple(length for k, length in enumerate(x.shape) if k not in axes)
    if bias is not None:
        arrays["bias"] = spread(name, "bias", given["bias"].copy(), work.num, given["bias"].shape)
        spread(name, "bias", arrays["bias"], work.num, x.shape)
    sinks = None if sink is None else spread(name, "sink", arrays["sink"].copy(), work.num, kept)
    load = Load(name, factor, arrays.get("bias"), _capper, softcap, sinks)
    keeps = bias is not None and (factor != 1 or softcap is not None)
    copied, target = x.dtype != given["x"].dtype, out if result == work else None
    dx, slope, dz, dsinks = backward_loaded(
        _rows, name, kind, grad, x, axes, load, _capper_backward, mask, keeps, copied, target
    )
    dscale = np.float64(slope).astype(result)
    dbias = None if bias is None else _rounded(_summed(dx if dz is None else dz, arrays["bias"].shape), result)[()]
    dsink = None if sink is None else _rounded(_summed(dsinks, arrays["sink"].shape), result)[()]
    if dx is not out:
        dx = stored(name, (dx if dx.dtype == result else _rounded(dx, result))[()], out)
    return dx, dscale, dbias, dsink


def softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Softmax: exponentials divided by their sum.

    Computes ``exp(x) / sum(exp(x))`` over each row, as ``exp(x - max(x)) / sum(exp(x - max(x)))`` without the
    rounding of the difference. With options, ``exp(z) / (sum(exp(z)) + exp(sink))``, where
    ``z = softcap * tanh(scale * x / softcap) + bias``.

    In SciPy: ``special.softmax(x, axis=axis)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    scale : float, default 1.0
        Factor of `x`, any finite number: one divided by the temperature, or by the root of the length of a query.
    bias : array_like, optional
        What is added to the scaled `x`; broadcasts to its shape. -inf masks an element.
    softcap : float, optional
        Limit of the scaled `x` before the bias is added, by :func:`softcap`; finite and greater than 0.
    sink : array_like, optional
        One more logit for each row, whose own probability is dropped; broadcasts to the shape of `x` without `axis`.
        0 gives what is also called softmax1.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become 0, whatever they
        are, NaN included, also in a row that is masked altogether.

    Returns
    -------
    ndarray or scalar
        Numbers between 0 and 1 that add up to 1 along `axis`, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy, or `bias` is one of truth values; `where` is the mask.
    ValueError
        If `where`, `bias` or `sink` does not broadcast to its shape, or `scale` or `softcap` is not in its range.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    A row with NaN is NaN. Infinities give the limit where there is one: -inf becomes 0, and a single +inf
    becomes 1 and all others 0. Several +inf, or nothing but -inf, have no limit and give NaN.

    The options are one pass, to the bits of passes of their own: ``z`` is ``x * scale``, then ``softcap(z, softcap)``,
    then ``z + bias``, each rounded to the type of the result (16-bit types are computed in a wider one and rounded once,
    at the end), in the order of ONNX's operator ``Attention``. Arrays among `x`, `bias` and `sink` decide the type,
    numbers do not. Masked elements take no part whatever `bias` is there. A row that is all -inf has a limit beside a
    finite `sink`: nothing but 0.

    The largest error of an element is ``fr.error_bound("softmax", dtype)`` ULP, subnormal results and rows of
    any spread included.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softmax(np.float32([1.0, 2.0, 4.0])).round(4)
    array([0.042 , 0.1142, 0.8438], dtype=float32)
    >>> fr.softmax(np.float32([1.0, 2.0, 4.0]), where=[True, True, False]).round(4)
    array([0.2689, 0.7311, 0.    ], dtype=float32)

    A row of attention with a bias, and one with a sink, which takes a share that nobody gets:

    >>> scores = np.float32([1.0, 2.0, 4.0])
    >>> fr.softmax(scores, scale=0.5, bias=np.float32([0.0, -1.0, -np.inf])).round(4)
    array([0.6225, 0.3775, 0.    ], dtype=float32)
    >>> fr.softmax(scores, sink=3.0).round(4)
    array([0.0321, 0.0871, 0.6439], dtype=float32)
    """
    if type(scale) is float and scale == 1.0 and bias is None and softcap is None and sink is None:
        return forward(_rows, _SOFTMAX, x, axis, out, where)
    return forward_loaded(_rows, _SOFTMAX, x, axis, out, where, Load("softmax", scale, bias, _capper, softcap, sink))


def softmax_(
    x: _T,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    where: ArrayLike = True,
) -> _T:
    """Apply :func:`softmax` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.softmax_(x) is x
    True
    """
    if type(scale) is float and scale == 1.0 and bias is None and softcap is None and sink is None:
        return forward_in_place(_rows, _SOFTMAX, x, axis, where)
    target: Any = target_in_place("softmax", x)
    load = Load("softmax", scale, bias, _capper, softcap, sink)
    forward_loaded(_rows, _SOFTMAX, target, axis, target, where, load)
    return x


def softmax_backward_from_output(
    grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, scale: float = 1.0, out: Output = None
) -> Any:
    """Gradient of :func:`softmax` from its output.

    Computes ``y * (grad - sum(grad * y))`` over each row.

    In NumPy: ``y * (grad - (grad * y).sum(axis, keepdims=True))``.

    `grad` and `y` have the same shape. Where ``y`` is 0, as masked elements are, the gradient is 0 and `grad` is
    ignored, NaN included: no mask is needed. With a `scale`, which multiplies the
    result, this is the gradient of `x`; those of a cap and of other options come from
    :func:`softmax_backward_parameters`.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.softmax(np.float32([1.0, 2.0, 4.0]))
    >>> fr.softmax_backward_from_output(np.float32([1.0, 0.0, 0.0]), y).round(4)
    array([ 0.0402, -0.0048, -0.0354], dtype=float32)
    """
    if type(scale) is float and scale == 1.0:
        return from_output(_rows, _SOFTMAX, grad, y, axis, out)
    return _scaled_from_output("softmax_backward_from_output", _SOFTMAX, grad, y, axis, scale, out)


def softmax_backward_parameters(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> tuple[Any, Any, Any, Any]:
    """Gradients of :func:`softmax` with respect to its input, `scale`, `bias` and `sink`.

    Computes ``dz`` as :func:`softmax_backward_from_output` does, then ``dbias`` and ``dscale`` as sums of ``dz`` and of
    ``dz * (1 - tanh(scale * x / softcap)**2) * x``, and ``dsink`` as ``-p * sum(grad * y)`` with the probability
    ``p`` of the sink.

    Returns
    -------
    dx, dscale : ndarray, scalar
        The gradients with respect to `x` and `scale`; `out`, if given, holds the first.
    dbias, dsink : ndarray, scalar or None
        The gradients with respect to `bias` and `sink`, in their shapes; None for what is not given.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> grad, x = np.float32([1.0, 0.0, 0.0]), np.float32([1.0, 2.0, 4.0])
    >>> dx, dscale, dbias, dsink = fr.softmax_backward_parameters(grad, x, scale=0.5, sink=1.0)
    >>> dx.round(4), dscale.round(4), dbias, dsink.round(4)
    (array([ 0.0505, -0.0107, -0.0291], dtype=float32), np.float32(-0.1744), None, np.float32(-0.0214))
    """
    return _backward_parameters("softmax", _SOFTMAX, grad, x, axis, scale, bias, softcap, sink, where, out)


def log_softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> Any:
    """Logarithm of :func:`softmax`.

    Computes ``x - log(sum(exp(x)))`` over each row, as ``log1p`` of the sum without the largest element, so that
    results close to 0 are accurate too. With options, ``z - log(sum(exp(z)) + exp(sink))``, where
    ``z = softcap * tanh(scale * x / softcap) + bias``.

    In SciPy: ``special.log_softmax(x, axis=axis)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    scale : float, default 1.0
        Factor of `x`, any finite number: one divided by the temperature, or by the root of the length of a query.
    bias : array_like, optional
        What is added to the scaled `x`; broadcasts to its shape. -inf masks an element.
    softcap : float, optional
        Limit of the scaled `x` before the bias is added, by :func:`softcap`; finite and greater than 0.
    sink : array_like, optional
        One more logit for each row, whose own probability is dropped; broadcasts to the shape of `x` without `axis`.
        0 gives what is also called softmax1.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become -inf, whatever they
        are, NaN included, also in a row that is masked altogether.

    Returns
    -------
    ndarray or scalar
        Numbers up to 0, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy, or `bias` is one of truth values; `where` is the mask.
    ValueError
        If `where`, `bias` or `sink` does not broadcast to its shape, or `scale` or `softcap` is not in its range.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    A row with NaN is NaN. Infinities give the limit where there is one: -inf stays, and a single +inf becomes 0
    and all others -inf. Several +inf, or nothing but -inf, have no limit and give NaN.

    The options are one pass, to the bits of passes of their own: ``z`` is ``x * scale``, then ``softcap(z, softcap)``,
    then ``z + bias``, each rounded to the type of the result (16-bit types are computed in a wider one and rounded once,
    at the end), in the order of ONNX's operator ``Attention``. Arrays among `x`, `bias` and `sink` decide the type,
    numbers do not. Masked elements take no part whatever `bias` is there. A row that is all -inf has a limit beside a
    finite `sink`: nothing but -inf.

    The largest error of an element is ``fr.error_bound("log_softmax", dtype)`` ULP, subnormal results and rows
    of any spread included.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.log_softmax(np.float32([1.0, 2.0, 4.0])).round(4)
    array([-3.1698, -2.1698, -0.1698], dtype=float32)
    >>> fr.log_softmax(np.float32([1.0, 2.0, 4.0]), where=[True, True, False]).round(4)
    array([-1.3133, -0.3133,    -inf], dtype=float32)
    >>> fr.log_softmax(np.float32([1.0, 2.0, 4.0]), scale=0.5, softcap=2.0).round(4)
    array([-1.6779, -1.2435, -0.6446], dtype=float32)
    """
    if type(scale) is float and scale == 1.0 and bias is None and softcap is None and sink is None:
        return forward(_rows, _LOG_SOFTMAX, x, axis, out, where)
    load = Load("log_softmax", scale, bias, _capper, softcap, sink)
    return forward_loaded(_rows, _LOG_SOFTMAX, x, axis, out, where, load)


def log_softmax_(
    x: _T,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    where: ArrayLike = True,
) -> _T:
    """Apply :func:`log_softmax` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.log_softmax_(x) is x
    True
    """
    if type(scale) is float and scale == 1.0 and bias is None and softcap is None and sink is None:
        return forward_in_place(_rows, _LOG_SOFTMAX, x, axis, where)
    target: Any = target_in_place("log_softmax", x)
    load = Load("log_softmax", scale, bias, _capper, softcap, sink)
    forward_loaded(_rows, _LOG_SOFTMAX, target, axis, target, where, load)
    return x


def log_softmax_backward_from_output(
    grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, scale: float = 1.0, out: Output = None
) -> Any:
    """Gradient of :func:`log_softmax` from its output.

    Computes ``grad - exp(y) * sum(grad)`` over each row.

    In NumPy: ``grad - np.exp(y) * grad.sum(axis, keepdims=True)``.

    `grad` and `y` have the same shape. Where ``y`` is -inf, as masked elements are, the gradient is 0 and `grad` is
    ignored, NaN included: no mask is needed. With a `scale`, which multiplies the
    result, this is the gradient of `x`; those of a cap and of other options come from
    :func:`log_softmax_backward_parameters`.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.log_softmax(np.float32([1.0, 2.0, 4.0]))
    >>> fr.log_softmax_backward_from_output(np.float32([1.0, 0.0, 0.0]), y).round(4)
    array([ 0.958 , -0.1142, -0.8438], dtype=float32)
    """
    if type(scale) is float and scale == 1.0:
        return from_output(_rows, _LOG_SOFTMAX, grad, y, axis, out)
    return _scaled_from_output("log_softmax_backward_from_output", _LOG_SOFTMAX, grad, y, axis, scale, out)


def log_softmax_backward_parameters(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axis = -1,
    *,
    scale: float = 1.0,
    bias: ArrayLike | None = None,
    softcap: float | None = None,
    sink: ArrayLike | None = None,
    out: Output = None,
    where: ArrayLike = True,
) -> tuple[Any, Any, Any, Any]:
    """Gradients of :func:`log_softmax` with respect to its input, `scale`, `bias` and `sink`.

    Computes ``dz`` as :func:`log_softmax_backward_from_output` does, then ``dbias`` and ``dscale`` as sums of ``dz`` and of
    ``dz * (1 - tanh(scale * x / softcap)**2) * x``, and ``dsink`` as ``-p * sum(grad)`` with the probability
    ``p`` of the sink.

    Returns
    -------
    dx, dscale : ndarray, scalar
        The gradients with respect to `x` and `scale`; `out`, if given, holds the first.
    dbias, dsink : ndarray, scalar or None
        The gradients with respect to `bias` and `sink`, in their shapes; None for what is not given.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> grad, x = np.float32([1.0, 0.0, 0.0]), np.float32([1.0, 2.0, 4.0])
    >>> dx, dscale, dbias, dsink = fr.log_softmax_backward_parameters(grad, x, scale=0.5, sink=1.0)
    >>> dx.round(4), dscale.round(4), dbias, dsink.round(4)
    (array([ 0.443 , -0.0939, -0.2552], dtype=float32), np.float32(-1.5315), None, np.float32(-0.1878))
    """
    return _backward_parameters("log_softmax", _LOG_SOFTMAX, grad, x, axis, scale, bias, softcap, sink, where, out)


def softmin(x: ArrayLike, axis: Axis = -1, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Softmin: :func:`softmax` of the negated input.

    Computes ``exp(-x) / sum(exp(-x))`` over each row.

    In SciPy: ``special.softmax(-x, axis=axis)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become 0, whatever they
        are, NaN included, also in a row that is masked altogether.

    Returns
    -------
    ndarray or scalar
        Numbers between 0 and 1 that add up to 1 along `axis`, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy; `where` is the mask.
    ValueError
        If `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    A row with NaN is NaN. Infinities give the limit where there is one: +inf becomes 0, and a single -inf
    becomes 1 and all others 0. Several -inf, or nothing but +inf, have no limit and give NaN.

    The largest error of an element is ``fr.error_bound("softmin", dtype)`` ULP, subnormal results and rows of
    any spread included.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.softmin(np.float32([1.0, 2.0, 4.0])).round(4)
    array([0.7054, 0.2595, 0.0351], dtype=float32)
    >>> fr.softmin(np.float32([1.0, 2.0, 4.0]), where=[True, True, False]).round(4)
    array([0.7311, 0.2689, 0.    ], dtype=float32)
    """
    return forward(_rows, _SOFTMIN, x, axis, out, where)


def softmin_(x: _T, axis: Axis = -1, *, where: ArrayLike = True) -> _T:
    """Apply :func:`softmin` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.softmin_(x) is x
    True
    """
    return forward_in_place(_rows, _SOFTMIN, x, axis, where)


def softmin_backward_from_output(grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, out: Output = None) -> Any:
    """Gradient of :func:`softmin` from its output.

    Computes ``y * (sum(grad * y) - grad)`` over each row.

    In NumPy: ``y * ((grad * y).sum(axis, keepdims=True) - grad)``.

    `grad` and `y` have the same shape. Where ``y`` is 0, as masked elements are, the gradient is 0 and `grad` is
    ignored, NaN included: no mask is needed.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.softmin(np.float32([1.0, 2.0, 4.0]))
    >>> fr.softmin_backward_from_output(np.float32([1.0, 0.0, 0.0]), y).round(4)
    array([-0.2078,  0.183 ,  0.0248], dtype=float32)
    """
    return from_output(_rows, _SOFTMIN, grad, y, axis, out)


def hardmax(x: ArrayLike, axis: Axis = -1, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Hardmax: 1 at the largest element, 0 at all others.

    Computes the limit of ``softmax(x / tau)`` for small ``tau``, except that of equal elements the first is chosen.

    In NumPy: ``(np.arange(x.shape[-1]) == x.argmax(-1, keepdims=True)) * x.dtype.type(1)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become 0, also in a row that
        is masked altogether.

    Returns
    -------
    ndarray or scalar
        Zeros and a single 1 along `axis`, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy; `where` is the mask.
    ValueError
        If `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    See Also
    --------
    sparsemax : Between softmax and hardmax, with a gradient.

    Notes
    -----
    A row with NaN is NaN. Infinities are numbers like others: a row of nothing but -inf has its 1 at the first element.

    References
    ----------
    Defined as ONNX's operator ``Hardmax``, whose results for rows with NaN differ between implementations.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.hardmax(np.float32([1.0, 4.0, 4.0]))
    array([0., 1., 0.], dtype=float32)
    """
    return forward(_rows, _HARDMAX, x, axis, out, where)


def hardmax_(x: _T, axis: Axis = -1, *, where: ArrayLike = True) -> _T:
    """Apply :func:`hardmax` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.hardmax_(x) is x
    True
    """
    return forward_in_place(_rows, _HARDMAX, x, axis, where)


def hardmax_backward_from_output(grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, out: Output = None) -> Any:
    """Gradient of :func:`hardmax`, which is 0, and NaN where `y` is.

    Computes ``0 * y``.

    In NumPy: ``0 * y``.

    `grad` and `y` have the same shape. For a gradient that passes, take that of :func:`softmax`, as
    :func:`gumbel_softmax` does with ``hard=True``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.hardmax(np.float32([1.0, 2.0, 4.0]))
    >>> fr.hardmax_backward_from_output(np.float32([1.0, 0.0, 0.0]), y)
    array([0., 0., 0.], dtype=float32)
    """
    return from_output(_rows, _HARDMAX, grad, y, axis, out)


def sparsemax(x: ArrayLike, axis: Axis = -1, *, out: Output = None, where: ArrayLike = True) -> Any:
    """Sparsemax: probabilities of which most are exactly 0.

    Computes ``max(x - t, 0)`` over each row, with the ``t`` for which they add up to 1: of all probabilities the
    nearest to `x`.

    In NumPy: ``(x - t).clip(0)``, where ``t`` comes from a sorted row.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become 0, also in a row that
        is masked altogether.

    Returns
    -------
    ndarray or scalar
        Numbers between 0 and 1 that add up to 1 along `axis`, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy; `where` is the mask.
    ValueError
        If `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    A row with NaN is NaN. Infinities give the limit where there is one: -inf becomes 0, and a single +inf
    becomes 1 and all others 0. Several +inf, or nothing but -inf, have no limit and give NaN.

    Nothing is sorted: ``t`` is found by Newton's method, whose steps end at the exact set of the elements above it.
    Results are rounded once, small ones included, for both types.

    References
    ----------
    A. F. T. Martins, R. F. Astudillo, "From softmax to sparsemax: a sparse model of attention and multi-label
    classification", ICML 2016.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.sparsemax(np.float32([1.0, 1.5, -2.0]))
    array([0.25, 0.75, 0.  ], dtype=float32)
    >>> fr.sparsemax(np.float32([1.0, 1.5, 4.0]), where=[True, True, False])
    array([0.25, 0.75, 0.  ], dtype=float32)
    """
    return forward(_rows, _SPARSEMAX, x, axis, out, where)


def sparsemax_(x: _T, axis: Axis = -1, *, where: ArrayLike = True) -> _T:
    """Apply :func:`sparsemax` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.sparsemax_(x) is x
    True
    """
    return forward_in_place(_rows, _SPARSEMAX, x, axis, where)


def sparsemax_backward_from_output(grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, out: Output = None) -> Any:
    """Gradient of :func:`sparsemax` from its output.

    Computes ``grad - mean(grad)`` over the elements of each row where ``y > 0``, and 0 elsewhere.

    In NumPy: ``(y > 0) * (grad - (grad * (y > 0)).sum(axis, keepdims=True) / (y > 0).sum(axis, keepdims=True))``.

    `grad` and `y` have the same shape. Where ``y`` is 0 `grad` is ignored, NaN included: no mask is needed.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.sparsemax(np.float32([1.0, 1.5, -2.0]))
    >>> fr.sparsemax_backward_from_output(np.float32([1.0, 0.0, 0.0]), y)
    array([ 0.5, -0.5,  0. ], dtype=float32)
    """
    return from_output(_rows, _SPARSEMAX, grad, y, axis, out)


def gumbel_softmax(
    x: ArrayLike,
    axis: Axis = -1,
    *,
    tau: float = 1.0,
    hard: bool = False,
    rng: Any = None,
    where: ArrayLike = True,
    out: Output = None,
) -> Any:
    """Softmax of noisy logits: a sample of a category as numbers that have a gradient.

    Computes ``softmax((x + noise) / tau)`` over each row, where ``noise`` has the standard Gumbel distribution: the
    largest element of a row is each one with the probability that :func:`softmax` gives it.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default -1
        The axis or axes along which a row lies; None for all.
    tau : float, default 1.0
        Temperature; finite and greater than 0. The smaller, the nearer to zeros and a single 1.
    hard : bool, default False
        Whether to return zeros and a single 1: :func:`hardmax` of the sample.
    rng : numpy.random.Generator or seed, optional
        Source of the random numbers: any argument of :func:`numpy.random.default_rng`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`. Masked elements become 0.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray or scalar
        The sample, of the shape of `x`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy, or `tau` no number.
    ValueError
        If `tau` is not positive or not finite, or `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    Infinities and NaN are as in :func:`softmax`. The noise is drawn for all elements in C's order, in the type of the
    result, so it depends on the shape and the type of `x`, not on its layout.

    References
    ----------
    E. Jang, S. Gu, B. Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = fr.gumbel_softmax(np.float32([1.0, 2.0, 4.0]), rng=0)
    >>> bool(np.isclose(y.sum(), 1))
    True
    >>> sorted(fr.gumbel_softmax(np.float32([1.0, 2.0, 4.0]), hard=True, rng=0).tolist())
    [0.0, 0.0, 1.0]
    """
    check_flag("hard", hard)
    _foreign.refuse("gumbel_softmax", x=x, where=where, out=out)
    noisy = _noisy("gumbel_softmax", x, axis, _temperature(tau), rng)
    wrap = _foreign.wrapper(x) if out is None else None
    kind = as_real("gumbel_softmax", x).dtype
    rounded = kind.itemsize == 2  # from float32, the type of the noise
    target = None if rounded else out
    if target is None and noisy.ndim:
        target = noisy
    soft = forward(_rows, _SOFTMAX, noisy, axis, noisy if hard else target, where)
    y = forward(_rows, _HARDMAX, soft, axis, target, where) if hard else soft
    if rounded:
        y = stored("gumbel_softmax", as_half(np.asarray(y), kind)[()], out)
    return y if wrap is None else wrap(y)


def gumbel_softmax_(
    x: _T, axis: Axis = -1, *, tau: float = 1.0, hard: bool = False, rng: Any = None, where: ArrayLike = True
) -> _T:
    """Apply :func:`gumbel_softmax` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([1.0, 2.0, 4.0])
    >>> fr.gumbel_softmax_(x) is x
    True
    """
    target: Any = x
    gumbel_softmax(target, axis, tau=tau, hard=hard, rng=rng, where=where, out=target)
    return x


def gumbel_softmax_backward_from_output(
    grad: ArrayLike, y: ArrayLike, axis: Axis = -1, *, tau: float = 1.0, out: Output = None
) -> Any:
    """Gradient of :func:`gumbel_softmax` from its output.

    Computes ``y * (grad - sum(grad * y)) / tau`` over each row.

    In NumPy: ``y * (grad - (grad * y).sum(axis, keepdims=True)) / tau``.

    `y` is the sample without ``hard=True``. That of a hard sample, ``hardmax(y)``, is by definition the same (the
    straight-through estimator).

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y = np.float32([0.25, 0.75])
    >>> fr.gumbel_softmax_backward_from_output(np.float32([1.0, 0.0]), y, tau=0.5)
    array([ 0.375, -0.375], dtype=float32)
    """
    tau = _temperature(tau)
    name = "gumbel_softmax_backward_from_output"
    _foreign.refuse(name, grad=grad, y=y, out=out)
    real = as_real(name, grad), as_real(name, y)
    # Arrays as they are given: bytes next to 16 bits are no wider than these.
    grad, y = (v if type(v) is np.ndarray else array for v, array in zip((grad, y), real, strict=True))
    return from_output(_rows, _SOFTMAX, grad, y, axis, out, tau, True)


def logsumexp(
    x: ArrayLike, axis: Axis = None, *, out: Output = None, where: ArrayLike = True, keepdims: bool = False
) -> Any:
    """Logarithm of the sum of exponentials.

    Computes ``log(sum(exp(x)))`` over each row, as the largest element plus ``log1p`` of the sum without it, so that
    nothing overflows and what is beside a largest element of 0 is not lost.

    In SciPy: ``special.logsumexp(x, axis=axis)``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default None
        The axis or axes along which a row lies; None for all.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`.
    keepdims : bool, default False
        Whether the axes stay, with length 1.

    Returns
    -------
    ndarray or scalar
        One number for each row, of the shape of `x` without `axis`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy; `where` is the mask.
    ValueError
        If `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    See Also
    --------
    logmeanexp : The logarithm of the mean of exponentials.

    Notes
    -----
    A row with NaN gives NaN, otherwise one with +inf gives +inf. No elements, or nothing but -inf, give -inf.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> float(fr.logsumexp([0.0, -40.0]))
    4.248354255291589e-18
    >>> fr.logsumexp(np.float32([[1.0, 2.0], [1000.0, 1000.0]]), axis=1)
    array([   2.3132617, 1000.6932   ], dtype=float32)
    """
    check_flag("keepdims", keepdims)
    return _logsumexp(_rows, x, axis, out, where, keepdims, False)


def logsumexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axis = None,
    *,
    out: Output = None,
    where: ArrayLike = True,
    keepdims: bool = False,
) -> Any:
    """Gradient of :func:`logsumexp`.

    Computes ``grad * softmax(x)`` over each row.

    In NumPy: ``grad * np.exp(x - np.log(np.exp(x).sum(axis, keepdims=True)))``.

    `grad` has the shape of the result. The gradient of a masked element is 0.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.logsumexp_backward(np.float32(2.0), np.float32([0.0, 0.0]))
    array([1., 1.], dtype=float32)
    """
    check_flag("keepdims", keepdims)
    return _logsumexp_backward(_rows, "logsumexp_backward", grad, x, axis, out, where, keepdims)


def logmeanexp(
    x: ArrayLike, axis: Axis = None, *, out: Output = None, where: ArrayLike = True, keepdims: bool = False
) -> Any:
    """Logarithm of the mean of exponentials.

    Computes ``log(mean(exp(x)))`` over each row: :func:`logsumexp` minus the logarithm of the number of elements that
    take part.

    In SciPy: ``special.logsumexp(x, axis=axis) - np.log(x.shape[axis])``.

    Parameters
    ----------
    x : array_like
        Input of any shape; floats of 16, 32 and 64 bits keep their type.
    axis : int, tuple of int or None, default None
        The axis or axes along which a row lies; None for all.
    out : ndarray or writable buffer, optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    where : array_like of bool, optional
        Mask of the elements that take part; broadcasts to the shape of `x`.
    keepdims : bool, default False
        Whether the axes stay, with length 1.

    Returns
    -------
    ndarray or scalar
        One number for each row, of the shape of `x` without `axis`; `out` if given.

    Raises
    ------
    TypeError
        If `x` is a masked array of NumPy; `where` is the mask.
    ValueError
        If `where` does not broadcast to the shape of `x`.
    numpy.exceptions.AxisError
        If `x` has no such axis.

    Notes
    -----
    As :func:`logsumexp`, except that a row without elements gives NaN.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.logmeanexp(np.float32([3.0, 3.0, 3.0]))
    np.float32(3.0)
    """
    check_flag("keepdims", keepdims)
    return _logsumexp(_rows, x, axis, out, where, keepdims, True)


def logmeanexp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: Axis = None,
    *,
    out: Output = None,
    where: ArrayLike = True,
    keepdims: bool = False,
) -> Any:
    """Gradient of :func:`logmeanexp`, which is that of :func:`logsumexp`.

    Computes ``grad * softmax(x)`` over each row.

    In NumPy: ``grad * np.exp(x - np.log(np.exp(x).sum(axis, keepdims=True)))``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.logmeanexp_backward(np.float32(2.0), np.float32([0.0, 0.0]))
    array([1., 1.], dtype=float32)
    """
    check_flag("keepdims", keepdims)
    return _logsumexp_backward(_rows, "logmeanexp_backward", grad, x, axis, out, where, keepdims)


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Any:
    """Cross-entropy of labels and the softmax of logits.

    Computes ``-log_softmax(logits)[label]`` for each row, in one pass over the data.

    Parameters
    ----------
    logits : array_like
        Scores of the classes along `axis`; floats of 16, 32 and 64 bits keep their type.
    labels : array_like
        The class of each row: integers, of the shape of `logits` without `axis`. Or the probabilities of the classes:
        floating-point numbers, of the shape of `logits`.
    axis : int, default -1
        The axis of the classes; PyTorch's is 1 for more than one dimension.
    weight : array_like, optional
        Factor of each class in the loss.
    ignore_index : int, default -100
        Rows with this label are ignored.
    label_smoothing : float, default 0.0
        Share of the probability that is spread evenly over all classes; between 0 and 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        ``"mean"`` divides the sum by the sum of the weights of the labels that are not ignored; with probabilities,
        by the number of rows. ``"none"`` gives one loss per row.

    Returns
    -------
    scalar or ndarray
        The loss, of the type of `logits`; labels and weights do not change the type.

    Raises
    ------
    TypeError
        If `logits` is a masked array of NumPy, or `labels` are neither integers nor floating-point numbers.
    ValueError
        If shapes do not match, there are no classes, or an option has another value than those above.
    IndexError
        If a label is negative or not below the number of classes, `ignore_index` aside.
    numpy.exceptions.AxisError
        If `logits` has no such axis.

    See Also
    --------
    cross_entropy_value_and_grad : The loss and its gradient in one pass.

    Notes
    -----
    Defined as ``torch.nn.functional.cross_entropy``: if all rows are ignored, the mean is NaN. A weight or a
    probability of 0 contributes 0, even where the loss is infinite.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> logits = np.float32([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0]])
    >>> fr.cross_entropy(logits, [0, 2]).round(4)
    np.float32(0.1681)
    >>> fr.cross_entropy(logits, [0, 2], reduction="none").round(4)
    array([0.2413, 0.0949], dtype=float32)
    """
    return _cross_entropy(_rows, logits, labels, axis, weight, ignore_index, label_smoothing, reduction, False, None)


def cross_entropy_value_and_grad(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    out: Output = None,
) -> tuple[Any, Any]:
    """Value of :func:`cross_entropy` and its gradient with respect to the logits, in one pass over the data.

    The gradient of a row is ``softmax(logits) - one_hot(label)``, divided by the number of rows for the mean. Parameters
    and errors are those of :func:`cross_entropy`; `out` receives the gradient, and ``out=logits`` works in place.

    Returns
    -------
    loss : scalar or ndarray
        The result of :func:`cross_entropy`.
    grad : ndarray
        Gradient of the loss, or with ``reduction="none"`` of the sum of the losses; `out` if given.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> logits = np.float32([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0]])
    >>> loss, grad = fr.cross_entropy_value_and_grad(logits, [0, 2])
    >>> grad.round(4)
    array([[-0.1072,  0.0876,  0.0196],
           [ 0.0226,  0.0226, -0.0453]], dtype=float32)
    """
    loss, grad = _cross_entropy(
        _rows, logits, labels, axis, weight, ignore_index, label_smoothing, reduction, True, out
    )
    return loss, grad
