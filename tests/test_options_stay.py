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


class Net(nn.Module):
    """A network of the user's around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *arguments: Any) -> Any:
        """Call the layer."""
        return self.layer(*arguments)


def gradients(layer: nn.Module, arguments: tuple[Any, ...], name: str = "", value: Any = None, home: Any = Net) -> Any:
    """Return all gradients of a call of a network, after which an option of the layer in it changes."""
    layer = copy.deepcopy(layer)
    model = home(layer)
    y = model(*(np.array(x) for x in arguments))
    if name:
        setattr(layer, name, value)
    dx = model.backward(np.cos(np.arange(np.size(y), dtype=np.float64)).reshape(np.shape(y)), input_grad=True)
    return [*(dx if isinstance(dx, tuple) else (dx,)), *(p.grad for p in layer.parameters())]


def following(layer: nn.Module) -> nn.Module:
    """Return a network in which the layer follows another one."""
    return nn.Sequential(nn.Linear(5, 5, dtype=np.float64, rng=0), layer)


@pytest.mark.parametrize(
    "layer", [*LAYERS, *MORE, *LOSSES], ids=lambda layer: f"{layer!r} {vars(layer).get('reduction', '')}"
)
def test_options(layer: nn.Module) -> None:
    """The gradient is that of the call that was made."""
    arguments = arguments_of(layer)
    homes = [lambda layer: layer, *([] if layer in LOSSES else [Net]), *([following] if len(arguments) == 1 else [])]
    for home in homes:
        expected = gradients(layer, arguments, home=home)
        for name, value in changes_of(layer):
            found = gradients(layer, arguments, name, value, home)
            for got, wanted in zip(found, expected, strict=True):
                np.testing.assert_array_equal(got, wanted, f"{name} = {value!r}")
