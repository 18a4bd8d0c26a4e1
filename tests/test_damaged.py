"""Pickles of layers, losses, containers, parameters and optimizers whose state is damaged or another object's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from test_nn import LAYERS, inputs_of

from fastrelu import nn, optim
from fastrelu.nn.module import Layer

WRONG: list[Any] = ["a", {}, [1], 0.25j, np.ones((7, 7)), None, 1.5, nn.ReLU(), nn.Parameter(np.ones(7))]
LOSSES = [
    nn.MSELoss(),
    nn.L1Loss("sum"),
    nn.HuberLoss(delta=2.0),
    nn.SmoothL1Loss(beta=0.5),
    nn.BCELoss(np.ones(3)),
    nn.BCEWithLogitsLoss(pos_weight=np.ones(3)),
    nn.CrossEntropyLoss(np.ones(3), label_smoothing=0.1),
    nn.NLLLoss(ignore_index=1),
]
OTHERS = [
    nn.GLU(),
    nn.SwiGLU(limit=2.0),
    nn.GEGLU(),
    nn.ReGLU(),
    nn.GumbelSoftmax(),
    nn.Dropout(rng=0),
    nn.RReLU(rng=0),
]
MODULES = [*LAYERS, *LOSSES, *OTHERS, nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.Linear(2, 3)})]
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: repr(module).replace("\n", " "))


def with_state(module: Any, state: Any) -> Any:
    """Return what unpickling makes of a state."""
    made: Any = object.__new__(type(module))
    made.__setstate__(state)
    return made


@each_module
def test_missing_attributes(module: Any) -> None:
    """A state without one of its attributes is refused by name, or gives a module that works as before."""
    module = copy.deepcopy(module)
    state = module.__getstate__()
    assert repr(with_state(module, state)) == repr(module)
    for name in state:
        less = {other: value for other, value in state.items() if other != name}
        try:
            made = with_state(module, less)
        except ValueError as error:
            assert f"the state of a {type(module).__name__} is damaged" in str(error)  # noqa: PT017  or there is none
            assert name in str(error)  # noqa: PT017  or there is none
        else:
            assert repr(made) == repr(module)
            if any(type(module) is type(layer) for layer in LAYERS):
                made(inputs_of(module))


@each_module
def test_attributes_of_another_kind(module: Any) -> None:
    """They are refused in words that name them, or are ones that the module takes."""
    module = copy.deepcopy(module)
    state = module.__getstate__()
    for name in state:
        for value in WRONG:
            try:
                made = with_state(module, {**state, name: value})
            except (TypeError, ValueError) as error:
                assert type(module).__name__ in str(error)  # noqa: PT017  or there is none
            else:
                assert isinstance(repr(made), str)
                if isinstance(module, Layer) and name[0] != "_" and not isinstance(state[name], nn.Parameter):
                    setattr(copy.deepcopy(module), name, value)  # takes it too


@pytest.mark.parametrize("state", ["a", None, [1], ({}, {}), {1: 2}], ids=str)
@each_module
def test_states_that_are_none(module: Any, state: Any) -> None:
    """What is no dict of attributes is refused."""
    with pytest.raises((TypeError, ValueError), match=type(module).__name__):
        with_state(module, state)


def test_states_of_other_classes() -> None:
    """A layer with options refuses the state of one without them; nothing is half made."""
    for module in MODULES:
        for other in MODULES:
            if type(other) is not type(module):
                names = set(type(module)._state_names())
                state = other.__getstate__()
                if names - set(state):
                    with pytest.raises(ValueError, match=f"the state of a {type(module).__name__} is damaged"):
                        with_state(module, state)


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": nn.Parameter(np.ones((3, 4)))},
        {"bias": nn.Parameter(np.ones(4))},
        {"bias": np.ones(2)},
        {"in_features": 7},
        {"out_features": 7},
    ],
    ids=str,
)
def test_shapes_of_linear(changes: dict[str, Any]) -> None:
    """Weights, bias and the numbers of features belong together."""
    layer = nn.Linear(3, 2)
    with pytest.raises((TypeError, ValueError), match="the state of a Linear is damaged"):
        with_state(layer, {**layer.__getstate__(), **changes})


def test_parameters() -> None:
    """A state of a parameter has all of it, of its kind and shape."""
    parameter = nn.Parameter(np.ones((2, 3)))
    parameter.grad = np.zeros((2, 3))
    reduced: Any = parameter.__reduce_ex__(2)
    slots: dict[str, Any] = reduced[2][1]
    again = with_state(parameter, (None, slots))
    assert np.array_equal(again.data, parameter.data)
    for name in set(slots) - {"_updated"}:  # which is counted anew
        with pytest.raises(TypeError, match="the state of a Parameter is damaged"):
            with_state(parameter, (None, {other: value for other, value in slots.items() if other != name}))
        for value in ("a", [1.0], np.ones(7), np.ones((2, 3), complex)):
            if name == "_buffer" and isinstance(value, np.ndarray):
                continue  # memory of another shape is not used
            with pytest.raises((TypeError, ValueError), match=r"damaged|layers hold|must be True or False"):
                with_state(parameter, (None, {**slots, name: value}))


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_optimizers(kind: Any) -> None:
    """An unpickled optimizer continues to the bit; a damaged state is refused, whatever of it is wrong."""
    parameter = nn.Parameter(np.ones(3, np.float32))
    optimizer = kind([parameter], lr=0.1, **({"momentum": 0.9} if kind is optim.SGD else {}))
    parameter.grad = np.array([1, 2, 3], np.float32)
    optimizer.step()
    again = pickle.loads(pickle.dumps(optimizer))
    for each in (optimizer, again):
        each.params[0].grad = np.array([3, 2, 1], np.float32)
        each.step()
    assert again.params[0].data.tobytes() == parameter.data.tobytes()
    state = optimizer.__getstate__()
    group = state["param_groups"][0]
    kept = state["state"][parameter]
    damaged: list[Any] = ["a", None, {}, *({k: v for k, v in state.items() if k != name} for name in state)]
    damaged += [{**state, name: value} for name in state for value in ("a", None, [1])]
    damaged += [{**state, "param_groups": [{k: v for k, v in group.items() if k != name}]} for name in group]
    damaged += [{**state, "param_groups": [{**group, name: value}]} for name in group for value in ("a", None, np.nan)]
    damaged += [{**state, "param_groups": []}, {**state, "param_groups": [group, group]}]
    damaged += [{**state, "state": {parameter: {**kept, name: value}}} for name in kept for value in ("a", np.ones(7))]
    damaged += [{**state, "state": {parameter: {**kept, "more": np.ones(3)}}}]
    if kind is not optim.SGD:
        damaged += [{**state, "state": {parameter: {k: v for k, v in kept.items() if k != name}}} for name in kept]
    for wrong in damaged:
        with pytest.raises((TypeError, ValueError), match=f"the state of an optimizer {kind.__name__} is"):
            with_state(optimizer, wrong)
