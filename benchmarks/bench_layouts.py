"""Arrays that are not contiguous, or of which one is broadcast: next to NumPy's line and to the contiguous case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

N = 1 << 21  # elements of the output, about
RELU = ("fr.relu(x, out=out)", "np.maximum(x, 0, out=out)")
LEAKY = ("fr.leaky_relu(x, slope, out=out)", "np.where(x > 0, x, slope * x)")
BACKWARD = ("fr.relu_backward(grad, x, out=out)", "np.multiply(grad, x > 0, out=out)")

# Our line, NumPy's, and the variables as expressions; a(...) is a new array of that shape.
LAYOUTS: dict[str, tuple[tuple[str, str], dict[str, str]]] = {
    "contiguous": (RELU, {"x": "a(N)", "out": "a(N)"}),
    "contiguous, gradient": (BACKWARD, {"grad": "a(N)", "x": "a(N)", "out": "a(N)"}),
    "contiguous, parameter": (LEAKY, {"x": "a(N)", "slope": "0.2", "out": "a(N)"}),
    **{
        f"rows x[:, :{k}]": (RELU, {"x": f"a(N // {k}, {k + 32})[:, :{k}]", "out": f"a(N // {k}, {k + 32})[:, :{k}]"})
        for k in (16, 64, 256, 1000)
    },
    **{
        f"channels of (N, {c})": (LEAKY, {"x": f"a(N // {c}, {c})", "slope": f"a({c})", "out": f"a(N // {c}, {c})"})
        for c in (10, 64, 512)
    },
    **{
        f"channels of (N, 64, {h}, {h})": (
            LEAKY,
            {
                "x": f"a(N // {64 * h * h}, 64, {h}, {h})",
                "slope": "a(64, 1, 1)",
                "out": f"a(N // {64 * h * h}, 64, {h}, {h})",
            },
        )
        for h in (7, 8, 28)
    },
    "slope per row": (LEAKY, {"x": "a(N // 512, 512)", "slope": "a(N // 512, 1)", "out": "a(N // 512, 512)"}),
    "transposed": (RELU, {"x": "a(1448, 1448).T", "out": "a(1448, 1448)"}),
    "transposed gradient": (BACKWARD, {"grad": "a(1448, 1448).T", "x": "a(1448, 1448)", "out": "a(1448, 1448)"}),
    "NCHW to NHWC": (RELU, {"x": "a(8, 64, 64, 64).transpose(0, 2, 3, 1)", "out": "a(8, 64, 64, 64)"}),
    "every second": (RELU, {"x": "a(2 * N)[::2]", "out": "a(N)"}),
    "every second into every second": (RELU, {"x": "a(2 * N)[::2]", "out": "a(2 * N)[::2]"}),
    "backwards": (RELU, {"x": "a(N)[::-1]", "out": "a(N)"}),
    "row to all rows": (RELU, {"x": "a(1024)", "out": "a(N // 1024, 1024)"}),
    "column to all columns": (RELU, {"x": "a(N // 1024, 1)", "out": "a(N // 1024, 1024)"}),
}


@pytest.mark.parametrize("side", ["fastrelu", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def bench_layout(layout: str, dtype: str, side: str, compare: Callable[[str, str, str, dict[str, Any]], None]) -> None:
    """Time one side."""
    (ours, theirs), sources = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    scope = {"a": lambda *shape: np.asarray(rng.standard_normal(shape), dtype), "N": N}
    names = {"np": np, "fr": fr, **{name: eval(source, scope) for name, source in sources.items()}}
    compare(f"{layout} {dtype}", ours if side == "fastrelu" else theirs, theirs, names)
