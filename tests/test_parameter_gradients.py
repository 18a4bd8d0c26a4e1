"""Gradients of learned parameters: values, the bits of dx, sums that depend on nothing but the numbers, errors."""

from __future__ import annotations

import array
import inspect
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import Case, kernels
from compare import assert_close, assert_same_bits
from grid import ISAS, LAYOUTS, OUT_LAYOUTS, PRECISIONS, WIDE, native, needs_wide
from inputs import gradients, inputs, rounded, samples
from specs import BACKWARD, SPECS, Array, Params, Precision, Spec

import fastrelu as fr
from fastrelu import _sums, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


LEARNED = [spec for spec in SPECS.values() if spec.by_parameters]
GRIDS = [pytest.param(spec, params, id=f"{spec.name}{params}") for spec in LEARNED for params in spec.grid(BACKWARD)]
# Shapes of the data and of a parameter.
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((7,), ()),
    ((1000,), ()),
    ((1000,), (1,)),
    ((70000,), ()),
    ((33, 70), (70,)),
    ((33, 70), (33, 1)),
    ((33, 70), (33, 70)),
    ((3000, 5), (3000, 1)),
    ((5, 3000), (3000,)),
    ((40, 3, 7, 5), (3, 1, 1)),
    ((40, 3, 9, 8), (1, 3, 1, 1)),
    ((4, 600, 33), (600, 1)),
    ((6, 50, 4), (4,)),
    ((6, 50, 4), (6, 1, 4)),
    ((6, 50, 4), (1, 50, 1)),
    ((2, 40000, 2), (2, 1, 1)),
    ((1, 1), (4, 3)),
    ((3, 1), (4, 3, 5)),
]


@pytest.fixture(params=LEARNED, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> Spec:
    """Return each function with learned parameters in turn."""
    found: Spec = request.param
    return found


def public(spec: Spec, suffix: str = "_backward_parameters") -> Callable[..., Any]:
    """Return the public function."""
    found: Callable[..., Any] = getattr(fr, spec.name + suffix)
    return found


def run(isa: str, precision: Precision, spec: Spec, *args: Any, out: Any = None) -> tuple[Any, ...]:
    """Call the kernels of any instruction set as the public function calls its own."""
    with fr.precision(precision):
        return _sums.call(_sums.load(isa, kernels(isa))[spec.name], out, *args)


def numbers(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> tuple[Array, Array]:
    """Return a gradient and an input."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape).astype(dtype), (2 * rng.standard_normal(shape)).astype(dtype)


def spread(values: Params, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
    """Return each parameter in a shape, a little different in every element."""
    steps = np.linspace(1, 1.25, int(np.prod(shape))).reshape(shape)
    return [np.asarray(value * steps, dtype) for value in values]


def limit_of(spec: Spec, dtype: np.dtype[Any], precision: Precision) -> float:
    """Return the largest error of a derivative, in ULP."""
    single, fast, accurate = spec.parameter_limits
    return single if dtype == np.float32 else fast if precision == "fast" else accurate


def assert_all_same(found: Iterable[Any], wanted: Iterable[Any], context: object = "") -> None:
    """Compare the bits of dx and of all sums."""
    for got, exact in zip(found, wanted, strict=True):
        assert_same_bits(np.asarray(got), np.asarray(exact), context)


def reduced(terms: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum of terms over what broadcasting a shape to theirs added or stretched."""
    padded = (1,) * (terms.ndim - len(shape)) + shape
    axes = tuple(axis for axis in range(terms.ndim) if padded[axis] == 1)
    summed: Array = terms.sum(axes, keepdims=True).reshape(shape)
    return summed


# --- Values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "params"), GRIDS)
def test_derivative(spec: Spec, params: Params, dtype: np.dtype[Any], isa: str, precision: Precision) -> None:
    """Each element's derivative, with a parameter per element, over the full range of x, within its limit."""
    needs_wide(dtype)
    x = samples(spec, params, dtype)
    columns = [np.full_like(x, value) for value in params]
    found = run(isa, precision, spec, np.ones_like(x), x, *columns)
    limit = limit_of(spec, dtype, precision)
    for reference, got in zip(spec.by_parameters, found[1:], strict=True):
        with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
            exact = np.asarray(reference(x.astype(WIDE[dtype]), *rounded(params, dtype)), WIDE[dtype])
        assert_close(got, exact, limit, x, context=f"{spec.name}{params} {isa} {precision}")


@pytest.mark.parametrize(("spec", "params"), GRIDS)
def test_dx_is_that_of_backward(
    spec: Spec, params: Params, dtype: np.dtype[Any], isa: str, precision: Precision
) -> None:
    """With numbers and with arrays as parameters, dx has the bits that the gradient kernel gives."""
    x = samples(spec, params, dtype)
    grad = gradients(dtype, x.size)
    with fr.precision(precision):
        wanted = _sums.load(isa, kernels(isa))[spec.name].backward.fast
        if precision == "accurate":
            wanted = _sums.load(isa, kernels(isa))[spec.name].backward.accurate
        exact = wanted(grad, x, *(np.array(value, dtype) for value in params))
    for given in (params, [np.full_like(x, value) for value in params]):
        assert_same_bits(run(isa, precision, spec, grad, x, *given)[0], exact, spec.name)


@pytest.mark.parametrize(("shape", "own"), SHAPES, ids=str)
def test_sums(
    spec: Spec, shape: tuple[int, ...], own: tuple[int, ...], dtype: np.dtype[Any], precision: Precision
) -> None:
    """A parameter of any shape gets the sum of its terms: rounded once, apart from the error of each term."""
    grad, x = numbers(shape, dtype)
    params = spread(spec.params[0], own, dtype)
    dx, *found = run(ISAS[-1], precision, spec, grad, x, *params)
    full = np.broadcast_shapes(shape, own)
    with fr.precision(precision):
        assert_same_bits(np.asarray(dx), np.asarray(public(spec, "_backward")(grad, x, *params)), spec.name)
    wide = [np.broadcast_to(value, full).astype(WIDE[dtype]) for value in (grad, x, *params)]
    error = limit_of(spec, dtype, precision)
    for reference, got in zip(spec.by_parameters, found, strict=True):
        terms = wide[0] * np.asarray(reference(*wide[1:]), WIDE[dtype])
        exact, size = reduced(terms, own), reduced(np.abs(terms), own)
        eps = np.finfo(dtype).eps
        # float32 terms are computed in double; one rounding remains.
        each = 1e-8 if dtype == np.float32 else 2 * error + 1
        assert np.shape(got) == own
        assert got.dtype == dtype
        assert type(got) is (dtype.type if own == () else np.ndarray)
        assert np.all(np.abs(got - exact) <= eps * (0.5001 * np.abs(exact) + each * size))


@pytest.mark.parametrize(("shape", "own"), [((2**17,), ()), ((2**11, 64), (64,)), ((64, 2**11), (64, 1))], ids=str)
def test_no_worse_than_pairwise(
    spec: Spec, shape: tuple[int, ...], own: tuple[int, ...], dtype: np.dtype[Any], isa: str
) -> None:
    """The mean error of many sums is at most that of NumPy's pairwise sums of the correctly rounded terms."""
    needs_wide(dtype)
    ours, theirs = [], []
    for seed in range(1 if own else 12):
        grad, x = numbers(shape, dtype, seed)
        params = [np.full(own, value, dtype) for value in spec.params[0]]
        found = run(isa, "accurate", spec, grad, x, *params)[1:]
        wide = [np.broadcast_to(value, shape).astype(WIDE[dtype]) for value in (grad, x, *params)]
        for reference, got in zip(spec.by_parameters, found, strict=True):
            terms = wide[0] * np.asarray(reference(*wide[1:]), WIDE[dtype])
            exact, size = reduced(terms, own), reduced(np.abs(terms), own)
            ours.append(np.abs(got - exact) / size)
            theirs.append(np.abs(reduced(terms.astype(dtype), own) - exact) / size)
    assert np.mean(ours) <= np.mean(theirs)


# --- What the bits do not depend on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "own"), [((300001,), ()), ((64, 30, 40), (30, 1)), ((3000, 70), (70,)), ((7, 9000), (7, 1))], ids=str
)
def test_threads(spec: Spec, shape: tuple[int, ...], own: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Any number of threads gives the same bits."""
    grad, x = numbers(shape, dtype)
    params = spread(spec.params[0], own, dtype)
    with fr.threads(1):
        alone = public(spec)(grad, x, *params)
    for n in (2, 3):
        with fr.threads(n):
            assert_all_same(public(spec)(grad, x, *params), alone, f"{spec.name} {n}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("own", [(), (6, 1), (40,), (3, 6, 40)], ids=str)
def test_layouts(spec: Spec, layout: str, own: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """The layout of no operand changes a bit, nor does the layout of `out`."""
    lay = LAYOUTS[layout]
    grad, x = numbers((3, 6, 40), dtype)
    params = spread(spec.params[0], own, dtype)
    wanted = public(spec)(grad, x, *params)
    laid = [lay(value) if value.ndim else value for value in params]
    for operands in ((lay(grad), x, params), (grad, lay(x), params), (lay(grad), lay(x), laid)):
        assert_all_same(public(spec)(*operands[:2], *operands[2]), wanted, f"{spec.name} {layout}")
    if layout in OUT_LAYOUTS:
        out = lay(np.zeros_like(x))
        found = public(spec)(grad, x, *params, out=out)
        assert found[0] is out
        assert_all_same([native(out), *found[1:]], wanted, f"{spec.name} into {layout}")


def test_instruction_sets(spec: Spec, dtype: np.dtype[Any]) -> None:
    """Accurate float32 sums have the same bits on every instruction set."""
    if dtype == np.float64:
        pytest.skip("float64 depends on FMA")
    grad, x = numbers((50, 70), dtype)
    params = spread(spec.params[0], (70,), dtype)
    found = [run(isa, "accurate", spec, grad, x, *params) for isa in ISAS]
    for other in found[1:]:
        assert_all_same(other, found[0], spec.name)


def test_numbers_arrays_mixtures(spec: Spec, dtype: np.dtype[Any]) -> None:
    """Numbers, 0-d arrays, arrays and any mixture of them give the same dx, and sums of the same terms."""
    grad, x = numbers((9, 40), dtype)
    usual = spec.params[0]
    forms: list[Callable[[float], Any]] = [
        float,
        dtype.type,
        lambda value: np.array(value, dtype),
        lambda value: np.full(1, value, dtype),
        lambda value: np.full((9, 1), value, dtype),
        lambda value: np.full(40, value, dtype),
        lambda value: np.full((9, 40), value, dtype),
    ]
    dx, *wanted = public(spec)(grad, x, *usual)
    tolerance = {"rtol": 64 * np.finfo(dtype).eps, "atol": 256 * np.finfo(dtype).eps}
    for chosen in itertools.product(forms, repeat=min(len(usual), 2)):
        params = [chosen[index % len(chosen)](value) for index, value in enumerate(usual)]
        got_dx, *got = public(spec)(grad, x, *params)
        assert_same_bits(got_dx, dx, spec.name)
        for index, total in enumerate(wanted):
            assert np.shape(got[index]) == np.shape(params[index])
            assert got[index].dtype == dtype
            np.testing.assert_allclose(np.sum(got[index], dtype=np.float64), total, **tolerance)


# --- NumPy's rules ------------------------------------------------------------------------------------------------


def test_types(spec: Spec) -> None:
    """The result has the type that the gradient has, whatever comes in."""
    given: list[Any] = [np.float16, np.int8, np.int64, bool, np.float32, np.float64, ">f4", ">f8"]
    for kind in given:
        x = np.arange(-4, 5).astype(kind)
        wanted = public(spec, "_backward")(np.ones_like(x), x, *spec.params[0])
        found = public(spec)(np.ones_like(x), x, *spec.params[0])
        assert_same_bits(found[0], wanted, f"{spec.name} {kind}")
        assert all(got.dtype == wanted.dtype for got in found)
    x = np.ones(3, np.float32)
    typed = public(spec)(x, x, *map(np.float64, spec.params[0]))
    assert all(got.dtype == np.float64 for got in typed)
    plain = public(spec)(1.0, -2.0, *spec.params[0])
    assert all(type(got) is np.float64 for got in plain)
    listed = public(spec)([1.0, 2.0], [-2.0, 3.0], *spec.params[0])
    assert listed[0].shape == (2,)


def test_broadcast_data(spec: Spec, dtype: np.dtype[Any]) -> None:
    """The gradient and the input broadcast with each other."""
    grad, x = numbers((4, 1, 6), dtype)[0], numbers((5, 1), dtype)[1]
    params = spread(spec.params[0], (6,), dtype)
    full = [np.ascontiguousarray(value) for value in np.broadcast_arrays(grad, x)]
    assert_all_same(public(spec)(grad, x, *params), public(spec)(*full, *params), spec.name)
    assert_all_same(public(spec)(dtype.type(1), x, *params), public(spec)(1.0, x, *params), spec.name)


def test_in_place(spec: Spec, dtype: np.dtype[Any]) -> None:
    """out=grad and out=x work, and any other overlap is as if the operands had been copied."""
    grad, x = numbers((33, 70), dtype)
    params = spread(spec.params[0], (70,), dtype)
    wanted = public(spec)(grad, x, *params)
    for index in range(2):
        operands = [grad.copy(), x.copy()]
        found = public(spec)(*operands, *params, out=operands[index])
        assert found[0] is operands[index]
        assert_all_same(found, wanted, spec.name)
    memory = np.concatenate([grad.ravel(), np.zeros(5, dtype)])
    shifted, out = memory[: grad.size].reshape(grad.shape), memory[5:].reshape(grad.shape)
    assert_all_same(public(spec)(shifted, x, *params, out=out), wanted, spec.name)
    target = np.array(np.broadcast_to(params[0], grad.shape))
    assert_all_same(public(spec)(grad, x, target[0], *params[1:], out=target), wanted, spec.name)


def test_out(spec: Spec) -> None:
    """`out` may be of another type that NumPy casts to, a one-tuple, a buffer, or ... for an array without axes."""
    grad, x = numbers((20,), np.dtype(np.float32))
    wanted = public(spec)(grad, x, *spec.params[0])
    wide = np.empty(20)
    found = public(spec)(grad, x, *spec.params[0], out=(wide,))
    assert found[0] is wide
    assert_same_bits(wide.astype(np.float32), wanted[0], spec.name)
    buffer = array.array("f", [0.0] * 20)
    found = public(spec)(grad, x, *spec.params[0], out=buffer)
    assert found[0] is buffer
    assert_same_bits(np.asarray(memoryview(buffer)), wanted[0], spec.name)
    assert type(public(spec)(grad[0], x[0], *spec.params[0], out=...)[0]) is np.ndarray


def test_empty(spec: Spec, dtype: np.dtype[Any]) -> None:
    """The sum of nothing is +0."""
    for shape, own in [((0,), ()), ((0, 3), (3,)), ((3, 0), (3, 1)), ((3, 0), (1, 0))]:
        x = np.zeros(shape, dtype)
        dx, *found = public(spec)(x, x, *[np.full(own, value, dtype) for value in spec.params[0]])
        assert dx.shape == shape
        for got in found:
            assert_same_bits(np.asarray(got), np.zeros(own, dtype), spec.name)


def test_nan_and_infinity(spec: Spec, dtype: np.dtype[Any]) -> None:
    """NaN spoils the sums it belongs to and no others; infinities sum to infinity; off by rule is 0 for any gradient."""
    x = np.array([[-1.5, 0.25, np.nan], [2.5, -0.5, 0.5]], dtype)
    params = [np.full(3, value, dtype) for value in spec.params[0]]
    found = public(spec)(np.ones_like(x), x, *params)
    assert all(np.isnan(got[2]) and np.isfinite(got[:2]).all() for got in found[1:])
    x = samples(spec, spec.params[0], dtype)
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        derivatives = [reference(x, *map(dtype.type, spec.params[0])) for reference in spec.by_parameters]
    columns = [np.full_like(x, value) for value in spec.params[0]]
    for derivative, got in zip(derivatives, public(spec)(np.full_like(x, np.inf), x, *columns)[1:], strict=True):
        passes = np.isfinite(derivative) & (np.abs(derivative) > np.finfo(dtype).tiny)
        assert_same_bits(got[passes], np.copysign(np.inf, derivative[passes]).astype(dtype), spec.name)
        rule = (x > 1) & (derivative == 0) & bool(spec.kinks(*spec.params[0]))
        assert_same_bits(got[rule], np.zeros(np.count_nonzero(rule), dtype), spec.name)
    total = public(spec)(np.full(5000, np.inf, dtype), np.full(5000, -1.5, dtype), *spec.params[0])
    assert all(np.isinf(got) or got == 0 for got in total[1:])


# --- Errors -------------------------------------------------------------------------------------------------------


def test_domain(spec: Spec, dtype: np.dtype[Any]) -> None:
    """Numbers outside the domain raise what the gradient raises; array elements outside give NaN."""
    x = np.linspace(-3, 3, 12, dtype=dtype)
    for params in spec.outside(BACKWARD):
        out = np.full_like(x, 7)
        with pytest.raises(ValueError, match=f"^{spec.name}_backward requires ") as caught:
            public(spec)(x, x, *params, out=out)
        with pytest.raises(ValueError, match="requires") as wanted:
            public(spec, "_backward")(x, x, *params)
        assert str(caught.value) == str(wanted.value)
        assert np.all(out == 7)
        for size in (1, 12):
            found = public(spec)(x, x, *(np.full(size, value, dtype) for value in params))
            assert all(np.isnan(got).all() for got in found)


def test_refused(spec: Spec) -> None:
    """Wrong types, shapes and outputs are errors that say so, raised before anything is written."""
    x = np.ones((3, 4), np.float32)
    usual = spec.params[0]
    call = public(spec)
    locked = np.zeros_like(x)
    locked.flags.writeable = False
    wrong: list[tuple[type[Exception], str, Any]] = [
        (ValueError, r"out has the shape \(4,\), dx has \(3, 4\)", np.zeros(4, np.float32)),
        (ValueError, "out is read-only", locked),
        (TypeError, "out of type int64 cannot take dx of type float32", np.zeros((3, 4), np.int64)),
        (TypeError, "can write into an array or a writable buffer, not into 'str'", "here"),
        (TypeError, "not into 'MaskedArray'", np.ma.zeros((3, 4), np.float32)),
    ]
    for kind, message, out in wrong:
        with pytest.raises(kind, match=f"^{spec.name}_backward_parameters.*{message}"):
            call(x, x, *usual, out=out)
    with pytest.raises(TypeError, match=r"masked arrays.*pass grad.filled\(0\)"):
        call(np.ma.masked_array(x, x > 0), x, *usual)
    for bad in ("1", None, 1j, [object()]):
        with pytest.raises(TypeError):
            call(x, x, bad, *usual[1:])
        with pytest.raises(TypeError):
            call(x, bad, *usual)
    with pytest.raises(ValueError, match="broadcast"):
        call(x, np.ones(5, np.float32), *usual)
    with pytest.raises(ValueError, match="broadcast"):
        call(x, x, np.ones(5, np.float32), *usual[1:])


# --- prelu --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_prelu_axis(axis: int, dtype: np.dtype[Any]) -> None:
    """With axis= the weight lies along that axis and its gradient is as long as it is."""
    grad, x = numbers((4, 5, 6), dtype)
    weight = np.linspace(0.1, 0.9, x.shape[axis], dtype=dtype)
    lying = weight.reshape([-1 if at == axis % 3 else 1 for at in range(3)])
    dx, dweight = fr.prelu_backward_parameters(grad, x, weight, axis=axis)
    wanted_dx, wanted = fr.leaky_relu_backward_parameters(grad, x, lying)
    assert_same_bits(dx, wanted_dx)
    assert_same_bits(dweight, wanted.reshape(-1))
    one = fr.prelu_backward_parameters(grad, x, weight[:1], axis=axis)[1]
    assert one.shape == (1,)
    with pytest.raises(ValueError, match="prelu got 3 weights"):
        fr.prelu_backward_parameters(grad, x, weight[:3], axis=axis)
    with pytest.raises(ValueError, match="one-dimensional weight"):
        fr.prelu_backward_parameters(grad, x, lying, axis=axis)


def test_prelu_without_axis(dtype: np.dtype[Any]) -> None:
    """Without axis= prelu is leaky_relu; the kink belongs to the weight."""
    grad, x = numbers((4, 5), dtype)
    for weight in (0.25, np.full(5, 0.25, dtype)):
        found = fr.prelu_backward_parameters(grad, x, weight)
        assert_all_same(found, fr.leaky_relu_backward_parameters(grad, x, weight))
    assert np.isnan(fr.prelu_backward_parameters(dtype.type(np.inf), dtype.type(0), 0.25)[1])


@pytest.mark.parametrize("own", [1, 6])
def test_prelu_against_pytorch(own: int, torch: Any) -> None:
    """The same gradients as PyTorch's, to rounding."""
    grad, x = numbers((8, 6, 5, 7), np.dtype(np.float32))
    weight = np.linspace(0.1, 0.5, own, dtype=np.float32)
    ours = fr.prelu_backward_parameters(grad, x, weight, axis=1)
    theirs = [torch.from_numpy(value).requires_grad_() for value in (x, weight)]
    torch.nn.functional.prelu(*theirs).backward(torch.from_numpy(grad))
    for got, tensor in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=2e-6, atol=2e-5)


# --- Completeness -------------------------------------------------------------------------------------------------


def test_every_learned_function_is_here() -> None:
    """The kernels, the rows and the public functions name the same functions and parameters."""
    assert {spec.name for spec in LEARNED} == set(runtime.learned)
    for spec in LEARNED:
        names = runtime.learned[spec.name].parameters
        assert len(spec.by_parameters) == len(names)
        backward = list(inspect.signature(public(spec, "_backward")).parameters.values())
        found = list(inspect.signature(public(spec)).parameters.values())
        assert [(p.name, p.default) for p in found] == [(p.name, p.default) for p in backward if p.name != "where"]
        assert tuple(p.name for p in found[2:-1]) == names
        text = inspect.getdoc(public(spec)) or ""
        assert all(f"d{name}" in text for name in names)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_references(isa: str, precision: Precision) -> None:
    """The references fit the derivative: both describe one function, by finite differences in its parameters."""
    for spec in LEARNED:
        case = Case(spec, BACKWARD)
        x = inputs(case, spec.params[0], np.dtype(np.float64))
        x = x[(np.abs(x) < 20) & (np.abs(x) > 0.01)]
        wide = [np.longdouble(value) for value in spec.params[0]]
        found = run(isa, precision, spec, np.ones_like(x), x, *[np.full_like(x, value) for value in spec.params[0]])
        for index, got in enumerate(found[1:]):
            step = np.longdouble(1e-6)
            above, below = list(wide), list(wide)
            above[index] += step
            below[index] -= step
            slope = (spec.forward(x.astype(np.longdouble), *above) - spec.forward(x.astype(np.longdouble), *below)) / (
                2 * step
            )
            kinks = np.array(spec.kinks(*spec.params[0]))
            smooth = np.abs(x[:, None] - kinks).min(1, initial=np.inf) > 1e-4
            np.testing.assert_allclose(got[smooth], slope[smooth].astype(float), rtol=1e-6, atol=1e-7)
