"""Write what type checkers read of the wrappers: arrays give arrays, numbers give numbers, `out` gives itself.

The wrappers are annotated with what they take, and return Any; six overloads for each would hide them. setup.py puts the
result of `stub` beside the wrappers of a wheel. ``python tools/stubs.py src/fastrelu/activations/gated.py`` prints it.
"""

from __future__ import annotations

import ast
import copy
import sys
from pathlib import Path

DATA = {"grad", "x", "y"}
HEAD = """
import collections.abc as _abc
from typing import TypeVar as _TypeVar, overload as _overload
import numpy as _np
from numpy.typing import NDArray as _NDArray
from fastrelu._typing import SupportsBuffer as _SupportsBuffer, SupportsDLPack as _SupportsDLPack
_Float = _TypeVar("_Float", _np.float32, _np.float64)
_Given = _TypeVar("_Given", bound=_NDArray[Any] | _SupportsBuffer | _SupportsDLPack)
"""
# By rows: the type of data, of parameters that may be arrays, of `out` and of the result; None is what the source says.
OVERLOADS = (
    ("_NDArray[_Float]", "float | _NDArray[_Float]", "None", "_NDArray[_Float]"),
    ("_Float", "float", "None", "_Float"),
    ("float", "float", "None", "_np.floating[Any]"),
    ("_NDArray[Any] | _abc.Sequence[Any]", None, "None", "_NDArray[Any]"),
    (None, None, "_Given", "_Given"),
    (None, None, None, "Any"),
)


def expression(text: str) -> ast.expr:
    """Return a type as a node."""
    return ast.parse(text, mode="eval").body


def empty(function: ast.FunctionDef) -> ast.FunctionDef:
    """Return the signature of a function."""
    found = copy.deepcopy(function)
    found.body = [ast.Expr(ast.Constant(...))]
    return found


def overloads(function: ast.FunctionDef) -> list[ast.stmt]:
    """Return the signatures of a function whose result has the shape of its data."""
    found: list[ast.stmt] = []
    scalars = "axis" not in {argument.arg for argument in function.args.args}  # a number has no axis
    for data, parameter, out, result in OVERLOADS:
        if result in {"_Float", "_np.floating[Any]"} and not scalars:
            continue
        case = empty(function)
        case.decorator_list = [expression("_overload")]
        case.returns = expression(result)
        for argument in (*case.args.args, *case.args.kwonlyargs):
            said = ast.unparse(argument.annotation) if argument.annotation else ""
            is_array = said == "ArrayLike" and argument.arg != "where"
            wanted = out if argument.arg == "out" else data if argument.arg in DATA else parameter if is_array else None
            if wanted is not None:
                argument.annotation = expression(wanted)
            if argument.arg == "out" and wanted == "_Given":  # it is there
                case.args.kw_defaults[case.args.kwonlyargs.index(argument)] = None
        found.append(case)
    return found


def stub(source: str) -> str:
    """Return the text of the .pyi of a module of wrappers."""
    body: list[ast.stmt] = []
    tree = ast.parse(source)
    public = next(
        set(ast.literal_eval(node.value))
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            arguments = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            # A function along an axis whose result has another shape has no form in place.
            keeps_shape = f"{node.name.partition('_backward')[0]}_" in public and "keepdims" not in arguments
            if node.name in public and "out" in arguments and keeps_shape:
                body += overloads(node)
            elif node.name in public:
                body.append(empty(node))
        elif isinstance(node, ast.ImportFrom | ast.Import) or "TypeVar" in ast.unparse(node):
            body.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "kernels" not in ast.unparse(node):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == "__all__" or ast.unparse(target)[0] != "_":
                body.append(node)
    # Functions along an axis compute 16-bit types as float32, and return that.
    head = HEAD if "softmax" in public else HEAD.replace('"_Float", ', '"_Float", _np.float16, ')
    start = next(i for i, node in enumerate(body) if "__future__" not in ast.unparse(node))
    body[start:start] = ast.parse(head).body
    return ast.unparse(ast.Module(body, [])) + "\n"


if __name__ == "__main__":
    print(stub(Path(sys.argv[1]).read_text(encoding="utf-8")))
