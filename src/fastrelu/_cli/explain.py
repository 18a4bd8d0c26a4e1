"""Makes the arguments that the command ``explain`` describes, and asks which code their call would run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu import _row_kernels, activations, along_axis, gated_units
from fastrelu._catalogue import DATA, required_arguments

if TYPE_CHECKING:
    import argparse


def names() -> list[str]:
    """Return the functions that :func:`fastrelu.explain` takes."""
    own = [name for name in activations.__all__ if not name.endswith("_backward_parameters")]
    rows = {f"{base}{suffix}" for base in _row_kernels.names for suffix in ("", "_", "_backward_from_output")}
    return [*own, *(name for name in along_axis.__all__ if name in rows), *gated_units.__all__]


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
    keywords: dict[str, Any] = (
        required_arguments(options.function) if hasattr(activations, options.function) else {}
    ) | dict(options.set)
    if options.out:
        keywords["out"] = np.empty(options.shape, options.dtype)
    sizes = options.shape
    half = (
        (*sizes[:-1], sizes[-1] // 2) if sizes and options.function in gated_units.__all__ else sizes
    )  # of a gradient
    arrays = (_array(half if name == "grad" else sizes, options.dtype, options.layout) for name in data)
    return fr.explain(function, *arrays, **keywords)


def _array(sizes: tuple[int, ...], kind: np.dtype[Any], layout: str) -> Any:
    if layout == "sliced" and sizes:
        return np.zeros((*sizes[:-1], 2 * sizes[-1]), kind)[..., ::2]
    return np.zeros(sizes, kind, order="F" if layout == "F" else "C")
