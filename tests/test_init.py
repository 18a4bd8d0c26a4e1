"""Initial values of parameters: gains against an independent integration, spreads, seeds, refusals."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from specs import SPECS

import fastrelu as fr
from fastrelu import nn
from fastrelu._catalogue import network_names
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


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if s.name in network_names()], ids=lambda spec: spec.name)
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


# Each argument that is a number.
NUMBERS = [
    *(("uniform_", name) for name in ("a", "b")),
    *(("normal_", name) for name in ("mean", "std")),
    *(("trunc_normal_", name) for name in ("mean", "std", "a", "b")),
    ("constant_", "val"),
    *((name, "gain") for name in ("orthogonal_", "xavier_uniform_", "xavier_normal_")),
]


@pytest.mark.parametrize("given", [None, "1", "text", 1j, [1.0], np.ones(4)], ids=str)
@pytest.mark.parametrize(("function", "name"), NUMBERS)
def test_numbers(function: str, name: str, given: Any) -> None:
    """None, text, complex numbers and arrays are refused in place of a number, before anything is drawn or written."""
    w, rng = np.full((3, 4), 7.0), np.random.default_rng(0)
    options = {} if function == "constant_" else {"rng": rng}
    with pytest.raises(TypeError, match=f"{name} must be a number, got|constant_ fills with one number, got"):
        getattr(init, function)(w, **{name: given}, **options)
    assert (w == 7).all()
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf, 1e300, -1e300], ids=str)
@pytest.mark.parametrize(
    ("function", "name"), [pair for pair in NUMBERS if pair[0] not in {"uniform_", "trunc_normal_", "constant_"}]
)
def test_numbers_are_finite_in_the_type(function: str, name: str, given: float) -> None:
    """A tensor is not filled with infinities or NaN because a number of the distribution is one in its type."""
    w = np.full((3, 4), 7.0, np.float32)
    with pytest.raises(ValueError, match=rf"{name} must be a finite number of float32, got {re.escape(repr(given))}"):
        getattr(init, function)(w, **{name: given})
    assert (w == 7).all()


def test_constants() -> None:
    """NaN and the infinities fill, as they are; a finite number that is none of the type does not."""
    for value in (math.nan, math.inf, -math.inf, 3.4e38):
        w = init.constant_(np.zeros(2, np.float32), value)
        np.testing.assert_array_equal(w, np.full(2, value, np.float32))
    with pytest.raises(ValueError, match=r"val must be a finite number of float32, got 1e\+300"):
        init.constant_(np.zeros(2, np.float32), 1e300)


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
        (
            lambda: init.calculate_gain("leaky_relu", (0.1, 0.2)),
            r"needs one number as param=, its slope, got \(0.1, 0.2\)",
        ),
        (
            lambda: init.calculate_gain("leaky_relu", "0.1"),  # type: ignore[arg-type]  # wrong on purpose
            "needs one number as param=, its slope, got '0.1'",
        ),
        (
            lambda: init.calculate_gain("hard_shrink", 1e9, convention="moment"),
            "hard_shrink with param=1000000000.0 has no gain: the mean of its squares is 0.0",
        ),
        (lambda: init.calculate_gain("relu", 0.1, convention="moment"), "the gain of relu needs param="),
        (lambda: init.calculate_gain("hard_shrink", -1.0, convention="moment"), "hard_shrink requires lambd >= 0"),
        (lambda: init.kaiming_normal_(np.ones(3)), r"shape \(3,\) has no fan-in and fan-out"),
        (lambda: init.kaiming_normal_(np.ones(())), r"shape \(\) has no fan-in and fan-out"),
        (lambda: init.xavier_uniform_(np.ones(0)), r"shape \(0,\) has no fan-in and fan-out"),
        (lambda: init.lecun_normal_(np.ones(4)), r"shape \(4,\) has no fan-in and fan-out"),
        (lambda: init.xavier_uniform_(np.ones((3, 3)), -1), "gain must be at least 0, got -1"),
        (lambda: init.xavier_normal_(np.ones((3, 3)), math.nan), "gain must be a finite number of float64, got nan"),
        (lambda: init.normal_(np.ones(3), std=-1), "std must be at least 0, got -1"),
        (lambda: init.uniform_(np.ones(3), 1, 0), "uniform_ requires a <= b and a finite b - a, got a=1, b=0"),
        (lambda: init.uniform_(np.ones(3), -1e308, 1e308), "a finite b - a, got a=-1e[+]308"),
        (lambda: init.uniform_(np.ones(3), math.nan), "a finite b - a, got a=nan"),
        (lambda: init.trunc_normal_(np.ones(3), a=1, b=-1), "requires a <= b, and a number between, got a=1, b=-1"),
        (lambda: init.trunc_normal_(np.ones(3), a=math.inf, b=math.inf), "a number between, got a=inf, b=inf"),
        (lambda: init.trunc_normal_(np.ones(3), std=0), "requires std > 0 and a finite mean, got mean=0.0, std=0"),
        (lambda: init.trunc_normal_(np.ones(3), math.nan), "a finite mean, got mean=nan"),
        (lambda: init.orthogonal_(np.ones(3)), r"needs two axes or more, the array is of shape \(3,\)"),
        (lambda: init.eye_(np.ones((3, 3, 3))), r"eye_ needs two axes, the array is of shape \(3, 3, 3\)"),
        (lambda: init.dirac_(np.ones((3, 3))), r"needs three to five axes, the array is of shape \(3, 3\)"),
        (lambda: init.dirac_(np.ones((3, 3, 3)), 2), "groups must divide the 3 output channels, got 2"),
        (lambda: init.dirac_(np.ones((3, 3, 3)), 0), "groups must divide the 3 output channels, got 0"),
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


# Further arguments of all functions that fill, and whether they draw.
FILLERS: dict[str, tuple[dict[str, Any], bool]] = {
    "constant_": ({"val": 0.5}, False),
    "dirac_": ({}, False),
    "eye_": ({}, False),
    "kaiming_normal_": ({}, True),
    "kaiming_uniform_": ({}, True),
    "lecun_normal_": ({}, True),
    "normal_": ({}, True),
    "ones_": ({}, False),
    "orthogonal_": ({}, True),
    "trunc_normal_": ({"a": -1.0, "b": 3.0}, True),
    "uniform_": ({}, True),
    "xavier_normal_": ({}, True),
    "xavier_uniform_": ({}, True),
    "zeros_": ({}, False),
}
each_filler = pytest.mark.parametrize("name", FILLERS)


def shape_for(name: str, *shape: int) -> tuple[int, ...]:
    """Return the shape, with a further axis where the function needs three."""
    return (*shape, 3) if name == "dirac_" else shape


def test_every_function_is_listed() -> None:
    """The list above has every function that fills an array."""
    assert set(FILLERS) == set(init.__all__) - {"calculate_gain"}


@each_filler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fills_in_place(name: str, dtype: Any) -> None:
    """A parameter or an array is filled and returned; the numbers depend on the seed, not on the order in memory."""
    fill, (options, draws) = getattr(init, name), FILLERS[name]
    seed, shape = {"rng": 7} if draws else {}, shape_for(name, 20, 30)
    parameter = nn.Parameter(np.full(shape, np.nan, dtype))
    memory = parameter.data
    assert fill(parameter, **options, **seed) is parameter
    assert parameter.data is memory
    assert np.isfinite(memory).all()
    array = np.empty(shape[::-1], dtype).T
    assert fill(array, **options, **seed) is array
    np.testing.assert_array_equal(array, memory)
    if draws:
        assert not np.array_equal(fill(np.empty(shape, dtype), **options, rng=8), memory)
        generator = np.random.default_rng(7)
        np.testing.assert_array_equal(fill(np.empty(shape, dtype), **options, rng=generator), memory)
        assert not np.array_equal(fill(np.empty(shape, dtype), **options, rng=generator), memory)


@each_filler
@pytest.mark.parametrize("zero", [0, 1, 2, (0, 1)], ids=str)
def test_nothing_to_do(name: str, zero: Any) -> None:
    """An array without elements is returned without an error or a warning, wherever the 0 stands."""
    shape = np.array(shape_for(name, 4, 6) if zero != 2 else (4, 6, 3))
    if name == "eye_" and zero == 2:
        return
    shape[list(zero) if isinstance(zero, tuple) else zero] = 0
    array = np.empty(shape, np.float32)
    assert getattr(init, name)(array, **FILLERS[name][0]) is array


@each_filler
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones((2, 2, 3), int), TypeError, "float32 or float64, not int64"),
        (np.ones((2, 2, 3), np.float16), TypeError, "float32 or float64, not float16"),
        (np.ones((2, 2, 3), ">f4"), TypeError, "float32 or float64, not >f4"),
        (np.ones((2, 2, 3), complex), TypeError, "float32 or float64, not complex128"),
        (np.ones((0, 2, 3), object), TypeError, "float32 or float64, not object"),
        (np.ma.masked_array(np.ones((2, 2, 3))), TypeError, "in place, not 'MaskedArray'"),
        ([[1.0, 2.0]], TypeError, "initializers fill a Parameter or an array in place, not 'list'"),
        (np.float32(1), TypeError, "in place, not 'float32'"),
        (nn.Linear(2, 2), TypeError, "in place, not 'Linear'"),
        (None, TypeError, "in place, not 'NoneType'"),
        (np.broadcast_to(np.ones(3), (2, 2, 3)), ValueError, r"of shape \(2, 2, 3\) is read-only and cannot be filled"),
    ],
)
def test_what_cannot_be_filled(name: str, given: Any, error: type[Exception], message: str) -> None:
    """Other types, read-only memory and what is no array are refused before anything is drawn."""
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(error, match=message):
        getattr(init, name)(given, **FILLERS[name][0], **({"rng": rng} if FILLERS[name][1] else {}))
    assert rng.bit_generator.state == before


class Extreme(np.random.Generator):
    """A generator whose uniform draws are the smallest and the largest possible."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Return the two extremes in turn."""
        return low + (high - low) * np.resize([0.0, 1 - 2.0**-53], size)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (0.0, 1.0),
        (-1.0, 1.0),
        (0.1, 0.3),
        (-0.3, -0.1),
        (1.0, 1 + 1e-15),
        (16777216.0, 16777217.0),
        (-1e-50, 1e-50),
        (1e30, 1e39),
        (-3e38, 1e39),
        (5.0, 5.0),
        (-0.001, 0.0),
        (100000000.0, 100000000.0 + 9),
        (0.1, 0.1 + 1e-12),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_never_returns_its_upper_end(a: float, b: float, dtype: Any) -> None:
    """No draw is the upper end, or below the lower one, not even when it is rounded to float32."""
    for rng in (Extreme(), np.random.default_rng(0)):
        array = init.uniform_(np.empty(10_000, dtype), a, b, rng=rng)
        assert np.isfinite(array).all()
        exact = array.astype(np.float64)
        if a < b and float(np.nextafter(dtype(a), dtype(np.inf))) < b:
            assert exact.min() >= a
            assert exact.max() < b
        else:  # no number of the type is in the interval
            assert (array == dtype(a)).all()


@pytest.mark.parametrize("name", ["kaiming_uniform_", "xavier_uniform_"])
def test_bounds(name: str) -> None:
    """Other uniform draws stay within their bounds too."""
    for n in range(1, 60):
        array = getattr(init, name)(np.empty((n, 7), np.float32), rng=Extreme())
        bound = math.sqrt(6 / 7) if name == "kaiming_uniform_" else math.sqrt(6 / (n + 7))
        assert np.abs(array.astype(np.float64)).max() <= bound
        assert np.abs(array).max() >= bound * (1 - 1e-6)


TRUNCATED = [
    (0.0, 1.0, -2.0, 2.0),
    (0.0, 1.0, -0.1, 0.3),
    (1.0, 2.0, -9.0, 0.0),
    (0.0, 1.0, 0.5, 0.6),
    (0.0, 1.0, 3.0, 9.0),
]
TRUNCATED += [(0.0, 0.02, -2.0, 2.0), (5.0, 1.0, -2.0, 2.0), (-8.0, 0.5, -2.0, 2.0), (0.0, 1.0, 30.0, 40.0)]
TRUNCATED += [
    (0.0, 1.0, 8.0, math.inf),
    (0.0, 1.0, -math.inf, -6.0),
    (3.0, 2.0, -math.inf, math.inf),
    (0.0, 1.0, -1.0, 0.0),
]
TRUNCATED += [(0.0, 1.0, 10.0, 10.01), (0.0, 1.0, -1.3, 1.2), (0.0, 1.0, 0.0, math.inf), (0.0, 1.0, 1e4, 2e4)]


@pytest.mark.parametrize(("mean", "std", "a", "b"), TRUNCATED)
def test_truncated_normal(mean: float, std: float, a: float, b: float) -> None:
    """The distribution is SciPy's, by Kolmogorov and Smirnov, far in the tail too; no draw is outside."""
    stats = pytest.importorskip("scipy.stats", reason="SciPy has the reference")
    draws = init.trunc_normal_(np.empty((100, 200)), mean, std, a, b, rng=3)
    assert a <= draws.min() <= draws.max() <= b
    wanted = stats.truncnorm((a - mean) / std, (b - mean) / std, loc=mean, scale=std)
    assert stats.kstest(draws.ravel(), wanted.cdf).pvalue > 1e-3
    single = init.trunc_normal_(np.empty(20_000, np.float32), mean, std, a, b, rng=3)
    assert (single >= a).all()
    assert (single <= b).all()


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, 1e200, math.inf),
        (0.0, 1e-300, 1.0, 2.0),
        (1e308, 1.0, -1e308, 0.0),
        (0.0, 1.0, 2.0, 2.0),
        (0.0, 1e308, -1.0, 1.0),
        (0.0, 1.0, 0.0, 5e-324),
        (0.0, 1.0, -1000000000.0, -1000000000.0 + 1),
    ],
)
def test_truncated_normal_at_the_ends(mean: float, std: float, a: float, b: float) -> None:
    """Where the mass is at one end, or numbers nearly overflow, draws are inside and finite."""
    draws = init.trunc_normal_(np.empty(1000), mean, std, a, b, rng=0)
    assert np.isfinite(draws).all()
    assert a <= draws.min() <= draws.max() <= b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (2, 3, 2, 2), (1, 5), (5, 1)], ids=str)
def test_orthogonal(shape: tuple[int, ...], dtype: Any) -> None:
    """Rows are orthogonal and of length `gain`, or columns if there are fewer; entries have no sign in common."""
    matrix = init.orthogonal_(np.empty(shape, dtype), -2.5, rng=0).reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 6.25 * np.eye(len(product)), atol=1e-5 if dtype is np.float32 else 1e-13)
    rng = np.random.default_rng(1)
    diagonals = [init.orthogonal_(np.empty(shape, dtype), rng=rng).reshape(shape[0], -1)[0, 0] for _ in range(400)]
    assert abs(np.mean(diagonals)) < 0.2


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


@pytest.mark.parametrize("name", sorted({s.public or s.name for s in SPECS.values()} & {*network_names()}))
def test_the_moment_is_kept(name: str) -> None:
    """Where the inputs of an activation have variance 1, those of the next have it too."""
    param = {"srelu": (0.0, 0.2, 1.0, 1.0), "threshold": (0.5, -0.5), "softcap": (2.0,)}.get(name, ())
    rng = np.random.default_rng(1)
    x = getattr(fr, name)(rng.standard_normal((1000, 300)), *param)
    layer = nn.Linear(300, 300, bias=False, dtype=np.float64).eval()
    init.kaiming_normal_(layer.weight, param or 0, nonlinearity=name, convention="moment", rng=rng)
    assert float(np.mean(layer(x) ** 2)) == pytest.approx(1, rel=0.3)
