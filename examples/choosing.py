"""What an activation does to values and to gradients: the figures behind the guide "Choosing an activation".

mean, std   of the output, for inputs from N(0, 1)
zeros       share of outputs that are exactly 0
flat        share of inputs whose derivative is below 0.01: from N(0, 1), and five times as large
20 layers   size of the gradient at the first of 20 layers divided by that at the last, with weights of the gain that
            keeps the size of the values (``nn.init.calculate_gain(name, convention="moment")``)
dead        share of units without any gradient after one step that is too long
"""

import numpy as np

import fastrelu as fr
from fastrelu import nn, optim

LAYERS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "hard_swish": nn.Hardswish,
}
x = np.random.default_rng(0).standard_normal(1_000_000)


def flat(name: str, scale: float) -> float:
    """Return the share of inputs from N(0, scale²) whose derivative is below 0.01."""
    return float((np.abs(getattr(fr, f"{name}_backward")(np.ones_like(x), scale * x)) < 0.01).mean())


def first_to_last(name: str, depth: int = 20, width: int = 128) -> float:
    """Return the size of the gradient at the first layer divided by that at the last."""
    rng = np.random.default_rng(0)
    gain = nn.init.calculate_gain(name, convention="moment")
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False)
        nn.init.normal_(linear.weight, std=gain / width**0.5, rng=rng)
        layers += [linear, LAYERS[name]()]
    values = rng.standard_normal((64, width), np.float32)
    for layer in layers:
        values = layer(values)
    grad = rng.standard_normal(values.shape, np.float32)
    sizes = []
    for layer in reversed(layers):
        grad = layer.backward(grad)
        sizes.append(float(np.linalg.norm(grad)))
    return sizes[-1] / sizes[1]  # of the layers' inputs


def dead(name: str) -> float:
    """Return the share of units whose derivative is 0 for every example, after a first step of 50."""
    rng = np.random.default_rng(0)
    data = rng.random((512, 20), np.float32)  # positive, as pixels are
    labels = ((data - 0.5) @ rng.standard_normal((20, 3), np.float32)).argmax(1)
    model = nn.Sequential(nn.Linear(20, 128, rng=1), LAYERS[name](), nn.Linear(128, 3, rng=2))
    criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=50)
    for _ in range(10):
        for batch in rng.permutation(len(data)).reshape(-1, 32):
            criterion(model(data[batch]), labels[batch])
            model.backward(criterion.backward())
            optimizer.step()
            optimizer.lr = 0.1
    hidden = model[0](data)
    derivative = getattr(fr, f"{name}_backward")(np.ones_like(hidden), hidden)
    return float((derivative == 0).all(0).mean())


print(f"{'':<13} {'mean':>6} {'std':>5} {'zeros':>6} {'flat 1':>6} {'flat 5':>6} {'20 layers':>10} {'dead':>6}")
found = {}
for name in LAYERS:
    y = getattr(fr, name)(x)
    found[name] = first_to_last(name), dead(name)
    print(
        f"{name:<13} {y.mean():6.2f} {y.std():5.2f} {(y == 0).mean():6.1%} {flat(name, 1):6.1%} {flat(name, 5):6.1%} "
        f"{found[name][0]:10.1e} {found[name][1]:6.1%}"
    )

assert found["sigmoid"][0] < 1e-3 < found["tanh"][0]
assert found["relu"][1] > 0.2
assert found["leaky_relu"][1] == 0
print("conclusion: sigmoid loses the gradient with depth, relu loses units, elu neither")
