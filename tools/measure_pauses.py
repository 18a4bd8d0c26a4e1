"""Measure the gain of threads in calls after a pause: python tools/measure_pauses.py.

A server makes occasional calls, when the team's workers are asleep. Each line is a function, a size and the pause
before each call; the columns are the median and the slowest of the timings with one thread and with all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

import fastrelu as fr


def timings(function: Any, x: Any, pause: float, rounds: int) -> list[float]:
    """Return the microseconds of each call."""
    out = np.zeros_like(x)
    found = []
    for _ in range(rounds + 5):
        time.sleep(pause)
        start = time.perf_counter()
        function(x, out=out)
        found.append(1e6 * (time.perf_counter() - start))
    return found[5:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Gain of threads after a pause.")
    parser.add_argument("--functions", nargs="+", default=("relu", "gelu"))
    parser.add_argument("--sizes", nargs="+", type=int, default=(10_000, 100_000, 1_000_000))
    parser.add_argument("--milliseconds", nargs="+", type=float, default=(0, 1, 20))
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    for name in options.functions:
        for size in options.sizes:
            x = np.random.default_rng(0).standard_normal(size).astype("f4")
            for pause in options.milliseconds:
                columns = []
                for threads in (1, fr.get_num_threads()):
                    with fr.threads(threads):
                        found = timings(getattr(fr, name), x, pause / 1000, options.rounds)
                    columns.append(
                        f"{threads} threads {statistics.median(found):7.0f} us, slowest {max(found):7.0f} us"
                    )
                print(f"{name:<8} {size:>9,} elements, pause {pause:>4g} ms: {'   '.join(columns)}")


if __name__ == "__main__":
    main()
