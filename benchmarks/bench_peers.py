"""Compares every function with PyTorch's and SciPy's, each side in a process of its own.

``python benchmarks/bench_peers.py``; a peer that is not installed is left out, and said so. All sides write into an
existing array, unless the peer's operation cannot: then both allocate ("fresh").
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import machine
import pairs

import fastrelu as fr
from fastrelu._extras import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x = (2 * rng.standard_normal({size})).astype("{dtype}")
grad = rng.standard_normal({size}).astype("{dtype}")
out = np.empty_like(x)
"""
OURS = "import fastrelu as fr\n"
TORCH = """
import torch
from torch.nn import functional as F
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
aten = torch.ops.aten
x, grad, out = torch.from_numpy(x), torch.from_numpy(grad), torch.from_numpy(out)
buffer = torch.empty_like(x)
"""
SCIPY = "from scipy import special\n"
SETUP = {"torch": TORCH, "scipy": SCIPY}


class Peer(NamedTuple):
    """Our call, and a peer's source for the same; `y` says how the peer makes the output that a gradient needs."""

    ours: str
    package: str
    theirs: str
    y: str = ""

    @property
    def function(self) -> str:
        """Name of our function."""
        return self.ours.partition("(")[0]


PEERS = (
    Peer("relu(x, out=out)", "torch", "torch.clamp_min(x, 0, out=out)"),
    Peer("relu_backward(grad, x, out=out)", "torch", "aten.threshold_backward.grad_input(grad, x, 0, grad_input=out)"),
    Peer("relu6(x, out=out)", "torch", "aten.hardtanh.out(x, 0, 6, out=out)"),
    Peer(
        "relu6_backward(grad, x, out=out)", "torch", "aten.hardtanh_backward.grad_input(grad, x, 0, 6, grad_input=out)"
    ),
    Peer("leaky_relu(x, out=out)", "torch", "aten.leaky_relu.out(x, 0.01, out=out)"),
    Peer(
        "leaky_relu_backward(grad, x, out=out)",
        "torch",
        "aten.leaky_relu_backward.grad_input(grad, x, 0.01, False, grad_input=out)",
    ),
    Peer("threshold(x, 1.0, -1.0, out=out)", "torch", "aten.threshold.out(x, 1.0, -1.0, out=out)"),
    Peer("elu(x, out=out)", "torch", "aten.elu.out(x, 1, 1, 1, out=out)"),
    Peer(
        "elu_backward(grad, x, out=out)",
        "torch",
        "aten.elu_backward.grad_input(grad, 1, 1, 1, False, x, grad_input=out)",
    ),
    Peer(
        "elu_backward_from_output(grad, y, out=out)",
        "torch",
        "aten.elu_backward.grad_input(grad, 1, 1, 1, True, y, grad_input=out)",
        "aten.elu(x)",
    ),
    Peer("celu(x, 2.0, out=out)", "torch", "aten.elu.out(x, 2.0, 1, 0.5, out=out)"),
    Peer("selu(x, out=out)", "torch", "aten.elu.out(x, 1.6732632423543772, 1.0507009873554805, 1, out=out)"),
    Peer(
        "selu_backward(grad, x, out=out)",
        "torch",
        "aten.elu_backward.grad_input(grad, 1.6732632423543772, 1.0507009873554805, 1, False, x, grad_input=out)",
    ),
    Peer("softplus(x, out=out)", "torch", "aten.softplus.out(x, 1, 20, out=out)"),
    Peer(
        "softplus_backward(grad, x, out=out)",
        "torch",
        "aten.softplus_backward.grad_input(grad, x, 1, 20, grad_input=out)",
    ),
    Peer("log_sigmoid(x, out=out)", "torch", "aten.log_sigmoid_forward.output(x, output=out, buffer=buffer)"),
    Peer(
        "log_sigmoid_backward(grad, x, out=out)",
        "torch",
        "aten.log_sigmoid_backward.grad_input(grad, x, buffer, grad_input=out)",
        "aten.log_sigmoid_forward.output(x, output=out, buffer=buffer)",
    ),
    Peer("log_sigmoid(x, out=out)", "scipy", "special.log_expit(x, out=out)"),
    Peer("sigmoid(x, out=out)", "torch", "torch.sigmoid(x, out=out)"),
    Peer("sigmoid(x, out=out)", "scipy", "special.expit(x, out=out)"),
    Peer(
        "sigmoid_backward_from_output(grad, y, out=out)",
        "torch",
        "aten.sigmoid_backward.grad_input(grad, y, grad_input=out)",
        "torch.sigmoid(x)",
    ),
    Peer("tanh(x, out=out)", "torch", "torch.tanh(x, out=out)"),
    Peer(
        "tanh_backward_from_output(grad, y, out=out)",
        "torch",
        "aten.tanh_backward.grad_input(grad, y, grad_input=out)",
        "torch.tanh(x)",
    ),
    Peer("softsign(x)", "torch", "F.softsign(x)"),
    Peer("hard_sigmoid(x, out=out)", "torch", "aten.hardsigmoid.out(x, out=out)"),
    Peer(
        "hard_sigmoid_backward(grad, x, out=out)",
        "torch",
        "aten.hardsigmoid_backward.grad_input(grad, x, grad_input=out)",
    ),
    Peer("hard_tanh(x, out=out)", "torch", "aten.hardtanh.out(x, -1, 1, out=out)"),
    Peer(
        "hard_tanh_backward(grad, x, out=out)",
        "torch",
        "aten.hardtanh_backward.grad_input(grad, x, -1, 1, grad_input=out)",
    ),
    Peer("silu(x, out=out)", "torch", "aten.silu.out(x, out=out)"),
    Peer("silu(x, out=out)", "scipy", "np.multiply(x, special.expit(x), out=out)"),
    Peer("silu_backward(grad, x, out=out)", "torch", "aten.silu_backward.grad_input(grad, x, grad_input=out)"),
    Peer("hard_swish(x, out=out)", "torch", "aten.hardswish.out(x, out=out)"),
    Peer("hard_swish_backward(grad, x)", "torch", "aten.hardswish_backward(grad, x)"),
    Peer("gelu(x, out=out)", "torch", "aten.gelu.out(x, out=out)"),
    Peer("gelu(x, out=out)", "scipy", "np.multiply(x, special.ndtr(x), out=out)"),
    Peer("gelu_backward(grad, x, out=out)", "torch", "aten.gelu_backward.grad_input(grad, x, grad_input=out)"),
    Peer('gelu(x, approximate="tanh", out=out)', "torch", 'aten.gelu.out(x, approximate="tanh", out=out)'),
    Peer(
        'gelu_backward(grad, x, approximate="tanh", out=out)',
        "torch",
        'aten.gelu_backward.grad_input(grad, x, approximate="tanh", grad_input=out)',
    ),
    Peer("mish(x, out=out)", "torch", "aten.mish.out(x, out=out)"),
    Peer("mish_backward(grad, x)", "torch", "aten.mish_backward(grad, x)"),
    Peer("hard_shrink(x, out=out)", "torch", "aten.hardshrink.out(x, 0.5, out=out)"),
    Peer(
        "hard_shrink_backward(grad, x, out=out)",
        "torch",
        "aten.hardshrink_backward.grad_input(grad, x, 0.5, grad_input=out)",
    ),
    Peer("soft_shrink(x, out=out)", "torch", "aten.softshrink.out(x, 0.5, out=out)"),
    Peer(
        "soft_shrink_backward(grad, x, out=out)",
        "torch",
        "aten.softshrink_backward.grad_input(grad, x, 0.5, grad_input=out)",
    ),
    Peer("tanh_shrink(x)", "torch", "F.tanhshrink(x)"),
)


def comparisons(
    packages: list[str], sizes: list[int], dtypes: list[str], threads: list[int]
) -> Iterator[pairs.Comparison]:
    """Yield one comparison per peer, size, type and number of threads; SciPy has one thread."""
    for peer in PEERS:
        if peer.package not in packages or not hasattr(fr, peer.function):
            continue
        forward = peer.function.removesuffix("_backward_from_output").removesuffix("_backward")
        for size in sizes:
            for dtype in dtypes:
                arrays = ARRAYS.format(size=size, dtype=dtype)
                for count in threads if peer.package == "torch" else [1]:
                    yield pairs.Comparison(
                        ours=f"fr.{peer.ours}",
                        theirs=peer.theirs,
                        peer=peer.package,
                        size=size,
                        dtype=dtype,
                        threads=count,
                        memory="reused" if "out=out" in peer.ours else "fresh",
                        our_setup=arrays + OURS + (f"y = fr.{forward}(x)\n" if peer.y else ""),
                        their_setup=arrays
                        + SETUP[peer.package].format(threads=count)
                        + (f"y = {peer.y}\n" if peer.y else ""),
                    )


def main() -> None:
    """Measure, print and write ``results/peers.json``."""
    parser = pairs.parser("Ratios against PyTorch and SciPy.", pairs=5, rounds=50)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    packages = [package for package in SETUP if installed(package)]
    for package in SETUP.keys() - set(packages):
        print(f"not compared with {package}, which is not installed", file=sys.stderr)
    rows = pairs.run_all([*comparisons(packages, options.sizes, options.dtypes, options.threads)], options)
    pairs.write("peers", {"machine": machine.describe(*packages), "rows": rows}, options)


if __name__ == "__main__":
    main()
