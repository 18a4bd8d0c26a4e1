"""Run the library for a while like a busy process, and check that its memory does not grow.

``MALLOC_ARENA_MAX=1 python tools/soak.py``: with one arena, because glibc's arenas for threads look like growth.
Python threads call all functions concurrently: sizes from 0 to 16 MiB, both types, all layouts, with new results, into
``out=`` and in place; they keep and drop results and views of them, and make calls that fail. Every kept result is
checked again when it is dropped. The last line has the memory after a tenth of the run and at its end.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import fastrelu as fr
from fastrelu import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

FUNCTIONS: list[Callable[..., Any]] = [
    *(fr.relu, fr.leaky_relu, fr.gelu, fr.silu, fr.softplus, fr.hard_swish, fr.mish, fr.tanh, fr.elu, fr.hard_shrink)
]
GRADIENTS: list[Callable[..., Any]] = [fr.relu_backward, fr.gelu_backward, fr.silu_backward, fr.mish_backward]
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
    x = source[: 2 * n].astype(rng.choice(["f4", "f8", "f4", "f2"]) if n < 100_000 else source.dtype)
    x = x[::2] if rng.random() < 0.3 else x[:n]
    action = rng.randrange(8)
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


def soak(operations: int, threads: int, seed: int, *, quiet: bool = False) -> tuple[int, int]:
    """Run `operations` operations on each of `threads` threads; return the memory after a tenth and at the end."""
    source = np.random.default_rng(seed).standard_normal(2 * SIZES[-1]).astype("f4")
    errors: list[BaseException] = []
    bar = tqdm(total=operations * threads, desc="operations", disable=quiet)

    def work(number: int, count: int) -> None:
        rng = random.Random(number)
        kept: list[tuple[Array, Array]] = []
        try:
            for step in range(count):
                with fr.threads(rng.choice([1, 2, 8])):
                    once(rng, source, kept)
                if step % 97 == 0:
                    fr.set_cache_limit(rng.choice([0, 2**20, 2**24, 2**26]))
                bar.update()
        except BaseException as error:  # noqa: BLE001, RUF100  raised in the caller below
            errors.append(error)

    def stage(first: int, count: int) -> int:
        pool = [threading.Thread(target=work, args=(first + i, count)) for i in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        if errors:
            raise errors[0]
        return resident()

    before = fr.get_cache_limit()
    try:
        early = stage(1000 * seed, operations // 10)
        late = early
        for part in range(1, 10):
            late = stage(1000 * seed + threads * part, operations // 10)
    finally:
        fr.set_cache_limit(before)
        bar.close()
    return early, late


def main() -> None:
    """Read the options, run, and print the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=20_000, help="number on each thread")
    parser.add_argument("--threads", type=int, default=4, help="number of Python threads")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    early, late = soak(options.operations, options.threads, options.seed)
    print(f"isa {runtime.isa}, resident after a tenth {early / 2**20:.1f} MiB, at the end {late / 2**20:.1f} MiB")
    if late > early + 2**24:
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
