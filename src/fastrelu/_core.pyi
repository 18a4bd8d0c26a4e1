from contextvars import ContextVar
from typing import Any, TypeVar, final

import numpy as np

_T = TypeVar("_T")

explained_context: ContextVar[bool]

class Explained(BaseException): ...

@final
class Kernel:
    name: str
    fast: np.ufunc
    accurate: np.ufunc
    operands: tuple[str, ...]
    cost: int
    def __init__(self, op: int, direction: int, isa: str) -> None: ...

def streams(kernel: Kernel, size: int, parts: int) -> bool: ...
def explain_calls(change: int) -> None: ...
def explaining() -> bool: ...
def kernel_names() -> list[tuple[str, int, str]]: ...
def load_kernels(isa: str) -> dict[str, Kernel]: ...
def check_types(name: str, names: tuple[str, ...], values: tuple[object, ...]) -> None: ...
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
