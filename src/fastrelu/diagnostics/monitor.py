"""Statistics of a network's layers while it is called, and advice from the literature."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastrelu._entries import entries
from fastrelu._options import integer
from fastrelu.diagnostics.summary import BOUNDS, Limits, Running, Summary, percent, saturation_limits, together
from fastrelu.nn.module import Module

# Thresholds beyond which a monitor gives advice.
DEAD_UNITS = 0.1  # share of the units
SATURATED = 0.25  # share of the outputs
OFF_CENTER = 1.0  # distance of the mean from 0, in standard deviations
SCALE = 10.0  # ratio of two standard deviations, either way


@dataclass(frozen=True)
class LayerReport:
    """Statistics of a layer, collected by a :class:`Monitor`.

    Attributes
    ----------
    name : str
        The layer's name in the model, such as ``"1"``; ``"input"`` for the input of the first layer.
    kind : str
        Its class, such as ``"ReLU"``.
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


class _Watched:
    """A layer and the statistics of its outputs, per unit and for all units together."""

    def __init__(self, name: str, kind: str, function: str, limits: Limits | None, axis: int) -> None:
        self.name, self.kind, self.function = name, kind, function
        self.units = Running(axis, saturation=limits)
        self.overall = Running(saturation=limits)

    def add(self, a: ArrayLike) -> None:
        """Add a batch; a single sample, or a single number, is a batch of one."""
        if not isinstance(a, np.ma.MaskedArray):  # the update refuses that
            a = np.atleast_1d(a)
        try:
            self.units.update(a)
        except np.exceptions.AxisError as error:
            raise np.exceptions.AxisError(f"Monitor, {self.name or 'the model'}: {error}") from None
        found = self.units._found
        assert found is not None
        self.overall.reset()
        self.overall._add(together(found))


class Monitor:
    """Collects statistics of the outputs of a network's layers, prints them as a table, and gives advice.

    The monitor is attached when it is created and watches every forward call, in training and in evaluation mode, until
    :meth:`detach` or the end of a ``with`` block. It reads every output once and keeps a few numbers per unit.

    It gives advice if more than 10 % of a layer's units are dead, that is 0 in every element; if more than 25 % of a
    bounded activation's outputs are saturated (see :func:`saturation_limits`); if the mean of an activation's
    outputs, or of the network's input, is more than one standard deviation from 0; if the input's standard deviation,
    or the ratio of that of an activation to that of the first, is not within 0.1 to 10; and if there is any NaN or
    infinity.

    Parameters
    ----------
    model : fastrelu.nn.Module
        The network. Its innermost layers are watched.
    axis : int, default -1
        The axis of the outputs that numbers the units: -1 for dense layers, 1 for images ``(N, C, H, W)``.
    tolerance : float, default 0.01
        How close to its bounds a bounded activation counts as saturated, as in :func:`saturation_limits`.

    Raises
    ------
    TypeError
        If `model` is not a module, `axis` no integer, or `tolerance` no number.
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
    """

    def __init__(self, model: Module, *, axis: int = -1, tolerance: float = 0.01) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"Monitor watches a fastrelu.nn.Module, got {type(model).__name__!r}")
        axis = integer("axis", axis)
        saturation_limits("tanh", tolerance)  # refuses a tolerance, also where nothing is bounded
        self._watched: dict[str, _Watched] = {}
        self._hooks: list[Callable[[], None]] = []
        self._input = _Watched("input", "", "", None, axis)
        for name, module in model.named_modules():
            if next(module.children(), None) is None:
                function = getattr(module, "_name", "")
                limits = None
                if function in BOUNDS:
                    limits = saturation_limits(function, tolerance, **_parameters_of(module, function))
                self._watched[name] = _Watched(name, type(module).__name__, function, limits, axis)
                hook = self._hook(module, self._watched[name], not self._hooks)
                self._hooks.append(module.register_forward_hook(hook))

    def _hook(self, module: Module, watched: _Watched, first: bool) -> Callable[..., None]:
        def hook(called: Module, args: tuple[Any, ...], output: Any) -> None:
            if called is not module:  # a copy, which has the hooks too
                return
            if first and args and args[0] is not output:  # otherwise the layer worked in place, and its input is lost
                self._input.add(args[0])
            watched.add(output)

        return hook

    def detach(self) -> None:
        """Stop watching; the statistics so far are kept."""
        for remove in self._hooks:
            remove()
        self._hooks.clear()

    def reset(self) -> None:
        """Delete the statistics so far and continue watching."""
        for watched in (self._input, *self._watched.values()):
            watched.units.reset()
            watched.overall.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def layers(self) -> list[LayerReport]:
        """Return the statistics of the input and of each layer that was called.

        Returns
        -------
        list of LayerReport
            In the order of the network.

        Raises
        ------
        RuntimeError
            If the network has not been called yet.
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
                    percent(overall.sparsity),
                    str(int(np.count_nonzero(units.dead))),
                    percent(overall.saturation) if self._is_bounded(layer.name) else "",
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
        return name in self._watched and self._watched[name].function in BOUNDS


def _parameters_of(module: Module, function: str) -> dict[str, float]:
    """Return the parameters of a layer's function, which are attributes of the layer."""
    names = inspect.signature(BOUNDS[function]).parameters
    return {name: float(getattr(module, name)) for name, p in entries(names) if p.kind is p.POSITIONAL_OR_KEYWORD}


def _title(layer: LayerReport) -> str:
    return f"{layer.name} {layer.kind}".strip()


def _advice(watched: _Watched, units: Summary, overall: Summary, first_std: float | None) -> list[str]:
    """Return the advice about a layer; `first_std` is the standard deviation of the first activation."""
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
