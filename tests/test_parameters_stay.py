"""Parameters stay parameters: nothing that is assigned removes one from its layer, or changes its shape, without a word."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from test_nn import LAYERS

from fastrelu import nn

# One of each kind of layer that has parameters, and the names of these.
KINDS = {type(layer): layer for layer in LAYERS if list(layer._own_parameters())}
OWNED = [(kind, name) for kind, layer in KINDS.items() for name, _ in layer._own_parameters()]
each_parameter = pytest.mark.parametrize(
    ("kind", "name"), OWNED, ids=[f"{kind.__name__}-{name}" for kind, name in OWNED]
)


def fresh(kind: Any, name: str) -> tuple[nn.Module, nn.Parameter]:
    """Return a layer of the kind and its parameter."""
    layer = copy.deepcopy(KINDS[kind])
    return layer, getattr(layer, name)


def test_kinds() -> None:
    """The list has all that learn."""
    assert {kind.__name__ for kind in KINDS} >= {"Linear", "PReLU", "SReLU", "ELU", "CELU", "Softplus", "Swish"}


@each_parameter
@pytest.mark.parametrize(
    "value", [np.float32([0.1]), 0.1, [0.1], np.float32(0.1), True, "0.1", np.ones((7, 7)), (0.1,), 0], ids=repr
)
def test_assigned_values_are_refused(kind: Any, name: str, value: Any) -> None:
    """An array or a number in the place of a parameter would be neither trained nor saved."""
    layer, parameter = fresh(kind, name)
    before, names = parameter.data.copy(), list(layer.state_dict())
    message = (
        f"{kind.__name__}.{name} is a parameter and cannot become {type(value).__name__!r}: set its values with "
        f"{name}.data[...] = values, or assign a Parameter or None"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        setattr(layer, name, value)
    assert getattr(layer, name) is parameter
    assert np.array_equal(parameter.data, before)
    assert list(layer.state_dict()) == names


@each_parameter
def test_another_parameter_takes_its_place(kind: Any, name: str) -> None:
    """It is registered under the name, is trained and saved."""
    layer, parameter = fresh(kind, name)
    other = nn.Parameter(parameter.data + 1)
    setattr(layer, name, other)
    assert dict(layer.named_parameters())[name] is other
    assert np.array_equal(layer.state_dict()[name], parameter.data + 1)
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    layer.backward(np.ones_like(layer(x)))
    assert other.grad is not None
    assert parameter.grad is None


@each_parameter
def test_values_of_another_shape_or_type_are_refused(kind: Any, name: str) -> None:
    """The parameter keeps its values; those of its shape become its values without a copy."""
    layer, parameter = fresh(kind, name)
    memory, shape = parameter.data, re.escape(str(parameter.shape))
    for wrong in (np.zeros((5, 2, 2)), np.zeros(()), 0.0, np.zeros((1, *parameter.shape)), parameter.data[:0]):
        with pytest.raises(
            ValueError, match=rf"parameter of shape {shape} cannot have shape {re.escape(str(np.shape(wrong)))}"
        ):
            parameter.data = wrong  # type: ignore[assignment]  # wrong on purpose
    for dtype in (int, complex, bool, object, np.float16, np.longdouble):
        with pytest.raises(TypeError, match="float32 or float64, not"):
            parameter.data = np.ones(parameter.shape, dtype)
    assert parameter.data is memory
    parameter.data = given = np.ones(parameter.shape, parameter.dtype)
    assert getattr(layer, name).data is given
