"""Layers and losses with explicit forward and backward; PyTorch's names and arguments, NumPy's arrays."""

from fastrelu.nn import init as init
from fastrelu.nn import utils as utils
from fastrelu.nn.activation import Activation as Activation
from fastrelu.nn.containers import ModuleDict as ModuleDict
from fastrelu.nn.containers import ModuleList as ModuleList
from fastrelu.nn.containers import Sequential as Sequential
from fastrelu.nn.dropout import Dropout as Dropout
from fastrelu.nn.exponential import *
from fastrelu.nn.gated import *
from fastrelu.nn.learnable import PReLU as PReLU
from fastrelu.nn.learnable import SReLU as SReLU
from fastrelu.nn.linear import Linear as Linear
from fastrelu.nn.losses import *
from fastrelu.nn.module import Module as Module
from fastrelu.nn.parameter import Parameter as Parameter
from fastrelu.nn.rectifiers import *
from fastrelu.nn.shaping import Flatten as Flatten
from fastrelu.nn.shaping import Identity as Identity
from fastrelu.nn.shrinkage import *
from fastrelu.nn.sigmoidal import *
from fastrelu.nn.softmax import *
