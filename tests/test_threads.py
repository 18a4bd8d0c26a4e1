"""Threads: settings per process, thread and task; same bits from one thread and two; concurrent callers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case
from compare import assert_guards, assert_same_bits
from grid import DTYPES, guarded
from programs import run_python
from specs import SPECS, Precision

import fastrelu as fr
from fastrelu import _runtime, nn, optim, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


SIZES = sorted({n + d for n in _runtime.parallel_from for d in (-1, 0, 1, 17)})
TASKS = Path("/proc/self/task")
needs_two = pytest.mark.skipif(fr.get_num_threads() < 2, reason="this machine grants one thread")


@pytest.fixture
def default_threads() -> Iterator[None]:
    """Put the process's limit back to none."""
    yield
    _runtime.set_defaults(threads=0)


# --- Same bits ---------------------------------------------------------------------------------------------------------


def _check_size(case: Case, dtype: np.dtype[Any], n: int, k: int) -> None:
    data = case.data(2 * SIZES[-1] + 64, dtype)
    dense, strided = [a[k : k + n] for a in data], [a[k : k + 2 * n : 2] for a in data]
    with fr.threads(1):
        expected = case(*dense), case(*strided)
    out, memory = guarded((n,), dtype, k)
    with fr.threads(2):
        assert_same_bits(case(*dense, out=out), expected[0])
        assert_same_bits(case(*strided), expected[1])
    assert_guards(out, memory)


def test_same_bits_from_one_thread_and_two(case: Case, dtype: np.dtype[Any]) -> None:
    """Where two threads work whatever the cost of the function, dense and strided."""
    _check_size(case, dtype, SIZES[-1], 5)


def test_same_bits_of_large_operands(case: Case, dtype: np.dtype[Any]) -> None:
    """Operands that outgrow the second cache are prefetched part by part: with the bits of small ones, in place too."""
    _check_large(case, case.data(2**20 // dtype.itemsize + 37, dtype))


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_same_bits_of_large_operands_of_16_bits(case: Case, stored: str) -> None:
    """The same where elements are converted, in registers or block by block."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the extra 'test' brings ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16 if stored == "bfloat16" else stored)
    with np.errstate(over="ignore"):
        _check_large(case, [a.astype(dtype) for a in case.data(2**19 + 37, np.dtype("f4"))])


def _check_large(case: Case, data: list[NDArray[Any]]) -> None:
    n, piece, dtype = data[0].size, 10_007, data[0].dtype
    with fr.threads(1):
        expected = np.concatenate([case(*[a[i : i + piece] for a in data]) for i in range(0, n, piece)])
    for threads in (1, 2):
        with fr.threads(threads):
            out, memory = guarded((n,), dtype, 5)
            assert_same_bits(case(*data, out=out), expected)
            assert_guards(out, memory)
            target = data[0].copy()
            assert_same_bits(case(target, *data[1:], out=target), expected)


@pytest.mark.parametrize("n", SIZES)
def test_same_bits_around_the_threshold(n: int) -> None:
    """Around the sizes from which a second thread works, at several residues of a cache line."""
    for k, case in enumerate(CASES[::6]):
        for dtype in DTYPES:
            _check_size(case, dtype, n, k)


@pytest.mark.parametrize("shape", [(40_000,), (3, 12_000), (12_000, 3), (50, 20, 40)], ids=str)
def test_same_bits_in_many_dimensions(shape: tuple[int, ...]) -> None:
    """The walk over strided arrays is divided at any element, within rows too."""
    for case in CASES[::16]:
        for dtype in DTYPES:
            data = [a.reshape(shape) for a in case.data(int(np.prod(shape)), dtype)]
            inputs = [data[0].T, *[np.ascontiguousarray(a.T) for a in data[1:]]]
            params = [np.full(inputs[0].shape[-1:], v, dtype) for v in case.params]
            with fr.threads(1):
                expected = case(*inputs, *params), case(*[a[::-1] for a in inputs])
            with fr.threads(2):
                assert_same_bits(case(*[a[::-1] for a in inputs]), expected[1])
                x = np.array(inputs[0])
                assert_same_bits(case(x, *inputs[1:], *params, out=x), expected[0])


def test_more_threads_than_elements_per_line() -> None:
    """A limit far above what the machine has changes nothing."""
    with fr.threads(1000):
        for case in CASES[::20]:
            data = case.data(SIZES[-1], "f4")
            got = case(*data)
            with fr.threads(1):
                assert_same_bits(got, case(*data))


# --- Settings ----------------------------------------------------------------------------------------------------------


def test_limit_of_the_process(default_threads: None) -> None:
    """`set_num_threads` holds in every thread; nothing raises the machine's own limit."""
    del default_threads
    granted = fr.get_num_threads()
    fr.set_num_threads(1)
    assert fr.get_num_threads() == 1
    assert fr.config()["threads"] == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fr.get_num_threads).result() == 1
    fr.set_num_threads(10**9)
    assert fr.get_num_threads() == granted
    fr.set_num_threads(np.int32(granted))  # NumPy's integers are integers
    assert fr.get_num_threads() == granted


def test_limit_of_a_context(default_threads: None) -> None:
    """`threads` overrides the process's limit for its own block, nests, and ends with an exception too."""
    del default_threads
    granted = fr.get_num_threads()
    fr.set_num_threads(1)
    with fr.threads(granted):
        assert fr.get_num_threads() == granted
        with fr.threads(1):
            assert fr.get_num_threads() == 1
        with pytest.raises(KeyError), fr.threads(1):
            raise KeyError
        assert fr.get_num_threads() == granted
        fr.set_num_threads(granted)
    assert fr.get_num_threads() == granted


@needs_two
def test_contexts_belong_to_their_thread() -> None:
    """A block in one thread does not hold in another, unless that one runs in a copy of its context."""
    with fr.threads(1), fr.precision("accurate"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (fr.get_num_threads() > 1, fr.get_precision())).result() == (True, "fast")
        context = contextvars.copy_context()
        assert pool.submit(context.run, lambda: (fr.get_num_threads(), fr.get_precision())).result() == (1, "accurate")


def differing(case: Case) -> tuple[list[Any], Any, Any] | None:
    """Return inputs for which the two precisions of a case differ, and both results."""
    data = case.data(500, "f4")
    both = [getattr(module, case.name)(*data, *case.params) for module in (fr.ufuncs, fr.ufuncs.accurate)]
    same = np.array_equal(both[0], both[1], equal_nan=True)
    return None if same else (data, both[0], both[1])


def test_tasks_have_their_own_precision() -> None:
    """Tasks that interleave call the kernels of their own precision, on their own threads; a new task inherits both."""
    chosen = [(case, found) for case in CASES if (found := differing(case))]
    assert chosen, "no function differs between the precisions"

    async def work(level: Precision, n: int, meeting: asyncio.Barrier) -> None:
        with fr.precision(level), fr.threads(n):
            for case, (data, fast, accurate) in chosen:
                await meeting.wait()
                assert fr.get_precision() == level
                assert fr.get_num_threads() <= n
                assert_same_bits(case(*data), accurate if level == "accurate" else fast)

    async def current() -> str:
        return fr.get_precision()

    async def main() -> None:
        meeting = asyncio.Barrier(4)
        async with asyncio.TaskGroup() as group:
            for level in runtime._PRECISIONS:
                for n in (1, 2):
                    group.create_task(work(level, n, meeting))
        assert fr.get_precision() == "fast"
        with fr.precision("accurate"):
            assert await asyncio.create_task(current()) == "accurate"

    asyncio.run(main())


@pytest.mark.parametrize("bad", [0, -1, -(10**30)])
def test_too_few_threads(bad: int) -> None:
    """A limit is at least 1."""
    for set_it in (fr.set_num_threads, _enter):
        with pytest.raises(ValueError, match=f"number of threads must be at least 1, got {bad}"):
            set_it(bad)


@pytest.mark.parametrize("bad", [1.0, "2", None, True, np.float32(2), [1]], ids=repr)
def test_not_a_number_of_threads(bad: Any) -> None:
    """A limit is an integer; True is refused."""
    for set_it in (fr.set_num_threads, _enter):
        with pytest.raises(TypeError, match=f"number of threads must be an integer, got {type(bad).__name__!r}"):
            set_it(bad)


def _enter(n: int) -> None:
    with fr.threads(n):
        pytest.fail("entered")


@needs_two
def test_openmp_limit_of_the_calling_thread() -> None:
    """What threadpoolctl grants the calling thread is never exceeded."""
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    before = fr.get_num_threads()
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert fr.get_num_threads() == 1
        with fr.threads(2):
            assert fr.get_num_threads() == 1
    assert fr.get_num_threads() == before


# --- Threads that sleep ---------------------------------------------------------------------------------------------------


@needs_two
@pytest.mark.skipif(not TASKS.exists(), reason="the system does not list a process's threads")
@pytest.mark.parametrize("cost", range(len(_runtime.parallel_from)))
def test_first_call_wakes_threads_only_where_that_pays(cost: int) -> None:
    """After a pause, or in the first call, threads are woken only by a call that takes longer than waking one."""
    name = next(spec.name for spec in SPECS.values() if runtime.kernels[spec.name].cost == cost)
    program = f"""
from pathlib import Path
import numpy as np
import fastrelu as fr
from fastrelu import _runtime
for factor in (1 / 2, 1):
    before = len(list(Path("/proc/self/task").iterdir()))
    n = int(_runtime.waking_from[{cost}] * factor)
    fr.{name}(np.ones(n, "f4"))
    print(len(list(Path("/proc/self/task").iterdir())) - before)
"""
    assert run_python(program, FASTRELU_NUM_THREADS="2") == "0\n1\n"


@needs_two
@pytest.mark.skipif(not TASKS.exists(), reason="the system does not list a process's threads")
def test_affinity_stays() -> None:
    """No thread is left with another affinity mask than it had."""

    def allowed() -> set[str]:
        states = [(task / "status").read_text() for task in TASKS.iterdir()]
        return {line for state in states for line in state.splitlines() if line.startswith("Cpus_allowed:")}

    before = allowed()
    x = np.ones(2 * max(_runtime.parallel_from), "f4")
    for _ in range(100):
        fr.relu(x)
    assert allowed() == before


# --- Concurrent callers -------------------------------------------------------------------------------------------------


@needs_two
def test_four_callers_at_once() -> None:
    """Results are right, and the callers share the workers of one team."""
    n = 4 * max(_runtime.parallel_from)
    chosen = CASES[::9]
    callers = 4
    expected = {case: case(*case.data(n, "f4")) for case in chosen}
    start, done = threading.Barrier(callers + 1), threading.Barrier(callers + 1)
    allowed = (len(list(TASKS.iterdir())) if TASKS.exists() else 0) + callers + fr.get_num_threads() - 1
    counts: list[int] = []

    def work(k: int) -> None:
        start.wait()
        try:
            for case in chosen[k % len(chosen) :] + chosen[: k % len(chosen)]:
                for _ in range(4):
                    assert_same_bits(case(*case.data(n, "f4")), expected[case])
                with contextlib.suppress(OSError):  # a thread ends while it is listed
                    counts.append(len(list(TASKS.iterdir())))
        finally:
            done.wait()

    with ThreadPoolExecutor(callers) as pool:
        futures = [pool.submit(work, k) for k in range(callers)]
        start.wait()
        done.wait()
        if TASKS.exists():
            counts.append(len(list(TASKS.iterdir())))
            assert max(counts) <= allowed
        for future in futures:
            future.result()


@needs_two
def test_one_output_in_pieces() -> None:
    """Callers that fill parts of one array do not disturb each other."""
    n = 2 * max(_runtime.parallel_from)
    for case in CASES[::9]:
        data = case.data(3 * n + 5, "f4")
        out = np.zeros(3 * n + 5, "f4")
        cuts = [0, n + 1, 2 * n + 3, 3 * n + 5]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i, j: case(*[a[i:j] for a in data], out=out[i:j]), cuts[:-1], cuts[1:]))  # noqa: B023  used in this turn of the loop
        assert_same_bits(out, case(*data))


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has no GIL")
def test_other_threads_run_meanwhile() -> None:
    """Long calls release the GIL, dense and strided, and long steps: the main thread counts while another is in one."""
    x = np.ones(400_000, "f4")
    y = np.empty_like(x)
    parameter = nn.Parameter(np.zeros_like(x))
    optimizer = optim.SGD([parameter])

    def step() -> None:
        parameter.grad = x
        optimizer.step()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # another thread runs only when the GIL is released
    count = 0
    seen: list[bool] = []

    def work() -> None:
        for call in (lambda: CASES[0](x, out=y), lambda: CASES[0](x[::-1], out=y), step):
            for _ in range(1000):  # the system may be slow to give the main thread a turn
                start = count
                call()
                if count > start:
                    seen.append(True)
                    break

    try:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            while not future.done():
                count += 1
                time.sleep(0)  # releases the GIL at once
            future.result()
    finally:
        sys.setswitchinterval(before)
    assert seen == [True, True, True]
