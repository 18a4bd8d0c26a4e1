"""How gradients vanish through 20 layers of sigmoid and tanh, and do not through ReLU.

Each layer multiplies the gradient by the derivative of its activation: at most 1/4 for sigmoid, at most 1 and mostly
less for tanh, 0 or 1 for ReLU, where the initialization makes up for the zeros. SELU keeps its size by design.
"""

import numpy as np

from fastrelu import nn

LAYERS, WIDTH = 20, 256


def norms(activation: type[nn.Activation], initialize: str, **options: str) -> list[float]:
    """Return the size of the gradient with respect to the input of each layer, from the first to the last."""
    rng = np.random.default_rng(0)
    layers: list[nn.Module] = []
    for _ in range(LAYERS):
        linear = nn.Linear(WIDTH, WIDTH, bias=False)
        getattr(nn.init, initialize)(linear.weight, rng=rng, **options)
        layers += [linear, activation()]
    x = rng.standard_normal((64, WIDTH), np.float32)
    for layer in layers:
        x = layer(x)
    grad = rng.standard_normal(x.shape, np.float32)
    sizes = []
    for layer in reversed(layers):
        grad = layer.backward(grad)
        if isinstance(layer, nn.Linear):
            sizes.append(float(np.linalg.norm(grad)))
    return sizes[::-1]


found, ratio = {}, {}
for activation, initialize, options in (
    (nn.Sigmoid, "xavier_normal_", {}),
    (nn.Tanh, "xavier_normal_", {}),
    (nn.ReLU, "kaiming_normal_", {"nonlinearity": "relu"}),
    (nn.SELU, "lecun_normal_", {}),
):
    found[activation] = sizes = norms(activation, initialize, **options)
    ratio[activation] = sizes[0] / sizes[-1]
    shown = "  ".join(f"{sizes[i]:8.1e}" for i in (0, 4, 9, 14, 19))
    print(f"{activation.__name__:>8}, layers 1, 5, 10, 15, 20: {shown}   first / last: {ratio[activation]:.1e}")

assert ratio[nn.Sigmoid] < 1e-10
assert ratio[nn.Tanh] < 0.3
assert 0.5 < ratio[nn.ReLU] < 3
assert 0.3 < ratio[nn.SELU] < 3
print("conclusion: 20 layers of sigmoid take the gradient, tanh fades it, ReLU keeps it")
