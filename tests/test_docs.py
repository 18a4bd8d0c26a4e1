"""Every example in the docstrings and in the documents runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastrelu as fr
from fastrelu._cli.main import _parser, main

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
FENCED = re.compile(r"^( *)(`{3,})(\S*)[^\n]*\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
# What a fence may hold besides Python: commands with their output, which are run here; commands for a reader, which
# .ci/run takes from the README; what no program reads; and the directives of the site, which are run when it is built.
LANGUAGES = {"python", "console", "sh", "text"}
NAMES = ["fastrelu", *(found.name for found in pkgutil.walk_packages(fr.__path__, "fastrelu."))]
# All are imported before doctest iterates over the package, to which a module adds itself when it is imported.
MODULES = [importlib.import_module(name) for name in NAMES if not name.endswith("__main__")]


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    """Return the docstrings of a module that hold examples."""
    found = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
    return [test for test in found if test.examples]


def run(test: doctest.DocTest) -> None:
    """Run examples as a user would, and show what differs."""
    report: list[str] = []
    with np.printoptions(legacy=False):
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize(
    "example", [test for module in MODULES for test in examples_of(module)], ids=lambda example: str(example.name)
)
def test_docstring(example: doctest.DocTest) -> None:
    """The examples of a docstring, whatever other tests did before."""
    run(example)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document(path: Path) -> None:
    """The examples of a document, in one session from top to bottom; a fence ends the output before it."""
    assert path.exists(), f"{path.name} is missing at the top of the checkout"
    text = re.sub(r"^ *```.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    run(doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0))


def blocks(path: Path) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a document."""
    return [(language, text) for _, _, language, text in FENCED.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_is_run(path: Path) -> None:
    """A block of Python has prompts, so that it is an example; no block has a language that nothing runs."""
    for language, text in blocks(path):
        assert language[:1] == "{" or language in LANGUAGES, f"{path.name}: {language!r} in\n{text}"
        assert language != "python" or text.startswith(">>> "), f"{path.name}: no example, so nothing runs it:\n{text}"


@pytest.mark.parametrize(
    ("path", "text"),
    [(path, text) for path in DOCUMENTS for language, text in blocks(path) if language == "console"],
    ids=lambda part: part.stem if isinstance(part, Path) else part.partition("\n")[0],
)
def test_commands(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of a document print what it says."""
    for line, wanted in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        name, *arguments = shlex.split(line.removeprefix("python -m "))
        assert name == "fastrelu", f"{path.name}: nothing runs {line!r}"
        assert main(arguments) == 0
        got = capsys.readouterr().out
        assert doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS), f"{path.name}: {line}\n{got}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_for_a_reader(path: Path) -> None:
    """Programs of the checkout, commands of the library, and their options are there."""
    text = "\n".join(text for language, text in blocks(path) if language == "sh")
    for command in re.split(r"\n|&&|#.*", text):
        program = re.search(r"(?:^|bin/|-m )fastrelu (\w.*)|((?:\w+/)+\w+\.py)(.*)", command.strip())
        if program and program[1]:
            _parser().parse_args(shlex.split(program[1]))
        elif program:
            source = (ROOT / program[2]).read_text(encoding="utf-8")
            missing = {option for option in re.findall(r"--[\w-]+", program[3]) if f'"{option}"' not in source}
            assert not missing, f"{path.name}: {program[2]} has no {', '.join(missing)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    """What a document links to inside the checkout is there."""
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert not missing, f"{path.name} links to {', '.join(missing)}"


def test_every_function_has_an_example() -> None:
    """No public function goes without a runnable example."""
    shown = {test.name.rpartition(".")[2] for module in MODULES for test in examples_of(module)}
    functions = {name for name in vars(fr)["__all__"] if callable(getattr(fr, name))}
    assert functions <= shown, f"no example: {', '.join(sorted(functions - shown))}"
