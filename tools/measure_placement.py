"""Measure what the place of arrays costs: python tools/measure_placement.py.

NumPy's arrays of megabytes begin 16 bytes after a line of the cache, those of JAX at one. Microseconds of a call, the lowest
decile of one thread's processor time, with all arrays at 16 and at 64 bytes after the beginning of a page.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np

import fastrelu as fr

SHAPES = {"x": (1024, 1024), "y": (1024, 1024), "out": (1024, 1024), "bias": (1024,), "pair": (1024, 2048)}
PAGE = 4096
ROUNDS = 100
PLACES = (16, 64)  # bytes
CALLS: dict[str, Any] = {
    "bias_act": lambda a: fr.fused.bias_act(a.x, a.bias, fr.relu, out=a.out),
    "bias_act residual": lambda a: fr.fused.bias_act(a.x, a.bias, fr.relu, residual=a.y, out=a.out),
    "bias_act_backward": lambda a: fr.fused.bias_act_backward(a.y, a.x, a.bias, fr.relu, out=a.out),
    "reglu": lambda a: fr.reglu(a.pair, out=a.out),
    "reglu of a pair": lambda a: fr.reglu((a.x, a.y), out=a.out),
}


def placed(place: int, dtype: str) -> SimpleNamespace:
    """Return random arrays that begin `place` bytes after the beginning of a page."""
    arrays = {}
    for name, shape in SHAPES.items():
        values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        room = np.empty(values.nbytes + 2 * PAGE, np.uint8)
        start = -room.ctypes.data % PAGE + place
        arrays[name] = room[start : start + values.nbytes].view(dtype).reshape(shape)
        arrays[name][...] = values
    return SimpleNamespace(**arrays)


def main() -> None:
    """Print one line per type and call."""
    fr.set_num_threads(1)
    print(f"{'':27}" + "".join(f"{place:>8}" for place in PLACES))
    for dtype in ("float32", "float64"):
        at = {place: placed(place, dtype) for place in PLACES}
        for name, call in CALLS.items():
            times: dict[int, list[float]] = {place: [] for place in PLACES}
            for _ in range(ROUNDS):
                for place, arrays in at.items():
                    call(arrays)
                    start = time.thread_time()
                    call(arrays)
                    times[place].append(time.thread_time() - start)
            print(f"{dtype} {name:<19}" + "".join(f"{sorted(t)[ROUNDS // 10] * 1e6:8.0f}" for t in times.values()))


if __name__ == "__main__":
    main()
