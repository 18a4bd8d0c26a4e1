"""A parameter that changes between a forward and its backward call: an error if the gradients need its values."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_nn import LAYERS, inputs

from fastrelu import _steps, nn, optim
from fastrelu.nn.learnable import Learnable
from fastrelu.nn.parameter import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MESSAGE = (
    r"^\w+\.backward cannot begin: {name} of (layer [\w.]+, )?{layer}.*, has changed since the forward call \(by .*\), "
    r"and the gradient needs the values that it had: call the (layer|network) again after the change, or call backward "
    r"before it$"
)


def linear(n: int, m: int, seed: int = 0) -> nn.Linear:
    """Return a layer in float64."""
    return nn.Linear(n, m, dtype=np.float64, rng=seed)


class Holder(nn.Module):
    """A module of one parameter, to load it."""

    def __init__(self, parameter: nn.Parameter) -> None:
        super().__init__()
        self.p = parameter


class Net(nn.Module):
    """A network of the user's around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.layer = linear(5, 5), layer

    def forward(self, x: Any) -> Any:
        """Call both."""
        return self.layer(self.first(x))


class Own(nn.Module):
    """A module with a backward of its own."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.inplace = getattr(layer, "inplace", False)

    def forward(self, x: Any) -> Any:
        """Call the layer."""
        return self.layer(x)

    def backward(self, grad: Any, *, input_grad: bool = True) -> Any:  # type: ignore[override]  # as users write it
        """Call its backward."""
        return self.layer.backward(grad, input_grad=input_grad)


def with_backward(layer: nn.Module) -> nn.Module:
    """Return a layer with a backward on the instance."""
    layer.backward = lambda grad, **options: type(layer).backward(layer, grad, **options)  # type: ignore[method-assign]  # as users do
    return layer


def step(kind: Any, **options: Any) -> Callable[[nn.Parameter], None]:
    """Return a step of an optimizer."""

    def change(p: nn.Parameter) -> None:
        frozen, p.requires_grad = p.requires_grad, True
        p.grad = np.ones_like(p.data)
        kind([p], lr=0.1, **options).step()
        p.grad, p.requires_grad = None, frozen

    return change


def assign(p: nn.Parameter) -> None:
    """Assign new values."""
    p.data = p.data + 0.1


def add(p: nn.Parameter) -> None:
    """Change the values in place, through the attribute."""
    p.data += 0.1


WAYS: dict[str, Callable[[nn.Parameter], Any]] = {
    "SGD": step(optim.SGD),
    "SGD with momentum": step(optim.SGD, momentum=0.9, nesterov=True),
    "Adam": step(optim.Adam),
    "AdamW": step(optim.AdamW),
    "data =": assign,
    "data +=": add,
    "list": lambda p: setattr(p, "data", (p.data + 0.1).tolist()),
    "load_state_dict": lambda p: Holder(p).load_state_dict({"p": p.data + 0.1}),
    "init": lambda p: nn.init.normal_(p, 1.0, rng=0),
}
HOMES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "alone": lambda layer: layer,
    "Sequential": nn.Sequential,
    "second": lambda layer: nn.Sequential(linear(5, 5), layer),
    "nested": lambda layer: nn.Sequential(linear(5, 5), nn.Sequential(layer)),
    "module": Net,
    "own backward, alone": Own,
    "own backward": lambda layer: nn.Sequential(linear(5, 5), Own(layer)),
    "own backward of a network": lambda layer: nn.Sequential(Own(Net(layer))),
    "backward on the instance": lambda layer: nn.Sequential(linear(5, 5), with_backward(layer)),
}
FIRST = {"alone", "Sequential", "own backward, alone"}  # where no layer comes before
LEARNING = [layer for layer in LAYERS if list(layer._own_parameters())]
OWNERS = [
    (layer, name)
    for layer in {(type(layer), getattr(layer, "inplace", None)): layer for layer in LEARNING}.values()
    for name, _ in layer._own_parameters()
]
each_parameter = pytest.mark.parametrize(("layer", "name"), OWNERS, ids=[f"{la!r}-{name}" for la, name in OWNERS])


def gradients(model: nn.Module, upper: NDArray[Any], input_grad: bool) -> list[Any]:
    """Return the gradient of the input and those of all parameters, after a backward call."""
    dx = model.backward(upper, input_grad=input_grad)
    found = [dx, *(p.grad for p in model.parameters())]
    return [None if g is None else np.array(g) for g in found]


def alike(one: list[Any], other: list[Any]) -> bool:
    """Whether gradients are the same."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@each_parameter
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("home", HOMES)
def test_changes(layer: nn.Module, name: str, home: str, frozen: bool) -> None:
    """An error, twice and before any gradient is added, if the gradients would be others; none if they would not."""
    for input_grad in (True, False):
        for change in WAYS.values():
            inner = copy.deepcopy(layer)
            model, p = HOMES[home](inner), getattr(inner, name)
            for parameter in inner.parameters():
                parameter.requires_grad = not frozen
            x = inputs()
            upper = np.random.default_rng(1).standard_normal(model(x.copy()).shape)
            wanted = gradients(model, upper, input_grad)
            model.zero_grad()
            before = p.data.copy(order="K")
            model(x.copy())
            p.data[...] += 0.1
            differ = not alike(gradients(model, upper, input_grad), wanted)
            p.data[...] = before
            model.zero_grad()

            # Which of its parameters a function needs for which gradient is not distinguished, nor by PyTorch. Nor is
            # known with which options a backward of the user's calls that of a layer. Some layers compute what the function
            # gets from what they learn, so that the gradient of the input would not differ.
            needed = input_grad or home not in FIRST or any(p.requires_grad for p in inner.parameters())
            unknown = isinstance(inner, nn.Linear) and name == "weight" and "of a network" in home
            raises = differ or (isinstance(inner, Learnable) and needed) or unknown
            if home == "backward on the instance" and name == "weight":
                raises = True
            model(x.copy())
            change(p)
            if not raises:
                assert alike(gradients(model, upper, input_grad), wanted)
                continue
            for _ in range(2):
                with pytest.raises(RuntimeError, match=MESSAGE.format(name=name, layer=re.escape(repr(inner)))):
                    model.backward(upper, input_grad=input_grad)
            assert all(parameter.grad is None for parameter in model.parameters())
            model(x.copy())
            after = gradients(model, upper, input_grad)
            model.zero_grad()
            model(x.copy())
            assert alike(gradients(model, upper, input_grad), after)


def test_kinds() -> None:
    """Every kind of layer that learns is among these, and every door to the values among the ways."""
    assert {type(layer).__name__ for layer, _ in OWNERS} >= {
        "Linear",
        "XIELU",
        "SReLU",
        "LogSoftmax",
        "Softplus",
        "Swish",
    }
    fillers = [f for name, f in inspect.getmembers(nn.init, inspect.isfunction) if name.endswith("_")]
    assert len(fillers) > 10
    for fill in fillers:
        p = nn.Parameter(np.ones((4, 3, 3) if fill is nn.init.dirac_ else (4, 3)))
        fill(p, *([0.5] if fill is nn.init.constant_ else []))
        assert 0 < p._updated == _steps.updates[0], fill


@pytest.mark.parametrize("way", WAYS)
def test_every_way_counts_in_every_dtype(way: str) -> None:
    """The count of updates rises, and that of the parameter with it."""
    for dtype in (np.float32, np.float64):
        p, number = nn.Parameter(np.ones(3, dtype)), _steps.updates[0]
        WAYS[way](p)
        assert number < p._updated <= _steps.updates[0]


def test_what_fails_changes_nothing() -> None:
    """A step, an assignment, a state or an initializer that is refused leaves the backward call as it was."""
    model, x = nn.Sequential(linear(4, 3), nn.Tanh(), linear(3, 2)), np.ones((2, 4))
    y = model(x)
    weight = model[2].weight
    weight.grad = np.ones_like(weight.data)
    weight.data.flags.writeable = False
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    refused: list[tuple[Callable[[], Any], type[Exception]]] = [
        (optimizer.step, ValueError),
        (lambda: setattr(weight, "data", np.ones(3)), ValueError),
        (lambda: setattr(weight, "data", np.ones((2, 3), int)), TypeError),
        (lambda: model.load_state_dict(model.state_dict()), ValueError),
        (lambda: nn.init.uniform_(weight), ValueError),
    ]
    for call, error in refused:
        with pytest.raises(error):
            call()
    weight.data.flags.writeable = True
    with pytest.raises(ValueError, match="requires a <= b"):
        nn.init.uniform_(weight, 1.0, 0.0)
    weight.grad = None
    model.backward(y)


def test_steps_of_other_parameters() -> None:
    """What another network's optimizer changes, or a step without a new gradient, does not matter."""
    one, other, x = nn.Sequential(linear(4, 4), nn.Tanh(), linear(4, 4, 1)), linear(4, 4, 2), np.ones((2, 4))
    both = optim.SGD([*one.parameters(), *other.parameters()], lr=0.1)
    fake = one(x)  # as in an adversarial network
    other(fake)
    dx = other.backward(np.ones((2, 4)))
    both.step()
    one.backward(dx)
    y = one(x)
    one.zero_grad()
    both.step()  # no parameter has a gradient
    one.backward(y)
    one(x)
    one.backward(y)  # gradients add up
    both.step()
    y = other(fake)
    other.backward(y)
    other(fake)
    both.step()
    with pytest.raises(RuntimeError, match="weight of Linear"):
        other.backward(y)
    other.backward(y, input_grad=False)


class Scaled(nn.Module):
    """Parameters as inputs of layers."""

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        self.fc, self.mul, self.add = linear(4, 4), nn.Multiply(), nn.Add()
        self.scale, self.shift = nn.Parameter(np.full(4, 2.0)), nn.Parameter(np.ones(4))
        self.detached = detached

    def forward(self, x: Any) -> Any:
        """Scale and shift."""
        return self.add(self.mul(self.fc(x), nn.detach(self.scale) if self.detached else self.scale), self.shift)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("detached", [False, True])
def test_parameters_as_inputs(way: str, detached: bool) -> None:
    """A factor is needed, what is added is not; and no factor for its own gradient alone."""
    model, x, ones = Scaled(detached=detached), np.ones((2, 4)), np.ones((2, 4))
    model(x)
    WAYS[way](model.shift)
    model.backward(ones)
    model(x)
    before = model.scale.data
    WAYS[way](model.scale)
    if not detached or model.scale.data is before:  # else the view is of the old values
        with pytest.raises(
            RuntimeError, match=r"^Scaled.backward cannot begin: scale, an input of layer mul, Multiply\(\), has"
        ):
            model.backward(ones)
    for parameter in model.fc.parameters():
        parameter.requires_grad = False
    model.backward(ones)


@pytest.mark.parametrize(
    "layer", [nn.SiLU(), nn.Multiply(), linear(3, 2), nn.Softmax(scale=0.5, softcap=3.0)], ids=repr
)
def test_a_parameter_into_a_layer_alone(layer: nn.Module) -> None:
    """Layers that save a parameter need its values."""
    p = nn.Parameter(np.array([0.5, -1.0, 2.0]))
    y = layer(p, 2.0 * np.ones(3)) if isinstance(layer, nn.Multiply) else layer(p)
    add(p)
    with pytest.raises(RuntimeError, match=rf"a parameter of shape \(3,\), an input of {type(layer).__name__}\("):
        layer.backward(np.ones_like(y))
    for other in (nn.CReLU(), nn.Add(), nn.Flatten(0, 0)):
        y = other(p)
        add(p)
        other.backward(np.ones_like(y))


def test_dropout_in_place_of_a_parameter() -> None:
    """It is refused, as by other layers in place; and what is no array would come back unchanged."""
    p = nn.Parameter(np.ones(3))
    for x in (p, [1.0, 2.0], (1.0,), 1.0, np.float64(1)):
        with pytest.raises(TypeError, match=f"^Dropout can write into an array .* not into '{type(x).__name__}'$"):
            nn.Dropout(inplace=True)(x)
    assert p.data.tolist() == [1, 1, 1]


class Normalized(nn.Module):
    """A forward that sets the weights before each of two calls, as spectral normalization does."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.fc, self.start, self.twice = linear(4, 4), linear(4, 4, 1), twice

    def forward(self, x: Any) -> Any:
        """Set, call, and maybe again."""
        x = self.start(x)
        self.fc.weight.data = self.fc.weight.data / np.linalg.norm(self.fc.weight.data)
        x = self.fc(x)
        if self.twice:
            self.fc.weight.data *= 0.5
        return self.fc(x)


def test_changes_within_forward() -> None:
    """A change before a layer is called is legal; one between two calls is not."""
    x = np.ones((2, 4))
    for network in (lambda model: model, nn.Sequential):
        model = network(Normalized(twice=False))
        for _ in range(3):
            model.backward(model(x))
        model = network(Normalized(twice=True))
        y = model(x)
        with pytest.raises(RuntimeError, match=r"weight of layer (0\.)?fc, Linear"):
            model.backward(y)


class Factor(nn.Module):
    """A parameter that a backward of the user's reads."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.full(1, 3.0))

    def forward(self, x: Any) -> Any:
        """Multiply."""
        self.x = x
        return self.factor.data * x

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
        """Return the gradient."""
        self.factor.add_gradient(np.atleast_1d((grad * self.x).sum()))
        return self.factor.data * grad


@pytest.mark.parametrize("way", WAYS)
def test_parameters_of_a_backward_of_ones_own(way: str) -> None:
    """The library does not see what it reads, so all that belong to the module count."""
    model, x = nn.Sequential(linear(4, 4), Factor()), np.ones((2, 4))
    y = model(x)
    WAYS[way](model[1].factor)
    with pytest.raises(RuntimeError, match=r"cannot begin: factor of layer 1, Factor\(\), has changed"):
        model.backward(y)
    assert model[0].weight.grad is None
    model.backward(model(x))


@pytest.mark.parametrize("home", [*HOMES])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_another_parameter(home: str, name: str) -> None:
    """The gradients would belong to a parameter of which the forward call knew nothing."""
    inner = linear(5, 5)
    model, x = HOMES[home](inner), np.ones((2, 5))
    values = getattr(inner, name).data
    for value in (nn.Parameter(values.copy()), nn.Parameter(np.ones_like(values)), None, nn.Parameter(values)):
        y = model(x)
        setattr(inner, name, getattr(inner, name))  # the same one
        model.backward(y)
        if value is None and name == "weight":
            break
        y = model(x)
        setattr(inner, name, value)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=rf"{name} of .*Linear.*, is not the parameter of the forward call"):
                model.backward(y)
        model.backward(model(x))
        assert copy.deepcopy(inner)._replaced == (0, "")


def test_shared_parameters() -> None:
    """A change counts wherever the parameter is read, in both networks that have it."""
    one, other = linear(4, 4), linear(4, 4, 1)
    other.weight = one.weight
    model, x = nn.Sequential(one, nn.Tanh(), other), np.ones((2, 4))
    y = model(x)
    add(one.weight)
    with pytest.raises(RuntimeError, match="weight of layer 2, Linear"):
        model.backward(y)


def test_modes() -> None:
    """Evaluation mode with gradients is no exception; without them there is nothing to refuse."""
    model, x = nn.Sequential(linear(4, 4), nn.PReLU(dtype=np.float64)).eval(), np.ones((2, 4))
    with nn.enable_grad():
        y = model(x)
    add(model[1].weight)
    with pytest.raises(RuntimeError, match="weight of layer 1, PReLU"):
        model.backward(y)
    with nn.no_grad():
        model.train()(x)
    with pytest.raises(RuntimeError, match="no forward call"):
        model.backward(y)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies(copied: Any) -> None:
    """Copies of a parameter have changed in no call; older pickles have no number."""
    p = nn.Parameter(np.ones(3), requires_grad=False)
    add(p)
    again = copied(p)
    assert (p._updated > 0, again._updated) == (True, 0)
    assert np.array_equal(again.data, p.data)
    assert again.requires_grad is False
    state: Any = p.__reduce_ex__(4)[2]
    attributes, slots = state
    del slots["_updated"]
    old: Any = nn.Parameter.__new__(nn.Parameter)
    old.__setstate__((attributes, slots))
    assert (old._updated, old.requires_grad) == (0, False)
    model, x = linear(3, 2), np.ones((2, 3))
    y = model(x)
    twin = copied(model) if copied is not copy.copy else copy.deepcopy(model)
    add(model.weight)
    twin.backward(twin(x))
    with pytest.raises(RuntimeError, match="has changed"):
        model.backward(y)


def test_threads() -> None:
    """A change in one thread counts for the calls of all others, and later calls there are good."""
    model, x = nn.Sequential(linear(4, 4), nn.Tanh(), linear(4, 4, 1)), np.ones((2, 4))
    called, changed, said = threading.Barrier(2), threading.Barrier(2), []

    def work() -> None:
        y = model(x)
        called.wait()
        changed.wait()
        try:
            model.backward(y)
        except RuntimeError as error:
            said.append(str(error))
        model.backward(model(x))

    thread = threading.Thread(target=work)
    thread.start()
    called.wait()
    model.backward(model(x))
    optim.SGD(model.parameters(), lr=0.1).step()
    changed.wait()
    thread.join()
    assert len(said) == 1
    assert "weight of layer 2, Linear" in said[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_children() -> None:
    """What a child changes concerns its own calls alone."""
    model, x = linear(4, 4), np.ones((2, 4))
    y = model(x)
    child = os.fork()
    if child == 0:
        add(model.weight)
        try:
            model.backward(y)
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    model.backward(y)


def test_plans_follow() -> None:
    """An assignment still counts as a change for the plans of networks in evaluation mode."""
    p = nn.Parameter(np.ones(3))
    holder, before = Holder(p), Changes.count
    p.data = np.zeros(3)
    holder.load_state_dict({"p": np.ones(3, np.float32)})
    assert (Changes.count - before, str(p.dtype)) == (2, "float32")
