"""Initial values of parameters.

A trailing underscore means in place, as everywhere in fastrelu and in PyTorch: each function fills `tensor`, a
:class:`~fastrelu.nn.Parameter` or an array, and returns it. Random values come from `rng`, a ``numpy.random.Generator``
or a seed, whatever :func:`numpy.random.default_rng` takes; they depend on the generator and the shape, not on the order
in memory. A tensor that is neither float32 nor float64 is a TypeError, read-only memory a ValueError. In a tensor without
elements there is nothing to do.

A tensor of shape ``(out, in, ...)`` has ``fan_in = in * prod(...)`` and ``fan_out = out * prod(...)``; where a function
needs them, a tensor with fewer than two axes is a ValueError.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastrelu import activations
from fastrelu._catalogue import check_name
from fastrelu._options import at_least, choice, generator, integer, number, real_number
from fastrelu.nn.parameter import Parameter, float_dtype
from fastrelu.runtime import precision

Rng = np.random.Generator | int | None
Fan = Literal["fan_in", "fan_out"]
Convention = Literal["torch", "moment"]

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_check_mode, _check_convention = choice("fan_in", "fan_out"), choice("torch", "moment")

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
        If the convention has no gain for the name, a parameter is missing or wrong, or the function is 0 almost
        everywhere.

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
    if not isinstance(nonlinearity, str):
        raise TypeError(f"nonlinearity must be the name of an activation, got {nonlinearity!r}")
    _check_convention("convention", convention)
    if param is not None:
        _check_parameters("param", param)
    if nonlinearity in _LINEAR:
        return 1.0
    if convention == "moment":
        return _moment_gain(nonlinearity, param)
    if nonlinearity == "leaky_relu":
        slopes: Any = (0.01,) if param is None else param if isinstance(param, tuple) else (param,)
        if len(slopes) != 1 or not isinstance(slopes[0], numbers.Real):
            raise ValueError(f"the gain of leaky_relu needs one number as param=, its slope, got {param!r}")
        return math.sqrt(2 / (1 + float(slopes[0]) ** 2))
    if nonlinearity not in _TORCH:
        known = ", ".join(["linear", "leaky_relu", *_TORCH])
        raise ValueError(
            f'PyTorch defines no gain for {nonlinearity!r}, only for {known}; convention="moment" knows every activation'
        )
    return _TORCH[nonlinearity]


def _check_parameters(name: str, given: Any) -> None:
    """Refuse parameters of an activation that are no numbers, but for the form of GELU."""
    for each in given if isinstance(given, tuple) else (given,):
        if not isinstance(each, str):
            number(name, each)


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
        moment = _integral(density, -38.0, 38.0)  # outside, the normal density is 0 in float64
    if not 0 < moment < math.inf:
        raise ValueError(f"{name} with param={param!r} has no gain: the mean of its squares is {moment}")
    return 1 / math.sqrt(moment)


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
    array: Any = tensor.data if isinstance(tensor, Parameter) else tensor
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"initializers fill a Parameter or an array in place, not {type(tensor).__name__!r}")
    filled: NDArray[Any] = array
    float_dtype(filled.dtype)
    if not filled.flags.writeable:
        raise ValueError(f"the array of shape {filled.shape} is read-only and cannot be filled")
    return filled


def _number(array: NDArray[Any], name: str, value: float, low: float = -math.inf) -> float:
    """Return an argument that is a number of the array's type, or refuse it before anything is drawn."""
    if not abs(real_number(name, value)) <= float(np.finfo(array.dtype).max):
        raise ValueError(f"{name} must be a finite number of {array.dtype}, got {value!r}")
    return at_least(name, value, low)


def _fill(tensor: Parameter | NDArray[Any], array: NDArray[Any], values: Any) -> None:
    """Store values in the array of a tensor."""
    if isinstance(tensor, Parameter):
        tensor.count_update()
    array[...] = values


def _within(
    tensor: Parameter | NDArray[Any],
    array: NDArray[Any],
    draws: NDArray[np.float64],
    a: float,
    b: float,
    *,
    with_b: bool,
) -> None:
    """Store draws, none of which the array's type rounds to a number below `a` or above `b`, or to `b` itself."""
    kind = array.dtype.type
    with np.errstate(over="ignore"):  # the next number inside replaces the infinity
        low, high = kind(a), kind(b)
    if float(low) < a:
        low = np.nextafter(low, kind(np.inf))
    if float(high) > b or (float(high) == b and not with_b):
        high = np.nextafter(high, kind(-np.inf))
    # Without a number of this type in the interval, the one next to `a` is as good as any.
    _fill(tensor, array, np.clip(draws, low, high) if low <= high else kind(a))


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
        Ends of the interval. No draw is rounded to `b`, unless both are equal.

    Raises
    ------
    ValueError
        Unless ``a <= b`` and ``b - a`` is finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.uniform_(np.empty((3, 4)), -1.0, 1.0, rng=0)
    >>> bool(abs(w).max() < 1)
    True
    """
    array = _array(tensor)
    if not 0 <= real_number("b", b) - real_number("a", a) < math.inf:
        raise ValueError(f"uniform_ requires a <= b and a finite b - a, got a={a!r}, b={b!r}")
    _within(tensor, array, generator(rng).uniform(a, b, array.shape), a, b, with_b=False)
    return tensor


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill with draws from the normal distribution.

    Parameters
    ----------
    mean, std : float, default 0.0 and 1.0
        Mean and standard deviation.

    Raises
    ------
    TypeError
        If `mean` or `std` is not one number.
    ValueError
        If `std` is negative, or a number is not finite in the type of the tensor.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = np.empty((3, 4))
    >>> nn.init.normal_(w, rng=0) is w
    True
    """
    array = _array(tensor)
    mean, std = _number(array, "mean", mean), _number(array, "std", std, 0.0)
    draws = generator(rng).normal(mean, std, array.shape)
    with np.errstate(over="ignore"):  # a draw beyond the largest number of the type is infinite
        _fill(tensor, array, draws)
    return tensor


def trunc_normal_(
    tensor: _T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, *, rng: Rng = None
) -> _T:
    """Fill with draws from the normal distribution, those outside ``[a, b]`` excepted.

    Parameters
    ----------
    mean, std : float, default 0.0 and 1.0
        Mean and standard deviation before the truncation.
    a, b : float, default -2.0 and 2.0
        The smallest and the largest number; they may be infinite, and far from the mean.

    Raises
    ------
    ValueError
        Unless ``a <= b`` and ``std > 0``, or if `mean` is not finite.

    References
    ----------
    C. P. Robert, "Simulation of truncated normal variables", Statistics and Computing 5, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.trunc_normal_(np.empty((3, 4)), std=0.02, a=-0.03, b=0.03, rng=0)
    >>> bool(abs(w).max() <= 0.03)
    True
    """
    array = _array(tensor)
    for name, value in (("mean", mean), ("std", std), ("a", a), ("b", b)):
        real_number(name, value)
    if not a <= b or a == math.inf or b == -math.inf:
        raise ValueError(f"trunc_normal_ requires a <= b, and a number between, got a={a!r}, b={b!r}")
    if not 0 < std < math.inf or not math.isfinite(mean):
        raise ValueError(f"trunc_normal_ requires std > 0 and a finite mean, got mean={mean!r}, std={std!r}")
    draws = np.empty(array.size)
    source, missing = generator(rng), array.size
    while missing:
        found = _truncated(source, missing, float(mean), float(std), float(a), float(b))
        draws[array.size - missing : array.size - missing + found.size] = found
        missing -= found.size
    _within(tensor, array, draws.reshape(array.shape), a, b, with_b=True)
    return tensor


def _truncated(
    rng: np.random.Generator, count: int, mean: float, std: float, a: float, b: float
) -> NDArray[np.float64]:
    """Return up to `count` draws of a truncated normal distribution: proposals that were not rejected.

    More than a third of the proposals is kept, wherever the interval is. In a tail draws are distances from the nearer
    end, so that no digits are lost.
    """
    low, high = (max(-1e150, min((end - mean) / std, 1e150)) for end in (a, b))  # ratios of them are finite
    width = (b - a) / std
    if low + high < 0:
        return -_truncated(rng, count, -mean, std, -b, -a)
    if low <= 0 and width > math.sqrt(2 * math.pi):
        z = rng.standard_normal(count)
        return mean + std * z[(z >= low) & (z <= high)]
    root = math.hypot(low, 2)
    if low > 0 and width > 2 / (low + root) * math.exp(0.5 - low / (low + root)):
        # Exponential proposals with the best rate, low + gap.
        gap = 2 / (low + root)
        distance = rng.standard_exponential(count) / (low + gap)
        log_share = -((distance - gap) ** 2) / 2
    else:
        distance = rng.random(count) * width
        # The density's logarithm, less than that of its largest value, at max(low, 0).
        log_share = -((low + distance) ** 2) / 2 if low <= 0 else -distance * (low + distance / 2)
    kept = (-rng.standard_exponential(count) <= log_share) & (distance <= width)
    return a + std * distance[kept]


def constant_(tensor: _T, val: float) -> _T:
    """Fill with a number.

    Parameters
    ----------
    val : float
        The number.

    Raises
    ------
    TypeError
        If `val` is not one number.
    ValueError
        If `val` is finite, but not in the type of the tensor.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.constant_(np.empty(2), 0.5)
    array([0.5, 0.5])
    """
    array = _array(tensor)
    if math.isfinite(real_number("val", val)):
        _number(array, "val", val)
    _fill(tensor, array, val)
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


def eye_(tensor: _T) -> _T:
    """Fill a matrix with the identity: ones on the diagonal, zeros elsewhere.

    Raises
    ------
    ValueError
        Unless the tensor has two axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.eye_(np.empty((2, 3)))
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    array = _array(tensor)
    if array.ndim != 2:
        raise ValueError(f"eye_ needs two axes, the array is of shape {array.shape}")
    _fill(tensor, array, np.eye(*array.shape))
    return tensor


def dirac_(tensor: _T, groups: int = 1) -> _T:
    """Fill the weights ``(out, in, ...)`` of a convolution so that as many channels as possible pass unchanged.

    Parameters
    ----------
    groups : int, default 1
        Number of groups of channels.

    Raises
    ------
    ValueError
        Unless the tensor has three to five axes, and `groups` divides the number of output channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.init.dirac_(np.empty((2, 2, 3)))
    array([[[0., 1., 0.],
            [0., 0., 0.]],
    <BLANKLINE>
           [[0., 0., 0.],
            [0., 1., 0.]]])
    """
    array = _array(tensor)
    if array.ndim not in {3, 4, 5}:
        raise ValueError(f"dirac_ needs three to five axes, the array is of shape {array.shape}")
    if integer("groups", groups) < 1 or array.shape[0] % groups:
        raise ValueError(f"groups must divide the {array.shape[0]} output channels, got {groups!r}")
    _fill(tensor, array, 0)
    if array.size:
        middle = tuple(n // 2 for n in array.shape[2:])
        each = array.shape[0] // groups
        for channel in range(min(each, array.shape[1])):
            array[(slice(channel, None, each), channel, *middle)] = 1
    return tensor


def orthogonal_(tensor: _T, gain: float = 1.0, *, rng: Rng = None) -> _T:
    """Fill with an orthogonal matrix, uniformly drawn, times `gain`.

    All axes but the first count as one. The rows are orthogonal, or the columns if there are fewer of them.

    Parameters
    ----------
    gain : float, default 1.0
        A factor such as :func:`calculate_gain` returns.

    Raises
    ------
    ValueError
        If the tensor has fewer than two axes, or `gain` is not finite in its type.

    References
    ----------
    A. M. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014;
    F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> w = nn.init.orthogonal_(np.empty((2, 5)), rng=0)
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    array = _array(tensor)
    if array.ndim < 2:
        raise ValueError(f"orthogonal_ needs two axes or more, the array is of shape {array.shape}")
    gain = _number(array, "gain", gain)
    if array.size:
        rows, columns = array.shape[0], math.prod(array.shape[1:])
        q, r = np.linalg.qr(generator(rng).standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -gain, gain)  # without the signs some matrices were likelier than others
        _fill(tensor, array, (q if rows >= columns else q.T).reshape(array.shape))
    return tensor


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
    array = _array(tensor)
    bound = _number(array, "gain", gain, 0.0) * math.sqrt(6 / max(sum(_fans(array)), 1))
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
    array = _array(tensor)
    std = _number(array, "gain", gain, 0.0) * math.sqrt(2 / max(sum(_fans(array)), 1))
    return normal_(tensor, 0.0, std, rng=rng)


def _kaiming_std(
    tensor: Parameter | NDArray[Any], a: float | tuple[float, ...], mode: Fan, name: Any, convention: Convention
) -> float:
    _check_mode("mode", mode)
    _check_parameters("a", a)
    fan = _fans(_array(tensor))[mode == "fan_out"]
    sloped = isinstance(name, str) and name == "leaky_relu"  # a name that is none is refused below
    param = a if a != 0 or sloped else None
    return calculate_gain(name, param, convention=convention) / math.sqrt(max(fan, 1))


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
    return normal_(tensor, 0.0, 1 / math.sqrt(max(_fans(_array(tensor))[0], 1)), rng=rng)
