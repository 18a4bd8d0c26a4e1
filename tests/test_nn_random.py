"""Random networks of all layers give PyTorch's outputs, gradients and weights; skipped where PyTorch is absent."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

threadpoolctl = pytest.importorskip("threadpoolctl", reason="the extra test is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch, the CPU build suffices")

COUNT, ROWS, STEPS = 300, 6, 20
# Relative to the largest number of an array. float32: rounding of 20 steps; float64: that of the formulas below.
TOLERANCE = {np.float32: 5e-4, np.float64: 1e-9}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep to one thread: the networks are small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]  # PyTorch is not typed here
    """A layer of a formula and parameters."""

    def __init__(self, formula: Callable[..., Any], **parameters: Any) -> None:
        super().__init__()
        self.formula = formula
        for name, value in parameters.items():
            setattr(self, name, torch.nn.Parameter(torch.tensor(value)))

    def forward(self, *inputs: Any) -> Any:
        """Return the formula of inputs and parameters."""
        return self.formula(*inputs, **dict(self.named_parameters()))


class Drawn(torch.nn.Module):  # type: ignore[misc, name-defined]  # PyTorch is not typed here
    """A layer with the same random numbers as ours."""

    def __init__(self, draw: Callable[..., Any], seed: int) -> None:
        super().__init__()
        self.draw, self.rng = draw, np.random.default_rng(seed)

    def forward(self, x: Any) -> Any:
        """Return the input times what is drawn."""
        return x * torch.tensor(self.draw(x.detach().numpy(), self.rng))


class Gumbel(Drawn):
    """Softmax of the logits with the same noise as ours; hard samples with the gradient of soft ones."""

    def forward(self, x: Any) -> Any:
        """Return a sample."""
        noise = -np.log(self.rng.standard_exponential(tuple(x.shape), x.detach().numpy().dtype))
        soft = torch.softmax((x + torch.tensor(noise)) / 0.7, -1)
        return soft + (one_hot(soft) - soft).detach() if self.draw is one_hot else soft


def one_hot(x: Any) -> Any:
    """Return hardmax of the last axis, without a gradient."""
    return torch.nn.functional.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)


def kept(x: Any, rng: np.random.Generator) -> Any:
    """Return the factors of Dropout(0.25)."""
    words = rng.integers(0, 2**64, (x.size + 1) // 2, np.uint64).view(np.uint32)[: x.size]
    return ((words >= 2**30).reshape(x.shape) / 0.75).astype(x.dtype)


def slopes(x: Any, rng: np.random.Generator) -> Any:
    """Return the factors of RReLU."""
    found = np.empty_like(x)
    fr.rrelu(x, training=True, rng=rng, slopes=found)
    return np.where(x > 0, np.ones_like(x), found)


def srelu(x: Any, t_left: Any, a_left: Any, width: Any, a_right: Any) -> Any:
    """Return the S-shaped ReLU."""
    t_right = t_left + width.abs()
    y = torch.where(x > t_right, t_right + a_right * (x - t_right), x)
    return torch.where(x < t_left, t_left + a_left * (x - t_left), y)


def sparsemax(x: Any) -> Any:
    """Return sparsemax of the last axis, from sorted rows."""
    ordered = x.sort(dim=-1, descending=True).values
    sums = ordered.cumsum(-1) - 1
    count = (ordered * torch.arange(1, x.shape[-1] + 1) > sums).sum(-1, keepdim=True)
    return torch.relu(x - sums.gather(-1, count - 1) / count)


def xielu(x: Any, alpha_p: Any, alpha_n: Any) -> Any:
    """Return xIELU with beta 0.5 of its raw numbers."""
    p, n = torch.nn.functional.softplus(alpha_p), 0.5 + torch.nn.functional.softplus(alpha_n)
    return torch.where(x > 0, p * x * x, n * (torch.expm1(x.clamp(max=0)) - x)) + 0.5 * x


def elu(x: Any, alpha: Any, scale: Any = 1.0) -> Any:
    """Return ELU, or with `scale` CELU."""
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0) / scale))


def gated(kind: Any, unit: Callable[[Any], Any]) -> Callable[[int, Any, int], tuple[nn.Module, Any]]:
    """Return a layer that halves the columns, after one that doubles them."""
    return lambda n, dtype, seed: (
        nn.Sequential(nn.Linear(n, 2 * n, dtype=dtype, rng=seed), kind()),
        torch.nn.Sequential(torch.nn.Linear(n, 2 * n), Theirs(unit)),
    )


# Each layer of a network next to PyTorch's: n is the number of columns, seed one for the layer.
LAYERS: dict[str, Callable[[int, Any, int], tuple[nn.Module, Any]]] = {
    "ReLU": lambda *_: (nn.ReLU(), torch.nn.ReLU()),
    "ReLU6": lambda *_: (nn.ReLU6(), torch.nn.ReLU6()),
    "LeakyReLU": lambda *_: (nn.LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    "LeakyReLU, negative slope": lambda *_: (nn.LeakyReLU(-0.2), torch.nn.LeakyReLU(-0.2)),
    "PReLU": lambda n, dtype, seed: (nn.PReLU(n if seed % 2 else 1, dtype=dtype), torch.nn.PReLU(n if seed % 2 else 1)),
    "SReLU": lambda n, dtype, _seed: (
        nn.SReLU(n, -0.5, 0.3, 0.7, 1.5, dtype=dtype),
        Theirs(srelu, t_left=[-0.5] * n, a_left=[0.3] * n, width=[1.2] * n, a_right=[1.5] * n),
    ),
    "Threshold": lambda *_: (nn.Threshold(0.1, -1.0), torch.nn.Threshold(0.1, -1.0)),
    "ThresholdedReLU": lambda *_: (nn.ThresholdedReLU(0.3), torch.nn.Threshold(0.3, 0.0)),
    "SquaredReLU": lambda *_: (nn.SquaredReLU(), Theirs(lambda x: torch.relu(x) ** 2)),
    "RReLU": lambda _n, _dtype, seed: (nn.RReLU(rng=seed), Drawn(slopes, seed)),
    "ELU": lambda *_: (nn.ELU(0.7), Theirs(lambda x: elu(x, 0.7))),
    "ELU, learned": lambda n, dtype, _seed: (
        nn.ELU(0.7, learnable=True, num_parameters=n, dtype=dtype),
        Theirs(elu, alpha=[0.7] * n),
    ),
    "CELU": lambda *_: (nn.CELU(1.3), Theirs(lambda x: elu(x, 1.3, 1.3))),
    "CELU, learned": lambda _n, dtype, _seed: (
        nn.CELU(1.3, learnable=True, dtype=dtype),
        Theirs(lambda x, alpha: elu(x, alpha, alpha), alpha=[1.3]),
    ),
    "SELU": lambda *_: (nn.SELU(), torch.nn.SELU()),
    "Softplus": lambda *_: (nn.Softplus(2.0), torch.nn.Softplus(2.0, 60.0)),
    "Softplus, learned": lambda n, dtype, _seed: (
        nn.Softplus(2.0, learnable=True, num_parameters=n, dtype=dtype),
        Theirs(lambda x, beta: torch.logaddexp(beta * x, torch.zeros_like(x)) / beta, beta=[2.0] * n),
    ),
    "LogSigmoid": lambda *_: (nn.LogSigmoid(), torch.nn.LogSigmoid()),
    "Log1mexp": lambda *_: (
        nn.Sequential(nn.Softplus(), nn.Log1mexp()),
        Theirs(lambda x: torch.log(-torch.expm1(-torch.logaddexp(x, torch.zeros_like(x))))),
    ),
    "Squareplus": lambda *_: (nn.Squareplus(2.0), Theirs(lambda x: (x + torch.sqrt(x * x + 2)) / 2)),
    "Sigmoid": lambda *_: (nn.Sigmoid(), torch.nn.Sigmoid()),
    "Tanh": lambda *_: (nn.Tanh(), torch.nn.Tanh()),
    "Softcap": lambda *_: (nn.Softcap(2.0), Theirs(lambda x: 2 * torch.tanh(x / 2))),
    "Softsign": lambda *_: (nn.Softsign(), torch.nn.Softsign()),
    "Hardsigmoid": lambda *_: (nn.Hardsigmoid(), Theirs(lambda x: (x + 3).clamp(0, 6) / 6)),
    "Hardtanh": lambda *_: (nn.Hardtanh(-0.5, 2.0), torch.nn.Hardtanh(-0.5, 2.0)),
    "SparsePlus": lambda *_: (nn.SparsePlus(), Theirs(lambda x: (x.clamp(-1, 1) + 1) ** 2 / 4 + torch.relu(x - 1))),
    "SparseSigmoid": lambda *_: (nn.SparseSigmoid(), Theirs(lambda x: ((x + 1) / 2).clamp(0, 1))),
    "SiLU": lambda *_: (nn.SiLU(), torch.nn.SiLU()),
    "Swish": lambda *_: (nn.Swish(1.5), Theirs(lambda x: x * torch.sigmoid(1.5 * x))),
    "Swish, learned": lambda _n, dtype, _seed: (
        nn.Swish(1.5, learnable=True, dtype=dtype),
        Theirs(lambda x, beta: x * torch.sigmoid(beta * x), beta=[1.5]),
    ),
    "GELU": lambda *_: (nn.GELU(), torch.nn.GELU()),
    "GELU, tanh": lambda *_: (nn.GELU("tanh"), torch.nn.GELU("tanh")),
    "QuickGELU": lambda *_: (nn.QuickGELU(), Theirs(lambda x: x * torch.sigmoid(1.702 * x))),
    "Mish": lambda *_: (nn.Mish(), torch.nn.Mish()),
    "Hardswish": lambda *_: (nn.Hardswish(), Theirs(lambda x: x * (x + 3).clamp(0, 6) / 6)),
    "Hardmish": lambda *_: (nn.Hardmish(), Theirs(lambda x: x * (x + 2).clamp(0, 2) / 2)),
    "Hardshrink": lambda *_: (nn.Hardshrink(0.3), torch.nn.Hardshrink(0.3)),
    "Softshrink": lambda *_: (nn.Softshrink(0.3), torch.nn.Softshrink(0.3)),
    "Tanhshrink": lambda *_: (nn.Tanhshrink(), torch.nn.Tanhshrink()),
    "Shrink": lambda *_: (nn.Shrink(0.3, 0.1), Theirs(lambda x: torch.where(x.abs() > 0.3, x - 0.1 * x.sign(), 0 * x))),
    "Erf": lambda *_: (nn.Erf(), Theirs(torch.erf)),
    "Logit": lambda *_: (nn.Sequential(nn.Sigmoid(), nn.Logit()), Theirs(lambda x: x)),
    "Dish": lambda *_: (nn.Dish(), Theirs(lambda x: x / 2 * (1 + x / torch.sqrt(1 + x * x)))),
    "BoundedReLU": lambda *_: (nn.BoundedReLU(0.1, 2.0), Theirs(lambda x: torch.where(x > 0, x.clamp(max=2), 0.1 * x))),
    "XIELU": lambda _n, dtype, _seed: (
        nn.XIELU(dtype=dtype),
        Theirs(xielu, alpha_p=[math.log(math.expm1(0.8))], alpha_n=[math.log(math.expm1(0.3))]),
    ),
    "GLU": gated(nn.GLU, torch.nn.functional.glu),
    "SwiGLU": gated(nn.SwiGLU, lambda x: torch.nn.functional.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1]),
    "GEGLU": gated(nn.GEGLU, lambda x: torch.nn.functional.gelu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1]),
    "ReGLU": gated(nn.ReGLU, lambda x: torch.relu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1]),
    "Softmax": lambda *_: (nn.Softmax(), torch.nn.Softmax(-1)),
    "LogSoftmax": lambda *_: (nn.LogSoftmax(1), torch.nn.LogSoftmax(1)),
    "Hardmax": lambda *_: (nn.Hardmax(), Theirs(lambda x: one_hot(x) + 0 * x)),
    "GumbelSoftmax": lambda _n, _dtype, seed: (nn.GumbelSoftmax(0.7, rng=seed), Gumbel(torch.softmax, seed)),
    "GumbelSoftmax, hard": lambda _n, _dtype, seed: (nn.GumbelSoftmax(0.7, True, rng=seed), Gumbel(one_hot, seed)),
    "Sparsemax": lambda *_: (nn.Sparsemax(), Theirs(sparsemax)),
    "Softmin": lambda *_: (nn.Softmin(0), torch.nn.Softmin(0)),
    "Identity": lambda *_: (nn.Identity(), torch.nn.Identity()),
    "Dropout": lambda _n, _dtype, seed: (nn.Dropout(0.25, rng=seed), Drawn(kept, seed)),
    "Flatten": lambda n, dtype, _seed: (
        nn.Sequential(nn.Unflatten(1, (-1, n)), nn.PReLU(dtype=dtype), nn.Flatten()),
        torch.nn.Sequential(torch.nn.Unflatten(1, (1, n)), torch.nn.PReLU(), torch.nn.Flatten()),
    ),
}
# In place, behind a layer whose output nobody else needs.
INPLACE: dict[str, Callable[[int, Any, int], tuple[nn.Module, Any]]] = {
    "ReLU": lambda *_: (nn.ReLU(inplace=True), torch.nn.ReLU(inplace=True)),
    "LeakyReLU": lambda *_: (nn.LeakyReLU(0.2, True), torch.nn.LeakyReLU(0.2, True)),
    "ELU": lambda *_: (nn.ELU(0.7, True), Theirs(lambda x: elu(x, 0.7))),
    "Tanh": lambda *_: (nn.Tanh(inplace=True), torch.nn.Tanh()),
    "Hardtanh": lambda *_: (nn.Hardtanh(inplace=True), torch.nn.Hardtanh(inplace=True)),
    "Softplus": lambda *_: (nn.Softplus(2.0, inplace=True), torch.nn.Softplus(2.0, 60.0)),
    "Sigmoid": lambda *_: (nn.Sigmoid(inplace=True), torch.nn.Sigmoid()),
    "Softshrink": lambda *_: (nn.Softshrink(0.3, inplace=True), torch.nn.Softshrink(0.3)),
    "RReLU": lambda _n, _dtype, seed: (nn.RReLU(inplace=True, rng=seed), Drawn(slopes, seed)),
    "Dropout": lambda _n, _dtype, seed: (nn.Dropout(0.25, True, rng=seed), Drawn(kept, seed)),
}
JOINING: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "Add": lambda: (nn.Add(), Theirs(lambda *arrays: sum(arrays[1:], arrays[0]))),
    "Multiply": lambda: (
        nn.Multiply(),
        Theirs(lambda *arrays: torch.prod(torch.stack(torch.broadcast_tensors(*arrays)), 0)),
    ),
    "Concatenate": lambda: (nn.Concatenate(), Theirs(lambda *arrays: torch.cat(arrays, -1))),
}


class Step(NamedTuple):
    """A call: the layer's name, or "detach", and which arrays or parameters it gets."""

    name: str
    operands: tuple[int | str, ...]


def network(
    base: Any, detach: Callable[[Any], Any], steps: list[Step], outputs: list[int], layers: dict[str, Any]
) -> Any:
    """Return a network of either library that calls layers in order; each call adds an array to those that there are."""

    class Network(base):  # type: ignore[misc]  # of either library
        def __init__(self) -> None:
            super().__init__()
            for name, layer in layers.items():
                setattr(self, name, layer)

        def forward(self, *inputs: Any) -> Any:
            arrays = list(inputs)
            for name, operands in steps:
                given = [getattr(self, i) if isinstance(i, str) else arrays[i] for i in operands]
                arrays.append(detach(*given) if name == "detach" else getattr(self, name)(*given))
            return tuple(arrays[i] for i in outputs)

    return Network()


class Builder:
    """Draws a network for both libraries."""

    def __init__(self, seed: int, dtype: Any) -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.kind = torch.float32 if dtype is np.float32 else torch.float64
        self.ours: dict[str, Any] = {}
        self.theirs: dict[str, Any] = {}
        self.steps: list[Step] = []
        self.widths = [int(n) for n in self.rng.integers(2, 5, self.rng.integers(1, 3))]
        self.inputs = list(self.widths)
        for _ in range(self.rng.integers(3, 10)):
            draws = [self.linear, self.layer, self.join, self.inplace, self.block, self.again, self.detach]
            draws[self.rng.integers(len(draws))]()
        self.linear()
        self.outputs = sorted({len(self.widths) - 1, *(self.pick() for _ in range(self.rng.integers(3)))})

    def pick(self) -> int:
        """Return one of the arrays, more often a late one."""
        present = [i for i, n in enumerate(self.widths) if n]
        return present[-min(int(self.rng.geometric(0.5)), len(present))]

    def add(self, pair: tuple[Any, Any], operands: tuple[int | str, ...], width: int) -> None:
        """Add a layer and call it."""
        name = f"layer{len(self.ours)}"
        self.ours[name], self.theirs[name] = pair
        self.call(name, operands, width)

    def call(self, name: str, operands: tuple[int | str, ...], width: int) -> None:
        """Call a layer."""
        self.steps.append(Step(name, operands))
        self.widths.append(width)

    def draw(self, table: dict[str, Any], n: int) -> tuple[Any, Any]:
        """Return a pair of layers."""
        found: tuple[Any, Any] = table[self.rng.choice(list(table))](n, self.dtype, int(self.rng.integers(1000)))
        return found

    def pair(self, n: int, m: int) -> tuple[Any, Any]:
        """Return a pair of linear layers."""
        bias = bool(self.rng.integers(4))
        return nn.Linear(n, m, bias, dtype=self.dtype), torch.nn.Linear(n, m, bias)

    def linear(self) -> None:
        """Add a linear layer."""
        i, m = self.pick(), int(self.rng.integers(2, 5))
        self.add(self.pair(self.widths[i], m), (i,), m)

    def layer(self) -> None:
        """Add any layer of one array."""
        i = self.pick()
        n = self.widths[i]
        if n < 5 and self.rng.random() < 0.05:
            self.add((nn.CReLU(), Theirs(lambda x: torch.relu(torch.cat([x, -x], -1)))), (i,), 2 * n)
        else:
            self.add(self.draw(LAYERS, n), (i,), n)

    def inplace(self) -> None:
        """Add a linear layer, and one in place that overwrites what it returned."""
        self.linear()
        n = self.widths[-1]
        self.add(self.draw(INPLACE, n), (len(self.widths) - 1,), n)
        # Nothing else may use the array that was overwritten: its place is taken by the result.
        self.widths[-2] = 0

    def block(self) -> None:
        """Add a Sequential with a layer in place."""
        i, m = self.pick(), int(self.rng.integers(2, 5))
        n = self.widths[i]
        pairs = [self.pair(n, m), self.draw(INPLACE, m), self.pair(m, n), self.draw(LAYERS, n)]
        self.add((nn.Sequential(*(a for a, _ in pairs)), torch.nn.Sequential(*(b for _, b in pairs))), (i,), n)

    def again(self) -> None:
        """Call a layer once more, if there is one that keeps the width."""
        i = self.pick()
        same = [
            step.name
            for step, m in zip(self.steps, self.widths[len(self.inputs) :], strict=True)
            if step.name != "detach"
            and len(step.operands) == 1
            and isinstance(step.operands[0], int)
            and self.widths[step.operands[0]] == m == self.widths[i]
            and not getattr(self.ours[step.name], "inplace", False)
        ]
        if same:
            self.call(str(self.rng.choice(same)), (i,), self.widths[i])

    def detach(self) -> None:
        """Multiply by data, or use an array as data."""
        i = self.pick()
        self.call("detach", (i,), self.widths[i])
        self.add(JOINING["Multiply"](), (len(self.widths) - 1, i), self.widths[i])

    def join(self) -> None:
        """Add, multiply or concatenate arrays and parameters."""
        i = self.pick()
        n = self.widths[i]
        kind = str(self.rng.choice(list(JOINING)))
        fitting = [j for j, m in enumerate(self.widths) if (m == n if kind != "Concatenate" else 0 < m < 5)]
        operands: list[int | str] = (
            [i, *(int(j) for j in self.rng.choice(fitting, self.rng.integers(1, 3)))] if fitting else [i]
        )
        width = n
        if kind == "Concatenate":
            width = sum(self.widths[j] for j in operands if isinstance(j, int))
        elif self.rng.random() < 0.5:
            shape = [(n,), (1,), (ROWS, 1), (ROWS, n)][self.rng.integers(4)]
            name = f"parameter{len(self.ours)}"
            value = self.rng.uniform(0.5, 1.5, shape).astype(self.dtype)
            self.ours[name], self.theirs[name] = nn.Parameter(value), torch.nn.Parameter(torch.tensor(value))
            operands.append(name)
        self.add(JOINING[kind](), tuple(operands), width)
        if kind == "Multiply":  # powers of numbers would grow
            self.add((nn.Tanh(), torch.nn.Tanh()), (len(self.widths) - 1,), width)

    def networks(self) -> tuple[Any, Any]:
        """Return the two networks, with the same state."""
        ours = network(nn.Module, nn.detach, self.steps, self.outputs, self.ours)
        theirs = network(torch.nn.Module, lambda x: x.detach(), self.steps, self.outputs, self.theirs).to(self.kind)
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs


def close(got: Any, wanted: Any, dtype: Any, what: str) -> None:
    """Fail unless the arrays agree, relative to their largest number."""
    wanted = wanted.detach().numpy()
    assert got.dtype == wanted.dtype == dtype, what
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        got, wanted, tolerance, tolerance * max(1e-3, np.abs(wanted).max(initial=0)), err_msg=what
    )


OPTIMIZERS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"momentum": 0.9, "nesterov": True},
    ],
    # Where a gradient is nearly 0, Adam with a small eps follows its rounding error.
    "Adam": [{"eps": 1e-2}, {"eps": 1e-2, "weight_decay": 0.01}, {"eps": 1e-2, "amsgrad": True}],
    "AdamW": [{"eps": 1e-2}, {"eps": 1e-2, "amsgrad": True, "weight_decay": 0.1}],
}


def compare(ours: Any, theirs: Any, arrays: list[Any], dtype: Any, rng: np.random.Generator) -> None:
    """Compare outputs and all gradients of one step."""
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    wanted = theirs(*leaves)
    got = ours(*[x.copy() for x in arrays])
    upper = [rng.standard_normal(tuple(y.shape)).astype(dtype) for y in wanted]
    for one, other in zip(got, wanted, strict=True):
        close(one, other, dtype, "output")
    # A network of which only data comes out has no gradient in PyTorch.
    if any(y.requires_grad for y in wanted):
        torch.autograd.backward(
            [y for y in wanted if y.requires_grad],
            [torch.tensor(g) for y, g in zip(wanted, upper, strict=True) if y.requires_grad],
        )
    found = ours.backward(tuple(upper), input_grad=True)
    for one, leaf in zip(found if len(arrays) > 1 else (found,), leaves, strict=True):
        close(one, torch.zeros_like(leaf) if leaf.grad is None else leaf.grad, dtype, "gradient of an input")
    peers = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert (parameter.grad is None) == (peers[name].grad is None), name
        if parameter.grad is not None:
            close(parameter.grad, peers[name].grad, dtype, name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_network(seed: int, dtype: Any) -> None:
    """Outputs, gradients of inputs and parameters, and the weights after 20 steps of each optimizer."""
    torch.manual_seed(seed)
    builder = Builder(seed, dtype)
    networks = builder.networks()
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((ROWS, n)).astype(dtype) for n in builder.inputs]
    compare(*copy.deepcopy(networks), arrays, dtype, rng)
    # Each kind trains every second network in each type.
    for turn, (name, choices) in enumerate(OPTIMIZERS.items()):
        if (seed + turn + (dtype is np.float32)) % 2:
            continue
        options = choices[seed // 2 % len(choices)]
        ours, theirs = copy.deepcopy(networks)
        optimizer = getattr(optim, name)(ours.parameters(), lr=0.003, **options)
        their_optimizer = getattr(torch.optim, name)(theirs.parameters(), lr=0.003, **options)
        tensors = [torch.tensor(x) for x in arrays]
        upper = [rng.standard_normal((ROWS, builder.widths[i])).astype(dtype) for i in builder.outputs]
        for _ in range(STEPS):
            ours(*[x.copy() for x in arrays])
            ours.backward(tuple(upper))
            nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
            optimizer.step()
            their_optimizer.zero_grad()
            pairs = [(y, torch.tensor(g)) for y, g in zip(theirs(*tensors), upper, strict=True) if y.requires_grad]
            torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
            their_optimizer.step()
        for (key, parameter), wanted in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(parameter.data, wanted, dtype, f"{key} after 20 steps of {name}")


def test_every_layer_takes_part() -> None:
    """A new layer is in the tables above."""
    layers = {
        name
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and not name.endswith("Loss")
    }
    known = {name.partition(",")[0] for name in (*LAYERS, *JOINING)} | {"CReLU", "Linear", "Sequential", "Unflatten"}
    assert layers - known == {"Activation", "Module", "ModuleDict", "ModuleList"}


@pytest.mark.parametrize(
    ("layer", "name", "wrong", "error", "message"),
    [
        *(
            (nn.Dropout(), "p", wrong, ValueError, "Dropout requires 0 <= p <= 1, got p=")
            for wrong in (-0.1, 1.1, 2, np.nan)
        ),
        *(
            (nn.Dropout(), "p", wrong, TypeError, "p must be a number, got")
            for wrong in (None, "0.5", [0.5], np.ones(1))
        ),
        *((nn.GumbelSoftmax(), "hard", wrong, TypeError, "hard must be True or False") for wrong in (1, "yes", None)),
    ],
    ids=str,
)
def test_options_that_are_set_later(layer: Any, name: str, wrong: Any, error: type[Exception], message: str) -> None:
    """Are checked like those of the constructor."""
    before = getattr(layer, name)
    with pytest.raises(error, match=message):
        type(layer)(**{name: wrong})
    with pytest.raises(error, match=message):
        setattr(layer, name, wrong)
    assert getattr(layer, name) == before
