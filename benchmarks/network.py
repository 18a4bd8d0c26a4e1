"""The reference network, 784-256-10 with ReLU, batch 32, SGD: a training step and an inference call, next to PyTorch.

Run on a quiet machine: ``python benchmarks/network.py``. The matrix products are measured separately: they compare
NumPy's BLAS with PyTorch's, on which fastrelu has no influence.
"""

from __future__ import annotations

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
    found = {(row["ours"], row["threads"]): row["ns"] for row in rows}
    lines = []
    for (statement, count), whole in found.items():
        part = found.get((f"products_of_{statement}", count))
        if part is not None:
            ours, theirs = (
                f"{part[side] / whole[side]:.0%} of {whole[side] / 1e3:.0f} us" for side in ("ours", "theirs")
            )
            lines.append(f"{statement} on {count} threads: products are {ours} here, {theirs} in PyTorch")
    return lines


def main() -> None:
    """Measure, print and write ``results/network.json``."""
    parser = pairs.parser("The reference network next to PyTorch.", pairs=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of both sides (default: 1 2)")
    options = parser.parse_args()
    rows = pairs.run_all(list(comparisons(options.threads)), options)
    print(*shares(rows), sep="\n")
    results.write("network", {"machine": machine.describe("torch"), "rows": rows}, options)
    missed = [row for row in rows if not pairs.met(row)]
    if missed and not options.quick:
        sys.exit(f"{len(missed)} of {len(rows)} figures miss their target")


if __name__ == "__main__":
    main()
