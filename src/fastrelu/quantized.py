"""Numbers of 8 bits: an activation and its quantization in one pass, and tables of 256 entries for activations of bytes.

A number q of type int8 or uint8 stands for ``(q - zero_point) * scale``. Scale and zero point are one pair of numbers for a
whole array, or one-dimensional arrays with one pair for each index along an axis, its channels. Results are those of ONNX's
QuantizeLinear and DequantizeLinear: the quotient is rounded to the nearest integer, ties to even, and limited to the
range of the type. ONNX does not say what becomes of NaN; here it is the zero point, which stands for 0. ::

    q = quantized.quantize(x, 0.05, 128, "gelu")                       # uint8 from float32, in one pass
    table = quantized.table("gelu", 0.05, 128, 0.04, 10, np.uint8)     # made once
    quantized.lookup(table, q, out=q)                                  # an activation of bytes, in place
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import fastrelu._quantized as _quantized  # noqa: PLR0402  not what stands for it in the package
from fastrelu import runtime
from fastrelu._entries import entries
from fastrelu._foreign import refuse, refuse_mask
from fastrelu._options import axis_index, data_type, integer
from fastrelu._typing import Output
from fastrelu.fused import Activation, check_shapes, chosen, find
from fastrelu.masks import Result, as_data
from fastrelu.runtime import isa, kernels

__all__ = ["dequantize", "lookup", "quantize", "table"]

_BYTES = {np.dtype(np.int8): (-128, 127), np.dtype(np.uint8): (0, 255)}


def _byte_type(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    found = data_type("dtype", dtype)
    if found not in _BYTES:
        raise TypeError(f"{name} takes the types int8 and uint8, got {found}")
    return found


def _accurate(function: Callable[..., Any], steps: NDArray[Any], x_scale: NDArray[Any], y_scale: NDArray[Any]) -> Any:
    """Return the activation of bytes, whose offsets from the zero point are given, in steps of the result."""
    with runtime.precision("accurate"), np.errstate(all="ignore"):  # infinite results are limited
        return function(steps * x_scale) / y_scale


def _as_bytes(name: str, operand: str, value: Any) -> NDArray[Any]:
    """Return an array of int8 or uint8."""
    refuse(name, **{operand: value})
    refuse_mask(name, value)
    array = np.asarray(value)
    if array.dtype not in _BYTES:
        raise TypeError(
            f"{name} takes an array of int8 or uint8 as {operand}, got {None if value is None else array.dtype}"
        )
    return array


def _as_scale(name: str, operand: str, value: Any, dtype: Any) -> NDArray[Any]:
    """Return scales, which must be positive and finite in the type in which they are used."""
    if type(value) is float and 2.0**-100 < value < 2.0**100:
        return np.asarray(value, dtype)
    refuse_mask(name, value)
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} takes real numbers as {operand}, got {value!r}")
    rounded = array
    if array.dtype != dtype:
        with np.errstate(all="ignore"):  # what becomes of the scale is checked below
            rounded = array.astype(dtype)
    if rounded.size and not (rounded.min() > 0 and rounded.max() < np.inf):  # which is sooner than each one
        wrong = ~((rounded > 0) & (rounded < np.inf))
        raise ValueError(
            f"{name}: {operand} must be positive and finite in {np.dtype(dtype)}, got {array[wrong].flat[0]!s}"
        )
    return rounded


def _as_zero_point(name: str, operand: str, value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zero points, which must be numbers of the type."""
    array, (low, high) = np.asarray(value), _BYTES[dtype]
    if type(value) is int and low <= value <= high:
        return array
    refuse_mask(name, value)
    if array.dtype.kind not in "iu" and (array.size or type(value) is np.ndarray):  # an empty list has no type
        raise TypeError(f"{name} takes integers as {operand}, got {value!r}")
    if array.size and (array.min() < low or array.max() > high):
        wrong = (array < low) | (array > high)
        raise ValueError(
            f"{name}: {operand} must be in the range of {dtype}, {low} to {high}, got {array[wrong].flat[0]}"
        )
    return array


def _along(name: str, x: NDArray[Any], axis: int | None, **operands: NDArray[Any]) -> int | None:
    """Return the number from 0 on of the axis of scales and zero points, None if they are numbers."""
    channels = [operand for operand, array in entries(operands) if array.ndim]
    if not channels:
        if axis is not None:
            integer("axis", axis)
            raise ValueError(f"{name} takes axis= with one-dimensional {' and '.join(operands)}")
        return None
    if axis is None:
        raise ValueError(f"{name} needs axis= to know where {channels[0]} of shape {operands[channels[0]].shape} lies")
    at = axis_index(axis, x.ndim)
    for operand in channels:
        if operands[operand].shape != (x.shape[at],):
            raise ValueError(
                f"{name}: {operand} has one number, or one for each of the {x.shape[at]} elements along axis {axis}, "
                f"got shape {operands[operand].shape}"
            )
    return at


def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike,
    activation: Activation | None = None,
    /,
    *,
    dtype: DTypeLike = np.uint8,
    axis: int | None = None,
    out: Output = None,
    **parameters: Any,
) -> Any:
    """Quantize an array, or an activation of it, in one pass.

    Computes ``round(f(x) / scale) + zero_point`` within the range of the type: what ONNX's QuantizeLinear makes of
    ``f(x)``, to the bit. The quotient is computed in the type of x, for 16-bit types in float32.

    Parameters
    ----------
    x : array_like
        Input of any shape.
    scale : array_like
        Distance of two neighboring numbers, positive: one number, or one for each index along `axis`.
    zero_point : array_like of int
        The number that stands for 0, in the same way.
    activation : str or function, optional
        ``"gelu"``, ``fr.gelu``: the name of an element-wise activation, or its function. Without it x itself is quantized.
    dtype : {numpy.uint8, numpy.int8}
        Type of the result.
    axis : int, optional
        The axis of one-dimensional scales and zero points, such as 1 for the channels of NCHW.
    out : optional
        Buffer for the result.
    **parameters
        Those of the activation, such as ``negative_slope=0.1``.

    Returns
    -------
    ndarray or scalar
        Of the shape of x; `out` if given.

    Raises
    ------
    TypeError
        If the type is not one of 8 bits, a zero point is no integer, or the activation has no such parameter.
    ValueError
        If a scale is not positive, a zero point is not in the range of the type, the shapes or `axis` do not fit, or there
        is no such activation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import quantized
    >>> quantized.quantize(np.float32([-1.0, 0.25, 0.75, 300.0]), 0.5, 10, "relu")
    array([ 10,  10,  12, 255], dtype=uint8)
    """
    name = "quantize"
    call = None if activation is None else chosen(activation, parameters)
    kernel, numbers = (None, cast("tuple[Any, ...]", ())) if call is None else (kernels[call.kernel], call.numbers)
    if not (parameters and call is None):
        found = _quantized.plain_quantize(name, isa, kernel, numbers, x, scale, zero_point, dtype, out, axis)
        if found is not None:
            return found
    own = _byte_type(name, dtype)
    array = as_data(name, "x", x)
    level = np.float64 if array.dtype == np.float64 else np.float32
    scales = _as_scale(name, "scale", scale, level)
    zeros = _as_zero_point(name, "zero_point", zero_point, own)
    along = _along(name, array, axis, scale=scales, zero_point=zeros)
    if call is not None:
        if not all(type(number) in {int, float} for number in numbers):
            check_shapes(name, "x", array, parameters)
            array, kernel, numbers = as_data(name, "x", call.function()(array)), None, ()
    elif parameters:
        raise TypeError(f"quantize has no parameter {next(iter(parameters))!r} without an activation")
    q = Result(name, out, array, own)
    array, scales, zeros = q.apart(array), q.apart(scales), q.apart(zeros)
    _quantized.quantize(name, isa, kernel, numbers, array, scales, zeros, *_BYTES[own], q.array, along)
    return q.finished()


def dequantize(
    q: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike = np.float32,
    out: Output = None,
) -> Any:
    """Return the numbers that an array of int8 or uint8 stands for.

    Computes ``(q - zero_point) * scale`` with one rounding, as ONNX's DequantizeLinear does.

    Parameters
    ----------
    q : array_like of int8 or uint8
        Input of any shape.
    scale, zero_point, axis
        As for :func:`quantize`.
    dtype : dtype, default numpy.float32
        Type of the result: one that the kernels compute, such as float64, float16 or bfloat16.
    out : optional
        Buffer for the result.

    Returns
    -------
    ndarray or scalar
        Of the shape of q; `out` if given.

    Raises
    ------
    TypeError
        If q or a zero point has another type.
    ValueError
        As for :func:`quantize`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import quantized
    >>> quantized.dequantize(np.uint8([8, 10, 13]), 0.5, 10)
    array([-1. ,  0. ,  1.5], dtype=float32)
    """
    name = "dequantize"
    found = _quantized.plain_dequantize(name, isa, q, scale, zero_point, dtype, out, axis)
    if found is not None:
        return found
    array = _as_bytes(name, "q", q)
    bytes_type = array.dtype  # the conversions below may change it
    own = data_type("dtype", dtype).newbyteorder("=")  # as the type of a ufunc, which is that of its loop
    if as_data(name, "dtype", np.empty(0, own)).dtype != own:
        raise TypeError(f"{name} returns floating-point numbers of at most 64 bits, got dtype {own}")
    scales = _as_scale(name, "scale", scale, np.float64 if own == np.float64 else np.float32)
    zeros = _as_zero_point(name, "zero_point", zero_point, bytes_type)
    along = _along(name, array, axis, scale=scales, zero_point=zeros)
    x = Result(name, out, array, own)
    _quantized.dequantize(name, isa, x.apart(array), x.apart(scales), x.apart(zeros), x.array, along)
    return x.finished()


def table(
    activation: Activation,
    x_scale: ArrayLike,
    x_zero_point: ArrayLike,
    y_scale: ArrayLike,
    y_zero_point: ArrayLike,
    /,
    dtype: DTypeLike = np.int8,
    **parameters: Any,
) -> NDArray[Any]:
    """Return the quantized activation of each of the 256 numbers of a type.

    Each entry is computed in float64, precision "accurate", and rounded once. Functions that are piecewise linear are exact
    for scales in float32.

    Parameters
    ----------
    activation : str or function
        ``"gelu"``, ``fr.gelu``: the name of an element-wise activation, or its function.
    x_scale, x_zero_point : array_like
        Scale and zero point of the input: numbers, or one-dimensional arrays for several tables.
    y_scale, y_zero_point : array_like
        Those of the result.
    dtype : {numpy.int8, numpy.uint8}
        Type of input and result.
    **parameters
        Those of the activation, numbers or arrays in the same way.

    Returns
    -------
    ndarray
        256 entries, in the order of the bytes: ``table[q.view(numpy.uint8)]`` is the result for q. With arrays of n scales
        or parameters it has the shape (n, 256).

    Raises
    ------
    TypeError
        If the type is not one of 8 bits, or the activation has no such parameter.
    ValueError
        If a scale is not positive, a zero point is not in the range of the type, or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import quantized
    >>> quantized.table("relu", 0.5, 0, 0.25, -128)[[0, 1, 2, 255]]
    array([-128, -126, -124, -128], dtype=int8)
    """
    name = "table"
    own = _byte_type(name, dtype)
    arrays = {key: np.asarray(value) for key, value in entries(parameters) if np.ndim(value)}
    call = find(activation, parameters | {key: array[..., np.newaxis] for key, array in entries(arrays)})
    given = (
        _as_scale(name, "x_scale", x_scale, np.float64),
        _as_zero_point(name, "x_zero_point", x_zero_point, own),
        _as_scale(name, "y_scale", y_scale, np.float64),
        _as_zero_point(name, "y_zero_point", y_zero_point, own),
    )
    shapes = {array.shape for array in (*given, *arrays.values()) if array.ndim}
    if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
        raise ValueError(
            f"{name}: scales and zero points are numbers or one-dimensional of one length, and so are parameters, "
            f"got {shapes}"
        )
    x_scale, x_zero, y_scale, y_zero = (array[..., np.newaxis] for array in given)
    q = np.arange(256, dtype=np.uint8).view(own)
    steps = q - x_zero.astype(np.float64)
    # Settings end with a context of their own, even if there is no memory to set them back.
    y = contextvars.copy_context().run(_accurate, call.function(), steps, x_scale, y_scale)
    y = np.clip(np.rint(np.nan_to_num(y, nan=0.0, posinf=np.inf, neginf=-np.inf)) + y_zero, *_BYTES[own])
    found: NDArray[Any] = y.astype(own)
    return found


def lookup(table: ArrayLike, q: ArrayLike, /, *, axis: int | None = None, out: Output = None) -> Any:
    """Return the entries of a table for an array of int8 or uint8.

    Parameters
    ----------
    table : array_like of int8 or uint8
        256 entries in the order of the bytes, as :func:`table` returns them; or, with `axis`, of shape (n, 256).
    q : array_like of int8 or uint8
        Input of any shape.
    axis : int, optional
        The axis of q along which each index has a table of its own.
    out : optional
        Buffer for the result, which may be q.

    Returns
    -------
    ndarray or scalar
        Of the shape of q, in the type of the table; `out` if given.

    Raises
    ------
    TypeError
        If the table or q has another type.
    ValueError
        If the shape of the table does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import quantized
    >>> q = np.int8([-4, 0, 4])
    >>> quantized.lookup(quantized.table("relu", 0.5, 0, 0.25, 0), q, out=q)
    array([0, 0, 8], dtype=int8)
    """
    name = "lookup"
    found = _quantized.plain_lookup(name, isa, table, q, out, axis)
    if found is not None:
        return found
    entries, x = np.ascontiguousarray(_as_bytes(name, "table", table)), _as_bytes(name, "q", q)
    along = None if axis is None else axis_index(axis, x.ndim)
    wanted = (256,) if along is None else (x.shape[along], 256)
    if entries.shape != wanted:
        raise ValueError(f"{name} needs a table of shape {wanted}, got {entries.shape}")
    y = Result(name, out, x, entries.dtype)
    _quantized.lookup(name, isa, y.apart(entries), y.apart(x), y.array, along)
    return y.finished()
