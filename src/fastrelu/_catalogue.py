"""The public activations: a list of their names, and values for their parameters."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu import activations

DATA = ("grad", "x", "y")  # names of the arrays in signatures; all others are parameters


def check_name(name: str, known: Collection[str], what: str = "activation") -> str:
    """Return `name` if it is known.

    Raises
    ------
    TypeError
        If it is no string.
    ValueError
        If it is not; the message has the closest known name and the list of all.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of an {what.removeprefix('element-wise ')} is a string, got {name!r}")
    if name in known:
        return name
    import difflib  # noqa: PLC0415  only a wrong name needs it

    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    hint = f"; did you mean {folded[close[0]]}?" if close else "."
    raise ValueError(f"no {what} named {name!r}{hint} There are: {', '.join(sorted(known))}")


def elementwise_names() -> list[str]:
    """Return the names of the activations whose result has the shape of x: those with an in-place form."""
    return [name for name in activations.__all__ if f"{name}_" in activations.__all__]


def in_domain(name: str, x: NDArray[Any]) -> NDArray[Any]:
    """Return numbers that an activation gives no NaN for: `x`, its absolute values, or these over one more."""
    function, required = getattr(activations, name), required_arguments(name)
    size = np.abs(x)
    return next(found for found in (x, size, size / (1 + size)) if not np.isnan(function(found, **required)).any())


def network_names() -> list[str]:
    """Return the names of the element-wise activations of any number: what a network can have between linear layers."""
    return [
        name
        for name in elementwise_names()
        if name != "identity" and not math.isnan(getattr(activations, name)(-1.0, **required_arguments(name)))
    ]


def required_arguments(name: str) -> dict[str, float]:
    """Return the parameters of a public function that have no default, with the values of its first example.

    Parameters
    ----------
    name : str
        A name in ``fastrelu.activations``.

    Returns
    -------
    dict
        Name and value of each, in the order of the signature.

    Raises
    ------
    ValueError
        If neither its examples nor those of its in-place form pass a number for each.
    """
    names = list(inspect.signature(getattr(activations, name)).parameters.values())
    required = [
        p.name for p in names if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in DATA
    ]
    if not required:
        return {}
    for candidate in (name, f"{name}_"):
        for call in _example_calls(candidate):
            values = _numbers(call, candidate, required)
            if values is not None:
                return values
    raise ValueError(f"no example of {name} passes numbers for {', '.join(required)}")


def _example_calls(name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function in its own docstring, in order."""
    import doctest  # noqa: PLC0415  it loads the debugger and the test runner

    function = getattr(activations, name, None)
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(function) or ""):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == f"fr.{name}":
                yield node


def _numbers(call: ast.Call, name: str, required: list[str]) -> dict[str, float] | None:
    """Return the required arguments of a call if all of them are numbers."""
    given = dict(zip(inspect.signature(getattr(activations, name)).parameters, call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    values = {}
    for parameter in required:
        try:
            values[parameter] = ast.literal_eval(given[parameter])
        except (KeyError, ValueError):
            return None
        if not isinstance(values[parameter], int | float):
            return None
    return values
