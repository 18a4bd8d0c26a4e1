"""Write the stubs of fastrelu.conventions, which editors and type checkers read: python tools/state_conventions.py.

The functions are made from tables when a convention is imported. The stubs state their signatures and docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "fastrelu" / "conventions"
MODULES = ("jax", "keras", "keras.ops", "mlx", "onnx", "tf", "torch", "torch.special", "transformers")
WIDTH = 120

TYPES = {
    **dict.fromkeys(("axis", "axes", "dim"), "int | tuple[int, ...] | None"),
    "out": "Output",
    "dtype": "DTypeLike | None",
    "where": "ArrayLike | None",
    "eps": "float | None",
    "max_value": "ArrayLike | None",
}
SUBMODULES = {"torch": "special", "keras": "ops"}
BESIDES = {
    "transformers": ["ACT2FN: dict[str, Callable[..., Any]]", "get_activation: Callable[[str], Callable[..., Any]]"],
    "keras.ops": ["SHARED: tuple[Row, ...]"],
}


def _annotated(name: str, parameter: inspect.Parameter) -> str:
    """Return the type of an argument."""
    default = parameter.default
    if parameter.annotation is not parameter.empty:
        return inspect.formatannotation(parameter.annotation)
    if isinstance(default, (bool, str)):
        return type(default).__name__
    return TYPES.get(name, "ArrayLike")


def _definition(name: str, function: Any) -> str:
    """Return a function with types and docstring, as the formatter lays it out."""
    parts: list[str] = []
    parameters = list(inspect.signature(function).parameters.values())
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        kind = "_T" if i == 0 and name.endswith("_") else _annotated(parameter.name, parameter)
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}".replace("'", '"')
        parts.append(f"{parameter.name}: {kind}{default}")
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter is parameters[-1]:
            parts.append("/")
    returned = "_T" if name.endswith("_") else "Callable[..., Any]" if name == "get" else "Any"
    first, last = f"def {name}(", f") -> {returned}:"
    inside = ", ".join(parts)
    if len(first + inside + last) > WIDTH:
        inside = f"\n    {inside}\n" if len(inside) < WIDTH - 4 else "".join(f"\n    {part}," for part in parts) + "\n"
    text = (inspect.getdoc(function) or "").replace("\\", "\\\\")
    if "\n" in text or len(text) > WIDTH - 10:
        text += "\n"
    body = "\n".join(textwrap.fill(line, WIDTH - 4) if len(line) > WIDTH - 4 else line for line in text.split("\n"))
    return f'{first}{inside}{last}\n{textwrap.indent(chr(34) * 3 + body, "    ")}{"    " if body[-1] == chr(10) else ""}"""\n'


def stub(name: str) -> str:
    """Return the stub of a convention."""
    module = importlib.import_module(f"fastrelu.conventions.{name}")
    functions = dict(module.FUNCTIONS)
    if hasattr(module, "get"):
        functions["get"] = module.get
    body = "\n".join(_definition(key, value) for key, value in functions.items())
    types = [name for name in ("ArrayLike", "DTypeLike") if name in body]
    lines = ['"""Stated by tools/state_conventions.py."""', "", "from collections.abc import Callable"]
    lines += [
        f"from typing import Any{', TypeVar' if '_T' in body else ''}",
        "",
        f"from numpy.typing import {', '.join(types)}",
    ]
    lines += ["", *(["from fastrelu._typing import Output"] if "Output" in body else [])]
    lines += ["from fastrelu.conventions._build import Row"]
    if name in SUBMODULES:
        lines.append(f"from fastrelu.conventions.{name} import {SUBMODULES[name]} as {SUBMODULES[name]}")
    lines += ["", *(['_T = TypeVar("_T")', ""] if "_T" in body else [])]
    lines += ["ROWS: tuple[Row, ...]", "FUNCTIONS: dict[str, Callable[..., Any]]", *BESIDES.get(name, []), "", body]
    return "\n".join(lines)


def stated() -> dict[Path, str]:
    """Return the text that each stub should have."""
    found = {}
    for name in MODULES:
        path = PACKAGE.joinpath(*name.split("."))
        found[path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")] = stub(name)
    return found


if __name__ == "__main__":
    for path, text in stated().items():
        path.write_text(text, encoding="utf-8")
