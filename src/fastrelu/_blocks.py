"""Settings of a ``with`` block that can be kept and opened again."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_Function = TypeVar("_Function", bound=Callable[..., Any])


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

    def __call__(self, func: _Function) -> _Function:
        """Decorate a function. The body of a generator or coroutine runs after the call, step by step: each is a block."""
        call: Any
        if inspect.isasyncgenfunction(func):
            raise TypeError(
                f"{func.__name__} is an asynchronous generator, which cannot be decorated: open the block in it, around "
                "what it computes"
            )
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def call(*args: Any, **kwargs: Any) -> Any:
                return await _awaited(self, func(*args, **kwargs))

        elif inspect.isgeneratorfunction(func):

            @functools.wraps(func)
            def call(*args: Any, **kwargs: Any) -> Any:
                return (yield from _steps(self, func(*args, **kwargs)))

        else:
            call = super().__call__(func)
        return call  # type: ignore[no-any-return]  # it has the signature of func


def _steps(block: Block, steps: Any) -> Generator[Any, Any, Any]:
    """Go through a generator or coroutine with each of its steps in a block, which ends where others go on."""
    step, given = steps.send, None
    try:
        while True:
            try:
                with block:
                    made = step(given)
            except StopIteration as end:
                return end.value
            try:
                step, given = steps.send, (yield made)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  raised where it waits, and it may go on, also after a cancellation
                step, given = steps.throw, error
    finally:
        with block:
            steps.close()


_awaited = types.coroutine(_steps)


def block(function: Callable[_P, Iterator[None]]) -> Callable[_P, Block]:
    """Decorate a generator as :func:`contextlib.contextmanager` does, for objects that can be used again.

    If it has no options, what it returns also decorates a function itself, as in PyTorch: without parentheses.
    """
    manager = contextlib.contextmanager(function)
    has_options = bool(inspect.signature(function).parameters)

    @functools.wraps(function)
    def of(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], types.FunctionType):
            if has_options:
                raise TypeError(f"{function.__name__} takes its options before it decorates: @{function.__name__}(...)")
            return Block(manager)(*args, **kwargs)
        return Block(functools.partial(manager, *args, **kwargs))

    return of
