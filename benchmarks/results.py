"""Reads and writes the files of results."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

RESULTS = Path(__file__).parent / "results"
CELLS = {"cells": 0, "errors": None}  # what full.py and grids.py give by side; with what stands for no value


def write(name: str, result: dict[str, Any], options: argparse.Namespace) -> None:
    """Write a result to the file of the options; a quick or partial run is written only if a file is given."""
    target = options.output
    if target is None and not options.quick and not options.only:
        target = RESULTS / f"{name}.json"
    if target is not None:
        target.parent.mkdir(exist_ok=True)
        target.write_text(dump(shortened(result)))
        print(f"wrote {target.name}")


def read(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return a result."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    sides = found.pop("sides", ())
    for part, absent in CELLS.items() if sides else ():
        whole, last = {}, [""]
        for short, *values in found[part]:
            names = short.split("|")
            last = [new or old for new, old in zip_longest(names, last[: len(names)])]
            whole["|".join(last)] = {side: value for side, value in zip(sides, values, strict=False) if value != absent}
        found[part] = whole
    return found


def packed(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with a list for each cell: its name, then a value for each side, 0 or null where it has none.

    Of a name, only the parts that differ from those of the cell before are there: ``["|||in place",8,9.5]`` follows
    ``["celu|float32|1|out",7,9]``.
    """
    cells = [cell for part in CELLS for cell in result[part].values()]
    sides = [*dict.fromkeys(side for cell in sorted(cells, key=len, reverse=True) for side in cell)]
    found: dict[str, Any] = {"sides": sides}
    for part, absent in CELLS.items():
        found[part], last = [], [""]
        for key, values in result[part].items():
            names = key.split("|")
            short = "|".join("" if new == old else new for new, old in zip_longest(names, last[: len(names)]))
            line = [values.get(side, absent) for side in sides]
            while line and line[-1] == absent:
                line.pop()
            found[part].append([short, *line])
            last = names
    return result | found


def rounded(value: float, least: int = 4) -> float:
    """Return a value with at least some digits, and as many as it takes to be printed, and compared with 1, alike."""
    for digits in range(least, 18):
        found = float(f"{value:.{digits}g}")
        if _printed(found) == _printed(value):
            break
    return int(found) if found.is_integer() else found


def shortened(result: Any) -> Any:
    """Return a result whose numbers have eight digits: more than any table shows."""
    if isinstance(result, dict):
        return {key: shortened(value) for key, value in result.items()}
    if isinstance(result, list):
        return [shortened(value) for value in result]
    return float(f"{result:.8g}") if isinstance(result, float) else result


def _printed(value: float) -> tuple[object, ...]:
    return value < 1, *((f"{value:.2f}", f"{value:.0%}") if value < 10 else (f"{value:.0f}",))


def dump(result: dict[str, Any]) -> str:
    """Return JSON with a line for every entry of the second level, so that diffs are readable."""
    parts = []
    for key, value in (packed(result) if "cells" in result else result).items():
        if isinstance(value, dict | list) and value:
            opening, closing = "{}" if isinstance(value, dict) else "[]"
            entries = (
                [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
                if isinstance(value, dict)
                else [json.dumps(item, separators=(",", ":") if key in CELLS else None) for item in value]
            )
            text = opening + "\n  " + ",\n  ".join(entries) + "\n " + closing
        else:
            text = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
