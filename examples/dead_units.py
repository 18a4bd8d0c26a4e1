"""Dead units: one step that is too long kills ReLU units for good; a slope below 0 keeps every unit learning.

A unit is dead when its derivative is 0 for every training example: no gradient reaches its weights any more.
"""

import numpy as np

import fastrelu as fr
from fastrelu import nn, optim

rng = np.random.default_rng(0)
x = rng.random((1024, 20), np.float32)  # positive, as pixels are
labels = ((x - 0.5) @ rng.standard_normal((20, 3), np.float32)).argmax(1)


def train(activation: nn.Activation) -> tuple[float, float]:
    """Return the share of hidden units without a gradient and the accuracy, after a first step of 50."""
    model = nn.Sequential(nn.Linear(20, 128, rng=1), activation, nn.Linear(128, 3, rng=2))
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=50)
    order = np.random.default_rng(3)
    for _ in range(30):
        for batch in order.permutation(len(x)).reshape(-1, 32):
            criterion(model(x[batch]), labels[batch])
            model.backward(criterion.backward())
            optimizer.step()
            optimizer.lr = 0.1
    hidden = model[0](x)
    derivative = fr.leaky_relu_backward(np.ones_like(hidden), hidden, getattr(activation, "negative_slope", 0.0))
    return float((derivative == 0).all(0).mean()), float((model(x).argmax(1) == labels).mean())


dead = []
for activation in (nn.ReLU(), nn.LeakyReLU(0.01), nn.LeakyReLU(0.2)):
    share, accuracy = train(activation)
    dead.append(share)
    print(f"{activation!r:30} dead units: {share:6.1%}   right: {accuracy:.1%}")

assert dead[0] > 0.2
assert dead[1:] == [0, 0]
print(f"conclusion: {dead[0]:.0%} of the ReLU units never recover; with a slope none is lost")
