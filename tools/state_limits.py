"""Writes the limits of fastrelu.limits into the docstrings and above the kernels' bodies.

``python tools/state_limits.py`` after a limit has changed; a test fails while a statement is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastrelu import _kernels, limits

if TYPE_CHECKING:
    from fastrelu.runtime import Precision

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "fastrelu"
KERNELS = {kernel for *_, kernel in _kernels.kernel_names()}
PRECISIONS: tuple[Precision, Precision] = ("fast", "accurate")
WIDTH = 119


def bound(kernel: str, dtype: str, precision: Precision = "fast", isa: str = "v3") -> float:
    """Return a limit; by default that of an instruction set with FMA."""
    return limits.error_bound(kernel, dtype, precision=precision, isa=isa)


# Kernels that a public function uses beside the one of its own name, and when.
OTHERS = {"gelu": ("gelu_tanh", 'With ``approximate="tanh"``'), "hard_swish": ("hard_swish_line", "With another gate")}


def sentence(kernel: str) -> str:
    """Return the sentence about one kernel for a docstring."""
    fast, accurate = ([bound(kernel, dtype, level) for dtype in ("float32", "float64")] for level in PRECISIONS)
    if {*fast, *accurate} == {0.5}:
        return "rounded once, at most 0.5 ULP"
    text = f"at most {fast[0]:g} ULP in float32, {fast[1]:g} in float64"
    if fast != accurate:
        text += f'; "accurate" {accurate[0]:g} and {accurate[1]:g}'
    zero = limits.zero_crossing(kernel, "float64", precision="fast", isa="v3")
    if zero is not None:
        where = "beta x" if kernel.startswith("swish") else "x"
        text += f". Within {(zero.high - zero.low) / 2:g} of the zero at {where} = {(zero.high + zero.low) / 2:.4g} "
        text += f"the absolute error is at most {zero.bound / 2.0**-52:g} eps"
    return text


def paragraph(function: str) -> str | None:
    """Return the paragraph on errors for the docstring of a public function; None if it belongs to another function."""
    if function not in KERNELS:
        return None
    text = f"Error: {sentence(function)}."
    name = function.removesuffix("_backward")
    if name in OTHERS:
        other, when = OTHERS[name]
        text += f" {when}: {sentence(other + function[len(name) :])}."
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 5 > WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else f"    {word}"
    return "\n".join(lines)


def with_docstrings(source: str) -> str:
    """Return the source of a family of functions with current paragraphs."""
    pieces = re.split(r"(?m)^(?=def )", source)
    for index, piece in enumerate(pieces):
        name = re.match(r"def (\w+)\(", piece)
        stated = paragraph(name.group(1)) if name else None
        if stated is not None:
            bare = re.sub(r"(?ms)^    Error: .*?\n\n", "", piece, count=1)
            pieces[index] = re.sub(r"\n(?=    \w+\n    -{3,}\n)", f"\n{stated}\n\n", bare, count=1)
    return "".join(pieces)


def comment(kernel: str, *, hilo: bool) -> str:
    """Return the comment above a body; empty if the formula rounds once."""
    if hilo:
        return f"/* ULP: {bound(kernel, 'float64', 'accurate'):g} */\n"
    found = [bound(kernel, "float32"), bound(kernel, "float64"), bound(kernel, "float64", isa="base")]
    if found == [0.5] * 3:
        return ""
    return "/* ULP: lean {:g}, full {:g}, full without FMA {:g} */\n".format(*found)


def with_comments(source: str) -> str:
    """Return the source of a family of bodies, the plain ones and after #else those in pairs, with current comments."""

    def state(match: re.Match[str]) -> str:
        kernel = re.sub(r"_from_output$", "_backward_from_output", match.group("name"))
        body = match.group("body")
        hilo = match.start() > source.find("\n#else /* the same formulas") > 0
        return comment(kernel, hilo=hilo) + body if kernel in KERNELS else body

    return re.sub(r"(?m)^(?:/\* ULP: .* \*/\n)?(?P<body>BODY FN\((?P<name>\w+)\)\()", state, source)


def stated() -> dict[Path, str]:
    """Return the current text of every file that states limits."""
    files = {path: with_docstrings(path.read_text()) for path in sorted((PACKAGE / "activations").glob("[!_]*.py"))}
    for path in [PACKAGE / "kernels" / f"{path.stem}.h" for path in files]:
        files[path] = with_comments(path.read_text())
    return files


def main() -> int:
    """Rewrite the files that are out of date."""
    for path, text in stated().items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"{path.relative_to(PACKAGE)}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
