from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from fastrelu._kernels import Kernel

MSE: int
L1: int
HUBER: int
SMOOTH_L1: int
BINARY: int
BINARY_WITH_LOGITS: int

def use_kernels(softplus: Kernel, sigmoid: Kernel, hard_tanh: Kernel) -> None: ...
def small(
    formula: int,
    end: float,
    prediction: object,
    target: object,
    weight: object,
    pos_weight: object,
    reduction: object,
    with_grad: bool,
    most: int,
) -> tuple[Any, Any] | None: ...
def scaled(gradient: NDArray[Any], grad: object, axes: tuple[int, ...], most: int) -> NDArray[Any] | None: ...
def small_nll(
    log_probabilities: object,
    labels: object,
    weight: object,
    ignore_index: object,
    reduction: object,
    with_grad: bool,
    most: int,
) -> tuple[Any, Any] | None: ...

@final
class Formula:
    def __init__(self, number: int, end: float, weighted: bool) -> None: ...
    @property
    def factor(self) -> float: ...
    def __call__(
        self,
        each: NDArray[Any],
        slope: NDArray[Any],
        with_grad: bool,
        x: NDArray[Any],
        y: NDArray[Any],
        *factors: NDArray[Any],
    ) -> tuple[NDArray[Any], ...]: ...
    def whole(
        self,
        operands: Sequence[NDArray[Any]],
        dtype: np.dtype[Any],
        reduction: str,
        loss_dtype: np.dtype[Any],
        grad_dtype: np.dtype[Any] | None,
    ) -> tuple[Any, Any]: ...
