"""The section about other machines: its means, counts and losses, and that losses there need reasons too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import report
import results
import summary
from test_harness import ANY, MACHINE, small

if TYPE_CHECKING:
    from pathlib import Path

NS = {"ours": 2.0, "theirs": 1.0}
ROW = {"ours": "fr.softmax(x)", "peer": "torch", "size": 9, "memory": "fresh", "ns": NS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of results with one of another machine in it."""
    other = tmp_path / "avx2"
    other.mkdir()
    (tmp_path / "nothing").mkdir()
    (other / "benchmarks.json").write_text(results.dump(small()))
    axis = {f"{name}|{dtype}|{size}|last axis, threads: 2": side for (name, dtype, size), side in AXIS.items()}
    errors = {"softmax|float32": {"fastrelu": 1.0, "torch": 2.0}}
    (other / "axis.json").write_text(results.dump(small(cells=axis, errors=errors, wrong={})))
    rows = [{**ROW, "threads": threads, "ratio": ratio} for threads, ratio in STATEMENTS]
    (other / "rows.json").write_text(json.dumps({"machine": MACHINE, "rows": rows}))
    calls = [{"ns": [10.0, 5.0]}, {"ns": [10.0, 20.0]}]
    (other / "two_threads.json").write_text(json.dumps({"machine": MACHINE, "rows": calls}))
    return tmp_path


AXIS = {
    ("softmax", "float32", 2): {"fastrelu": [1.0] * 5, "torch": [4.0] * 5},
    ("softmax", "float32", 10): {"fastrelu": [4.0] * 5, "torch": [1.0] * 5},
}
STATEMENTS = (
    (1, {"median": 4.0, "low": 3.0, "high": 5.0}),
    (1, {"median": 1.0, "low": 0.9, "high": 1.1}),
    (2, {"median": 0.5, "low": 0.4, "high": 0.6}),
)


def test_another_machine_has_its_means_and_losses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only folders with results are machines; each suite has its parts, and each lost cell its reason."""
    monkeypatch.setattr(report, "read_reasons", lambda: ANY)
    found = report.collect(folder)[0]["other machines"]
    assert found[0] == "### a processor, v3"
    assert sum(line.startswith("### ") for line in found) == 1
    assert "| single functions | float32 | 100,000, out | 3 | 1.13 | 1 | 1 |" in found
    assert "| axis | float32 | last axis | 2 | 1.00 | 1 | 1 |" in found
    assert "| rows, other peers |  | threads: 1 | 2 | 2.00 | 0 | 0 |" in found
    assert "| rows, other peers |  | threads: 2 | 1 | 0.50 | 1 | 1 |" in found
    assert any("1.00 of the time of one" in line and "1 take more than 1.1, at most 2.00" in line for line in found)
    assert any(line.startswith("| `softmax` | float32 | 10 |") for line in found)
    assert any(line.startswith("| `gelu` | float32 | 100,000 |") for line in found)


def test_a_machine_that_measured_little_is_reported(folder: Path) -> None:
    """No suite is needed: a result that is there is never left out."""
    for name in ("benchmarks", "axis", "rows"):
        (folder / "avx2" / f"{name}.json").unlink()
    found = report.collect(folder)[0]["other machines"]
    assert found[0] == "### a processor, v3"
    assert any("at most 2.00" in line for line in found)


def test_a_loss_on_another_machine_needs_a_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report fails and names the cell."""
    monkeypatch.setattr(report, "read_reasons", list)
    with pytest.raises(summary.NoReasonError, match="gelu, float32, 100,000"):
        report.collect(folder)
