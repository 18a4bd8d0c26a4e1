"""Diagnostics next to NumPy's expressions and to one relu over the same array: ``pytest benchmarks/bench_diagnostics.py``.

NumPy's sums are in double, like ours. NumPy has one thread; set ``FASTRELU_NUM_THREADS=1`` for the same. As a script,
``python benchmarks/bench_diagnostics.py``, it compares with the relu, each side in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import machine
import numpy as np
import pairs
import pytest
import results

import fastrelu as fr
from fastrelu import diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SIZE, UNITS = 1 << 24, 256
UNTIMED = 1 << 14  # elements at which only the answers are checked


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
    # Units as rows, along which NumPy adds pairwise.
    expected = reduced(np.ascontiguousarray(x.T), None if axis is None else 1 - axis)
    np.testing.assert_allclose(answer[moments], expected[moments], rtol=1e-12)
    np.testing.assert_array_equal(answer[counts], expected[counts])


SETUP = """
import numpy as np
import fastrelu as fr
from fastrelu import diagnostics
x = fr.relu(np.random.default_rng(0).standard_normal(({size} // {units}, {units})).astype({dtype!r}))
out, mean = np.empty_like(x), x.mean({over}, dtype=np.float64)
"""


def comparisons() -> Iterator[pairs.Comparison]:
    """Yield one comparison per type, number of threads and kind of unit."""
    for dtype in ("float32", "float64"):
        for threads in (1, 2):
            for axis, over in ((None, None), (1, 0)):
                setup = SETUP.format(size=SIZE, units=UNITS, dtype=dtype, over=over)
                yield pairs.Comparison(
                    ours=f"diagnostics.summarize(x, {axis}).mean",
                    theirs="(fr.relu(x, out=out), mean)[1]",
                    peer="relu",
                    size=SIZE,
                    dtype=dtype,
                    threads=threads,
                    memory=dtype if axis is None else f"{dtype}, {UNITS} units",
                    our_setup=setup,
                    their_setup=setup,
                    target=1.0,
                    tolerance=1e-6,
                )


def main() -> None:
    """Measure, print and write ``results/diagnostics.json``."""
    options = pairs.parser("A relu's time by that of a summary.", pairs=3, rounds=15).parse_args()
    rows = pairs.run_all([*comparisons()], options)
    results.write("diagnostics", {"machine": machine.describe(), "rows": rows}, options)


if __name__ == "__main__":
    main()
