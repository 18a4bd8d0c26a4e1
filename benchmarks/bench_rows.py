"""Softmax and cross-entropy next to SciPy's and NumPy's expression: ``pytest benchmarks/bench_rows.py``.

As a script, ``python benchmarks/bench_rows.py``, it compares them with other packages, each side in a process of its own,
in every direction and along every axis.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import machine
import numpy as np
import pairs
import pytest
import results
from peers import ONNX_PRELUDE

import fastrelu as fr
from fastrelu._extras import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHAPES = ((1, 10), (32, 10), (4096, 1000), (64, 50257))
NAMES = ("softmax", "log_softmax")
CROSS_ENTROPY = "-special.log_softmax(x, axis=-1)[np.arange(len(x)), labels].mean()"

ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x = (3 * rng.standard_normal({shape})).astype("float32")
labels = rng.integers(0, x.shape[1], len(x))
out = np.empty_like(x)
"""
OURS = "import fastrelu as fr\n"
TORCH = """
import torch
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
x, out, labels = torch.from_numpy(x), torch.from_numpy(out), torch.from_numpy(labels)
"""
JAX = """
import jax
x = jax.numpy.asarray(x)
softmax, log_softmax = jax.jit(jax.nn.softmax), jax.jit(jax.nn.log_softmax)
"""
ONNX = """
session = make_session({operator!r}, "float32", (), "", rank=2, axis=-1)
binding = bind(session, x, out)
"""
OPERATORS = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}
PEERS = {
    "torch": (TORCH, {"{name}(x, out=out)": "torch.{name}(x, -1, out=out)", "{name}(x)": "torch.{name}(x, -1)"}),
    "jax": (JAX, {"{name}(x)": "{name}(x).block_until_ready()"}),
    "scipy": ("from scipy import special\n", {"{name}(x)": "special.{name}(x, axis=-1)"}),
    "onnxruntime": (
        ONNX_PRELUDE + ONNX,
        {
            "{name}(x, out=out)": "(session.run_with_iobinding(binding), out)[1]",
            "{name}(x)": 'session.run(None, {{"x": x}})[0]',
        },
    ),
}


@pytest.mark.parametrize("side", ["fastrelu", "scipy"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*NAMES, "cross_entropy"])
def bench_rows(
    name: str, shape: tuple[int, int], side: str, compare: Callable[[str, str, str, dict[str, Any]], None]
) -> None:
    """Time one side."""
    special = pytest.importorskip("scipy.special", reason="the expression is SciPy's")
    rng = np.random.default_rng(0)
    x = (3 * rng.standard_normal(shape)).astype(np.float32)
    names = {"np": np, "fr": fr, "special": special, "x": x, "labels": rng.integers(0, shape[1], shape[0])}
    theirs = CROSS_ENTROPY if name == "cross_entropy" else f"special.{name}(x, axis=-1)"
    ours = "fr.cross_entropy(x, labels)" if name == "cross_entropy" else f"fr.{name}(x)"
    compare(f"{name} {shape}", ours if side == "fastrelu" else theirs, theirs, names)


def comparisons(packages: list[str]) -> Iterator[pairs.Comparison]:
    """Yield one comparison per package, function, shape and number of threads; SciPy has one thread, JAX its own."""
    for package in packages:
        setup, statements = PEERS[package]
        for name in NAMES:
            for shape in SHAPES:
                for threads in {"jax": (2,), "scipy": (1,)}.get(package, (1, 2)):
                    for ours, theirs in statements.items():
                        arrays = ARRAYS.format(shape=shape)
                        prepared = setup.replace("{threads}", str(threads))
                        prepared = prepared.replace("{operator!r}", repr(OPERATORS[name]))
                        yield pairs.Comparison(
                            ours=f"fr.{ours.format(name=name)}",
                            theirs=theirs.format(name=name),
                            peer=package,
                            size=shape[0] * shape[1],
                            dtype="float32",
                            threads=threads,
                            memory="reused" if "out=" in ours else "fresh",
                            our_setup=arrays + OURS,
                            their_setup=arrays + prepared,
                            target=1.0,
                            tolerance=1e-5,
                        )


# Other directions, axes and masks: cells, each a shape with its axis, and what runs there, with the least ratio.
LONG = (((1000, 700), 0), ((200, 5000), 0), ((20000, 64), 0))  # whose elements lie far apart: in float64 too
GRADIENTS = (
    ((2, 300000), 0),
    ((64, 3, 5000), 1),
    ((10, 60000), 0),
    ((1024, 1024), 0),
    ((60000, 10), 1),
    *LONG,
)
LAST = (((512, 1000), 1),)
FORWARD = (*GRADIENTS, *LAST, ((300000, 1), 1), ((8, 21, 60, 60), 1), ((50257, 64), 0))
MASKED = (((512, 1000), 1), ((1000, 512), 0), ((20000, 10), 1))
CLASSES = (((200000, 2), 1), ((8, 21, 60, 60), 1), ((100000, 10), 1), ((2, 2, 512, 512), 1))
CELLS: list[tuple[tuple[tuple[tuple[int, ...], int], ...], str, dict[str, str], float]] = [
    (
        FORWARD,
        "fr.softmax(x, {axis}, out=out)",
        {"torch": "torch.softmax(x, {axis}, out=out)", "numpy": "softmax(x)"},
        1,
    ),
    (
        FORWARD,
        "fr.log_softmax(x, {axis}, out=out)",
        {"torch": "torch.log_softmax(x, {axis}, out=out)", "scipy": "special.log_softmax(x, {axis})"},
        1,
    ),
    *(
        (
            cells,
            "fr.softmax_backward_from_output(g, y, {axis}, out=out)",
            {
                "torch": "torch._softmax_backward_data(g, y, {axis}, y.dtype, grad_input=out)",
                "numpy": "y * (g - (g * y).sum({axis}, keepdims=True))",
            },
            target,
        )
        for cells, target in ((GRADIENTS, 1), (LAST, 1.3))
    ),
    *(
        (
            cells,
            "fr.log_softmax_backward_from_output(g, log_y, {axis}, out=out)",
            {
                "torch": "torch._log_softmax_backward_data(g, log_y, {axis}, y.dtype, out=out)",
                "numpy": "g - np.exp(log_y) * g.sum({axis}, keepdims=True)",
            },
            target,
        )
        for cells, target in ((GRADIENTS, 1), (LAST, 1.3))
    ),
    *(
        (
            MASKED,
            f"fr.softmax(x, {{axis}}, where={mask}, out=out)",
            {
                "torch": f"torch.softmax(x.masked_fill(~{mask}, -torch.inf), {{axis}})",
                "numpy": f"softmax(np.where({mask}, x, -np.inf))",
            },
            1,
        )
        for mask in ("random", "padding")
    ),
    (
        FORWARD,
        "fr.logsumexp(x, {axis})",
        {"torch": "torch.logsumexp(x, {axis})", "scipy": "special.logsumexp(x, {axis})"},
        2,
    ),
    (
        CLASSES,
        "fr.cross_entropy(x, labels, axis={axis})",
        {"torch": "torch.nn.functional.cross_entropy(x, labels)", "numpy": "cross_entropy(x)"},
        1.5,
    ),
    (CLASSES, "fr.cross_entropy_value_and_grad(x, labels, axis={axis}, out=out)", {"torch": "with_grad()"}, 1.5),
]
CELL = """
import numpy as np
rng = np.random.default_rng(0)
shape, axis = {shape}, {axis}
x, g = (3 * rng.standard_normal((2, *shape))).astype({dtype!r})
random = rng.random(shape) < 0.7
along = np.expand_dims(np.arange(shape[axis]), [k for k in range(len(shape)) if k != axis])
padding = np.broadcast_to(along < max(1, 0.7 * shape[axis]), shape)
labels = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1:])
out = np.empty_like(x)
def softmax(x):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)
def cross_entropy(x):
    z = x - x.max(axis, keepdims=True)
    own = np.take_along_axis(z, np.expand_dims(labels, axis), axis)
    return (np.log(np.exp(z).sum(axis, keepdims=True)) - own).mean()
y = softmax(x)
log_y = np.log(y)
"""
CELL_PEERS = {
    "numpy": "",
    "scipy": "from scipy import special\n",
    "torch": """
import torch
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
arrays = (x, g, y, log_y, out, labels, random, padding)
x, g, y, log_y, out, labels, random, padding = (torch.from_numpy(a.copy()) for a in arrays)
def with_grad():
    with torch.enable_grad():
        given = x.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(given, labels)
        loss.backward()
    return loss.detach(), given.grad
""",
}


def typed(cells: Iterable[tuple[tuple[int, ...], int]]) -> Iterator[tuple[tuple[int, ...], int, str]]:
    """Yield each shape and axis with the types in which it is measured."""
    for cell in cells:
        for dtype in ("float32", "float64") if cell in LONG else ("float32",):
            yield *cell, dtype


def directions() -> Iterator[pairs.Comparison]:
    """Yield the comparisons of all cells; NumPy and SciPy have one thread, and NumPy's line is to be three times slower."""
    for cells, ours, peers, target in CELLS:
        for shape, axis, dtype in typed(cells):
            for package, theirs in peers.items():
                arrays = CELL.format(shape=shape, axis=axis, dtype=dtype)
                for threads in (1, 2) if package == "torch" else (1,):
                    yield pairs.Comparison(
                        ours=f"{ours.format(axis=axis)}  # {shape}",
                        theirs=theirs.format(axis=axis),
                        peer=package,
                        size=math.prod(shape),
                        dtype=dtype,
                        threads=threads,
                        memory="reused" if "out=" in ours else "fresh",
                        our_setup=arrays + OURS,
                        their_setup=arrays + CELL_PEERS[package].format(threads=threads),
                        target={"numpy": 3, "scipy": 10 if "logsumexp" in ours else 1}.get(package, target),
                        tolerance=1e-4,
                    )


def main() -> None:
    """Measure, print and write ``results/rows.json``."""
    options = pairs.parser("Ratios of softmax and log_softmax.", pairs=3, rounds=15).parse_args()
    packages = [package for package in PEERS if installed(package)]
    for package in PEERS.keys() - set(packages):
        print(f"not compared with {package}, which is not installed", file=sys.stderr)

    rows = pairs.run_all([*comparisons(packages), *directions()], options)
    results.write("rows", {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
