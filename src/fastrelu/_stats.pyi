from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

summary_dtype: np.dtype[np.void]

def by_stride(x: NDArray[Any], axes: Iterable[int]) -> list[int]: ...
def summarize(x: NDArray[Any], units: list[int], low: float, high: float, isa: str) -> NDArray[np.void]: ...
def merge(into: NDArray[np.void], other: NDArray[np.void]) -> None: ...
