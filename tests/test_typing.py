"""What type checkers make of a user's script that works with an installed package."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastrelu as fr

ROOT = Path(__file__).parent.parent
SCRIPT = """
import array
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastrelu as fr
from fastrelu import nn

x: NDArray[np.float32] = np.ones((2, 3), np.float32)
z: NDArray[np.float64] = np.ones((2, 3))
assert_type(fr.relu(x), NDArray[np.float32])
assert_type(fr.gelu(z, "tanh"), NDArray[np.float64])
assert_type(fr.leaky_relu(x, 0.1, where=x > 0), NDArray[np.float32])
assert_type(fr.leaky_relu(x, np.ones(3, np.float32)), NDArray[np.float32])
assert_type(fr.leaky_relu(x, z), NDArray[Any])
assert_type(fr.prelu(x, x, axis=None), NDArray[np.float32])
assert_type(fr.relu(np.ones(3, np.float16)), NDArray[np.float16])
assert_type(fr.softmax(np.ones(3, np.float16)), NDArray[Any])
assert_type(fr.softplus(np.arange(3)), NDArray[Any])
assert_type(fr.silu([1.0, 2.0]), NDArray[Any])
assert_type(fr.silu([[1, 2], [3, 4]]), NDArray[Any])
assert_type(fr.softmax(x, 0), NDArray[np.float32])
assert_type(fr.elu_backward(x, x, alpha=2), NDArray[np.float32])
assert_type(fr.tanh_backward_from_output(z, z), NDArray[np.float64])
assert_type(fr.sigmoid(np.float32(1)), np.float32)
assert_type(fr.sigmoid(np.float64(1)), np.float64)
assert_type(fr.sigmoid(1.0), np.floating[Any])
assert_type(fr.sigmoid(1), np.floating[Any])

buffer = array.array("f", [1.0, 2.0])
assert_type(fr.relu(x, out=x), NDArray[np.float32])
assert_type(fr.relu([1.0, 2.0], out=buffer), "array.array[float]")
assert_type(fr.relu_(buffer), "array.array[float]")
assert_type(fr.relu_(x), NDArray[np.float32])
assert_type(fr.relu(x, out=memoryview(buffer)), "memoryview[int]")

layer = nn.Linear(3, 4)
assert_type(layer.training, bool)

fr.relu(x, out=3)  # type: ignore[call-overload]  # wrong on purpose
fr.leaky_relu(x, slope=0.1)  # type: ignore[call-overload]  # wrong on purpose
fr.gelu(x, "tan")  # type: ignore[call-overload]  # wrong on purpose
fr.relu()  # type: ignore[call-overload]  # wrong on purpose
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with what a wheel holds for type checkers."""
    stub = runpy.run_path(str(ROOT / "tools" / "stubs.py"))["stub"]
    package = Path(fr.__file__).parent
    shutil.copytree(package, tmp_path / "fastrelu", ignore=shutil.ignore_patterns("*.so", "*.c", "kernels"))
    for source in [*(package / "activations").glob("[a-z]*.py"), package / "along_axis.py"]:
        target = tmp_path / source.relative_to(package.parent)
        target.with_suffix(".pyi").write_text(stub(source.read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path


def test_a_script_is_understood(site: Path, tmp_path: Path) -> None:
    """Arrays give arrays, numbers numbers, `out` itself; what would raise is an error; the stubs have none."""
    pytest.importorskip("mypy", reason="the dependency group 'lint' brings it")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    stubs = [str(path) for path in (site / "fastrelu").rglob("*.pyi") if path.with_suffix(".py").exists()]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version=3.12", "--config-file=", "script.py", *stubs],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
