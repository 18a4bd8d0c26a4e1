"""Neural-network activation functions and their gradients on NumPy arrays."""

try:
    from fastrelu import _core as _core
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled core of fastrelu is missing: install it (pip install .), its source tree cannot be imported"
    ) from error

from fastrelu import activations, runtime, ufuncs
from fastrelu.activations import *
from fastrelu.limits import error_bound
from fastrelu.runtime import *

__version__ = "0.1.0"

__all__ = ["__version__", "error_bound", "ufuncs", *activations.__all__, *runtime.__all__]
