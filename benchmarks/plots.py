"""Draws the results: speed over size with a panel per function, and the share of the memory's bandwidth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from functions import LARGE, SIZES, functions
from peers import PACKAGES
from summary import OURS, Row, Summary

from fastrelu._extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLOTS = {
    "speed_forward": "Elements per second over size, a panel per function",
    "speed_backward": "Elements per second over size, a panel per gradient",
    "memory": "Share of the bandwidth of a copy, ours and the fastest peer's",
}
COLUMNS = 5
COLOURS = {
    OURS: "#d62728",
    "numpy": "#1f77b4",
    "scipy": "#17becf",
    "numexpr": "#8c564b",
    "numba": "#2ca02c",
    "torch": "#ff7f0e",
    "jax": "#9467bd",
    "onnxruntime": "#7f7f7f",
}


def draw(summary: Summary, folder: Path) -> None:
    """Write the plots as SVG files, the same bytes for the same results.

    Parameters
    ----------
    summary : Summary
        The results.
    folder : Path
        Folder of the files.
    """
    matplotlib = require("matplotlib", "plot")
    matplotlib.use("agg")
    settings = {"svg.hashsalt": "fastrelu", "svg.fonttype": "none", "font.size": 8, "axes.titlesize": 8}
    with matplotlib.rc_context(settings):
        figures = (
            _speeds(summary, ("forward",)),
            _speeds(summary, ("backward", "from output")),
            _shares(summary),
        )
        for name, figure in zip(PLOTS, figures, strict=True):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            print(f"wrote {name}.svg")


def _figure(width: float, height: float) -> Any:
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")


def _speeds(summary: Summary, directions: Sequence[str]) -> Any:
    """Return a panel per function: elements per second over size, float32, into an array."""
    names = [f.name for f in functions() if f.direction in directions]
    names = [name for name in names if any((name, "float32", size, "out") in summary.rows for size in SIZES)]
    count = max(1, math.ceil(len(names) / COLUMNS))
    figure = _figure(2.6 * COLUMNS, 1.7 * count + 0.6)
    axes = figure.subplots(count, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        for side, (sizes, speeds) in _lines(summary, name).items():
            width = 1.8 if side == OURS else 0.9
            style = "--" if side == "jax" else "-"
            ax.loglog(sizes, speeds, style, color=COLOURS[side], linewidth=width, marker=".", markersize=3)
        ax.set_title(name, pad=2)
        ax.grid(visible=True, linewidth=0.3)
    for ax in list(axes.flat)[len(names) :]:
        ax.set_axis_off()
    figure.supxlabel("elements")
    figure.supylabel("elements per second")
    handles = [
        require("matplotlib.lines", "plot").Line2D([], [], color=colour, label=_title(side))
        for side, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure


def _title(side: str) -> str:
    return f"{PACKAGES[side].title}{' (new array)' if side == 'jax' else ''}" if side in PACKAGES else side


def _lines(summary: Summary, name: str) -> dict[str, tuple[list[int], list[float]]]:
    found: dict[str, tuple[list[int], list[float]]] = {}
    for size in SIZES:
        row = summary.rows.get((name, "float32", size, "out"))
        fresh = summary.rows.get((name, "float32", size, "fresh"))
        for side in COLOURS:
            source: Row | None = fresh if side == "jax" else row  # JAX has no other mode
            if source and side in source.times:
                sizes, speeds = found.setdefault(side, ([], []))
                sizes.append(size)
                speeds.append(size / source.ns(side) * 1e9)
    return found


def _shares(summary: Summary) -> Any:
    """Return, for every function at 16 million elements, its bytes per second as a share of the copy's."""
    rows = [row for row in summary.compared() if (row.dtype, row.size, row.mode) == ("float32", LARGE, "out")]
    figure = _figure(7, 0.17 * len(rows) + 1.2)
    ax = figure.subplots()
    for height, row in enumerate(reversed(rows)):
        for side, size in ((row.fastest, 18), (OURS, 26)):
            share = summary.share(row, side)
            if share:
                ax.scatter(share.median, height, s=size, color=COLOURS[side])
    ax.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    ax.set_ylim(-1, len(rows))
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xlim(left=0)
    ax.grid(visible=True, axis="x", linewidth=0.3)
    ax.set_xlabel("share of the bandwidth of a copy: 16 million elements, float32, into an array")
    scatter = [
        ax.scatter([], [], color=colour, label=_title(side)) for side, colour in COLOURS.items() if side != "jax"
    ]
    figure.legend(handles=scatter, ncols=4, loc="outside upper center", frameon=False)
    return figure
