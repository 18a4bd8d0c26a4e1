"""Every option that is True or False refuses anything else: a string such as "no" would count as True."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import diagnostics, nn, optim

GIVEN = np.ones((2, 3), np.float32)
# What a call needs beside the option; any other callable is called with an array for each required argument.
ARGUMENTS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "Linear": lambda: (3, 2),
    "Threshold": lambda: (0.1, 0.0),
    "Softcap": lambda: (30.0,),
    "SGD": lambda: ([nn.Parameter(GIVEN)], 0.1),
    "Adam": lambda: ([nn.Parameter(GIVEN)],),
    "AdamW": lambda: ([nn.Parameter(GIVEN)],),
    "clip_grad_norm_": lambda: ([nn.Parameter(GIVEN)], 1.0),
    "load_state_dict": lambda: (nn.Linear(3, 2).state_dict(),),
}
# Objects whose methods have options.
OBJECTS = [
    nn.Linear(3, 2),
    nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
    nn.Identity(),
    nn.BCELoss(),
    nn.Parameter(GIVEN),
    optim.SGD([nn.Parameter(GIVEN)], 0.1),
]


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every public function and class, and every method of an object of each kind."""
    for module in (fr, nn, nn.init, nn.utils, optim, diagnostics):
        for name in getattr(module, "__all__", dir(module)):
            if name.startswith("_"):
                continue
            value = getattr(module, name)
            if callable(value) and value is not nn.Activation:
                yield f"{module.__name__}.{name}", value
    for thing in OBJECTS:
        for name, method in inspect.getmembers(thing, inspect.ismethod):
            if not name.startswith("_"):
                yield f"{type(thing).__name__}.{name}", method


def flags() -> Iterator[Any]:
    """Yield each callable with each of its options whose default is True or False; `where=` is a mask."""
    for name, function in callables():
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:  # a class of C without a signature
            continue
        for parameter in parameters:
            if isinstance(parameter.default, bool) and parameter.name != "where":
                yield pytest.param(function, parameter.name, id=f"{name}-{parameter.name}")


@pytest.mark.parametrize("value", ["no", None, 2], ids=repr)
@pytest.mark.parametrize(("function", "option"), list(flags()))
def test_flags(function: Callable[..., Any], option: str, value: Any) -> None:
    """The error names the option and what it got."""
    name = function.__name__
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    arguments = ARGUMENTS[name]() if name in ARGUMENTS else (GIVEN,) * len(required)
    with pytest.raises(TypeError, match=f"{option} must be True or False, got {value!r}"):
        function(*arguments, **{option: value})
