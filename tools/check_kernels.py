"""Compile the kernels and prove from the assembly that every loop is vectorized at full width and calls nothing.

Every loop over elements that ops.def asks for must be there, and have a packed loop with at least half as many
operations as its scalar one, which takes the last elements. A warning is an error, in the kernels and in all other C
that is written by hand.

python tools/check_kernels.py gcc              # the C compiler of this machine: base, v3 and v4
python tools/check_kernels.py clang            # Clang from the package ziglang: v3 and AArch64

Most of the time goes into compiling. `--built build` reads GCC's assembly of a build that kept it:

FASTRELU_BUILD_FLAGS="-Wall -Wextra -Wconversion -Wshadow -Werror -save-temps=obj" pip install .
"""

import argparse
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "src" / "fastrelu" / "kernels"
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="flags")

ARITHMETIC = r"(?:add|sub|mul|div|sqrt|max|min|cmp\w*|and|andn|or|xor|blend\w*|f\w?m\w+)"
# A packed operation on the widest registers; filling an array with NaN needs none.
PACKED = {
    "base": re.compile(rf"^\s+(?:{ARITHMETIC}p[sd]|p(?:cmp|and|or|blend)\w*)\s.*%xmm"),
    "v3": re.compile(rf"^\s+v(?:{ARITHMETIC}p[sd]|p(?:cmp|and|or|blend)\w*)\s.*%ymm"),
    "v4": re.compile(rf"^\s+v(?:{ARITHMETIC}p[sd]|p(?:cmp|and|or|blend|ternlog)\w*)\s.*%zmm"),
    "neon": re.compile(r"^\s+(?:f\w+|bit|bif|bsl|and|orr)\s+v\d+\.(?:4s|2d|16b)"),
}
KERNEL = re.compile(
    r"^_?((?:(?:\w+_(?:scalar|array|rows?|added|multiplied)|pack|select_bits|(?:de)?quantize)_(?:lean|wide|full|hilo)"
    r"|\w+_(?:forward|rough|backward|from_output)_(?:half|bfloat))(?:\.\w+)*):"
)
# Copies the last elements of a row, up to 15, before they are added up; clears the numbers of rows that a band lacks; takes
# the last elements of an array as a tile.
COPIES = {"memcpy", "memcpy@PLT", "memset", "memset@PLT", "fr_finish_tile"}
# For rows whose largest element is infinite; the search for the threshold of a row of sparsemax.
RARE = re.compile(r"_?(?:limits?_of|write_limit|write_rare|infinite_sum|add_candidate|(?:long_)?levels?_of)_")
# Copies, once for each fold, the lines that are left and what columns share with their rows.
ONCE = re.compile(r"_?(?:fold_(?:fill|end|spread)_|fr_fold_rows)")
# A copy.
PLAIN = re.compile(r"_?identity_forward")
# Where the loops are: in a kernel that is called, and checked itself.
LOOP_OF = {"scale_slope_row": "dot_select_row", "scale_slope_tile_row": "columns_dot_select_row"}
SCALAR = re.compile(rf"^\s+(?:v?(?:{ARITHMETIC}s[sd]|u?comis[sd])\s|f\w+\s+[sd]\d)")
LABEL = re.compile(r"^(\.L\w+):")
BRANCH = re.compile(r"^\s+(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:.*\s)?(\.L\w+)$")
LEAVE = re.compile(r"^\s+(?:jmpq?|b|br|retq?)(?:\s|$)")
CALL = re.compile(r"^\s+(?:callq?|bl)\s+(?!\*)(\S+)")
# To another kernel, which has the same instructions.
JUMP = re.compile(r"^\s+(?:j\w+|b(?:\.\w+)?)\s+_?(\w+(?:\.\w+)*)$")

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SOURCES = [path for path in [*KERNELS.glob("*.c"), *KERNELS.parent.glob("[pt]*.c")] if not path.name.startswith("isa_")]
PROGRAMS = [*ROOT.glob("tools/*.c"), *ROOT.glob("benchmarks/*.c")]
# Cython's output includes them, and uses what nothing uses here. The last one needs Python's headers, which fit the
# processor of this machine alone.
HEADERS = '#include "packed_drive.h"\n#include "stats_drive.h"\n'
PYTHON_HEADERS = '#include "rows_ufunc.h"\n'

# ziglang hands on -c beside -S
CLANG = [sys.executable, "-m", "ziglang", "cc", "-Wno-unused-command-line-argument"]
JOBS = {
    "gcc": [
        (["cc", *SETUP["ISA"][isa]["unix"], *SETUP["TUNED"].get(isa, [])], isa, isa) for isa in ("base", "v3", "v4")
    ],
    "clang": [
        ([*CLANG, "-target", "x86_64-linux-musl", "-mcpu=x86_64_v3"], "v3", "v3"),
        ([*CLANG, "-target", "aarch64-linux-musl"], "base", "neon"),
    ],
}


def accepted(compiler: list[str], flags: list[str], directory: Path) -> list[str]:
    """Return the flags that the compiler accepts, as the build does."""
    probe = directory / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = [*compiler, "-Werror", "-c", str(probe), "-o", str(directory / "probe.o")]
    return [
        flag for flag in flags if subprocess.run([*command, flag], capture_output=True, check=False).returncode == 0
    ]


def compiled(command: list[str], *more: str, **options: Any) -> bool:
    """Run a compiler; return whether there was neither an error nor a warning."""
    return subprocess.run([*command, *WARNINGS, *more], check=False, **options).returncode == 0


def rest_compiled(compiler: list[str], directory: Path) -> bool:
    """Compile all C but the kernels; return whether there was neither an error nor a warning."""
    shutil.copy(subprocess.check_output(["cc", "-print-file-name=include/omp.h"], text=True).strip(), directory)
    headers = directory / "headers.c"
    headers.write_text(HEADERS + PYTHON_HEADERS if compiler[0] == "cc" else HEADERS)
    folders = [f"-isystem{path}" for path in (directory, sysconfig.get_path("include"), np.get_include())]
    command = [*compiler, "-O1", "-std=c11", "-fopenmp", f"-I{KERNELS}", *folders]
    # ziglang does not know -fsyntax-only; some programs need GCC's libraries
    more = ["-fsyntax-only", *PROGRAMS, KERNELS / "isa_base.c"] if compiler[0] == "cc" else ["-c"]
    sources = map(str, [*more, *SOURCES, headers])
    return compiled(command, "-Wno-unused-function", *sources, cwd=directory)


def functions(assembly: str) -> dict[str, list[str]]:
    """Return the instructions of every kernel."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in assembly.splitlines():
        match = KERNEL.match(line)
        if match:
            current = found.setdefault(match[1], [])
        elif re.match(r"^[A-Za-z_]\w*:", line) or line.lstrip().startswith(".size"):
            current = None
        elif current is not None:
            current.append(line)
    for alias, other in re.findall(r"^\s+\.set\s+_?([\w.]+),\s*_?([\w.]+)$", assembly, re.MULTILINE):
        if other in found:  # GCC keeps one of two kernels with the same instructions
            found[alias] = found[other]
    return found


def from_build(folder: Path, isa: str) -> str:
    """Return the assembly of the kernels that a build has kept; it must have had the warnings."""
    files = list(folder.glob(f"temp.*/**/isa_{isa}.s"))
    if len(files) != 1:
        raise SystemExit(f"{folder} holds {len(files)} builds with the assembly of isa_{isa}.c")
    made_by = files[0].with_suffix(".o.txt").read_text()
    if missing := [flag for flag in WARNINGS if f"'{flag}'" not in made_by]:
        raise SystemExit(f"{files[0]} was compiled without {' '.join(missing)}")
    return files[0].read_text()


def elements_alone(command: list[str], source: str) -> tuple[str, set[str]]:
    """Return preprocessed C that has the loops over elements alone, and their names: the table that ops.def becomes."""
    text = subprocess.check_output([*command, "-E", "-P", source], text=True)
    table = re.search(r"fr_op_table\b.*?;", text, re.DOTALL)
    if table is None:
        raise SystemExit(f"{source} has no fr_op_table")
    names = re.findall(r"\w+_(?:lean|wide|full|hilo|half|bfloat)\b", table[0])
    return f"{text[: table.end()]}\nconst void *const fr_kept = fr_op_table;\n", set(names)


def loops(lines: list[str]) -> list[list[str]]:
    """Return the instructions of each loop of a function, without those of loops inside it."""
    blocks: list[list[str]] = [[]]
    at = {}
    for line in lines:
        if label := LABEL.match(line):
            blocks.append([])
            at[label[1]] = len(blocks) - 1
        else:
            blocks[-1].append(line)
            if BRANCH.match(line) or LEAVE.match(line):
                blocks.append([])
    after: list[set[int]] = [set() for _ in blocks]
    for index, block in enumerate(blocks):
        last = block[-1] if block else ""
        if (branch := BRANCH.match(last)) and branch[1] in at:
            after[index].add(at[branch[1]])
        if not LEAVE.match(last) and index + 1 < len(blocks):
            after[index].add(index + 1)
    before = [{other for other, then in enumerate(after) if index in then} for index in range(len(blocks))]
    live = reached(0, after)
    bodies: dict[int, set[int]] = {}
    for head in live:
        for tail in (before[head] & live) - reached(0, after, without=head):  # every way to it leads through the head
            bodies.setdefault(head, {head}).update(reached(tail, before, without=head))
    own = []
    for head, body in bodies.items():
        inner = [bodies[other] for other in body - {head} if other in bodies]
        own.append([line for index in sorted(body.difference(*inner)) for line in blocks[index]])
    return own


def reached(start: int, edges: list[set[int]], *, without: int | None = None) -> set[int]:
    """Return the blocks that can be reached from one, not through `without`."""
    found = {start} - {without}
    todo = list(found)
    while todo:
        new = edges[todo.pop()] - found - {without}
        found |= new
        todo += new
    return found


def vectorized(lines: list[str], packed: re.Pattern[str], *, elements: bool) -> bool:
    """Whether a kernel has packed operations; as a loop over elements, enough of them in one of its loops."""
    if not elements:
        return any(packed.match(line) for line in lines)
    parts = loops(lines)
    wide = max((sum(bool(packed.match(line)) for line in part) for part in parts), default=0)
    single = max((sum(bool(SCALAR.match(line)) for line in part) for part in parts), default=0)
    return wide > 0 and 2 * wide >= single


def complaints(name: str, lines: list[str], packed: re.Pattern[str], checked: set[str], *, elements: bool) -> list[str]:
    """Return the faults of one kernel, which may call others that are checked too."""
    calls = [match[1] for line in lines if (match := CALL.match(line))]
    allowed = checked | COPIES
    found = [
        f"{name} calls {called}"
        for called in calls
        if called.removeprefix("_") not in allowed and not RARE.match(called) and not ONCE.match(called)
    ]
    same = any((match := JUMP.match(line)) and match[1] in checked for line in lines)
    base, _, kind = name.rpartition("_")
    own = checked & {called.removeprefix("_") for called in calls}
    same |= f"{LOOP_OF.get(base)}_{kind}" in {called.partition(".")[0] for called in own}
    if not (same or PLAIN.match(name) or vectorized(lines, packed, elements=elements)):
        found.append(f"{name} is not vectorized")
    return found


def main() -> int:
    """Check the kernels of each given compiler; the exit status is 1 if any loop fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compilers", nargs="+", choices=JOBS)
    parser.add_argument("--built", type=Path, metavar="FOLDER", help="read GCC's assembly here")
    options = parser.parse_args()
    failed = 0
    processors = set()  # whose other C is compiled
    with tempfile.TemporaryDirectory() as folder:
        for compiler, isa, width in [job for name in options.compilers for job in JOBS[name]]:
            flags = accepted(compiler, SETUP["UNIX"], Path(folder))
            output = Path(folder, "kernels.s")
            command, source = [*compiler, *flags], str(KERNELS / f"isa_{isa}.c")
            processor = tuple(part for part in compiler if not re.match("-m.*=", part))
            if processor not in processors:
                processors.add(processor)
                failed += not rest_compiled([*processor], Path(folder))
            alone, elements = elements_alone(command, source)
            if options.built and compiler[0] == "cc":
                output.write_text(from_build(options.built, isa))
            elif width == "base":  # what was compiled for warnings is not compiled whole once more
                subprocess.run([*command, "-w", "-S", "-xc", "-", "-o", output], input=alone, text=True, check=True)
            elif not compiled([*command, "-S", source, "-o", str(output)]):
                failed += 1
                continue
            kernels = functions(output.read_text())
            if width == "base":
                kernels = {name: lines for name, lines in kernels.items() if name in elements}
            wrong = [f"{name} is missing" for name in sorted(elements - set(kernels))]
            for name, lines in kernels.items():
                wrong += complaints(name, lines, PACKED[width], set(kernels), elements=name in elements)
            maker = "clang" if compiler[0] == CLANG[0] else compiler[0]
            print(f"{maker} {width}: {len(kernels)} loops, {len(wrong)} complaints")
            print("".join(f"  {text}\n" for text in wrong), end="")
            failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
