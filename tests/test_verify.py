"""Every worst input found so far, a stride of all inputs, the references, the published limits and hashes.

tools/verify.py does the exhaustive run; this is what of it fits into every run of the tests.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import kernels

import fastrelu as fr
from fastrelu import _kernels, _runtime, limits
from fastrelu._cli import verify as _verify

if TYPE_CHECKING:
    from types import ModuleType

    from fastrelu.runtime import Precision

ROOT = Path(__file__).resolve().parent.parent
NAMES = [kernel for *_, kernel in _kernels.kernel_names()]
PRECISIONS: tuple[Precision, ...] = ("fast", "accurate")
KEYS = [(isa, precision) for isa in _runtime.isa_available for precision in PRECISIONS]
STRIDE = 2**14 + 27  # some 2**18 of all float32 inputs, every mantissa bit among them
POINTS = 2000  # of float64


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


pytest.importorskip("tqdm", reason="tools/verify.py needs tqdm (dependency group tools)")
verify = _tool("verify")
ACCURACY: dict[str, Any] = json.loads(verify.ACCURACY.read_text())


@pytest.fixture(scope="session")
def library() -> Any:
    """Return the compiled references."""
    if shutil.which("cc") is None or sys.platform != "linux":
        pytest.skip("the references need a C compiler with __float128")
    return verify.library()


@pytest.mark.parametrize("name", NAMES)
def test_worst_inputs(name: str) -> None:
    """The inputs that were worst in any run stay within the limits, on every instruction set and precision."""
    for dtype, entries in ACCURACY["worst"].get(name, {}).items():
        for parameters, *numbers in entries:
            x, grad, exact, low = (float.fromhex(number) for number in numbers)
            for isa, precision in KEYS:
                kernel = kernels(isa)[name]
                data = _verify.arguments(kernel, np.array([x], dtype), parameters, np.array([grad], dtype))
                got = float(getattr(kernel, precision)(*data)[0])
                zone = limits.zero_crossing(name, dtype, parameters, precision=precision, isa=isa)
                context = f"{isa} {precision} {dtype} at {x!r}, parameters {parameters}, gradient {grad!r}: {got!r}"
                if zone and zone.low <= x <= zone.high:
                    assert abs(got - verify.exact_fraction(exact, low)) <= zone.bound * abs(grad), context
                else:
                    bound = limits.error_bound if grad == 1 else limits.product_bound
                    error = verify.ulp_error(got, exact, low, dtype)
                    assert error <= bound(name, dtype, precision=precision, isa=isa), f"{context}, {error} ULP"


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("library")
def test_stride(name: str) -> None:
    """No input of a part of all exceeds a limit."""
    lines: list[str] = []
    for case in verify.cases([name], ["float32", "float64"]):
        if case.kernel == name:
            run = verify.measure(case, KEYS, STRIDE, POINTS, jobs=2)
            tallies = [verify.dataclasses.asdict(tally) for tally in run.best]
            lines += verify.report(case, {"tallies": tallies})[0]
    assert not [line for line in lines if line.startswith("FAIL")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("library")
def test_references_agree(name: str) -> None:
    """The references in double are those in quad, to much less than a float32 can show."""
    x = np.arange(0, 2**32, 2**20 + 3, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[~np.isnan(x)]
    for case in verify.cases([name], ["float32"]):
        if case.kernel != name or not verify.has_reference(name):
            continue
        run = verify.Run(case, KEYS[:1], 1, 1)
        exact, _ = verify.exact_results(name, x, case.rounded)
        double = np.empty(x.size)
        values = (verify.ctypes.c_double * 4)(*case.rounded)
        size = verify.ctypes.c_long(x.size)
        getattr(verify.library(), f"float32_{name}")(
            verify.address(x), None, verify.address(double), None, size, values
        )
        inside = (x >= run.low) & (x <= run.high) & (np.abs(exact) > 2.0**-149) & (np.abs(exact) < 2.0**129)
        inside &= double != verify.ANYTHING
        error = np.abs(double[inside] - exact[inside])
        # A zero crossing leaves an absolute error of the size of the terms that cancel.
        crosses = name in {*limits._ZEROS, *limits._MOVING}
        assert (error <= 2.0**-44 * np.maximum(np.abs(exact[inside]), 2.0**-4 if crosses else 0)).all()


def test_tables_are_current() -> None:
    """The committed table is what the data say, and its limits are those of fastrelu.error_bound."""
    assert verify.TABLE.read_text() == verify.render(ACCURACY["rows"])
    for row in ACCURACY["rows"]:
        for isa in row["isa"].split(", "):
            if isa in _runtime.isa_known:
                bound = fr.error_bound(row["kernel"], row["dtype"], precision=row["precision"], isa=isa)
                assert row["error"]["ulp"] <= bound == row["error"]["limit"], row


@pytest.mark.parametrize("isa", _runtime.isa_available)
def test_published_bits(isa: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kernel gives the published bits."""
    assert _verify.main(["--quick", "--isa", isa]) == 0, [
        line for line in capsys.readouterr().out.splitlines() if "DIFFERENT" in line
    ]


def test_other_bits_are_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A kernel with other bits gives exit status 1."""
    table = _verify.published()
    table["kernels"]["relu"]["float32"]["accurate"]["quick"] = "0" * 16
    monkeypatch.setattr(_verify, "published", lambda: table)
    assert _verify.main(["--quick", "--function", "relu"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_verify_refuses_unknown_functions(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is an error, not an empty success."""
    with pytest.raises(SystemExit):
        _verify.main(["--quick", "--function", "rely"])
    assert "rely" in capsys.readouterr().err


def test_sums_notice_every_word() -> None:
    """One changed bit changes the hash of a block."""
    block = np.arange(_verify.BLOCK, dtype=np.float32)
    before = _verify.block_sum(block)
    for index in (0, 1, 12345, _verify.BLOCK - 1):
        other = block.copy()
        other.view(np.uint32)[index] ^= 1
        assert _verify.block_sum(other) != before


@pytest.mark.parametrize("name", NAMES)
def test_error_bound(name: str) -> None:
    """Every kernel has a bound within what the project promises."""
    six = name in {"gelu", "gelu_backward", "gelu_tanh_backward", "mish_backward"}
    assert 0.5 <= fr.error_bound(name, np.float32, precision="fast") <= (6 if six else 3)
    assert 0.5 <= fr.error_bound(name, "float32", precision="accurate") <= 0.51
    for isa in _runtime.isa_known:
        base = limits.isa_class(isa) == "base"
        fast = fr.error_bound(name, np.float64, precision="fast", isa=isa)
        accurate = fr.error_bound(name, float, precision="accurate", isa=isa)
        assert 0.5 <= accurate <= (9 if base else 1.1)
        assert (
            accurate <= fast <= (9 if base else 8 if name.startswith("gelu") else 6 if name == "mish_backward" else 4)
        )


@pytest.mark.skipif("v3" not in _runtime.isa_known, reason="limits are stated for the instruction sets of x86-64")
def test_limits_are_stated() -> None:
    """Docstrings and the comments above the bodies state the limits of today."""
    for path, text in _tool("state_limits").stated().items():
        assert path.read_text() == text, f"{path.name} is out of date: run tools/state_limits.py"


def test_error_bound_follows_the_precision_in_force() -> None:
    """Without an argument it is the bound of a call made here and now."""
    with fr.precision("fast"):
        assert fr.error_bound("gelu", np.float32) == fr.error_bound("gelu", np.float32, precision="fast")
    with fr.precision("accurate"):
        assert fr.error_bound("gelu", np.float32) == fr.error_bound("gelu", np.float32, precision="accurate")


def test_error_bound_refuses() -> None:
    """Each wrong argument has its own error."""
    with pytest.raises(ValueError, match="no function or kernel 'rely'"):
        fr.error_bound("rely", np.float32)
    with pytest.raises(ValueError, match="kernels compute in float32 and float64, not in int8"):
        fr.error_bound("relu", np.int8)
    with pytest.raises(TypeError):
        fr.error_bound("relu", "no dtype")
    with pytest.raises(ValueError, match="precision must be"):
        fr.error_bound("relu", np.float32, precision="exact")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="unknown instruction set"):
        fr.error_bound("relu", np.float32, isa="v9")


def test_zero_crossings_scale_with_the_parameter() -> None:
    """The zero of swish' lies where beta x is that of silu'."""
    one = limits.zero_crossing("swish_backward", np.float32, (1.0,), precision="fast")
    two = limits.zero_crossing("swish_backward", np.float32, (-2.0,), precision="fast")
    assert one is not None
    assert two is not None
    assert (two.low, two.high) == (-one.high / 2, -one.low / 2)
    assert limits.zero_crossing("swish_backward", np.float32, (0.0,)) is None
