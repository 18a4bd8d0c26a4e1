"""Simulate the team of threads on more processors than this machine has: ``python tools/simulate_team.py``.

The rules are those of ``team.c`` and ``_runtime.pyx``: how many threads a call gets, into how many shares it is cut, who
wakes whom, and what the caller waits for. A call is simulated event by event, and its time is divided by that of one
thread. Times are in microseconds. ``--measure 64`` times real calls that are granted 64 threads on this machine's
processors instead, each next to the same call on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import math
import statistics
import sys
import time
from dataclasses import dataclass

from fastrelu import _runtime

COSTS = {"light": "relu", "medium": "sigmoid", "heavy": "gelu"}  # the cost classes, and a function of each
WORK = 100.0  # of waking_from elements, on one thread
CACHES = 64 << 20  # bytes of an input and an output that fit into them
MOST = 1.1  # time of a call by that of one thread


@dataclass(frozen=True)
class Machine:
    """Processors, and what it costs to bring a thread to each."""

    processors: int
    wake: float = 5.0  # of the thread that wakes another: system calls for its bell and its mask
    latency: float = 50.0  # from there until the woken thread runs; infinite: its processor is busy
    seen: float = 0.5  # until a worker that spins has seen the job
    post: float = 1.5  # of preparing a job
    slow: float = 1.0  # time of a share on the second half of the processors, by that on the others
    memory: float = math.inf  # threads that use all of the memory's bandwidth


MACHINES = {
    "2": Machine(2),
    "8": Machine(8),
    "8 and 8 half as fast": Machine(16, slow=2.0),
    "64": Machine(64, memory=8),
    "192, two sockets": Machine(192, latency=100, seen=1.5, memory=24),
}
STATES = {"spin": math.inf, "sleep": 0, "sleep, their processors are busy": 0}  # how many of the workers are awake


def threads_of(machine: Machine, cost: int, n: int, awake: float, limited: bool) -> int:
    """Return the threads of a call on n elements, as crew_for does if calls come one after the other."""
    least, waking = _runtime.parallel_from[cost], _runtime.waking_from[cost]
    if n < least:
        return 1
    threads = min(machine.processors, 256, n // (least // 2))
    if limited and awake < threads - 1:
        threads = min(threads, 1 + int(awake) + max(1, n // (waking // 2) - 1))
    return threads


def simulate(machine: Machine, cost: int, n: int, awake: float, limited: bool) -> tuple[int, float]:
    """Return the threads of a call, and its time by that of one thread; the first `awake` workers spin."""
    alone = WORK * n / _runtime.waking_from[cost]
    threads = threads_of(machine, cost, n, awake, limited)
    if threads == 1:
        return 1, 1.0
    left = threads * max(1, min(n // (_runtime.parallel_from[cost] // 4) // threads, 64))
    share = alone / left
    called, end = 0, 0.0
    entered = {0}
    events = [(machine.post, 0)]  # when a thread is ready for its next step, and which
    events += [(machine.post + machine.seen, worker) for worker in range(1, threads) if worker <= awake]

    def wake(now: float, count: int) -> float:
        """Wake some of the workers that sleep; return when that is done."""
        nonlocal called
        while count and called < threads - 1:
            called += 1
            if called > awake:
                now += machine.wake
                heapq.heappush(events, (now + machine.latency, called))
                count -= 1
        return now

    heapq.heapify(events)
    while events:
        now, thread = heapq.heappop(events)
        if not left or now == math.inf:  # a worker that comes now is not waited for
            end = max(end, now) if thread in entered else end
            continue
        if thread == 0 or thread not in entered:
            now = wake(now, 1 if thread == 0 else 2)
        entered.add(thread)
        left -= 1
        slow = machine.slow if thread >= (machine.processors + 1) // 2 else 1.0
        crowd = max(1.0, len(entered) / machine.memory) if 8 * n > CACHES else 1.0
        heapq.heappush(events, (now + share * slow * crowd, thread))
    return threads, end / alone


def worst(machine: Machine, awake: float, small: bool, limited: bool) -> tuple[float, str]:
    """Return the largest ratio over cost classes and sizes, below or from the size that pays for waking, and where."""
    found = []
    for cost, name in enumerate(COSTS):
        for n in (1 << k for k in range(13, 28)):
            if (n < _runtime.waking_from[cost]) == small:
                threads, ratio = simulate(machine, cost, n, awake, limited)
                found.append((ratio, f"{n} {name}, {threads} threads"))
    return max(found)


def table(wake: float, limited: bool) -> list[tuple[str, str, tuple[float, str], tuple[float, str]]]:
    """Return for each machine and state of its workers the worst call that is small, and the worst that is not."""
    rows = []
    for name, machine in MACHINES.items():
        for state, awake in STATES.items():
            one = dataclasses.replace(machine, wake=wake, latency=math.inf if "busy" in state else machine.latency)
            rows.append((name, state, worst(one, awake, True, limited), worst(one, awake, False, limited)))
    return rows


def measure(granted: int, rounds: int) -> list[tuple[str, int, float, float]]:
    """Return for functions and sizes the ratio of a call's time to that on one thread: the median, and at 95 %."""
    import numpy as np  # noqa: PLC0415  not needed to simulate

    import fastrelu as fr  # noqa: PLC0415  as above

    found = []
    for name in COSTS.values():
        for n in (1 << k for k in range(13, 25)):
            x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
            out = np.empty_like(x)
            seconds: dict[int, list[float]] = {1: [], granted: []}
            for count in [1, granted] * rounds:
                _runtime.set_team(granted=count)
                function = getattr(fr, name)
                for _ in range(8):
                    start = time.perf_counter()
                    function(x, out=out)
                    seconds[count].append(time.perf_counter() - start)
            _runtime.set_team(granted=0)
            alone = statistics.median(seconds[1])
            late = statistics.quantiles(seconds[granted], n=20)[-1] / statistics.quantiles(seconds[1], n=20)[-1]
            found.append((name, n, statistics.median(seconds[granted]) / alone, late))
    return found


def main() -> int:
    """Print the tables; return 1 if a call that is not small is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wake", type=float, default=5.0, help="microseconds of waking a thread (default: %(default)s)"
    )
    parser.add_argument("--unlimited", action="store_true", help="as if a call woke a worker for each of its shares")
    parser.add_argument("--measure", type=int, metavar="THREADS", help="time real calls that are granted this number")
    parser.add_argument("--rounds", type=int, default=50, help="of --measure, of 8 calls each (default: %(default)s)")
    options = parser.parse_args()
    if options.measure:
        for name, n, median, late in measure(options.measure, options.rounds):
            print(f"{name:<10}{n:>10}  median {median:5.2f}  at 95 % {late:5.2f}")
        return 0
    rows = table(options.wake, not options.unlimited)
    print(f"{'processors':<22}{'workers':<34}{'below waking_from':<40}from there on")
    for name, state, small, large in rows:
        print(f"{name:<22}{state:<34}" + "".join(f"{ratio:>5.2f}  {where:<33}" for ratio, where in (small, large)))
    return int(any(large[0] > MOST for *_, large in rows))


if __name__ == "__main__":
    sys.exit(main())
