"""Layers, losses and optimizers give what PyTorch's give, to rounding; skipped where PyTorch is absent."""

from __future__ import annotations

import copy
import inspect
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastrelu import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra test is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch, the CPU build suffices")


DTYPES = (np.float32, np.float64)
# Both sides round, and PyTorch's error is the larger one: elu by exp(x) - 1, for instance.
TOLERANCE: dict[Any, dict[str, Any]] = {
    np.float32: {"rtol": 2e-5, "atol": 2e-6},
    np.float64: {"rtol": 1e-12, "atol": 1e-13},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep to one thread: the networks are small, and a second one waits where other tests hold the processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Pair:
    """A layer and PyTorch's.

    Attributes
    ----------
    ours, theirs : str
        Source of each, in the namespaces of the two `nn`.
    avoid : tuple of float
        Where PyTorch differs by choice or by mistake.
    limits : bool
        Whether PyTorch is right at the infinities.
    single : bool
        Whether PyTorch's float64 has a constant that is rounded to float32.
    """

    ours: str
    theirs: str = ""
    avoid: tuple[float, ...] = ()
    limits: bool = True
    single: bool = False
    shape: tuple[int, ...] = field(default=(6, 3, 5))

    def layer(self) -> Any:
        """Return our layer."""
        return eval(f"nn.{self.ours}", {"nn": nn, "math": math})

    def peer(self, dtype: Any) -> Any:
        """Return PyTorch's layer."""
        layer = eval(f"nn.{self.theirs or self.ours}", {"nn": torch.nn})
        return layer.to(torch.float32 if dtype is np.float32 else torch.float64)


PAIRS = [
    Pair("ReLU()"),
    Pair("ReLU(inplace=True)"),
    Pair("ReLU6()"),
    Pair("ReLU6(True)"),
    Pair("LeakyReLU()"),
    Pair("LeakyReLU(0.2, True)"),
    Pair("LeakyReLU(-0.5)"),
    Pair("RReLU(0.2, 0.2)"),
    Pair("RReLU(0.2, 0.2, True)"),
    Pair("Threshold(0.1, 20.0)"),
    Pair("Threshold(0.5, -1.0, True)"),
    Pair("ELU(0.7)", limits=False),
    Pair("ELU(1.3, inplace=True)", limits=False),
    Pair("CELU(0.7)", limits=False, single=True),
    Pair("CELU(1.3, inplace=True)", limits=False, single=True),
    Pair("SELU()", limits=False),
    Pair("SELU(inplace=True)", limits=False),
    Pair("Softplus(2.0)", limits=False),
    Pair("Softplus(2.0, math.inf)", "Softplus(2.0, 60.0)", limits=False),
    Pair("Softplus(0.5, 1.0)", limits=False),
    Pair("Softplus(threshold=-1.0)", limits=False),
    Pair("Softplus(2.0, 3.0, inplace=True)", "Softplus(2.0, 3.0)", limits=False),
    Pair("Softplus(inplace=True)", "Softplus()", limits=False),
    Pair("LogSigmoid()", limits=False),
    Pair("Sigmoid()"),
    Pair("Sigmoid(inplace=True)", "Sigmoid()"),
    Pair("Tanh()"),
    Pair("Tanh(inplace=True)", "Tanh()"),
    Pair("Softsign()", limits=False),
    Pair("Hardsigmoid()", avoid=(-3.0, 3.0), single=True),
    Pair("Hardsigmoid(True)", "Hardsigmoid(inplace=True)", avoid=(-3.0, 3.0), single=True),
    Pair("Hardtanh(-0.5, 2.0)"),
    Pair("Hardtanh(inplace=True)"),
    Pair("SiLU()", limits=False),
    Pair("SiLU(inplace=True)", limits=False),
    Pair("Swish()", "SiLU()", limits=False),
    Pair("Mish()", limits=False),
    Pair("Mish(inplace=True)", limits=False),
    Pair("GELU()", limits=False),
    Pair("GELU('tanh')", limits=False),
    Pair("GELU(approximate='none')", limits=False),
    Pair("Hardswish()", avoid=(-3.0, 3.0), limits=False),
    Pair("Hardswish(inplace=True)", "Hardswish(True)", avoid=(-3.0, 3.0), limits=False),
    Pair("Hardshrink()"),
    Pair("Softshrink(0.3)"),
    Pair("Tanhshrink()", limits=False),
    Pair("Softmax(dim=1)", limits=False),
    Pair("Softmax(dim=-1)", limits=False),
    Pair("LogSoftmax(dim=1)", limits=False),
    Pair("Softmin(dim=2)", limits=False),
    Pair("Flatten()", limits=False),
    Pair("Flatten(0, 1)"),
    Pair("Unflatten(1, (1, -1))"),
    Pair("Unflatten(dim=-1, unflattened_size=(5, 1))"),
    Pair("Identity()"),
    Pair("Dropout(0.0)"),
    Pair("Dropout(0.0, True)"),
    Pair("Dropout(1.0)", limits=False),
]

each_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.ours)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def values(shape: tuple[int, ...], dtype: Any, seed: int, special: tuple[float, ...] = ()) -> NDArray[Any]:
    """Return numbers on both sides of all kinks, with special ones mixed in."""
    rng = np.random.default_rng(seed)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    x.flat[rng.choice(x.size, len(special), replace=False)] = special
    return x


def close(got: Any, wanted: Any, dtype: Any, context: str = "", *, single: bool = False) -> None:
    """Fail unless the arrays agree to rounding."""
    wanted = wanted.detach().numpy() if hasattr(wanted, "detach") else wanted
    assert np.shape(got) == wanted.shape, context
    assert got.dtype == wanted.dtype == dtype, context
    limits = TOLERANCE[np.float32 if single else dtype]
    np.testing.assert_allclose(got, wanted, **limits, err_msg=context)


def strided(x: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers in an array with gaps and another order of axes."""
    memory = np.zeros((*x.T.shape[:-1], 2 * x.T.shape[-1]), x.dtype)
    memory[..., ::2] = x.T
    return memory[..., ::2].T


LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": strided,
}


@each_dtype
@each_pair
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layer(pair: Pair, layout: str, dtype: Any) -> None:
    """Output and input gradient, on ordinary, special and strided inputs."""
    special: tuple[float, ...] = (0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5, 0.1, 2.0, 1e-30, -1e-30, 30.0, -30.0)
    special += (np.inf, -np.inf) if pair.limits else ()
    x = values(pair.shape, dtype, 1, tuple(point for point in special if point not in pair.avoid))
    ours, theirs = pair.layer(), pair.peer(dtype)
    # An in-place layer needs an input that is nobody's leaf.
    leaf = torch.tensor(x, requires_grad=True)
    wanted = theirs(leaf * 1)
    grad = values(tuple(wanted.shape), dtype, 2)
    wanted.backward(torch.tensor(grad))
    given = LAYOUTS[layout](x.copy())
    got = ours(given)
    assert (got is given) == (getattr(ours, "inplace", False) or isinstance(ours, nn.Identity))
    close(got, wanted, dtype, "output", single=pair.single)
    if not getattr(ours, "inplace", False):
        np.testing.assert_array_equal(given, x)
    close(ours.backward(LAYOUTS[layout](grad)), leaf.grad, dtype, "gradient", single=pair.single)


REPRS = [pair for pair in PAIRS if not pair.theirs]


@pytest.mark.parametrize("pair", REPRS, ids=lambda pair: pair.ours)
def test_repr(pair: Pair) -> None:
    """The text of a layer is PyTorch's."""
    assert repr(pair.layer()) == repr(pair.peer(np.float32))


def test_repr_of_a_network() -> None:
    """The text of nested containers is PyTorch's."""

    def build(lib: Any) -> Any:
        return lib.Sequential(
            lib.Linear(4, 3), lib.Sequential(lib.ReLU(True), lib.Linear(3, 2, bias=False)), lib.PReLU(2)
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def copied(theirs: Any, ours: Any) -> None:
    """Give our module PyTorch's state."""
    ours.load_state_dict(theirs.state_dict())


def compare_gradients(ours: Any, theirs: Any, dtype: Any) -> None:
    """Fail unless all parameters have PyTorch's gradients."""
    wanted = dict(theirs.named_parameters())
    got = dict(ours.named_parameters())
    assert list(got) == list(wanted)
    for name, parameter in got.items():
        close(parameter.grad, wanted[name].grad, dtype, name)


@each_dtype
@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 3, 4), (0, 4), (2, 0, 3, 4)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear(bias: bool, shape: tuple[int, ...], layout: str, dtype: Any) -> None:
    """Output, input gradient and both parameters' gradients of the affine layer, for any leading axes."""
    theirs = torch.nn.Linear(4, 5, bias=bias, dtype=torch.float32 if dtype is np.float32 else torch.float64)
    ours = nn.Linear(4, 5, bias=bias)
    copied(theirs, ours)
    x, grad = values(shape, dtype, 3), values((*shape[:-1], 5), dtype, 4)
    leaf = torch.tensor(x, requires_grad=True)
    wanted = theirs(leaf)
    wanted.backward(torch.tensor(grad))
    close(ours(LAYOUTS[layout](x)), wanted, dtype)
    close(ours.backward(LAYOUTS[layout](grad)), leaf.grad, dtype)
    compare_gradients(ours, theirs, dtype)


@each_dtype
@pytest.mark.parametrize(("count", "shape"), [(1, (6,)), (1, (6, 3)), (3, (6, 3)), (3, (2, 3, 4, 5))], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prelu(count: int, shape: tuple[int, ...], layout: str, dtype: Any) -> None:
    """PReLU with one weight and with one for each channel, zeros and negative weights included."""
    kind = torch.float32 if dtype is np.float32 else torch.float64
    theirs, ours = torch.nn.PReLU(count, dtype=kind), nn.PReLU(count, dtype=dtype)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor([0.25, -0.5, 0.0][:count]))
    copied(theirs, ours)
    x, grad = values(shape, dtype, 5, (0.0, -0.0)), values(shape, dtype, 6)
    leaf = torch.tensor(x, requires_grad=True)
    wanted = theirs(leaf)
    wanted.backward(torch.tensor(grad))
    close(ours(LAYOUTS[layout](x)), wanted, dtype)
    close(ours.backward(LAYOUTS[layout](grad)), leaf.grad, dtype)
    compare_gradients(ours, theirs, dtype)


CROSS_ENTROPIES: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"ignore_index": 2},
    {"label_smoothing": 0.1},
    {"weight": [0.5, 1.0, 2.0, 0.25, 1.5]},
    {"weight": [0.5, 1.0, 2.0, 0.25, 1.5], "ignore_index": 0, "label_smoothing": 0.2, "reduction": "sum"},
]


@each_dtype
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[("labels", options) for options in CROSS_ENTROPIES],
        *[("probabilities", options) for options in CROSS_ENTROPIES if "ignore_index" not in options],
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(5,), (8, 5), (3, 5, 4), (2, 5, 3, 2)], ids=str)
def test_cross_entropy(kind: str, shape: tuple[int, ...], options: dict[str, Any], dtype: Any) -> None:
    """Loss and gradient, for labels and for probabilities, any number of axes, all options."""
    rng = np.random.default_rng(8)
    logits = values(shape, dtype, 7)
    axis = min(1, len(shape) - 1)
    labels: NDArray[Any] = rng.integers(0, 5, shape[:axis] + shape[axis + 1 :])
    if kind == "probabilities":
        labels = rng.random(shape).astype(dtype)
        labels /= labels.sum(axis, keepdims=True)
    weight = options.get("weight")
    theirs = torch.nn.CrossEntropyLoss(
        **{**options, "weight": None if weight is None else torch.tensor(np.array(weight, dtype))}
    )
    ours = nn.CrossEntropyLoss(**{**options, "weight": None if weight is None else np.array(weight, dtype)})
    leaf = torch.tensor(logits, requires_grad=True)
    wanted = theirs(leaf, torch.tensor(labels))
    upper = values(tuple(wanted.shape), dtype, 9)
    wanted.backward(torch.tensor(upper))
    got = ours(logits, labels)
    close(got, wanted, dtype)
    close(ours.backward(upper), leaf.grad, dtype)
    assert np.array_equal(ours.eval()(logits, labels), got)


# Batches of which no loss counts: labels, weights of the classes, label smoothing.
NOTHING: dict[str, tuple[list[int], list[float] | None, float]] = {
    "ignored": ([-100, -100], None, 0.0),
    "ignored, smoothed": ([-100, -100], None, 0.1),
    "weights of 0": ([0, 1], [0.0, 0.0, 1.0], 0.0),
    "weights of 0, smoothed": ([0, 1], [0.0, 0.0, 1.0], 0.1),
    "weights of 0, one ignored": ([0, -100], [0.0, 0.0, 1.0], 0.0),
    "no weight at all": ([0, 1], [0.0, 0.0, 0.0], 0.0),
    "empty": ([], None, 0.0),
}


@pytest.mark.parametrize("kind", ["CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("batch", NOTHING)
def test_batches_of_which_nothing_counts(batch: str, reduction: str, kind: str) -> None:
    """Loss and gradient are NaN where PyTorch's are, and 0 where its are."""
    given, weight, smoothing = NOTHING[batch]
    if smoothing and kind == "NLLLoss":
        return
    labels = np.array(given, np.int64)
    x = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]], np.float32))[: len(labels)]
    options = {"reduction": reduction, **({"label_smoothing": smoothing} if smoothing else {})}
    weights = None if weight is None else np.array(weight, np.float32)
    theirs = getattr(torch.nn, kind)(None if weights is None else torch.from_numpy(weights), **options)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor, torch.from_numpy(labels))
    expected.sum().backward()
    ours = getattr(nn, kind)(weights, **options)
    loss = ours(x, labels)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.backward(np.ones_like(loss)), tensor.grad.numpy(), rtol=1e-5, atol=1e-6)


@each_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse(reduction: str, dtype: Any) -> None:
    """Loss and gradient of the squared error."""
    x, y = values((4, 3), dtype, 1), values((4, 3), dtype, 2)
    ours: Any = nn.MSELoss(reduction=reduction)  # type: ignore[arg-type]  # a str
    leaf = torch.tensor(x, requires_grad=True)
    wanted = torch.nn.MSELoss(reduction=reduction)(leaf, torch.tensor(y))
    upper = values(tuple(wanted.shape), dtype, 3)
    wanted.backward(torch.tensor(upper))
    close(ours(x, y), wanted, dtype)
    close(ours.backward(upper), leaf.grad, dtype)


# --- Training -----------------------------------------------------------------------------------------------------


def networks(dtype: Any) -> tuple[Any, Any]:
    """Return the reference network in both libraries, with the same weights."""

    def build(lib: Any) -> Any:
        return lib.Sequential(lib.Linear(784, 256), lib.ReLU(), lib.Linear(256, 10))

    torch.manual_seed(0)
    theirs = build(torch.nn).to(torch.float32 if dtype is np.float32 else torch.float64)
    ours = build(nn)
    copied(theirs, ours)
    return ours, theirs


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.001}),
    ("Adam", {"lr": 0.001, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.001, "amsgrad": True}),
    ("Adam", {"lr": 0.002, "betas": (0.5, 0.9), "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.001}),
    ("AdamW", {"lr": 0.001, "weight_decay": 0.1, "amsgrad": True}),
]


@each_dtype
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda value: str(value))
def test_the_same_weights_after_100_steps(name: str, options: dict[str, Any], dtype: Any) -> None:
    """The reference network, batch 32, follows PyTorch's path to rounding."""
    ours, theirs = networks(dtype)
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    our_criterion, their_criterion = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    for _ in range(100):
        x, y = rng.standard_normal((32, 784)).astype(dtype), rng.integers(0, 10, 32)
        loss = our_criterion(ours(x), y)
        ours.backward(our_criterion.backward())
        our_optimizer.step()
        their_optimizer.zero_grad()
        their_loss = their_criterion(theirs(torch.tensor(x)), torch.tensor(y))
        their_loss.backward()
        their_optimizer.step()
        np.testing.assert_allclose(loss, their_loss.item(), rtol=2e-3 if dtype is np.float32 else 1e-9)
    # Adam divides by the root of the mean square: where a gradient is nearly 0, its rounding error is not.
    atol = {
        ("SGD", np.float32): 1e-5,
        ("Adam", np.float32): 5e-3,
        ("SGD", np.float64): 1e-13,
        ("Adam", np.float64): 1e-9,
    }
    name = name.removesuffix("W")
    for parameter, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, wanted.detach().numpy(), rtol=0, atol=atol[name, dtype])


def tutorial(lib: Any, inplace: bool) -> Any:
    """Return the network of every tutorial, as it is written for either library."""

    class Net(lib.Module):  # type: ignore[misc]  # of either library
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = lib.Linear(20, 16)
            self.relu = lib.ReLU(inplace=inplace)
            self.fc2 = lib.Linear(16, 5)

        def forward(self, x: Any) -> Any:
            x = self.fc1(x)
            x = self.relu(x)
            return self.fc2(x)

    return Net()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda value: str(value))
def test_the_class_of_the_tutorials(name: str, options: dict[str, Any], inplace: bool) -> None:
    """The class trains without a backward of its own; after 50 steps its weights are PyTorch's."""
    theirs, ours = (tutorial(lib, inplace) for lib in (torch.nn, nn))
    copied(theirs.double(), ours)
    assert repr(ours) == repr(theirs)
    optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    criterion, their_criterion = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.standard_normal((32, 20)), rng.integers(0, 5, 32)
        criterion(ours(x), y)
        ours.backward(criterion.backward())
        optimizer.step()
        their_optimizer.zero_grad()
        their_criterion(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        their_optimizer.step()
    for parameter, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, wanted.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda value: str(value))
def test_branches_and_freezing(name: str, options: dict[str, Any]) -> None:
    """In each step one of two branches is used and one layer frozen; PyTorch clears the gradients in between."""

    def build(lib: Any) -> Any:
        return lib.Sequential(lib.Linear(4, 5), lib.PReLU(5)), lib.Linear(5, 3), lib.Linear(5, 3)

    theirs, ours = [part.double() for part in build(torch.nn)], build(nn)
    for part, peer in zip(ours, theirs, strict=True):
        copied(peer, part)
    optimizer = getattr(optim, name)([p for part in ours for p in part.parameters()], **options)
    their_optimizer = getattr(torch.optim, name)([p for part in theirs for p in part.parameters()], **options)
    rng = np.random.default_rng(0)
    for _ in range(40):
        branch, frozen = rng.integers(1, 3), rng.integers(0, 3)
        for parts in (ours, theirs):
            for i, part in enumerate(parts):
                for parameter in part.parameters():
                    parameter.requires_grad = bool(i != frozen)
        x, grad = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
        ours[branch](ours[0](x))
        ours[0].backward(ours[branch].backward(grad))
        optimizer.step()
        their_optimizer.zero_grad()
        theirs[branch](theirs[0](torch.tensor(x))).backward(torch.tensor(grad))
        their_optimizer.step()
    for part, peer in zip(ours, theirs, strict=True):
        for parameter, wanted in zip(part.parameters(), peer.parameters(), strict=True):
            close(parameter.data, wanted, np.float64)


@each_dtype
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=lambda value: str(value))
def test_groups_and_changing_rates(name: str, options: dict[str, Any], dtype: Any) -> None:
    """Groups with options of their own and a rate that changes, with gradients clipped by norm, for 100 steps."""
    ours, theirs = (lib.Sequential(lib.Linear(4, 5), lib.PReLU(5), lib.Linear(5, 3)) for lib in (nn, torch.nn))
    theirs = theirs.to(torch.float32 if dtype is np.float32 else torch.float64)
    copied(theirs, ours)
    optimizer, their_optimizer = (
        getattr(lib, name)(
            [{"params": model[0].parameters()}, {"params": model[1:].parameters(), "weight_decay": 0.0}], **options
        )
        for lib, model in ((optim, ours), (torch.optim, theirs))
    )
    rng = np.random.default_rng(0)
    for i in range(100):
        for group in (*optimizer.param_groups, *their_optimizer.param_groups):
            group["lr"] *= 1.05 if i % 3 else 0.9
        x, grad = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal((6, 3)).astype(dtype)
        ours(x)
        ours.backward(grad)
        their_optimizer.zero_grad()
        theirs(torch.tensor(x)).backward(torch.tensor(grad))
        for norm_type in (2.0, 1.0, float("inf")):
            wanted = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 3.0, norm_type)
            assert nn.utils.clip_grad_norm_(ours.parameters(), 3.0, norm_type) == pytest.approx(
                wanted.item(), rel=1e-12 if dtype is np.float64 else 1e-4
            )
        torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.2)
        nn.utils.clip_grad_value_(ours.parameters(), 0.2)
        if dtype is np.float64:
            compare_gradients(ours, theirs, dtype)
        optimizer.step()
        their_optimizer.step()
    limits: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10} if dtype is np.float64 else {"rtol": 1e-4, "atol": 1e-5}
    for parameter, peer in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, peer.detach().numpy(), **limits)


def test_gradients_add_up() -> None:
    """Two backward passes before a step add up, as in PyTorch; zero_grad clears them."""
    ours, theirs = networks(np.float64)
    rng = np.random.default_rng(1)
    our_criterion, their_criterion = nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    for anew in (False, True):
        if anew:
            ours.zero_grad()
            theirs.zero_grad()
        for _ in range(2):
            x, y = rng.standard_normal((8, 784)), rng.integers(0, 10, 8)
            our_criterion(ours(x), y)
            ours.backward(our_criterion.backward())
            their_criterion(theirs(torch.tensor(x)), torch.tensor(y)).backward()
        compare_gradients(ours, theirs, np.float64)


# What happens between a forward and its backward call: which parameters change (by name), and with respect to what the
# gradients are (of the input too; with frozen parameters). Both refuse, or neither.
CHANGES: dict[str, tuple[tuple[str, ...], bool, tuple[str, ...]]] = {
    "nothing": ((), True, ()),
    "all": (("0.weight", "0.bias", "1.weight", "2.weight", "2.bias"), False, ()),
    "biases": (("0.bias", "2.bias"), True, ()),
    "first weight": (("0.weight",), False, ()),
    "first weight, gradient of the input": (("0.weight",), True, ()),
    "last weight": (("2.weight",), False, ()),
    "last weight, frozen": (("2.weight",), False, ("2.weight",)),
    "last weight, all before frozen": (("2.weight",), False, ("0.weight", "0.bias", "1.weight")),
    "slope": (("1.weight",), False, ()),
    "slope, frozen": (("1.weight",), False, ("1.weight",)),
    "slope, all before frozen": (("1.weight",), False, ("0.weight", "0.bias")),
    "slope, frozen with all before": (("1.weight",), False, ("0.weight", "0.bias", "1.weight")),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("way", ["step", "state", "init"])
def test_changes_between_forward_and_backward(case: str, way: str) -> None:
    """Gradients that need a value which has changed are an error in both, a second time too; others are not."""
    names, input_grad, frozen = CHANGES[case]
    raised = []
    for lib, steps in ((nn, optim), (torch.nn, torch.optim)):
        theirs = lib is torch.nn
        model = lib.Sequential(lib.Linear(4, 3), lib.PReLU(), lib.Linear(3, 2))
        named = dict(model.named_parameters())
        for name in frozen:
            named[name].requires_grad = False
        x: Any = np.ones((5, 4), np.float32)
        x = torch.tensor(x, requires_grad=input_grad) if theirs else x
        y = model(x)
        for name in names:
            p = named[name]
            if way == "init":
                lib.init.constant_(p, 0.5)
            elif way == "state":
                with torch.no_grad():
                    model.load_state_dict({name: p + 1 if theirs else p.data + 1}, strict=False)
            else:
                learned, p.requires_grad = p.requires_grad, True
                p.grad = torch.ones_like(p) if theirs else np.ones_like(p.data)
                steps.SGD([p], lr=0.1).step()
                p.requires_grad, p.grad = learned, None
        found = []
        for _ in range(2 if names else 1):
            try:
                if theirs:
                    y.sum().backward(retain_graph=True)
                else:
                    model.backward(np.ones_like(y), input_grad=input_grad)
            except RuntimeError as error:
                found.append("modified by an inplace operation" in str(error) or "has changed since" in str(error))
                continue
            break
        assert all(found)
        raised.append(len(found))
    assert raised[0] == raised[1]


def test_a_layer_in_two_places() -> None:
    """A layer that stands twice in a Sequential saves both calls, and its gradients add up."""

    def build(lib: Any) -> Any:
        square, act = lib.Linear(5, 5), lib.Tanh()
        return lib.Sequential(lib.Linear(4, 5), act, square, act, square)

    theirs = build(torch.nn).to(torch.float64)
    ours = build(nn)
    copied(theirs, ours)
    x, grad = values((3, 4), np.float64, 1), values((3, 5), np.float64, 2)
    leaf = torch.tensor(x, requires_grad=True)
    theirs(leaf).backward(torch.tensor(grad))
    ours(x)
    close(ours.backward(grad, input_grad=True), leaf.grad, np.float64)
    compare_gradients(ours, theirs, np.float64)


def test_state_from_pytorch_is_what_pytorch_has() -> None:
    """States go from PyTorch to here and back without a change, under the same names."""
    ours, theirs = networks(np.float32)
    wanted = {name: value.numpy().copy() for name, value in theirs.state_dict().items()}
    got = ours.state_dict()
    assert list(got) == list(wanted)
    for name, value in got.items():
        np.testing.assert_array_equal(value, wanted[name])
    again = copy.deepcopy(theirs)
    again.load_state_dict({name: torch.from_numpy(value) for name, value in got.items()})


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_parameters_and_tensors_are_a_state(kind: Any) -> None:
    """With gradients required or not, in every type; sparse and complex tensors are refused by name."""
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.PReLU(2)).to(kind)
    for state in (dict(theirs.named_parameters()), theirs.state_dict()):
        ours = nn.Sequential(nn.Linear(3, 2), nn.PReLU(2))
        ours.load_state_dict(state)
        for name, value in ours.state_dict().items():
            assert value.dtype == (np.float64 if kind is torch.float64 else np.float32)
            np.testing.assert_array_equal(value, state[name].detach().double().numpy())
    layer = nn.Linear(3, 2, bias=False)
    for tensor, message in (
        (torch.ones(2, 3).to_sparse(), "weight is a Tensor, which NumPy cannot read"),
        (torch.ones(2, 3, device="meta"), "weight is a Tensor, which NumPy cannot read"),
        (torch.ones(2, 3, dtype=torch.complex64), "weight is complex64"),
        (torch.ones(2, 3, dtype=torch.int64), "weight is int64"),
    ):
        with pytest.raises(TypeError, match=message):
            layer.load_state_dict({"weight": tensor})


GAINS: list[tuple[str, float | None]] = [
    ("linear", None),
    ("conv2d", None),
    ("sigmoid", None),
    ("tanh", None),
    ("relu", None),
    ("leaky_relu", None),
    ("leaky_relu", 0.2),
    ("selu", None),
]


@pytest.mark.parametrize(("name", "param"), GAINS)
def test_gain(name: str, param: float | None) -> None:
    """The convention "torch" is PyTorch's function."""
    assert nn.init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kaiming_normal_", {"a": 0.2}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_uniform_", {"a": 5**0.5}),
        ("kaiming_uniform_", {"nonlinearity": "tanh"}),
        ("xavier_normal_", {"gain": 5 / 3}),
        ("xavier_uniform_", {}),
    ],
)
def test_spread(name: str, options: dict[str, Any]) -> None:
    """Weights are drawn with PyTorch's variance and within its range, for two axes and for four."""
    for shape in ((400, 300), (60, 20, 10, 10)):
        theirs = getattr(torch.nn.init, name)(torch.empty(shape, dtype=torch.float64), **options).numpy()
        ours = getattr(nn.init, name)(np.empty(shape), **options, rng=0)
        # Of 120,000 draws the standard deviation is off by 0.2 % at a time.
        assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
        assert abs(ours.mean()) < 0.02 * ours.std()
        if "uniform" in name:
            assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.002)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (3, 5), {}),
        ("eye_", (5, 3), {}),
        ("dirac_", (4, 2, 3), {}),
        ("dirac_", (2, 4, 3, 4), {}),
        ("dirac_", (6, 2, 3, 2, 5), {"groups": 3}),
        ("dirac_", (6, 3, 1), {"groups": 2}),
        ("constant_", (2, 3), {"val": -0.5}),
        ("ones_", (2,), {}),
        ("zeros_", (), {}),
    ],
    ids=str,
)
def test_initial_values_without_chance(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Initial values that are not random are PyTorch's."""
    wanted = getattr(torch.nn.init, name)(torch.empty(shape), **options).numpy()
    np.testing.assert_array_equal(getattr(nn.init, name)(np.empty(shape, np.float32), **options), wanted)


def test_torch_has_the_names_of_the_documentation() -> None:
    """docs/activations.toml, from which the table of names is made, names functions that PyTorch has."""
    rows = tomllib.loads((Path(__file__).parents[1] / "docs" / "activations.toml").read_text(encoding="utf-8"))
    named = {row["torch"] for row in rows.values() if "torch" in row}
    assert named >= {"relu", "logsigmoid", "softmax"}
    assert not {name for name in named if not hasattr(torch.nn.functional, name)}


ACTIVATIONS = [
    (name, inplace)
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, nn.Activation) and kind is not nn.Activation
    for inplace in (False, True)
    if not inplace or "inplace" in inspect.signature(kind).parameters
]


@pytest.mark.filterwarnings(
    "ignore:__array:DeprecationWarning"  # NumPy warns PyTorch so in np.negative and np.array too
)
@pytest.mark.parametrize(("name", "inplace"), ACTIVATIONS)
def test_tensors_as_inputs(name: str, inplace: bool) -> None:
    """A layer takes a tensor on the CPU as the array in its memory, in place too, and has the same gradient."""
    kind: Any = getattr(nn, name)
    options: dict[str, Any] = {"Threshold": {"threshold": 0.1, "value": 20.0}, "Softcap": {"cap": 2.0}}.get(name, {})
    if inplace:
        options["inplace"] = True
    tensor = torch.linspace(-0.9, -0.1, 6) if name == "Log1mexp" else torch.linspace(-3, 3, 6)
    seeds = {"rng": 0} if name == "RReLU" else {}
    found, wanted = kind(**options, **seeds), kind(**options, **seeds)
    expected = wanted(tensor.numpy().copy())
    given = tensor.clone()
    result = found(given)
    assert result is given or not inplace
    np.testing.assert_array_equal(np.asarray(result), expected)
    grad = np.ones_like(expected)
    np.testing.assert_array_equal(np.asarray(found.backward(grad)), wanted.backward(grad))
