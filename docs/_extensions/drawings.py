"""The figures of the documentation; a line differs from another one by its style too, not by its color alone."""

from __future__ import annotations

from typing import Any

import plots
from plots import INK

from fastrelu import diagnostics
from fastrelu.diagnostics.curves import DERIVATIVE

# What each color becomes in the dark theme.
DARK = {**plots.DARK, DERIVATIVE: plots.DARK[plots.ORANGE]}


def activation(name: str) -> Any:
    """Draw a function and its derivative."""
    return diagnostics.plot(name)


def thumbnail(name: str) -> Any:
    """Draw the same without numbers, for a gallery."""
    figure = activation(name)
    figure.set_size_inches(2.2, 1.6)
    figure.legends[0].remove()
    for panel in figure.axes:
        panel.set_title("")
        panel.set_xticks([])
        panel.set_yticks([])
    return figure
