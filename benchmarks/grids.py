"""Suites beside full.py: ``python benchmarks/grids.py axis masks types values passes``.

Functions along an axis (axis.py); masks; element types; extreme values; passes that take several steps at once
(passes.py).

Measured as full.py measures: each side in a process of its own, restarted for each pair, one at a time, in alternating order,
with checked answers. The results are ``results/axis.json`` and its like, which report.py turns into tables.
"""

from __future__ import annotations

import argparse
import base64
import math
import re
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import axis
import full
import machine
import numpy as np
import passes
import peers
import results
import summary
import worker
from functions import functions

import fastrelu as fr
from fastrelu._cli.reference import into_out
from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS, SEPARATE = full.OURS, summary.SEPARATE
SECONDS, ROUNDS = 0.004, 3  # of a measurement
SIZES = (1000, 100_000, 1_000_000, 16_000_000)  # elements of the other suites
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
WIDTH = 250  # of the rows that a mask is laid over

TYPES_SETUP = """
sources = {}
def source(size, dtype):
    if sources.get("size") != size:
        sources.update(size=size, x=3 * np.random.default_rng(0).standard_normal(size))
    x = sources["x"]
    if dtype == "bfloat16":
        import ml_dtypes
        return x.astype(ml_dtypes.bfloat16)
    return (x > 0) if dtype == "bool" else (20 * x).clip(-100, 100).astype(dtype) if "int" in dtype else x.astype(dtype)
"""


class Statement(NamedTuple):
    """The statement of one side, and what precedes it untimed. It writes into `out`, or gives a new array."""

    source: str
    setup: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell: its name in the results, and the statement of every side."""

    name: str
    dtype: str
    size: int
    mode: str
    setup: str  # for every side
    coarsest: str  # of the types of x and the answer, if it is not the latter
    answer: str  # the type of the answer
    count: int  # of its elements
    exact: str  # the NumPy expression that is evaluated in a wider type
    sides: dict[str, Statement]

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.name}|{self.dtype}|{self.size}|{self.mode}"


# --- Along an axis ----------------------------------------------------------------------------------------------------


def axis_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells of the functions along an axis."""
    for dtype in options.dtypes:
        for length in options.lengths:
            for place in axis.AXES:
                for mask in axis.MASKS:
                    for name, row in axis.ROWS.items():
                        if (mask == "no mask" or row.absent) and (not options.functions or name in options.functions):
                            yield _axis_cell(name, row, dtype, length, place, mask, options.threads)


def _axis_cell(name: str, row: axis.Row, dtype: str, length: int, place: str, mask: str, threads: int) -> Cell:
    shape, at = axis.shape_of(place, length)
    masked, limit = mask != "no mask", row.absent
    forms = {
        OURS: ("x", ", where=keep" if masked else ""),
        "numpy": (f"np.where(keep, x, {limit})", ""),
        "scipy": (f"np.where(keep, x, {limit})", ""),
        "torch": (f"x.masked_fill(~keep, {limit})", ""),
        "jax": (f"jnp.where(keep, x, {limit})", ""),
    }

    def filled(side: str, source: str) -> str:
        x, where = forms[side]
        return source.replace("{x}", x if masked else "x").replace("{where}", where)

    sides = {OURS: Statement(filled(OURS, row.ours)), "numpy": Statement(filled("numpy", row.numpy))}
    if row.scipy:
        sides["scipy"] = Statement(filled("scipy", row.scipy))
    if row.torch:
        sides["torch"] = Statement(filled("torch", row.torch), axis.WITH_GRAD if "with_grad" in row.torch else "")
    if row.jax:
        names = "x, grad, y, log_y, s, labels" + (", keep" if masked else "")
        call = f"call({names}).block_until_ready()"
        sides["jax"] = Statement(call, f"call = jax.jit(lambda {names}: {filled('jax', row.jax)})\n{call}")
    if row.onnx and not masked:
        attributes = ", keepdims=0, axes=[axis]" if row.reduces else ", axis=axis"
        opset = f", result={len(shape) - 1}, opset=13" if row.reduces else ""  # later ones take the axes as an input
        session = f"session = make_session({row.onnx!r}, {dtype!r}, (), '', rank={len(shape)}{opset}{attributes})"
        if row.reduces:
            sides["onnxruntime"] = Statement('session.run(None, {"x": x})[0]', session)
        else:
            sides["onnxruntime"] = Statement(
                "session.run_with_iobinding(binding)  # out=out", f"{session}\nbinding = bind(session, x, out)"
            )
    count = 1 if name == "cross_entropy" else math.prod(shape) // (length if row.reduces else 1)
    back = "" if row.reduces else f"out = out.reshape({shape})\n"
    return Cell(
        name,
        dtype,
        length,
        f"{place} axis, {mask}, threads: {threads}",
        f"lay_out({shape}, {at}, {mask!r}, {dtype!r})\n{back}",
        dtype,
        dtype,
        count,
        filled("numpy", row.numpy),
        sides,
    )


# --- Masks ------------------------------------------------------------------------------------------------------------

_ERF = "0.5 * x * (1 + special.erf(x / 2**0.5))"
MASKED = {
    "relu": (
        "np.maximum(x, 0, out=out, where=keep)",
        "np.maximum(x, 0)",
        "torch.where(keep, torch.relu(x), out, out=out)",
    ),
    "gelu": (f"np.copyto(out, {_ERF}, where=keep)", _ERF, "torch.where(keep, nn.gelu(x), out, out=out)"),
}


def mask_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells of element-wise functions with a mask; masked elements of `out` stay 7."""
    for dtype in options.dtypes:
        for size in options.sizes or SIZES:
            shape = (size // WIDTH, WIDTH)
            for mask in ("random", "padding", "one row", "few"):
                for name, (numpy, exact, torch) in MASKED.items():
                    if options.functions and name not in options.functions:
                        continue
                    yield Cell(
                        name,
                        dtype,
                        size,
                        f"{mask}, threads: {options.threads}",
                        f"lay_out({shape}, 1, {mask!r}, {dtype!r}, False)\nout = out.reshape({shape})\nout[...] = 7\n",
                        dtype,
                        dtype,
                        size,
                        f"np.where(keep, {exact}, 7)",
                        {
                            OURS: Statement(f"fr.{name}(x, out=out, where=keep)"),
                            "numpy": Statement(numpy),
                            "torch": Statement(torch),
                        },
                    )


# --- Element types ----------------------------------------------------------------------------------------------------

HALVES = ("float16", "bfloat16")
ELEMENT_TYPES = {  # by label: the type of x, and that of out
    "int8": ("int8", "float32"),
    "int32": ("int32", "float64"),
    "int64": ("int64", "float64"),
    "bool": ("bool", "float32"),
    "big-endian float32": (">f4", "float32"),
    "float16 to float64": ("float16", "float64"),
    "float64 to float16": ("float64", "float16"),
    "float16": ("float16", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
}
SIMPLE = ("relu", "gelu")
WITH_GRADIENTS = (
    *("relu", "silu", "gelu", "tanh", "sigmoid", "relu_backward", "silu_backward", "gelu_backward"),
    *("tanh_backward_from_output", "sigmoid_backward_from_output"),
)

_SCALED = "(lambda e: e / e.sum(-1, keepdims=True))(np.exp(0.5 * x - (0.5 * x).max(-1, keepdims=True)))"
HALVES_LAID = f"""
x = wrap(source(size, kind).reshape(-1, {WIDTH}))
h, grad = wrap(source(size, kind)[::-1].copy().reshape(-1, {WIDTH})), wrap(-source(size, kind).reshape(-1, {WIDTH}))
bias = wrap(source(size, kind)[:{WIDTH}].copy())
keep = wrap((source(size, "float64") > 0)[::-1].copy().reshape(-1, {WIDTH}))
q = wrap(source(size, "int8").reshape(-1, {WIDTH}))
out = out.reshape(-1, {WIDTH})
out[...] = 7
"""


class OfHalves(NamedTuple):
    """What else is measured in 16 bits: the statements of our side, NumPy and PyTorch, and the exact result."""

    ours: str
    numpy: str
    torch: str
    exact: str


MORE_OF_HALVES = {
    "bias_act relu": OfHalves(
        "fr.fused.bias_act(x, bias, 'relu', out=out)",
        "np.maximum(np.add(x, bias, out=out), 0, out=out)",
        "torch.relu_(torch.add(x, bias, out=out))",
        "np.maximum(x + bias, 0)",
    ),
    "bias_act_backward relu": OfHalves(
        "fr.fused.bias_act_backward(grad, x, bias, 'relu', out=out)[0]",
        "np.multiply(grad, x + bias > 0, out=out).sum(0)",
        "aten.threshold_backward.grad_input(grad, x + bias, 0, grad_input=out); out.sum(0)",
        "grad * (x + bias > 0)",
    ),
    "reglu of a pair": OfHalves(
        "fr.reglu((x, h), out=out)",
        "np.multiply(np.maximum(x, 0), h, out=out)",
        "torch.mul(torch.relu(x), h, out=out)",
        "np.maximum(x, 0) * h",
    ),
    "swiglu of a pair": OfHalves(
        "fr.swiglu((x, h), out=out)",
        "np.multiply(x / (1 + np.exp(-x)), h, out=out)",
        "torch.mul(F.silu(x), h, out=out)",
        "x / (1 + np.exp(-x)) * h",
    ),
    "softmax scale": OfHalves(
        "fr.softmax(x, scale=0.5, out=out)",
        f"np.copyto(out, {_SCALED}, casting='same_kind')",
        "out.copy_(torch.softmax(x * 0.5, -1))",
        _SCALED,
    ),
    "relu where": OfHalves(
        "fr.relu(x, out=out, where=keep)",
        "np.maximum(x, 0, out=out, where=keep)",
        "torch.where(keep, torch.relu(x), out, out=out)",
        "np.where(keep, np.maximum(x, 0), 7)",
    ),
    "dequantize": OfHalves(
        "fr.quantized.dequantize(q, 0.05, 3, dtype=out.dtype, out=out)",
        "np.copyto(out, (q - np.float32(3)) * np.float32(0.05), casting='same_kind')",
        "out.copy_((q - 3.0) * 0.05)",
        "(q - np.float64(3)) * np.float32(0.05)",
    ),
}


def types_supported() -> list[str]:
    """Return the labels of the types that this version computes."""
    try:
        import ml_dtypes  # noqa: PLC0415  optional

        fr.relu(np.zeros(1, ml_dtypes.bfloat16))
    except (ImportError, TypeError):
        return [label for label in ELEMENT_TYPES if label != "bfloat16"]
    return list(ELEMENT_TYPES)


def type_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells of the other element types."""
    for label in types_supported():
        for size in options.sizes or SIZES:
            for function in functions():
                chosen = WITH_GRADIENTS if label in HALVES else SIMPLE
                if function.name in chosen and (not options.functions or function.name in options.functions):
                    yield _type_cell(function, label, size, options.threads)
            for name, one in MORE_OF_HALVES.items() if label in HALVES else ():
                if not options.functions or name.split()[0] in options.functions:
                    yield _half_cell(name, one, label, size, options.threads)


def _half_cell(name: str, one: OfHalves, label: str, size: int, threads: int) -> Cell:
    sides = {OURS: Statement(one.ours), "numpy": Statement(one.numpy), "torch": Statement(one.torch)}
    laid = f"size, kind = {size}, {label!r}\n{HALVES_LAID}"
    return Cell(name, label, size, f"out, threads: {threads}", laid, label, label, size, one.exact, sides)


def _type_cell(function: Any, label: str, size: int, threads: int) -> Cell:
    dtype, answer = ELEMENT_TYPES[label]
    laid = "".join(f"{name} = wrap(source({size}, {dtype!r}))\n" for name in function.data)
    if "y" in function.data:
        laid += f"y = wrap(np.tanh(source({size}, 'float32')).astype(source(1, {dtype!r}).dtype))\n"
    expression = function.expression
    numpy = into_out(expression)
    numpy = numpy if numpy and answer == dtype else f"np.copyto(out, {expression}, casting='same_kind')"
    sides = {OURS: Statement(function.ours("out")), "numpy": Statement(numpy)}
    torch = peers.TORCH.get(function.name)
    if torch is not None and torch.into and not label.startswith("big"):
        convert = "" if answer == dtype else "x = x.to(out.dtype)" if answer != "float16" else None
        if convert == "":
            sides["torch"] = Statement(torch.into, torch.setup)
        elif convert:  # PyTorch converts first, which is timed
            sides["torch"] = Statement(torch.into.replace("(x", "(x.to(out.dtype)"), torch.setup)
    if label == "float16":
        node = peers.PACKAGES["onnxruntime"].statement(function, "float16")
        if node is not None and node.into:
            sides["onnxruntime"] = Statement(f"{node.into}  # out=out", node.setup)
    return Cell(function.name, label, size, f"out, threads: {threads}", laid, dtype, answer, size, expression, sides)


# --- Extreme values ---------------------------------------------------------------------------------------------------

VALUES_SETUP = """
def halved(x, limit):
    x = np.array(x)
    x[..., ::2] = limit
    return x
def values(size, dtype, value, half):
    x = (2 * np.random.default_rng(0).standard_normal(size)).astype(dtype)
    return halved(x, value) if half else np.full_like(x, value)
"""
EXTREMES = {  # by label: the value in float32 and in float64, and whether half of the elements have it, or all
    "dead units (0)": (0, 0, False),
    "50": (50, 50, False),
    "-50": (-50, -50, False),
    "subnormal results": (-100, -720, False),
    "half -1e9": (-1e9, -1e9, True),
}
OF_EXTREMES = tuple(
    f"{name}{direction}"
    for name in ("sigmoid", "silu", "gelu", "tanh", "elu", "softplus", "mish", "log_sigmoid")
    for direction in ("", "_backward")
)
ROWS_OF_EXTREMES = {"half -1e9": "-1e9", "half -inf": "-np.inf"}  # what masks write


def value_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells of inputs that no normal distribution has: saturated, masked, and of dead units."""
    for dtype in options.dtypes:
        for name in ("softmax", "log_softmax", "logsumexp"):
            for label, limit in ROWS_OF_EXTREMES.items():
                if not options.functions or name in options.functions:
                    cell = _axis_cell(name, axis.ROWS[name], dtype, 1000, "last", "no mask", options.threads)
                    mode = f"{label}, threads: {options.threads}"
                    yield replace(cell, mode=mode, setup=f"{cell.setup}x = wrap(halved(x, {limit}))\n")
        for function in functions():
            if function.name in OF_EXTREMES and (not options.functions or function.name in options.functions):
                for label, (single, double, half) in EXTREMES.items():
                    for size in options.sizes or (100_000,):
                        value = single if dtype == "float32" else double
                        yield _value_cell(function, dtype, size, f"{label}, threads: {options.threads}", value, half)


def _value_cell(function: Any, dtype: str, size: int, mode: str, value: float, half: bool) -> Cell:
    laid = "".join(f"{name} = {number!r}\n" for name, number in function.parameters.items())
    laid += f"x = wrap(values({size}, {dtype!r}, {value}, {half}))\n"
    if "grad" in function.data:
        laid += f"grad = wrap(values({size}, {dtype!r}, 0, False) + np.float32(0.5))\n"
    expression = function.expression
    numpy = into_out(expression) or f"out[...] = {expression}"
    sides = {OURS: Statement(function.ours("out")), "numpy": Statement(numpy)}
    for side in ("torch", "jax", "onnxruntime"):
        found = peers.PACKAGES[side].statement(function, dtype)
        source = found and (found.into or found.fresh)
        if found and source:
            mark = "  # out=out" if "binding" in source else ""
            sides[side] = Statement(f"{source}{mark}", found.setup)
    return Cell(function.name, dtype, size, mode, laid, dtype, dtype, size, expression, sides)


# --- Passes that take several steps at once ------------------------------------------------------------------------------


def pass_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells of the passes."""
    for dtype in options.dtypes:
        for size in options.sizes or passes.SIZES:
            for name, one in passes.PASSES.items():
                if size == max(passes.SIZES) and dtype != "float32":
                    continue
                if dtype in one.only and (not options.functions or name.split()[0] in options.functions):
                    yield _pass_cell(name, one, dtype, size, options.threads)


def _pass_cell(name: str, one: passes.Pass, dtype: str, size: int, threads: int) -> Cell:
    answer, columns = one.answer or dtype, 2 * passes.WIDTH if one.double else passes.WIDTH
    call = f"call({', '.join(passes.NAMES)})"
    sides = {
        OURS: Statement(one.ours),
        "numpy": Statement(into_out(one.numpy) or f"out[...] = {one.numpy}"),
        "torch": Statement(one.torch),
        "jax": Statement(
            f"jax.block_until_ready({call}){'[0]' if one.results > 1 else ''}",
            f"call = jax.jit(lambda {', '.join(passes.NAMES)}: {one.jax})\n{call}",
        ),
    }
    if one.separate:
        sides[SEPARATE] = Statement(one.separate)
    if one.onnx:
        given = "int8" if one.given == "q" else dtype
        sides["onnxruntime"] = Statement(
            "session.run_with_iobinding(binding)  # out=out",
            f"session = make_chain({one.onnx!r}, {given!r}, {answer!r})\n"
            f"binding = bind_chain(session, {one.onnx!r}, {one.given}, out)",
        )
    setup = f"lay_pass({size}, {dtype!r})\nout = out.reshape(-1, {columns})\n"
    count = size * columns // passes.WIDTH
    return Cell(
        name, dtype, size, f"out, threads: {threads}", setup, dtype, answer, count, one.exact or one.numpy, sides
    )


# --- Measuring --------------------------------------------------------------------------------------------------------

SUITES = {"axis": axis_cells, "masks": mask_cells, "types": type_cells, "values": value_cells, "passes": pass_cells}
SETUP = f"{axis.SETUP}{TYPES_SETUP}{VALUES_SETUP}{passes.SETUP}"
_TORCH_WRAP = """
def wrap(array):
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
"""


def prelude(side: str, threads: int) -> str:
    """Return the source that a side's process begins with."""
    own = "import fastrelu as fr" if side in {OURS, SEPARATE} else peers.prelude(side, threads, full.CACHE)
    return f"import math\n{own}\n{_TORCH_WRAP if side == 'torch' else ''}{SETUP}"


@cache
def reference() -> dict[str, Any]:
    """Return the namespace of the right answers."""
    names: dict[str, Any] = {"np": np, "wrap": lambda array: array, "out": np.empty(0)}
    exec(f"import math\nfrom scipy import special\n{SETUP}", names)  # noqa: S102  the source is above
    return names


@cache
def wanted(cell_key: str, setup: str, exact: str) -> Any:
    """Return the ends of the right answer, in long double."""
    del cell_key
    names = reference()
    exec("".join(line + "\n" for line in setup.splitlines() if not line.startswith("out")), names)  # noqa: S102  as above
    wide = np.float64 if "special" in exact else np.longdouble
    for name in passes.ROWS if "lay_pass" in setup else ():  # the ends are in these rows
        names[name] = names[name][[0, 1, -2, -1] if len(names[name]) > 4 else slice(None)]
    for name in ("y", "log_y", "sparse_y", "s", *passes.WIDE):
        if name in names:
            names[name] = names[name].astype(wide)
    with np.errstate(all="ignore"):  # references overflow where kernels do not
        return worker.ends(np.asarray(eval(exact, names)).astype(wide))


def measure(cell: Cell, number: int, workers: dict[str, full.Worker], options: argparse.Namespace) -> dict[str, Any]:
    """Time all sides of a cell, one after the other, and check their answers."""
    entry: dict[str, Any] = {"ns": {}, "error": {}, "wrong": []}
    right = wanted(cell.key, cell.setup, cell.exact)
    for side in list(cell.sides)[:: -1 if number % 2 else 1]:
        if side not in workers:
            continue
        statement = cell.sides[side]
        answer = workers[side].ask(
            {
                "setup": cell.setup + statement.setup,
                "statement": statement.source,
                "dtype": cell.answer,
                "size": cell.count,
                "mode": "out" if re.search(r"\bout\b", statement.source) else "fresh",
                "target": "x",
                "inputs": {},
                "parameters": {},
                "double": False,
                "seconds": 1e-3 if options.quick else SECONDS,
                "rounds": 1 if options.quick else ROUNDS,
            }
        )
        if "missing" in answer:
            continue
        kind = worker.type_of(cell.answer)
        got = np.frombuffer(base64.b64decode(answer["sample"]), kind).astype(np.longdouble)
        entry["ns"][side] = float(f"{answer['ns']:.4g}")
        eps = max(EPS.get(cell.coarsest, 0.0), EPS.get(cell.answer, 0.0))
        unit = eps * np.maximum(np.abs(right), 2.0**-20)
        finite = np.isfinite(right) & np.isfinite(got)
        error = np.abs(got[finite] - right[finite])
        entry["error"][side] = float(f"{float(np.max(error / unit[finite], initial=0.0)):.3g}")
        tolerance = 64 * eps * (1 + np.abs(right[finite]))
        if got.shape != right.shape or not (
            np.array_equal(got[~finite], right[~finite]) and (error <= tolerance).all()
        ):
            entry["wrong"].append(side)
            print(f"{side} gives another answer: {cell.key}", file=sys.stderr)
    return entry


def run(suite: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a suite and return its result."""
    chosen = list(SUITES[suite](options))
    entries: dict[str, list[dict[str, Any]]] = {cell.key: [] for cell in chosen}
    sides = {side for cell in chosen for side in cell.sides} & {OURS, SEPARATE, *options.peers}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, progress(len(chosen) * options.pairs, suite) as bar:
        for number in range(options.pairs):
            workers: dict[str, full.Worker] = {}
            try:
                for side in sorted(sides, reverse=bool(number % 2)):
                    workers[side] = full.Worker(side, options.threads, Path(folder), prelude(side, options.threads))
                for cell in chosen:
                    entries[cell.key].append(measure(cell, number, workers, options))
                    bar.update()
            finally:
                for process in workers.values():
                    process.__exit__()
            print(f"{suite}: pair {number + 1} done after {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
    found: dict[str, Any] = {
        "machine": machine.describe(*(name for name in options.peers if peers.PACKAGES[name].modules)),
        "settings": {"pairs": options.pairs, "inputs": "2 N(0, 1)" if suite != "values" else "as the cells say"},
        "cells": {},
        "errors": {},
        "wrong": {},
    }
    for cell in chosen:
        measured = entries[cell.key]
        found["cells"][cell.key] = {side: [entry["ns"][side] for entry in measured] for side in measured[0]["ns"]}
        largest = found["errors"].setdefault(f"{cell.name}|{cell.dtype}", {})
        for entry in measured:
            for side, error in entry["error"].items():
                largest[side] = max(error, largest.get(side, 0.0))
            if entry["wrong"]:
                found["wrong"][cell.key] = sorted({*found["wrong"].get(cell.key, []), *entry["wrong"]})
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    available = [name for name, package in peers.PACKAGES.items() if package.installed]
    beside = [name for name in ("numpy", "scipy", "torch", "jax", "onnxruntime") if name in available]
    parser = argparse.ArgumentParser(description="Functions along an axis, masks and element types next to peers.")
    parser.add_argument("suites", nargs="+", choices=SUITES, metavar="SUITE", help="axis, masks, types, values, passes")
    parser.add_argument("--functions", nargs="+", default=[], metavar="NAME", help="functions (all)")
    parser.add_argument("--lengths", nargs="+", type=int, default=axis.LENGTHS, metavar="N", help="of rows (axis)")
    parser.add_argument(
        "--sizes", nargs="+", type=int, metavar="N", help="elements (masks, types, values, passes: all)"
    )
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "float64"], metavar="DTYPE", help="(axis, masks, values)"
    )
    parser.add_argument("--peers", nargs="*", default=beside, choices=beside, metavar="PEER", help="(installed)")
    parser.add_argument("--pairs", type=int, default=5, help="restarts of every process (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one pair of one round, as a test")
    parser.add_argument(
        "--update", action="store_true", help="add the cells to those of the file, of other threads say"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of the JSON files (default: results/, nothing with --quick)"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.pairs = 1
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if a side gave a wrong answer."""
    options = parse(arguments)
    full.CACHE.mkdir(exist_ok=True)
    folder = options.output or (None if options.quick else results.RESULTS)
    wrong = False
    for suite in options.suites:
        found = run(suite, options)
        wrong |= bool(found["wrong"])
        for key, times in found["cells"].items() if folder is None else ():
            print(f"{key:<75} " + "  ".join(f"{side} {np.median(ns):.4g}" for side, ns in times.items()))
        if folder is not None:
            path, found = folder / f"{suite}.json", summary.condense(found)
            if options.update and path.exists():
                found = full.updated(results.read(suite, folder), found)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(results.dump(found))
            print(f"wrote {path.name}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
