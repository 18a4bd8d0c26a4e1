"""Writes the sources of the reference to docs/generated: a page for every public name, and a list for each module.

A function shares its page with its in-place form and its gradients. Everything comes from the library, from
docs/activations.toml and from the results of the benchmarks; nothing that is written here is kept in git.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import re
import tomllib
import types
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pictures
import results
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from summary import Summary

import fastrelu as fr
from fastrelu import _kernels
from fastrelu._cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]

SUFFIXES = ("", "_", "_backward", "_backward_from_output", "_backward_parameters", "_value_and_grad")
DTYPES, PRECISIONS = ("float32", "float64"), ("fast", "accurate")
FAMILIES = {
    "activations.rectifiers": "Rectifiers",
    "activations.exponential": "Exponential",
    "activations.sigmoidal": "Sigmoidal",
    "activations.gated": "Gated",
    "activations.shrinkage": "Shrinkage",
    "along_axis": "Along an axis",
    "gated_units": "Gated linear units",
}
SETTINGS = {"runtime", "explanation", "limits"}
# Public, but names of no module that the package exports.
BESIDE = {"fastrelu": ["limits.zero_crossing", "limits.ZeroCrossing"], "fastrelu.nn": ["learnable.Learnable"]}
PEERS = {
    "torch": ("PyTorch", "torch.nn.functional.{}", "https://docs.pytorch.org/docs/stable/generated/{}.html"),
    "jax": ("JAX", "jax.nn.{}", "https://docs.jax.dev/en/latest/_autosummary/{}.html"),
    "keras": ("Keras", "keras.activations.{}", "https://keras.io/api/layers/activations/"),
    "onnx": ("ONNX", "{}", "https://onnx.ai/onnx/operators/onnx__{}.html"),
}


# --- What there is ------------------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, types.ModuleType]:
    """Return the public modules by name: the package, what it exports, and what these export."""
    found = {"fastrelu": fr}
    for name in sorted({*vars(fr)["__all__"], "diagnostics"} - {"conventions"}):  # which has docs/conventions.md
        if name[0] != "_" and _is_module(f"fastrelu.{name}"):
            found[f"fastrelu.{name}"] = module = importlib.import_module(f"fastrelu.{name}")
            inner = (key for key, value in vars(module).items() if isinstance(value, types.ModuleType))
            for key in sorted(inner):
                if vars(module)[key].__name__ == f"fastrelu.{name}.{key}" and _exported(module, key):
                    found[f"fastrelu.{name}.{key}"] = vars(module)[key]
    return found


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _exported(module: types.ModuleType, name: str) -> bool:
    """Whether a module offers a name: it is in its list or, without one, is re-exported under its own name."""
    listed = vars(module).get("__all__")
    if listed is not None:
        return name in listed
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    return f"import {name} as {name}" in source


def names(module: str) -> list[str]:
    """Return the public classes, functions and ufuncs of a module."""
    package = modules()[module]
    listed = vars(package).get("__all__") or [name for name in vars(package) if name[0] != "_"]
    public = {name: getattr(package, name) for name in listed}
    own = {name for name, value in public.items() if not isinstance(value, types.ModuleType) and callable(value)}
    inside = {name for name in own if str(getattr(public[name], "__module__", module)).startswith("fastrelu")}
    return sorted(own if module.startswith("fastrelu.ufuncs") else inside)  # a ufunc has no __module__


def base(name: str, known: Iterable[str]) -> str:
    """Return the function whose page a name is on."""
    known = set(known)
    fits = (name.removesuffix(suffix) for suffix in reversed(SUFFIXES[1:]) if name.endswith(suffix))
    return next((stem for stem in fits if stem in known), name)


@cache
def pages(module: str) -> dict[str, list[str]]:
    """Return the pages of a module and the names on each."""
    found: dict[str, list[str]] = {}
    every = names(module)
    for name in every:
        page = base(name, every) if module == "fastrelu" else name
        found.setdefault(page, []).append(name)
    order = {f"{page}{suffix}": i for page in found for i, suffix in enumerate(SUFFIXES)}
    return {page: sorted(on, key=lambda name: order.get(name, 9)) for page, on in found.items()}


def family(name: str) -> str:
    """Return the module, below the package, that a function is defined in."""
    return str(getattr(fr, name).__module__).removeprefix("fastrelu.")


def first_line(thing: Any) -> str:
    """Return the first sentence of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")


@cache
def facts() -> dict[str, dict[str, str]]:
    """Return the rows of activations.toml."""
    with (DOCS / "activations.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def measured() -> Summary:
    """Return the committed results of the benchmarks."""
    return Summary(results.read("benchmarks"))


# --- Pages --------------------------------------------------------------------------------------------------------


def heading(text: str, line: str = "=") -> list[str]:
    """Return the lines of a title."""
    return [text, line * len(text), ""]


def table(*rows: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table; the first row is its head."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in rows:
        for i, cell in enumerate(row):
            yield f"   {'  -' if i else '* -'} {cell}"
    yield ""


def formula(name: str) -> list[str]:
    """Return the formula of a function or, with a dot, of a layer."""
    row = facts().get(name, {})
    return [".. math::", "", f"   {row['formula']}", ""] if "formula" in row else []


def function_page(name: str) -> list[str]:
    """Return the page of a function of the package."""
    lines = [*heading(name), *formula(name)]
    row = facts().get(name, {})
    if pictures.can_draw(name):
        lines += [f".. picture:: activation {name}", f"   :alt: {pictures.describe(name)}", ""]
    lines += [".. currentmodule:: fastrelu", ""]
    for each in pages("fastrelu")[name]:
        kind = "class" if inspect.isclass(getattr(fr, each)) else "function"
        lines += [f".. auto{kind}:: fastrelu.{each}", ""]
    for title, more in (
        ("Largest errors", errors(name)),
        ("Speed", speed(name)),
        ("See also", see_also(name)),
        ("Elsewhere", elsewhere(row)),
    ):
        if more:
            lines += [*heading(title, "-"), *more]
    return lines


def errors(name: str) -> list[str]:
    """Return the table of error bounds."""
    kernels = [kernel for function, _, kernel in _kernels.kernel_names() if function == name] or [
        each for each in pages("fastrelu")[name] if not each.endswith("_")
    ]
    rows = []
    for kernel in kernels:
        try:
            bounds = [f"{fr.error_bound(kernel, dtype, precision=level):g}" for dtype in DTYPES for level in PRECISIONS]
        except ValueError:  # it has no kernel of its own
            continue
        rows.append([f"``{kernel}``", *bounds])
    if not rows:
        return []
    head = ["", *(f'{dtype}, "{level}"' for dtype in DTYPES for level in PRECISIONS)]
    return [
        "In units in the last place, over all inputs, as :func:`fastrelu.error_bound` returns them; 0.5 is correctly",
        "rounded. :doc:`/accuracy` has what was measured.",
        "",
        *table(head, *rows),
    ]


def speed(name: str) -> list[str]:
    """Return the table of speeds: 100,000 elements of float32, into an array."""
    rows = []
    mine = {name, *(kernel for function, _, kernel in _kernels.kernel_names() if function == name)}
    for row in measured().rows.values():
        if row.name in mine and (row.dtype, row.size, row.mode) == ("float32", 100_000, "out") and row.peers:
            ratios = [f"{row.against(side).median:.2g}" if side in row.peers else "" for side in ("numpy", "torch")]
            fastest = f"{row.best.median:.2g} ({TITLES.get(row.fastest, row.fastest)})"
            rows.append([f"``{row.name}``", f"{row.ns('fastrelu') / 1e3:.3g}", *ratios, fastest])
    if not rows:
        return []
    machine = measured().machine
    return [
        "100,000 elements of float32 into an existing array, two threads for every side: our time, and how many times as",
        f"fast as the peers it is (over 1: faster), medians. {machine['cpu']}; :doc:`/benchmarks` has all sizes.",
        "",
        *table(["", "microseconds", "NumPy", "PyTorch", "the fastest peer"], *rows),
    ]


TITLES = {"numpy": "NumPy", "scipy": "SciPy", "torch": "PyTorch", "jax": "JAX"}


def see_also(name: str) -> list[str]:
    """Return the layers and the ufuncs of a function, and the functions of the same family."""
    layers = [each for each, kind in vars(fr.nn).items() if name and getattr(kind, "_name", None) == name]
    kernels = [kernel for function, _, kernel in _kernels.kernel_names() if function == name]
    alike = [each for each in pages("fastrelu") if each != name and family(each) == family(name)]
    found = []
    for title, module, chosen in (
        ("Layer", "fastrelu.nn", layers),
        ("Ufuncs", "fastrelu.ufuncs", kernels),
        ("Family", "fastrelu", alike if family(name) not in SETTINGS else []),
    ):
        if chosen:
            found.append(f"- {title}: {', '.join(f':py:obj:`{each} <{module}.{each}>`' for each in chosen)}")
    return [*found, ""] if found else []


def elsewhere(row: dict[str, str]) -> list[str]:
    """Return what other libraries call it, and where they differ."""
    found = []
    for peer, (title, path, address) in PEERS.items():
        if peer in row:
            full = path.format(row[peer])
            found.append(f"- {title}: `{full} <{address.format(full)}>`__")
    if "differs" in row:
        found += ["", row["differs"].replace("`", "``")]
    return [*found, ""] if found else []


def object_page(module: str, name: str) -> list[str]:
    """Return the page of a class or function of a module."""
    thing = vars(modules()[module])[name]
    short = f"{module.removeprefix('fastrelu.')}.{name}"
    lines = [*heading(short), *formula(short), f".. currentmodule:: {module}", ""]
    if inspect.isclass(thing):
        return [*lines, f".. autoclass:: {module}.{name}", "   :members:", ""]
    return [*lines, f".. autofunction:: {module}.{name}", ""]


def ufuncs_page(module: str) -> list[str]:
    """Return the page of all ufuncs: they differ from the functions in what NumPy adds only."""
    lines = [*heading(module), f".. automodule:: {module}", "   :no-members:", ""]
    for name in names(module):
        ufunc = vars(modules()[module])[name]
        lines += [f".. py:data:: {name}", "", f"   {ufunc.nin} inputs. {first_line_of_ufunc(ufunc)}", ""]
    return lines


def first_line_of_ufunc(ufunc: Any) -> str:
    """Return what a ufunc's docstring says after the signature that NumPy puts before it."""
    return " ".join((ufunc.__doc__ or "").partition("\n\n")[2].split("\n\n")[0].split())


def module_page(module: str) -> list[str]:
    """Return the page of a module: its docstring and the list of its names."""
    lines = [*heading(module), f".. automodule:: {module}", "   :no-members:", ""]
    return [*lines, *listing(module, sorted(pages(module))), *beside(module)]


def listing(module: str, chosen: list[str]) -> list[str]:
    """Return a table of names with their first sentences, and the hidden table of contents."""
    rows = [[f":py:obj:`{name} <{module}.{name}>`", first_line(getattr(modules()[module], name))] for name in chosen]
    targets = [f"   /generated/{module}.{name}" for name in chosen]
    return [
        f".. currentmodule:: {module}",
        "",
        *table(["name", "what it is"], *rows),
        *(".. toctree::", "   :hidden:", "", *targets, ""),
    ]


def beside(module: str) -> Iterator[str]:
    """Yield what a module's docstrings speak of and its names do not include."""
    for name in BESIDE.get(module, ()):
        kind = "class" if name.rpartition(".")[2][0].isupper() else "function"
        yield from (f".. auto{kind}:: {module}.{name}", "")


def functions_page() -> list[str]:
    """Return the page of all functions: a gallery by family."""
    lines = [
        *heading("Functions"),
        "Every picture leads to the function's page, which also has its in-place form, its gradients, its largest errors,",
        "its speed and what other libraries call it. The solid line is the function, the dashed one its derivative.",
        "",
    ]
    found: dict[str, list[str]] = {module: [] for module in FAMILIES}
    for name in pages("fastrelu"):
        if family(name) not in SETTINGS:
            found.setdefault(family(name), []).append(name)
    for module, chosen in found.items():
        lines += heading(FAMILIES.get(module, module.rpartition(".")[2].capitalize()), "-")
        drawn = [name for name in chosen if pictures.can_draw(name)]
        if drawn:
            lines += [f".. gallery:: {' '.join(drawn)}", ""]
        lines += listing("fastrelu", chosen)
    return lines


def settings_page() -> list[str]:
    """Return the page of what is no function on arrays."""
    chosen = [name for name in pages("fastrelu") if family(name) in SETTINGS]
    return [*heading("Settings and introspection"), *listing("fastrelu", chosen), *beside("fastrelu")]


def sources() -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the lines of every page."""
    yield "functions", functions_page()
    yield "settings", settings_page()
    yield from ((f"fastrelu.{name}", function_page(name)) for name in pages("fastrelu"))
    for module in modules():
        if module.startswith("fastrelu.ufuncs"):
            yield f"modules/{module}", ufuncs_page(module)
        elif module != "fastrelu":
            yield f"modules/{module}", module_page(module)
            yield from ((f"{module}.{name}", object_page(module, name)) for name in pages(module))


def write(_: Sphinx) -> None:
    """Write the pages; one that has not changed is left alone, so that it is not read again."""
    folder, written = DOCS / "generated", set()
    for name, lines in sources():
        file = folder / f"{name}.rst"
        text = "\n".join(lines)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
        written.add(file)
    for file in set(folder.rglob("*.rst")) - written:
        file.unlink()


class Gallery(SphinxDirective):
    """Pictures of functions that lead to their pages."""

    has_content = False
    required_arguments = 1
    optional_arguments = 99

    def run(self) -> list[nodes.Node]:
        """Return the pictures, each with its name."""
        cards = []
        for name in self.arguments:
            shown = pictures.image(self.env.app, self.env.docname, f"Curve of {name}", "thumbnail", name)
            cards.append(f'<a href="fastrelu.{name}.html">{shown}<span>{name.replace("_", "_<wbr>")}</span></a>')
        return [nodes.raw("", f'<div class="gallery">{"".join(cards)}</div>', format="html")]


class Costs(SphinxDirective):
    """Nanoseconds for each element of functions and their gradients, from the results of the benchmarks."""

    required_arguments = 1
    optional_arguments = 99

    def run(self) -> list[nodes.Node]:
        """Return a table."""
        rows = measured().rows
        lines = ["| function | ns | gradient, ns |", "|---|---|---|"]
        for name in self.arguments:
            both = (rows[f"{name}{suffix}", "float32", 100_000, "out"] for suffix in ("", "_backward"))
            times = (f"{row.ns('fastrelu') / row.size:.2f}" for row in both)
            lines.append(f"| {{func}}`{name} <fastrelu.{name}>` | {' | '.join(times)} |")
        return self.parse_text_to_nodes("\n".join(lines))


class Names(SphinxDirective):
    """What a peer calls the functions, and what they are called here."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a table."""
        peer = self.arguments[0]
        title, path, address = PEERS[peer]
        lines = [f"| {title} | here | where they differ |", "|---|---|---|"]
        for name, row in sorted(facts().items(), key=lambda item: item[1].get(peer, "")):
            if peer in row:
                full = path.format(row[peer])
                link = f"[`{full}`]({address.format(full)})"
                lines.append(f"| {link} | {{func}}`{name} <fastrelu.{name}>` | {row.get('differs', '')} |")
        return self.parse_text_to_nodes("\n".join(lines))


class Command(SphinxDirective):
    """What a command of the command line prints."""

    required_arguments = 1
    optional_arguments = 99

    def run(self) -> list[nodes.Node]:
        """Run it and return its output."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):  # --help ends so
            main(self.arguments)
        return [
            nodes.literal_block("", f"$ fastrelu {' '.join(self.arguments)}\n{text.getvalue()}", language="console")
        ]


def escape_initials(*event: Any) -> None:
    """Keep the author of a reference, "A. Maas", from being read as an item of a list."""
    lines = event[-1]
    lines[:] = [re.sub(r"^( *)([A-Z])\. ", r"\1\\\2. ", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("autodoc-process-docstring", escape_initials)
    app.add_directive("gallery", Gallery)
    app.add_directive("costs", Costs)
    app.add_directive("names", Names)
    app.add_directive("command", Command)
    app.connect("config-inited", lambda app, _: write(app))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
