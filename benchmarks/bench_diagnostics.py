"""Diagnostics next to NumPy's expressions and to one relu over the same array: ``pytest benchmarks/bench_diagnostics.py``.

NumPy's sums are in double, as ours are. NumPy has one thread: ``FASTRELU_NUM_THREADS=1`` gives ours as many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import diagnostics

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE, UNITS = 1 << 24, 256
UNTIMED = 1 << 14  # elements where only the answers are checked


def summarized(x: NDArray[Any], axis: int | None) -> tuple[Any, ...]:
    """Return mean, variance, extremes, zeros and non-finite elements, with fastrelu."""
    found = diagnostics.summarize(x, axis)
    return found.mean, found.variance, found.minimum, found.maximum, found.zeros, found.nonfinite


def reduced(x: NDArray[Any], axis: int | None) -> tuple[Any, ...]:
    """Return the same with NumPy."""
    over = None if axis is None else 1 - axis
    return (
        x.mean(over, dtype=np.float64),
        x.var(over, dtype=np.float64),
        x.min(over),
        x.max(over),
        (x == 0).sum(over),
        (~np.isfinite(x)).sum(over),
    )


@pytest.mark.parametrize("side", ["fastrelu", "numpy", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [None, 1], ids=["whole", "per unit"])
def bench_diagnostics(axis: int | None, dtype: str, side: str, benchmark: Any) -> None:
    """Time one side, on the outputs of a relu."""
    size = SIZE if benchmark.enabled else UNTIMED
    x = fr.relu(np.random.default_rng(0).standard_normal((size // UNITS, UNITS)).astype(dtype))
    benchmark.group = f"{size} elements, {'the whole' if axis is None else f'{UNITS} units'}, {dtype}"
    if side == "relu":
        out = np.empty_like(x)
        benchmark(lambda: fr.relu(x, out=out))
        np.testing.assert_array_equal(out, x)
        return
    moments, counts = slice(0, 2), slice(2, None)
    answer = benchmark(lambda: (summarized if side == "fastrelu" else reduced)(x, axis))
    # The units as rows: there NumPy adds pairwise.
    expected = reduced(np.ascontiguousarray(x.T), None if axis is None else 1 - axis)
    np.testing.assert_allclose(answer[moments], expected[moments], rtol=1e-12)
    np.testing.assert_array_equal(answer[counts], expected[counts])
