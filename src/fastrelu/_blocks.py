"""Settings of a ``with`` block that can be kept and opened again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec

_P = ParamSpec("_P")


class Block(contextlib.ContextDecorator):
    """What opens a ``with`` block: any number of times, within itself, and in several threads and tasks at once.

    Parameters
    ----------
    begin : callable
        Returns a context manager that is entered once.
    """

    # What is open in a context, and by whom: a thread or a task ends what it began.
    _open: ContextVar[tuple[tuple[Block, Any], ...]] = ContextVar("fastrelu_blocks", default=())

    def __init__(self, begin: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._begin = begin

    def __enter__(self) -> None:
        """Begin the block."""
        manager = self._begin()
        manager.__enter__()
        self._open.set((*self._open.get(), (self, manager)))

    def __exit__(self, *error: object) -> bool | None:
        """End the block that this object began last."""
        opened = self._open.get()
        for i in reversed(range(len(opened))):
            if opened[i][0] is self:
                self._open.set(opened[:i] + opened[i + 1 :])
                return opened[i][1].__exit__(*error)  # type: ignore[no-any-return]  # of a context manager
        raise RuntimeError("this thread or task has not begun the block that it ends")


def block(function: Callable[_P, Iterator[None]]) -> Callable[_P, Block]:
    """Decorate a generator as :func:`contextlib.contextmanager` does, for objects that can be used again."""
    manager = contextlib.contextmanager(function)

    @functools.wraps(function)
    def of(*args: _P.args, **kwargs: _P.kwargs) -> Block:
        return Block(functools.partial(manager, *args, **kwargs))

    return of
