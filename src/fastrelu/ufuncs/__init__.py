"""The NumPy ufuncs behind the functions, by name: ``ufuncs.relu`` is fast, ``ufuncs.accurate.relu`` accurate.

Those of functions along an axis are generalized ufuncs: ``ufuncs.softmax(x, axis=0)``. They have no `where`; their relatives,
such as ``ufuncs.softmax_where(x, mask)``, take the mask as the last input. NumPy runs them on one thread, and ignores the mask of
a masked array, which the functions refuse. Beside an array of 16 bits NumPy rounds a number to 16 bits, for every ufunc; the
functions round it to float32: ``ufuncs.elu(x, 0.3)`` of a float16 array is ``elu(x, np.float16(0.3))``.
"""

from typing import TYPE_CHECKING

from fastrelu.runtime import kernels, rows
from fastrelu.ufuncs import accurate

if TYPE_CHECKING:
    import numpy as np

    from fastrelu._kernels import Kernel
    from fastrelu._row_kernels import RowUfunc

    def __getattr__(name: str) -> np.ufunc: ...


_all: "dict[str, Kernel | RowUfunc]" = {**kernels, **rows.ufuncs}
globals().update({name: kernel.fast for name, kernel in _all.items()})

__all__ = ["accurate", *_all]
