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
``--seed 0 --only 4711`` repeats one and prints it. ``--trace FILE`` holds the number of the call under way, for crashes.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import functools
import itertools
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
from fastrelu import _catalogue, _core, activations, diagnostics, normalizing, runtime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import conftest
import helpers
import test_gradients
import test_parameter_gradients as sums
from specs import BACKWARD, FROM_OUTPUT, SPECS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from specs import Spec

    Array = NDArray[Any]
    Shape = tuple[int, ...]
    Errors = tuple[type[Exception], ...]

FLOATS = ("f4", "f8", "f4", "f8", ">f4", ">f8", "f2")
TYPES = (*FLOATS, *FLOATS, ">f2", "?", "i1", "u1", "i2", ">u2", "i4", "u4", "i8", ">i8", "u8")
OUTPUTS = ("f2", "f4", "f8", ">f4", ">f8", "g", "F", ">D")
UNFIT = ("F", "D", "O", "U1", "M8[s]", *(["g"] if np.dtype("g").itemsize > 8 else []))
LONG = (15, 16, 17, 31, 64, 65, 100, 511, 512, 513, 1000, 1500)
POOL = 1 << 16


class Marked(np.ndarray[Any, Any]):
    """A subclass that adds nothing."""


@functools.cache
def pool(dtype: str) -> Array:
    """Return numbers of every kind that a type can hold."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(1)
    if kind.kind in "biu":
        low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        x = rng.integers(max(low, -9), 9, POOL).clip(low, high).astype(kind)
        x[::29], x[::31] = low, high
        return x
    if kind.itemsize > 2:
        return helpers.values(POOL, kind.newbyteorder("="), 5).astype(kind)
    return helpers.values(POOL, "f4", 5).clip(-6e4, 6e4).astype(kind)


@dataclass
class Spot:
    """An array in the memory of a call."""

    block: int
    offset: int
    view: Array

    def on(self, blocks: Sequence[Array], dtype: Any = None) -> Array:
        """Return the same place in a copy of that memory."""
        view = self.view
        return np.ndarray(view.shape, dtype or view.dtype, blocks[self.block], self.offset, view.strides)


@dataclass
class Call:
    """What is called, and what it must give."""

    function: Callable[..., Any]
    args: list[Any]
    wanted: Callable[[], Any]  # the results, from copies of the arguments
    keywords: dict[str, Any] = field(default_factory=dict)
    out: Spot | None = None  # what the first result of `main` goes into
    main: int = 0  # which of several results goes there
    mask: Array | None = None  # where it is computed
    also: tuple[Spot, Array] | None = None  # what else is written
    explainable: bool = False
    bad: list[tuple[str | int, Any, Errors]] = field(default_factory=list)  # arguments that it must refuse, and how
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
            shape[self.rng.randrange(ndim)] = self.pick((260, 16391, 33000))
            shape[self.rng.randrange(ndim)] *= self.pick((1, 2, 130)) if max(shape) < 1000 else 1
        limit = 70000 if max(shape, default=0) > 10000 else 3000
        while math.prod(shape) > limit:
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
        return self.rng.randrange(ndim) - self.pick((0, ndim))

    def _strides(self, shape: Shape, size: int, spread: bool) -> list[int]:
        strides = [0] * len(shape)
        order = list(range(len(shape)))
        plain = self.chance(0.4)
        if not plain and self.chance(0.5):
            self.rng.shuffle(order)
        gaps = not plain and self.chance(0.5)
        step = size if plain else self.pick((1, 1, 2, 3)) * size + self.chance(0.03)
        for axis in reversed(order):
            strides[axis] = step
            step = step * max(shape[axis], 1) + (self.pick((0, 0, 1, 2, 5)) * size if gaps else 0)
            if not plain and self.chance(0.25):
                strides[axis] *= -1
            if spread and not plain and self.chance(0.15):
                strides[axis] = 0
        return strides

    def array(self, shape: Shape, dtype: str, values: Array | None = None, *, near: Spot | None = None,
              spread: float = 1) -> Spot:  # fmt: skip
        """Lay an array out, with values or to be written into; if it can be, in the memory of another."""
        kind = np.dtype(dtype)
        size = kind.itemsize
        reaches = near is not None and near.view.shape == shape and near.view.itemsize == size and self.chance(0.4)
        strides = list(near.view.strides) if near and reaches else self._strides(shape, size, self.chance(spread))
        ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        low, high = sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + size
        if 0 in shape:
            low, high = 0, size
        spot = None
        if near is not None:
            room = self.blocks[near.block].nbytes
            offset = near.offset + (0 if self.chance(0.4) else size * self.rng.randrange(-4, 5))
            if self.chance(0.2) and room >= high - low:
                offset = self.rng.randrange(-low, room - high + 1)
            if -low <= offset <= room - high:
                spot = Spot(near.block, offset, np.ndarray(shape, kind, self.blocks[near.block], offset, strides))
        if spot is None:
            before = self.pick((0, 0, size, 64, high - low)) + (self.rng.randrange(size) if self.chance(0.06) else 0)
            after = self.pick((0, 0, size, 63, high - low))
            total = before + high - low + after
            raw = pool("u8").view("u1")
            start = 8 * self.rng.randrange(1 + max(0, raw.size - total) // 8)
            self.blocks.append(np.resize(raw[start : start + total], total))
            offset = before - low
            view = np.ndarray(shape, kind, self.blocks[-1], offset, strides)
            spot = Spot(len(self.blocks) - 1, offset, view)
        if values is not None:
            spot.view[...] = values
            if kind.kind != "b":  # whose bytes are 0 and 1
                self.spots.append(spot)
        return spot

    def numbers(self, shape: Shape, dtype: str) -> Array:
        """Return numbers of every kind."""
        size = math.prod(shape)
        start = self.rng.randrange(POOL)
        found = pool(dtype)[start : start + size]
        return (found if found.size == size else np.resize(pool(dtype), size)).reshape(shape)

    def spot_of(self, array: Array) -> Spot:
        """Return where an array of `data` lies."""
        return next(spot for spot in self.spots if spot.view is array)

    def near(self, share: float = 0.1) -> Spot | None:
        """Return an array in whose memory the next one may lie; a parameter without axes must keep its value."""
        spots = [spot for spot in self.spots if spot.view.ndim]
        return self.pick(spots) if spots and self.chance(share) else None

    def data(self, shape: Shape, types: Sequence[str] = TYPES, like: str = "", *, loose: bool = True) -> Any:
        """Return an array of numbers, or now and then something else that NumPy takes for one."""
        dtype = like if like and self.chance(0.7) else self.pick(types)
        values = self.numbers(shape, dtype)
        if loose and self.chance(0.06):
            kind = self.rng.randrange(4)
            if kind == 0 and values.size:
                return values.tolist() if shape else values.item()
            if kind == 1 and values.size:
                return values.flat[0]
            if kind == 2:
                return self.array(shape, dtype, values).view.view(Marked)
            return self.pick((0.5, -2, True, np.float32(-0.25)))
        return self.array(shape, dtype, values, near=None if dtype == "?" else self.near()).view

    def output(self, call: Call, shape: Shape, dtype: Any, own: Shape | None = None) -> None:
        """Give a call somewhere to write to."""
        if not self.chance(0.65):
            return
        kind = str(dtype) if self.chance(0.8) else self.pick(OUTPUTS)
        # Elements of an output that lie in one place are defined by no rule; they are rare.
        # Beside a mask NumPy itself rounds what it must leave alone, if `out` is of another type and reaches into an input.
        apart = call.mask is not None and np.dtype(kind) != dtype
        call.out = self.array(shape, kind, near=None if apart else self.near(0.45), spread=0.03)
        wrapped = self.rng.random()
        view = call.out.view
        given: Any = (view,) if wrapped < 0.04 else memoryview(view) if wrapped > 0.96 and view.dtype.isnative else view
        call.keywords["out"] = given
        shut = view.view()
        shut.flags.writeable = False
        call.bad += [("out", shut, (ValueError,)), ("out", np.zeros(shape, "i4"), (TypeError,))]
        own = shape if own is None else own  # what is not stretched
        call.bad += [("out", np.zeros((*shape[:-1], shape[-1] + 1)), (ValueError,))] if own and own[-1] > 1 else []

    def masked(self, call: Call, shape: Shape, inputs: Shape) -> Array:
        """Give a call with inputs of a shape a mask of another, and return a copy."""
        own = self.narrow(shape, 0.6)
        bits = np.array([self.chance(0.5) for _ in range(min(math.prod(own), 70))], bool)
        values = np.resize(bits, own) if bits.size else np.zeros(own, bool)
        mask: Any = self.array(own, "?", values).view
        if self.chance(0.1):
            mask = self.pick((True, False, np.True_, mask.tolist() if mask.size else mask))
        call.keywords["where"] = mask
        wrong = np.ones(inputs[-1] + 1, bool) if inputs[-1:] > (1,) else np.ones(shape, "f4")
        call.bad += [("where", wrong, (ValueError, TypeError)), ("where", np.ones(shape, "i8"), (TypeError,))]
        return np.array(mask)


# --- Plain copies -----------------------------------------------------------------------------------------------------


def loop_type(*operands: Any) -> np.dtype[Any]:
    """Return the type that the kernels compute in."""
    typed = [np.asarray(a).dtype for a in operands if isinstance(a, np.ndarray | np.generic | list | bool)]
    single = typed and all(np.can_cast(dtype, np.float32) for dtype in typed)
    return np.dtype(np.float32 if single else np.float64)


def plain(operand: Any, dtype: Any, shape: Shape | None = None) -> Array:
    """Return a contiguous copy, spread to a shape."""
    array = np.asarray(operand)
    return np.array(array if shape is None else np.broadcast_to(array, shape), dtype, order="C", subok=False)


def joint(*operands: Any) -> Shape:
    """Return the shape that operands broadcast to."""
    return np.broadcast_shapes(*map(np.shape, operands))


class Rows:
    """Axes of an array made one, at its end."""

    def __init__(self, shape: Shape, axis: Any) -> None:
        self.axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self.axes = tuple(k % len(shape) for k in self.axes)
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


def parameters(d: Draw, grid: Sequence[tuple[float, ...]], shape: Shape) -> list[Any]:
    """Return parameters as numbers, scalars and arrays; a number is in its domain, an element need not be."""
    numbers = d.pick(grid)
    # Rounded or not, they must keep their order.
    scalar = np.float32 if d.chance(0.5) and all(value == float(np.float32(value)) for value in numbers) else np.float64
    found: list[Any] = []
    for j, value in enumerate(numbers):
        kind = d.rng.random()
        if kind < 0.5:
            found.append(int(value) if float(value).is_integer() and d.chance(0.3) else value)
        elif kind < 0.65:
            found.append(scalar(value) if kind < 0.6 else np.array(value, scalar))
        else:
            own = d.narrow(shape, 0.7)
            dtype = d.pick(("f4", "f4", "f8", "f8", "f2", ">f4", ">f8", "i2", "i4")) if own else np.dtype(scalar).str
            options = [p[j] for p in grid] + ([math.nan, math.inf, -1.0, 0.0] if d.chance(0.3) else [])
            options = options if own else [value]  # without axes it is a number
            values = np.array(d.rng.choices(options, k=min(math.prod(own), 40)), float)
            if "i" in dtype:
                values = np.nan_to_num(values).clip(-9, 9)
            values = np.resize(values, own) if values.size else np.zeros(own)
            found.append(d.array(own, dtype, values, near=d.near() if own else None).view)
    return found


def dense(case: helpers.Case, args: Sequence[Any], dtype: np.dtype[Any], by_ufunc: bool) -> Array:
    """Return the result of a kernel on plain copies, by the ufunc or the fast path."""
    shape = joint(*args)
    full = [plain(a, dtype, shape).ravel() for a in args[: case.ndata]]
    for value in args[case.ndata :]:
        if isinstance(value, np.ndarray) and value.ndim:
            full.append(plain(value, dtype, shape).ravel())
        else:
            full.append(dtype.type(value) if by_ufunc else float(value))
    return np.asarray((case.ufunc if by_ufunc else case)(*full)).reshape(shape)


def elementwise(d: Draw) -> Call:
    """Return a call of an activation or a gradient, of its in-place form or its ufunc."""
    case: helpers.Case = d.pick(helpers.CASES)
    form = d.pick(("public", "public", "public", "ufunc", "in place"))
    form = "public" if case.direction and form == "in place" else form
    in_place = form == "in place"
    shape = d.shape()
    args = [d.data(shape if in_place or j == case.ndata else d.narrow(shape, 0.2), FLOATS if in_place else TYPES,
                   "f4" if d.chance(0.5) else "", loose=form == "public") for j in range(case.ndata)]  # fmt: skip
    args += parameters(d, case.grid, shape) if case.grid[0] else []
    dtype = loop_type(*args)
    if form == "ufunc":
        args = [a if isinstance(a, np.ndarray) else dtype.type(a) for a in args]
        call = Call(case.ufunc, args, lambda: dense(case, args, dtype, False))
    else:
        function = getattr(fr, f"{case.spec.public or case.spec.name}_" if in_place else case.spec.public_name(case.direction))
        call = Call(function, args, lambda: dense(case, args, dtype, True), dict(case.spec.keywords), explainable=True)
    if in_place:
        call.out = d.spot_of(args[0])
    if d.chance(0.2):
        call.mask = d.masked(call, shape, joint(*args))
    whole = joint(*args, *([] if call.mask is None else [call.mask]))
    if in_place and whole != shape:
        call.errors = (ValueError,)
    if not in_place:
        wider = joint(np.empty(whole), np.empty(shape)) if d.chance(0.5) else whole
        d.output(call, (d.pick((1, 2, 3)), *wider) if d.chance(0.05) and len(wider) < 6 else wider, dtype, whole)
    if form == "ufunc" and isinstance(call.keywords.get("out"), memoryview):
        call.keywords["out"] = call.out and call.out.view
    call.bad += [(j, np.zeros(shape, d.pick(UNFIT)), (TypeError,)) for j in range(case.ndata)]
    if case.params and form != "ufunc":
        j = case.ndata + d.rng.randrange(len(case.params))
        call.bad.append((j, d.pick(("1", None, 1j, np.ones(2, "D"))), (TypeError,)))
        for values in case.spec.outside(case.direction):
            if all(isinstance(a, int | float) and not isinstance(a, np.generic) for a in args[case.ndata :]):
                call.bad.append((-1, values, (ValueError,)))
    if case.ndata == 2 and np.shape(args[1])[-1:] > (1,):
        call.bad.append((0, np.zeros(np.shape(args[1])[-1] + 1, "f4"), (ValueError,)))
    return call


def rows(d: Draw) -> Call:
    """Return a call of softmax or its like."""
    name, gone, absent = d.pick((("softmax", 0, -np.inf), ("log_softmax", -np.inf, -np.inf), ("softmin", 0, np.inf)))
    form = d.pick(("", "", "_", "_backward_from_output"))
    shape = d.shape()
    several = not shape or d.chance(0.3)
    axis = d.axis(len(shape)) if not several else None if d.chance(0.4) else tuple(
        d.rng.sample(range(len(shape)), d.rng.randrange(len(shape) + 1)))  # fmt: skip
    like = d.pick(("f4", "f8", ""))
    args = [d.data(shape, FLOATS if form == "_" else TYPES, like, loose=False)
            for _ in range(2 if form[1:] else 1)]  # fmt: skip
    dtype = loop_type(*args)
    function = getattr(fr, name + form)
    folded = Rows(shape, axis)

    masks: list[Array] = []

    def wanted() -> Array:
        flat = [folded.of(plain(a, dtype)) for a in args]
        if not masks:
            return folded.back(getattr(fr, name + form.removesuffix("_"))(*flat))
        mask = folded.of(np.broadcast_to(masks[0], shape))
        found = getattr(fr, name)(np.where(mask, flat[0], dtype.type(absent)))
        found[~mask.any(1)] = gone
        return folded.back(found)

    call = Call(function, [*args, axis], wanted)
    if form == "_":
        call.out = d.spot_of(args[0])
    else:
        d.output(call, shape, dtype)
    if not form[1:] and d.chance(0.3):
        masks.append(d.masked(call, shape, shape))
    call.bad += [(j, np.zeros(shape, d.pick(UNFIT)), (TypeError,)) for j in range(len(args))]
    call.bad.append((len(args), d.pick((len(shape), -len(shape) - 1)), (np.exceptions.AxisError,)))
    if len(args) == 2 and shape:
        call.bad.append((0, np.zeros((*shape[:-1], shape[-1] + 1), "f4"), (ValueError,)))
    return call


def cross_entropy(d: Draw) -> Call:
    """Return a call of cross_entropy, with labels or probabilities, with or without its gradient."""
    shape = tuple(max(n, 1) for n in d.shape(1)) if d.chance(0.95) else (0, 3)
    axis = d.axis(len(shape)) if shape[0] else 1
    n = shape[axis]
    other = tuple(size for k, size in enumerate(shape) if k != axis % len(shape))
    logits = d.data(shape, like=d.pick(("f4", "f8")), loose=False)
    dtype = loop_type(logits)
    with_grad, by_label = d.chance(0.6), d.chance(0.7)
    ignored = d.pick((-100, -1, 0, n - 1)) if by_label else -100
    if by_label:
        found = np.array([ignored if d.chance(0.1) else d.rng.randrange(n) for _ in range(min(math.prod(other), 90))], int)
        fitting = [t for t in ("i8", "i8", ">i8", "i4", "i2", "i1", "u1", "u8") if n < 128 and (t[-2] != "u" or ignored >= 0)]
        values = np.resize(found, other) if found.size else np.zeros(other, int)
        labels = d.array(other, d.pick(fitting or ["i8"]), values).view
    else:
        labels = d.data(shape, FLOATS, loose=False)
    weight = d.array((n,), d.pick(("f8", "f4", "i2")), np.abs(np.nan_to_num(d.numbers((n,), "f4")).clip(-9, 9))).view
    options = {"weight": d.pick((None, weight)), "label_smoothing": d.pick((0, 0.0, 0.1, 1.0)), "ignore_index": ignored,
               "reduction": d.pick(("none", "mean", "sum"))}  # fmt: skip
    folded = Rows(shape, axis)

    def wanted() -> tuple[Array, ...]:
        own = plain(labels, np.int64).ravel() if by_label else folded.of(plain(labels, dtype))
        weights = None if options["weight"] is None else plain(weight, np.float64)
        loss, grad = fr.cross_entropy_value_and_grad(folded.of(plain(logits, dtype)), own, **{**options, "weight": weights})
        loss = loss.reshape(other) if options["reduction"] == "none" else np.asarray(loss)
        return (loss, folded.back(grad)) if with_grad else (loss,)

    function = fr.cross_entropy_value_and_grad if with_grad else fr.cross_entropy
    call = Call(function, [logits, labels], wanted, {**options, "axis": axis}, main=1)
    if with_grad:
        d.output(call, shape, dtype)
    wrong = np.full(other, n)
    call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), (TypeError,)), ("reduction", "avg", (ValueError,))]
    call.bad += [("label_smoothing", d.pick((-0.1, 1.5, math.nan)), (ValueError,)), ("weight", [1.0] * (n + 1), (ValueError,))]
    call.bad += [("axis", len(shape), (np.exceptions.AxisError,)), (1, np.zeros(shape, "U1"), (TypeError,))]
    call.bad += [(1, np.zeros((*other, 2), int), (ValueError,))]
    if by_label and wrong.size and ignored != n:
        call.bad += [(1, wrong, (IndexError,)), (1, wrong.astype("u8") << np.uint64(55), (IndexError,))]
    return call


def crelu(d: Draw) -> Call:
    """Return a call of crelu or one of its gradients."""
    suffix = d.pick(("", "_backward", "_backward_from_output"))
    shape = d.shape(1)
    axis = d.axis(len(shape))
    at = axis % len(shape)
    double = (*shape[:at], 2 * shape[at], *shape[at + 1 :])
    like = d.pick(("f4", "f8", ""))
    shapes = {"": [shape], "_backward": [double, shape], "_backward_from_output": [double, double]}[suffix]
    args = [d.data(own, like=like, loose=False) for own in shapes]
    dtype = loop_type(*args)
    result = shape if suffix else double

    def wanted() -> Array:
        x = [Rows(own, axis).of(plain(a, dtype)) for own, a in zip(shapes, args, strict=True)]
        if not suffix:
            return Rows(double, axis).back(np.concatenate([fr.relu(x[0]), fr.relu(-x[0])], 1))
        return Rows(shape, axis).back(getattr(fr, f"crelu{suffix}")(*x, 1))

    call = Call(getattr(fr, f"crelu{suffix}"), [*args, axis], wanted)
    d.output(call, result, dtype)
    if suffix and isinstance(call.keywords.get("out"), memoryview):
        call.keywords["out"] = call.out and call.out.view
    call.bad += [(len(args), d.pick((len(shape), -len(shape) - 1)), (np.exceptions.AxisError,))]
    call.bad += [(0, np.zeros(shapes[0], d.pick(UNFIT)), (TypeError,))]
    if suffix:
        call.bad.append((0, np.zeros((*double, 2), "f4"), (ValueError, np.exceptions.AxisError)))
    return call


LEARNED = [spec for spec in SPECS.values() if spec.by_parameters]


def learned(d: Draw) -> Call:
    """Return a call that sums the gradients of parameters."""
    spec: Spec = d.pick(LEARNED)
    shape = d.shape()
    like = d.pick(("f4", "f8", ""))
    args = [d.data(d.narrow(shape, 0.2), like=like) for _ in range(2)] + parameters(d, spec.grid(BACKWARD), shape)
    dtype = loop_type(*args)
    whole = joint(*args)
    function = getattr(fr, f"{spec.name}_backward_parameters")

    def wanted() -> tuple[Array, ...]:
        copies = [plain(a, dtype) if k < 2 or isinstance(a, np.ndarray | np.generic) else a for k, a in enumerate(args)]
        found = tuple(np.asarray(part) for part in function(*copies))
        case = helpers.Case(spec, BACKWARD)
        assert same(found[0], dense(case, args, dtype, True)), "dx is not that of the gradient"
        return found

    call = Call(function, args, wanted)
    d.output(call, whole, dtype)
    call.bad += [(k, np.zeros(shape, d.pick(UNFIT)), (TypeError,)) for k in range(2)]
    call.bad += [(2, d.pick(("1", None, 1j)), (TypeError,))]
    return call


def prelu(d: Draw) -> Call:
    """Return a call of prelu in one of its forms, whose weight may lie along an axis."""
    suffix = d.pick(("", "_", "_backward", "_backward_from_output", "_backward_parameters"))
    in_place = suffix == "_"
    shape = d.shape(1)
    axis = d.axis(len(shape)) if d.chance(0.8) else None
    own = d.narrow(shape) if axis is None else (d.pick((1, shape[axis])),)
    weight = d.array(own, d.pick(("f4", "f8", "f2", ">f4")), np.resize([0.25, 0.0, 1.5, 0.1], own), near=d.near()).view
    data = [d.data(shape, FLOATS if in_place else TYPES, "f4", loose=False) for _ in range(1 if len(suffix) < 2 else 2)]
    dtype = loop_type(*data, weight)

    def wanted() -> Any:
        w = plain(weight, dtype)
        w = w if axis is None else w.reshape(-1, *(1,) * (len(shape) - axis % len(shape) - 1))
        found = getattr(fr, "leaky_relu" + suffix.removesuffix("_"))(*(plain(a, dtype, shape) for a in data), w)
        return (found[0], np.asarray(found[1]).reshape(own)) if "parameters" in suffix else found

    call = Call(getattr(fr, f"prelu{suffix}"), [*data, weight], wanted, {"axis": axis}, explainable="param" not in suffix)
    if "parameters" not in suffix and d.chance(0.2):
        call.mask = d.masked(call, shape, shape)
    if in_place:
        call.out = d.spot_of(data[0])
    else:
        d.output(call, shape, dtype)
    call.bad += [("axis", len(shape), (np.exceptions.AxisError, ValueError))]
    if axis is not None:
        call.bad += [(len(data), np.ones(shape[axis] + 2, "f4"), (ValueError,)), (len(data), np.float32(1), (ValueError,))]
    return call


def rrelu(d: Draw) -> Call:
    """Return a call of rrelu, which hands its slopes back."""
    shape = d.shape()
    training, in_place = d.chance(0.7), d.chance(0.3)
    x = d.data(shape, FLOATS if in_place else TYPES, "f4", loose=False)
    own = np.dtype(loop_type(x))
    slopes = d.array(shape, d.pick((str(own), "f8", ">f4", "f2")), spread=0) if training and d.chance(0.5) else None
    dtype = loop_type(x, *([] if slopes is None else [slopes.view]))
    low, high = d.pick(((0.125, 0.25), (0.0, 1.0), (0.5, 0.5)))
    seed = d.rng.randrange(99)

    drawn = np.random.default_rng(seed).random(shape, own) * own.type(high - low) + own.type(low)
    values = drawn if slopes is None else drawn.astype(slopes.view.dtype)

    def wanted() -> Array:
        slope = plain(values, dtype, shape).ravel() if training else (low + high) / 2
        return np.asarray(fr.leaky_relu(plain(x, dtype).ravel(), slope)).reshape(shape)

    call = Call(fr.rrelu_ if in_place else fr.rrelu, [x, low, high], wanted, {"training": training, "rng": seed})
    if slopes is not None:
        call.keywords["slopes"], call.also = slopes.view, (slopes, values)
    if in_place:
        call.out = d.spot_of(x)
    else:
        d.output(call, shape, dtype)
    if slopes is not None:  # they are drawn and written before the rest is looked at
        call.bad.clear()
    call.bad += [(1, 7.0, (ValueError,)), ("slopes", np.zeros((*shape, 2)), (ValueError,))]
    return call


def statistics(d: Draw) -> Call:
    """Return a call of summarize, or of an accumulator that is given one array in two parts."""
    shape = d.shape(1)
    axis = d.pick((None, d.axis(len(shape)), tuple(d.rng.sample(range(len(shape)), d.rng.randrange(len(shape) + 1)))))
    x = d.data(shape, loose=False)
    limits = d.pick((None, (-1.0, 1.0), (-math.inf, 6.0)))

    def running(a: Array, axis: Any, saturation: Any) -> Any:
        found, other = (diagnostics.Running(axis, saturation=saturation) for _ in range(2))
        for part in (a[:0], a[: len(a) // 2]):
            found.update(part)
        other.update(a[len(a) // 2 :])
        found.merge(other)
        return found.result()

    # An axis of units has the same length in every part.
    first = axis is not None and (0 in axis or -len(shape) in axis if isinstance(axis, tuple) else axis % len(shape) == 0)
    summarize = diagnostics.summarize if first or d.chance(0.6) else running

    def counts(a: Array, axis: Any, saturation: Any) -> tuple[Any, ...]:
        s = summarize(a, axis, saturation=saturation) if summarize is diagnostics.summarize else running(a, axis, saturation)
        parts = s.count, s.nonfinite, s.zeros, s.saturated, s.minimum, s.maximum, s.mean, s.variance
        return tuple(np.add(part, 0) for part in parts)  # of zeros of both signs either may be the least

    def wanted() -> tuple[Any, ...]:
        a = plain(x, loop_type(x))
        axes = () if axis is None else tuple(sorted(k % len(shape) for k in (axis if isinstance(axis, tuple) else (axis,))))
        units = Rows(shape, tuple(k for k in range(len(shape)) if k not in axes))
        own = tuple(shape[k] for k in axes)
        flat = units.of(a)
        finite = np.isfinite(flat)
        low, high = np.array(limits or (-math.inf, math.inf), a.dtype)
        some, wide = finite.any(1), np.where(finite, flat, 0).astype(np.longdouble)
        count = np.maximum(finite.sum(1), 1)
        mean = wide.sum(1) / count
        variance = np.where(finite, (wide - mean[:, None]) ** 2, 0).sum(1) / count
        saturated = (finite & ((flat <= low) | (flat >= high))).sum(1) if limits else np.zeros(len(flat), int)
        parts = [np.full(len(flat), flat.shape[1]), (~finite).sum(1), (finite & (flat == 0)).sum(1), saturated]
        least = [np.where(finite, sign * flat.astype("f8"), np.inf).min(1, initial=np.inf) for sign in (1, -1)]
        parts += [np.where(some, least[0] + 0, np.nan), np.where(some, 0 - least[1], np.nan)]
        if np.abs(wide).max(initial=0) > 1e140:  # squares overflow, as NumPy's do
            mean = variance = np.full(len(flat), np.nan)
        parts += [Roughly(np.where(some, m, np.nan).reshape(own), np.abs(wide).max(initial=0) ** p) for p, m in ((1, mean), (2, variance))]
        return tuple(p.reshape(own) if isinstance(p, np.ndarray) else p for p in parts)

    call = Call(counts, [x, axis, limits], wanted, main=-1)
    call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), (TypeError,)), (1, len(shape), (np.exceptions.AxisError,))]
    call.bad += [(2, (1.0, 1.0), (ValueError,)), (2, 3, (TypeError,))]
    return call


@dataclass
class Roughly:
    """Numbers that are known but for rounding; NaN stands for anything."""

    values: Array
    scale: float


def settings(d: Draw) -> Call:
    """Return a call that changes what is kept of released memory, or asks about the process."""
    function, args = d.pick((
        (fr.clear_cache, []), (fr.set_cache_limit, [d.pick((0, 2**18, 2**22, 2**26))]), (fr.config, []), (fr.get_num_threads, []),
        (fr.get_precision, []), (fr.get_cache_limit, []), (fr.error_bound, [d.pick(helpers.CASES).name, d.pick(("f4", "f8"))])))  # fmt: skip
    call = Call(function, args, lambda: None, main=-2)
    if function in (fr.set_cache_limit, fr.error_bound):
        call.bad += [(0, -1 if function is fr.set_cache_limit else "gule", (ValueError,))]
    return call


# Each sort, how often it comes, and the public names that it draws from.
SORTS: list[tuple[Callable[[Draw], Call], float, Iterable[str]]] = [
    (elementwise, 0.55, [n for s in SPECS.values() for k in s.directions for n in (s.public_name(k), f"{s.public or s.name}_")]),
    (rows, 0.13, [f + s for f in ("softmax", "log_softmax", "softmin") for s in ("", "_", "_backward_from_output")]),
    (cross_entropy, 0.09, ["cross_entropy", "cross_entropy_value_and_grad"]),
    (learned, 0.09, [f"{spec.name}_backward_parameters" for spec in LEARNED]),
    (crelu, 0.04, ["crelu", "crelu_backward", "crelu_backward_from_output"]),
    (prelu, 0.04, ["prelu", "prelu_"] + [f"prelu_backward{s}" for s in ("", "_from_output", "_parameters")]),
    (rrelu, 0.02, ["rrelu", "rrelu_"]),
    (statistics, 0.03, []),
    (settings, 0.01, []),
]


# --- Checks -----------------------------------------------------------------------------------------------------------


def equal(got: Array, wanted: Array) -> Array:
    """Return where two arrays hold the same numbers; the sign and payload of a NaN are unspecified."""
    if got.dtype.kind == "c":
        return equal(got.real, wanted.real) & equal(got.imag, wanted.imag)
    both = np.isnan(got) & np.isnan(wanted) if got.dtype.kind == "f" else False
    return (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | both if got.dtype.kind == "f" else got == wanted


def same(got: Any, wanted: Array) -> bool:
    """Return whether a result has the type, shape and bits."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return False
    return got.tobytes() == wanted.tobytes() or bool(equal(got, wanted).all())


def differs(call: Call, results: Sequence[Any], wanted: Sequence[Any], d: Draw, before: list[Array]) -> str:
    """Return what is wrong with the results and the memory of a call, if anything is."""
    expected = [block.copy() for block in before]
    if call.also:
        call.also[0].on(expected)[...] = call.also[1]
    for k, (got, value) in enumerate(zip(results, wanted, strict=True)):
        if isinstance(value, Roughly):
            known = ~np.isnan(value.values)
            off = np.abs(got - value.values)[known] > 1e-9 * np.abs(value.values[known]) + 1e-13 * value.scale
            if got.shape != value.values.shape or off.any():
                return f"result {k} is {got}, not about {value.values}"
        elif call.out is not None and k == min(call.main, len(results) - 1):
            given = call.keywords.get("out", call.out.view)
            if got is not (given[0] if isinstance(given, tuple) else given):
                return f"out did not come back, but {type(got).__name__}"
            into = call.out.on(expected)
            np.copyto(into, value, where=True if call.mask is None else call.mask, casting="same_kind")
            now, then = np.array(call.out.view), np.array(into)
            if 0 in [s for s, n in zip(into.strides, into.shape, strict=True) if n > 1]:
                some = np.append(value.astype(now.dtype), [] if call.mask is None else call.out.on(before))
                right = np.isin(now, some.astype(now.dtype)) | np.isnan(now)
            else:
                right = equal(now, then)
            if not right.all():
                return f"out is wrong in {(~right).sum()} elements, the first {now[~right][0]!r} is not {then[~right][0]!r}"
            # The bits of a NaN and the padding of a long double are nobody's; all else must be as it was.
            raw = f"V{into.itemsize}"
            call.out.on(expected, raw)[...] = call.out.on(d.blocks, raw)
        else:
            value = np.asarray(value)
            shape = value.shape if call.mask is None else np.broadcast_shapes(value.shape, call.mask.shape)
            if not isinstance(got, np.generic if shape == () else np.ndarray) and not any(isinstance(a, Marked) for a in call.args):
                return f"result {k} is a {type(got).__name__} of shape {shape}"
            if call.mask is not None and np.shape(got) == shape:
                chosen = np.broadcast_to(call.mask, shape)
                got, value = np.asarray(got)[chosen], np.broadcast_to(value, shape)[chosen]
            if not same(got, value):
                found = np.asarray(got)
                return f"result {k} is {found.dtype}{found.shape} {found.ravel()[:9]}, not {value.dtype}{value.shape} {value.ravel()[:9]}"
    return changed(d, expected)


def changed(d: Draw, expected: list[Array]) -> str:
    """Return which memory does not hold what it must."""
    for k, (block, was) in enumerate(zip(d.blocks, expected, strict=True)):
        if not np.array_equal(block, was):
            return f"block {k} has other bytes at {np.flatnonzero(block != was)[:9].tolist()}, where nothing is to be written"
    return ""


def describe(d: Draw, call: Call) -> str:
    """Return a call as text."""

    def show(value: Any) -> str:
        for spot in d.spots + ([call.out] if call.out else []):
            if value is spot.view or (isinstance(value, tuple) and value and value[0] is spot.view):
                v = spot.view
                return f"<{v.dtype.str}{v.shape} strides {v.strides} in block {spot.block} at {spot.offset}>"
        return f"<{type(value).__name__} {value.dtype.str}{value.shape}>" if isinstance(value, np.ndarray) else repr(value)[:200]

    name = getattr(call.function, "__name__", repr(call.function))
    args = [show(a) for a in call.args] + [f"{k}={show(v)}" for k, v in call.keywords.items()]
    return (f"{name}({', '.join(args)}), {d.precision}, {d.threads} threads from {d.parallel_from}, streams from "
            f"{d.stream_from}" + (f", must raise {call.errors}" if call.errors else ""))  # fmt: skip


def against_numpy(d: Draw) -> None:
    """Compare a kernel on plain numbers with its row of tests/specs.py."""
    case = conftest.Case(*(lambda c: (c.spec, c.direction))(d.pick([c for c in helpers.CASES if c.direction != FROM_OUTPUT])))
    dtype = np.dtype(d.pick(("f4", "f8")))
    params = d.pick(case.spec.grid(case.direction))
    x, grad = d.numbers((300,), dtype.name), d.numbers((300,), dtype.name)
    grad = np.where(np.isfinite(grad) & (np.abs(grad) > 1e-3) & (np.abs(grad) < 1e3), grad, 1).astype(dtype)
    wide = x.astype(conftest.WIDE[dtype])
    rounded = conftest.rounded(params, dtype)
    exact = np.asarray(case.spec.reference(case.direction)(wide, *rounded), wide.dtype)
    clear = ~case.spec.blurred(float(np.finfo(dtype).eps), wide, *rounded) & ~(np.abs(exact) > np.finfo(dtype).max)
    with fr.precision(d.precision):
        got = runtime_call(case, x, grad, params)
    absolute = conftest.crossing_bounds(case, params, x, runtime.isa, d.precision)
    exact = exact * grad if case.direction else exact
    clear = clear if case.direction else np.ones(x.shape, bool)
    conftest.assert_within_limit(case, got[clear], exact[clear], x[clear], absolute[clear], runtime.isa, d.precision,
                                 grad=grad[clear] if case.direction else None, context=str(params))  # fmt: skip


def runtime_call(case: conftest.Case, x: Array, grad: Array, params: tuple[float, ...]) -> Array:
    """Return what the public function gives."""
    found: Array = case.spec.function(case.direction)(*((grad, x) if case.direction else (x,)), *params)
    return found


def try_call(d: Draw, counts: collections.Counter[str]) -> str:
    """Make the call of a number and return what is wrong with it, if anything is."""
    sort = d.rng.choices(SORTS, [share for _, share, _ in SORTS])[0][0]
    with fr.precision(d.precision):
        call = sort(d)
    if call.bad and d.chance(0.06):
        place, value, call.errors = d.pick(call.bad)
        if place == -1:
            call.args[-len(value) :] = value
        elif isinstance(place, int):
            call.args[place] = value
        else:
            call.keywords[place] = value
    counts[sort.__name__] += 1
    counts["refused"] += bool(call.errors)
    with fr.precision(d.precision):
        if not call.errors:
            with fr.threads(1):
                wanted = call.wanted()
        before = [block.copy() for block in d.blocks]
        limits = (d.parallel_from,) * 3
        _core.set_defaults(stream_from=d.stream_from, parallel_from=limits, waking_from=limits)
        try:
            with fr.threads(d.threads):
                if call.explainable and not call.errors and d.chance(0.03):
                    fr.explain(call.function, *call.args, **call.keywords)
                    counts["explained"] += 1
                    wrong = changed(d, before)
                    if wrong:
                        return f"explain: {wrong}\n  {describe(d, call)}"
                got = call.function(*call.args, **call.keywords)
        except Exception as error:  # noqa: BLE001  whatever it is
            wrong = changed(d, before)
            if not isinstance(error, call.errors) or not str(error):
                wrong = f"raises {type(error).__name__}: {error}"
            return f"{wrong}\n  {describe(d, call)}" if wrong else ""
        finally:
            _core.set_defaults(stream_from=-1, parallel_from=_core.parallel_from, waking_from=_core.waking_from)
    if call.errors:
        return f"is not refused\n  {describe(d, call)}"
    if call.main == -2:
        return ""
    results = got if isinstance(got, tuple) else (got,)
    wrong = differs(call, results, wanted if isinstance(wanted, tuple) else (wanted,), d, before)
    return f"{wrong}\n  {describe(d, call)}" if wrong else ""


def main() -> int:
    """Read the options, make the calls, and say what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="where to start")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="make this call alone, and print it")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write the number of each call there before it is made")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    covered = {name for _, _, names in SORTS for name in names}
    missing = (set(activations.__all__) | set(normalizing.__all__) | set(_catalogue.elementwise_names())) - covered
    if missing:
        parser.error(f"no calls are drawn of {', '.join(sorted(missing))}")
    faulthandler.enable()
    warnings.simplefilter("ignore")  # NumPy's, of casts and of where= without out=
    np.seterr(all="ignore")
    _core.set_team(granted=3, hold=False, insist=True)
    numbers = range(options.first, options.first + options.calls) if options.only is None else [options.only]
    trace = os.open(options.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if options.trace else None
    counts: collections.Counter[str] = collections.Counter()
    failures: dict[int, str] = {}
    start = time.monotonic()
    for number in tqdm(numbers, unit="call", disable=None, smoothing=0):
        if trace is not None:
            os.pwrite(trace, f"{number:12}\n".encode(), 0)
        d = Draw(options.seed, number)
        try:
            if number % 40 == 39:
                against_numpy(d)
                counts["against NumPy"] += 1
            wrong = try_call(d, counts)
        except Exception as error:  # noqa: BLE001
            if options.only is not None:
                raise
            wrong = f"the fuzzer: {type(error).__name__}: {error}"
        if wrong:
            failures[number] = wrong
            tqdm.write(f"call {number}: {wrong}")
            if len(failures) == 20:
                break
    seconds = round(time.monotonic() - start, 1)
    report = {"calls": sum(counts[sort.__name__] for sort, _, _ in SORTS), "seed": options.seed, "isa": runtime.isa,
              "numpy": np.__version__, **counts, "wrong": len(failures), "seconds": seconds}  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in report.items()))
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
