"""One side of the suite: a process that times statements, one at a time, as full.py asks for them.

Requests and answers are lines of JSON. Between them the process sleeps: it answers only when its threads have stopped
spinning, so that the next side has all processors. It imports only the packages of its side.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import TextIOWrapper

    from numpy.typing import NDArray

ROUND = 4e-4  # least seconds of one timing of a short call: far above the clock's resolution
LONG = 0.5  # seconds; a first call this long needs no warm-up, unless it allocates
COPIES = 64  # arrays that a timing in place overwrites, one call each
LARGE = 1 << 22  # limit of their elements in total; above it, one array is timed
AWAKE = 3  # calls before that one, on other arrays: after the pause for restoring the input, threads would be asleep
SAMPLE = 1024  # elements at each end that are returned for the check
TASKS = Path("/proc/self/task")  # the threads of this process, on Linux
LOOKS = 2  # number of consecutive looks that must find all threads asleep
TICKS = 0.025  # seconds in which every processor has updated its counters
SETTLED = 1e-3  # seconds of processor time in that period that count as sleep
PATIENCE = 2.0  # seconds to wait for sleep


class Side:
    """The namespace of one package, and the arrays of the current size."""

    def __init__(self, prelude: str) -> None:
        self.names: dict[str, Any] = {"np": np, "wrap": lambda array: array}
        exec(prelude, self.names)  # noqa: S102  the source comes from peers.py
        self.shape: tuple[str, int] = ("", 0)
        self.arrays: dict[str, NDArray[Any]] = {}  # by file, and "out"
        self.inputs: dict[str, NDArray[Any]] = {}
        self.out: NDArray[Any] = np.empty(0)

    def array(self, path: str, size: int) -> NDArray[Any]:
        """Return an input of `size` elements, which repeats the block in the file."""
        if path not in self.arrays:
            for name in [name for name in self.arrays if "/y-" in name]:  # outputs serve one function only
                del self.arrays[name]
            self.arrays[path] = np.resize(np.load(path), size)
        return self.arrays[path]

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time one statement.

        Parameters
        ----------
        request : dict
            ``setup`` and ``statement`` (source), ``dtype``, ``size``, ``inputs`` (name and file of each), ``parameters``,
            ``mode``, ``target`` (the input overwritten in place), ``seconds`` and ``rounds`` (to measure for).

        Returns
        -------
        dict
            ``ns`` (median of a call), ``rounds`` and ``sample``, or ``missing`` (why the package cannot compute it).
        """
        self.lay_out(request)
        names, dtype = self.names, request["dtype"]
        try:
            exec(request["setup"], names)  # noqa: S102  the source comes from peers.py
        except names.get("Unsupported", ()) as error:
            return {"missing": str(error).splitlines()[0]}
        in_place = request["mode"] == "in place"
        batch: NDArray[Any] | None = None
        items: Sequence[Any] = (None,)
        before: Sequence[Any] = ()
        if in_place:
            source = self.inputs[request["target"]]
            fit = LARGE // max(source.size, 1)
            batch = rows(source, COPIES if fit >= COPIES else 1 + AWAKE if fit > AWAKE else 1)
            np.copyto(batch, source)
            items = [names["wrap"](row) for row in batch]
            if fit < COPIES:
                before, items = items[:-1], items[-1:]
        timed = self.timer(request["statement"], request["target"] if in_place else "_")

        start = time.perf_counter()
        if request["mode"] == "fresh":
            answer = np.asarray(eval(request["statement"], names))
        else:
            timed(items, before)
            answer = self.out if batch is None else batch[-1]
        first = time.perf_counter() - start
        if answer.dtype.name != dtype:
            raise TypeError(f"{request['statement']} gives {answer.dtype}, not {dtype}")
        sample = ends(answer) if request["size"] > 2 * SAMPLE else answer
        encoded = base64.b64encode(np.ascontiguousarray(sample).tobytes()).decode()
        del answer

        calls = len(items)
        times = [first] if first > LONG and request["mode"] != "fresh" else []
        if batch is None and not times:
            once = min(timed((None,)) for _ in range(3)) if first < ROUND else first
            calls = max(1, round(ROUND / max(once, 1e-8)))
        while sum(times) < request["seconds"] or len(times) < request["rounds"]:
            if sum(times) > 3 * request["seconds"]:
                break
            if batch is not None:
                np.copyto(batch, source)
            times.append(timed(itertools.repeat(None, calls) if batch is None else items, before))
        return {"ns": statistics.median(times) / calls * 1e9, "rounds": len(times), "sample": encoded}

    def lay_out(self, request: dict[str, Any]) -> None:
        """Give the statement's variables their values: parameters, inputs and ``out``."""
        size, dtype = request["size"], request["dtype"]
        if self.shape != (dtype, size):
            self.arrays.clear()
            self.shape = (dtype, size)
        self.inputs = {name: self.array(path, size) for name, path in request["inputs"].items()}
        length = 2 * size if request["double"] else size
        if "out" not in self.arrays or len(self.arrays["out"]) != length:
            self.arrays["out"] = np.full(length, 7, type_of(dtype))  # written, so that no timing includes page faults
        self.out = self.arrays["out"]
        self.names |= request["parameters"]
        self.names |= {name: self.names["wrap"](array) for name, array in {**self.inputs, "out": self.out}.items()}

    def timer(self, statement: str, target: str) -> Callable[..., float]:
        """Return a function that runs a statement for each item, called `target`, and returns the seconds.

        For the items of its second argument the statement runs before the clock is read.
        """
        source = f"""
def timed(items, before=(), clock=clock):
    for {target} in before:
        {statement}
    start = clock()
    for {target} in items:
        {statement}
    return clock() - start
"""
        self.names["clock"] = time.perf_counter
        exec(compile(source, "<benchmark>", "exec"), self.names)  # noqa: S102  the source comes from peers.py
        timed: Callable[..., float] = self.names["timed"]
        return timed


def ends(answer: NDArray[Any]) -> NDArray[Any]:
    """Return the first and last elements of a long answer, all of a short one, in one dimension."""
    flat = answer.reshape(-1)
    return np.concatenate([flat[:SAMPLE], flat[-SAMPLE:]]) if flat.size > 2 * SAMPLE else flat


def rows(source: NDArray[Any], count: int) -> NDArray[Any]:
    """Return an array of `count` rows like `source`, each starting on a cache line."""
    line = 64 // source.itemsize
    return np.empty((count, -(-source.size // line) * line), source.dtype)[:, : source.size]


def type_of(name: str) -> np.dtype[Any]:
    """Return a type by its name, that of an optional package too."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # noqa: PLC0415  optional

    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def settle() -> float:
    """Sleep until no thread of this process runs, and return the seconds."""
    start = time.perf_counter()
    looks = 0
    while looks < LOOKS:
        time.sleep(1e-3)
        looks = 0 if is_running() else looks + 1
        if time.perf_counter() - start > PATIENCE:
            raise RuntimeError("threads of this package keep running between calls")
    return time.perf_counter() - start


def is_running() -> bool:
    """Return whether any thread but this one has a processor or waits for one.

    The processor time of a thread that spins on another processor is counted only at the next tick of that processor,
    up to 10 milliseconds later. So read the states of the threads if the system has them; otherwise wait for the tick.
    """
    if TASKS.exists():
        me = str(threading.get_native_id())
        return any(state(task) == "R" for task in TASKS.iterdir() if task.name != me)
    before = time.process_time()
    time.sleep(TICKS)
    return time.process_time() - before > SETTLED


def state(task: Path) -> str:
    """Return the letter of a thread's state; an empty string if it has ended meanwhile."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def serve(requests: Iterable[str], answers: TextIOWrapper) -> None:
    """Answer requests until the input ends."""
    side: Side | None = None
    for line in requests:
        request = json.loads(line)
        if side is None:
            side = Side(request["prelude"])
            answer: dict[str, Any] = {"ready": True}
        else:
            answer = side.run(request)
        answer["settled"] = settle()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of a package must not mix with the answers
    serve(sys.stdin, channel)
