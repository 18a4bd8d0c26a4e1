"""Compares losses and their gradients with NumPy's expression and PyTorch's, each side in a process of its own.

``python benchmarks/bench_losses.py``; if PyTorch is not installed, it is skipped with a message. Every side computes the
mean loss and its gradient with respect to the prediction, on one thread; the compared answers are the gradients.
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
    """Measure, print and write ``results/losses.json``."""
    options = pairs.parser("Losses and their gradients against NumPy and PyTorch.", pairs=3, rounds=20).parse_args()
    if not installed("torch"):
        print("not compared with torch, which is not installed", file=sys.stderr)
    rows = pairs.run_all([*comparisons()], options)
    packages = ["torch"] if installed("torch") else []
    results.write("losses", {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
