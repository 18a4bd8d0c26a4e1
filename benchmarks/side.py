"""One side of a comparison: times one statement in a process of its own (pairs.py starts it)."""

from __future__ import annotations

import json
import statistics
import sys
import timeit
from typing import Any

import numpy as np

ROUND = 1e-3  # least seconds of one timing: far above the clock's resolution
SAMPLE = 1000  # elements of the answer that are returned for comparison


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Time a statement.

    Parameters
    ----------
    spec : dict
        `setup` and `statement` in source, `before` (source run untimed before each timing, or None) and `rounds`.

    Returns
    -------
    dict
        `seconds`, the median of one run, and `sample` of the answer.
    """
    names: dict[str, Any] = {}
    exec(spec["setup"], names)  # noqa: S102  the source comes from pairs.py
    before = compile(spec["before"] or "pass", "<before>", "exec")
    exec(before, names)  # noqa: S102  the source comes from pairs.py
    sample = _sample(eval(spec["statement"], names))
    timer = timeit.Timer(spec["statement"], globals=names)
    number = 1 if spec["before"] else max(1, round(ROUND / min(timer.repeat(5, 1))))
    times = []
    for _ in range(spec["rounds"]):
        exec(before, names)  # noqa: S102  the source comes from pairs.py
        times.append(timer.timeit(number) / number)
    return {"seconds": statistics.median(times), "sample": sample}


def _sample(answer: Any) -> list[float]:
    array = np.asarray(answer[0] if isinstance(answer, tuple) else answer).reshape(-1)
    values: list[float] = array[:: max(1, array.size // SAMPLE)].tolist()
    return values


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
