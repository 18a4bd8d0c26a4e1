"""Draws activations and their derivatives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu import activations
from fastrelu._catalogue import elementwise_names, required_arguments
from fastrelu._extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = 4


def draw(names: Sequence[str] = (), span: float = 5.0) -> Any:
    """Draw activations, each with its derivative where it has one.

    Parameters
    ----------
    names : sequence of str, optional
        Names of element-wise activations; all of them by default.
    span : float, default 5.0
        The axis runs from ``-span`` to ``span``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per activation.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figures = require("matplotlib.figure", "plot")
    chosen = names or elementwise_names()
    columns = min(COLUMNS, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = figures.Figure(figsize=(3 * columns, 2.4 * rows), layout="constrained")
    x = np.linspace(-span, span, 2001)
    for number, name in enumerate(chosen, 1):
        panel = figure.add_subplot(rows, columns, number)
        panel.plot(x, getattr(activations, name)(x, **required_arguments(name)), label="function")
        backward = getattr(activations, f"{name}_backward", None)
        if backward is not None:
            slope = backward(np.ones_like(x), x, **required_arguments(f"{name}_backward"))
            panel.plot(x, slope, linestyle="--", label="derivative")
        panel.set_title(name)
        panel.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure
