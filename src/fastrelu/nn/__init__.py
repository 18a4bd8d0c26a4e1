"""Layers, losses and networks, which record what they call; PyTorch's names and arguments, NumPy's arrays."""

from fastrelu.nn import init as init
from fastrelu.nn import utils as utils
from fastrelu.nn.activation import Activation as Activation
from fastrelu.nn.containers import ModuleDict as ModuleDict
from fastrelu.nn.containers import ModuleList as ModuleList
from fastrelu.nn.containers import Sequential as Sequential
from fastrelu.nn.dropout import Dropout as Dropout
from fastrelu.nn.exponential import *
from fastrelu.nn.gated import *
from fastrelu.nn.gated_units import *
from fastrelu.nn.joining import Add as Add
from fastrelu.nn.joining import Concatenate as Concatenate
from fastrelu.nn.joining import Multiply as Multiply
from fastrelu.nn.learnable import XIELU as XIELU
from fastrelu.nn.learnable import PReLU as PReLU
from fastrelu.nn.learnable import SReLU as SReLU
from fastrelu.nn.linear import Linear as Linear
from fastrelu.nn.losses import *
from fastrelu.nn.module import Module as Module
from fastrelu.nn.parameter import Parameter as Parameter
from fastrelu.nn.record import detach as detach
from fastrelu.nn.record import enable_grad as enable_grad
from fastrelu.nn.record import no_grad as no_grad
from fastrelu.nn.rectifiers import *
from fastrelu.nn.shaping import Flatten as Flatten
from fastrelu.nn.shaping import Identity as Identity
from fastrelu.nn.shaping import Unflatten as Unflatten
from fastrelu.nn.shrinkage import *
from fastrelu.nn.sigmoidal import *
from fastrelu.nn.softmax import *
