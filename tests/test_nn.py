"""Layers and networks without PyTorch: gradients against differences, what is saved, state, errors, text."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import activations, nn, optim
from fastrelu.nn import losses as nn_losses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

# Every layer, with other parameters than the defaults where it has some; the input of each is (4, 3, 5).
LAYERS: list[nn.Module] = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.ReLU6(inplace=True),
    nn.LeakyReLU(0.2),
    nn.LeakyReLU(-0.2),
    nn.LeakyReLU(0.2, inplace=True),
    nn.LeakyReLU(-0.2, inplace=True),
    nn.PReLU(dtype=np.float64),
    nn.PReLU(3, -0.3, dtype=np.float64),
    nn.PReLU(5, 0.4, axis=-1, dtype=np.float64),
    nn.XIELU(dtype=np.float64),
    nn.XIELU(1.3, 0.9, 0.4, num_parameters=3, dtype=np.float64),
    nn.SReLU(dtype=np.float64),
    nn.SReLU(3, -1.0, 0.3, 0.7, 1.5, dtype=np.float64),
    nn.SReLU(4, -1.0, 0.3, 0.7, 1.5, axis=0, dtype=np.float64),
    nn.BoundedReLU(),
    nn.BoundedReLU(0.2, 2.0, 0.3, inplace=True),
    nn.BoundedReLU(-0.2, 2.0, -0.3, inplace=True),
    nn.Threshold(0.3, -1.0),
    nn.Threshold(0.3, 2.0),
    nn.Threshold(0.3, 0.0, inplace=True),
    nn.Threshold(0.3, 2.0, inplace=True),
    nn.ThresholdedReLU(0.6),
    nn.ThresholdedReLU(0.6, inplace=True),
    nn.ThresholdedReLU(-0.5, inplace=True),
    nn.SquaredReLU(),
    nn.SquaredReLU(inplace=True),
    nn.CReLU(),
    nn.CReLU(axis=1),
    nn.RReLU(0.3, 0.3),
    nn.RReLU(0.3, 0.3, inplace=True),
    nn.RReLU(-0.3, -0.3),
    nn.RReLU(-0.3, -0.3, inplace=True),
    nn.ELU(0.7),
    nn.ELU(0.7, inplace=True),
    nn.ELU(-0.7, inplace=True),
    nn.ELU(0.7, learnable=True, num_parameters=3, dtype=np.float64),
    nn.ELU(0.7, inplace=True, learnable=True, num_parameters=3, dtype=np.float64),
    nn.CELU(0.7),
    nn.CELU(0.7, inplace=True),
    nn.CELU(-0.7, inplace=True),
    nn.CELU(0.7, learnable=True, dtype=np.float64),
    nn.SELU(),
    nn.SELU(inplace=True),
    nn.Softplus(2.0),
    nn.Softplus(2.0, inplace=True),
    nn.Softplus(2.0, 1.2),
    nn.Softplus(2.0, 1.2, inplace=True),
    nn.Softplus(2.0, learnable=True, num_parameters=3, dtype=np.float64),
    nn.Softplus(2.0, 1.2, learnable=True, num_parameters=3, dtype=np.float64),
    nn.Softplus(2.0, -1.0, inplace=True, learnable=True, dtype=np.float64),
    nn.LogSigmoid(),
    nn.LogSigmoid(inplace=True),
    nn.Log1mexp(),
    nn.Log1mexp(inplace=True),
    nn.Squareplus(2.0),
    nn.Squareplus(inplace=True),
    nn.Squareplus(0.0, inplace=True),
    nn.Sigmoid(),
    nn.Sigmoid(inplace=True),
    nn.Tanh(),
    nn.Tanh(inplace=True),
    nn.Softcap(30.0),
    nn.Softcap(2.0, inplace=True),
    nn.Softsign(),
    nn.Softsign(inplace=True),
    nn.Erf(),
    nn.Erf(inplace=True),
    nn.Logit(0.1),
    nn.Logit(0.1, inplace=True),
    nn.Sequential(nn.Sigmoid(), nn.Logit()),
    nn.Hardsigmoid(),
    nn.Hardsigmoid(inplace=True, slope=0.2, offset=0.4),
    nn.Hardtanh(-0.5, 2.0),
    nn.Hardtanh(inplace=True),
    nn.SparsePlus(),
    nn.SparsePlus(inplace=True),
    nn.SparseSigmoid(),
    nn.SparseSigmoid(inplace=True),
    nn.SiLU(),
    nn.SiLU(inplace=True),
    nn.Swish(1.5),
    nn.Swish(1.5, learnable=True, dtype=np.float64),
    nn.Swish(1.5, learnable=True, num_parameters=3, dtype=np.float64),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.QuickGELU(),
    nn.QuickGELU(inplace=True),
    nn.Mish(),
    nn.Mish(inplace=True),
    nn.Hardswish(),
    nn.Hardswish(inplace=True),
    nn.Hardswish(slope=0.2, offset=0.4),
    nn.Dish(),
    nn.Dish(inplace=True),
    nn.Hardmish(),
    nn.Hardmish(inplace=True),
    nn.Hardshrink(),
    nn.Hardshrink(0.3, inplace=True),
    nn.Softshrink(),
    nn.Softshrink(0.3, inplace=True),
    nn.Shrink(0.3, 0.2),
    nn.Shrink(0.3, 0.2, inplace=True),
    nn.Shrink(0.3, 0.6, inplace=True),
    nn.Tanhshrink(),
    nn.Tanhshrink(inplace=True),
    nn.Softmax(),
    nn.Softmax(dim=1),
    nn.Softmax(scale=0.5),
    nn.LogSoftmax(scale=0.5, softcap=2.0, sink=np.zeros(1, np.float32)),
    nn.LogSoftmax(dim=1),
    nn.Softmin(dim=0),
    nn.Hardmax(),
    nn.Sparsemax(dim=1),
    nn.Linear(5, 2, dtype=np.float64, rng=1),
    nn.Linear(5, 2, bias=False, dtype=np.float64, rng=1),
    nn.Flatten(),
    nn.Unflatten(2, (-1, 5)),
    nn.Add(),
    nn.Multiply(),
    nn.Concatenate(1),
    nn.Identity(),
    nn.Dropout(0.0),
    nn.Dropout(0.0, inplace=True),
    nn.Sequential(nn.Linear(5, 4, dtype=np.float64, rng=2), nn.Tanh(inplace=True), nn.PReLU(dtype=np.float64)),
]
each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer).replace("\n", " "))


def inputs(seed: int = 0) -> NDArray[Any]:
    """Return numbers that are at least 0.001 from every kink of the layers above."""
    x = 2 * np.random.default_rng(seed).standard_normal((4, 3, 5))
    kinks = np.array(
        [-3, -2, -1, -0.5, -0.3, 0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 1, 2, 3, 6]
    )  # -0.5, 0.6: of softplus too
    near = np.abs(x[..., None] - kinks).min(-1) < 1e-3
    x[near] += 5e-3
    return x


def inputs_of(layer: nn.Module) -> NDArray[Any]:
    """Return the same, or where the layer's function is not defined for all of them, numbers from 0.5 on."""
    x = inputs()
    return np.abs(x) + 0.5 if isinstance(layer, nn.Log1mexp) else x


def difference(layer: nn.Module, x: NDArray[Any], array: NDArray[Any], upper: NDArray[Any]) -> NDArray[Any]:
    """Return the derivative of sum(upper * layer(x)) with respect to each element of `array`, by differences."""
    found = np.empty(array.shape)
    for i in np.ndindex(array.shape):
        before, sides = array[i], []
        for step in (1e-5, -1e-5):
            array[i] = before + step
            sides.append(float((upper * layer(x.copy())).sum()))
        array[i] = before
        found[i] = (sides[0] - sides[1]) / 2e-5
    return found


@each_layer
def test_gradients(layer: nn.Module) -> None:
    """Backward is the derivative with respect to the input and to every parameter."""
    layer = copy.deepcopy(layer)
    x = inputs_of(layer)
    y = layer(x.copy())
    upper = np.random.default_rng(1).standard_normal(y.shape)
    got = layer.backward(upper, input_grad=True)
    assert got.shape == x.shape
    parameters = list(layer.parameters())
    gradients = [parameter.grad for parameter in parameters]
    layer.zero_grad()
    layer(x.copy())
    assert layer.backward(upper.copy(), input_grad=False, overwrite_grad=True) is None
    for parameter, gradient in zip(parameters, gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)
    layer.eval()
    np.testing.assert_allclose(got, difference(layer, x, x, upper), rtol=1e-6, atol=1e-8)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert gradient is not None
        assert gradient.shape == parameter.shape
        np.testing.assert_allclose(gradient, difference(layer, x, parameter.data, upper), rtol=1e-6, atol=1e-8)


@each_layer
def test_what_is_saved(layer: nn.Module) -> None:
    """One forward call until its backward; nothing in evaluation mode; both modes give the same result."""
    layer = copy.deepcopy(layer)
    x = inputs_of(layer)
    y = layer(x.copy())
    grad = np.ones_like(y)
    layer.backward(grad)
    assert np.array_equal(grad, np.ones_like(y)), "the caller's gradient does not change"
    if isinstance(layer, nn.Identity):
        return
    with pytest.raises(RuntimeError, match="has no forward call to go back through"):
        layer.backward(grad)
    layer(x.copy())
    layer.eval()
    assert np.array_equal(layer(x.copy()), y)
    assert all(module._saved is None or module._saved.call is None for module in layer.modules())
    with pytest.raises(RuntimeError, match="the last call must be one of the module itself"):
        layer.backward(grad)


class UsersOwn(nn.Module):
    """A module with a backward of its own, of which one layer is called before the one that refuses its input."""

    def __init__(self) -> None:
        super().__init__()
        self.identity, self.linear = nn.Identity(), nn.Linear(5, 2, dtype=np.float64, rng=1)

    def forward(self, x: Any) -> Any:
        """Call both."""
        return self.linear(self.identity(x))

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # without options
        """Go back through both."""
        return self.identity.backward(self.linear.backward(grad))


PAIR = (np.full((4, 3), 0.5), np.full((4, 3), 0.5))
LABELS = (np.ones((4, 3)), np.zeros(4, np.int64))
FAILING: list[tuple[Any, tuple[Any, ...]]] = [
    *((layer, (inputs_of(layer),)) for layer in LAYERS if not isinstance(layer, nn.Identity)),  # which takes anything
    *((getattr(nn, name)(), LABELS if name in {"CrossEntropyLoss", "NLLLoss"} else PAIR) for name in nn_losses.__all__),
    (UsersOwn(), (np.ones((4, 5)),)),
]


@pytest.mark.parametrize(("layer", "given"), FAILING, ids=[repr(layer).replace("\n", " ") for layer, _ in FAILING])
def test_after_a_call_that_failed(layer: nn.Module, given: tuple[Any, ...]) -> None:
    """Backward does not go back through the call before one that ended with an error, with hooks or without."""
    layer = copy.deepcopy(layer)
    for _ in range(2):
        grad = np.ones(np.shape(layer(*given)))
        with pytest.raises((TypeError, ValueError)):
            layer(*["no array"] * len(given))
        with pytest.raises(RuntimeError, match="that ended without an error, and that has had no backward yet"):
            layer.backward(grad)
        layer(*given)
        layer.backward(grad)
        layer.register_forward_hook(lambda *_: None)


@each_layer
def test_wrong_gradients(layer: nn.Module) -> None:
    """A gradient of another shape than the output, or of no real numbers, is refused by every layer."""
    layer = copy.deepcopy(layer)
    grad = np.ones(layer(inputs()).shape)
    for wrong in (grad[None], np.stack([grad, grad]), grad[0], grad[:1], grad.reshape(-1), 1.0):
        layer(inputs())
        message = rf"(\)|^Sequential): the output was of shape {re.escape(str(grad.shape))}, the gradient is {re.escape(str(np.shape(wrong)))}$"
        with pytest.raises(ValueError, match=message):
            layer.backward(wrong)
    cases = [(grad + 0j, "real numbers, got complex128"), (grad.astype(object), "real numbers, got object")]
    cases += [(np.ma.masked_array(grad, mask=grad > 0), r"cannot be a masked array: .*grad.filled\(0\)")]
    for wrong, message in cases:
        layer(inputs())
        with pytest.raises(TypeError, match=message):
            layer.backward(wrong)
    assert all(parameter.grad is None for parameter in layer.parameters())


@each_layer
def test_backward_in_the_gradient_memory(layer: nn.Module) -> None:
    """A layer that may overwrite the gradient gives the same numbers, in its memory."""
    if not isinstance(layer, nn.Activation):
        return
    layer = copy.deepcopy(layer)
    x, grad = inputs(), inputs(1)
    layer(x.copy())
    wanted = layer.backward(grad)
    layer(x.copy())
    given = grad.copy()
    assert layer.backward(given, overwrite_grad=True) is given
    np.testing.assert_array_equal(given, wanted)
    single = grad.astype(np.float32)
    layer(x.copy())
    assert layer.backward(single, overwrite_grad=True) is not single


@each_layer
def test_in_place(layer: nn.Module) -> None:
    """An in-place layer overwrites and returns its input; any other does not change it."""
    x = inputs()
    before = x.copy()
    y = copy.deepcopy(layer)(x)
    assert (y is x) == (getattr(layer, "inplace", False) or isinstance(layer, nn.Identity))
    if y is not x:
        assert np.array_equal(x, before)
        assert not np.shares_memory(x, y) or isinstance(layer, (nn.Flatten, nn.Unflatten))


@each_layer
def test_pickles(layer: nn.Module) -> None:
    """A pickled layer has the same parameters."""
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer)
    assert np.array_equal(again(inputs_of(layer)), copy.deepcopy(layer)(inputs_of(layer)))


def test_every_function_has_its_layer() -> None:
    """There is a layer for every activation, and the list above has them all."""
    functions = {
        name.removesuffix("_")
        for name in vars(fr)["__all__"]
        if f"{name}_" in vars(fr)["__all__"] or f"{name}_backward" in vars(fr)["__all__"]
    }
    layers = {value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, nn.Module)}
    named = {
        getattr(layer, "_name", "") or re.sub("(?<=[a-z])(?=[A-Z])", "_", layer.__name__).lower() for layer in layers
    }
    functions -= {"logsumexp", "logmeanexp"}  # reductions, which are no layers in PyTorch either
    assert functions <= named, f"no layer for {functions - named}"
    listed = {type(layer) for layer in LAYERS}
    losses = {getattr(nn, name) for name in nn_losses.__all__}
    drawn = {nn.GumbelSoftmax}  # whose calls all differ: test_nn_random.py
    halving = {nn.GLU, nn.SwiGLU, nn.GEGLU, nn.ReGLU}  # test_fused.py
    assert layers - listed - losses - drawn - halving == {nn.Module, nn.Activation, nn.ModuleList, nn.ModuleDict}


@pytest.mark.parametrize("kind", sorted({type(layer) for layer in LAYERS} - {nn.Identity}, key=str))
def test_wrong_arguments_name_the_layer(kind: Any) -> None:
    """The error names the layer, also if its constructor is inherited, for positions and keywords."""
    if kind is not nn.Sequential:
        with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) takes .* were given$"):
            kind(*range(10))
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) got an unexpected keyword argument 'wrong'$"):
        kind(wrong=1)


def test_inherited_constructors() -> None:
    """One positional or keyword argument; a subclass of the user's inherits as any class does."""
    for kind in (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SquaredReLU, nn.LogSigmoid):
        assert str(inspect.signature(kind)) == "(inplace: 'bool' = False) -> 'None'"
        assert repr(kind(True)) == repr(kind(inplace=True)) == f"{kind.__name__}(inplace=True)"

    class First(nn.Module):
        pass

    class Second(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ran = True

    class Both(First, Second):
        pass

    assert Both().ran


def test_messages_name_classes_that_users_know() -> None:
    """Python's messages about missing and unexpected arguments show the qualified name of a method."""
    kinds = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    assert nn.MSELoss in kinds
    for kind in kinds:
        methods = [getattr(kind, name) for name in ("__init__", "__call__", "forward", "backward")]
        assert not [method.__qualname__ for method in methods if method.__qualname__.startswith("_")], kind
    with pytest.raises(TypeError, match=r"^MSELoss.forward\(\) missing 1 required positional argument: 'target'$"):
        nn.MSELoss()(np.ones(3))


# --- In place -----------------------------------------------------------------------------------------------------


def test_which_in_place_layers_copy() -> None:
    """In training those copy their input whose output does not determine the gradient; the others save their output."""
    in_place = [layer for layer in LAYERS if isinstance(layer, nn.Activation) and layer.inplace]
    assert {repr(layer).replace(", inplace=True", "") for layer in in_place if not layer._saves_output()} == {
        *(
            f"{name}(inplace=True)"
            for name in ("Dish", "Erf", "SiLU", "QuickGELU", "Mish", "Hardswish", "Hardmish", "Tanhshrink")
        ),
        "LeakyReLU(negative_slope=-0.2)",
        "BoundedReLU(negative_slope=-0.2, max_value=2.0, threshold=-0.3)",
        "Logit(eps=0.1)",
        "Shrink(lambd=0.3, bias=0.6)",
        "Threshold(threshold=0.3, value=2.0)",
        "ThresholdedReLU(alpha=-0.5)",
        "RReLU(lower=-0.3, upper=-0.3)",
        "ELU(alpha=-0.7)",
        "ELU(num_parameters=3)",
        "CELU(alpha=-0.7)",
        "Softplus(beta=2.0, threshold=1.2)",
        "Softplus(num_parameters=1, threshold=-1.0)",
        "Squareplus(b=0.0)",
    }


def test_overwriting_what_another_layer_keeps() -> None:
    """A Sequential refuses an in-place layer after one whose gradient needs the output; also across containers."""
    message = r"layer 1, ReLU\(inplace=True\), would overwrite the output of layer 0, Tanh\(inplace=True\)"
    with pytest.raises(ValueError, match=message):
        nn.Sequential(nn.Tanh(inplace=True), nn.ReLU(inplace=True))
    with pytest.raises(ValueError, match=r"layer 1, .* the output of layer 0\.0, ReLU"):
        nn.Sequential(nn.Sequential(nn.ReLU()), nn.LeakyReLU(inplace=True))
    with pytest.raises(ValueError, match=r"layer 2, .* the output of layer 0, Softmax"):
        nn.Sequential(nn.Softmax(), nn.Flatten(), nn.LeakyReLU(inplace=True))
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    with pytest.raises(ValueError, match="use ReLU6 without inplace"):
        model.append(nn.ReLU6(inplace=True))
    assert len(model) == 2
    nn.Sequential(nn.Sigmoid(), nn.ReLU(inplace=True))  # keeps its input


def test_overwriting_after_a_change() -> None:
    """It is also refused where a layer or an inner container changed after the network was built."""
    x = np.ones((2, 3), np.float32)
    inner = nn.Sequential(nn.Linear(3, 3))
    model = nn.Sequential(nn.Softmax(), inner, nn.Softsign(), nn.LeakyReLU(-0.5), nn.ReLU())
    model(x)
    inner.insert(0, nn.ReLU(inplace=True))
    message = r"layer 1\.0, ReLU\(inplace=True\), would overwrite the output of layer 0, Softmax"
    with pytest.raises(ValueError, match=message):
        model(x)
    model.eval()(x.copy())
    inner[0].inplace = False
    model.train()(x)
    model[4].inplace = True
    model(x)
    model[3].negative_slope = 0.5  # with a slope of the same sign the layer saves its output
    with pytest.raises(ValueError, match=r"layer 4, .* would overwrite the output of layer 3, LeakyReLU"):
        model(x)


# --- Sequential ---------------------------------------------------------------------------------------------------


def network(dtype: Any = np.float64) -> nn.Sequential:
    """Return a small network."""
    return nn.Sequential(
        nn.Linear(4, 6, dtype=dtype, rng=0), nn.ReLU(inplace=True), nn.Linear(6, 2, dtype=dtype, rng=1)
    )


def test_sequence() -> None:
    """Index, slice, iterate, length, append, and names."""
    model = network()
    assert len(model) == 3
    assert list(model) == [model[0], model[1], model[-1]]
    assert isinstance(model[0], nn.Linear)
    assert list(model[1:].state_dict()) == ["2.weight", "2.bias"]
    assert model.append(nn.Softmax()) is model
    assert isinstance(model[3], nn.Softmax)
    with pytest.raises(IndexError):
        model[4]
    named = nn.Sequential(OrderedDict(fc1=nn.Linear(4, 3), act=nn.ReLU(), fc2=nn.Linear(3, 2)))
    assert list(named.state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert named.fc1 is named[0]
    assert [name for name, _ in named.named_modules()] == ["", "fc1", "act", "fc2"]
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'fc3'"):
        named.fc3  # noqa: B018  asking raises
    with pytest.raises(TypeError, match="Sequential takes modules, got 'function' as '1'"):
        nn.Sequential(nn.ReLU(), network)  # type: ignore[arg-type]  # wrong on purpose


def test_a_layer_is_replaced() -> None:
    """Layers are replaced by attribute, name or position; the new one is shown and called."""
    x = np.array([-1.0, 2.0])
    model: Any = nn.Sequential(OrderedDict(act=nn.ReLU(), last=nn.Identity()))
    model.act = tanh = nn.Tanh()
    assert model.act is model[0] is model["act"] is tanh
    assert np.array_equal(model(x), np.tanh(x))
    model[0] = nn.Sigmoid()
    assert np.array_equal(model(x), fr.sigmoid(x))
    model["act"] = nn.ReLU()
    model[-1] = nn.Softsign()
    assert np.array_equal(model(x), fr.softsign(fr.relu(x)))
    model.more = nn.Linear(2, 1, dtype=np.float64)
    assert list(model.state_dict()) == ["more.weight", "more.bias"]
    assert model(x).shape == (1,)
    del model.last
    assert [name for name, _ in model.named_children()] == ["act", "more"]
    model(x)
    model[0] = nn.Tanh()
    with pytest.raises(RuntimeError, match="no forward call"):
        model.backward(np.ones(1))
    for build in (
        lambda: setattr(model, "act", np.tanh),
        lambda: setattr(model, "act", None),
        lambda: model.insert(0, "act"),
        lambda: model.extend([nn.ReLU(), np.tanh]),
        lambda: nn.Sequential([nn.ReLU()]),  # type: ignore[arg-type]  # wrong on purpose
    ):
        with pytest.raises(TypeError, match=r"Sequential takes modules, got '(ufunc|NoneType|str|list)' as '"):
            build()
    with pytest.raises(KeyError, match="Sequential has no module 'fc', only act, more"):
        model["fc"] = nn.ReLU()
    with pytest.raises(IndexError):
        model[2] = nn.ReLU()
    model[0] = nn.ReLU()
    with pytest.raises(ValueError, match="would overwrite the output of layer act"):
        model.insert(1, nn.ReLU(inplace=True))
    assert len(model) == 2
    assert {"act", "more", "append"} <= set(dir(model))


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_lists_of_modules(kind: Any) -> None:
    """Containers change as lists do; modules named by position are renamed, others keep their names."""
    layers: list[nn.Module] = [nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.Softsign()]
    container = kind(*layers) if kind is nn.Sequential else kind(layers)
    rng = np.random.default_rng(0)
    for _ in range(100):
        action, index = rng.integers(6), int(rng.integers(-len(layers), len(layers))) if layers else 0
        new: nn.Module = nn.LeakyReLU(float(rng.random()))
        if action == 0:
            container.insert(index, new)
            layers.insert(index, new)
        elif action == 1:
            assert container.append(new) is container
            layers.append(new)
        elif action == 2:
            container.extend([new, nn.GELU()])
            layers.extend([new, container[-1]])
        elif action == 3 and layers:
            container[index] = new
            layers[index] = new
        elif action == 4 and layers:
            assert container.pop(index) is layers.pop(index)
        elif action == 5 and layers:
            del container[index : index + 2]
            del layers[index : index + 2]
        assert list(container) == layers
        assert [name for name, _ in container.named_children()] == [str(i) for i in range(len(layers))]
        assert list(container[1:3]) == layers[1:3]
        assert isinstance(container[1:], kind)


def test_a_slice_never_loses_a_layer() -> None:
    """A slice of a Sequential keeps its names, and a layer that is appended gets a new one."""
    model = network()
    part = model[1:]
    part.append(nn.Tanh())
    part.insert(1, nn.Softsign())
    assert [name for name, _ in part.named_children()] == ["1", "4", "2", "3"]
    assert part[2] is model[2]
    named = nn.Sequential(OrderedDict([("2", nn.ReLU()), ("3", nn.Tanh())]))
    named.extend([nn.Sigmoid(), nn.GELU()])
    assert [name for name, _ in named.named_children()] == ["2", "3", "4", "5"]
    assert repr(named.pop("3")) == "Tanh()"
    del named["2"]
    assert [name for name, _ in named.named_children()] == ["4", "5"]


def test_module_dict() -> None:
    """ModuleDict is a dict whose modules are registered."""
    heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
    heads["b"] = nn.Linear(2, 1)
    heads.update([("c", nn.PReLU())])
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert list(heads.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight"]
    assert "c" in heads
    assert heads.pop("c") is not heads["b"]
    assert heads.a is heads["a"] is next(iter(heads.values()))
    assert dict(heads.items()) == dict(heads.named_children())
    del heads["a"]
    with pytest.raises(KeyError):
        heads["a"]
    heads.clear()
    assert len(heads) == 0
    with pytest.raises(NotImplementedError, match="ModuleDict has no forward"):
        heads(1)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("append", ValueError, "Sequential can be named 'append': that is an attribute"),
        ("forward", ValueError, "can be named 'forward'"),
        ("training", ValueError, "can be named 'training'"),
        ("_modules", ValueError, "can be named '_modules'"),
        ("a.b", ValueError, "not empty and has no dot, got 'a.b'"),
        ("", ValueError, "not empty"),
        (0, TypeError, "is a string, got 0"),
    ],
)
def test_names_that_are_refused(name: Any, error: type[Exception], message: str) -> None:
    """The name of a method would hide it, or the layer; a dot separates names in states."""
    with pytest.raises(error, match=message):
        nn.Sequential(OrderedDict([(name, nn.ReLU())]))
    if name and name != "append":
        with pytest.raises(error, match=message.replace("Sequential", "ModuleDict")):
            nn.ModuleDict({name: nn.ReLU()})


def test_layers_are_assigned_after_the_constructor() -> None:
    """A subclass of a container assigns layers after `super().__init__()`, or is told to."""

    class Early(nn.Sequential):
        def __init__(self) -> None:
            self.act = nn.ReLU()
            super().__init__()

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) before Early.act is assigned"):
        Early()


def test_input_gradient() -> None:
    """The gradient of the input is computed on demand, also by inner containers; those of parameters stay the same."""
    inner = nn.Sequential(nn.Flatten(), network(), nn.Sequential(nn.ReLU(), nn.Linear(2, 3, dtype=np.float64, rng=2)))
    x, grad = np.random.default_rng(0).standard_normal((5, 2, 2)), np.random.default_rng(1).standard_normal((5, 3))
    inner(x)
    assert inner.backward(grad) is None
    wanted = [parameter.grad.copy() for parameter in inner.parameters() if parameter.grad is not None]
    assert len(wanted) == 6
    inner.zero_grad()
    inner(x)
    got = inner.backward(grad, input_grad=True)
    assert got.shape == x.shape
    for parameter, before in zip(inner.parameters(), wanted, strict=True):
        np.testing.assert_array_equal(parameter.grad, before)
    with pytest.raises(RuntimeError, match="no forward call"):
        inner.backward(grad)


def test_frozen_parameters() -> None:
    """Parameters that require no gradient get none, and an optimizer does not change them."""
    model = network()
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    before = model.state_dict()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model(np.ones((3, 4)))
    model.backward(np.ones((3, 2)))
    optimizer.step()
    changed = [name for name, value in model.state_dict().items() if not np.array_equal(value, before[name])]
    assert changed == ["2.weight", "2.bias"]
    assert "requires_grad=False" in repr(next(model.parameters()))


def test_backward_has_one_signature() -> None:
    """Every layer and loss has the base's options for backward; the defaults differ in Sequential alone."""
    for layer in [*LAYERS, nn.MSELoss(), nn.CrossEntropyLoss()]:
        options = list(inspect.signature(layer.backward).parameters.values())[1:]
        assert [(option.name, option.kind, option.default) for option in options] == [
            ("input_grad", inspect.Parameter.KEYWORD_ONLY, not isinstance(layer, nn.Sequential)),
            ("overwrite_grad", inspect.Parameter.KEYWORD_ONLY, False),
        ]


def test_layers_of_the_user() -> None:
    """A Sequential passes the options that the layer's backward takes: all, some or none, on class or instance."""
    seen: list[Any] = []

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(np.full(1, 3.0))

        def forward(self, x: Any) -> Any:
            return self.factor.data * x

    class Plain(Scale):
        def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
            seen.append("plain")
            return self.factor.data * grad

    class Skipping(Scale):
        def backward(self, grad: Any, input_grad: bool = True) -> Any:  # type: ignore[override]  # one option
            seen.append(input_grad)
            return self.factor.data * grad if input_grad else None

    class Anything(Scale):
        def backward(self, grad: Any, **options: bool) -> Any:
            seen.append(options)
            return self.factor.data * grad

    x, grad = np.array([-1.0, 2.0]), np.array([1.0, 2.0])
    model = nn.Sequential(Skipping(), Plain(), Anything(), nn.Tanhshrink(), Skipping())
    model(x)
    assert model.backward(grad) is None
    assert seen == [True, {"input_grad": True, "overwrite_grad": True}, "plain", False]
    model[0].backward = lambda grad: 5 * grad
    model(x)
    got = model.backward(grad, input_grad=True)
    np.testing.assert_allclose(got, 5 * 3 * 3 * 3 * np.tanh(27 * x) ** 2 * grad)


def test_a_missing_gradient_is_named() -> None:
    """A layer of the user's whose backward returns nothing is named."""

    class Mute(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

        def backward(self, grad: Any, **_: bool) -> Any:  # noqa: ARG002  the signature is given
            return None

    model = nn.Sequential(nn.Linear(2, 2), Mute())
    model(np.ones((1, 2), np.float32))
    with pytest.raises(TypeError, match=r"backward of layer 1, Mute\(\), returned None instead of a gradient"):
        model.backward(np.ones((1, 2), np.float32))


# --- Modules ------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A network as PyTorch's tutorials write it, without super().__init__() even."""

    def __init__(self) -> None:
        self.fc1 = nn.Linear(4, 3, rng=0)
        self.act = nn.ReLU()
        self.fc2 = nn.Linear(3, 2, rng=1)
        self.scale = nn.Parameter(np.ones(2, np.float32))

    def forward(self, x: Any) -> Any:
        """Return the scores."""
        return self.fc2(self.act(self.fc1(x))) * self.scale.data


def test_own_forward() -> None:
    """A module with a forward of its own works for inference, has names, modes and state, and asks for backward."""
    net = Net()
    x = np.ones((5, 4), np.float32)
    assert net(x).shape == (5, 2)
    names = ["scale", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert [name for name, _ in net.named_modules()] == ["", "fc1", "act", "fc2"]
    assert list(net.children()) == [net.fc1, net.act, net.fc2]
    assert net.eval() is net
    assert not net.training
    assert not net.act.training
    assert net.train().act.training
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(x)
    assert repr(net) == (
        "Net(\n  (fc1): Linear(in_features=4, out_features=3, bias=True)\n  (act): ReLU()\n"
        "  (fc2): Linear(in_features=3, out_features=2, bias=True)\n)"
    )


def test_parameters_and_layers_stay_registered() -> None:
    """An array or a function in the place of a parameter or layer is refused; so are values of another shape."""
    net: Any = Net()
    for layer, name in ((nn.PReLU(), "weight"), (nn.ELU(learnable=True), "alpha"), (net.fc1, "bias"), (net, "scale")):
        before = getattr(layer, name)
        for value in (np.full(1, 0.1), 0.1, [0.1], nn.init):
            with pytest.raises(
                TypeError, match=rf"\.{name} is a parameter and cannot become .* {name}\.data\[\.\.\.\] ="
            ):
                setattr(layer, name, value)
        with pytest.raises(ValueError, match=r"values of a parameter of shape .* cannot have shape \(5, 2\)"):
            before.data = np.zeros((5, 2), np.float32)
        with pytest.raises(TypeError, match="float16 or bfloat16, not int64"):
            before.data = np.zeros(before.shape, int)
        assert getattr(layer, name) is before
        setattr(layer, name, nn.Parameter(before.data))
        assert getattr(layer, name) in list(layer.parameters())
    with pytest.raises(TypeError, match=r"Net\.act is a layer and cannot become 'ufunc': assign a Module or None"):
        net.act = np.tanh
    net.act, net.fc1.bias = nn.Tanh(), None
    assert repr(list(net.children())[1]) == "Tanh()"
    assert net(np.ones((5, 4), np.float32)).shape == (5, 2)
    with pytest.raises(ValueError, match="no layer or parameter of Net can be named 'train': that is an attribute"):
        net.train = nn.ReLU()
    parameter = nn.Parameter(np.ones(2, np.float32))
    parameter.grad = np.ones(2)
    parameter.data = values = np.zeros(2, np.float32)
    assert parameter.data is values
    assert parameter.grad is not None
    parameter.data = np.zeros(2)
    assert parameter.grad is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [nn.ReLU()],
            "Net.x is a list that contains a ReLU, which would be neither trained nor saved: use nn.ModuleList",
        ),
        ((nn.ReLU(),), "is a tuple .* nn.ModuleList"),
        ({"a": nn.ReLU()}, "is a dict that contains a ReLU, .* nn.ModuleDict"),
        ([1, {"a": (nn.ReLU(),)}], "contains a ReLU"),
        ([nn.Parameter(np.ones(1))], "contains a Parameter, .* assign each to an attribute of its own"),
    ],
    ids=str,
)
def test_layers_in_plain_collections(value: Any, message: str) -> None:
    """Lists and dicts of layers are refused when they are assigned, or when parameters are asked for."""
    net: Any = Net()
    with pytest.raises(TypeError, match=message):
        net.x = value
    net.x = collection = type(value)() if isinstance(value, (list, dict)) else None
    if isinstance(collection, list):
        collection.extend(value)
    elif isinstance(collection, dict):
        collection.update(value)
    else:
        return
    for ask in (net.parameters, net.state_dict, net.eval, net.modules):
        with pytest.raises(TypeError, match=message):
            list(ask())


def test_apply() -> None:
    """A function is called for every module, children first."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    seen: list[Any] = []
    assert model.apply(seen.append) is model
    assert seen == [model[0], model[1][0], model[1], model]


def test_a_shared_layer_is_counted_once() -> None:
    """One layer under two names has its parameters once, and its state under both names."""
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(model.parameters())) == 2
    assert len(list(model.modules())) == 3
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_hooks() -> None:
    """A hook sees module, arguments and output, may replace the output, and can be removed."""
    layer = nn.ReLU()
    seen: list[Any] = []
    remove = layer.register_forward_hook(lambda *all_: seen.append(all_))
    remove_double = layer.register_forward_hook(lambda module, arguments, output: 2 * output)  # noqa: ARG005  the signature is given
    x = np.array([-1.0, 1.0])
    assert layer(x).tolist() == [0, 2]
    remove()
    assert layer(x).tolist() == [0, 2]
    remove_double()
    assert layer(x).tolist() == [0, 1]
    assert len(seen) == 1
    assert seen[0][0] is layer
    assert seen[0][1][0] is x


@each_layer
@pytest.mark.parametrize("times", [1, 2])
def test_the_gradient_of_a_replaced_output(layer: nn.Module, times: int) -> None:
    """Is not that of the layer: backward says so, until the next call without such a hook."""
    layer = copy.deepcopy(layer)
    x = inputs_of(layer)
    remove = layer.register_forward_hook(lambda module, args, output: output * 2)  # noqa: ARG005  the signature is given
    for _ in range(times):
        y = layer(x.copy())
    with pytest.raises(RuntimeError, match="backward cannot begin: "):
        layer.backward(np.ones_like(y))
    remove()
    layer.register_forward_hook(lambda module, args, output: None)  # noqa: ARG005  the signature is given
    layer(x.copy())
    assert layer.backward(np.ones_like(y), input_grad=True).shape == x.shape


def test_a_replaced_output_within_a_backward_of_ones_own() -> None:
    """Is remembered as what the layer saved: its backward raises there too."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x: Any) -> Any:
            return self.act(x)

        def backward(self, grad: Any, **_: bool) -> Any:
            return self.act.backward(grad)

    own = Own()
    own.act.register_forward_hook(lambda module, args, output: output * 2)  # noqa: ARG005  the signature is given
    for model in (own, nn.Sequential(own, nn.ReLU())):
        y = model(np.ones(3))
        with pytest.raises(RuntimeError, match=r"Tanh.backward cannot begin: .*hook replaced the output"):
            model.backward(y) if model is own else model.backward(y, input_grad=True)


def test_a_replaced_output_of_a_module_with_a_backward_of_its_own() -> None:
    """Called alone, its backward does not know what a hook returned instead: it raises until the next call without."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x: Any) -> Any:
            return self.act(x)

        def backward(self, grad: Any, **_: bool) -> Any:
            return self.act.backward(grad)

    own, x = Own(), np.ones(3)
    expected = own(x), own.backward(np.ones(3))
    remove = own.register_forward_hook(lambda module, args, output: output * 2)  # noqa: ARG005  the signature is given
    np.testing.assert_array_equal(own(x), 2 * expected[0])
    with pytest.raises(RuntimeError, match=r"hook replaced the output of the layer, or of a module with a backward"):
        own.backward(np.ones(3))
    remove()
    own.register_forward_hook(lambda module, args, output: None)  # noqa: ARG005  the signature is given
    np.testing.assert_array_equal(own(x), expected[0])
    np.testing.assert_array_equal(own.backward(np.ones(3)), expected[1])


@pytest.mark.parametrize("slope", [np.full(3, 0.2), np.float32(0.2), 1 / 6])
@pytest.mark.parametrize("kind", [nn.Hardsigmoid, nn.Hardswish])
def test_text_of_arrays_as_parameters(kind: Any, slope: Any) -> None:
    """A layer with an array as a parameter has a text, as any other."""
    assert (repr(slope) in repr(kind(slope=slope))) is (type(slope) is not float)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "put",
    [
        lambda outer, inner: setattr(outer, "inner", inner),
        lambda outer, inner: outer.append(inner),
        lambda outer, inner: outer.insert(0, inner),
        lambda outer, inner: outer.__setitem__(0, inner),
    ],
    ids=["attribute", "append", "insert", "item"],
)
def test_no_module_contains_itself(put: Any, depth: int) -> None:
    """Neither directly nor in another one: the container stays as it was."""
    outer = nn.Sequential(nn.ReLU(), nn.Tanh())
    inner: nn.Module = outer
    for _ in range(depth):
        inner = nn.ModuleList([inner])
    with pytest.raises(ValueError, match="cannot be the module itself, or one that contains it"):
        put(outer, inner)
    assert len(list(outer.modules())) == 3


def test_a_hook_is_a_function() -> None:
    """Anything else is refused when it is registered."""
    with pytest.raises(TypeError, match="a forward hook is a function of module, args and output, got 3"):
        cast("Any", nn.ReLU()).register_forward_hook(3)


@pytest.mark.parametrize("way", ["remove", "call", "with"])
@pytest.mark.parametrize("copied", [None, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_handle_removes_one_hook(way: str, copied: Any) -> None:
    """It removes its own, once, as in PyTorch; a copy of both removes that of the copy."""
    model = nn.ReLU()
    others = [model.register_forward_hook(nn.Tanh) for _ in range(2)], model.register_forward_hook(nn.ReLU)
    handle = model.register_forward_hook(nn.Tanh)
    seen = model
    if copied is not None:
        model, handle = copied((model, handle))
    for _ in range(2):
        if way == "with":
            with handle as entered:
                assert entered is handle
        else:
            handle() if way == "call" else handle.remove()
        assert sorted(hook.__name__ for hook in model._hooks) == ["ReLU", "Tanh", "Tanh"]
    assert len(seen._hooks) == (3 if copied is None else 4)
    others[1].remove()
    assert {hook.__name__ for hook in seen._hooks} == {"Tanh"}


def test_modules_are_frozen_by_a_call() -> None:
    """As in PyTorch; an attribute that would freeze nothing is refused."""
    model = nn.Sequential(nn.Linear(2, 2), nn.PReLU(), nn.Sequential(nn.Linear(2, 2, bias=False)))
    assert model.requires_grad_(False) is model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model[0].requires_grad_()
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, False, False]
    for module in (model, model[1]):
        with pytest.raises(AttributeError, match=r"requires_grad would change nothing: call requires_grad_\(False\)"):
            module.requires_grad = False
    with pytest.raises(TypeError, match="requires_grad must be True or False, got 0"):
        model.requires_grad_(cast("Any", 0))

    class Own(nn.Module):
        requires_grad = True

    own = Own()
    own.requires_grad = False
    assert not own.requires_grad


@pytest.mark.parametrize(
    ("grad", "message"),
    [
        (None, "the gradient is None"),
        (np.ones(3), r"the output was of shape \(4, 2\), the gradient is \(3,\)"),
        (np.ones((4, 2), np.complex64), "consists of real numbers, got complex64"),
        (np.ma.ones((4, 2)), "cannot be a masked array"),
    ],
    ids=["None", "shape", "complex", "masked"],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_errors_about_the_gradient_of_a_network_are_one_line(grad: Any, message: str, depth: int) -> None:
    """They name it, without all of its layers."""
    model = nn.Sequential(nn.Linear(3, 2, rng=0), *(nn.Sequential(nn.ReLU()) for _ in range(depth)))
    model(np.ones((4, 3), np.float32))
    with pytest.raises((TypeError, ValueError), match=rf"^Sequential: .*{message}[^\n]*$"):
        model.backward(grad)


@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize(
    ("layer", "y"),
    [
        (nn.Softmax(), 1),
        (nn.Softmax(sink=np.zeros((), np.float32)), fr.sigmoid(3.0)),
        (nn.LogSoftmax(), 0),
        (nn.Softmin(), 1),
        (nn.Hardmax(), 1),
        (nn.Sparsemax(), 1),
        (nn.GumbelSoftmax(), 1),
        (nn.GumbelSoftmax(hard=True), 1),
    ],
    ids=str,
)
def test_a_number_along_its_axis(layer: Any, y: float, dim: int) -> None:
    """A number without axes is one element along axis 0, as in PyTorch; it has no other axis."""
    layer = copy.deepcopy(layer)
    layer.dim = dim
    assert layer(np.float32(3)) == pytest.approx(y, abs=1e-6)
    dx = layer.backward(np.float32(1))
    assert np.shape(dx) == ()
    assert dx == pytest.approx(y * (1 - y), abs=1e-6)
    layer.dim = 1
    with pytest.raises(np.exceptions.AxisError, match="axis 1 is out of bounds for array of dimension 0"):
        layer(np.float32(3))


def test_concurrent_inference() -> None:
    """In evaluation mode threads may share a network."""
    model = network(np.float32).eval()
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((8, 4), np.float32) for _ in range(40)]
    wanted = [model(batch.copy()) for batch in batches]
    found: dict[int, Any] = {}

    def work(start: int) -> None:
        for i in range(start, len(batches), 4):
            found[i] = model(batches[i].copy())

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[i], wanted[i]) for i in range(len(batches)))


# --- Linear and parameters ----------------------------------------------------------------------------------------


def test_linear_refuses() -> None:
    """Other types, shapes and masks are refused with what to do."""
    layer = nn.Linear(3, 2)
    name = r"Linear\(in_features=3, out_features=2, bias=True\)"
    with pytest.raises(TypeError, match=name + r" has float32 weights and got float64: .* x.astype\(np.float32\)"):
        layer(np.ones((4, 3)))
    with pytest.raises(TypeError, match="got int64"):
        layer([[1, 2, 3]])
    with pytest.raises(TypeError, match="cannot take a masked array into account"):
        layer(np.ma.masked_array(np.ones(3, np.float32), mask=[True, False, False]))
    with pytest.raises(ValueError, match=name + r" takes arrays of shape \(\.\.\., 3\), got \(4, 5\)"):
        layer(np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match=r"got \(\)"):
        layer(np.float32(1))
    layer(np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match=r"the output was of shape \(4, 2\), the gradient is \(4, 3\)"):
        layer.backward(np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="at least one feature, got 0 in, 2 out"):
        nn.Linear(0, 2)
    with pytest.raises(TypeError, match="float32 or float64, and for inference float16 or bfloat16, not int16"):
        nn.Linear(2, 2, dtype=np.int16)
    with pytest.raises(TypeError, match="float16 or bfloat16, not int64"):
        nn.Parameter(np.ones(2, int))


@pytest.mark.parametrize("own", [np.float32, np.float64, np.float16, "bfloat16"])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.float16, np.int64, list])
def test_the_way_out_of_another_type_works(own: Any, given: Any) -> None:
    """What the message says converts the input, or makes a layer that takes it."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the extra 'test' brings it")
    kind = np.dtype(ml_dtypes.bfloat16 if own == "bfloat16" else own)
    layer, x = nn.Linear(2, 1, dtype=kind), [[1.0, 2.0]] if given is list else np.ones((1, 2), given)
    if np.asarray(x).dtype == kind:
        return
    with pytest.raises(TypeError, match=rf"has {kind} weights and got") as found:
        layer(x)
    names = {"np": np, "ml_dtypes": ml_dtypes, "x": x}
    convert, _, other = (
        str(found.value).partition("convert the input, ")[2].partition(", or make the layer with dtype=")
    )
    assert layer(eval(convert, names)).dtype == kind
    assert bool(other) == (np.asarray(x).dtype in {np.dtype(np.float32), np.dtype(np.float64)})
    if other:
        assert nn.Linear(2, 1, dtype=eval(other, names))(x).shape == (1, 1)


def test_linear_converts_byte_order_and_returns_new_arrays() -> None:
    """A byte-swapped array is converted; no later call overwrites an output."""
    layer = nn.Linear(3, 2, rng=0)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = layer(x)
    assert np.array_equal(layer(x.astype(">f4")), y)
    again = layer(-x)
    assert not np.shares_memory(y, again)
    assert np.array_equal(y, layer(x))


def test_linear_initial_values() -> None:
    """Initial values are uniform within 1 / sqrt(in_features), and repeat with the seed."""
    layer = nn.Linear(100, 400, rng=3)
    again = nn.Linear(100, 400, rng=np.random.default_rng(3))
    for one, two in zip(layer.parameters(), again.parameters(), strict=True):
        assert np.array_equal(one.data, two.data)
        assert np.abs(one.data).max() <= np.float32(0.1)
        assert np.abs(one.data).max() > 0.099
    assert layer.weight.data.std() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert nn.Linear(2, 2, bias=False).bias is None


def test_gradient_memory() -> None:
    """Gradients use the same memory in each step, add up between steps, and are replaced after one."""
    layer = nn.Linear(3, 2, dtype=np.float64)
    optimizer = optim.SGD(layer.parameters(), lr=0.0)
    x, grad = np.ones((4, 3)), np.ones((4, 2))

    def backward() -> NDArray[Any]:
        layer(x)
        layer.backward(grad)
        assert layer.weight.grad is not None
        return layer.weight.grad

    first = backward()
    assert (first == 4).all()
    assert (backward() == 8).all()
    optimizer.step()
    assert backward() is first
    assert (first == 4).all()
    optimizer.zero_grad()
    assert layer.weight.grad is None
    assert backward() is first
    assert (first == 4).all()


@pytest.mark.parametrize("after_a_step", [False, True])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "trained",
    [nn.Linear(3, 3, rng=0), *(layer for layer in LAYERS if {p.shape for p in layer.parameters()} in ({(3,)}, {(1,)}))],
    ids=repr,
)
def test_gradient_of_a_parameter_as_that_of_the_output(trained: nn.Module, alone: bool, after_a_step: bool) -> None:
    """Backward adds to the gradients of parameters, and does not change what it was given before it has read it."""

    def gradients(name: str, taken: Callable[[Any], Any]) -> list[Any]:
        layer = copy.deepcopy(trained)
        model = layer if alone else nn.Sequential(layer)
        model(x.copy())  # some work in place
        model.backward(np.cos(x))
        if after_a_step:
            optim.SGD(model.parameters(), lr=0.0).step()
        parameter = getattr(layer, name)
        given = np.broadcast_to(taken(parameter.grad), x.shape)
        model(x.copy())
        dx = model.backward(given, input_grad=True)
        return [dx, *(np.copy(p.grad) for p in layer.parameters() if p.grad is not None)]

    x = np.linspace(-2, 2, 9, dtype=np.float32).reshape(3, 3)
    for name, _ in trained.named_parameters():
        for got, wanted in zip(gradients(name, np.asarray), gradients(name, np.copy), strict=True):
            assert np.array_equal(got, wanted)


def test_parameter_is_an_array() -> None:
    """NumPy converts a parameter to its values."""
    p = nn.Parameter(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.asarray(p) is p.data
    assert (p.shape, p.ndim, p.size) == ((2, 3), 2, 6)
    assert p.dtype == np.float32
    assert np.array(p, np.float64).dtype == np.float64
    assert repr(p).startswith("Parameter containing:\narray([[0., 1., 2.]")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.PReLU(0), "PReLU needs num_parameters of at least 1, got 0"),
        (lambda: nn.ELU(num_parameters=3), "ELU has 3 parameters only with learnable=True"),
        (lambda: nn.SReLU(t_left=2.0), "SReLU requires t_left <= t_right, got t_left=2.0, t_right=1.0"),
        (lambda: nn.Softplus(1.0, np.nan), "threshold must be a number, got nan"),
        (lambda: nn.RReLU(0.5, 0.1), "RReLU requires lower <= upper, got lower=0.5, upper=0.1"),
        (
            lambda: nn.GELU("exact"),  # type: ignore[arg-type]  # wrong on purpose
            'approximate must be "none" or "tanh", got \'exact\'',
        ),
        (lambda: nn.Dropout(1.1), "Dropout requires 0 <= p <= 1, got p=1.1"),
        (lambda: nn.Dropout(np.nan), "Dropout requires 0 <= p <= 1, got p=nan"),
        (
            lambda: nn.MSELoss("max"),  # type: ignore[arg-type]  # wrong on purpose
            'reduction must be "mean", "sum" or "none", got \'max\'',
        ),
        (lambda: nn.PReLU(3)(np.ones((2, 4))), r"PReLU has 3 parameters along axis 1, which does not fit .* \(2, 4\)"),
        (lambda: nn.PReLU(3)(np.ones(3)), r"does not fit an input of shape \(3,\)"),
        (lambda: nn.MSELoss()(np.ones(3), np.ones((3, 1))), r"MSELoss needs one shape, got \(3,\) and \(3, 1\)"),
        (lambda: nn.Flatten(2, 1)(np.ones((2, 3, 4))), "cannot join axes 2 to 1"),
        (lambda: nn.Flatten(3)(np.ones((2, 3, 4))), "axis 3 is out of bounds"),
    ],
)
def test_refusals(build: Any, message: str) -> None:
    """Arguments that do not fit are refused, and the error shows them."""
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("types", "prediction", "target", "loss", "gradient", "kinds"),
    [
        ("uint8 uint8", 0, 16, 256, -32, "float32 float32"),
        ("int8 int8", 100, -100, 40000, 400, "float32 float32"),
        ("int64 int64", 1, 3, 4, -4, "float64 float64"),
        ("bool bool", 1, 0, 1, 2, "float32 float32"),
        ("float16 float16", 100, 0, 10000, 200, "float16 float16"),
        ("float32 float64", 1, 3, 4, -4, "float64 float32"),
        ("float32 int64", 1, 3, 4, -4, "float32 float32"),
        ("float64 float32", 1, 3, 4, -4, "float64 float64"),
    ],
)
def test_losses_compute_in_floating_point(
    types: str, prediction: int, target: int, loss: float, gradient: float, kinds: str
) -> None:
    """Loss and gradient have the prediction's type, or the floating type that integers become."""
    criterion = nn.MSELoss()
    x, y = (np.array([n]).astype(kind) for n, kind in zip((prediction, target), types.split(), strict=True))
    got = criterion(x, y), criterion.backward()
    assert [float(value) for value in (got[0], got[1][0])] == [loss, gradient]
    assert [str(value.dtype) for value in got] == kinds.split()


@pytest.mark.parametrize("wrong", [np.ones((2, 3), complex), np.ones((2, 3), object), np.full((2, 3), "a")], ids=str)
def test_losses_refuse(wrong: Any) -> None:
    """Complex, masked and unknown arrays, and gradients of another shape than the loss."""
    x, labels = np.ones((2, 3)), np.array([0, 1])
    masked = np.ma.masked_array(x, mask=x > 0)
    for criterion, target in ((nn.MSELoss(), x), (nn.CrossEntropyLoss(), labels)):
        for arguments in ((wrong, target), (x, wrong)):
            with pytest.raises(TypeError, match=r"real numbers|integers or probabilities"):
                criterion(*arguments)
        with pytest.raises(TypeError, match="mask"):
            criterion(masked, target)
    for criterion, target in ((nn.MSELoss("none"), x), (nn.CrossEntropyLoss(reduction="none"), labels)):
        shape = criterion(x, target).shape
        for grad in (1.0, np.ones((*shape, 1)), np.ones(shape)[:1]):
            criterion(x, target)
            with pytest.raises(ValueError, match=rf"the output was of shape {re.escape(str(shape))}, the gradient is"):
                criterion.backward(grad)
    for criterion, target in ((nn.MSELoss("sum"), x), (nn.CrossEntropyLoss(), labels)):
        criterion(x, target)
        with pytest.raises(ValueError, match=r"the output was of shape \(\), the gradient is \(2, 3\)"):
            criterion.backward(x)


def test_dropout() -> None:
    """Training zeroes a share and scales the rest, the gradient with them; integers are refused."""
    layer = nn.Dropout(0.25, rng=0)
    x = np.ones(40_000, np.float32)
    y = layer(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # The share of 40,000 draws is off by 0.2 % at a time.
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(layer.backward(x), y)
    assert not np.array_equal(layer(x), y)
    assert layer.eval()(x) is x
    with pytest.raises(TypeError, match="Dropout takes float32 or float64 in training, got int64"):
        layer.train()(np.ones(3, int))


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "SFC64", "Philox", "MT19937"])
def test_dropout_draws_random_integers(bits: str) -> None:
    """The draws are those of Generator.integers, whatever the source was asked before, and leave it in the same state."""
    ours, numpys = (np.random.Generator(getattr(np.random, bits)(3)) for _ in range(2))
    layer = nn.Dropout(0.25, rng=ours)
    for size in (0, 1, 2, 7, 1000):
        for source in (ours, numpys):
            source.integers(0, 9, dtype=np.uint32)  # keeps the other half of what it drew
        words = numpys.integers(0, 2**64, (size + 1) // 2, np.uint64).view(np.uint32)[:size]
        assert np.array_equal(layer(np.ones(size)) > 0, words >= 2**30)
        assert repr(ours.bit_generator.state) == repr(numpys.bit_generator.state)


def test_concatenate_keeps_its_axis_for_backward() -> None:
    """The gradients are those of the call, also if the axis has changed since."""
    layer = nn.Concatenate(0)
    layer(np.ones((1, 3)), np.ones((2, 3)))
    layer.axis = 1
    assert [dx.shape for dx in layer.backward(np.ones((3, 3)))] == [(1, 3), (2, 3)]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (1001,), (7, 13, 5)], ids=str)
def test_dropout_selects(shape: tuple[int, ...], inplace: bool) -> None:
    """Dropped elements are +0.0, whatever they were, forward and backward; one bit per element is saved."""
    values = np.resize(np.array([np.inf, -np.inf, np.nan, 1.5, -1.5, 3e38], np.float32), shape)
    plain, layer = nn.Dropout(0.5, rng=3), nn.Dropout(0.5, inplace, rng=3)
    kept = plain(np.ones(shape, np.float32)) != 0
    with np.errstate(over="ignore"):  # twice 3e38, where it is kept
        wanted = np.where(kept, 2 * values, np.float32(0))
    x = values.copy()
    with np.errstate(over="ignore" if kept.any() else "warn"):  # only where 3e38 is kept
        y = layer(x)
    assert (y is x) == inplace
    np.testing.assert_array_equal(y, wanted)
    assert not np.signbit(y[~kept]).any()
    assert layer._last_call()[0][0].nbytes == (values.size + 7) // 8
    grad = values.copy()
    with np.errstate(over="ignore"):  # twice 3e38 again
        got = layer.backward(grad)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(grad, values)
    assert got.dtype == np.float32


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_of_everything(inplace: bool) -> None:
    """With p = 1 all is zero, as in PyTorch."""
    layer = nn.Dropout(1, inplace)
    x = np.array([1.0, -np.inf, np.nan])
    assert layer(x).tolist() == [0, 0, 0]
    assert layer.backward(np.array([1.0, np.inf, np.nan])).tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="cannot take a masked array into account"):
        layer(np.ma.masked_array(x, mask=x > 0))


def test_rrelu_draws_in_training() -> None:
    """Slopes are drawn anew in each call, from the generator, and give the gradient."""
    x = np.full(1000, -1.0, np.float32)
    layer, in_place = nn.RReLU(0.1, 0.4, rng=5), nn.RReLU(0.1, 0.4, inplace=True, rng=5)
    y = layer(x)
    assert np.unique(y).size > 900
    assert np.array_equal(layer.backward(np.ones_like(x)), -y)
    given = x.copy()
    assert in_place(given) is given
    assert np.array_equal(given, y)
    assert np.array_equal(in_place.backward(np.ones_like(x)), -y)
    assert not np.array_equal(layer(x), y)
    assert np.array_equal(layer.eval()(x), fr.leaky_relu(x, 0.25))


@pytest.mark.parametrize("kind", [nn.Dropout, nn.RReLU])
def test_copies_draw_independently(kind: Any) -> None:
    """Copies of a layer draw different numbers, unless the constructor or the layer was given a seed or generator."""
    x = np.full(1000, -1.0, np.float32)
    copies: list[Any] = [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
    for again in copies:
        layer = kind()
        assert not np.array_equal(again(layer)(x), layer(x))
        layer.rng = np.random.default_rng(1)
        seeded = kind(rng=1)
        wanted = kind(rng=1)(x)
        assert all(np.array_equal(again(each)(x), wanted) for each in (layer, seeded))
    code = f"""
import os
import numpy as np
from fastrelu import nn
x = np.full(1000, -1.0, np.float32)
layer, seeded = nn.{kind.__name__}(), nn.{kind.__name__}(rng=1)
wanted = nn.{kind.__name__}(rng=1)(x)
ours, theirs = os.pipe()
child = os.fork()
drawn = layer(x).tobytes()
assert np.array_equal(seeded(x), wanted)
if child == 0:
    os.write(theirs, drawn)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert os.read(ours, 1 << 16) not in (drawn, b"")
"""
    if hasattr(os, "fork"):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_srelu_keeps_its_order() -> None:
    """The right threshold never passes the left one, whatever the width becomes."""
    layer = nn.SReLU()
    layer.width.data[:] = -2.0
    x = np.array([-1.0, 1.0, 3.0], np.float32)
    assert np.isfinite(layer(x)).all()
    assert layer(x)[1] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [1.0, 0.3, 7.0, 1e-3])
def test_thresholds_that_change_no_bit(beta: float, dtype: Any) -> None:
    """Beyond `least` softplus rounds to its input and its derivative to 1: no threshold there changes a bit."""
    least = 17.5 if dtype is np.float32 else 38.0
    x = (np.geomspace(least * (1 + 1e-6), 1e5, 20_000) / beta).astype(dtype)
    for precision in ("fast", "accurate"):
        with fr.precision(precision):
            for threshold in (least, np.inf, 0.0):
                layer = nn.Softplus(beta, threshold)
                np.testing.assert_array_equal(layer(x), x)
                np.testing.assert_array_equal(layer.backward(np.full_like(x, 0.7)), dtype(0.7))


def test_softplus_threshold_of_any_input() -> None:
    """Numbers, integers, lists and NaN; a product that overflows is beyond the threshold."""
    layer = nn.Softplus(2.0, 1.0).eval()
    assert layer(np.float32(3)) == 3
    assert layer(3).dtype == np.float64
    assert layer([1, -1])[0] == 1
    assert layer(np.array([3, 0], np.int8)).dtype == np.float32
    np.testing.assert_array_equal(
        nn.Softplus(1e10)(np.array([1e308, np.nan, np.inf, -np.inf])), [1e308, np.nan, np.inf, 0]
    )
    zero = np.array(3.0)
    assert nn.Softplus(2.0, 1.0, inplace=True)(zero) is zero
    assert zero == 3


def test_precision_reaches_the_layers() -> None:
    """The precision in force where a layer is called holds for it."""
    x = np.linspace(-8, 8, 10_001, dtype=np.float32)
    layer = nn.GELU()
    with fr.precision("accurate"):
        got = layer(x)
    assert np.array_equal(got, fr.ufuncs.accurate.gelu(x))
    assert np.array_equal(layer(x), activations.gelu(x))


# --- State --------------------------------------------------------------------------------------------------------


def test_state_round_trip(tmp_path: Path) -> None:
    """A state goes through an .npz file and back, bit for bit."""
    model = nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.SReLU(), nn.Linear(3, 2))
    np.savez(tmp_path / "model.npz", **model.state_dict())  # type: ignore[arg-type]  # the stub takes allow_pickle for it
    again = nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.SReLU(), nn.Linear(3, 2))
    with np.load(tmp_path / "model.npz") as state:
        again.load_state_dict(state)
    assert list(again.state_dict()) == list(model.state_dict())
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


def test_state_is_a_copy() -> None:
    """A state does not change when training goes on, and is in C order."""
    model = network()
    state = model.state_dict()
    before = {name: value.copy() for name, value in state.items()}
    for parameter in model.parameters():
        parameter.data[...] = 0
    assert all(np.array_equal(state[name], before[name]) for name in state)
    assert all(value.flags.c_contiguous for value in state.values())


def test_loading_adopts_the_type() -> None:
    """The arrays' type becomes the parameters' type; values of the same type stay in the same memory."""
    model = network(np.float32)
    memory = model[0].weight.data
    model.load_state_dict(network(np.float32).state_dict())
    assert model[0].weight.data is memory
    model.load_state_dict(network(np.float64).state_dict())
    assert all(parameter.dtype == np.float64 for parameter in model.parameters())
    x = np.random.default_rng(0).standard_normal((3, 4))
    np.testing.assert_array_equal(model(x), network()(x))
    half = {name: value.astype(np.float16) for name, value in model.state_dict().items()}
    model.load_state_dict(half)
    assert all(parameter.dtype == np.float32 for parameter in model.parameters())


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("strict", [True, False])
def test_loading_other_byte_orders(dtype: str, strict: bool) -> None:
    """As inputs of layers, the arrays of a state may have the byte order of another machine."""
    wanted, model = network(np.float32), network(np.float32)
    state = {name: value.astype(dtype) for name, value in network().state_dict().items()}
    wanted.load_state_dict(state)
    swapped = {name: value.astype(value.dtype.newbyteorder()) for name, value in state.items()}
    model.load_state_dict(swapped, strict=strict)
    for parameter, other in zip(model.parameters(), wanted.parameters(), strict=True):
        assert parameter.dtype == other.dtype
        assert parameter.dtype.isnative
        np.testing.assert_array_equal(parameter.data, other.data)


def test_loading_refuses() -> None:
    """Missing, unexpected and misshapen arrays are all named, and nothing is changed."""
    model = network()
    before = model.state_dict()
    state = model.state_dict()
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        (
            {name: value for name, value in state.items() if "bias" not in name} | {"extra": np.ones(1)},
            KeyError,
            r"does not belong to this Sequential; missing: 0.bias, 2.bias; unexpected: extra",
        ),
        (
            state | {"0.weight": np.ones((4, 6)), "2.bias": np.ones(3)},
            ValueError,
            r"0.weight is \(6, 4\), got \(4, 6\); 2.bias is \(2,\), got \(3,\)",
        ),
        (state | {"2.bias": np.ones(2, int)}, TypeError, "float32 or float64; 2.bias is int64"),
        (state | {"2.bias": np.ones(2, np.float32)}, TypeError, "mixes types .*2.bias is float32.*convert"),
    ]
    for given, error, message in cases:
        with pytest.raises(error, match=message):
            model.load_state_dict({name: np.zeros_like(value) for name, value in given.items()})
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_loading_a_part() -> None:
    """With strict=False what is missing and unexpected is returned; errors still change nothing."""
    model, other = (
        network(np.float32),
        nn.Sequential(nn.Linear(4, 6, rng=5), nn.ReLU(), nn.Tanh(), nn.Linear(6, 2, rng=6)),
    )
    before = model.state_dict()
    assert repr(model.load_state_dict(before)) == "<All keys matched successfully>"
    wrong = {"0.weight": np.ones((6, 4)), "2.weight": np.ones((1, 2))}
    with pytest.raises(ValueError, match=r"other shapes: 2.weight is \(2, 6\), got \(1, 2\)"):
        model.load_state_dict(wrong, strict=False)
    for values, message in (
        (np.ones((6, 4), complex), "0.weight is complex128"),
        (
            np.ma.masked_array(np.ones((6, 4)), mask=np.eye(6, 4, dtype=bool)),
            r"0.weight is a masked array: fill it first",
        ),
        ([[1.0, 2.0], [3.0]], "0.weight is a list, which NumPy cannot read"),
    ):
        with pytest.raises(TypeError, match=message):
            model.load_state_dict({"0.bias": np.zeros(6), "0.weight": values}, strict=False)
    with pytest.raises(TypeError, match="a state is a mapping of names to arrays, got 'list'"):
        model.load_state_dict(list(before.items()))  # type: ignore[arg-type]  # wrong on purpose
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    state = {name: value.astype(np.float64) for name, value in other.state_dict().items()}
    found = model.load_state_dict(state, strict=False)
    assert found == (["2.weight", "2.bias"], ["3.weight", "3.bias"])
    assert repr(found).startswith("IncompatibleKeys(missing_keys=['2.weight', '2.bias'], unexpected_keys=")
    after = model.state_dict()
    assert all(value.dtype == np.float32 for value in after.values())
    for name, value in after.items():
        np.testing.assert_array_equal(value, (before if name[0] == "2" else other.state_dict())[name])
    assert model.load_state_dict({}, strict=False).missing_keys == list(before)
    model.load_state_dict({name: nn.Parameter(value) for name, value in before.items()})
    np.testing.assert_equal(model.state_dict(), before)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if isinstance(layer, nn.Activation)], ids=str)
def test_arrays_as_parameters(layer: Any, inplace: bool) -> None:
    """A layer whose parameters are numbers trains with arrays of them as it does with the numbers."""
    layer, names = copy.deepcopy(layer), layer._names
    numbers = {name: getattr(layer, name, None) for name in names}
    if not names or any(type(value) is not float for value in numbers.values()) or isinstance(layer, nn.RReLU):
        return
    layer.inplace = inplace
    x, grad = (np.random.default_rng(seed).standard_normal((2, 3), np.float32) for seed in range(2))
    expected = layer(x.copy()), layer.backward(grad)
    for name, value in numbers.items():
        setattr(layer, name, np.full(3, value, np.float32))
        np.testing.assert_allclose(layer(x.copy()), expected[0], rtol=1e-5)
        np.testing.assert_allclose(layer.backward(grad), expected[1], rtol=1e-5)
        with pytest.raises(TypeError, match=f"{name} must be a number, got 'a'"):
            setattr(layer, name, "a")
        setattr(layer, name, value)


def test_shapes_follow_inputs_and_options() -> None:
    """`Flatten` and `Unflatten` find the shape for each input, with the options as they are then."""
    flat, split = nn.Flatten(), nn.Unflatten(1, (2, -1))
    for shape, joined, parts in (
        ((2, 4), (2, 4), (2, 2, 2)),
        ((3, 6, 5), (3, 30), (3, 2, 3, 5)),
        ((0, 4), (0, 4), (0, 2, 2)),
    ):
        x = np.zeros(shape, np.float32)
        for _ in range(2):
            assert (flat(x).shape, split(x).shape) == (joined, parts)
            assert flat.backward(np.zeros(joined)).shape == split.backward(np.zeros(parts)).shape == shape
    x = np.zeros((2, 3, 4), np.float32)
    flat.start_dim, flat.end_dim = np.int64(0), np.array(1)  # type: ignore[assignment]  # integers of NumPy are some
    assert flat(x).shape == (6, 4)
    split.dim, split.unflattened_size = np.int64(-1), [np.array(2), 2]  # type: ignore[assignment]  # and lists of lengths
    assert split(x).shape == (2, 3, 2, 2)
    split.unflattened_size = (2, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot split an axis of length 4"):
            split(x)


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Add(), nn.Flatten(), nn.PReLU(), nn.Linear(3, 3, rng=0)], ids=repr)
def test_a_refused_gradient_leaves_the_call(layer: nn.Module) -> None:
    """A layer alone goes back through a call once, and errors before that change nothing."""
    x = np.ones((2, 3), np.float32)
    layer(x)
    for grad, options, error in (
        (np.ones((3, 2), np.float32), {}, ValueError),
        (np.ones(3, np.float32), {}, ValueError),
        (None, {}, TypeError),
        (np.ones((2, 3), complex), {}, TypeError),
        (x, {"input_grad": 1}, TypeError),
        (x, {"overwrite_grad": "no"}, TypeError),
    ):
        with pytest.raises(error):
            layer.backward(grad, **options)
    assert layer.backward(x, input_grad=True).shape == (2, 3)
    if not isinstance(layer, nn.Identity):  # which needs no call
        with pytest.raises(RuntimeError, match="has no forward call"):
            layer.backward(x)


def test_shapes_of_other_types() -> None:
    """The shape of what passes through `Identity` may be a tuple of another class, as PyTorch's are."""

    class Shape(tuple[int, ...]):
        __slots__ = ()

    class Other:
        shape = Shape((2, 3))

    layer, grad = nn.Identity(), np.ones((2, 3), np.float32)
    layer(Other())
    with pytest.raises(ValueError, match=r"of shape \(2, 3\), the gradient is \(3, 2\)"):
        layer.backward(grad.T)
    assert layer.backward(grad) is grad
