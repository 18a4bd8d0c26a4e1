from typing import Any

from numpy.typing import NDArray

from fastrelu._kernels import Kernel

ADD: int
MULTIPLY: int

def small_sum(
    x: object, bias: object, residual: object, in_place: bool, axis: object = -1, whole: bool = False
) -> NDArray[Any] | None: ...
def linear(
    x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None, kernel: Kernel | None, numbers: tuple[Any, ...]
) -> NDArray[Any]: ...
def linear_or_none(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None) -> NDArray[Any] | None: ...
def product(x: NDArray[Any], weight: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]: ...
def sum_of_rows(x: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]: ...
def call_fused(
    name: str, passes: tuple[tuple[Kernel, tuple[Any, ...], tuple[tuple[int, int, Any], ...], Any], ...]
) -> tuple[Any, ...] | None: ...
