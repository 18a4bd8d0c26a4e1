from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu._kernels import Kernel

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
