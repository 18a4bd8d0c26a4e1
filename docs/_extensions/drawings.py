"""The figures of the documentation; a line differs from another one by its style too, not by its color alone."""

from __future__ import annotations

import contextlib
import io
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import plots
import results
from matplotlib.figure import Figure
from plots import BLUE, GRAY, GRID, INK, ORANGE
from summary import Summary

import fastrelu as fr
from fastrelu import diagnostics
from fastrelu.diagnostics.curves import DERIVATIVE

EXAMPLES = Path(__file__).parents[2] / "examples"
# What each color becomes in the dark theme.
DARK = {**plots.DARK, DERIVATIVE: plots.DARK[plots.ORANGE]}


def span(name: str) -> float:
    """Return how far from 0 a function is drawn, so that all its parts are seen."""
    return {"relu6": 8.0}.get(name, 5.0)


def activation(name: str) -> Any:
    """Draw a function and its derivative."""
    return diagnostics.plot(name, span=span(name))


def thumbnail(name: str) -> Any:
    """Draw the same without numbers, for a gallery."""
    figure = activation(name)
    figure.set_size_inches(2.2, 1.6)
    figure.legends[0].remove()
    for panel in figure.axes:
        panel.set_title("")
        panel.set_xticks([])
        panel.set_yticks([])
        for text in panel.texts:  # the values of parameters
            text.remove()
    return figure


@cache
def example(name: str) -> tuple[str, dict[str, Any]]:
    """Run a script of examples/ and return what it prints, and its variables."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        variables = runpy.run_path(str(EXAMPLES / name))
    return text.getvalue(), variables


def _panel(width: float, height: float, *labels: str) -> tuple[Figure, Any]:
    """Return a figure with one plain panel, whose axes have these labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    panel = figure.subplots()
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])
    panel.grid(visible=True, color=GRID, linewidth=0.5)
    panel.set_axisbelow(True)
    return figure, panel


def dead_units() -> Figure:
    """Draw the shares of dead units in the example of that name."""
    dead = example("dead_units.py")[1]["dead"]
    figure, panel = _panel(5, 1.5, "dead units, %", "")
    bars = panel.barh(["ReLU", "slope 0.01", "slope 0.2"], [100 * share for share in dead], color=BLUE, height=0.5)
    panel.bar_label(bars, fmt="%.0f", padding=3, color=INK)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    return figure


def vanishing_gradients() -> Figure:
    """Draw the sizes of the gradients in the example of that name."""
    found = example("vanishing_gradients.py")[1]["found"]
    figure, panel = _panel(5.4, 2.8, "layer", "size of the gradient")
    styles = (("-", ORANGE), ("--", GRAY), ("-", BLUE), (":", INK))
    for (activation, sizes), (style, color) in zip(found.items(), styles, strict=True):
        panel.semilogy(range(1, len(sizes) + 1), sizes, style, color=color, linewidth=1.8, label=activation.__name__)
    panel.minorticks_off()
    panel.set_xticks([1, 5, 10, 15, 20])
    figure.legend(ncols=4, loc="outside upper center", frameon=False)
    return figure


def choosing() -> Figure:
    """Draw what the example of that name prints about dead units and saturation."""
    variables = example("choosing.py")[1]
    names, found, flat = list(variables["LAYERS"]), variables["found"], variables["flat"]
    figure, panel = _panel(6, 0.34 * len(names) + 0.9, "share, %", "")
    at = np.arange(len(names))
    for shift, color, hatch, label, shares in (
        (-0.2, BLUE, "", "dead units after a step too long", [found[name][1] for name in names]),
        (0.2, ORANGE, "////", "flat: inputs five times too large", [flat(name, 5) for name in names]),
    ):
        percent = [100 * share for share in shares]
        panel.barh(
            at + shift, percent, 0.36, color="none" if hatch else color, edgecolor=color, hatch=hatch, label=label
        )
    panel.set_yticks(at, names)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    figure.legend(ncols=2, loc="outside upper center", frameon=False)
    return figure


def derivatives() -> Figure:
    """Draw the derivatives of four activations in one panel."""
    x = np.linspace(-5, 5, 401)
    figure, panel = _panel(5.4, 2.8, "x", "derivative")
    styles = (("-", BLUE), ("--", ORANGE), (":", INK), ("-.", GRAY))
    for name, (style, color) in zip(("relu", "gelu", "tanh", "sigmoid"), styles, strict=True):
        slope = getattr(fr, f"{name}_backward")(np.ones_like(x), x)
        panel.plot(x, slope, style, color=color, linewidth=1.8, label=name)
    figure.legend(ncols=4, loc="outside upper center", frameon=False)
    return figure


def speed() -> Figure:
    """Draw the README's picture."""
    return plots.first_screen(Summary(results.read("benchmarks")))
