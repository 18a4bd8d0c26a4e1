"""Settings of a ``with`` block, which can be kept and opened again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

import fastrelu as fr
from fastrelu import _runtime, nn
from fastrelu.nn import record

if TYPE_CHECKING:
    from collections.abc import Callable

# What makes a block, and what it changes.
BLOCKS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "threads": (lambda: fr.threads(1), lambda: _runtime.thread_override.get(None)),
    "precision": (lambda: fr.precision("accurate"), fr.get_precision),
    "no_grad": (nn.no_grad, lambda: type(record.HERE.current)),
    "enable_grad": (nn.enable_grad, lambda: type(record.HERE.current)),
}
each_block = pytest.mark.parametrize(("make", "setting"), BLOCKS.values(), ids=BLOCKS)


@each_block
def test_again_and_within_itself(make: Callable[[], Any], setting: Callable[[], Any]) -> None:
    """One object serves any number of blocks; after each the setting is the one before, also after an error."""
    before, block = setting(), make()
    with block:
        inside = setting()
        assert inside != before
        with block:
            assert setting() == inside
        assert setting() == inside
    assert setting() == before

    def function(depth: int) -> Any:
        return decorated(depth - 1) if depth else setting()

    decorated = block(function)
    assert decorated(2) == inside
    with pytest.raises(TypeError), block:
        decorated("no depth")
    assert setting() == before


@each_block
def test_two_threads_share_one(make: Callable[[], Any], setting: Callable[[], Any]) -> None:
    """Each ends the block that it began."""
    block, together, before = make(), Barrier(2, timeout=60), setting()

    def work(last: bool) -> bool:
        with block:
            together.wait()
            inside = setting()
            if last:
                together.wait()
        if not last:
            together.wait()
        return bool(inside != before and setting() == before)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, (False, True)))


@each_block
def test_ends_what_began(make: Callable[[], Any], setting: Callable[[], Any]) -> None:
    """A block that was not begun is not ended."""
    before, block = setting(), make()
    with pytest.raises(RuntimeError, match="this thread or task has not begun the block that it ends"):
        block.__exit__(None, None, None)
    assert setting() == before
