"""Makes the arguments that the command ``explain`` describes, and asks which code their call would run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import activations
from fastrelu._catalogue import DATA, required_arguments

if TYPE_CHECKING:
    import argparse


def names() -> list[str]:
    """Return the functions that :func:`fastrelu.explain` takes."""
    return [name for name in activations.__all__ if not name.endswith("_backward_parameters")]


def explain(options: argparse.Namespace) -> fr.Explanation:
    """Return the plan of the call.

    Parameters
    ----------
    options : argparse.Namespace
        The options of the command: function, shape, dtype, layout, out and set.

    Raises
    ------
    MemoryError
        If there is no room for the arrays, which are not filled.
    TypeError, ValueError
        As the call itself does.
    """
    function = getattr(fr, options.function)
    data = [p for p in inspect.signature(function).parameters if p in DATA]
    keywords: dict[str, Any] = required_arguments(options.function) | dict(options.set)
    if options.out:
        keywords["out"] = np.empty(options.shape, options.dtype)
    return fr.explain(function, *(_array(options.shape, options.dtype, options.layout) for _ in data), **keywords)


def _array(sizes: tuple[int, ...], kind: np.dtype[Any], layout: str) -> Any:
    if layout == "sliced" and sizes:
        return np.zeros((*sizes[:-1], 2 * sizes[-1]), kind)[..., ::2]
    return np.zeros(sizes, kind, order="F" if layout == "F" else "C")
