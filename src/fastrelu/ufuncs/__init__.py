"""The NumPy ufuncs behind the functions, by name: ``ufuncs.relu`` is fast, ``ufuncs.accurate.relu`` accurate."""

from typing import TYPE_CHECKING

from fastrelu.runtime import kernels, rows
from fastrelu.ufuncs import accurate

if TYPE_CHECKING:
    import numpy as np

    from fastrelu._core import Kernel
    from fastrelu._rows import RowUfunc

    def __getattr__(name: str) -> np.ufunc: ...


_all: "dict[str, Kernel | RowUfunc]" = {**kernels, **rows.ufuncs}
globals().update({name: kernel.fast for name, kernel in _all.items()})

__all__ = ["accurate", *_all]
