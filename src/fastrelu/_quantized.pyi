from typing import Any

from numpy.typing import NDArray

from fastrelu._kernels import Kernel

def quantize(
    name: str,
    isa: str,
    forward: Kernel | None,
    numbers: tuple[Any, ...],
    x: NDArray[Any],
    scale: Any,
    zero: Any,
    low: float,
    high: float,
    out: NDArray[Any],
    axis: int | None = None,
) -> None: ...
def dequantize(
    name: str, isa: str, q: NDArray[Any], scale: Any, zero: Any, out: NDArray[Any], axis: int | None = None
) -> None: ...
def lookup(
    name: str, isa: str, table: NDArray[Any], x: NDArray[Any], out: NDArray[Any], axis: int | None = None
) -> None: ...
def plain_quantize(
    name: str,
    isa: str,
    forward: Kernel | None,
    numbers: tuple[Any, ...],
    x: object,
    scale: object,
    zero: object,
    bytes_type: object,
    out: object,
    axis: object,
) -> Any: ...
def plain_dequantize(
    name: str, isa: str, q: object, scale: object, zero: object, dtype: object, out: object, axis: object
) -> Any: ...
def plain_lookup(name: str, isa: str, table: object, q: object, out: object, axis: object) -> Any: ...
