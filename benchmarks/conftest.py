"""A fixture that benchmarks two sources and asserts that their answers agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fastrelu._cli.reference import agrees, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def compare(benchmark: Any) -> Callable[[str, str, str, dict[str, Any]], None]:
    """Return a function that times one source in a group and compares its value with that of another."""

    def run(group: str, source: str, expected: str, names: dict[str, Any]) -> None:
        wanted = evaluate(expected, dict(names)).copy()
        benchmark.group = group
        answer = benchmark(evaluate(f"lambda: {source}", names))
        assert agrees(answer, wanted), f"{source} differs from {expected}"

    return run
