"""Make every allocation of every public function fail, one after the other, and check the outcome of the call.

python tools/inject_failures.py                       # all, some minutes
python tools/inject_failures.py --only "softmax" --valgrind

Each call is repeated: its first allocation fails, then its second, and so on until there are no more; once that
allocation alone and once all later ones too; first allocations by Python's allocators, then by the system's (malloc and
related functions, mmap), also on the threads of the team. Each time the call must raise MemoryError or be right, its
outputs must be completely right or unchanged, everything else must be unchanged, no reference may be lost, and the next
call must be right. Linux, a C compiler and Python's headers are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import faulthandler
import functools
import gc
import importlib
import inspect
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy._core.multiarray import get_handler_name
from tqdm import tqdm

import fastrelu as fr
from fastrelu import _catalogue, _core, _runtime, activations, diagnostics, nn, optim, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

SOURCE = Path(__file__).with_suffix(".c")
ALLOCATORS = {"Python": 1, "system": 2}
FOREVER = 1 << 60
WHOSE = ("the interpreter's", "ours", "NumPy's")
# Errors that NumPy and Python raise instead of MemoryError.
KNOWN = re.compile(
    "SystemError: (<ufunc|<built-in function|<class .(numpy|UserWarning)|<method|error return without exception set)|RuntimeError: can't allocate lock"
)
# Python itself crashes if it has no memory at all when a context variable is set, or when it warns, as these do that are
# not told a dimension.
NOT_FOREVER = re.compile(r"explain|precision|threads|\w*normal_|torch\.(log_)?soft(max|min)(_backward)?:")
MOST = 20_000  # allocations of a call; more means that it never ends
# Names of arguments that are arrays, in the other frameworks.
ARRAYS = {
    *_catalogue.DATA,
    *[
        "grad_output",
        "gradients",
        "X",
        "Y",
        "input",
        "features",
        "logits",
        "weight",
        "slope",
        "other",
        "value",
        "output",
    ],
}
NEEDED = {"dim": -1, "axis": -1}  # instead of a number between 0 and 1
SPACES = (fr, fr.fused, fr.masks, fr.quantized, diagnostics, optim, nn, nn.init, nn.utils)
SHAPE, LARGE = (4, 6), (8, 4400)  # large: from the pool, streamed and threaded, after `prepare`


# --- Calls ------------------------------------------------------------------------------------------------------------


class Prepared(NamedTuple):
    """One prepared call: the objects that it may change, and those that it must not."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    written: Iterable[Array]
    read: list[Array]
    together: bool = False  # all outputs are written, or none


class Call(NamedTuple):
    """A call that can be prepared repeatedly, always with the same result."""

    name: str
    prepare: Callable[[], Prepared]


def root(array: Array) -> Array:
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def prepared(function: Callable[..., Any], *args: Any, written: tuple[Array, ...] = (), **kwargs: Any) -> Prepared:
    """Return a call that writes into `written`, into `out` and, if its name ends in ``_``, into its first argument."""
    into = [*written]
    into.extend(kwargs[name] for name in ("out", "slopes") if isinstance(kwargs.get(name), np.ndarray))
    if getattr(function, "__name__", "").endswith("_"):
        into.extend(a for a in args[:1] if isinstance(a, np.ndarray))
    roots = {id(root(a)): root(a) for a in into}
    inputs = {id(root(a)): root(a) for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)}
    return Prepared(function, args, kwargs, [*roots.values()], [a for key, a in inputs.items() if key not in roots])


def numbers(shape: tuple[int, ...], seed: int, dtype: str = "f4") -> Array:
    """Return numbers of both signs."""
    return _numbers(shape, seed, dtype).copy()


@functools.cache
def _numbers(shape: tuple[int, ...], seed: int, dtype: str) -> Array:
    return 2 * np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def gaps(a: Array) -> Array:
    """Lay an array out with a gap behind each element."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "dense": lambda a: a,
    "gaps": gaps,
    "turned": lambda a: np.ascontiguousarray(a.T).T,
    "half": lambda a: a.astype("f2"),
    "double": lambda a: a.astype("f8"),
    "swapped": lambda a: a.astype(">f4"),
    "bfloat": lambda a: a.astype(ml_dtypes.bfloat16),
    "list": lambda a: a.tolist(),
    "one number": lambda a: float(a.flat[0]),
}
# Layout of the data, what `out` is, whether parameters are arrays, whether large.
VARIANTS = (
    ("dense", "", "", ""),
    ("dense", "dense", "", ""),
    ("dense", "gaps", "", ""),
    ("dense", "double", "", ""),
    ("dense", "where", "", ""),
    ("dense", "overlap", "", ""),
    ("dense", "buffer", "", ""),
    ("dense", "", "arrays", ""),
    ("gaps", "", "", ""),
    ("gaps", "gaps", "arrays", ""),
    ("turned", "dense", "", ""),
    ("half", "", "", ""),
    ("half", "dense", "", ""),
    ("double", "", "arrays", ""),
    ("swapped", "", "", ""),
    ("list", "", "", ""),
    ("one number", "", "", ""),
    ("dense", "", "", "large"),
    ("dense", "dense", "", "large"),
    ("dense", "overlap", "", "large"),
    ("gaps", "", "arrays", "large"),
    ("half", "", "", "large"),
)


def activation_calls(name: str) -> Iterator[Call]:
    """Yield the calls of an activation or a gradient that its arguments allow."""
    function = getattr(fr, name)
    signature = inspect.signature(function).parameters
    data = [parameter for parameter in signature if parameter in _catalogue.DATA]
    values = {
        p.name: 0.25 if p.default is p.empty else p.default
        for p in signature.values()
        if p.name not in data and (p.default is p.empty or type(p.default) is float)
    }

    def prepare(layout: str, out: str, arrays: str, large: str) -> Prepared:
        shape = LARGE if large else SHAPE
        wide = (*shape[:-1], 2 * shape[-1])
        plain = [
            numbers(wide if name.startswith("crelu_backward") and (k == 0 or "output" in name) else shape, k)
            for k in range(len(data))
        ]
        keywords = dict(values)
        if out:
            like = function(*plain, **values)
            like = like[0] if isinstance(like, tuple) else like
            into = np.full(like.shape, 7, like.dtype)
            if out == "where":
                keywords["where"] = np.arange(into.size).reshape(into.shape) % 3 > 0
            if out == "overlap":
                memory = np.zeros(plain[-1].size + like.size, "f4")
                memory[: plain[-1].size] = plain[-1].ravel()
                plain[-1] = memory[: plain[-1].size].reshape(plain[-1].shape)
                into = memory[1 : 1 + like.size].reshape(like.shape)
            keywords["out"] = memoryview(into) if out == "buffer" else LAYOUTS.get(out, LAYOUTS["dense"])(into)
        if arrays:
            keywords |= {key: np.full(shape[-1], value, plain[0].dtype) for key, value in values.items()}
        written = (into,) if out == "buffer" else ()
        return prepared(function, *[LAYOUTS[layout](a) for a in plain], written=written, **keywords)

    for variant in VARIANTS:
        layout, out, arrays, _ = variant
        if (out and "out" not in signature) or (out == "where" and "where" not in signature):
            continue
        if (arrays and not values) or (name.endswith("_") and layout in {"list", "one number"}):
            continue
        if name.startswith("crelu") and layout == "one number":
            continue
        yield Call(
            f"{name}: {', '.join(filter(None, [variant[0], out and f'out {out}', *variant[2:]]))}",
            functools.partial(prepare, *variant),
        )


def call(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
    """Return a call of a function whose arguments are created for each run."""
    made = lambda value: value() if callable(value) else value
    prepare = lambda: prepared(function, *map(made, args), **{key: made(value) for key, value in kwargs.items()})
    return Call(f"{function.__name__}: {name}", prepare)


def data(seed: int = 0, shape: tuple[int, ...] = SHAPE, layout: str = "dense") -> Callable[[], Any]:
    """Return a function that creates an argument."""
    return lambda: LAYOUTS[layout](numbers(shape, seed))


def row_calls() -> Iterator[Call]:
    """Yield calls of softmax and related functions."""
    for layout in LAYOUTS:
        if layout != "one number":
            yield call(f"{layout}, axis 0", fr.logsumexp, data(layout=layout), axis=0)
            yield call(f"{layout}, where", fr.logmeanexp, data(layout=layout), where=lambda: numbers(SHAPE, 1) > 0)
    for name in ("softmax", "log_softmax", "softmin", "hardmax", "sparsemax", "gumbel_softmax"):
        function, in_place = getattr(fr, name), getattr(fr, f"{name}_")
        drawn = {"rng": lambda: np.random.default_rng(0)} if name == "gumbel_softmax" else {}
        backward = getattr(fr, f"{name}_backward_from_output")
        for layout in LAYOUTS:
            if layout == "one number":
                continue
            yield call(layout, function, data(layout=layout), **drawn)
            yield call(f"{layout}, axis 0, out", function, data(layout=layout), axis=0, out=data(1), **drawn)
            yield call(f"{layout}, axes", function, data(layout=layout), axis=None, **drawn)
            yield call(layout, backward, data(layout=layout), data(1, layout=layout))
            yield call(f"{layout}, axis 0, out", backward, data(layout=layout), data(1), axis=0, out=data(2))
            if layout != "list":
                yield call(layout, in_place, data(layout=layout), **drawn)
        yield call("where", function, data(), where=lambda: numbers(SHAPE, 1) > 0, **drawn)
        yield call("out double", function, data(), out=lambda: numbers(SHAPE, 1, "f8"), **drawn)
        for shape in (LARGE, LARGE[::-1]):
            yield call(f"large {shape}", function, data(shape=shape), **drawn)
            yield call(f"large {shape}, out", function, data(shape=shape), out=data(1, shape), **drawn)
            yield call(f"large {shape}, axis 0", function, data(shape=shape), axis=0, **drawn)
            yield call(
                f"large {shape}, axis 0, gaps, out",
                function,
                data(shape=shape, layout="gaps"),
                axis=0,
                out=data(1, shape, "gaps"),
                **drawn,
            )
            yield call(f"large {shape}, axis 0, gaps", in_place, data(shape=shape, layout="gaps"), axis=0, **drawn)
            yield call(
                f"large {shape}, axis 0, out", backward, data(shape=shape), data(1, shape), axis=0, out=data(2, shape)
            )


def loss_calls() -> Iterator[Call]:
    """Yield calls of cross_entropy and of its gradient."""
    for shape in (SHAPE, LARGE, LARGE[::-1]):
        labels = lambda n=shape[0], m=shape[1]: np.arange(n) % m
        options: dict[str, dict[str, Any]] = {
            "": {},
            "weight": {"weight": lambda m=shape[1]: np.linspace(1, 2, m)},
            "smoothed": {"label_smoothing": 0.25},
            "none": {"reduction": "none"},
            "sum, ignored": {"reduction": "sum", "ignore_index": 1},
        }
        for name, keywords in options.items():
            for layout in ("dense", "gaps", "half", "turned"):
                title = f"{shape}, {layout}, {name}"
                x = data(shape=shape, layout=layout)
                yield call(title, fr.cross_entropy, x, labels, **keywords)
                yield call(title, fr.cross_entropy_value_and_grad, x, labels, **keywords)
                yield call(
                    f"{title}, out",
                    fr.cross_entropy_value_and_grad,
                    x,
                    labels,
                    out=data(1, shape, "double" if layout == "half" else layout),
                    **keywords,
                )
            other = lambda n=shape[1], m=shape[0]: (np.arange(n) % m).astype("i1")
            if name != "weight":
                yield call(
                    f"{shape}, axis 0, {name}, out",
                    fr.cross_entropy_value_and_grad,
                    data(shape=shape),
                    other,
                    axis=0,
                    out=data(1, shape),
                    **keywords,
                )
        shares = lambda shape=shape: np.abs(numbers(shape, 3))
        yield call(f"{shape}, shares", fr.cross_entropy_value_and_grad, data(shape=shape), shares)


def fused_calls() -> Iterator[Call]:
    """Yield calls of fused passes, gated units, sums of exponentials and their gradients."""
    for shape in (SHAPE, LARGE):
        row, part = shape[-1:], (shape[0], shape[1] // 2)
        for layout in ("dense", "gaps", "half", "turned"):
            title = f"{shape}, {layout}"
            x, grad = data(shape=shape, layout=layout), data(1, shape, layout)
            out = data(2, shape, "double" if layout == "half" else layout)
            half = data(2, part, "double" if layout == "half" else layout)
            bias, other = data(3, row, "half" if layout == "half" else "dense"), data(4, shape, layout)
            for residual in ({}, {"residual": other}):
                name = f"{title}{', residual' * bool(residual)}"
                yield call(name, fr.fused.bias_act, x, bias, "gelu", **residual)
                yield call(f"{name}, out", fr.fused.bias_act, x, bias, "relu", out=out, **residual)
                yield call(f"{name}", fr.fused.bias_act_, x, bias, "silu", **residual)
                yield call(f"{name}, out", fr.fused.bias_act_backward, grad, x, bias, "gelu", out=out, **residual)
            yield call(f"{title}, axis 0", fr.fused.bias_act, x, data(3, shape[:1]), "relu", axis=0)
            yield call(f"{title}, out", fr.fused.bias_act_backward_from_output, grad, x, "relu", out=out)
            units: dict[str, dict[str, Any]] = {
                "": {},
                "interleaved": {"layout": "interleaved"},
                "first": {"gate": "first"},
                "limit": {"limit": 1.0, "offset": 1.0},
            }
            for name, options in units.items():
                for unit in ("glu", "swiglu", "geglu") if name != "limit" else ("swiglu",):
                    function, backward = getattr(fr, unit), getattr(fr, f"{unit}_backward")
                    yield call(f"{title}, {name}", function, x, **options)
                    yield call(f"{title}, {name}, out", function, x, out=half, **options)
                    yield call(f"{title}, {name}", backward, data(1, part, layout), x, **options)
                    yield call(f"{title}, {name}, out", backward, data(1, part, layout), x, out=out, **options)
            pair = lambda x=x, grad=grad: (x(), grad())
            yield call(f"{title}, pair, out", fr.reglu, pair, out=out)
            yield call(f"{title}, pair", fr.reglu_backward, other, pair)
            for axis in (None, 0, -1):
                wide = lambda axis=axis, shape=shape: np.ones(() if axis is None else np.delete(shape, axis), "f4")
                for function in (fr.logsumexp, fr.logmeanexp):
                    yield call(f"{title}, axis {axis}", function, x, axis=axis, keepdims=True)
                for function in (fr.logsumexp_backward, fr.logmeanexp_backward):
                    yield call(f"{title}, axis {axis}", function, wide, x, axis=axis)
                    yield call(f"{title}, axis {axis}, out", function, wide, x, axis=axis, out=out)
            rng = lambda: np.random.default_rng(0)
            yield call(title, fr.gumbel_softmax, x, rng=rng, hard=True, tau=0.5)
            yield call(f"{title}, where, out", fr.gumbel_softmax, x, rng=rng, where=lambda x=x: x() > 0, out=out)
            for reduction in ("mean", "none"):
                labels = lambda shape=shape: (numbers(shape, 5) > 0).astype("f4")
                name = f"{title}, {reduction}"
                yield call(name, fr.binary_cross_entropy_with_logits, x, labels, reduction=reduction, weight=labels)
                yield call(name, fr.binary_cross_entropy_with_logits_value_and_grad, x, labels, reduction=reduction)


def copied_calls() -> Iterator[Call]:
    """Yield calls whose results are copied into, or from, bfloat16."""
    last = lambda a: gaps(a[..., :1])[..., 0]
    for into, layout in (("dense", "bfloat"), ("bfloat", "dense"), ("double", "bfloat")):
        x, grad = data(layout=layout), data(1, layout=layout)
        title, out, part = f"{layout}, out {into}", data(2, layout=into), data(2, (4, 3), into)
        for name in ("relu", "gelu", "softmax", "log_softmax", "hardmax", "sparsemax"):
            yield call(title, getattr(fr, name), x, out=out)
            if name != "hardmax":
                backward = getattr(fr, f"{name}_backward_from_output", None) or fr.gelu_backward
                yield call(title, backward, grad, x, out=out)
        yield call(title, fr.gumbel_softmax, x, rng=lambda: np.random.default_rng(0), out=out)
        yield call(title, fr.crelu, x, out=data(2, (4, 12), into))
        yield call(title, fr.logsumexp, x, axis=1, out=lambda into=into: last(LAYOUTS[into](numbers(SHAPE, 2))))
        yield call(title, fr.logsumexp_backward, lambda: np.ones(4, "f4"), x, axis=1, out=out)
        yield call(title, fr.prelu_backward_parameters, grad, x, 0.25, out=out)
        yield call(title, fr.cross_entropy_value_and_grad, x, lambda: np.arange(4), out=out)
        yield call(title, fr.binary_cross_entropy_with_logits_value_and_grad, x, lambda: np.ones(SHAPE), out=out)
        yield call(title, fr.swiglu, x, out=part)
        yield call(title, fr.swiglu_backward, data(1, (4, 3), layout), x, out=out)
        yield call(title, fr.masks.relu_with_mask, x, out=out)
        yield call(title, fr.fused.bias_act, x, data(3, SHAPE[-1:], layout), "gelu", out=out)


def option_calls() -> Iterator[Call]:
    """Yield calls of softmax with options, and of their gradients."""
    options: dict[str, dict[str, Any]] = {
        "scale": {"scale": 0.5},
        "bias": {"bias": lambda: numbers(SHAPE[-1:], 3)},
        "softcap": {"softcap": 2.0},
        "sink": {"sink": lambda: numbers(SHAPE[:1], 4)},
        "all": {
            "scale": 0.5,
            "bias": lambda: numbers(SHAPE, 3, "f8"),
            "softcap": 2.0,
            "sink": 0.5,
            "where": lambda: numbers(SHAPE, 1) > 0,
        },
    }
    for kind in ("softmax", "log_softmax"):
        for layout in [*LAYOUTS][:-2]:
            x, out = data(layout=layout), data(2, layout="double" if layout == "half" else layout)
            for name, given in options.items():
                title = f"{layout}, {name}"
                yield call(title, getattr(fr, kind), x, **given)
                yield call(f"{title}, out", getattr(fr, kind), x, out=out, **given)
                backward = getattr(fr, f"{kind}_backward_parameters")
                yield call(title, backward, data(1, layout=layout), x, **given)
                yield call(f"{title}, out", backward, data(1, layout=layout), x, out=out, **given)
            back = getattr(fr, f"{kind}_backward_from_output")
            yield call(f"{layout}, scale, out", back, data(1, layout=layout), x, scale=0.5, out=out)
        for layout in ("dense", "gaps", "half"):
            x, out = data(shape=LARGE, layout=layout), data(2, LARGE)
            yield call(f"large, {layout}, scale, out", getattr(fr, kind), x, scale=0.5, softcap=2.0, out=out)


def byte_calls() -> Iterator[Call]:
    """Yield calls of activations that return masks, of the gradients from masks, and of quantized activations."""
    for shape in (SHAPE, LARGE):
        row, codes = shape[-1:], lambda shape=shape: np.arange(np.prod(shape)).reshape(shape).astype("i1")
        for layout in [*LAYOUTS][:-1]:
            title, x = f"{shape}, {layout}", data(shape=shape, layout=layout)
            out = data(2, shape, "double" if layout in {"half", "list"} else layout)
            for name in fr.masks.__all__:
                function = getattr(fr.masks, name)
                needed = [
                    p.name for p in [*inspect.signature(function).parameters.values()][1:] if p.default is p.empty
                ]
                if name != "backward_from_mask":
                    yield call(title, function, x, *[0.25 for _ in needed])
                    yield call(f"{title}, out", function, x, *[0.25 for _ in needed], out=out)
            mask = lambda shape=shape: fr.masks.relu_with_mask(_numbers(shape, 3, "f4"))[1]
            for slope in (0.0, 0.25):
                name = f"{title}, {slope}"
                yield call(name, fr.masks.backward_from_mask, x, mask, slope)
                yield call(f"{name}, out", fr.masks.backward_from_mask, x, mask, slope, slope=2.0, out=out)
            scales: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
                "": ((0.1, 3), {}),
                "axis": ((lambda row=row: np.full(row, 0.1, "f4"), lambda row=row: np.zeros(row, "i1")), {"axis": -1}),
            }
            for kind, (given, axis) in scales.items():
                for activation in (None, "gelu"):
                    name = f"{title}, {kind}, {activation}"
                    yield call(name, fr.quantized.quantize, x, *given, activation, dtype="i1", **axis)
                    yield call(
                        f"{name}, out", fr.quantized.quantize, x, *given, activation, dtype="i1", out=codes, **axis
                    )
                yield call(f"{title}, {kind}, out", fr.quantized.dequantize, codes, *given, out=out, **axis)
        for dtype in ("f4", "f8", "f2"):
            yield call(f"{shape}, {dtype}", fr.quantized.dequantize, codes, 0.1, 3, dtype=dtype)
        table = lambda: fr.quantized.table("silu", 0.1, 0, 0.1, 0)
        yield call(f"{shape}", fr.quantized.lookup, table, codes)
        yield call(f"{shape}, out", fr.quantized.lookup, table, codes, out=codes)
    yield call("", fr.quantized.table, "leaky_relu", 0.1, 0, 0.1, 0, negative_slope=0.5)


def column_calls() -> Iterator[Call]:
    """Yield fused passes of few and of many columns."""
    for shape in ((1, 1), (300, 1), (300, 3), (1, 300), (3, 70000), (70000, 3)):
        for layout in ("dense", "gaps", "half"):
            x, grad, bias = data(shape=shape, layout=layout), data(1, shape, layout), data(3, shape[-1:], layout)
            title = f"{shape}, {layout}"
            yield call(title, fr.fused.bias_act, x, bias, "leaky_relu", negative_slope=0.25)
            yield call(title, fr.fused.bias_act_, x, bias, "gelu")
            yield call(title, fr.fused.bias_act_backward, grad, x, bias, "gelu")
            yield call(title, fr.fused.bias_act_backward_from_output, grad, x, "relu", axis=0)


def plan_calls() -> Iterator[Call]:
    """Yield calls of networks in evaluation mode, which run as plans, and calls of layers that pack bits."""

    def planned(dtype: str, rows: int, width: int, bias: bool) -> tuple[Any, ...]:
        first, last = (nn.Linear(*sizes, bias=bias, rng=0, dtype=dtype) for sizes in ((6, width), (width, 1)))
        model = nn.Sequential(first, nn.LeakyReLU(0.25), nn.Dropout(), last, nn.GELU(), nn.Softmax()).eval()
        x = numbers((rows, 6), 0, dtype)
        for _ in range(2):
            model(x)
        return model, (x,), ()

    for dtype in ("f4", "f8", "f2"):
        for rows, width, bias in ((1, 5, True), (4, 1, False), (4, 5, True), (300, 40, True), (300, 200, False)):
            name = f"nn plan: {dtype}, {rows} rows, {width} wide{', bias' * bias}"
            yield call_method(name, functools.partial(planned, dtype, rows, width, bias))

    def packed(make: Callable[[], nn.Module], dtype: str, back: bool) -> tuple[Any, ...]:
        layer, x = make().train(), numbers(LARGE, 0, dtype)
        if not back:
            return layer, (x,), ()
        layer(x)
        return layer.backward, (np.ones_like(x),), ()

    makers: dict[str, Callable[[], nn.Module]] = {"Dropout": lambda: nn.Dropout(0.25, rng=0), "ReLU": nn.ReLU}
    for name, make in makers.items():
        for dtype in ("f4", "f8"):
            for back in (False, True):
                yield call_method(f"nn.{name}: large, {dtype}, {back=}", functools.partial(packed, make, dtype, back))


def rrelu_calls() -> Iterator[Call]:
    """Yield calls of rrelu in training, which draws."""
    for shape in (SHAPE, LARGE):
        for function in (fr.rrelu, fr.rrelu_):
            yield call(
                f"training {shape}",
                function,
                data(shape=shape),
                training=True,
                rng=lambda: np.random.default_rng(0),
                slopes=data(1, shape),
            )


def call_method(name: str, make: Callable[[], tuple[Any, ...]]) -> Call:
    """Return a call of an object with state: `make` returns function, arguments and the arrays that may be written."""

    def prepare() -> Prepared:
        function, args, written = make()
        return prepared(function, *args, written=tuple(written))._replace(together=not name.startswith("nn."))

    return Call(name, prepare)


def diagnostic_calls() -> Iterator[Call]:
    """Yield calls of diagnostics."""
    for shape in (SHAPE, LARGE):
        for axis in (None, 0, -1):
            for layout in ("dense", "gaps", "half", "list"):
                yield call(f"{shape}, {axis}, {layout}", diagnostics.summarize, data(shape=shape, layout=layout), axis)

    def running(method: str) -> tuple[Any, ...]:
        total, other = diagnostics.Running(axis=1), diagnostics.Running(axis=1)
        total.update(numbers(SHAPE, 0))
        other.update(numbers(SHAPE, 1))
        held = [total._found] if hasattr(total, "_found") else []
        args = {"update": (numbers(SHAPE, 2),), "merge": (other,)}.get(method, ())
        return getattr(total, method), args, held

    for method in ("update", "merge", "result", "reset"):
        yield call_method(f"Running.{method}", functools.partial(running, method))
    yield call("sigmoid", diagnostics.saturation_limits, "sigmoid")

    def monitored(what: str) -> tuple[Any, ...]:
        model = nn.Sequential(nn.Linear(6, 5, rng=0), nn.ReLU(), nn.Linear(5, 2, rng=1)).eval()
        monitor = diagnostics.Monitor(model)
        model(numbers(SHAPE, 0))
        return {"call": (model, (numbers(SHAPE, 1),), ()), "text": (monitor.__str__, (), ())}[what]

    for what in ("call", "text"):
        yield call_method(f"Monitor: {what}", functools.partial(monitored, what))


def layers() -> dict[str, Callable[[], nn.Module]]:
    """Return constructors of all layers whose input and output have the same shape, by name."""
    made: dict[str, Callable[[], nn.Module]] = {
        "Linear": lambda: nn.Linear(6, 6, rng=0),
        "Sequential": lambda: nn.Sequential(nn.Linear(6, 5, rng=0), nn.PReLU(5), nn.Dropout(0.5, rng=0), nn.Softmax()),
        "Dropout": lambda: nn.Dropout(0.5, rng=0),
        "RReLU": lambda: nn.RReLU(rng=0),
        "GumbelSoftmax": lambda: nn.GumbelSoftmax(rng=0),
        "PReLU": lambda: nn.PReLU(6),
        "SReLU": lambda: nn.SReLU(6),
        "Threshold": lambda: nn.Threshold(0.5, 0.0),
    }
    for name, kind in vars(nn).items():
        layer = isinstance(kind, type) and issubclass(kind, nn.Module) and "Loss" not in name
        if layer and name not in {"Module", "Activation", "ModuleList", "ModuleDict", *made}:
            made[name] = kind
    return made


def layer_calls() -> Iterator[Call]:
    """Yield forward and backward calls of every layer and loss, steps of optimizers, states, initial values."""

    def forward(make: Callable[[], nn.Module], training: bool) -> tuple[Any, ...]:
        return make().train(training), (numbers(SHAPE, 0),), ()

    def backward(make: Callable[[], nn.Module], again: bool) -> tuple[Any, ...]:
        layer = make()
        for _ in range(1 + again):
            y = layer(numbers(SHAPE, 0))
            if not again:
                break
            layer.backward(np.ones_like(y))
            again = False
        return layer.backward, (np.ones_like(y),), [p.grad for p in layer.parameters() if p.grad is not None]

    for name, make in layers().items():
        for training in (False, True):
            yield call_method(f"nn.{name}: forward, {training=}", functools.partial(forward, make, training))
        for again in (False, True):
            yield call_method(f"nn.{name}: backward, {again=}", functools.partial(backward, make, again))
        yield call_method(f"nn.{name}: repr", lambda make=make: (make().__repr__, (), ()))

    def loss(make: Callable[[], Any], shape: tuple[int, ...], dtype: str, back: bool) -> tuple[Any, ...]:
        criterion = make()
        labels = np.arange(shape[0]) % shape[1]
        given = numbers(shape, 0, dtype), labels if make in {nn.CrossEntropyLoss, nn.NLLLoss} else shares(shape, 1)
        if make is nn.BCELoss:
            given = shares(shape, 0).astype(dtype), given[1]
        if not back:
            return criterion, given, ()
        criterion(*given)
        return criterion.backward, (), ()

    for name, kind in vars(nn).items():
        for shape, dtype, back in itertools.product((SHAPE, LARGE), ("f4", "f2"), (False, True)):
            if isinstance(kind, type) and "Loss" in name:
                title = f"nn.{name}: {shape}, {dtype}, {back=}"
                yield call_method(title, functools.partial(loss, kind, shape, dtype, back))

    class Held:
        """The arrays that a step changes or replaces, as they are when asked."""

        def __init__(self, optimizer: optim.Optimizer) -> None:
            self.optimizer = optimizer

        def __iter__(self) -> Iterator[Array]:
            for parameter in self.optimizer.params:
                yield parameter.data
                yield np.array(parameter._used)
            for state in self.optimizer.state.values():
                yield from map(np.asarray, state.values())

    def step(make: Callable[[list[nn.Parameter]], optim.Optimizer], before: int) -> Prepared:
        parameters = [nn.Parameter(numbers(SHAPE, seed)) for seed in range(2)]
        optimizer = make(parameters)
        for i in range(before + 1):
            for seed, parameter in enumerate(parameters):
                parameter.grad = numbers(SHAPE, 2 + seed)
            if i < before:
                optimizer.step()
        return Prepared(optimizer.step, (), {}, Held(optimizer), [], together=True)

    optimizers: dict[str, Callable[[Any], optim.Optimizer]] = {
        "SGD": lambda p: optim.SGD(p, lr=0.1),
        "SGD, momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        "Adam": lambda p: optim.Adam(p, weight_decay=0.1),
        "Adam, amsgrad": lambda p: optim.Adam(p, amsgrad=True),
        "AdamW": lambda p: optim.AdamW(p, weight_decay=0.1),
    }
    for name, make_optimizer in optimizers.items():
        for before in (0, 1):
            yield Call(f"optim.{name}: step {before}", functools.partial(step, make_optimizer, before))

    def load(dtype: str) -> tuple[Any, ...]:
        model = nn.Sequential(nn.Linear(6, 5, rng=0), nn.PReLU(5))
        state = {key: value.astype(dtype) + 1 for key, value in model.state_dict().items()}
        return model.load_state_dict, (state,), [p.data for p in model.parameters()]

    for dtype in ("f4", "f8", "f2"):
        yield call_method(f"load_state_dict: {dtype}", functools.partial(load, dtype))
    yield call_method("nn.state_dict", lambda: (nn.Linear(6, 5, rng=0).state_dict, (), ()))
    for name in nn.init.__all__:
        if name.endswith("_"):
            rng = {"rng": 0} if "rng" in inspect.signature(getattr(nn.init, name)).parameters else {}
            extra = (0.5,) if name == "constant_" else ()
            yield call("", getattr(nn.init, name), data(), *extra, **rng)
    yield call("", nn.init.calculate_gain, "leaky_relu", 0.2)


def shares(shape: tuple[int, ...], seed: int) -> Array:
    """Return numbers between 0 and 1."""
    return np.random.default_rng(seed).random(shape, "f4")


def module_calls() -> Iterator[Call]:
    """Yield calls of containers, of gradients as a whole, and of what decides whether a call is recorded."""

    def changed(change: Callable[[Any], Any], make: Callable[[], nn.Module]) -> tuple[Any, ...]:
        return lambda: change(make()), (), ()

    def filled() -> nn.ModuleDict:
        return nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(2, 2, rng=0)})

    listed = lambda: nn.ModuleList([nn.ReLU(), nn.PReLU(2)])
    yield call_method("nn.ModuleList: extend", functools.partial(changed, lambda m: len(m.extend([nn.Tanh()])), listed))
    yield call_method(
        "nn.ModuleList: insert", functools.partial(changed, lambda m: len(m.insert(0, nn.Tanh())), listed)
    )
    yield call_method("nn.ModuleList: pop", functools.partial(changed, lambda m: repr(m.pop()), listed))
    yield call_method("nn.ModuleDict: update", functools.partial(changed, lambda m: m.update({"c": nn.Tanh()}), filled))
    yield call_method("nn.ModuleDict: pop", functools.partial(changed, lambda m: repr(m.pop("a")), filled))
    yield call_method("nn.ModuleDict: names", functools.partial(changed, lambda m: [*m.state_dict()], filled))
    yield call_method("nn.Module: copy", functools.partial(changed, lambda m: repr(copy.deepcopy(m)), filled))

    def within(context: Callable[[], Any], training: bool) -> Any:
        model = nn.Sequential(nn.Linear(6, 5, rng=0), nn.ReLU()).train(training)
        with context():
            return model(_numbers(SHAPE, 0, "f4"))

    for context, training in ((nn.no_grad, True), (nn.enable_grad, False)):
        yield Call(f"nn.{context.__name__}: with", functools.partial(prepared, within, context, training))
    yield call("", nn.detach, data())
    yield call_method(
        "nn.Parameter: add_gradient", lambda: (nn.Parameter(numbers(SHAPE, 0)).add_gradient, (numbers(SHAPE, 1),), ())
    )

    def clipped(function: Callable[..., Any]) -> tuple[Any, ...]:
        parameters = [nn.Parameter(numbers(SHAPE, seed)) for seed in range(2)]
        for seed, parameter in enumerate(parameters):
            parameter.grad = numbers(SHAPE, seed + 2)
        return function, (parameters, 0.5), [p.grad for p in parameters if p.grad is not None]

    for name in nn.utils.__all__:
        yield call_method(f"{name}: two", functools.partial(clipped, getattr(nn.utils, name)))
    mask = lambda: fr.masks.relu_with_mask(_numbers(SHAPE, 3, "f4"))[1]
    yield call("", diagnostics.dead_from_mask, mask, shape=SHAPE)


def convention_calls() -> Iterator[Call]:
    """Yield a call of each function of the other frameworks' names."""
    for name in ("torch", "torch.special", "jax", "keras", "keras.ops", "tf", "onnx", "transformers", "mlx"):
        module = importlib.import_module(f"fastrelu.conventions.{name}")
        for key in module.__all__:
            function = getattr(module, key)
            if not inspect.isfunction(function) or key == "gumbel_softmax":  # which draws other numbers each time
                continue
            needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
            values = [
                numbers(SHAPE, k) if k == 0 or p.name in ARRAYS else NEEDED.get(p.name, 0.25)
                for k, p in enumerate(needed)
            ]
            make = functools.partial(copy.deepcopy, values)
            yield Call(f"{name}.{key}: dense", lambda f=function, make=make: prepared(f, *make()))


def ufunc_calls() -> Iterator[Call]:
    """Yield calls of each ufunc; with rows longer than a block of 16-bit numbers, too."""
    for module in (fr.ufuncs, fr.ufuncs.accurate):
        for name in module.__all__:
            ufunc = getattr(module, name)
            if not isinstance(ufunc, np.ufunc):
                continue
            for shape in (SHAPE, LARGE) if ufunc.signature else (SHAPE,):
                cores = (ufunc.signature or ",".join(["(n)"] * ufunc.nin)).partition("->")[0].split("),")
                arrays = [data(k, shape if "n" in core else shape[:-1], "half") for k, core in enumerate(cores)]
                if name.endswith("_where"):
                    arrays[-1] = lambda shape=shape: _numbers(shape, 3, "f4") > 0
                outs: list[dict[str, Any]] = [{}, {"out": ufunc(*[a() for a in arrays])}]
                for keywords in outs[: 1 + bool(ufunc.signature)]:
                    title = f"{module.__name__}.{name}: half{f', {shape}, out' * bool(keywords)}"
                    make = lambda u=ufunc, arrays=arrays, k=keywords: prepared(
                        u, *[a() for a in arrays], **copy.deepcopy(k)
                    )
                    yield Call(title, make)


def _public(space: Any) -> list[str]:
    return [name for name in getattr(space, "__all__", dir(space)) if name[0] != "_" and callable(getattr(space, name))]


def left_out(names: set[str]) -> set[str]:
    """Return the public functions that are among no calls, other than those that print, draw or only hold values."""
    public = {name for space in SPACES for name in _public(space)}
    short = {part for name in names for part in (name, name.partition(".")[2], name.partition(".")[0])}
    return public - short - {"Activation", "Explanation", "LayerReport", "Optimizer", "Summary", "plot", "show_config"}


def other_calls() -> Iterator[Call]:
    """Yield calls that compute nothing."""
    for layout in LAYOUTS:
        yield call(layout, fr.explain, lambda: fr.gelu, data(layout=layout))
    yield call("strided, out", fr.explain, lambda: fr.leaky_relu, data(layout="gaps"), out=data(1))
    yield call("", fr.error_bound, "gelu", "f4")

    def within(context: Callable[..., Any], value: Any) -> Any:
        with context(value):
            return fr.gelu(_numbers(SHAPE, 0, "f4"))

    yield Call("precision: with", lambda: prepared(within, fr.precision, "accurate"))
    yield Call("threads: with", lambda: prepared(within, fr.threads, 1))
    for function, value in ((fr.set_precision, "fast"), (fr.set_num_threads, 0), (fr.set_cache_limit, 1 << 26)):
        yield call("", function, value)
    for function in (fr.get_precision, fr.get_num_threads, fr.get_cache_limit, fr.clear_cache, runtime.config):
        yield call("", function)


def all_calls() -> Iterator[Call]:
    """Yield every call, of every public function."""
    for name in activations.__all__:
        yield from activation_calls(name)
    yield from rrelu_calls()
    yield from row_calls()
    yield from loss_calls()
    yield from fused_calls()
    yield from copied_calls()
    yield from option_calls()
    yield from byte_calls()
    yield from column_calls()
    yield from plan_calls()
    yield from diagnostic_calls()
    yield from layer_calls()
    yield from module_calls()
    yield from convention_calls()
    yield from ufunc_calls()
    yield from other_calls()


# --- Injection --------------------------------------------------------------------------------------------------------


def seen(value: Any) -> Any:
    """Return a key of a result that differs if any bit differs."""
    if isinstance(value, (np.ndarray, np.generic)):
        return type(value).__name__, value.dtype, value.shape, value.tobytes()
    if isinstance(value, memoryview):
        return value.tobytes()
    if isinstance(value, (tuple, list)):
        return tuple(map(seen, value))
    if isinstance(value, dict):
        return {key: seen(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return [(field.name, seen(getattr(value, field.name))) for field in dataclasses.fields(value)]
    return repr(value) if isinstance(value, (str, int, float, type(None))) else type(value).__name__


def clear_caches() -> None:
    """Free what is kept for later calls, such as the strings that the interpreter's cache of attributes holds."""
    fr.clear_cache()
    gc.collect()
    getattr(sys, "_clear_internal_caches" if sys.version_info >= (3, 13) else "_clear_type_cache")()


class Injector:
    """Makes calls fail, and counts the outcomes."""

    def __init__(self, library: str) -> None:
        self.shim = ctypes.PyDLL(library)
        self.shim.call_failing.restype = ctypes.py_object
        self.shim.call_failing.argtypes = [*[ctypes.py_object] * 3, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        for name in ("failures", "spared_failures", "blocks_held"):
            getattr(self.shim, name).restype = ctypes.c_long
        self.shim.watch_module.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
        for line in Path("/proc/self/maps").read_text().splitlines():
            found = re.search(r" r-xp .*/(fastrelu|numpy)/.*\.so$", line)
            if found:
                self.shim.watch_module(*[int(part, 16) for part in line.split()[0].split("-")], found[1] == "fastrelu")
        self.shim.watch_python()
        self.injected = 0
        self.recovered = 0
        self.refused: dict[str, str] = {}  # calls that raise without a failure, too
        self.faults: dict[tuple[str, str], str] = {}  # call and fault: first occurrence
        self.foreign: dict[tuple[str, str], str] = {}  # the same for faults of NumPy or Python
        self.unraisable: list[str] = []
        self.threads = fr.get_num_threads()
        self.numpys = self._errors_of_numpy()
        sys.unraisablehook = lambda args: self.unraisable.append(f"{args.exc_type.__name__} in {args.object!r:.60}")

    def __call__(self, call: Call) -> None:
        """Make every allocation of a call fail; then repeat that, to check that no memory is lost."""
        try:
            for _ in range(2):  # the first call may import or cache something
                expected = self._plain(call)
        except (TypeError, ValueError) as error:
            self.refused[call.name] = str(error)
            return
        places = []
        for which in ALLOCATORS:
            for forever in (False,) if NOT_FOREVER.match(call.name) else (False, True):
                for number in range(1, MOST):
                    # Settings that a failure leaves behind end with the context.
                    failed, ours = contextvars.copy_context().run(self._once, call, expected, which, number, forever)
                    if not failed:
                        break
                    if ours:
                        places.append((which, number, forever))
                else:
                    self._note(call, "has no end", which)
        if not any(name == call.name for name, _ in self.faults):
            self._look_for_leaks(call, places)

    def _errors_of_numpy(self) -> set[str]:
        """Return what a generalized ufunc of NumPy raises instead of MemoryError: ours are run by the same code."""
        errors = set()
        for which, number in itertools.product(ALLOCATORS, range(1, 100)):
            a = numbers(SHAPE, 0)
            try:
                self._fail(prepared(np.vecdot, a, a), which, number, False)
            except MemoryError:
                continue
            except Exception as other:  # noqa: BLE001  whatever it raises is collected
                errors.add(self._shown(other))
        return errors

    @staticmethod
    def _shown(error: BaseException) -> str:
        return re.sub(r" at 0x\w+|\S+\.c:\d+: ", "", f"{type(error).__name__}: {error}")[:120]

    def _note(self, call: Call, what: str, when: str) -> None:
        """Record a fault, once for each call."""
        if (call.name, what) not in self.faults:
            self.faults[call.name, what] = when
            tqdm.write(f"{call.name}: {what}; {when}")

    def _look_for_leaks(self, call: Call, places: list[tuple[str, int, bool]]) -> None:
        """Make our own allocations fail again; NumPy and Python lose some of theirs."""
        for _ in range(6):  # the interpreter's caches grow too, but less each time
            if self._growth(call, places * 5) - self._growth(call, places) < 4:
                return
        for which, number, forever in places:
            lost = all(self._growth(call, [(which, number, forever)] * 40) >= 36 for _ in range(4))
            if lost and WHOSE[self.shim.whose_failure()] == "ours":  # free lists may have shifted the numbers
                self._note(call, "leaks", f"{which} allocation {number}{' and all after' if forever else ''}")

    def _growth(self, call: Call, places: list[tuple[str, int, bool]]) -> int:
        """Make some allocations fail, and count the blocks that Python or the library does not free."""
        clear_caches()
        before, held = sys.getallocatedblocks(), self.shim.blocks_held()
        for which, number, forever in places:
            made = call.prepare()
            with contextlib.suppress(Exception):  # what it raises has been judged by then
                contextvars.copy_context().run(self._fail, made, which, number, forever)
            del made
        clear_caches()
        return int(max(sys.getallocatedblocks() - before, self.shim.blocks_held() - held))

    def _fail(self, made: Prepared, which: str, number: int, forever: bool) -> Any:
        """Make a call with failing allocations."""
        last = FOREVER if forever else number
        return self.shim.call_failing(made.function, made.args, made.kwargs, ALLOCATORS[which], number, last)

    def _plain(self, call: Call) -> tuple[Any, list[bytes], list[bytes], list[bytes], list[int]]:
        """Make a call without failures; return result, memory before and after, unchanged memory, and references."""
        made = call.prepare()
        before, read = [a.tobytes() for a in made.written], [a.tobytes() for a in made.read]
        arrays = [*made.written, *made.read]
        references = [*map(sys.getrefcount, arrays)]
        result = seen(made.function(*made.args, **made.kwargs))
        kept = [now - then for now, then in zip(map(sys.getrefcount, arrays), references, strict=True)]
        return result, before, [a.tobytes() for a in made.written], read, kept

    def _judge_state(self, wrong: list[str], foreign: list[str]) -> None:
        """Add the faults in the state of the process."""
        if self.unraisable:
            (foreign if "generator" in self.unraisable[0] else wrong).append(f"swallowed {self.unraisable[0]}")
            self.unraisable.clear()
        if get_handler_name() != "default_allocator":
            wrong.append("left a memory handler")
        if _core.explaining() or fr.get_precision() != "fast" or fr.get_num_threads() != self.threads:
            wrong.append("left a setting")
        state = _runtime.cache_state()
        if state["held"] > state["limit"] or (state["blocks"] == 0) != (state["held"] == 0):
            wrong.append(f"pool {state}")

    def _once(self, call: Call, expected: Any, which: str, first: int, forever: bool) -> tuple[bool, bool]:
        """Make a call with failing allocations; return whether any failed, and whether the first one was ours."""
        wanted, before, after, read, kept = expected
        made = call.prepare()
        arrays = [*made.written, *made.read]
        references = [*map(sys.getrefcount, arrays)]
        result, error = None, ""
        try:
            result = seen(self._fail(made, which, first, forever))
        except MemoryError:
            error = "MemoryError"
        except BaseException as other:  # noqa: BLE001  whatever a call raises is judged
            error = self._shown(other)
        failed: bool = self.shim.failures() > 0
        whose = WHOSE[self.shim.whose_failure()]
        self.injected += failed
        self.recovered += failed and not error
        wrong: list[str] = []
        foreign: list[str] = []
        if error not in {"", "MemoryError"}:
            known = KNOWN.search(error) or ("ufuncs." in call.name and error in self.numpys)
            (foreign if whose != "ours" and known else wrong).append(f"raised {error}")
        elif not error and result != wanted:
            wrong.append("wrong result")
        elif error and not failed:
            wrong.append("MemoryError although nothing failed")
        now = [a.tobytes() for a in made.written]
        whole = now in (before, after) if made.together else all(map(lambda a, *b: a in b, now, before, after))
        if now != after and not (error and whole):
            wrong.append("half written" if error else "wrong output")
        if [a.tobytes() for a in made.read] != read:
            wrong.append("an input was changed")
        lost = [now - then for now, then in zip(map(sys.getrefcount, arrays), references, strict=True)]
        if any(a not in {0, b} for a, b in zip(lost, kept, strict=True)):
            (wrong if whose == "ours" else foreign).append(f"references {lost} instead of {kept}")
        self._judge_state(wrong, foreign)
        del made, arrays
        if failed and self._plain(call)[:3] != expected[:3]:
            wrong.append("the next call is wrong")
        when = f"{which} allocation {first}{' and all after' if forever else ''}, {whose}"
        for what in wrong:
            self._note(call, what, when)
        for what in foreign:
            self.foreign.setdefault((call.name, what), when)
        return failed, whose == "ours"


# --- Running ----------------------------------------------------------------------------------------------------------


def compile_shim(source: Path, to: Path, *includes: str) -> None:
    """Compile a C file into a library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        raise SystemExit("a C compiler and Linux are needed")
    folders = [f"-I{folder}" for folder in (sysconfig.get_path("include"), *includes)]
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-g", *folders, str(source), "-o", str(to)], check=True)


def inside(library: str, only: str, every: int, verbose: bool) -> int:
    """Inject failures into this process, which was started with the library."""
    os.environ.pop("LD_PRELOAD", None)
    faulthandler.enable()
    warnings.simplefilter("ignore")  # of where= without out=, and of casts
    _runtime.set_defaults(parallel_from=(8192,) * 3, waking_from=(8192,) * 3, stream_from=1 << 16)
    _runtime.set_team(hold=False, insist=True, granted=2)
    calls = [call for call in all_calls() if re.search(only, call.name)][::every]
    injector = Injector(library)
    tqdm.monitor_interval = 0  # no other thread allocates
    with tqdm(calls, "calls", disable=None) as bar:
        for call in bar:
            injector(call)
    for (name, what), when in injector.foreign.items() if verbose else ():
        print(f"of others: {name}: {what}; {when}")
    for name, error in injector.refused.items():
        print(f"{name}: not taken, {error}")
    names = {call.name.split(":")[0] for call in calls}
    print(
        f"{len(names)} functions, {len(calls)} calls, {injector.injected} failures injected, "
        f"{injector.recovered} of them recovered from, {injector.shim.spared_failures()} spared, where NumPy itself "
        f"would crash, {len(injector.foreign)} faults of NumPy's and Python's, {len(injector.faults)} faults"
    )
    return bool(injector.faults)


def main() -> None:
    """Compile the library, restart with it, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression that the names of calls match")
    parser.add_argument("--every", type=int, default=1, help="take every n-th call")
    parser.add_argument(
        "--valgrind", action="store_true", help="run under valgrind, which finds accesses out of bounds"
    )
    parser.add_argument("--verbose", action="store_true", help="also print the faults of NumPy and Python")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        sys.exit(inside(options.library, options.only, options.every, options.verbose))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "inject.so"
        compile_shim(SOURCE, library)
        command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--library", str(library)]
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        if options.valgrind:
            # Valgrind's malloc is called by ours, not instead of it; the loader reads strings eight bytes at a time.
            quiet = Path(folder) / "loader.supp"
            quiet.write_text("{\nloader\nMemcheck:Addr8\nfun:strncmp\nfun:is_dst\n}\n")
            flags = [
                "-q",
                "--error-exitcode=3",
                "--soname-synonyms=somalloc=nouserintercepts",
                f"--suppressions={quiet}",
            ]
            command = ["valgrind", *flags, *command]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
