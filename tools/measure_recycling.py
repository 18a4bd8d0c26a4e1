"""Measure the gain of recycled memory by size: python tools/measure_recycling.py.

Each line is a new process, because the heap of the C library adapts to earlier calls of free. `alone` calls
`fr.relu(x)` and drops the result; `layers` keeps the results of ten calls, each on the one before, and drops all.
Microseconds per call, median, on one thread, and page faults per call; `recycled`, `off` (FASTRELU_CACHE_BYTES=0), `numpy`.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZES = (4096, 16384, 32768, 65536, 262144, 1_000_000, 4_000_000, 16_000_000)
WAYS = {"recycled": "", "off": "0", "numpy": "0"}
LAYERS = 10


def measure(way: str, n: int) -> str:
    """Return one line of the table."""
    x = np.random.default_rng(0).standard_normal(n).astype("f4")
    zero = np.float32(0)

    def relu(x: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = np.maximum(x, zero) if way == "numpy" else fr.relu(x)
        return result

    def alone() -> None:
        relu(x)

    def layers() -> None:
        results = [x]
        for _ in range(LAYERS):
            results.append(relu(results[-1]))

    line = f"{4 * n:>10}  {way:<8}"
    pattern: Callable[[], None]
    for pattern, calls in ((alone, 1), (layers, LAYERS)):
        rounds = max(11, 10_000_000 // n // calls)
        pattern()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            pattern()
            times.append(time.perf_counter() - start)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        line += f"{1e6 * statistics.median(times) / calls:>12.2f} us {faults / rounds / calls:>8.1f} faults"
    return line


def main() -> None:
    """Run every mode and size in a process of its own, one after the other."""
    if len(sys.argv) == 3:
        print(measure(sys.argv[1], int(sys.argv[2])))
        return
    print(f"{'bytes':>10}  {'':<8}{'alone':>12}{'':>19}{'layers':>12}")
    for n in tqdm(SIZES, desc="sizes"):
        for way, limit in WAYS.items():
            environment = {**os.environ, "FASTRELU_NUM_THREADS": "1", "FASTRELU_CACHE_BYTES": limit}
            command = [sys.executable, __file__, way, str(n)]
            line = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            tqdm.write(line.rstrip())


if __name__ == "__main__":
    main()
