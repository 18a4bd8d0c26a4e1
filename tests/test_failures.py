"""Allocations that fail: a part of tools/inject_failures.py, some calls of each family and door."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "inject_failures.py"
FAMILIES = {
    "dense": r"(leaky_relu|gelu_backward): dense(, out dense)?(, large)?$",
    "strided": r"(leaky_relu|srelu): (gaps.*|turned.*|dense, arrays|dense, out gaps)$",
    "ufunc": r"(silu|celu_backward_from_output): (half.*|swapped|list|one number|dense, out (where|double))$",
    "overlap": r"elu_backward: .*overlap.*$",
    "buffers": r"relu6: .*buffer$",
    "in place": r"elu_: (dense|gaps|half|dense, large)$",
    "drawn": r"rrelu_?: training",
    "side by side": r"crelu(_backward_from_output)?: (dense|gaps|half)(, out dense)?$",
    "sums": r"(prelu|celu)_backward_parameters: (dense(, out dense)?|gaps|half|dense, arrays|dense, large)$",
    "rows": r"(softmax|log_softmax_backward_from_output): (dense|half)",
    "row ufuncs": r"fastrelu\.ufuncs\.(softmax|logsumexp_backward)(_where)?: half",
    "tables": r"table: ",
    "rows, large": r"softmax: large .8.*gaps, out",
    "loss": r"cross_entropy(_value_and_grad)?: .4, 6., (dense|half), (weight|smoothed)",
    "fused": r"bias_act(_|_backward_from_output)?: .4, 6., dense(, out)?$",
    "gated": r"(swiglu|geglu): .4, 6., dense, (limit)?$|swiglu_backward: .4, 6., (dense|gaps), limit, out$",
    "exponentials": r"logsumexp: dense(, axis 0|, where)?$",
    "sampled rows": r"gumbel_softmax_?: (.4, 6., dense(, where, out)?|bfloat)$",
    "two classes": r"binary_cross_entropy_with_logits: .4, 6., dense, mean$",
    "copies": r"(relu|gelu_backward|softmax|crelu|logsumexp|swiglu|prelu_backward_parameters|relu_with_mask): (dense|double|bfloat), out (dense|double|bfloat)$",
    "statistics": r"(summarize: .4, 6., (None|0), (dense|half)|Running)",
    "layers": r"nn\.(Linear|PReLU|Sequential): |nn\.(CrossEntropy|MSE)Loss: .4, 6., f4",
    "states": r"(load_state_dict|nn\.state_dict|zeros_|normal_|kaiming_normal_)",
    "optimizers": r"optim\.",
    "conventions": r"torch\.(softplus|relu|softmax)(_backward)?: ",
    "settings": r"(explain: dense|precision|threads|set_cache_limit|config)",
}

linux = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="replaces functions of glibc, with a C compiler"
)
pytestmark = [linux, pytest.mark.wide]


def test_no_function_is_left_out() -> None:
    """Every public function is among the calls whose allocations fail."""
    tool = runpy.run_path(str(TOOL))
    assert not tool["left_out"]({call.name.split(":")[0] for call in tool["all_calls"]()})


@pytest.fixture(scope="module")
def said() -> str:
    """Return what the tool prints about all families."""
    command = [sys.executable, str(TOOL), "--only", f"^({'|'.join(FAMILIES.values())})"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert "injected" in run.stdout, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_failed_allocations(said: str, family: str) -> None:
    """A call raises MemoryError and has written nothing, or is right; nothing is lost, and the next call is right."""
    *lines, last = said.splitlines()
    own = re.compile(FAMILIES[family].replace("$", ": "))
    assert not [line for line in lines if own.match(line) and "not taken" not in line]
    assert int(last.split(" failures injected")[0].split()[-1]) > 1000
