"""Random numbers, shapes and arrays (in memory of their own or of others) for tools/fuzz.py, and plain copies."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from grid import PRECISIONS
from inputs import values

from fastrelu import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cases import Case
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Shape = tuple[int, ...]
    Errors = type[Exception] | tuple[type[Exception], ...]

FLOATS = ("f4", "f8", "f4", "f8", ">f4", ">f8", "f2")
TYPES = (*FLOATS, *FLOATS, ">f2", "?", "i1", "u1", "i2", ">u2", "i4", "u4", "i8", ">i8", "u8")
OUTPUTS = ("f2", "f4", "f8", ">f4", ">f8", "g", "F", ">D")
UNFIT = ("F", "D", "O", "U1", "M8[s]", *(["g"] if np.dtype("g").itemsize > 8 else []))
LONG = (15, 16, 17, 31, 64, 65, 100, 511, 512, 513, 1000, 1500)
POOL = 1 << 16


@functools.cache
def pool(dtype: str) -> Array:
    """Return numbers of every kind that a type can hold."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        x = values(POOL, kind.newbyteorder("=") if kind.itemsize > 2 else "f4", 5)
        return x.astype(kind) if kind.itemsize > 2 else x.clip(-6e4, 6e4).astype(kind)
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    x = np.random.default_rng(1).integers(max(low, -9), 9, POOL).clip(low, high).astype(kind)
    x[::29], x[::31] = low, high
    return x


class Marked(np.ndarray[Any, Any]):
    """A subclass that adds nothing."""


@dataclass
class Spot:
    """An array in the memory of a call."""

    block: int
    offset: int
    view: Array

    def on(self, blocks: Sequence[Array], dtype: Any = None) -> Array:
        """Return the same elements in a copy of that memory."""
        memory = blocks[self.block]
        return np.ndarray(self.view.shape, dtype or self.view.dtype, memory, self.offset, self.view.strides)


@dataclass
class Call:
    """A function with its arguments, and the expected result."""

    function: Callable[..., Any]
    args: list[Any]
    wanted: Callable[[], Any]  # the results, from copies of the arguments
    keywords: dict[str, Any] = field(default_factory=dict)
    out: Spot | None = None  # the output; if there are several results, that of number `main`
    main: int = 0
    mask: Array | None = None  # `where=`, if given
    also: tuple[Spot, Array] | None = None  # another array that is written, and its expected contents
    bad: list[tuple[int | str, Any, Errors]] = field(default_factory=list)  # arguments that it must refuse
    errors: Errors = ()


class Draw:
    """The random numbers of one call, and its memory."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = random.Random(seed << 40 | number)
        self.blocks: list[Array] = []
        self.spots: list[Spot] = []
        self.precision: runtime.Precision = self.pick(PRECISIONS)
        self.threads = self.pick((1, 1, 2, 3))
        self.parallel_from = self.pick((64, 64, 400, 20000))
        self.stream_from = self.pick((-1, -1, 0, 2048))

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of several."""
        return options[int(self.rng.random() * len(options))]

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < share

    def shape(self, least: int = 0) -> Shape:
        """Return a shape of at least `least` axes, mostly small."""
        ndim = max(least, self.pick((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6)))
        shape = [self.pick((1, 2, 2, 3, 3, 4, 5, 7)) if self.chance(0.97) else 0 for _ in range(ndim)]
        if ndim and self.chance(0.3):
            shape[self.rng.randrange(ndim)] = self.pick(LONG)
        if ndim and self.chance(0.015):  # large enough for the pool
            shape = [1] * ndim
            shape[self.rng.randrange(ndim)] = self.pick((16391, 33000))
            shape[self.rng.randrange(ndim)] *= self.pick((1, 2))
        while math.prod(shape) > (70000 if 16391 in shape or 33000 in shape else 3000):
            shape[self.rng.randrange(ndim)] = self.pick((1, 2))
        return tuple(shape)

    def narrow(self, shape: Shape, share: float = 0.3) -> Shape:
        """Return a shape that broadcasts to another."""
        if not self.chance(share):
            return shape
        first = self.rng.randrange(len(shape) + 1) if self.chance(0.4) else 0
        return tuple(1 if self.chance(0.4) else n for n in shape[first:])

    def axis(self, ndim: int) -> int:
        """Return an axis, counted from either end."""
        return self.rng.randrange(ndim) - int(self.pick((0, ndim)))

    def axes(self, ndim: int) -> tuple[int, ...]:
        """Return any of the axes, in any order."""
        return tuple(self.rng.sample(range(ndim), self.rng.randrange(ndim + 1)))

    def strides(self, shape: Shape, size: int, spread: bool) -> list[int]:
        """Return steps that visit each element once, or some of them many times."""
        order, plain = list(range(len(shape))), self.chance(0.4)
        if not plain and self.chance(0.5):
            self.rng.shuffle(order)
        gaps = not plain and self.chance(0.5)
        step = size if plain else self.pick((1, 1, 2, 3)) * size + self.chance(0.03)
        strides = [0] * len(shape)
        for axis in reversed(order):
            strides[axis] = -step if not plain and self.chance(0.25) else step
            step = step * max(shape[axis], 1) + (self.pick((0, 0, 1, 2, 5)) * size if gaps else 0)
            if spread and not plain and self.chance(0.15):
                strides[axis] = 0
        return strides

    def array(
        self, shape: Shape, dtype: str, values: Array | None = None, near: Spot | None = None, spread: float = 1
    ) -> Spot:
        """Lay an array out, with values or as an output; if possible, in the memory of another."""
        kind = np.dtype(dtype)
        size = kind.itemsize
        strides = self.strides(shape, size, self.chance(spread))
        if near and near.view.shape == shape and near.view.itemsize == size and self.chance(0.4):
            strides = list(near.view.strides)
        ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True) if 0 not in shape]
        low, high = sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + size
        room = self.blocks[near.block].nbytes if near else 0
        if near and room >= high - low:
            block, offset = near.block, near.offset + size * self.pick((0, 0, self.rng.randrange(-4, 5)))
            if self.chance(0.2) or not -low <= offset <= room - high:
                offset = self.rng.randrange(-low, room - high + 1)
        else:
            before = self.pick((0, 0, size, 64, high - low)) + (self.rng.randrange(size) if self.chance(0.06) else 0)
            block, offset = len(self.blocks), before - low
            total = before + high - low + self.pick((0, 0, size, 63, high - low))
            start = 8 * self.rng.randrange(POOL)
            memory = pool("u8").view("u1")[start : start + total]
            self.blocks.append(memory.copy() if memory.size == total else np.resize(memory, total))
        spot = Spot(block, offset, np.ndarray(shape, kind, self.blocks[block], offset, strides))
        if values is not None:
            spot.view[...] = values
            if kind.kind != "b":  # whose bytes are 0 and 1
                self.spots.append(spot)
        return spot

    def near(self, share: float = 0.1) -> Spot | None:
        """Return an array in whose memory the next one may lie; a parameter without axes must keep its value."""
        spots = [spot for spot in self.spots if spot.view.ndim]
        return self.pick(spots) if spots and self.chance(share) else None

    def numbers(self, shape: Shape, dtype: str) -> Array:
        """Return numbers of every kind."""
        size, start = math.prod(shape), self.rng.randrange(POOL)
        found = pool(dtype)[start : start + size]
        return (found if found.size == size else np.resize(pool(dtype), size)).reshape(shape)

    def data(self, shape: Shape, types: Sequence[str] = TYPES, like: str = "", *, loose: bool = False) -> Any:
        """Return an array of numbers; if `loose`, sometimes another object that NumPy accepts as an array."""
        dtype = like if like and self.chance(0.7) else self.pick(types)
        values = self.numbers(shape, dtype)
        if loose and self.chance(0.06):
            others = [self.array(shape, dtype, values).view.view(Marked), 0.5, -2, True, np.float32(-0.25)]
            return self.pick([*others, values.tolist(), values.flat[0]] if values.size else others)
        return self.array(shape, dtype, values, None if dtype == "?" else self.near()).view

    def in_place(self, call: Call) -> None:
        """Let a call write into its first argument."""
        call.out = next(spot for spot in self.spots if spot.view is call.args[0])

    def output(self, call: Call, shape: Shape, dtype: Any, inputs: Shape | None = None, buffers: bool = True) -> None:
        """Give a call an output; its inputs broadcast to `shape`."""
        if not self.chance(0.65):
            return
        kind = str(dtype) if self.chance(0.8) else self.pick(OUTPUTS)
        # NumPy itself rounds the masked elements of an `out` of another type that overlaps an input.
        numpys = isinstance(call.function, np.ufunc) and call.mask is not None and np.dtype(kind) != dtype
        # The result is undefined if elements of an output share memory; such outputs are rare.
        call.out = self.array(shape, kind, near=None if numpys else self.near(0.45), spread=0.03)
        view, way = call.out.view, self.rng.random()
        call.keywords["out"] = (view,) if way < 0.04 else memoryview(view) if buffers and way > 0.95 else view
        shut = view.view()
        shut.flags.writeable = False
        call.bad += [("out", shut, ValueError), ("out", np.zeros(shape, "i4"), TypeError)]
        if (shape if inputs is None else inputs)[-1:] > (1,):
            call.bad.append(("out", np.zeros((*shape[:-1], shape[-1] + 1)), ValueError))

    def masked(self, call: Call, shape: Shape, inputs: Shape) -> Array:
        """Give a call a mask that broadcasts to the shape of its inputs, and return a copy."""
        own = self.narrow(shape, 0.6)
        bits = [self.chance(0.5) for _ in range(min(math.prod(own), 70))]
        mask: Any = self.array(own, "?", np.resize(bits, own).astype(bool) if bits else np.zeros(own, bool)).view
        if self.chance(0.1):
            mask = self.pick((True, False, np.True_, mask.tolist() if mask.size else mask))
        call.keywords["where"] = mask
        call.bad.append(("where", np.ones(shape, "i8"), TypeError))
        if inputs[-1:] > (1,):
            call.bad.append(("where", np.ones(inputs[-1] + 1, bool), ValueError))
        return np.array(mask)

    def parameters(self, grid: Sequence[tuple[float, ...]], shape: Shape) -> list[Any]:
        """Return parameters as numbers, scalars and arrays; a number is in its domain, an element need not be."""
        numbers, found = self.pick(grid), []
        # Rounded or not, they must keep their order.
        exact = all(value == float(np.float32(value)) for value in numbers)
        scalar = np.float32 if exact and self.chance(0.5) else np.float64
        for j, value in enumerate(numbers):
            kind, own = self.rng.random(), self.narrow(shape, 0.7)
            if kind < 0.5:
                found.append(int(value) if float(value).is_integer() and self.chance(0.3) else value)
            elif kind < 0.6:
                found.append(scalar(value))
            elif not own:
                found.append(self.array((), np.dtype(scalar).str, np.array(value)).view)
            else:
                dtype = self.pick(("f4", "f4", "f8", "f8", "f2", ">f4", ">f8", "i2", "i4"))
                options = [p[j] for p in grid] + ([math.nan, math.inf, -1.0, 0.0] if self.chance(0.3) else [])
                values = np.array(self.rng.choices(options, k=40))
                values = np.nan_to_num(values).clip(-9, 9) if dtype[0] == "i" else values
                found.append(self.array(own, dtype, np.resize(values, own), self.near()).view)
        return found


# --- Plain copies -----------------------------------------------------------------------------------------------------


def loop_type(*operands: Any) -> np.dtype[Any]:
    """Return the type of the result."""
    typed = [np.asarray(a).dtype for a in operands if isinstance(a, np.ndarray | np.generic | list | bool)]
    if typed and np.result_type(*typed) == np.float16:
        return np.dtype(np.float16)
    return np.dtype(np.float32 if typed and all(np.can_cast(t, np.float32) for t in typed) else np.float64)


def plain(operand: Any, dtype: Any, shape: Shape | None = None) -> Array:
    """Return a contiguous copy, spread to a shape."""
    array = np.asarray(operand)
    return np.array(array if shape is None else np.broadcast_to(array, shape), dtype, order="C")


def joint(*operands: Any) -> Shape:
    """Return the shape that operands broadcast to."""
    return np.broadcast_shapes(*map(np.shape, operands))


def dense(case: Case, args: Sequence[Any], dtype: np.dtype[Any], by_ufunc: bool) -> Array:
    """Return the result of a kernel on plain copies, by the ufunc or the fast path."""
    # A ufunc rounds a number to float16, a function does not.
    by_ufunc = by_ufunc and not (dtype == np.float16 and any(not np.ndim(value) for value in args[case.ndata :]))
    shape = joint(*args)
    full: list[Any] = [plain(a, dtype, shape).ravel() for a in args[: case.ndata]]
    for value in args[case.ndata :]:
        number = dtype.type(value) if by_ufunc and not np.ndim(value) else value
        full.append(plain(value, dtype, shape).ravel() if np.ndim(value) else number if by_ufunc else float(value))
    return np.asarray((case.ufunc if by_ufunc else case)(*full)).reshape(shape)


def equal(got: Array, wanted: Array) -> Array:
    """Return a mask of equal numbers in two arrays; the sign and payload of a NaN are unspecified."""
    if got.dtype.kind == "c":
        return equal(got.real, wanted.real) & equal(got.imag, wanted.imag)
    if got.dtype.kind != "f":
        return np.asarray(got == wanted)
    return np.asarray((got == wanted) & (np.signbit(got) == np.signbit(wanted)) | np.isnan(got) & np.isnan(wanted))


def same(got: Array, wanted: Array) -> bool:
    """Return whether a result has the type, shape and bits."""
    return got.dtype == wanted.dtype and got.shape == wanted.shape and bool(equal(got, wanted).all())


class Rows:
    """Axes of an array, merged into its last axis."""

    def __init__(self, shape: Shape, axis: Any) -> None:
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self.axes = tuple(sorted(k % len(shape) for k in axes))  # whichever is named first
        kept = [n for k, n in enumerate(shape) if k not in self.axes]
        self.whole = (*kept, *(shape[k] for k in self.axes))
        self.flat = math.prod(kept), math.prod(shape[k] for k in self.axes)

    def of(self, array: Array) -> Array:
        """Return the array as contiguous rows."""
        return np.ascontiguousarray(np.moveaxis(array, self.axes, range(-len(self.axes), 0)).reshape(self.flat))

    def back(self, rows: Array) -> Array:
        """Return rows in the shape of the array."""
        return np.moveaxis(rows.reshape(self.whole), range(-len(self.axes), 0), self.axes)
