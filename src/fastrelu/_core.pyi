from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")

explained_context: ContextVar[bool]
learners: list[Callable[[], None]]

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
def load_kernels(isa: str, activation: str | None = None) -> dict[str, Kernel]: ...
def add_promoter(ufunc: np.ufunc) -> None: ...
def as_half(x: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]: ...
def as_native(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
def is_bfloat16(dtype: np.dtype[Any]) -> bool: ...
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

ADD: int
MULTIPLY: int

def target_in_place(name: str, x: object) -> Any: ...
def joint_dtype(*operands: object) -> np.dtype[Any]: ...
def stored(name: str, result: _T, out: object) -> Any: ...
def empty_like(x: NDArray[Any]) -> NDArray[Any]: ...
def small_sum(x: object, bias: object, residual: object, in_place: bool) -> NDArray[Any] | None: ...
def small_unit(
    name: str,
    kernel: Kernel,
    numbers: tuple[Any, ...],
    x: object,
    axis: object,
    second: bool,
    gate: object,
    layout: object,
    out: object,
) -> NDArray[Any] | None: ...
def small_unit_backward(
    name: str,
    kernel: Kernel,
    backward: Kernel,
    numbers: tuple[Any, ...],
    grad: object,
    x: object,
    axis: object,
    second: bool,
    gate: object,
    layout: object,
    out: object,
) -> Any: ...
def linear(
    x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None, kernel: Kernel | None, numbers: tuple[Any, ...]
) -> NDArray[Any]: ...
def call_fused(
    name: str, passes: tuple[tuple[Kernel, tuple[Any, ...], tuple[tuple[int, int, Any], ...], Any], ...]
) -> tuple[Any, ...] | None: ...
