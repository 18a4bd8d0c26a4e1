"""Fail if a C name of the library is defined in two places: python tools/check_names.py.

Types, functions, macros and enumerators of all C files under ``src/fastrelu``. A macro that its file undefines again is
local to it; alternatives of one file, chosen by ``#if``, are one definition. Feature macros for the
system, and the name of an instruction set, do not count.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

EXEMPT = {"_GNU_SOURCE", "FR_ISA"}
PACKAGE = Path(__file__).parents[1] / "src" / "fastrelu"
MACRO = re.compile(r"^# *define (\w+)", re.MULTILINE)
LOCAL = re.compile(r"^# *undef (\w+)", re.MULTILINE)
ENUMERATORS = re.compile(r"\benum(?: \w+)? *\{(.*?)\}", re.DOTALL)
STRUCT = re.compile(r"^(?:typedef )?(?:struct|union) (\w+) *\{", re.MULTILINE)
TYPE = re.compile(r"^\}(?: __attribute__\(.*\))? (\w+);|^typedef .*?\(\*(\w+)\)\(|^typedef [\w ]+?(\w+);", re.MULTILINE)
FUNCTION = re.compile(
    r"^(?!#|typedef|return|else)[\w][\w *]*?\b(?:FN\()?(\w+)\)?\([^;{}()]*(?:\([^()]*\)[^;{}()]*)*\)\s*\{", re.MULTILINE
)


def definitions(text: str) -> set[str]:
    """Return the names that a file defines for other files."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    macros = set(MACRO.findall(text)) - set(LOCAL.findall(text))
    text = re.sub(r"^#.*?(?<!\\)$", "", text, flags=re.DOTALL | re.MULTILINE)  # the bodies of macros define nothing
    inside = ",".join(ENUMERATORS.findall(text))
    enumerators = set(re.findall(r"(\w+) *(?:=[^,]*)?(?:,|$)", inside))
    types = {name for names in TYPE.findall(text) for name in names if name}
    forward = set(re.findall(r"^typedef struct (\w+) \1;", text, flags=re.MULTILINE))
    return macros | enumerators | set(STRUCT.findall(text)) | (types - forward) | set(FUNCTION.findall(text))


def main() -> int:
    """Print names that are defined twice."""
    places = defaultdict(list)
    files = sorted(f for f in PACKAGE.rglob("*.[ch]") if not re.match(r"/\* Generated", f.read_text()))
    for file in files:
        for name in definitions(file.read_text()) - EXEMPT:
            places[name].append(file.relative_to(PACKAGE).as_posix())
    twice = {name: where for name, where in places.items() if len(where) > 1}
    for name, where in sorted(twice.items()):
        print(f"{name} is defined in {', '.join(where)}")
    print(f"{len(places)} names in {len(files)} files, {len(twice)} defined twice")
    return 1 if twice else 0


if __name__ == "__main__":
    sys.exit(main())
