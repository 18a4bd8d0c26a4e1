"""Which module imports which: `fastrelu/__init__.py` the library, the command line both, and nothing the other way."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from programs import run_python

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(fr.__file__).parent
FACE = "fastrelu"
SOURCES = Path(__file__).parent.parent / "src" / "fastrelu"  # an installed package has no Cython
CYTHON = {".pyx", ".pxd"}
FILES = {path.relative_to(ROOT).as_posix(): path for path in ROOT.rglob("*") if path.suffix in {".py", ".pyi", *CYTHON}}
INSIDE = {re.split(r"[/.]", name)[0] for name in FILES}

# What the compiled modules of the doors may use of the package: the floor, the kernels, and the reading of operands in
# _core. All of them may use _numpy.pxd, which declares what NumPy's header has.
FLOOR = {
    "_numpy": set(),
    "_loops": set(),
    "_runtime": {"_host"},
    "_kernels": {"_runtime"},
    "_core": {"_runtime", "_kernels", "_foreign"},  # _foreign finds the message of an error
    "_steps": {"_runtime", "_loops"},
    "_read_only": set(),
    "_walk": {"_steps", "_read_only"},  # what a call saves counts with updates, and makes arrays read-only
    "_stats": {"_runtime", "_core"},
    **{name: {"_runtime", "_kernels", "_core"} for name in ("_packed", "_explain")},
    "_quantized": {"_runtime", "_kernels", "_core", "_packed"},
    "_fused": {"_runtime", "_kernels", "_core", "_explain", "_arguments"},
    "_gated": {"_runtime", "_kernels", "_core", "_explain"},
    "_side_by_side": {"_runtime", "_kernels", "_core", "_explain", "_options"},  # _options imports NumPy alone
    "_sums": {"_runtime", "_kernels", "_core", "_foreign", "_arguments"},
    "_arguments": {"_runtime", "_kernels", "_core", "_foreign", "_options"},
    "_losses": {"_runtime", "_kernels", "_core", "_arguments", "_loops"},
    "_row_kernels": {"_runtime", "_kernels", "_core", "_arguments"},
    "_row_halves": {"_runtime", "_kernels", "_arguments", "_row_kernels"},
    "_rows": {"_runtime", "_kernels", "_core", "_arguments", "_row_kernels", "_row_halves", "_explain", "_foreign"},
    "_cross_entropy": {"_runtime", "_kernels", "_arguments", "_row_kernels", "_foreign", "_options"},
    "_logsumexp": {"_runtime", "_kernels", "_arguments", "_row_kernels", "_row_halves", "_rows", "_foreign"},
}
LEAVES = {"_host.py", "_version.py", "_cli/guard.py"}


def imports(text: str, package: str = FACE) -> Iterator[str]:
    """Yield the full names of what a module of a package imports, at its top or anywhere else."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names):  # without "as" it is the first part that gets a name
                yield from (alias.name if alias.asname else alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module, names, level):
                source = importlib.util.resolve_name("." * level + (module or ""), package)
                yield from (f"{source}.{alias.name}" for alias in names)


def imports_of(path: Path) -> set[str]:
    """Return what a file imports."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in CYTHON:  # of which Python can read the lines that import
        lines = re.findall(r"^ *((?:from \S+ )?c?import (?:\([^)]*\)|.*))", text, re.MULTILINE)
        text = "\n".join(line.replace("cimport", "import") for line in lines)
    folder = path.relative_to(SOURCES if path.is_relative_to(SOURCES) else ROOT).parent
    return set(imports(text, ".".join([FACE, *folder.parts])))


def is_the_face(name: str) -> bool:
    """Whether a name is the package itself, or a name in it that is no module."""
    first, _, rest = name.partition(".")
    return first == FACE and rest.partition(".")[0] not in INSIDE


IMPORTED = {name: imports_of(path) for name, path in FILES.items()}


def test_nothing_imports_the_face() -> None:
    """Only the command line imports the package as its users do; other modules import the modules that they need."""
    found = {name for name, imported in IMPORTED.items() if any(map(is_the_face, imported))}
    assert not {name for name in found if not name.startswith("_cli/")}


def test_nothing_imports_the_command_line() -> None:
    """The library does not use the command line; `__init__.py` and `__main__.py` start its guard, no more."""
    found = {name: {i for i in imported if i.startswith(f"{FACE}._cli")} for name, imported in IMPORTED.items()}
    assert {name: used for name, used in found.items() if used and not name.startswith("_cli/")} == {
        "__init__.py": {f"{FACE}._cli.guard"},
        "__main__.py": {f"{FACE}._cli.guard", f"{FACE}._cli.main.main"},
    }


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_leaves_import_the_standard_library_only(name: str) -> None:
    """These modules run while the package is imported or built, before others can be imported."""
    assert {imported.partition(".")[0] for imported in IMPORTED[name]} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", FLOOR)
def test_doors_stand_on_the_floor(name: str) -> None:
    """A compiled module uses only what is below it: no setting, wrapper or document of the library."""
    sources = [SOURCES / f"{name}{suffix}" for suffix in CYTHON if (SOURCES / f"{name}{suffix}").exists()]
    assert sources
    used = set().union(*map(imports_of, sources))
    assert {i.split(".")[1] for i in used if i.startswith(f"{FACE}.")} <= FLOOR[name] | {"_numpy"}


def test_every_compiled_module_is_listed() -> None:
    """A new one stands on the floor too."""
    assert FLOOR.keys() == {path.stem for path in SOURCES.iterdir() if path.suffix in CYTHON}


def test_header_of_numpy_is_declared_once() -> None:
    """Functions of NumPy's arrays in C that several modules use have one declaration."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCES.iterdir() if path.suffix in CYTHON}
    assert {name for name, text in texts.items() if "numpy/arrayobject.h" in text} == {"_numpy.pxd"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((f"def f(): {line}", True) for line in ("import fastrelu", "import fastrelu as fr", "import fastrelu.nn")),
        *((f"from {source} import relu", True) for source in ("fastrelu", "..")),
        *((f"from {source} import *", True) for source in ("fastrelu", "..")),
        *((f"from {source} import activations", False) for source in ("fastrelu", "..")),
        *((f"from {source} import relu", False) for source in ("fastrelu.activations", "..activations", "fastrelux")),
        ("import fastrelu.activations as a", False),
    ],
)
def test_every_way_to_import_is_seen(text: str, expected: bool) -> None:
    """Imports of the package itself, and of names that are no modules, are recognized."""
    assert any(map(is_the_face, imports(text, "fastrelu.nn"))) is expected


# What `import fastrelu` loads beyond NumPy, all of it for the first call; a layer, a tool or a document is loaded by the
# first that asks for it.
LOADED = re.compile(
    r"""fastrelu(\.(_arguments|_blocks|_core|_cross_entropy|_entries|_explain|_foreign|_fused|_gated|_host|_kernels|_later|_logsumexp|_losses|_options|_row_halves|_row_kernels|_rows|_runtime|_side_by_side|_sums|_typing|_version|along_axis|explanation|gated_units|limits|losses
        |runtime|activations(\.\w+)?|ufuncs(\.\w+)?))?
    |resource|__future__|_cython_\w+|cython_runtime|numpy\.typing|numpy\._typing\.\w+""",
    re.VERBOSE,
)


def test_what_an_import_loads() -> None:
    """A program that computes activations pays for no layer, no random numbers and nothing that only tools need."""
    code = "import sys, numpy; before = set(sys.modules); import fastrelu; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = run.stdout.split()
    assert "fastrelu.activations.gated" in loaded
    assert not [name for name in loaded if not LOADED.fullmatch(name)]


def test_what_is_loaded_later_is_there() -> None:
    """Names that are loaded when they are asked for are listed, are found once, and others are still an error."""
    code = (
        "import sys, fastrelu as fr; from fastrelu import nn; assert {*fr.__all__} <= {*dir(fr)}; before = fr.nn;"
        "assert 'fastrelu.nn' not in sys.modules; assert before.Linear is nn.Linear is sys.modules['fastrelu.nn'].Linear;"
        "assert fr.nn is sys.modules['fastrelu.nn']; assert dir(nn) == dir(fr.nn) and vars(nn) is vars(fr.nn);"
        "nn.mine = 1; assert fr.nn.mine == 1; del nn.mine; assert not hasattr(fr.nn, 'mine'); assert repr(nn) == repr(fr.nn);"
        "assert '__getattr__' not in vars(fr), 'attributes would not be specialized'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="module 'fastrelu' has no attribute 'gelo'"):
        fr.gelo  # type: ignore[attr-defined]  # noqa: B018  the access is the test


def test_calls_import_nothing() -> None:
    """No call imports a module: a child that is forked meanwhile would wait forever for the lock of the import."""
    code = """
import sys
import numpy as np
import fastrelu as fr
from cases import CASES
from fastrelu import _runtime, fused, nn
model = nn.Sequential(nn.Linear(1024, 64, rng=0), nn.ReLU(), nn.Dropout(), nn.Linear(64, 2, rng=0))
rows, bias_act = np.ones((2048, 1024), "f4"), fused.bias_act
calls = [(case, case.data(size, "f4")) for case in CASES for size in (3, max(_runtime.waking_from))]
before = {*sys.modules}
for case, data in calls:
    case(*data)
for x in (rows, rows[:2, :3], rows.T, rows[::-1].astype("f2"), rows.astype(">f8")):
    fr.softmax_backward_from_output(x, fr.softmax(x)), fr.softmax(x, axis=0, out=x.copy()), fr.logsumexp(x, axis=0)
    fr.glu(x[:, :2]), fr.cross_entropy(x, np.zeros(len(x), int)), bias_act(x, x[0], "gelu")
    fr.relu(x, out=x.copy(), where=x > 0), fr.relu_(x.copy())
model(rows), model.backward(np.ones((2048, 2), "f4")), model.eval()(rows), model(rows)
print(*({*sys.modules} - before))
"""
    assert run_python(code) == "\n"


def test_no_module_is_added_to_the_package() -> None:
    """What is imported later has its place: use does not change the size of `vars(fastrelu)`, which may be iterated over."""
    code = (
        "import importlib, pkgutil, fastrelu as fr; from fastrelu._later import Later; before = [*vars(fr)]\n"
        "for name in vars(fr): getattr(getattr(fr, name), '__doc__', None)\n"  # imports each
        "found = [m.name for m in pkgutil.walk_packages(fr.__path__, 'fastrelu.')]\n"  # imports the command line
        "modules = [importlib.import_module(m) for m in found if '_cli' not in m and m != 'fastrelu.__main__']\n"
        "assert [*vars(fr)] in (before, [*before, '_cli']), {*vars(fr)} - {*before}\n"
        "assert not [(m, n) for m in modules for n, v in vars(m).items() if type(v) is Later]"  # but modules themselves
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
