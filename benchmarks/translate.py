"""Translates a NumPy expression for numexpr and numba, in the type of the arrays, as a user would write it.

Both packages compute in double as soon as a Python number meets a float32 array, so numbers become named constants
of the arrays' type; sub-expressions of numbers alone are folded. A product with a condition becomes a selection.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DIRECT = {"exp", "expm1", "log", "log1p", "tanh", "sqrt", "cosh"}
# Functions that the packages lack, composed of others.
_MADE_OF = {
    "clip": "np.minimum(np.maximum({0}, {1}), {2})",
    "logaddexp": "np.maximum({1}, 0) + np.log1p(np.exp(-np.abs({1})))",  # the first argument is always 0
    "sign": "np.where({0} > 0, 1, np.where({0} < 0, -1, 0))",
    "positive": "({0} * 1)",
}
# In numexpr these return float64 for float32.
_NUMEXPR_MADE_OF = _MADE_OF | {
    "maximum": "np.where({0} > {1}, {0}, {1})",
    "minimum": "np.where({0} < {1}, {0}, {1})",
}


class UntranslatableError(ValueError):
    """An expression needs a function that the package lacks."""


class Translation(NamedTuple):
    """Source, and the values of its named constants."""

    source: str
    constants: dict[str, float]


def to_numexpr(expression: str, parameters: Mapping[str, float]) -> Translation:
    """Return the expression in numexpr's language."""
    names = {name: name for name in (*DIRECT, "abs")}
    return _translate(expression, parameters, _NUMEXPR_MADE_OF, lambda name, values: _call(names, name, values), str)


def to_numba(expression: str, parameters: Mapping[str, float]) -> Translation:
    """Return the expression of element ``i``, in scalars."""
    names = {name: f"math.{name}" for name in DIRECT} | {"abs": "abs", "maximum": "max", "minimum": "min"}

    def call(name: str, values: list[str]) -> str:
        if name == "where":
            condition, yes, no = values
            return f"({yes} if {condition} else {no})"
        return "math.erf({})".format(*values) if name == "erf" else _call(names, name, values)

    return _translate(expression, parameters, _MADE_OF, call, "{}[i]".format)


def _call(names: Mapping[str, str], name: str, values: list[str]) -> str:
    if name != "where" and name not in names:
        raise UntranslatableError(f"no {name}")
    return f"{names.get(name, name)}({', '.join(values)})"


def _translate(
    expression: str,
    parameters: Mapping[str, float],
    made_of: Mapping[str, str],
    call: Callable[[str, list[str]], str],
    element: Callable[[str], str],
) -> Translation:
    constants: dict[str, float] = {}

    def number(value: float) -> str:
        name = next((name for name, known in constants.items() if known == value), f"c{len(constants)}")
        constants[name] = value
        return name

    def value_of(node: ast.expr) -> float | None:
        if any(isinstance(part, ast.Name) and part.id not in {*parameters, "np"} for part in ast.walk(node)):
            return None
        return float(eval(ast.unparse(node), {"np": np, **parameters}))

    def render(node: ast.expr) -> str:
        value = value_of(node)
        if value is not None:
            return number(value)
        match node:
            case ast.Name(id=name):
                source = element(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                source = f"(-{render(operand)})"
            case ast.BinOp(left=left, op=ast.Mult(), right=right) if _is_condition(right):
                source = call("where", [render(right), render(left), number(0)])
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
                source = f"({render(left)} * {render(left)})"
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=3)):
                source = f"({render(left)} * {render(left)} * {render(left)})"
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=1.5)):
                source = f"({render(left)} * {call('sqrt', [render(left)])})"
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                source = f"({render(left)} {_SYMBOLS[type(op)]} {render(right)})"
            case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name in made_of:
                text = made_of[name].format(*(f"({ast.unparse(argument)})" for argument in arguments))
                source = render(ast.parse(text, mode="eval").body)
            case ast.Call(func=ast.Attribute(attr=name), args=[*arguments]) if name != "concatenate":
                source = call(name, [render(argument) for argument in arguments])
            case _:
                raise UntranslatableError(ast.unparse(node))
        return source

    return Translation(render(ast.parse(expression, mode="eval").body), constants)


def _is_condition(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd))


_SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.NotEq: "!=",
    ast.BitAnd: "&",
}
