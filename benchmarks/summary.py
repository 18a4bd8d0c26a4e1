"""Turns measured times into ratios with intervals, and finds the fastest sides, lost cells and missed targets."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
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
    """One cell and the times of its sides."""

    name: str
    dtype: str
    size: int
    mode: str
    times: Mapping[str, Sequence[float]]
    wrong: frozenset[str] = frozenset()

    @property
    def peers(self) -> list[str]:
        """The sides other than ours that compute the same."""
        return [side for side in self.times if side not in {OURS, ACCURATE, STREAMED, SEPARATE}]

    def against(self, side: str) -> Ratio:
        """Return our speed relative to a side."""
        return self._ratios[side]

    @cached_property
    def _ratios(self) -> dict[str, Ratio]:
        return {side: ratio(self.times[side], self.times[OURS]) for side in self.peers} if OURS in self.times else {}

    @cached_property
    def fastest(self) -> str:
        """The fastest peer with a right answer."""
        right = [side for side in self.peers if side not in self.wrong] or self.peers
        return min(right, key=lambda side: float(np.median(self.times[side])))

    @property
    def best(self) -> Ratio:
        """Our speed relative to the fastest peer."""
        return self.against(self.fastest)

    def ns(self, side: str) -> float:
        """Return the median nanoseconds of one call."""
        return float(np.median(self.times[side]))


class Summary:
    """All rows of a result."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.machine: Mapping[str, Any] = result["machine"]
        self.settings: Mapping[str, Any] = result["settings"]
        self.errors: Mapping[str, Mapping[str, float]] = result["errors"]
        self.rows: dict[tuple[str, str, int, str], Row] = {}
        for key, times in result["cells"].items():
            name, dtype, size, mode = key.split("|")
            wrong = frozenset(result["wrong"].get(key, ()))
            self.rows[name, dtype, int(size), mode] = Row(name, dtype, int(size), mode, times, wrong)

    def compared(self) -> Iterator[Row]:
        """Yield the rows with us and at least one peer, without those of the copy."""
        for row in self.rows.values():
            if row.name != "copy" and OURS in row.times and row.peers:
                yield row

    def error(self, row: Row, side: str) -> float:
        """Return the largest error of a side, in units in the last place."""
        return float(self.errors[f"{row.name}|{row.dtype}"][side])

    def limit(self, dtype: str, size: int) -> tuple[str, Sequence[float]] | None:
        """Return the streamed copy, or else the side that copies fastest, and its times."""
        copy = self.rows.get(("copy", dtype, size, "out"))
        if copy is None:
            return None
        side = STREAMED if STREAMED in copy.times else min(copy.times, key=copy.ns)
        return side, copy.times[side]

    def share(self, row: Row, side: str = OURS) -> Ratio | None:
        """Return the bandwidth of a row as a share of the fastest copy's, if possible one measured alternately."""
        limit = self.limit(row.dtype, row.size)
        if limit is None or side not in row.times:
            return None
        moved = (3 if "backward" in row.name else 2) / 2  # arrays read and written, relative to a copy
        return ratio([moved * time for time in row.times.get(STREAMED, limit[1])], row.times[side])


# --- Losses and their reasons -------------------------------------------------------------------------------------


LEVEL = "Level: 1 lies in the interval, another run may put ours ahead."


class Loss(NamedTuple):
    """A cell in which a peer's median is faster, and why."""

    row: Row
    reason: str


class NoReasonError(ValueError):
    """A cell is lost, and reasons.toml has no reason."""


def losses(summary: Summary, reasons: Sequence[Mapping[str, Any]]) -> list[Loss]:
    """Return the cells in which we are slower, each with its reason; those that are not lost are level.

    Parameters
    ----------
    summary : Summary
        The results.
    reasons : sequence of dict
        Entries of ``reasons.toml``; the first that fits is taken.

    Raises
    ------
    NoReasonError
        If a lost cell has no reason.
    """
    found, missing = [], []
    for row in summary.compared():
        if not row.best.behind:
            continue
        if not row.best.lost:
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
                if row is None or OURS not in row.times:
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
    return (side, row.against(side)) if side in row.times else None


def verdicts(summary: Summary) -> list[tuple[Target, list[Verdict]]]:
    """Return the verdicts of every target that was measured."""
    found = [(target, list(judge(summary, target))) for target in TARGETS]
    return [(target, results) for target, results in found if results]


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean of ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))
