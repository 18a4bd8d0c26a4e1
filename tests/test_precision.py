"""Precision: process default, context, environment; the call decides, and what it decides is what it gets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import PRECISIONS
from inputs import data_of, gradients, inputs
from programs import last_line, python

import fastrelu as fr

if TYPE_CHECKING:
    from cases import Case
    from specs import Array, Precision


def other(level: Precision) -> Precision:
    """Return the other level."""
    return "accurate" if level == "fast" else "fast"


def test_default() -> None:
    """Calls are fast unless told otherwise."""
    process = python("import fastrelu; print(fastrelu.get_precision(), fastrelu.config()['precision'])")
    assert process.stdout.split() == ["fast", "fast"], process.stderr


def test_decides_the_kernel(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """A function in the context gives the bits of the ufunc of that precision, through every door."""
    params = case.params
    x = inputs(case, params, dtype)[:3000]
    data = data_of(case, x, gradients(dtype, x.size))
    ufunc = case.ufunc_of(precision)
    wanted = ufunc(*data, *(dtype.type(value) for value in params))
    function = case.spec.function(case.direction)
    with fr.precision(precision):
        found: list[Array] = [
            function(*data, *params),
            function(*(np.repeat(d, 2)[::2] for d in data), *params),
            function(*data, *params, where=np.ones(x.shape, bool), out=np.empty_like(x)),
            function(*(d.astype(dtype.newbyteorder()) for d in data), *params),
        ]
        if not case.direction:
            found.append(case.spec.in_place()(x.copy(), *params))
    for got in found:
        assert_same_bits(got, wanted, case.name)


def test_process_default(precision: Precision) -> None:
    """set_precision holds until it is set again, also in threads that start later."""
    before = fr.get_precision()
    try:
        fr.set_precision(precision)
        assert fr.get_precision() == precision
        assert fr.config()["precision"] == precision
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(fr.get_precision).result() == precision
    finally:
        fr.set_precision(before)


def test_context_overrides_the_default() -> None:
    """In the block the context holds, even if the default changes meanwhile; after it, the default."""
    before = fr.get_precision()
    try:
        with fr.precision("accurate"):
            fr.set_precision("fast")
            assert fr.get_precision() == "accurate"
        assert fr.get_precision() == "fast"
        fr.set_precision("accurate")
        with fr.precision("fast"):
            assert fr.get_precision() == "fast"
        assert fr.get_precision() == "accurate"
    finally:
        fr.set_precision(before)


def test_nesting() -> None:
    """Blocks nest, to any depth and in any order of levels."""
    levels = [PRECISIONS[i % 3 % 2] for i in range(20)]

    def descend(depth: int) -> None:
        if depth == len(levels):
            return
        with fr.precision(levels[depth]):
            assert fr.get_precision() == levels[depth]
            descend(depth + 1)
            assert fr.get_precision() == levels[depth]

    descend(0)


def test_exception_in_the_block(precision: Precision) -> None:
    """An exception passes through and leaves the precision as it was."""
    before = fr.get_precision()
    with pytest.raises(ZeroDivisionError), fr.precision(precision):
        raise ZeroDivisionError
    assert fr.get_precision() == before


def test_reuse() -> None:
    """As decorators, the context managers hold for each call."""

    @fr.threads(1)
    @fr.precision("accurate")
    def level() -> tuple[int, str]:
        return fr.get_num_threads(), fr.get_precision()

    assert [level(), level()] == [(1, "accurate")] * 2
    assert fr.get_precision() == "fast"


def test_threads_are_apart() -> None:
    """A block in one thread does not change another thread that runs at the same time."""
    barrier = threading.Barrier(4, timeout=60)

    def work(level: Precision) -> list[str]:
        seen: list[str] = [fr.get_precision()]
        with fr.precision(level):
            barrier.wait()
            seen.append(fr.get_precision())
            barrier.wait()
            with fr.precision(other(level)):
                barrier.wait()
                seen.append(fr.get_precision())
                barrier.wait()
            seen.append(fr.get_precision())
        return [*seen, fr.get_precision()]

    levels: list[Precision] = ["fast", "accurate", "fast", "accurate"]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, levels))
    assert found == [["fast", level, other(level), level, "fast"] for level in levels]


@pytest.mark.parametrize("level", ["Fast", "", "exact", "0"])
def test_unknown_level(level: Any) -> None:
    """Any other word is a ValueError that says which two there are, and changes nothing."""
    message = f'^precision must be "fast" or "accurate", got {level!r}$'
    with pytest.raises(ValueError, match=message):
        fr.set_precision(level)
    with pytest.raises(ValueError, match=message), fr.precision(level):
        pass
    assert fr.get_precision() == "fast"


@pytest.mark.parametrize("level", [None, 1, True, b"fast", ["fast"]], ids=repr)
def test_level_of_another_type(level: Any) -> None:
    """Anything but a text is refused too."""
    with pytest.raises((TypeError, ValueError), match='must be "fast" or "accurate"'):
        fr.set_precision(level)


# --- Environment --------------------------------------------------------------------------------------------------

SHOW = "import fastrelu as fr; print(fr.get_precision(), fr.get_num_threads())"


@pytest.mark.parametrize("level", PRECISIONS)
def test_environment_precision(level: Precision) -> None:
    """FASTRELU_PRECISION sets the default of the process."""
    process = python(SHOW, FASTRELU_PRECISION=level)
    assert process.stdout.split()[:1] == [level], process.stderr


def test_environment_threads() -> None:
    """FASTRELU_NUM_THREADS limits the threads, never raises them, and an empty variable is none."""
    most = python(SHOW).stdout.split()[1]
    assert python(SHOW, FASTRELU_NUM_THREADS="1").stdout.split()[1] == "1"
    assert python(SHOW, FASTRELU_NUM_THREADS="4096").stdout.split()[1] == most
    assert python(SHOW, FASTRELU_NUM_THREADS="", FASTRELU_PRECISION="").stdout.split() == ["fast", most]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FASTRELU_PRECISION", "best", """FASTRELU_PRECISION must be "fast" or "accurate", got 'best'"""),
        ("FASTRELU_NUM_THREADS", "two", "FASTRELU_NUM_THREADS must be an integer, got 'two'"),
        ("FASTRELU_NUM_THREADS", "1.5", "FASTRELU_NUM_THREADS must be an integer, got '1.5'"),
        ("FASTRELU_NUM_THREADS", "0", "FASTRELU_NUM_THREADS must be at least 1, got 0"),
        ("FASTRELU_NUM_THREADS", "-3", "FASTRELU_NUM_THREADS must be at least 1, got -3"),
    ],
)
def test_environment_errors(variable: str, value: str, message: str) -> None:
    """A variable that cannot be followed fails the import, by name."""
    assert last_line(python("import fastrelu", **{variable: value})) == f"ValueError: {message}"
