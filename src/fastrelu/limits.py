"""The largest error of every kernel: the only source of the numbers for tests, documentation and users.

An error is ``abs(got - exact) / ulp(exact)``, in units in the last place; 0.5 is correctly rounded. A unit is never
less than the smallest subnormal number, so tails and subnormal results count in full. tools/verify.py measures
the errors, over all float32 inputs and a dense sample of float64, and checks them against this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastrelu import _kernels, _row_kernels, _runtime, runtime
from fastrelu.runtime import Precision

__all__ = ["ZeroCrossing", "error_bound", "zero_crossing"]

# From these values of beta * x on, softplus is its input to the last bit, and its derivative 1: by the type's size.
SOFTPLUS_ENDS = {4: 17.5, 8: 38.0}

# Of the tables below: a type and a precision, and "base" where the bound differs without FMA.
Column = tuple[str, ...]

# The bounds for a kernel without a row of its own. Without FMA, fast float64 kernels lose the accuracy that it brings.
_DEFAULT: dict[Column, float] = {
    ("float32", "fast"): 3.0,
    ("float32", "accurate"): 0.51,
    ("float64", "fast"): 4.0,
    ("float64", "accurate"): 1.1,
    ("float64", "fast", "base"): 5.0,
    ("float64", "accurate", "base"): 1.1,
}

# Measured, and rounded up (tools/verify.py --suggest prints such rows).
_COLUMNS: tuple[Column, ...] = tuple(column for column in _DEFAULT if column != ("float32", "accurate"))
_MEASURED: dict[str, tuple[float, float, float, float, float]] = {
    "bounded_relu": (0.55, 0.55, 0.55, 1.05, 1.05),
    "srelu": (1.05, 1.05, 1.05, 1.3, 1.3),
    "elu": (2.0, 2.3, 0.85, 2.3, 0.85),
    "elu_backward": (1.55, 1.7, 0.85, 1.8, 0.85),
    "celu": (2.55, 2.8, 0.85, 2.65, 0.85),
    "celu_backward": (1.05, 1.2, 0.85, 1.4, 0.85),
    "celu_backward_from_output": (1.3, 1.3, 0.5, 1.3, 0.5),
    "selu": (1.85, 1.7, 0.9, 1.7, 0.9),
    "selu_backward": (1.85, 1.8, 0.9, 1.85, 0.9),
    "selu_backward_from_output": (0.7, 0.7, 0.55, 0.7, 0.55),
    "softplus": (2.8, 2.95, 0.9, 3.55, 0.9),
    "softplus_backward": (2.6, 2.7, 0.85, 2.6, 0.85),
    "softplus_backward_from_output": (1.8, 1.7, 0.9, 1.65, 0.9),
    "log_sigmoid": (2.65, 2.75, 0.85, 2.65, 0.85),
    "log_sigmoid_backward": (2.5, 2.55, 0.85, 2.55, 0.85),
    "log_sigmoid_backward_from_output": (1.0, 1.3, 0.85, 1.25, 0.85),
    "xielu": (2.95, 3.4, 1.05, 3.6, 1.05),
    "xielu_backward": (2.95, 3.4, 0.95, 3.6, 0.95),
    "log1mexp": (2.9, 3.25, 0.85, 3.25, 0.85),
    "log1mexp_backward": (2.55, 3.25, 0.85, 3.25, 0.85),
    "log1mexp_backward_from_output": (1.55, 2.0, 0.85, 2.15, 0.85),
    "squareplus": (2.75, 3.2, 0.9, 3.2, 0.9),
    "squareplus_backward": (2.6, 2.9, 0.85, 3.8, 0.85),
    "squareplus_backward_from_output": (2.5, 2.6, 0.85, 3.45, 0.85),
    "sigmoid": (2.5, 2.55, 0.85, 2.55, 0.85),
    "sigmoid_backward": (2.5, 2.75, 0.85, 2.75, 0.85),
    "sigmoid_backward_from_output": (1.5, 1.7, 0.5, 1.7, 0.5),
    "logit": (2.1, 2.55, 0.85, 2.55, 0.85),
    "logit_backward": (2.3, 2.3, 0.85, 2.3, 0.85),
    "logit_backward_from_output": (3.0, 3.2, 0.85, 3.2, 0.85),
    "tanh": (2.85, 3.25, 0.85, 3.25, 0.85),
    "tanh_backward": (2.5, 2.55, 0.85, 2.55, 0.85),
    "tanh_backward_from_output": (1.5, 1.75, 0.5, 1.75, 0.5),
    "softcap": (2.85, 3.25, 0.85, 4.2, 0.85),
    "softcap_backward": (2.55, 2.85, 0.85, 2.9, 0.85),
    "softcap_backward_from_output": (2.2, 1.9, 0.5, 1.9, 0.5),
    "softsign": (1.5, 1.5, 0.55, 1.5, 0.55),
    "softsign_backward": (2.95, 3.5, 0.85, 3.5, 0.85),
    "softsign_backward_from_output": (1.95, 1.95, 0.5, 1.95, 0.5),
    "hard_sigmoid": (0.7, 0.55, 0.55, 1.0, 1.0),
    "sparse_plus": (0.55, 0.5, 0.5, 1.15, 1.15),
    "silu": (2.4, 2.3, 0.85, 2.35, 0.85),
    "silu_backward": (2.8, 2.8, 0.9, 3.55, 0.9),
    "swish": (2.9, 2.65, 0.9, 2.55, 0.9),
    "swish_backward": (2.95, 3.2, 0.9, 4.35, 0.9),
    "gelu": (5.3, 6.15, 0.85, 7.0, 0.85),
    "gelu_backward": (5.4, 6.35, 0.85, 6.95, 0.85),
    "gelu_tanh": (2.35, 2.25, 0.85, 2.35, 0.85),
    "gelu_tanh_backward": (5.4, 5.2, 0.85, 5.7, 0.85),
    "erf": (1.85, 2.0, 0.85, 1.9, 0.85),
    "erf_backward": (2.0, 2.0, 0.85, 2.2, 0.85),
    "quick_gelu": (2.5, 2.3, 0.9, 2.3, 0.9),
    "quick_gelu_backward": (2.95, 2.9, 0.85, 4.15, 0.85),
    "mish": (2.9, 2.9, 0.85, 3.9, 0.85),
    "mish_backward": (4.8, 4.25, 0.9, 5.0, 0.9),
    "hard_swish": (2.25, 2.25, 0.55, 2.25, 0.55),
    "hard_swish_backward": (1.35, 1.35, 0.5, 1.35, 0.5),
    "hard_swish_line": (2.6, 2.55, 0.85, 2.55, 0.85),
    "hard_swish_line_backward": (1.55, 1.55, 0.85, 1.55, 0.85),
    "dish": (2.8, 2.9, 0.85, 3.2, 0.85),
    "dish_backward": (2.8, 2.9, 1.1, 3.0, 1.1),
    "hard_mish": (0.5, 0.5, 0.5, 0.75, 0.75),
    "tanh_shrink": (2.75, 3.0, 0.85, 3.3, 0.85),
    "tanh_shrink_backward": (2.9, 3.2, 0.85, 3.75, 0.85),
    # Over rows of up to 50,000 elements (tests/test_softmax.py).
    "softmax": (2.8, 3.6, 0.8, 3.8, 0.8),
    "log_softmax": (1.6, 3.4, 0.7, 3.6, 0.7),
    "softmin": (2.8, 3.6, 0.8, 3.8, 0.8),
    "sparsemax": (0.51, 0.51, 0.51, 0.51, 0.51),
}

# Rounded once, in every column; the name of a function stands for all its directions, that of a kernel for itself.
_EXACT = frozenset(
    {
        "elu_backward_from_output",
        "bounded_relu_backward",
        "bounded_relu_backward_from_output",
        "hard_shrink",
        "hard_sigmoid_backward",
        "hard_sigmoid_backward_from_output",
        "hard_tanh",
        "hardmax",
        "identity",
        "leaky_relu",
        "relu",
        "relu6",
        "shrink",
        "soft_shrink",
        "sparse_plus_backward",
        "sparse_plus_backward_from_output",
        "sparse_sigmoid",
        "squared_relu",
        "srelu_backward",
        "threshold",
        "thresholded_relu",
    }
)


class ZeroCrossing(NamedTuple):
    """An interval around a zero of a kernel, where no relative error can be small.

    Attributes
    ----------
    low, high : float
        The interval, in x.
    bound : float
        The largest absolute error in it; outside, :func:`~fastrelu.error_bound` holds.
    """

    low: float
    high: float
    bound: float


# Types that are computed in float32 or float64 and rounded once: (precision "fast", "accurate") are (0.51, 0.5).
_HALVES = frozenset({"float16", "bfloat16"})

# The zero of a derivative; if a parameter scales x, the zero of parameter times x.
_ZEROS: dict[str, float] = {
    "silu_backward": -1.2784645427610738,
    "swish_backward": -1.2784645427610738,
    "quick_gelu_backward": -1.2784645427610738 / 1.702,
    "gelu_backward": -0.7517915246935645,
    "gelu_tanh_backward": -0.7524614220710162,
    "mish_backward": -1.1924312145154952,
    "dish_backward": -0.7861513777574233,
}
# Half the width of the interval, and the bound in units of the type's epsilon.
_CROSSING = (0.25, 0.375)
_CROSSING_ACCURATE_FLOAT32 = (2.0**-10, 2.0**-11)


def _xielu_zero(_alpha_p: float = 0.8, alpha_n: float = 0.8, beta: float = 0.5) -> tuple[float, float, float] | None:
    """Return the zero of xielu below 0, where exp(x) - 1 = (1 - beta / alpha_n) x, and the interval and bound there."""
    if not 0 < beta / (alpha_n or math.inf) < 1:
        return None
    rest = (alpha_n - beta) / alpha_n
    zero = -1 / rest
    if rest > 1 - 1e-4:
        zero = -2 * beta / alpha_n
    else:
        for _ in range(100):  # Newton's method on a convex function, from below
            zero -= (math.expm1(zero) - rest * zero) / (math.exp(zero) - rest)
    return zero, -0.75 * zero, abs(3 * beta * zero)


def _xielu_derivative_zero(
    _alpha_p: float = 0.8, alpha_n: float = 0.8, beta: float = 0.5
) -> tuple[float, float, float] | None:
    """Return the zero of the derivative of xielu below 0, and the interval and bound there."""
    if not 0 < beta / (alpha_n or math.inf) < 1:
        return None
    zero = math.log1p(-beta / alpha_n)
    return zero, 0.75 * min(1, -zero), abs(2 * beta)


# Zeros that move otherwise: from the parameters the zero, half the width of the interval, and what the bound is in units of.
_MOVING: dict[str, Callable[..., tuple[float, float, float] | None]] = {
    "xielu": _xielu_zero,
    "xielu_backward": _xielu_derivative_zero,
}


def _is_sixth(slope: float, offset: float) -> bool:
    """Whether a hard_sigmoid is (x + 3) / 6, which is exact at its ends."""
    return offset == 0.5 and slope in {1 / 6, float(np.float32(1 / 6))}


# For lines: zero crossing, slope and constant term. Without FMA the product's rounding error is lost near the zero.
_LINES: dict[str, Callable[..., list[tuple[float, float, float]]]] = {
    "hard_sigmoid": lambda slope, offset: [] if _is_sixth(slope, offset) else [(-offset / slope, slope, offset)],
    "srelu": lambda t_left, a_left, t_right, a_right: [
        (t - t / a, a, t) for t, a, side in ((t_left, a_left, -1), (t_right, a_right, 1)) if a and side * t / a < 0
    ],
}


def _moved(found: tuple[float, float, float] | None, column: Column, eps: float) -> ZeroCrossing | None:
    if found is None:
        return None
    middle, reach, size = found
    if column == ("float32", "accurate"):
        reach, size = reach * 2.0**-6, size * 2.0**-7
    return ZeroCrossing(middle - reach, middle + reach, size * eps)


def isa_class(isa: str) -> Literal["fma", "base"]:
    """Return whether kernels of an instruction set fuse multiplications with additions, which determines their bits."""
    import platform  # noqa: PLC0415  it costs an import of the package 1.4 ms

    fused = isa != "base" or platform.machine().lower() in {"aarch64", "arm64"}
    return "fma" if fused else "base"


def _column(dtype: Any, precision: Any, isa: str | None) -> Column:
    if dtype is None or isinstance(dtype, np.ndarray):  # NumPy takes None for float64
        raise TypeError(f"dtype must be a type of elements, such as numpy.float32, got {type(dtype).__name__}")
    kind = np.dtype(dtype)
    if precision is None:
        precision = runtime.get_precision()
    if not isinstance(precision, str) or precision not in {"fast", "accurate"}:
        raise ValueError(f'precision must be "fast" or "accurate", got {precision!r}')
    if isa is not None and isa not in _runtime.isa_known:
        raise ValueError(f"unknown instruction set {isa!r}; this platform knows {', '.join(_runtime.isa_known)}")
    if kind.name in _HALVES:
        return (kind.name, precision)
    if kind not in _runtime.dtypes:
        raise ValueError(f"kernels compute in {' and '.join(map(str, _runtime.dtypes))}, not in {kind}")
    base = (kind.name, precision, "base")
    return base if base in _DEFAULT and isa_class(isa or runtime.isa) == "base" else base[:2]


def _function_of(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a function is a str, got {type(name).__name__}")
    if name in _row_kernels.names:
        return name
    for function, _, kernel in _kernels.kernel_names():
        if name == kernel:
            return function
    raise ValueError(f"no function or kernel {name!r}")


def error_bound(name: str, dtype: DTypeLike, *, precision: Precision | None = None, isa: str | None = None) -> float:
    """Return the largest error of a function or gradient, in units in the last place.

    The bound holds for every input, tails and subnormal results included; for a gradient, for the derivative itself
    (a gradient of 1) and outside the interval of :func:`~fastrelu.limits.zero_crossing`. 0.5 is correctly rounded.
    It was measured: over all 2**32 float32 inputs, and over a dense sample of float64 (docs/accuracy.md); of 16-bit types,
    the tests compare all 65,536 inputs in every run.

    Parameters
    ----------
    name : str
        Name of a function such as ``"gelu"``, or of a gradient such as ``"gelu_backward"`` or
        ``"sigmoid_backward_from_output"``; ``"gelu_tanh"`` is GELU with ``approximate="tanh"``.
    dtype : dtype
        float32, float64, float16 or bfloat16.
    precision : {"fast", "accurate"}, optional
        By default the current precision.
    isa : str, optional
        Instruction set, by default the one in use. It matters for float64: without FMA errors are larger.

    Returns
    -------
    float
        The bound in ULP.

    Raises
    ------
    TypeError
        If `dtype` is no dtype.
    ValueError
        If there is no such function, precision or instruction set, or no kernel for `dtype`.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.error_bound("gelu", np.float32, precision="accurate")
    0.51
    >>> fr.error_bound("relu", np.float64)
    0.5
    >>> fr.error_bound("gelu", np.float16), fr.error_bound("gelu", np.float16, precision="accurate")
    (0.51, 0.5)
    """
    column = _column(dtype, precision, isa)
    function = _function_of(name)
    if column[0] in _HALVES:
        return 0.51 if column[1] == "fast" else 0.5
    if _EXACT & {name, function}:
        return 0.5
    row = _MEASURED.get(name)
    return _DEFAULT[column] if row is None or column not in _COLUMNS else row[_COLUMNS.index(column)]


def product_bound(name: str, dtype: DTypeLike, *, precision: Precision | None = None, isa: str | None = None) -> float:
    """Return the same as :func:`error_bound`, for a gradient kernel and any incoming gradient instead of 1."""
    bound = error_bound(name, dtype, precision=precision, isa=isa)
    if np.dtype(dtype).name in _HALVES:
        return 0.51
    if _column(dtype, precision, isa) == ("float32", "accurate") and bound > 0.5:
        return bound  # rounded once, after the product
    # One more rounding, and the product may lie in the lower half of a binade, where the unit is half as large.
    return 2 * bound + 0.5


def zero_crossing(
    name: str,
    dtype: DTypeLike,
    parameters: Sequence[float] = (),
    *,
    precision: Precision | None = None,
    isa: str | None = None,
) -> ZeroCrossing | None:
    """Return the interval around the zero of a derivative, and the largest absolute error in it.

    Parameters
    ----------
    name : str
        Name of a function or gradient.
    dtype : dtype
        float32 or float64.
    parameters : sequence of float, optional
        The parameters of the function, which move the zero.
    precision : {"fast", "accurate"}, optional
        By default the current precision.
    isa : str, optional
        Instruction set, by default the one in use.

    Returns
    -------
    ZeroCrossing or None
        The interval and the bound; None if :func:`~fastrelu.error_bound` holds everywhere.

    Raises
    ------
    ValueError
        As :func:`~fastrelu.error_bound` does.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu.limits import zero_crossing
    >>> round(zero_crossing("silu_backward", np.float32, precision="fast").low, 3)
    -1.528
    >>> zero_crossing("silu", np.float32) is None
    True
    """
    column = _column(dtype, precision, isa)
    _function_of(name)
    if column[0] in _HALVES:
        return None
    eps = float(np.finfo(np.dtype(dtype)).eps)
    if column[-1] == "base" and name in _LINES:
        found = [(zero, abs(size / a) / 2, 2 * abs(size)) for zero, a, size in _LINES[name](*parameters) if size]
        if not found:
            return None
        low = min(zero - reach for zero, reach, _ in found)
        return ZeroCrossing(low, max(zero + reach for zero, reach, _ in found), max(size for *_, size in found) * eps)
    if name in _MOVING:
        return _moved(_MOVING[name](*parameters), column, eps)
    zero = _ZEROS.get(name)
    scale = parameters[0] if parameters else 1.0
    if zero is None or scale == 0:
        return None
    width, bound = _CROSSING_ACCURATE_FLOAT32 if column == ("float32", "accurate") else _CROSSING
    ends = sorted(((zero - width) / scale, (zero + width) / scale))
    return ZeroCrossing(ends[0], ends[1], bound * eps)
