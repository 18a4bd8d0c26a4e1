"""The largest error of every kernel: the one place for the numbers that tests, documentation and users read.

An error is ``abs(got - exact) / ulp(exact)``, in units in the last place; 0.5 is correctly rounded. A unit is never
less than the smallest subnormal number, so tails and subnormal results count in full. tools/verify.py measures
the errors, over all float32 inputs and a dense sample of float64, and checks them against what stands here.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastrelu import _core, runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from fastrelu.runtime import Precision

__all__ = ["ZeroCrossing", "error_bound", "zero_crossing"]

Flavour = Literal["float32 fast", "float32 accurate", "float64 fast", "float64 accurate", "float64 base"]

# Flavours of a kernel, and what holds unless a row below says otherwise.
_DEFAULT: dict[Flavour, float] = {
    "float32 fast": 3.0,
    "float32 accurate": 0.51,
    "float64 fast": 4.0,
    "float64 accurate": 1.1,
    "float64 base": 5.0,
}

# float32 fast, float64 fast, float64 accurate, float64 without FMA; by kernel, else by function
_MEASURED: dict[str, tuple[float, float, float, float]] = {
    "gelu": (6.0, 8.0, 1.1, 9.0),
    "gelu_backward": (6.0, 8.0, 1.1, 9.0),
    "gelu_tanh_backward": (6.0, 4.0, 1.1, 9.0),
    "mish_backward": (6.0, 4.0, 1.1, 5.0),
}
_ACCURATE_FLOAT32: dict[str, float] = {}

# One rounding at most, in every flavour.
_EXACT = frozenset(
    {"hard_shrink", "hard_tanh", "leaky_relu", "relu", "relu6", "soft_shrink", "sparse_sigmoid", "squared_relu"}
    | {"threshold", "thresholded_relu"}
)


@dataclass(frozen=True)
class ZeroCrossing:
    """An interval around a zero of a kernel, where no relative error can be small.

    Attributes
    ----------
    low, high : float
        The interval, in x.
    bound : float
        The largest absolute error there; outside, :func:`error_bound` holds.
    """

    low: float
    high: float
    bound: float


# The zero of a derivative; where the function has a parameter that scales x, that of parameter times x.
_ZEROS: dict[str, float] = {
    "silu_backward": -1.2784645427610738,
    "swish_backward": -1.2784645427610738,
    "quick_gelu_backward": -1.2784645427610738 / 1.702,
    "gelu_backward": -0.7517915246935645,
    "gelu_tanh_backward": -0.7524614220710162,
    "mish_backward": -1.1924312145154952,
}
# Half the width of the interval, and the bound in units of the type's epsilon.
_CROSSING: dict[Flavour, tuple[float, float]] = {
    "float32 fast": (0.25, 0.375),
    "float32 accurate": (2.0**-10, 2.0**-11),
    "float64 fast": (0.25, 0.375),
    "float64 accurate": (0.25, 0.375),
    "float64 base": (0.25, 0.375),
}


def isa_class(isa: str) -> Literal["fma", "base"]:
    """Return whether kernels of an instruction set fuse multiplications with additions, which decides their bits."""
    fused = isa != "base" or platform.machine().lower() in {"aarch64", "arm64"}
    return "fma" if fused else "base"


def _flavour(dtype: DTypeLike, precision: Precision | None, isa: str | None) -> Flavour:
    kind = np.dtype(dtype)
    if precision is None:
        precision = runtime.get_precision()
    if precision not in {"fast", "accurate"}:
        raise ValueError(f'precision must be "fast" or "accurate", got {precision!r}')
    if isa is not None and isa not in _core.isa_known:
        raise ValueError(f"unknown instruction set {isa!r}; this platform knows {', '.join(_core.isa_known)}")
    if kind == np.float32:
        return "float32 fast" if precision == "fast" else "float32 accurate"
    if kind != np.float64:
        raise ValueError(f"kernels compute in float32 and float64, not in {kind}")
    if isa_class(isa or runtime.isa) == "base":
        return "float64 base"
    return "float64 fast" if precision == "fast" else "float64 accurate"


def _function_of(name: str) -> str:
    for function, _, kernel in _core.kernel_names():
        if name == kernel:
            return function
    raise ValueError(f"no function or kernel {name!r}")


def error_bound(
    name: str, dtype: DTypeLike, *, precision: Precision | None = None, isa: str | None = None
) -> float:
    """Return the largest error of a function or gradient, in units in the last place.

    The bound holds for every input, tails and subnormal results included; for a gradient, for the derivative itself
    (a gradient of 1) and outside the interval of :func:`~fastrelu.limits.zero_crossing`. 0.5 is correctly rounded.
    It was measured: over all 2**32 float32 inputs, and over a dense sample of float64 (docs/accuracy.md).

    Parameters
    ----------
    name : str
        Name of a function such as ``"gelu"``, or of a gradient such as ``"gelu_backward"`` or
        ``"sigmoid_backward_from_output"``; ``"gelu_tanh"`` is GELU with ``approximate="tanh"``.
    dtype : dtype
        float32 or float64.
    precision : {"fast", "accurate"}, optional
        By default the precision in force.
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
    """
    flavour = _flavour(dtype, precision, isa)
    function = _function_of(name)
    if function in _EXACT:
        return 0.5
    if flavour == "float32 accurate":
        return _ACCURATE_FLOAT32.get(name, _DEFAULT[flavour])
    row = _MEASURED.get(name)
    if row is None:
        return _DEFAULT[flavour]
    columns: dict[Flavour, int] = {"float32 fast": 0, "float64 fast": 1, "float64 accurate": 2, "float64 base": 3}
    return row[columns[flavour]]


def product_bound(
    name: str, dtype: DTypeLike, *, precision: Precision | None = None, isa: str | None = None
) -> float:
    """Return what :func:`error_bound` returns, for a gradient kernel and any gradient instead of 1."""
    bound = error_bound(name, dtype, precision=precision, isa=isa)
    if _flavour(dtype, precision, isa) == "float32 accurate" and bound > 0.5:
        return bound  # rounded once, after the product
    # One more rounding, and the product may lie in the lower half of a binade, where the unit is half as large.
    return min(2 * bound + 0.5, max(bound, 4.0))


def zero_crossing(
    name: str,
    dtype: DTypeLike,
    parameters: Sequence[float] = (),
    *,
    precision: Precision | None = None,
    isa: str | None = None,
) -> ZeroCrossing | None:
    """Return where a derivative crosses zero, and the largest absolute error there.

    Parameters
    ----------
    name : str
        Name of a function or gradient.
    dtype : dtype
        float32 or float64.
    parameters : sequence of float, optional
        The parameters of the function, which move the zero.
    precision : {"fast", "accurate"}, optional
        By default the precision in force.
    isa : str, optional
        Instruction set, by default the one in use.

    Returns
    -------
    ZeroCrossing or None
        The interval and the bound; None where :func:`~fastrelu.error_bound` holds everywhere.

    Raises
    ------
    ValueError
        As :func:`~fastrelu.error_bound` does.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu.limits import zero_crossing
    >>> zero_crossing("silu_backward", np.float32, precision="fast").low
    -1.5284645427610738
    >>> zero_crossing("silu", np.float32) is None
    True
    """
    flavour = _flavour(dtype, precision, isa)
    _function_of(name)
    zero = _ZEROS.get(name)
    scale = parameters[0] if parameters else 1.0
    if zero is None or scale == 0:
        return None
    width, bound = _CROSSING[flavour]
    ends = sorted(((zero - width) / scale, (zero + width) / scale))
    return ZeroCrossing(ends[0], ends[1], bound * float(np.finfo(np.dtype(dtype)).eps))
