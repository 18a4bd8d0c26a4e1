from typing import Any

from numpy.typing import NDArray

from fastrelu._kernels import Kernel

def dense_unit(
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
def dense_unit_backward(
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
