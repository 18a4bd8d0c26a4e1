"""Initial values of parameters: gains against an independent integration, spreads, seeds, refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from specs import SPECS

import fastrelu as fr
from fastrelu import nn
from fastrelu.nn import init

# Known in closed form.
EXACT: list[tuple[str, Any, float]] = [
    ("relu", None, math.sqrt(2)),
    ("crelu", None, math.sqrt(2)),
    ("selu", None, 1.0),
    ("leaky_relu", None, math.sqrt(2 / (1 + 1e-4))),
    ("leaky_relu", 0.2, math.sqrt(2 / 1.04)),
    ("prelu", 0.25, math.sqrt(2 / (1 + 1 / 16))),
    ("linear", None, 1.0),
    ("squared_relu", None, math.sqrt(2 / 3)),
]


@pytest.mark.parametrize(("name", "param", "wanted"), EXACT)
def test_exact_gains(name: str, param: Any, wanted: float) -> None:
    """The second moment that has a closed form."""
    assert init.calculate_gain(name, param, convention="moment") == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if not s.public], ids=lambda spec: spec.name)
def test_moment_gain(spec: Any) -> None:
    """Every activation has the gain that another integration gives, kinks and jumps included."""
    integrate = pytest.importorskip("scipy.integrate", reason="SciPy integrates the reference")
    name, params = spec.name, spec.params[0]

    def density(z: float) -> float:
        return float(getattr(fr, name)(np.float64(z), *params)) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    kinks = sorted({0.0, *[float(kink) for kink in spec.kinks(*params) if np.isfinite(kink)]})
    edges = [-30.0, *kinks, 30.0]
    with fr.precision("accurate"):
        moment = sum(
            integrate.quad(density, low, high, epsabs=1e-15, epsrel=1e-13, limit=500)[0]
            for low, high in itertools.pairwise(edges)
        )
    got = init.calculate_gain(name, params or None, convention="moment")
    assert got == pytest.approx(1 / math.sqrt(moment), rel=1e-11)


def test_gains_of_the_literature() -> None:
    """Known to four digits."""
    known = {"tanh": 1.5925, "sigmoid": 1.8462, "elu": 1.2452, "silu": 1.6765, "gelu": 1.5335, "mish": 1.4868}
    known |= {"softplus": 1.0419, "hard_swish": 1.7367, "softsign": 2.3375}
    for name, gain in known.items():
        assert round(init.calculate_gain(name, convention="moment"), 4) == gain


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.calculate_gain("gelu"), "PyTorch defines no gain for 'gelu'.*convention=\"moment\" knows every"),
        (lambda: init.calculate_gain("gelo", convention="moment"), "no activation named 'gelo'; did you mean gelu"),
        (lambda: init.calculate_gain("threshold", convention="moment"), "the gain of threshold needs param="),
        (
            lambda: init.calculate_gain("relu", convention="keras"),  # type: ignore[arg-type]  # wrong on purpose
            'convention must be "torch" or "moment"',
        ),
        (lambda: init.kaiming_normal_(np.ones(3)), r"shape \(3,\) has no fan-in and fan-out"),
        (
            lambda: init.kaiming_normal_(np.ones((3, 3)), mode="in"),  # type: ignore[arg-type]  # wrong on purpose
            'mode must be "fan_in" or "fan_out"',
        ),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    """Names, conventions and shapes that do not exist are refused."""
    with pytest.raises(ValueError, match=message):
        call()


FILLERS = [
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


@pytest.mark.parametrize("name", FILLERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fills_in_place(name: str, dtype: Any) -> None:
    """A parameter or an array is filled and returned; the numbers depend on the seed, not on the order in memory."""
    fill = getattr(init, name)
    seed = {} if name in {"ones_", "zeros_"} else {"rng": 7}
    layer = nn.Linear(30, 20, dtype=dtype)
    assert fill(layer.weight, **seed) is layer.weight
    assert layer.weight.dtype == dtype
    array = np.full((20, 30), np.nan, dtype)
    assert fill(array, **seed) is array
    assert np.array_equal(array, layer.weight.data)
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        fill(np.ones((2, 2), int))


def test_lecun() -> None:
    """Activations of a SELU network keep mean 0 and variance 1 over 30 layers."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 400))
    for _ in range(30):
        layer = nn.Linear(400, 400, bias=False, dtype=np.float64)
        init.lecun_normal_(layer.weight, rng=rng)
        x = fr.selu(layer.eval()(x))
    assert abs(x.mean()) < 0.1
    assert 0.8 < x.var() < 1.2


@pytest.mark.parametrize("name", sorted({spec.public or spec.name for spec in SPECS.values()}))
def test_the_moment_is_kept(name: str) -> None:
    """Where the inputs of an activation have variance 1, those of the next have it too."""
    param = {"srelu": (0.0, 0.2, 1.0, 1.0), "threshold": (0.5, -0.5)}.get(name, ())
    rng = np.random.default_rng(1)
    x = getattr(fr, name)(rng.standard_normal((1000, 300)), *param)
    layer = nn.Linear(300, 300, bias=False, dtype=np.float64).eval()
    init.kaiming_normal_(layer.weight, param or 0, nonlinearity=name, convention="moment", rng=rng)
    assert float(np.mean(layer(x) ** 2)) == pytest.approx(1, rel=0.3)
