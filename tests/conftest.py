"""Fixtures: the axes of the grid as arguments, and what holds for every test. Which tests are wide."""

from __future__ import annotations

import collections
import gc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from cases import CASES, Case
from grid import DTYPES, ISAS, PRECISIONS
from specs import SPECS, Precision, Spec

import fastrelu as fr
from fastrelu import _runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


AXES: dict[str, Any] = {"isa": ISAS, "dtype": DTYPES, "precision": PRECISIONS}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a test as wide if another one does the same in another place of the grid, and what needs PyTorch as torch.

    One place is left for each test and its other arguments, another one from function to function: all places are met,
    but not all of them by every function.
    """
    groups: dict[Any, dict[Any, list[pytest.Item]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()) or hasattr(getattr(item, "module", None), "torch"):
            item.add_marker("torch")
        if isinstance(item, pytest.Function) and (callspec := getattr(item, "callspec", None)):
            given = callspec.params.items()
            others = tuple((name, id(value)) for name, value in given if value not in AXES.get(name, ()))
            if len(others) < len(given):
                groups[item.parent, item.originalname][others].append(item)
    for (_, name), places in groups.items():
        for nth, places_of_one in enumerate(places.values(), zlib.crc32(name.encode())):
            kept = nth % len(places_of_one)
            for item in places_of_one[:kept] + places_of_one[kept + 1 :]:
                item.add_marker("wide")


def pytest_collection_finish() -> None:
    """Hide the tests themselves from garbage collections, each of which would go through all of them."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what runs."""
    if config.option.markexpr != "not wide":
        return []
    what = "every test of every function, each in one place of the grid of instruction sets, types and precisions"
    return [f'fastrelu: {what}; pytest -m "" runs all places']


@pytest.fixture(scope="session")
def torch() -> Any:
    """Return PyTorch, if it is installed."""
    return pytest.importorskip("torch", reason="PyTorch is not installed")


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
    """Let every large call use all threads: a test must not depend on when the last one ran, or on what else runs."""
    _runtime.set_defaults(waking_from=_runtime.parallel_from)
    _runtime.set_team(hold=False, insist=True)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Fail a test that leaves the process with another precision or number of threads."""
    before = fr.get_precision(), fr.get_num_threads()
    yield
    assert (fr.get_precision(), fr.get_num_threads()) == before
