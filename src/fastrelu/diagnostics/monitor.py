"""Statistics of a network's layers while it is called, and advice from the literature."""

from __future__ import annotations

import inspect
import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastrelu._entries import entries
from fastrelu._options import integer
from fastrelu.diagnostics.summary import BOUNDS, Limits, Running, Summary, percent, saturation_limits, together
from fastrelu.nn.module import Module, Watcher
from fastrelu.nn.parameter import Parameter

# Thresholds beyond which a monitor gives advice.
DEAD_UNITS = 0.1  # share of the units
FEW = 8  # elements: in fewer, units that are 0 in every second one are 0 in all by chance
SATURATED = 0.25  # share of the outputs
OFF_CENTER = 1.0  # distance of the mean from 0, in standard deviations
SCALE = 10.0  # ratio of two standard deviations, either way

# A row of a monitor: the name of a layer, and which of its calls in a forward call; 0 is its input.
Place = tuple[str, int]

# Threads that call a model add to the same statistics. A fork waits until none does, so that the child is not left with a
# lock that a thread holds which does not exist there.
_adding = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_adding.acquire, after_in_parent=_adding.release, after_in_child=_adding.release)


@dataclass(frozen=True)
class LayerReport:
    """Statistics of a layer, collected by a :class:`Monitor`.

    Attributes
    ----------
    name : str
        The layer's name in the model, such as ``"relu"``; ``"relu (2)"`` for its second call in a forward call, and so
        on. ``"input"`` for the input of the layer that is called first, ``"input of fc1"`` if that is ``fc1`` in some
        forward calls and another one in those before.
    kind : str
        Its class, such as ``"ReLU"``; empty for an input.
    summary : Summary
        Of all its outputs, per unit.
    overall : Summary
        The same for all units together.
    advice : tuple of str
        Advice from the literature, with the finding that it is about; empty if there is no problem.
    """

    name: str
    kind: str
    summary: Summary
    overall: Summary
    advice: tuple[str, ...]


@dataclass(frozen=True)
class _Heading:
    """What is known of a row before it has numbers."""

    name: str
    kind: str = ""
    function: str = ""
    limits: Limits | None = None
    is_input: bool = False


class _Row:
    """The statistics of one place in a network."""

    def __init__(self, heading: _Heading, axis: int) -> None:
        self.heading = heading
        self.units = Running(axis, saturation=heading.limits)

    def add(self, a: ArrayLike) -> None:
        """Add a batch; a single sample, or a single number, is a batch of one."""
        if not isinstance(a, np.ma.MaskedArray):  # the update refuses that
            a = np.atleast_1d(a)
        name = self.heading.name or "the model"
        try:
            self.units.update(a)
        except np.exceptions.AxisError as error:
            raise np.exceptions.AxisError(f"Monitor, {name}: {error}") from None
        except ValueError as error:
            raise ValueError(
                f"Monitor, {name}: {error}; give the axis whose length is the same in all batches (axis=), or call reset() "
                "before those of another length"
            ) from None

    def results(self) -> tuple[Summary, Summary]:
        """Return the statistics per unit, and those of all units together."""
        overall = Running(saturation=self.heading.limits)
        assert self.units._found is not None  # a monitor has no row without a batch
        overall._add(together(self.units._found))
        return self.units.result(), overall.result()


class _Forward:
    """A forward call of the model, as far as it has come: how often each layer was called, and the last row."""

    __slots__ = ("call", "counts", "last")

    def __init__(self, call: object) -> None:
        self.call = call
        self.counts: dict[str, int] = {}
        self.last: Place | None = None


class _Here(threading.local):
    """The forward call that runs in a thread; None outside of any. A copy begins without."""

    forward: _Forward | None = None

    def __reduce__(self) -> Any:
        return _Here, ()


class _OfModel(Watcher):
    """Finds out when a forward call of the model begins and ends."""

    def __init__(self, model: Module, here: _Here) -> None:
        self._model, self._here = model, here

    def begin(self, module: Module, call: object) -> None:
        """Begin a forward call, unless the model calls itself."""
        if module is self._model and self._here.forward is None:
            self._here.forward = _Forward(call)

    def end(self, call: object) -> None:
        """End the forward call that began with this call."""
        if self._here.forward is not None and self._here.forward.call is call:
            self._here.forward = None


class _OfLayer(Watcher):
    """Hands the calls of a layer to a monitor."""

    def __init__(self, layer: Module, heading: _Heading, monitor: Monitor) -> None:
        self._layer, self._heading, self._monitor = layer, heading, monitor

    def __call__(self, module: Module, args: tuple[Any, ...], output: Any) -> None:
        """Add a call within a forward call of the model; a subclass may have copied the hooks to another layer."""
        forward = self._monitor._here.forward
        if forward is not None and module is self._layer:
            self._monitor._add(forward, self._heading, args, output)


class Monitor:
    """Collects statistics of the outputs of a network's layers, prints them as a table, and gives advice.

    The monitor is attached when it is created and watches every forward call of the model, in training and in evaluation
    mode and in all threads, until :meth:`detach` or the end of a ``with`` block. It reads every output once and keeps a few
    numbers per unit.

    Each place in the network has a row. A layer that a forward call calls several times, such as one ``self.relu`` after
    each of several layers, has one for each of its calls, ``relu``, ``relu (2)``, and so on; in a loop one for each pass.
    A layer that is called outside of a forward call of the model, or by another thread than that, is not watched in this
    call. Copies and pickles of a watched model are not watched, and a copy or pickle of a monitor has its statistics but
    watches nothing.

    It gives advice if more than 10 % of a layer's units are dead, that is 0 in every one of at least 8 elements; if more than 25 % of a
    bounded activation's outputs are saturated (see :func:`saturation_limits`); if the mean of an activation's
    outputs, or of the network's input, is more than one standard deviation from 0; if the input's standard deviation,
    or the ratio of that of an activation to that of the first, is not within 0.1 to 10; and if there is any NaN or
    infinity.

    Parameters
    ----------
    model : fastrelu.nn.Module
        The network, which has a `forward`. Its innermost layers are watched.
    axis : int, default -1
        The axis of the outputs that numbers the units: -1 for dense layers, 1 for images ``(N, C, H, W)``.
    tolerance : float, default 0.01
        How close to its bounds a bounded activation counts as saturated, as in :func:`saturation_limits`.

    Raises
    ------
    TypeError
        If `model` is not a module or has no `forward`, as an ``nn.ModuleList``; if `axis` is no integer, or `tolerance` no
        number.
    ValueError
        If `tolerance` is not in [0, 0.5).

    References
    ----------
    LeCun, Bottou, Orr, Müller, "Efficient BackProp" (1998): standardized inputs, functions centered on 0. Glorot and
    Bengio, "Understanding the difficulty of training deep feedforward neural networks" (AISTATS 2010): saturation,
    and initialization that keeps the spread. Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
    acoustic models" (2013): slopes against dead units. He et al., "Delving deep into rectifiers" (ICCV 2015):
    initialization for rectifiers, learned slopes. Lu et al., "Dying ReLU and initialization" (2019).

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

    A layer in two places:

    >>> act = nn.Tanh()
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), act, nn.Linear(8, 2, rng=1), act)
    >>> with diagnostics.Monitor(model) as monitor:
    ...     y = model(np.random.default_rng(0).standard_normal((100, 4), np.float32))
    >>> [(layer.name, layer.summary.units) for layer in monitor.layers()]
    [('input', 4), ('0', 8), ('1', 8), ('2', 2), ('1 (2)', 2)]
    """

    def __init__(self, model: Module, *, axis: int = -1, tolerance: float = 0.01) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"Monitor watches a fastrelu.nn.Module, got {type(model).__name__!r}")
        if type(model).forward is Module.forward and "forward" not in vars(model):
            raise TypeError(
                f"Monitor watches the forward calls of a model, and {type(model).__name__} has no forward: watch each of the "
                "networks in it with a monitor of its own"
            )
        self._axis = integer("axis", axis)
        saturation_limits("tanh", tolerance)  # refuses a tolerance, also where nothing is bounded
        self._rows: dict[Place, _Row] = {}  # in the order of the table
        self._here = _Here()
        watchers: list[tuple[Module, Watcher]] = [(model, _OfModel(model, self._here))]
        for name, module in model.named_modules():
            if next(module.children(), None) is None:
                function = getattr(module, "_name", "")
                parameters = _parameters_of(module, function) if function in BOUNDS else None
                limits = None if parameters is None else saturation_limits(function, tolerance, **parameters)
                watchers.append(
                    (module, _OfLayer(module, _Heading(name, type(module).__name__, function, limits), self))
                )
        self._removers = [module.register_forward_hook(watcher) for module, watcher in watchers]

    def _add(self, forward: _Forward, heading: _Heading, args: tuple[Any, ...], output: Any) -> None:
        """Add a call of a layer to the row of its place."""
        name = heading.name
        number = forward.counts.get(name, 0) + 1
        with _adding:
            if not forward.counts and args and args[0] is not output:  # a layer in place has overwritten its input
                self._add_to((name, 0), self._input_of(name), args[0], forward)
            forward.counts[name] = number
            if number > 1:
                heading = replace(heading, name=f"{name} ({number})".lstrip())
            self._add_to((name, number), heading, output, forward)

    def _input_of(self, name: str) -> _Heading:
        """Return the heading of a new row, the input of a layer that a forward call calls first."""
        is_second = any(row.heading.is_input for row in self._rows.values())
        return _Heading(f"input of {name}" if is_second else "input", is_input=True)

    def _add_to(self, place: Place, heading: _Heading, a: ArrayLike, forward: _Forward) -> None:
        """Add an array to a row; a new one follows the row before it in this forward call."""
        row = self._rows.get(place) or _Row(heading, self._axis)
        row.add(a)
        if place not in self._rows:
            rows = list(entries(self._rows))
            before = [other for other, _ in rows]
            rows.insert(before.index(forward.last) + 1 if forward.last in before else len(rows), (place, row))
            self._rows = dict(rows)
        forward.last = place

    def detach(self) -> None:
        """Stop watching; the statistics so far are kept."""
        for remove in self._removers:
            remove()
        self._removers = []

    def reset(self) -> None:
        """Delete the statistics so far and continue watching."""
        with _adding:
            self._rows = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy gets: the statistics, and nothing to detach."""
        return {**vars(self), "_removers": []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def layers(self) -> list[LayerReport]:
        """Return the statistics of the input and of each place where a layer was called.

        Returns
        -------
        list of LayerReport
            In the order of the calls. A place that is new in a later forward call, in a longer loop for instance, comes
            after the one that was called before it.

        Raises
        ------
        RuntimeError
            If the network has not been called yet.
        """
        return [report for _, report in self._reports()]

    def _reports(self) -> list[tuple[_Heading, LayerReport]]:
        with _adding:
            seen = [(row.heading, *row.results()) for row in self._rows.values()]
        if not seen:
            raise RuntimeError(
                "nothing seen yet: call the model itself while the monitor is attached; its other methods, and layers that "
                "are called alone, do not count"
            )
        reports = []
        first_std = None
        for heading, units, overall in seen:
            advice = tuple(_advice(heading, units, overall, first_std))
            if heading.function and first_std is None:
                first_std = overall.std
            reports.append((heading, LayerReport(heading.name, heading.kind, units, overall, advice)))
        return reports

    def advice(self) -> list[str]:
        """Return the advice from the literature, each with the layer that it is about.

        Returns
        -------
        list of str
            Empty if there is no problem.

        Raises
        ------
        RuntimeError
            If the network has not been called yet.
        """
        return _lines(self.layers())

    def __str__(self) -> str:
        """Return the table and, below it, the advice."""
        rows: list[tuple[str, ...]] = [
            ("layer", "units", "zeros", "dead", "saturated", "mean", "std", "min", "max", "not finite")
        ]
        reports = self._reports()
        for heading, layer in reports:
            units, overall = layer.summary, layer.overall
            rows.append(
                (
                    _title(layer),
                    str(units.units),
                    percent(overall.sparsity),
                    str(int(np.count_nonzero(units.dead))),
                    percent(overall.saturation) if heading.limits is not None else "",
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
        return "\n".join([*lines, *(f"- {text}" for text in _lines(layer for _, layer in reports))])


def _parameters_of(module: Module, function: str) -> dict[str, Any] | None:
    """Return the parameters of a layer's function that bounds depend on, attributes of the layer; None if it learns them."""
    found = {name: getattr(module, name, None) for name in inspect.signature(BOUNDS[function]).parameters}
    return None if any(isinstance(value, np.ndarray | Parameter) for _, value in entries(found)) else found


def _title(layer: LayerReport) -> str:
    return f"{layer.name} {layer.kind}".strip()


def _lines(layers: Iterable[LayerReport]) -> list[str]:
    """Return all advice, each with the layer that it is about."""
    return [f"{_title(layer)}: {text}" for layer in layers for text in layer.advice]


def _advice(heading: _Heading, units: Summary, overall: Summary, first_std: float | None) -> list[str]:
    """Return the advice about a layer; `first_std` is the standard deviation of the first activation."""
    found = []
    is_input, is_activation = heading.is_input, bool(heading.function)
    if overall.nonfinite:
        found.append(
            f"{overall.nonfinite} of {overall.count} elements are NaN or infinite: take a smaller step, and look for "
            "them in the input"
        )
    if not overall.finite:
        return found
    dead = np.count_nonzero(units.dead) / units.units
    elements = overall.count // units.units
    if dead > DEAD_UNITS and elements >= FEW and not is_input:
        found.append(
            f"{dead:.0%} of the units are dead, 0 in all {elements} elements, and no gradient passes: "
            "take a smaller step, He initialization (nn.init.kaiming_normal_), or a function with a slope below 0 "
            "(LeakyReLU with 0.01 to 0.2, PReLU, ELU)"
        )
    if overall.saturation > SATURATED:
        found.append(
            f"{overall.saturation:.0%} of the outputs are near a bound, where the gradient vanishes: take Xavier "
            "initialization (nn.init.xavier_uniform_), a smaller step, standardized inputs, or an unbounded function"
        )
    apart = abs(overall.mean) / overall.std if overall.std else math.inf if overall.mean else 0.0
    if is_input and (apart > OFF_CENTER or not 1 / SCALE <= overall.std <= SCALE):
        found.append(
            f"mean {overall.mean:.3g} and standard deviation {overall.std:.3g}: standardize the input, to mean 0 and "
            "standard deviation 1 over the training set"
        )
    elif is_activation and apart == math.inf:
        if elements > 1:  # one element may be all there is
            found.append(f"all outputs are {overall.mean:.3g}, whatever the input: look at the layers before it")
    elif is_activation and apart > OFF_CENTER and dead <= DEAD_UNITS:
        found.append(
            f"the mean is {apart:.1f} standard deviations from 0, which pushes the next layer's weights all one way: take "
            "a function centered on 0 (Tanh, ELU, SELU)"
        )
    if is_activation and first_std and not 1 / SCALE <= overall.std / first_std <= SCALE:
        found.append(
            f"the standard deviation is {overall.std / first_std:.2g} times that of the first activation: initialize so "
            "that it stays (kaiming_normal_ for rectifiers, xavier_normal_ for tanh, lecun_normal_ for SELU)"
        )
    return found
