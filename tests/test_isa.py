"""Instruction sets: which ones agree bit for bit, how one is chosen, and the three ways in which one cannot be had."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case
from compare import assert_same_bits
from grid import ISAS, PRECISIONS
from inputs import data_of, gradients, inputs
from programs import last_line, python

import fastrelu as fr
from fastrelu import _kernels, _runtime, limits

if TYPE_CHECKING:
    from specs import Precision

# --- Agreement ----------------------------------------------------------------------------------------------------

FUSED = [isa for isa in ISAS if limits.isa_class(isa) == "fma"]


def assert_agree(case: Case, first: str, other: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """Assert that two instruction sets give the same bits over the grid, with any gradient."""
    for params in case.grid:
        x = inputs(case, params, dtype)
        data = data_of(case, x, gradients(dtype, x.size))
        assert_same_bits(
            case.on(other, precision, *data, *params),
            case.on(first, precision, *data, *params),
            f"{case.name}{params}, {other} against {first}",
        )


@pytest.mark.parametrize("higher", ISAS[1:] or ISAS)
def test_accurate_float32_everywhere(case: Case, higher: str) -> None:
    """Promise 3: "accurate" float32 has the same bits on every instruction set, with FMA or without."""
    assert_agree(case, ISAS[0], higher, np.dtype(np.float32), "accurate")


@pytest.mark.skipif(len(FUSED) < 2, reason="only one instruction set with FMA runs here")
def test_with_fma(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """Promise 3: among the instruction sets with FMA every kernel has the same bits."""
    for other in FUSED[1:]:
        assert_agree(case, FUSED[0], other, dtype, precision)


# --- Choice -------------------------------------------------------------------------------------------------------

FINGERPRINT = """
import hashlib, numpy as np, fastrelu as fr
print(fr.config()["isa"])
for dtype in (np.float32, np.float64):
    x = np.linspace(-9, 9, 4097).astype(dtype)
    for module in (fr.ufuncs, fr.ufuncs.accurate):
        for name in sorted(fr.ufuncs.accurate.__all__):
            if getattr(module, name).nin == 1 and getattr(module, name).signature is None:
                print(name, hashlib.sha256(getattr(module, name)(x).tobytes()).hexdigest())
"""


def fingerprint(isa: str) -> list[str]:
    """Return the lines that FINGERPRINT should print."""
    lines = [isa]
    for dtype in (np.float32, np.float64):
        x = np.linspace(-9, 9, 4097).astype(dtype)
        for precision in PRECISIONS:
            for case in sorted(CASES, key=str):
                if case.ufunc.nin == 1:
                    lines.append(f"{case} {hashlib.sha256(case.on(isa, precision, x).tobytes()).hexdigest()}")
    return lines


def test_forced(isa: str) -> None:
    """FASTRELU_ISA chooses the kernels that all public functions use."""
    process = python(FINGERPRINT, FASTRELU_ISA=isa)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == fingerprint(isa)


@pytest.mark.parametrize("environment", [{}, {"FASTRELU_ISA": ""}], ids=["unset", "empty"])
def test_default_is_the_highest(environment: dict[str, str]) -> None:
    """Without the variable the highest instruction set is used."""
    process = python("import fastrelu; print(fastrelu.config()['isa'])", **environment)
    assert process.stdout.strip() == ISAS[-1], process.stderr


def test_lists() -> None:
    """What runs was built, what was built is known, each list goes from low to high, and the lowest is there."""
    assert _runtime.isa_available[0] == _runtime.isa_built[0] == _runtime.isa_known[0]
    order = {isa: rank for rank, isa in enumerate(_runtime.isa_known)}
    for names in (_runtime.isa_built, _runtime.isa_available):
        ranks = [order[isa] for isa in names]
        assert ranks == sorted(ranks)
    assert set(_runtime.isa_available) <= set(_runtime.isa_built)
    assert fr.config()["isa_available"] == list(_runtime.isa_available)
    assert fr.config()["isa"] in _runtime.isa_available


# --- Refusals -----------------------------------------------------------------------------------------------------


def test_unknown_name() -> None:
    """A name that means nothing is a ValueError that lists the names, and the variable where it asked."""
    message = f"unknown instruction set 'avx9'; this platform knows {', '.join(_runtime.isa_known)}"
    refused = last_line(python("import fastrelu", FASTRELU_ISA="avx9"))
    assert refused == f"ValueError: FASTRELU_ISA='avx9': {message}"
    with pytest.raises(ValueError, match=message):
        _kernels.load_kernels("avx9")


def test_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that this build lacks is a RuntimeError that lists what it holds."""
    monkeypatch.setattr(_runtime, "isa_known", ("base", "v9"))
    monkeypatch.setattr(_runtime, "isa_built", ("base",))
    with pytest.raises(RuntimeError, match=r"^this build of fastrelu holds no v9 kernels \(built: base\)$"):
        _kernels.load_kernels("v9")


def test_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that this machine lacks is another RuntimeError, which lists what it runs."""
    monkeypatch.setattr(_runtime, "isa_known", ("base", "v9"))
    monkeypatch.setattr(_runtime, "isa_built", ("base", "v9"))
    monkeypatch.setattr(_runtime, "isa_available", ("base",))
    with pytest.raises(RuntimeError, match=r"^this machine cannot run v9 instructions \(it runs: base\)$"):
        _kernels.load_kernels("v9")


@pytest.mark.parametrize("isa", [isa for isa in _runtime.isa_known if isa not in _runtime.isa_available])
def test_refused_at_import(isa: str) -> None:
    """Asked for by the variable, an instruction set that cannot be had fails the import with its own reason."""
    built = isa in _runtime.isa_built
    reason = (
        f"this machine cannot run {isa} instructions" if built else f"this build of fastrelu holds no {isa} kernels"
    )
    assert last_line(python("import fastrelu", FASTRELU_ISA=isa)).startswith(
        f"RuntimeError: FASTRELU_ISA='{isa}': {reason}"
    )
