"""Compares the gradients of a learned weight with NumPy's expression and PyTorch's, each side in a process of its own.

``python benchmarks/bench_parameters.py``; if PyTorch is not installed, it is skipped with a message. All sides allocate
and compute dx and the sums for the weight; the compared answers are the sums.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, NamedTuple

import machine
import pairs
import results

import fastrelu as fr
from fastrelu._extras import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x = (2 * rng.standard_normal({shape})).astype("float32")
grad = rng.standard_normal({shape}).astype("float32")
weight = np.full({own}, 0.25, "float32")
"""
OURS = "import fastrelu as fr\n"
TORCH = """
import torch
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
x, grad, weight = map(torch.from_numpy, (x, grad, weight))
def gradients(function, *shape):
    dx, terms = function(grad, x, weight)
    return terms.sum_to_size(shape), dx
"""
TOLERANCE = 2e-3  # for sums of up to 200,704 float32 terms, including the errors of the peers


class Case(NamedTuple):
    """The shapes of the data and of the weight, and the axes that are summed."""

    shape: tuple[int, ...]
    own: tuple[int, ...]
    axes: tuple[int, ...]

    def comparison(self, peer: str, threads: int) -> pairs.Comparison:
        """Return the comparison with one peer."""
        setup = ARRAYS.format(shape=self.shape, own=self.own)
        if peer == "NumPy":
            terms = f"(np.where(x > 0, 0, x) * grad).sum({self.axes}, keepdims=True)"
            theirs, their_setup = f"({terms}, np.where(x > 0, grad, weight * grad))", setup
        else:
            theirs = f"gradients(torch.ops.aten._prelu_kernel_backward, *{self.own})"
            their_setup = setup + TORCH.format(threads=threads)
        return pairs.Comparison(
            ours="fr.leaky_relu_backward_parameters(grad, x, weight)[::-1]",
            theirs=theirs,
            peer=peer,
            size=math.prod(self.shape),
            dtype="float32",
            threads=threads,
            memory=f"{self.own} of {self.shape}",
            our_setup=setup + OURS,
            their_setup=their_setup,
            target=1.0,
            tolerance=TOLERANCE,
        )


CASES = (
    Case((1 << 20,), (1,), (0,)),
    Case((256, 64, 28, 28), (1, 64, 1, 1), (0, 2, 3)),
    Case((4096, 256), (1, 256), (0,)),
)


def comparisons(threads: int) -> Iterator[pairs.Comparison]:
    """Yield all comparisons: with NumPy on one thread, with PyTorch on one and on all."""
    for case in CASES:
        yield case.comparison("NumPy", 1)
        if installed("torch"):
            for count in sorted({1, threads}):
                yield case.comparison("torch", count)


def main() -> None:
    """Measure, print and write ``results/parameters.json``."""
    options = pairs.parser("Gradients of a learned weight against NumPy and PyTorch.", pairs=3, rounds=10).parse_args()
    if not installed("torch"):
        print("not compared with torch, which is not installed", file=sys.stderr)
    rows = pairs.run_all([*comparisons(fr.get_num_threads())], options)
    packages = ["torch"] if installed("torch") else []
    results.write("parameters", {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
