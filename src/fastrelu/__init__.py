"""Neural-network activation functions and their gradients on NumPy arrays."""

import sys as _sys
from typing import TYPE_CHECKING

# On the command line, handle Ctrl-C and errors before the imports below, which are slow and may fail.
_as_module = _sys.argv[:1] == ["-m"] and _sys.orig_argv[-len(_sys.argv) :][:1] in (["fastrelu"], ["-mfastrelu"])
_as_script = "".join(_sys.argv[:1]).replace("\\", "/").rpartition("/")[2] in {"fastrelu", "fastrelu.exe"}
if _as_module or _as_script:
    from fastrelu._cli import guard as _guard

    _guard.arm()

try:
    from fastrelu import _core as _core
except ImportError as error:
    if error.name != "fastrelu":  # the core exists; its error names what is missing, such as NumPy
        raise
    raise ImportError(
        "the compiled core of fastrelu is missing: install it (pip install .); neither its source tree nor a zip archive "
        "can be imported"
    ) from error

from fastrelu import activations, along_axis, gated_units, losses, runtime
from fastrelu import ufuncs as ufuncs
from fastrelu._later import Later as _Later
from fastrelu._version import __version__ as __version__
from fastrelu.activations.exponential import *
from fastrelu.activations.gated import *
from fastrelu.activations.rectifiers import *
from fastrelu.activations.shrinkage import *
from fastrelu.activations.sigmoidal import *
from fastrelu.along_axis import *
from fastrelu.explanation import Explanation as Explanation
from fastrelu.explanation import explain as explain
from fastrelu.gated_units import *
from fastrelu.limits import error_bound as error_bound
from fastrelu.losses import *
from fastrelu.runtime import *

if TYPE_CHECKING:
    from fastrelu import conventions as conventions
    from fastrelu import diagnostics as diagnostics
    from fastrelu import fused as fused
    from fastrelu import masks as masks
    from fastrelu import nn as nn
    from fastrelu import optim as optim
    from fastrelu import quantized as quantized
else:  # type checkers follow the imports above, but not a computed list
    # A program that calls functions of arrays needs no layers, which take six times as long to import as the rest.
    nn, optim, fused = _Later("fastrelu.nn"), _Later("fastrelu.optim"), _Later("fastrelu.fused")
    conventions, masks = _Later("fastrelu.conventions"), _Later("fastrelu.masks")
    quantized, diagnostics = _Later("fastrelu.quantized"), _Later("fastrelu.diagnostics")
    # These are for the package itself. They have their places too, so that no call changes the size of vars(fastrelu)
    # while somebody iterates over it.
    _catalogue, _extras = _Later("fastrelu._catalogue"), _Later("fastrelu._extras")
    _packed, _quantized, _stats = _Later("fastrelu._packed"), _Later("fastrelu._quantized"), _Later("fastrelu._stats")
    _steps, _read_only = _Later("fastrelu._steps"), _Later("fastrelu._read_only")
    _walk = _Later("fastrelu._walk")

    __all__ = [
        *(
            "Explanation",
            "__version__",
            "conventions",
            "error_bound",
            "explain",
            "fused",
            "masks",
            "nn",
            "optim",
            "quantized",
            "ufuncs",
        ),
        *activations.__all__,
        *along_axis.__all__,
        *gated_units.__all__,
        *losses.__all__,
        *runtime.__all__,
    ]
