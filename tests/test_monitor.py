"""Monitors: a row for each place in a network, whatever calls it, and nothing else."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastrelu import diagnostics, nn

if TYPE_CHECKING:
    from specs import Array


class Net(nn.Module):
    """One activation in two places, between layers of several widths, registered in another order than called."""

    def __init__(self, second: int = 6) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.fc3 = nn.Linear(second, 2, rng=2)
        self.fc1, self.fc2 = nn.Linear(4, 8, rng=0), nn.Linear(8, second, rng=1)

    def encode(self, x: Array) -> Any:
        """Call the layers but the last."""
        return self.relu(self.fc2(self.relu(self.fc1(x))))

    def forward(self, x: Array) -> Any:
        """Call all layers."""
        return self.fc3(self.encode(x))


class Plain(nn.Module):
    """A network whose forward calls any of its layers by name, as often as it is told."""

    act: Any
    fc: Any
    grow: Any
    net: Any
    wait: Any

    def __init__(self, names: str, **layers: nn.Module) -> None:
        super().__init__()
        self.names = names
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Any, names: str = "") -> Any:
        """Call the layers that are named."""
        for name in (names or self.names).split():
            x = getattr(self, name)(x)
        return x


class Copied(Plain):
    """A network that makes its state from all attributes itself."""

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))


class Restored(Copied):
    """One that also takes all of it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class Recursive(nn.Module):
    """A network whose forward calls the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4, rng=0), nn.Tanh()

    def forward(self, x: Any, times: int = 3) -> Any:
        """Call the layers before and after the call of itself."""
        return self.act(self(self.fc(x), times - 1)) if times else x


class Own(Plain):
    """A network with a backward of its own."""

    def backward(self, grad: Any, **_: bool) -> Any:
        """Return nothing that a test reads."""
        return grad


def linear(inputs: int = 4, outputs: int = 4) -> nn.Linear:
    """Return a layer with the same weights each time."""
    return nn.Linear(inputs, outputs, rng=inputs + outputs)


def shared() -> nn.Sequential:
    """Return a network that calls one activation after both layers."""
    act = nn.Tanh()
    return nn.Sequential(linear(4, 8), act, linear(8, 3), act)


def renamed() -> nn.Sequential:
    """Return one that calls one activation twice, and another one whose name is that of the second call."""
    act = nn.ELU()
    return nn.Sequential(OrderedDict({"a": act, "a (2)": nn.ReLU(), "b": linear(), "c": act}))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "one activation, other widths": (Net, "input fc1 relu fc2 relu(2) fc3"),
    "one activation, the same width": (lambda: Net(8), "input fc1 relu fc2 relu(2) fc3"),
    "in a Sequential": (shared, "input 0 1 2 1(2)"),
    "a block twice": (
        lambda: Plain("block block", block=nn.Sequential(linear(), nn.ReLU())),
        "input block.0 block.1 block.0(2) block.1(2)",
    ),
    "nested": (lambda: Plain("a net b", b=linear(2, 3), net=Net(), a=linear()), "input a net.fc1 {} net.fc3 b"),
    "a layer": (nn.Tanh, "input "),
    "the model itself": (Recursive, "input fc fc(2) fc(3) act act(2) act(3)"),
    "its own backward": (lambda: Own("fc act act", act=nn.Tanh(), fc=linear()), "input fc act act(2)"),
    "in place": (lambda: Plain("act fc act", act=nn.ReLU(inplace=True), fc=linear()), "act fc act(2)"),
    "names of rows": (
        lambda: nn.Sequential(OrderedDict({"a": nn.Tanh(), "a (2)": nn.ReLU(), "input": linear()})),
        "input a a(2) input",
    ),
    "a name twice": (renamed, "input a a(2) b a(2)"),
}
MODES: dict[str, Callable[[nn.Module, Array], Any]] = {
    "training": lambda model, x: model(x),
    "evaluation": lambda model, x: model.eval()(x),
    "no_grad": nn.no_grad()(lambda model, x: model(x)),
    "enable_grad": nn.enable_grad()(lambda model, x: model.eval()(x)),
    "backward": lambda model, x: model.backward(np.ones_like(model(x))),
    "in another": lambda model, x: nn.Sequential(model, nn.ReLU())(x),
}


def batch(seed: int = 0, width: int = 4) -> Array:
    """Return 20 samples."""
    return np.random.default_rng(seed).standard_normal((20, width)).astype(np.float32)


def names(monitor: diagnostics.Monitor) -> list[str]:
    """Return the names of the rows, without spaces."""
    return [layer.name.replace(" ", "") for layer in monitor.layers()]


def counts(monitor: diagnostics.Monitor) -> dict[str, int]:
    """Return how many samples each row has seen, in the order of the rows."""
    return {layer.name.replace(" ", ""): int(layer.summary.count[0]) for layer in monitor.layers()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_row_for_each_place(network: str, mode: str) -> None:
    """In the order of the calls, with the numbers of exactly the arrays that were there, in every batch."""
    make, expected = NETWORKS[network]
    model, seen = make(), []
    logs: list[list[Any]] = []
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    for layer in leaves:
        layer.register_forward_hook(lambda module, args, output: logs[-1].append((module, args[0], output.copy())))
    with diagnostics.Monitor(model) as monitor:
        for seed in range(3):
            logs.append([])
            seen.append(batch(seed))
            MODES[mode](model, seen[-1].copy())
    reports = monitor.layers()
    wanted = expected.replace("{}", "net.relu net.fc2 net.relu(2)").split(" ")
    assert names(monitor) == wanted
    assert [report.kind for report in reports if report.kind] == [type(entry[0]).__name__ for entry in logs[0]]
    arrays = [[log[k][2] for log in logs] for k in range(len(logs[0]))]
    if len(wanted) > len(arrays):
        arrays.insert(0, seen)
    for report, outputs in zip(reports, arrays, strict=True):
        running = diagnostics.Running(-1)
        for output in outputs:
            running.update(output)
        for field in ("count", "zeros", "mean", "minimum", "maximum", "dead"):
            np.testing.assert_array_equal(getattr(report.summary, field), getattr(running.result(), field))
    assert str(monitor).count("\n") == len(reports) + len(monitor.advice())


def test_the_dead_units_of_one_place() -> None:
    """Are found where the same activation is alive in another place."""
    model: Any = Net(8)
    model.fc1.bias.data[:] = -10
    model.fc2.bias.data[:] = 1
    with diagnostics.Monitor(model) as monitor:
        model(batch())
    found = {layer.name: (int(layer.summary.dead.sum()), int(layer.overall.count)) for layer in monitor.layers()}
    assert found["relu"] == (8, 160)
    assert found["relu (2)"] == (0, 160)
    assert any(text.startswith("relu ReLU: 100% of the units are dead") for text in monitor.advice())
    assert not any(text.startswith("relu (2) ReLU: 100%") for text in monitor.advice())


def test_advice_follows_the_calls() -> None:
    """The input is that of the layer that is called first, and the first activation the one that is called first."""
    model = Plain("fc b a", a=nn.ReLU(), b=nn.LeakyReLU(), fc=linear())
    nn.init.constant_(model.fc.bias, 30)
    with diagnostics.Monitor(model) as monitor:
        model(batch())
        assert not [text for text in monitor.advice() if text.startswith("input")]
        monitor.reset()
        model(batch() * 1000 + 5000)
        assert [text for text in monitor.advice() if text.startswith("input: mean ")]
    model = Plain("small grow large", large=nn.Tanh(), grow=linear(), small=nn.Tanh())
    nn.init.constant_(model.grow.weight, 0)
    model.grow.weight.data[...] = np.eye(4) * 1000
    with diagnostics.Monitor(model) as monitor:
        model(batch() / 1000)
    assert [text for text in monitor.advice() if text.startswith("large Tanh: the standard deviation is")]


def test_a_layer_named_input_is_a_layer() -> None:
    """Its dead units are found, and it is not to be standardized."""
    model = Plain("input act", input=nn.ReLU(), act=nn.Identity())
    with diagnostics.Monitor(model) as monitor:
        model(-abs(batch()) * 100)
    texts = {layer.kind: " ".join(layer.advice) for layer in monitor.layers()}
    assert "standardize the input" in texts[""]
    assert "100% of the units are dead" in texts["ReLU"]
    assert "standardize the input" not in texts["ReLU"]


@pytest.mark.parametrize("passes", list(itertools.permutations([1, 2, 3])), ids=str)
def test_loops_of_several_lengths(passes: tuple[int, ...]) -> None:
    """The rows are in the order of the calls, whichever loop was the first; each has the calls that came so far."""
    model = Plain("", start=linear(), fc=linear(), act=nn.Tanh(), out=linear(4, 2))
    with diagnostics.Monitor(model) as monitor:
        for times in passes:
            model(batch(), "start " + "fc act " * times + "out")
    calls = {"input": 3, "start": 3, "fc": 3, "act": 3, "fc(2)": 2, "act(2)": 2, "fc(3)": 1, "act(3)": 1, "out": 3}
    assert list(counts(monitor).items()) == [(name, 20 * times) for name, times in calls.items()]


def test_another_layer_first() -> None:
    """Its input, of another width, has a row of its own."""
    model = Plain("", text=linear(3, 4), image=linear(5, 4), out=linear(4, 2))
    with diagnostics.Monitor(model) as monitor:
        for _ in range(2):
            model(batch(width=3), "text out")
            model(batch(width=5), "image out")
    assert counts(monitor) == {"input": 40, "text": 40, "out": 80, "inputofimage": 40, "image": 40}
    assert [layer.name for layer in monitor.layers() if not layer.kind] == ["input", "input of image"]


@pytest.mark.parametrize("training", [True, False])
def test_after_an_error_in_forward(training: bool) -> None:
    """The next forward call begins anew; layers that are called alone do not continue the one that failed."""
    model = Plain("", fc=linear(), act=nn.Tanh()).train(training)
    with diagnostics.Monitor(model) as monitor:
        for _ in range(2):
            with pytest.raises(AttributeError, match="no_layer"):
                model(batch(), "fc act no_layer act")
            model.act(batch())
            model(batch(), "fc act act")
    assert counts(monitor) == {"input": 80, "fc": 80, "act": 80, "act(2)": 40}


def test_calls_outside_of_the_model() -> None:
    """Layers, networks in the model and other methods that a user calls do not count; the error says what does."""
    model = Plain("net", net=Net())
    calls: list[Callable[[], Any]] = [
        lambda: model.net(batch()),
        lambda: model.net.encode(batch()),
        lambda: model.net.relu(batch()),
        lambda: model.forward(batch()),
    ]
    with diagnostics.Monitor(model) as monitor:
        for call in calls:
            call()
            with pytest.raises(RuntimeError, match=r"nothing seen yet: call the model itself .* do not count"):
                monitor.layers()
        model(batch())
        expected = str(monitor)
        for call in calls:
            call()
        assert str(monitor) == expected


def test_a_model_without_forward_is_refused() -> None:
    """It has no forward call to watch; nothing is attached."""
    for model in (nn.ModuleList([Net()]), nn.ModuleDict({"net": Net()}), nn.Module()):
        with pytest.raises(
            TypeError, match=rf"Monitor watches .*, and {type(model).__name__} has no forward: watch each"
        ):
            diagnostics.Monitor(model)
        assert not [module for module in model.modules() if module._hooks]


def test_other_units_in_one_place() -> None:
    """Name the layer and the ways out, and change nothing of its row; after a reset they are welcome."""
    model = Plain("", fc=nn.Identity(), act=nn.Tanh()).eval()
    message = r"Monitor, act \(2\): .*: \(4,\) before, \(3,\) now; give the axis .* \(axis=\), or call reset\(\)"
    with diagnostics.Monitor(model) as monitor:
        model(batch(), "act act")
        model.act.register_forward_hook(lambda module, args, output: output[:, :3])  # noqa: ARG005  the signature is given
        with pytest.raises(ValueError, match=message):
            model(batch(), "act act")
        assert counts(monitor)["act(2)"] == 20
        monitor.reset()
        model(batch(), "act act")
        assert [layer.summary.units for layer in monitor.layers()] == [4, 4, 3]


def test_threads_have_forward_calls_of_their_own() -> None:
    """While one is between two calls of a layer, another one runs from begin to end."""
    model = Plain("fc act wait act", fc=linear(), act=nn.Tanh(), wait=nn.Identity()).eval()
    reached, go_on = threading.Event(), threading.Event()
    first: list[int] = []

    def wait(*_: Any) -> None:
        if not first:
            first.append(threading.get_ident())
            reached.set()
            assert go_on.wait(60)

    model.wait.register_forward_hook(wait)
    with diagnostics.Monitor(model) as monitor:
        thread = threading.Thread(target=model, args=(batch(),))
        thread.start()
        assert reached.wait(60)
        model(batch())
        go_on.set()
        thread.join()
    assert counts(monitor) == dict.fromkeys(["input", "fc", "act", "wait", "act(2)"], 40)


def test_many_threads_lose_no_batch() -> None:
    """All counts and extremes are those of all batches."""
    model = Net().eval()
    model(batch())
    with diagnostics.Monitor(model) as monitor:
        threads = [
            threading.Thread(target=lambda seed=seed: [model(batch(seed)) for _ in range(50)]) for seed in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(counts(monitor).values()) == {4 * 50 * 20}
    assert monitor.layers()[0].overall.maximum == max(batch(seed).max() for seed in range(4))


def test_several_monitors() -> None:
    """Each has its own statistics and its own end, also on a part of the network and in the middle of a forward call."""
    model = Plain("fc act net act", fc=linear(), act=nn.Tanh(), net=nn.Sequential(linear(), nn.ReLU()))
    with (
        diagnostics.Monitor(model) as whole,
        diagnostics.Monitor(model) as again,
        diagnostics.Monitor(model.net) as part,
    ):
        model(batch())
        assert str(whole) == str(again)
        assert names(whole) == ["input", "fc", "act", "net.0", "net.1", "act(2)"]
        assert names(part) == ["input", "0", "1"]
        remove = model.net.register_forward_hook(lambda *_: again.detach())
        model(batch())
        remove()
        model(batch())
        model.net(batch())
    assert Counter(counts(whole).values()) == {60: 6}
    assert Counter(counts(again).values()) == {40: 5, 20: 1}
    assert Counter(counts(part).values()) == {80: 3}
    assert not [module for module in model.modules() if module._hooks]


def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    """Do nothing; a hook that pickles know by its name."""


def pickled(x: Any, protocol: int) -> Any:
    """Return what a pickle gives."""
    return pickle.loads(pickle.dumps(x, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {k}": functools.partial(pickled, protocol=k) for k in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [Plain, Copied, Restored, nn.Sequential, nn.ReLU])
def test_copies_of_a_watched_model(kind: Any, way: str) -> None:
    """They work, keep the hooks of the user, and add nothing to the statistics."""
    layers = {"fc": linear(), "act": nn.Tanh()}
    model = (
        kind("fc act act", **layers)
        if issubclass(kind, Plain)
        else kind(*layers.values())
        if kind is nn.Sequential
        else kind()
    )
    model.register_forward_hook(keep)
    x = batch()
    with diagnostics.Monitor(model) as monitor:
        expected = model(x)
        text = str(monitor)
        other = WAYS[way](model)
        np.testing.assert_array_equal(other(x), expected)
        assert str(monitor) == text
        with diagnostics.Monitor(other) as of_other:
            other(x)
        assert str(of_other) == text
        assert str(monitor) == text
        model(x)
    assert keep in other._hooks
    if kind is not Restored:  # whose copies have as many hooks as the model
        assert other._hooks == (keep,)
    assert set(counts(monitor).values()) == {40}


@pytest.mark.parametrize("way", WAYS)
def test_copies_of_a_monitor(way: str) -> None:
    """They have its statistics, and neither watch the model nor end its watch."""
    model = Net()
    with diagnostics.Monitor(model) as monitor:
        model(batch())
        text = str(monitor)
        other = WAYS[way](monitor)
        other.detach()
        model(batch(1))
        assert set(counts(monitor).values()) == {40}
        if way != "copy":  # which shares the statistics
            assert str(other) == text
            other.reset()
            assert set(counts(monitor).values()) == {40}


@pytest.mark.parametrize("elements", [1, 5])
def test_a_constant_output(elements: int) -> None:
    """Where nothing of the input comes through, the advice says so; one element shows nothing."""
    model = nn.Sequential(nn.Linear(3, 1, rng=0), nn.ReLU())
    model[0].weight.data[:] = 0
    model[0].bias.data[:] = 2
    with diagnostics.Monitor(model) as monitor:
        model(np.random.default_rng(0).standard_normal((elements, 3), np.float32))
    found = [text for text in monitor.advice() if text.startswith("1 ReLU")]
    assert found == ["1 ReLU: all outputs are 2, whatever the input: look at the layers before it"] * (elements > 1)


@pytest.mark.parametrize("elements", [1, 2, 7, 8])
def test_dead_units_in_few_elements(elements: int) -> None:
    """In a single image half of the units of a healthy layer are 0: no advice, as long as that may be chance."""
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.ReLU())
    model[0].bias.data[0] = -100
    with diagnostics.Monitor(model) as monitor:
        model(np.random.default_rng(0).standard_normal((elements, 3), np.float32))
    assert monitor.layers()[2].summary.dead[0]  # which the table counts
    found = [text for text in monitor.advice() if "of the units are dead" in text]
    assert len(found) == (elements >= 8)
