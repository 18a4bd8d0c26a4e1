"""The code that fastrelu replaces: each function's NumPy expression, taken from its docstring."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import activations
from fastrelu._catalogue import DATA, check_name, in_domain, required_arguments
from fastrelu._extras import installed

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTIONS = {"": "forward", "_backward": "backward", "_backward_from_output": "from output"}

_LINE = re.compile(r"In (?:NumPy|SciPy): ``(.+?)``", re.DOTALL)
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_NAMED_OUT = ("clip", "concatenate")  # NumPy functions that are not ufuncs but accept out=


@dataclass(frozen=True)
class Reference:
    """A public function and the NumPy expression that it replaces.

    Attributes
    ----------
    name : str
        Name in ``fastrelu.activations``.
    activation : str
        The activation that it belongs to: the name of the forward function.
    direction : str
        ``"forward"``, ``"backward"`` or ``"from output"``.
    expression : str
        Python source; its variables are the function's arguments, ``np`` and ``special``.
    expression_into : str or None
        The same with its outermost operation writing into ``out``, if that operation can.
    data : tuple of str
        Names of the arrays that the function takes.
    """

    name: str
    activation: str
    direction: str
    expression: str
    expression_into: str | None
    data: tuple[str, ...]

    @property
    def needs_scipy(self) -> bool:
        """Whether the expression uses ``scipy.special``."""
        return "special." in self.expression

    def call(self, *, out: bool) -> str:
        """Return the source of the call of fastrelu; `out` is also the name of the buffer."""
        arguments = [*self.data, *required_arguments(self.name), *(["out=out"] if out else [])]
        return f"fr.{self.name}({', '.join(arguments)})"

    def variables(self, size: int, dtype: str = "float32", seed: int = 0) -> dict[str, Any]:
        """Return the variables of both sources: modules, parameters, numbers that the function takes, a buffer ``out``."""
        parameters = inspect.signature(getattr(activations, self.name)).parameters.values()
        required = required_arguments(self.name)
        rng = np.random.default_rng(seed)
        names: dict[str, Any] = {"np": np, "fr": fr}
        if self.needs_scipy and installed("scipy"):
            names["special"] = importlib.import_module("scipy.special")
        names |= {p.name: p.default for p in parameters if p.default is not p.empty} | required
        names["x"] = in_domain(self.activation, (2 * rng.standard_normal(size)).astype(dtype))
        names["grad"] = rng.standard_normal(size).astype(dtype)
        if "y" in self.data:
            names["y"] = getattr(activations, self.activation)(names["x"], **required)
        names["out"] = np.empty_like(evaluate(self.call(out=False), names))
        return names


def evaluate(source: str, names: dict[str, Any]) -> Any:
    """Return the value of an expression."""
    return eval(compile(source, "<expression>", "eval"), names)


def agrees(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Tell whether ``|ours - theirs| <= 64 eps (1 + |theirs|)``, where eps is that of the type.

    Both sides round, and the expressions suffer from cancellation. This check does not measure accuracy; the tests do.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    tolerance = 64 * float(np.finfo(ours.dtype).eps)
    return np.allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@functools.cache
def references() -> tuple[Reference, ...]:
    """Return all public functions whose docstring has a line ``In NumPy:`` or ``In SciPy:``."""
    return tuple(_read(name, match) for name in activations.__all__ if (match := _line_of(name)))


def select(name: str) -> list[Reference]:
    """Return the references of an activation, or of a single function.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    chosen = [r for r in references() if name in {r.name, r.activation}]
    if not chosen:
        check_name(name, {r.activation for r in references()}, "element-wise function")
    return chosen


def _line_of(name: str) -> re.Match[str] | None:
    return _LINE.search(inspect.getdoc(getattr(activations, name)) or "")


def _read(name: str, match: re.Match[str]) -> Reference:
    expression = " ".join(match[1].split())
    suffix = next(s for s in sorted(DIRECTIONS, key=len, reverse=True) if name.endswith(s))
    parameters = inspect.signature(getattr(activations, name)).parameters
    return Reference(
        name=name,
        activation=name.removesuffix(suffix),
        direction=DIRECTIONS[suffix],
        expression=expression,
        expression_into=into_out(expression),
        data=tuple(p for p in parameters if p in DATA),
    )


def into_out(expression: str) -> str | None:
    """Return the expression with its outermost operation writing into `out`, if that operation can."""
    into = [ast.keyword("out", ast.Name("out"))]
    match ast.parse(expression, mode="eval").body:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) as call if _takes_out(module, name):
            call.keywords += into
            return ast.unparse(call)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
            return ast.unparse(ast.Call(_numpy("square"), [left], into))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return ast.unparse(ast.Call(_numpy(_OPERATORS[type(op)]), [left, right], into))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ast.unparse(ast.Call(_numpy("negative"), [operand], into))
    return None


def _numpy(name: str) -> ast.expr:
    return ast.Attribute(ast.Name("np"), name)


def _takes_out(module: str, name: str) -> bool:
    return module == "special" or name in _NAMED_OUT or isinstance(getattr(np, name, None), np.ufunc)
