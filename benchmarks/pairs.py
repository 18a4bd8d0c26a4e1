"""Compares two statements: each in a process of its own, alternately, as a ratio per pair of processes.

For comparisons other than the element-wise functions of full.py: networks, rows, gradients of parameters.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu._extras import progress

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Comparison:
    """Two statements that give the same answer.

    Attributes
    ----------
    ours, theirs : str
        Sources of the two statements.
    peer : str
        The package of the other side.
    size, dtype, threads : int, str, int
        Elements and type of the input, and the threads both sides may use.
    memory : str
        Memory of the result: ``"fresh"``, ``"reused"`` or ``"in place"``.
    figure : str
        ``"speed"``: the ratio is their time divided by ours; ``"cost"``: ours divided by theirs.
    target : float or None
        The least speed, or the greatest cost.
    our_setup, their_setup : str
        Sources of the imports and the arrays of the statements.
    before : str or None
        Source that restores the input before each timing, untimed.
    tolerance : float or None
        Tolerance of the answers, relative and absolute; None for 256 eps of the type, because both sides round.
    """

    ours: str
    theirs: str
    peer: str
    size: int
    dtype: str
    threads: int
    memory: str
    our_setup: str = field(repr=False)
    their_setup: str = field(repr=False)
    figure: str = "speed"
    target: float | None = None
    before: str | None = None
    tolerance: float | None = None

    @property
    def label(self) -> str:
        """One line that names the comparison."""
        return f"{self.ours} | {self.theirs} | {self.size:,} {self.dtype} | threads: {self.threads} | {self.memory}"

    def measure(self, pairs: int, rounds: int) -> dict[str, Any]:
        """Run the pairs of processes and return the row of the result.

        Parameters
        ----------
        pairs : int
            Pairs of processes; which side goes first alternates.
        rounds : int
            Timings in each process, of which it reports the median.

        Returns
        -------
        dict
            The comparison, the medians in nanoseconds and the ratio with its interval.
        """
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        sources = {"ours": (self.our_setup, self.ours), "theirs": (self.their_setup, self.theirs)}
        for pair in range(pairs):
            samples = {}
            for side in sorted(sources, reverse=bool(pair % 2)):
                setup, statement = sources[side]
                answer = _run(setup, statement, self.before, rounds, self.threads)
                seconds[side].append(answer["seconds"])
                samples[side] = np.array(answer["sample"], self.dtype)
            tolerance = self.tolerance or 256 * float(np.finfo(self.dtype).eps)
            if not np.allclose(samples["ours"], samples["theirs"], rtol=tolerance, atol=tolerance):
                raise AssertionError(f"different answers: {self.label}")
        ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["theirs"], strict=True)]
        if self.figure == "cost":
            ratios = [1 / ratio for ratio in ratios]
        row = {key: value for key, value in asdict(self).items() if "setup" not in key}
        row["ns"] = {side: statistics.median(times) * 1e9 for side, times in seconds.items()}
        row["ratio"] = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
        row["pairs"], row["rounds"] = pairs, rounds
        return row


def _run(setup: str, statement: str, before: str | None, rounds: int, threads: int) -> dict[str, Any]:
    spec = {"setup": setup, "statement": statement, "before": before, "rounds": rounds}
    process = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("side.py"))],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FASTRELU_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
    )
    if process.returncode:
        raise RuntimeError(f"{statement} failed:\n{process.stderr}")
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer


def parser(description: str, pairs: int = 7, rounds: int = 100) -> argparse.ArgumentParser:
    """Return the options that all comparison scripts share.

    Parameters
    ----------
    description : str
        Description of the script.
    pairs, rounds : int
        Defaults.

    Returns
    -------
    argparse.ArgumentParser
        The parser, to which scripts may add options.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--pairs", type=int, default=pairs, help="pairs of processes (default: %(default)s)")
    options.add_argument("--rounds", type=int, default=rounds, help="timings in each process (default: %(default)s)")
    options.add_argument("--only", default="", help="measure comparisons whose label contains this text")
    options.add_argument("--quick", action="store_true", help="one pair of five rounds, as a test")
    options.add_argument("--output", type=Path, help="JSON file to write (default: results/, nothing with --quick)")
    return options


def run_all(comparisons: Sequence[Comparison], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure comparisons, print a line for each and return the rows."""
    chosen = [c for c in comparisons if options.only in c.label]
    pairs, rounds = (1, 5) if options.quick else (options.pairs, options.rounds)
    rows = []
    with progress(len(chosen), "comparing") as bar:
        for comparison in chosen:
            row = comparison.measure(pairs, rounds)
            ratio = row["ratio"]
            verdict = f"  {goal(row)} {'met' if met(row) else 'MISSED'}" if goal(row) else ""
            print(
                f"{ratio['median']:8.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})  {comparison.label}{verdict}",
                flush=True,
            )
            rows.append(row)
            bar.update()
    return rows


def met(row: dict[str, Any]) -> bool:
    """Tell whether the median ratio meets its target; a row without a target does."""
    if row["target"] is None:
        return True
    ratio = row["ratio"]["median"]
    return bool(ratio <= row["target"] if row["figure"] == "cost" else ratio >= row["target"])


def goal(row: dict[str, Any]) -> str:
    """Return the target as text."""
    return "" if row["target"] is None else f"{'<=' if row['figure'] == 'cost' else '>='} {row['target']:g}"
