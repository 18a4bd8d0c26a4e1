"""Objects that change the arrays of their own call while they are converted: a part of tools/hostile_objects.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "hostile_objects.py"
DOORS = ("dense", "strided", "ufunc", "in place", "per channel", "drawn", "side by side", "explain")
ROWS = ("rows", "loss", "exponentials", "sparse rows", "sampled rows", "changed rows", "two classes")
FAMILIES = (*ROWS, "masks", "quantized", "fused", "gated", "sums", "statistics", "nn.", "plan of layers", "optim.")
linux = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux's memory protection and a C compiler"
)
pytestmark = [linux, pytest.mark.wide]


def tried(*options: str) -> str:
    """Return what the tool prints about some trials."""
    command = [sys.executable, str(TOOL), *options]
    # NumPy's own threads would leave stacks behind on which a refused thread could start.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert "trials" in run.stdout, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def said() -> str:
    """Return what the tool prints about every 53rd trial."""
    return tried("--every", "53")


@pytest.mark.parametrize("door", [*DOORS, *FAMILIES])
def test_nothing_is_touched_outside(said: str, door: str) -> None:
    """A call ends with a clean error or returns, and writes into nothing but its `out`."""
    assert not [line for line in said.splitlines()[:-1] if line.startswith(door)]


def test_hooks(said: str) -> None:
    """The trial ran the code of enough kinds of objects, and showed the warning about a refused thread."""
    found = re.search(r"(\d+) hooks of (\d+)(?: \(not: (.*)\))?", said)
    assert found
    assert int(found[1]) >= 30
    assert "refused threads" not in (found[3] or "")


def test_types_that_a_warning_changes() -> None:
    """No call goes by the type that an array had before the warning about a refused thread."""
    assert tried("--only", ": warnings, void").rstrip().endswith(" 0 faults")
