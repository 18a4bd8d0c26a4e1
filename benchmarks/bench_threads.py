"""From which size a second thread pays, per function and cost class: the reason for ``_core.parallel_from``.

``python benchmarks/bench_threads.py``. Below that size the package does not start a second thread, so sizes from it
upwards are timed, serial and threaded in turn, and a straight line through each side's times gives the size where
they meet. A break-even below the sizes timed is an extrapolation and marked so.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import timeit
from pathlib import Path
from typing import Any

import machine
import numpy as np
import results

import fastrelu as fr
from fastrelu import _core
from fastrelu._extras import progress
from fastrelu._reference import Reference, references

OPS = Path(__file__).parents[1] / "src" / "fastrelu" / "kernels" / "ops.def"
CLASSES = ("FR_LIGHT", "FR_MEDIUM", "FR_HEAVY")
STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
ROUND = 5e-4  # seconds that one timing lasts at least


def cost_classes() -> dict[str, int]:
    """Return the cost class of every activation, from the list of activations."""
    rows = re.findall(r"^OP\d(?:_\w+)?\((\w+),.*\b(FR_(?:LIGHT|MEDIUM|HEAVY))\b", OPS.read_text(), re.MULTILINE)
    return {name: CLASSES.index(cost) for name, cost in rows}


def times(reference: Reference, size: int, dtype: str, threads: int, rounds: int) -> tuple[float, float]:
    """Return the median seconds of one call, serial and threaded."""
    timer = timeit.Timer(reference.call(out=True), globals=reference.variables(size, dtype))
    number = max(1, round(ROUND / min(timer.repeat(3, 1))))
    found: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(rounds):
        for count, seconds in found.items():
            fr.set_num_threads(count)
            seconds.append(timer.timeit(number) / number)
    return statistics.median(found[1]), statistics.median(found[threads])


def measure(reference: Reference, cost: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of one function over the sizes, and where the sides meet."""
    start = _core.parallel_from[cost]
    sizes = [int(start * step) for step in STEPS]
    pairs_of_times = [times(reference, n, options.dtype, options.threads, options.rounds) for n in sizes]
    lines = [np.polyfit(sizes, seconds, 1, w=1 / np.array(seconds)) for seconds in zip(*pairs_of_times, strict=True)]
    (serial_slope, serial_start), (slope, overhead) = lines
    gain = serial_slope - slope
    return {
        "function": reference.name,
        "class": CLASSES[cost],
        "parallel_from": start,
        "sizes": sizes,
        "serial_ns": [serial * 1e9 for serial, _ in pairs_of_times],
        "threaded_ns": [threaded * 1e9 for _, threaded in pairs_of_times],
        "break_even": max(0.0, (overhead - serial_start) / gain) if gain > 0 else None,
    }


def show(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    found = row["break_even"]
    mark = " (extrapolated)" if found is not None and found < row["parallel_from"] else ""
    meet = "never" if found is None else f"{found:,.0f}{mark}"
    speed = "  ".join(f"{s / t:.2f}" for s, t in zip(row["serial_ns"], row["threaded_ns"], strict=True))
    return f"{row['class']:<10} {row['function']:<20} {row['parallel_from']:>8,}  {speed}  break-even {meet}"


def main() -> None:
    """Measure, print and write ``results/threads.json``."""
    parser = argparse.ArgumentParser(description="Sizes from which a second thread pays.")
    parser.add_argument("--ops", nargs="+", default=[], help="activations (default: all)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--quick", action="store_true", help="three rounds, to see that it works")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: results/, nothing with --quick)")
    options = parser.parse_args()
    options.only = " ".join(options.ops)  # a partial run is not kept
    if options.quick:
        options.rounds = 3
    fr.set_num_threads(options.threads)
    if fr.get_num_threads() < options.threads:
        sys.exit(f"this process may use {fr.get_num_threads()} threads, not {options.threads}")
    classes = cost_classes()
    chosen = [r for r in references() if r.name in (options.ops or classes) and r.name in classes]
    chosen.sort(key=lambda reference: classes[reference.name])
    print(f"speed with {options.threads} threads at {', '.join(f'{s:g}' for s in STEPS)} times the size in column 3")
    rows = []
    with progress(len(chosen), "threads") as bar:
        for reference in chosen:
            rows.append(measure(reference, classes[reference.name], options))
            print(show(rows[-1]), flush=True)
            bar.update()
    for cost in CLASSES:
        found = [row["break_even"] for row in rows if row["class"] == cost and row["break_even"] is not None]
        if found:
            print(f"{cost}: break-even {min(found):,.0f} to {max(found):,.0f}, median {statistics.median(found):,.0f}")
    result = {"machine": machine.describe(), "threads": options.threads, "dtype": options.dtype, "rows": rows}
    results.write("threads", result, options)


if __name__ == "__main__":
    main()
