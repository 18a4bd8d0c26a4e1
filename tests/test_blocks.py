"""Settings of a ``with`` block, which can be kept and opened again."""

from __future__ import annotations

import asyncio
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


@each_block
def test_generators(make: Callable[[], Any], setting: Callable[[], Any]) -> None:
    """Each step of a generator has the setting, and the code between two steps has its own."""
    before, block = setting(), make()
    with block:
        inside = setting()
    seen: list[Any] = []

    @block  # type: ignore[untyped-decorator]  # of any block
    def generator(n: int) -> Any:
        for i in range(n):
            try:
                seen.append((yield setting(), i))
            except KeyError as error:
                seen.append(error)
            except GeneratorExit:
                seen.append(setting())
                raise
        return setting()

    steps = generator(3)
    assert next(steps) == (inside, 0)
    assert setting() == before
    assert steps.send("sent") == (inside, 1)
    error = KeyError("thrown")
    assert steps.throw(error) == (inside, 2)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert (end.value.value, seen) == (inside, ["sent", error, None])
    closed = generator(1)
    next(closed)
    closed.close()
    assert (seen[-1], setting()) == (inside, before)
    failing = generator(1)
    next(failing)
    with pytest.raises(LookupError, match="another"):
        failing.throw(IndexError("another"))
    assert setting() == before


@each_block
def test_coroutines(make: Callable[[], Any], setting: Callable[[], Any]) -> None:
    """Each step of a coroutine has the setting, and other tasks have their own."""
    before, block = setting(), make()
    with block:
        inside = setting()

    @block  # type: ignore[untyped-decorator]  # of any block
    async def coroutine(event: asyncio.Event) -> list[Any]:
        first = setting()
        event.set()
        await asyncio.sleep(0)
        return [first, setting()]

    @block  # type: ignore[untyped-decorator]  # of any block
    async def waiting(event: asyncio.Event) -> list[Any]:
        event.clear()
        try:
            await event.wait()
        except asyncio.CancelledError:
            return [setting()]
        return []

    async def program() -> list[Any]:
        event = asyncio.Event()
        task = asyncio.ensure_future(coroutine(event))
        await event.wait()
        assert setting() == before
        cancelled = asyncio.ensure_future(waiting(event))
        await asyncio.sleep(0)
        cancelled.cancel()
        return [*await task, *await cancelled, setting()]

    assert asyncio.run(program()) == [inside, inside, inside, before]

    async def asynchronous() -> Any:
        yield setting()

    with pytest.raises(TypeError, match="asynchronous is an asynchronous generator, which cannot be decorated"):
        block(asynchronous)


@pytest.mark.parametrize("name", BLOCKS)
def test_decorators_without_parentheses(name: str) -> None:
    """Blocks without options decorate as in PyTorch; the others say what is missing."""
    make, setting = getattr(fr, name, None) or getattr(nn, name), BLOCKS[name][1]
    if name in {"threads", "precision"}:
        with pytest.raises(TypeError, match=rf"{name} takes its options before it decorates: @{name}\(...\)"):
            make(setting)
        return

    def function() -> Any:
        return setting()

    with make():
        inside = setting()
    assert make(function)() == inside != setting()
