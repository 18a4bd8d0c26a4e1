"""Reads and writes the files of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

RESULTS = Path(__file__).parent / "results"


def write(name: str, result: dict[str, Any], options: argparse.Namespace) -> None:
    """Write a result to the file of the options; a quick or partial run is written only if a file is given."""
    target = options.output
    if target is None and not options.quick and not options.only:
        target = RESULTS / f"{name}.json"
    if target is not None:
        target.parent.mkdir(exist_ok=True)
        target.write_text(dump(result))
        print(f"wrote {target.name}")


def read(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return a result."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def dump(result: dict[str, Any]) -> str:
    """Return JSON with a line for every entry of the second level, so that diffs are readable."""
    parts = []
    for key, value in result.items():
        if isinstance(value, dict | list) and value:
            opening, closing = "{}" if isinstance(value, dict) else "[]"
            entries = (
                [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
                if isinstance(value, dict)
                else [json.dumps(item) for item in value]
            )
            text = opening + "\n  " + ",\n  ".join(entries) + "\n " + closing
        else:
            text = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
