from contextvars import ContextVar
from typing import Any, TypeVar, final

import numpy as np

_T = TypeVar("_T")

isa_known: tuple[str, ...]
isa_built: tuple[str, ...]
isa_available: tuple[str, ...]
openmp: int
cython_version: str
parallel_from: tuple[int, int, int]
waking_from: tuple[int, int, int]
recycle_from: int
precision_override: ContextVar[int]
thread_override: ContextVar[int]
report_variable: ContextVar[dict[str, Any]]

class Explained(BaseException): ...

@final
class Kernel:
    name: str
    fast: np.ufunc
    accurate: np.ufunc
    operands: tuple[str, ...]
    cost: int
    def __init__(self, op: int, direction: int, isa: str) -> None: ...

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
def streams(kernel: Kernel, size: int, parts: int) -> bool: ...
def set_cache(limit: int | None = None, milliseconds: int | None = None, huge_pages: bool | None = None) -> None: ...
def clear_cache() -> None: ...
def cache_state() -> dict[str, int]: ...
def explain_calls(change: int) -> None: ...
def explaining() -> bool: ...
def watch_overrides() -> None: ...
def precision_level() -> int: ...
def thread_count() -> int: ...
def kernel_names() -> list[tuple[str, int, str]]: ...
def load_kernels(isa: str) -> dict[str, Kernel]: ...
def call(
    kernel: Kernel,
    out: object,
    where: object,
    a: object,
    b: object = None,
    c: object = None,
    d: object = None,
    e: object = None,
    f: object = None,
) -> Any: ...
def call_unary(kernel: Kernel, out: object, where: object, x: object) -> Any: ...
def call_in_place(
    kernel: Kernel, where: object, x: _T, b: object = None, c: object = None, d: object = None, e: object = None
) -> _T: ...
def parts(whole: Any, axis: int, at: int) -> tuple[Any, Any]: ...
def call_side_by_side(
    name: str, first: Kernel, second: Kernel, params: tuple[float, ...], x: object, axis: int, out: object
) -> Any: ...
