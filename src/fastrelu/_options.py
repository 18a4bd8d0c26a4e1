"""The checks of options: each returns the value, or raises an error that names the option and shows what was given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index


def check_flag(name: str, value: Any) -> None:
    """Refuse an option that is neither True nor False: a string such as "no" would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def real_number(name: str, value: Any) -> float:
    """Return an option that is one real number, perhaps NaN; True and False are none, but meant for another option."""
    plain: Any = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    known = isinstance(plain, (int, float, np.longdouble)) and not isinstance(plain, bool)
    if not known or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(plain)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number that float holds, got an integer of {plain.bit_length()} bits"
        ) from None


def number(name: str, value: Any) -> float:
    """Return an option that is one real number, not NaN."""
    found = real_number(name, value)
    if found != found:  # noqa: PLR0124  NaN is not equal to itself
        raise ValueError(f"{name} must be a number, got {value!r}")
    return found


def at_least(name: str, value: Any, low: float = 0.0) -> float:
    """Return an option that is a number and not too small."""
    found = real_number(name, value)
    if not found >= low:
        raise ValueError(f"{name} must be at least {low:g}, got {value!r}")
    return found


def optional_number(name: str, value: Any) -> float | None:
    """Return an option that is one real number, or None."""
    return None if value is None else number(name, value)


def operand(name: str, value: Any) -> Any:
    """Return an option of a function that takes a number or an array in its place."""
    if type(value) is float or isinstance(value, (bool, int, float, str, bytes, complex)) or value is None:
        return number(name, value)
    if isinstance(value, (np.generic, np.ndarray, list, tuple)):
        kind = np.asarray(value).dtype
        if kind.kind in "iuf" or kind.name == "bfloat16":
            return number(name, value) if np.ndim(value) == 0 else value
    elif hasattr(value, "dtype"):  # of another library: the function takes it or says why not
        return value
    raise TypeError(f"{name} must be a number, or an array of real numbers, got {value!r}")


def optional_operand(name: str, value: Any) -> Any:
    """Return an option of a function that takes a number, an array or None."""
    return None if value is None else operand(name, value)


def integer(name: str, value: Any) -> int:
    """Return an option that is an integer; True and False are none, but meant for another option."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def integers(name: str, value: Any) -> int | tuple[int, ...]:
    """Return an option that is an integer, or a tuple of integers."""
    if not isinstance(value, (tuple, list)):
        return integer(name, value)
    try:
        return tuple(integer(name, each) for each in value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {value!r}") from None


def axis_index(axis: Any, ndim: int) -> int:
    """Return the number from 0 on of an axis that exists."""
    return normalize_axis_index(integer("axis", axis), ndim)


def choice(*choices: str) -> Any:
    """Return the check of an option that is one of some words."""
    *most, last = (f'"{each}"' for each in choices)
    wanted = f"{', '.join(most)} or {last}"

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
        return value

    return check


def data_type(name: str, value: Any) -> np.dtype[Any]:
    """Return an option that is a type; None, for which NumPy takes float64, is none."""
    try:
        if value is None:
            raise TypeError
        found: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a type, such as numpy.float32, got {value!r}") from None
    return found


def generator(rng: Any) -> np.random.Generator:
    """Return the source of random numbers that an option `rng` stands for: a generator, or a seed."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"rng must be a numpy.random.Generator or a seed, which is not negative, got {rng!r}"
        ) from None
