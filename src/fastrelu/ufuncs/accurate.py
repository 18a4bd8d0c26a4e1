"""The ufuncs of precision "accurate", by name."""

from typing import TYPE_CHECKING

from fastrelu.runtime import kernels

if TYPE_CHECKING:
    import numpy as np

    def __getattr__(name: str) -> np.ufunc: ...


globals().update({name: kernel.accurate for name, kernel in kernels.items()})

__all__ = list(kernels)
