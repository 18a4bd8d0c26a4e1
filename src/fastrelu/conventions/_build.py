"""Makes the functions of a convention from its table: a framework's signature, and the call of ours that it stands for."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from fastrelu import activations, along_axis, gated_units
from fastrelu._foreign import refuse
from fastrelu._kernels import as_native
from fastrelu._options import check_flag
from fastrelu.conventions import _composed

Function = Callable[..., Any]

_SOURCES = (activations, along_axis, gated_units, _composed)
OURS = SimpleNamespace(**{name: getattr(module, name) for module in _SOURCES for name in module.__all__})


@dataclass(frozen=True)
class Row:
    """One name of a framework.

    Attributes
    ----------
    theirs : str
        Its signature there, as ``"leaky_relu(input, negative_slope=0.01, inplace=False)"``. The first argument is the
        input. An option `inplace` calls our function with the underscore.
    ours : str
        The call that computes it, as ``"leaky_relu(input, negative_slope)"``: one of our functions, or of `_composed`.
        The gradient is the same call of its ``_backward``, where there is one.
    kinks : mapping of str to str
        Points of the input at which the framework's derivative is another than ours, and its value there.
    note : str
        What a reader of the docstring should know besides.
    since : int
        The first opset with this definition, for ONNX.
    """

    theirs: str
    ours: str
    kinks: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    since: int = 0

    @property
    def name(self) -> str:
        """The name in the framework."""
        return self.theirs.partition("(")[0]

    @property
    def function(self) -> str:
        """The name of the function that is called."""
        return self.ours.partition("(")[0]

    @property
    def first(self) -> str:
        """The name of its first argument in the framework, the input."""
        return self.options()[0]

    def arguments(self) -> ast.arguments:
        """Return the arguments in the framework."""
        (definition,) = ast.parse(f"def {self.theirs}: ...").body
        assert isinstance(definition, ast.FunctionDef)
        return definition.args

    def options(self) -> list[str]:
        """Return the names of the arguments in the framework."""
        arguments = self.arguments()
        return [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]

    def call(self) -> ast.Call:
        """Return the call of our function."""
        call = ast.parse(self.ours, mode="eval").body
        assert isinstance(call, ast.Call)
        return call


def _in_their_words(error: TypeError | ValueError, words: Mapping[str, str]) -> NoReturn:
    """Raise an error about our arguments again, about those that were given."""
    if type(error) not in (TypeError, ValueError):  # others, such as AxisError, name no argument
        raise error
    pattern = rf"\b({'|'.join(map(re.escape, words))})\b"
    raise type(error)(re.sub(pattern, lambda found: words[found[0]], str(error))) from None


def _at_kinks(function: str, dx: Any, grad: Any, x: Any, kinks: Iterable[tuple[Any, Any]]) -> Any:
    """Replace the gradient where x is at a kink by `grad` times the derivative there."""
    refuse(function, grad=grad, x=x)
    array = np.asanyarray(dx)
    if type(x) is np.ndarray and x.size >= 512:  # NumPy compares 16-bit types ten times as slowly
        x = as_native(x)
    for point, derivative in kinks:
        np.multiply(grad, derivative, out=array, where=np.equal(x, point), casting="unsafe")
    return array[()] if dx is not array else dx


class _Qualified(ast.NodeTransformer):
    """Takes the names of our functions from `_ours`, whatever the arguments are called."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and hasattr(OURS, node.func.id):
            node.func = ast.Attribute(ast.Name("_ours"), node.func.id)
        return node


def _words(row: Row, name: str, function: str) -> dict[str, str]:
    """Return what our function calls its arguments, and itself, and what the framework does."""
    call, words = row.call(), {function.replace("_any", ""): name}  # a variant without the limits of ours
    own, theirs = inspect.signature(getattr(OURS, row.function)).parameters, row.options()
    given = {**dict(zip(own, call.args, strict=False)), **{word.arg: word.value for word in call.keywords if word.arg}}
    for parameter, value in given.items():
        names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name) and node.id in theirs]
        # An axis that follows from a weight is no weight.
        names = [name for name in names if name not in words.values()]
        if len(names) == 1:
            words[parameter] = names[0]
    return {ours: theirs for ours, theirs in words.items() if ours != theirs}


def _definition(row: Row, name: str, *, backward: bool = False) -> str:
    """Return the source of one function."""
    arguments, call = row.arguments(), row.call()
    in_place = "inplace" in row.options()
    if backward and in_place:  # it is the last one
        del arguments.args[-1], arguments.defaults[-1]
    if backward:
        arguments = ast.parse(f"def f(grad, {ast.unparse(arguments)}): ...").body[0].args  # type: ignore[attr-defined]  # it is a function
        call.args.insert(0, ast.Name("grad"))
    function = f"{row.function}_backward" if backward else row.function
    call.func = ast.Name(function)
    result = ast.unparse(_Qualified().visit(call))
    if backward and row.kinks:
        kinks = ", ".join(f"({point}, {derivative})" for point, derivative in row.kinks.items())
        result = f"_at_kinks({name!r}, {result}, grad, {ast.unparse(call.args[1])}, ({kinks},))"
    defaults = dict(zip(reversed(arguments.args), reversed(arguments.defaults), strict=False))
    defaults |= {a: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d}
    flags = [a.arg for a, d in defaults.items() if isinstance(d, ast.Constant) and isinstance(d.value, bool)]
    body = [f"_check_flag({flag!r}, {flag})" for flag in flags]
    if in_place and not backward:
        body += ["if inplace:", f"    return {result.replace(f'_ours.{function}(', f'_ours.{function}_(', 1)}"]
    body.append(f"return {result}")
    words = _words(row, name, function)
    if words:
        indented = "\n".join(f"        {line}" for line in body)
        text = f"    try:\n{indented}\n    except _said as error:\n        _in_their_words(error, {words!r})"
    else:
        text = "\n".join(f"    {line}" for line in body)
    return f"def {name}({ast.unparse(arguments)}):\n{text}\n"


def summary(row: Row) -> str:
    """Return the first sentence of the docstring of our function."""
    first = (inspect.getdoc(getattr(OURS, row.function)) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r":func:`(\w+)`", r":func:`fastrelu.\1`", first)


def docstring(row: Row, peer: str, *, backward: bool = False) -> str:
    """Return the docstring of a function."""
    if backward:
        first = f"Gradient of :func:`{row.name}` with respect to `{row.first}`."
        kinks = " and ".join(f"{derivative} at {point}" for point, derivative in row.kinks.items())
        return f"{first}\n\nThe derivative is {kinks}, as in the framework." if kinks else first
    name = peer.format(row.name)
    by = "" if row.function in _composed.__all__ else f", computed by :func:`fastrelu.{row.function}`"
    return f"{summary(row)}\n\n{f'As {name}{by}. {row.note}'.strip()}"


def has_backward(row: Row) -> bool:
    """Whether our function has a gradient from its input."""
    return hasattr(OURS, f"{row.function}_backward")


def build(module: str, peer: str, rows: Iterable[Row], *, backward: bool = True) -> dict[str, Function]:
    """Return the functions of a table by name, and their gradients."""
    wanted = [(row.name, row, False) for row in rows]
    wanted += [(f"{row.name}_backward", row, True) for row in rows if backward and has_backward(row)]
    source = "\n".join(_definition(row, name, backward=gradient) for name, row, gradient in wanted)
    namespace: dict[str, Any] = {"__name__": module, "_ours": OURS, "inf": np.inf}
    namespace["_said"] = (TypeError, ValueError)  # not MemoryError: where there is none, a handler only loses more
    namespace |= {"_at_kinks": _at_kinks, "_check_flag": check_flag, "_in_their_words": _in_their_words}
    exec(compile(source, f"<{module}>", "exec"), namespace)  # noqa: S102  text from our own tables; signatures are real
    for name, row, gradient in wanted:
        namespace[name].__doc__ = docstring(row, peer, backward=gradient)
    return {name: namespace[name] for name, _, _ in wanted}
