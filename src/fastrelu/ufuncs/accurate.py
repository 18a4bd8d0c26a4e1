"""The ufuncs of precision "accurate", by name."""

from typing import TYPE_CHECKING

from fastrelu.runtime import kernels, rows

if TYPE_CHECKING:
    import numpy as np

    from fastrelu._kernels import Kernel
    from fastrelu._row_kernels import RowUfunc

    def __getattr__(name: str) -> np.ufunc: ...


_all: "dict[str, Kernel | RowUfunc]" = {**kernels, **rows.ufuncs}
globals().update({name: kernel.accurate for name, kernel in _all.items()})

__all__ = list(_all)
