"""float16 and bfloat16: the type that went in comes out, rounded once, by every door; all 65,536 inputs are compared."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case, each_forward_of_some, each_of_some, each_parametric_case, kernels, over
from compare import assert_same_bits
from grid import LAYOUTS, OUT_LAYOUTS, WIDE, needs_wide, swapped
from inputs import values as numbers_of
from programs import run_python
from specs import FORWARD, FROM_OUTPUT, SPECS

import fastrelu as fr
from fastrelu import _core, _fused, _kernels, _quantized, _runtime, _sums, diagnostics, gated_units, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array, Precision

HALVES: list[Any] = [np.dtype(np.float16)]
try:
    import ml_dtypes
except ImportError:  # bfloat16 is optional
    pass
else:
    HALVES.append(np.dtype(ml_dtypes.bfloat16))
bfloat16: Any = HALVES[-1]
needs_bfloat16 = pytest.mark.skipif(len(HALVES) == 1, reason="bfloat16 comes from ml_dtypes")
each_half = pytest.mark.parametrize("half", HALVES, ids=str)
LONG = np.dtype("longdouble")
# Digits of the type and exponent of the smallest normal number.
FORMATS = {"float16": (10, -14), "bfloat16": (7, -126)}


def every(half: np.dtype[Any]) -> Array:
    """Return all numbers of a type, NaNs and infinities among them."""
    return np.arange(1 << 16, dtype=np.uint16).view(half)


def unit(exact: Array, half: np.dtype[Any]) -> Array:
    """Return the unit in the last place that numbers of a wider type have in a 16-bit type."""
    digits, least = FORMATS[half.name]
    exponent = np.maximum(np.frexp(np.where(np.isfinite(exact), exact, 0))[1] - 1, least)
    return np.asarray(np.ldexp(exact.dtype.type(1), exponent - digits))


def rounded(exact: Array, half: np.dtype[Any], little: Array) -> Array:
    """Round to the nearest even number of a 16-bit type; `little` has the sign of what is missing in a tie."""
    size = unit(exact, half)
    whole = exact / size
    tie = (abs(whole - np.trunc(whole)) == 0.5) & (little != 0)
    nearest = np.where(tie, np.where(little > 0, np.ceil(whole), np.floor(whole)), np.rint(whole))
    return np.asarray(nearest * size).astype(np.float64).astype(half)


@functools.cache
def references(case: Case, half: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Return inputs, exact results and their correct rounding: of all inputs, or of all outputs that forward has."""
    x = every(half)
    params = [np.float32(value).astype(LONG) for value in case.params]
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        if case.direction == FROM_OUTPUT:
            y = np.asarray(case.spec.forward(x.astype(np.float32).astype(LONG), *params))
            x = np.unique(y.astype(np.float32).astype(half).view(np.uint16)).view(half)
        exact = np.asarray(case.spec.reference(case.direction)(x.astype(np.float32).astype(LONG), *params), LONG)
        # f(x) = x/2 + c x*x of tiny x is x/2 in long double too. The sign of the rest is that of a larger x.
        little = np.zeros(x.shape)
        if case.direction == FORWARD:
            probe = LONG.type(2.0**-20) * np.sign(x.astype(LONG))
            rest = np.asarray(case.spec.forward(probe, *params)) - probe / 2
            little = np.where(exact == x.astype(LONG) / 2, np.sign(rest), 0)
        nearest: Array = rounded(exact, half, little)
        return x, exact, nearest


@pytest.mark.parametrize("precision", ["fast", "accurate"])
@pytest.mark.parametrize("isa", _runtime.isa_available)
@each_half
@over(CASES)
def test_every_input(case: Case, half: np.dtype[Any], isa: str, precision: Precision) -> None:
    """Precision "accurate" is correctly rounded for all inputs, "fast" within the limit that users are told."""
    needs_wide(np.dtype("float64"))
    x, exact, nearest = references(case, half)
    got = case.on(isa, precision, *[np.ones_like(x)] * (case.ndata - 1), x, *case.params)
    assert got.dtype == half
    # The signs of zeros are not compared: those of results that underflow are test_values's.
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    if precision == "accurate":
        assert same.all(), f"{x[~same][:3]} gave {got[~same][:3]} instead of {nearest[~same][:3]}"
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        error = np.where(same, 0, abs(got.astype(np.float32).astype(LONG) - exact) / unit(exact, half))
    worst = int(np.argmax(error))
    limit = fr.error_bound(case.name, half, precision="fast", isa=isa)
    assert error[worst] <= limit, f"{error[worst]} ULP at {x[worst]}: {got[worst]} instead of {exact[worst]}"


def sample(half: np.dtype[Any], shape: Any = (37, 31), seed: int = 0) -> Array:
    """Return numbers around 0."""
    return np.asarray(3 * np.random.default_rng(seed).standard_normal(shape), np.float32).astype(half)


@each_half
@each_of_some
def test_doors(case: Case, half: np.dtype[Any], precision: Precision) -> None:
    """Layouts, byte orders, out=, where=, broadcasting, scalars and arrays of parameters give the same bits."""
    data = [sample(half, seed=j) for j in range(case.ndata)]
    with fr.precision(precision):
        expected = case(*data)
        assert expected.dtype == half
        for lay in LAYOUTS.values():
            assert_same_bits(case(*map(lay, data)), expected)
        for lay in OUT_LAYOUTS.values():
            out = lay(np.zeros(expected.shape, half))
            assert case(*data, out=out) is out
            assert_same_bits(np.asarray(out, half), expected)
        assert_same_bits(case(*map(swapped, data)), expected)
        mask = np.random.default_rng(1).random(expected.shape) < 0.5
        out = np.full(expected.shape, 7, half)
        case(*data, out=out, where=mask)
        assert_same_bits(out, np.where(mask, expected, half.type(7)))
        first = data[-1].copy()
        assert_same_bits(case(*data[:-1], first, out=first), expected)
        one = [a[:1] for a in data[:-1]] + data[-1:]
        assert_same_bits(case(*one), case(*[np.repeat(a[:1], len(expected), 0) for a in data[:-1]], data[-1]))
        for scalar in (case(*[a[3, 4] for a in data]), case(*[np.array(a[3, 4]) for a in data])):
            assert type(scalar) is half.type
            assert scalar == expected[3, 4]
        assert case(*[a[:0] for a in data]).dtype == half
        numbers = [half.type(value) for value in case.params]
        columns = [np.full(expected.shape, value) for value in numbers]
        promoted = case(*data, *map(float, numbers))
        assert_same_bits(case(*data, *numbers), promoted)
        assert_same_bits(case(*data, *columns), promoted)
        assert_same_bits(case.ufunc(*data, *columns), promoted)
        wide = case(*data, *[column.astype(np.float32) for column in columns])
        assert wide.dtype == (np.float32 if case.params else half)


@each_half
@each_forward_of_some
def test_outputs_of_other_types(case: Case, half: np.dtype[Any]) -> None:
    """The result is rounded to the type of the input, then cast to out as by NumPy's ufuncs; subclasses stay."""
    x = sample(half)
    expected = case(x)
    for target in (np.float32, np.float64, ">f4", np.complex64, LONG, object):
        for lay in (lambda y: y, lambda y: np.stack([y, y], -1)[..., 0], lambda y: y.view(np.recarray), np.ma.asarray):
            out = lay(np.zeros(x.shape, target))
            assert case(x, out=out) is out
            np.testing.assert_array_equal(np.asarray(out), expected.astype(target))
    masked = case(np.ma.masked_array(x, x > 1))
    assert type(masked) is np.ma.MaskedArray
    assert_same_bits(masked.data[x <= 1], expected[x <= 1])
    assert_same_bits(case.in_place(x.copy()), expected)
    whole = np.full(x.nbytes + 1, 1, np.uint8)
    apart = whole[1:].view(half).reshape(x.shape)
    apart[...] = x
    assert_same_bits(case(apart), expected)
    assert case.in_place(apart) is apart
    assert_same_bits(apart, expected)


@pytest.mark.parametrize("count", [1, 2])
@each_half
def test_threads(half: np.dtype[Any], count: int) -> None:
    """Large calls have threads, also streamed ones, and the same bits."""
    x, grad = sample(half, 700_003), sample(half, 700_003, 1)
    calls: list[Callable[[], Array]] = [lambda: fr.gelu(x), lambda: fr.relu(x), lambda: fr.tanh_backward(grad, x)]
    for call in calls:
        with fr.threads(1):
            expected = call()
        with fr.threads(count):
            assert_same_bits(call(), expected)
            _runtime.set_defaults(stream_from=1)
            try:
                fr.relu(x)  # whose memory the next result may reuse: only warm memory is streamed to
                assert_same_bits(call(), expected)
                out = np.zeros(x.size + 8, half)[3:-5]
                assert fr.explain(fr.leaky_relu, x, 0.1, out=out).streamed == (_runtime_streams())
                assert_same_bits(fr.leaky_relu(x, 0.1, out=out), fr.leaky_relu(x, np.float32(0.1)).astype(half))
            finally:
                _runtime.set_defaults(stream_from=-1)


def _runtime_streams() -> bool:
    return any(name != "default" for name in _runtime.isa_available)


def test_promotion() -> None:
    """Types are promoted by NumPy's rules; Python numbers and 8-bit integers do not promote 16-bit types."""
    for half in HALVES:
        x = sample(half, 5)
        others: dict[Any, Any] = {
            "f4": "f4",
            "f8": "f8",
            "i1": half,
            "u1": half,
            "?": half,
            "i2": "f4",
            "i8": "f8",
            half: half,
        }
        for other, result in others.items():
            slope = np.ones(5, other)
            for call in (fr.leaky_relu, fr.ufuncs.leaky_relu, fr.ufuncs.accurate.leaky_relu):
                assert call(x, slope).dtype == result
                assert call(np.ones(5, "i1"), slope).dtype == (
                    "f4" if np.dtype(other).kind in "?biu" and result == half else result
                )
        for number in (0.1, 1, True):
            assert fr.leaky_relu(x, number).dtype == half
            assert fr.ufuncs.leaky_relu(x, number).dtype == half
    for name in ("?", "i1", "u1"):
        assert fr.ufuncs.relu(np.ones(3, name)).dtype == np.float32
        assert fr.ufuncs.leaky_relu(np.ones(3, name), 0.1).dtype == np.float32
        assert fr.ufuncs.leaky_relu(np.ones(3, name), np.ones(3, "?")).dtype == np.float32
    if len(HALVES) == 2:
        assert fr.leaky_relu(sample(HALVES[0], 3), sample(HALVES[1], 3)).dtype == np.float32


def test_numbers_are_float32() -> None:
    """A number as parameter is rounded to float32; as an argument of a ufunc, by NumPy's rule, to 16 bits."""
    for half in HALVES:
        x = sample(half, 400)
        for precision in ("fast", "accurate"):
            with fr.precision(precision):
                wide = fr.leaky_relu(x.astype(np.float64), float(np.float32(0.01)))
                assert_same_bits(fr.leaky_relu(x, 0.01), wide.astype(np.float32).astype(half))
                assert_same_bits(fr.ufuncs.leaky_relu(x, 0.01), fr.ufuncs.leaky_relu(x, half.type(0.01)))
                assert_same_bits(fr.leaky_relu(x.reshape(2, -1).T, 0.01), fr.leaky_relu(x, 0.01).reshape(2, -1).T)
        with pytest.raises(ValueError, match="softplus requires finite beta and beta > 0, got beta=1e-50"):
            fr.softplus(x, 1e-50)


@needs_bfloat16
def test_bfloat16_is_rounded_once() -> None:
    """Ties go to even, NaN stays NaN, large numbers become infinite, on every instruction set."""
    case = Case(SPECS["leaky_relu"], FORWARD)
    numbers = np.arange(0, 1 << 32, 65521, dtype=np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32) << 16) + 0x8000
    for isa in _runtime.isa_available:
        for x in (numbers.view("f4"), ties.view("f4"), np.array([np.nan, -np.nan, np.inf, 3.4e38, -1e-45], "f4")):
            for n in (x.size, min(11, x.size)):
                out = np.zeros(n, bfloat16)
                case.on(isa, "fast", x[:n], 1.0, out=out)
                with np.errstate(invalid="ignore"):  # NaN with other bits
                    assert_same_bits(out.astype("f4"), x[:n].astype(bfloat16).astype("f4"))


@needs_bfloat16
@pytest.mark.parametrize("first", ["fr.ufuncs.relu", "fr.relu", "fr.ufuncs.accurate.relu"])
def test_bfloat16_that_comes_late(first: str) -> None:
    """The package may be imported after fastrelu, which does not import it; the first call is right."""
    program = (
        "import sys, numpy as np, fastrelu as fr\n"
        "assert 'ml_dtypes' not in sys.modules\n"
        "u = fr.ufuncs.leaky_relu\n"
        "import ml_dtypes\n"
        f"assert {first}(np.ones(3, ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16\n"
        "assert u(np.ones(3, ml_dtypes.bfloat16), 0.5).dtype == ml_dtypes.bfloat16\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


@needs_bfloat16
def test_bfloat16_and_float16_do_not_mix() -> None:
    """The two types are refused where NumPy does not cast one to the other, before anything is written."""
    out = np.full(5, 7, np.float16)
    with pytest.raises(
        TypeError, match="Cannot cast ufunc 'relu' output from dtype\\(bfloat16\\) to dtype\\('float16'\\)"
    ):
        fr.relu(sample(bfloat16, 5), out=out)
    assert (out == 7).all()


@each_half
def test_explained(half: np.dtype[Any]) -> None:
    """`explain` names the loader and the storer."""
    fr.relu(sample(half, 5))
    x = sample(half)
    found = fr.explain(fr.relu, x)
    assert (found.door, found.dtype) == ("fast path", "float32")
    assert (found.loads, found.stores) == (f"x: {half} to float32", f"float32 to {half}")
    with fr.precision("accurate"):
        found = fr.explain(fr.relu, x[:, ::2], out=np.zeros((37, 16), np.float32))
    assert (found.door, found.dtype) == ("N-d driver", "float64")
    assert (found.loads, found.stores) == (f"x: {half} to float64", f"float64 to {half} to float32")


def test_pytorch_tensors(torch: Any) -> None:
    """Tensors of 16-bit types work in place, strided ones too."""
    for half, kind in zip(HALVES, (torch.float16, torch.bfloat16), strict=False):
        x = sample(half)
        tensor = torch.from_numpy(x.view(np.int16).copy()).view(kind)
        assert fr.silu_(tensor) is tensor
        assert_same_bits(tensor.view(torch.int16).numpy().view(half), fr.silu(x))
        part = tensor[:, ::3]
        wanted = fr.relu(part.view(torch.int16).numpy().view(half))
        assert fr.relu_(part) is part
        assert_same_bits(part.view(torch.int16).numpy().view(half), wanted)


def test_wide_types_are_known() -> None:
    """The table of the grid has the types with kernels alone."""
    assert not set(HALVES) & set(WIDE)


@pytest.mark.usefixtures("torch")
def test_bfloat16_tensors_need_the_package() -> None:
    """Without it NumPy has no such type, and the error says what to install."""
    program = (
        "import sys, torch, fastrelu as fr\n"
        "sys.modules['ml_dtypes'] = None\n"
        "try:\n    fr.relu_(torch.ones(3, dtype=torch.bfloat16))\n"
        "except TypeError as refused:\n"
        "    assert str(refused) == 'torch.bfloat16 needs the package ml_dtypes, which gives NumPy such a type'\n"
        "else:\n    raise SystemExit('not refused')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


ALONG = [fr.softmax, fr.log_softmax, fr.softmin, fr.logsumexp, fr.logmeanexp]


@pytest.mark.parametrize("axis", [0, -1, None])
@pytest.mark.parametrize("function", ALONG, ids=lambda function: function.__name__)
@each_half
def test_rows(function: Any, half: np.dtype[Any], axis: int | None, precision: Precision) -> None:
    """Along an axis too: computed in a wider type and rounded once, into new memory, out=, and where masked."""
    x = sample(half)
    mask = np.random.default_rng(1).random(x.shape) < 0.7
    wide = x.astype(np.float32 if precision == "fast" else np.float64)
    case = Case(SPECS["leaky_relu"], FORWARD)  # a slope of 1 rounds
    with fr.precision(precision):
        for where in (True, mask):
            found = function(x, axis=axis, where=where)
            exact = np.asarray(function(wide, axis=axis, where=where))
            expected = np.zeros(exact.shape, half)
            case(exact, 1.0, out=expected)
            assert_same_bits(found, expected)
            assert_same_bits(function(np.repeat(x, 2, 1)[:, ::2], axis=axis, where=where), expected)
            out = np.zeros(exact.shape, np.float32)
            assert function(x, axis=axis, out=out, where=where) is out
            np.testing.assert_array_equal(out, expected.astype(np.float32))


@each_half
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "hardmax", "sparsemax"])
def test_dense_rows(name: str, half: np.dtype[Any], precision: Precision) -> None:
    """Rows that threads convert for themselves have the bits of others, in place too."""
    function, backward = getattr(fr, name), getattr(fr, f"{name}_backward_from_output")
    options: list[dict[str, Any]] = [{}]
    if name.endswith("softmax"):
        options += [{"scale": -0.3}, {"softcap": 2.0}, {"scale": 3.0, "softcap": 4.0}]
    for shape, values in itertools.product(
        [(1,), (9000,), (5000, 1), (7000, 3), (401, 250), (50, 33), (3, 9000), (2, 3, 40), (0, 3), (3, 0)], ("any", "")
    ):
        if not shape[-1] and name in {"hardmax", "sparsemax"}:
            continue
        x, grad = (every(half)[np.random.default_rng(k).integers(0, 1 << 16, shape)] for k in range(2))
        if not values:
            x, grad = sample(half, shape), sample(half, shape, seed=1)
        for threads, how in itertools.product((1, 2), options):
            with fr.threads(threads), fr.precision(precision):
                wanted = function(np.repeat(x, 2, -1)[..., ::2], **how)
                out, mine = np.empty_like(x), x.copy()
                assert function(x, out=out, **how) is out
                assert function(mine, out=mine, **how) is mine
                for found in (function(x, **how), out, mine):
                    assert_same_bits(found, wanted, (shape, how))
                if x.size:
                    assert fr.explain(function, x, **how).door == "fast path"
        for threads in (1, 2):
            with fr.threads(threads), fr.precision(precision):
                y = function(x)
                wanted = backward(np.repeat(grad, 2, -1)[..., ::2], y)
                of_grad, of_y = grad.copy(), y.copy()
                assert backward(of_grad, y, out=of_grad) is of_grad
                assert backward(grad, of_y, out=of_y) is of_y
                for found in (backward(grad, y), of_grad, of_y):
                    assert_same_bits(found, wanted, shape)
                if name.endswith("softmax"):
                    scaled = backward(np.repeat(grad, 2, -1)[..., ::2], y, scale=0.3)
                    assert_same_bits(backward(grad, y, scale=0.3), scaled, shape)


@each_half
def test_gradients_of_rows(half: np.dtype[Any]) -> None:
    """Gradients and losses have the type too; two types are promoted."""
    x, grad = sample(half), sample(half, seed=1)
    for name in ("softmax", "log_softmax", "softmin"):
        y = getattr(fr, name)(x)
        backward = getattr(fr, f"{name}_backward_from_output")
        dx = backward(grad, y)
        assert dx.dtype == half
        np.testing.assert_array_equal(
            dx.astype("f4"), backward(grad.astype("f4"), y.astype("f4")).astype(half).astype("f4")
        )
        assert backward(grad.astype("f4"), y).dtype == np.float32
        assert_same_bits(getattr(fr, f"{name}_")(x.copy()), y)
    assert fr.logsumexp_backward(grad[:, 0], x, axis=1).dtype == half
    labels = np.arange(len(x)) % x.shape[1]
    wide, wide_gradient = fr.cross_entropy_value_and_grad(x.astype("f4"), labels)
    loss, gradient = fr.cross_entropy_value_and_grad(x, labels)
    assert (loss.dtype, gradient.dtype) == (half, half)
    assert float(loss) == pytest.approx(float(wide), rel=2.0**-8)
    np.testing.assert_array_equal(gradient.astype("f4"), wide_gradient.astype(half).astype("f4"))
    assert fr.cross_entropy(x, labels, reduction="none").dtype == half
    assert fr.cross_entropy(x, fr.softmax(x)).dtype == half


@each_half
def test_parameter_gradients(half: np.dtype[Any], precision: Precision) -> None:
    """Sums are accumulated in float64 and rounded once; dx is that of the call without parameters."""
    x, grad = sample(half), sample(half, seed=1)
    slope = np.full(x.shape[1], 0.25, half)
    with fr.precision(precision):
        for parameter in (slope, 0.3):
            dx, dslope = fr.leaky_relu_backward_parameters(grad, x, parameter)
            assert (dx.dtype, dslope.dtype) == (half, half)
            assert_same_bits(dx, fr.leaky_relu_backward(grad, x, parameter))
            exact = np.where(x < 0, grad.astype("d") * x.astype("d"), 0).sum(0 if np.ndim(parameter) else None)
            assert_same_bits(dslope, exact.astype("f4").astype(half))
            out = np.zeros((*x.shape, 2), half)[..., 0]
            assert fr.leaky_relu_backward_parameters(grad, x, parameter, out=out)[0] is out
            assert_same_bits(out, dx)
        assert fr.elu_backward_parameters(grad.astype("f4"), x, 0.5)[0].dtype == np.float32


@each_half
def test_statistics(half: np.dtype[Any]) -> None:
    """The statistics are those of the same numbers in float32."""
    x = sample(half)
    for given in (x, x.T[::2]):
        assert vars(diagnostics.summarize(given)) == vars(diagnostics.summarize(given.astype("f4")))


def network(kind: Any) -> nn.Sequential:
    """Return a network of layers with and without weights."""
    return nn.Sequential(
        nn.Linear(9, 40, dtype=kind, rng=0),
        nn.PReLU(40, dtype=kind),
        nn.Linear(40, 30, dtype=kind, rng=1),
        nn.GELU(),
        nn.Linear(30, 5, dtype=kind, rng=2),
        nn.LogSoftmax(-1),
    ).eval()


@each_half
def test_networks(half: np.dtype[Any]) -> None:
    """Weights of 16 bits: the layers keep the type, each product is rounded once, and training is refused."""
    model, x = network(half), sample(half, (7, 9))
    y: Any = x
    for layer in model:
        given, y = y, layer(y)
        assert y.dtype == half
        if isinstance(layer, nn.Linear):
            bias: Any = layer.bias
            exact = given.astype("d") @ layer.weight.data.astype("d").T + bias.data.astype("d")
            assert (abs(y.astype("d") - exact) <= 0.51 * unit(exact, half) + 1e-6 * abs(given.astype("d")).max()).all()
    assert_same_bits(model(x), y)
    assert model[0](sample(half, (2, 3, 9))).shape == (2, 3, 40)
    state = model.state_dict()
    assert {array.dtype for array in state.values()} == {half}
    other = network(half)
    other.load_state_dict(state)
    assert_same_bits(other(x), y)
    wide = network(np.float32)
    wide.load_state_dict(state)
    assert {parameter.dtype for parameter in wide.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(wide(x.astype("f4")), y.astype("f4"), atol=2.0**-4)
    for parameter in wide.parameters():
        parameter.data = parameter.data.astype(half)
    assert_same_bits(wide(x), y)
    with pytest.raises(TypeError, match=f"has {half} weights and got float32"):
        model(x.astype("f4"))
    assert nn.Add()(x, x).dtype == half
    assert nn.Add()(x, x.astype("f4")).dtype == np.float32
    for layer in (nn.Add(), nn.Multiply(), nn.Concatenate()):  # whatever the byte order
        for given in itertools.product((x, swapped(x)), repeat=2):
            assert_same_bits(layer(*given), layer(x, x))
    model.train()
    model(x)
    with pytest.raises(TypeError, match=f"a parameter of {half} is for inference: train with float32 or float64"):
        model.backward(np.ones((7, 5), half))


@each_half
@pytest.mark.parametrize("kind", [nn.Add, nn.Multiply])
@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (3000, 1)])
def test_sums_of_gradients(kind: Any, shape: tuple[int, ...], half: np.dtype[Any]) -> None:
    """The gradient of what was broadcast is a sum of more numbers than its type can count, rounded once."""
    layer, grad = kind(), np.ones((3000, 3), half)
    for given in (grad, swapped(grad)):
        layer(np.ones((3000, 3), half), np.ones(shape, half))
        _, found = layer.backward(given)
        assert_same_bits(found, np.full(shape, 9000 / max(1, int(np.prod(shape))), half))


@each_half
def test_networks_as_pytorch(half: np.dtype[Any], torch: Any) -> None:
    """PyTorch's inference in the same type differs by roundings of intermediate results alone."""
    kind = torch.float16 if half == np.float16 else torch.bfloat16
    theirs = torch.nn.Sequential(
        torch.nn.Linear(9, 40), torch.nn.SiLU(), torch.nn.Linear(40, 5), torch.nn.Softmax(-1)
    ).to(kind)
    ours = nn.Sequential(nn.Linear(9, 40, dtype=half), nn.SiLU(), nn.Linear(40, 5, dtype=half), nn.Softmax(-1)).eval()
    ours.load_state_dict(theirs.state_dict())
    x = sample(half, (50, 9))
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x.view(np.int16)).view(kind)).float().numpy()
    got = ours(x)
    assert got.dtype == half
    digits, _ = FORMATS[half.name]
    np.testing.assert_allclose(got.astype("f4"), wanted, rtol=4 * 2.0**-digits)


@each_half
@each_of_some
def test_lengths(case: Case, half: np.dtype[Any], isa: str) -> None:
    """Blocks of numbers, and whole tiles with a rest, give the same results, in place too."""
    data = [sample(half, 200, seed=j) for j in range(case.ndata)]
    whole = case.on(isa, "fast", *data, *case.params)
    for n in (1, 31, 63, 64, 65, 127, 128, 199):
        some = [array[:n].copy() for array in data]
        assert_same_bits(case.on(isa, "fast", *some, *case.params, out=some[-1]), whole[:n])


@needs_bfloat16
def test_rough_body(isa: str) -> None:
    """The kernel that converts in registers has the bits of the one for few elements, which converts a block."""
    case, x = next(case for case in CASES if case.name == "gelu"), every(bfloat16)
    blocks = [case.on(isa, "fast", some) for some in x.reshape(-1, 32)]
    assert_same_bits(case.on(isa, "fast", x), np.concatenate(blocks))


@each_half
@pytest.mark.parametrize("target", [np.complex64, np.longdouble])
def test_number_as_gradient(half: np.dtype[Any], target: Any, precision: Precision) -> None:
    """With a number as gradient the result is rounded to 16 bits before it is cast to `out`."""
    y = np.array(0.3333, np.float32).astype(half)
    out = np.zeros((), target)
    with fr.precision(precision):
        assert fr.tanh_backward_from_output(-0.15, y, out=out) is out
        assert out == target(fr.tanh_backward_from_output(-0.15, y))


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradient_of_a_bias_is_summed_in_double(kind: Any, axis: int) -> None:
    """A sum of thousands of elements in 16 bits would stop growing."""
    x = np.random.default_rng(0).standard_normal((3, 4000) if axis == 0 else (4000, 3)).astype(kind)
    grad = np.ones_like(x)
    bias = np.zeros(3, kind)
    dx, dbias = fr.fused.bias_act_backward(grad, x, bias, "sigmoid", axis=axis)
    again = fr.fused.bias_act_backward_from_output(grad, fr.sigmoid(x), "sigmoid", axis=axis)
    for found, total in ((dx, dbias), again):
        rest = tuple(k for k in range(x.ndim) if k != axis % x.ndim)
        assert_same_bits(total, found.astype(np.float64).sum(rest).astype(kind), axis)
    # A little more than the middle between two numbers of 16 bits: a sum rounded to float32 before would be the middle.
    little = np.array([2.0 ** (FORMATS[kind.name][0] + 1), 1, 2.0**-14] + [0] * 597).astype(kind)
    grad = np.ascontiguousarray(np.moveaxis(np.stack([little] * 3), 0, axis))
    for total in (
        fr.fused.bias_act_backward(grad, np.ones_like(grad), bias, "relu", axis=axis)[1],
        fr.fused.bias_act_backward_from_output(grad, np.ones_like(grad), "relu", axis=axis)[1],
    ):
        assert (total == little[0] + kind.type(2)).all()


# Activations by the way their kernels take 16 bits: converted in registers, with and without a number, or in blocks.
BIASED: list[tuple[str, tuple[float, ...]]] = [
    ("relu", ()),
    ("leaky_relu", (0.1,)),
    ("gelu", ()),
    ("gelu_tanh", ()),
    ("elu", (0.3,)),
]
# One row, few and many; rows of one number, of a part of a vector, of some to a block, and of more than one; several
# elements, a block and more side by side with the same number of the bias; enough for several tasks.
BIASED_SHAPES = [
    (1,),
    (600,),
    (1, 3),
    (7, 1),
    (70, 33),
    (9, 250),
    (3, 1100),
    (5, 3, 40),
    (4, 6, 3, 5),
    (2, 3, 1030),
    (300, 2, 60),
]


def gaussian(shape: tuple[int, ...], half: np.dtype[Any], seed: int) -> Array:
    """Return numbers around 0, among them zeros of both signs, subnormal and huge ones."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(half)
    x.ravel()[:: 37 + seed] = np.resize(np.array([0.0, -0.0, 2.0**-20, 30000.0], np.float32), x.size)[:: 37 + seed]
    return x


def summed_apart(dx: Array, axis: int, isa: str) -> Array:
    """Return the sum of a gradient over all axes but one, taken as of float32, and rounded once."""
    wide = dx.astype(np.float32)
    bias = np.zeros((dx.shape[axis],) + (1,) * (dx.ndim - 1 - axis % dx.ndim))
    backward = kernels(isa)["leaky_relu_backward"]  # whose gradient is its operand
    found = _sums.call_biased(backward, isa, (1.0,), None, wide, wide, bias, None, added=False)
    assert found is not None
    return _kernels.as_half(found[1].ravel(), dx.dtype)


@each_half
@pytest.mark.parametrize("shape", BIASED_SHAPES, ids=str)
def test_gradient_of_a_bias(half: np.dtype[Any], shape: tuple[int, ...], isa: str, precision: Precision) -> None:
    """One pass has the bits of two, for every axis, by both ways into the kernels, with one and with two threads."""
    x, grad, residual = (gaussian(shape, half, seed) for seed in range(3))
    for (name, given), axis in itertools.product(BIASED, range(len(shape))):
        backward, bias = kernels(isa)[f"{name}_backward"], gaussian((shape[axis],), half, 3)
        along = bias.reshape(-1, *(1,) * (len(shape) - 1 - axis))
        with fr.precision(precision), np.errstate(all="ignore"):  # the sums of huge numbers overflow
            for more in (None, residual):
                total = x + along if more is None else x + along + more
                dx = _core.call(backward, None, True, grad, total, *given)
                expected = summed_apart(dx, axis, isa)
                for threads in (1, 2):
                    with fr.threads(threads):
                        got = _sums.call_biased(backward, isa, given, None, grad, x, along, more)
                    assert got is not None
                    assert_same_bits(got[0], dx, name)
                    assert_same_bits(got[1].ravel(), expected, name)
                got = _sums.small_biased(backward, isa, given, None, grad, x, bias, more, axis)
                assert (got is not None) == (x.size < 16384)
                if got is not None:
                    assert_same_bits(got[0], dx, name)
                    assert_same_bits(got[1], expected, name)
            from_output = kernels(isa).get(f"{name}_backward_from_output")
            if from_output is None:
                continue
            dx = _core.call(from_output, None, True, grad, x, *given)
            for got in (
                _sums.call_biased(from_output, isa, given, None, grad, x, along, None, added=False),
                _sums.small_biased(from_output, isa, given, None, grad, x, None, None, axis, added=False),
            ):
                if got is not None:
                    assert_same_bits(got[0], dx, name)
                    assert_same_bits(got[1].ravel(), summed_apart(dx, axis, isa), name)


@each_half
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_a_bias_in_every_layout(half: np.dtype[Any], layout: str, precision: Precision) -> None:
    """Operands and outputs lie anywhere, an output may be an operand, and parameters may be arrays."""
    lay, isa = LAYOUTS[layout], fr.runtime.isa
    with fr.precision(precision), np.errstate(all="ignore"):
        for shape in ((6, 5), (4, 6, 3, 5), (40, 3, 130)):
            x, grad, residual = (gaussian(shape, half, seed) for seed in range(3))
            slopes = gaussian(shape[-1:], half, 4)
            for axis in range(-len(shape), len(shape)):
                bias = gaussian((shape[axis],), half, 3)
                total = x + bias.reshape(-1, *(1,) * (len(shape) - 1 - axis % len(shape))) + residual
                for name, options in (("silu", {}), ("leaky_relu", {"negative_slope": slopes}), ("relu", {})):
                    dx = getattr(fr, f"{name}_backward")(grad, total, **options)
                    of_bias = summed_apart(dx, axis, isa)
                    for place in (None, "grad", "x", "residual", "out"):
                        laid = {"grad": lay(grad), "x": lay(x), "residual": lay(residual), "out": lay(x)}
                        out = laid.get(str(place))
                        if out is not None and not out.flags.writeable:
                            continue
                        operands = laid["grad"], laid["x"], bias, name
                        got = fr.fused.bias_act_backward(
                            *operands, residual=laid["residual"], axis=axis, out=out, **options
                        )
                        assert out is None or got[0] is out
                        assert_same_bits(got[0].astype(half), dx, (name, axis, place))
                        assert_same_bits(got[1].astype(half), of_bias, (name, axis, place))
                dx = fr.relu_backward_from_output(grad, x)
                got = fr.fused.bias_act_backward_from_output(lay(grad), lay(x), "relu", axis=axis)
                assert_same_bits(got[0].astype(half), dx, axis)
                assert_same_bits(got[1].astype(half), summed_apart(dx, axis, isa), axis)


@each_half
def test_gradient_of_a_bias_beside_others(half: np.dtype[Any]) -> None:
    """Operands that repeat, meet the output in part, are empty, or have a subclass or another type."""
    isa = fr.runtime.isa
    x, grad, bias = gaussian((30, 70), half, 0), gaussian((30, 70), half, 1), gaussian((70,), half, 2)
    dx = fr.relu_backward(grad, x + bias)
    expected = summed_apart(dx, 1, isa)
    memory = np.concatenate([grad.ravel(), grad.ravel()[:7]])
    memory[7:] = grad.ravel()
    got = fr.fused.bias_act_backward(memory[7:].reshape(30, 70), x, bias, "relu", out=memory[:-7].reshape(30, 70))
    for found, wanted in zip(got, (dx, expected), strict=True):
        assert_same_bits(found, wanted)
    one = np.broadcast_to(grad[:1], grad.shape)
    got = fr.fused.bias_act_backward(one, x, bias, "relu")
    assert_same_bits(got[0], fr.relu_backward(one.copy(), x + bias))
    assert_same_bits(got[1], summed_apart(got[0], 1, isa))
    single = fr.fused.bias_act_backward(grad, x, bias[3], "relu")
    assert_same_bits(single[0], fr.relu_backward(grad, x + bias[3]))
    assert_same_bits(single[1], np.asarray(single[0].astype(np.float64).sum()).astype(half))
    for empty in ((0, 3), (3, 0)):
        none = fr.fused.bias_act_backward(
            np.zeros(empty, half), np.zeros(empty, half), np.zeros(empty[1], half), "relu"
        )
        assert_same_bits(none[0], np.zeros(empty, half))
        assert_same_bits(none[1], np.zeros(empty[1], half))
    of_none = fr.fused.bias_act_backward(grad, x, None, "relu", residual=x)
    assert_same_bits(of_none[0], fr.relu_backward(grad, x + x))
    assert of_none[1] is None
    wide = fr.fused.bias_act_backward(grad.astype(np.float32), x, bias, "relu")
    assert [part.dtype for part in wide] == [np.float32] * 2
    assert_same_bits(wide[0].astype(half), dx)
    out = np.empty(x.shape, np.float64)
    got = fr.fused.bias_act_backward(grad, x, bias, "relu", out=out)
    assert got[0] is out
    assert_same_bits(out.astype(half), dx)
    assert_same_bits(got[1], expected)


# --- Between terms ------------------------------------------------------------------------------------------------------


def laid_out(values: Callable[[tuple[int, ...]], Array]) -> list[Callable[[tuple[int, ...]], Array]]:
    """Return functions that lay out values of a shape: contiguous, transposed, strided, reversed."""
    return [
        values,
        lambda shape: values(shape[::-1]).T,
        lambda shape: values((*shape[:-1], 2 * shape[-1]))[..., ::2],
        lambda shape: values(shape)[..., ::-1],
    ]


@each_half
@pytest.mark.parametrize("precision", ["fast", "accurate"])
def test_fused_passes(half: np.dtype[Any], precision: Precision) -> None:
    """Fused passes and gated units have the bits of NumPy's sums and products around the function, whatever the bits."""
    rng = np.random.default_rng(0)

    def values(shape: tuple[int, ...]) -> Array:
        return rng.integers(0, 1 << 16, shape).astype(np.uint16).view(half)

    with fr.precision(precision), np.errstate(all="ignore"):
        for shape, make in itertools.product([(3, 4), (37, 62), (3, 2, 700)], laid_out(values)):
            x, residual, grad = make(shape), make(shape), make(shape)
            for axis, name in itertools.product((-1, 0), ("relu", "gelu", "elu")):
                f, backward = getattr(fr, name), getattr(fr, f"{name}_backward")
                bias = values((shape[axis],))
                total = x + bias.reshape([-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
                out = make(shape)
                assert_same_bits(fr.fused.bias_act(x, bias, name, axis=axis, out=out), f(total))
                found = fr.fused.bias_act(x, bias, name, residual=residual, axis=axis)
                assert_same_bits(found, f(total + residual))
                dx, _ = fr.fused.bias_act_backward(grad, x, bias, name, residual=residual, axis=axis)
                assert_same_bits(dx, backward(grad, total + residual))
            for unit_of, name in ((fr.glu, "sigmoid"), (fr.swiglu, "silu"), (fr.geglu, "gelu"), (fr.reglu, "relu")):
                f, backward = getattr(fr, name), getattr(fr, f"{name}_backward")
                assert_same_bits(unit_of((x, residual)), f(x) * residual)
                of_gate, of_value = getattr(fr, f"{unit_of.__name__}_backward")(grad, (x, residual))
                assert_same_bits(of_gate, backward(grad * residual, x))
                assert_same_bits(of_value, f(x) * grad)
            both = make((*shape[:-1], 2 * shape[-1]))
            first, second = np.split(both, 2, -1)
            risen, fallen = fr.relu_backward(first, x), fr.srelu_backward(second, x, 0.0, -1.0, 0.0, 0.0)
            assert_same_bits(fr.crelu_backward(both, x), risen + fallen)
            risen, fallen = (fr.relu_backward_from_output(a, a) for a in (first, second))
            assert_same_bits(fr.crelu_backward_from_output(both, both), risen - fallen)
            gate, value = np.minimum(x, half.type(2)), fr.hard_tanh(residual, -2.0, 2.0) + half.type(1)
            assert_same_bits(fr.swiglu((x, residual), limit=2.0, offset=1.0), fr.silu(gate) * value)


@each_half
@pytest.mark.parametrize("name", ["glu", "swiglu", "geglu", "reglu"])
def test_dense_units(name: str, half: np.dtype[Any], precision: Precision) -> None:
    """Of dense arrays, whatever their length, they have the bits of those that the driver reads, in place too."""
    rng, unit_of, backward = np.random.default_rng(0), getattr(fr, name), getattr(fr, f"{name}_backward")
    lengths = [(1,), (7,), (31,), (63,), (64,), (65,), (511,), (512,), (513,), (1500,), (3, 20), (80, 20), (9, 250)]
    more: dict[str, dict[str, Any]] = {"swiglu": {"beta": 1.7}, "geglu": {"approximate": "tanh"}}
    for shape, options in itertools.product(lengths, [{}, more[name]] if name in more else [{}]):
        given = rng.integers(0, 1 << 16, (3, *shape)).astype(np.uint16).view(half)
        gate, value, grad = given
        spread = np.stack([gate, value], -1).reshape(*shape[:-1], -1)
        if name == "glu":  # whose gate is the second half
            spread = np.stack([value, gate], -1).reshape(*shape[:-1], -1)
        halves = np.concatenate([spread[..., ::2], spread[..., 1::2]], -1)
        with fr.precision(precision):
            wanted = unit_of(spread, layout="interleaved", **options)
            of_both = backward(grad, spread, layout="interleaved", **options)
            of_halves = np.concatenate([of_both[..., ::2], of_both[..., 1::2]], -1)
            assert_same_bits(unit_of((gate, value), **options), wanted)
            assert_same_bits(unit_of(halves, **options), wanted)
            assert_same_bits(unit_of((gate.copy(), value), out=(to := np.empty_like(value)), **options), wanted)
            assert_same_bits(to, wanted)
            for k in range(2):
                pair = gate.copy(), value.copy()
                assert unit_of(pair, out=pair[k], **options) is pair[k]
                assert_same_bits(pair[k], wanted)
            of_pair = backward(grad, (gate, value), **options)
            found = np.concatenate(of_pair[::-1] if name == "glu" else of_pair, -1)
            assert_same_bits(found, of_halves)
            assert_same_bits(backward(grad, halves, **options), of_halves)
            assert backward(grad, halves, out=halves, **options) is halves
            assert_same_bits(halves, of_halves)


@each_half
def test_small_calls(half: np.dtype[Any], precision: Precision) -> None:
    """Small passes go the way of those of float32, where loops add and multiply 16 bits."""
    x = sample(half, (4, 250))
    with fr.precision(precision):
        door = fr.explain(fr.reglu, (x, x)).door
        registers = fr.runtime.isa in {"v3", "v4"}
        assert door == ("fast path" if registers and precision == "fast" else "N-d driver")
        assert (_fused.small_sum(x, x[0].copy(), None, in_place=False) is not None) == registers
    q = np.arange(-100, 100, dtype=np.int8)
    for named in (half, half.type):
        found = _quantized.plain_dequantize("dequantize", fr.runtime.isa, q, 0.05, 3, named, None, None)
        assert_same_bits(found, _kernels.as_half((q - np.float64(3)) * np.float32(0.05), half))


def test_sums_and_products_of_mixed_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have NumPy's bits for all types of operands and `out`, but its loops for 16 bits, which are slow, do not run."""
    rng, run, shape = np.random.default_rng(0), _runtime.call_whole, (9, 62)
    halves = [*HALVES, np.dtype(">f2")]
    types = [*halves, *(np.dtype(name) for name in ("f4", "f8", "i1", "u1", "i2", "i4", "?"))]

    def watched(name: str, function: Any, *operands: Any) -> Any:
        result = run(name, function, *operands)  # raises where NumPy refuses `out`
        slow = [array for array in operands if isinstance(array, np.ndarray) and array.dtype in halves]
        assert not (isinstance(function, np.ufunc) and any(array.size > 62 for array in slow)), (function, operands)
        return result

    monkeypatch.setattr(gated_units, "call_whole", watched)
    values = [rng.normal(0, 9, shape).astype(dtype) if dtype != "?" else rng.random(shape) > 0.5 for dtype in types]
    for a, full, into in itertools.product(values, values, (None, *types)):
        if not any(dtype in halves for dtype in (a.dtype, full.dtype, into) if dtype is not None):
            continue
        for b, (how, function) in itertools.product(
            (full, full[0]), ((_fused.ADD, np.add), (_fused.MULTIPLY, np.multiply))
        ):
            expected = function(a, b)
            out = None if into is None else np.empty(shape, into)
            if into is not None and not np.can_cast(expected.dtype, into, "same_kind"):
                with pytest.raises(TypeError, match="Cannot cast ufunc"):
                    gated_units.combined("f", how, a, b, out)
                continue
            found = gated_units.combined("f", how, a, b, out)
            assert out is None or found is out
            assert_same_bits(found, expected if into is None else expected.astype(into))


@each_half
def test_gradients_with_options(half: np.dtype[Any]) -> None:
    """Gradients of rows with options are those of float32, rounded once, in any layout, and into `out` of other types."""
    rng = np.random.default_rng(0)
    for make in laid_out(lambda shape: rng.standard_normal(shape).astype(half)):
        grad, x, bias = make((37, 62)), make((37, 62)), make((37, 62))
        wide_grad, wide_x, wide_bias = (a.astype(np.float32) for a in (grad, x, bias))
        for name, axis in itertools.product(("softmax", "log_softmax"), (-1, 0, None)):
            y = getattr(fr, name)(x, axis)
            f, g = (getattr(fr, f"{name}_backward_{suffix}") for suffix in ("from_output", "parameters"))
            expected = f(wide_grad, y.astype(np.float32), axis, scale=0.3).astype(half)
            assert_same_bits(f(grad, y, axis, scale=0.3), expected)
            for into in ("f4", "f8", half):
                out = np.empty((37, 62), into)
                assert f(grad, y, axis, scale=0.3, out=out) is out
                assert_same_bits(out, expected.astype(into))
            options: dict[str, Any] = {"scale": 0.5, "softcap": 3.0, "sink": 1.0}
            found = g(grad, x, axis, bias=bias, **options)
            for one, other in zip(found, g(wide_grad, wide_x, axis, bias=wide_bias, **options), strict=True):
                assert_same_bits(one, other.astype(half))
        y = fr.gumbel_softmax(x, rng=0)
        expected = fr.gumbel_softmax_backward_from_output(wide_grad, y.astype(np.float32), tau=0.3).astype(half)
        assert_same_bits(fr.gumbel_softmax_backward_from_output(grad, y, tau=0.3), expected)


@each_half
@pytest.mark.parametrize("byte", ["?", "i1", "u1"])
def test_gumbel_gradients_of_bytes(half: np.dtype[Any], byte: str) -> None:
    """Bytes next to 16 bits give 16 bits, on either side, as in the other gradients."""
    wide, bits = numbers_of(40, np.dtype("f4"), 1).reshape(5, 8), (np.arange(40).reshape(5, 8) % 3 == 0).astype(byte)
    with np.errstate(all="ignore"):
        values = wide.astype(half)
    for grad, y in ((values, bits), (bits, values)):
        found = fr.gumbel_softmax_backward_from_output(grad, y, tau=1.0)
        assert_same_bits(found, fr.softmax_backward_from_output(grad, y))
        assert found.dtype == half


def test_rows_that_do_not_fill_the_last_part() -> None:
    """Rows of any length and number, of which a thread converts some at a time: what it needs for that fits its room.

    In a process of its own, which the system ends where the memory behind a room has been written.
    """
    run_python("""if True:
        import itertools
        import numpy as np, fastrelu as fr
        for level, threads, n in itertools.product(("fast", "accurate"), (1, 2), (1, 2, 3, 4, 5, 8, 16, 17, 40)):
            wide, whole = ("f8" if level == "accurate" else "f4"), 8192 // n - 8192 // n % 16
            for rest in (1, 3, 4, 7, 8, 15, 16, 17, 31):
                x = np.random.default_rng(rest).standard_normal((2 * whole + rest, n)).astype("f2")
                grad = x[::-1].copy()
                for name in ("softmax", "log_softmax", "softmin", "hardmax", "sparsemax"):
                    forward, backward = getattr(fr, name), getattr(fr, name + "_backward_from_output")
                    with fr.precision(level), fr.threads(threads):
                        y, expected = forward(x), forward(x.astype(wide)).astype("f2")
                        assert y.tobytes() == expected.tobytes(), (name, level, n, rest)
                        dx, expected = backward(grad, y), backward(grad.astype(wide), y.astype(wide)).astype("f2")
                        assert dx.tobytes() == expected.tobytes(), (name, level, n, rest)
    """)


# --- Copies -----------------------------------------------------------------------------------------------------------


@needs_bfloat16
@pytest.mark.parametrize("mask", [True, np.array([True, False, True, True])], ids=["all", "some"])
@pytest.mark.parametrize("into", ["f2", "f4", "f8", bfloat16, ">f4"], ids=str)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", bfloat16, "?", "i2"], ids=str)
def test_copies(kind: Any, into: Any, mask: Any) -> None:
    """A copy has the bits of NumPy's in any layout, and refuses what NumPy refuses, in its words."""
    source = np.array([[1.1, -2.5, 0.0, np.pi] if np.dtype(kind).kind not in "?i" else [1, 0, 2, 3]] * 2).astype(kind)
    for lay_out in (lambda a: a, lambda a: a[:, ::-1], lambda a: np.repeat(a, 2, 1)[:, ::2]):
        found, expected = (lay_out(np.full((2, 4), 7.0).astype(into)) for _ in range(2))
        values = lay_out(source)
        try:
            np.copyto(expected, values, casting="same_kind", where=mask)
        except TypeError as theirs:  # float16 from bfloat16
            with pytest.raises(TypeError, match=re.escape(str(theirs))):
                _kernels.copy_into(found, values, mask)
            continue
        _kernels.copy_into(found, values, mask)
        assert_same_bits(found, expected)
    for wrong in (np.zeros((2, 4), "?"), np.zeros((3, 5), into)):
        try:
            np.copyto(wrong, source, casting="same_kind")
        except (TypeError, ValueError) as theirs:
            words = str(theirs)
            with pytest.raises(type(theirs), match=re.escape(words)):
                _kernels.copy_into(wrong, source)
        else:
            _kernels.copy_into(wrong, source)


# Between float16 and bfloat16 there is no copy, as the test above says: neither holds the other's numbers.
@needs_bfloat16
@pytest.mark.parametrize(
    ("kind", "into"),
    [pair for pair in itertools.product(("f2", "f4", "f8", bfloat16), repeat=2) if set(pair) != {"f2", bfloat16}],
    ids=str,
)
def test_copies_of_every_layout(kind: Any, into: Any) -> None:
    """Between arrays that lie alike, in every order of axes, or not; that overlap; that are empty, or read-only."""
    numbers = np.concatenate(
        [numbers_of(500, np.dtype("f8")), [1e30, -1e300, 1e-40, 1e-310, np.inf, -np.inf, np.nan, -0.0]]
    )
    with np.errstate(all="ignore"):
        source = np.resize(numbers, (6, 8, 10)).astype(kind)
    orders = [*itertools.permutations(range(3))]
    laid = [source.transpose(order).copy("C").transpose(np.argsort(order)) for order in orders]
    views = [
        source[::-1],
        source[:, ::2],
        source[:, :0],
        source[0, 0, 0].reshape(()),
        np.broadcast_to(source[:1], source.shape),
    ]
    for values, order in itertools.product([*laid, *views], orders):
        shape = [values.shape[axis] for axis in order[: values.ndim]]
        found, expected = (np.zeros(shape, into).transpose(np.argsort(order[: values.ndim])) for _ in range(2))
        with np.errstate(all="ignore"):
            np.copyto(expected, values, casting="same_kind")
        _kernels.copy_into(found, values)
        assert_same_bits(found, expected)
    for shift in (0, 1, 8, 480) if kind == into else ():  # NumPy's casts do not look for overlaps
        memory = np.zeros(1000, kind)
        memory[:480] = source.ravel()
        expected = memory[:480].copy()
        _kernels.copy_into(memory[shift : shift + 480], memory[:480])
        assert_same_bits(memory[shift : shift + 480], expected)
    fixed = np.zeros(source.shape, into)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _kernels.copy_into(fixed, source)
    assert not fixed.view("u1").any()


def test_no_other_copies() -> None:
    """NumPy's copies of bfloat16 crash where there is no memory: results are copied by one function."""
    folder = Path(__file__).parent.parent / "src" / "fastrelu"
    if not folder.is_dir():
        pytest.skip("the sources are not here")
    copies = {
        (path.name, line.strip())
        for path in [*folder.rglob("*.pyx"), *folder.rglob("*.py")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if "np.copyto" in line and not line.lstrip().startswith(("#", '"""'))
    }
    assert {(name, line.partition("#")[0].strip()) for name, line in copies} == {
        (
            "_kernels.pyx",
            'copy = np.copyto if getattr(result, "dtype", None) == target.dtype else _copy_quietly',
        ),  # that function
        ("_kernels.pyx", "cdef object _copy_quietly = quiet(np.copyto)"),
        # Arrays of another library, for which that is not a copy of bfloat16.
        ("gated_units.py", "copy: Any = copy_into if own else functools.partial(quietly, np.copyto)"),
        # Of float32 and float64 alone.
        ("exponential.py", "np.copyto(out, dx, where=~beyond)"),
        # 16-bit numbers as integers.
        ("module.py", "np.copyto(to, source)"),
        # Numbers into an array, or a few calls of ours: other frameworks' names.
        ("_composed.py", "np.copyto(y, least, where=(y == -np.inf) & np.asarray(where, bool))"),
        ("_composed.py", 'np.copyto(array, value, where=_above(x, beta, threshold), casting="unsafe")'),
    }


@each_half
@each_parametric_case
def test_numbers_beside_16_bits(case: Case, half: np.dtype[Any], precision: Precision) -> None:
    """NumPy's own machinery, which takes masks that are no plain arrays, computes as the driver does, to the bit."""
    data = [np.resize(every(half)[seed:], 1 << 16) for seed in range(case.ndata)]
    with fr.precision(precision):
        expected, out = case(*data), np.zeros(1 << 16, half)
        assert case(*data, out=out, where=np.bool_(True)) is out
    assert_same_bits(out, expected)


@needs_bfloat16
def test_the_first_bfloat16_is_byte_swapped() -> None:
    """The type is learned from the first array that has it, whose byte order is not that of results."""
    program = """
import ml_dtypes, numpy as np, fastrelu as fr
from fastrelu import fused, masks, quantized
x = np.array([[1, 2, -3.5, 0.25]], ml_dtypes.bfloat16)
swapped = x.astype(x.dtype.newbyteorder())
for call in (fr.relu, fr.softmax, fr.log_softmax, fr.sparsemax, fr.hardmax, fr.glu, fr.logsumexp, fr.crelu,
             lambda v: fr.relu_backward(v, v), lambda v: fr.prelu_backward_parameters(v, v, v),
             lambda v: fr.cross_entropy(v, [1]), lambda v: fr.binary_cross_entropy_with_logits(v, v),
             lambda v: fused.bias_act(v, v[0], "relu"), lambda v: masks.relu_with_mask(v),
             lambda v: quantized.quantize(v, 0.05, 9),
             lambda v: quantized.dequantize(np.uint8([1, 9]), 0.05, 9, dtype=v.dtype)):
    results, wanted = (r if isinstance(r, tuple) else (r,) for r in (call(swapped), call(x)))
    for got, right in zip(results, wanted, strict=True):
        assert got.dtype == right.dtype and got.dtype.isnative, (call, got.dtype)
        assert got.tobytes() == right.tobytes(), (call, got, right)
"""
    run_python(program)
