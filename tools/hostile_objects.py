"""Pass objects whose conversion changes the arrays of the same call, and check that no other memory is accessed.

python tools/hostile_objects.py                       # everything
python tools/hostile_objects.py --only "softmax" --every 7

Each argument of each kind of call is replaced in turn by each kind of object that runs code of its own when it is
accessed; on the first, second or third access it frees, shrinks, grows, reshapes, retypes or freezes an array of the
call, or fills it with other numbers. Hooks outside the arguments (warnings, garbage collection, profilers) do the same.
The arrays end at a protected page, and their memory is protected once it is freed, so that any access outside crashes
the process. That is a child process, whose output says where it was. A call must raise a clean error or return, and
write only into its `out`; a harmless hook must not change the result. A C compiler, Python's headers and Linux are
needed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import functools
import gc
import itertools
import mmap
import operator
import os
import re
import signal
import sys
import tempfile
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from inject_failures import compile_shim
from tqdm import tqdm

import fastrelu as fr
from fastrelu import _runtime, diagnostics, nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Strike = Callable[[], None]

SOURCE = Path(__file__).with_suffix(".c")
N, M = 6, 8  # rows and columns of most arrays
TIMES = 3  # a hook strikes at its first, second, ... call
CLEAN = (TypeError, ValueError, IndexError, OverflowError, MemoryError, RuntimeError, BufferError, ArithmeticError)


# --- Changes of an array ----------------------------------------------------------------------------------------------


def _set(name: str, make: Callable[[Array], Any]) -> Callable[[Array], None]:
    return lambda a: setattr(a, name, make(a))


DAMAGES: dict[str, Callable[[Array], Any]] = {
    "none": lambda _: None,
    "free": lambda a: a.resize(0, refcheck=False),
    "shrink": lambda a: a.resize([max(1, n // 2) for n in a.shape], refcheck=False),
    "move": lambda a: a.resize([3 * n for n in a.shape], refcheck=False),
    "set state": lambda a: a.__setstate__((1, (1,), a.dtype, False, bytes(a.itemsize))),
    "flatten": _set("shape", lambda a: (a.size,)),
    "add axes": _set("shape", lambda a: (1, a.size, 1, 1)),
    "strides": _set("strides", lambda a: (0,) * a.ndim),
    "halve": _set("dtype", lambda a: {4: "f8", 8: "c16"}.get(a.itemsize, a.dtype)),
    "double": _set("dtype", lambda a: {4: "f2", 8: "f4"}.get(a.itemsize, "i1")),
    "swap": _set("dtype", lambda a: a.dtype.newbyteorder()),
    "void": _set("dtype", lambda a: f"V{a.itemsize}"),
    "freeze": lambda a: setattr(a.flags, "writeable", False),
    "fill": lambda a: a.fill(np.iinfo(a.dtype).max if a.dtype.kind in "iu" else 1),
}


# --- Calls ------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A call: its arguments, created for each trial, and the names of its outputs."""

    name: str
    function: Callable[..., Any]
    make: Callable[[], dict[str, Any]]
    written: tuple[str, ...] = ("out", "slopes")


def numbers(seed: int, shape: tuple[int, ...] = (N, M), dtype: str = "f4", order: Any = "C") -> Array:
    """Return numbers of both signs that own their memory."""
    made = np.empty(shape, dtype, order)
    made[...] = np.random.default_rng(seed).standard_normal(shape) if made.dtype.kind == "f" else seed
    return made


# Tables: one row a line.
# fmt: off

def _elementwise() -> Iterator[Case]:
    f, x, y, z = "F", lambda **k: numbers(0, **k), lambda **k: numbers(1, **k), lambda **k: numbers(2, **k)
    row = lambda v, **k: np.full(M, v, **{"dtype": "f4", **k})
    yield Case("dense", fr.gelu, lambda: {"x": x(), "approximate": "tanh"})
    yield Case("dense, out", fr.leaky_relu, lambda: {"x": x(), "negative_slope": 0.25, "out": y()})
    yield Case("dense, parameters, out", fr.srelu, lambda: {
        "x": x(), "t_left": -1.0, "a_left": 0.1, "t_right": 1.0, "a_right": 0.5, "out": y()})
    yield Case("dense, gradient, out", fr.elu_backward, lambda: {"grad": x(), "x": y(), "alpha": 1.0, "out": z()})
    yield Case("dense, from output", fr.celu_backward_from_output, lambda: {"grad": x(), "y": y(), "alpha": 1.0})
    yield Case("dense, large", fr.elu, lambda: {"x": x(shape=(40, 1000)), "alpha": 1.0, "out": y(shape=(40, 1000))})
    yield Case("dense, large, new", fr.leaky_relu, lambda: {"x": x(shape=(40, 1000)), "negative_slope": 0.25})
    yield Case("strided, out", fr.leaky_relu, lambda: {"x": x(), "negative_slope": 0.25, "out": y(order=f)})
    yield Case(
        "strided, gradient", fr.elu_backward, lambda: {"grad": x(), "x": y(order=f), "alpha": row(1), "out": z()}
    )
    yield Case("strided, new", fr.srelu, lambda: {
        "x": x(), "t_left": row(-1), "a_left": row(0.1), "t_right": row(1), "a_right": 0.5})
    yield Case("strided, large", fr.leaky_relu, lambda: {
        "x": x(shape=(40, 1000)), "negative_slope": np.full(1000, 0.25, "f4"), "out": y(shape=(40, 1000))})
    yield Case("ufunc, where", fr.leaky_relu, lambda: {
        "x": x(), "negative_slope": 0.25, "out": y(), "where": np.arange(N * M).reshape(N, M).copy() % 3 > 0})
    yield Case("ufunc, casts", fr.elu, lambda: {"x": x(dtype="f2"), "alpha": 1.0, "out": y(dtype="f8")})
    yield Case("ufunc, gradient", fr.elu_backward, lambda: {"grad": x(dtype="f8"), "x": y(), "alpha": 1.0, "out": z()})
    yield Case("ufunc, overflow", fr.elu, lambda: {"x": 1e6 * x(dtype="f8"), "alpha": 1.0, "out": y(dtype="f2")})
    yield Case("in place", fr.elu_, lambda: {"x": x(), "alpha": 1.0}, ("x",))
    yield Case("per channel", fr.prelu, lambda: {"x": x(), "weight": row(0.25), "axis": 1, "out": y()})
    yield Case("per channel, gradient", fr.prelu_backward, lambda: {
        "grad": x(), "x": y(), "weight": row(0.25), "axis": 1, "out": z()})
    for training in (True, False):
        yield Case(f"drawn, {training=}", fr.rrelu, lambda training=training: {
            "x": x(), "lower": 0.1, "upper": 0.3, "training": training, "rng": np.random.default_rng(0),
            **({"slopes": y()} if training else {}), "out": z()})
    yield Case("side by side", fr.crelu, lambda: {"x": x(), "axis": 1})
    yield Case("side by side, out", fr.crelu, lambda: {"x": x(), "axis": 0, "out": y(shape=(2 * N, M))})
    yield Case("side by side, out, last axis", fr.crelu, lambda: {"x": x(), "axis": -1, "out": y(shape=(N, 2 * M))})
    yield Case("side by side, gradient", fr.crelu_backward, lambda: {
        "grad": x(shape=(2 * N, M)), "x": y(), "axis": 0, "out": z()})
    yield Case("side by side, from output", fr.crelu_backward_from_output, lambda: {
        "grad": x(shape=(2 * N, M)), "y": y(shape=(2 * N, M)), "axis": 0, "out": z()})
    yield Case("explain", lambda **arguments: fr.explain(fr.leaky_relu, **arguments), lambda: {
        "x": x(), "negative_slope": 0.25, "out": y(order=f)})


def _rows() -> Iterator[Case]:
    x, y, z = (lambda seed=seed, **k: numbers(seed, **k) for seed in range(3))
    labels, weight = (lambda: np.arange(N) % M), (lambda: np.linspace(1, 2, M))
    yield Case("rows", fr.softmax, lambda: {"x": x(), "axis": 1, "out": y()})
    yield Case("rows, axis 0", fr.log_softmax, lambda: {"x": x(), "axis": 0, "out": y()})
    yield Case("rows, axes", fr.softmin, lambda: {"x": x(), "axis": (0, 1), "out": y()})
    yield Case("rows, where", fr.softmax, lambda: {"x": x(), "axis": 0, "where": numbers(3) > 0, "out": y()})
    yield Case("rows, casts", fr.log_softmax, lambda: {"x": x(dtype="f2"), "axis": 1, "out": y(dtype="f8")})
    yield Case("rows, overflow", fr.log_softmax, lambda: {"x": 1e6 * x(dtype="f8"), "axis": 1, "out": y(dtype="f2")})
    yield Case("rows, in place", fr.softmin_, lambda: {"x": x(), "axis": 0}, ("x",))
    yield Case("rows, gradient", fr.softmax_backward_from_output, lambda: {
        "grad": x(), "y": y(), "axis": 1, "out": z()})
    yield Case("rows, gradient, axis 0", fr.log_softmax_backward_from_output, lambda: {
        "grad": x(), "y": y(order="F"), "axis": 0, "out": z()})
    yield Case("loss", fr.cross_entropy, lambda: {
        "logits": x(), "labels": labels(), "axis": -1, "weight": weight(), "ignore_index": -100,
        "label_smoothing": 0.1, "reduction": "mean"})
    yield Case("loss, gradient", fr.cross_entropy_value_and_grad, lambda: {
        "logits": x(), "labels": labels(), "axis": -1, "weight": weight(), "ignore_index": -100,
        "label_smoothing": 0.1, "reduction": "none", "out": y()})
    yield Case("loss, shares", fr.cross_entropy_value_and_grad, lambda: {
        "logits": x(), "labels": abs(z()), "axis": 1, "label_smoothing": 0.1, "reduction": "sum", "out": y()})
    yield Case("exponentials", fr.logsumexp, lambda: {
        "x": x(), "axis": 1, "where": numbers(3) > 0, "keepdims": True, "out": y(shape=(N, 1))})
    yield Case("exponentials, gradient", fr.logmeanexp_backward, lambda: {
        "grad": x(shape=(M,)), "x": y(), "axis": 0, "where": numbers(3) > 0, "out": z()})
    yield Case("sparse rows", fr.sparsemax, lambda: {"x": x(), "axis": 0, "where": numbers(3) > 0, "out": y()})
    yield Case("sampled rows", fr.gumbel_softmax, lambda: {
        "x": x(), "axis": 1, "tau": 0.5, "hard": False, "rng": 0, "where": numbers(3) > 0, "out": y()})
    options = lambda: {"scale": 0.5, "bias": y(), "softcap": 2.0, "sink": numbers(4, shape=(N,))}
    yield Case("changed rows", fr.softmax, lambda: {"x": x(), **options(), "where": numbers(3) > 0, "out": z()})
    yield Case("changed rows, parameters", fr.log_softmax_backward_parameters, lambda: {
        "grad": numbers(5), "x": x(), **options(), "out": z()})
    yield Case("two classes", fr.binary_cross_entropy_with_logits_value_and_grad, lambda: {
        "logits": x(), "labels": abs(z()), "weight": abs(y()), "pos_weight": weight(), "reduction": "none", "out": z()})
    blocks = (30, 9000)  # more than one
    yield Case("two classes, large", fr.binary_cross_entropy_with_logits_value_and_grad, lambda: {
        "logits": x(shape=blocks), "labels": abs(z(shape=blocks, dtype="f8")), "reduction": "sum", "out": z(shape=blocks)})


def _fused() -> Iterator[Case]:
    x, y, z = (lambda seed=seed, **k: numbers(seed, **k) for seed in range(3))
    fused, row, part = fr.fused, lambda: numbers(4, shape=(M,)), lambda: numbers(5, shape=(N, M // 2))
    yield Case("fused", lambda x, bias, slope, **o: fused.bias_act(x, bias, "leaky_relu", negative_slope=slope, **o),
               lambda: {"x": x(), "bias": row(), "slope": 0.25, "residual": y(), "axis": -1, "out": z()})
    yield Case("fused, in place", lambda x, bias, **o: fused.bias_act_(x, bias, "gelu", **o), lambda: {
        "x": x(), "bias": row(), "residual": y()}, ("x",))
    yield Case("fused, gradient", lambda grad, x, bias, **o: fused.bias_act_backward(grad, x, bias, "silu", **o), lambda: {
        "grad": x(), "x": y(), "bias": row(), "residual": numbers(6), "out": z()})
    yield Case("fused, from output", lambda grad, y, **o: fused.bias_act_backward_from_output(grad, y, "tanh", **o),
               lambda: {"grad": x(), "y": y(), "axis": 0, "out": z()})
    yield Case("gated", fr.swiglu, lambda: {"x": x(), "axis": 1, "beta": 1.5, "out": part()})
    yield Case("gated, limit", fr.swiglu, lambda: {
        "x": x(), "axis": 1, "layout": "interleaved", "limit": 1.0, "offset": 1.0, "out": part()})
    yield Case("gated, pair", lambda gate, value, out: fr.geglu((gate, value), out=out), lambda: {
        "gate": x(), "value": y(), "out": z()})
    yield Case("gated, gradient", fr.glu_backward, lambda: {"grad": part(), "x": y(), "axis": 1, "out": z()})


def _bytes() -> Iterator[Case]:
    x, y = (lambda seed=seed, **k: numbers(seed, **k) for seed in range(2))
    masks, quantized = fr.masks, fr.quantized
    of_bytes, row = (lambda seed: numbers(seed, dtype="i1")), (lambda v: np.full(M, v, "f4"))
    yield Case("masks", masks.leaky_relu_with_mask, lambda: {"x": x(), "negative_slope": 0.25, "out": y()})
    yield Case("masks, gradient", lambda grad, slopes, out: masks.backward_from_mask(
        grad, masks.relu_with_mask(numbers(3))[1], slopes, out=out), lambda: {"grad": x(), "slopes": 0.25, "out": y()})
    yield Case("quantized", lambda x, scale, zero, **o: quantized.quantize(x, scale, zero, "relu", dtype="i1", **o),
               lambda: {"x": x(), "scale": row(0.1), "zero": np.zeros(M, "i1"), "axis": 1, "out": of_bytes(2)})
    yield Case("quantized, back", lambda q, scale, zero, **o: quantized.dequantize(q, scale, zero, **o), lambda: {
        "q": of_bytes(3), "scale": row(0.1), "zero": np.zeros(M, "i1"), "axis": 1, "out": y()})
    yield Case("quantized, table", lambda table, q, out: quantized.lookup(table, q, out=out), lambda: {
        "table": quantized.table("silu", 0.1, 0, 0.1, 0), "q": of_bytes(3), "out": of_bytes(2)})


def _sums() -> Iterator[Case]:
    x, y, z = (lambda seed=seed, **k: numbers(seed, **k) for seed in range(3))
    row = lambda v: np.full(M, v, "f4")
    yield Case("sums", fr.prelu_backward_parameters, lambda: {"grad": x(), "x": y(), "weight": row(0.25), "out": z()})
    yield Case("sums, number", fr.swish_backward_parameters, lambda: {"grad": x(), "x": y(), "beta": 1.0, "out": z()})
    yield Case("sums, casts", fr.elu_backward_parameters, lambda: {
        "grad": x(dtype="f2"), "x": y(), "alpha": 1.0, "out": z(dtype="f8")})
    yield Case("sums, overflow", fr.elu_backward_parameters, lambda: {
        "grad": 1e6 * x(dtype="f8"), "x": y(), "alpha": 1.0, "out": z(dtype="f2")})
    yield Case("sums, per channel", fr.prelu_backward_parameters, lambda: {
        "grad": x(), "x": y(order="F"), "weight": row(0.25), "axis": 1, "out": z()})
    yield Case("sums, four", fr.srelu_backward_parameters, lambda: {
        "grad": x(), "x": y(), "t_left": row(-1), "a_left": 0.1, "t_right": row(1), "a_right": row(0.5)})
    for axis in (None, 0, (0, 1)):
        yield Case(f"statistics, {axis}", diagnostics.summarize, lambda axis=axis: {
            "a": x(), "axis": axis, "saturation": (-1.0, 1.0)})
    yield Case("statistics, casts", diagnostics.summarize, lambda: {"a": x(dtype="f2"), "axis": 1})

    def update(a: Any, b: Any) -> Any:
        running = diagnostics.Running(axis=1)
        running.update(a)
        running.update(b)
        return running.result()

    yield Case("statistics, running", update, lambda: {"a": x(), "b": y()})


def _layers() -> Iterator[Case]:
    x, y = (lambda seed=seed, **k: numbers(seed, **k) for seed in range(2))

    def train(make: Callable[[], nn.Module]) -> Callable[..., Any]:
        def call(x: Any, grad: Any) -> Any:
            layer = make()
            result = layer(x)
            return result, layer.backward(grad), [p.grad for p in layer.parameters()]

        return call

    layers: dict[str, Callable[[], nn.Module]] = {
        "Linear": lambda: nn.Linear(M, M, rng=0),
        "PReLU": lambda: nn.PReLU(M),
        "SReLU": lambda: nn.SReLU(M),
        "Dropout": lambda: nn.Dropout(0.5, rng=0),
        "RReLU": lambda: nn.RReLU(rng=0),
        "GELU": nn.GELU,
        "CReLU": lambda: nn.Sequential(nn.CReLU(), nn.Linear(2 * M, M, rng=0)),
        "Softmax": nn.Softmax,
    }
    for name, make in layers.items():
        yield Case(f"nn.{name}", train(make), lambda: {"x": x(), "grad": y()})

    def planned(x: Any, weight: Any, bias: Any) -> Any:
        model = nn.Sequential(nn.Linear(M, M, rng=0), nn.GELU(), nn.Linear(M, 1, rng=0)).eval()
        model[0].weight.data, model[0].bias.data = weight, bias
        return model(x), model(x), model(x)

    for title, rows in (("", N), (", one row", 1)):
        yield Case(f"plan of layers{title}", planned, lambda rows=rows: {
            "x": x(shape=(rows, M)), "weight": numbers(2, shape=(M, M)), "bias": numbers(3, shape=(M,))})

    def loss(logits: Any, labels: Any) -> Any:
        criterion = nn.CrossEntropyLoss()
        return criterion(logits, labels), criterion.backward()

    yield Case("nn.CrossEntropyLoss", loss, lambda: {"logits": x(), "labels": np.arange(N) % M})

    def load(weight: Any, bias: Any, parameter: Any) -> Any:
        layer = nn.Linear(M, N)
        layer.weight.data = parameter
        layer.load_state_dict({"weight": weight, "bias": bias})
        return layer.weight.data

    yield Case("nn.load_state_dict", load, lambda: {
        "weight": x(), "bias": x(shape=(N,)), "parameter": y()}, ("parameter",))

    def step(data: Any, grad: Any, lr: Any, momentum: Any) -> Any:
        parameter = nn.Parameter(data)
        parameter.grad = grad
        optimizer = optim.SGD([parameter], lr=lr, momentum=momentum, weight_decay=0.1)
        for _ in range(2):
            optimizer.step()
        return parameter.data

    yield Case("optim.SGD", step, lambda: {"data": x(), "grad": y(), "lr": 0.1, "momentum": 0.5}, ("data",))

    def adam(data: Any, grad: Any, lr: Any, eps: Any) -> Any:
        parameter = nn.Parameter(data)
        parameter.grad = grad
        optim.Adam([parameter], lr=lr, eps=eps).step()
        return parameter.data

    yield Case("optim.Adam", adam, lambda: {"data": x(), "grad": y(), "lr": 0.1, "eps": 1e-8}, ("data",))
    yield Case("nn.init", nn.init.kaiming_uniform_, lambda: {"tensor": x(), "a": 0.1, "rng": 0}, ("tensor",))


def all_cases() -> list[Case]:
    """Return every kind of call."""
    return [*_elementwise(), *_rows(), *_fused(), *_bytes(), *_sums(), *_layers()]


# --- Objects that run code --------------------------------------------------------------------------------------------


def _struck(strike: Strike, method: Callable[..., Any], after: bool = False) -> Callable[..., Any]:
    """Return a method that strikes first, or when it is done."""

    def struck(*args: Any, **kwargs: Any) -> Any:
        if not after:
            strike()
        result = method(*args, **kwargs)
        if after:
            strike()
        return result

    return struck


def _object(strike: Strike, *bases: type, **methods: Callable[..., Any]) -> type:
    """Return a class whose methods strike first; some of them are properties."""
    after = {"__array_ufunc__"}  # then NumPy itself goes on with views of arrays of the caller
    properties = {"dtype", "shape", "ndim", "__array_interface__", "__array_struct__", "__class__"}
    return type("Hostile", bases, {
        name: property(_struck(strike, method)) if name in properties else _struck(strike, method, name in after)
        for name, method in methods.items()
    })


def _as(dtype: Any, value: Any) -> Any:
    return value if dtype is None or not isinstance(value, np.ndarray) else value.astype(dtype, copy=False)


def _view(strike: Strike, value: Any, **methods: Callable[..., Any]) -> Any:
    """Return an array of a subclass, on memory of its own."""
    return np.array(value).view(_object(strike, np.ndarray, **methods))


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, np.ndarray) and type(value) is not np.ndarray else value


def _released(strike: Strike, value: Any) -> Any:
    """Return an object that returns an array whose finalizer strikes."""

    def give(self: Any, dtype: Any = None, copy: Any = None) -> Array:
        owner = type("Owner", (), {"__array_interface__": property(lambda _: array.__array_interface__)})()
        array = np.array(value, dtype)
        owner.array = array
        weakref.finalize(owner, strike).atexit = False
        return np.asarray(owner)

    return type("Hostile", (), {"__array__": give})()


def _numbers() -> dict[str, Callable[[Strike, Any], Any]]:
    """Return the objects that can replace a number."""
    return {
        "__float__ of a float": lambda s, v: _object(s, float, __float__=lambda _: float(v))(v),
        "__float__ of an int": lambda s, v: _object(s, int, __float__=lambda _: float(v))(int(v)),
        "__index__ of an int": lambda s, v: _object(s, int, __index__=lambda _: int(v), __int__=lambda _: int(v))(int(v)),
        "__index__": lambda s, v: _object(s, __index__=lambda _: operator.index(v))(),
        "__float__": lambda s, v: _object(s, __float__=lambda _: float(v))(),
        "__int__": lambda s, v: _object(s, __int__=lambda _: int(v), __trunc__=lambda _: int(v))(),
        "__complex__": lambda s, v: _object(s, __complex__=lambda _: complex(v))(),
        "__float__ of a NumPy scalar": lambda s, v: _object(s, np.float64, __float__=lambda _: float(v))(v),
        "comparisons": lambda s, v: _object(
            s, float, **{f"__{n}__": lambda _, o, n=n: getattr(operator, n)(v, o)
                         for n in ("lt", "le", "gt", "ge", "eq", "add", "sub", "mul", "truediv")},
            __radd__=lambda _, o: o + v, __rsub__=lambda _, o: o - v, __rmul__=lambda _, o: o * v,
            __neg__=lambda _: -v)(v),
        "comparisons of an int": lambda s, v: _object(
            s, int, **{f"__{n}__": lambda _, o, n=n: getattr(operator, n)(int(v), o)
                       for n in ("lt", "le", "gt", "ge", "eq", "add", "sub")},
            __hash__=lambda _: hash(int(v)), __neg__=lambda _: -int(v))(int(v)),
        "__bool__": lambda s, v: _object(s, __bool__=lambda _: bool(v))(),
        "__hash__ and __eq__": lambda s, v: _object(s, __hash__=lambda _: hash(v), __eq__=lambda _, o: v == o)(),
        "__repr__ and __format__": lambda s, v: _object(
            s, float, __repr__=lambda _: "hostile", __format__=lambda *_: "hostile")(np.nan * v),
        "tuple of __index__": lambda s, v: (_object(s, __index__=lambda _: operator.index(v))(),),
    }


def _arrays() -> dict[str, Callable[[Strike, Any], Any]]:
    """Return the objects that can replace an array."""
    element = lambda s: _object(s, float, __float__=lambda self: self * 1.0)
    scalar = lambda s, v: _object(s, __array__=lambda _, dtype=None, copy=None: np.array(v, dtype))()
    found: dict[str, Callable[[Strike, Any], Any]] = {
        "__array__": lambda s, v: _object(s, __array__=lambda _, dtype=None, copy=None: _as(dtype, v))(),
        "__array_interface__": lambda s, v: _object(s, __array_interface__=lambda _: v.__array_interface__)(),
        "__array_struct__": lambda s, v: _object(s, __array_struct__=lambda _: v.__array_struct__)(),
        "__dlpack__": lambda s, v: _object(
            s, __dlpack__=lambda _, **k: v.__dlpack__(**k), __dlpack_device__=lambda _: v.__dlpack_device__())(),
        "__len__ and __getitem__": lambda s, v: _object(
            s, __len__=lambda _: len(v), __getitem__=lambda _, i: v[i] if i < len(v) else v[()][i])(),
        "__iter__ and __next__": lambda s, v: _object(
            s, __iter__=lambda self: self, __next__=functools.partial(lambda it, _: next(it), iter(v)), __len__=lambda _: len(v))(),
        "__iter__ of a list": lambda s, v: _object(
            s, list, __iter__=lambda _: iter(v), __len__=lambda _: len(v), __getitem__=lambda _, i: v[i])(v),
        "list of __float__": lambda s, v: [[*map(element(s), row)] for row in np.atleast_2d(v)],
        "list of __array__": lambda s, v: [scalar(s, row) for row in np.array(v)],
        "list of sequences": lambda s, v: [_object(
            s, __len__=lambda _, row=row: len(row), __getitem__=lambda _, i, row=row: row[i])()
            for row in np.atleast_2d(v).tolist()],
        "__array_ufunc__": lambda s, v: _object(
            s, __array_ufunc__=lambda _, ufunc, method, *inputs, **k: getattr(ufunc, method)(
                *[v if type(i).__name__ == "Hostile" else i for i in inputs],
                **{key: tuple(v if type(o).__name__ == "Hostile" else o for o in value) if key == "out" else value
                   for key, value in k.items()}))(),
        "__array_finalize__": lambda s, v: _view(s, v, __array_finalize__=lambda *_: None),
        "__array_wrap__": lambda s, v: _view(s, v, __array_wrap__=lambda _, a, *__: a),
        "__array_ufunc__ of an array": lambda s, v: _view(
            s, v, __array_ufunc__=lambda self, ufunc, method, *inputs, **k: getattr(ufunc, method)(
                *map(_plain, inputs), **{key: tuple(map(_plain, value)) if key == "out" else _plain(value)
                                         for key, value in k.items()})),
        "__array_function__": lambda s, v: _view(
            s, v, __array_function__=lambda self, *args: np.ndarray.__array_function__(self, *args)),
        "methods of an array": lambda s, v: _view(s, v, **{
            n: lambda self, *args, n=n, **k: getattr(np.ndarray, n)(self, *args, **k)
            for n in ("astype", "reshape", "copy", "max", "__getitem__", "__setitem__", "__mul__", "__len__")}),
        "shape of an array": lambda s, v: _view(s, v, shape=lambda self: np.ndarray.shape.__get__(self),
                                                ndim=lambda self: np.ndarray.ndim.__get__(self),
                                                dtype=lambda self: np.ndarray.dtype.__get__(self)),
        "dtype and shape": lambda s, v: _object(
            s, dtype=lambda _: v.dtype, shape=lambda _: v.shape, ndim=lambda _: v.ndim,
            __array__=lambda _, dtype=None, copy=None: _as(dtype, v))(),
        "release of an input": lambda s, v: _released(s, v),
        "tuple subclass": lambda s, v: _object(
            s, tuple, __getitem__=lambda _, i: (v,)[i], __len__=lambda _: 1, __iter__=lambda _: iter((v,)))((v,)),
    }
    if sys.version_info >= (3, 12):
        found["__buffer__"] = lambda s, v: _object(
            s, __buffer__=lambda _, flags: memoryview(v), __release_buffer__=lambda _, view: view.release())()
    return found


class _Meta(type):
    """Lets a class strike when it is asked for an attribute."""

    strike: Strike

    def __getattribute__(cls, name: str) -> Any:
        if name != "strike":
            cls.strike()
        return super().__getattribute__(name)


def _anything() -> dict[str, Callable[[Strike, Any], Any]]:
    """Return the objects that can replace any argument."""

    def of_class(s: Strike, v: Any) -> Any:
        return _object(s, __array__=lambda _, dtype=None, copy=None: _as(dtype, v), __class__=lambda _: int)()

    def by_attribute(s: Strike, v: Any) -> Any:
        return _object(s, __getattribute__=lambda _, name: getattr(v, name))()

    def by_missing_attribute(s: Strike, v: Any) -> Any:
        return _object(s, __getattr__=lambda _, name: getattr(v, name))()

    def by_meta(s: Strike, v: Any) -> Any:
        kind: Any = _Meta("Hostile", (), {"__array__": lambda _, dtype=None, copy=None: _as(dtype, v), "strike": s})
        return kind()

    return {
        "__class__": of_class,
        "__getattribute__": by_attribute,
        "__getattr__": by_missing_attribute,
        "attributes of the class": by_meta,
        "__fspath__": lambda s, v: _object(s, __fspath__=lambda _: str(v))(),
    }


def _strings() -> dict[str, Callable[[Strike, Any], Any]]:
    return {
        "__eq__ and __hash__ of a str": lambda s, v: _object(
            s, str, __eq__=lambda _, o: v == o, __hash__=lambda _: hash(v))(v),
        "__str__ of a str": lambda s, v: _object(s, str, __str__=lambda _: v, __len__=lambda _: len(v))(v),
    }


def _generators() -> dict[str, Callable[[Strike, Any], Any]]:
    def made(s: Strike, v: Any) -> Any:
        kind = _object(
            s, np.random.Generator, random=lambda self, *args, **k: np.random.Generator.random(self, *args, **k)
        )
        return kind(v.bit_generator)

    return {"methods of a Generator": made}


def _pairs() -> dict[str, Callable[[Strike, Any], Any]]:
    return {
        "__iter__ of a pair": lambda s, v: _object(s, __iter__=lambda _: iter(v))(),
        "__iter__ of a tuple": lambda s, v: _object(
            s, tuple, __iter__=lambda _: iter(v), __getitem__=lambda _, i: v[i], __len__=lambda _: len(v))(v),
        "pair of __float__": lambda s, v: tuple(_object(s, float, __float__=lambda _, n=n: float(n))(n) for n in v),
        "pair of __index__": lambda s, v: tuple(
            _object(s, __index__=lambda _, n=n: operator.index(n), __float__=lambda _, n=n: float(n))() for n in v),
    }
# fmt: on


def objects(value: Any) -> Mapping[str, Callable[[Strike, Any], Any]]:
    """Return the kinds of objects that can stand for a value."""
    anything = _anything()
    if isinstance(value, np.ndarray):
        return {**_arrays(), **anything}
    if isinstance(value, str):
        return {**_strings(), **anything}
    if isinstance(value, tuple):
        return {**_pairs(), **anything}
    if isinstance(value, np.random.Generator):
        return {**_generators(), **anything}
    if value is None:
        return anything
    numbers = {
        name: make for name, make in _numbers().items() if value == int(value) or not re.search(r"int|index", name)
    }
    as_array = {name: lambda s, v, make=make: make(s, np.array(v)) for name, make in _arrays().items()}
    return {**numbers, **as_array, **anything}


# --- Hooks outside the arguments --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _collections(strike: Strike) -> Iterator[None]:
    """Strike at every garbage collection, which runs all the time."""
    hook = lambda phase, _: strike() if phase == "start" else None
    before = gc.get_threshold()
    gc.callbacks.append(hook)
    gc.set_threshold(1, 1000, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(hook)


@contextlib.contextmanager
def _finalizers(strike: Strike) -> Iterator[None]:
    """Strike in the finalizer of garbage, at the next garbage collection."""

    class Garbage:
        def __del__(self) -> None:
            strike()

    for _ in range(3):
        garbage = Garbage()
        garbage.itself = garbage  # type: ignore[attr-defined]  # only a collection frees a cycle
    before = gc.get_threshold()
    gc.set_threshold(2, 1000, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect(0)


@contextlib.contextmanager
def _warned(strike: Strike) -> Iterator[None]:
    """Strike when a warning is shown: of a cast, of a mask without `out`, of a thread that was refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *_, **__: strike()
        yield


@contextlib.contextmanager
def _floating_point(strike: Strike) -> Iterator[None]:
    """Strike when NumPy reports a floating-point error."""
    with np.errstate(all="call", call=lambda *_: strike()):  # silences nothing: it strikes
        yield


@contextlib.contextmanager
def _profiler(strike: Strike) -> Iterator[None]:
    """Strike whenever a Python function is called, returns, or calls a C function."""
    sys.setprofile(lambda *_: strike())
    try:
        yield
    finally:
        sys.setprofile(None)


@contextlib.contextmanager
def _tracer(strike: Strike) -> Iterator[None]:
    """Strike at every line of Python code."""

    def trace(*_: Any) -> Any:
        strike()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


CIRCUMSTANCES = {
    "collections": _collections,
    "finalizers": _finalizers,
    "warnings": _warned,
    "floating-point errors": _floating_point,
    "profiler": _profiler,
    "tracer": _tracer,
}
OFTEN = 12  # these hooks are called often: they strike at their first, second, ... twelfth call


# --- Trials -----------------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """One call with one hook, which does one thing to one array."""

    case: Case
    argument: str  # or "" for a hook outside the arguments
    hook: str
    victim: str
    damage: str

    def __str__(self) -> str:
        return f"{self.case.name}: {self.hook}{f' as {self.argument}' if self.argument else ''}, {self.damage} {self.victim}"


def trials() -> Iterator[Trial]:
    """Yield every combination."""
    for case in all_cases():
        made = case.make()
        victims = [name for name, value in made.items() if isinstance(value, np.ndarray)]
        hooks = [(name, kind) for name, value in made.items() for kind in objects(value)]
        hooks += [("", kind) for kind in CIRCUMSTANCES]
        for (argument, kind), victim, damage in itertools.product(hooks, victims, DAMAGES):
            if (damage, case.name) == ("set state", "two classes, large"):
                continue  # frees memory that NumPy's iterator reads, in spite of all references
            if damage != "none" or victim == victims[0]:
                yield Trial(case, argument, kind, victim, damage)


class Striker:
    """Does something to an array when it is called for the n-th time."""

    def __init__(self, array: Array, damage: str, time: int) -> None:
        self.array, self.damage, self.left = array, DAMAGES[damage], time
        self.after: bytes | None = None
        self.busy = False

    def __call__(self) -> None:
        """Count the calls, and strike at the n-th."""
        self.left -= 1
        if self.left == 0 and not self.busy:
            self.busy = True
            with contextlib.suppress(ValueError, TypeError, AttributeError, DeprecationWarning):  # NumPy may refuse
                self.damage(self.array)
            self.after = self.array.tobytes()
            self.busy = False


def look(result: Any) -> Any:
    """Read every element of a result."""
    if isinstance(result, np.ndarray):
        return np.array(result).tobytes() if result.dtype.kind != "O" else None
    if isinstance(result, (tuple, list)):
        return [look(item) for item in result]
    return None


class Fence:
    """The memory of the arrays."""

    def __init__(self, library: str) -> None:
        self.library = ctypes.PyDLL(library)
        self.library.fence_trampled.restype = ctypes.c_long

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Create arrays between fences."""
        self.library.fence_arrays(1)
        try:
            yield
        finally:
            self.library.fence_arrays(0)

    @property
    def trampled(self) -> int:
        """Number of overwritten bytes next to arrays."""
        return int(self.library.fence_trampled())


@functools.cache
def plain_result(case: Case) -> Any:
    """Return the result of a call without hooks."""
    return case.function(**case.make())


def attempt(fence: Fence, trial: Trial, time: int) -> tuple[bool, list[str]]:
    """Make a call with a hook, and return whether it struck and the faults."""
    case, argument, hook, victim, damage = trial
    wrong = []
    compared = (
        damage == "none"
        and argument not in {"training", "hard"}
        and hook not in {"__repr__ and __format__", "__iter__ and __next__"}
        and case.name != "nn.RReLU"  # draws without a seed
        and not (case.name.startswith(("drawn", "sampled")) and "list" in hook)  # drawn in the type that a list has
    )
    plain = plain_result(case) if compared else None
    with fence():
        made = case.make()
    before = {name: value.tobytes() for name, value in made.items() if isinstance(value, np.ndarray)}
    arrays = {name: made[name] for name in before}
    strike = Striker(arrays[victim], damage, time)
    trampled = fence.trampled
    around: Any = contextlib.nullcontext()
    if argument:
        try:
            made[argument] = objects(made[argument])[hook](strike, made[argument])
        except (TypeError, ValueError):  # no such object for this value
            return False, []
        strike.left = time
    else:
        around = CIRCUMSTANCES[hook](strike)
    try:
        with fence(), around:
            result = case.function(**made)
        look(result)
        if plain is not None and differs(case, result, plain):
            wrong.append("wrong result")
        del result
    except CLEAN:
        pass
    except AttributeError as error:
        if argument == "":
            wrong.append(f"raised AttributeError: {error}"[:150])
    except BaseException as error:  # noqa: BLE001  whatever a call raises is judged
        wrong.append(f"raised {type(error).__name__}: {error}"[:150])
    strike.left = 0
    struck = strike.after is not None
    for name, array in arrays.items():
        if name not in case.written and hook != "__array_ufunc__":
            wanted = strike.after if name == victim and struck else before[name]
            if array.tobytes() != wanted:
                wrong.append(f"wrote into {name}")
    del made, arrays, strike, around
    if fence.trampled != trampled:
        wrong.append("wrote beside an array")
    return struck, wrong


def differs(case: Case, result: Any, plain: Any) -> bool:
    """Tell whether a result differs from that of the plain call, except for rounding to another type."""
    if isinstance(plain, (tuple, list)):
        return any(differs(case, *pair) for pair in zip(result, plain, strict=True))
    if not isinstance(plain, (np.ndarray, np.generic)):
        return False
    return not np.allclose(np.asarray(result, "f8"), np.asarray(plain, "f8"), 1e-2, 1e-3, equal_nan=True)


# --- Processes --------------------------------------------------------------------------------------------------------


def provoke_refusal() -> None:
    """Make the system refuse the team a thread; the next call should warn."""
    import resource  # noqa: PLC0415  not on every system

    x = np.ones(1 << 20, "f4")
    _runtime.set_team(granted=2)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (2 << 20), before[1]))
    fr.relu(x, out=x)
    resource.setrlimit(resource.RLIMIT_AS, before)
    if not _runtime.team()["refused"]:
        raise SystemExit("no thread was refused")


def forked(work: Callable[[Any], None]) -> tuple[int, str, str]:
    """Run something in a child process; return its exit status, its output, and its position if it crashed."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as trace:
        child = os.fork()
        if child == 0:
            faulthandler.enable(trace, all_threads=False)
            try:
                work(said)
                said.flush()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        trace.seek(0)
        return status, said.read(), next((line.strip() for line in trace if line.startswith('  File "')), "")


def run(fence: Fence, chosen: list[Trial], together: int, times: int | None = None) -> tuple[set[str], int, list[str]]:
    """Make trials in child processes; return the hooks that struck, how often, and the faults."""
    struck: set[str] = set()
    faults: list[str] = []
    strikes = start = 0
    with mmap.mmap(-1, 8) as where, tqdm(total=len(chosen), desc="trials", disable=None) as bar:
        while start < len(chosen):
            stop = min(len(chosen), start + together)

            def work(said: Any, start: int = start, stop: int = stop) -> None:
                for number in range(start, stop):
                    trial = chosen[number]
                    where[:] = number.to_bytes(8, "little")
                    for time in range(1, 1 + (times or (TIMES if trial.argument else OFTEN))):
                        said.flush()
                        hit, wrong = attempt(fence, trial, time)
                        said.writelines(f"fault {trial}, at call {time}: {what}\n" for what in wrong)
                        if not hit:
                            break
                        said.write(f"struck {trial.hook}\n")

            status, said, last = forked(work)
            for line in said.splitlines():
                kind, _, text = line.partition(" ")
                if kind == "fault":
                    faults.append(text)
                else:
                    struck.add(text)
                    strikes += 1
            start = stop
            if status:
                start = int.from_bytes(where[:], "little") + 1
                struck.add(chosen[start - 1].hook)
                faults.append(f"{chosen[start - 1]}: {signal.Signals(os.WTERMSIG(status)).name}, {last}")
            bar.update(start - bar.n)
    return struck, strikes, faults


def main() -> None:
    """Compile the fence, run everything, and print the faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression that the names of trials match")
    parser.add_argument("--every", type=int, default=1, help="make every n-th trial")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of NumPy, about the odd arrays here
    provoke_refusal()  # before any thread ends and leaves its stack to another; each child warns once
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fence.so"
        compile_shim(SOURCE, library, np.get_include())
        fence = Fence(str(library))
    ctypes.CDLL(None).mallopt(-6, 0xA5)  # M_PERTURB: freed heap memory is overwritten
    found = [trial for trial in trials() if not options.only or re.search(options.only, str(trial))]
    chosen = found[:: options.every]
    gc.freeze()
    struck, strikes, faults = run(fence, chosen, 2000)
    refused = [trial for trial in found if trial.hook == "warnings" and trial.damage != "none"][
        :: max(1, options.every // 4)
    ]
    if refused:
        struck_then, strikes_then, faults_then = run(fence, refused, 1, 1)
        strikes, faults = strikes + strikes_then, faults + faults_then
        struck |= {"refused threads"} if struck_then else set()
    for fault in faults:
        print(fault)
    kinds = {trial.hook for trial in chosen} | ({"refused threads"} if refused else set())
    silent = ", ".join(sorted(kinds - struck))
    print(
        f"{len(chosen) + len(refused)} trials, {strikes} strikes, {len(struck)} hooks of {len(kinds)}"
        f"{f' (not: {silent})' if silent else ''}, {len(faults)} faults"
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
