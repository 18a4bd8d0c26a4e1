"""Softmax and cross-entropy next to SciPy's and NumPy's expression: ``pytest benchmarks/bench_rows.py``.

As a script, ``python benchmarks/bench_rows.py``, it compares them with PyTorch, each side in a process of its own.
"""

from __future__ import annotations

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
    from collections.abc import Callable, Iterator

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
                        yield pairs.Comparison(
                            ours=f"fr.{ours.format(name=name)}",
                            theirs=theirs.format(name=name),
                            peer=package,
                            size=shape[0] * shape[1],
                            dtype="float32",
                            threads=threads,
                            memory="reused" if "out=" in ours else "fresh",
                            our_setup=arrays + OURS,
                            their_setup=arrays + setup.format(threads=threads, operator=OPERATORS[name]),
                            target=1.0,
                            tolerance=1e-5,
                        )


def main() -> None:
    """Measure, print and write ``results/rows.json``."""
    options = pairs.parser("Ratios of softmax and log_softmax.", pairs=3, rounds=15).parse_args()
    packages = [package for package in PEERS if installed(package)]
    for package in PEERS.keys() - set(packages):
        print(f"not compared with {package}, which is not installed", file=sys.stderr)

    rows = pairs.run_all([*comparisons(packages)], options)
    results.write("rows", {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
