"""Fused passes have the bits of the passes that they replace: every activation, type, layout and number of threads."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import FORWARD_CASES, Case, each_forward_case, kernels
from compare import assert_guards, assert_same_bits
from grid import DTYPES, LAYOUTS, guarded
from inputs import dtype_named, values

import fastrelu as fr
from fastrelu import _core, _fused, _runtime, _sums, fused, nn

UNITS: dict[str, tuple[str, dict[str, Any]]] = {
    "glu": ("sigmoid", {}),
    "swiglu": ("silu", {}),
    "swiglu, beta": ("swish", {"beta": 1.702}),
    "geglu": ("gelu", {}),
    "geglu, tanh": ("gelu", {"approximate": "tanh"}),
    "reglu": ("relu", {}),
}
SHAPES = [(6,), (1, 2), (64, 300), (2, 4, 4, 6), (4, 700, 2), (3, 2, 2000)]
FEW = {"C", "F", "every second", "both backwards", "unaligned"}
LAYS = [pytest.param(lay, marks=() if lay in FEW else pytest.mark.wide) for lay in LAYOUTS if lay != "read-only"]


def options_of(case: Case) -> tuple[str, dict[str, Any]]:
    """Return the public name of an activation and its parameters by name."""
    if case.name == "gelu_tanh":
        return "gelu", {"approximate": "tanh"}
    options = dict(zip(fr.runtime.kernels[case.name].operands[1:], case.params, strict=True))
    return case.name.removesuffix("_line"), options


PUBLIC = [case for case in FORWARD_CASES if case.name == "gelu_tanh" or hasattr(fr, case.name.removesuffix("_line"))]


@pytest.fixture(params=[1, 2], ids="threads={}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run with one and with two threads."""
    with fr.threads(request.param):
        yield request.param


def data(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    """Return numbers of every kind in a shape."""
    return values(math.prod(shape), dtype, seed).reshape(shape)


def along(bias: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return a bias in a shape that broadcasts along an axis."""
    return bias.reshape(bias.shape + (1,) * (len(shape) - 1 - axis % len(shape)))


# --- Bias and residual --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", PUBLIC, ids=str)
@pytest.mark.parametrize("rows", [1, 3, 60])  # small arrays are summed in a pass of their own
@pytest.mark.usefixtures("threads")
def test_every_activation(rows: int, case: Case, dtype: Any) -> None:
    """Forward, in place, and both gradients of every activation."""
    name, options = options_of(case)
    function, shape = getattr(fr, name), (rows, 300)
    x, residual, grad = (data(shape, dtype, seed) for seed in range(3))
    bias = np.linspace(-2, 2, 300).astype(dtype)
    with np.errstate(all="ignore"):  # the sums of huge numbers overflow
        total = x + bias + residual
        assert_same_bits(fused.bias_act(x, bias, name, residual=residual, **options), function(total, **options), name)
        assert_same_bits(fused.bias_act(x, bias, function, **options), function(x + bias, **options), name)
        dx = getattr(fr, f"{name}_backward")(grad, total, **options)
        got, of_bias = fused.bias_act_backward(grad, x, bias, name, residual=residual, **options)
        assert_same_bits(got, dx, name)
        assert of_bias.shape == bias.shape
        place = grad.copy()
        again = fused.bias_act_backward(place, x, bias, name, residual=residual, axis=1, out=place, **options)
        assert again[0] is place
        assert_same_bits(place, dx, name)
        assert_same_bits(again[1], of_bias, name)
        place = residual.copy()
        again = fused.bias_act_backward(grad, x, bias, name, residual=place, out=place, **options)
        assert again[0] is place
        assert_same_bits(place, dx, name)
        assert_same_bits(again[1], of_bias, name)
        place = x.copy()
        assert fused.bias_act_(place, bias, name, **options) is place
        assert_same_bits(place, function(x + bias, **options), name)
        if hasattr(fr, f"{name}_backward_from_output"):
            y = function(total, **options)
            of_y = getattr(fr, f"{name}_backward_from_output")(grad, y, **options)
            got = fused.bias_act_backward_from_output(grad, y, name, **options)
            assert_same_bits(got[0], of_y, name)
            assert_same_bits(got[1], fused.bias_act_backward_from_output(grad, y, name, axis=1, **options)[1], name)


@pytest.mark.parametrize("name", sorted({options_of(case)[0] for case in PUBLIC}))
def test_usual_parameters(name: str) -> None:
    """Parameters that have a default may be omitted, also where it is None."""
    function, signature = getattr(fr, name), inspect.signature(getattr(fr, name))
    needed = {p.name: 0.5 for p in signature.parameters.values() if p.default is p.empty and p.name != "x"}
    x, bias = np.full((2, 3), 0.25, np.float32), np.full(3, 0.125, np.float32)
    assert_same_bits(fused.bias_act(x, bias, name, **needed), function(x + bias, **needed), name)
    dx = getattr(fr, f"{name}_backward")(x, x + bias, **needed)
    assert_same_bits(fused.bias_act_backward(x, x, bias, name, **needed)[0], dx, name)


def outcome(call: Callable[[], Any]) -> Any:
    """Return a result, or the text of the error after the name of the function."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        return str(error)


@pytest.mark.parametrize("case", PUBLIC, ids=str)
def test_parameters_of_before(case: Case) -> None:
    """A call with a number that equals that of the call before, but is of another type or sign, is one of its own."""
    name, options = options_of(case)
    x = np.linspace(-2, 2, 6, dtype=np.float32)
    for option in options:
        for value in (
            0.0,
            -0.0,
            0,
            False,
            1.0,
            1,
            True,
            np.float64(1),
            math.nan,
            0.5,
            np.float16(0.5),
            "0.5",
            [0.5],
            None,
        ):
            given = options | {option: value}
            expected = outcome(functools.partial(getattr(fr, name), x + x, **given))
            got = outcome(functools.partial(fused.bias_act, x, x, name, **given))
            if isinstance(expected, str):
                assert isinstance(got, str), (name, given)
            else:
                assert_same_bits(got, expected, (name, given))


def test_what_is_no_activation() -> None:
    """It is named, whether it can be called and hashed or not."""
    x = np.ones((2, 3), np.float32)
    unhashable = type("Callable", (), {"__hash__": None, "__call__": None})()
    wrong: list[Any] = [None, 3, [fr.relu], x, unhashable, np.exp, np.tanh]
    for what, options in itertools.product(wrong, ({}, {"alpha": 0.5})):
        with pytest.raises(ValueError, match="is no activation of this library"):
            fused.bias_act(x, x[0], what, **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_every_layout(shape: tuple[int, ...], layout: str, dtype: Any) -> None:
    """Operands and outputs of any layout, along every axis; an output may be an operand."""
    lay = LAYOUTS[layout]
    x, residual, grad = (np.clip(np.nan_to_num(data(shape, dtype, seed)), -9, 9) for seed in range(3))
    for axis in range(-len(shape), len(shape)):
        bias = np.linspace(-2, 2, shape[axis]).astype(dtype)
        total = x + along(bias, shape, axis) + residual
        expected, dx = fr.silu(total), fr.silu_backward(grad, total)
        got = fused.bias_act(lay(x), bias, "silu", residual=lay(residual), axis=axis)
        assert_same_bits(got, expected, axis)
        for given in (x, residual):
            out = lay(given)
            other = {"residual": out} if given is residual else {"residual": lay(residual)}
            assert fused.bias_act(out if given is x else x, bias, "silu", **other, axis=axis, out=out) is out
            assert_same_bits(out.astype(dtype), expected, axis)
        got, of_bias = fused.bias_act_backward(lay(grad), lay(x), bias, "silu", residual=lay(residual), axis=axis)
        assert_same_bits(got, dx, axis)
        rows = np.moveaxis(dx, axis, 0).reshape(shape[axis], -1)
        exact = np.array([math.fsum(row) for row in rows.tolist()])
        np.testing.assert_allclose(of_bias, exact.astype(dtype), rtol=2 * np.finfo(dtype).eps, atol=0)
        again = fused.bias_act_backward(grad, x, bias, "silu", residual=residual, axis=axis)[1]
        assert_same_bits(of_bias.astype(dtype), again, axis)


# Elements of a row: around vectors, tiles, streamed boxes, blocks and the longest boxes.
EDGES = (1, 31, 32, 33, 63, 64, 65, 255, 257, 511, 512, 513, 1030, 4095, 4097)
ADD, MULTIPLY = _fused.ADD, _fused.MULTIPLY


def results_of(rows: tuple[int, ...], dtype: Any, *passes: tuple[Any, ...]) -> list[Any]:
    """Return what passes write between guards, each pass a kernel, its inputs and its terms."""
    made = [guarded(rows, dtype, 1) for _ in passes]
    _fused.call_fused("test", tuple((*one, out) for one, (out, _) in zip(passes, made, strict=True)))
    for out, memory in made:
        assert_guards(out, memory)
    return [out for out, _ in made]


def check_terms(case: Case, isa: str, rows: tuple[int, ...], dtype: Any, threads: int) -> None:
    """Compare sums and products in one pass with those of several: terms are rows, one number a row, or whole arrays."""
    forward, backward, given = kernels(isa)[case.name], kernels(isa)[f"{case.name}_backward"], case.params
    # Odd addresses, and rows that are not adjacent.
    x, grad, other = (data((rows[0], rows[1] + 3), dtype, seed)[:, 3:] for seed in range(3))
    product = 1 + len(given)
    of_gate = backward, (grad, x, *given), ((0, MULTIPLY, other),)
    of_value = forward, (x, *given), ((product, MULTIPLY, grad),)
    units = [
        _core.call(backward, None, True, grad * other, x, *given),
        _core.call(forward, None, True, x, *given) * grad,
    ]
    with fr.threads(threads):
        for got, expected in zip(results_of(rows, dtype, of_gate, of_value), units, strict=True):
            assert_same_bits(got, expected, rows)
        assert_same_bits(results_of(rows, dtype, of_value)[0], units[1], rows)
    for bias in (data((rows[1],), dtype, 3), data((rows[0], 1), dtype, 4)):
        for more in ((), (other,)):
            total = x + bias + more[0] if more else x + bias
            expected = _core.call(forward, None, True, total, *given)
            terms = tuple((0, ADD, term) for term in (bias, *more))
            place = x.copy()
            with fr.threads(threads):
                assert_same_bits(results_of(rows, dtype, (forward, (x, *given), terms))[0], expected, rows)
                assert _fused.call_fused("test", ((forward, (place, *given), terms, place),)) is not None
                slope = _sums.call_biased(backward, isa, given, None, grad, x, bias, more[0] if more else None)
            assert_same_bits(place, expected, rows)
            assert slope is not None
            assert_same_bits(slope[0], _core.call(backward, None, True, grad, total, *given), rows)
            others = np.asfortranarray(grad), np.asfortranarray(x), bias, more[0] if more else None
            elsewhere = _sums.call_biased(backward, isa, given, None, *others)
            assert elsewhere is not None
            assert_same_bits(slope[1], elsewhere[1], rows)


@each_forward_case
def test_every_length(case: Case, isa: str, dtype: Any, precision: Any) -> None:
    """The bits are those of several passes at every length, in place, with one and with two threads; at some of them streamed."""
    with fr.precision(precision), np.errstate(all="ignore"):
        for least, lengths in ((-1, EDGES), (0, EDGES[::3])):
            _runtime.set_defaults(stream_from=least)
            try:
                for n in lengths:
                    check_terms(case, isa, (6, n), dtype, 1)
                check_terms(case, isa, (130, 530), dtype, 2)  # as few elements as two threads share
            finally:
                _runtime.set_defaults(stream_from=-1)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "shape", [(9,), (10, 10), (5, 1), (1, 5), (3000, 2), (200, 31), (200, 32), (200, 33), (4, 50, 3), (2, 3, 1, 4)]
)
def test_every_axis_of_a_bias(shape: tuple[int, ...], dtype: str) -> None:
    """One number of the bias for one, few or many elements side by side; by positive and negative axes."""
    x, residual = data(shape, dtype, 1), data(shape, dtype, 2)
    for axis in range(-len(shape), len(shape)):
        bias = data((shape[axis],), dtype, 3)
        spread = np.expand_dims(bias, [i for i in range(len(shape)) if i != axis % len(shape)])
        for more in ({}, {"residual": residual}):
            with np.errstate(all="ignore"):
                total = x + spread
                total = total + residual if more else total
            place = x.copy()
            for given in (x, x.copy(order="F"), np.repeat(x, 2, -1)[..., ::2], place):
                out = {"out": place} if given is place else {}
                got = fused.bias_act(given, bias, "gelu", axis=axis, **more, **out)
                assert_same_bits(got, fr.gelu(total), f"axis {axis}, {[*more]}")


def test_other_types() -> None:
    """Mixed types, scalars, lists and masked arrays are what NumPy's sums make of them; integers do not wrap."""
    x, bias = np.arange(-6, 6).reshape(3, 4), [1, -2, 0, 3]
    for kind in (np.int8, np.int64, np.float16, np.float32, np.float64, ">f4", bool):
        given = x.astype(kind)
        for added in (bias, np.array(bias, np.float64), np.array(bias, np.float32)):
            assert_same_bits(fused.bias_act(given, added, "gelu"), fr.gelu(np.add(given, added)), kind)
    large = np.array([[100, -100]], np.int8)
    assert_same_bits(fused.bias_act(large, large[0], "identity"), np.float32([[200, -200]]))
    assert_same_bits(fused.bias_act_backward(large, large, large[0], "relu")[0], np.float32([[100, 0]]))
    assert_same_bits(fr.reglu_backward(large[0, :1], large[:, ::-1][0]), np.float32([0, 0]))
    assert_same_bits(fr.reglu_backward(large[0, :1], large[0]), np.float32([-10000, 10000]))
    masked = np.ma.masked_less(x.astype(float), 0)
    assert np.ma.isMaskedArray(fused.bias_act(masked, bias, "relu"))
    assert fused.bias_act(np.float32([1, 2]), 1.0, "relu").dtype == np.float32
    assert fused.bias_act(np.float32([1, -2]), None, "relu").tolist() == [1, 0]
    buffer = bytearray(np.float32([1, -2]))
    assert fused.bias_act_(memoryview(buffer).cast("f"), np.float32([1, 1]), "relu") is not None
    assert np.frombuffer(buffer, np.float32).tolist() == [2, 0]


SEVERAL = (
    np.int8,
    np.uint16,
    np.int32,
    np.int64,
    np.uint64,
    bool,
    np.float16,
    np.float32,
    np.float64,
    ">f4",
    ">f8",
    ">i4",
)


@pytest.mark.parametrize("kind", SEVERAL, ids=str)
def test_one_pass_over_several_types(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands of several types are converted and go through one pass, which has the bits of separate ones."""
    x = np.random.default_rng(3).uniform(0, 9, (40, 30)).astype(kind)
    before = x.copy()
    for added in SEVERAL:
        bias = np.arange(30).astype(added)
        for residual in (None, x[::-1], np.ones(x.shape, added)):
            terms = [bias] if residual is None else [bias, residual]
            whole = np.result_type(x, *terms).kind in "biu"
            total = x.astype(_core.joint_dtype(x, *terms)) if whole else x
            for term in terms:
                total = total + term
            joint = _core.joint_dtype(x, *terms)
            single = joint.itemsize > 2 and (whole or np.result_type(x, bias) == joint)
            with monkeypatch.context() as context:
                if single:
                    context.setattr(fused, "_sum", None)
                got = fused.bias_act(x, bias, "silu", residual=residual)
                assert_same_bits(got, fr.silu(total), f"{kind}, {added}")
                for other in (np.float16, np.float32, np.float64, ">f8"):
                    out = np.empty(x.shape, other)
                    assert fused.bias_act(x, bias, "silu", residual=residual, out=out) is out
                    assert_same_bits(out, got.astype(other), f"{kind}, {added}, {other}")
        total = x.astype(_core.joint_dtype(x, bias)) if np.result_type(x, bias).kind in "biu" else x
        for of in (np.int16, np.float32, np.float64):
            grad = np.random.default_rng(4).uniform(-3, 3, x.shape).astype(of)
            dx = fr.silu_backward(grad, total + bias)
            for out in (None, np.empty(x.shape, np.float32), np.empty(x.shape, ">f8")):
                got, of_bias = fused.bias_act_backward(grad, x, bias, "silu", out=out)
                assert_same_bits(got, dx if out is None else dx.astype(out.dtype), f"{kind}, {added}, {of}")
                sums = dx.sum(0, np.float64)
                assert of_bias.dtype == dx.dtype
                assert np.allclose(of_bias.astype(float), sums, rtol=float(np.finfo(dx.dtype).eps), atol=1e-12)
    assert_same_bits(x, before)


def test_explained_pass_over_several_types() -> None:
    """The pass over converted arrays is explained as it runs: fused, in the type of the sum."""
    x = np.ones((400, 300), np.int32)
    for bias in (x[0], np.float32(x[0]), np.int8(x[0])):
        for given in (x, np.float32(x)):
            found = fr.explain(fused.bias_act, given, bias, "relu")
            assert (found.door, found.dtype) == ("N-d driver", _core.joint_dtype(given, bias).name)
            assert found.why_not_fast == "the pass is fused with others"


def test_gradient_without_a_bias() -> None:
    """As the forward pass it takes no bias, with a residual or not; the gradient of the bias is None."""
    x, grad = (np.random.default_rng(k).standard_normal((4, 3), np.float32) for k in range(2))
    for residual in (None, x):
        dx, of_bias = fused.bias_act_backward(grad, x, None, "silu", residual=residual)
        assert of_bias is None
        assert_same_bits(dx, fr.silu_backward(grad, x if residual is None else x + residual))
        out = np.empty_like(x)
        assert fused.bias_act_backward(grad, x, None, "silu", residual=residual, out=out)[0] is out
        assert_same_bits(out, dx)


def test_buffers_and_subclasses() -> None:
    """Buffers of Python are read as arrays; the gradient of the bias has its shape whatever class x has."""
    x, bias = np.float32([[1, -2, 3], [-4, 5, -6]]), np.float32([1, 2, 3])
    expected = fused.bias_act_backward(x, x, bias, "silu")
    for view in (memoryview, lambda array: array.view(np.recarray), lambda array: array.view(np.matrix)):
        assert_same_bits(fused.bias_act(view(x), bias, "silu", residual=view(x)), fr.silu(x + bias + x))
        assert_same_bits(fused.bias_act_backward(view(x), view(x), bias, "silu")[1], expected[1])
        assert_same_bits(
            fused.bias_act_backward_from_output(view(x), view(x), "relu")[1],
            fused.bias_act_backward_from_output(x, x, "relu")[1],
        )


def test_outputs_of_other_types() -> None:
    """The gradient of the bias is that of the unrounded dx, whatever dx is written into; out= may be a tuple of one."""
    x, grad, bias = (np.random.default_rng(k).standard_normal((4, 3), np.float32) for k in range(3))
    dx, of_bias = fused.bias_act_backward(grad, x, bias[0], "silu")
    shared = np.broadcast_to(np.empty((1, 3), np.float32), (4, 3))
    shared.flags.writeable = True
    for out in (
        np.empty((4, 3), np.float16),
        np.empty((4, 3)),
        np.empty((4, 3), complex),
        (np.empty((4, 3), np.float32),),
        shared,
    ):
        got, also = fused.bias_act_backward(grad, x, bias[0], "silu", out=out)
        assert got is (out[0] if isinstance(out, tuple) else out)
        assert_same_bits(also, of_bias)
        if out is not shared:
            assert np.array_equal(got, dx.astype(got.dtype))
    with pytest.raises(ValueError, match=r"needs out= of shape \(4, 3\), got \(2, 4, 3\)"):
        fused.bias_act_backward(grad, x, bias[0], "silu", out=np.empty((2, 4, 3), np.float32))
    whole = np.empty((4, 6), np.float32)
    both = np.concatenate([x, grad], 1)
    assert fr.swiglu_backward(bias, both, out=(whole,)) is whole
    assert_same_bits(whole, fr.swiglu_backward(bias, both))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: fused.bias_act(x, x[0], "selu2"), ValueError, "no element-wise activation named 'selu2'"),
        (lambda x: fused.bias_act(x, x[0], "softmax"), ValueError, "no element-wise activation named 'softmax'"),
        (
            lambda x: fused.bias_act(x, x[0], "Gelo"),
            ValueError,
            r"no element-wise activation named 'Gelo'; did you mean gelu\?",
        ),
        (
            lambda x: fused.bias_act(x, x[0], fr.prelu),
            ValueError,
            "prelu is leaky_relu here, with its weight as negative_slope",
        ),
        (lambda x: fr.swiglu((x, x), axis=7), np.exceptions.AxisError, "axis 7 is out of bounds"),
        (lambda x: fused.bias_act(x, x[0], np.tanh), ValueError, "tanh is no activation of this library"),
        (lambda x: fused.bias_act(x, x[0], "relu", alpha=1), TypeError, "relu has no parameter 'alpha'"),
        (
            lambda x: fused.bias_act(x, x[0], "elu", beta=1),
            TypeError,
            "elu has no parameter 'beta'; its parameters: alpha",
        ),
        (lambda x: fused.bias_act(x, x[0], "leaky_relu", negative_slope="a"), TypeError, "negative_slope"),
        (
            lambda x: fused.bias_act(x, x[0], "elu", alpha=math.inf),
            ValueError,
            "elu requires finite alpha, got alpha=inf",
        ),
        (lambda x: fused.bias_act(x, x[0], "gelu", approximate="erf"), ValueError, "erf"),
        (lambda x: fused.bias_act(x, x[0, :2], "relu"), ValueError, r"one number for each of the 3 elements .* \(2,\)"),
        (lambda x: fused.bias_act(x, x, "relu"), ValueError, r"got shape \(2, 3\)"),
        (lambda x: fused.bias_act(x, x[0], "relu", residual=x[0]), ValueError, r"shape of x, \(2, 3\), got \(3,\)"),
        (lambda x: fused.bias_act(x, x[0], "relu", axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (
            lambda x: fused.bias_act_backward(x[0], x, x[0], "relu"),
            ValueError,
            r"the gradient has the shape of x, \(2, 3\), got \(3,\)",
        ),
        (lambda x: fused.bias_act_backward_from_output(x, x, "gelu"), ValueError, "use bias_act_backward"),
        (lambda x: fused.bias_act(x, "a", "relu"), TypeError, "bias_act takes bool, .*; bias has the type <U1"),
        (lambda x: fused.bias_act(x, x[0] + 1j, "relu"), TypeError, "bias_act takes bool, .*; bias has the type comp"),
        (
            lambda x: fused.bias_act(x, None, "relu", residual=x.astype(object)),
            TypeError,
            "bias_act takes bool, .*; residual has the type object",
        ),
        (
            lambda x: fused.bias_act_backward(x, x, {}, "relu"),
            TypeError,
            "backward takes bool, .*; bias has the type dict",
        ),
        (lambda x: fused.bias_act(x, x[0], "relu_backward"), ValueError, "no element-wise activation named"),
        (
            lambda x: fused.bias_act(x, x[0].astype(int), "gelu", out=x.astype(int)),
            TypeError,
            "bias_act: the result of type float64 cannot be cast into out of type int64",
        ),
        (
            lambda x: fused.bias_act_backward(x, x, x[0], "gelu", out=x.astype(int)),
            TypeError,
            "bias_act_backward: the result of type float32 cannot be cast into out of type int64",
        ),
        (
            lambda x: fused.bias_act(x[0], x[0], "elu", alpha=x),
            ValueError,
            r"bias_act: alpha of shape \(2, 3\) does not broadcast to the shape of x, \(3,\)",
        ),
        (
            lambda x: fused.bias_act_backward(x[0], x[0], x[0], "elu", alpha=x),
            ValueError,
            r"bias_act_backward: alpha of shape \(2, 3\) does not broadcast to the shape of x, \(3,\)",
        ),
        (
            lambda x: fused.bias_act_backward_from_output(x[0], x[0], "elu", alpha=x),
            ValueError,
            r"from_output: alpha of shape \(2, 3\) does not broadcast to the shape of y, \(3,\)",
        ),
        (lambda x: fused.bias_act_(x.tolist(), None, "relu"), TypeError, "not into 'list'"),
        (lambda x: fr.glu(x), ValueError, r"even number of elements along axis -1, got shape \(2, 3\)"),
        (lambda x: fr.glu(x, 0, gate="left"), ValueError, 'gate must be "first" or "second", got \'left\''),
        (lambda x: fr.glu(x, 0, layout="F"), ValueError, 'layout must be "halves" or "interleaved", got \'F\''),
        (lambda x: fr.swiglu((x, x[0])), ValueError, r"one shape, got \(2, 3\) and \(3,\)"),
        (lambda x: fr.swiglu((x,)), ValueError, "got a tuple of 1"),
        (lambda x: fr.swiglu((x, x), gate="first"), ValueError, "not to a pair"),
        (lambda x: fr.swiglu([x, x]), TypeError, "swiglu takes .*, got a list of two arrays: pass the tuple"),
        (lambda x: fr.glu_backward(x, [x, x]), TypeError, "glu takes .*, got a list of two arrays: pass the tuple"),
        (lambda x: fr.swiglu(x, 0, limit=0), ValueError, "limit must be positive, got 0"),
        (lambda x: fr.swiglu(x, 0, limit="7"), TypeError, "swiglu: limit must be a number, got '7'"),
        (lambda x: fr.swiglu(x, 0, limit=x[0]), TypeError, r"swiglu: limit must be a number, got array\("),
        (lambda x: fr.reglu(x, 0, offset=None), TypeError, "reglu: offset must be a number, got None"),
        (lambda x: fr.reglu(x, 0, offset=math.nan), ValueError, "reglu: offset must be finite, got nan"),
        (lambda x: fr.swiglu(x, 0, beta=math.inf), ValueError, "swiglu requires finite beta, got beta=inf"),
        (lambda x: fr.swiglu(x, 0, beta="a"), TypeError, "swiglu takes bool, .*; beta has the type str"),
        (lambda x: fr.swiglu(x, 0, beta=x), ValueError, r"beta of shape \(2, 3\) does not broadcast .* gate, \(1, 3\)"),
        (lambda x: fr.glu(x, 0, gate=[]), ValueError, r'gate must be "first" or "second", got \[\]'),
        (lambda x: fr.geglu(x, 0, approximate=[]), ValueError, r'approximate must be "none" or "tanh", got \[\]'),
        (lambda x: fr.geglu(x, 0, approximate="erf"), ValueError, "approximate must be"),
        (lambda x: fr.glu_backward(x[:1], x, 0, out=(x, x)), ValueError, "into one, got a tuple of 2 as out"),
        (lambda x: fr.glu_backward(x, (x, x), out=x), TypeError, "of a pair into a pair, .*, got 'ndarray'"),
        (lambda x: fr.glu_backward(x, (x, x), out=(x,)), TypeError, "of a pair into a pair, .*, got a tuple of 1"),
        (lambda x: fr.glu_backward(x, (x, x), out=(x, x[:1])), ValueError, r"gate, \(2, 3\), got \(1, 3\)"),
        (lambda x: fr.glu_backward(x, (x, x), out=(x, x.astype(int))), TypeError, "float32 cannot be cast .* int64"),
        (
            lambda x: fr.glu_backward(x, (x, x), out=(x, np.broadcast_to(x[:1], x.shape))),
            ValueError,
            "glu_backward: out is read-only",
        ),
        (lambda x: fr.glu(x, 0, out=[1.0]), TypeError, "glu can write into an array or a writable buffer, not into"),
        (
            lambda x: fr.glu_backward(x[:1], x, 0, out=x[:1]),
            ValueError,
            r"the shape of the input, \(2, 3\), got \(1, 3\)",
        ),
        (lambda x: fr.reglu_backward(x[:1], x, 0, out=x.astype(int)), TypeError, "Cannot cast"),
        (lambda x: fr.glu_backward(x, x, 0), ValueError, r"output was of shape \(1, 3\), the gradient is \(2, 3\)"),
    ],
)
def test_errors(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    """Errors name the argument and its value, before anything is written."""
    x: Any = np.float32([[1, 2, 3], [4, 5, 6]])
    with pytest.raises(kind, match=message):
        call(x)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]


# --- Gated linear units -------------------------------------------------------------------------------------------


def halves_of(x: Any, axis: int, layout: str) -> tuple[Any, Any]:
    """Return the halves of an array, as NumPy's user would write them."""
    x = np.moveaxis(x, axis, 0)
    n = len(x) // 2
    first, second = (x[:n], x[n:]) if layout == "halves" else (x[::2], x[1::2])
    return np.moveaxis(first, 0, axis), np.moveaxis(second, 0, axis)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory", LAYS)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.usefixtures("threads")
def test_units(unit: str, memory: str, dtype: Any) -> None:
    """Both layouts and gates, every axis; in place into either half; gradients in the layout of the input."""
    name, (activation, options) = unit.split(",", maxsplit=1)[0], UNITS[unit]
    f, backward = getattr(fr, name), getattr(fr, f"{name}_backward")
    act, act_backward = getattr(fr, activation), getattr(fr, f"{activation}_backward")
    lay = LAYOUTS[memory]
    for shape in SHAPES:
        x, other = data(shape, dtype, 1), data(shape, dtype, 2)
        # The other spellings of an axis and of a gate in one layout.
        spelled = memory == "C"
        for axis in [axis for axis in range(-len(shape) * spelled, len(shape)) if shape[axis] % 2 == 0]:
            grad = halves_of(other, axis, "halves")[0]
            for layout in ("halves", "interleaved"):
                for gate in (None, "first", "second") if spelled else ("first", "second"):
                    how = {"gate": gate, "layout": layout, **options}
                    is_first = (gate or ("second" if name == "glu" else "first")) == "first"
                    a, v = halves_of(x, axis, layout)[:: 1 if is_first else -1]
                    with np.errstate(all="ignore"):  # infinity times zero
                        expected = act(a, **options) * v
                        of_gate, of_value = act_backward(grad * v, a, **options), act(a, **options) * grad
                    assert_same_bits(f(lay(x), axis, **how), expected, how)
                    apart = np.empty(expected.shape, dtype)
                    assert f(lay(x), axis, **how, out=apart) is apart
                    assert_same_bits(apart, expected, how)
                    for half in (0, 1):
                        place = lay(x)
                        out = halves_of(place, axis, layout)[half]
                        assert f(place, axis, **how, out=out) is out
                        assert_same_bits(out.astype(dtype), expected, how)
                    dx = np.empty_like(x)
                    parts = halves_of(dx, axis, layout)[:: 1 if is_first else -1]
                    parts[0][...], parts[1][...] = of_gate, of_value
                    assert_same_bits(backward(lay(grad), lay(x), axis, **how), dx, how)
                    apart = np.empty_like(x)
                    assert backward(lay(grad), lay(x), axis, **how, out=apart) is apart
                    assert_same_bits(apart, dx, how)
                    place = lay(x)
                    assert backward(grad, place, axis, **how, out=place) is place
                    assert_same_bits(place.astype(dtype), dx, how)
            pair = lay(np.ascontiguousarray(a)), lay(np.ascontiguousarray(v))
            assert_same_bits(f(pair, **options), expected, "pair")
            for got, part in zip(backward(grad, pair, **options), (of_gate, of_value), strict=True):
                assert_same_bits(got, part, "pair")


# Halves of more elements than a second thread pays for: of rows of odd lengths and of few long ones.
LARGE_UNITS = [(34, 1030), (2, 70_002), (500, 1030)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", LARGE_UNITS, ids=str)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.usefixtures("threads")
def test_large_units(unit: str, shape: tuple[int, ...], dtype: Any) -> None:
    """The bits of the separate calls: as new memory, into an array and in place, of halves along both axes and of pairs."""
    name, (activation, options) = unit.split(",", maxsplit=1)[0], UNITS[unit]
    f, backward = getattr(fr, name), getattr(fr, f"{name}_backward")
    act, act_backward = getattr(fr, activation), getattr(fr, f"{activation}_backward")
    x, other = data(shape, dtype, 1), data(shape, dtype, 2)
    for axis in (0, 1):
        first, second = halves_of(x, axis, "halves")
        a, v = (second, first) if name == "glu" else (first, second)
        grad = halves_of(other, axis, "halves")[0].copy()
        with np.errstate(all="ignore"):  # infinity times zero
            expected = act(a, **options) * v
            gradients = act_backward(grad * v, a, **options), act(a, **options) * grad
        dx = np.concatenate(gradients[:: -1 if name == "glu" else 1], axis)
        out, both = np.empty_like(expected), np.empty_like(x)
        pair = a.copy(), v.copy()
        for got in (f(x, axis, **options), f(x, axis, **options, out=out), f(pair, **options)):
            assert_same_bits(got, expected, (unit, axis))
        for got in (backward(grad, x, axis, **options), backward(grad, x, axis, **options, out=both)):
            assert_same_bits(got, dx, (unit, axis))
        for got, part in zip(backward(grad, pair, **options), gradients, strict=True):
            assert_same_bits(got, part, (unit, axis, "pair"))
        for half in (0, 1):
            place = x.copy()
            assert_same_bits(f(place, axis, **options, out=halves_of(place, axis, "halves")[half]), expected, axis)
            place = pair[0].copy(), pair[1].copy()
            assert_same_bits(f(place, **options, out=place[half]), expected, (axis, "pair"))
        place = x.copy()
        assert_same_bits(backward(grad, place, axis, **options, out=place), dx, (unit, axis))


def test_explained_units() -> None:
    """Dense halves take the fast path, others the driver; explaining a unit takes nothing from the pool."""
    layouts: list[tuple[int, Any, str]] = [(4, "halves", ""), (600, "halves", ""), (600, "interleaved", "fused with")]
    for rows, layout, why in layouts:
        x, grad = np.ones((rows, 1024), np.float32), np.ones((rows, 512), np.float32)
        out, door = np.full_like(grad, 9), "N-d driver" if why else "fast path"
        before = _runtime.cache_state()
        for found in (fr.explain(fr.swiglu, x, layout=layout), fr.explain(fr.swiglu, x, layout=layout, out=out)):
            assert (found.door, found.kernel, found.stores) == (door, "silu", "result * an array")
            assert why in found.why_not_fast
        assert (out == 9).all()
        found = fr.explain(fr.swiglu_backward, grad, x, layout=layout)
        assert (found.door, found.kernel, found.loads) == (door, "silu_backward", "grad * an array")
        assert _runtime.cache_state() == before
    with fr.threads(1):
        assert fr.explain(fr.glu, np.ones((64, 2048))).threads == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["swiglu", "geglu", "reglu"])
def test_limit_and_offset(name: str, dtype: Any) -> None:
    """The clamped form: the gate is clipped above, the value on both sides; gradients are 0 where clipped."""
    act = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu"}[name]
    x, grad = data((40, 8), dtype, 1), data((40, 4), dtype, 2)
    a, v = x[:, ::2], x[:, 1::2]
    how: dict[str, Any] = {"limit": 2.5, "offset": 1.0, "layout": "interleaved"}
    with np.errstate(all="ignore"):  # infinity times zero
        inner, outer = np.minimum(a, 2.5), np.clip(v, -2.5, 2.5) + 1
        assert_same_bits(getattr(fr, name)(x, **how), getattr(fr, act)(inner) * outer)
        dx = getattr(fr, f"{name}_backward")(grad, x, **how)
        of_gate = np.where(a < 2.5, getattr(fr, f"{act}_backward")(grad * outer, inner), np.where(a >= 2.5, 0, a))
        of_value = np.where(abs(v) < 2.5, getattr(fr, act)(inner) * grad, np.where(abs(v) >= 2.5, 0, v))
    assert_same_bits(dx[:, ::2] + 0, of_gate.astype(dtype) + 0)  # without the signs of zeros
    assert_same_bits(dx[:, 1::2] + 0, of_value.astype(dtype) + 0)


def cast(x: Any, dtype: Any) -> Any:
    """Return an array in the type of results."""
    return x.astype(fr.relu(np.empty(0, dtype)).dtype)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "uint64", ">f4", "float16", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"limit": 2.5}, {"offset": 1.0}, {"limit": 2.5, "offset": -0.5}], ids=str)
def test_types_of_units(options: dict[str, float], dtype: str) -> None:
    """Results and gradients have the type of other functions, with a limit and an offset too."""
    kind = dtype_named(dtype)
    x = np.arange(24).reshape(3, 8).astype(kind)
    gate, value = (cast(part, kind) for part in (x[:, :4], x[:, 4:]))
    with np.errstate(all="ignore"):  # of bfloat16, whose arithmetic is not ours
        if "limit" in options:
            gate = np.minimum(gate, gate.dtype.type(2.5))
            value = np.maximum(np.minimum(value, gate.dtype.type(2.5)), gate.dtype.type(-2.5))
        value = value + gate.dtype.type(options.get("offset", 0.0))
        expected = fr.relu(gate) * value
    assert fr.reglu(x, **options).dtype == fr.reglu_backward(x[:, :4], x, **options).dtype == expected.dtype
    assert_same_bits(fr.reglu(x, **options), expected)


@pytest.mark.parametrize("dtype", ["complex64", "object", "longdouble", "U1", "M8[s]"])
@pytest.mark.parametrize("options", [{}, {"limit": 2.5}, {"offset": 1.0}], ids=str)
def test_types_that_units_refuse(options: dict[str, float], dtype: str) -> None:
    """Forward and backward, by the name of the operand."""
    x, wrong = np.ones((2, 4)), np.ones((2, 4)).astype(int).astype(dtype)
    half, also = x[:, :2], wrong[:, :2]
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("x", lambda: fr.reglu(wrong, **options)),
        ("gate", lambda: fr.reglu((also, half), **options)),
        ("value", lambda: fr.reglu((half, also), **options)),
        ("x", lambda: fr.reglu_backward(half, wrong, **options)),
        ("grad", lambda: fr.reglu_backward(also, x, **options)),
        ("value", lambda: fr.reglu_backward(half, (half, also), **options)),
    ]
    for operand, call in calls:
        with pytest.raises(
            TypeError, match=rf"^reglu\w* takes bool, .*; {operand} has the type {also.dtype}".replace("[", r"\[")
        ):
            call()


def test_array_of_betas() -> None:
    """A beta may be an array that broadcasts to the gate, of one element or of ones too."""
    x, grad = np.array([[1, -2, 3, 0.5], [4, 5, -6, 7]], "f4"), np.array([[1, 2], [3, 4]], "f4")
    for beta in (np.float32([1.702]), np.array([1.0, 1.0]), np.float32([[1.0], [0.5]]), [0.5, 2.0], np.float64(1)):
        expected = fr.swish(x[:, :2], beta) * x[:, 2:]
        assert_same_bits(fr.swiglu(x, beta=beta), expected)
        kind = expected.dtype
        wide, g = x.astype(kind), grad.astype(kind)
        of_gate = fr.swish_backward(g * wide[:, 2:], wide[:, :2], beta)
        got = fr.swiglu_backward(grad, x, beta=beta)
        assert_same_bits(got, np.concatenate([of_gate, fr.swish(wide[:, :2], beta) * g], 1))
        assert_same_bits(fr.swiglu_backward(grad, (x[:, :2], x[:, 2:]), beta=beta)[0], of_gate)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("options", [{"limit": 2.5}, {"offset": 1.0}, {"limit": 2.5, "offset": -0.5}], ids=str)
@pytest.mark.parametrize("backward", [fr.swiglu_backward, fr.geglu_backward, fr.reglu_backward])
def test_gradients_of_clipped_units_into_arrays(
    backward: Callable[..., Any], options: dict[str, float], dtype: str
) -> None:
    """New arrays, given ones, pairs and the input itself get the same bits, of infinities and NaN too."""
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 2.5, -2.5, 1e4, -1e4, 0.5], dtype)
    gate, value = (a.astype(dtype) for a in np.meshgrid(special, special))
    grad = np.resize(np.array([1, -2, np.inf, np.nan, -0.0, 0.5, 3], dtype), gate.shape)
    x = np.concatenate([gate, value], 1)
    with np.errstate(all="ignore"):
        of_gate, of_value = backward(grad, (gate, value), **options)
        wanted = np.concatenate([of_gate, of_value], 1)
        assert_same_bits(backward(grad, x, **options), wanted)
        own = x.copy()
        for given, out in ((x, np.ones_like(x)), (x, np.ones_like(x.T).T), (own, own)):
            assert backward(grad, given, out=out, **options) is out
            assert_same_bits(out, wanted)
        pair = np.empty_like(gate), np.empty_like(gate)
        backward(grad, (gate, value), out=pair, **options)
        assert_same_bits(np.concatenate(pair, 1), wanted)


def test_buffers_of_units(tmp_path: Path) -> None:
    """Memory views and files as inputs and outputs, and one of two gradients in memory that is given."""
    x, grad = np.array([[1, -2, 3, 0.5], [4, 5, -6, 7]], "f4"), np.array([[1, 2], [3, 4]], "f4")
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[...] = x
    assert type(fr.reglu(mapped)) is type(fr.reglu_backward(grad, mapped)) is np.ndarray
    assert_same_bits(fr.reglu_backward(grad, mapped), fr.reglu_backward(grad, x))
    gate, value = np.ascontiguousarray(x[:, :2]), np.ascontiguousarray(x[:, 2:])
    for options in ({}, {"limit": 2.0}):
        y, dx = fr.reglu(x, **options), fr.reglu_backward(grad, x, **options)
        assert_same_bits(fr.reglu(memoryview(x), **options), y)
        assert_same_bits(fr.reglu((memoryview(gate), memoryview(value)), **options), y)
        out = np.empty_like(y)
        view = memoryview(out)
        assert fr.reglu(x, out=view, **options) is view
        assert_same_bits(out, y)
        assert_same_bits(fr.reglu_backward(memoryview(grad), memoryview(x), **options), dx)
        got = fr.reglu_backward(grad, (gate, value), out=(None, out), **options)
        assert got[1] is out
        assert_same_bits(np.concatenate(got, 1), dx)


def test_units_of_other_arrays() -> None:
    """Integers, lists and masked arrays forward; gradients of foreign arrays by pairs."""
    assert_same_bits(fr.reglu([1, -2, 3, 5]), np.float64([3, 0]))
    assert_same_bits(fr.reglu(np.int8([1, -2, 3, 5])), np.float32([3, 0]))
    assert np.ma.isMaskedArray(fr.glu(np.ma.masked_less([1.0, -2.0, 3.0, 4.0], 0)))
    x = np.float32(np.random.default_rng(0).standard_normal((4, 6)))
    assert_same_bits(fr.glu_backward(np.ones((4, 3)), x), fr.glu_backward(np.ones((4, 3)), x.astype(float)))


@pytest.mark.parametrize("kind", [nn.GLU, nn.SwiGLU, nn.GEGLU, nn.ReGLU])
def test_layers(kind: Any) -> None:
    """A layer trains inside a network, and its gradient is that of the function."""
    name = kind.__name__.lower()
    x, grad = np.float32(np.random.default_rng(0).standard_normal((5, 8))), np.ones((5, 4), np.float32)
    layer = kind()
    assert_same_bits(layer(x), getattr(fr, name)(x))
    assert_same_bits(layer.backward(grad), getattr(fr, f"{name}_backward")(grad, x))
    model = nn.Sequential(nn.Linear(3, 8, rng=0), kind(), nn.Linear(4, 1, rng=1))
    y = model(np.ones((2, 3), np.float32))
    model.backward(np.ones_like(y))
    assert model[0].weight.grad.any()
    assert "inplace" not in inspect.signature(kind).parameters
    own, options = inspect.signature(getattr(fr, name)).parameters, inspect.signature(kind).parameters
    for option in own.keys() - {"x", "axis", "out"}:  # of which a gate of None is the default
        assert options[option].kind is own[option].kind
        assert options[option].default == (own[option].default if option != "gate" else kind().gate)
