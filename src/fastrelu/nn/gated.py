"""Layers of the gated functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from fastrelu._options import choice
from fastrelu.nn.activation import Activation
from fastrelu.nn.learnable import Learnable

__all__ = [
    "GELU",
    "Dish",
    "Hardmish",
    "Hardswish",
    "Mish",
    "QuickGELU",
    "SiLU",
    "Swish",
]


class SiLU(Activation, function="silu"):
    """Layer of :func:`fastrelu.silu`: ``x * sigmoid(x)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SiLU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.2384, -0.1888,  0.    ,  2.8577], dtype=float32)
    """


class Swish(Learnable, function="swish"):
    """Layer of :func:`fastrelu.swish`: ``x * sigmoid(beta * x)``.

    Parameters
    ----------
    beta : float, default 1.0
        Sharpness of the gate.
    learnable, num_parameters, axis, dtype
        Whether `beta` is learned, and how: see :class:`~fastrelu.nn.learnable.Learnable`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Swish(1.702)(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0643, -0.1496,  0.    ,  2.9819], dtype=float32)
    """

    def __init__(
        self,
        beta: float = 1.0,
        *,
        learnable: bool = False,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.beta = self._initial("beta", beta, learnable, num_parameters, axis, dtype)
        super().__init__()


class GELU(Activation, function="gelu"):
    """Layer of :func:`fastrelu.gelu`: ``x * Phi(x)`` with Phi the normal distribution, or its tanh approximation.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        The exact form or the approximation with tanh.

    Raises
    ------
    ValueError
        If `approximate` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.GELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0455, -0.1543,  0.    ,  2.996 ], dtype=float32)
    """

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"approximate": choice("none", "tanh")}

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate
        super().__init__()


class QuickGELU(Activation, function="quick_gelu"):
    """Layer of :func:`fastrelu.quick_gelu`: ``x * sigmoid(1.702 * x)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.QuickGELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0643, -0.1496,  0.    ,  2.9819], dtype=float32)
    """


class Mish(Activation, function="mish"):
    """Layer of :func:`fastrelu.mish`: ``x * tanh(log(1 + exp(x)))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Mish()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.2525, -0.2207,  0.    ,  2.9865], dtype=float32)
    """


class Hardswish(Activation, function="hard_swish"):
    """Layer of :func:`fastrelu.hard_swish`: ``x * min(max(x + 3, 0), 6) / 6``, or another slope and offset of the gate.

    Parameters
    ----------
    inplace : bool, default False
        Whether to overwrite the input.
    slope : float, default 1/6
        Slope of the gate.
    offset : float, default 0.5
        Value of the gate at 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardswish()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.3333, -0.2083,  0.    ,  3.    ], dtype=float32)
    """

    def __init__(self, inplace: bool = False, *, slope: float = 1 / 6, offset: float = 0.5) -> None:
        self.slope = slope
        self.offset = offset
        super().__init__(inplace)

    def extra_repr(self) -> str:
        """Return slope and offset unless they are the defaults, and whether the layer works in place."""
        default = (repr(self.slope), repr(self.offset)) == (repr(1 / 6), "0.5")  # arrays have no truth value
        return ("inplace=True" if self.inplace else "") if default else super().extra_repr()


class Dish(Activation, function="dish"):
    """Layer of :func:`fastrelu.dish`: ``x / 2 * (1 + x / sqrt(1 + x ** 2))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Dish()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.1056, -0.1382,  0.    ,  2.923 ], dtype=float32)
    """


class Hardmish(Activation, function="hard_mish"):
    """Layer of :func:`fastrelu.hard_mish`: ``x * min(max(x + 2, 0), 2) / 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardmish()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.   , -0.375,  0.   ,  3.   ], dtype=float32)
    """
