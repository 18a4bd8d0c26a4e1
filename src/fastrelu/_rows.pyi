from typing import Any, TypeVar

from numpy.typing import NDArray

from fastrelu._row_kernels import Load, RowKernels

_T = TypeVar("_T")

def forward(kernels: RowKernels, kind: int, x: object, axis: object, out: object, where: object) -> Any: ...
def forward_loaded(
    kernels: RowKernels, kind: int, x: object, axis: object, out: object, where: object, load: Load
) -> Any: ...
def foresee(
    kernels: RowKernels,
    kind: int,
    backward: bool,
    x: object,
    second: object,
    axis: object,
    out: object,
    where: object,
    load: Load | None,
) -> dict[str, Any]: ...
def forward_in_place(kernels: RowKernels, kind: int, x: _T, axis: object, where: object) -> _T: ...
def from_output(
    kernels: RowKernels,
    kind: int,
    grad: object,
    y: object,
    axis: object,
    out: object,
    factor: float = ...,
    divides: bool = ...,
) -> Any: ...
def backward_loaded(
    kernels: RowKernels,
    name: str,
    kind: int,
    grad: NDArray[Any],
    x: NDArray[Any],
    axes: tuple[int, ...],
    load: Load,
    capper_backward: object,
    mask: NDArray[Any] | None,
    keeps: bool,
    copied: bool,
    out: object,
) -> tuple[Any, float, Any, Any]: ...
def as_real(name: str, x: object) -> NDArray[Any]: ...
