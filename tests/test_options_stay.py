"""An option that changes between a forward and its backward call counts from the next forward call on, as in PyTorch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_nn import LAYERS, inputs, inputs_of

from fastrelu import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

LOSSES: list[nn.Module] = [
    loss(reduction=reduction)
    for loss in (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss)
    for reduction in ("none", "mean", "sum")
]
MORE: list[nn.Module] = [
    *(unit(0, gate="first") for unit in (nn.GLU, nn.SwiGLU, nn.GEGLU, nn.ReGLU)),
    nn.SwiGLU(0, beta=0.5, limit=1.5, offset=0.5),
    nn.GumbelSoftmax(0.7, rng=0),
    nn.GumbelSoftmax(hard=True, rng=0),
    nn.Softmax(softcap=2.0),
]
VALUES: list[Any] = [
    *(0, 1, 2, -1, -2, 3, 0.25, 0.5, 1.5, 2.5, 6.5, -0.75, 30.0, None, True, False),
    *("first", "second", "halves", "interleaved", "none", "tanh", "mean", "sum", (0, 1)),
]


def options_of(layer: nn.Module) -> list[str]:
    """Return the attributes that are neither parameters nor of the library's own."""
    own = [name for name, value in vars(layer).items() if not isinstance(value, (nn.Parameter, nn.Module))]
    return [name for name in own if not name.startswith("_") and name not in {"training", "inplace"}]


def changes_of(layer: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield options with other values that the layer accepts."""
    for name in options_of(layer):
        for value in VALUES:
            other = copy.deepcopy(layer)
            if isinstance(before := getattr(layer, name), type(value)) and before == value:
                continue
            try:
                setattr(other, name, value)
            except (TypeError, ValueError):
                continue
            yield name, value


def arguments_of(layer: nn.Module) -> tuple[Any, ...]:
    """Return what a layer can be called with."""
    if layer in LOSSES:
        return inputs(), abs(inputs(1)) % 1
    return (inputs_of(layer),) * (2 if isinstance(layer, (nn.Add, nn.Multiply, nn.Concatenate)) else 1)


def gradients(layer: nn.Module, arguments: tuple[Any, ...], name: str = "", value: Any = None) -> list[Any]:
    """Return all gradients of a call, after which an option changes."""
    layer = copy.deepcopy(layer)
    y = layer(*(np.array(x) for x in arguments))
    if name:
        setattr(layer, name, value)
    dx = layer.backward(np.cos(np.arange(np.size(y), dtype=np.float64)).reshape(np.shape(y)))
    return [*(dx if isinstance(dx, tuple) else (dx,)), *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize(
    "layer", [*LAYERS, *MORE, *LOSSES], ids=lambda layer: f"{layer!r} {vars(layer).get('reduction', '')}"
)
def test_options(layer: nn.Module) -> None:
    """The gradient is that of the call that was made."""
    arguments = arguments_of(layer)
    expected = gradients(layer, arguments)
    for name, value in changes_of(layer):
        for got, wanted in zip(gradients(layer, arguments, name, value), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, f"{name} = {value!r}")
