"""Diagnostics next to NumPy's expressions and to one relu over the same array: ``pytest benchmarks/bench_diagnostics.py``.

NumPy's sums are in double, as ours are, so that both sides give the same digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE, UNITS = 1 << 24, 256
UNTIMED = 1 << 14  # elements where only the answers are checked

FIELDS = ["mean", "variance", "minimum", "maximum", "zeros", "nonfinite"]
OURS = "numbers(diagnostics.summarize(x, axis))"
NUMPY = """np.array([
    x.mean(over, dtype=np.float64), x.var(over, dtype=np.float64), x.min(over), x.max(over),
    (x == 0).sum(over), (~np.isfinite(x)).sum(over),
])"""
RELU = ("fr.relu(x, out=out)", "np.maximum(x, 0)")
SIDES = {"fastrelu": (OURS, NUMPY), "numpy": (NUMPY, NUMPY), "relu": RELU}


def numbers(summary: diagnostics.Summary) -> Any:
    """Return what NumPy's expression returns."""
    return np.array([getattr(summary, field) for field in FIELDS])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [None, 1], ids=["whole", "per unit"])
def bench_diagnostics(
    axis: int | None,
    dtype: str,
    side: str,
    benchmark: Any,
    compare: Callable[[str, str, str, dict[str, Any]], None],
) -> None:
    """Time one side, on the outputs of a relu."""
    size = SIZE if benchmark.enabled else UNTIMED
    x = fr.relu(np.random.default_rng(0).standard_normal((size // UNITS, UNITS), dtype))  # type: ignore[call-overload]
    over = None if axis is None else 0
    names = {"np": np, "fr": fr, "diagnostics": diagnostics, "numbers": numbers, "axis": axis, "over": over, "x": x}
    source, expected = SIDES[side]
    what = "the whole" if axis is None else f"{UNITS} units"
    compare(f"{size} elements, {what}, {dtype}", source, expected, {**names, "out": np.empty_like(x)})
