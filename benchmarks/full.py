"""The whole suite: ``python benchmarks/full.py``, then ``python benchmarks/report.py --write``.

Every function and direction, by type, size and mode, next to its NumPy expression and to every peer that is installed.
Each side has a process of its own, restarted for each of the pairs; only one computes at a time, in alternating order.
An interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import exact
import machine
import numpy as np
import peers
import results
import summary
import worker
from functions import ACCURATE, COPY, DTYPES, LARGE, MEMORY_BOUND, MODES, SIZES, Cell, cells, functions

import fastrelu as fr
from fastrelu._catalogue import check_name
from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CACHE = Path(__file__).parent / ".cache"  # compiled code of numba and JAX, which compile only once
OURS, ACCURATE_SIDE, STREAMED = summary.OURS, summary.ACCURATE, summary.STREAMED
SECONDS = {1: 0.004, 16: 0.004, 1000: 0.006, 100_000: 0.006, 1_000_000: 0.008, 16_000_000: 0.015}  # per measurement
ROUNDS = 5  # least number of timings, unless they take three times as long
# How often the sides take turns at a cell: the two processors of a virtual machine sometimes share one physical core.
TURNS = {1: 1, 16: 1, 1000: 1, 100_000: 2, 1_000_000: 2, 16_000_000: 2}
# More turns for cells that are bound by memory and have a target: there differences are small.
AIMED = MEMORY_BOUND | {"leaky_relu_backward", "elu_backward"}
TURNS_AT_LIMIT = 3
# Total seconds of a measurement, for the estimate.
ESTIMATE = {1: 0.010, 16: 0.010, 1000: 0.012, 100_000: 0.055, 1_000_000: 0.075, 16_000_000: 0.42}


class Worker:
    """The process of one side."""

    def __init__(self, package: str, threads: int, errors: Path, prelude: str | None = None) -> None:
        count = str(threads)
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(variables, count), "FASTRELU_NUM_THREADS": count}
        self.package = package
        self.log = errors / f"{package}.txt"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(worker.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        if hasattr(os, "sched_setaffinity"):  # the only way to limit JAX; harmless for the others
            os.sched_setaffinity(self.process.pid, sorted(os.sched_getaffinity(0))[:threads])
        if prelude is None:
            prelude = "import fastrelu as fr" if package == OURS else peers.prelude(package, threads, CACHE)
        self.ask({"prelude": prelude})

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self.package} failed at {request}:\n{self.log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def turns(cell: Cell) -> int:
    """Return the number of turns of the sides at a cell."""
    return TURNS_AT_LIMIT if cell.size == LARGE and cell.function.name in AIMED else TURNS[cell.size]


def sides(cell: Cell, packages: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the request to each side for a cell: setup and statement."""
    function = cell.function
    found = {}
    if function is not COPY:
        statement = function.ours(cell.mode)
        found[OURS] = {"setup": 'fr.set_precision("fast")', "statement": statement}
        if cell.mode == "out" and cell.size in ACCURATE:
            found[ACCURATE_SIDE] = {"setup": 'fr.set_precision("accurate")', "statement": statement}
    for package in packages:
        request = peers.request(package, cell)
        if request is not None:
            found[package] = request
    # For cells bound by memory the copy takes turns with them: the speed of the machine changes within minutes.
    if STREAMED in packages and (cell.size, cell.mode) == (LARGE, "out") and function.name in MEMORY_BOUND:
        limit = peers.request(STREAMED, replace(cell, function=COPY))
        assert limit is not None
        found[STREAMED] = limit
    return found


class Run:
    """Measures cells and records the results in a journal."""

    def __init__(self, options: argparse.Namespace, journal: Path | None, folder: Path) -> None:
        self.options = options
        self.journal = journal
        self.folder = folder  # of the inputs and the error output of the processes
        self.files: set[Path] = set()
        self.done: dict[tuple[int, str], dict[str, Any]] = {}
        if journal and journal.exists():
            for line in journal.read_text().splitlines():
                entry = json.loads(line)
                self.done[entry["pair"], entry["key"]] = entry

    def pair(self, number: int, chosen: Sequence[Cell], bar: Any) -> None:
        """Measure the cells that this pair has not measured yet, in fresh processes."""
        left = [cell for cell in chosen if (number, cell.key) not in self.done]
        bar.update(len(chosen) - len(left))
        packages = self.options.peers
        asked = {side for cell in left for side in sides(cell, packages)} - {ACCURATE_SIDE}
        workers: dict[str, Worker] = {}
        try:
            for package in sorted(asked, reverse=bool(number % 2)):
                workers[package] = Worker(package, self.options.threads, self.folder)
            for cell in left:
                bar.set_postfix_str(cell.key)
                entry = {"pair": number, "key": cell.key, **self.measure(cell, number, workers)}
                self.done[number, cell.key] = entry
                if self.journal:
                    with self.journal.open("a") as journal:
                        journal.write(json.dumps(entry) + "\n")
                bar.update()
        finally:
            for process in workers.values():
                process.__exit__()

    def measure(self, cell: Cell, number: int, workers: dict[str, Worker]) -> dict[str, Any]:
        """Time all sides of a cell, one after the other, and check their answers."""
        function, requests = cell.function, sides(cell, self.options.peers)
        wanted = exact.exact(function, cell.dtype, cell.size, worker.SAMPLE)
        entry: dict[str, Any] = {"ns": {}, "error": {}, "wrong": [], "settled": 0.0}
        order = list(requests)[:: -1 if number % 2 else 1]
        times: dict[str, list[float]] = {}
        for side in order * (1 if self.options.quick else turns(cell)):
            answer = workers[OURS if side == ACCURATE_SIDE else side].ask(
                {
                    **requests[side],
                    "dtype": cell.dtype,
                    "size": cell.size,
                    "mode": cell.mode,
                    "target": function.data[0],
                    "inputs": self.inputs(cell),
                    "parameters": function.parameters,
                    "double": function.name == "crelu",
                    "seconds": 1e-3 if self.options.quick else SECONDS[cell.size],
                    "rounds": 1 if self.options.quick else ROUNDS,
                }
            )
            if "missing" in answer:
                continue
            got = np.frombuffer(base64.b64decode(answer["sample"]), cell.dtype)
            times.setdefault(side, []).append(answer["ns"])
            entry["ns"][side] = float(f"{statistics.median(times[side]):.4g}")
            entry["settled"] = max(entry["settled"], round(answer["settled"], 4))
            if side == STREAMED:
                copied = exact.exact(COPY, cell.dtype, cell.size, worker.SAMPLE)
                assert np.array_equal(got, copied), "the copy is none"
                continue
            if not exact.right(got, wanted, peers.TOLERANCES.get((side, function.name))):
                entry["wrong"] = sorted({*entry["wrong"], side})
                print(f"{side} gives another answer: {cell.key}", file=sys.stderr)
            error = exact.largest_error(function, cell.dtype, cell.size, got, wanted)
            entry["error"][side] = float(f"{error:.3g}")
        return entry

    def inputs(self, cell: Cell) -> dict[str, str]:
        """Return the files with a block of each input, which are written at first use."""
        found = {}
        for name, block in exact.inputs(cell.function, cell.dtype).items():
            content = zlib.crc32(block.tobytes())  # functions of different domains have different inputs
            path = self.folder / f"{name}-{content:08x}-{cell.dtype}.npy"
            if path not in self.files:
                np.save(path, block)
                self.files.add(path)
            found[name] = str(path)
        return found

    def result(self, chosen: Sequence[Cell]) -> dict[str, Any]:
        """Return all measurements."""
        pairs = range(self.options.pairs)
        versions = [name for name in self.options.peers if name in peers.PACKAGES[name].modules or name == "numpy"]
        found: dict[str, Any] = {"machine": machine.describe(*versions), "settings": self.settings()}
        found["cells"] = {}
        errors: dict[str, dict[str, float]] = {}
        wrong: dict[str, list[str]] = {}
        for cell in chosen:
            entries = [self.done[pair, cell.key] for pair in pairs]
            found["cells"][cell.key] = {side: [entry["ns"][side] for entry in entries] for side in entries[0]["ns"]}
            largest = errors.setdefault(f"{cell.function.name}|{cell.dtype}", {})
            for entry in entries:
                for side, error in entry["error"].items():
                    largest[side] = max(error, largest.get(side, 0.0))
                if entry["wrong"]:
                    wrong[cell.key] = sorted({*wrong.get(cell.key, []), *entry["wrong"]})
        return found | {"errors": errors, "wrong": wrong}

    def settings(self) -> dict[str, Any]:
        """Return the settings that the figures depend on."""
        settled = max((entry["settled"] for entry in self.done.values()), default=0.0)
        return {
            "pairs": self.options.pairs,
            "threads": self.options.threads,
            "inputs": exact.INPUTS,
            "longest_wait_for_sleep": settled,
        }


def check_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ValueError if another machine, other packages or other settings measured the earlier of two results."""

    def settled(result: dict[str, Any]) -> dict[str, Any]:
        about = result["machine"] | result["settings"] | result["machine"]["fastrelu"]
        return {k: v for k, v in about.items() if not k.startswith(("cache_", "longest_", "fastrelu", "sources"))}

    ours, theirs = settled(old), settled(new)
    changed = {key: (ours.get(key), theirs.get(key)) for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)}
    if changed:
        raise ValueError(f"the earlier result is from elsewhere: {changed}")


def updated(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier result, updated with the cells of a later one."""
    check_same(old, new)
    errors = {
        key: {
            side: max(one["errors"].get(key, {}).get(side, 0.0) for one in (old, new))
            for side in {**old["errors"].get(key, {}), **new["errors"].get(key, {})}
        }
        for key in {**old["errors"], **new["errors"]}
    }
    found = old | {"cells": old["cells"] | new["cells"], "errors": errors}
    sources = [*old["machine"].get("sources", []), *new["machine"].get("sources", [])]
    found["machine"] = old["machine"] | {"sources": [*dict.fromkeys(sources)]}
    for part in ("wrong", "stalled", "shares"):
        found[part] = {key: sides for key, sides in old[part].items() if key not in new["cells"]} | new[part]
    return found


def estimate(chosen: Sequence[Cell], options: argparse.Namespace) -> float:
    """Return the estimated seconds for the cells."""
    count = sum(
        ESTIMATE[cell.size] * turns(cell) / TURNS[cell.size] * len(sides(cell, options.peers)) for cell in chosen
    )
    return float(options.pairs * (count + 15))


def choose(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells selected by the options."""
    for cell in cells():
        names = {cell.function.name, cell.function.activation}
        if (
            (not options.functions or names & {*options.functions})
            and cell.size in options.sizes
            and cell.dtype in options.dtypes
            and cell.mode in options.modes
        ):
            yield cell


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    available = [name for name, package in peers.PACKAGES.items() if package.installed]
    parser = argparse.ArgumentParser(description="Every function next to NumPy and to every peer that is installed.")
    names = {"copy"} | {name for f in functions() for name in (f.name, f.activation)}
    parser.add_argument("--functions", nargs="+", default=[], metavar="NAME", help="functions or activations (all)")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=SIZES, choices=SIZES, metavar="N", help="elements (all)"
    )
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=DTYPES, metavar="DTYPE", help="types (all)")
    parser.add_argument(
        "--modes", nargs="+", default=MODES, choices=MODES, metavar="MODE", help="fresh, out, 'in place'"
    )
    parser.add_argument("--peers", nargs="*", default=available, choices=available, metavar="PEER", help="(installed)")
    parser.add_argument("--pairs", type=int, default=5, help="number of restarts of every process (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every side (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one pair of one round, as a test")
    parser.add_argument("--output", type=Path, help="JSON file (default: results/benchmarks.json for a full run)")
    parser.add_argument("--update", action="store_true", help="update the cells in results/benchmarks.json")
    parser.add_argument("--restart", action="store_true", help="discard an interrupted run")
    options = parser.parse_args(arguments)
    for name in options.functions:
        try:
            check_name(name, names, "function")
        except ValueError as error:
            parser.error(str(error))
    if options.quick:
        options.pairs = 1
    selected = options.functions or any(
        len(given) < len(every)
        for given, every in (
            (options.sizes, SIZES),
            (options.dtypes, DTYPES),
            (options.modes, MODES),
            (options.peers, peers.PACKAGES),
        )
    )
    if options.update and options.output is None:
        parser.error("--update needs --output, where the cells by themselves are kept")
    if options.output is None and not selected and not options.quick:
        options.output = results.RESULTS / "benchmarks.json"
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if a side gave a wrong answer."""
    options = parse(arguments)
    with fr.threads(options.threads):
        if fr.get_num_threads() < options.threads:
            sys.exit(f"this process may use {fr.get_num_threads()} threads, not {options.threads}")
    for name, package in peers.PACKAGES.items():
        if not package.installed:
            print(f"not compared: {name}, which is not installed", file=sys.stderr)
    journal = options.output and options.output.with_suffix(".partial.jsonl")
    if journal and options.restart:
        journal.unlink(missing_ok=True)
    CACHE.mkdir(exist_ok=True)
    chosen = list(choose(options))
    minutes = estimate(chosen, options) / 60
    print(f"{len(chosen):,} cells, {options.pairs} pairs of processes: about {minutes:.0f} minutes", flush=True)
    earlier = results.read("benchmarks") if options.update else None
    if earlier:
        check_same(earlier, Run(options, None, Path()).result([]))
    start = time.perf_counter()
    bar = progress(len(chosen) * options.pairs, "measuring")
    with tempfile.TemporaryDirectory() as folder, bar:
        run = Run(options, journal, Path(folder))
        for number in range(options.pairs):
            run.pair(number, chosen, bar)
            print(f"pair {number + 1} done after {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
    result = run.result(chosen)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        condensed = summary.condense(result, earlier)
        options.output.write_text(results.dump(condensed))
        if journal:
            journal.unlink(missing_ok=True)
        print(f"wrote {options.output.name}")
        if earlier:
            (results.RESULTS / "benchmarks.json").write_text(results.dump(updated(earlier, condensed)))
            print("wrote benchmarks.json")
    else:
        for key, times in result["cells"].items():
            print(f"{key:<50} " + "  ".join(f"{side} {np.median(ns):.4g}" for side, ns in times.items()))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
