"""Statistics of arrays: zeros, dead and saturated units, mean and spread."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

import fastrelu._stats as _stats  # noqa: PLR0402  not what stands for it in the package
from fastrelu import _kernels, activations, runtime
from fastrelu._catalogue import check_name, elementwise_names
from fastrelu._entries import entries
from fastrelu._foreign import refuse
from fastrelu._options import integers, number
from fastrelu.masks import as_mask

Axis = int | tuple[int, ...] | None
Limits = tuple[float, float]

# The bounds at which functions are flat, from the parameters that they depend on; None where there is none at the top. At
# its lower bound relu6 is 0, which is counted as a zero instead.
BOUNDS: dict[str, Callable[..., Limits | None]] = {
    "sigmoid": lambda: (0.0, 1.0),
    "hard_sigmoid": lambda: (0.0, 1.0),
    "sparse_sigmoid": lambda: (0.0, 1.0),
    "tanh": lambda: (-1.0, 1.0),
    "softsign": lambda: (-1.0, 1.0),
    "erf": lambda: (-1.0, 1.0),
    "softcap": lambda cap: (-cap, cap),
    "hard_tanh": lambda min_val=-1.0, max_val=1.0: (min_val, max_val),
    "relu6": lambda: (-math.inf, 6.0),
    "bounded_relu": lambda negative_slope=0.0, max_value=None: (
        (-math.inf, max_value)
        if max_value is not None and (negative_slope == 0 or (negative_slope > 0 and max_value >= 0))
        else None
    ),
    "srelu": lambda t_left=0.0, a_left=1.0, t_right=0.0, a_right=1.0: (
        (t_left if a_left == 0 else -math.inf, t_right) if a_left >= 0 and a_right == 0 else None
    ),
    "logit": lambda eps=None: (math.log(eps) - math.log1p(-eps), math.log1p(-eps) - math.log(eps)) if eps else None,
    "log_sigmoid": lambda: (-math.inf, 0.0),
    "log1mexp": lambda: (-math.inf, 0.0),
}
# Those whose exponential goes from 0 to 1: shares of the distance between the bounds are of that.
LOGARITHMS = frozenset({"log_sigmoid", "log1mexp"})


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """The result of :func:`summarize`: numbers for a whole array, or arrays of one entry per unit along an axis.

    Everything except `count` and `nonfinite` is about the finite elements.

    Attributes
    ----------
    count : int or ndarray of int64
        All elements.
    nonfinite : int or ndarray of int64
        Elements that are NaN or infinite.
    zeros : int or ndarray of int64
        Elements that are 0 or -0.
    saturated : int or ndarray of int64
        Elements at or beyond the limits of saturation; 0 if none were given.
    mean : float or ndarray of float64
        NaN if there was no finite element, like the three below.
    variance : float or ndarray of float64
        Mean square of the deviations from the mean, as in ``np.var``.
    minimum, maximum : float or ndarray of float64
        The smallest and the largest element.
    """

    count: Any
    nonfinite: Any
    zeros: Any
    saturated: Any
    mean: Any
    variance: Any
    minimum: Any
    maximum: Any

    @property
    def finite(self) -> Any:
        """Elements that are neither NaN nor infinite."""
        return self.count - self.nonfinite

    @property
    def sparsity(self) -> Any:
        """Share of zeros; NaN if there was no finite element."""
        return _share(self.zeros, self.finite)

    @property
    def saturation(self) -> Any:
        """Share of saturated elements; NaN if there was no finite element."""
        return _share(self.saturated, self.finite)

    @property
    def std(self) -> Any:
        """Standard deviation: the root of the variance."""
        return np.sqrt(self.variance) if np.ndim(self.variance) else math.sqrt(self.variance)

    @property
    def dead(self) -> Any:
        """Whether a unit was 0 every time; False if there was no finite element."""
        return (self.zeros == self.finite) & (self.finite > 0)

    @property
    def stuck(self) -> Any:
        """Whether a unit was saturated every time; False if there was no finite element."""
        return (self.saturated == self.finite) & (self.finite > 0)

    @property
    def units(self) -> int:
        """Number of units: 1 for a whole array."""
        return int(np.size(self.count))

    def __repr__(self) -> str:
        shown = [f"{int(np.sum(self.count))} elements" + (f" of {self.units} units" if np.ndim(self.count) else "")]
        shown += [f"{int(np.sum(self.nonfinite))} not finite"] if np.any(self.nonfinite) else []
        shown += [f"zeros {percent(_share(np.sum(self.zeros), np.sum(self.finite)))}"]
        if np.ndim(self.count):
            shown += [f"{np.count_nonzero(self.dead)} dead"]
        if np.any(self.saturated):
            shown += [f"saturated {percent(_share(np.sum(self.saturated), np.sum(self.finite)))}"]
            shown += [f"{np.count_nonzero(self.stuck)} stuck"] if np.ndim(self.count) else []
        shown += [f"mean {_span(self.mean)}", f"std {_span(self.std)}"]
        shown += [f"from {_least(self.minimum):.4g} to {-_least(-self.maximum):.4g}"]
        return f"<Summary: {', '.join(shown)}>"


def _share(part: Any, whole: Any) -> Any:
    if np.ndim(whole):
        return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return float(part / whole) if whole else math.nan


def percent(share: float) -> str:
    """Return a share as text."""
    return f"{100 * share:.1f} %"


def _least(values: Any) -> float:
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.min()) if known.size else math.nan


def _span(values: Any) -> str:
    if not np.ndim(values):
        return f"{values:.4g}"
    return f"{_least(values):.4g} to {-_least(-values):.4g}"


def _native(a: Any) -> NDArray[Any]:
    """Return a float32 or float64 array that the kernels can read, `a` itself if it is one."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(
            "a masked array has no statistics here: pass a.compressed() for those of the whole, or a.filled(np.nan), "
            "whose masked elements are counted as not finite"
        )
    refuse("a summary", a=a)
    x = _kernels.as_native(np.asarray(a))
    if x.dtype.kind in "biu":
        x = x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        raise TypeError(
            f"activations are real numbers of at most 64 bits, got {'None' if a is None else f'an array of {x.dtype}'}"
        )
    return np.require(x, x.dtype.newbyteorder("="), ["ALIGNED", "ENSUREARRAY"])


def _check_axis(axis: Axis) -> Axis:
    """Return the axis, or axes, as plain integers."""
    if axis is None:
        return None
    try:
        return integers("axis", axis)
    except TypeError:
        raise TypeError(f"axis must be an integer, a tuple of integers or None, got {axis!r}") from None


def _check_limits(saturation: Limits | None) -> Limits:
    if saturation is None:
        return -math.inf, math.inf
    try:
        low, high = (number("saturation", limit) for limit in saturation)
    except (TypeError, ValueError):
        raise TypeError(f"saturation is a pair of numbers (low, high) or None, got {saturation!r}") from None
    if not low < high:
        raise ValueError(f"saturation requires low < high, got {saturation!r}")
    return low, high


def _ordered(a: ArrayLike, axis: Axis, limits: Limits, *, spread: bool) -> tuple[Any, list[int]]:
    """Return compiled summaries, with the unit axes in an order of the memory, and how to bring them into the array's."""
    x = _native(a)
    axes = () if axis is None else normalize_axis_tuple(axis, x.ndim)
    order = _stats.by_stride(x, axes)
    return _stats.summarize(x, order, *limits, runtime.isa, spread), sorted(range(len(order)), key=order.__getitem__)


def _collect(a: ArrayLike, axis: Axis, limits: Limits) -> NDArray[np.void]:
    """Return the compiled summaries, with the unit axes in the order of the array's axes."""
    found, order = _ordered(a, axis, limits, spread=False)
    return np.ascontiguousarray(found.transpose(order)) if len(order) > 1 else found


def _summary(columns: tuple[NDArray[Any], ...], order: list[int] | None = None) -> Summary:
    """Return the arrays of a result, one number for each unit, as a `Summary`."""
    if not columns[0].ndim:
        return Summary(*(column.item() for column in columns))
    if order and order != sorted(order):
        columns = tuple(np.ascontiguousarray(column.transpose(order)) for column in columns)
    return Summary(*columns)


def together(found: NDArray[np.void]) -> NDArray[np.void]:
    """Return the summary of all units together."""
    total = np.array(found, order="C").reshape(-1)
    n = total.size
    while n > 1:  # the second half is added to the first
        _stats.merge(total[: n // 2], total[n - n // 2 : n])
        n -= n // 2
    return total[:1].reshape(()) if n else _collect(np.empty(0), None, (-math.inf, math.inf))


def summarize(a: ArrayLike, axis: Axis = None, *, saturation: Limits | None = None) -> Summary:
    """Count zeros, saturated and non-finite elements, and find mean, variance and extremes, in one pass.

    Parameters
    ----------
    a : array_like
        Activations. float32 and float64 are read in place, in any layout; float16, bfloat16, bool and small integers are
        converted to float32, other integers to float64.
    axis : int or tuple of int, optional
        The axis that numbers the units (features, channels): 1 for ``(N, C)`` and ``(N, C, H, W)``, -1 for
        ``(N, H, W, C)``. Several give a unit for each combination, in the order of the array's axes. By default the
        whole array is one unit.
    saturation : tuple of float, optional
        Outputs ``<= low`` or ``>= high`` are saturated; the limits are rounded to the array's type.
        :func:`saturation_limits` has them for bounded functions. By default no element is saturated.

    Returns
    -------
    Summary
        Numbers, or arrays with one entry per unit. Counts and extremes are exact. Mean and variance are computed in
        double about a running mean, so they keep their digits if the mean is large; the order of the
        additions follows from shape and layout, so the bits are the same for any number of threads and on any
        instruction set. Sums beyond the largest double overflow, as NumPy's do.

    Raises
    ------
    TypeError
        If `a` is masked, complex, or otherwise not an array of real numbers of at most 64 bits, if `axis` is no axis, or
        `saturation` not a pair of numbers.
    ValueError
        If not ``low < high``.
    numpy.exceptions.AxisError
        If `axis` is not an axis of the array.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> from fastrelu import diagnostics
    >>> y = fr.relu(np.float32([[-1.0, 2.0, -3.0], [-2.0, -1.0, 4.0]]))
    >>> diagnostics.summarize(y)
    <Summary: 6 elements, zeros 66.7 %, mean 1, std 1.528, from 0 to 4>
    >>> units = diagnostics.summarize(y, axis=1)
    >>> units.dead
    array([ True, False, False])
    >>> units.sparsity
    array([1. , 0.5, 0.5])
    """
    return _summary(*_ordered(a, _check_axis(axis), _check_limits(saturation), spread=True))


def dead_from_mask(*masks: NDArray[np.uint8], shape: int | tuple[int, ...], axis: Axis = -1) -> Any:
    """Find the units that are active nowhere in some masks, such as those of :func:`fastrelu.masks.relu_with_mask`.

    Parameters
    ----------
    *masks : ndarray of uint8
        One mask per batch: bits in C order, as in ``np.packbits(..., bitorder="little")``.
    shape : int or tuple of int
        Shape of the data of each mask.
    axis : int or tuple of int, default -1
        The axis that numbers the units, as for :func:`summarize`; None takes the whole array as one unit.

    Returns
    -------
    bool or ndarray of bool
        Whether no bit of the unit is set in any mask: ``np.count_nonzero`` of it is the number of dead units.

    Raises
    ------
    TypeError
        If a mask is not of uint8, or `axis` is no axis.
    ValueError
        If there is no mask, or one has not one bit for each element.
    numpy.exceptions.AxisError
        If `axis` is not an axis of the shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import diagnostics, masks
    >>> mask = masks.relu_with_mask(np.float32([[-1.0, 2.0, -3.0], [-2.0, -1.0, 4.0]]))[1]
    >>> diagnostics.dead_from_mask(mask, shape=(2, 3))
    array([ True, False, False])
    """
    name = "dead_from_mask"
    if not masks:
        raise ValueError(f"{name} takes at least one mask")
    given: Any = shape
    if isinstance(given, np.ndarray) and given.dtype.kind in "iu":
        given = given.tolist()
    lengths = integers("shape", given)
    whole = lengths if isinstance(lengths, tuple) else (lengths,)
    if min(whole, default=0) < 0:
        raise ValueError(f"{name} takes the shape of the data, got {shape!r}")
    size = math.prod(whole)
    bits = [as_mask(name, mask, size) for mask in masks]
    axis = _check_axis(axis)
    units = () if axis is None else tuple(sorted(normalize_axis_tuple(axis, len(whole))))
    others = tuple(k for k in range(len(whole)) if k not in units)
    kept = tuple(whole[k] for k in units)
    last = units == tuple(range(len(whole) - len(units), len(whole)))
    if last and size and math.prod(kept) % 8 == 0:  # units are whole bytes
        bits = [np.bitwise_or.reduce(mask.reshape(-1, math.prod(kept) // 8)) for mask in bits]
        others, whole = (), kept
    active = np.bitwise_or.reduce(bits)
    found = ~np.unpackbits(active, count=math.prod(whole), bitorder="little").reshape(whole).any(others)
    return found if np.ndim(found) else bool(found)


class Running:
    """Statistics over batches, as :func:`summarize` would find for all of them together.

    Counts and extremes are exact; mean and variance are merged in double (Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance", 1983), with the mean in two parts so that nothing cancels. An accumulator must not
    be shared between threads: give each thread its own and merge them.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axis that numbers the units, the same for all batches; by default all elements are one unit.
    saturation : tuple of float, optional
        As for :func:`summarize`.

    Raises
    ------
    TypeError
        If `axis` is no axis, or `saturation` not a pair of numbers.
    ValueError
        If not ``low < high``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import diagnostics
    >>> running = diagnostics.Running(axis=1)
    >>> for batch in np.float32([[[0, 1], [0, 2]], [[0, 3], [0, 0]]]):
    ...     running.update(batch)
    >>> running.result().zeros
    array([4, 1])
    >>> running.result().mean
    array([0. , 1.5])
    """

    def __init__(self, axis: Axis = None, *, saturation: Limits | None = None) -> None:
        self.axis = _check_axis(axis)
        self._limits = _check_limits(saturation)
        self._found: NDArray[np.void] | None = None

    def update(self, a: ArrayLike) -> None:
        """Add a batch.

        Parameters
        ----------
        a : array_like
            As for :func:`summarize`.

        Raises
        ------
        ValueError
            If its units differ from those of the batches before.
        """
        self._add(_collect(a, self.axis, self._limits))

    def merge(self, other: Running) -> None:
        """Add the statistics of another accumulator.

        Parameters
        ----------
        other : Running
            Has the same axis and limits of saturation; it is not changed.

        Raises
        ------
        TypeError
            If `other` is no accumulator.
        ValueError
            If axis, limits or units differ.
        """
        if not isinstance(other, Running):
            raise TypeError(f"merge takes a Running, got {type(other).__name__!r}")
        if (self.axis, self._limits) != (other.axis, other._limits):
            raise ValueError("accumulators can be merged if axis and saturation are the same")
        if other._found is not None:
            self._add(other._found.copy())

    def _add(self, found: NDArray[np.void]) -> None:
        if self._found is None:
            self._found = found
        elif self._found.shape != found.shape:
            raise ValueError(
                f"batches must have the same units along axis {self.axis}: {self._found.shape} before, "
                f"{found.shape} now"
            )
        else:
            _stats.merge(self._found, found)

    def result(self) -> Summary:
        """Return the statistics so far.

        Returns
        -------
        Summary
            Of all batches so far; later batches do not change it.

        Raises
        ------
        RuntimeError
            If there has been no batch yet.
        """
        if self._found is None:
            raise RuntimeError("nothing seen yet: call update first")
        return _summary(_stats.columns(self._found))

    def reset(self) -> None:
        """Delete the statistics so far."""
        self._found = None


def saturation_limits(name: str, tolerance: float = 0.01, **parameters: float | None) -> Limits | None:
    """Return the limits beyond which outputs of a bounded activation count as saturated.

    Parameters
    ----------
    name : str
        An element-wise activation.
    tolerance : float, default 0.01
        How close to a bound counts as saturated, as a share of the distance between the bounds: by default a sigmoid is
        saturated up to 0.01 and from 0.99, where its derivative has fallen to 4 % of its largest value. Without a lower
        bound it is a share of the upper one, and for the logarithms of probabilities, log_sigmoid and log1mexp, of the
        probability: they are saturated where that is at least 0.99, and their derivative falls to 1 %. 0 returns the
        bounds themselves.
    **parameters : float or None
        Parameters of the function, such as ``max_val``; its own defaults otherwise. ``max_value`` and ``eps`` may be None
        where they are in the function.

    Returns
    -------
    tuple of float or None
        ``(low, high)`` for :func:`summarize`; None for a function that has no bound at the top, or is not flat there, as
        swish with a negative beta. The zeros of relu6 and bounded_relu are not saturated: they are counted as zeros.

    Raises
    ------
    TypeError
        If the function has no such parameter, an argument is not a number, or the cap of softcap is missing.
    ValueError
        If there is no such activation, `tolerance` is not in [0, 0.5), or the bounds are in the wrong order.

    Examples
    --------
    >>> from fastrelu import diagnostics
    >>> diagnostics.saturation_limits("tanh")
    (-0.98, 0.98)
    >>> diagnostics.saturation_limits("relu6", 0)
    (-inf, 6.0)
    """
    check_name(name, elementwise_names(), "element-wise activation")
    if not 0 <= number("tolerance", tolerance) < 0.5:
        raise ValueError(f"tolerance must be in [0, 0.5), got {tolerance!r}")
    known = inspect.signature(getattr(activations, name)).parameters
    for key in parameters:
        if key not in list(known)[1:] or key in {"out", "where"}:
            raise TypeError(f"{name} has no parameter {key!r}")
    numbers = {
        key: None if value is None and known[key].default is None else number(key, value)
        for key, value in entries(parameters)
    }
    if name not in BOUNDS:
        return None
    needed = inspect.signature(BOUNDS[name]).parameters
    for key, parameter in entries(needed):
        if parameter.default is parameter.empty and key not in numbers:
            raise TypeError(f"the bounds of {name} depend on {key!r}: pass {key}=")
    bounds = BOUNDS[name](**{key: value for key, value in entries(numbers) if key in needed})
    if bounds is None or bounds[1] == math.inf:
        return None
    low, high = bounds
    if not low <= high:
        raise ValueError(f"the bounds of {name} are in the wrong order: {low} and {high}")
    tolerance = float(tolerance)
    if name in LOGARITHMS:
        return low, math.log1p(-tolerance)
    apart = abs(high) if math.isinf(low) else high - low
    margin = tolerance * apart if math.isfinite(apart) else 0.0
    return low + margin, high - margin
