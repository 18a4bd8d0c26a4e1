"""Measure which results gain by streaming past the cache: python tools/measure_streaming.py.

Each line is a function, a size and a number of threads, writing into an existing buffer. The columns are the time with
ordinary stores divided by the time with streaming stores, above 1 if streaming gains: for the call alone, and for the
call together with a consumer that reads the result right after. The library must not stream if the second is below 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import _core, _runtime, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER, ALWAYS, BY_RULE = 2**62, 0, -1
FUNCTIONS = ("relu", "relu_backward", "leaky_relu_backward", "sigmoid", "silu_backward", "gelu", "gelu_backward")
MEBI = (4, 8, 16, 24, 32, 48, 64)  # of the output


def ratio(work: Callable[[], Any], rounds: int) -> float:
    """Return the median time with ordinary stores divided by that with streaming stores, measured alternately."""
    times: dict[int, list[float]] = {NEVER: [], ALWAYS: []}
    for _ in range(rounds):
        for least, seconds in times.items():
            _runtime.set_defaults(stream_from=least)
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    _runtime.set_defaults(stream_from=BY_RULE)
    return statistics.median(times[NEVER]) / statistics.median(times[ALWAYS])


def measure(name: str, size: int, threads: int, rounds: int) -> str:
    """Return one line of the table."""
    function = getattr(fr, name)
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(size).astype("f4") for _ in range(2 if "backward" in name else 1)]
    out, sink = np.zeros_like(data[0]), np.zeros(1, "f4")
    with fr.threads(threads):
        alone = ratio(lambda: function(*data, out=out), rounds)
        read = ratio(lambda: (function(*data, out=out), np.max(out, keepdims=True, out=sink)), rounds)
    rule = "streamed" if _core.streams(runtime.kernels[name], 4 * size, threads) else ""
    return f"{name:<22} {4 * size >> 20:>4} MiB  {threads} threads  alone {alone:5.2f}  with reader {read:5.2f}  {rule}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Gain of streaming.")
    parser.add_argument("--functions", nargs="+", default=FUNCTIONS)
    parser.add_argument("--mebibytes", nargs="+", type=int, default=MEBI, help="sizes of the output")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    for name in options.functions:
        for size in options.mebibytes:
            for threads in sorted({1, fr.get_num_threads()}):
                print(measure(name, size << 18, threads, options.rounds), flush=True)


if __name__ == "__main__":
    main()
