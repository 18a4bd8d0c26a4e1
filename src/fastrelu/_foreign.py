"""Arrays of other libraries: which types run ufuncs by code of their own, and what a function along an axis does with them.

A type with an ``__array_ufunc__`` of its own (dask, pandas, xarray, quantities) is handed the ufunc, lazy and labeled as it
is. A type with ``__array_wrap__`` only (a subclass of ndarray, a PyTorch tensor) is computed as a plain array, and the
result is wrapped. A lazy array is never computed, and labels are never dropped, unasked: what cannot
work is refused by an error that says what to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu._core import check_types
from fastrelu._entries import entries
from fastrelu._options import integer

_NUMPYS = np.ndarray.__array_ufunc__


def is_foreign(value: object) -> bool:
    """Whether the type of an operand decides what a ufunc does with it."""
    kind = type(value)
    return not issubclass(kind, np.generic) and getattr(kind, "__array_ufunc__", _NUMPYS) is not _NUMPYS


def wrapper(*values: Any) -> Callable[[Any], Any] | None:
    """Return the function that gives a result the type of an operand, as NumPy's ufuncs do; None if it stays an array."""
    best = None
    for value in values:
        kind = type(value)
        if (
            kind is np.ndarray
            or kind is np.memmap
            or issubclass(kind, np.generic)
            or not hasattr(kind, "__array_wrap__")
        ):
            continue
        if best is None or _priority(value) > _priority(best):
            best = value
    if best is None:
        return None

    def wrap(y: Any) -> Any:
        array = np.asarray(y)
        try:
            return best.__array_wrap__(array, None, array.ndim == 0)
        except TypeError:  # the signature before NumPy 2
            return best.__array_wrap__(array)

    return wrap


def _priority(value: Any) -> float:
    return float(getattr(value, "__array_priority__", 0.0))


def refuse_mask(name: str, value: object) -> None:
    """Refuse masked arrays: along an axis a mask says which elements take part."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} does not read masks of numpy.ma: pass x.data and, where there is one, where=~x.mask")


def refuse(name: object, **operands: object) -> None:
    """Refuse operands whose type decides what a ufunc does with them, for functions that are no ufuncs."""
    for value in operands.values():
        if type(value) is not np.ndarray:
            break
    else:  # plain arrays, which the question below would take longer than a small call
        return
    for operand, value in _unpacked(operands):
        if is_foreign(value):
            raise _no(name, operand, value)


def refuse_none(name: object, **operands: object) -> None:
    """Refuse None, of which NumPy makes an array of an object."""
    for operand, value in entries(operands):
        if value is None:
            raise TypeError(f"{name} takes an array as {operand}, got None")


def refuse_labels(name: object, **operands: object) -> None:
    """Refuse operands of pandas and xarray where their labels would be ignored, or meet others."""
    for operand, value in _unpacked(operands):
        if is_foreign(value) and any(_library(base) in {"pandas", "xarray"} for base in type(value).__mro__):
            raise _no(name, operand, value)


def refuse_untyped(name: object, **operands: object) -> None:
    """Refuse what has no type of NumPy: tensors, frames and nullable columns."""
    for operand, value in entries(operands):
        if not isinstance(getattr(value, "dtype", None), np.dtype):
            raise _no(name, operand, value)


def _unpacked(operands: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and operands; a tuple of one is an output."""
    for name, value in entries(operands):
        yield name, value[0] if isinstance(value, tuple) and len(value) == 1 else value


def check_mask(name: str, where: object) -> None:
    """Refuse a mask that a ufunc would misread, or whose type would call the ufunc again without end."""
    refuse_labels(name, where=where)
    refuse_mask(name, where)
    if hasattr(where, "__dlpack__") and not hasattr(where, "__array__"):
        raise _no(name, "where", where)


def _no(name: object, operand: str, value: object) -> TypeError:
    convert = "asarray" if hasattr(value, "__array__") else "from_dlpack"
    kind = type(value).__name__
    return TypeError(f"{name} takes no {kind!r} as {operand}: convert it with numpy.{convert}({operand}) first")


def failure(name: str, error: Exception, operands: Sequence[Any], out: Any) -> Exception | None:
    """Return what to raise where the code of a foreign type failed in a ufunc; None for an error that stays."""
    model = next((value for value in (*operands, out) if is_foreign(value)), None)
    if model is None or "read-only" in str(error) or type(error).__module__ != "builtins":
        return None
    try:
        shape = np.broadcast_shapes(*(getattr(value, "shape", ()) for value in operands))
    except ValueError as no_shape:
        return None if isinstance(error, ValueError) else no_shape
    if isinstance(error, ValueError | AssertionError) and getattr(out, "shape", shape) != shape:
        return ValueError(f"{name} needs out= of shape {shape}, got {out.shape}")
    why = str(error) or type(error).__name__
    return TypeError(f"{name} of a {type(model).__name__!r}: {why}. Here: convert operands with numpy.asarray first")


def hand_over(
    ufunc: np.ufunc, name: str, operands: tuple[str, ...], values: tuple[Any, ...], axis: Any, out: Any, keepdims: bool
) -> Any:
    """Call a ufunc along an axis with operands of which one is foreign.

    Parameters
    ----------
    ufunc : numpy.ufunc
        A generalized ufunc.
    name : str
        The function that was called.
    operands, values : tuple
        Names and values of the inputs.
    axis : int, tuple of int or None
        The axis of the call.
    out : object
        The output, or None.
    keepdims : bool
        Whether a reduced axis stays.
    """
    for operand, value in zip(operands, values, strict=True):
        refuse_mask(name, value)
        _refuse_extension_types(name, operand, value)
    refuse_mask(name, out)
    check_types(name, operands, values)
    model = next(value for value in (*values, out) if is_foreign(value))
    libraries = {_library(value) for value in (*values, out)}
    hint = _hint(ufunc, libraries)
    options: dict[str, Any] = {"axis": _one_axis(name, axis, values, model, hint)}
    if "dask" in libraries:
        if out is not None:
            raise TypeError(f"{name} writes no dask array into out=: use its result instead, x = fr.{name}(x)")
        values = _in_chunks(name, ufunc, operands, values, options["axis"])
    if out is not None:
        options["out"] = (out,)
    if keepdims:
        options["keepdims"] = True
    reduces = str(ufunc.signature).endswith("->()")
    if "pandas" in libraries and reduces and (keepdims or max(map(_ndim, values)) > 1):
        instead = "leave keepdims out" if keepdims else f"use x.apply(fr.{name}, axis=1)"
        raise TypeError(f"{name} would lose the labels of a {type(model).__name__!r}: {instead}, or {hint}")
    cores = _cores(ufunc)
    rows = [value for value, core in zip(values, cores, strict=True) if core]
    fits = {-value.ndim <= options["axis"] < value.ndim for value in rows if hasattr(value, "ndim")}
    if len(fits) > 1:
        raise TypeError(f"{name} takes operands of one number of axes with axis={axis}: {hint}")
    try:
        result = ufunc(*values, **options)
    except NotImplementedError as error:
        raise TypeError(f"{name} of a {type(model).__name__!r}: {error} Here: {hint}") from error
    except (AssertionError, AttributeError, LookupError, RuntimeError, ValueError) as error:
        raised = failure(name, error, rows, None if reduces else out)
        if raised is None:
            raise
        raise raised from error
    return result if out is None else out


def _ndim(value: Any) -> int:
    return int(value.ndim) if hasattr(value, "ndim") else 0 if is_foreign(value) else np.ndim(value)


def _library(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__.partition(".")[0]


def _cores(ufunc: np.ufunc) -> list[bool]:
    """Return which inputs have the axis of the rows."""
    return [one == "(n)" for one in str(ufunc.signature).split("->")[0].split(",")]


def _in_chunks(
    name: str, ufunc: np.ufunc, operands: Sequence[str], values: Sequence[Any], axis: int
) -> tuple[Any, ...]:
    """Return operands as dask arrays that are cut alike, a row of each in one chunk, without computing any."""
    from_array: Any = importlib.import_module("dask.array").from_array  # an operand is of this type

    cores = _cores(ufunc)
    ndim = max(_ndim(value) for value, core in zip(values, cores, strict=True) if core)
    axis = normalize_axis_index(axis, ndim)
    loop = None
    for operand, value, core in zip(operands, values, cores, strict=True):
        if _library(value) != "dask":
            continue
        chunks = list(value.chunks)
        at = axis - ndim + value.ndim
        if core and len(chunks.pop(at)) > 1:
            raise ValueError(
                f"{name}: {operand} is cut into chunks along axis {at}, and a row must lie in one: pass "
                f"{operand}.rechunk({{{at}: -1}})"
            )
        if loop is None or len(chunks) > len(loop):
            loop = chunks
    cut = []
    for value, core in zip(values, cores, strict=True):
        lazy = _library(value) == "dask"
        array: Any = value if lazy else np.asarray(value)
        chunks = list(loop or ())
        if core:
            chunks.insert(axis, (array.shape[axis - ndim],))
        if len(chunks) == array.ndim and all(sum(c) == n for c, n in zip(chunks, array.shape, strict=True)):
            array = array.rechunk(chunks) if lazy else from_array(array, chunks)
        cut.append(array)
    return tuple(cut)


def _refuse_extension_types(name: str, operand: str, value: Any) -> None:
    """Refuse element types of pandas, whose missing values would take part as any number."""
    if _library(value) != "pandas":
        return
    dtypes = value.dtypes if getattr(value, "ndim", 1) > 1 else [value.dtype]
    for dtype in dtypes:
        if not isinstance(dtype, np.dtype):
            raise TypeError(
                f"{name} takes no {operand} of pandas' type {dtype}, whose missing values would take part in the rows: "
                f"convert it with {operand}.astype(float) first"
            )


def _one_axis(name: str, axis: Any, values: Sequence[Any], model: object, hint: str) -> int:
    """Return the axis as the one integer that a generalized ufunc takes."""
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    if axis is None and max(map(_ndim, values)) == 1:
        axis = -1
    if axis is None or isinstance(axis, tuple):
        raise TypeError(
            f"{name} takes one axis of a {type(model).__name__!r}, not {axis}: pass axis= as an integer, or {hint}"
        )
    return integer("axis", axis)


def _hint(ufunc: np.ufunc, libraries: set[str]) -> str:
    """Return what to write instead."""
    if "xarray" not in libraries:
        return "convert operands with numpy.asarray first"
    inputs, result = str(ufunc.signature).split("->")
    core = ", ".join("[dim]" if one == "(n)" else "[]" for one in inputs.split(","))
    return (
        f"xarray.apply_ufunc(fr.ufuncs.{ufunc.__name__}, {', '.join(['x'] * ufunc.nin)}, input_core_dims=[{core}]"
        f"{', output_core_dims=[[dim]]' if result == '(n)' else ''}, dask='parallelized')"
    )
