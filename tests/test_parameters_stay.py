"""Parameters stay parameters: no assignment removes one from its layer, or changes its shape, without an error."""

from __future__ import annotations

import copy
import inspect
import operator
import re
from typing import Any

import numpy as np
import pytest
from test_nn import LAYERS

from fastrelu import nn, optim

# One of each kind of layer that has parameters, and the names of these.
KINDS = {type(layer): layer for layer in LAYERS if list(layer._own_parameters())}
OWNED = [(kind, name) for kind, layer in KINDS.items() for name, _ in layer._own_parameters()]
each_parameter = pytest.mark.parametrize(
    ("kind", "name"), OWNED, ids=[f"{kind.__name__}-{name}" for kind, name in OWNED]
)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        *(("bias", shape, r"\(out_features,\)") for shape in ((), (2, 1), (1, 3))),
        *(("weight", shape, r"\(out_features, in_features\)") for shape in ((), (4,), (2, 3, 4))),
    ],
)
def test_parameters_of_linear_do_not_broadcast(name: str, shape: tuple[int, ...], message: str) -> None:
    """A parameter with other axes is refused when it is assigned, and the layer keeps the one it has."""
    layer = nn.Linear(4, 3)
    before = getattr(layer, name)
    with pytest.raises(ValueError, match=rf"^Linear.{name} is of shape {message}, got .* {re.escape(str(shape))}$"):
        setattr(layer, name, nn.Parameter(np.ones(shape, np.float32)))
    assert getattr(layer, name) is before


def test_one_bias_for_all_outputs() -> None:
    """Its gradient is the sum over all outputs, as in PyTorch."""
    layer = nn.Linear(4, 3)
    layer.bias = nn.Parameter(np.ones(1, np.float32))
    layer(np.ones((2, 4), np.float32))
    layer.backward(np.ones((2, 3), np.float32))
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [6]


def fresh(kind: Any, name: str) -> tuple[nn.Module, nn.Parameter]:
    """Return a layer of the kind and its parameter."""
    layer = copy.deepcopy(KINDS[kind])
    return layer, getattr(layer, name)


def test_kinds() -> None:
    """KINDS has every layer that learns."""
    assert {kind.__name__ for kind in KINDS} >= {"Linear", "PReLU", "SReLU", "ELU", "CELU", "Softplus", "Swish"}


@each_parameter
@pytest.mark.parametrize(
    "value",
    [
        *(np.float32([0.1]), 0.1, [0.1], np.float32(0.1), True, "0.1", np.ones((7, 7)), (0.1,), 0, len, np.tanh),
        *(nn.ReLU(), nn.PReLU(), nn.Linear(1, 1), nn.ModuleList(), nn.ModuleDict(), nn.Sequential(nn.ReLU())),
    ],
    ids=repr,
)
def test_assigned_values_are_refused(kind: Any, name: str, value: Any) -> None:
    """An array, a number or a layer in the place of a parameter would be neither trained nor saved."""
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
    """The new parameter is registered under the name, trained and saved."""
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
            parameter.data = wrong
    for dtype in (int, complex, bool, object, np.int16, np.longdouble):
        with pytest.raises(TypeError, match="float32 or float64, and for inference float16 or bfloat16, not"):
            parameter.data = np.ones(parameter.shape, dtype)
    assert parameter.data is memory
    masked: Any = np.ma.masked_array(memory, np.ones(memory.shape, bool))
    for take in (lambda values: setattr(parameter, "data", values), nn.Parameter):
        with pytest.raises(TypeError, match="values of a parameter cannot be a masked array: fill it first"):
            take(masked)
    assert parameter.data is memory
    parameter.data = given = np.ones(parameter.shape, parameter.dtype)
    assert getattr(layer, name).data is given
    for numbers in (np.zeros(parameter.shape).tolist(), np.zeros(parameter.shape, int).tolist()):
        parameter.data = numbers  # a list has no type of its own
        assert parameter.dtype == memory.dtype
        assert not parameter.data.any()


@each_parameter
@pytest.mark.parametrize(
    "change",
    [
        *("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul"),
        *("iand", "ior", "ixor", "ilshift", "irshift"),
    ],
)
def test_changes_in_place_go_to_data(kind: Any, name: str, change: str) -> None:
    """NumPy would make an array of the result, and the parameter would stay as it is."""
    layer, parameter = fresh(kind, name)
    before = parameter.data.copy()
    for other in (1, np.ones(parameter.shape, np.float32), parameter):
        with pytest.raises(TypeError, match=r"a parameter change through data: weight\.data \+= 1"):
            getattr(operator, change)(parameter, other)
    with pytest.raises(TypeError, match=r"through data: .* weight\.data\[0\] = 1"):
        operator.setitem(parameter, 0, 1)  # type: ignore[call-overload]  # wrong on purpose
    assert getattr(layer, name) is parameter
    assert np.array_equal(parameter.data, before)


class Net(nn.Module):
    """A network of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()


@pytest.mark.parametrize(
    "owner",
    [Net(), nn.Sequential(nn.ReLU()), nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"act": nn.ReLU()})],
    ids=lambda owner: type(owner).__name__,
)
def test_layers_and_parameters_do_not_take_each_others_place(owner: Any) -> None:
    """In a network or a container, whichever is there stays; nothing hides what is assigned."""
    (name, layer), *_ = owner.named_children()
    with pytest.raises(TypeError, match=rf"{name}|'Parameter'"):
        setattr(owner, name, nn.Parameter(np.ones(1)))
    assert getattr(owner, name) is layer
    owner.scale = scale = nn.Parameter(np.ones(1))
    with pytest.raises(TypeError, match=r"\.scale is a parameter and cannot become 'Tanh'"):
        owner.scale = nn.Tanh()
    if isinstance(owner, nn.ModuleDict):
        with pytest.raises(TypeError, match=r"\.scale is a parameter and cannot become 'Tanh'"):
            owner["scale"] = nn.Tanh()
    assert dict(owner.named_parameters()) == {"scale": scale}
    for placeholder in (None, 3):
        owner.later = placeholder
        owner.later = later = nn.Tanh()
        assert owner.later is later
        assert later in list(owner.children())
        del owner.later


# The classes and functions that take options which are True or False, and what they need beside these.
TAKERS: dict[Any, tuple[Any, ...]] = {
    **{kind: () for kind in vars(nn).values() if inspect.isclass(kind) and issubclass(kind, nn.Module)},
    **{getattr(optim, name): (nn.Linear(2, 2).parameters,) for name in ("SGD", "Adam", "AdamW")},
    **{getattr(nn.utils, name): (nn.Parameter(np.ones(1)), 1.0) for name in nn.utils.__all__},
    nn.Parameter: (np.ones(1),),
    nn.Linear: (2, 2),
    nn.Threshold: (0.0, 0.0),
    nn.Softcap: (30.0,),
    nn.Unflatten: (1, (1, 1)),
    nn.Linear(2, 2).backward: (np.ones((1, 2), np.float32),),
    nn.Sequential(nn.ReLU()).backward: (np.ones(1),),
    nn.Identity().backward: (np.ones(1),),
    nn.MSELoss().backward: (),
    nn.Linear(2, 2).zero_grad: (),
    nn.Parameter(np.ones(1)).zero_grad: (),
    optim.SGD(nn.Linear(2, 2).parameters()).zero_grad: (),
    nn.Linear(2, 2).train: (),
}
FLAGS = [
    (taker, option)
    for taker in TAKERS
    for option, parameter in inspect.signature(taker).parameters.items()
    if isinstance(parameter.default, bool)
]


def test_flags_are_found() -> None:
    """FLAGS has those of classes, functions and methods."""
    found = {option for _, option in FLAGS}
    assert found >= {"inplace", "bias", "learnable", "requires_grad", "nesterov", "amsgrad", "set_to_none", "mode"}
    assert found >= {"input_grad", "overwrite_grad", "error_if_nonfinite"}


@pytest.mark.parametrize(
    ("taker", "option"), FLAGS, ids=[f"{getattr(taker, '__qualname__', taker)}-{option}" for taker, option in FLAGS]
)
def test_flags_are_true_or_false(taker: Any, option: str) -> None:
    """A string is refused: "no" would count as True. So are numbers; NumPy's truth values are taken."""
    needed = [value() if callable(value) else value for value in TAKERS[taker]]
    name = option
    for wrong in ("no", "", 0, 1, None, np.ones(1, bool)):
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got {re.escape(repr(wrong))}$"):
            taker(*needed, **{option: wrong})
    if not option.endswith("_grad") and option != "nesterov":
        taker(*needed, **{option: np.True_})


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if hasattr(layer, "inplace")], ids=repr)
def test_flags_stay_true_or_false(layer: Any) -> None:
    """Flags that are set as attributes, of layers and of parameters, are checked too."""
    layer = copy.deepcopy(layer)
    for name in ("inplace", "training"):
        before = getattr(layer, name)
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got 'no'$"):
            setattr(layer, name, "no")
        assert getattr(layer, name) is before
    for parameter in layer.parameters():
        with pytest.raises(TypeError, match=r"^requires_grad must be True or False, got 'no'$"):
            parameter.requires_grad = "no"
        parameter.requires_grad = np.False_
        assert parameter.requires_grad is False


def test_initial_values_do_not_reach_the_upper_end() -> None:
    """A draw just below the bound would be rounded to it."""

    class Largest(np.random.Generator):
        def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
            return np.full(size, np.nextafter(high, low))

    for features in range(1, 50):
        layer = nn.Linear(features, 3, rng=Largest(np.random.PCG64(0)))
        for parameter in layer.parameters():
            assert (parameter.data.astype(np.float64) < features**-0.5).all()
