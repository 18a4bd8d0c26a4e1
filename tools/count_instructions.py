"""Count the instructions of the smallest calls, and compare them with those in tools/instructions.json.

python tools/count_instructions.py            # fails if a call takes over 5 % more than recorded
python tools/count_instructions.py --write    # records what this tree takes

Counts are those of valgrind's callgrind: the same in each run, unlike times. They depend on the versions that the file names
and on the compiler; with others nothing is compared. Valgrind knows no AVX-512, so the instruction set is v3.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import nn

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = Path(__file__).with_name("instructions.json")
MORE = 1.05  # of the recorded count
ISA = "v3"
WARM, FEW, MANY = 50, 20, 120  # calls: until the interpreter has specialized; two counted numbers
# A change of the code takes more in each count. By its addresses a call may take 6 % more, the same in each count of one
# environment (CPython's cache of methods, for one, finds them by the address of their name): each count shifts them.
COUNTS = 3
SHIFTED = """
import runpy, sys
held = [bytes(40 + 16 * (k % 16)) for k in range(97 * int(sys.argv[1]))]
sys.argv = [sys.argv[2], "--inside"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MARK = "getpriority"  # a function of the C library that nothing else calls; callgrind writes its count at each call


def calls() -> dict[str, Callable[[], Any]]:
    """Return the calls by the name under which they are recorded."""
    x = np.linspace(-2, 2, 16, dtype="f4")
    y, grad, half, integers = np.empty_like(x), np.ones_like(x), x.astype("f2"), x.astype("i4")
    mask, rows, scores = x > 0, np.linspace(-2, 2, 128, dtype="f4").reshape(8, 16), np.ones((32, 10), "f4")
    labels, batch, bias, pair = np.arange(32) % 10, rows[:4].copy(), rows[0].copy(), rows.reshape(4, 32)
    q, table, on = np.zeros(16, "u1"), np.arange(256, dtype="u1"), np.zeros(2, "u1")
    relu, model = nn.ReLU(), nn.Sequential(nn.Linear(16, 8, rng=0), nn.ReLU()).eval()
    return {
        "relu(x)": lambda: fr.relu(x),
        "relu(x, out=y)": lambda: fr.relu(x, out=y),
        "relu_(y)": lambda: fr.relu_(y),
        "relu(x, out=y, where=mask)": lambda: fr.relu(x, out=y, where=mask),
        "relu of float16": lambda: fr.relu(half),
        "relu of int32": lambda: fr.relu(integers),
        "relu of every second": lambda: fr.relu(x[::2]),
        "relu of a number": lambda: fr.relu(1.5),
        "gelu(x, out=y)": lambda: fr.gelu(x, out=y),
        "leaky_relu(x, 0.1)": lambda: fr.leaky_relu(x, 0.1),
        "leaky_relu(x, array)": lambda: fr.leaky_relu(x, grad),
        "silu_backward(grad, x)": lambda: fr.silu_backward(grad, x),
        "elu_backward_parameters(grad, x)": lambda: fr.elu_backward_parameters(grad, x),
        "softmax(rows)": lambda: fr.softmax(rows),
        "softmax(rows, axis=0)": lambda: fr.softmax(rows, axis=0),
        "log_softmax(rows)": lambda: fr.log_softmax(rows),
        "logsumexp(rows, axis=-1)": lambda: fr.logsumexp(rows, axis=-1),
        "cross_entropy(scores, labels)": lambda: fr.cross_entropy(scores, labels),
        "bias_act(batch, bias, 'relu')": lambda: fr.fused.bias_act(batch, bias, "relu"),
        "bias_act_backward(rows, rows, bias, 'relu')": lambda: fr.fused.bias_act_backward(rows, rows, bias, "relu"),
        "swiglu(pair)": lambda: fr.swiglu(pair),
        "reglu_backward(batch, pair)": lambda: fr.reglu_backward(batch, pair),
        "relu_with_mask(x, out=y)": lambda: fr.masks.relu_with_mask(x, out=y),
        "backward_from_mask(grad, on, out=y)": lambda: fr.masks.backward_from_mask(grad, on, out=y),
        "quantize(x, 0.1, 9, 'relu')": lambda: fr.quantized.quantize(x, 0.1, 9, "relu"),
        "dequantize(q, 0.1, 9)": lambda: fr.quantized.dequantize(q, 0.1, 9),
        "lookup(table, q, out=q)": lambda: fr.quantized.lookup(table, q, out=q),
        "nn.ReLU()(x)": lambda: relu(x),
        "Sequential(Linear, ReLU)(batch)": lambda: model(batch),
    }


def conditions() -> dict[str, str]:
    """Return what the counts depend on, besides the code."""
    compiler = shutil.which("gcc")
    command = [compiler, "-dumpfullversion"] if compiler else ["echo", "none"]
    version = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    found = {"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}
    return found | {"gcc": version, "isa": ISA}


def inside() -> None:
    """Make the calls, in the process that callgrind watches."""
    gc.disable()
    fr.set_num_threads(1)
    for call in calls().values():
        for number in (WARM, FEW, MANY):
            os.getpriority(os.PRIO_PROCESS, 0)
            for _ in range(number):
                call()
    os.getpriority(os.PRIO_PROCESS, 0)


def count(shift: int) -> dict[str, int]:
    """Return the instructions of each call, with objects in front of all others that shift their addresses."""
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "counts"
        command = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={to}"]
        fixed = {"FASTRELU_ISA": ISA, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        run = [*command, sys.executable, "-c", SHIFTED, str(shift), __file__]
        subprocess.run(run, env=os.environ | fixed, check=True, timeout=300, capture_output=True)
        parts = []
        for number in range(1, 2 + 3 * len(calls())):  # the first part is what comes before the calls
            text = Path(f"{to}.{number}").read_text(encoding="utf-8")
            parts.append(int(text.rpartition("\ntotals:")[2].split()[0]))
    each = zip(calls(), parts[2::3], parts[3::3], strict=True)
    return {name: round((many - few) / (MANY - FEW)) for name, few, many in each}


def _above(found: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """Return the calls that take too many instructions."""
    return [name for name, number in found.items() if number > MORE * recorded.get(name, 0)]


def main() -> None:
    """Compare or record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="record the counts")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside()
        return
    found = count(0)
    record = {"conditions": conditions(), "instructions": found}
    if options.write:
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    known = json.loads(RECORD.read_text(encoding="utf-8"))
    compared = known["conditions"] == record["conditions"]
    recorded = known["instructions"]
    for shift in range(1, COUNTS):
        if not compared or not _above(found, recorded):
            break
        again = count(shift)
        found = {name: min(number, again[name]) for name, number in found.items()}
    more = _above(found, recorded)
    for name, number in found.items():
        before = recorded.get(name, 0)
        print(f"{name:36} {number:8} {number / before - 1:+8.1%}" if before else f"{name:36} {number:8}      new")
    if not compared:
        print(f"not compared: recorded with {known['conditions']}, this is {record['conditions']}")
    elif more:
        sys.exit(f"over {MORE - 1:.0%} more instructions: {'; '.join(more)}")


if __name__ == "__main__":
    main()
