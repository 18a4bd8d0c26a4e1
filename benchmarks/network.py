"""The reference network, 784-256-10 with ReLU, batch 32, SGD: a training step and an inference call, next to PyTorch.

Then inference with three networks at batch 1, 32 and 1024 on one thread, next to each of NumPy, PyTorch, onnxruntime and
JAX that is installed.

Run on a quiet machine: ``python benchmarks/network.py``. The matrix products are measured separately: they compare
NumPy's BLAS with that of the peer, on which fastrelu has no influence.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import machine
import pairs
import results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The initial values are the same on both sides, and so are the losses and scores that the two processes return.
DATA = """
import numpy as np
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 32, 784), np.float32)
y = rng.integers(0, 10, (64, 32))
shapes = {"fc1.weight": (256, 784), "fc1.bias": (256,), "fc2.weight": (10, 256), "fc2.bias": (10,)}
state = {name: (rng.uniform(-1, 1, s) / (28 if s[0] == 256 else 16)).astype(np.float32) for name, s in shapes.items()}
grad1, grad2 = rng.standard_normal((32, 256), np.float32), rng.standard_normal((32, 10), np.float32)
hidden = rng.standard_normal((32, 256), np.float32)
count = 0
"""

NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(256, 10)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))

model = Net()
"""

OURS = (
    DATA
    + "from fastrelu import nn, optim\n"
    + NETWORK
    + """
model.load_state_dict(state)
criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
w1, w2 = model.fc1.weight.data, model.fc2.weight.data
into1, into2 = np.empty_like(w1), np.empty_like(w2)
def train():
    global count
    count += 1
    loss = criterion(model(x[count % 64]), y[count % 64])
    model.backward(criterion.backward())
    optimizer.step()
    return loss

def infer():
    return model(x[0])

def products_of_infer():
    return np.matmul(x[0], w1.T), np.matmul(hidden, w2.T)

def products_of_train():
    np.matmul(hidden.T, grad2, out=into2.T)
    np.matmul(x[0].T, grad1, out=into1.T)
    return np.matmul(x[0], w1.T), np.matmul(hidden, w2.T), np.matmul(grad2, w2)
"""
)

THEIRS = (
    DATA
    + "import torch\nfrom torch import nn, optim\n"
    + NETWORK
    + """
x, y, grad1, grad2, hidden = (torch.from_numpy(array) for array in (x, y, grad1, grad2, hidden))
model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
w1, w2 = model.fc1.weight.detach(), model.fc2.weight.detach()
into1, into2 = torch.empty_like(w1), torch.empty_like(w2)
def train():
    global count
    count += 1
    optimizer.zero_grad()
    loss = criterion(model(x[count % 64]), y[count % 64])
    loss.backward()
    optimizer.step()
    return loss.detach()

def infer():
    return model(x[0])

def products_of_infer():
    return torch.mm(x[0], w1.T), torch.mm(hidden, w2.T)

def products_of_train():
    torch.mm(grad2.T, hidden, out=into2)
    torch.mm(grad1.T, x[0], out=into1)
    return torch.mm(x[0], w1.T), torch.mm(hidden, w2.T), torch.mm(grad2, w2)
"""
)

# Entered once: the cost of entering it is not part of the network.
INFERENCE = "guard = torch.inference_mode(); guard.__enter__()"

# (statement, our mode, their mode, target)
PARTS = (
    ("train()", "model.train()", "model.train()", 1.0),
    ("products_of_train()", "", INFERENCE, None),
    ("infer()", "model.eval()", f"model.eval(); {INFERENCE}", 1.0),
    ("products_of_infer()", "", INFERENCE, None),
)


# Inference: sizes of the layers and the activation between them.
NETWORKS = (
    ((784, 256, 10), "relu"),
    ((256, 1024, 1024, 64), "gelu"),
    ((64, 128, 128, 8), "silu"),
)
BATCHES = (1, 32, 1024)
LAYERS = {"relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}

# `infer` of each side gets the same arrays, and so does `products`.
ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
x = rng.standard_normal((batch, sizes[0]), np.float32)
weights = [(rng.uniform(-1, 1, (n, k)) / k**0.5).astype(np.float32) for k, n in zip(sizes, sizes[1:])]
biases = [rng.uniform(-0.1, 0.1, n).astype(np.float32) for n in sizes[1:]]
hidden = [x, *(rng.standard_normal((batch, k), np.float32) for k in sizes[1:-1])]
state = {}
for i, (weight, bias) in enumerate(zip(weights, biases)):
    state |= {f"{2 * i}.weight": weight, f"{2 * i}.bias": bias}
def layers(nn):
    pairs = [(nn.Linear(k, n), getattr(nn, layer)()) for k, n in zip(sizes, sizes[1:])]
    return nn.Sequential(*[module for pair in pairs for module in pair][:-1]).eval()
"""
PRODUCTS_OF_NUMPY = """
transposed = [np.asfortranarray(weight).T for weight in weights]
def products(*_):
    return tuple(np.matmul(h, w) for h, w in zip(hidden, transposed))
"""
SIDES = {
    "fastrelu": PRODUCTS_OF_NUMPY
    + """
from fastrelu import nn
infer = layers(nn)
infer.load_state_dict(state)
""",
    "NumPy": PRODUCTS_OF_NUMPY
    + """
from scipy.special import erf
acts = {
    "relu": lambda y: np.maximum(y, 0, out=y),
    "gelu": lambda y: y * np.float32(0.5) * (1 + erf(y * np.float32(0.5**0.5))),
    "silu": lambda y: y / (1 + np.exp(-y)),
}
def infer(y):
    for i, (w, b) in enumerate(zip(transposed, biases)):
        y = np.matmul(y, w)
        np.add(y, b, out=y)
        if i < len(biases) - 1:
            y = acts[act](y)
    return y
""",
    "PyTorch": """
import torch
torch.set_num_threads(1)
infer = layers(torch.nn)
infer.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
guard = torch.inference_mode()
guard.__enter__()
x, hidden = torch.from_numpy(x), [torch.from_numpy(h) for h in hidden]
transposed = [torch.from_numpy(weight).T for weight in weights]
def products(*_):
    return tuple(torch.mm(h, w) for h, w in zip(hidden, transposed))
""",
    "onnxruntime": """
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
kind = {"relu": "Relu", "gelu": "Gelu", "silu": None}[act]
nodes, name = [], "x"
for i in range(len(weights)):
    nodes.append(helper.make_node("Gemm", [name, f"{2 * i}.weight", f"{2 * i}.bias"], [f"y{i}"], transB=1))
    if i < len(weights) - 1:
        if act == "silu":  # onnxruntime joins the two
            nodes.append(helper.make_node("Sigmoid", [f"y{i}"], [f"s{i}"]))
            nodes.append(helper.make_node("Mul", [f"y{i}", f"s{i}"], [f"a{i}"]))
        else:
            nodes.append(helper.make_node(kind, [f"y{i}"], [f"a{i}"]))
    name = f"a{i}"
values = [numpy_helper.from_array(value, name) for name, value in state.items()]
ends = [helper.make_tensor_value_info(*end) for end in (
    ("x", TensorProto.FLOAT, [batch, sizes[0]]), (f"y{len(weights) - 1}", TensorProto.FLOAT, [batch, sizes[-1]])
)]
graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], values)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
def infer(x):
    return session.run(None, {"x": x})[0]
""",
    "JAX": """
import os
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import jax
f = {"relu": jax.nn.relu, "gelu": lambda y: jax.nn.gelu(y, approximate=False), "silu": jax.nn.silu}[act]
arrays = [(jax.numpy.asarray(w.T), jax.numpy.asarray(b)) for w, b in zip(weights, biases)]
@jax.jit
def compiled(y):
    for i, (w, b) in enumerate(arrays):
        y = y @ w + b
        y = f(y) if i < len(arrays) - 1 else y
    return y
def infer(x):
    return np.asarray(compiled(x))
""",
}
MODULES = {"NumPy": "scipy", "PyTorch": "torch", "onnxruntime": "onnxruntime", "JAX": "jax"}


def inference(batches: Sequence[int]) -> Iterator[pairs.Comparison]:
    """Yield a call of each network with each batch next to each peer, and the products next to PyTorch's."""
    for sizes, act in NETWORKS:
        for batch in batches:
            name = f"{'-'.join(map(str, sizes))} {act}, batch {batch}"
            arrays = f"sizes, act, layer, batch = {sizes}, {act!r}, {LAYERS[act]!r}, {batch}\n{ARRAYS}"
            for peer, module in MODULES.items():
                if importlib.util.find_spec(module) is None:
                    continue
                for statement in ("infer(x)", "products(x)") if peer == "PyTorch" else ("infer(x)",):
                    yield pairs.Comparison(
                        ours=f"{statement}  # {name}",
                        theirs=f"{statement}  # {peer}",
                        peer=peer,
                        size=batch * sizes[0],
                        dtype="float32",
                        threads=1,
                        memory="fresh",
                        our_setup=arrays + SIDES["fastrelu"],
                        their_setup=arrays + SIDES[peer],
                        # Elsewhere the product alone may decide.
                        target=1.0 if statement == "infer(x)" and peer in {"NumPy", "PyTorch"} else None,
                        tolerance=1e-4,
                    )


def comparisons(threads: Sequence[int]) -> Iterator[pairs.Comparison]:
    """Yield a training step, an inference call and their matrix products, for each number of threads."""
    for count in threads:
        for statement, our_mode, their_mode, target in PARTS:
            yield pairs.Comparison(
                ours=statement,
                theirs=statement,
                peer="PyTorch",
                size=32,
                dtype="float32",
                threads=count,
                memory="fresh",
                our_setup=f"{OURS}{our_mode}\n",
                their_setup=f"{THEIRS}torch.set_num_threads({count})\n{their_mode}\n",
                target=target,
                tolerance=1e-4,
            )


def shares(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each step and call: the share of its matrix products on each side."""
    found = {(row["ours"], row["threads"]): row["ns"] for row in rows if row["peer"] == "PyTorch"}
    lines = []
    for (statement, count), whole in found.items():
        own = statement.replace("infer(x)", "products(x)")
        part = found.get((f"products_of_{statement}" if own == statement else own, count))
        if part is not None:
            ours, theirs = (
                f"{part[side] / whole[side]:.0%} of {whole[side] / 1e3:.0f} us" for side in ("ours", "theirs")
            )
            lines.append(f"{statement} on {count} threads: products are {ours} here, {theirs} in PyTorch")
    return lines


def main() -> None:
    """Measure, print and write ``results/network.json``."""
    parser = pairs.parser("Networks next to PyTorch and others.", pairs=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of both sides (default: 1 2)")
    options = parser.parse_args()
    batches = BATCHES[:1] if options.quick else BATCHES
    rows = pairs.run_all([*comparisons(options.threads), *inference(batches)], options)
    print(*shares(rows), sep="\n")
    results.write("network", {"machine": machine.describe("torch"), "rows": rows}, options)
    missed = [row for row in rows if not pairs.met(row)]
    if missed and not options.quick:
        sys.exit(f"{len(missed)} of {len(rows)} figures miss their target")


if __name__ == "__main__":
    main()
