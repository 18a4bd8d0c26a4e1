"""Turns measured times into ratios with intervals, and finds the fastest sides, lost cells and missed targets."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from functions import COPY, LARGE
from results import rounded
from targets import FASTEST, LIMIT, TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

REASONS = Path(__file__).with_name("reasons.toml")
OURS, ACCURATE, STREAMED = "fastrelu", "accurate", "streamed"
SEPARATE = "separate"  # calls of ours, one after the other, where one call does it all
RESAMPLES = 2000
CONFIDENCE = 0.95


class Ratio(NamedTuple):
    """Their time divided by ours: the median over the pairs and its bootstrap interval."""

    median: float
    low: float
    high: float

    @property
    def lost(self) -> bool:
        """Whether the other side is faster: the whole interval is below 1."""
        return self.high < 1

    @property
    def behind(self) -> bool:
        """Whether the other side's median is faster."""
        return self.median < 1


@cache
def _resamples(n: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def ratio(theirs: ArrayLike, ours: ArrayLike) -> Ratio:
    """Return the ratio of times measured in pairs.

    Parameters
    ----------
    theirs, ours : array_like
        Times of both sides, one of each per pair.

    Returns
    -------
    Ratio
        The median of the pairs' ratios, and the interval that holds 95 % of the medians of resampled pairs.
    """
    ratios = np.divide(theirs, ours)
    medians = np.median(ratios[_resamples(len(ratios))], axis=1)
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [outside, 1 - outside])
    return Ratio(float(np.median(ratios)), float(low), float(high))


@dataclass(frozen=True)
class Row:
    """One cell and what was kept of its sides (condense): the median time, and of some the ratio to ours."""

    name: str
    dtype: str
    size: int
    mode: str
    sides: Mapping[str, float | Sequence[float]]
    wrong: frozenset[str] = frozenset()

    @property
    def peers(self) -> list[str]:
        """The sides other than ours that compute the same."""
        return [side for side in self.sides if side not in {OURS, ACCURATE, STREAMED, SEPARATE}]

    def against(self, side: str) -> Ratio:
        """Return our speed relative to a side."""
        _, *found = self._kept(side)
        if not found:
            where = f"{self.name}, {self.dtype}, {self.size:,}, {self.mode}"
            raise LookupError(f"the ratio to {side} was not kept: {where}")
        return Ratio(*found)

    def _kept(self, side: str) -> Sequence[float]:
        kept = self.sides[side]
        return (kept,) if isinstance(kept, float | int) else kept

    @cached_property
    def fastest(self) -> str:
        """The fastest peer with a right answer."""
        right = [side for side in self.peers if side not in self.wrong] or self.peers
        return min(right, key=self.ns)

    @property
    def best(self) -> Ratio:
        """Our speed relative to the fastest peer."""
        return self.against(self.fastest)

    def ns(self, side: str) -> float:
        """Return the median nanoseconds of one call."""
        return self._kept(side)[0]


class Summary:
    """All rows of a result."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.machine: Mapping[str, Any] = result["machine"]
        self.settings: Mapping[str, Any] = result["settings"]
        self.errors: Mapping[str, Mapping[str, float]] = result["errors"]
        self.stalled: Mapping[str, Mapping[str, int]] = result["stalled"]
        self.shares: Mapping[str, Mapping[str, Sequence[float]]] = result["shares"]
        self.rows: dict[tuple[str, str, int, str], Row] = {}
        for key, sides in result["cells"].items():
            name, dtype, size, mode = key.split("|")
            wrong = frozenset(result["wrong"].get(key, ()))
            self.rows[name, dtype, int(size), mode] = Row(name, dtype, int(size), mode, sides, wrong)

    def compared(self) -> Iterator[Row]:
        """Yield the rows with us and at least one peer, without those of the copy."""
        for row in self.rows.values():
            if row.name != COPY.name and OURS in row.sides and row.peers:
                yield row

    def error(self, row: Row, side: str) -> float:
        """Return the largest error of a side, in units in the last place."""
        return float(self.errors[f"{row.name}|{row.dtype}"][side])

    def share(self, row: Row, side: str = OURS) -> Ratio | None:
        """Return the bandwidth of a row as a share of the fastest copy's, if possible one measured alternately."""
        kept = self.shares.get(f"{row.name}|{row.dtype}|{row.size}|{row.mode}", {})
        return Ratio(*kept[side]) if side in kept else None


# --- What is kept of the times of all pairs -----------------------------------------------------------------------

# Cells whose tables have a column for every peer: type, elements or length, and the mode without the threads.
EVERY_PEER = {
    ("float32", 16, "fresh"),
    ("float32", 100_000, "out"),
    ("float32", 100_000, "fresh"),
    ("float32", 1000, "last axis, no mask"),
}
STALLING, TICK = 100_000, 2e6  # elements from which sides use threads; nanoseconds


def condense(result: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a result with what the documents need in place of the times of all pairs.

    A side keeps its median; its ratio to ours, with the interval, is kept where it is shown: of the fastest peer, of
    all that are faster than ours or wrong, of those that a target names, and of every peer in some cells.

    Parameters
    ----------
    result : dict
        The times of every side by cell, one for each pair.
    earlier : dict, optional
        A condensed result with the times of copies, for cells measured without one.

    Returns
    -------
    dict
        The same machine, settings and errors; ``"shares"`` has shares of the bandwidth of a copy, and ``"stalled"``
        the number of times that exceed the shortest of their cell and side by far, as after waiting for a tick.
    """
    cells: dict[str, Any] = {}
    stalled: dict[str, dict[str, int]] = {}
    shares: dict[str, dict[str, list[float]]] = {}
    for key, times in result["cells"].items():
        name, dtype, length, mode = key.split("|")
        size, wrong = int(length), frozenset(result["wrong"].get(key, ()))
        cells[key] = {side: rounded(float(np.median(times[side]))) for side in times}
        row = Row(name, dtype, size, mode, dict(cells[key]), wrong)
        if name == COPY.name or OURS not in times or not row.peers:
            continue
        every = (dtype, size, mode.partition(", threads")[0]) in EVERY_PEER
        shown = {row.fastest, *wrong, *named(row)}
        for side in row.peers:
            against = ratio(times[side], times[OURS])
            if every or side in shown or against.behind:
                cells[key][side] = [row.ns(side), *map(rounded, against)]
        if size >= STALLING:
            counts = {side: sum(t > max(min(ts) + TICK, 4 * min(ts)) for t in ts) for side, ts in times.items()}
            if any(counts.values()):
                stalled[key] = {side: count for side, count in counts.items() if count}
        if (size, mode) == (LARGE, "out") and (copies := _copies(dtype, result, earlier or {})):
            fastest = min(copies.values(), key=lambda ts: float(np.median(np.asarray(ts))))
            limit = times.get(STREAMED) or copies.get(STREAMED) or fastest
            moved = (3 if "backward" in name else 2) / 2  # arrays read and written, relative to a copy
            found = {side: ratio(np.multiply(moved, limit), times[side]) for side in (OURS, row.fastest)}
            shares[key] = {side: [rounded(value, 6) for value in share] for side, share in found.items()}
    return {**result, "cells": cells, "stalled": stalled, "shares": shares}


def _copies(dtype: str, *results: Mapping[str, Any]) -> Mapping[str, ArrayLike]:
    """Return the times of the copies of the first result that has any."""
    return next((copies for r in results if (copies := r.get("cells", {}).get(f"copy|{dtype}|{LARGE}|out"))), {})


def named(row: Row) -> set[str]:
    """Return the sides that targets name at a cell."""
    return {
        side
        for target in TARGETS
        if row.name in target.names and (row.dtype, row.size, row.mode) in target.places
        for side in target.against
    }


# --- Losses and their reasons -------------------------------------------------------------------------------------


LEVEL = "Level: 1 lies in the interval, another run may put ours ahead."
EXPLAINED = 0.9  # a cell whose median is below this needs a reason of its own, even if 1 lies in the interval


class Loss(NamedTuple):
    """A cell in which a peer's median is faster, and why."""

    row: Row
    reason: str


class NoReasonError(ValueError):
    """A cell is lost or far behind, and reasons.toml has no reason."""


def losses(summary: Summary, reasons: Sequence[Mapping[str, Any]]) -> list[Loss]:
    """Return the cells in which we are slower, each with its reason; those that are neither lost nor far behind are level.

    Parameters
    ----------
    summary : Summary
        The results.
    reasons : sequence of dict
        Entries of ``reasons.toml``; the first that fits is taken.

    Raises
    ------
    NoReasonError
        If a cell that is lost, or below `EXPLAINED`, has no reason.
    """
    found, missing = [], []
    for row in summary.compared():
        if not row.best.behind:
            continue
        if not row.best.lost and row.best.median >= EXPLAINED:
            found.append(Loss(row, LEVEL))
            continue
        reason = next((entry["text"] for entry in reasons if fits(entry, row)), None)
        if reason is None:
            missing.append(f"{row.name}, {row.dtype}, {row.size:,}, {row.mode}: {row.best.median:.2f} {row.fastest}")
        else:
            found.append(Loss(row, reason))
    if missing:
        raise NoReasonError("lost, and reasons.toml does not say why:\n" + "\n".join(missing))
    return found


def fits(entry: Mapping[str, Any], row: Row) -> bool:
    """Tell whether a reason applies to a row: each of its keys must contain the row's value."""
    values = {"functions": row.name, "dtypes": row.dtype, "sizes": row.size, "modes": row.mode, "peers": row.fastest}
    unknown = entry.keys() - values.keys() - {"text"}
    if unknown:
        raise ValueError(f"reasons.toml: unknown key {', '.join(sorted(unknown))}")
    return all(value in entry[key] for key, value in values.items() if key in entry)


def read_reasons(path: Path = REASONS) -> list[dict[str, Any]]:
    """Return the entries of the table of reasons."""
    found: list[dict[str, Any]] = tomllib.loads(path.read_text()).get("reason", [])
    return found


# --- Targets ------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """A target in one cell."""

    target: Target
    row: Row
    against: str
    ratio: Ratio

    @property
    def met(self) -> bool:
        """Whether the median reaches the target."""
        return self.ratio.median >= self.target.least


def judge(summary: Summary, target: Target) -> Iterator[Verdict]:
    """Yield a verdict for every cell of a target that was measured."""
    for name in target.names:
        for size in target.sizes:
            for mode in target.modes:
                row = summary.rows.get((name, target.dtype, size, mode))
                if row is None or OURS not in row.sides:
                    continue
                for against in target.against:
                    found = _ratio_to(summary, row, against)
                    if found is not None:
                        yield Verdict(target, row, *found)


def _ratio_to(summary: Summary, row: Row, against: str) -> tuple[str, Ratio] | None:
    if against == LIMIT:
        share = summary.share(row)
        return None if share is None else ("copy", share)
    side = row.fastest if against == FASTEST and row.peers else against
    return (side, row.against(side)) if side in row.sides else None


def verdicts(summary: Summary) -> list[tuple[Target, list[Verdict]]]:
    """Return the verdicts of every target that was measured."""
    found = [(target, list(judge(summary, target))) for target in TARGETS]
    return [(target, results) for target, results in found if results]


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean of ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))
