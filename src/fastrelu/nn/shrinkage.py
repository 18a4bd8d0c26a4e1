"""Layers of the shrinkage functions."""

from __future__ import annotations

from fastrelu.nn.activation import Activation
from fastrelu.nn.masked import Masked

__all__ = [
    "Hardshrink",
    "Shrink",
    "Softshrink",
    "Tanhshrink",
]


class Hardshrink(Activation, function="hard_shrink", exact=True):
    """Layer of :func:`fastrelu.hard_shrink`: ``x`` where ``abs(x) > lambd``, 0 elsewhere.

    Parameters
    ----------
    lambd : float, default 0.5
        Half-width of the interval around 0 that is set to 0; at least 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardshrink()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-2.,  0.,  0.,  3.], dtype=float32)
    """

    def __init__(self, lambd: float = 0.5, *, inplace: bool = False) -> None:
        self.lambd = lambd
        super().__init__(inplace)

    def extra_repr(self) -> str:
        """Return the parameter without its name, as PyTorch does."""
        return super().extra_repr().removeprefix("lambd=")


class Softshrink(Activation, function="soft_shrink", exact=True):
    """Layer of :func:`fastrelu.soft_shrink`: ``x`` moved toward 0 by ``lambd``.

    Parameters
    ----------
    lambd : float, default 0.5
        Half-width of the interval around 0 that is set to 0; at least 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softshrink()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1.5,  0. ,  0. ,  2.5], dtype=float32)
    """

    def __init__(self, lambd: float = 0.5, *, inplace: bool = False) -> None:
        self.lambd = lambd
        super().__init__(inplace)

    def extra_repr(self) -> str:
        """Return the parameter without its name, as PyTorch does."""
        return super().extra_repr().removeprefix("lambd=")


class Shrink(Masked, function="shrink"):
    """Layer of :func:`fastrelu.shrink`: ``x`` moved toward 0 by ``bias`` where ``abs(x) > lambd``, 0 elsewhere.

    Parameters
    ----------
    lambd : float, default 0.5
        Half-width of the interval around 0 that is set to 0; at least 0.
    bias : float, default 0.0
        How far the rest is moved toward 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Shrink(0.5, 0.25)(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1.75,  0.  ,  0.  ,  2.75], dtype=float32)
    """

    def __init__(self, lambd: float = 0.5, bias: float = 0.0, *, inplace: bool = False) -> None:
        self.lambd = lambd
        self.bias = bias
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.bias <= self.lambd


class Tanhshrink(Activation, function="tanh_shrink"):
    """Layer of :func:`fastrelu.tanh_shrink`: ``x - tanh(x)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Tanhshrink()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-1.036 , -0.0379,  0.    ,  2.0049], dtype=float32)
    """
