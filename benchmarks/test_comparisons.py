"""The scripts that compare whole statements can start: nothing else runs them but people."""

from __future__ import annotations

import re

import bench_diagnostics
import bench_losses
import bench_parameters
import bench_rows
import bench_two_threads
import network
import pytest


def test_every_comparison_can_be_written() -> None:
    """What a script would run is Python, also for packages that are not installed."""
    found = [
        *bench_rows.comparisons(list(bench_rows.PEERS)),
        *bench_rows.directions(),
        *bench_diagnostics.comparisons(),
        *bench_losses.comparisons(),
        *bench_losses.small(),
        *bench_parameters.comparisons(1),
        *network.comparisons((1, 2)),
    ]
    for one in found:
        for source in (one.our_setup, one.their_setup, one.before or "", one.ours, one.theirs):
            compile(source, "<comparison>", "exec")
            assert not re.search(r"\{\w+(!r)?\}", source), source


@pytest.mark.parametrize("name", bench_two_threads.CALLS)
@pytest.mark.parametrize(("shape", "axis"), [((6, 4), 1), ((6, 4), 0), ((2, 4, 3), 1)])
def test_every_call_of_two_threads_runs(name: str, shape: tuple[int, ...], axis: int) -> None:
    """Its names are there, and its arrays fit."""
    eval(bench_two_threads.CALLS[name], bench_two_threads.variables(shape, axis, "float32"))
