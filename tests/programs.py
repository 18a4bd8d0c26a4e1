"""Programs in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code that can import what this one imports, with these variables and no others of the library's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FASTRELU_")}
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run_python(code: str, **environment: str) -> str:
    """Run code with the variables of this process too; return what it prints."""
    done = python(
        code, **{key: value for key, value in os.environ.items() if key.startswith("FASTRELU_")} | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """Return the line that a failing process died with."""
    assert process.returncode == 1, process.stderr
    return process.stderr.rstrip().splitlines()[-1]
