"""The team of threads: one for all callers in a process, whatever its other threads, settings and limits are."""

from __future__ import annotations

import mmap
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case, each_case
from compare import assert_same_bits
from grid import each_dtype
from programs import run_python

import fastrelu as fr
from fastrelu import _kernels, _runtime, diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE = max(_runtime.waking_from)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
openmp = pytest.mark.skipif(not _runtime.openmp, reason="built without OpenMP")
needs_two = pytest.mark.skipif(fr.get_num_threads() < 2, reason="this machine grants one thread")


@pytest.fixture
def many() -> Iterator[int]:
    """Grant 8 threads, more than many machines have processors, so that every share has a thread of its own."""
    _runtime.set_defaults(threads=0)  # an earlier test may have left the limit at what the machine grants
    _runtime.set_team(granted=8)
    yield 8
    _runtime.set_team(granted=0)


@pytest.fixture(scope="module", autouse=True)
def _largest_team() -> None:
    """Give the team its final size before the first test."""
    _runtime.set_defaults(threads=0)
    _runtime.set_team(granted=8, insist=False)
    fr.relu(np.ones(LARGE, np.float32))
    while _runtime.team()["workers"] < 7 and _runtime.openmp:
        pass
    _runtime.set_team(granted=0, insist=True)


# --- Results ----------------------------------------------------------------------------------------------------------


@openmp
@each_case
@each_dtype
def test_same_bits_with_many_threads(case: Case, dtype: str, many: int) -> None:
    """The bits do not depend on which thread computes which share, dense and strided."""
    n = many * max(_runtime.parallel_from) // 2 + 17
    data = case.data(n, dtype)
    backwards = [x[::-1] for x in data]
    got, got_backwards = case(*data), case(*backwards)
    with fr.threads(1):
        assert_same_bits(got, case(*data))
        assert_same_bits(got_backwards, case(*backwards))


@openmp
@each_dtype
def test_same_bits_of_rows_sums_and_statistics(dtype: str, many: int) -> None:
    """The three other engines."""
    del many
    x = np.random.default_rng(0).standard_normal((300, 2000)).astype(dtype)
    labels = np.arange(300) % 2000
    calls: list[Callable[[], Any]] = [
        lambda: fr.softmax(x),
        lambda: fr.softmax(x, axis=0),
        lambda: fr.softmax_backward_from_output(x, x),
        lambda: fr.cross_entropy_value_and_grad(x, labels)[1],
        lambda: fr.prelu_backward_parameters(x, x, np.full(2000, 0.25, dtype))[1],
        lambda: diagnostics.summarize(x, axis=1).variance,
    ]
    for call in calls:
        got = call()
        with fr.threads(1):
            assert_same_bits(got, call())


@openmp
def test_team_grows() -> None:
    """A call that is granted more threads than the team has gets them; the team never shrinks."""
    program = f"""
import numpy as np, fastrelu as fr
from fastrelu import _runtime
_runtime.set_defaults(waking_from=_runtime.parallel_from)
x = np.random.default_rng(0).standard_normal({LARGE}).astype("f4")
with fr.threads(1):
    expected = fr.gelu(x)
sizes = []
for granted in (2, 5, 3, 9):
    _runtime.set_team(granted=granted)
    while _runtime.team()["workers"] < granted - 1:
        assert (fr.gelu(x) == expected).all()
    sizes.append(_runtime.team()["workers"])
assert not _runtime.team()["refused"]
print(sizes)
"""
    assert run_python(program) == "[1, 4, 4, 8]\n"


@openmp
def test_few_are_woken_for_little_work() -> None:
    """Each thread that is woken costs the caller: a call wakes as many as its work pays for."""
    program = """
import numpy as np, fastrelu as fr
from fastrelu import _runtime
_runtime.set_team(granted=16, spin=0, gap=0, hold=False)
found = []
for times in (1, 2, 4, 16):
    x = np.ones(times * _runtime.waking_from[0] + 8, "f4")
    while _runtime.team()["awake"]:
        pass
    found.append(fr.explain(fr.relu, x).threads)
print(found)
"""
    assert run_python(program, OPENBLAS_NUM_THREADS="1") == "[2, 4, 8, 16]\n"


@openmp
def test_workers_stay_awake_in_a_series() -> None:
    """Between calls that come one after the other; the series ends with the first call that comes late."""
    program = f"""
import numpy as np, fastrelu as fr
from fastrelu import _runtime
x, never, long = np.ones({LARGE}, "f4"), 0, 10**9
_runtime.set_team(granted=2, spin=never, gap=long, hold=False)
while not _runtime.team()["workers"]:
    fr.relu(x)
for _ in range(2):
    fr.relu(x)
while not _runtime.team()["awake"]:
    pass
awake = [_runtime.team()["awake"] for _ in range(1000)]
_runtime.set_team(gap=never)
fr.relu(x)
while _runtime.team()["awake"]:
    pass
print(set(awake), *(fr.explain(fr.relu, np.ones(100_000, size)).why_threads for size in ("f4", "f8")))
"""
    found = run_python(program, OPENBLAS_NUM_THREADS="1")
    assert found.startswith("{1} fewer than 1048576 elements: waking sleeping threads would not pay")
    assert "fewer than 524288 elements: waking" in found  # of float64


@pytest.mark.parametrize(("option", "status"), [([], 0), (["--unlimited"], 1)])
def test_no_large_call_is_much_slower_than_alone_on_any_machine(option: list[str], status: int) -> None:
    """Simulated on up to 192 processors, whose workers spin, sleep or never come; and what is simulated is sharp."""
    tool = Path(__file__).parent.parent / "tools" / "simulate_team.py"
    run = subprocess.run([sys.executable, str(tool), *option], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == status, run.stdout + run.stderr


# --- One team ---------------------------------------------------------------------------------------------------------


@linux
@needs_two
def test_one_team_for_all_python_threads() -> None:
    """64 threads that each make large calls at once leave the process with the workers of one team."""
    program = f"""
import os, threading
import numpy as np, fastrelu as fr
x = np.ones({LARGE}, "f4")
before = len(os.listdir("/proc/self/task"))
start = threading.Barrier(65)
done = threading.Barrier(65)
def work():
    start.wait()
    for _ in range(3):
        assert (fr.relu(x) == 1).all()
    done.wait()
callers = [threading.Thread(target=work) for _ in range(64)]
for caller in callers:
    caller.start()
start.wait()
done.wait()
for caller in callers:
    caller.join()
while len(os.listdir("/proc/self/task")) - before > fr.get_num_threads() - 1:
    pass  # a thread that has been joined may be listed a moment longer
print(len(os.listdir("/proc/self/task")) - before, fr.get_num_threads() - 1)
"""
    started, allowed = map(int, run_python(program, OPENBLAS_NUM_THREADS="1").split())
    assert started == allowed


@linux
@needs_two
def test_workers_take_no_signals() -> None:
    """Signals are for the threads of the host."""
    program = f"""
import os, signal
import numpy as np, fastrelu as fr
before = set(os.listdir("/proc/self/task"))
fr.relu(np.ones({LARGE}, "f4"))
for task in set(os.listdir("/proc/self/task")) - before:
    with open(f"/proc/self/task/{{task}}/status") as status:
        blocked = int(next(line for line in status if line.startswith("SigBlk:")).split()[1], 16)
    assert all(blocked >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD))
print("ok")
"""
    assert run_python(program, OPENBLAS_NUM_THREADS="1") == "ok\n"


# --- What the host decides ------------------------------------------------------------------------------------------------


@linux
@openmp
@pytest.mark.usefixtures("many")
def test_page_faults_are_no_interruptions() -> None:
    """Calls that touch memory for the first time are told apart, where a loss would count and in tests, which insist."""
    x = np.ones(2 * LARGE, np.float32)
    first: list[int] = []
    again: list[int] = []
    for _ in range(8):
        out = np.frombuffer(mmap.mmap(-1, x.nbytes), x.dtype)
        for found in (first, again):
            before = _runtime.team()["faulted"]
            fr.relu(x, out=out)
            found.append(_runtime.team()["faulted"] - before)
    assert first == [1] * 8
    assert 0 in again  # some memory may have moved meanwhile


@linux
@openmp
def test_page_faults_are_not_counted_without_a_loss() -> None:
    """Counting takes up to 3 us of a call: none is watched in a process that has lost nothing."""
    program = f"""
import mmap, numpy as np, fastrelu as fr
from fastrelu import _runtime
_runtime.set_team(granted=2, gap=10**6)
x, counted = np.ones({2 * LARGE}, "f4"), []
while not _runtime.team()["stalled"] and len(counted) < 8:
    fr.relu(x, out=np.frombuffer(mmap.mmap(-1, x.nbytes), x.dtype))
    counted.append(_runtime.team()["faulted"])
print(_runtime.team()["jobs"] > 0, set(counted))
"""
    assert run_python(program) == "True {0}\n"


@linux
@needs_two
@pytest.mark.parametrize("bind", ["true", "close", "spread"])
def test_binding_of_openmp(bind: str) -> None:
    """OMP_PROC_BIND, for which libgomp binds the importing thread to one processor, does not take the others away."""
    program = f"""
import os
import numpy as np
allowed = os.sched_getaffinity(0)
import fastrelu as fr
from fastrelu import _runtime
before = set(os.listdir("/proc/self/task"))
granted = fr.get_num_threads()
x = np.ones({LARGE}, "f4")
_runtime.set_team(insist=True, hold=False)
fr.relu(x)
workers = set(os.listdir("/proc/self/task")) - before
assert workers
for worker in workers:
    assert os.sched_getaffinity(int(worker)) == allowed
print(granted, len(allowed))
"""
    granted, allowed = map(int, run_python(program, OMP_PROC_BIND=bind, OPENBLAS_NUM_THREADS="1").split())
    assert granted == min(allowed, 256)


@linux
@needs_two
def test_workers_follow_the_mask_of_the_caller() -> None:
    """Workers that a thread made which may run on one processor run for the next caller wherever that one may."""
    program = f"""
import os, threading
import numpy as np, fastrelu as fr
from fastrelu import _runtime
everywhere = os.sched_getaffinity(0)
x = np.ones({LARGE}, "f4")
before = set(os.listdir("/proc/self/task"))
def pinned():
    os.sched_setaffinity(0, {{min(everywhere)}})
    _runtime.set_team(granted=2)
    fr.relu(x)
    _runtime.set_team(granted=0)
caller = threading.Thread(target=pinned)
caller.start()
caller.join()
found = set()
while not found:  # a worker counts from before it starts
    found = set(os.listdir("/proc/self/task")) - before - {{str(caller.native_id)}}
worker, = map(int, found)
assert os.sched_getaffinity(worker) == {{min(everywhere)}}
_runtime.set_team(insist=True, hold=False)
fr.relu(x)
assert os.sched_getaffinity(worker) == everywhere
print("ok")
"""
    assert run_python(program, OPENBLAS_NUM_THREADS="1", FASTRELU_NUM_THREADS="2") == "ok\n"


@linux
@needs_two
@pytest.mark.parametrize("wanted", [2, 9])
def test_refused_thread(wanted: int) -> None:
    """If the system refuses a thread, calls run on those that exist, and one warning says so."""
    program = f"""
import resource, warnings
import numpy as np, fastrelu as fr
from fastrelu import _runtime
_runtime.set_team(granted={wanted})
_runtime.set_defaults(waking_from=_runtime.parallel_from)
x = np.ones({LARGE}, "f4")
y = np.empty_like(x)
with open("/proc/self/statm") as statm:
    size = int(statm.read().split()[0]) * resource.getpagesize()
room = 2 << 20 if {wanted} == 2 else 20 << 20  # for no stack, or for two
resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(100):
        fr.relu(x, out=y)
        if _runtime.team()["refused"]:
            break
    while not _runtime.team()["refused"]:
        pass
    for _ in range(3):
        fr.relu(x, out=y)
assert (y[::1000] == 1).all()
print([(w.category.__name__, str(w.message)) for w in caught])
"""
    message = "the system refused fastrelu a thread (a limit on processes, threads or memory): calls use fewer threads"
    found = run_python(program, OPENBLAS_NUM_THREADS="1")
    assert found == f"{[('RuntimeWarning', message)]}\n"


# --- Settings that change while others compute ----------------------------------------------------------------------------


@openmp
def test_threads_are_decided_once_per_call(many: int) -> None:
    """Nobody writes beyond memory that was made for fewer threads, whatever another thread sets meanwhile."""
    x = np.random.default_rng(0).standard_normal((400, 3000)).astype(np.float32)[:, ::2]
    with fr.threads(1):
        expected = diagnostics.summarize(x, axis=1)
    stop = False

    def change() -> None:
        count = 0
        while not stop:
            count += 1
            _runtime.set_team(granted=1 + count % many)

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            for _ in range(200):
                found = diagnostics.summarize(x, axis=1)
                assert_same_bits(found.variance, expected.variance)
        finally:
            stop = True
            changing.result()


# --- Exit -----------------------------------------------------------------------------------------------------------------


@openmp
@pytest.mark.parametrize(
    "moment",
    [
        "fr.relu(x)",
        "atexit.register(fr.relu, x)",
        "[threading.Thread(target=work, daemon=True).start() for _ in range(3)]; fr.relu(x)",
    ],
    ids=["before", "at exit", "in daemons"],
)
def test_exit(moment: str) -> None:
    """The interpreter ends while workers sleep, begin or compute."""
    program = f"""
import atexit, threading
import numpy as np, fastrelu as fr
x = np.ones({LARGE}, "f4")
def work():
    while True:
        fr.relu(x)
{moment}
print("ok")
"""
    assert run_python(program) == "ok\n"


def test_cases_are_all_kernels() -> None:
    """Every kernel there is has a case here."""
    assert {case.name for case in CASES} == {name for _, _, name in _kernels.kernel_names()}
