"""Call every public function in ways that no table thinks of, and compare each with the same kernel on plain copies.

``python tools/fuzz.py --calls 300000 --seed 0`` draws one call per number: function, form, precision, threads, and for
each array its type, byte order, shape (0 to 6 axes, sizes 0 and 1 included), strides (negative, 0, with gaps, permuted,
unaligned), place in memory and values (NaN, infinities, subnormal and huge numbers among them); ``out=`` of any type
and layout, apart from the inputs or overlapping them in any way; ``where=``; parameters as numbers and arrays. The sizes
from which threads work and results go past the cache are lowered, so that small arrays reach both.

Checked is that the result has the bits, type and shape of the kernel on contiguous copies, taken before the call, by
another door and on one thread; that `out` itself comes back; and that all memory of the call, inputs, gaps between
elements and what lies around them, holds what it held, except where `out` is to be written. Some calls are compared
with the NumPy references of tests/specs.py too, some are explained first, and some are wrong on purpose: these must
raise the right error with a message, and write nothing.

A call follows from seed and number alone (but not the state that earlier calls left: threads, released memory), so
``--seed 0 --only 4711`` repeats one. ``--trace FILE`` holds the number of the call under way, for crashes.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import functools
import json
import math
import os
import random
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import fastrelu as fr
from fastrelu import _core, activations, diagnostics, normalizing, runtime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import conftest
import helpers
from specs import BACKWARD, FROM_OUTPUT, SPECS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
LEARNED = [spec for spec in SPECS.values() if spec.by_parameters]
AXIS_ERROR = np.exceptions.AxisError


@functools.cache
def pool(dtype: str) -> Array:
    """Return numbers of every kind that a type can hold."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        x = helpers.values(POOL, kind.newbyteorder("=") if kind.itemsize > 2 else "f4", 5)
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
        """Return the same place in a copy of that memory."""
        memory = blocks[self.block]
        return np.ndarray(self.view.shape, dtype or self.view.dtype, memory, self.offset, self.view.strides)


@dataclass
class Call:
    """What is called, and what it must give."""

    function: Callable[..., Any]
    args: list[Any]
    wanted: Callable[[], Any]  # the results, from copies of the arguments
    keywords: dict[str, Any] = field(default_factory=dict)
    out: Spot | None = None  # what the result goes into, and of several which
    main: int = 0
    mask: Array | None = None  # where it is computed
    also: tuple[Spot, Array] | None = None  # what else is written
    bad: list[tuple[int | str, Any, Errors]] = field(default_factory=list)  # arguments that it must refuse, and how
    errors: Errors = ()


class Draw:
    """Everything that is random in one call, and its memory."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = random.Random(seed << 40 | number)
        self.blocks: list[Array] = []
        self.spots: list[Spot] = []
        self.precision: runtime.Precision = self.pick(helpers.PRECISIONS)
        self.threads = self.pick((1, 1, 2, 3))
        self.parallel_from = self.pick((64, 64, 400, 20000))
        self.stream_from = self.pick((-1, -1, 0, 2048))

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of several."""
        return options[int(self.rng.random() * len(options))]

    def chance(self, share: float) -> bool:
        """Return True so often."""
        return self.rng.random() < share

    def shape(self, least: int = 0) -> Shape:
        """Return a shape of at least so many axes, mostly small."""
        ndim = max(least, self.pick((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6)))
        shape = [self.pick((1, 2, 2, 3, 3, 4, 5, 7)) if self.chance(0.97) else 0 for _ in range(ndim)]
        if ndim and self.chance(0.3):
            shape[self.rng.randrange(ndim)] = self.pick(LONG)
        if ndim and self.chance(0.015):  # as large as what is recycled
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
        """Lay an array out, with values or to be written into; if it can be, in the memory of another."""
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
        """Return an array of numbers; if `loose`, now and then something else that NumPy takes for one."""
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
        """Give a call, whose inputs have a shape that may be narrower, somewhere to write to."""
        if not self.chance(0.65):
            return
        kind = str(dtype) if self.chance(0.8) else self.pick(OUTPUTS)
        # Beside a mask NumPy itself rounds what it must leave alone, if `out` is of another type and overlaps an input.
        near = None if call.mask is not None and np.dtype(kind) != dtype else self.near(0.45)
        # Elements of an output that lie in one place are defined by no rule; they are rare.
        call.out = self.array(shape, kind, near=near, spread=0.03)
        view, way = call.out.view, self.rng.random()
        call.keywords["out"] = (view,) if way < 0.04 else memoryview(view) if buffers and way > 0.95 else view
        shut = view.view()
        shut.flags.writeable = False
        call.bad += [("out", shut, ValueError), ("out", np.zeros(shape, "i4"), TypeError)]
        if (shape if inputs is None else inputs)[-1:] > (1,):
            call.bad.append(("out", np.zeros((*shape[:-1], shape[-1] + 1)), ValueError))

    def masked(self, call: Call, shape: Shape, inputs: Shape) -> Array:
        """Give a call with inputs of a shape a mask of that or another, and return a copy."""
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
    """Return the type that the kernels compute in."""
    typed = [np.asarray(a).dtype for a in operands if isinstance(a, np.ndarray | np.generic | list | bool)]
    return np.dtype(np.float32 if typed and all(np.can_cast(t, np.float32) for t in typed) else np.float64)


def plain(operand: Any, dtype: Any, shape: Shape | None = None) -> Array:
    """Return a contiguous copy, spread to a shape."""
    array = np.asarray(operand)
    return np.array(array if shape is None else np.broadcast_to(array, shape), dtype, order="C")


def joint(*operands: Any) -> Shape:
    """Return the shape that operands broadcast to."""
    return np.broadcast_shapes(*map(np.shape, operands))


def dense(case: helpers.Case, args: Sequence[Any], dtype: np.dtype[Any], by_ufunc: bool) -> Array:
    """Return the result of a kernel on plain copies, by the ufunc or the fast path."""
    shape = joint(*args)
    full: list[Any] = [plain(a, dtype, shape).ravel() for a in args[: case.ndata]]
    for value in args[case.ndata :]:
        number = dtype.type(value) if by_ufunc and not np.ndim(value) else value
        full.append(plain(value, dtype, shape).ravel() if np.ndim(value) else number if by_ufunc else float(value))
    return np.asarray((case.ufunc if by_ufunc else case)(*full)).reshape(shape)


class Rows:
    """Axes of an array made one, at its end."""

    def __init__(self, shape: Shape, axis: Any) -> None:
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self.axes = tuple(k % len(shape) for k in axes)
        kept = [n for k, n in enumerate(shape) if k not in self.axes]
        self.whole = (*kept, *(shape[k] for k in self.axes))
        self.flat = math.prod(kept), math.prod(shape[k] for k in self.axes)

    def of(self, array: Array) -> Array:
        """Return the array as contiguous rows."""
        return np.ascontiguousarray(np.moveaxis(array, self.axes, range(-len(self.axes), 0)).reshape(self.flat))

    def back(self, rows: Array) -> Array:
        """Return rows in the shape of the array."""
        return np.moveaxis(rows.reshape(self.whole), range(-len(self.axes), 0), self.axes)


# --- What is called: one function for each sort of call ---------------------------------------------------------------


def elementwise(d: Draw) -> Call:
    """Return a call of an activation or a gradient, of its in-place form or its ufunc."""
    case: helpers.Case = d.pick(helpers.CASES)
    form = d.pick(("public", "public", "public", "ufunc", "public" if case.direction else "in place"))
    in_place, shape = form == "in place", d.shape()
    like = "f4" if d.chance(0.5) else ""
    types = FLOATS if in_place else TYPES
    own = [shape if in_place else d.narrow(shape, 0.2) for _ in range(case.ndata)]
    args = [d.data(n, types, like, loose=form == "public") for n in own]
    args += d.parameters(case.grid, shape) if case.params else []
    dtype = loop_type(*args)
    if form == "ufunc":
        args = [a if isinstance(a, np.ndarray) else dtype.type(a) for a in args]
        call = Call(case.ufunc, args, lambda: dense(case, args, dtype, False))
    else:
        name = f"{case.spec.public or case.spec.name}_" if in_place else case.spec.public_name(case.direction)
        keywords = dict(case.spec.keywords)
        call = Call(getattr(fr, name), args, lambda: dense(case, args, dtype, True), keywords)
    inputs = joint(*args)
    if d.chance(0.2):
        call.mask = d.masked(call, shape, inputs)
    whole = inputs if call.mask is None else joint(np.empty(inputs), call.mask)
    if in_place:
        d.in_place(call)
    else:
        result = shape if d.chance(0.1) else whole
        d.output(call, (2, *result) if d.chance(0.05) else result, dtype, whole, form == "public")
    call.bad += [(j, np.zeros(shape, d.pick(UNFIT)), TypeError) for j in range(case.ndata)]
    if case.params and form != "ufunc":
        call.bad.append((case.ndata, d.pick(("1", None, 1j, np.ones(2, "D"))), TypeError))
        if all(type(a) in (int, float) for a in args[case.ndata :]):
            call.bad += [(-len(values), values, ValueError) for values in case.spec.outside(case.direction)]
    if case.ndata == 2 and np.shape(args[1])[-1:] > (1,):
        call.bad.append((0, np.zeros(np.shape(args[1])[-1] + 1, "f4"), ValueError))
    return call


def rows(d: Draw) -> Call:
    """Return a call of softmax or its like."""
    name, gone, absent = d.pick((("softmax", 0, -np.inf), ("log_softmax", -np.inf, -np.inf), ("softmin", 0, np.inf)))
    form, shape, like = d.pick(("", "", "_", "_backward_from_output")), d.shape(), d.pick(("f4", "f8", ""))
    axis = d.axis(len(shape)) if shape and d.chance(0.7) else d.pick((None, d.axes(len(shape))))
    args = [d.data(shape, FLOATS if form == "_" else TYPES, like) for _ in range(2 if form[1:] else 1)]
    dtype, folded = loop_type(*args), Rows(shape, axis)
    masks: list[Array] = []

    def wanted() -> Array:
        flat = [folded.of(plain(a, dtype)) for a in args]
        if not masks:
            return folded.back(getattr(fr, name + form.removesuffix("_"))(*flat))
        mask = folded.of(np.broadcast_to(masks[0], shape))
        found = getattr(fr, name)(np.where(mask, flat[0], dtype.type(absent)))
        found[~mask.any(1)] = gone
        return folded.back(found)

    call = Call(getattr(fr, name + form), [*args, axis], wanted)
    if form == "_":
        d.in_place(call)
    else:
        d.output(call, shape, dtype)
    if not form[1:] and d.chance(0.3):
        masks.append(d.masked(call, shape, shape))
    call.bad += [(j, np.zeros((1, *shape), d.pick(UNFIT)), (TypeError, AXIS_ERROR)) for j in range(len(args))]
    call.bad.append((len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR))
    if len(args) == 2 and shape:
        call.bad.append((0, np.zeros((*shape[:-1], shape[-1] + 1), "f4"), ValueError))
    return call


def cross_entropy(d: Draw) -> Call:
    """Return a call of cross_entropy, with labels or probabilities, with or without its gradient."""
    shape = tuple(max(n, 1) for n in d.shape(1)) if d.chance(0.95) else (0, 3)
    axis = d.axis(len(shape)) if shape[0] else 1
    n, other, folded = shape[axis], np.delete(shape, axis).tolist(), Rows(shape, axis)
    with_grad, by_label = d.chance(0.6), d.chance(0.7)
    logits = d.data(shape, like=d.pick(("f4", "f8")))
    dtype = loop_type(logits)
    ignored = d.pick((-100, -1, 0, n - 1)) if by_label else -100
    if by_label:
        found = [ignored if d.chance(0.1) else d.rng.randrange(n) for _ in range(min(math.prod(other), 90))]
        kind = d.pick(("i8", ">i8", "i4", "i2", "i1", "u1", "u8")) if n < 128 and ignored >= 0 else d.pick(("i8", "i4"))
        labels = d.array(tuple(other), kind, np.resize(found, other) if found else np.zeros(other, int)).view
    else:
        labels = d.data(shape, FLOATS)
    weight = d.array((n,), d.pick(("f8", "f4", "i2")), np.abs(np.nan_to_num(d.numbers((n,), "f4")).clip(-9, 9))).view
    options = {"weight": d.pick((None, weight)), "label_smoothing": d.pick((0, 0.0, 0.1, 1.0))}
    options |= {"ignore_index": ignored, "reduction": d.pick(("none", "mean", "sum"))}

    def wanted() -> tuple[Array, ...]:
        own = plain(labels, np.int64).ravel() if by_label else folded.of(plain(labels, dtype))
        copies = {**options, "weight": None if options["weight"] is None else plain(weight, np.float64)}
        loss, grad = fr.cross_entropy_value_and_grad(folded.of(plain(logits, dtype)), own, **copies)
        loss = np.asarray(loss).reshape(other if options["reduction"] == "none" else ())
        return (loss, folded.back(grad)) if with_grad else (loss,)

    function = fr.cross_entropy_value_and_grad if with_grad else fr.cross_entropy
    call = Call(function, [logits, labels], wanted, {**options, "axis": axis}, main=1)
    if with_grad:
        d.output(call, shape, dtype)
    call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), TypeError), (1, np.zeros(shape, "U1"), TypeError)]
    call.bad += [(1, np.zeros((*other, 2), int), ValueError), ("reduction", "avg", ValueError)]
    call.bad += [
        ("label_smoothing", d.pick((-0.1, 1.5, math.nan)), ValueError),
        ("weight", [1.0] * (n + 1), ValueError),
    ]
    call.bad += [("axis", len(shape), AXIS_ERROR)]
    if by_label and math.prod(other):
        call.bad += [(1, np.full(other, value), IndexError) for value in (n, 2**63 - 1, np.uint64(2**64 - 1))]
    return call


def learned(d: Draw) -> Call:
    """Return a call that sums the gradients of parameters."""
    case, shape, like = helpers.Case(d.pick(LEARNED), BACKWARD), d.shape(), d.pick(("f4", "f8", ""))
    args = [d.data(d.narrow(shape, 0.2), like=like, loose=True) for _ in range(2)] + d.parameters(case.grid, shape)
    dtype, function = loop_type(*args), getattr(fr, f"{case.spec.name}_backward_parameters")

    def wanted() -> tuple[Array, ...]:
        copies = [a if isinstance(a, float | int) and k > 1 else plain(a, dtype) for k, a in enumerate(args)]
        found = tuple(map(np.asarray, function(*copies)))
        assert same(found[0], dense(case, args, dtype, True)), "dx is not that of the gradient"
        return found

    call = Call(function, args, wanted)
    d.output(call, joint(*args), dtype)
    call.bad += [(k, np.zeros(shape, d.pick(UNFIT)), TypeError) for k in range(2)]
    call.bad += [(2, d.pick(("1", None, 1j)), TypeError)]
    return call


def crelu(d: Draw) -> Call:
    """Return a call of crelu or one of its gradients."""
    suffix, shape, like = d.pick(("", "_backward", "_backward_from_output")), d.shape(1), d.pick(("f4", "f8", ""))
    axis = d.axis(len(shape))
    double = tuple(2 * n if k == axis % len(shape) else n for k, n in enumerate(shape))
    shapes = {"": [shape], "_backward": [double, shape], "_backward_from_output": [double, double]}[suffix]
    args = [d.data(own, like=like) for own in shapes]
    dtype, result = loop_type(*args), shape if suffix else double

    def wanted() -> Array:
        x = [Rows(own, axis).of(plain(a, dtype)) for own, a in zip(shapes, args, strict=True)]
        found = getattr(fr, f"crelu{suffix}")(*x, 1) if suffix else np.concatenate([fr.relu(x[0]), fr.relu(-x[0])], 1)
        return Rows(result, axis).back(found)

    call = Call(getattr(fr, f"crelu{suffix}"), [*args, axis], wanted)
    d.output(call, result, dtype, buffers=not suffix)
    call.bad += [(len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR)]
    call.bad += [(0, np.zeros(shapes[0], d.pick(UNFIT)), TypeError)]
    return call


def prelu(d: Draw) -> Call:
    """Return a call of prelu in one of its forms, whose weight may lie along an axis."""
    suffix = d.pick(("", "_", "_backward", "_backward_from_output", "_backward_parameters"))
    shape = d.shape(1)
    axis = d.axis(len(shape)) if d.chance(0.8) else None
    own = d.narrow(shape) if axis is None else (d.pick((1, shape[axis])),)
    weight = d.array(own, d.pick(("f4", "f8", "f2", ">f4")), np.resize([0.25, 0.0, 1.5, 0.1], own)).view
    args = [d.data(shape, FLOATS if suffix == "_" else TYPES, "f4") for _ in range(1 if len(suffix) < 2 else 2)]
    dtype = loop_type(*args, weight)

    def wanted() -> Any:
        along = own if axis is None else (-1, *(1,) * (len(shape) - axis % len(shape) - 1))
        copies = [*(plain(a, dtype) for a in args), plain(weight, dtype).reshape(along)]
        found = getattr(fr, "leaky_relu" + suffix.removesuffix("_"))(*copies)
        return (found[0], np.reshape(found[1], own)) if "parameters" in suffix else found

    call = Call(getattr(fr, f"prelu{suffix}"), [*args, weight], wanted, {"axis": axis})
    if "parameters" not in suffix and d.chance(0.2):
        call.mask = d.masked(call, shape, shape)
    if suffix == "_":
        d.in_place(call)
    else:
        d.output(call, shape, dtype)
    if axis is not None:
        call.bad += [("axis", len(shape), AXIS_ERROR), (len(args), np.ones(shape[axis] + 2, "f4"), ValueError)]
    return call


def rrelu(d: Draw) -> Call:
    """Return a call of rrelu, which hands its slopes back."""
    shape, seed, training, form = d.shape(), d.rng.randrange(99), d.chance(0.7), d.pick(("", "", "_"))
    x = d.data(shape, FLOATS if form else TYPES, "f4")
    own, low, high = loop_type(x), *d.pick(((0.125, 0.25), (0.0, 1.0), (0.5, 0.5)))
    slopes = d.array(shape, d.pick((str(own), "f8", ">f4", "f2")), spread=0) if training and d.chance(0.5) else None
    drawn = np.random.default_rng(seed).random(shape, own) * own.type(high - low) + own.type(low)
    values = drawn if slopes is None else drawn.astype(slopes.view.dtype)
    dtype = own if slopes is None else loop_type(x, slopes.view)

    def wanted() -> Array:
        slope = plain(values, dtype).ravel() if training else (low + high) / 2
        return np.asarray(fr.leaky_relu(plain(x, dtype).ravel(), slope)).reshape(shape)

    call = Call(getattr(fr, f"rrelu{form}"), [x, low, high], wanted, {"training": training, "rng": seed})
    if form:
        d.in_place(call)
    else:
        d.output(call, shape, dtype)
    if slopes is not None:
        call.keywords["slopes"], call.also = slopes.view, (slopes, values)
        call.bad.clear()  # slopes are drawn and written before `out` is looked at
    call.bad += [(1, 7.0, ValueError), ("slopes", np.zeros((*shape, 2)), ValueError)]
    return call


def statistics(d: Draw) -> Call:
    """Return a call of summarize, or of accumulators that are given an array in parts."""
    shape = d.shape(1)
    axis = d.pick((None, d.axis(len(shape)), d.axes(len(shape))))
    x, limits = d.data(shape), d.pick((None, (-1.0, 1.0), (-math.inf, 6.0)))
    units = () if axis is None else tuple(k % len(shape) for k in (axis if isinstance(axis, tuple) else (axis,)))
    whole = 0 in units or d.chance(0.6)  # an axis of units has the same length in all parts

    def summary(a: Any, axis: Any, saturation: Any) -> tuple[Any, ...]:
        found, other = (diagnostics.Running(axis, saturation=saturation) for _ in range(2))
        for running, part in [(found, a)] if whole else [(found, a[:0]), (found, a[: len(a) // 2])]:
            running.update(part)
        if not whole:
            other.update(a[len(a) // 2 :])
            found.merge(other)
        s = diagnostics.summarize(a, axis, saturation=saturation) if whole else found.result()
        parts = s.count, s.nonfinite, s.zeros, s.saturated, s.minimum, s.maximum, s.mean, s.variance
        return tuple(np.add(part, 0) for part in parts)  # of zeros of both signs either may be the least

    def wanted() -> tuple[Any, ...]:
        a = plain(x, loop_type(x))
        rest, finite = tuple(k for k in range(a.ndim) if k not in units), np.isfinite(a)
        low, high = np.array(limits or (-math.inf, math.inf), a.dtype)
        some, wide = finite.any(rest), np.where(finite, a, 0).astype(np.longdouble)
        count = np.maximum(finite.sum(rest), 1)
        mean = wide.sum(rest, keepdims=True) / count.reshape(wide.sum(rest, keepdims=True).shape)
        square = (np.where(finite, wide - mean, 0) ** 2).sum(rest) / count
        least, most = (np.where(finite, s * wide, np.inf).min(rest, initial=np.inf) for s in (1, -1))
        counts = finite | True, ~finite, finite & (a == 0), finite & ((a <= low) | (a >= high)) & bool(limits)
        ends = (np.where(some, end, np.nan).astype("f8") for end in (least + 0, 0 - most))
        scale = np.abs(wide).max(initial=0)
        known = some & (scale < 1e140)  # squares of larger numbers overflow, as NumPy's do
        moments = ((mean.reshape(some.shape), scale), (square, scale**2))
        return (
            *(c.sum(rest) for c in counts),
            *ends,
            *(Roughly(np.where(known, m, np.nan), s) for m, s in moments),
        )

    call = Call(summary, [x, axis, limits], wanted)
    call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), TypeError), (1, len(shape), AXIS_ERROR)]
    call.bad += [(2, (1.0, 1.0), ValueError), (2, 3, TypeError)]
    return call


@dataclass
class Roughly:
    """Numbers that are known but for rounding; NaN stands for anything."""

    values: Array
    scale: Any


def memory(d: Draw) -> Call:
    """Return a call that changes what is kept of released memory."""
    limit = d.pick((0, 2**18, 2**22, 2**26))
    call = Call(fr.set_cache_limit, [limit], lambda: None, bad=[(0, -1, ValueError)])
    return call if d.chance(0.5) else Call(fr.clear_cache, [], lambda: None)


# Each sort, how often it comes, and the public names that it draws from.
SORTS: list[tuple[Callable[[Draw], Call], float, Iterable[str]]] = [
    (elementwise, 0.55, [f(s, k) for s in SPECS.values() for k in s.directions for f in (type(s).public_name,)]),
    (rows, 0.13, [f + s for f in ("softmax", "log_softmax", "softmin") for s in ("", "_", "_backward_from_output")]),
    (cross_entropy, 0.09, ["cross_entropy", "cross_entropy_value_and_grad"]),
    (learned, 0.09, [f"{spec.name}_backward_parameters" for spec in LEARNED]),
    (crelu, 0.04, ["crelu", "crelu_backward", "crelu_backward_from_output"]),
    (prelu, 0.04, ["prelu", "prelu_", *(f"prelu_backward{s}" for s in ("", "_from_output", "_parameters"))]),
    (rrelu, 0.02, ["rrelu", "rrelu_"]),
    (statistics, 0.03, []),
    (memory, 0.01, []),
]


# --- Checks -----------------------------------------------------------------------------------------------------------


def equal(got: Array, wanted: Array) -> Array:
    """Return where two arrays hold the same numbers; the sign and payload of a NaN are unspecified."""
    if got.dtype.kind == "c":
        return equal(got.real, wanted.real) & equal(got.imag, wanted.imag)
    if got.dtype.kind != "f":
        return np.asarray(got == wanted)
    return (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | np.isnan(got) & np.isnan(wanted)


def same(got: Array, wanted: Array) -> bool:
    """Return whether a result has the type, shape and bits."""
    return got.dtype == wanted.dtype and got.shape == wanted.shape and bool(equal(got, wanted).all())


def wrong_out(call: Call, got: Any, wanted: Array, blocks: list[Array], expected: list[Array]) -> str:
    """Return what is wrong with an output, and enter it into the memory that is expected."""
    assert call.out
    given = call.keywords.get("out", call.out.view)
    if got is not (given[0] if isinstance(given, tuple) else given):
        return f"out did not come back, but {type(got).__name__}"
    into = call.out.on(expected)
    np.copyto(into, wanted, where=True if call.mask is None else call.mask, casting="same_kind")
    now, then = np.array(call.out.view), np.array(into)
    shared = any(n > 1 and s == 0 for n, s in zip(into.shape, into.strides, strict=True))
    right = np.isin(now, wanted.astype(now.dtype)) | np.isnan(now) if shared else equal(now, then)
    if not right.all() and not (shared and call.mask is not None):
        return f"out is wrong in {(~right).sum()} elements, the first {now[~right][0]!r}, not {then[~right][0]!r}"
    # The bits of a NaN and the padding of a long double are nobody's.
    raw = f"V{into.itemsize}"
    call.out.on(expected, raw)[...] = call.out.on(blocks, raw)
    return ""


def wrong_result(call: Call, got: Any, wanted: Any) -> str:
    """Return what is wrong with a result that is new."""
    if isinstance(wanted, Roughly):
        off = np.abs(got - wanted.values) > 1e-9 * np.abs(wanted.values) + 1e-13 * wanted.scale
        return f"{got}, not about {wanted.values}" if off.any() or np.shape(got) != wanted.values.shape else ""
    chosen = np.broadcast_to(
        True if call.mask is None else call.mask, joint(wanted, *([] if call.mask is None else [call.mask]))
    )
    if not isinstance(got, np.ndarray if chosen.ndim else np.generic) and not any(
        isinstance(a, Marked) for a in call.args
    ):
        return f"a {type(got).__name__} of shape {chosen.shape}"
    if np.shape(got) == chosen.shape and same(np.asarray(got)[chosen], np.broadcast_to(wanted, chosen.shape)[chosen]):
        return ""
    return f"{got!r:.300}, not {wanted!r:.300}"


def changed(d: Draw, expected: list[Array]) -> str:
    """Return which memory does not hold what it must."""
    for k, (block, was) in enumerate(zip(d.blocks, expected, strict=True)):
        if not np.array_equal(block, was):
            return f"block {k} has other bytes at {np.flatnonzero(block != was)[:9].tolist()}, where nothing is written"
    return ""


def describe(d: Draw, call: Call) -> str:
    """Return a call as text."""

    def show(value: Any) -> str:
        for spot in (*d.spots, *([call.out] if call.out else [])):
            if value is spot.view:
                where = f"strides {value.strides} in block {spot.block} at {spot.offset}"
                return f"<{value.dtype.str}{value.shape} {where}>"
        return f"<{value.dtype.str}{value.shape}>" if isinstance(value, np.ndarray) else f"{value!r:.200}"

    args = [show(a) for a in call.args] + [f"{k}={show(v)}" for k, v in call.keywords.items()]
    how = f"{d.precision}, {d.threads} threads from {d.parallel_from}, streams from {d.stream_from}"
    return f"{call.function.__name__}({', '.join(args)}), {how}" + (
        f", is to raise {call.errors}" if call.errors else ""
    )


def against_numpy(d: Draw) -> None:
    """Compare a kernel on plain numbers with its row of tests/specs.py."""
    chosen = d.pick([case for case in helpers.CASES if case.direction != FROM_OUTPUT])
    case, dtype, params = (
        conftest.Case(chosen.spec, chosen.direction),
        np.dtype(d.pick(("f4", "f8"))),
        d.pick(chosen.grid),
    )
    x, grad = d.numbers((300,), dtype.name), d.numbers((300,), dtype.name)
    grad = np.where((np.abs(grad) > 1e-3) & (np.abs(grad) < 1e3), grad, 1).astype(dtype)
    wide, rounded = x.astype(conftest.WIDE[dtype]), conftest.rounded(params, dtype)
    exact = np.asarray(case.spec.reference(case.direction)(wide, *rounded), wide.dtype)
    blurred = case.spec.blurred(float(np.finfo(dtype).eps), wide, *rounded)
    clear = ~(blurred | (np.abs(exact) > np.finfo(dtype).max)) if case.direction else np.ones(x.shape, bool)
    got = chosen(*((grad, x) if case.direction else (x,)), *params)[clear]
    exact = (exact * grad if case.direction else exact)[clear]
    absolute = conftest.crossing_bounds(case, params, x, runtime.isa, d.precision)[clear]
    more = grad[clear] if case.direction else None
    conftest.assert_within_limit(case, got, exact, x[clear], absolute, runtime.isa, d.precision, grad=more)


def made(d: Draw, call: Call, counts: collections.Counter[str]) -> str:
    """Make a call and return what is wrong with it, if anything is."""
    if not call.errors:
        with fr.threads(1):
            wanted = call.wanted()
    before = [block.copy() for block in d.blocks]
    limits = (d.parallel_from,) * 3
    _core.set_defaults(stream_from=d.stream_from, parallel_from=limits, waking_from=limits)
    try:
        name = getattr(call.function, "__name__", "")
        known = getattr(activations, name, None) is call.function and "parameters" not in name
        if known and not call.errors and d.chance(0.03):
            fr.explain(call.function, *call.args, **call.keywords)
            counts["explained"] += 1
            if wrong := changed(d, before):
                return f"explain: {wrong}"
        with fr.threads(d.threads):
            got = call.function(*call.args, **call.keywords)
    except Exception as error:  # noqa: BLE001, RUF100  whatever it is
        clean = isinstance(error, call.errors) and str(error)
        return changed(d, before) if clean else f"raises {type(error).__name__}: {error}"
    finally:
        _core.set_defaults(stream_from=-1, parallel_from=_core.parallel_from, waking_from=_core.waking_from)
    if call.errors:
        return "is not refused"
    expected = before
    if call.also:
        call.also[0].on(expected)[...] = call.also[1]
    if wanted is None:
        return ""
    results, values = (r if isinstance(r, tuple) else (r,) for r in (got, wanted))
    for k, (result, value) in enumerate(zip(results, values, strict=True)):
        if call.out is not None and k == call.main:
            wrong = wrong_out(call, result, value, d.blocks, expected)
        else:
            wrong = wrong_result(call, result, value)
        if wrong:
            return f"result {k}: {wrong}"
    return changed(d, expected)


def attempt(seed: int, number: int, counts: collections.Counter[str]) -> str:
    """Draw and make the call of a number, and return what is wrong with it, if anything is."""
    d = Draw(seed, number)
    sort = d.rng.choices(SORTS, [share for _, share, _ in SORTS])[0][0]
    counts[sort.__name__] += 1
    with fr.precision(d.precision):
        call = sort(d)
        if call.bad and d.chance(0.06):
            place, value, call.errors = d.pick(call.bad)
            counts["refused"] += 1
            if isinstance(place, str):
                call.keywords[place] = value
            else:
                call.args[place:] = value if place < 0 else [value, *call.args[place + 1 :]]
        wrong = made(d, call, counts)
        if number % 40 == 0:
            counts["against NumPy"] += 1
            against_numpy(d)
    return f"{wrong}\n  {describe(d, call)}" if wrong else ""


def main() -> int:
    """Read the options, make the calls, and say what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="make this call alone")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the number of each call there before it is made"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    covered = {name for _, _, names in SORTS for name in names} | {f"{s.public or s.name}_" for s in SPECS.values()}
    if missing := {*activations.__all__, *normalizing.__all__} - covered:
        parser.error(f"no calls are drawn of {', '.join(sorted(missing))}")
    faulthandler.enable()
    warnings.simplefilter("ignore")  # NumPy's, of casts and of where= without out=
    np.seterr(all="ignore")
    _core.set_team(granted=3, hold=False, insist=True)
    trace = os.open(options.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if options.trace else None
    counts: collections.Counter[str] = collections.Counter()
    wrong, start = 0, time.monotonic()
    numbers = range(options.calls) if options.only is None else [options.only]
    for number in tqdm(numbers, unit="call", disable=None, smoothing=0):
        if trace is not None:
            os.pwrite(trace, f"{number:12}".encode(), 0)
        try:
            found = attempt(options.seed, number, counts)
        except Exception as error:
            if options.only is not None:
                raise
            found = f"{type(error).__name__} beside the call: {error}"
        if found:
            tqdm.write(f"call {number}: {found}")
            wrong += 1
    sorts = sum(counts[sort.__name__] for sort, _, _ in SORTS)
    report = {"calls": sorts, "seed": options.seed, "isa": runtime.isa, "numpy": np.__version__, **counts}
    report |= {"wrong": wrong, "seconds": round(time.monotonic() - start, 1)}
    print(", ".join(f"{key} {value}" for key, value in report.items()))
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
