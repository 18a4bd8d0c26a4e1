"""The process around us: import without side effects, fork, multiprocessing, affinity, control groups, environment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cases import CASES
from compare import assert_same_bits
from programs import python, run_python

import fastrelu as fr
from fastrelu import _host, _runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from specs import Array


LARGE = max(_runtime.waking_from)
# Spread over the families; a process for each function would take too long.
SOME = CASES[:: len(CASES) // 5]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc or affinity mask")


# --- Import -------------------------------------------------------------------------------------------------------------


def test_import_changes_nothing_around_it() -> None:
    """The import changes no environment variable, signal handler, warning filter, NumPy setting or random state."""
    program = """
import os, signal, sys, threading, warnings
import numpy as np
def state():
    return (dict(os.environ), [signal.getsignal(s) for s in sorted(signal.valid_signals())], list(warnings.filters),
            np.geterr(), np.get_printoptions(), sys.getswitchinterval(), threading.active_count(),
            str(np.random.get_state()))
before = state()
import fastrelu
assert state() == before
print("ok")
"""
    assert run_python(program) == "ok\n"


@linux
def test_import_starts_no_thread() -> None:
    """Neither the import nor a small call starts a thread; a large one may."""
    program = f"""
import os
import numpy as np
tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
import fastrelu as fr
assert tasks() == before
fr.relu(np.ones(100)); fr.relu(np.ones((100, 100)).T); fr.get_num_threads(); fr.config()
assert tasks() == before
with fr.threads(1):
    fr.relu(np.ones({LARGE}))
assert tasks() == before
fr.relu(np.ones({LARGE}))
print(tasks() - before, fr.get_num_threads() - 1)
"""
    started, allowed = map(int, run_python(program, OPENBLAS_NUM_THREADS="1").split())
    assert started == allowed


def test_import_reads_its_variables() -> None:
    """The three variables set the process's defaults."""
    program = "import fastrelu as fr; c = fr.config(); print(c['precision'], c['threads'], c['isa'])"
    isa = _runtime.isa_available[0]
    got = run_python(program, FASTRELU_PRECISION="accurate", FASTRELU_NUM_THREADS="1", FASTRELU_ISA=isa)
    assert got == f"accurate 1 {isa}\n"
    # Empty means unset.
    got = run_python(program, FASTRELU_PRECISION="", FASTRELU_NUM_THREADS="", FASTRELU_ISA="", OMP_NUM_THREADS="1")
    assert got == f"fast 1 {_runtime.isa_available[-1]}\n"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FASTRELU_PRECISION", "exact", 'FASTRELU_PRECISION must be "fast" or "accurate", got \'exact\''),
        ("FASTRELU_NUM_THREADS", "two", "FASTRELU_NUM_THREADS must be an integer, got 'two'"),
        ("FASTRELU_NUM_THREADS", "0", "FASTRELU_NUM_THREADS must be at least 1, got 0"),
        ("FASTRELU_NUM_THREADS", "-3", "FASTRELU_NUM_THREADS must be at least 1, got -3"),
        ("FASTRELU_CACHE_BYTES", "1G", "FASTRELU_CACHE_BYTES must be an integer, got '1G'"),
        ("FASTRELU_CACHE_BYTES", "-1", "FASTRELU_CACHE_BYTES must not be negative, got -1"),
    ],
)
def test_import_refuses_bad_variables(name: str, value: str, message: str) -> None:
    """A variable with a wrong value stops the import, and the error names it."""
    program = "try:\n import fastrelu\nexcept ValueError as e: print(e)\nelse: print('imported')"
    assert run_python(program, **{name: value}) == message + "\n"


# --- Fork -----------------------------------------------------------------------------------------------------------------


def _forked(work: Callable[[], None]) -> int:
    """Run `work` in a forked child under an alarm and return its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, for processes that have threads
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.alarm(60)  # a child that waits for its parent's threads would wait for ever
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  nothing of the parent may run in the child
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_after_use() -> None:
    """A child of a process that has used a team works, serially, dense and strided, and so does its own child."""
    data = {case: case.data(2 * LARGE, "f4") for case in SOME}
    expected = {case: case(*arrays) for case, arrays in data.items()}

    def check() -> None:
        for case, arrays in data.items():
            assert_same_bits(case(*arrays), expected[case])
            assert_same_bits(case(*[a[::-1] for a in arrays]), expected[case][::-1])
        assert fr.get_num_threads() == 1
        with fr.threads(2):
            assert fr.get_num_threads() == 1

    def check_twice() -> None:
        check()
        assert _forked(check) == 0

    assert _forked(check_twice) == 0
    # The parent keeps its team.
    for case, arrays in data.items():
        assert_same_bits(case(*arrays), expected[case])


def remote(number: int, arrays: list[Array]) -> tuple[Array, Array]:
    """Compute in another process: dense and strided. A case holds functions without a name, so its number travels."""
    case = CASES[number]
    return case(*arrays), case(*[a[::-1] for a in arrays])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # we fork on purpose
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    """Workers of both kinds compute what the parent computes, after it has used its team."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    data = [(CASES.index(case), case.data(LARGE, "f4")) for case in SOME]
    expected = [CASES[number](*arrays) for number, arrays in data]
    with multiprocessing.get_context(method).Pool(2) as pool:
        got = pool.starmap_async(remote, data).get(timeout=120)
    for (dense, backwards), y in zip(got, expected, strict=True):
        assert_same_bits(dense, y)
        assert_same_bits(backwards[::-1], y)


# --- Limits -----------------------------------------------------------------------------------------------------------------


@linux
def test_affinity_mask() -> None:
    """The affinity mask counts also when it is set after the import."""
    program = f"""
import os
import numpy as np
import fastrelu as fr
one = min(os.sched_getaffinity(0))
fr.relu(np.ones({LARGE}))
os.sched_setaffinity(0, {{one}})
assert fr.get_num_threads() == 1
with fr.threads(8):
    assert fr.get_num_threads() == 1
assert (fr.relu(np.ones({LARGE})) == 1).all()
print("ok")
"""
    assert run_python(program) == "ok\n"


QUOTAS = {
    # what the process's own list says, files of the tree, processors granted
    "none": ("0::/\n", {}, 0),
    "v2": ("0::/a\n", {"a/cpu.max": "200000 100000\n"}, 2),
    "v2, a fraction": ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
    "v2, less than one": ("0::/a\n", {"a/cpu.max": "50000 100000\n"}, 1),
    "v2, no limit": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 0),
    "v2, limit above": ("0::/a/b/c\n", {"a/cpu.max": "300000 100000\n", "a/b/c/cpu.max": "max 100000\n"}, 3),
    "v2, least of all": ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "800000 100000\n"}, 3),
    "v2, root of a container": ("0::/host/path\n", {"cpu.max": "400000 100000\n"}, 4),
    "v2, another group": ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, 0),
    "v2, damaged": ("0::/a\n", {"a/cpu.max": "nonsense\n"}, 0),
    "v2, empty": ("0::/a\n", {"a/cpu.max": ""}, 0),
    "v1": ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3),
    "v1, no limit": ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 0),
    "v1, no period": ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "250000\n"}, 0),
    "v1, limit above": ("3:cpu:/a/b\n", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "50000"}, 2),
    "v1, other controllers": ("3:memory:/a\n", {"cpu/a/cpu.cfs_quota_us": "1", "cpu/a/cpu.cfs_period_us": "1"}, 0),
    "both": (
        "3:cpu:/a\n0::/u\n",
        {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000", "u/cpu.max": "200000 100000"},
        2,
    ),
    "colon in the path": ("0::/a:b\n", {"a:b/cpu.max": "200000 100000"}, 2),
}


@pytest.mark.parametrize(("own", "files", "expected"), QUOTAS.values(), ids=list(QUOTAS))
def test_control_groups(tmp_path: Path, own: str, files: dict[str, str], expected: int) -> None:
    """The quota of the control groups, rounded up; 0 where there is none."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert _host.cpu_quota(tmp_path / "tree", tmp_path / "own") == expected


def test_control_groups_unknown(tmp_path: Path) -> None:
    """A system without control groups has no quota."""
    assert _host.cpu_quota(tmp_path, tmp_path / "missing") == 0


def test_control_group_limits_threads() -> None:
    """The quota is a limit like the others, read once, before the first large call."""
    program = """
from fastrelu import _host
_host.cpu_quota = lambda: 1
import fastrelu as fr
assert fr.get_num_threads() == 1
with fr.threads(2):
    assert fr.get_num_threads() == 1
print("ok")
"""
    assert run_python(program) == "ok\n"


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"])
def test_openmp_variable(variable: str) -> None:
    """OpenMP's limits are honored, and ours cannot exceed them."""
    program = "import fastrelu as fr; print(fr.get_num_threads())"
    assert run_python(program, FASTRELU_NUM_THREADS="8", **{variable: "1"}) == "1\n"


# Two workers for each of the ways to start some; `threads` is what each would use.
STARTED = {
    "nanny": """
import fastrelu as fr
from distributed import Client, LocalCluster
# None would ask for port 8787, and warn if another program has it.
options = dict(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
with LocalCluster(**options) as cluster, Client(cluster) as client:
    threads = client.run(fr.get_num_threads).values()
""",
    "loky": """
import fastrelu as fr
from joblib import Parallel, delayed
threads = Parallel(2, "loky")(delayed(fr.get_num_threads)() for _ in range(2))
""",
    "spawn": """
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import fastrelu as fr
share = max(1, fr.get_num_threads() // 2)
with ProcessPoolExecutor(2, get_context("spawn"), fr.set_num_threads, (share,)) as pool:
    threads = [future.result() for future in [pool.submit(fr.get_num_threads) for _ in range(2)]]
""",
    "Ray, whose workers set the variable themselves": """
import os
import numpy
os.environ["OMP_NUM_THREADS"] = "1"
import fastrelu as fr
threads = [fr.get_num_threads()] * 2
""",
}


@linux
@pytest.mark.parametrize("program", STARTED.values(), ids=list(STARTED))
def test_workers_share_the_processors(program: str) -> None:
    """Threads times workers are not more than the processors, whatever starts the workers."""
    for package in ("distributed", "joblib"):
        if package in program:
            pytest.importorskip(package, reason="an extra brings it")
    done = python(program + "print(len(threads), sum(threads))")
    assert done.returncode == 0, done.stderr
    workers, threads = map(int, done.stdout.split())
    assert workers == 2
    assert threads <= max(2, len(os.sched_getaffinity(0)))


def test_config() -> None:
    """`config` tells what is in force."""
    found = fr.config()
    assert found["version"] == fr.__version__
    assert found["numpy"] == np.__version__
    assert found["isa"] in found["isa_available"]  # type: ignore[operator]  # a tuple: config holds all sorts
    assert found["threads"] == fr.get_num_threads()
    assert found["precision"] == fr.get_precision()
