"""The NumPy ufuncs behind the functions, by name: ``ufuncs.relu`` is fast, ``ufuncs.accurate.relu`` accurate."""

from fastrelu.runtime import kernels
from fastrelu.ufuncs import accurate

globals().update({name: kernel.fast for name, kernel in kernels.items()})

__all__ = ["accurate", *kernels]
