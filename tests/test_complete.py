"""Nothing is missing and nothing is superfluous: kernels, rows, functions, layers, docstrings and documents agree."""

from __future__ import annotations

import inspect
import json
import operator
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case, kernels
from grid import DTYPES, ISAS, PRECISIONS
from specs import BACKWARD, FORWARD, FROM_OUTPUT, SPECS, Spec
from test_nn import LAYERS

import fastrelu as fr
from fastrelu import (
    _kernels,
    _runtime,
    _version,
    activations,
    along_axis,
    diagnostics,
    gated_units,
    losses,
    nn,
    optim,
    runtime,
)

if TYPE_CHECKING:
    from collections.abc import Callable


ROOT = Path(__file__).parent.parent

# Functions that have no kernel of their own, with the directions they have, in place or not.
COMPOSED = {
    "prelu": ["prelu", "prelu_", "prelu_backward", "prelu_backward_from_output", "prelu_backward_parameters"],
    "rrelu": ["rrelu", "rrelu_"],
    "crelu": ["crelu", "crelu_backward", "crelu_backward_from_output"],
}
ELEMENTWISE = {spec.public or name for name, spec in SPECS.items()}
FUNCTIONS = sorted(activations.__all__)


def read(name: str) -> str:
    """Return a document from the top of the checkout."""
    path = ROOT / name
    assert path.exists(), f"{name} is missing at the top of the checkout"
    return path.read_text(encoding="utf-8")


def difference(found: set[str], wanted: set[str]) -> str:
    """Return what is missing and what is superfluous, for a message."""
    return f"missing: {sorted(wanted - found)}, left over: {sorted(found - wanted)}"


# --- Kernels, rows, ufuncs ----------------------------------------------------------------------------------------


def test_every_kernel_has_a_row() -> None:
    """ops.def and tests/specs.py list the same activations, with the same directions."""
    found, wanted = {case.name for case in CASES}, {name for _, _, name in _kernels.kernel_names()}
    assert found == wanted, f"rows of tests/specs.py, {difference(found, wanted)}"


def test_row_is_complete(spec: Spec) -> None:
    """A row has a usual set of parameters, as many as the kernel takes, and says so for the kinks too."""
    for direction in spec.directions:
        kernel = kernels(ISAS[0])[spec.kernel(direction)]
        data = (("x",), ("grad", "x"), ("grad", "y"))[direction]
        assert kernel.operands[: len(data)] == data
        assert spec.grid(direction), "no parameters in the domain"
        for params in (*spec.params, *spec.outside(direction)):
            assert len(params) == len(kernel.operands) - len(data), f"{kernel.name} takes {kernel.operands}"
    if spec.kink_derivatives:
        assert len(spec.kink_derivatives) == len(spec.kinks(*spec.params[0]))


@pytest.mark.parametrize("isa", _runtime.isa_available)
def test_every_instruction_set_has_every_kernel(isa: str) -> None:
    """The table of each instruction set holds the whole list."""
    assert set(kernels(isa)) == {name for _, _, name in _kernels.kernel_names()}


def test_every_instruction_set_has_its_places() -> None:
    """One file each; flags in setup.py, four places in cpu.c, and patterns of packed instructions in check_kernels.py."""
    folder = ROOT / "src" / "fastrelu" / "kernels"
    files = {path.stem.removeprefix("isa_"): path.read_text(encoding="utf-8") for path in folder.glob("isa_*.c")}
    cpu, above = read("src/fastrelu/kernels/cpu.c"), set(files) - {"base"}
    for name, text in files.items():
        assert f"#define FR_ISA {name}\n" in text
    places = {
        "ISA in setup.py": (re.findall(r'^    "(\w+)": {"unix"', read("setup.py"), re.MULTILINE), set(files)),
        "extern in cpu.c": (re.findall(r"^extern const fr_tables fr_tables_(\w+);", cpu, re.MULTILINE), set(files)),
        "#ifdef in cpu.c": (re.findall(r"^#ifdef FR_HAVE_(\w+)", cpu, re.MULTILINE), {name.upper() for name in above}),
        "list in cpu.c": (re.findall(r'{"(\w+)", (?:FR_|&fr_tables)', cpu), {*files, "neon"}),
        "PACKED in check_kernels.py": (
            re.findall(r'^    "(\w+)": re.compile', read("tools/check_kernels.py"), re.MULTILINE),
            {*files, "neon"},
        ),
    }
    for place, (names, wanted) in places.items():
        found = set(names)
        assert found == wanted, f"{place}, {difference(found, wanted)}"
    assert set(_runtime.isa_known) in (set(files), {"base"}, {"neon"}), "fr_isa_list counts another number of them"


def test_every_kernel_is_published() -> None:
    """Errors and bits of each kernel have been measured and published (tools/verify.py --function NAME --write)."""
    wanted = {name for _, _, name in _kernels.kernel_names()}
    errors = {row["kernel"] for row in json.loads(read("docs/accuracy.json"))["rows"]}
    bits = set(json.loads(read("src/fastrelu/hashes.json"))["kernels"])
    assert errors == wanted, f"docs/accuracy.json, {difference(errors, wanted)}"
    assert bits == wanted, f"src/fastrelu/hashes.json, {difference(bits, wanted)}"


def test_plain_pytest_runs_every_test_of_every_function() -> None:
    """Plain pytest skips places of the grid, but each place is run for some function."""

    def collected(*options: str) -> set[str]:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        return {line for line in done.stdout.splitlines() if "::" in line}

    files = ("tests/test_gradients.py", "tests/test_parameters.py")
    everything, plain = collected(*files, "-m", ""), collected(*files)
    axes = [ISAS, tuple(map(str, DTYPES)), PRECISIONS]
    places = re.compile("|".join(rf"(?<=[-\[]){name}(?=[-\]])" for axis in axes for name in axis))
    assert plain < everything
    assert {places.sub("", name) for name in plain} == {places.sub("", name) for name in everything}
    assert len({tuple(places.findall(name)) for name in plain if "test_product" in name}) == np.prod([*map(len, axes)])


# --- Public functions ---------------------------------------------------------------------------------------------


def test_every_kernel_has_its_functions() -> None:
    """A function, its in-place form and its gradients exist if and only if the kernels do."""
    wanted = {name for names in COMPOSED.values() for name in names}
    for spec in SPECS.values():
        wanted |= {spec.public_name(direction) for direction in spec.directions}
        wanted.add(f"{spec.public or spec.name}_")
    wanted |= {f"{name}_backward_parameters" for name in runtime.learned}
    assert set(FUNCTIONS) == wanted, difference(set(FUNCTIONS), wanted)


def test_exports() -> None:
    """The package exports what its modules do, once each, and every name is there."""
    exported = vars(fr)["__all__"]
    names = {
        "Explanation",
        "__version__",
        "conventions",
        "error_bound",
        "explain",
        "fused",
        "masks",
        "nn",
        "optim",
        "quantized",
        "ufuncs",
    }
    wanted = {
        *names,
        *activations.__all__,
        *along_axis.__all__,
        *gated_units.__all__,
        *losses.__all__,
        *runtime.__all__,
    }
    assert set(exported) == wanted, difference(set(exported), wanted)
    assert len(exported) == len(wanted)
    missing = [name for name in exported if not hasattr(fr, name)]
    assert not missing, f"exported and absent (does fastrelu/__init__.py lack a family?): {missing}"


def plain(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Return name, kind and default of all parameters."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD = inspect.Parameter.KEYWORD_ONLY
OUT, WHERE = ("out", KEYWORD, None), ("where", KEYWORD, True)


def middle(case: Case, signature: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Return the parameters proper: those of the kernel, with the usual values where they have defaults."""
    names = runtime.kernels[case.name].operands[case.ndata :]
    given = {name: default for name, _, default in signature}
    usual = {
        n: value if given.get(n, value) is not None else None
        for n, value in zip(names, case.spec.params[0], strict=True)
    }
    has_default = {name for name in names if given.get(name, inspect.Parameter.empty) is not inspect.Parameter.empty}
    found = [(n, POSITIONAL, usual[n] if n in has_default else inspect.Parameter.empty) for n in names]
    return found + [
        (name, POSITIONAL, value)
        for name, value in SPECS[case.spec.public or case.spec.name].keywords
        if name not in names
    ]


def test_signature(case: Case) -> None:
    """f(x, <parameters>, *, out=None, where=True), and the same with grad in front of x or y."""
    found = plain(getattr(fr, case.public_name))
    data = [(n, POSITIONAL, inspect.Parameter.empty) for n in runtime.kernels[case.name].operands[: case.ndata]]
    assert found == [*data, *middle(case, found), OUT, WHERE]


def test_signature_in_place(spec: Spec) -> None:
    """f_(x, <parameters>, *, where=True)."""
    found = plain(getattr(fr, f"{spec.public or spec.name}_"))
    wanted = middle(Case(spec, FORWARD), found)
    assert found == [("x", POSITIONAL, inspect.Parameter.empty), *wanted, WHERE]


def test_defaults_agree(spec: Spec) -> None:
    """All forms of a function have the same defaults, and they are those of the first row of its grid."""
    forms = [getattr(fr, spec.public_name(d)) for d in spec.directions] + [getattr(fr, f"{spec.public or spec.name}_")]
    names = runtime.kernels[spec.name].operands[1:]
    defaults = [[d for n, _, d in plain(form) if n in names] for form in forms]
    assert all(found == defaults[0] for found in defaults)
    if inspect.Parameter.empty not in defaults[0]:
        x = np.linspace(-3, 3, 7)
        np.testing.assert_array_equal(spec.function(FORWARD)(x), spec.function(FORWARD)(x, *spec.params[0]))
        grad = np.ones(7)
        default = spec.function(BACKWARD)(grad, x)
        np.testing.assert_array_equal(default, spec.function(BACKWARD)(grad, x, *spec.params[0]))


def test_unknown_form() -> None:
    """Where a keyword selects the kernel, any other word is an error."""
    words = {name: dict(spec.keywords) for name, spec in SPECS.items() if not spec.public}
    chosen = [(name, key) for name, row in words.items() for key, value in row.items() if isinstance(value, str)]
    for name, keyword in chosen:
        for form, data in ((name, 1), (f"{name}_", 1), (f"{name}_backward", 2)):
            with pytest.raises(ValueError, match=keyword):
                getattr(fr, form)(*[np.ones(2)] * data, **{keyword: "exact"})


def test_every_function_has_a_layer() -> None:
    """Each activation has a layer among those that tests/test_nn.py tries, with its learned parameters."""

    def names(layers: list[nn.Module]) -> set[str]:
        return {getattr(layer, "_name", "") or type(layer).__name__.lower() for layer in layers}

    missing = (ELEMENTWISE | set(COMPOSED)) - names(LAYERS)
    assert not missing, f"no layer in LAYERS of tests/test_nn.py for {', '.join(sorted(missing))}"
    learned = {name.removesuffix("_backward_parameters") for name in FUNCTIONS if name.endswith("_parameters")}
    # The slope of leaky_relu is learned by the layer of prelu.
    missing = learned - {"leaky_relu"} - names([layer for layer in LAYERS if [*layer.parameters()]])
    assert not missing, f"no layer in LAYERS of tests/test_nn.py learns the parameters of {', '.join(sorted(missing))}"


# --- Docstrings ---------------------------------------------------------------------------------------------------

SECTIONS = ["Parameters", "Returns", "Yields", "Raises", "See Also", "Notes", "References", "Examples"]


def sections(text: str) -> list[str]:
    """Return the underlined headings of a docstring."""
    return re.findall(r"^(\w[\w ]*)\n-{3,}$", text, re.MULTILINE)


def documented(text: str) -> list[str]:
    """Return the names in the section Parameters."""
    body = text.split("Parameters\n----------\n")[1].split("\n\n", maxsplit=1)[0]
    return [name for line in re.findall(r"^(\w[\w, ]*) :", body, re.MULTILINE) for name in line.split(", ")]


# Forms of a function, whose docstrings say what differs from it in at most this many lines.
SHORT = {"_backward_parameters": 30, "_backward_from_output": 20, "_backward": 20, "_value_and_grad": 20, "_": 8}


@pytest.mark.parametrize("name", sorted([*FUNCTIONS, *along_axis.__all__, *gated_units.__all__, *losses.__all__]))
def test_docstring(name: str) -> None:
    """A function has numpydoc sections in order, every parameter and an example; its forms are short."""
    function = getattr(fr, name)
    text = inspect.getdoc(function) or ""
    first, found = text.splitlines()[0], sections(text)
    assert first.endswith("."), "the first line is a sentence"
    assert set(found) <= set(SECTIONS), f"unknown sections: {set(found) - set(SECTIONS)}"
    assert [s for s in SECTIONS if s in found] == found, f"sections out of order: {found}"
    assert "Examples" in found
    form = next((suffix for suffix in SHORT if name.endswith(suffix)), None)
    if form is not None:
        assert f":func:`{name.removesuffix(form)}`" in first, "the first line names the function"
        assert len(text.splitlines()) <= SHORT[form]
        assert not {"Parameters", "Raises"} & set(found), "the function's own docstring says it"
        assert ("Returns" in found) == inspect.signature(function).return_annotation.startswith("tuple")
    else:
        parameters = [parameter for parameter, _, _ in plain(function)]
        assert {"Parameters", "Returns"} <= set(found), f"only {found}"
        assert documented(text) == parameters
        assert "out" not in parameters or ":mod:`fastrelu.activations`" in text, "no link to the conventions"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_has_an_expression(name: str) -> None:
    """What a user would write in NumPy stands where the benchmarks look for it."""
    composed = {form for names in COMPOSED.values() for form in names}
    if not name.endswith(("_", "_backward_parameters")) and name not in composed:
        text = inspect.getdoc(getattr(fr, name)) or ""
        assert re.search(r"^In (NumPy|SciPy): ``[^`]+``", text, re.MULTILINE), "no line `In NumPy: ...`"


def test_docstring_has_the_domain(spec: Spec) -> None:
    """A function says which parameters it refuses, and the gradient from the output which ones more."""
    text = inspect.getdoc(getattr(fr, spec.public_name(FORWARD))) or ""
    assert not spec.outside(FORWARD) or "\nValueError\n" in text
    if FROM_OUTPUT in spec.directions:
        text = inspect.getdoc(getattr(fr, spec.public_name(FROM_OUTPUT))) or ""
        assert ("; requires ``" in text) == (spec.outside(FROM_OUTPUT) != spec.outside(FORWARD))


@pytest.mark.parametrize("name", ["error_bound", *sorted(runtime.__all__)])
def test_docstring_of_a_setting(name: str) -> None:
    """The settings are documented as functions are."""
    text = inspect.getdoc(getattr(fr, name)) or ""
    found = sections(text)
    assert [s for s in SECTIONS if s in found] == found
    assert "Examples" in found
    if inspect.signature(getattr(fr, name)).parameters:
        assert {"Parameters", "Raises"} <= set(found)
        assert documented(text) == list(inspect.signature(getattr(fr, name)).parameters)


# --- Documents ----------------------------------------------------------------------------------------------------


def test_documents_name_every_function() -> None:
    """The README names all functions, and docs/activations.toml has the formula of each and of each loss."""
    wanted = ELEMENTWISE | set(COMPOSED)
    missing = wanted - set(re.findall(r"`(\w+)`", read("README.md")))
    assert not missing, f"README.md does not name {', '.join(sorted(missing))}"
    rows = tomllib.loads(read("docs/activations.toml"))
    forms = ("_", "_backward", "_backward_from_output", "_backward_parameters", "_value_and_grad")
    wanted |= {
        name for name in (*along_axis.__all__, *gated_units.__all__, *losses.__all__) if not name.endswith(forms)
    }
    wanted |= {f"nn.{name}" for name in vars(nn) if name.endswith("Loss")}
    missing = {name for name in wanted if "formula" not in rows.get(name, {})}
    assert not missing, f"docs/activations.toml has no formula of {', '.join(sorted(missing))}"
    assert all(operator.attrgetter(name)(fr) for name in rows), (
        "docs/activations.toml speaks of functions that are not there"
    )


def test_readme_names_exist() -> None:
    """Whatever the README calls by name is there."""
    missing = [name for name in set(re.findall(r"\bfr\.(\w+)", read("README.md"))) if not hasattr(fr, name)]
    assert not missing, f"README.md speaks of {', '.join(f'fr.{name}' for name in sorted(missing))}"


def test_changelog() -> None:
    """The changelog mentions every function."""
    mentioned = set(re.findall(r"`(\w+)`", read("CHANGELOG.md")))
    missing = (ELEMENTWISE | set(COMPOSED)) - mentioned
    assert not missing, f"CHANGELOG.md does not mention {', '.join(sorted(missing))}"


def test_documents_name_this_version() -> None:
    """The citation and the changelog are those of the version that the build reads."""
    assert f"\nversion: {_version.__version__}\n" in read("CITATION.cff")
    assert f"\n## [{_version.__version__}] - 20" in read("CHANGELOG.md")


def test_annotations_exist_at_run_time() -> None:
    """Tools that read the annotations of what is public, to check types or to write documentation, find every name."""
    read = {}
    for module in (fr, diagnostics, nn, nn.init, nn.utils, optim):
        for name, value in inspect.getmembers(module):
            for key, member in [("", value), *(inspect.getmembers(value) if inspect.isclass(value) else [])]:
                found = getattr(member, "fget", member)  # of a property
                ours = str(getattr(found, "__module__", "")).startswith("fastrelu")
                if ours and (inspect.isclass(found) or inspect.isroutine(found)):
                    read[f"{module.__name__}.{name}.{key}"] = typing.get_type_hints(found)
    assert {f"fastrelu.{name}." for name in FUNCTIONS} <= set(read)
    assert read["fastrelu.relu."]["x"] == np.typing.ArrayLike
    assert read["fastrelu.nn.Module.named_parameters"]
