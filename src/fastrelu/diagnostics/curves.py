"""Draws activations and their derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu import activations
from fastrelu._catalogue import check_name, elementwise_names, required_arguments
from fastrelu._entries import entries
from fastrelu._extras import require
from fastrelu._options import real_number

COLUMNS = 4
FUNCTION, DERIVATIVE, TEXT = "#1f5fa8", "#e07b39", "#404040"
JUMP = 10  # times the neighboring steps
LARGEST = 1e100  # span whose square is still finite


def plot(*names: str, span: float = 5.0) -> Any:
    """Draw activations and their derivatives.

    A function that shares its gradient with another one, such as rrelu, is drawn without it; jumps are left open.

    Parameters
    ----------
    *names : str
        Names of element-wise activations, drawn in this order; all of them by default, by the alphabet. Parameters without a default take the values of
        the example in the function's docstring, which its panel shows.
    span : float, default 5.0
        The axis runs from ``-span`` to ``span``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per activation; ``figure.savefig("activations.png")`` writes it, a notebook shows it.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed; it is an ImportError.
    TypeError
        If a name is no string, or `span` no number.
    ValueError
        If there is no such activation, or `span` is not a positive number of at most 1e100.

    Examples
    --------
    ::

        from fastrelu import diagnostics
        diagnostics.plot("gelu", "elu").savefig("gelu_elu.png")
    """
    if not 0 < real_number("span", span) <= LARGEST:
        raise ValueError(f"span must be a positive number, got {span!r}; the largest is {LARGEST:g}")
    chosen = [check_name(name, elementwise_names(), "element-wise activation") for name in names]
    chosen = chosen or sorted(elementwise_names())
    figures = require("matplotlib.figure", "plot")
    columns = min(COLUMNS, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = figures.Figure(figsize=(max(3 * columns, 4), 2.4 * rows + 0.4), layout="constrained", facecolor="white")
    for panel, name in zip(figure.subplots(rows, columns, squeeze=False).flat[: len(chosen)], chosen, strict=True):
        _draw(panel, name, np.linspace(-float(span), float(span), 2001))
    for panel in figure.axes[len(chosen) :]:
        panel.set_visible(False)
    fullest = max(figure.axes, key=lambda panel: len(panel.lines))
    figure.legend(*fullest.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def _draw(panel: Any, name: str, x: NDArray[np.float64]) -> None:
    """Draw one activation and its derivative."""
    arguments = required_arguments(name)
    panel.axhline(0, color="#d0d0d0", linewidth=0.8, zorder=0)
    panel.axvline(0, color="#d0d0d0", linewidth=0.8, zorder=0)
    panel.plot(x, _broken(getattr(activations, name)(x, **arguments)), color=FUNCTION, linewidth=2, label="function")
    backward = getattr(activations, f"{name}_backward", None)
    if backward is not None:
        slope = _broken(backward(np.ones_like(x), x, **arguments))
        panel.plot(x, slope, color=DERIVATIVE, linestyle="--", linewidth=1.5, label="derivative")
    panel.set_title(name, fontsize=10, color=TEXT)
    shown = (f"{key} = {value:g}" for key, value in entries(arguments))
    panel.text(0.03, 0.97, "\n".join(shown), transform=panel.transAxes, va="top", fontsize=8, color=TEXT)
    panel.spines[:].set_visible(False)
    panel.tick_params(labelsize=8, colors=TEXT, length=0)


def _broken(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values with a gap where they jump, so that no line pretends to be part of the function.

    A jump is a step that is far longer than both neighboring steps; where a slope changes, one of them is similar.
    """
    steps = np.pad(np.abs(np.diff(y)), 1)
    beside = np.maximum(steps[:-2], steps[2:])
    jumps = steps[1:-1] > np.maximum(JUMP * beside, 0.01 * np.ptp(y))
    return np.where(np.append(jumps, False), np.nan, y)
