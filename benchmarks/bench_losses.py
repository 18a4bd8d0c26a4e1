"""Compares losses and their gradients with NumPy's expression and PyTorch's, each side in a process of its own.

``python benchmarks/bench_losses.py``; if PyTorch is not installed, it is skipped with a message. Every side computes the
mean loss and its gradient with respect to the prediction, on one thread; the compared answers are the gradients.
``--small`` compares the smallest calls instead, with NumPy alone: every loss and reduction, with a backward and without.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import machine
import pairs
import results

from fastrelu._extras import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x, y = rng.standard_normal((2, {size}), np.float32)
if "{name}".startswith("BCE"):
    y = (y > 0).astype(np.float32)
"""
OURS = """
from fastrelu import nn
criterion = nn.{name}()
def both():
    loss = criterion(x, y)
    return criterion.backward(), loss
"""
NUMPY = """
def both():
    d = x - y
    loss, slope = {expression}
    slope *= np.float32(1 / d.size)
    return slope, loss
"""
TORCH = """
import torch
torch.set_num_threads(1)
criterion, x, y = torch.nn.{name}(), torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
def both():
    x.grad = None
    loss = criterion(x, y)
    loss.backward()
    return x.grad, loss.detach()
"""

# In NumPy: the loss and the gradient of the sum, from the differences d.
_HUBER = "np.mean(np.where(abs(d) <= 1, d * d / 2, abs(d) - np.float32(0.5))), np.clip(d, -1, 1)"
LOSSES = {
    "MSELoss": "np.mean(d * d), 2 * d",
    "L1Loss": "np.mean(abs(d)), np.sign(d)",
    "HuberLoss": _HUBER,
    "SmoothL1Loss": _HUBER,
    "BCEWithLogitsLoss": "np.mean(np.logaddexp(0, x) - x * y), 1 / (1 + np.exp(-x)) - y",
}

# Of few elements: the losses, and the gradient of their sum.
_LABELS = "np.arange(len(x)), labels"
SMALL = {
    "MSELoss": ("d * d", "2 * d"),
    "L1Loss": ("np.abs(d)", "np.sign(d)"),
    "HuberLoss": ("np.where(np.abs(d) <= 1, d * d * 0.5, np.abs(d) - 0.5)", "np.clip(d, -1, 1)"),
    "SmoothL1Loss": ("np.where(np.abs(d) <= 1, d * d * 0.5, np.abs(d) - 0.5)", "np.clip(d, -1, 1)"),
    "BCELoss": ("-(y * np.log(x) + (1 - y) * np.log(1 - x))", "(x - y) / (x * (1 - x))"),
    "BCEWithLogitsLoss": ("np.logaddexp(0, x) - x * y", "1 / (1 + np.exp(-x)) - y"),
    "NLLLoss": (f"-x[{_LABELS}]", "minus_one_at(x, labels)"),
    "CrossEntropyLoss": (f"-log_softmax(x)[{_LABELS}]", "softmax(x) + minus_one_at(x, labels)"),
}
DIFFERENCES = {"MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"}
REDUCED = {"mean": "np.mean(each)", "sum": "np.sum(each)", "none": "each"}
SCALED = {"mean": "slope * np.float32(1 / each.size)", "sum": "slope", "none": "slope * one.reshape(shape)"}
SMALL_ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x, y = rng.uniform(0.1, 0.9, (2, *{shape})).astype(np.float32)
labels = rng.integers(0, {shape}[1], {shape}[0])
second = labels if "{name}" in ("NLLLoss", "CrossEntropyLoss") else y
one = np.ones({shape}[:1] if second is labels else {shape}, np.float32)
shape = (*one.shape, 1)[:2]
def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
def log_softmax(x):
    z = x - x.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))
def minus_one_at(x, labels):
    slope = np.zeros_like(x)
    slope[np.arange(len(x)), labels] = -1
    return slope
"""
SMALL_OURS = """
from fastrelu import nn
criterion = nn.{name}(reduction="{reduction}")
scoring = nn.{name}(reduction="{reduction}").eval()
def call():
    return scoring(x, second)
def both():
    loss = criterion(x, second)
    return criterion.backward({given}), loss
"""
SMALL_NUMPY = """
def call():
    {difference}
    each = {losses}
    return {reduced}
def both():
    {difference}
    each, slope = {losses}, {slope}
    return {scaled}, {reduced}
"""


def small() -> Iterator[pairs.Comparison]:
    """Yield the comparisons of few elements: every loss and reduction, a call alone and with its backward."""
    for name, (losses, slope) in SMALL.items():
        for reduction, reduced in REDUCED.items():
            for shape in ((1, 1), (8, 3), (32, 10)):
                setup = SMALL_ARRAYS.format(name=name, shape=shape)
                ours = SMALL_OURS.format(name=name, reduction=reduction, given="one" if reduction == "none" else "")
                theirs = SMALL_NUMPY.format(
                    difference="d = x - y" if name in DIFFERENCES else "pass",
                    losses=losses,
                    slope=slope,
                    reduced=reduced,
                    scaled=SCALED[reduction],
                )
                for statement in ("call()", "both()"):
                    yield pairs.Comparison(
                        ours=statement,
                        theirs=statement,
                        peer="NumPy",
                        size=shape[0] * shape[1],
                        dtype="float32",
                        threads=1,
                        memory=f"{name}, {reduction}, NumPy",
                        our_setup=setup + ours,
                        their_setup=setup + theirs,
                        target=1.0,
                        tolerance=1e-5,
                    )


def comparisons() -> Iterator[pairs.Comparison]:
    """Yield all comparisons: every loss and size, with NumPy and with PyTorch."""
    for name, expression in LOSSES.items():
        for size in (32, 100_000, 2_000_000):
            setup = ARRAYS.format(name=name, size=size)
            peers = {"NumPy": NUMPY.format(expression=expression)}
            if installed("torch"):
                peers["torch"] = TORCH.format(name=name)
            for peer, theirs in peers.items():
                yield pairs.Comparison(
                    ours="both()",
                    theirs="both()",
                    peer=peer,
                    size=size,
                    dtype="float32",
                    threads=1,
                    memory=f"{name}, {peer}",
                    our_setup=setup + OURS.format(name=name),
                    their_setup=setup + theirs,
                    target=1.0,
                    tolerance=1e-5,
                )


def main() -> None:
    """Measure, print and write ``results/loss_gradients.json``, or ``results/small_losses.json``."""
    parser = pairs.parser("Losses and their gradients against NumPy and PyTorch.", pairs=3, rounds=20)
    parser.add_argument("--small", action="store_true", help="few elements: every loss and reduction, against NumPy")
    options = parser.parse_args()
    if options.small:
        rows, packages = pairs.run_all([*small()], options), []
    else:
        if not installed("torch"):
            print("not compared with torch, which is not installed", file=sys.stderr)
        rows = pairs.run_all([*comparisons()], options)
        packages = ["torch"] if installed("torch") else []
    name = "small_losses" if options.small else "loss_gradients"
    results.write(name, {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
