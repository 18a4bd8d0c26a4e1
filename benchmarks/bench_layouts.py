"""Non-contiguous and broadcast arrays, next to the NumPy expression: ``pytest benchmarks/bench_layouts.py``.

As a script, ``python benchmarks/bench_layouts.py``, it alternates each layout with the contiguous case that moves as
many cache lines, both in one process, and repeats that in several processes.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from typing import TYPE_CHECKING, Any

import machine
import numpy as np
import pairs
import pytest
import results

import fastrelu as fr
from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LINE = 64  # bytes of a cache line
TARGET = 1.5  # limit for a layout, relative to the contiguous case, from this length of inner runs on:
LONG_RUN = 64
N = 1 << 21  # elements of the output, about
RELU = ("fr.relu(x, out=out)", "np.maximum(x, 0, out=out)")
LEAKY = ("fr.leaky_relu(x, slope, out=out)", "np.where(x > 0, x, slope * x)")
BACKWARD = ("fr.relu_backward(grad, x, out=out)", "np.multiply(grad, x > 0, out=out)")

# Our statement, NumPy's, and the variables as expressions; a(...) is a new array of that shape.
LAYOUTS: dict[str, tuple[tuple[str, str], dict[str, str]]] = {
    "contiguous": (RELU, {"x": "a(N)", "out": "a(N)"}),
    "contiguous, gradient": (BACKWARD, {"grad": "a(N)", "x": "a(N)", "out": "a(N)"}),
    "contiguous, parameter": (LEAKY, {"x": "a(N)", "slope": "0.2", "out": "a(N)"}),
    **{
        f"rows x[:, :{k}]": (RELU, {"x": f"a(N // {k}, {k + 32})[:, :{k}]", "out": f"a(N // {k}, {k + 32})[:, :{k}]"})
        for k in (16, 64, 256, 1000)
    },
    **{
        f"channels of (N, {c})": (LEAKY, {"x": f"a(N // {c}, {c})", "slope": f"a({c})", "out": f"a(N // {c}, {c})"})
        for c in (10, 64, 512)
    },
    **{
        f"channels of (N, 64, {h}, {h})": (
            LEAKY,
            {
                "x": f"a(N // {64 * h * h}, 64, {h}, {h})",
                "slope": "a(64, 1, 1)",
                "out": f"a(N // {64 * h * h}, 64, {h}, {h})",
            },
        )
        for h in (7, 8, 28)
    },
    "slope per row": (LEAKY, {"x": "a(N // 512, 512)", "slope": "a(N // 512, 1)", "out": "a(N // 512, 512)"}),
    "transposed": (RELU, {"x": "a(1448, 1448).T", "out": "a(1448, 1448)"}),
    "transposed gradient": (BACKWARD, {"grad": "a(1448, 1448).T", "x": "a(1448, 1448)", "out": "a(1448, 1448)"}),
    "NCHW to NHWC": (RELU, {"x": "a(8, 64, 64, 64).transpose(0, 2, 3, 1)", "out": "a(8, 64, 64, 64)"}),
    "every second": (RELU, {"x": "a(2 * N)[::2]", "out": "a(N)"}),
    "every second into every second": (RELU, {"x": "a(2 * N)[::2]", "out": "a(2 * N)[::2]"}),
    "backwards": (RELU, {"x": "a(N)[::-1]", "out": "a(N)"}),
    "row to all rows": (RELU, {"x": "a(1024)", "out": "a(N // 1024, 1024)"}),
    "column to all columns": (RELU, {"x": "a(N // 1024, 1)", "out": "a(N // 1024, 1024)"}),
}


@pytest.mark.parametrize("side", ["fastrelu", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def bench_layout(layout: str, dtype: str, side: str, compare: Callable[[str, str, str, dict[str, Any]], None]) -> None:
    """Time one side."""
    (ours, theirs), sources = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    scope = {"a": lambda *shape: np.asarray(rng.standard_normal(shape), dtype), "N": N}
    names = {"np": np, "fr": fr, **{name: eval(source, scope) for name, source in sources.items()}}
    compare(f"{layout} {dtype}", ours if side == "fastrelu" else theirs, theirs, names)


# --- As a script --------------------------------------------------------------------------------------------------


def lines_of(array: NDArray[Any]) -> int:
    """Return the number of cache lines that contain elements of an array."""
    addresses = np.full(array.shape, array.ctypes.data, np.uint64)
    for axis, stride in enumerate(array.strides):
        steps = (np.arange(array.shape[axis]) * stride).astype(np.uint64)
        addresses += steps.reshape(-1, *(1,) * (array.ndim - axis - 1))
    return int(np.unique(addresses // np.uint64(LINE)).size)


def inner_run(operands: list[NDArray[Any]]) -> int:
    """Return the length of inner runs: contiguous in every operand, or with stride 0."""
    run = 1
    shape = np.broadcast_shapes(*[array.shape for array in operands])
    views = [np.broadcast_to(array, shape) for array in operands]
    allowed = [{0, array.itemsize} for array in views]
    for axis in range(len(shape) - 1, -1, -1):
        strides = [array.strides[axis] for array in views]
        if any(stride not in those for stride, those in zip(strides, allowed, strict=True)):
            break
        run *= shape[axis]
        allowed = [{stride * shape[axis]} for stride in strides]
    return run


def measure(dtype: str, threads: int, rounds: int, chosen: list[str]) -> dict[str, dict[str, float]]:
    """Return for each layout the time of a call and of its contiguous twin, in nanoseconds, and their lengths."""
    rng = np.random.default_rng(0)
    scope = {"a": lambda *shape: np.asarray(rng.standard_normal(shape), dtype), "N": N}
    found = {}
    fr.set_num_threads(threads)
    for layout in chosen:
        (ours, _), sources = LAYOUTS[layout]
        names = {name: eval(source, scope) for name, source in sources.items()} | {"fr": fr}
        operands = [value for value in names.values() if isinstance(value, np.ndarray)]
        moved = sum(lines_of(array) for array in operands) * LINE
        large = [name for name, value in names.items() if isinstance(value, np.ndarray) and name != "slope"]
        # A broadcast array has few cache lines; so the twin is at least as long as the output.
        length = max(moved // (len(large) * names["out"].itemsize), names["out"].size)
        twin = {"fr": fr, "slope": 0.2, **{name: np.asarray(rng.standard_normal(length), dtype) for name in large}}
        statement = compile(ours, "<layout>", "eval")
        times: dict[str, list[float]] = {"layout": [], "twin": []}
        for _ in range(rounds):
            for side, variables in (("layout", names), ("twin", twin)):
                for _ in range(2):
                    eval(statement, variables)
                start = time.perf_counter()
                for _ in range(2):
                    eval(statement, variables)
                times[side].append((time.perf_counter() - start) / 2 * 1e9)
        found[layout] = {side: statistics.median(values) for side, values in times.items()}
        found[layout] |= {"run": inner_run(operands), "elements": names["out"].size, "length": length}
    return found


def main() -> None:
    """Measure, print and write ``results/layouts.json``."""
    options = pairs.parser("Times of layouts by those of contiguous arrays.", pairs=5, rounds=25).parse_args()
    repetitions, rounds = (1, 2) if options.quick else (options.pairs, options.rounds)
    chosen = [layout for layout in LAYOUTS if options.only in layout]
    settings = [(dtype, threads) for dtype in ("float32", "float64") for threads in (1, 2)]
    rows = []
    with progress(len(settings) * repetitions, "repetitions") as bar:
        for dtype, threads in settings:
            runs = []
            for _ in range(repetitions):
                with multiprocessing.get_context("spawn").Pool(1) as process:
                    runs.append(process.apply(measure, (dtype, threads, rounds, chosen)))
                bar.update()
            for layout in chosen:
                costs = [run[layout]["layout"] / run[layout]["twin"] for run in runs]
                first = runs[0][layout]
                cost = {"median": statistics.median(costs), "low": min(costs), "high": max(costs)}
                target = TARGET if first["run"] >= LONG_RUN else None
                row = {"layout": layout, "dtype": dtype, "threads": threads, "run": first["run"], "target": target}
                row |= {"cost": cost, "lines": first["length"] / first["elements"]}
                row["ns"] = statistics.median(run[layout]["layout"] for run in runs) / first["elements"]
                rows.append(row)
                verdict = "" if target is None else " met" if cost["median"] <= target else " MISSED"
                print(
                    f"{cost['median']:6.2f} ({cost['low']:.2f} to {cost['high']:.2f}) {layout} {dtype} {threads}{verdict}"
                )
    results.write("layouts", {"machine": machine.describe(), "rows": rows}, options)


if __name__ == "__main__":
    main()
