"""The figures of the documentation; a line differs from another one by its style too, not by its color alone."""

from __future__ import annotations

from typing import Any

from fastrelu import diagnostics
from fastrelu.diagnostics.curves import DERIVATIVE, FUNCTION, TEXT

INK, GRID = TEXT, "#d0d0d0"
# What each color becomes in the dark theme.
DARK = {INK: "#c8ced6", GRID: "#4a515a", FUNCTION: "#7ab8ff", DERIVATIVE: "#ffae70"}


def activation(name: str) -> Any:
    """Draw a function and its derivative."""
    return diagnostics.plot(name)


def thumbnail(name: str) -> Any:
    """Draw the same without numbers, for a gallery."""
    figure = diagnostics.plot(name)
    figure.set_size_inches(2.2, 1.6)
    figure.legends[0].remove()
    for panel in figure.axes:
        panel.set_title("")
        panel.set_xticks([])
        panel.set_yticks([])
    return figure
