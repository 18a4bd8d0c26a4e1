"""Turns the results into the tables of the README and of docs/benchmarks.md.

``python benchmarks/report.py`` prints them as Markdown; with ``--check`` it fails unless the documents contain them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pairs

ROOT = Path(__file__).parents[1]


def ratios(result: dict[str, Any]) -> list[str]:
    """Return the tables of ``ratios.json``: the cost of a call, then the speed on arrays."""
    calls = [row for row in result["rows"] if row["figure"] == "cost"]
    lines = [machine_line(result), ""]
    lines += ["| call, 16 elements | NumPy | type | share of NumPy's time |", "|---|---|---|---|"]
    lines += [f"| `{row['ours']}` | `{row['theirs']}` | {row['dtype']} | {cell(row)} |" for row in calls]
    return [*lines, "", *speeds([row for row in result["rows"] if row["figure"] == "speed"])]


def peers(result: dict[str, Any]) -> list[str]:
    """Return the table of ``peers.json``."""
    return [machine_line(result), "", *speeds(result["rows"])]


def speeds(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table with a line per pair of statements and a column per type, size and number of threads."""
    settings = sorted({_setting(row) for row in rows})
    cells: dict[tuple[str, str, str], dict[tuple[str, int, int], str]] = {}
    for row in rows:
        cells.setdefault((row["ours"], row["theirs"], row["memory"]), {})[_setting(row)] = cell(row)
    heads = [f"{dtype}, {size:,}, threads: {threads}" for dtype, size, threads in settings]
    lines = [f"| times as fast | as | memory | {' | '.join(heads)} |", "|---" * (len(heads) + 3) + "|"]
    for (ours, theirs, memory), found in cells.items():
        columns = " | ".join(found.get(setting, "") for setting in settings)
        lines.append(f"| `{ours}` | `{theirs}` | {memory} | {columns} |")
    return lines


def threads(result: dict[str, Any]) -> list[str]:
    """Return the table of ``threads.json``: where a second thread starts to pay."""
    lines = [machine_line(result), "", "| function | class | threads from | break-even |", "|---|---|---|---|"]
    for row in result["rows"]:
        found = "never" if row["break_even"] is None else f"{row['break_even']:,.0f}"
        lines.append(f"| `{row['function']}` | {row['class']} | {row['parallel_from']:,} | {found} |")
    return lines


def network(result: dict[str, Any]) -> list[str]:
    """Return the table of ``network.json``: speed, and the time on either side that matrix products take."""
    found = {(row["ours"], row["threads"]): row for row in result["rows"]}
    lines = [
        machine_line(result),
        "",
        "| call | threads | times as fast | ours, products | PyTorch, products |",
        "|---|---|---|---|---|",
    ]
    for (statement, count), row in found.items():
        part = found.get((f"products_of_{statement}", count))
        if part is not None:
            times = [f"{row['ns'][side] / 1e3:.0f} us, {part['ns'][side] / 1e3:.0f} us" for side in ("ours", "theirs")]
            lines.append(f"| `{statement}` | {count} | {cell(row)} | {times[0]} | {times[1]} |")
    return lines


def _setting(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["dtype"], row["size"], row["threads"]


def cell(row: dict[str, Any]) -> str:
    """Return a ratio with its interval, and the figure promised unless that is never to lose."""
    ratio = row["ratio"]
    promised = f", promised {pairs.goal(row)}" if row["target"] not in {None, 1} else ""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}{promised})"


def machine_line(result: dict[str, Any]) -> str:
    """Return the line that says where and how it was measured."""
    about, rows = result["machine"], result["rows"]
    config = about["fastrelu"]
    versions = [f"{name} {about[name]}" for name in ("torch", "scipy") if name in about]
    text = ", ".join([f"fastrelu {config['version']} ({config['isa']})", f"NumPy {config['numpy']}", *versions])
    text = f"{about['cpu']}, {about['cpus']} CPUs, {about['system']}, Python {about['python']}, {text}."
    if "pairs" in rows[0]:
        text += f" Median of {rows[0]['pairs']} pairs of processes (lowest to highest)."
    return text


DOCUMENTS = dict.fromkeys(("peers", "threads", "network"), ROOT / "docs" / "benchmarks.md") | {
    "ratios": ROOT / "README.md"
}
TABLES = {"ratios": ratios, "peers": peers, "threads": threads, "network": network}


def main() -> None:
    """Print the tables, or check the documents."""
    parser = argparse.ArgumentParser(description="The measured tables of the documents.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(TABLES)} (default: all that exist)")
    parser.add_argument("--check", action="store_true", help="fail unless the documents contain them")
    parser.add_argument("--results", type=Path, default=pairs.RESULTS, help="folder of the JSON files")
    options = parser.parse_args()
    for name in options.names:
        if name not in TABLES:
            parser.error(f"no table named {name!r}; there are {', '.join(TABLES)}")
    names = options.names or [name for name in TABLES if (options.results / f"{name}.json").exists()]
    if not names:
        sys.exit("no results yet: run ratios.py, bench_peers.py or bench_threads.py first")
    for name in names:
        table = "\n".join(TABLES[name](json.loads((options.results / f"{name}.json").read_text())))
        if not options.check:
            print(table, end="\n\n")
        elif table not in DOCUMENTS[name].read_text():
            sys.exit(f"{DOCUMENTS[name].name} lacks the table of {name}.json: paste what report.py {name} prints")


if __name__ == "__main__":
    main()
