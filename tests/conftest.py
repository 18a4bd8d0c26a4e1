"""Fixtures: the axes of the grid as arguments, and what holds for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cases import CASES, Case
from grid import DTYPES, ISAS, PRECISIONS
from specs import SPECS, Precision, Spec

import fastrelu as fr
from fastrelu import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """Return each kernel in turn."""
    found: Case = request.param
    return found


@pytest.fixture(params=SPECS.values(), ids=list(SPECS))
def spec(request: pytest.FixtureRequest) -> Spec:
    """Return each function in turn."""
    found: Spec = request.param
    return found


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Return each instruction set that runs here in turn."""
    return str(request.param)


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Precision:
    """Return each precision in turn."""
    found: Precision = request.param
    return found


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    """Return each type that has kernels in turn."""
    found: np.dtype[Any] = request.param
    return found


@pytest.fixture(autouse=True, scope="session")
def _threads_work() -> None:
    """Let every thread come to every large call: a test must not depend on when the last one ran, or on what else runs."""
    _runtime.set_defaults(waking_from=_runtime.parallel_from)
    _runtime.set_team(hold=False, insist=True)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Fail a test that leaves the process with another precision or number of threads."""
    before = fr.get_precision(), fr.get_num_threads()
    yield
    assert (fr.get_precision(), fr.get_num_threads()) == before
