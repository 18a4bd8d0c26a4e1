"""Whether a second thread pays from ``_runtime.parallel_from`` on, per function and cost class.

``python benchmarks/bench_threads.py`` times every function, with one thread and with two alternately, at sizes around
these thresholds, in series of calls, and prints for each cost class the size from which no function of it is slower with
two threads. Below the threshold of its class a call has one thread anyway.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import timeit
from pathlib import Path
from typing import Any

import machine
import results

import fastrelu as fr
from fastrelu import _runtime, runtime
from fastrelu._cli.reference import Reference, references
from fastrelu._extras import progress

CLASSES = ("FR_LIGHT", "FR_MEDIUM", "FR_HEAVY")
SIZES = tuple(1 << k for k in range(11, 19))
ROUND = 3e-4  # least seconds of one timing
NOISE = 1.02  # ratio up to which threads count as no slower
PRESENT = _runtime.parallel_from


def alternate(call: str, names: dict[str, Any], threads: int, rounds: int) -> tuple[float, float]:
    """Return the median seconds of a call with one thread and with several."""
    timer = timeit.Timer(call, globals=names)
    number = max(1, round(ROUND / min(timer.repeat(3, 1))))
    found: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(rounds):
        for count, seconds in found.items():
            fr.set_num_threads(count)
            timer.timeit(number)  # wakes the worker, which takes longer than a timing may last
            seconds.append(timer.timeit(number) / number)
    return statistics.median(found[1]), statistics.median(found[threads])


def measure(reference: Reference, cost: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the times of one function over the sizes, and the least size from which threads are never slower."""
    call = reference.call(out=True)
    found = [alternate(call, reference.variables(n, options.dtype), options.threads, options.rounds) for n in SIZES]
    pays = None
    for n, (serial, threaded) in reversed(list(zip(SIZES, found, strict=True))):
        if threaded > NOISE * serial:
            break
        pays = n
    return {
        "function": reference.name,
        "class": CLASSES[cost],
        "parallel_from": PRESENT[cost],
        "sizes": SIZES,
        "serial_ns": [serial * 1e9 for serial, _ in found],
        "threaded_ns": [threaded * 1e9 for _, threaded in found],
        "break_even": pays,
    }


def show(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    meet = "never" if row["break_even"] is None else f"{row['break_even']:,}"
    speed = "  ".join(f"{s / t:5.2f}" for s, t in zip(row["serial_ns"], row["threaded_ns"], strict=True))
    return f"{row['class']:<10} {row['function']:<34} {speed}  from {meet}"


def advise(rows: list[dict[str, Any]]) -> list[str]:
    """Return for each class the size from which no function is slower, and the function that determines it."""
    lines = []
    for cost, name in enumerate(CLASSES):
        chosen = [row for row in rows if row["class"] == name]
        if not chosen:
            continue
        last = max(chosen, key=lambda row: row["break_even"] or 2 * SIZES[-1])
        found = "none of these sizes" if last["break_even"] is None else f"{last['break_even']:,}"
        lines.append(f"{name}: now {PRESENT[cost]:,}, recommended {found}, because of {last['function']}")
    return lines


def main() -> None:
    """Measure, print and write ``results/threads.json``."""
    parser = argparse.ArgumentParser(description="Sizes from which a second thread pays.")
    parser.add_argument("--ops", nargs="+", default=[], help="functions (default: all)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="three rounds, as a test")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: results/, nothing with --quick)")
    options = parser.parse_args()
    options.only = " ".join(options.ops)  # a partial run is not kept
    if options.quick:
        options.rounds = 3
    fr.set_num_threads(options.threads)
    if fr.get_num_threads() < options.threads:
        sys.exit(f"this process may use {fr.get_num_threads()} threads, not {options.threads}")
    kernels = runtime.kernels
    chosen = [r for r in references() if r.name in kernels and r.name in (options.ops or [r.name])]
    chosen.sort(key=lambda reference: kernels[reference.name].cost)
    print(f"speed with {options.threads} threads at {', '.join(f'{n:,}' for n in SIZES)} elements of {options.dtype}")
    rows = []
    with progress(len(chosen), "threads") as bar:
        for reference in chosen:
            rows.append(measure(reference, kernels[reference.name].cost, options))
            print(show(rows[-1]), flush=True)
            bar.update()
    print(*advise(rows), sep="\n")
    result = {"machine": machine.describe(), "threads": options.threads, "dtype": options.dtype, "rows": rows}
    results.write("threads", result, options)


if __name__ == "__main__":
    main()
