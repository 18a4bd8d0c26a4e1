"""Draws the outcomes of the demo: a panel per activation with its training curve; accuracy and dead units of all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu._extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrelu._cli.demo import Outcome

CURVE, DEAD, OTHERS, TEXT = "#1f5fa8", "#d1495b", "#d0d0d0", "#404040"
COLUMNS = 8
PANEL, BARS = (1.55, 1.75), 5.0  # inches


def draw(outcomes: Sequence[Outcome]) -> Any:
    """Draw the outcomes of several activations.

    Parameters
    ----------
    outcomes : sequence of Outcome
        At least one.

    Returns
    -------
    matplotlib.figure.Figure
        On the left each training curve over all others in gray, on the right accuracy and dead units, best first.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figures = require("matplotlib.figure", "plot")
    columns = min(COLUMNS, len(outcomes), math.ceil(math.sqrt(1.6 * len(outcomes))))
    rows = math.ceil(len(outcomes) / columns)
    width, height = max(columns * PANEL[0], 3.2), rows * PANEL[1] + 1.2
    figure = figures.Figure(figsize=(width + BARS, height), layout="constrained", facecolor="white")
    figure.suptitle(
        f"784-256-10 on handwritten digits, {len(outcomes[0].losses)} epochs, one activation after another",
        color=TEXT,
        fontsize=13,
    )
    left, right = figure.subfigures(1, 2, width_ratios=(width, BARS), wspace=0.02)
    best_first = sorted(outcomes, key=lambda outcome: (-outcome.accuracy, outcome.dead, outcome.activation))
    _curves(left, best_first, rows, columns)
    _bars(right, best_first)
    return figure


def _curves(figure: Any, outcomes: Sequence[Outcome], rows: int, columns: int) -> None:
    figure.suptitle("Training loss", color=TEXT, fontsize=12)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(outcomes) :]:
        panel.set_visible(False)
    for number, (panel, shown) in enumerate(zip(panels.flat, outcomes, strict=False)):
        for outcome in (*(other for other in outcomes if other is not shown), shown):
            is_shown = outcome is shown
            panel.plot(
                np.arange(1, len(outcome.losses) + 1),
                outcome.losses,
                color=CURVE if is_shown else OTHERS,
                linewidth=1.8 if is_shown else 0.5,
                marker="o" if is_shown and len(outcome.losses) == 1 else "",
            )
        panel.set_yscale("log")
        panel.set_title(shown.activation, fontsize=9, color=TEXT, pad=3)
        _plain(panel)
        # The last panel of each column has the tick labels, even if the last row is not full.
        panel.tick_params(labelbottom=number + columns >= len(outcomes))
    figure.supxlabel(
        "epoch (the activation in blue, all others in gray)" if len(outcomes) > 1 else "epoch", fontsize=9, color=TEXT
    )


def _bars(figure: Any, outcomes: Sequence[Outcome]) -> None:
    figure.suptitle("Test accuracy and dead units", color=TEXT, fontsize=12)
    accuracy, dead = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(outcomes))
    shares = np.array([outcome.accuracy for outcome in outcomes]) * 100
    errors = np.array([outcome.standard_error for outcome in outcomes]) * 100
    accuracy.errorbar(shares, rows, xerr=errors, fmt="o", color=CURVE, markersize=4, elinewidth=0.8)
    for row, share, error in zip(rows, shares, errors, strict=True):
        accuracy.text(share + error + 0.1, row, f"{share:.1f}", va="center", fontsize=8, color=TEXT)
    accuracy.set_yticks(rows, [outcome.activation for outcome in outcomes], fontsize=9)
    accuracy.set_xlim(min((shares - errors).min() - 0.5, 94.5), max(100, (shares + errors).max() + 1))
    accuracy.set_title("right answers, %", fontsize=9, color=TEXT)
    accuracy.set_xlabel(
        f"± one standard error, {outcomes[0].images} test images:\nan order within it is chance", fontsize=8, color=TEXT
    )
    accuracy.grid(axis="both", color="#eeeeee")
    lost = np.array([outcome.dead for outcome in outcomes]) * 100
    dead.barh(rows, lost, color=DEAD, height=0.6)
    for row, share in zip(rows, lost, strict=True):
        dead.text(
            share + 0.6,
            row,
            f"{share:.1f}" if share else "0",
            va="center",
            fontsize=8,
            color=DEAD if share else "#a0a0a0",
        )
    dead.set_xlim(0, max(10.0, 1.2 * lost.max()))
    dead.set_title("units without a gradient, %", fontsize=9, color=TEXT)
    dead.tick_params(axis="y", length=0)
    for panel in (accuracy, dead):
        panel.set_ylim(len(outcomes) - 0.4, -0.6)
        _plain(panel)


def _plain(panel: Any) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#b0b0b0")
    panel.tick_params(which="both", labelsize=8, colors=TEXT, length=2)
    panel.tick_params(which="minor", length=0)
    panel.set_axisbelow(True)
