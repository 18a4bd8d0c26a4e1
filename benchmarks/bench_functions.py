"""Every function next to its NumPy expression in every mode: ``pytest benchmarks/bench_functions.py``.

The same table as in full.py, in one process and without the other peers; new functions of the package are included
automatically.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exact
import numpy as np
import pytest
from functions import COPY, LARGE, Cell, cells
from peers import PACKAGES

import fastrelu as fr
from fastrelu._cli.reference import evaluate
from fastrelu._extras import installed

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 20  # of calls in place, each on a new array
ENDS = 1024
CELLS = [cell for cell in cells() if cell.function is not COPY and cell.size < LARGE]


@pytest.mark.parametrize("side", ["fastrelu", "numpy"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.key)
def bench_function(benchmark: Any, cell: Cell, side: str) -> None:
    """Time one side."""
    function, target = cell.function, cell.function.data[0]
    names: dict[str, Any] = {"np": np, "fr": fr, **function.parameters}
    if "special." in function.expression:
        if not installed("scipy"):
            pytest.skip("the expression is SciPy's")
        names["special"] = pytest.importorskip("scipy.special", reason="the expression is SciPy's")
    for name, block in exact.inputs(function, cell.dtype).items():
        names[name] = np.resize(block, cell.size)
    names["out"] = np.zeros(2 * cell.size if function.name == "crelu" else cell.size, cell.dtype)
    if side == "fastrelu":
        statement: str | None = function.ours(cell.mode)
    else:
        described = PACKAGES["numpy"].statement(function, cell.dtype)
        statement = described and described.of(cell.mode, target)
    benchmark.group = cell.key
    if cell.mode == "in place":
        source = names[target].copy()
        call = evaluate(f"lambda: {statement}", names)
        benchmark.pedantic(call, setup=lambda: np.copyto(names[target], source), rounds=ROUNDS)
        answer: NDArray[Any] = names[target]
    else:
        found = benchmark(evaluate(f"lambda: {statement}", names))
        answer = names["out"] if cell.mode == "out" else np.asarray(found)
    sample = answer if cell.size <= 2 * ENDS else np.concatenate([answer[:ENDS], answer[-ENDS:]])
    assert exact.right(sample, exact.exact(function, cell.dtype, cell.size, ENDS)), statement
