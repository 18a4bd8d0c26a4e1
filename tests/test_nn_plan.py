"""Networks in evaluation mode run as plans: with the bits and errors of their layers, and seeing every change."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import LAYOUTS
from test_half import HALVES
from test_nn import LAYERS

import fastrelu as fr
from fastrelu import nn, optim
from fastrelu.nn.parameter import FLOATS, Changes
from fastrelu.nn.plan import Chain, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.random.default_rng(0).standard_normal((40, 5), np.float32)


def network(activation: nn.Module | None = None, dtype: Any = np.float32) -> nn.Sequential:
    """Return linear layers with and without bias, of one column and of many, some in a container of their own."""
    act = activation or nn.GELU()
    inner = nn.Sequential(nn.Linear(30, 1, rng=2, dtype=dtype), nn.Dropout(), copy.deepcopy(act), nn.Flatten())
    return nn.Sequential(
        nn.Linear(5, 100, rng=0, dtype=dtype),
        act,
        nn.Linear(100, 30, bias=False, rng=1, dtype=dtype),
        nn.Identity(),
        copy.deepcopy(act),
        inner,
    ).eval()


def outcome(model: Any, x: Any, *, plan: bool) -> Any:
    """Return the output or the error of a call, with a plan or layer by layer."""
    for _ in range(3 if plan else 1):
        if not plan:
            Changes.count += 1
        try:
            y = model(copy.copy(x))
        except Exception as error:  # noqa: BLE001  any error is compared
            y = repr(error)
    return y


def assert_same(model: Any, x: Any, context: object = "") -> None:
    """Fail unless the plan does what the layers do."""
    expected, got = outcome(model, x, plan=False), outcome(model, x, plan=True)
    assert type(got) is type(expected)
    if isinstance(expected, str):
        assert got == expected
    else:
        assert_same_bits(got, expected, context)


def chains(model: Any) -> int:
    """Return how many links the plan of a network has."""
    assert type(model._plan) is Plan
    return sum(len(step.links) for step in model._plan._steps if isinstance(step, Chain))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if isinstance(layer, nn.Activation)], ids=str)
def test_every_activation(layer: nn.Module, threads: int) -> None:
    """Small and large batches, whose sums are passes of their own or parts of the activation's."""
    with fr.threads(threads), np.errstate(all="ignore"):  # a logarithm of a negative number
        for dtype in (np.float32, np.float64, *HALVES):
            model = network(copy.deepcopy(layer), dtype)
            for batch in (1, 2, 32, 1024) if dtype in FLOATS else (1, 32):
                assert_same(model, np.resize(X, (batch, 5)).astype(dtype), (dtype, batch))
        learned = any(True for _ in layer.parameters())
        model = network(copy.deepcopy(layer))
        outcome(model, X, plan=True)
        assert chains(model) == 3
        plan: Any = model._plan
        joined = 0 if learned or type(layer) in {nn.RReLU, nn.Softplus} else 3
        assert sum(len(step.layers) for step in plan._steps if isinstance(step, Chain)) == 3 + joined


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str) -> None:
    """Inputs and weights may have any layout, inputs any shape."""
    for shape in ((40, 5), (600, 5), (1, 5), (5,), (2, 3, 5), (1, 1, 5), (0, 5), (0, 2, 5), (40, 4), (4,), ()):
        x = np.resize(X, shape)
        model = network()
        assert_same(model, LAYOUTS[layout](x) if x.ndim else x, shape)
        if layout != "byte-swapped":  # which parameters refuse
            model[0].weight.data = LAYOUTS[layout](model[0].weight.data)
            model[0].bias.data = LAYOUTS[layout](model[0].bias.data)
        assert_same(model, x, shape)
        assert_same(model, x.astype(np.float64), shape)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_alone(layout: str, dtype: Any) -> None:
    """A layer that is called by itself has NumPy's bits too, whatever lies where."""
    lay = LAYOUTS[layout]
    for features, outputs, rows in itertools.product((1, 5), (1, 7), (0, 1, 40)):
        x = np.resize(X, (rows, features)).astype(dtype)
        weight, bias = nn.Linear(features, outputs, dtype=dtype, rng=0).state_dict().values()
        cases = [(x, weight, bias[:1]), (x, weight, None), (lay(x), weight, bias)]
        if layout != "byte-swapped":  # which parameters refuse
            cases += [(x, lay(weight), bias), (x, weight, lay(bias))]
        for given, *parameters in cases:
            layer: Any = nn.Linear(features, outputs, dtype=dtype)
            layer.weight, layer.bias = (p if p is None else nn.Parameter(p) for p in parameters)
            expected = np.matmul(given.astype(dtype, copy=False), layer.weight.data.T)
            assert_same_bits(layer(given), expected if layer.bias is None else expected + layer.bias.data)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_gradients(layout: str, dtype: Any) -> None:
    """The gradients of a layer have the bits of NumPy's products and sums, whatever lies where, and add up."""
    lay = LAYOUTS[layout]
    for features, outputs, rows in itertools.product((1, 5), (1, 7), (0, 1, 2, 40, 3000)):
        x, grad = np.resize(X, (rows, features)).astype(dtype), np.resize(-X, (rows, outputs)).astype(dtype)
        weight = nn.Linear(features, outputs, dtype=dtype, rng=0).weight.data
        cases = [(x, grad, weight), (lay(x), grad, weight), (x, lay(grad), weight)]
        if layout != "byte-swapped":  # which parameters refuse
            cases.append((x, grad, lay(weight)))
        for given, g, values in cases:
            layer: Any = nn.Linear(features, outputs, dtype=dtype)
            layer.weight = nn.Parameter(values)
            layer(given)
            dx = layer.backward(g)
            given, g = (a.astype(dtype, copy=False) for a in (given, g))  # noqa: PLW2901  as the layer converts them
            assert_same_bits(dx, np.matmul(g, values))
            expected = np.matmul(given.T, g, np.empty_like(values).T).T, np.add.reduce(g, axis=0)
            assert_same_bits(layer.weight.grad, expected[0])
            assert_same_bits(layer.bias.grad, expected[1])
            layer(given)
            assert layer.backward(g, input_grad=False) is None
            assert_same_bits(layer.weight.grad, expected[0] + expected[0])
            assert_same_bits(layer.bias.grad, expected[1] + expected[1])


def test_sums_of_gradients_do_not_warn() -> None:
    """Of a sum of gradients that overflows nothing warns, whatever its size, as of that of product and bias."""
    for rows, shared in itertools.product((40, 3000), (False, True)):
        layer: Any = nn.Linear(5, 7)
        if shared:
            layer.bias = nn.Parameter(np.zeros(1, np.float32))
        layer(np.zeros((rows, 5), np.float32))
        layer.backward(np.full((rows, 7), 3e38, np.float32), input_grad=False)
        assert (layer.bias.grad == np.inf).all()


def test_overflow() -> None:
    """NumPy warns of a product that overflows; of a sum that does nothing warns, in a plan or not, whatever its size."""
    for rows, outputs in itertools.product((1, 40, 600), (1, 60)):
        layer: Any = nn.Linear(5, outputs)
        nn.init.constant_(layer.weight, 0.5e38)
        nn.init.constant_(layer.bias, 3e38)
        model = nn.Sequential(layer, nn.ReLU()).eval()
        x = np.ones((rows, 5), np.float32)
        for step, given in itertools.product((layer, model, model, model), (x, np.repeat(x, 2, -1)[:, ::2])):
            assert (step(given) == np.inf).all()
            with pytest.warns(RuntimeWarning, match="overflow encountered in (matmul|dot)"):
                step(given * 4)


def test_unaligned_input() -> None:
    """An input that is not aligned is dense, so a plan takes it."""
    x = np.zeros(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
    x[...] = X
    assert not x.flags.aligned
    for rows in (1, len(x)):
        assert_same(network(), x[:rows])


def test_other_inputs() -> None:
    """Lists, integers, scalars, masked arrays, subclasses: what the layers make of them, or say about them."""
    wrong = (
        X.tolist(),
        X.astype(int),
        1.0,
        "a",
        None,
        np.ma.masked_array(X, X > 0),
        X.view(np.recarray),
        X.astype(">f4"),
    )
    for x in wrong:
        assert_same(network(), x)
        assert_same(nn.Sequential(nn.ReLU(), *network()).eval(), x)
    assert_same(nn.Sequential().eval(), X)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "values": lambda m: m[0].weight.data.fill(0.5),
    "array": lambda m: setattr(m[0].weight, "data", -m[0].weight.data),
    "array of another type": lambda m: setattr(m[0].weight, "data", m[0].weight.data.astype(np.float64)),
    "bias of another type": lambda m: setattr(m[0].bias, "data", m[0].bias.data.astype(np.float64)),
    "half": lambda m: setattr(m[0].weight, "data", m[0].weight.data.astype(np.float16)),
    "all arrays": lambda m: [p.__setattr__("data", p.data.astype(np.float64)) for p in m.parameters()],
    "parameter": lambda m: setattr(m[0], "weight", nn.Parameter(np.ones((100, 5), np.float32))),
    "another shape": lambda m: setattr(m[0], "weight", nn.Parameter(np.ones((7, 5), np.float32))),
    "no bias": lambda m: setattr(m[0], "bias", None),
    "bias of one number": lambda m: setattr(m[0], "bias", nn.Parameter(np.ones(1, np.float32))),
    "deleted bias": lambda m: delattr(m[0], "bias"),
    "slope": lambda m: setattr(m[1], "negative_slope", 0.5),
    "slope of NumPy": lambda m: setattr(m[1], "negative_slope", np.float64(0.5)),
    "slopes": lambda m: setattr(m[1], "negative_slope", np.linspace(0, 1, 100, dtype=np.float32)),
    "slopes in 32 bits": lambda m: setattr(m[1], "negative_slope", np.full(3, 0.5, np.float32)),
    "slopes out of the domain": lambda m: setattr(m[1], "negative_slope", np.full(100, np.nan)),
    "in place": lambda m: setattr(m[1], "inplace", True),
    "layer": lambda m: m.__setitem__(1, nn.Tanh()),
    "inner layer": lambda m: m[5].__setitem__(1, nn.Tanh()),
    "more layers": lambda m: m.append(nn.Softmax()),
    "fewer layers": lambda m: m.pop(0),
    "hook": lambda m: m[1].register_forward_hook(lambda *args: args[2] + 1),
    "hook of the network": lambda m: m.register_forward_hook(lambda *args: args[2] + 1),
    "hook of an inner network": lambda m: m[5].register_forward_hook(lambda *args: args[2] + 1),
    "hook removed": lambda m: (outcome(m, X, plan=True), m.register_forward_hook(np.add)()),
    "forward": lambda m: setattr(m[1], "forward", np.negative),
    "forward of the network": lambda m: setattr(m, "forward", np.negative),
    "state": lambda m: m.load_state_dict({name: value + 1 for name, value in m.state_dict().items()}),
    "state of another type": lambda m: m.load_state_dict({k: v.astype("f8") for k, v in m.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen(change: str) -> None:
    """A plan sees changes of values, arrays, parameters, options, layers, hooks and methods."""
    model = network(nn.LeakyReLU(0.2))
    outcome(model, X, plan=True)
    assert chains(model) == 3
    CHANGES[change](model)
    try:
        after = model(X)
    except Exception as error:  # noqa: BLE001  any error is compared
        after = repr(error)
    expected = outcome(model, X, plan=False)
    if isinstance(expected, str):
        assert after == expected
    else:
        assert_same_bits(after, expected)
    assert_same(model, X)
    assert_same(model, X.astype(np.float64))


def test_optimizers() -> None:
    """A step of training between calls in evaluation mode."""
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        before = outcome(model, X, plan=True)
        model.train()
        y = model(X)
        model.backward(np.ones_like(y))
        optimizer.step()
        model.eval()
        assert not np.array_equal(model(X), before)
        assert_same(model, X)


def test_modes() -> None:
    """A layer in training mode, a recording network around, and the modes of gradients."""
    model = network()
    expected = outcome(model, X, plan=True)
    with nn.no_grad():
        assert_same_bits(model(X), expected)
        assert chains(model) == 3
    with nn.enable_grad():
        y = model(X)
    assert_same_bits(y, expected)
    gradient = model.backward(np.ones_like(y), input_grad=True)
    outcome(model, X, plan=True)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    outer = Outer()
    assert outer.training
    assert not model.training
    assert_same_bits(outer(X), expected)
    assert_same_bits(outer.backward(np.ones_like(y), input_grad=True), gradient)
    model[5][1].training = True
    outcome(model, X, plan=True)
    assert not np.array_equal(model(X), model(X))  # dropout


def test_nothing_is_saved() -> None:
    """A call in evaluation mode saves nothing and drops what an earlier call saved: backward is refused."""
    model = network()
    for plan in (False, True):
        x, y = X, np.resize(X, (2, 30))
        with nn.enable_grad():
            for layer in model:
                x = layer(x)
            for layer in model[5]:
                y = layer(y)
            assert model[0]._saved.call is not None
        outcome(model, X, plan=plan)
        for part in (model, *model, *model[5]):
            assert part._saved is None or part._saved.call is None
        with pytest.raises(RuntimeError, match="no forward call to go back through"):
            model.backward(X[:, :1])


def test_arrays_are_the_callers() -> None:
    """No later call writes into an array that a call returned, or that a hook or layer received."""
    kept: list[Any] = []

    class Keep(nn.Module):
        def forward(self, x: Any) -> Any:
            kept.append(x)
            return x

    for layers in (
        network(),
        [*network(), nn.Identity()],
        [*network(), Keep()],
        [nn.Linear(5, 5), Keep(), nn.ReLU(True)],
    ):
        for batch in (1, 40):
            model, x = nn.Sequential(*layers).eval(), np.resize(X, (batch, 5))
            found = [model(x) for _ in range(5)] + kept
            values = [y.copy() for y in found]
            model(x + 1)
            for y, value in zip(found, values, strict=True):
                assert y.flags.writeable
                assert not np.may_share_memory(y, x)
                assert_same_bits(y, value)
            kept.clear()
    assert outcome(network()[:2].eval(), X, plan=True).base is None
    assert outcome(network()[:2].eval(), X[:1], plan=True).base is None
    x = X.copy()
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 2)).eval()
    outcome(model, x, plan=True)
    model(x)
    assert (x >= 0).all()


@pytest.mark.parametrize("rows", [1, 40])
def test_freed_weights(rows: int) -> None:
    """Weights whose memory was freed or given another shape since are refused, and not read."""
    model = network()
    for _ in range(2):
        model(X[:rows])
    weight = model[0].weight.data
    weight.resize((0,), refcheck=False)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Linear: an array was changed while the call was prepared"):
            model(X[:rows])


def test_several_threads() -> None:
    """One network, called by threads at the same time."""
    model = network()
    inputs = [np.resize(X + i, (batch, 5)) for i, batch in enumerate((1, 3, 40, 700))]
    expected = [outcome(model, x, plan=False) for x in inputs]
    wrong: list[Any] = []
    start = threading.Barrier(len(inputs))

    def work(x: Any, right: Any) -> None:
        start.wait()
        for _ in range(50):
            if not np.array_equal(model(x), right):
                wrong.append(x)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(inputs, expected, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert chains(model) == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(copied: Callable[[Any], Any]) -> None:
    """A copy makes a plan of its own."""
    model = network()
    expected = outcome(model, X, plan=True)
    other = copied(model)
    assert "_plan" not in vars(other)
    assert_same_bits(outcome(other, X, plan=True), expected)
    other[1] = nn.Tanh()
    assert_same(other, X)


def test_subclasses() -> None:
    """Containers and layers of a user's own, and a network that sets an attribute in each call."""

    class Scaled(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    class Named(nn.Sequential):
        pass

    class Shifted(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) + 1

    class Own(nn.ReLU):
        def __call__(self, *_: Any) -> Any:
            raise RuntimeError("called")

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.count = network(), 0

        def forward(self, x: Any) -> Any:
            self.count += 1
            return self.layers(x)

    for model in (
        Scaled(*network()),
        Named(*network()),
        Scaled(Named(*network()), Scaled(nn.Linear(1, 5), nn.ReLU())),
        nn.Sequential(Shifted(5, 5), nn.ReLU(), Own(), Scaled(*network())),
        Counting(),
    ):
        assert_same(model.eval(), X)
        assert_same(model, X[0])
    counting = Counting().eval()
    counting(X)
    counting(X)
    assert type(counting.layers._plan) is int
