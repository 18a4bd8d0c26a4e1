"""What other machines measured, a folder of results each: the means of every suite, without a table of single cells."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from bench_two_threads import LIMIT
from summary import EXPLAINED, Ratio, Summary, geometric_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITES = ("benchmarks", "axis", "masks", "types", "values", "passes")  # of cells; those of statements follow
STATEMENTS = ("rows", "network", "parameters", "loss_gradients", "small_losses")
TITLES = {
    "benchmarks": "single functions",
    "rows": "rows, other peers",
    "loss_gradients": "losses with gradients",
    "small_losses": "small losses",
}  # the others are called what their files are


class Part(NamedTuple):
    """Cells of one suite and type that belong together."""

    suite: str
    dtype: str
    where: str
    cells: int
    mean: float
    lost: int
    below: int  # EXPLAINED


def of_cells(suite: str, result: dict[str, Any]) -> Iterator[Part]:
    """Yield the parts of a suite of cells: by type, and by size and mode or by axis."""
    found: dict[tuple[str, str], list[Ratio]] = {}
    for row in Summary(result).compared():
        where = f"{row.size:,}, {row.mode}" if suite == "benchmarks" else row.mode.split(", ")[0]
        found.setdefault((row.dtype, where), []).append(row.best)
    for (dtype, where), ratios in found.items():
        medians = [ratio.median for ratio in ratios]
        lost, below = sum(ratio.lost for ratio in ratios), sum(median < EXPLAINED for median in medians)
        yield Part(suite, dtype, where, len(ratios), geometric_mean(medians), lost, below)


def of_statements(suite: str, result: dict[str, Any]) -> Iterator[Part]:
    """Yield the parts of a script that compares whole statements: by the number of threads."""
    found: dict[int, list[dict[str, float]]] = {}
    for row in result["rows"]:
        found.setdefault(row["threads"], []).append(row["ratio"])
    for threads, ratios in found.items():
        medians = [ratio["median"] for ratio in ratios]
        lost, below = sum(ratio["high"] < 1 for ratio in ratios), sum(median < EXPLAINED for median in medians)
        yield Part(suite, "", f"threads: {threads}", len(ratios), geometric_mean(medians), lost, below)


def two_threads(result: dict[str, Any]) -> str:
    """Return what calls that read or write more than one array gain from a second thread."""
    ratios = [two / one for one, two in (row["ns"] for row in result["rows"])]
    slower = sum(ratio > LIMIT for ratio in ratios)
    return (
        f"Two threads take {statistics.geometric_mean(ratios):.2f} of the time of one in the geometric mean over "
        f"{len(ratios)} calls (`bench_two_threads.py`); {slower} take more than {LIMIT}, at most {max(ratios):.2f}."
    )
