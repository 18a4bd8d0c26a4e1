from collections.abc import Callable
from typing import Any, final

import numpy as np

learners: list[Callable[[], None]]
quiet: np.errstate
quietly: Callable[..., Any]

@final
class Kernel:
    name: str
    fast: np.ufunc
    accurate: np.ufunc
    operands: tuple[str, ...]
    cost: int
    def __init__(
        self,
        op: int,
        direction: int,
        isa: str,
        function: str | None = None,
        parameters: tuple[str, ...] | None = None,
    ) -> None: ...

def is_bfloat16(dtype: np.dtype[Any]) -> bool: ...
def add_promoter(ufunc: np.ufunc) -> None: ...
def kernel_names() -> list[tuple[str, int, str]]: ...
def load_kernels(isa: str, activation: str | None = None) -> dict[str, Kernel]: ...
def renamed(kernel: Kernel, isa: str, function: str, *parameters: str) -> Kernel: ...
def as_half(x: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]: ...
def as_native(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
def copy_into(target: np.ndarray[Any, Any], result: Any, where: Any = True) -> None: ...
