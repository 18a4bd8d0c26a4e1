"""Every example in the docstrings and in the documents runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import fastrelu as fr

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.rst")]
)
MODULES = ["fastrelu", *(found.name for found in pkgutil.walk_packages(fr.__path__, "fastrelu."))]


def examples_of(name: str) -> list[doctest.DocTest]:
    """Return the docstrings of a module that hold examples."""
    if name.endswith("__main__"):
        return []
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module, name) if test.examples]


def run(test: doctest.DocTest) -> None:
    """Run examples as a user would, and show what differs."""
    report: list[str] = []
    with np.printoptions(legacy=False):
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize(
    "example", [test for name in MODULES for test in examples_of(name)], ids=lambda example: str(example.name)
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    """What a document links to inside the checkout is there."""
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert not missing, f"{path.name} links to {', '.join(missing)}"


def test_every_function_has_an_example() -> None:
    """No public function goes without a runnable example."""
    shown = {test.name.rpartition(".")[2] for name in MODULES for test in examples_of(name)}
    functions = {name for name in vars(fr)["__all__"] if callable(getattr(fr, name))}
    assert functions <= shown, f"no example: {', '.join(sorted(functions - shown))}"
