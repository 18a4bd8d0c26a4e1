from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

isa_known: tuple[str, ...]
isa_built: tuple[str, ...]
isa_available: tuple[str, ...]
openmp: int
cython_version: str
parallel_from: tuple[int, int, int]
waking_from: tuple[int, int, int]
recycle_from: int
second_cache: int
dtypes: tuple[np.dtype[Any], ...]
precision_override: ContextVar[int]
thread_override: ContextVar[int]

def set_defaults(
    precision: int | None = None,
    threads: int | None = None,
    stream_from: int | None = None,
    parallel_from: tuple[int, int, int] | None = None,
    waking_from: tuple[int, int, int] | None = None,
) -> None: ...
def team() -> dict[str, int]: ...
def set_team(
    spin: int | None = None,
    gap: int | None = None,
    hold: bool | None = None,
    insist: bool | None = None,
    granted: int | None = None,
) -> None: ...
def set_cache(limit: int | None = None, milliseconds: int | None = None, huge_pages: bool | None = None) -> None: ...
def clear_cache() -> None: ...
def cache_state() -> dict[str, int]: ...
def watch_overrides() -> None: ...
def precision_level() -> int: ...
def thread_count() -> int: ...
def call_whole(name: str, function: Callable[..., Any], *operands: Any) -> Any: ...
def pinned(name: str, *arrays: Any) -> list[Any]: ...
