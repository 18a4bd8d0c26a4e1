"""Layers of the exponential functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrelu._core import check_types
from fastrelu._options import number
from fastrelu.limits import SOFTPLUS_ENDS
from fastrelu.nn.activation import Activation
from fastrelu.nn.learnable import Learnable

__all__ = [
    "CELU",
    "ELU",
    "SELU",
    "Log1mexp",
    "LogSigmoid",
    "Softplus",
    "Squareplus",
]

_FLOAT = np.dtype(np.float32)


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
        self.alpha = self._initial("alpha", alpha, learnable, num_parameters, axis, dtype)
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
        self.alpha = self._initial("alpha", alpha, learnable, num_parameters, axis, dtype)
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


class _Softplus(Learnable, function="softplus"):
    """Layer of :func:`fastrelu.softplus`, without a threshold."""


class Softplus(_Softplus):
    """Layer of :func:`fastrelu.softplus`, with PyTorch's threshold.

    Computes ``log(1 + exp(beta * x)) / beta`` where ``beta * x <= threshold``, ``x`` elsewhere.

    Parameters
    ----------
    beta : float, default 1.0
        Sharpness; greater than 0.
    threshold : float, default 20.0
        From where on the layer returns its input, and its gradient. With ``math.inf`` there is no such place: the
        function needs none to be accurate. In float32 thresholds from 17.5 on change no bit.
    inplace : bool, default False
        Whether to overwrite the input.
    learnable, num_parameters, axis, dtype
        Whether `beta` is learned, and how: see :class:`~fastrelu.nn.learnable.Learnable`.

    Raises
    ------
    ValueError
        If `threshold` is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softplus()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1269, 0.4741, 0.6931, 3.0486], dtype=float32)
    >>> nn.Softplus(threshold=1.0)(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([0.1269, 0.4741, 0.6931, 3.    ], dtype=float32)
    """

    def __init__(
        self,
        beta: float = 1.0,
        threshold: float = 20.0,
        *,
        inplace: bool = False,
        learnable: bool = False,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.beta = self._initial("beta", beta, learnable, num_parameters, axis, dtype)
        self.threshold = threshold
        super().__init__(inplace)

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name == "threshold":
            number(name, value)

    def _output_determines(self) -> bool:
        # Below, outputs on both sides of the threshold are the same.
        return self.threshold >= SOFTPLUS_ENDS[4] and super()._output_determines()

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:
        return [*super()._arguments(shape), self.threshold]

    def _beyond(self, x: ArrayLike, beta: Any, threshold: float) -> Any:
        """Return where the layer is the identity; None where the function is, to the last bit."""
        if type(x) is np.ndarray and x.dtype is _FLOAT and type(beta) is float and threshold >= SOFTPLUS_ENDS[4]:
            return None
        array: Any = x if isinstance(getattr(x, "dtype", None), np.dtype) else np.asarray(x)  # of a list, or a tensor
        check_types("softplus", ("beta",), (beta,))
        if threshold >= SOFTPLUS_ENDS[8 if np.result_type(array.dtype, np.float32, beta).itemsize > 4 else 4]:
            return None
        with np.errstate(over="ignore"):  # infinity is beyond the threshold
            return np.multiply(array, beta) > threshold

    def _function(self, x: ArrayLike, beta: Any, threshold: float) -> Any:
        y, beyond = super()._function(x, beta), self._beyond(x, beta, threshold)
        return y if beyond is None else np.where(beyond, x, y)[()]

    def _function_(self, x: Any, beta: Any, threshold: float) -> Any:
        beyond = self._beyond(x, beta, threshold)
        return super()._function_(x, beta, where=True if beyond is None else ~beyond)

    def _pass(self, function: Any, grad: Any, array: Any, beta: Any, threshold: float, out: Any) -> Any:
        """Call a gradient where the layer is not the identity; elsewhere it is `grad`."""
        beyond = self._beyond(array, beta, threshold)
        if beyond is None:
            return function(grad, array, beta, out=out)
        if out is not None:  # `out` is `grad`
            return function(grad, array, beta, out=out, where=~beyond)
        return np.where(beyond, grad, function(grad, array, beta))[()]

    def _backward(self, grad: Any, x: Any, beta: Any, threshold: float, *, out: Any = None) -> Any:
        return self._pass(super()._backward, grad, x, beta, threshold, out)

    def _backward_from_output(self, grad: Any, y: Any, beta: Any, threshold: float, *, out: Any = None) -> Any:
        return self._pass(super()._backward_from_output, grad, y, beta, threshold, out)

    def _backward_parameters(self, grad: Any, x: Any, *arguments: Any, out: Any) -> Any:
        beta, threshold = arguments
        beyond = self._beyond(x, beta, threshold)
        if beyond is None:
            return super()._backward_parameters(grad, x, beta, out=out)
        dx, dbeta = super()._backward_parameters(np.where(beyond, 0, grad), x, beta, out=None)
        if out is None:
            return np.where(beyond, grad, dx)[()], dbeta
        np.copyto(out, dx, where=~beyond)
        return out, dbeta

    def extra_repr(self) -> str:
        """Return beta, or the number of learned values, the threshold, and whether the layer works in place."""
        shown = super().extra_repr().split(", inplace")
        shown[0] += f", threshold={self.threshold}"
        return ", inplace".join(shown)


class LogSigmoid(Activation, function="log_sigmoid"):
    """Layer of :func:`fastrelu.log_sigmoid`: ``-log(1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.LogSigmoid()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-2.1269, -0.9741, -0.6931, -0.0486], dtype=float32)
    """


class Log1mexp(Activation, function="log1mexp"):
    """Layer of :func:`fastrelu.log1mexp`: ``log(1 - exp(-x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Log1mexp()(np.float32([0.0, 0.5, 1.0, 3.0])).round(4)
    array([   -inf, -0.9328, -0.4587, -0.0511], dtype=float32)
    """


class Squareplus(Activation, function="squareplus"):
    """Layer of :func:`fastrelu.squareplus`: ``(x + sqrt(x ** 2 + b)) / 2``.

    Parameters
    ----------
    b : float, default 4.0
        Width of the bend around 0; at least 0.
    inplace : bool, default False
        Whether to overwrite the input.

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
