"""The exact answers: inputs, exact values and errors, from the references of the tests."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu._catalogue import in_domain
from fastrelu.limits import zero_crossing

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from specs import SPECS

if TYPE_CHECKING:
    from functions import Function
    from numpy.typing import NDArray

BLOCK = 100_000  # elements drawn; larger inputs repeat them
EVEN = 1024  # of them, at the end, evenly spaced over this interval instead, to reach into the tails
INTERVAL = (-8.0, 8.0)
INPUTS = f"2 N(0, 1), with {EVEN:,} of {BLOCK:,} values evenly spaced in [{INTERVAL[0]:g}, {INTERVAL[1]:g}]"
CROSSING = 2.0**-4  # errors around a zero of a derivative are relative to it
_DIRECTIONS = {"forward": 0, "backward": 1, "from output": 2}


@cache
def inputs(function: Function, dtype: str) -> dict[str, NDArray[Any]]:
    """Return a block of each array that a function takes."""
    rng = np.random.default_rng(0)
    x = 2 * rng.standard_normal(BLOCK)
    x[-EVEN:] = np.linspace(*INTERVAL, EVEN)
    x = x if function.name == "copy" else in_domain(function.activation_public, x)
    arrays = {"x": x.astype(dtype), "grad": rng.standard_normal(BLOCK).astype(dtype)}
    if "y" in function.data:
        forward = function.forward
        call = getattr(fr, forward.public)
        with fr.precision("accurate"), fr.threads(1):
            arrays["y"] = call(arrays["x"], **forward.parameters)
    return {name: arrays[name] for name in function.data}


def exact(function: Function, dtype: str, size: int, ends: int) -> NDArray[Any]:
    """Return the answer for an input of some size, in a wider type; of a long one the first and last elements.

    Parameters
    ----------
    function : Function
        The function.
    dtype : str
        Type of the arrays.
    size : int
        Elements of the input.
    ends : int
        Number of elements to return from each end, if there are more than twice as many.

    Returns
    -------
    ndarray
        float64 for float32, long double for float64.
    """
    wide = np.float64 if dtype == "float32" else np.longdouble
    found = {name: take_ends(array, size, ends).astype(wide) for name, array in inputs(function, dtype).items()}
    if function.name == "copy":
        return found["x"]
    if function.name == "crelu":
        halves = np.concatenate([np.maximum(found["x"], 0), np.maximum(np.negative(found["x"]), 0)])
        return halves if size <= 2 * ends else np.concatenate([halves[:ends], halves[-ends:]])
    value = found["y" if "y" in found else "x"]
    # prelu is leaky_relu with an array as slope.
    spec = SPECS["leaky_relu" if function.activation == "prelu" else function.activation]
    kind = np.dtype(dtype).type
    numbers = tuple(function.parameters.values())
    if len(numbers) != len(spec.params[0]):  # a default that is None, or chooses a kernel without parameters
        numbers = spec.params[0]
    parameters = [wide(kind(number)) for number in numbers]
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        answer = np.asarray(spec.reference(_DIRECTIONS[function.direction])(value, *parameters), wide)
    return answer if function.direction == "forward" else np.multiply(answer, found["grad"])


def take_ends(block: NDArray[Any], size: int, ends: int) -> NDArray[Any]:
    """Return the beginning and the end of `size` elements of the repeated block."""
    if size <= 2 * ends:
        return np.resize(block, size)
    return np.concatenate([block[:ends], np.roll(block, -(size % len(block)))[-ends:]])


def largest_error(function: Function, dtype: str, size: int, got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the largest error of a sample in units in the last place.

    Near a zero crossing, where relative errors have no limit, and below 2**-20 the unit is that of a larger number.
    """
    floor = np.full(wanted.shape, 2.0**-20)
    if function.activation in SPECS and function.direction != "from output":
        crossing = zero_crossing(function.name, dtype, tuple(function.parameters.values()), precision="fast")
        if crossing:
            x = take_ends(inputs(function, dtype)["x"], size, len(got) // 2 if len(got) < size else size)
            floor[(x >= crossing.low) & (x <= crossing.high)] = CROSSING
    info = np.finfo(got.dtype)
    exponent = np.frexp(np.maximum(np.abs(wanted), floor))[1] - 1
    unit = np.ldexp(wanted.dtype.type(1), exponent - info.nmant)
    return float(np.max(np.abs(got - wanted) / unit, initial=0.0))


def right(got: NDArray[Any], wanted: NDArray[Any], tolerance: float | None = None) -> bool:
    """Tell whether ``|got - wanted| <= tolerance (1 + |wanted|)``, by default 64 eps of the type."""
    allowed = 64 * float(np.finfo(got.dtype).eps) if tolerance is None else tolerance
    return got.shape == wanted.shape and bool(np.all(np.abs(got - wanted) <= allowed * (1 + np.abs(wanted))))
