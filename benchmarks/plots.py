"""Draws the results: the README's picture, speed over size by function, and the share of the memory's bandwidth."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

from functions import LARGE, SIZES, functions
from peers import PACKAGES
from summary import OURS, Row, Summary

from fastrelu._extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PLOTS = {
    "speed_forward": "Elements per second over size, a panel per function",
    "speed_backward": "Elements per second over size, a panel per gradient",
    "memory": "Share of the bandwidth of a copy, ours and the fastest peer's",
}
# The README's picture, which GitHub shows in the reader's theme: light, and dark with these colors instead.
FIRST = ("relu", "gelu", "silu", "sigmoid", "tanh", "softplus", "mish", "elu")
INK, GRID, BLUE, ORANGE, GRAY = "#404040", "#d0d0d0", "#1f5fa8", "#c05a10", "#707070"
DARK = {INK: "#c8ced6", GRID: "#4a515a", BLUE: "#7ab8ff", ORANGE: "#ffae70", GRAY: "#a0a8b0"}
SIDES = {"numpy": ("NumPy", "s", GRAY), "torch": ("PyTorch", "D", ORANGE), OURS: ("fastrelu", "o", BLUE)}
COLUMNS = 5
# The lines differ by color and by dashes.
COLORS = {
    OURS: "#1f5fa8",
    "numpy": "#7f7f7f",
    "scipy": "#17a0b0",
    "numexpr": "#8c564b",
    "numba": "#2ca02c",
    "torch": "#e07b39",
    "jax": "#9467bd",
    "onnxruntime": "#c03070",
}
DASHES = dict(zip(COLORS, ("-", "--", ":", (0, (5, 1, 1, 1)), "-", (0, (7, 2)), (0, (2, 2)), "-."), strict=True))


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
        drawn = {name: svg(make(summary)) for name, make in makers().items()}
    drawn["speed_dark"] = recolored(drawn["speed"], DARK)
    for name, text in drawn.items():
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        print(f"wrote {name}.svg")


def makers() -> dict[str, Callable[[Summary], Any]]:
    """Return the plots by name of file."""
    return {
        "speed": first_screen,
        "speed_forward": lambda summary: _speeds(summary, ("forward",)),
        "speed_backward": lambda summary: _speeds(summary, ("backward", "from output")),
        "memory": _shares,
    }


def svg(figure: Any) -> str:
    """Return a figure as SVG, in few bytes: coordinates to a tenth of a point, no blanks, no names of groups."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    short = re.sub(r"(-?\d+\.\d)\d+(?=[\s,)\"])", r"\1", text.getvalue())
    short = re.sub(r"(?<=[MLCQ]) | ?\n(?=[MLCQz]|\")", "", short)
    short = re.sub(r"font-family: [^;\"]*(; )?|<!DOCTYPE.*?>", "", short, flags=re.DOTALL).replace(
        '<style type="text/css">', "<style type=\"text/css\">text{font-family:'DejaVu Sans',Verdana,sans-serif}"
    )
    short = re.sub(r'style="[^"]*"', lambda style: re.sub("(?<=[:;]) ", "", style[0]), short)
    return re.sub(r"(?<=>)\s+(?=<)", "", re.sub(r'<g id="\w+">', "<g>", short)) + "\n"


def recolored(text: str, colors: Mapping[str, str]) -> str:
    """Return SVG text with other colors."""
    return re.sub("|".join(colors), lambda match: colors[match[0]], text)


def first_screen(summary: Summary) -> Any:
    """Return the README's picture: time per element of some functions, by three marks, and the ratios to ours.

    100,000 elements of float32 into an existing array, two threads for every side that has threads.
    """
    figure = _figure(7.2, 0.31 * len(FIRST) + 0.95)
    figure.patch.set_alpha(0)
    ax = figure.subplots()
    cells = (summary.rows.get((name, "float32", 100_000, "out")) for name in reversed(FIRST))
    rows = [row for row in cells if row]
    for height, row in enumerate(rows):
        times = {side: row.ns(side) / row.size for side in SIDES if side in row.sides}
        ax.plot(
            [min(times.values(), default=1), max(times.values(), default=1)],
            [height, height],
            color=GRID,
            linewidth=1.5,
            zorder=1,
        )
        for side, time in times.items():
            _, marker, color = SIDES[side]
            ax.scatter(time, height, marker=marker, s=38, color=color, linewidths=0, zorder=2)
        for at, side in ((1.08, "numpy"), (1.22, "torch")):
            if side not in row.sides:
                continue
            ratio = row.against(side).median
            text = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"
            ax.text(at, height, text, transform=ax.get_yaxis_transform(), va="center", ha="right", color=INK)
    for at, side in ((1.08, "NumPy"), (1.22, "PyTorch")):
        ax.text(at, len(rows) - 0.3, side, transform=ax.get_yaxis_transform(), va="center", ha="right", color=INK)
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.set_xlabel("nanoseconds per element: 100,000 elements of float32, two threads (left is faster)")
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_title("times as fast as", loc="right", x=1.22, pad=16, color=INK)
    ax.grid(visible=True, axis="x", linewidth=0.5, color=GRID)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=INK)
    ax.xaxis.label.set_color(INK)
    ax.set_facecolor("none")
    marks = [
        ax.scatter([], [], marker=marker, s=38, color=color, linewidths=0, label=title)
        for title, marker, color in SIDES.values()
    ]
    figure.legend(handles=marks, ncols=len(marks), loc="outside upper center", frameon=False, labelcolor=INK)
    return figure


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
            ax.loglog(sizes, speeds, clip_on=False, linestyle=DASHES[side], color=COLORS[side], linewidth=width)
        ax.minorticks_off()
        ax.tick_params(bottom=False, left=False)
        ax.spines[:].set_visible(False)
        ax.set_title(name, pad=2)
        ax.grid(visible=True, linewidth=0.3, clip_on=False)
    for ax in list(axes.flat)[len(names) :]:
        ax.set_axis_off()
    figure.supxlabel("elements")
    figure.supylabel("elements per second")
    handles = [
        require("matplotlib.lines", "plot").Line2D([], [], color=color, linestyle=DASHES[side], label=_title(side))
        for side, color in COLORS.items()
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
        for side in COLORS:
            source: Row | None = fresh if side == "jax" else row  # JAX has no other mode
            if source and side in source.sides:
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
                marker = "o" if side == OURS else "D"
                ax.scatter(share.median, height, s=size, marker=marker, color=COLORS[side], linewidths=0)
    ax.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    ax.set_ylim(-1, len(rows))
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xlim(left=0)
    ax.grid(visible=True, axis="x", linewidth=0.3)
    ax.set_xlabel("share of the bandwidth of a copy: 16 million elements, float32, into an array")
    scatter = [
        ax.scatter([], [], marker="o" if side == OURS else "D", color=color, label=_title(side))
        for side, color in COLORS.items()
        if side != "jax"
    ]
    figure.legend(handles=scatter, ncols=4, loc="outside upper center", frameon=False)
    return figure
