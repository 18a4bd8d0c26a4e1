"""The suite where it could mislead: intervals, joins, translations, timing in place, going on after an interruption."""

from __future__ import annotations

import argparse
import base64
import math
import subprocess
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import axis
import bench_layouts
import exact
import full
import grids
import machine
import numpy as np
import passes
import plots
import pytest
import report
import results
import summary
import targets
import translate
import worker
from functions import DTYPES, LARGE, Cell, cells, functions

import fastrelu as fr
from fastrelu._extras import installed, progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from functions import Function

MACHINE = {
    "cpu": "a processor",
    "cpus": 2,
    "system": "Linux x86_64",
    "python": "3.11.7",
    "torch": "2.13.0",
    "fastrelu": {"version": "0.1.0", "isa": "v3", "numpy": "2.4.6"},
}
SETTINGS = {"pairs": 5, "threads": 2, "inputs": "some"}
ANY: list[dict[str, Any]] = [{"text": "Because."}]


def small(**changes: Any) -> dict[str, Any]:
    """Return a condensed result with a win, a loss, a level cell, a wrong peer and a copy."""
    result: dict[str, Any] = {
        "machine": MACHINE,
        "settings": SETTINGS,
        "cells": {
            "relu|float32|100000|out": {
                "fastrelu": [1, 1, 1, 1, 1],
                "numpy": [9, 8, 7, 8, 8],
                "torch": [2, 2, 2, 2, 2],
            },
            "gelu|float32|100000|out": {
                "fastrelu": [10, 10, 10, 10, 10],
                "accurate": [20, 20, 20, 20, 20],
                "numpy": [99, 99, 99, 99, 99],
                "torch": [8, 8, 7, 8, 9],
            },
            "silu|float32|100000|out": {"fastrelu": [10, 10, 10, 10, 10], "torch": [9, 11, 9, 11, 9]},
            "silu|float64|100000|out": {"fastrelu": [10] * 5, "numpy": [30] * 5, "onnxruntime": [2] * 5},
            "relu|float32|16000000|out": {"fastrelu": [10, 10, 10, 10, 10], "torch": [14, 14, 14, 14, 14]},
            "copy|float32|16000000|out": {"numpy": [12, 12, 12, 12, 12], "torch": [11, 11, 11, 11, 11]},
        },
        "errors": {
            "relu|float32": {"fastrelu": 0.0, "numpy": 0.0, "torch": 0.0},
            "gelu|float32": {"fastrelu": 2.5, "numpy": 7e5, "torch": 6e5},
            "silu|float32": {"fastrelu": 2.0, "torch": 1.5},
            "silu|float64": {"fastrelu": 2.0, "numpy": 3.0, "onnxruntime": 4e8},
        },
        "wrong": {"silu|float64|100000|out": ["onnxruntime"]},
    }
    return summary.condense(result | changes)


# --- Ratios -------------------------------------------------------------------------------------------------------


def test_a_ratio_is_formed_within_pairs() -> None:
    """A machine that slows down half way changes both sides of a pair, not the ratio."""
    ours = np.array([1.0, 1.0, 4.0, 4.0, 4.0])
    assert summary.ratio(2.0 * ours, ours) == (2.0, 2.0, 2.0)


def test_the_interval_of_five_pairs_is_their_range() -> None:
    """The median of five resampled pairs is the lowest in 5.8 % of the cases: more than 2.5 %."""
    found = summary.ratio([1.0, 2.0, 3.0, 4.0, 9.0], [1.0] * 5)
    assert found == (3.0, 1.0, 9.0)


def test_the_interval_follows_the_binomial_law() -> None:
    """The interval's ends are the order statistics that the exact distribution of the resampled median gives."""
    n = 21

    def at_most(k: int) -> float:  # the chance that the resampled median is at most the k-th smallest
        share = k / n
        return sum(math.comb(n, j) * share**j * (1 - share) ** (n - j) for j in range(n // 2 + 1, n + 1))

    low = next(k for k in range(1, n + 1) if at_most(k) > 0.025)
    high = next(k for k in range(1, n + 1) if at_most(k) >= 0.975)
    found = summary.ratio(list(range(1, n + 1)), [1] * n)
    assert (found.low, found.high) == (low, high)


def test_lost_level_and_won() -> None:
    """Lost means that the whole interval lies below 1."""
    assert summary.ratio([8, 8, 7, 8, 9], [10] * 5).lost
    level = summary.ratio([9, 11, 9, 11, 9], [10] * 5)
    assert level.behind
    assert not level.lost
    assert not summary.ratio([12] * 5, [10] * 5).behind


# --- Losses and targets -------------------------------------------------------------------------------------------


def test_a_lost_cell_needs_a_reason() -> None:
    """The error names the cell, the ratio and the peer."""
    found = summary.Summary(small())
    with pytest.raises(summary.NoReasonError, match=r"gelu, float32, 100,000, out: 0\.80 torch$"):
        summary.losses(found, [])


def test_a_cell_far_behind_needs_a_reason_too() -> None:
    """Even if 1 lies in its interval."""
    cells = {"silu|float32|100000|out": {"fastrelu": [10] * 5, "torch": [7, 8, 8, 11, 8]}}
    found = summary.Summary(small(cells=cells))
    with pytest.raises(summary.NoReasonError, match=r"silu, float32, 100,000, out: 0\.80 torch$"):
        summary.losses(found, [])
    assert [loss.reason for loss in summary.losses(found, ANY)] == ["Because."]


def test_the_first_reason_that_fits_is_taken() -> None:
    """An entry fits if every key it has names the cell's value."""
    reasons: list[dict[str, Any]] = [
        {"functions": ["relu", "gelu"], "sizes": [1000], "text": "another size"},
        {"functions": ["gelu"], "modes": ["out"], "peers": ["torch"], "dtypes": ["float32"], "text": "this"},
        {"text": "any"},
    ]
    losses = summary.losses(summary.Summary(small()), reasons)
    assert [(loss.row.name, loss.reason) for loss in losses] == [("gelu", "this"), ("silu", summary.LEVEL)]


def test_an_unknown_key_of_a_reason_is_refused() -> None:
    """A misspelt key must not fit every cell."""
    with pytest.raises(ValueError, match=r"reasons\.toml: unknown key size$"):
        summary.losses(summary.Summary(small()), [{"size": [1], "text": ""}])


def test_reasons_are_read() -> None:
    """The table in the tree has known keys, names that exist, and a text each."""
    names = {function.name for function in functions()} | {*axis.ROWS} | {*passes.PASSES} | {*grids.MORE_OF_HALVES}
    for entry in summary.read_reasons():
        assert entry["text"]
        assert {*entry.get("functions", [])} <= names
        summary.fits(entry, summary.Row("relu", "float32", 1, "out", {"fastrelu": 1, "numpy": [1, 1, 1, 1]}))


def test_a_wrong_peer_is_not_the_fastest() -> None:
    """A peer whose answers are wrong is excluded from the comparison."""
    row = summary.Summary(small()).rows["silu", "float64", 100_000, "out"]
    assert row.fastest == "numpy"
    assert row.best.median == 3.0


def test_targets_are_judged_where_they_were_measured() -> None:
    """Met and missed come from the medians; the memory's limit from the fastest copy."""
    found = summary.Summary(small())
    verdicts = dict(summary.verdicts(found))
    by_limit = next(results for target, results in verdicts.items() if target.against == (targets.LIMIT,))
    assert [(v.against, v.ratio.median, v.met) for v in by_limit] == [("copy", 1.1, True)]
    gelu = next(results for target, results in verdicts.items() if target.least == 1.05)
    assert [(v.row.name, v.against, v.met) for v in gelu] == [("gelu", "torch", False)]
    assert all(target.names for target in targets.TARGETS)
    known = {cell.function.name for cell in cells()}
    assert all({*target.names} <= known for target in targets.TARGETS)


# --- Report -------------------------------------------------------------------------------------------------------


def test_the_copy_measured_in_turn_is_the_limit_and_no_peer() -> None:
    """A share is that of the copy beside it; the copy's own cell, of another minute, serves where there is none."""
    cells = {"relu|float32|16000000|out": {"fastrelu": [5.0] * 5, "numpy": [9.0] * 5, "streamed": [4.0] * 5}}
    cells["copy|float32|16000000|out"] = {"streamed": [1.0] * 5}
    cells["silu|float32|16000000|out"] = {"fastrelu": [2.0] * 5, "numpy": [9.0] * 5}
    found = summary.Summary(small(cells=cells))
    row = found.rows["relu", "float32", LARGE, "out"]
    assert row.peers == ["numpy"]
    assert row.fastest == "numpy"
    share, other = found.share(row), found.share(found.rows["silu", "float32", LARGE, "out"])
    assert share
    assert other
    assert share.median == 0.8
    assert other.median == 0.5


def test_spinning_threads_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their processor time is no sign: it is counted late."""
    monkeypatch.setattr(worker, "TASKS", tmp_path)
    tasks = {threading.get_native_id(): "(me) R 1", 1: "(pool (R) 1) S 1", 2: "(pool) I 1"}
    for number, text in tasks.items():
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "stat").write_text(f"{number} {text} 0")
    (tmp_path / "3").mkdir()  # has ended since it was listed
    assert not worker.is_running()
    (tmp_path / "2" / "stat").write_text("2 (pool) R 1 0")
    assert worker.is_running()


def test_spinning_threads_without_a_list_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, processor time is compared over as long as it may be late."""
    monkeypatch.setattr(worker, "TASKS", tmp_path / "none")
    monkeypatch.setattr(worker, "TICKS", 0)
    monkeypatch.setattr(time, "process_time", iter([1.0, 1.02, 2.0, 2.0001]).__next__)
    assert [worker.is_running(), worker.is_running()] == [True, False]


def test_the_limit_is_measured_in_turn_where_memory_decides() -> None:
    """The streamed copy is a side of such cells, and copies the same x."""
    relu = next(function for function in functions() if function.name == "relu")
    found = full.sides(Cell(relu, "float32", LARGE, "out"), ["streamed"])
    assert found["streamed"]["statement"] == "streamed_copy(out, x)"
    for cell in (Cell(relu, "float32", LARGE, "fresh"), Cell(relu, "float32", 1000, "out")):
        assert "streamed" not in full.sides(cell, ["streamed"])
    assert full.turns(Cell(relu, "float32", LARGE, "out")) == full.TURNS_AT_LIMIT


def test_what_a_layout_moves() -> None:
    """Lines are counted once each, and a run ends where an operand jumps."""
    memory = np.zeros(1040, np.float32)
    start = -memory.ctypes.data % 64 // 4
    x = memory[start : start + 1024].reshape(16, 64)
    views = {"all": x, "rows": x[:, :16], "every second": x[::2], "across": x[:, 8:24], "backwards": x[::-1, ::-1]}
    lines = {"all": 64, "rows": 16, "every second": 32, "across": 32, "backwards": 64}
    assert {name: bench_layouts.lines_of(view) for name, view in views.items()} == lines
    runs = [
        ([x, x], 1024),
        ([x, x[:, :64].T.copy().T], 1),
        ([x[:, :16], x[:, :16]], 16),
        ([x, x[0]], 64),
        ([x, x[:, :1]], 64),
        ([x[::-1], x], 64),
        ([x, np.float32(2) * np.ones((1, 1), np.float32)], 1024),
    ]
    for operands, run in runs:
        assert bench_layouts.inner_run(operands) == run


def test_costs_over_the_aim_are_bold() -> None:
    """A layout has a line, and a column for each type and number of threads."""
    row = {"layout": "rows", "dtype": "float32", "run": 64, "lines": 1.25, "target": 1.5, "ns": 1.0}
    rows = [
        {**row, "threads": threads, "cost": {"median": cost, "low": 1.0, "high": 2.0}}
        for threads, cost in ((1, 1.25), (2, 1.75))
    ]
    assert (
        report.layouts({"rows": rows})[-1] == "| `rows` | 64 | 1.25 | 1.25 (1.00 to 2.00) | **1.75** (1.00 to 2.00) |"
    )


def test_the_report_is_written_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--write` fills the documents and draws, `--check` then passes, and fails after a change of either."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    (tmp_path / "docs").mkdir()
    documents = (tmp_path / "README.md", tmp_path / "docs" / "benchmarks.md")
    names = ["readme", "targets", "losses", "speed", "peers", "accurate", "memory", "overview", "machine", "plots"]
    for document in documents:
        document.write_text("before\n" + "".join(f"<!-- begin: {n} -->\nold\n<!-- end: {n} -->\n" for n in names))
    (tmp_path / "benchmarks.json").write_text(results.dump(small()))
    monkeypatch.setattr(report, "DOCUMENTS", documents)
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "read_reasons", lambda: ANY)
    folder = ["--results", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"README\.md does not hold the results"):
        report.main(["--check", *folder])
    report.main(["--write", *folder])
    text = documents[1].read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert "| `relu` | float32 | 110% | 79% torch |" in text
    assert "**0.80** (0.70 to 0.90)" in text  # the loss, with its interval
    assert "| 2.5 | 6e5 | 1 |\n" in text  # both errors and the reason
    assert f"\n\n1. Because.\n2. {summary.LEVEL}\n" in text
    assert "~0.90 PyTorch" in text  # level
    assert "2.00, 0.40 PyTorch" in text  # accurate
    assert "| onnxruntime | **0.20** (0.20 to 0.20) | 2.0 | 4e8 |" in text  # faster because it is wrong
    report.main(["--check", *folder])
    pictures = [(tmp_path / "docs" / f"{name}.svg").read_text() for name in plots.PLOTS]
    assert all("</svg>" in picture for picture in pictures)
    documents[1].write_text(text.replace("**0.80**", "1.80"))
    with pytest.raises(SystemExit, match=r"benchmarks\.md does not hold the results"):
        report.main(["--check", *folder])


def test_the_report_fails_without_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed, and the message names what is lost."""
    (tmp_path / "benchmarks.json").write_text(results.dump(small()))
    monkeypatch.setattr(report, "read_reasons", list)
    with pytest.raises(SystemExit, match=r"^error: lost, and reasons\.toml does not say why:\ngelu, float32"):
        report.main(["--results", str(tmp_path)])


def test_the_report_needs_results(tmp_path: Path) -> None:
    """Without any, it says what to run."""
    with pytest.raises(SystemExit, match=r"run benchmarks/full\.py first"):
        report.main(["--results", str(tmp_path)])


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    """The short form of the cells loses nothing."""
    (tmp_path / "benchmarks.json").write_text(results.dump(small()))
    found = results.read("benchmarks", tmp_path)
    assert found == small()
    assert [*found["cells"]] == [*small()["cells"]]
    cells = {"f|float32|1|out": {"numpy": 7, "jax": 9}, "f|float32|1|in place": {"numpy": 8, "jax": 9.5}}
    assert results.packed({"cells": cells, "errors": {}})["cells"] == [
        ["f|float32|1|out", 7, 9],
        ["|||in place", 8, 9.5],
    ]


@pytest.mark.parametrize(
    ("value", "kept"), [(12.3456, 12.35), (123456.0, 123456), (1.234996, 1.23500), (0.99996, 0.99996), (9.9996, 9.9996)]
)
def test_rounding_is_not_seen(value: float, kept: float) -> None:
    """What is printed of a rounded value, and its side of 1, are those of the value."""
    found = results.rounded(value)
    assert found == pytest.approx(kept, rel=1e-5)
    assert (report.number(found), found < 1) == (report.number(value), value < 1)


def test_what_is_kept_of_the_pairs() -> None:
    """Every side keeps its median; the ratio is kept of what is fastest, faster than ours, wrong, aimed at or in a table."""
    times = {"fastrelu": [10.0] * 5, "numpy": [30.0] * 5, "torch": [20.0] * 5, "jax": [25.0] * 5, "numba": [9.0] * 5}
    places = {"plain": "selu|float64|1|out", "aimed": "relu|float32|16|out", "table": "selu|float32|16|fresh"}
    cells: dict[str, Any] = dict.fromkeys(places.values(), times)
    cells["relu|float64|100000|out"] = {"fastrelu": [1e3] * 5, "torch": [1e3, 1e3, 5e6, 1e3, 4e6]}
    found = small(cells=cells, wrong={places["plain"]: ["jax"]})
    kept = {
        place: {side for side, value in found["cells"][key].items() if isinstance(value, list)}
        for place, key in places.items()
    }
    assert kept == {"plain": {"jax", "numba"}, "aimed": {"numpy", "numba"}, "table": {*times} - {"fastrelu"}}
    assert found["stalled"] == {"relu|float64|100000|out": {"torch": 2}}
    row = summary.Summary(found).rows["selu", "float64", 1, "out"]
    assert (row.ns("torch"), row.best.median, row.fastest) == (20.0, 0.9, "numba")
    with pytest.raises(LookupError, match=r"^the ratio to torch was not kept: selu, float64, 1, out$"):
        row.against("torch")


def test_a_cell_measured_anew_is_compared_with_the_earlier_copy() -> None:
    """The share of the copy's bandwidth needs no new copy."""
    new = small(cells={"relu|float32|16000000|out": {"fastrelu": [8] * 5, "torch": [14] * 5}})
    assert not new["shares"]
    raw = {**new, "cells": {"relu|float32|16000000|out": {"fastrelu": [8] * 5, "torch": [14] * 5}}}
    assert summary.condense(raw, small())["shares"]["relu|float32|16000000|out"]["fastrelu"] == [1.375] * 3


# --- Statements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", functions(), ids=lambda function: function.name)
def test_translations_compute_the_function(function: Function, dtype: str) -> None:
    """The expressions for numexpr and numba have the value of the NumPy expression, or raise if impossible."""
    arrays = {name: block[:200].astype(np.float64) for name, block in exact.inputs(function, dtype).items()}
    wanted = np.asarray(exact.exact(function, dtype, 200, 200), np.float64)
    lacking = {to for to in (translate.to_numba, translate.to_numexpr) if not translatable(to, function)}
    if function.name == "crelu":  # no loop over elements
        assert lacking == {translate.to_numba, translate.to_numexpr}
        return
    source, constants = translate.to_numba(function.expression, function.parameters)
    names = {"math": math, **constants, **arrays}
    got = np.array([eval(source, names | {"i": i}) for i in range(200)])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    if "erf" in function.expression:  # numexpr has none
        assert lacking == {translate.to_numexpr}
        return
    source, constants = translate.to_numexpr(function.expression, function.parameters)
    names = {name: getattr(np, name) for name in ("where", "abs", *translate.DIRECT)}
    np.testing.assert_allclose(eval(source, names | constants | arrays), wanted, rtol=1e-5, atol=1e-6)


def translatable(to: Callable[..., Any], function: Function) -> bool:
    """Tell whether a package has what an expression needs."""
    try:
        to(function.expression, function.parameters)
    except translate.UntranslatableError:
        return False
    return True


def test_every_large_cell_is_measured_into_an_array() -> None:
    """At the largest size every function has a float32 cell, and no cell stands twice."""
    keys = [cell.key for cell in cells()]
    assert len(keys) == len({*keys})
    assert {f"{f.name}|float32|{LARGE}|out" for f in functions()} <= {*keys}


# --- Timing -------------------------------------------------------------------------------------------------------


def ask(tmp_path: Path, mode: str, statement: str, **changes: Any) -> dict[str, Any]:
    """Return what a worker answers for a statement on 100 elements."""
    x = np.linspace(-1, 1, 100)
    np.save(tmp_path / "x-float64.npy", x)
    request = {
        "setup": "",
        "statement": statement,
        "dtype": "float64",
        "size": 100,
        "mode": mode,
        "target": "x",
        "inputs": {"x": str(tmp_path / "x-float64.npy")},
        "parameters": {"two": 2.0},
        "double": False,
        "seconds": 1e-4,
        "rounds": 3,
    }
    return worker.Side("def fail(): raise AssertionError").run(request | changes)


@pytest.mark.parametrize(
    ("mode", "statement"),
    [
        ("fresh", "two * x"),
        ("out", "np.multiply(two, x, out=out)"),
        ("in place", "np.multiply(two, x, out=x)"),
    ],
)
def test_a_worker_times_each_mode(mode: str, statement: str, tmp_path: Path) -> None:
    """In place, every timing starts from the input: the answer is that of one call."""
    answer = ask(tmp_path, mode, statement)
    got = np.frombuffer(base64.b64decode(answer["sample"]))
    np.testing.assert_array_equal(got, 2 * np.linspace(-1, 1, 100))
    assert answer["rounds"] >= 1
    assert 0 < answer["ns"] < 1e9


@pytest.mark.parametrize("fit", [64, 10, 2])  # arrays of this size: all are timed, one after others, one alone
def test_in_place_each_call_has_an_array_of_its_own(fit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call works on what another has left."""
    monkeypatch.setattr(worker, "LARGE", 100 * fit)
    once = "(x[0] == -1 or fail()) and np.multiply(two, x, out=x)[0]"
    assert ask(tmp_path, "in place", once, seconds=0.01)["rounds"] >= 2


def test_another_type_is_no_answer(tmp_path: Path) -> None:
    """A side that computes in another type is stopped."""
    with pytest.raises(TypeError, match="gives float32, not float64"):
        ask(tmp_path, "fresh", "x.astype(np.float32)")


def test_what_a_package_lacks_is_reported(tmp_path: Path) -> None:
    """A missing kernel is an answer, not a failure."""
    setup = "Unsupported = LookupError\nraise KeyError('no kernel')"
    side = worker.Side("Unsupported = LookupError")
    np.save(tmp_path / "x.npy", np.ones(4))
    request = {"setup": setup, "dtype": "float64", "size": 4, "mode": "out", "target": "x", "parameters": {}}
    answer = side.run(request | {"inputs": {"x": str(tmp_path / "x.npy")}, "double": False, "statement": ""})
    assert answer == {"missing": "'no kernel'"}


def test_samples_are_the_ends_of_the_repeated_block() -> None:
    """The checked part of a long input is the part that its statement saw."""
    block = np.arange(10)
    long = np.resize(block, 47)
    np.testing.assert_array_equal(exact.take_ends(block, 47, 4), np.concatenate([long[:4], long[-4:]]))
    np.testing.assert_array_equal(exact.take_ends(block, 5, 4), block[:5])


# --- Going on -----------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells in the journal are not measured again, and the processes of a finished pair are not started."""

    class Idle:
        def __init__(self, *_: object) -> None:
            started.append(1)

        def __exit__(self, *_: object) -> None:
            return None

    started: list[int] = []
    measured: list[str] = []

    def measure(_self: object, cell: Cell, number: int, _workers: object) -> dict[str, Any]:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(f"{number} {cell.key}")
        return {"ns": {"fastrelu": 1.0, "numpy": 2.0}, "error": {"fastrelu": 0.5}, "wrong": [], "settled": 0.001}

    monkeypatch.setattr(full, "Worker", Idle)
    monkeypatch.setattr(full.Run, "measure", measure)
    options = argparse.Namespace(peers=["numpy"], threads=2, pairs=2)
    chosen = [cell for cell in cells() if cell.function.name == "relu" and cell.size == 1 and cell.dtype == "float32"]
    bar = progress(1, "")
    journal = tmp_path / "journal.jsonl"
    interrupted = full.Run(options, journal, tmp_path)
    interrupted.pair(0, chosen[:2], bar)
    with pytest.raises(KeyboardInterrupt):
        interrupted.pair(1, chosen[:2], bar)
    measured.clear()
    run = full.Run(options, journal, tmp_path)
    started.clear()
    run.pair(0, chosen[:2], bar)
    assert not started
    run.pair(1, chosen[:2], bar)
    assert measured == [f"1 {chosen[1].key}"]
    monkeypatch.setattr(machine, "describe", lambda *_: MACHINE)
    found = run.result(chosen[:2])
    assert found["cells"] == {cell.key: {"fastrelu": [1.0, 1.0], "numpy": [2.0, 2.0]} for cell in chosen[:2]}
    assert found["errors"] == {"relu|float32": {"fastrelu": 0.5}}


def test_later_cells_take_the_place_of_earlier_ones() -> None:
    """The other cells stay, errors only grow, wrong sides are checked again; another machine is refused."""
    about: dict[str, Any] = {
        "machine": {"cpu": "a", "fastrelu": {"isa": "v3", "cache_hits": 1}},
        "settings": {"pairs": 5},
    }
    parts = ("wrong", "stalled", "shares")
    old = about | {"cells": {"x": {"us": [1]}, "y": {"us": [2]}}, "errors": {"f": {"us": 2.0}}}
    new = about | {"cells": {"x": {"us": [3]}}, "errors": {"f": {"us": 1.0, "b": 3.0}}}
    old |= {part: {"x": ["old"], "y": ["old"]} for part in parts}
    new |= {part: {} for part in parts}
    old["machine"] = old["machine"] | {"sources": ["one", "two"]}
    new["machine"] = new["machine"] | {"sources": ["two", "three"]}
    found = full.updated(old, new)
    assert found["machine"]["sources"] == ["one", "two", "three"]
    assert found["cells"] == {"x": {"us": [3]}, "y": {"us": [2]}}
    assert found["errors"] == {"f": {"us": 2.0, "b": 3.0}}
    assert all(found[part] == {"y": ["old"]} for part in parts)
    elsewhere = new | {"machine": {"cpu": "b", "fastrelu": {"isa": "v3", "cache_hits": 2}}}
    with pytest.raises(ValueError, match=r"^the earlier result is from elsewhere: \{'cpu': \('a', 'b'\)\}$"):
        full.updated(old, elsewhere)


def test_what_was_measured_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result names the last commit that changed the package, and whether it has changed since."""
    answers = {"log": "abc1234\n", "status": ""}

    def git(command: list[str], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(stdout=answers[command[1]])

    monkeypatch.setattr(subprocess, "run", git)
    assert machine.sources() == ["abc1234"]
    answers["status"] = " M kernels/rows.h\n"
    assert machine.sources() == ["abc1234+"]
    answers["log"] = ""  # the package is in no commit: it was installed, into a checkout of something else
    assert machine.sources() == []
    assert report.commits({"sources": ["a"]}, {"sources": ["b", "a"]}) == "commits a, b"
    assert report.commits(MACHINE) == "a commit that was not recorded"


def test_nothing_is_recorded_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no git or no checkout a result names no commit."""
    for error in (OSError, lambda: subprocess.CalledProcessError(128, "git")):

        def git(*_: Any, error: Any = error, **__: Any) -> None:
            raise error()

        monkeypatch.setattr(subprocess, "run", git)
        assert machine.sources() == []


def test_the_suite_runs(tmp_path: Path) -> None:
    """A quick run of one function against NumPy, in processes of their own, writes a result the report can read."""
    if not installed("scipy"):
        pytest.skip("NumPy's side needs SciPy for gelu")
    target = tmp_path / "benchmarks.json"
    options = ["--functions", "relu", "--sizes", "16", "1000", "--dtypes", "float32", "--peers", "numpy"]
    assert full.main([*options, "--threads", "1", "--quick", "--output", str(target)]) == 0
    found = summary.Summary(results.read("benchmarks", tmp_path))
    assert len(found.rows) == 18
    assert all({*row.sides} == {"fastrelu", "numpy"} for row in found.compared())
    assert not [*tmp_path.glob("*.jsonl")]


# --- Functions along an axis, masks, element types, passes --------------------------------------------------------


def test_every_function_along_an_axis_has_cells() -> None:
    """In place it is the same kernel, and the binary losses are no rows; the rest has a row, along every axis."""
    assert {name for name in fr.along_axis.__all__ if not name.endswith("_")} == {*axis.ROWS}
    for place in axis.AXES:
        for length in axis.LENGTHS:
            shape, at = axis.shape_of(place, length)
            assert shape[at] == length
            assert 4 * length <= math.prod(shape) <= 2 * max(axis.ELEMENTS, 4 * length)


_OF_HALVES = ("bias_act", "bias_act_backward", "reglu", "swiglu", "softmax", "dequantize")


@pytest.mark.parametrize(
    ("suite", "choice"),
    [
        (
            "axis",
            ["--functions", "log_softmax", "logsumexp", "cross_entropy_value_and_grad", "sparsemax", "--lengths", "10"],
        ),
        ("masks", ["--sizes", "1000"]),
        ("types", ["--functions", "relu", "gelu_backward", *_OF_HALVES, "--sizes", "1000"]),
        ("values", ["--functions", "softmax", "elu", "gelu_backward", "--sizes", "1000"]),
        (
            "passes",
            [
                *[
                    "--sizes",
                    "1024",
                    "--functions",
                    "swiglu",
                    "glu_backward",
                    "bias_act_backward",
                    "relu_with_mask",
                    "lookup",
                ]
            ],
        ),
    ],
)
def test_a_suite_is_measured_and_reported(
    suite: str, choice: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every side gives the right answer; other threads are added to the file; the tables hold every function."""
    pytest.importorskip("scipy", reason="the NumPy line of gelu needs its erf")
    arguments = [suite, "--quick", "--peers", "numpy", "--dtypes", "float32", "--output", str(tmp_path), *choice]
    for threads, update in (("1", []), ("2", ["--update"])):
        assert grids.main([*arguments, "--threads", threads, *update]) == 0
    result = results.read(suite, tmp_path)
    assert {key.rpartition(" ")[2] for key in result["cells"]} == {"1", "2"}
    assert all({*sides} - {summary.SEPARATE} == {"fastrelu", "numpy"} for sides in result["cells"].values())
    monkeypatch.setattr(report, "read_reasons", lambda: ANY)
    text = "\n".join(report.grid(result))
    assert all(f"`{key.split('|')[0]}`" in text for key in result["cells"])
    if suite == "axis":
        assert any("`logsumexp`" in line for line in report.readme_axis(result))
