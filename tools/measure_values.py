"""Find the values of x for which a call takes longer than usual: python tools/measure_values.py.

Intel's processors take about 40 ns for a vector with a subnormal number among its operands or results, and for results
that are rounded to 0 from just below; for AMD's, results that are rounded to 0 multiply the time by four, however small
they were. Each line is a function and a type, with the ranges of x, filled into a whole array, for which a call takes
more than 2.5 times the time of random numbers (``--limit``), and how many times; values whose results are subnormal,
which cannot be helped, are left out. A range that goes on to infinity is a fault; known are softsign_backward from 1e38
on, where 1 / (1 + x) is subnormal, dish of -inf, and xielu_backward (3 times). Functions that need parameters are named
and not measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = 1024
SIZES = [*np.arange(0.5, 130), *np.geomspace(130, 2000, 40), *np.geomspace(2e3, 1e38, 20), np.inf]
VALUES = [*(-x for x in reversed(SIZES)), 0.0, *SIZES]


def microseconds(call: Callable[..., Any], operands: Sequence[Any], out: Any) -> float:
    """Return the shortest of a few calls."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        call(*operands, out=out)
        found.append(1e6 * (time.perf_counter() - start))
    return min(found)


def slow_ranges(name: str, dtype: str, limit: float) -> list[str]:
    """Return the ranges of x for which a function takes `limit` times as long as usual."""
    function = getattr(fr, name)
    rng = np.random.default_rng(0)
    usual, grad = (rng.normal(0, 2, SIZE).astype(dtype) for _ in range(2))
    out = np.empty_like(usual)
    operands = (grad,) if "backward" in name else ()
    function(*operands, usual, out=out)
    base = statistics.median(microseconds(function, (*operands, usual), out) for _ in range(9))
    ranges: list[list[float]] = []
    last = None
    for index, value in enumerate(VALUES):
        x = np.full(SIZE, value, dtype)
        times = microseconds(function, (*operands, x), out) / base
        size = np.abs(function(*operands, x))
        subnormal = ((size > 0) & (size < np.finfo(dtype).tiny)).any()
        if times < limit or subnormal:
            continue
        if last == index - 1:
            ranges[-1][1], ranges[-1][2] = value, max(times, ranges[-1][2])
        else:
            ranges.append([value, value, times])
        last = index
    return [f"{low:.4g} to {high:.4g}: {times:.0f}" for low, high, times in ranges]


def main() -> None:
    """Print the ranges."""
    parser = argparse.ArgumentParser(description="Values of x that take longer than others.")
    parser.add_argument(
        "--functions", nargs="+", default=[name for name in sorted(runtime.kernels) if hasattr(fr, name)]
    )
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--limit", type=float, default=2.5, help="how many times the usual time is long")
    options = parser.parse_args()
    with np.errstate(all="ignore"), fr.threads(1):
        for dtype in options.dtypes:
            for name in options.functions:
                try:
                    found = slow_ranges(name, dtype, options.limit)
                except TypeError:
                    print(f"{name} {dtype}: needs parameters", flush=True)
                    continue
                print(f"{name} {dtype}: {'; '.join(found) if found else 'none'}", flush=True)


if __name__ == "__main__":
    main()
