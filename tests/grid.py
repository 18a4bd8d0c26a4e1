"""The grid that the tests run over: element types, precisions, instruction sets, numbers of threads, memory layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastrelu import _runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array, Precision


@dataclass(frozen=True)
class ElementType:
    """A type of the elements; its tolerances are those that fastrelu.limits tells users."""

    wide: np.dtype[Any]  # the references compute in it
    guard: np.generic  # the bits of a NaN whose payload no kernel writes


TYPES: dict[np.dtype[Any], ElementType] = {
    np.dtype("float32"): ElementType(np.dtype("float64"), np.uint32(0x7FC0BEEF)),
    np.dtype("float64"): ElementType(np.dtype("longdouble"), np.uint64(0x7FF8BEEFBEEFBEEF)),
}
DTYPES = _runtime.dtypes
WIDE = {dtype: row.wide for dtype, row in TYPES.items()}
SENTINEL = {1: np.uint8(0xA5), 2: np.uint16(0x7EEF), **{dtype.itemsize: row.guard for dtype, row in TYPES.items()}}
PRECISIONS: tuple[Precision, ...] = ("fast", "accurate")
ISAS = _runtime.isa_available
DTYPE_NAMES = tuple(map(str, DTYPES))
each_dtype = pytest.mark.parametrize("dtype", DTYPE_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def needs_wide(dtype: np.dtype[Any]) -> None:
    """Skip where the platform has no type to compute the reference in."""
    if np.finfo(WIDE[dtype]).nmant < np.finfo(dtype).nmant + 11:
        pytest.skip("no long double wider than double here")


# --- Layouts ------------------------------------------------------------------------------------------------------


def _strided(step: int) -> Callable[[Array], Array]:
    def lay(x: Array) -> Array:
        memory = np.empty((*x.shape[:-1], x.shape[-1] * step), x.dtype)
        memory.view(f"u{x.itemsize}")[...] = SENTINEL[x.itemsize]
        view = memory[..., ::step]
        view[...] = x
        return view

    return lay


def _columns(x: Array) -> Array:
    memory = np.empty((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    memory[..., 1:-2] = x
    return memory[..., 1:-2]


def _every_second_row(x: Array) -> Array:
    memory = np.empty((2 * x.shape[0], *x.shape[1:]), x.dtype)
    memory[::2] = x
    return memory[::2]


def _reversed_axis(*axes: int) -> Callable[[Array], Array]:
    def lay(x: Array) -> Array:
        chosen = tuple({axis % x.ndim for axis in axes})
        return np.flip(np.flip(x, chosen).copy(), chosen)

    return lay


def _transposed(x: Array) -> Array:
    return x.T.copy("C").T


def _permuted(x: Array) -> Array:
    order = np.roll(np.arange(x.ndim), 1)
    return x.transpose(order).copy("C").transpose(np.argsort(order))


def _offset(x: Array) -> Array:
    return np.concatenate([np.zeros(3, x.dtype), x.ravel()])[3:].reshape(x.shape)


def _unaligned(x: Array) -> Array:
    memory = np.empty(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def swapped(x: Array) -> Array:
    """Return a copy in the other byte order."""
    return x.astype(x.dtype.newbyteorder())


def native(x: Array) -> Array:
    """Return a copy in the byte order of the machine."""
    return x.astype(x.dtype.newbyteorder("="))


def read_only(x: Array) -> Array:
    """Return a copy that nothing can write into."""
    x = x.copy()
    x.flags.writeable = False
    return x


# Each lays the same numbers out in memory in another way.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: x.copy("C"),
    "F": lambda x: x.copy("F"),
    "transposed": _transposed,
    "permuted": _permuted,
    "offset": _offset,
    "every second": _strided(2),
    "every fifth": _strided(5),
    "columns of a wider array": _columns,
    "every second row": _every_second_row,
    "backwards": _reversed_axis(-1),
    "rows backwards": _reversed_axis(0),
    "both backwards": _reversed_axis(0, -1),
    "unaligned": _unaligned,
    "byte-swapped": swapped,
    "read-only": read_only,
}
# Masks over rows, broadcast to them or laid out in other ways.
MASKS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "random": lambda rng, rows, n: rng.random((rows, n)) < 0.5,
    "padding": lambda rng, rows, n: np.arange(n) < rng.integers(0, n + 1, (rows, 1)),
    "one for all rows": lambda rng, _rows, n: rng.random((1, n)) < 0.6,
    "whole rows": lambda rng, rows, _n: rng.random((rows, 1)) < 0.6,
    "all": lambda _rng, rows, n: np.ones((rows, n), bool),
    "none": lambda _rng, rows, n: np.zeros((rows, n), bool),
    "one element": lambda rng, rows, n: np.arange(rows * n).reshape(rows, n) == rng.integers(rows * n),
    "backwards": lambda rng, rows, n: (rng.random((rows, n)) < 0.4)[::-1, ::-1],
    "every third byte": lambda rng, rows, n: (rng.random((rows, 3 * n)) < 0.4)[:, ::3],
    "bytes above 1": lambda rng, rows, n: rng.integers(0, 3, (rows, n), np.uint8).view(bool),
}
OUT_LAYOUTS = {name: lay for name, lay in LAYOUTS.items() if name != "read-only"}
# Through which door a call goes depends on its operands alone.
DOORS: dict[str, Callable[[Array], Array]] = {"dense": lambda x: x, "strided": _strided(2), "ufunc": _unaligned}


def guarded(shape: tuple[int, ...], dtype: Any, offset: int = 0) -> tuple[Array, Array]:
    """Return an array `offset` elements past an aligned address, and the memory around it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape))
    memory = np.full(size + 64, SENTINEL[kind.itemsize])
    start = 16 + offset
    return memory[start : start + size].view(kind).reshape(shape), memory
