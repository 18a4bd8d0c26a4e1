from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu._core import Kernel

def mask_of(
    name: str,
    isa: str,
    forward: Kernel | None,
    numbers: tuple[Any, ...],
    gradient: Kernel | None,
    gradient_numbers: tuple[Any, ...],
    x: NDArray[Any],
    out: NDArray[Any] | None,
) -> NDArray[np.uint8]: ...
def select(
    name: str,
    isa: str,
    grad: NDArray[Any],
    bits: NDArray[np.uint8],
    inside: float,
    outside: Any,
    out: NDArray[Any],
) -> None: ...
def words_from(name: str, isa: str, words: NDArray[np.uint32], limit: int) -> NDArray[np.uint8]: ...
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
    name: str, isa: str, table: NDArray[Any], starts: NDArray[np.int64] | None, x: NDArray[Any], out: NDArray[Any]
) -> None: ...
def plain_mask_of(
    name: str,
    isa: str,
    forward: Kernel | None,
    numbers: tuple[Any, ...],
    gradient: Kernel | None,
    gradient_numbers: tuple[Any, ...],
    x: object,
    out: object,
) -> tuple[Any, NDArray[np.uint8]] | None: ...
def plain_select(
    name: str, isa: str, grad: object, bits: object, inside: object, outside: object, out: object
) -> Any: ...
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
def plain_lookup(name: str, isa: str, table: object, q: object, out: object) -> Any: ...
