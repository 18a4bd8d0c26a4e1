"""Networks that train as they are written: what their calls record, and what the record refuses."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RNG = np.random.default_rng


class Net(nn.Module):
    """A network of layers by name, with a forward that is given; arrays are float64."""

    def __init__(self, forward: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call what was given."""
        return self.run(self, *args, **kwargs)


def linear(n: int, m: int, seed: int = 0) -> nn.Linear:
    """Return a layer in float64."""
    return nn.Linear(n, m, dtype=np.float64, rng=seed)


def data(*shape: int, seed: int = 0) -> NDArray[Any]:
    """Return random numbers."""
    return RNG(seed).standard_normal(shape)


def total(output: Any, upper: Any) -> float:
    """Return the sum of all outputs times their upper gradients."""
    if isinstance(output, (tuple, list)):
        return sum(total(y, g) for y, g in zip(output, upper, strict=True))
    if isinstance(output, dict):
        return sum(total(output[name], upper[name]) for name in output)
    return 0.0 if upper is None else float(np.sum(output * upper))


def differences(model: nn.Module, arrays: list[NDArray[Any]], inputs: Any, upper: Any) -> list[NDArray[Any]]:
    """Return the derivative of `total` with respect to each element of some arrays, by differences."""
    found = []
    model.eval()
    for array in arrays:
        grad = np.empty(array.shape)
        for i in np.ndindex(array.shape):
            before, sides = array[i], []
            for step in (1e-6, -1e-6):
                array[i] = before + step
                sides.append(total(model(*copy.deepcopy(inputs)), upper))
            array[i] = before
            grad[i] = (sides[0] - sides[1]) / 2e-6
        found.append(grad)
    model.train()
    return found


def check(model: nn.Module, *inputs: NDArray[Any], unused: tuple[str, ...] = ()) -> Any:
    """Compare all gradients of a network with differences; return those with respect to the inputs."""
    output = model(*copy.deepcopy(inputs))
    several = isinstance(output, (tuple, list))
    upper = tuple(data(*np.shape(y), seed=7) for y in output) if several else data(*np.shape(output), seed=7)
    found = model.backward(upper, input_grad=True)
    dx = found if len(inputs) > 1 else (found,)
    named = dict(model.named_parameters())
    assert {name for name, parameter in named.items() if parameter.grad is None} == set(unused)
    used = [parameter for name, parameter in named.items() if name not in unused]
    wanted = differences(model, [*inputs, *(parameter.data for parameter in used)], inputs, upper)
    got = [*dx, *(parameter.grad for parameter in used)]
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    model.zero_grad()
    model(*copy.deepcopy(inputs))
    assert model.backward(upper) is None
    for parameter, before in zip(used, got[len(inputs) :], strict=True):
        np.testing.assert_array_equal(parameter.grad, before)
    return found


class Scale(nn.Module):
    """A layer with a backward of its own, which keeps what it needs in an attribute."""

    def __init__(self, factor: float = 3.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(np.full(1, factor))

    def forward(self, x: Any) -> Any:
        """Multiply the square."""
        self.x = x
        return self.factor.data * x * x

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
        """Return the gradient."""
        self.factor.add_gradient(np.atleast_1d((grad * self.x * self.x).sum()))
        return 2 * self.factor.data * self.x * grad


class Both(nn.Module):
    """Two inputs, two outputs and a backward of its own."""

    def forward(self, a: Any, b: Any) -> Any:
        """Return product and sum."""
        self.a, self.b = a, b
        return a * b, a + b

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
        """Return a gradient for each input."""
        product, total_ = grad
        return product * self.b + total_, product * self.a + total_


class OldBlock(nn.Module):
    """A block as they were written before: its backward calls those of its layers, one of them a network."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = linear(4, 4, 5), nn.Tanh()
        self.net = Net(lambda self, x: self.add(x, self.fc(x)), fc=linear(4, 4, 6), add=nn.Add())

    def forward(self, x: Any) -> Any:
        """Call the layers."""
        return self.net(self.act(self.fc(x)))

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
        """Call them backwards."""
        return self.fc.backward(self.act.backward(self.net.backward(grad, input_grad=True)))


class Logged(nn.Linear):
    """A layer whose forward is extended."""

    def forward(self, x: Any) -> Any:
        """Count the calls."""
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x)


class Residual(nn.Sequential):
    """A Sequential with a forward of its own."""

    def forward(self, x: Any) -> Any:
        """Add the input."""
        return nn.Add()(super().forward(x), x)


def attention(self: Any, x: Any) -> Any:
    """Return a gated sum of two branches, one of which is not used."""
    h = self.fc(x)
    self.unused(h)
    gate = self.sigmoid(self.gate(x))
    return self.last(self.concatenate(self.multiply(gate, h), self.act(h), x))


CASES: dict[str, Callable[[], tuple[Any, ...]]] = {
    "chain": lambda: (Net(lambda self, x: self.b(self.act(self.a(x))), a=linear(4, 5), act=nn.ReLU(), b=linear(5, 2)),),
    "in place": lambda: (
        Net(lambda self, x: self.b(self.act(self.a(x))), a=linear(4, 5), act=nn.ReLU(inplace=True), b=linear(5, 2)),
    ),
    "in place twice": lambda: (
        Net(lambda self, x: self.a(self.act(self.a(self.act(self.a(x))))), a=linear(4, 4), act=nn.LeakyReLU(0.2, True)),
    ),
    "in place, used before": lambda: (
        Net(
            lambda self, x: self.add(self.flat(h := self.a(x)), self.b(self.act(h))) if x.ndim else None,
            a=linear(4, 4),
            act=nn.Tanh(),
            b=linear(4, 4, 2),
            add=nn.Add(),
            flat=nn.Flatten(),
        ),
    ),
    "layer twice": lambda: (Net(lambda self, x: self.a(self.act(self.a(self.act(x)))), a=linear(4, 4), act=nn.SiLU()),),
    "learned twice": lambda: (
        Net(lambda self, x: self.act(self.a(self.act(x))), a=linear(4, 4), act=nn.PReLU(dtype=np.float64)),
    ),
    "array twice": lambda: (
        Net(lambda self, x: self.add(h := self.a(x), self.b(h), h), a=linear(4, 4), b=linear(4, 4, 1), add=nn.Add()),
    ),
    "square": lambda: (Net(lambda self, x: self.mul(h := self.a(x), h), a=linear(4, 4), mul=nn.Multiply()),),
    "branches": lambda: (
        Net(
            attention,
            fc=linear(4, 5),
            unused=linear(5, 5),
            gate=linear(4, 5, 1),
            sigmoid=nn.Sigmoid(),
            multiply=nn.Multiply(),
            act=nn.Mish(),
            concatenate=nn.Concatenate(1),
            last=linear(14, 3),
        ),
        ("unused.weight", "unused.bias"),
    ),
    "nested": lambda: (
        Net(
            lambda self, x: self.inner(self.inner(x)),
            inner=Net(lambda self, x: self.add(x, self.a(self.act(x))), a=linear(4, 4), act=nn.GELU(), add=nn.Add()),
        ),
    ),
    "sequential inside": lambda: (
        Net(
            lambda self, x: self.body(self.body(x)),
            body=nn.Sequential(linear(4, 4), nn.ReLU(inplace=True), nn.Sequential(linear(4, 4, 1), nn.Tanh())),
        ),
    ),
    "sequential in two places": lambda: (nn.Sequential(block := nn.Sequential(linear(4, 4), nn.Tanh()), block),),
    "residual": lambda: (nn.Sequential(Residual(linear(4, 4), nn.Tanh()), Residual(linear(4, 4, 1))),),
    "list": lambda: (
        Net(
            lambda self, x: [x := self.act(layer(x)) for layer in self.layers][-1],
            layers=nn.ModuleList(linear(4, 4, i) for i in range(3)),
            act=nn.Softsign(),
        ),
    ),
    "dict": lambda: (
        Net(
            lambda self, x: [head(x) for head in self.heads.values()],
            heads=nn.ModuleDict({"mean": linear(4, 2), "scale": nn.Softplus()}),
        ),
    ),
    "own backward": lambda: (Net(lambda self, x: self.scale(self.a(x)), a=linear(4, 3), scale=Scale()),),
    "own backward twice": lambda: (
        Net(lambda self, x: self.scale(self.a(self.scale(x))), a=linear(4, 4), scale=Scale(0.5)),
    ),
    "own backward in a Sequential twice": lambda: (nn.Sequential(scale := Scale(0.5), linear(4, 4), scale),),
    "old block twice": lambda: (Net(lambda self, x: self.old(self.old(x)), old=OldBlock()),),
    "several inputs with a backward of their own": lambda: (
        Net(
            lambda self, x: self.add(*self.both(self.a(x), self.b(x))),
            a=linear(4, 3),
            b=linear(4, 3, 1),
            both=Both(),
            add=nn.Add(),
        ),
    ),
    "one of two outputs": lambda: (
        Net(lambda self, x: self.both(self.a(x), self.a(x))[0], a=linear(4, 3), both=Both()),
    ),
    "extended layer": lambda: (Net(lambda self, x: self.a(self.a(x)), a=Logged(4, 4, dtype=np.float64, rng=0)),),
    "extended layer alone": lambda: (Logged(4, 3, dtype=np.float64, rng=0),),
    "parameters": lambda: (
        Net(
            lambda self, x: self.mul(self.add(self.a(x), self.shift, 1.5), self.scale, self.scale, 2),
            a=linear(4, 3),
            shift=nn.Parameter(data(3)),
            scale=nn.Parameter(data(5, 1)),
            mul=nn.Multiply(),
            add=nn.Add(),
        ),
    ),
    "parameter into a layer": lambda: (
        Net(
            lambda self, x: self.add(self.a(x), self.a(self.flat(self.start))),
            a=linear(4, 3),
            flat=nn.Flatten(0, 1),
            start=nn.Parameter(data(2, 2)),
            add=nn.Add(),
        ),
    ),
    "shapes": lambda: (
        Net(
            lambda self, x: self.flat(self.act(self.unflat(self.a(x)))),
            a=linear(4, 6),
            unflat=nn.Unflatten(-1, (2, -1)),
            act=nn.PReLU(2, dtype=np.float64),
            flat=nn.Flatten(),
        ),
    ),
    "made on the way": lambda: (Net(lambda self, x: nn.Add()([nn.Tanh()(self.a(x)), x]), a=linear(4, 4)),),
    "direct call of forward": lambda: (
        Net(lambda self, x: self.b.forward(self.act.forward(self.a(x))), a=linear(4, 4), act=nn.GELU(), b=linear(4, 2)),
    ),
    "input returned": lambda: (Net(lambda self, x: (x, self.a(x)), a=linear(4, 4)),),
    "output twice": lambda: (Net(lambda self, x: [h := self.a(x), h], a=linear(4, 4)),),
    "recursion": lambda: (
        Net(
            lambda self, x, depth=3: self(self.act(self.a(x)), depth - 1) if depth else x, a=linear(4, 4), act=nn.Tanh()
        ),
    ),
    "evaluation mode within": lambda: (
        Net(
            lambda self, x: self.random(self.dropout(self.a(x))),
            a=linear(4, 4).eval(),
            dropout=nn.Dropout(0.5).eval(),
            random=nn.RReLU().eval(),
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str) -> None:
    """The gradients of all parameters and inputs agree with differences."""
    model, *unused = CASES[case]()
    check(model, data(5, 4), unused=unused[0] if unused else ())


def test_several_inputs_and_outputs() -> None:
    """A tuple, list or dict of gradients goes in, a tuple of gradients comes out; unused ones are None and zero."""
    model: Any = Net(
        lambda self, x, y, z: (self.add(self.a(x), self.b(y)), self.a(y)),  # noqa: ARG005  z is not used
        a=linear(4, 3),
        b=linear(4, 3, 1),
        add=nn.Add(),
    )
    x, y, z = data(5, 4), data(5, 4, seed=1), data(2, 2)
    found = check(model, x, y, z)
    assert isinstance(found, tuple)
    assert found[2].tolist() == [[0, 0], [0, 0]]
    first, second = model(x, y, z=z)
    dx, dy, _ = model.backward((np.ones_like(first), None), input_grad=True)
    np.testing.assert_allclose(dx, np.ones((5, 3)) @ model.a.weight.data)
    np.testing.assert_allclose(dy, np.ones((5, 3)) @ model.b.weight.data)
    for wrong, message in (
        (np.ones_like(first), r"Net returned a tuple of 2: its gradient is another .*, got ndarray of 5"),
        ((np.ones_like(first),), "got tuple of 1"),
        (None, "got None"),
    ):
        model(x, y, z)
        with pytest.raises(TypeError, match=message):
            model.backward(wrong)
    with pytest.raises(ValueError, match=r"the output was of shape \(5, 3\), the gradient is \(5, 4\)"):
        model.backward((None, np.ones((5, 4))))
    # An error leaves the record as it was.
    model.backward((None, np.ones_like(second)))
    pairs = Net(lambda self, batch: {"y": self.a(batch["x"])}, a=linear(4, 3))
    y = pairs({"x": x, "names": ["a"]})["y"]
    with pytest.raises(TypeError, match="Net returned the names y, the gradient has z"):
        pairs.backward({"z": y})
    gradient = pairs.backward({"y": np.ones_like(y)}, input_grad=True)
    np.testing.assert_allclose(gradient["x"], np.ones((5, 3)) @ pairs.a.weight.data)
    assert gradient["names"] == (None,)
    flagged = Net(lambda self, x, double: self.a(self.a(x)) if double else self.a(x), a=linear(4, 4))
    flagged(x, double=True)
    assert flagged.backward(np.ones((5, 4)), input_grad=True).shape == x.shape


FOREIGN: dict[str, tuple[Callable[..., Any], str]] = {
    "sum": (
        lambda self, x: self.b(self.a(x) + x),
        r"Net\.backward cannot go back beyond layer b, Linear\(.*\), which got an array of shape \(5, 4\) that no layer made",
    ),
    "product": (
        lambda self, x: self.act(self.a(x) * x),
        r"operations of NumPy are not recorded; use nn\.Add, nn\.Multiply, .* or nn\.detach\(array\) for data that needs no",
    ),
    "concatenation": (
        lambda self, x: self.b(np.concatenate([self.a(x), x])),
        r"layer b.* \(10, 4\) that no layer made",
    ),
    "function": (lambda self, x: self.b(fr.relu(self.a(x))), "layer b.* that no layer made"),
    "reshape": (
        lambda self, x: self.b(self.a(x).reshape(5, 2, 2).reshape(5, 4)),
        r"b, .* which got a view of shape \(5, 4\) \(a reshape, slice or transpose\) of what layer a, Linear\(.*\) returned",
    ),
    "slice": (
        lambda self, x: self.act(self.a(x)[:2]),
        r"layer act, Tanh\(\), which got a view of shape \(2, 4\) .* views are not recorded; use nn\.Flatten or nn\.Unflatten",
    ),
    "input": (lambda self, x: self.b(x.reshape(5, 4)), r"layer b.* which got an array of shape \(5, 4\) that no layer"),
    "scalar": (
        lambda self, x: self.mul(h := self.a(x), h.std()),
        r"layer mul, .* the NumPy scalar \d.* as a Python number",
    ),
    "constant scalar": (
        lambda self, x: self.mul(self.a(x), np.float64(2)),
        r"layer mul, .* scalar 2\.0, which no layer",
    ),
    "list": (lambda self, x: self.b(self.a(x).tolist()), r"layer b.* of shape \(5, 4\) that no layer"),
    "constant": (lambda self, x: self.mul(self.a(x), np.ones(4)), r"layer mul.* nn\.detach\(array\)"),
    "data of a parameter": (
        lambda self, x: self.mul(self.a(x), self.scale.data),
        "layer mul, .* which got the data of parameter scale: pass the parameter itself, to nn.Multiply",
    ),
    "output": (
        lambda self, x: self.a(x) * 2,
        r"Net\.backward cannot begin: forward returned an array of shape \(5, 4\) that no layer made: .*nn\.Multiply",
    ),
    "view of the output": (
        lambda self, x: self.a(x).T,
        r"forward returned a view of shape \(4, 5\) .* of what layer a, Linear\(.*\) returned",
    ),
    "nested": (
        lambda self, x: self.inner(self.a(x) * 2),
        r"cannot go back beyond layer inner\.c, Linear\(.*\), which got an array",
    ),
    "own backward": (lambda self, x: self.own(self.a(x) * 2), r"beyond layer own, Scale\(\), which got an array"),
    "unnamed": (lambda self, x: nn.Tanh()(self.a(x) * 2), r"beyond Tanh\(\), which got an array"),
    "a hook": (lambda self, x: self.b(self.hooked(x)), r"beyond layer b, Linear\(.*\), which got an array"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_arrays_that_no_layer_made(case: str) -> None:
    """The error names the layer that got them and what to do; no gradient was added; evaluation works."""
    forward, message = FOREIGN[case]
    model = Net(
        forward,
        a=linear(4, 4),
        b=linear(4, 4),
        act=nn.Tanh(),
        mul=nn.Multiply(),
        own=Scale(),
        scale=nn.Parameter(data(4)),
        inner=Net(lambda self, x: self.c(x), c=linear(4, 4)),
        hooked=linear(4, 4),
    )
    model.hooked.register_forward_hook(lambda layer, args, output: 2 * output)  # noqa: ARG005  the signature is given
    x = data(5, 4)
    y = model(x)
    for input_grad in (False, True):
        with pytest.raises(RuntimeError, match=message):
            model.backward(np.ones_like(y), input_grad=input_grad)
    assert all(parameter.grad is None for parameter in model.parameters())
    np.testing.assert_array_equal(model.eval()(x), y)


def test_what_is_not_used_does_not_matter() -> None:
    """An array that no layer made, in a branch that the loss does not depend on."""
    model = Net(lambda self, x: (self.a(x), self.b(np.abs(self.a(x)))), a=linear(4, 4), b=linear(4, 4))
    y, other = model(data(5, 4))
    model.backward((np.ones_like(y), None))
    assert model.b.weight.grad is None
    model(data(5, 4))
    with pytest.raises(RuntimeError, match="beyond layer b"):
        model.backward((np.ones_like(y), np.ones_like(other)))


def test_detached_arrays() -> None:
    """Masks, targets and what no_grad returns are data; gradients go around them."""

    def forward(self: Any, x: Any) -> Any:
        h = self.a(x)
        with nn.no_grad():
            target = self.b(h)
            again = self.body(h)
            with nn.enable_grad():
                h = self.act(h)
        return self.add(self.mul(h, nn.detach(np.sign(h))), nn.detach(h), target, again)

    model = Net(
        forward,
        a=linear(4, 4),
        b=linear(4, 4, 1),
        act=nn.Tanh(),
        mul=nn.Multiply(),
        add=nn.Add(),
        body=nn.Sequential(linear(4, 4), Scale()),
    )
    x, grad = data(5, 4), data(5, 4, seed=1)
    model(x)
    dx = model.backward(grad, input_grad=True)
    h = np.tanh(model.a.eval()(x))
    np.testing.assert_allclose(dx, (grad * np.sign(h) * (1 - h**2)) @ model.a.weight.data)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == [
        "a.weight",
        "a.bias",
    ]
    p = nn.Parameter(data(3))
    assert np.shares_memory(nn.detach(p), p.data)
    assert nn.detach(x) is not x


WRITES: dict[str, tuple[Callable[..., Any], str]] = {
    "saved input": (
        lambda self, x: self.add(self.b(h := self.a(x)), self.relu(h)),
        r"relu, ReLU\(inplace=True\) overwrote an array that layer b, .* needs for its gradient: use ReLU without inplace",
    ),
    "saved output": (lambda self, x: self.relu(self.tanh(self.a(x))), r"relu.* overwrote an array that layer tanh"),
    "through a view": (lambda self, x: self.relu(self.flat(self.tanh(self.a(x)))), "relu.* overwrote .* layer tanh"),
    "not used": (lambda self, x: [self.b(h := self.a(x)), self.relu(h)][0], "relu.* overwrote an array that layer b"),
    "not needed": (lambda self, x: [self.own(h := self.a(x)), self.relu(h)][1], ""),
    "own": (lambda self, x: self.add(self.own(h := self.a(x)), self.relu(h)), "relu.* overwrote .* layer own, Scale"),
    "old block": (lambda self, x: self.add(self.old(h := self.a(x)), self.relu(h)), "relu.* overwrote .* layer old"),
    "used after": (
        lambda self, x: self.add(self.relu(self.flat(h := self.a(x))), h),
        r"layer add, Add\(\) got an array that layer relu, ReLU\(inplace=True\) had overwritten through a view of it",
    ),
    "overwritten again": (
        lambda self, x: [v := self.flat(h := self.a(x)), self.relu(h), self.tanh(v)][2],
        "layer tanh, .* got an array that layer relu, .* had overwritten through a view of it",
    ),
    "returned": (
        lambda self, x: [self.flat(h := self.a(x)), self.relu(h)][0],
        r"forward returned an array that layer relu, ReLU\(inplace=True\) had overwritten through a view of it",
    ),
    "input returned": (
        lambda self, x: [x, self.relu(self.flat(x))][0],
        "forward returned an array that layer relu, .* had overwritten through a view of it",
    ),
    "returned beside it": (lambda self, x: [self.flat(h := self.a(x)), self.relu(h)][1], ""),
}


@pytest.mark.parametrize("first", [True, False])
def test_returned_arrays_that_share_memory(first: bool) -> None:
    """Only a gradient that is given is refused: that of the array that was overwritten through a view of it."""
    model = Net(
        lambda self, x: (self.flat(h := self.a(x)), self.relu(h)),
        a=linear(4, 4),
        flat=nn.Flatten(),
        relu=nn.ReLU(inplace=True),
    )
    view, y = model(data(5, 4))
    if first:
        with pytest.raises(RuntimeError, match="forward returned an array that layer relu"):
            model.backward((np.ones_like(view), np.ones_like(y)))
    model.backward((None, np.ones_like(y)))
    np.testing.assert_array_equal(model.a.bias.grad, (y > 0).sum(0))


@pytest.mark.parametrize("case", WRITES)
def test_layers_in_place_that_overwrite_what_others_need(case: str) -> None:
    """The error names that layer and the one that needs the array; no gradient was added."""
    forward, message = WRITES[case]
    model = Net(
        forward,
        a=linear(4, 4),
        b=linear(4, 4),
        relu=nn.ReLU(inplace=True),
        tanh=nn.Tanh(inplace=True),
        flat=nn.Flatten(),
        add=nn.Add(),
        own=Scale(),
        old=OldBlock(),
    )
    y = model(data(5, 4))
    if not message:
        model.backward(np.ones_like(y))
        return
    with pytest.raises(RuntimeError, match=message):
        model.backward(np.ones_like(y))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_changes_in_place() -> None:
    """Within forward NumPy cannot overwrite what layers got or returned; afterwards it can."""
    x = data(5, 4)
    seen: list[Any] = []

    def plus(h: Any) -> Any:
        h += 1
        return h

    for change in (plus, fr.relu_, lambda h: np.multiply(h, 2, out=h), lambda h: h.sort(), lambda h: h.fill(0)):
        model = Net(lambda self, x, change=change: self.b(change(self.a(x))), a=linear(4, 4), b=linear(4, 4))
        with pytest.raises(ValueError, match="read-only") as caught:
            model(x)
        assert "nn.Add, nn.Multiply, nn.ReLU(inplace=True)" in caught.value.__notes__[0]
        with pytest.raises(RuntimeError, match="no forward call"):
            model.backward(x)
        x += 0
    model = Net(lambda self, x: [self.a(x), plus(x)], a=linear(4, 4))
    with pytest.raises(ValueError, match="read-only"):
        model(x)
    model = Net(lambda self, x: self.flat(self.b(plus(x))), b=linear(4, 4), flat=nn.Flatten())
    model.register_forward_hook(lambda layer, args, output: seen.append(output))  # noqa: ARG005  the signature is given
    y = model(x)
    for array in (x, y, *seen):
        np.add(array, 1, out=array)
    frozen = x.copy()
    frozen.flags.writeable = False
    Net(lambda self, x: self.b(x), b=linear(4, 4))(frozen)
    assert not frozen.flags.writeable


def test_own_layers_in_place() -> None:
    """A module with a backward of its own may overwrite its input if it says so."""

    class Double(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.inplace = inplace

        def forward(self, x: Any) -> Any:
            x *= 2
            return x

        def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
            return 2 * grad

    model = nn.Sequential(linear(4, 4), Double(True), linear(4, 4))
    check(model, data(5, 4))
    with pytest.raises(ValueError, match="read-only"):
        nn.Sequential(linear(4, 4), Double(False))(data(5, 4))
    model = nn.Sequential(linear(4, 4), nn.Tanh(), Double(True))
    with pytest.raises(ValueError, match="would overwrite the output"):
        nn.Sequential(nn.Softmax(), Double(True))
    model(data(5, 4))


def test_wrong_gradients_of_own_layers() -> None:
    """The error names the layer."""

    class Wrong(nn.Module):
        give: Any

        def forward(self, *inputs: Any) -> Any:
            return inputs[0] + 0

        def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
            return self.give(grad)

    wrong = Wrong()
    model: Any = Net(lambda self, x: self.wrong(self.a(x), self.b(x)), a=linear(4, 4), b=linear(4, 4), wrong=wrong)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda g: None, TypeError, r"backward of layer wrong, Wrong\(\), returned None instead of a gradient"),  # noqa: ARG005  the signature is given
        (lambda g: g, TypeError, r"layer wrong, Wrong\(\) goes with a tuple of 2.*got ndarray of 5"),
        (lambda g: (g, g[:1]), ValueError, r"returned a gradient of shape \(1, 4\) for an input of shape \(5, 4\)"),
    ]
    for give, error, message in cases:
        wrong.give = give
        model(data(5, 4))
        with pytest.raises(error, match=message):
            model.backward(np.ones((5, 4)))
    wrong.give = lambda g: (g, None)
    model.zero_grad()
    model(data(5, 4))
    model.backward(np.ones((5, 4)))
    assert model.a.weight.grad is not None
    assert model.b.weight.grad is None


# --- Gradients that may be overwritten ----------------------------------------------------------------------------


def overlapping() -> list[Any]:
    """Return two gradients that share a column."""
    whole = data(5, 7, seed=3)
    return [whole[:, :4], whole[:, 3:]]


def rows() -> list[Any]:
    """Return two contiguous gradients that share rows."""
    whole = data(6, 4, seed=3)
    return [whole[:5], whole[1:]]


def windows(shape: tuple[int, int]) -> Any:
    """Return an array whose rows share memory with each other."""
    return np.lib.stride_tricks.as_strided(data(20), shape, (8, 8))


# The gradients of the three arrays that the network returns, from these arrays and its parameters.
SEEDS: dict[str, Callable[..., list[Any]]] = {
    "one array": lambda *_: [data(5, 4)] * 3,
    "one array and a view of it": lambda *_: [(g := data(5, 4)), g[:], g.view()],
    "one array, backwards": lambda *_: [(g := data(5, 4)), g[::-1], g[:, ::-1]],
    "overlapping columns": lambda *_: [*overlapping(), data(5, 4)],
    "overlapping rows": lambda *_: [*rows(), None],
    "broadcast": lambda *_: [np.broadcast_to(data(4), (5, 4))] * 3,
    "windows": lambda *_: [windows((5, 4)), None, windows((5, 4))],
    "read-only": lambda *_: [np.frombuffer(data(5, 4).tobytes()).reshape(5, 4)] * 3,
    "what was returned": lambda made, _: list(made),
    "what was returned, turned": lambda made, _: [made[1], made[2], made[0]],
    "views of what was returned": lambda made, _: [made[2][:], made[1][:], made[0][::-1]],
    "a parameter": lambda _, model: [model.a.weight.data, None, model.b.weight.data],
    "gradients of parameters": lambda _, model: [model.a.weight.grad, model.b.weight.grad, model.a.weight.grad],
    "used gradients of parameters": lambda _, model: [model.b.weight.grad, model.a.weight.grad, model.b.weight.grad],
}


def arrays_in(output: Any) -> list[Any]:
    """Return the arrays of a structure in order."""
    if isinstance(output, (tuple, list, dict)):
        values = output.values() if isinstance(output, dict) else output
        return [array for value in values for array in arrays_in(value)]
    return [output]


@pytest.mark.parametrize("structure", ["tuple", "dict", "nested"])
@pytest.mark.parametrize("seeds", SEEDS)
def test_overwritten_gradients_that_share_memory(seeds: str, structure: str) -> None:
    """The gradients are those of copies, with and without overwrite_grad."""
    n = 4 if "parameter" in seeds else 5
    structures: dict[str, Callable[..., Any]] = {
        "tuple": lambda x, y, z: (x, y, z),
        "dict": lambda x, y, z: {"x": x, "y": y, "z": z},
        "nested": lambda x, y, z: (x, {"y": [y, z]}),
    }
    build = structures[structure]

    def forward(self: Any, x: Any) -> Any:
        h = self.sigmoid(self.a(x))
        y = self.tanh(self.b(h))
        return build(h, y, self.split(self.tanh(self.add(h, y))))

    given: dict[bool | None, Any] = {}
    for overwrite in (None, False, True):
        model = Net(
            forward,
            a=linear(4, 4, 1),
            b=linear(4, 4, 2),
            tanh=nn.Tanh(),
            sigmoid=nn.Sigmoid(),
            add=nn.Add(),
            split=nn.Flatten(),
        )
        model(data(n, 4))
        model.backward(build(*[data(n, 4, seed=7)] * 3))  # so that there are gradients
        if "used" in seeds:
            optim.SGD(model.parameters(), lr=0.1).step()
        upper = SEEDS[seeds](arrays_in(model(data(n, 4))), model)
        if overwrite is None:
            upper = [None if g is None else g.copy() for g in upper]
        dx = model.backward(build(*upper), input_grad=True, overwrite_grad=bool(overwrite))
        given[overwrite] = [dx, *(parameter.grad for parameter in model.parameters())]
    for overwrite in (False, True):
        for got, wanted in zip(given[overwrite], given[None], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_gradients_that_are_overwritten() -> None:
    """Those that share no memory are, if they are contiguous and writable; without the option none is."""
    model = Net(
        lambda self, x: (self.tanh(self.a(x)), self.tanh(self.b(x))), a=linear(4, 4), b=linear(4, 4), tanh=nn.Tanh()
    )
    layouts: list[tuple[Callable[..., Any], bool]] = [
        (np.copy, True),
        (np.asfortranarray, True),
        (lambda g: np.repeat(g, 2, 1)[:, ::2], False),
    ]
    for lay, allowed in layouts:
        for overwrite in (False, True):
            model(data(5, 4))
            pair = lay(data(5, 4, seed=1)), lay(data(5, 4, seed=2))
            before = [np.copy(g) for g in pair]
            model.backward(pair, overwrite_grad=overwrite)
            for g, old in zip(pair, before, strict=True):
                assert np.array_equal(g, old) != (overwrite and allowed)


def test_a_module_of_ones_own_gets_gradients_to_overwrite() -> None:
    """It may overwrite them if it may overwrite all: of two outputs one gradient is the caller's."""

    class Halves(nn.Module):
        def forward(self, x: Any) -> Any:
            return 2 * x, 3 * x

        def backward(self, grad: Any, *, overwrite_grad: bool) -> Any:  # type: ignore[override]  # without input_grad
            seen.append(overwrite_grad)
            return 2 * grad[0] + 3 * grad[1]

    seen: list[bool] = []
    model = Net(lambda self, x: self.halves(self.a(x)), a=linear(4, 4), halves=Halves())
    one = data(5, 4, seed=1)
    for pair in ((one, data(5, 4)), (one, one), (one, None), (np.broadcast_to(one[0], (5, 4)), data(5, 4))):
        for swapped in (pair, pair[::-1]):
            model(data(5, 4))
            model.backward(swapped, overwrite_grad=True)
    assert seen == [True, True, False, False, True, True, False, False]


# --- One forward, one backward ------------------------------------------------------------------------------------


def tutorial() -> Any:
    """Return the network of the tutorials, a small one."""
    return Net(lambda self, x: self.fc2(self.relu(self.fc1(x))), fc1=linear(4, 6), relu=nn.ReLU(True), fc2=linear(6, 2))


@pytest.mark.parametrize("build", [tutorial, lambda: nn.Sequential(linear(4, 6), nn.ReLU(True), linear(6, 2))])
def test_each_backward_needs_its_forward(build: Any) -> None:
    """A backward needs a forward that was recorded, raised nothing, and has had no backward yet."""
    model, x, grad = build(), data(5, 4), np.ones((5, 2))
    name = type(model).__name__
    message = (
        rf"{name}\.backward has no forward call to go back through: the last call must be one of the module itself"
    )

    def refused() -> None:
        with pytest.raises(RuntimeError, match=message):
            model.backward(grad)

    refused()
    model(x.copy())
    model.backward(grad)
    refused()
    model(x.copy())
    with pytest.raises(ValueError, match=r"no layer|takes arrays of shape"):
        model(data(5, 3))
    refused()
    model(x.copy())
    model.eval()
    model.backward(grad)  # the mode of the forward call counts
    model.train()(x.copy())
    model.eval()(x.copy())
    refused()
    model.train()
    with nn.no_grad():
        model(x.copy())
    refused()
    with nn.enable_grad():
        model.eval()(x.copy())
    model.backward(grad)
    for wrong, error in ((None, TypeError), (grad[:1], ValueError), (grad + 0j, TypeError)):
        model.train()(x.copy())
        with pytest.raises(error, match=r"gradient"):
            model.backward(wrong)
    model.backward(grad)


def test_evaluation_mode_and_gradients_are_two_things() -> None:
    """Dropout may be frozen in training; a model without dropout has gradients within enable_grad."""
    model = nn.Sequential(linear(4, 4), nn.Dropout(0.5), nn.RReLU(), nn.PReLU(dtype=np.float64), linear(4, 1))
    x, grad = data(5, 4), np.ones((5, 1))
    model.eval()
    wanted = model(x)
    with nn.enable_grad():
        assert np.array_equal(model(x), wanted)
    saliency = model.backward(grad, input_grad=True)
    np.testing.assert_allclose(saliency, differences(model, [x], (x,), grad)[0], rtol=1e-6)
    for i in (1, 2):
        model.train()
        model[i].eval()
        model(x)
        model.backward(grad)
    model.train()
    model[1].eval()
    model[2].eval()
    assert np.array_equal(model(x), wanted)
    np.testing.assert_array_equal(model.backward(grad, input_grad=True), saliency)
    with nn.enable_grad():  # also layers alone
        dropout = nn.Dropout().eval()
        assert dropout(x) is x
        assert np.array_equal(dropout.backward(x), x)
        criterion = nn.MSELoss().eval()
        criterion(x, x + 1)
        assert criterion.backward().shape == x.shape
    old = OldBlock()
    old.act.eval()
    old(x)
    assert old.backward(x).shape == x.shape

    @nn.no_grad()
    def predict() -> Any:
        return model.train()(x)

    predict()
    with pytest.raises(RuntimeError, match="no forward call"):
        model.backward(grad)


def saved_by(model: nn.Module) -> list[str]:
    """Return the names of the modules that have saved a call."""
    return [
        name for name, module in model.named_modules() if module._saved is not None and module._saved.call is not None
    ]


def test_memory() -> None:
    """Arrays are freed by backward and by the next forward; nothing is saved in evaluation mode."""
    model = tutorial()
    alive: list[Any] = []
    model.fc1.register_forward_hook(lambda layer, args, output: alive.append(weakref.ref(output)))  # noqa: ARG005  the signature is given
    x, grad = data(5, 4), np.ones((5, 2))
    model(x)
    assert alive[0]() is not None
    model.backward(grad)
    assert alive[0]() is None
    model(x)
    model(x)
    assert alive[1]() is None
    model.eval()(x)
    assert alive[2]() is None
    assert alive[3]() is None
    assert saved_by(model) == []
    model.train()(x)
    assert saved_by(model) == [""]
    del model
    gc.collect()
    assert alive[4]() is None


def test_copies_have_no_record() -> None:
    """A copy of a model starts without, however it is made, and the original keeps its own."""
    copies: list[Any] = [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
    x, grad = data(5, 4), np.ones((5, 4))
    for again in copies:
        model = nn.Sequential(linear(4, 4), nn.Dropout(), nn.Tanh())
        plain = len(pickle.dumps(model))
        model(x)
        other = again(model)
        assert len(pickle.dumps(model)) == plain
        with pytest.raises(RuntimeError, match="no forward call"):
            other.backward(grad)
        model.backward(grad)
        other(x)
        other.backward(grad)
    assert pickle.loads(pickle.dumps(nn.Tanh()._saved)) is None

    class Stateful(nn.Tanh):
        def __getstate__(self) -> Any:
            return vars(self).copy()

    layer = Stateful()
    layer(x)
    with pytest.raises(RuntimeError, match="no forward call"):
        copy.deepcopy(layer).backward(grad)


def test_threads() -> None:
    """Each thread goes back through its own call; gradients add up."""
    model: Any = Net(
        lambda self, x: self.add(self.body(self.fc(x)), x), fc=linear(4, 4), add=nn.Add(), body=nn.Sequential(nn.GELU())
    )
    count = 60
    batches = [data(6, 4, seed=i) for i in range(count)]
    gradients: dict[int, Any] = {}
    barrier = threading.Barrier(4)

    def work(start: int) -> None:
        barrier.wait(timeout=60)
        for i in range(start, count, 4):
            model(batches[i])
            gradients[i] = model.backward(np.ones((6, 4)), input_grad=True)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = model.fc.weight.grad.copy()
    model.zero_grad()
    for i in range(count):
        model(batches[i])
        np.testing.assert_array_equal(model.backward(np.ones((6, 4)), input_grad=True), gradients[i])
    np.testing.assert_allclose(together, model.fc.weight.grad, rtol=1e-12)
    model(batches[0])
    caught: list[Any] = []

    def other() -> None:
        try:
            model.backward(np.ones((6, 4)))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "no forward call" in str(caught[0])
    model.backward(np.ones((6, 4)))


def test_a_loss_within() -> None:
    """A network may return its loss, and add losses."""
    model = Net(
        lambda self, x, y: self.add(self.criterion(self.fc(x), y), self.square(self.fc(x), nn.detach(x[:, :3]))),
        fc=linear(4, 3),
        criterion=nn.CrossEntropyLoss(),
        square=nn.MSELoss(),
        add=nn.Add(),
    )
    x, labels = data(5, 4), np.array([0, 1, 2, 1, 0])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        losses.append(float(model(x, labels)))
        model.backward(1.0)
        optimizer.step()
    assert losses[-1] < losses[0] / 2


# --- Classes ------------------------------------------------------------------------------------------------------


def test_which_backward_goes_with_a_forward() -> None:
    """A class's own backward is used if it is defined with the forward or in a subclass; otherwise the record is."""

    class Shifted(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(2 * x)

    class Corrected(Shifted):
        def backward(self, grad: Any, **options: Any) -> Any:
            return 2 * nn.Linear.backward(self, grad, **options)

    class Clipped(nn.Linear):
        def backward(self, grad: Any, **options: Any) -> Any:
            return super().backward(np.clip(grad, -1, 1), **options)

    class Counting:
        def forward(self, x: Any) -> Any:
            return super().forward(x)  # type: ignore[misc]  # of the other base

    class Mixed(Counting, nn.Linear):
        pass

    class Plain(nn.Tanh):
        pass

    x, grad = data(5, 4), 10 * np.ones((5, 4))
    options: dict[str, Any] = {"dtype": np.float64, "rng": 0}
    layer = linear(4, 4)
    layer(x)
    wanted = layer.backward(grad)
    shifted = Shifted(4, 4, **options)
    shifted(x)
    with pytest.raises(
        RuntimeError, match=r"Shifted\.backward cannot go back beyond Shifted\(.*\), which got an array"
    ):
        shifted.backward(grad, input_grad=True)
    for kind, factor in ((Corrected, 2), (Clipped, 0.1), (Mixed, 1)):
        alone, inner = kind(4, 4, **options), kind(4, 4, **options)
        network = nn.Sequential(inner)
        for model in (alone, network):
            model(x)
            np.testing.assert_allclose(model.backward(grad, input_grad=True), factor * wanted)
        np.testing.assert_array_equal(alone.weight.grad, inner.weight.grad)
    plain = Plain()
    plain(x)
    np.testing.assert_allclose(plain.backward(grad), grad * (1 - np.tanh(x) ** 2))


def test_a_backward_on_an_instance() -> None:
    """A backward that is assigned to an instance is used, in a recorded network too."""
    model: Any = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh()), nn.Tanh())
    model[0].backward = lambda grad: 5 * grad
    model[1].backward = lambda grad: 7 * grad
    x = data(3)
    model(x)
    slope = 1 - np.tanh(np.tanh(np.tanh(x))) ** 2
    np.testing.assert_allclose(model.backward(np.ones(3), input_grad=True), 35 * slope)


# --- Add, Multiply, Concatenate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [nn.Add(), nn.Multiply()], ids=repr)
@pytest.mark.parametrize(
    "shapes",
    [[(3, 4)], [(3, 4), (4,)], [(3, 1), (1, 4), ()], [(2, 3, 4), (3, 1), (1, 1, 4), (4,)], [(0, 3), (3,)]],
    ids=str,
)
def test_broadcasting(layer: Any, shapes: list[tuple[int, ...]]) -> None:
    """The gradients are summed to each shape."""
    layer = copy.deepcopy(layer)
    arrays = [np.asarray(data(*shape, seed=i)) for i, shape in enumerate(shapes)]
    y = layer(*arrays)
    upper = np.asarray(data(*y.shape, seed=9))
    got = layer.backward(upper)
    got = (got,) if len(shapes) == 1 else got
    assert not any(y is x for x in arrays)
    for one, wanted, x in zip(got, differences(layer, arrays, arrays, upper), arrays, strict=True):
        assert one.shape == x.shape
        np.testing.assert_allclose(one, wanted, rtol=1e-6, atol=1e-8)
    assert np.array_equal(layer(list(arrays)), y)


@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_concatenate(axis: int) -> None:
    """The gradient is split."""
    layer = nn.Concatenate(axis)
    arrays = [data(*[n + 1 if i == axis % 3 else 3 for i in range(3)], seed=n) for n in range(3)]
    y = layer(*arrays)
    assert np.array_equal(y, np.concatenate(arrays, axis))
    for one, x in zip(layer.backward(y), arrays, strict=True):
        assert np.array_equal(one, x)


@pytest.mark.parametrize(
    ("types", "result"),
    [
        ("f4 f4", "f4"),
        ("f4 f8", "f8"),
        ("f4 i8", "f4"),
        ("f8 ?", "f8"),
        ("f2 f2", "f2"),
        ("f2 f4", "f4"),
        ("f2 i8", "f4"),
        ("u1 u1", "f4"),
        ("i8 i8", "f8"),
        (">f4 f4", "f4"),
    ],
)
def test_types_of_joining_layers(types: str, result: str) -> None:
    """Integers do not change the type and do not wrap; numbers adapt."""
    arrays = [np.full((1, 2), 200 if "?" not in kind else 1).astype(kind) for kind in types.split()]
    for layer in (nn.Add(), nn.Multiply(), nn.Concatenate()):
        assert layer(*arrays).dtype == np.dtype(result)
    assert nn.Add()(*arrays, 1.5)[0, 0] == sum(float(x[0, 0]) for x in arrays) + 1.5
    assert nn.Multiply()(np.ones(2, "f4"), 0.1).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.Add()(np.ones((3, 4)), np.ones(3)),
            ValueError,
            r"Add\(\) takes arrays of one shape, .* \(3, 4\), \(3,\)",
        ),
        (lambda: nn.Multiply()(), TypeError, r"Multiply\(\) takes one or more arrays, got none"),
        (lambda: nn.Add()([]), TypeError, "got none"),
        (lambda: nn.Add()(np.ones(2), np.ones(2) + 0j), TypeError, "takes arrays of real numbers, got complex128"),
        (lambda: nn.Add()(np.ones(2), "text"), TypeError, "got <U4"),
        (lambda: nn.Add()(np.ones(2), None), TypeError, "got None"),
        (lambda: nn.Multiply()(np.ma.masked_array([1.0], [True])), TypeError, r"masked array .* x.filled\(0\)"),
        (
            lambda: nn.Concatenate()(np.ones((3, 4)), np.ones((2, 4))),
            ValueError,
            r"Concatenate\(axis=-1\) cannot join arrays of shapes \(3, 4\), \(2, 4\)",
        ),
        (lambda: nn.Concatenate()(np.ones((3, 4)), np.ones(4)), ValueError, "cannot join arrays of shapes"),
        (lambda: nn.Concatenate(2)(np.ones((3, 4))), ValueError, r"arrays of shape \(3, 4\) have no such axis"),
        (lambda: nn.Concatenate()(1.0), ValueError, r"arrays of shape \(\) have no such axis"),
        (
            lambda: nn.Unflatten(1, (2, 3))(np.ones((3, 4))),
            ValueError,
            r"Unflatten\(dim=1.* cannot split an axis of length 4",
        ),
        (lambda: nn.Unflatten(2, (2, 3))(np.ones((3, 4))), ValueError, "axis 2 is out of bounds"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    """What does not fit together is refused with what was given."""
    with pytest.raises(error, match=message):
        call()
