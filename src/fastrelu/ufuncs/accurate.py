"""The ufuncs of precision "accurate", by name."""

from fastrelu.runtime import kernels

globals().update({name: kernel.accurate for name, kernel in kernels.items()})

__all__ = list(kernels)
