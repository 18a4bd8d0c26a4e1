"""Optimizers against their formulas in plain Python, and what they refuse."""

from __future__ import annotations

import copy
import io
import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrelu import nn, optim

GRADIENTS = [1.0, -2.0, 0.5, 0.0, 3.0]


def path(optimizer: Any, parameter: nn.Parameter) -> list[float]:
    """Return the values that a parameter takes under the gradients above."""
    found = []
    for gradient in GRADIENTS:
        parameter.grad = np.full(1, gradient)
        optimizer.step()
        found.append(float(parameter.data[0]))
    return found


@pytest.mark.parametrize(
    ("momentum", "dampening", "decay", "nesterov"),
    [
        (0.0, 0.0, 0.0, False),
        (0.0, 0.0, 0.1, False),
        (0.9, 0.0, 0.0, False),
        (0.9, 0.5, 0.1, False),
        (0.9, 0.0, 0.1, True),
    ],
)
def test_sgd(momentum: float, dampening: float, decay: float, nesterov: bool) -> None:
    """Each step is the formula."""
    p = nn.Parameter(np.array([2.0]))
    got = path(optim.SGD([p], 0.1, momentum, dampening, decay, nesterov), p)
    value, velocity, wanted = 2.0, None, []
    for gradient in GRADIENTS:
        direction = gradient + decay * value
        if momentum:
            velocity = direction if velocity is None else momentum * velocity + (1 - dampening) * direction
            direction = direction + momentum * velocity if nesterov else velocity
        value -= 0.1 * direction
        wanted.append(value)
    np.testing.assert_allclose(got, wanted, rtol=1e-14)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam(decay: float) -> None:
    """Each step is the formula."""
    p = nn.Parameter(np.array([2.0]))
    got = path(optim.Adam([p], 0.1, (0.8, 0.9), 1e-3, decay), p)
    value, mean, square, wanted = 2.0, 0.0, 0.0, []
    for t, given in enumerate(GRADIENTS, 1):
        gradient = given + decay * value
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        value -= 0.1 * mean / (1 - 0.8**t) / (math.sqrt(square / (1 - 0.9**t)) + 1e-3)
        wanted.append(value)
    np.testing.assert_allclose(got, wanted, rtol=1e-14)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_in_place_and_only_where_there_is_a_gradient(name: str) -> None:
    """A step changes the array that is there, leaves the gradient as it is, and skips parameters without one."""
    first, second = nn.Parameter(np.ones((2, 3), np.float32)), nn.Parameter(np.ones(2, np.float32))
    memory, grad = first.data, np.full((2, 3), 2, np.float32)
    first.grad = grad
    optimizer = getattr(optim, name)([first, second], lr=0.5)
    optimizer.step()
    assert first.data is memory
    assert first.dtype == np.float32
    assert (memory < 1).all()
    assert (grad == 2).all()
    assert (second.data == 1).all()
    optimizer.lr = 0.0
    before = memory.copy()
    optimizer.step()
    assert np.array_equal(memory, before)
    optimizer.zero_grad()
    assert first.grad is None


@pytest.mark.parametrize(("dtype", "huge"), [(np.float32, 1e20), (np.float32, 3e38), (np.float64, 1e300)], ids=str)
def test_adam_survives_a_huge_gradient(dtype: Any, huge: float) -> None:
    """The square of the gradient overflows; steps are those of the formula, and later steps move the parameter."""
    gradients = [1.0, -huge, 1.0, *[huge / 2] * 3, *[1.0] * 100]
    p = nn.Parameter(np.zeros(3, dtype))
    optimizer = optim.Adam([p], lr=0.1, betas=(0.5, 0.75), eps=1e-8)
    mean, root, value = 0.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        p.grad = np.array([gradient, 1.0, -1.0])
        optimizer.step()
        mean = 0.5 * mean + 0.5 * gradient
        root = math.hypot(math.sqrt(0.75) * root, math.sqrt(0.25) * gradient)
        value -= 0.1 * mean / (1 - 0.5**t) / (root / math.sqrt(1 - 0.75**t) + 1e-8)
        assert p.data[0] == pytest.approx(value, rel=1e-4 if dtype is np.float32 else 1e-12)
    np.testing.assert_allclose(p.data[1:], [-0.1 * len(gradients), 0.1 * len(gradients)], rtol=1e-4)
    before = p.data[0]
    for _ in range(10_000):
        p.grad = np.ones(3, dtype)
        optimizer.step()
    assert before - p.data[0] > 100


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {}),
]
each_optimizer = pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)


@each_optimizer
def test_infinities(name: str, options: dict[str, Any]) -> None:
    """Infinite gradients and values reach the parameter without a warning; the others stay finite."""
    p = nn.Parameter(np.float32([0, 0, 0, np.inf, 3e38, 1]))
    optimizer = getattr(optim, name)([p], lr=0.1, **options)
    for sign in (1, -1, 1):
        p.grad = np.float32([sign * np.inf, np.nan, sign * 3e38, sign * np.inf, sign * 3e38, sign])
        optimizer.step()
    assert np.isnan(p.data[1])
    assert not np.isfinite(p.data[[0, 3]]).any()
    assert np.isfinite(p.data[5])


@each_optimizer
def test_frozen_parameters_do_not_move(name: str, options: dict[str, Any]) -> None:
    """Frozen after a step, or between backward and step; neither do running means move. Then training goes on."""
    layer = nn.Linear(1, 1, bias=False, rng=0)
    optimizer = getattr(optim, name)(layer.parameters(), lr=0.1, **options)
    x = np.ones((1, 1), np.float32)

    def backward() -> None:
        layer(x)
        layer.backward(x)

    backward()
    optimizer.step()
    layer.weight.requires_grad = False
    before, memory = layer.weight.data.copy(), optimizer.state_dict()
    for _ in range(3):
        backward()
        optimizer.step()
    layer.weight.requires_grad = True
    backward()
    layer.weight.requires_grad = False
    optimizer.step()
    layer.weight.requires_grad = True
    optimizer.step()  # the gradient was there for the step before
    assert np.array_equal(layer.weight.data, before)
    np.testing.assert_equal(optimizer.state_dict(), memory)
    backward()
    optimizer.step()
    assert not np.array_equal(layer.weight.data, before)


@each_optimizer
def test_each_gradient_is_used_once(name: str, options: dict[str, Any]) -> None:
    """A branch without a backward pass since the last step does not move, and a second step changes nothing."""
    used, unused = nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1)
    optimizer = getattr(optim, name)([*used.parameters(), *unused.parameters()], **options)
    x = np.ones((1, 2), np.float32)
    for layer in (used, unused):
        layer(x)
        layer.backward(x)
    optimizer.step()
    before = unused.state_dict()
    for _ in range(3):
        used(x)
        used.backward(x)
        moving = used.state_dict()
        optimizer.step()
        assert not np.array_equal(used.weight.data, moving["weight"])
    still = used.state_dict()
    optimizer.step()
    for layer, wanted in ((unused, before), (used, still)):
        for key, value in layer.state_dict().items():
            assert np.array_equal(value, wanted[key])


@each_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", ["np.savez", "pickle", "pickle of both"])
def test_resuming(name: str, options: dict[str, Any], dtype: Any, way: str) -> None:
    """10 steps, save, load and 10 steps give the bits of 20 steps, with groups and a rate that changes."""

    def build() -> tuple[nn.Sequential, Any]:
        model = nn.Sequential(
            nn.Linear(3, 4, dtype=dtype, rng=0), nn.PReLU(4, dtype=dtype), nn.Linear(4, 2, dtype=dtype)
        )
        groups: list[dict[str, Any]] = [
            {"params": model[0].parameters()},
            {"params": [*model[1].parameters(), *model[2].parameters()], "lr": 0.03},
        ]
        return model, getattr(optim, name)(groups, lr=0.01, **options)

    def train(model: nn.Sequential, optimizer: Any, steps: range) -> None:
        for i in steps:
            optimizer.param_groups[1]["lr"] *= 0.9
            x = np.random.default_rng(i).standard_normal((5, 3)).astype(dtype)
            model.backward(model(x) - 1)
            optimizer.step()

    model, optimizer = build()
    train(model, optimizer, range(10))
    state, file = optimizer.state_dict(), io.BytesIO()
    again, resumed = build()
    if way == "np.savez":
        arrays = {f"{i} {key}": value for i, running in state["state"].items() for key, value in running.items()}
        np.savez(file, **model.state_dict(), **arrays)
        file.seek(0)
        with np.load(file) as loaded:
            again.load_state_dict(loaded, strict=False)
            numbered = [(*key.split(), key) for key in arrays]
            running = {int(i): {k: loaded[key] for j, k, key in numbered if j == i} for i, _, key in numbered}
        resumed.load_state_dict({"state": running, "param_groups": state["param_groups"]})
    elif way == "pickle":
        saved, state = pickle.loads(pickle.dumps((model.state_dict(), state)))
        again.load_state_dict(saved)
        resumed.load_state_dict(state)
    else:
        again, resumed = pickle.loads(pickle.dumps((model, optimizer)))
    train(model, optimizer, range(10, 20))
    train(again, resumed, range(10, 20))
    np.testing.assert_equal(again.state_dict(), model.state_dict())
    np.testing.assert_equal(resumed.state_dict(), optimizer.state_dict())
    assert state["param_groups"][1]["lr"] == pytest.approx(0.03 * 0.9**10)


def test_states_that_do_not_fit() -> None:
    """A state that does not fit is refused, and nothing is changed."""
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    optimizer = optim.SGD([first, second], momentum=0.9)
    first.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    shorter = {"state": {}, "param_groups": [{**before["param_groups"][0], "params": [0]}]}
    swapped = {"state": {1: before["state"][0]}, "param_groups": before["param_groups"]}
    for state, message in (
        (optim.Adam([first, second]).state_dict(), "SGD has the options lr, momentum, .* the state lr, betas"),
        (shorter, r"has groups of \[2\] parameters, the state of \[1\]"),
        (swapped, r"parameter 1 is \(3,\), but its momentum_buffer in the state \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(state)
    np.testing.assert_equal(optimizer.state_dict(), before)


@pytest.mark.parametrize(
    ("make", "entry", "error", "message"),
    [
        (optim.SGD, {"momentum_buffer": "a"}, TypeError, "momentum_buffer of parameter 0 must be an array .*, got 'a'"),
        (optim.SGD, {"momentum_buffer": np.array(["a", "b"])}, TypeError, "must be an array of floating-point numbers"),
        (optim.SGD, {"velocity": np.ones(2)}, ValueError, "SGD keeps momentum_buffer .* parameter 0 has velocity"),
        (
            optim.Adam,  # PyTorch's
            {"step": 1, "exp_avg": np.ones(2), "exp_avg_sq": np.ones(2)},
            ValueError,
            "Adam keeps step, exp_avg, exp_avg_root, max_exp_avg_root .* 0 has step, exp_avg, exp_avg_sq",
        ),
        (optim.Adam, {"exp_avg": np.ones(2)}, ValueError, "AdamW? keeps .* the state of parameter 0 has exp_avg"),
        (
            optim.AdamW,
            {"step": 0, "exp_avg": np.ones(2), "exp_avg_root": np.ones(2)},
            ValueError,
            "step must be at least 1, got 0",
        ),
    ],
)
def test_entries_of_a_state_that_do_not_fit(make: Any, entry: Any, error: type[Exception], message: str) -> None:
    """Entries that the optimizer does not keep, or that are no arrays, are refused, and nothing is changed."""
    optimizer = make([nn.Parameter(np.ones(2))])
    before = optimizer.state_dict()
    with pytest.raises(error, match=message):
        optimizer.load_state_dict({**before, "state": {0: entry}})
    with pytest.raises(ValueError, match="entries of parameter 3, which is in none of its groups"):
        optimizer.load_state_dict({**before, "state": {3: {}}})
    given: Any
    for given in (None, {}, {"state": {}}):
        with pytest.raises(TypeError, match="takes what state_dict returns, with state and param_groups, got"):
            optimizer.load_state_dict(given)
    np.testing.assert_equal(optimizer.state_dict(), before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
@pytest.mark.parametrize("beta", [0, 0.0, 0.1, 0.4, 0.5, 0.9, np.float32(0.25), np.float64(0.9)], ids=repr)
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_mean_of_gradients_of_any_size(kind: Any, beta: Any, dtype: Any) -> None:
    """The mean of Adam keeps the digits of a gradient that counts for most of it, however small it is."""
    parameter, old = nn.Parameter(np.ones(3, dtype)), float(beta)
    optimizer = kind([parameter], betas=(beta, 0.99))
    mean, error = np.zeros(3), np.zeros(3)
    for grad in ([1e3, 1, -1e-3], [1e-6, 3e-7, 1e3], [2e-6, 0, -1e-6]):
        parameter.grad = np.array(grad, dtype)
        optimizer.step()
        mean, new = old * mean, (1 - old) * parameter.grad.astype(np.float64)
        error = old * error + 4 * np.finfo(dtype).eps * (np.abs(mean) + np.abs(new))
        mean += new
        assert (np.abs(optimizer.state[parameter]["exp_avg"] - mean) <= error).all()


def test_groups() -> None:
    """Options are those of the group; an attribute reads and sets all groups."""
    first, second = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    optimizer = optim.SGD([{"params": first, "lr": 0.5}], lr=0.1, weight_decay=1.0)
    optimizer.add_param_group({"params": [second], "weight_decay": 0.0})
    first.grad, second.grad = np.ones(1), np.ones(1)
    optimizer.step()
    assert (first.data[0], second.data[0]) == (0.0, 0.9)
    assert optimizer.momentum == 0
    with pytest.raises(AttributeError, match="the groups differ in 'lr'"):
        optimizer.lr  # noqa: B018  asking raises
    optimizer.lr = 0.2
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    for name, value, message in (
        ("lr", -1, "lr must be at least 0, got -1"),
        ("lr", 10**400, "lr must be a number that float holds, got an integer of 1329 bits"),
        ("dampening", math.nan, "dampening must be a number, got nan"),
    ):
        with pytest.raises(ValueError, match=message):
            setattr(optimizer, name, value)
    assert optimizer.lr == 0.2
    with pytest.raises(AttributeError, match="'SGD' object has no attribute 'betas'"):
        optimizer.betas  # noqa: B018  asking raises
    first.grad = second.grad = np.ones(1)
    before = first.data.copy()
    optimizer.param_groups[1]["lr"] = math.nan
    with pytest.raises(ValueError, match="lr must be at least 0, got nan"):
        optimizer.step()
    assert np.array_equal(first.data, before)


def test_gradients_set_to_zero() -> None:
    """On request gradients become zeros instead of None, where there are any."""
    layer = nn.Linear(2, 2)
    for module in (layer, optim.SGD(layer.parameters())):
        layer.weight.grad = given = np.ones((2, 2), np.float32)
        module.zero_grad(set_to_none=False)
        assert layer.weight.grad.tolist() == [[0, 0], [0, 0]]
        assert layer.bias is not None
        assert layer.bias.grad is None
        assert given.all()
        module.zero_grad()
        assert layer.weight.grad is None


def test_clipping() -> None:
    """Only gradients since the last step count, and an assigned array does not change."""
    p, stale, none = (nn.Parameter(np.zeros(2)) for _ in range(3))
    stale.grad = np.array([7.0, 7.0])
    optim.SGD([stale]).step()
    p.grad = given = np.array([3.0, -4.0])
    assert nn.utils.clip_grad_norm_([p, stale, none, p], 10) == 5
    assert p.grad.tolist() == given.tolist()
    assert nn.utils.clip_grad_norm_([p, stale, none, p], 1) == 5
    np.testing.assert_allclose(p.grad, [0.6, -0.8], rtol=1e-6)
    nn.utils.clip_grad_value_(iter([p, stale]), 0.7)
    np.testing.assert_allclose(p.grad, [0.6, -0.7], rtol=1e-6)
    assert given.tolist() == [3, -4]
    assert stale.grad.tolist() == [7, 7]
    p.grad = np.array([3e200, 4e200])
    assert nn.utils.clip_grad_norm_(p, 1) == pytest.approx(5e200)
    p.grad = np.array([3e-200, 4e-200])
    assert nn.utils.clip_grad_norm_(p, 1) == pytest.approx(5e-200)
    assert nn.utils.clip_grad_norm_([], 1) == 0
    p.grad = np.array([np.inf, 1.0])
    with pytest.raises(RuntimeError, match="the norm of the gradients is inf"):
        nn.utils.clip_grad_norm_(p, 1, error_if_nonfinite=True)
    for call, message in (
        (lambda: nn.utils.clip_grad_norm_(p, -1), "max_norm must be at least 0, got -1"),
        (lambda: nn.utils.clip_grad_norm_(p, 1, 0), "norm_type must be greater than 0, got 0"),
        (lambda: nn.utils.clip_grad_value_(p, math.nan), "clip_value must be at least 0, got nan"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("norm_type", [2.0, 1, 0.5, math.inf])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_clipping_what_is_not_finite(bad: float, norm_type: float) -> None:
    """The norm is NaN or infinite; the gradients become NaN or zero as in PyTorch, or do not change with an error."""
    first, second = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(1))
    first.grad, second.grad = np.array([bad, 1.0]), np.array([3.0])
    with pytest.raises(RuntimeError, match=f"the norm of the gradients is {abs(bad)}, so they cannot be clipped"):
        nn.utils.clip_grad_norm_([first, second], 1.0, norm_type, error_if_nonfinite=True)
    assert second.grad == 3
    norm = nn.utils.clip_grad_norm_([first, second], 1.0, norm_type)
    np.testing.assert_equal(norm, abs(bad))
    np.testing.assert_array_equal(first.grad, [np.nan, np.nan if np.isnan(bad) else 0])
    np.testing.assert_array_equal(second.grad, [np.nan if np.isnan(bad) else 0])
    first.grad = np.array([np.nan, 7.0])
    nn.utils.clip_grad_value_(first, 0.5)
    np.testing.assert_array_equal(first.grad, [np.nan, 0.5])


@each_optimizer
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 0)], ids=str)
def test_parameters_of_any_size(shape: tuple[int, ...], name: str, options: dict[str, Any]) -> None:
    """Parameters without axes move as those with one do; those without elements are nothing to do."""
    p, q = nn.Parameter(np.ones(shape, np.float32)), nn.Parameter(np.ones(1, np.float32))
    memory, optimizer = p.data, getattr(optim, name)([p, q], lr=np.float32(0.1), **options)
    for gradient in (1.0, -3.0, 2.0):
        p.grad, q.grad = np.full(shape, gradient), np.full(1, gradient)
        optimizer.step()
    assert p.data is memory
    assert np.array_equal(memory, np.broadcast_to(q.data[0], shape))


@each_optimizer
def test_steps_that_are_refused(name: str, options: dict[str, Any]) -> None:
    """A parameter that cannot be updated is found before another one is."""
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = getattr(optim, name)([first, second], lr=0.1, **options)
    first.grad, second.grad = np.ones(2), np.ones(2)
    second.data.flags.writeable = False
    with pytest.raises(ValueError, match=r"parameter 1 of the optimizer, of shape \(2,\), is read-only"):
        optimizer.step()
    second.data.flags.writeable = True
    second.grad.shape = (2, 1)
    with pytest.raises(ValueError, match=r"parameter 1 of the optimizer is \(2,\), but its gradient \(2, 1\)"):
        optimizer.step()
    assert first.data.tolist() == second.data.tolist() == [1, 1]
    assert not any(optimizer.state.values())
    second.grad = np.ones(2)
    optimizer.step()
    assert (first.data < 1).all()
    assert np.array_equal(first.data, second.data)


@each_optimizer
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda group, _: group.pop("lr"), ValueError, "group 0 of the optimizer has no option 'lr'"),
        (lambda group, _: group.clear() or group.update(params=[]), ValueError, "has no option 'lr', .*'weight_decay'"),
        (
            lambda group, _: group["params"].append(3),
            TypeError,
            "parameter 1 of the optimizer is no Parameter, but 'int'",
        ),
        (lambda group, p: group["params"].append(p), ValueError, "parameters 0 and 1 of the optimizer are the same"),
    ],
    ids=["option", "options", "kind", "twice"],
)
def test_groups_that_were_changed(
    name: str, options: dict[str, Any], change: Any, error: type[Exception], message: str
) -> None:
    """A step refuses what add_param_group would refuse."""
    p = nn.Parameter(np.ones(2))
    optimizer = getattr(optim, name)([p], lr=0.1, **options)
    p.grad = np.ones(2)
    change(optimizer.param_groups[0], p)
    with pytest.raises(error, match=message):
        optimizer.step()
    assert p.data.tolist() == [1, 1]


ALL_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": momentum, "dampening": dampening, "weight_decay": decay, "nesterov": nesterov})
    for momentum, dampening, decay, nesterov in itertools.product((0.0, 0.9), (0.0, 0.5), (0.0, 0.1), (False, True))
    if not nesterov or (momentum and not dampening)
]
ALL_OPTIONS += [
    (name, {"weight_decay": decay, "amsgrad": amsgrad})
    for name, decay, amsgrad in itertools.product(("Adam", "AdamW"), (0.0, 0.1), (False, True))
]


def spoil_state(optimizer: Any, parameter: nn.Parameter, change: Callable[[Any], Any]) -> None:
    """Replace the running arrays of a parameter."""
    state = optimizer.state.get(parameter, {})
    state.update({key: change(value) for key, value in state.items() if key != "step"})


def read_only(array: Any) -> Any:
    """Return a copy that cannot be written."""
    copied = array.copy()
    copied.flags.writeable = False
    return copied


# What makes a step of two parameters fail, at the latest at the second one; it does nothing where there is no state.
FAULTS: dict[str, Callable[[Any, nn.Parameter], Any]] = {
    "shape of the gradient": lambda _, p: setattr(p.grad, "shape", (6,)),
    "type of the gradient": lambda _, p: setattr(p.grad, "dtype", np.int32),
    "size of the parameter": lambda _, p: p.data.resize((3, 4), refcheck=False),
    "type of the parameter": lambda _, p: setattr(p.data, "dtype", np.int32),
    "read-only parameter": lambda _, p: p.data.setflags(write=False),
    "shape of the state": lambda o, p: spoil_state(o, p, lambda a: np.zeros((4, 5, 7), a.dtype)),
    "type of the state": lambda o, p: spoil_state(o, p, lambda a: np.full(a.shape, "a")),
    "read-only state": lambda o, p: spoil_state(o, p, read_only),
    "no array in the state": lambda o, p: spoil_state(o, p, lambda a: a.tolist()),
    "option": lambda o, _: o.param_groups[1].update(lr=-1.0),
    "kind of an option": lambda o, _: o.param_groups[1].update(weight_decay="0.1"),
    "no option": lambda o, _: o.param_groups[1].pop("weight_decay"),
    "no parameter": lambda o, _: o.param_groups[1]["params"].append(None),
    "parameter twice": lambda o, p: o.param_groups[1]["params"].append(p),
    "no gradient": lambda _, p: setattr(p, "_grad", 3.0),
}


@pytest.mark.parametrize(("name", "options"), ALL_OPTIONS, ids=str)
@pytest.mark.parametrize("before", [0, 2])
def test_all_or_nothing(name: str, options: dict[str, Any], before: int) -> None:
    """A step that fails, wherever it does, has changed nothing, and a later one is right."""

    def build() -> tuple[Any, list[nn.Parameter]]:
        rng = np.random.default_rng(0)
        parameters = [nn.Parameter(rng.standard_normal((2, 3)).astype(np.float32)) for _ in range(2)]
        optimizer = getattr(optim, name)([{"params": [p]} for p in parameters], lr=0.1, **options)
        for i in range(before + 1):
            for p in parameters:
                p.grad = rng.standard_normal((2, 3)).astype(np.float32)
            if i < before:
                optimizer.step()
        return optimizer, parameters

    def held(optimizer: Any, parameters: list[nn.Parameter]) -> Any:
        return copy.deepcopy([[(p.data, p._grad, p._used) for p in parameters], [*optimizer.state.values()]])

    memory = pytest.importorskip("_testcapi", reason="CPython's own allocations are made to fail")
    right = build()
    right[0].step()
    wanted = held(*right)
    for only_one in (True, False):
        for i in itertools.count():
            optimizer, parameters = build()
            found = held(optimizer, parameters)
            try:
                memory.set_nomemory(i, i + 1 if only_one else 0)
                try:
                    optimizer.step()
                finally:
                    memory.remove_mem_hooks()
            except MemoryError:
                np.testing.assert_equal(held(optimizer, parameters), found)
                optimizer.step()
                np.testing.assert_equal(held(optimizer, parameters), wanted)
            else:  # it makes no more than i allocations
                np.testing.assert_equal(held(optimizer, parameters), wanted)
                break
        assert i > 0
    for fault, spoil in FAULTS.items():
        optimizer, parameters = build()
        spoil(optimizer, parameters[1])
        found = held(optimizer, parameters)
        if "state" in fault and not any("_" in key for key in optimizer.state.get(parameters[1], {})):
            continue
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            optimizer.step()
        np.testing.assert_equal(held(optimizer, parameters), found, err_msg=fault)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"exp_avg": np.ones(3)}, ValueError, r"parameter 1 of the optimizer is \(2,\), but its exp_avg in .* \(3,\)"),
        (
            {"exp_avg_root": [1.0, 2.0]},
            TypeError,
            r"exp_avg_root of parameter 1 in .* must be an array, got \[1.0, 2.0\]",
        ),
        ({"max_exp_avg_root": read_only(np.ones(2))}, ValueError, "max_exp_avg_root of parameter 1 in .* is read-only"),
        ({"step": -1}, ValueError, "step of parameter 1 in the optimizer's state must be at least 0, got -1"),
        ({"step": math.nan}, ValueError, "step of parameter 1 in the optimizer's state must be at least 0, got nan"),
    ],
    ids=str,
)
def test_states_that_became_wrong(entry: dict[str, Any], error: type[Exception], message: str) -> None:
    """A step names the entry of the state that was changed by hand, and changes nothing."""
    parameters = [nn.Parameter(np.ones(2)) for _ in range(2)]
    optimizer = optim.Adam(parameters, amsgrad=True)
    for p in parameters:
        p.grad = np.ones(2)
    optimizer.step()
    for p in parameters:
        p.grad = np.ones(2)
    optimizer.state[parameters[1]].update(entry)
    before = copy.deepcopy([[p.data for p in parameters], [*optimizer.state.values()]])
    with pytest.raises(error, match=message):
        optimizer.step()
    np.testing.assert_equal([[p.data for p in parameters], [*optimizer.state.values()]], before)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
@pytest.mark.parametrize("by_hand", [True, False])
def test_options_that_become_wrong(kind: Any, by_hand: bool) -> None:
    """Each option is refused by its name, whatever it becomes between steps, and nothing is changed."""
    p = nn.Parameter(np.ones(2))
    optimizer = kind([p])
    for bad in (math.nan, -1.0, "0.1", None, 1j, [0.1], 10**400, np.ones(2), np.ma.masked_array(0.1, True)):
        for option in (name for name in optimizer.param_groups[0] if name != "params"):
            if option == "dampening" and type(bad) is float and bad < 0:
                continue  # a number like others
            p.grad = np.ones(2)
            optimizer.step()
            before, values = optimizer.param_groups[0][option], p.data.copy()
            p.grad = np.ones(2)
            if by_hand:
                optimizer.param_groups[0][option] = bad
            with pytest.raises((TypeError, ValueError), match=option):
                optimizer.step() if by_hand else setattr(optimizer, option, bad)
            assert p.data.tolist() == values.tolist()
            optimizer.param_groups[0][option] = before


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_gradients_that_a_step_refuses(name: str) -> None:
    """A gradient whose type was changed in place, and a parameter that is for inference, are refused with their type."""
    p, half = nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(2, np.float16))
    optimizer = getattr(optim, name)([p])
    p.grad = np.ones(2, np.float32)
    setattr(p.grad, "dtype", np.int32)  # noqa: B010  a property that the types forbid to set
    with pytest.raises(TypeError, match="parameter 0 of the optimizer is float32, but its gradient int32"):
        optimizer.step()
    half.grad = np.ones(2, np.float16)
    with pytest.raises(TypeError, match="a parameter of float16 is for inference: train with float32 or float64"):
        getattr(optim, name)([half]).step()
    assert half.data.tolist() == p.data.tolist() == [1, 1]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "columns": np.asfortranarray,
    "gaps": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1],
    "turned": lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    "not aligned": lambda a: np.frombuffer(bytearray(b"-" + a.tobytes()), np.uint8)[1:].view(a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize(("name", "options"), ALL_OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 1), (1, 60, 50), (1030, 1, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layout(name: str, options: dict[str, Any], shape: tuple[int, ...], dtype: Any) -> None:
    """Parameters and gradients in any layout move to the bit as contiguous ones do."""
    rng = np.random.default_rng(0)
    values, steps = rng.standard_normal(shape).astype(dtype), rng.standard_normal((3, *shape)).astype(dtype)
    pairs = [(lambda a: a, lambda a: a), *itertools.product(LAYOUTS.values(), (lambda a: a, *LAYOUTS.values()))]
    parameters = [nn.Parameter(lay(values.copy())) for lay, _ in pairs]
    optimizer = getattr(optim, name)(parameters, lr=0.1, **options)
    for step in steps:
        for p, (_, lay) in zip(parameters, pairs, strict=True):
            p.grad = lay(step.copy())
            p._owned = True  # as a layer stores it
        optimizer.step()
    for p in parameters[1:]:
        assert p.data.tobytes() == parameters[0].data.tobytes()


def test_gradients_that_are_values_of_parameters() -> None:
    """An assigned gradient may be memory that the step changes: each parameter moves by what it was before."""
    first, second = nn.Parameter(np.arange(4.0)), nn.Parameter(np.ones(3))
    first.grad, second.grad = np.ones(4), first.data[1:]
    optim.SGD([first, second], lr=1.0).step()
    assert first.data.tolist() == [-1, 0, 1, 2]
    assert second.data.tolist() == [0, -1, -2]


SHARED: dict[str, Callable[[Any], list[Any]]] = {
    "the same": lambda a: [a, a],
    "turned": lambda a: [a, a.T],
    "overlapping": lambda a: [a[2:], a[:-1]],
    "side by side": lambda a: [a[::2], a[1::2]],
}


@pytest.mark.parametrize("views", SHARED.values(), ids=SHARED)
@pytest.mark.parametrize("assigned", [True, False])
@pytest.mark.parametrize(("name", "options"), [each for each in ALL_OPTIONS if each[0] != "AdamW"], ids=str)
def test_parameters_in_the_same_memory(name: str, options: dict[str, Any], assigned: bool, views: Any) -> None:
    """Each adds the change that it would make alone: weight decay is that of the values before the step."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 6))
    together = [nn.Parameter(array) for array in views(values)]
    alone = [nn.Parameter(p.data.copy()) for p in together]
    optimizer, others = (getattr(optim, name)(each, lr=0.1, **options) for each in (together, alone))
    for _ in range(3):
        wanted = values.copy()
        for p, q in zip(together, alone, strict=True):
            q.data[...] = p.data
            p.grad = q.grad = rng.standard_normal(p.shape)
            p._owned = not assigned
        before = [q.data.copy() for q in alone]
        others.step()
        optimizer.step()
        for q, start, part in zip(alone, before, views(wanted), strict=True):
            part[...] += q.data - start
        np.testing.assert_allclose(values, wanted, rtol=1e-12, atol=1e-14)


@each_optimizer
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_is(bad: float, name: str, options: dict[str, Any]) -> None:
    """A gradient that is not finite spoils its own element, and no other."""
    p, q = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))
    optimizer = getattr(optim, name)([p, q], lr=0.1, **options)
    with np.errstate(invalid="ignore"):  # inf - inf and inf / inf, of the gradient above
        for _ in range(3):
            p.grad, q.grad = np.array([1.0, bad, 1.0]), np.ones(2)
            optimizer.step()
    assert not np.isfinite(p.data[1])
    assert np.array_equal(p.data[[0, 2]], q.data)


def test_assigned_gradients() -> None:
    """Assigned gradients count like those of a backward pass, before and after a step; their array stays the same."""
    layer = nn.Linear(1, 1, bias=False)
    optimizer = optim.SGD(layer.parameters())
    x, given = np.ones((1, 1), np.float32), np.full((1, 1), 100, np.float32)
    weight: Any = layer.weight
    for _ in range(2):
        weight.grad = given
        assert weight.grad is given
        for total in (101, 102):
            layer(x)
            layer.backward(x)
            assert weight.grad == total
        assert given == 100
        optimizer.step()
        assert weight.grad == 102
        with pytest.raises(ValueError, match="read-only"):
            weight.grad[...] = 7
        with pytest.raises(ValueError, match="read-only"):
            weight.grad *= 7
    layer(x)
    layer.backward(x)
    weight.grad *= 7
    layer(x)
    layer.backward(x)
    assert weight.grad == 8
    weight.grad = weight.data
    before = weight.data.copy()
    layer(x)
    layer.backward(x)
    assert weight.data == before
    weight.grad = [[2]]
    assert weight.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(2), ValueError, r"parameter of shape \(2, 3\) cannot have shape \(2,\)"),
        (1.0, ValueError, r"cannot have shape \(\)"),
        (np.ones((1, 2, 3)), ValueError, r"cannot have shape \(1, 2, 3\)"),
        (np.ones((2, 3), complex), TypeError, "the gradient of a float32 parameter cannot be complex128"),
        (np.full((2, 3), "a"), TypeError, "cannot be <U1"),
        (np.ma.masked_array(np.ones((2, 3)), mask=True), TypeError, r"cannot be a masked array: .*grad.filled\(0\)"),
    ],
)
def test_wrong_gradients(given: Any, error: type[Exception], message: str) -> None:
    """A gradient of another shape or kind is refused where it is assigned."""
    p = nn.Parameter(np.ones((2, 3), np.float32))
    p.grad = before = np.ones((2, 3), np.float32)
    with pytest.raises(error, match=message):
        p.grad = given
    assert p.grad is before


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}])
def test_another_type_on_the_way(options: dict[str, Any]) -> None:
    """Training goes on after a state of another type was loaded."""
    layer = nn.Linear(2, 2)
    optimizer = optim.SGD(layer.parameters(), **options)
    for dtype in (np.float32, np.float64):
        layer.load_state_dict({name: value.astype(dtype) for name, value in layer.state_dict().items()})
        layer(np.ones((1, 2), dtype))
        layer.backward(np.ones((1, 2), dtype))
        optimizer.step()
        assert layer.weight.dtype == dtype
        assert np.isfinite(layer.weight.data).all()


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda _: optim.SGD([]), ValueError, "got no parameters"),
        (lambda p: optim.SGD([p.data]), TypeError, "update Parameter objects, got 'ndarray'"),
        (lambda _: optim.SGD(iter(())), ValueError, "got no parameters; has the model any"),
        (lambda p: optim.SGD({"w": p}), TypeError, "an iterable of Parameter objects, got 'dict': pass its values"),
        (lambda p: optim.SGD({p}), TypeError, "got 'set', whose order may be another one in the next run: pass a list"),
        (
            lambda p: optim.SGD([("w", p)]),
            TypeError,
            r"got pairs with names: pass parameters\(\), not named_parameters",
        ),
        (lambda _: optim.SGD(nn.Linear(2, 2)), TypeError, r"got 'Linear': pass its parameters, Linear.parameters\(\)"),
        (lambda p: optim.SGD(p.data), TypeError, "update Parameter objects, got 'float64'"),
        (lambda _: optim.SGD(None), TypeError, "an iterable of Parameter objects, got 'NoneType'$"),
        (lambda _: optim.SGD(3), TypeError, "an iterable of Parameter objects, got 'int'$"),
        (lambda _: optim.SGD("abc"), TypeError, "an iterable of Parameter objects, got 'str'$"),
        (lambda p: optim.SGD([[p]]), TypeError, "update Parameter objects, got 'list'"),
        (lambda p: optim.SGD({"params": [p]}), TypeError, r"a list of groups, got one group: pass \[group\]"),
        (lambda _: optim.SGD([{"lr": 1}]), TypeError, r"a dict of 'params' and options, got a dict of \['lr'\]"),
        (lambda p: optim.SGD([p]).add_param_group([p]), TypeError, "a dict of 'params' and options, got 'list'"),
        (lambda _: optim.SGD([{"params": nn.Tanh()}]), TypeError, "got 'Tanh': pass its parameters"),
        (lambda p: optim.SGD([p], lr="0.1"), TypeError, "lr must be a number, got '0.1'"),
        (lambda p: optim.SGD([p], lr=None), TypeError, "lr must be a number, got None"),
        (lambda p: optim.SGD([p], lr=np.ones(2)), TypeError, r"lr must be a number, got array\(\[1., 1.\]\)"),
        (lambda p: optim.SGD([p], weight_decay=1j), TypeError, "weight_decay must be a number, got 1j"),
        (lambda p: optim.SGD([p], dampening="a"), TypeError, "dampening must be a number, got 'a'"),
        (lambda p: optim.SGD([p], momentum=0.9, nesterov="no"), TypeError, "nesterov must be True or False, got 'no'"),
        (lambda p: optim.Adam([p], amsgrad="no"), TypeError, "amsgrad must be True or False, got 'no'"),
        (lambda p: optim.Adam([p], betas=0.9), TypeError, "betas must be a pair of numbers, got 0.9"),
        (lambda p: optim.Adam([p], betas=(0.9, 0.9, 0.9)), TypeError, "betas must be a pair of numbers"),
        (lambda p: optim.Adam([p], betas=("a", 0.9)), TypeError, r"betas must be a pair of numbers, got \('a', 0.9\)"),
        (lambda p: optim.Adam([p], eps="a"), TypeError, "eps must be a number, got 'a'"),
        (
            lambda p: nn.utils.clip_grad_norm_({"w": p}, 1),
            TypeError,
            "clipping takes an .*, got 'dict': pass its values",
        ),
        (lambda _: nn.utils.clip_grad_norm_(nn.ReLU(), 1), TypeError, "got 'ReLU': pass its parameters"),
        (lambda p: nn.utils.clip_grad_norm_([p.data], 1), TypeError, "takes Parameter objects, got 'ndarray'"),
        (lambda p: nn.utils.clip_grad_value_([p, None], 1), TypeError, "takes Parameter objects, got 'NoneType'"),
        (lambda p: nn.utils.clip_grad_norm_([p], "1"), TypeError, "max_norm must be a number, got '1'"),
        (lambda p: nn.utils.clip_grad_norm_([p], 1, None), TypeError, "norm_type must be a number, got None"),
        (lambda p: nn.utils.clip_grad_value_([p], [1.0]), TypeError, r"clip_value must be a number, got \[1.0\]"),
        (lambda p: optim.SGD([p, nn.Parameter(p.data), p]), ValueError, "parameters 0 and 2 .* are the same"),
        (lambda p: optim.Adam([p, p]), ValueError, "parameters 0 and 1 .* update twice: pass each parameter once"),
        (lambda _: optim.SGD([{"params": []}]), ValueError, "the optimizer got no parameters"),
        (lambda p: optim.SGD([{"params": [p], "beta": 1}]), ValueError, "SGD has no option 'beta', only lr, momentum"),
        (lambda p: optim.SGD([{"params": [p], "lr": -2}]), ValueError, "lr must be at least 0, got -2"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "parameters 0 and 1 .* are the same"),
        (lambda p: optim.SGD([{"params": [p]}, p]), TypeError, "update Parameter objects, got 'dict'"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "lr must be at least 0, got -1"),
        (lambda p: optim.SGD([p], lr=math.nan), ValueError, "lr must be at least 0, got nan"),
        (lambda p: optim.SGD([p], momentum=-1), ValueError, "momentum must be at least 0"),
        (lambda p: optim.SGD([p], weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov needs momentum above 0 and no dampening"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda p: optim.Adam([p], eps=-1), ValueError, "eps must be at least 0"),
        (
            lambda p: optim.Optimizer([p]).step(),
            NotImplementedError,
            "Optimizer is no optimizer yet: use SGD, Adam or AdamW",
        ),
    ],
)
def test_refusals(build: Any, error: type[Exception], message: str) -> None:
    """Parameters and numbers that cannot be right are refused."""
    p = nn.Parameter(np.ones(2))
    p.grad = np.ones(2)
    with pytest.raises(error, match=message):
        build(p)


@pytest.mark.parametrize("name", ["_changes", "_check_update", "_memory", "_options", "_running", "_update"])
def test_methods_that_steps_no_longer_call(name: str) -> None:
    """A class that overrides one is refused where it is defined; one that defines its own step and options is not."""
    with pytest.raises(TypeError, match=f"Own defines {name}, which steps do not call any more: define step, in which"):
        type("Own", (optim.SGD,), {name: lambda *_: None})

    class Sign(optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, lr=lr)

        def step(self) -> None:
            for p in self.params:
                p.data -= self.lr * np.sign(p.grad)

    p = nn.Parameter(np.ones(2))
    p.grad = np.array([3.0, -3.0])
    Sign([p], 0.5).step()
    assert p.data.tolist() == [0.5, 1.5]


def test_parameters_of_another_class() -> None:
    """A class of parameters may compute its attributes."""

    def train(p: Any, value: bool) -> None:
        p._data[0] = value

    attributes = {
        "data": property(lambda p: p._data[1:]),
        "requires_grad": property(lambda p: bool(p._data[0]), train),
    }
    p: Any = type("Mapped", (nn.Parameter,), attributes)(np.ones(3))
    optimizer = optim.SGD([p], lr=0.5)
    for trained, wanted in ((True, [0.5, 0.0]), (False, [0.5, 0.0])):
        p.requires_grad = trained
        p.grad = np.array([1.0, 2.0])
        optimizer.step()
        assert p.data.tolist() == wanted


@each_optimizer
def test_attributes_that_nobody_reads(name: str, options: dict[str, Any]) -> None:
    """A misspelled option is an error, also of a copy; subclasses have attributes of their own."""
    kind = getattr(optim, name)
    made = kind([nn.Parameter(np.ones(2))], **options)
    for optimizer in (made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        with pytest.raises(
            AttributeError, match=f"{name} has no option 'learning_rate' .* be set, only lr, .*weight_decay"
        ):
            optimizer.learning_rate = 3
        optimizer.state = {}
        optimizer.step = lambda: None  # replaced by a user, as schedules do
    optimizer = type("Own", (kind,), {})([nn.Parameter(np.ones(2))])
    optimizer.warmup = 3
    assert copy.deepcopy(optimizer).warmup == 3
