"""A short run of tools/soak.py: mixed calls on several threads keep their results and leak no memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parent.parent / "tools" / "soak.py"


def test_memory_stays_flat() -> None:
    """Results keep their values, errors are raised, and the memory after a tenth is the memory at the end."""
    command = [sys.executable, str(TOOL), "--operations", "600", "--threads", "3", "--seed", "1"]
    # One arena: those that glibc makes for threads and does not give back would look like growth.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "resident after a tenth" in run.stdout
