"""Standardized against raw inputs: the same network, step and data; only the features' scale differs."""

import numpy as np
from numpy.typing import NDArray

from fastrelu import nn, optim

rng = np.random.default_rng(0)

# Five measurements on scales as they come: years, grams, percent, kelvin, euros.
center = np.array([40, 1200, 50, 290, 30_000], np.float32)
spread = np.array([12, 300, 20, 8, 9_000], np.float32)
standard = rng.standard_normal((2048, 5), np.float32)
labels = (standard @ np.array([1, -1, 1, -1, 1], np.float32) + np.sin(3 * standard[:, 0]) > 0).astype(np.int64)
raw = center + spread * standard


def accuracy(x: NDArray[np.float32]) -> float:
    """Return the share of rows that a network gets right after 20 epochs."""
    model = nn.Sequential(nn.Linear(5, 64, rng=1), nn.ReLU(), nn.Linear(64, 2, rng=2))
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
    order = np.random.default_rng(3)
    for _ in range(20):
        for batch in order.permutation(len(x)).reshape(-1, 32):
            criterion(model(x[batch]), labels[batch])
            model.backward(criterion.backward())
            optimizer.step()
    return float((model.eval()(x).argmax(1) == labels).mean())


standardized = (raw - raw.mean(0)) / raw.std(0)
with np.errstate(all="ignore"):  # the raw run may overflow
    right = {"raw": accuracy(raw), "standardized": accuracy(standardized)}
for name, share in right.items():
    print(f"{name:>12} inputs: {share:.1%} right")
assert right["raw"] < 0.7
assert right["standardized"] > 0.9
print("conclusion: first subtract each feature's mean and divide by its deviation")
