"""The parser and the numbers of the command line; errors are one line."""

from __future__ import annotations

import argparse
import contextlib
import reprlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastrelu._cli import guard

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_CONSTANTS = {"True": True, "False": False, "None": None}
LAYOUTS = ("C", "F", "sliced")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        guard.say(f"{self.prog}: error: {message} (see --help)")
        self.exit(2)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write help or version; argparse would drop the error of a full disk."""
        (file or sys.stderr).write(message)


def integer(text: str, least: int = 1) -> int:
    """Read an integer."""
    digits = text.isascii() and text.isdecimal()  # int() also accepts blanks, underscores and the digits of all scripts
    if digits and len(text) > 18:  # int() refuses very long ones
        raise argparse.ArgumentTypeError(f"must have at most 18 digits, got {reprlib.repr(text)}")
    if not digits or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, got {reprlib.repr(text)}")
    return int(text)


def positive(text: str) -> float:
    """Read a real number above 0 that is small enough for a step and for a span."""
    from fastrelu.diagnostics.curves import LARGEST  # noqa: PLC0415  most commands do not need it

    try:
        number = float(text) if text.isascii() else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"must be a positive number, got {reprlib.repr(text)}; the largest is {LARGEST:g}"
        )
    return number


def shape(text: str) -> tuple[int, ...]:
    """Read a shape such as ``1000,1000``."""
    parts = [part.strip() for part in text.split(",")]
    if not parts[-1]:  # no size at all, or a comma after the last one as in Python
        del parts[-1]
    if not all(part.isascii() and part.isdecimal() and len(part) <= 18 for part in parts):
        raise argparse.ArgumentTypeError(f"must be sizes such as 1000,1000, got {text!r}")
    return tuple(map(int, parts))


def dtype(text: str) -> np.dtype[Any]:
    """Read the name of a type."""
    try:
        return np.dtype(text)
    except TypeError:
        raise argparse.ArgumentTypeError(f"must be a NumPy type such as float32, got {text!r}") from None


def assignment(text: str) -> tuple[str, Any]:
    """Read a parameter such as ``alpha=0.5``: a number, True, False, None, or else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"must be a parameter and its value such as alpha=0.5, got {text!r}")
    if value in _CONSTANTS:
        return name, _CONSTANTS[value]
    for kind in (int, float):  # an axis is an integer
        with contextlib.suppress(ValueError):
            return name, kind(value)
    return name, value
