"""Initial values of parameters.

A trailing underscore means in place, as everywhere in fastrelu and in PyTorch: each function fills `tensor`, a
:class:`~fastrelu.nn.Parameter` or an array, and returns it. Random values come from `rng`, a ``numpy.random.Generator``
or a seed, whatever :func:`numpy.random.default_rng` takes; they depend on the generator and the shape, not on the order
in memory. A tensor that is neither float32 nor float64 is a TypeError.

A tensor of shape ``(out, in, ...)`` has ``fan_in = in * prod(...)`` and ``fan_out = out * prod(...)``; where a function
needs them, a tensor with fewer than two axes is a ValueError.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from fastrelu import activations
from fastrelu._catalogue import check_name
from fastrelu.nn.parameter import Parameter, float_dtype
from fastrelu.runtime import precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rng = np.random.Generator | int | None
    Fan = Literal["fan_in", "fan_out"]
    Convention = Literal["torch", "moment"]

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_T = TypeVar("_T", bound="Parameter | NDArray[Any]")


# --- Gains ------------------------------------------------------------------------------------------------------------

_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_TORCH = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(
    nonlinearity: str, param: float | tuple[float, ...] | None = None, *, convention: Convention = "torch"
) -> float:
    """Return the factor by which to scale the standard deviation of the weights before an activation.

    Parameters
    ----------
    nonlinearity : str
        Name of an activation in fastrelu, such as ``"hard_swish"``, or ``"linear"``.
    param : float or tuple of float, optional
        The activation's parameters, instead of their defaults; for ``"leaky_relu"`` its slope.
    convention : {"torch", "moment"}, default "torch"
        ``"torch"``: the values of PyTorch's function of this name, for ``linear``, ``sigmoid``, ``tanh``, ``relu``,
        ``leaky_relu`` and ``selu`` alone. ``"moment"``: ``1 / sqrt(E[f(z) ** 2])`` for ``z`` normal with mean 0 and
        variance 1, which keeps the second moment of the activations from layer to layer; for every activation.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        If the convention has no gain for the name, or a parameter without a default is missing.

    Notes
    -----
    The integral of the expectation has 12 correct digits, also for functions with kinks and jumps.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from fastrelu import nn
    >>> round(nn.init.calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    >>> round(nn.init.calculate_gain("gelu", convention="moment"), 4)
    1.5335
    """
    if convention not in {"torch", "moment"}:
        raise ValueError(f'convention must be "torch" or "moment", got {convention!r}')
    if nonlinearity in _LINEAR:
        return 1.0
    if convention == "moment":
        return _moment_gain(nonlinearity, param)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, tuple):
            (slope,) = slope
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _TORCH:
        known = ", ".join(["linear", "leaky_relu", *_TORCH])
        raise ValueError(
            f'PyTorch defines no gain for {nonlinearity!r}, only for {known}; convention="moment" knows every activation'
        )
    return _TORCH[nonlinearity]


def _moment_gain(name: str, param: float | tuple[float, ...] | None) -> float:
    """Return 1 / sqrt(E[f(z)^2]) for a standard normal z."""
    forms = [n for n in activations.__all__ if f"{n}_" in activations.__all__] + ["crelu"]
    function = getattr(activations, check_name(name, forms))
    given = () if param is None else param if isinstance(param, tuple) else (param,)
    try:
        inspect.signature(function).bind(0.0, *given)
    except TypeError as error:
        raise ValueError(f"the gain of {name} needs param=, its parameters: {error}") from None

    def density(z: NDArray[Any]) -> NDArray[Any]:
        values = function(z[:, None], *given)
        return np.asarray(np.mean(values**2, axis=1) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))

    with precision("accurate"):
        return 1 / math.sqrt(_integral(density, -38.0, 38.0))  # outside, the normal density is 0 in float64


def _integral(function: Callable[[NDArray[Any]], NDArray[Any]], low: float, high: float) -> float:
    """Integrate by Gauss-Legendre rules, halving each interval until the sum of the halves equals the whole.

    Where the function is smooth, this ends at once; only the intervals around a kink or a jump become tiny.
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)

    def rule(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        half = (right - left) / 2
        x = (left + right)[:, None] / 2 + half[:, None] * nodes
        return np.asarray((function(x.ravel()).reshape(x.shape) @ weights) * half)

    edges = np.linspace(low, high, 153)
    left, right = edges[:-1], edges[1:]
    whole, total = rule(left, right), 0.0
    for _ in range(60):
        middle = (left + right) / 2
        first, second = rule(left, middle), rule(middle, right)
        open_ = np.abs(first + second - whole) > 1e-15
        total += float((first + second)[~open_].sum())
        left, right, whole = (
            np.concatenate(pair)
            for pair in (
                (left[open_], middle[open_]),
                (middle[open_], right[open_]),
                (first[open_], second[open_]),
            )
        )
    return total + float(whole.sum())


# --- Filling ----------------------------------------------------------------------------------------------------------


def _array(tensor: Parameter | NDArray[Any]) -> NDArray[Any]:
    array = tensor.data if isinstance(tensor, Parameter) else tensor
    float_dtype(array.dtype)
    return array


def _fans(array: NDArray[Any]) -> tuple[int, int]:
    if array.ndim < 2:
        raise ValueError(f"an array of shape {array.shape} has no fan-in and fan-out: it needs two axes (out, in)")
    field = math.prod(array.shape[2:])
    return array.shape[1] * field, array.shape[0] * field


def uniform_(tensor: _T, a: float = 0.0, b: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill with draws from the uniform distribution on ``[a, b)``.

    Parameters
    ----------
    a, b : float, default 0.0 and 1.0
        Ends of the interval.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.uniform_(np.empty((3, 4)), -1.0, 1.0, rng=0)
    >>> bool(abs(w).max() < 1)
    True
    """
    array = _array(tensor)
    array[...] = np.random.default_rng(rng).uniform(a, b, array.shape)
    return tensor


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill with draws from the normal distribution.

    Parameters
    ----------
    mean, std : float, default 0.0 and 1.0
        Mean and standard deviation.

    Raises
    ------
    ValueError
        If `std` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = np.empty((3, 4))
    >>> nn.init.normal_(w, rng=0) is w
    True
    """
    array = _array(tensor)
    array[...] = np.random.default_rng(rng).normal(mean, std, array.shape)
    return tensor


def constant_(tensor: _T, val: float) -> _T:
    """Fill with a number.

    Parameters
    ----------
    val : float
        The number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.constant_(np.empty(2), 0.5)
    array([0.5, 0.5])
    """
    _array(tensor)[...] = val
    return tensor


def zeros_(tensor: _T) -> _T:
    """Fill with zeros, as is usual for biases.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.zeros_(np.empty(2))
    array([0., 0.])
    """
    return constant_(tensor, 0.0)


def ones_(tensor: _T) -> _T:
    """Fill with ones.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.ones_(np.empty(2))
    array([1., 1.])
    """
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: _T, gain: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill from ``U(-a, a)`` with ``a = gain * sqrt(6 / (fan_in + fan_out))``.

    Parameters
    ----------
    gain : float, default 1.0
        A factor such as :func:`calculate_gain` returns.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.xavier_uniform_(np.empty((2, 4)), rng=0)
    >>> bool(abs(w).max() < 1)
    True
    """
    bound = gain * math.sqrt(6 / sum(_fans(_array(tensor))))
    return uniform_(tensor, -bound, bound, rng=rng)


def xavier_normal_(tensor: _T, gain: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill from the normal distribution with standard deviation ``gain * sqrt(2 / (fan_in + fan_out))``.

    The parameters are those of :func:`xavier_uniform_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = np.empty((2, 4))
    >>> nn.init.xavier_normal_(w, rng=0) is w
    True
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(_array(tensor)))), rng=rng)


def _kaiming_std(
    tensor: Parameter | NDArray[Any], a: float | tuple[float, ...], mode: Fan, name: str, convention: Convention
) -> float:
    if mode not in {"fan_in", "fan_out"}:
        raise ValueError(f'mode must be "fan_in" or "fan_out", got {mode!r}')
    fan = _fans(_array(tensor))[mode == "fan_out"]
    param = a if name == "leaky_relu" or a != 0 else None
    return calculate_gain(name, param, convention=convention) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: _T,
    a: float | tuple[float, ...] = 0,
    mode: Fan = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    convention: Convention = "torch",
    rng: Rng = None,
) -> _T:
    """Fill from ``U(-b, b)`` with ``b = gain * sqrt(3 / fan)``.

    Parameters
    ----------
    a : float or tuple of float, default 0
        The slope of ``leaky_relu``, or other parameters of the activation.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Whether the variance is kept in the forward or in the backward pass.
    nonlinearity : str, default "leaky_relu"
        The activation that follows the weights; with ``a=0`` the default is ReLU.
    convention : {"torch", "moment"}, default "torch"
        Definition of the gain; see :func:`calculate_gain`.

    Raises
    ------
    ValueError
        If `mode` is unknown, or the convention has no gain for the activation.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.kaiming_uniform_(np.empty((2, 6)), nonlinearity="relu", rng=0)
    >>> bool(abs(w).max() < 1)
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, convention)
    return uniform_(tensor, -bound, bound, rng=rng)


def kaiming_normal_(
    tensor: _T,
    a: float | tuple[float, ...] = 0,
    mode: Fan = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    convention: Convention = "torch",
    rng: Rng = None,
) -> _T:
    """Fill from the normal distribution with standard deviation ``gain / sqrt(fan)``.

    The parameters are those of :func:`kaiming_uniform_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> layer = nn.Linear(784, 256)
    >>> w = nn.init.kaiming_normal_(layer.weight, nonlinearity="gelu", convention="moment", rng=0)
    >>> w is layer.weight
    True
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, convention), rng=rng)


def lecun_normal_(tensor: _T, *, rng: Rng = None) -> _T:
    """Fill from the normal distribution with standard deviation ``1 / sqrt(fan_in)``, which SELU requires.

    References
    ----------
    Y. LeCun et al., "Efficient backprop", 1998; G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = np.empty((2, 4))
    >>> nn.init.lecun_normal_(w, rng=0) is w
    True
    """
    return normal_(tensor, 0.0, 1 / math.sqrt(_fans(_array(tensor))[0]), rng=rng)
