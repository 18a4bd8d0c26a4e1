"""Every function next to the NumPy expression of its docstring: ``pytest benchmarks/bench_activations.py``.

Both sides write into an existing array where they can; a function added to the package appears by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fastrelu._reference import Reference, references

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (16, 1000, 100_000, 1_000_000)


@pytest.mark.parametrize("side", ["fastrelu", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reference", references(), ids=lambda reference: reference.name)
def bench_function(
    reference: Reference, size: int, dtype: str, side: str, compare: Callable[[str, str, str, dict[str, Any]], None]
) -> None:
    """Time one side."""
    if reference.needs_scipy:
        pytest.importorskip("scipy", reason="the expression is SciPy's")
    theirs = reference.expression_into or reference.expression
    source = reference.call(out=True) if side == "fastrelu" else theirs
    compare(f"{reference.name} {dtype} {size}", source, reference.expression, reference.variables(size, dtype))
