"""Activations among other work: after matrix products, next to other thread pools, busy processes and our own.

``python benchmarks/bench_neighbors.py`` runs each scene in a process of its own, once for each side in turn: ours with one
thread, ours with two, and the peers. Every step of a scene is timed by itself, because a thread that spins after a
call takes a processor from the next step. ``--before PATH`` adds our sides with another interpreter, which has an
earlier version installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
import results

from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

MARGIN = 1.1  # limit of any time on two threads, relative to one thread
SIDES = {"ours, 1 thread": 1, "ours, 2 threads": 2, "NumPy": 2, "PyTorch": 2}
BEFORE = {"before, 1 thread": 1, "before, 2 threads": 2}
FIGURES = ("mean", "median", "p99")

# For each side: an activation in place, and a product into an array.
PRELUDE = {
    "ours": """
import numpy as np
import fastrelu as fr
array = np.asarray
def act(name, x, y): return getattr(fr, name)(x, out=y)
def product(x, w, y): return np.matmul(x, w, out=y)
""",
    "NumPy": """
import numpy as np
array = np.asarray
numpy_lines = {
    "relu": lambda x, y: np.maximum(x, 0, out=y),
    "silu": lambda x, y: np.divide(x, 1 + np.exp(-x), out=y),
    "gelu": lambda x, y: np.multiply(x, 0.5 * (1 + np.tanh(0.7978846 * (x + 0.044715 * (x * x * x)))), out=y),
}
def act(name, x, y): return numpy_lines[name](x, y)
def product(x, w, y): return np.matmul(x, w, out=y)
""",
    "PyTorch": """
import numpy as np
import torch
torch.set_num_threads(2)
torch.inference_mode().__enter__()
array = torch.from_numpy
torch_lines = {
    "relu": lambda x, y: torch.clamp_min(x, 0, out=y),
    "silu": lambda x, y: torch._C._nn.silu(x, out=y),
    "gelu": lambda x, y: torch._C._nn.gelu(x, out=y),
}
def act(name, x, y): return torch_lines[name](x, y)
def product(x, w, y): return torch.matmul(x, w, out=y)
""",
}
ARRAYS = """
rng = np.random.default_rng(0)
def a(*shape): return array(rng.standard_normal(shape, np.float32) * np.float32(shape[0] ** -0.5))
"""
NETWORK = """
from fastrelu import nn, optim
layers = []
for _ in range(3):
    layers += [nn.Linear(256, 256, rng=0), nn.GELU()]
model = nn.Sequential(*layers, nn.Linear(256, 10, rng=0))
criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
x, labels = rng.standard_normal((32, 256), np.float32), rng.integers(0, 10, 32)
def train():
    criterion(model(x), labels)
    model.backward(criterion.backward())
    optimizer.step()
"""
TORCH_NETWORK = """
from torch import nn, optim
torch.inference_mode(False).__enter__()
layers = []
for _ in range(3):
    layers += [nn.Linear(256, 256), nn.GELU()]
model = nn.Sequential(*layers, nn.Linear(256, 10))
criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
x, labels = array(rng.standard_normal((32, 256), np.float32)), array(rng.integers(0, 10, 32))
def train():
    optimizer.zero_grad()
    criterion(model(x), labels).backward()
    optimizer.step()
"""


@dataclass(frozen=True)
class Scene:
    """Steps that a process repeats.

    Attributes
    ----------
    name : str
        Name in the table.
    setup : dict of str to str
        Source by side: ``"ours"``, ``"NumPy"``, ``"PyTorch"``. A side without source does not take part in the scene.
    steps : tuple of str
        Sources of the statements, in order.
    busy : int
        Number of other processes that only count.
    copies : int
        Number of processes of the same side that run concurrently.
    """

    name: str
    setup: dict[str, str]
    steps: tuple[str, ...]
    busy: int = 0
    copies: int = 1


def everywhere(source: str) -> dict[str, str]:
    """Return the same setup for all sides."""
    return dict.fromkeys(PRELUDE, source)


def scenes() -> Iterator[Scene]:
    """Yield all scenes."""
    for name, m, k, n in (
        ("silu", 1024, 64, 128),
        ("gelu", 512, 64, 256),
        ("relu", 256, 1024, 1024),
        ("silu", 4096, 256, 256),
    ):
        yield Scene(
            f"product ({m}, {k}) @ ({k}, {n}), `{name}`",
            everywhere(f"x, w, y = a({m}, {k}), a({k}, {n}), a({m}, {n})"),
            ("product(x, w, y)", f"act({name!r}, y, y)"),
        )
    two = "x, w, v, y, z = a(1024, 256), a(256, 256), a(256, 256), a(1024, 256), a(1024, 256)"
    yield Scene(
        "two products (1024, 256) @ (256, 256), three activations",
        everywhere(two),
        ("product(x, w, y)", "act('gelu', y, y); act('relu', y, y)", "product(y, v, z)", "act('silu', z, z)"),
    )
    yield Scene(
        "the same beside PyTorch's pool",
        {"ours": two + "\nimport torch\nt = torch.ones(1 << 20)"},
        ("product(x, w, y)", "act('gelu', y, y); act('relu', y, y)", "torch.sigmoid(t)", "act('silu', z, z)"),
    )
    yield Scene(
        "the same beside scikit-learn's pool",
        {
            "ours": two
            + "\nfrom sklearn.cluster import KMeans\n"
            + "k = KMeans(8, n_init=1, max_iter=5, random_state=0).fit(x)"
        },
        ("product(x, w, y)", "act('gelu', y, y); act('relu', y, y)", "k.predict(x)", "act('silu', z, z)"),
    )
    network = {"ours": NETWORK, "PyTorch": TORCH_NETWORK}
    yield Scene(
        "`nn`, 3 x (256, GELU), batch 32: inference",
        {s: f"{t}\nmodel.eval()" for s, t in network.items()},
        ("model(x)",),
    )
    yield Scene("`nn`, 3 x (256, GELU), batch 32: a training step", network, ("train()",))
    for busy, what in ((0, "nothing beside"), (1, "a busy process beside")):
        for name, n in (("relu", 100_000), ("relu", 400_000), ("gelu", 400_000), ("gelu", 4_000_000)):
            yield Scene(
                f"`{name}`, {n:,}, {what}", everywhere(f"x, y = a({n}), a({n})"), (f"act({name!r}, x, y)",), busy=busy
            )
    yield Scene(
        "`gelu`, 400,000, four processes", everywhere("x, y = a(400_000), a(400_000)"), ("act('gelu', x, y)",), copies=4
    )
    yield Scene(
        "product (4096, 256) @ (256, 256), `silu`, four processes",
        everywhere("x, w, y = a(4096, 256), a(256, 256), a(4096, 256)"),
        ("product(x, w, y)", "act('silu', y, y)"),
        copies=4,
    )


# --- A process --------------------------------------------------------------------------------------------------------


def play(spec: dict[str, Any]) -> list[list[float]]:
    """Repeat the steps of a scene and return the seconds of each, by step."""
    names: dict[str, Any] = {}
    exec(spec["setup"], names)  # noqa: S102  the source stands above
    steps = [compile(step, "<step>", "exec") for step in spec["steps"]]
    times: list[list[float]] = [[] for _ in steps]
    clock = time.perf_counter
    for warm_up in (True, False):
        end = clock() + spec["seconds"] * (0.2 if warm_up else 1)
        while clock() < end:
            for step, found in zip(steps, times, strict=True):
                start = clock()
                exec(step, names)  # noqa: S102  the source stands above
                if not warm_up:
                    found.append(clock() - start)
    return times


def figures(times: list[float]) -> dict[str, float]:
    """Return mean, median and 99th percentile in microseconds."""
    ordered = sorted(times)
    found = (statistics.fmean(times), statistics.median(times), ordered[int(0.99 * (len(ordered) - 1))])
    return {name: 1e6 * value for name, value in zip(FIGURES, found, strict=True)}


# --- The table --------------------------------------------------------------------------------------------------------


def source_of(side: str) -> str:
    """Return the name of the side whose source is run."""
    return "ours" if side.startswith(("ours", "before")) else side


def run(scene: Scene, side: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the figures of one side's process: for each step, and for all together."""
    key = source_of(side)
    spec = {
        "setup": PRELUDE[key] + ARRAYS + scene.setup[key],
        "steps": scene.steps,
        "seconds": options.seconds,
    }
    command = [options.before if side in BEFORE else sys.executable, __file__, "--play"]
    environment = {**os.environ, "FASTRELU_NUM_THREADS": str({**SIDES, **BEFORE}[side])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(scene.busy)]
    try:
        copies = [subprocess.Popen(command, env=environment, **pipes) for _ in range(scene.copies)]  # type: ignore[call-overload]  # the dict
        for copy in copies:
            copy.stdin.write(json.dumps(spec))
            copy.stdin.close()
        answers = [json.loads(copy.stdout.read()) for copy in copies]
    finally:
        for process in beside:
            process.kill()
            process.wait()
    for copy in copies:
        if copy.wait():
            raise RuntimeError(f"{side} failed in {scene.name}")
    steps = [[t for answer in answers for t in answer[k]] for k in range(len(scene.steps))]
    found = dict(zip(scene.steps, map(figures, steps), strict=True))
    return {**found, "all": figures([sum(parts) for parts in zip(*steps, strict=True)])}


def measure(scene: Scene, options: argparse.Namespace) -> dict[str, Any]:
    """Return the medians over the rounds of every figure, by side and step."""
    sides = [side for side in (*SIDES, *(BEFORE if options.before else ())) if source_of(side) in scene.setup]
    found: dict[str, list[dict[str, dict[str, float]]]] = {side: [] for side in sides}
    for turn in range(options.rounds):
        for side in sides if turn % 2 == 0 else reversed(sides):
            found[side].append(run(scene, side, options))
    medians = {
        side: {
            step: {name: statistics.median(one[step][name] for one in rounds) for name in FIGURES}
            for step in (*scene.steps, "all")
        }
        for side, rounds in found.items()
    }
    one, two = ([r["all"] for r in found[f"ours, {side}"]] for side in ("1 thread", "2 threads"))
    ratios = {name: statistics.median(b[name] / a[name] for a, b in zip(one, two, strict=True)) for name in FIGURES}
    return {"scene": scene.name, "steps": list(scene.steps), "us": medians, "two by one": ratios}


def show(row: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a scene."""
    ratios = "  ".join(f"{name} {ratio:.2f}" for name, ratio in row["two by one"].items())
    yield f"{row['scene']}\n    two threads by one: {ratios}"
    for side, steps in row["us"].items():
        parts = " | ".join("/".join(f"{found[name]:,.0f}" for name in FIGURES) for found in steps.values())
        yield f"    {side:<16} {parts}"


def main() -> None:
    """Measure, print and write ``results/neighbors.json``."""
    parser = argparse.ArgumentParser(description="Activations among other work: mean/median/99th percentile, us.")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--before", help="interpreter with an earlier version, which is measured too")
    parser.add_argument("--only", default="", help="scenes whose name contains this text")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="duration of a process (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one short process of each, as a test")
    parser.add_argument("--output", type=Path, help="JSON file to write (default: results/, nothing with --quick)")
    options = parser.parse_args()
    if options.play:
        json.dump(play(json.load(sys.stdin)), sys.stdout)
        return
    if options.quick:
        options.rounds, options.seconds = 1, 0.05
    rows = []
    chosen = [scene for scene in scenes() if options.only in scene.name]
    with progress(len(chosen), "scenes") as bar:
        for scene in chosen:
            rows.append(measure(scene, options))
            print(*show(rows[-1]), sep="\n", flush=True)
            bar.update()
    settings = {name: getattr(options, name) for name in ("rounds", "seconds")}
    about = machine.describe("torch", "scikit-learn")
    results.write("neighbors", {"machine": about, "settings": settings, "rows": rows}, options)
    missed = [row["scene"] for row in rows if max(row["two by one"].values()) > MARGIN]
    if missed and not options.quick:
        sys.exit(f"two threads are slower than one in {', '.join(missed)}")


if __name__ == "__main__":
    main()
