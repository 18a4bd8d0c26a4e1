"""Measure the largest errors of NumPy, SciPy, PyTorch and JAX next to ours: same inputs, same references.

``python tools/compare_peers_accuracy.py`` writes docs/accuracy_peers.md; every peer is optional. NumPy stands for
the expressions that people write (with SciPy's functions if it has one). Gradients of PyTorch and JAX come
from their automatic differentiation, for an incoming gradient of 1. The sign of a zero is not counted as an error.
"""

from __future__ import annotations

import argparse
import importlib
import math
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import verify
from tqdm import tqdm

from fastrelu import _kernels, runtime
from fastrelu._cli import verify as _verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastrelu.runtime import Precision

    Array = NDArray[Any]
    Function = Callable[[Any], Any]

TARGET = Path(__file__).resolve().parent.parent / "docs" / "accuracy_peers.md"
PEERS = ("NumPy, SciPy", "PyTorch", "JAX")
OURS: tuple[Precision, ...] = ("fast", "accurate")


@dataclass(frozen=True)
class Row:
    """One activation: the expressions in NumPy, and the names of the others' functions."""

    function: str
    numpy: Function | None = None
    numpy_derivative: Function | None = None
    torch: str | Function | None = None
    jax: str | Function | None = None


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _special(name: str) -> Function:
    """Return a function of scipy.special, which is imported when it is called."""

    def run(x: Array) -> Array:
        return np.asarray(getattr(importlib.import_module("scipy.special"), name)(x))

    return run


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _special("erf")(x / x.dtype.type(math.sqrt(2)))))


def _gelu_derivative(x: Array) -> Array:
    kind = x.dtype.type
    cdf = kind(0.5) * (1 + _special("erf")(x / kind(math.sqrt(2))))
    return np.asarray(cdf + x * np.exp(-x * x / 2) * kind(1 / math.sqrt(2 * math.pi)))


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(x.dtype.type(math.sqrt(2 / math.pi)) * (x + 0.044715 * x**3))))


def _silu_derivative(x: Array) -> Array:
    s = _sigmoid(x)
    return np.asarray(s * (1 + x * (1 - s)))


def _mish(x: Array) -> Array:
    return np.asarray(x * np.tanh(np.log1p(np.exp(x))))


_ALPHA, _SCALE = 1.6732632423543772848, 1.0507009873554804934
ROWS = (
    Row("sigmoid", _sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x)), "sigmoid", "sigmoid"),
    Row("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2, "tanh", "tanh"),
    Row("silu", lambda x: x * _sigmoid(x), _silu_derivative, "silu", "silu"),
    Row("gelu", _gelu, _gelu_derivative, "gelu", lambda nn: lambda x: nn.gelu(x, approximate=False)),
    Row("gelu_tanh", _gelu_tanh, None, lambda f: lambda x: f.gelu(x, approximate="tanh"), "gelu"),
    Row("quick_gelu", lambda x: x * _sigmoid(1.702 * x)),
    Row("mish", _mish, None, "mish", "mish"),
    Row("softplus", lambda x: np.logaddexp(x, x.dtype.type(0)), _special("expit"), "softplus", "softplus"),
    Row("log_sigmoid", _special("log_expit"), lambda x: _special("expit")(-x), "logsigmoid", "log_sigmoid"),
    Row("elu", lambda x: np.where(x > 0, x, np.expm1(x)), lambda x: np.where(x > 0, 1, np.exp(x)), "elu", "elu"),
    Row("celu", lambda x: np.maximum(x, 0) + np.minimum(np.expm1(x), 0), None, "celu", "celu"),
    Row("selu", lambda x: _SCALE * np.where(x > 0, x, _ALPHA * np.expm1(x)), None, "selu", "selu"),
    Row("softsign", lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2, "softsign", "soft_sign"),
    Row("squareplus", lambda x: (x + np.sqrt(x * x + 4)) / 2, None, None, "squareplus"),
    Row("tanh_shrink", lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2, "tanhshrink"),
    Row("hard_swish", lambda x: x * np.clip(x + 3, 0, 6) / 6, None, "hardswish", "hard_swish"),
    Row("sparse_plus", None, None, None, "sparse_plus"),
)


# --- Peers --------------------------------------------------------------------------------------------------------


def from_numpy(row: Row, derivative: bool) -> Function | None:
    """Return the usual NumPy expression."""
    expression = row.numpy_derivative if derivative else row.numpy

    def run(x: Array) -> Array:
        with np.errstate(all="ignore"):  # the NumPy line overflows, which is compared
            return np.asarray(expression(x), x.dtype)  # type: ignore[misc]  # None is excluded below

    return run if expression else None


def from_torch(row: Row, derivative: bool) -> Function | None:
    """Return PyTorch's function, or its gradient."""
    if row.torch is None:
        return None
    torch = importlib.import_module("torch")
    library = torch.nn.functional
    function = row.torch(library) if callable(row.torch) else getattr(library, row.torch)

    def run(x: Array) -> Array:
        tensor = torch.from_numpy(x.copy())
        if not derivative:
            return np.asarray(function(tensor).numpy())
        tensor.requires_grad_(True)
        function(tensor).backward(torch.ones_like(tensor))
        return np.asarray(tensor.grad.numpy())

    return run


def from_jax(row: Row, derivative: bool) -> Function | None:
    """Return JAX's function, or its gradient."""
    if row.jax is None:
        return None
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    function = row.jax(jax.nn) if callable(row.jax) else getattr(jax.nn, row.jax)
    value = jax.jit(function)
    slope = jax.jit(lambda x: jax.jvp(function, (x,), (jax.numpy.ones_like(x),))[1])
    return lambda x: np.array((slope if derivative else value)(x))


MAKERS = dict(zip(PEERS, (from_numpy, from_torch, from_jax), strict=True))


def versions() -> str:
    """Return the installed peers, with their versions."""
    found = []
    for name in ("numpy", "scipy", "torch", "jax"):
        try:
            found.append(f"{name} {importlib.import_module(name).__version__}")
        except ImportError:
            found.append(f"{name} not installed")
    return ", ".join(found)


# --- Measuring ----------------------------------------------------------------------------------------------------


def measure(row: Row, kernel: str, dtype: str, stride: int, points: int) -> list[str]:
    """Return the cells of a line: the largest errors of all, ours first."""
    case = next(case for case in verify.cases([kernel], [dtype]) if case.kernel == kernel and case.usual)
    run = verify.Run(case, [(runtime.isa, precision) for precision in OURS], stride, points)
    derivative = kernel != row.function
    others: list[Function | None] = []
    for name in PEERS:
        try:
            others.append(MAKERS[name](row, derivative))
        except ImportError:
            others.append(None)
    worst: dict[str, tuple[float, float]] = {}
    zone = run.regions[0]
    for start in range(0, run.count, verify.BLOCK):
        x = run.inputs(start, min(verify.BLOCK, run.count - start))
        x = x[np.isfinite(x) & ((x < zone.zone_low) | (x > zone.zone_high))]
        if not x.size:
            continue
        exact, low = verify.exact_results(kernel, x, case.rounded)
        grad = np.ones_like(x)
        operands = _verify.arguments(run.kernels[0], x, case.parameters, grad)
        for name, ufunc in zip(OURS, (getattr(run.kernels[0], precision) for precision in OURS), strict=True):
            _update(worst, name, ufunc(*operands), exact, low, x)
        for peer, function in zip(PEERS, others, strict=True):
            if function is not None:
                out = np.ascontiguousarray(function(x), x.dtype)
                with np.errstate(invalid="ignore"):  # signaling NaN are among the inputs
                    signed = np.where(out == 0, np.copysign(out, exact).astype(x.dtype), out)
                _update(worst, peer, signed, exact, low, x)
    cells = [_cell(worst.get(name)) for name in (*OURS, *PEERS)]
    for index, function in enumerate(others, len(OURS)):
        if function is not None:
            for end in (-np.inf, np.inf):
                if np.isnan(function(np.array([end], dtype))[0]):
                    cells[index] += f", NaN at {end}"
    return cells


def _update(worst: dict[str, tuple[float, float]], name: str, out: Array, exact: Array, low: Array, x: Array) -> None:
    known = worst.get(name, (0.0, math.nan))
    found = verify.largest_error(out, exact, low, x, known[0])
    if found is not None:
        worst[name] = found
    else:
        worst.setdefault(name, known)


def _cell(found: tuple[float, float] | None) -> str:
    if found is None:
        return ""
    ulp, at = found
    if math.isnan(at):
        return f"{ulp:.2f}"
    size = "wrong" if math.isinf(ulp) else f"{ulp:.2f}" if ulp < 1000 else f"{ulp:.1e}"
    return f"{size} at {at:.6g}"


HEAD = """# Errors of peers

Written by `python tools/compare_peers_accuracy.py`: the largest error in ULP and where, on the same inputs and against the
same references as [accuracy.md](accuracy.md), over finite inputs outside the zero crossings of derivatives. "wrong" is a
NaN, or an infinity where there is none; a NaN at an infinite input is listed apart, and the sign of a zero is not held
against the peers. NumPy stands for the expressions in the script, with SciPy's functions where there are any. A large
number near the edge of the range mostly means that results below 2^-126 (float32) are flushed to zero.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=4099, help="use every N-th float32 input (default: %(default)s)")
    parser.add_argument("--points", type=int, default=20_000, help="random float64 inputs (default: %(default)s)")
    parser.add_argument("--function", action="append", default=[], metavar="NAME")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args(argv)
    kernels = {kernel for *_, kernel in _kernels.kernel_names()}
    parts = [HEAD, f"{versions()}; {platform.machine()}, our instruction set {runtime.isa}."]
    lines = [
        row for row in ROWS if row.function in kernels and (not options.function or row.function in options.function)
    ]
    for dtype in ("float32", "float64"):
        count = f"every {options.stride}th of all inputs" if dtype == "float32" else "a sample"
        parts.append(f"\n## {dtype}, {count}\n")
        parts.append("| | fastrelu fast | fastrelu accurate | " + " | ".join(PEERS) + " |")
        parts.append("|---" * (3 + len(PEERS)) + "|")
        for row in tqdm(lines, desc=dtype, disable=None):
            for kernel in (row.function, f"{row.function}_backward"):
                cells = measure(row, kernel, dtype, options.stride, options.points)
                parts.append(f"| {kernel} | {' | '.join(cells)} |")
    options.output.write_text("\n".join(parts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
