"""Two threads next to one, for calls that read or write more than one plain array.

``python benchmarks/bench_two_threads.py`` times each call along several axes of several shapes, alternately with one
thread and with two, in series. No call should take over 1.1 of the time of one thread; those that do are measured again
with five times as many rounds, and printed if they still do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
import numpy as np
import results
from bench_threads import alternate

import fastrelu as fr
from fastrelu import diagnostics, fused, masks, quantized
from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1.1
TYPES = ("float32", "float64")
# Shape and axis: rows in one piece, rows beside each other in lines of all lengths, and in blocks of such lines.
SHAPES = [
    ((16_384, 8), 1),
    ((131, 1000), 1),
    ((3, 50_257), 1),
    ((8, 16_384), 0),
    ((100, 1024), 0),
    ((1000, 64), 0),
    ((1000, 131), 0),
    ((1000, 256), 0),
    ((1000, 512), 0),
    ((1000, 2048), 0),
    ((16_000, 64), 0),
    ((50_257, 4), 0),
    ((64, 10, 256), 1),
    ((8, 1000, 16), 1),
    ((2, 50_257, 2), 1),
]
CALLS = {
    "softmax": "fr.softmax(x, axis, out=out)",
    "log_softmax": "fr.log_softmax(x, axis, out=out)",
    "softmax, mask": "fr.softmax(x, axis, out=out, where=keep)",
    "softmax of float16": "fr.softmax(half, axis, out=half_out)",
    "softmax_backward_from_output": "fr.softmax_backward_from_output(grad, y, axis, out=out)",
    "log_softmax_backward_from_output": "fr.log_softmax_backward_from_output(grad, log_y, axis, out=out)",
    "softmax_backward_parameters": "fr.softmax_backward_parameters(grad, x, axis, out=out)",
    "hardmax": "fr.hardmax(x, axis, out=out)",
    "hardmax, mask": "fr.hardmax(x, axis, out=out, where=keep)",
    "sparsemax": "fr.sparsemax(x, axis, out=out)",
    "sparsemax_backward_from_output": "fr.sparsemax_backward_from_output(grad, sparse, axis, out=out)",
    "logsumexp": "fr.logsumexp(x, axis)",
    "logsumexp_backward": "fr.logsumexp_backward(of_rows, x, axis, out=out)",
    "cross_entropy": "fr.cross_entropy(x, labels, axis=axis)",
    "cross_entropy_value_and_grad": "fr.cross_entropy_value_and_grad(x, labels, axis=axis, out=out)",
    "relu, mask": "fr.relu(x, out=out, where=keep)",
    "relu of a transposed array": "fr.relu(x.T, out=transposed)",
    "gelu of every second": "fr.gelu(wide, out=out)",
    "crelu": "fr.crelu(x, axis, out=twice)",
    "prelu_backward_parameters": "fr.prelu_backward_parameters(grad, x, bias, axis=axis, out=out)",
    "bias_act": "fused.bias_act(x, bias, 'silu', axis=axis, out=out)",
    "bias_act_backward": "fused.bias_act_backward(grad, x, bias, 'silu', axis=axis, out=out)",
    "swiglu": "fr.swiglu(twice, axis, out=out)",
    "swiglu_backward": "fr.swiglu_backward(grad, twice, axis)",
    "relu_with_mask": "masks.relu_with_mask(x, out=out)",
    "quantize": "quantized.quantize(x, scales, 128, axis=axis, out=codes)",
    "summarize": "diagnostics.summarize(x, axis)",
}


def variables(shape: tuple[int, ...], axis: int, dtype: str) -> dict[str, Any]:
    """Return the variables of the calls."""
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    n, rows = shape[axis], shape[:axis] + shape[axis + 1 :]
    wide = rng.standard_normal((*shape[:-1], 2 * shape[-1])).astype(dtype)[..., ::2]
    return {
        "fr": fr,
        "fused": fused,
        "masks": masks,
        "quantized": quantized,
        "diagnostics": diagnostics,
        "axis": axis,
        "x": x,
        "grad": grad,
        "out": np.empty_like(x),
        "wide": wide,
        "transposed": np.empty(shape[::-1], dtype),
        "y": fr.softmax(x, axis),
        "log_y": fr.log_softmax(x, axis),
        "sparse": fr.sparsemax(x, axis),
        "half": x.astype(np.float16),
        "half_out": np.empty(shape, np.float16),
        "codes": np.empty(shape, np.uint8),
        "keep": rng.random(shape) < 0.5,
        "labels": rng.integers(0, n, rows),
        "of_rows": np.ones(rows, dtype),
        "bias": np.linspace(-1, 1, n).astype(dtype),
        "scales": np.full(n, 0.05, dtype),
        "twice": np.concatenate([x, grad], axis),
    }


def comparisons(only: str) -> Iterator[tuple[str, tuple[int, ...], int, str]]:
    """Yield the name, shape, axis and type of each call."""
    for dtype in TYPES:
        for shape, axis in SHAPES:
            for name in CALLS:
                if only in name:
                    yield name, shape, axis, dtype


def main() -> None:
    """Measure, print what is slower, and write ``results/two_threads.json``."""
    parser = argparse.ArgumentParser(description="Calls with two threads next to the same with one.")
    parser.add_argument("--only", default="", help="calls whose name contains this text")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="one round of one shape, as a test")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: results/, nothing with --quick)")
    options = parser.parse_args()
    fr.set_num_threads(2)
    if fr.get_num_threads() < 2:
        sys.exit("this process may use one thread only")
    chosen = list(comparisons(options.only))
    if options.quick:
        options.rounds, chosen = 1, [one for one in chosen if one[1:] == (*SHAPES[0], TYPES[0])]
    rows, names, last = [], {}, None
    with progress(len(chosen), "two threads") as bar:
        for name, shape, axis, dtype in chosen:
            if last != (shape, axis, dtype):
                last, names = (shape, axis, dtype), variables(shape, axis, dtype)
            one, two = alternate(CALLS[name], names, 2, options.rounds)
            if two > LIMIT * one and not options.quick:  # short rounds of a call that runs on one thread differ by more
                one, two = alternate(CALLS[name], names, 2, 5 * options.rounds)
            rows.append({"call": name, "dtype": dtype, "shape": shape, "axis": axis, "ns": [one * 1e9, two * 1e9]})
            if two > LIMIT * one:
                print(f"{name}, {dtype}, {shape}, axis {axis}: {two / one:.2f} of the time of one thread", flush=True)
            bar.update()
    results.write("two_threads", {"machine": machine.describe(), "rows": rows}, options)


if __name__ == "__main__":
    main()
