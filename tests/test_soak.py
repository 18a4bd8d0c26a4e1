"""A short run of tools/soak.py: mixed calls on several threads leave nothing behind."""

from __future__ import annotations

import importlib.util
from pathlib import Path

TOOL = Path(__file__).parent.parent / "tools" / "soak.py"


def test_memory_stays_flat() -> None:
    """Results keep their values, errors are raised, and the memory after a tenth is the memory at the end."""
    spec = importlib.util.spec_from_file_location("soak", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    early, late = module.soak(operations=600, threads=3, seed=1, quiet=True)
    assert late < early + 2**24
