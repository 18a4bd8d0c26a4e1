"""Times every activation and gradient against the NumPy expression it replaces."""

from __future__ import annotations

import statistics
import timeit
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrelu as fr
from fastrelu._cli.reference import agrees, evaluate
from fastrelu._host import usable_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fastrelu._cli.reference import Reference

_ROUND = 5e-4  # least seconds of one timing: far above the clock's resolution


@dataclass(frozen=True)
class Row:
    """One line of the table; times are nanoseconds per element of the input."""

    name: str
    direction: str
    ours: float
    numpy: float
    numpy_allocates: bool
    equal: bool

    @property
    def ratio(self) -> float:
        """NumPy's time divided by ours."""
        return self.numpy / self.ours


def alternate(sources: Sequence[str], names: dict[str, Any], rounds: int) -> list[float]:
    """Time statements in turn and return the median seconds of one run of each.

    Parameters
    ----------
    sources : sequence of str
        The statements.
    names : dict
        Variables of the statements.
    rounds : int
        How often each is timed. Statements alternate, so that a change of the machine's speed affects all of them.

    Returns
    -------
    list of float
        One median per statement.
    """
    timers = [timeit.Timer(source, globals=names) for source in sources]
    repeats = []
    for timer in timers:
        once = min(timer.repeat(3, 1))
        repeats.append(max(1, round(_ROUND / max(once, 1e-8))))
    times: list[list[float]] = [[] for _ in timers]
    for _ in range(rounds):
        for timer, number, found in zip(timers, repeats, times, strict=True):
            found.append(timer.timeit(number) / number)
    return [statistics.median(found) for found in times]


def measure(reference: Reference, size: int, dtype: str, rounds: int, *, reuse: bool) -> Row:
    """Time one function and its expression on the same input, and compare the answers.

    Parameters
    ----------
    reference : Reference
        The function and its expression.
    size : int
        Number of elements.
    dtype : str
        ``"float32"`` or ``"float64"``.
    rounds : int
        Timings of each side.
    reuse : bool
        Whether both sides write into a given buffer, if the expression can.

    Returns
    -------
    Row
        The medians.
    """
    names = reference.variables(size, dtype)
    ours = reference.call(out=reuse)
    into = reference.expression_into if reuse else None
    equal = agrees(evaluate(ours, names).copy(), evaluate(reference.expression, names))
    times = alternate([ours, into or reference.expression], names, rounds)
    return Row(
        name=reference.activation,
        direction=reference.direction,
        ours=times[0] / size * 1e9,
        numpy=times[1] / size * 1e9,
        numpy_allocates=into is None,
        equal=equal,
    )


def check_memory(size: int, dtype: str) -> None:
    """Raise MemoryError if the elements do not fit into memory; the system might kill the process instead."""
    needed = size * (4 * np.dtype(dtype).itemsize + 8)  # inputs, gradient, both results; random numbers are float64
    if needed > usable_memory():
        raise MemoryError(
            f"{size:,} elements of {dtype} need at least {needed / 1e9:,.1f} GB, "
            f"and this process may use {usable_memory() / 1e9:,.1f} GB"
        )


def heading(size: int, dtype: str, *, reuse: bool) -> Iterator[str]:
    """Yield the lines that describe the table."""
    config = fr.config()
    yield (
        f"fastrelu {config['version']} ({config['isa']}, threads: {config['threads']}, {config['precision']}) "
        f"and NumPy {config['numpy']}; {size:,} elements of {dtype}, inputs 2 * N(0, 1)"
    )
    if reuse:
        yield "Both sides write into an existing array; * marks expressions that cannot and allocate their result."
    else:
        yield "Both sides allocate their result."
    yield "NumPy's side is the expression in the function's docstring; medians of alternating rounds."
    yield "equal: |ours - NumPy| <= 64 eps (1 + |NumPy|)"
    yield ""
    yield f"{'':<36} {'ns per element':>17} {'NumPy /':>9}"
    yield f"{'function':<20} {'direction':<15} {'ours':>8} {'NumPy':>8}  {'ours':>8}  equal"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    for row in rows:
        star = "*" if row.numpy_allocates else " "
        yield (
            f"{row.name:<20} {row.direction:<15} {row.ours:>8.3f} {row.numpy:>8.3f}{star} {row.ratio:>8.2f}  "
            f"{'yes' if row.equal else 'NO'}"
        )
