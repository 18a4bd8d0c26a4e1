"""Run the library for a while like a busy process, and check that memory, threads and descriptors do not grow.

``MALLOC_ARENA_MAX=1 python tools/soak.py --minutes 60``: with one arena, because glibc's arenas for threads look like
growth. Python threads call functions of every engine concurrently: sizes from 0 to 16 MiB, all types and layouts, with
new results, into ``out=`` and in place; they keep and drop results and views of them, and make calls that fail. Every
kept result is checked again when it is dropped. The last line has what the process holds after a tenth of the run and at
its end.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

import fastrelu as fr
from fastrelu import _runtime, diagnostics, fused, masks, nn, quantized, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

FUNCTIONS: list[Callable[..., Any]] = [
    *(fr.relu, fr.leaky_relu, fr.gelu, fr.silu, fr.softplus, fr.hard_swish, fr.mish, fr.tanh, fr.elu, fr.hard_shrink)
]
GRADIENTS: list[Callable[..., Any]] = [fr.relu_backward, fr.gelu_backward, fr.silu_backward, fr.mish_backward]
TYPES: list[Any] = ["f4", "f8", "f4", "f2"]
if importlib.util.find_spec("ml_dtypes"):
    TYPES.append(importlib.import_module("ml_dtypes").bfloat16)
MODEL = nn.Sequential(nn.Linear(10, 16), nn.GELU(), nn.Linear(16, 4)).eval()
TABLE = quantized.table(fr.gelu, 0.05, 0, 0.05, 0)
OTHERS: list[Callable[[Array], Any]] = [  # of rows of ten
    fr.softmax,
    lambda x: fr.softmax(x, 0, scale=0.5, softcap=30.0, where=x > -1),
    lambda x: fr.softmax_backward_parameters(x, x, bias=x[:1])[0],
    lambda x: fr.log_softmax_backward_from_output(x, x, 0),
    lambda x: fr.logsumexp(x, 1, where=x > 0),
    fr.hardmax,
    fr.sparsemax,
    lambda x: fr.cross_entropy_value_and_grad(x, np.arange(len(x)) % 10, label_smoothing=0.1)[1],
    lambda x: fr.relu(x, where=x > 0, out=x.copy()),
    lambda x: fr.swiglu(x, limit=7.0),
    lambda x: fr.swiglu_backward(x[:, :5], x),
    lambda x: fused.bias_act(x, x[:1].reshape(-1), fr.gelu, residual=x),
    lambda x: fused.bias_act_backward(x, x, x[:1].reshape(-1), fr.silu)[0],
    lambda x: fr.prelu_backward_parameters(x, x, np.full(10, 0.25, x.dtype))[0],
    lambda x: masks.backward_from_mask(x, masks.relu_with_mask(x)[1]),
    lambda x: quantized.lookup(TABLE, quantized.quantize(x.astype("f4"), 0.05, 0, fr.gelu, dtype="i1")),
    lambda x: diagnostics.summarize(x, axis=0).mean,
    lambda x: MODEL(x.astype("f4")),
    lambda x: fr.ufuncs.silu(x[::-1, ::-1]),
]
SIZES = (0, 1, 17, 1000, 10_000, 33_000, 100_000, 1_000_000, 4_000_000)


def resident() -> int:
    """Return the resident memory of this process in bytes, without the pool."""
    gc.collect()
    fr.clear_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc keeps memory that ended threads have freed
        trim(0)
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * 4096
    import resource  # noqa: PLC0415  not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Held(NamedTuple):
    """What a process holds."""

    resident: int
    threads: int
    descriptors: int


def held() -> Held:
    """Return what this process holds, without the pool; nothing of threads and descriptors where there is no /proc."""
    tasks, files = Path("/proc/self/task"), Path("/proc/self/fd")
    return Held(resident(), *(len(list(at.iterdir())) if at.exists() else 0 for at in (tasks, files)))


def fail(rng: random.Random, x: Array) -> None:
    """Make a call that must raise, and check that it does."""
    frozen = x.view()
    frozen.flags.writeable = False
    bad: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
        (fr.relu, (x.astype("c8"),), {}),
        (fr.relu, (x,), {"out": frozen}),
        (fr.relu, (x,), {"out": np.empty(x.size + 3, x.dtype)}) if x.size != 1 else (fr.relu_, (frozen,), {}),
        (fr.hard_shrink, (x, -1.0), {}),
        (fr.leaky_relu, (x[:2], np.ones(3, x.dtype)), {}) if x.size > 2 else (fr.relu_, (frozen,), {}),
    ]
    function, args, keywords = rng.choice(bad)
    try:
        function(*args, **keywords)
    except (TypeError, ValueError):
        return
    raise AssertionError(f"{function.__name__} did not refuse")


def once(rng: random.Random, source: Array, kept: list[tuple[Array, Array]]) -> None:
    """Do one random operation."""
    n = rng.choice(SIZES[:-2]) if rng.random() < 0.97 else rng.choice(SIZES)
    x = source[: 2 * n].astype(rng.choice(TYPES) if n < 100_000 else source.dtype)
    x = x[::2] if rng.random() < 0.3 else x[:n]
    action = rng.randrange(12)
    if action == 0:
        fail(rng, x)
        return
    function = rng.choice(FUNCTIONS)
    if action == 1:
        y = x.astype("f4") if x.dtype == "f2" else x.copy()
        getattr(fr, f"{function.__name__}_")(y)
    elif action == 2:
        y = function(x, out=np.empty(x.shape, "f8"))
    elif action == 3:
        y = rng.choice(GRADIENTS)(x, x)
    elif action > 7 and x.size >= 10:
        y = rng.choice(OTHERS)(x[: x.size // 10 * 10].reshape(-1, 10))
    elif action == 4 and x.size:
        y = fr.leaky_relu(x, np.full(x.shape, 0.25, x.dtype))
    else:
        y = function(x)
    if action == 5 and y.base is None:
        y.resize(max(1, y.size // 2), refcheck=False)
    if action == 6:
        fr.explain(function, x)
    if rng.random() < 0.3:
        view = y[rng.randrange(3) :: rng.choice([1, 2])]
        kept.append((view, view.copy()))
    if kept and (len(kept) > 8 or rng.random() < 0.25):
        now, then = kept.pop(rng.randrange(len(kept)))
        assert now.tobytes() == then.tobytes(), "a result has changed"


def soak(operations: int, threads: int, seed: int, minutes: float) -> tuple[Held, Held]:
    """Run `operations` operations on each of `threads` threads, and again until the minutes have passed.

    Returns what is held after a tenth and at the end.
    """
    source = np.random.default_rng(seed).standard_normal(2 * SIZES[-1]).astype("f4")
    errors: list[BaseException] = []
    start = time.monotonic()
    bar = tqdm(total=operations * threads, desc="operations")

    def work(number: int, count: int) -> None:
        rng = random.Random(number)
        kept: list[tuple[Array, Array]] = []
        try:
            for step in range(count):
                with fr.threads(rng.choice([1, 2, 8])):
                    once(rng, source, kept)
                if step % 97 == 0:
                    fr.set_cache_limit(rng.choice([0, 2**20, 2**24, 2**26]))
                    fr.set_num_threads(rng.choice([1, 2, 8]))
                bar.update()
        except BaseException as error:  # noqa: BLE001  raised in the caller below
            errors.append(error)

    def stage(first: int) -> Held:
        pool = [threading.Thread(target=work, args=(first + i, operations // 10)) for i in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        # Python's thread has ended then, but that of the system may exist for a moment longer.
        while any(Path(f"/proc/self/task/{thread.native_id}").exists() for thread in pool):
            os.sched_yield()
        if errors:
            raise errors[0]
        return held()

    before, threads_before = fr.get_cache_limit(), fr.get_num_threads()
    parts = 0
    found: list[Held] = []
    with fr.threads(2):
        fr.gelu(np.ones(1 << 22, "f4"))  # from the first shared call on there is a worker
    try:
        while parts < 10 or time.monotonic() - start < 60 * minutes:
            found.append(stage(1000 * seed + threads * parts))
            parts += 1
            bar.total = operations * threads * max(10, parts + 1) // 10
    finally:
        fr.set_cache_limit(before)
        fr.set_num_threads(threads_before)
        bar.close()
    return found[(parts - 1) // 10], found[-1]


def main() -> None:
    """Read the options, run, and print what is held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=20_000, help="number on each thread (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=0, help="least duration (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="number of Python threads (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--team", action="store_true", help="share small arrays too, with a team of four")
    parser.add_argument("--growth", type=int, default=16, help="MiB that may be held more (default: %(default)s)")
    options = parser.parse_args()
    if options.team:
        _runtime.set_defaults(parallel_from=(1000,) * 3, waking_from=(1000,) * 3)
        _runtime.set_team(hold=False, granted=4)
    early, late = soak(options.operations, options.threads, options.seed, options.minutes)
    texts = [
        f"{at.resident / 2**20:.1f} MiB, {at.threads} threads, {at.descriptors} descriptors" for at in (early, late)
    ]
    print(
        f"isa {runtime.isa}, {_runtime.team()['jobs']} jobs shared, resident after a tenth {texts[0]}, at the end {texts[1]}"
    )
    grown = late.resident - early.resident > options.growth << 20
    more = late.threads > early.threads and not options.team  # which has its workers when calls have needed them
    if grown or more or late.descriptors > early.descriptors:
        sys.exit("memory, threads or descriptors grow")


if __name__ == "__main__":
    main()
