"""The calls that tools/fuzz.py makes: one function for each kind, which draws a call with its expected result."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cases import CASES, Case
from fuzz_draw import FLOATS, TYPES, UNFIT, Call, Draw, Rows, dense, joint, loop_type, plain, same
from specs import BACKWARD, SPECS

import fastrelu as fr
from fastrelu import diagnostics, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fuzz_draw import Array

LEARNED = [spec for spec in SPECS.values() if spec.by_parameters]
AXIS_ERROR = np.exceptions.AxisError


def elementwise(d: Draw) -> Call:
    """Return a call of an activation or a gradient, of its in-place form or its ufunc."""
    case: Case = d.pick(CASES)
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
        unfit = d.pick(("1", None, 1j, np.ones(2, "D")))
        if unfit is not None or not case.spec.name.startswith("logit"):  # whose eps may be None
            call.bad.append((case.ndata, unfit, TypeError))
        if all(type(a) in (int, float) for a in args[case.ndata :]):
            call.bad += [(-len(values), values, ValueError) for values in case.spec.outside(case.direction)]
    if case.ndata == 2 and np.shape(args[1])[-1:] > (1,):
        call.bad.append((0, np.zeros(np.shape(args[1])[-1] + 1, "f4"), ValueError))
    return call


def methods(d: Draw) -> Call:
    """Return a call of a method of a ufunc of one or two inputs."""
    case, shape = d.pick([case for case in CASES if case.ufunc.nin < 3]), d.shape(1)
    name, ufunc, kind = d.pick(("reduce", "accumulate", "outer")), case.ufunc, d.pick(FLOATS)
    x = d.array(shape, kind, d.numbers(shape, kind), spread=0).view
    axis, dtype = d.axis(len(shape)), loop_type(x)
    if ufunc.nin == 1:
        index = [d.rng.randrange(shape[0]) for _ in range(3 if shape[0] else 0)]

        def repeated() -> Array:
            copy = plain(x, x.dtype)
            for k in index:
                copy[k] = ufunc(plain(copy[k], dtype))
            return copy

        call = Call(lambda x, index: ufunc.at(x, index) or x, [x, np.array(index, int)], repeated)
        d.in_place(call)
        return call
    if name == "outer":
        y = d.data(d.narrow(shape[:2], 0.5) if x.size < 300 else (3,))
        both, result = loop_type(x, y), x.shape + y.shape
        call = Call(
            ufunc.outer, [x, y], lambda: ufunc(*np.ix_(*(plain(a, both).ravel() for a in (x, y)))).reshape(result)
        )
        d.output(call, result, both, buffers=False)
        return call

    def folded() -> Array:
        steps = list(Rows(shape, axis).of(plain(x, dtype)).T)
        for k in range(1, len(steps)):
            steps[k] = ufunc(steps[k - 1], np.ascontiguousarray(steps[k]))
        found = Rows(shape, axis).back(np.array(steps).T)
        return found if name == "accumulate" else found.take(-1, axis)

    return Call(getattr(ufunc, name), [x, axis], folded) if shape[axis] else elementwise(d)


def rows(d: Draw) -> Call:
    """Return a call of softmax or a related function."""
    name, gone, absent = d.pick(
        (
            ("softmax", 0, -np.inf),
            ("log_softmax", -np.inf, -np.inf),
            ("softmin", 0, np.inf),
            ("sparsemax", 0, -np.inf),
            ("hardmax", 0, None),
        )
    )
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
    # A row of nothing but -inf has its 1 at its first element, or the first that takes part.
    if not form[1:] and absent is not None and d.chance(0.3):
        masks.append(d.masked(call, shape, shape))
    call.bad += [(j, np.zeros((1, *shape), d.pick(UNFIT)), TypeError) for j in range(len(args))]
    call.bad.append((len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR))
    if len(args) == 2 and shape:
        call.bad.append((0, np.zeros((*shape[:-1], shape[-1] + 1), "f4"), ValueError))
    return call


def loaded(d: Draw) -> Call:
    """Return a call of softmax or its logarithm with options, or of the gradient of x."""
    name, shape, like = d.pick(("softmax", "log_softmax")), d.shape(1), d.pick(("f4", "f8"))
    form = d.pick(("", "", "_backward_parameters"))
    axis, args = d.axis(len(shape)), [d.data(shape, like=like) for _ in range(2 if form else 1)]
    dtype, folded = loop_type(*args), Rows(shape, axis)
    options = {"scale": d.pick((1.0, 0.5, -2)), "softcap": d.pick((None, 2.0)), "sink": d.pick((None, 0.0, -1))}
    bias = d.numbers(shape[-1:], "f4").astype(dtype) if d.chance(0.5) else None

    def function(*operands: Any, **keywords: Any) -> Array:
        found = getattr(fr, name + form)(*operands, **keywords)
        return np.asarray(found[0] if form else found)

    def wanted() -> Array:
        own = None if bias is None else folded.of(np.broadcast_to(bias, shape))
        return folded.back(function(*(folded.of(plain(a, dtype)) for a in args), **options, bias=own))

    call = Call(function, [*args, axis], wanted)
    call.keywords.update(options, bias=bias)
    d.output(call, shape, dtype, buffers=False)
    call.bad.append((len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR))
    return call


def gumbel(d: Draw) -> Call:
    """Return a call of gumbel_softmax, whose noise is that of a generator."""
    form, shape, like = d.pick(("", "_", "_backward_from_output")), d.shape(1), d.pick(("f4", "f8"))
    axis, tau, seed = d.axis(len(shape)), d.pick((0.5, 1.0, 2)), d.rng.randrange(99)
    args = [d.data(shape, FLOATS if form == "_" else TYPES, like) for _ in range(2 if form[1:] else 1)]
    dtype = loop_type(*args)
    options = {"tau": tau} if form[1:] else {"tau": tau, "hard": d.chance(0.3), "rng": seed}

    def wanted() -> Array:
        function = getattr(fr, "gumbel_softmax" + form.removesuffix("_"))
        found: Array = function(*(plain(a, dtype) for a in args), axis, **options)
        return found

    call = Call(getattr(fr, "gumbel_softmax" + form), [*args, axis], wanted)
    call.keywords.update(options)
    if form == "_":
        d.in_place(call)
    else:
        d.output(call, shape, dtype)
    call.bad.append((len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR))
    return call


def logsumexp(d: Draw) -> Call:
    """Return a call of logsumexp, logmeanexp or a gradient, whose bits do not depend on the axis."""
    name, shape, like = d.pick(("logsumexp", "logmeanexp")), d.shape(), d.pick(("f4", "f8", ""))
    axis, keepdims = d.axis(len(shape)) if shape and d.chance(0.7) else None, d.chance(0.3)
    x, folded = d.data(shape, like=like), Rows(shape, axis)
    dtype = loop_type(x)
    if d.chance(0.4):
        grad, back = d.data(folded.whole[: len(shape) - len(folded.axes)], like=like), getattr(fr, f"{name}_backward")
        own = loop_type(grad, x)

        def slope() -> Array:
            return folded.back(back(plain(grad, own).reshape(folded.flat[0]), folded.of(plain(x, own)), 1))

        call = Call(back, [grad, x, axis], slope)
        d.output(call, shape, own)
        return call

    def wanted() -> Array:
        found: Array = getattr(fr, name)(folded.of(plain(x, dtype)), 1)
        return found.reshape(np.empty(shape, bool).any(axis, keepdims=keepdims).shape)

    call = Call(getattr(fr, name), [x, axis], wanted)
    call.keywords["keepdims"] = keepdims
    call.bad.append((1, d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR))
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
        kind = labels.dtype.newbyteorder("=") if dtype == np.float16 else dtype
        own = plain(labels, np.int64).ravel() if by_label else folded.of(plain(labels, kind))
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
    case, shape, like = Case(d.pick(LEARNED), BACKWARD), d.shape(), d.pick(("f4", "f8", ""))
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


def units(d: Draw) -> Call:
    """Return a call of a gated linear unit or its gradient, whose halves lie in one array."""
    name, suffix = d.pick(("glu", "swiglu", "geglu", "reglu")), d.pick(("", "_backward"))
    layout, gate = d.pick(("halves", "interleaved")), d.pick(("first", "second"))
    shape, like = d.shape(1), d.pick(("f4", "f8", ""))
    axis = d.axis(len(shape))
    double = tuple(2 * n if k == axis % len(shape) else n for k, n in enumerate(shape))
    args = [d.data(own, like=like) for own in ([shape, double] if suffix else [double])]
    dtype, act = loop_type(*args), {"glu": "sigmoid", "swiglu": "silu", "geglu": "gelu", "reglu": "relu"}[name]

    def halves(x: Array) -> list[Array]:
        first, second = np.split(x, 2, axis) if layout == "halves" else (x.swapaxes(0, axis)[k::2] for k in (0, 1))
        both = [first, second] if layout == "halves" else [half.swapaxes(0, axis) for half in (first, second)]
        return both if gate == "first" else both[::-1]

    def wanted() -> Array:
        *grad, x = (plain(a, dtype) for a in args)
        inner, outer = halves(x)
        if not grad:
            return np.asarray(getattr(fr, act)(inner) * outer)
        dx = np.empty_like(x)
        targets = halves(dx)
        targets[0][...] = getattr(fr, f"{act}_backward")(grad[0] * outer, inner)
        targets[1][...] = getattr(fr, act)(inner) * grad[0]
        return dx

    call = Call(getattr(fr, name + suffix), [*args, axis], wanted, {"gate": gate, "layout": layout})
    d.output(call, double if suffix else shape, dtype, buffers=False)
    call.bad += [(len(args), d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR), ("gate", "third", ValueError)]
    return call


# Activations of fused passes, with their parameters.
BIASED: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}),
    ("silu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("leaky_relu", {"negative_slope": 0.25}),
    ("srelu", {"t_left": -1.0, "a_left": 0.125, "t_right": 1.0, "a_right": 0.5}),
    ("tanh", {}),
]


def biased(d: Draw) -> Call:
    """Return a call of bias_act in one of its forms."""
    name, options = d.pick(BIASED)
    form, shape, like = d.pick(("", "", "_", "_backward")), d.shape(1), d.pick(("f4", "f8", ""))
    axis, kinds = d.axis(len(shape)), FLOATS if form == "_" else TYPES
    if d.chance(0.15):
        args, name = [d.data(shape, TYPES, like) for _ in range(2)], d.pick(("relu", "tanh"))
        own, function = loop_type(*args), fr.fused.bias_act_backward_from_output

        def both() -> Any:
            grad, y = (plain(a, own) for a in args)
            dx = getattr(fr, f"{name}_backward_from_output")(grad, y)
            return np.asarray(dx), function(grad, y, name, axis=axis)[1]

        call = Call(function, [*args, name], both, {"axis": axis})
        d.output(call, shape, own, buffers=False)
        return call
    x, residual = d.data(shape, kinds, like), d.data(shape, kinds, like) if d.chance(0.5) else None
    bias = d.data((shape[axis],), kinds, like)
    grad = d.data(shape, kinds, like) if form == "_backward" else None
    terms = [bias] if residual is None else [bias, residual]

    def total() -> Array:
        own = loop_type(x, *terms)
        along = (-1, *(1,) * (len(shape) - 1 - axis % len(shape)))
        x_, bias_, *rest = (plain(a, a.dtype.newbyteorder("=")) for a in (x, *terms))
        start = plain(x, own) if np.result_type(x, *terms).kind in "biu" else x_
        found = start + bias_.reshape(along)
        return found + rest[0] if rest else found

    def wanted() -> Any:
        if grad is None:
            return np.asarray(getattr(fr, name)(total(), **options))
        both = plain(grad, grad.dtype.newbyteorder("=")), total()
        dx = np.asarray(getattr(fr, f"{name}_backward")(*both, **options))
        zeros = np.zeros(shape[axis], dx.dtype)
        copies = plain(grad, dx.dtype), plain(total(), dx.dtype), zeros
        found = fr.fused.bias_act_backward(*copies, name, axis=axis, **options)
        return dx, found[1]

    args = [*([] if grad is None else [grad]), x, bias, name]
    dtype = loop_type(*(a for a in (grad, x, *terms) if a is not None))
    call = Call(getattr(fr.fused, f"bias_act{form}"), args, wanted, {"axis": axis, **options})
    if residual is not None:
        call.keywords["residual"] = residual
    if form == "_":
        d.in_place(call)
    else:
        d.output(call, shape, dtype, buffers=grad is None)
    call.bad += [("axis", d.pick((len(shape), -len(shape) - 1)), AXIS_ERROR)]
    return call


# Functions with masks, and their parameters.
MASKED: list[tuple[str, tuple[float, ...]]] = [
    ("relu", ()),
    ("leaky_relu", (0.25,)),
    ("leaky_relu", (-0.5,)),
    ("prelu", (0.25,)),
    ("relu6", ()),
    ("hard_tanh", (-1.0, 1.0)),
    ("hard_sigmoid", ()),
    ("hard_shrink", (0.5,)),
    ("soft_shrink", (0.5,)),
    ("shrink", (0.5, 0.25)),
    ("threshold", (0.5, -1.0)),
    ("thresholded_relu", (1.0,)),
]


def masks(d: Draw) -> Call:
    """Return a call of an activation with a mask, or of the gradient from one."""
    shape = d.shape()
    x = d.data(shape, like=d.pick(("f4", "f8", "")))
    dtype = loop_type(x)
    if d.chance(0.6):
        name, numbers = d.pick(MASKED)
        function = getattr(fr.masks, f"{name}_with_mask")

        def both() -> tuple[Array, ...]:
            copy = plain(x, dtype)
            return np.asarray(getattr(fr, name)(copy, *numbers)), function(copy.ravel(), *numbers)[1]

        call = Call(function, [x, *numbers], both)
    else:
        chosen = np.resize([d.chance(0.5) for _ in range(70)], math.prod(shape)).astype(bool)
        bits, outer, inner = np.packbits(chosen, bitorder="little"), d.pick((0.0, 0.25, -2)), d.pick((1.0, 0.5, 0.0))

        def slope() -> Array:
            copy = plain(x, dtype)
            rest = copy * dtype.type(outer) if outer else np.zeros_like(copy)
            return np.where(chosen.reshape(shape), copy * dtype.type(inner), rest)

        call = Call(fr.masks.backward_from_mask, [x, bits, outer], slope, {"slope": inner})
        call.bad += [(1, bits.astype("i8"), TypeError), (1, np.zeros(bits.size + 1, "u1"), ValueError)]
    d.output(call, shape, dtype)
    call.bad.append((0, np.zeros(shape, d.pick(UNFIT)), TypeError))
    return call


def quantized(d: Draw) -> Call:
    """Return a call that quantizes an array or an activation of it, or the way back, or by a table."""
    form, shape, kind = d.pick(("quantize", "quantize", "dequantize", "lookup")), d.shape(1), d.pick(("u1", "i1"))
    axis = d.axis(len(shape)) if d.chance(0.5) else None
    n, folded = 1 if axis is None else shape[axis], Rows(shape, axis)
    x = d.data(shape, like=d.pick(("f4", "f8", ""))) if form == "quantize" else None
    codes = d.array(shape, kind, d.numbers(shape, "f8").view("i8").astype(kind)).view
    scale, zero = np.resize([0.125, 0.1, 3.0], n).astype("f4"), np.resize([0, 3, 100], n).astype(kind)
    ends: list[Any] = (
        [0.125, 3] if axis is None else [d.array((n,), t, v, spread=0).view for t, v in (("f4", scale), (kind, zero))]
    )
    plain_ends = ends if axis is None else [scale, zero]
    if form == "quantize":
        name, options = d.pick([(None, {}), *BIASED])

        def coded() -> Array:
            copy, more = folded.of(plain(x, loop_type(x))), {"axis": None if axis is None else 1, **options}
            return folded.back(fr.quantized.quantize(copy, plain_ends[0], plain_ends[1], name, dtype=kind, **more))

        call = Call(fr.quantized.quantize, [x, *ends, name], coded, {"dtype": kind, "axis": axis, **options})
        d.output(call, shape, kind)
        call.bad = [bad for bad in call.bad if bad[2] is not TypeError]  # integers hold bytes
        call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), TypeError), (1, -1.0, ValueError), (1, "1", TypeError)]
        return call
    if form == "lookup":
        (name, options), into = d.pick(BIASED), d.pick(("u1", "i1"))
        table = fr.quantized.table(name, 0.1, 0, d.pick((0.1, 0.01)), 3, dtype=into, **options)
        call = Call(fr.quantized.lookup, [table, codes], lambda: table[plain(codes, kind).view("u1")])
        d.output(call, shape, table.dtype)
        call.bad = [bad for bad in call.bad if bad[2] is not TypeError]  # integers hold bytes
        return call
    dtype = d.pick(("f4", "f8", "f2"))

    def numbers() -> Array:
        copy, along = folded.of(plain(codes, kind)), None if axis is None else 1
        return folded.back(fr.quantized.dequantize(copy, *plain_ends, axis=along, dtype=dtype))

    call = Call(fr.quantized.dequantize, [codes, *ends], numbers, {"axis": axis, "dtype": dtype})
    d.output(call, shape, dtype)
    return call


def two_classes(d: Draw) -> Call:
    """Return a call of binary cross-entropy of each element, with its gradient."""
    shape, like = d.shape(1), d.pick(("f4", "f8"))
    logits, labels = (
        d.data(shape, like=like),
        d.array(shape, d.pick(("f4", "f8", "i1")), np.resize([0, 1, 1], shape)).view,
    )
    weights = {"weight": d.pick((None, 0.5)), "pos_weight": d.numbers(shape[-1:], like) if d.chance(0.5) else None}
    dtype, function = loop_type(logits), fr.binary_cross_entropy_with_logits_value_and_grad

    def wanted() -> tuple[Array, ...]:
        found = function(plain(logits, dtype), plain(labels, labels.dtype), reduction="none", **weights)
        return tuple(map(np.asarray, found))

    call = Call(function, [logits, labels], wanted, {"reduction": "none", **weights}, main=1)
    d.output(call, shape, dtype)
    call.bad += [(0, np.zeros(shape, d.pick(UNFIT)), TypeError), ("reduction", "avg", ValueError)]
    return call


@functools.cache
def model(dtype: str) -> nn.Sequential:
    """Return a network in evaluation mode, which runs as a plan."""
    kind: Any = np.dtype(dtype)
    sizes = ((5, 7), (7, 1), (1, 40))
    first, second, third = (nn.Linear(*pair, rng=k, dtype=kind) for k, pair in enumerate(sizes))
    return nn.Sequential(first, nn.GELU(), nn.Dropout(), second, nn.LeakyReLU(0.25), third, nn.Softmax()).eval()


def layers(d: Draw) -> Call:
    """Return a call of a network, which runs as a plan, and is expected to return what its layers return."""
    dtype = d.pick(("f4", "f8"))
    network, shape = model(dtype), (*d.shape(1)[:-1], 5)
    x = d.array(shape, dtype, d.numbers(shape, dtype)).view

    def wanted() -> Array:
        y: Any = x
        for layer in network:
            y = layer(y)
        return np.asarray(y)

    call = Call(network.__call__, [x], wanted)
    call.bad += [(0, np.zeros((2, 6), dtype), ValueError), (0, np.zeros((2, 5), d.pick(UNFIT)), TypeError)]
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
    """Return a call of rrelu, which returns its slopes too."""
    shape, seed, training, form = d.shape(), d.rng.randrange(99), d.chance(0.7), d.pick(("", "", "_"))
    x = d.data(shape, FLOATS if form else TYPES, "f4")
    own = loop_type(x)
    low, high = d.pick(((0.125, 0.25), (0.0, 1.0), (0.5, 0.5)))
    slopes = d.array(shape, d.pick((str(own), "f8", ">f4", "f2")), spread=0) if training and d.chance(0.5) else None
    kind = np.dtype(np.float32) if own == np.float16 else own
    drawn = np.random.default_rng(seed).random(shape, kind) * kind.type(high - low) + kind.type(low)
    values = drawn.astype(own if slopes is None else slopes.view.dtype)
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
        return tuple(np.add(part, 0) for part in parts)  # of zeros of both signs either may be the minimum

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
        known = some & (scale < 1e140)  # squares of larger numbers overflow, as in NumPy
        moments = ((mean.reshape(some.shape), scale), (square, scale**2 + 1e-300))  # squares below that underflow
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
    """Numbers that are known except for rounding; NaN stands for any number."""

    values: Array
    scale: Any


def memory(d: Draw) -> Call:
    """Return a call that changes the limit of the pool."""
    limit = d.pick((0, 2**18, 2**22, 2**26))
    call = Call(fr.set_cache_limit, [limit], lambda: None, bad=[(0, -1, ValueError)])
    return call if d.chance(0.5) else Call(fr.clear_cache, [], lambda: None)


# Each kind, its frequency, and the public names that it draws from.
SORTS: list[tuple[Callable[[Draw], Call], float, Iterable[str]]] = [
    (elementwise, 0.37, [spec.public_name(k) for spec in SPECS.values() for k in spec.directions]),
    (methods, 0.03, []),
    (
        rows,
        0.13,
        [
            f + s
            for f in ("softmax", "log_softmax", "softmin", "sparsemax", "hardmax")
            for s in ("", "_", "_backward_from_output")
        ],
    ),
    (loaded, 0.02, ["softmax_backward_parameters", "log_softmax_backward_parameters"]),
    (gumbel, 0.02, [f"gumbel_softmax{s}" for s in ("", "_", "_backward_from_output")]),
    (logsumexp, 0.03, ["logsumexp", "logmeanexp", "logsumexp_backward", "logmeanexp_backward"]),
    (cross_entropy, 0.06, ["cross_entropy", "cross_entropy_value_and_grad"]),
    (learned, 0.09, [f"{spec.name}_backward_parameters" for spec in LEARNED]),
    (units, 0.03, [f"{name}{s}" for name in ("glu", "swiglu", "geglu", "reglu") for s in ("", "_backward")]),
    (biased, 0.03, ["bias_act", "bias_act_", "bias_act_backward", "bias_act_backward_from_output"]),
    (masks, 0.03, [*(f"{name}_with_mask" for name, _ in MASKED), "backward_from_mask"]),
    (quantized, 0.03, ["quantize", "dequantize", "lookup", "table"]),
    (two_classes, 0.02, [f"binary_cross_entropy_with_logits{s}" for s in ("", "_value_and_grad")]),
    (layers, 0.02, []),
    (crelu, 0.04, ["crelu", "crelu_backward", "crelu_backward_from_output"]),
    (prelu, 0.04, ["prelu", "prelu_", *(f"prelu_backward{s}" for s in ("", "_from_output", "_parameters"))]),
    (rrelu, 0.02, ["rrelu", "rrelu_"]),
    (statistics, 0.03, []),
    (memory, 0.01, []),
]
