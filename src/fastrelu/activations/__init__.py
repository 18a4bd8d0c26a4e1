"""The activation functions and their gradients, one module per family."""

from fastrelu.activations import exponential, gated, rectifiers, shrinkage, sigmoidal
from fastrelu.activations.exponential import *
from fastrelu.activations.gated import *
from fastrelu.activations.rectifiers import *
from fastrelu.activations.shrinkage import *
from fastrelu.activations.sigmoidal import *

__all__ = [
    *exponential.__all__,
    *gated.__all__,
    *rectifiers.__all__,
    *shrinkage.__all__,
    *sigmoidal.__all__,
]
