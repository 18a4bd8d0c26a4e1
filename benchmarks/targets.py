"""The targets of the package, each reported as met or missed."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from functions import MODES, SIZES, functions

FASTEST, LIMIT = "fastest", "limit"  # the other side of a target, if it is not one package


class Target(NamedTuple):
    """A ratio to reach in each of some cells."""

    title: str
    names: tuple[str, ...]
    against: tuple[str, ...]  # packages, FASTEST (of all peers) or LIMIT (the streamed copy, in bytes per second)
    least: float
    sizes: tuple[int, ...]
    modes: tuple[str, ...] = ("out",)
    dtype: str = "float32"

    @property
    def places(self) -> set[tuple[str, int, str]]:
        """Type, elements and mode of its cells."""
        return {*product([self.dtype], self.sizes, self.modes)}


SMOOTH = (
    *("elu", "celu", "selu", "softplus", "log_sigmoid", "squareplus", "sigmoid", "tanh", "softsign", "silu", "swish"),
    *("gelu", "gelu_tanh", "quick_gelu", "mish", "tanh_shrink"),
)
_FORWARD = tuple(f.name for f in functions() if f.direction == "forward")
_ALL = tuple(f.name for f in functions())
_MIDDLE = (100_000, 1_000_000)
_LARGE = (16_000_000,)
_PYTORCH = {
    1.4: ("sigmoid",),
    1.5: ("silu",),
    1.05: ("gelu",),
    6.0: ("tanh", "mish", "mish_backward"),
    5.0: ("elu",),
    2.5: ("softplus", "log_sigmoid"),
    3.0: ("gelu_tanh",),
    1.2: ("silu_backward", "sigmoid_backward_from_output", "tanh_backward_from_output"),
    1.6: ("gelu_backward",),
    1.8: ("elu_backward", "softplus_backward"),
}
_WITHOUT_TANH = tuple(name for name in SMOOTH if name != "tanh")
_STRONGER = ("gelu", "mish")

TARGETS = (
    Target("relu, 16 elements, new array", ("relu",), ("numpy",), 4.0, (16,), ("fresh",)),
    Target("relu, 16 elements, into an array", ("relu",), ("numpy",), 1 / 0.15, (16,)),
    Target("relu, 100,000 elements", ("relu",), ("numpy",), 5.0, (100_000,)),
    Target("relu, 16 million, in place", ("relu",), ("numpy",), 2.0, _LARGE, ("in place",)),
    Target("relu, 16 million", ("relu",), (FASTEST,), 1.3, _LARGE),
    Target("relu, 16 million, next to a streamed copy", ("relu",), (LIMIT,), 0.9, _LARGE),
    Target("relu, 16 million, new array", ("relu",), ("numpy", "torch", "jax"), 3.0, _LARGE, ("fresh",)),
    Target("relu, 16 million, new array", ("relu",), ("onnxruntime",), 1.2, _LARGE, ("fresh",)),
    Target("relu, 16 million, in place", ("relu",), (FASTEST,), 0.95, _LARGE, ("in place",)),
    Target("relu, one element", ("relu",), (FASTEST,), 3.0, (1,), MODES),
    Target("one element", _FORWARD, (FASTEST,), 2.0, (1,), MODES),
    Target(
        "backward, 16 million",
        tuple(f"{name}_backward" for name in ("relu", "leaky_relu", "elu", "silu", "gelu")),
        (FASTEST,),
        1.2,
        _LARGE,
    ),
    *(Target("next to PyTorch", names, ("torch",), least, _MIDDLE) for least, names in _PYTORCH.items()),
    Target("next to the NumPy expression", _WITHOUT_TANH, ("numpy",), 4.0, _MIDDLE),
    Target("next to NumPy", ("tanh",), ("numpy",), 2.0, _MIDDLE),
    Target("next to PyTorch", _STRONGER, ("torch",), 2.0, _MIDDLE, dtype="float64"),
    Target(
        "next to PyTorch",
        tuple(name for name in SMOOTH if name not in _STRONGER),
        ("torch",),
        1.0,
        _MIDDLE,
        dtype="float64",
    ),
    Target("every function, everywhere", _ALL, (FASTEST,), 1.0, SIZES, MODES),
    Target("every function, everywhere", _ALL, (FASTEST,), 1.0, SIZES, MODES, "float64"),
)
