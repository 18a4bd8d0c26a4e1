"""What activations look like: zeros, dead and saturated units, mean and spread of arrays and networks; their curves."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from fastrelu import _stats, runtime
from fastrelu._catalogue import check_name, elementwise_names
from fastrelu._plot import plot

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from fastrelu.nn import Module

    Axis = int | tuple[int, ...] | None
    Limits = tuple[float, float]

__all__ = ["LayerReport", "Monitor", "Running", "Summary", "plot", "saturation_limits", "summarize"]

# Beyond these a monitor speaks up.
DEAD_UNITS = 0.1  # share of the units
SATURATED = 0.25  # share of the outputs
OFF_CENTRE = 1.0  # distance of the mean from 0, in standard deviations
SCALE = 10.0  # a standard deviation over another, either way

# Where bounded functions are flat at both ends. The lower end of relu6 is its zeros, which count as such.
_BOUNDS: dict[str, Callable[..., Limits]] = {
    "sigmoid": lambda: (0.0, 1.0),
    "hard_sigmoid": lambda **_: (0.0, 1.0),
    "sparse_sigmoid": lambda: (0.0, 1.0),
    "tanh": lambda: (-1.0, 1.0),
    "softsign": lambda: (-1.0, 1.0),
    "hard_tanh": lambda min_val=-1.0, max_val=1.0: (min_val, max_val),
    "relu6": lambda: (-math.inf, 6.0),
}


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """What :func:`summarize` found: numbers for a whole array, arrays of one entry per unit along an axis.

    Everything except `count` and `nonfinite` is about the finite elements.

    Attributes
    ----------
    count : int or ndarray of int64
        Elements seen.
    nonfinite : int or ndarray of int64
        Those that are NaN or infinite.
    zeros : int or ndarray of int64
        Those that are 0 or -0.
    saturated : int or ndarray of int64
        Those at or beyond the limits of saturation; 0 where none were given.
    mean : float or ndarray of float64
        NaN where nothing finite was seen, as the three below.
    variance : float or ndarray of float64
        Mean square of the deviations from the mean, as of ``np.var``.
    minimum, maximum : float or ndarray of float64
        The least and the greatest.
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
        """Share of zeros; NaN where nothing finite was seen."""
        return _share(self.zeros, self.finite)

    @property
    def saturation(self) -> Any:
        """Share of saturated elements; NaN where nothing finite was seen."""
        return _share(self.saturated, self.finite)

    @property
    def std(self) -> Any:
        """Standard deviation: the root of the variance."""
        return np.sqrt(self.variance) if np.ndim(self.variance) else math.sqrt(self.variance)

    @property
    def dead(self) -> Any:
        """Whether a unit was 0 every time; False where nothing finite was seen."""
        return (self.zeros == self.finite) & (self.finite > 0)

    @property
    def stuck(self) -> Any:
        """Whether a unit was saturated every time; False where nothing finite was seen."""
        return (self.saturated == self.finite) & (self.finite > 0)

    @property
    def units(self) -> int:
        """Number of units: 1 for a whole array."""
        return int(np.size(self.count))

    def __repr__(self) -> str:
        shown = [f"{int(np.sum(self.count))} elements" + (f" of {self.units} units" if np.ndim(self.count) else "")]
        shown += [f"{int(np.sum(self.nonfinite))} not finite"] if np.any(self.nonfinite) else []
        shown += [f"zeros {_percent(_share(np.sum(self.zeros), np.sum(self.finite)))}"]
        if np.ndim(self.count):
            shown += [f"{np.count_nonzero(self.dead)} dead"]
        if np.any(self.saturated):
            shown += [f"saturated {_percent(_share(np.sum(self.saturated), np.sum(self.finite)))}"]
            shown += [f"{np.count_nonzero(self.stuck)} stuck"] if np.ndim(self.count) else []
        shown += [f"mean {_span(self.mean)}", f"std {_span(self.std)}"]
        shown += [f"from {_least(self.minimum):.4g} to {-_least(-self.maximum):.4g}"]
        return f"<Summary: {', '.join(shown)}>"


def _share(part: Any, whole: Any) -> Any:
    if np.ndim(whole):
        return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return float(part / whole) if whole else math.nan


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _least(values: Any) -> float:
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.min()) if known.size else math.nan


def _span(values: Any) -> str:
    if not np.ndim(values):
        return f"{values:.4g}"
    return f"{_least(values):.4g} to {-_least(-values):.4g}"


def _native(a: ArrayLike) -> NDArray[Any]:
    """Return a float32 or float64 array that the kernels can read, `a` itself if it is one."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(
            "a masked array has no statistics here: pass a.compressed() for those of the whole, or a.filled(np.nan), "
            "whose masked elements are counted as not finite"
        )
    x = np.asarray(a)
    if x.dtype.kind in "biu" or x.dtype.char == "e":
        x = x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        raise TypeError(f"activations are real numbers of at most 64 bits, got an array of {x.dtype}")
    return np.require(x, x.dtype.newbyteorder("="), ["ALIGNED", "ENSUREARRAY"])


def _check_limits(saturation: Limits | None) -> Limits:
    if saturation is None:
        return -math.inf, math.inf
    try:
        low, high = (float(limit) for limit in saturation)
    except (TypeError, ValueError):
        raise TypeError(f"saturation is a pair of numbers (low, high) or None, got {saturation!r}") from None
    if not low < high:
        raise ValueError(f"saturation requires low < high, got {saturation!r}")
    return low, high


def _collect(a: ArrayLike, axis: Axis, limits: Limits) -> NDArray[np.void]:
    """Return the compiled summaries, with the unit axes in the order of the array's."""
    x = _native(a)
    axes = () if axis is None else normalize_axis_tuple(axis, x.ndim)
    order = _stats.by_stride(x, axes)
    found = _stats.summarize(x, order, *limits, runtime.isa)
    return np.ascontiguousarray(found.transpose(np.argsort(order))) if len(axes) > 1 else found


def _summary(found: NDArray[np.void]) -> Summary:
    """Return what a compiled summary says."""
    finite = found["finite"]
    empty = finite == 0
    mean = np.where(empty, np.nan, found["mean"] + found["rest"])
    variance = np.divide(found["square"], finite, out=np.full(found.shape, np.nan), where=~empty)
    fields = {
        "count": finite + found["nonfinite"],
        "nonfinite": found["nonfinite"],
        "zeros": found["zeros"],
        "saturated": found["saturated"],
        "mean": mean,
        "variance": variance,
        "minimum": np.where(empty, np.nan, found["low"]),
        "maximum": np.where(empty, np.nan, found["high"]),
    }
    # A copy per field: a view would keep all others in memory, and change with them.
    return Summary(**{name: np.array(field) if field.ndim else field.item() for name, field in fields.items()})


def summarize(a: ArrayLike, axis: Axis = None, *, saturation: Limits | None = None) -> Summary:
    """Count zeros, saturated and non-finite elements, and find mean, variance and extremes, in one pass.

    Parameters
    ----------
    a : array_like
        Activations. float32 and float64 are read where they lie, in any layout; float16, bool and small integers are
        converted to float32, other integers to float64.
    axis : int or tuple of int, optional
        The axis that tells units (features, channels) apart: 1 for ``(N, C)`` and ``(N, C, H, W)``, -1 for
        ``(N, H, W, C)``. Several give a unit for each combination, in the order of the array's axes. By default the
        whole array is one unit.
    saturation : tuple of float, optional
        Outputs ``<= low`` or ``>= high`` are saturated, rounded to the array's type; :func:`saturation_limits` knows
        them for bounded functions. By default none is.

    Returns
    -------
    Summary
        Numbers, or arrays with one entry per unit. Counts and extremes are exact. Mean and variance are computed in
        double about a running mean, so they keep their digits where the mean is large; the order of the
        additions follows from shape and layout, so the bits are the same for any number of threads and on any
        instruction set. Sums beyond the largest double overflow, as NumPy's do.

    Raises
    ------
    TypeError
        If `a` is masked, complex, or otherwise no array of real numbers of at most 64 bits, or `saturation` no pair.
    ValueError
        If not ``low < high``.
    numpy.exceptions.AxisError
        If `axis` is not one of the array's.

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
    return _summary(_collect(a, axis, _check_limits(saturation)))


class Running:
    """Statistics over batches: what :func:`summarize` would find in all of them together.

    Counts and extremes are exact; mean and variance are merged in double (Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance", 1983), with the mean in two parts so that nothing cancels. An accumulator is not to
    be shared between threads: give each one of its own and merge them.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axis that tells units apart, the same for all batches; by default all is one unit.
    saturation : tuple of float, optional
        As for :func:`summarize`.

    Raises
    ------
    TypeError
        If `saturation` is no pair of numbers.
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
        self.axis = axis
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
            If it has other units than the batches before.
        """
        self._add(_collect(a, self.axis, self._limits))

    def merge(self, other: Running) -> None:
        """Add all that another accumulator has seen.

        Parameters
        ----------
        other : Running
            With the same axis and limits of saturation; it stays as it is.

        Raises
        ------
        ValueError
            If axis, limits or units differ.
        """
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
        """Return what was found so far.

        Returns
        -------
        Summary
            Of all batches; later ones don't change it.

        Raises
        ------
        RuntimeError
            If there was no batch yet.
        """
        if self._found is None:
            raise RuntimeError("nothing seen yet: call update first")
        return _summary(self._found)

    def reset(self) -> None:
        """Forget all batches."""
        self._found = None


def saturation_limits(name: str, tolerance: float = 0.01, **parameters: float) -> Limits | None:
    """Return the outputs from which a bounded activation counts as saturated.

    Parameters
    ----------
    name : str
        An element-wise activation.
    tolerance : float, default 0.01
        How near to a bound is saturated, as a share of the distance between the bounds: by default a sigmoid is
        saturated up to 0.01 and from 0.99, where its derivative has fallen to 4 % of its largest value. 0 asks for the
        bounds themselves.
    **parameters : float
        Those of the function, as ``max_val``.

    Returns
    -------
    tuple of float or None
        ``(low, high)`` for :func:`summarize`; None for a function that is not bounded at the top. The zeros of
        relu6 are no saturation: they are counted as zeros.

    Raises
    ------
    ValueError
        If there is no such activation, or `tolerance` is not in [0, 0.5).

    Examples
    --------
    >>> from fastrelu import diagnostics
    >>> diagnostics.saturation_limits("tanh")
    (-0.98, 0.98)
    >>> diagnostics.saturation_limits("relu6", 0)
    (-inf, 6.0)
    """
    check_name(name, elementwise_names(), "element-wise activation")
    if not 0 <= tolerance < 0.5:
        raise ValueError(f"tolerance must be in [0, 0.5), got {tolerance!r}")
    if name not in _BOUNDS:
        return None
    low, high = _BOUNDS[name](**parameters)
    apart = high - max(low, 0.0) if math.isinf(low) else high - low
    margin = tolerance * apart if math.isfinite(apart) else 0.0
    return low + margin, high - margin


@dataclass(frozen=True)
class LayerReport:
    """What a :class:`Monitor` saw of a layer.

    Attributes
    ----------
    name : str
        The layer's name in the model, such as ``"1"``; ``"input"`` for what the first layer was given.
    kind : str
        Its class, such as ``"ReLU"``.
    summary : Summary
        Of all its outputs, per unit.
    overall : Summary
        The same, the units taken together.
    advice : tuple of str
        What the literature advises, in sentences that say what was found; empty if nothing is the matter.
    """

    name: str
    kind: str
    summary: Summary
    overall: Summary
    advice: tuple[str, ...]


class _Watched:
    """A layer and what it gave: per unit and all together."""

    def __init__(self, name: str, kind: str, function: str, limits: Limits | None, axis: int) -> None:
        self.name, self.kind, self.function = name, kind, function
        self.units = Running(axis, saturation=limits)
        self.overall = Running(saturation=limits)

    def add(self, a: ArrayLike) -> None:
        """Add a batch; one sample alone, a single number even, is a batch of one."""
        x = np.asarray(a)
        self.units.update(x if x.ndim else x[None])
        found = self.units._found
        assert found is not None
        self.overall.reset()
        self.overall._add(_together(found))


def _together(found: NDArray[np.void]) -> NDArray[np.void]:
    """Return the summary of all units as one."""
    total = np.array(found, order="C").reshape(-1)
    n = total.size
    while n > 1:  # the second half is added to the first
        _stats.merge(total[: n // 2], total[n - n // 2 : n])
        n -= n // 2
    return total[:1].reshape(()) if n else _collect(np.empty(0), None, (-math.inf, math.inf))


class Monitor:
    """Watches what the layers of a network give, prints it as a table, and says what the literature advises.

    The monitor is attached when it is made and watches every forward call, in training and in evaluation mode, until
    :meth:`detach` or the end of a ``with`` block. It reads every output once and keeps a few numbers per unit.

    It speaks up if more than 10 % of a layer's units are dead, that is 0 in every element; if more than 25 % of a bounded
    activation's outputs are saturated (see :func:`saturation_limits`); if the mean of an activation's outputs, or of the
    network's input, is more than one standard deviation from 0; if the input's standard deviation, or
    that of an activation over that of the first, is not within 0.1 to 10; and at any NaN or infinity.

    Parameters
    ----------
    model : fastrelu.nn.Module
        The network. Its innermost layers are watched.
    axis : int, default -1
        The axis of the outputs that tells units apart: -1 for dense layers, 1 for images ``(N, C, H, W)``.
    tolerance : float, default 0.01
        How near to its bounds a bounded activation is saturated, as in :func:`saturation_limits`.

    Raises
    ------
    TypeError
        If `model` is no module.
    ValueError
        If `tolerance` is not in [0, 0.5).

    References
    ----------
    LeCun, Bottou, Orr, Müller, "Efficient BackProp" (1998): standardised inputs, functions centred on 0. Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks" (AISTATS 2010): saturation,
    and initialisation that keeps the spread. Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
    acoustic models" (2013): slopes against dead units. He et al., "Delving deep into rectifiers" (ICCV 2015):
    initialisation for rectifiers, learned slopes. Lu et al., "Dying ReLU and initialization" (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import diagnostics, nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.ReLU(), nn.Linear(8, 2, rng=1))
    >>> with diagnostics.Monitor(model) as monitor:
    ...     y = model(np.random.default_rng(0).standard_normal((100, 4), np.float32))
    >>> [layer.name for layer in monitor.layers()]
    ['input', '0', '1', '2']
    >>> monitor.layers()[2].summary.units
    8
    """

    def __init__(self, model: Module, *, axis: int = -1, tolerance: float = 0.01) -> None:
        if not hasattr(model, "named_modules"):
            raise TypeError(f"Monitor watches a fastrelu.nn.Module, got {type(model).__name__!r}")
        self._watched: dict[str, _Watched] = {}
        self._hooks: list[Callable[[], None]] = []
        self._input = _Watched("input", "", "", None, axis)
        for name, module in model.named_modules():
            if next(module.children(), None) is None:
                function = getattr(module, "_name", "")
                limits = None
                if function in _BOUNDS:
                    limits = saturation_limits(function, tolerance, **_parameters_of(module, function))
                self._watched[name] = _Watched(name, type(module).__name__, function, limits, axis)
                self._hooks.append(module.register_forward_hook(self._hook(self._watched[name], not self._hooks)))

    def _hook(self, watched: _Watched, first: bool) -> Callable[..., None]:
        def hook(_: Module, args: tuple[Any, ...], output: Any) -> None:
            if first and args[0] is not output:  # else the input is gone
                self._input.add(args[0])
            watched.add(output)

        return hook

    def detach(self) -> None:
        """Stop watching; what was seen stays."""
        for remove in self._hooks:
            remove()
        self._hooks.clear()

    def reset(self) -> None:
        """Forget what was seen and go on watching."""
        for watched in (self._input, *self._watched.values()):
            watched.units.reset()
            watched.overall.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def layers(self) -> list[LayerReport]:
        """Return what was seen of the input and of each layer that was called.

        Returns
        -------
        list of LayerReport
            In the order of the network.

        Raises
        ------
        RuntimeError
            If the network was not called yet.
        """
        seen = [w for w in (self._input, *self._watched.values()) if w.units._found is not None]
        if not seen:
            raise RuntimeError("nothing seen yet: call the model while the monitor is attached")
        reports = []
        first_std = None
        for watched in seen:
            units, overall = watched.units.result(), watched.overall.result()
            advice = list(_advice(watched, units, overall, first_std))
            if watched.function and first_std is None:
                first_std = overall.std
            reports.append(LayerReport(watched.name, watched.kind, units, overall, tuple(advice)))
        return reports

    def advice(self) -> list[str]:
        """Return what the literature advises, each with the layer that it is about.

        Returns
        -------
        list of str
            Empty if nothing is the matter.

        Raises
        ------
        RuntimeError
            If the network was not called yet.
        """
        return [f"{_title(layer)}: {text}" for layer in self.layers() for text in layer.advice]

    def __str__(self) -> str:
        """Return the table and, below it, the advice."""
        rows: list[tuple[str, ...]] = [
            ("layer", "units", "zeros", "dead", "saturated", "mean", "std", "min", "max", "not finite")
        ]
        for layer in self.layers():
            units, overall = layer.summary, layer.overall
            rows.append(
                (
                    _title(layer),
                    str(units.units),
                    _percent(overall.sparsity),
                    str(int(np.count_nonzero(units.dead))),
                    _percent(overall.saturation) if self._is_bounded(layer.name) else "",
                    *(f"{number:.3g}" for number in (overall.mean, overall.std, overall.minimum, overall.maximum)),
                    str(overall.nonfinite),
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]
        return "\n".join([*lines, *(f"- {text}" for text in self.advice())])

    def _is_bounded(self, name: str) -> bool:
        return name in self._watched and self._watched[name].function in _BOUNDS


def _parameters_of(module: Module, function: str) -> dict[str, float]:
    """Return the parameters of a layer's function, which are attributes of the layer."""
    names = inspect.signature(_BOUNDS[function]).parameters
    return {name: float(getattr(module, name)) for name, p in names.items() if p.kind is p.POSITIONAL_OR_KEYWORD}


def _title(layer: LayerReport) -> str:
    return f"{layer.name} {layer.kind}".strip()


def _advice(watched: _Watched, units: Summary, overall: Summary, first_std: float | None) -> list[str]:
    """Return what to do about what was found in a layer; `first_std` belongs to the first activation."""
    found = []
    is_input, is_activation = watched.name == "input", bool(watched.function)
    if overall.nonfinite:
        found.append(
            f"{overall.nonfinite} of {overall.count} elements are NaN or infinite: take a smaller step, and look for "
            "them in the input"
        )
    if not overall.finite:
        return found
    dead = np.count_nonzero(units.dead) / units.units
    if dead > DEAD_UNITS and not is_input:
        found.append(
            f"{dead:.0%} of the units are dead, 0 in all {overall.count // units.units} elements, and no gradient passes: "
            "take a smaller step, He initialisation (nn.init.kaiming_normal_), or a function with a slope below 0 "
            "(LeakyReLU with 0.01 to 0.2, PReLU, ELU)"
        )
    if overall.saturation > SATURATED:
        found.append(
            f"{overall.saturation:.0%} of the outputs are near a bound, where the gradient vanishes: take Xavier "
            "initialisation (nn.init.xavier_uniform_), a smaller step, standardised inputs, or an unbounded function"
        )
    apart = abs(overall.mean) / overall.std if overall.std else math.inf if overall.mean else 0.0
    if is_input and (apart > OFF_CENTRE or not 1 / SCALE <= overall.std <= SCALE):
        found.append(
            f"mean {overall.mean:.3g} and standard deviation {overall.std:.3g}: standardise the input, to mean 0 and "
            "standard deviation 1 over the training set"
        )
    elif is_activation and apart > OFF_CENTRE and dead <= DEAD_UNITS:
        found.append(
            f"the mean is {apart:.1f} standard deviations from 0, which pushes the next layer's weights all one way: take "
            "a function centred on 0 (Tanh, ELU, SELU)"
        )
    if is_activation and first_std and not 1 / SCALE <= overall.std / first_std <= SCALE:
        found.append(
            f"the standard deviation is {overall.std / first_std:.2g} times that of the first activation: initialise so "
            "that it stays (kaiming_normal_ for rectifiers, xavier_normal_ for tanh, lecun_normal_ for SELU)"
        )
    return found
