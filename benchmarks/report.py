"""Turns the results into the tables and plots of docs/benchmarks.md and the table of the README.

``python benchmarks/report.py`` prints the sections; ``--write`` writes them between their marks in the documents and
draws the plots; ``--check`` fails if the documents differ. A cell that is lost, or below 0.9, without a reason in
reasons.toml is an error.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elsewhere
import plots
import results
from bench_two_threads import LIMIT as MOST
from functions import ACCURATE as ACCURATE_SIZES
from functions import COPY, DTYPES, LARGE, MODES, SIZES, functions
from peers import PACKAGES
from summary import (
    ACCURATE,
    EXPLAINED,
    OURS,
    STALLING,
    Loss,
    NoReasonError,
    Ratio,
    Row,
    Summary,
    geometric_mean,
    losses,
    read_reasons,
    verdicts,
)
from targets import FASTEST, LIMIT, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
README_ROWS = ("relu", "gelu", "silu", "sigmoid", "tanh", "elu", "gelu_backward", "silu_backward")
README_COLUMNS = (
    ("numpy", 16, "fresh"),
    ("numpy", 100_000, "out"),
    ("torch", 100_000, "out"),
    (FASTEST, 1_000_000, "out"),
    (FASTEST, LARGE, "out"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def title(side: str) -> str:
    """Return the name of a side in the text."""
    return PACKAGES[side].title if side in PACKAGES else {LIMIT: "copy", "copy": "copy"}.get(side, side)


def number(value: float) -> str:
    """Return a ratio with its significant digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def interval(found: Ratio) -> str:
    """Return a ratio with its interval, in bold if the cell is lost."""
    mark = "**" if found.lost else ""
    return f"{mark}{number(found.median)}{mark} ({number(found.low)} to {number(found.high)})"


def short(found: Ratio, side: str) -> str:
    """Return a ratio with the name of the side, in bold if the cell is lost and with a tilde if it is level."""
    mark = "**" if found.lost else ""
    return f"{mark}{'~' if found.behind and not found.lost else ''}{number(found.median)}{mark} {title(side)}"


def ulps(error: float) -> str:
    """Return an error in units in the last place."""
    return f"{error:.1f}" if error < 1000 else f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


# --- Sections -----------------------------------------------------------------------------------------------------


def machine(summary: Summary) -> Iterator[str]:
    """Yield the line about machine, versions and settings."""
    about, settings = summary.machine, summary.settings
    versions = [f"{PACKAGES[name].title} {about[name]}" for name in PACKAGES if name in about and name != "numpy"]
    yield (
        f"{', '.join([system(about), *versions])}. {settings['threads']} threads for every side that has threads, "
        f"{settings['pairs']} pairs of processes, inputs {settings['inputs']}; measured at {commits(about)}."
    )


def system(about: Mapping[str, Any]) -> str:
    """Return what a measurement ran on: processor, system, and versions without those of peers."""
    config = about["fastrelu"]
    return (
        f"{about['cpu']}, {about['cpus']} CPUs, {about['system']}, Python {about['python']}, "
        f"fastrelu {config['version']} ({config['isa']}), NumPy {config['numpy']}"
    )


def commits(*found: Mapping[str, Any]) -> str:
    """Return the commits of the package at which something was measured."""
    known = [*dict.fromkeys(commit for about in found for commit in about.get("sources", ()))]
    return f"commit{'s' * (len(known) > 1)} {', '.join(known)}" if known else "a commit that was not recorded"


def readme(summary: Summary) -> Iterator[str]:
    """Yield the README's table: how many times as fast, float32, medians."""
    yield from machine(summary)
    yield ""
    heads = []
    for side, size, mode in README_COLUMNS:
        name = "the fastest peer" if side == FASTEST else title(side)
        heads.append(f"{name}, {size:,}, {'into an array' if mode == 'out' else 'new array'}")
    lines = []
    for name in README_ROWS:
        cells = []
        for side, size, mode in README_COLUMNS:
            row = summary.rows.get((name, "float32", size, mode))
            if row is None or side not in {FASTEST, *row.sides}:
                cells.append("")
            elif side == FASTEST:
                cells.append(short(row.best, row.fastest))
            else:
                found = row.against(side)
                cells.append(f"**{number(found.median)}**" if found.lost else number(found.median))
        lines.append([f"`{name}`", *cells])
    yield from table(["times as fast as", *heads], lines)


def fast(summary: Summary) -> Iterator[str]:
    """Yield the README's claim about speed."""
    rows = list(summary.compared())
    shown = [row for row in rows if (row.dtype, row.size, row.mode) == ("float32", 100_000, "out")]
    means = {}
    for side in ("numpy", "torch"):
        means[side] = number(geometric_mean([row.against(side).median for row in shown if side in row.sides] or [1.0]))
    lost = sum(row.best.lost for row in rows)
    yield (
        f"- **Fast.** {means['numpy']} times as fast as the NumPy expression and {means['torch']} times as fast as PyTorch, "
        f"in the geometric mean over {len(shown)} functions and gradients of 100,000 elements of float32. "
        f"[Every cell is published](docs/benchmarks.md): of {len(rows):,}, {lost} are lost to the fastest peer."
    )


def small_networks(result: dict[str, Any]) -> list[str]:
    """Return the README's claim about networks, from ``network.json``."""
    row = next(row for row in result["rows"] if row["ours"] == "train()" and row["threads"] == 1)
    return [
        (
            f"- **Small networks.** A training step of 784-256-10 with a batch of 32 takes {row['ns']['ours'] / 1e6:.2f} ms on one "
            f"thread, PyTorch's {row['ns']['theirs'] / 1e6:.2f} ms ([measured](docs/benchmarks.md#the-reference-network))."
        )
    ]


def overview(summary: Summary) -> Iterator[str]:
    """Yield the number of wins, by mode and size."""
    rows = list(summary.compared())
    found = []
    for dtype in DTYPES:
        for mode in MODES:
            cells = []
            for size in SIZES:
                here = [row.best for row in rows if (row.dtype, row.mode, row.size) == (dtype, mode, size)]
                if here:
                    lost = sum(best.lost for best in here)
                    mean = number(geometric_mean([best.median for best in here]))
                    cells.append(f"{mean} ({lost} of {len(here)} lost)" if lost else f"{mean} ({len(here)})")
                else:
                    cells.append("")
            found.append([dtype, mode, *cells])
    yield from table(["type", "mode", *(f"{size:,}" for size in SIZES)], found)


def targets(summary: Summary) -> Iterator[str]:
    """Yield the targets with their verdicts, and every cell in which one is missed."""
    lines, missed = [], []
    for target, found in verdicts(summary):
        worst = min(found, key=lambda verdict: verdict.ratio.median)
        met = sum(verdict.met for verdict in found)
        judgment = "met" if met == len(found) else f"**missed** in {len(found) - met} of {len(found)}"
        missed += [verdict for verdict in found if not verdict.met]
        names = ", ".join(f"`{name}`" for name in target.names) if len(target.names) <= 3 else ""
        lines.append(
            [
                f"{target.title}{': ' if names else ''}{names}, {target.dtype}, {', '.join(target.modes)}",
                against(target),
                f">= {target.least:.3g}",
                judgment,
                f"{interval(worst.ratio)} {where(worst.row)}",
            ]
        )
    yield from table(["aim", "against", "ratio", "verdict", "lowest"], lines)
    yield ""
    small = [verdict for verdict in missed if verdict.target.least != 1]  # targets of 1 are in the table of losses
    if small:
        yield "Missed:"
        yield ""
        for verdict in small:
            yield (
                f"- {where(verdict.row)}: {interval(verdict.ratio)} next to {title(verdict.against)}, "
                f"aim {verdict.target.least:.3g}"
            )


def against(target: Target) -> str:
    """Return the name of the side that a target refers to."""
    names = {FASTEST: "the fastest peer", LIMIT: "a streamed copy"}
    return ", ".join(names.get(side) or title(side) for side in target.against)


def where(row: Row) -> str:
    """Return a cell as text."""
    return f"`{row.name}`, {row.dtype}, {row.size:,}, {row.mode}"


def lost(summary: Summary, found: Sequence[Loss]) -> Iterator[str]:
    """Yield the lost cells with both errors, and the reasons; then the peers excluded because they are wrong."""
    reasons = list(dict.fromkeys(loss.reason for loss in found))
    if found:
        yield from table(
            ["function", "type", "elements", "mode", "ratio", "peer", "our error", "its error", "reason"],
            (
                [
                    *(f"`{loss.row.name}`", loss.row.dtype, f"{loss.row.size:,}", loss.row.mode),
                    *(interval(loss.row.best), title(loss.row.fastest)),
                    *(ulps(summary.error(loss.row, side)) for side in (OURS, loss.row.fastest)),
                    f"{reasons.index(loss.reason) + 1}",
                ]
                for loss in found
            ),
        )
        yield ""
        for index, reason in enumerate(reasons, 1):
            yield f"{index}. {reason}"
    else:
        yield "None."
    wrong = [(row, side) for row in summary.compared() for side in sorted(row.wrong & {*row.sides})]
    if wrong:
        yield ""
        yield "Excluded from every comparison, because their errors exceed the tolerance:"
        yield ""
        yield from table(
            ["function", "type", "elements", "mode", "peer", "ratio", "our error", "its error"],
            (
                [
                    *(f"`{row.name}`", row.dtype, f"{row.size:,}", row.mode),
                    *(title(side), "" if side == OURS else interval(row.against(side))),
                    *(ulps(summary.error(row, s)) for s in (OURS, side)),
                ]
                for row, side in wrong
            ),
        )


def speed(summary: Summary) -> Iterator[str]:
    """Yield a table for every type and mode: next to the fastest peer, by size."""
    for dtype in DTYPES:
        for mode in MODES:
            lines = []
            for function in functions():
                found = [summary.rows.get((function.name, dtype, size, mode)) for size in SIZES]
                if any(row and row.peers and OURS in row.sides for row in found):
                    lines.append(
                        [f"`{function.name}`", *(short(row.best, row.fastest) if row else "" for row in found)]
                    )
            if lines:
                yield f"### {dtype}, {mode}"
                yield ""
                yield from table(["function", *(f"{size:,}" for size in SIZES)], lines)
                yield ""


def by_peer(summary: Summary, size: int = 100_000, mode: str = "out", dtype: str = "float32") -> Iterator[str]:
    """Yield one setting with a column for every peer and its largest error; JAX has only fresh results."""
    names = [name for name in PACKAGES if any(name in row.peers for row in summary.compared())]
    lines = []
    for function in functions():
        row = summary.rows.get((function.name, dtype, size, mode))
        fresh = summary.rows.get((function.name, dtype, size, "fresh"))
        if row is None or OURS not in row.sides:
            continue
        cells = []
        for name in names:
            source = row if name in row.sides else fresh
            if source is None or name not in source.sides:
                cells.append("")
                continue
            mark = "" if source is row else " new"
            cells.append(f"{number(source.against(name).median)}{mark} ({ulps(summary.error(source, name))})")
        lines.append([f"`{function.name}`", f"{row.ns(OURS) / size:.3f} ({ulps(summary.error(row, OURS))})", *cells])
    yield from table(["function", "ours, ns per element", *map(title, names)], lines)


def accurate(summary: Summary) -> Iterator[str]:
    """Yield the cost of "accurate", and its speed relative to the fastest peer."""
    columns = [(dtype, size) for dtype in DTYPES for size in ACCURATE_SIZES]
    lines = []
    for function in functions():
        cells = []
        for dtype, size in columns:
            row = summary.rows.get((function.name, dtype, size, "out"))
            if row is None or ACCURATE not in row.sides or not row.peers:
                cells.append("")
                continue
            slower = row.ns(ACCURATE) / row.ns(OURS)
            cells.append(f"{slower:.2f}, {number(row.ns(row.fastest) / row.ns(ACCURATE))} {title(row.fastest)}")
        if any(cells):
            lines.append([f"`{function.name}`", *cells])
    yield from table(["function", *(f"{dtype}, {size:,}" for dtype, size in columns)], lines)


def memory(summary: Summary) -> Iterator[str]:
    """Yield the machine's limit: the time of a copy, and the share of its bandwidth that large calls reach."""
    lines = []
    for dtype in DTYPES:
        for size in SIZES:
            row = summary.rows.get((COPY.name, dtype, size, "out"))
            if row:
                times = [f"{title(s)} {row.ns(s) / size:.3f}" for s in row.sides]
                lines.append([dtype, f"{size:,}", ", ".join(times)])
    yield from table(["copy, type", "elements", "ns per element"], lines)
    yield ""
    shares = []
    for row in summary.compared():
        if row.size == LARGE and row.mode == "out":
            ours, theirs = summary.share(row), summary.share(row, row.fastest)
            if ours and theirs:
                shares.append([f"`{row.name}`", row.dtype, f"{ours.median:.0%}", f"{theirs.median:.0%} {row.fastest}"])
    yield from table(["function", "type", "share of the copy's bandwidth", "fastest peer's"], shares)


def stalls(summary: Summary) -> Iterator[str]:
    """Yield the number of times that exceed the shortest of their cell by far, as after waiting for a tick."""
    long = [row for row in summary.compared() if row.size >= STALLING]
    met = Counter({side: 0 for row in long for side in row.sides})
    total = Counter(side for row in long for side in row.sides for _ in range(summary.settings["pairs"]))
    for counts in summary.stalled.values():
        met.update(counts)
    lines = [[title(side), f"{count:,}", f"{total[side]:,}"] for side, count in met.items()]
    yield from table(["", "times 2 ms over the shortest of their cell and four times as long", "of"], lines)


def pictures(_: Summary) -> Iterator[str]:
    """Yield the plots."""
    for name, caption in plots.PLOTS.items():
        yield f"![{caption}]({name}.svg)"


def sections(summary: Summary) -> dict[str, list[str]]:
    """Return the lines of every section from ``benchmarks.json``."""
    found = losses(summary, read_reasons())
    makers: dict[str, Callable[[Summary], Iterator[str]]] = {
        "readme": readme,
        "fast": fast,
        "machine": machine,
        "overview": overview,
        "targets": targets,
        "losses": lambda s: lost(s, found),
        "speed": speed,
        "peers": by_peer,
        "accurate": accurate,
        "memory": memory,
        "stalls": stalls,
        "plots": pictures,
    }
    return {name: list(make(summary)) for name, make in makers.items()}


def threads(result: dict[str, Any]) -> list[str]:
    """Return the table of ``threads.json``: the sizes from which a second thread pays."""
    lines = [
        [
            f"`{row['function']}`",
            row["class"],
            f"{row['parallel_from']:,}",
            "never" if row["break_even"] is None else f"{row['break_even']:,.0f}",
        ]
        for row in result["rows"]
    ]
    return list(table(["function", "class", "threads from", "never slower from"], lines))


def two_threads(result: dict[str, Any]) -> list[str]:
    """Return the table of ``two_threads.json``: the time with two threads by that with one, of each call."""
    found: dict[str, list[tuple[float, str]]] = {}
    for row in result["rows"]:
        one, two = row["ns"]
        where = f"{row['dtype']}, {' x '.join(map(str, row['shape']))}, axis {row['axis']}"
        found.setdefault(row["call"], []).append((two / one, where))
    lines = []
    for name, ratios in found.items():
        largest, where = max(ratios)
        text = f"**{largest:.2f}**" if largest > MOST else f"{largest:.2f}"
        mean = statistics.geometric_mean([ratio for ratio, _ in ratios])
        slower = sum(ratio > MOST for ratio, _ in ratios)
        lines.append([f"`{name}`", f"{mean:.2f}", text, where, f"{slower} of {len(ratios)}"])
    return list(table(["call", "mean", "largest", "of", f"over {MOST}"], lines))


def layouts(result: dict[str, Any]) -> list[str]:
    """Return the table of ``layouts.json``: the cost of each layout, in bold above the limit."""
    lines: dict[str, list[str]] = {}
    columns: list[str] = []
    for row in result["rows"]:
        column = f"{row['dtype']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        if column not in columns:
            columns.append(column)
        cost = row["cost"]
        text = f"{cost['median']:.2f}"
        if row["target"] is not None and cost["median"] > row["target"]:
            text = f"**{text}**"
        run = f"{row['run']:,}"
        line = lines.setdefault(row["layout"], [f"`{row['layout']}`", run, f"{row['lines']:.2f}"])
        line.append(f"{text} ({cost['low']:.2f} to {cost['high']:.2f})")
    return list(table(["layout", "inner run", "lines", *columns], lines.values()))


def statements(result: dict[str, Any]) -> list[str]:
    """Return the table of a script that compares whole statements (pairs.py)."""
    lines = []
    for row in result["rows"]:
        ratio, ns = row["ratio"], row["ns"]
        label = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        times = [f"{ns[side] / 1e3:,.1f}" for side in ("ours", "theirs")]
        what = row["memory"] if row["size"] == 32 else f"{row['size']:,} elements, {row['memory']}"
        lines.append([f"`{row['ours']}`", row["peer"], what, str(row["threads"]), label, *times])
    return list(table(["statement", "peer", "what", "threads", "times as fast", "ours, us", "theirs, us"], lines))


def grid(result: dict[str, Any]) -> list[str]:
    """Return the tables of a suite of grids.py: next to the fastest peer, and the lost cells with their reasons."""
    summary = Summary(result)
    tables: dict[str, dict[str, dict[str, str]]] = {}
    columns: dict[str, None] = {}
    for row in summary.compared():
        place, *mask, threads = row.mode.split(", ")
        column = f"{place}, {row.size:,}"
        columns[column] = None
        lines = tables.setdefault(f"{row.dtype}, {threads}", {})
        lines.setdefault(", ".join([f"`{row.name}`", *mask]), {})[column] = short(row.best, row.fastest)
    found: list[str] = []
    for head, lines in tables.items():
        own = [column for column in columns if any(column in line for line in lines.values())]
        found += [f"**{head}**", "", *table(["function", *own], _cells(lines, own)), ""]
    return [*found, "Where another is faster:", "", *lost(summary, losses(summary, read_reasons()))]


def _cells(lines: dict[str, dict[str, str]], columns: Sequence[str]) -> Iterator[list[str]]:
    for name, line in lines.items():
        yield [name, *(line.get(column, "") for column in columns)]


AXIS_ROWS = ("softmax", "log_softmax", "softmax_backward_from_output", "logsumexp", "cross_entropy_value_and_grad")
AXIS_COLUMNS = (
    ("numpy", 1000, "last axis, no mask"),
    (FASTEST, 1000, "last axis, no mask"),
    (FASTEST, 1000, "first axis, no mask"),
    (FASTEST, 10, "middle axis, no mask"),
    (FASTEST, 1000, "last axis, padding"),
)


def readme_axis(result: dict[str, Any]) -> list[str]:
    """Return the README's table of functions along an axis: how many times as fast, float32, medians."""
    summary, lines = Summary(result), []
    for name in AXIS_ROWS:
        cells = [f"`{name}`"]
        for side, length, mode in AXIS_COLUMNS:
            row = next(
                (
                    summary.rows[key]
                    for t in (2, 1)
                    if (key := (name, "float32", length, f"{mode}, threads: {t}")) in summary.rows
                ),
                None,
            )
            if row is None or not row.peers:
                cells.append("")
            elif side == FASTEST:
                cells.append(short(row.best, row.fastest))
            else:
                cells.append(number(row.against(side).median))
        lines.append(cells)
    heads = [
        f"{'the fastest peer' if side == FASTEST else title(side)}, {mode.removesuffix(', no mask')}, rows of {length:,}"
        for side, length, mode in AXIS_COLUMNS
    ]
    return list(table(["times as fast as", *heads], lines))


def neighbors(result: dict[str, Any]) -> list[str]:
    """Return the table of ``neighbors.json``: activations among other work, all steps of a scene together."""
    sides = list(dict.fromkeys(side for row in result["rows"] for side in row["us"]))
    lines = []
    for row in result["rows"]:
        us = row["us"]
        cells = [" / ".join(f"{t:,.0f}" for t in us[side]["all"].values()) if side in us else "" for side in sides]
        lines.append([row["scene"], *cells, " / ".join(f"{ratio:.2f}" for ratio in row["two by one"].values())])
    return list(table(["scene", *sides, "two threads by one"], lines))


def other_machine(folder: Path) -> Iterator[str]:
    """Yield the section of another machine's results: the means of each suite, then the cells in which another is faster."""
    present = [name for name in (*elsewhere.SUITES, *elsewhere.STATEMENTS) if (folder / f"{name}.json").exists()]
    found = {name: results.read(name, folder) for name in present}
    parts: list[elsewhere.Part] = []
    for name, result in found.items():
        parts += (elsewhere.of_cells if name in elsewhere.SUITES else elsewhere.of_statements)(name, result)
    machines = [results.read(path.stem, folder)["machine"] for path in sorted(folder.glob("*.json"))]
    about = machines[0]
    yield f"### {about['cpu']}, {about['fastrelu']['isa']}"
    yield ""
    yield f"Measured on {system(about)}, at {commits(*machines)}."
    yield ""
    heads = ["suite", "type", "where", "cells", "geometric mean", "lost", f"below {EXPLAINED}"]
    yield from table(
        heads,
        (
            [elsewhere.TITLES.get(part.suite, part.suite), *map(str, part[1:4]), number(part.mean), *map(str, part[5:])]
            for part in parts
        ),
    )
    yield ""
    if (folder / "two_threads.json").exists():
        yield elsewhere.two_threads(results.read("two_threads", folder))
        yield ""
    for name, result in found.items():
        if name in elsewhere.SUITES:
            yield f"Where another is faster, {elsewhere.TITLES.get(name, name)}:"
            yield ""
            summary = Summary(result)
            yield from lost(summary, losses(summary, read_reasons()))
            yield ""


# --- Documents ----------------------------------------------------------------------------------------------------


def fill(text: str, found: dict[str, list[str]]) -> str:
    """Return a document with its sections replaced.

    Parameters
    ----------
    text : str
        The document; a section is between ``<!-- begin: name -->`` and ``<!-- end: name -->``.
    found : dict
        Lines by name of section. Other sections are not changed.
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in found:
            return match[0]
        return f"<!-- begin: {name} -->\n" + "\n".join(found[name]).rstrip() + f"\n<!-- end: {name} -->"

    return re.sub(r"<!-- begin: ([\w ]+) -->\n.*?<!-- end: \1 -->", replace, text, flags=re.DOTALL)


OTHERS = {
    "threads": threads,
    "two_threads": two_threads,
    "layouts": layouts,
    "neighbors": neighbors,
    **dict.fromkeys(("axis", "masks", "types", "values", "passes"), grid),
    **dict.fromkeys(("network", "rows", "parameters", "loss_gradients", "small_losses", "diagnostics"), statements),
}


def collect(folder: Path) -> tuple[dict[str, list[str]], Summary | None]:
    """Return the lines of every section whose results are there, and the summary of ``benchmarks.json``."""
    found: dict[str, list[str]] = {}
    summary = None
    if (folder / "benchmarks.json").exists():
        summary = Summary(results.read("benchmarks", folder))
        found |= sections(summary)
    for name, lines_of in OTHERS.items():
        if (folder / f"{name}.json").exists():
            result = results.read(name, folder)
            where = system(result["machine"])
            # Where it is not said for all.
            otherwise = [f"Measured on {where}.", ""] if summary and where != system(summary.machine) else []
            found[name] = [*otherwise, f"Measured at {commits(result['machine'])}.", "", *lines_of(result)]
            for head, beside in [BESIDE[name]] if name in BESIDE else ():
                found[head] = otherwise + beside(result)
    others = sorted({path.parent for path in folder.glob("*/*.json")})
    if others:
        found["other machines"] = [line for other in others for line in other_machine(other)]
    return found, summary


BESIDE = {"network": ("small networks", small_networks), "axis": ("readme axis", readme_axis)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print, write or check."""
    parser = argparse.ArgumentParser(description="The measured tables and plots of the documents.")
    parser.add_argument("--write", action="store_true", help="write the tables into the documents and draw the plots")
    parser.add_argument("--check", action="store_true", help="fail if the documents differ from the tables")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="folder of the JSON files")
    options = parser.parse_args(arguments)
    try:
        found, summary = collect(options.results)
    except NoReasonError as error:
        sys.exit(f"error: {error}")
    if not found:
        sys.exit("no results yet: run benchmarks/full.py first")
    if not options.write and not options.check:
        for name, lines in found.items():
            print(f"<!-- {name} -->", *lines, "", sep="\n")
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        filled = fill(text, found)
        if options.write:
            document.write_text(filled, encoding="utf-8")
        elif options.check and filled != text:
            sys.exit(f"{document.name} does not hold the results: run benchmarks/report.py --write")
    if options.write and summary:
        plots.draw(summary, ROOT / "docs")


if __name__ == "__main__":
    main()
