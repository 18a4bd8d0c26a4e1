"""Layers of the exponential functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastrelu.nn.activation import Activation
from fastrelu.nn.learnable import Learnable

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
    "CELU",
    "ELU",
    "SELU",
    "LogSigmoid",
    "Softplus",
    "Squareplus",
]


class ELU(Learnable, function="elu"):
    """Layer of :func:`fastrelu.elu`: ``x`` where ``x > 0``, ``alpha * expm1(x)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        The function tends to ``-alpha`` at -inf.
    inplace : bool, default False
        Whether to overwrite the input.
    learnable, num_parameters, axis, dtype
        Whether `alpha` is learned, and how: see :class:`~fastrelu.nn.learnable.Learnable`.

    Raises
    ------
    ValueError
        If `inplace` is True and `alpha` is learned or negative: the output does not determine the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.ELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.8647, -0.3935,  0.    ,  3.    ], dtype=float32)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        inplace: bool = False,
        *,
        learnable: bool = False,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.alpha = self._initial(alpha, learnable, num_parameters, axis, dtype)
        super().__init__(inplace)


class CELU(Learnable, function="celu"):
    """Layer of :func:`fastrelu.celu`: ``max(x, 0) + min(0, alpha * expm1(x / alpha))``.

    Parameters
    ----------
    alpha : float, default 1.0
        The function tends to ``-alpha`` at -inf; it also scales x.
    inplace : bool, default False
        Whether to overwrite the input.
    learnable, num_parameters, axis, dtype
        Whether `alpha` is learned, and how: see :class:`~fastrelu.nn.learnable.Learnable`.

    Raises
    ------
    ValueError
        If `inplace` is True and `alpha` is learned or not positive: the output does not determine the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.CELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.8647, -0.3935,  0.    ,  3.    ], dtype=float32)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        inplace: bool = False,
        *,
        learnable: bool = False,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.alpha = self._initial(alpha, learnable, num_parameters, axis, dtype)
        super().__init__(inplace)


class SELU(Activation, function="selu"):
    """Layer of :func:`fastrelu.selu`: ``scale * x`` where ``x > 0``, ``scale * alpha * expm1(x)`` elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-1.5202, -0.6918,  0.    ,  3.1521], dtype=float32)
    """


class Softplus(Learnable, function="softplus"):
    """Layer of :func:`fastrelu.softplus`: ``log(1 + exp(beta * x)) / beta``, without a threshold.

    Parameters
    ----------
    beta : float, default 1.0
        Sharpness; greater than 0.
    inplace : bool, default False
        Whether to overwrite the input.
    learnable, num_parameters, axis, dtype
        Whether `beta` is learned, and how: see :class:`~fastrelu.nn.learnable.Learnable`.

    Raises
    ------
    ValueError
        If `inplace` is True and `beta` is learned: its gradient needs the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softplus()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1269, 0.4741, 0.6931, 3.0486], dtype=float32)
    """

    def __init__(
        self,
        beta: float = 1.0,
        *,
        inplace: bool = False,
        learnable: bool = False,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.beta = self._initial(beta, learnable, num_parameters, axis, dtype)
        super().__init__(inplace)


class LogSigmoid(Activation, function="log_sigmoid"):
    """Layer of :func:`fastrelu.log_sigmoid`: ``-log(1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.LogSigmoid()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-2.1269, -0.9741, -0.6931, -0.0486], dtype=float32)
    """


class Squareplus(Activation, function="squareplus"):
    """Layer of :func:`fastrelu.squareplus`: ``(x + sqrt(x ** 2 + b)) / 2``.

    Parameters
    ----------
    b : float, default 4.0
        Width of the bend around 0; at least 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `inplace` is True and ``b`` is not greater than 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Squareplus()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.4142, 0.7808, 1.    , 3.3028], dtype=float32)
    """

    def __init__(self, b: float = 4.0, *, inplace: bool = False) -> None:
        self.b = b
        super().__init__(inplace)
