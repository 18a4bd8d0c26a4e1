"""The cost of a call on 16 elements: each kind of call next to the NumPy expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = {
    "new array": ("fr.relu(x)", "np.maximum(x, 0)"),
    "out": ("fr.relu(x, out=out)", "np.maximum(x, 0, out=out)"),
    "in place": ("fr.relu_(x)", "np.maximum(x, 0, out=x)"),
    "one parameter": ("fr.leaky_relu(x, 0.2)", "np.where(x > 0, x, 0.2 * x)"),
    "gradient": ("fr.relu_backward(grad, x)", "grad * (x > 0)"),
    "gradient in place": ("fr.relu_backward(grad, x, out=grad)", "np.multiply(grad, x > 0, out=grad)"),
    "strided": ("fr.relu(x[::2])", "np.maximum(x[::2], 0)"),
    "array parameter": ("fr.leaky_relu(x, slope)", "np.where(x > 0, x, slope * x)"),
    "where": ("fr.relu(x, where=mask, out=out)", "np.maximum(x, 0, where=mask, out=out)"),
    "integers": ("fr.relu(integers)", "np.maximum(integers, 0).astype(np.float64)"),
    "scalar": ("fr.relu(scalar)", "np.maximum(scalar, 0)"),
    "ufunc": ("fr.ufuncs.relu(x)", "np.maximum(x, 0)"),
}


@pytest.mark.parametrize("side", ["fastrelu", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def bench_call(way: str, dtype: str, side: str, compare: Callable[[str, str, str, dict[str, Any]], None]) -> None:
    """Time one side."""
    ours, theirs = WAYS[way]
    rng = np.random.default_rng(0)
    names = {
        "np": np,
        "fr": fr,
        "x": (2 * rng.standard_normal(16)).astype(dtype),
        "grad": rng.standard_normal(16).astype(dtype),
        "slope": rng.random(16).astype(dtype),
        "out": np.zeros(16, dtype),
        "mask": np.arange(16) % 2 == 0,
        "integers": np.arange(-8, 8),
        "scalar": np.dtype(dtype).type(-1.5),
    }
    expected = theirs.replace("out=x", "out=x.copy()").replace("out=grad", "out=grad.copy()")
    compare(f"{way} {dtype}", ours if side == "fastrelu" else theirs, expected, names)
