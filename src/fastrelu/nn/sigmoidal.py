"""Layers of the sigmoidal functions."""

from __future__ import annotations

from fastrelu.nn.activation import Activation

__all__ = [
    "Erf",
    "Hardsigmoid",
    "Hardtanh",
    "Logit",
    "Sigmoid",
    "Softcap",
    "Softsign",
    "SparsePlus",
    "SparseSigmoid",
    "Tanh",
]


class Sigmoid(Activation, function="sigmoid"):
    """Layer of :func:`fastrelu.sigmoid`: ``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Sigmoid()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1192, 0.3775, 0.5   , 0.9526], dtype=float32)
    """


class Tanh(Activation, function="tanh"):
    """Layer of :func:`fastrelu.tanh`: ``tanh(x)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Tanh()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.964 , -0.4621,  0.    ,  0.9951], dtype=float32)
    """


class Softcap(Activation, function="softcap"):
    """Layer of :func:`fastrelu.softcap`: ``cap * tanh(x / cap)``.

    Parameters
    ----------
    cap : float
        Limit of the output; finite and greater than 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softcap(2.0)(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-1.5232, -0.4898,  0.    ,  1.8103], dtype=float32)
    """

    def __init__(self, cap: float, *, inplace: bool = False) -> None:
        self.cap = cap
        super().__init__(inplace)


class Softsign(Activation, function="softsign"):
    """Layer of :func:`fastrelu.softsign`: ``x / (1 + abs(x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softsign()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.6667, -0.3333,  0.    ,  0.75  ], dtype=float32)
    """


class Erf(Activation, function="erf"):
    """Layer of :func:`fastrelu.erf`: the error function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Erf()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.9953, -0.5205,  0.    ,  1.    ], dtype=float32)
    """


class Logit(Activation, function="logit"):
    """Layer of :func:`fastrelu.logit`: ``log(x / (1 - x))``.

    Parameters
    ----------
    eps : float or None, default None
        The input is limited to the interval from `eps` to ``1 - eps`` first; None does not limit it.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Logit(0.25)(np.float32([0.0, 0.5, 0.7, 1.0])).round(4)
    array([-1.0986,  0.    ,  0.8473,  1.0986], dtype=float32)
    """

    def __init__(self, eps: float | None = None, *, inplace: bool = False) -> None:
        self.eps = eps
        super().__init__(inplace)


class Hardsigmoid(Activation, function="hard_sigmoid"):
    """Layer of :func:`fastrelu.hard_sigmoid`: ``min(max(slope * x + offset, 0), 1)``.

    Parameters
    ----------
    inplace : bool, default False
        Whether to overwrite the input.
    slope : float, default 1/6
        Slope between the limits 0 and 1; greater than 0.
    offset : float, default 0.5
        Value of the function at 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardsigmoid()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1667, 0.4167, 0.5   , 1.    ], dtype=float32)
    """

    def __init__(self, inplace: bool = False, *, slope: float = 1 / 6, offset: float = 0.5) -> None:
        self.slope = slope
        self.offset = offset
        super().__init__(inplace)

    def extra_repr(self) -> str:
        """Return slope and offset unless they are the defaults, and whether the layer works in place."""
        default = (repr(self.slope), repr(self.offset)) == (repr(1 / 6), "0.5")  # arrays have no truth value
        return ("inplace=True" if self.inplace else "") if default else super().extra_repr()


class Hardtanh(Activation, function="hard_tanh", exact=True):
    """Layer of :func:`fastrelu.hard_tanh`: ``min(max(x, min_val), max_val)``.

    Parameters
    ----------
    min_val : float, default -1.0
        Smallest output.
    max_val : float, default 1.0
        Largest output.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardtanh()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1. , -0.5,  0. ,  1. ], dtype=float32)
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val = min_val
        self.max_val = max_val
        super().__init__(inplace)


class SparsePlus(Activation, function="sparse_plus"):
    """Layer of :func:`fastrelu.sparse_plus`: 0, ``(x + 1) ** 2 / 4`` or ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SparsePlus()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0.    , 0.0625, 0.25  , 3.    ], dtype=float32)
    """


class SparseSigmoid(Activation, function="sparse_sigmoid"):
    """Layer of :func:`fastrelu.sparse_sigmoid`: ``min(max((x + 1) / 2, 0), 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SparseSigmoid()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0.  , 0.25, 0.5 , 1.  ], dtype=float32)
    """
