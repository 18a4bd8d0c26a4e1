"""The cells of the suite: every function and direction, with its NumPy expression, in every mode."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from fastrelu import activations
from fastrelu._catalogue import DATA, required_arguments
from fastrelu._cli.reference import Reference, references

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1, 16, 1000, 100_000, 1_000_000, 16_000_000)
DTYPES = ("float32", "float64")
MODES = ("fresh", "out", "in place")
LARGE = 16_000_000
ACCURATE = (100_000, 1_000_000)  # sizes at which "accurate" is compared with the default, in mode "out"

# At 16 million, modes other than "out" and types other than float32 are measured for these functions only.
MEMORY_BOUND = frozenset(name + suffix for name in ("relu", "silu", "gelu") for suffix in ("", "_backward"))

# The docstrings of gelu have the expression of its default form.
_INNER = "(2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x)"
_GELU_TANH = {
    "gelu": f"0.5 * x * (1 + np.tanh({_INNER}))",
    "gelu_backward": (
        f"grad * (0.5 * (1 + np.tanh({_INNER})) + 0.5 * x * (1 - np.tanh({_INNER}) ** 2)"
        " * (2 / np.pi) ** 0.5 * (1 + 0.134145 * x * x))"
    ),
}


@dataclass(frozen=True)
class Function:
    """One function in one direction.

    Attributes
    ----------
    name : str
        Name in the tables: the public name, but ``gelu_tanh`` for the other form of ``gelu``.
    activation, direction : str
        Name of the forward function and ``"forward"``, ``"backward"`` or ``"from output"``.
    public : str
        Name of the public function.
    keywords : str
        Source of the arguments that select this form.
    expression : str
        The NumPy expression that a user would write.
    data : tuple of str
        The arrays that it takes; the first is the one overwritten in place.
    parameters : dict
        The values of its numeric parameters.
    """

    name: str
    activation: str
    direction: str
    public: str
    keywords: str
    expression: str
    data: tuple[str, ...]
    parameters: dict[str, float] = field(hash=False)

    @property
    def modes(self) -> tuple[str, ...]:
        """The possible modes: a result of another shape cannot be computed in place."""
        return MODES if hasattr(activations, f"{self.activation_public}_") else MODES[:2]

    @property
    def activation_public(self) -> str:
        """Public name of the forward function."""
        return self.public.removesuffix("_backward_from_output").removesuffix("_backward")

    @property
    def forward(self) -> Function:
        """The forward function, whose output a gradient is computed from."""
        return next(f for f in functions() if f.name == self.activation)

    def ours(self, mode: str) -> str:
        """Return the source of the call of fastrelu."""
        name, last = self.public, {"out": "out=out", "in place": f"out={self.data[0]}"}.get(mode, "")
        if mode == "in place" and self.direction == "forward":
            name, last = f"{name}_", ""
        arguments = [*self.data, *required_arguments(self.public), self.keywords, last]
        return f"fr.{name}({', '.join(filter(None, arguments))})"


@dataclass(frozen=True)
class Cell:
    """A cell of the tables."""

    function: Function
    dtype: str
    size: int
    mode: str

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.function.name}|{self.dtype}|{self.size}|{self.mode}"


COPY = Function("copy", "copy", "copy", "copy", "", "x", ("x",), {})


def place(statement: str, mode: str, target: str) -> str:
    """Convert a statement that writes into `out` into one for the mode."""
    return statement.replace("=out)", f"={target})") if mode == "in place" else statement


@cache
def functions() -> tuple[Function, ...]:
    """Return all functions, in the order of the tables."""
    found = []
    for reference in references():
        found.append(_function(reference))
        if reference.name in _GELU_TANH:
            tanh = replace(found[-1], name=reference.name.replace("gelu", "gelu_tanh"), activation="gelu_tanh")
            tanh = replace(tanh, keywords='approximate="tanh"', expression=_GELU_TANH[reference.name])
            found.append(tanh)
    return tuple(found)


def _function(reference: Reference) -> Function:
    signature = inspect.signature(getattr(activations, reference.name)).parameters.values()
    defaults = {p.name: p.default for p in signature if p.name not in DATA and isinstance(p.default, int | float)}
    defaults.pop("where", None)
    return Function(
        name=reference.name,
        activation=reference.activation,
        direction=reference.direction,
        public=reference.name,
        keywords="",
        expression=reference.expression,
        data=reference.data,
        parameters=defaults | required_arguments(reference.name),
    )


def cells() -> Iterator[Cell]:
    """Yield every cell, ordered so that arrays are created once per type and size."""
    for dtype in DTYPES:
        for size in SIZES:
            for function in (COPY, *functions()):
                for mode in MODES:
                    if _measured(function, dtype, size, mode):
                        yield Cell(function, dtype, size, mode)


def _measured(function: Function, dtype: str, size: int, mode: str) -> bool:
    if function is COPY:
        return mode == "out" and size >= 1000
    if mode not in function.modes:
        return False
    if size == LARGE:
        if dtype == "float64":
            return mode == "out" and function.name in MEMORY_BOUND
        return mode == "out" or function.name in MEMORY_BOUND
    return True
