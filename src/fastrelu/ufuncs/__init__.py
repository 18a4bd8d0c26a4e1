"""The NumPy ufuncs behind the functions, by name: ``ufuncs.relu`` is fast, ``ufuncs.accurate.relu`` accurate."""

from typing import TYPE_CHECKING

from fastrelu.runtime import kernels
from fastrelu.ufuncs import accurate

if TYPE_CHECKING:
    import numpy as np

    def __getattr__(name: str) -> np.ufunc: ...


globals().update({name: kernel.fast for name, kernel in kernels.items()})

__all__ = ["accurate", *kernels]
