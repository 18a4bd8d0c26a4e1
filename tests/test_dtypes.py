"""The table of types: which type computes, what promotes, what casts, and what is refused."""

from __future__ import annotations

import decimal
import fractions
import itertools
import re
from typing import Any

import numpy as np
import pytest
from cases import Case, each_backward_case, each_forward_case, each_forward_of_some, each_of_some, each_parametric_case
from compare import assert_same_bits
from grid import swapped
from inputs import values

import fastrelu as fr
from fastrelu import runtime

try:
    import ml_dtypes
except ImportError:  # bfloat16 is optional
    ml_dtypes = None

# Type of the array, and type in which the kernels compute; the result has that type too, unless it is in HALVES.
LOOPS = {
    "float32": "float32",
    "float64": "float64",
    "float16": "float32",
    "bool": "float32",
    "int8": "float32",
    "uint8": "float32",
    "int16": "float32",
    "uint16": "float32",
    "int32": "float64",
    "uint32": "float64",
    "int64": "float64",
    "uint64": "float64",
}
HALVES = ["float16"]
if ml_dtypes is not None:
    HALVES.append("bfloat16")
    LOOPS["bfloat16"] = "float32"
INTEGERS = [name for name in LOOPS if np.dtype(name).kind in "iu"]
# Values of types that no kernel takes.
REFUSED: dict[str, Any] = {
    "complex64": np.ones(3, "complex64"),
    "complex128": np.ones(3, "complex128"),
    "object": np.array([1.0, 2.0, 3.0], object),
    "text": np.array(["1", "2", "3"]),
    "bytes": np.array([b"1", b"2", b"3"]),
    "datetime": np.zeros(3, "datetime64[s]"),
    "timedelta": np.zeros(3, "timedelta64[s]"),
    "structured": np.zeros(3, "f4,f4"),
    "void": np.zeros(3, "V4"),
    "complex number": 1j,
    "NumPy complex": np.complex64(1),
    "None": None,
    "a string": "1",
    "Decimal": decimal.Decimal(1),
    "Fraction": fractions.Fraction(1, 2),
    "a list of strings": ["1", "2"],
    "a list of objects": [object(), object()],
}
if np.dtype(np.longdouble) != np.float64:
    REFUSED["longdouble"] = np.ones(3, np.longdouble)


def sample(dtype: np.dtype[Any], n: int = 40, seed: int = 0) -> Any:
    """Return every small number that the type can hold."""
    kind = np.dtype(dtype)
    x = np.random.default_rng(seed).integers(-9, 9, n)
    return (abs(x) if kind.kind in "bu" else x).astype(kind)


def test_type_of_the_array(case: Case) -> None:
    """The result is computed in the type of the table, dense, strided, byte-swapped, 0-d, by the ufunc, as a NumPy scalar."""
    for dtype, loop in LOOPS.items():
        data = [sample(dtype, seed=j) for j in range(case.ndata)]
        expected = case(*[a.astype(loop) for a in data])
        assert expected.dtype == loop
        result = dtype if dtype in HALVES else loop
        expected = expected.astype(result)
        assert_same_bits(case(*data), expected, dtype)
        assert_same_bits(case(*[a[::-2] for a in data]), expected[::-2], dtype)
        assert_same_bits(case(*map(swapped, data)), expected, dtype)
        # The bare ufunc leaves Python numbers to NumPy, which makes them float64 next to integers.
        if not (case.params and dtype in HALVES):  # a bare ufunc has no parameters that are wider than its data
            assert_same_bits(case.ufunc(*data, *map(np.dtype(loop).type, case.params)), expected, dtype)
        for first in (case(*[a[0] for a in data]), case(*[a[:1].reshape(()) for a in data])):
            assert type(first) is np.dtype(result).type
            assert_same_bits(first, expected[0], dtype)


def _numbers(kind: Any) -> dict[str, tuple[Any, Any]]:
    """Give inputs other than arrays and the type in which they are computed."""
    return {
        "float": (kind(2.0), np.float64),
        "int": (int(kind(2)), np.float64),
        "bool": (True, np.float32),
        "nested list": ([[1.0, 2.0]], np.float64),
        "list of int": ([1, 2], np.float64),
        "list of bool": ([True, False], np.float32),
        "list of float32": ([np.float32(1), np.float32(2)], np.float32),
        "list of arrays": ([np.float32([1, 2]), np.float32([3, 4])], np.float32),
        "range": (range(4), np.float64),
        "huge int": (2**62, np.float64),
    }


def test_numbers_and_sequences(case: Case) -> None:
    """Python's numbers and sequences have the types that NumPy gives them."""
    for name, (value, loop) in _numbers(float).items():
        y = case(*[value] * case.ndata)
        assert y.dtype == loop, name
        assert_same_bits(y, case(*[np.asarray(value, loop)] * case.ndata))


class Fixed(float):
    """A number that a user's class makes of Python's."""


class Count(int):
    """The same for integers."""


@each_parametric_case
def test_python_numbers_never_promote(case: Case) -> None:
    """A Python number as parameter is rounded once to the type of the arrays, on every path."""
    for params, (dtype, loop) in itertools.product(case.grid, LOOPS.items()):
        kind = np.dtype(loop).type
        data = [sample(dtype, seed=j) for j in range(case.ndata)]
        exact = [kind(value) for value in params]
        if any(value and not kind(value) for value in params):
            continue  # the rounded parameter, zero, may lie outside the domain
        wide = case(*[a.astype(loop) for a in data], *exact)
        expected = wide.astype(dtype if dtype in HALVES else loop)
        whole = all(float(value).is_integer() for value in params)
        for make in (float, Fixed, int, Count) if whole else (float, Fixed):
            given = [make(value) for value in params]
            assert_same_bits(case(*data, *given), expected)
            assert_same_bits(case(*[a[::2] for a in data], *given), expected[::2])
            assert_same_bits(case(*[a.reshape(2, -1).T for a in data], *given), expected.reshape(2, -1).T)
            assert_same_bits(case(*[a[:1].reshape(()) for a in data], *given), expected[0])
            assert_same_bits(case(*[a[0] for a in data], *given), expected[0])
            out = np.zeros_like(expected)
            assert_same_bits(case(*data, *given, out=out, where=np.ones(expected.shape, bool)), expected)
            # Next to an array parameter the others stay numbers.
            column = [np.full(expected.shape, exact[0], loop), *given[1:]]
            assert_same_bits(case(*data, *column), wide)


@each_parametric_case
def test_typed_parameters_promote(case: Case) -> None:
    """Arrays and NumPy scalars as parameters take part in the promotion, whatever their shape."""
    for first, second in itertools.product(("f4", "f8", "f2", "i4", "i1"), ("f4", "f8", "f2", "i8")):
        if second == "i8" and not all(float(value).is_integer() for value in case.params):
            continue
        loop = "f4" if all(np.can_cast(t, "f4") for t in (first, second)) else "f8"
        result = "f2" if np.result_type(first, second) == "f2" else loop
        data = [sample(first, seed=j) for j in range(case.ndata)]
        wide = [a.astype(loop) for a in data]
        for make in (lambda v, t: np.dtype(t).type(v), lambda v, t: np.full(40, v, t), np.array):
            params = [make(v, second) for v in case.params]
            expected = case(*wide, *[p.astype(loop) for p in params]).astype(result)
            assert_same_bits(case(*data, *params), expected)
            # One typed parameter is enough, whichever it is.
            for j, typed in enumerate(params):
                mixed, exact = list(case.params), [np.dtype(loop).type(v) for v in case.params]
                mixed[j], exact[j] = typed, typed.astype(loop)
                assert_same_bits(case(*data, *mixed), case(*wide, *exact).astype(result))


@each_parametric_case
def test_number_as_data_follows_the_parameters(case: Case) -> None:
    """A Python number as x does not promote an array of parameters."""
    params = [np.full(5, v, "f4") for v in case.params]
    y = case(*[0.3] * case.ndata, *params)
    assert_same_bits(y, case(*[np.full(5, 0.3, "f4")] * case.ndata, *params))
    assert y.dtype == np.float32


@each_backward_case
def test_two_types_of_data(case: Case) -> None:
    """Gradient and x may differ: the wider type computes; a Python number as gradient takes the type of x."""
    x = values(40, "f4")
    grad = values(40, "f8", 1)
    for pair in ((grad, x), (x, grad)):
        y = case(*pair)
        assert y.dtype == np.float64
        assert_same_bits(y, case(*[a.astype("f8") for a in pair]))
    for number in (0.1, 2):
        assert_same_bits(case(number, x), case(np.full(40, number, "f4"), x))


def test_output_of_another_type(case: Case, dtype: np.dtype[Any]) -> None:
    """The inputs alone choose the type that computes; the result is cast to `out` as NumPy casts."""
    data = [np.clip(np.nan_to_num(a), -100, 100) for a in case.data(40, dtype)]
    expected = case(*data)
    for target in ("float16", "float32", "float64", "complex64", "longdouble", ">f4", ">f8"):
        for out in (np.zeros(40, target), np.zeros(80, target)[::2], np.zeros((40,), target)[::-1]):
            with np.errstate(over="ignore"):  # NumPy's own warning where half precision overflows
                assert case(*data, out=out) is out
                np.testing.assert_array_equal(out, expected.astype(target))


@pytest.mark.parametrize("target", [*INTEGERS, "bool", "datetime64[s]"])
@each_of_some
def test_output_that_cannot_hold_the_result(case: Case, target: str) -> None:
    """NumPy's casting error, and nothing written."""
    data = [sample("f4", seed=j) for j in range(case.ndata)]
    out = np.zeros(40, target)
    with pytest.raises(TypeError, match=f"Cannot cast ufunc '{case.name}' output from dtype\\('float32'\\)"):
        case(*data, out=out)
    assert (out == np.zeros(40, target)).all()


@pytest.mark.parametrize("dtype", INTEGERS)
@each_forward_of_some
def test_in_place_on_integers(case: Case, dtype: np.dtype[Any]) -> None:
    """In place on an integer array: NumPy's casting error, and the array keeps its values."""
    x = sample(dtype)
    with pytest.raises(TypeError, match=f"Cannot cast ufunc '{case.name}' output"):
        case.in_place(x)
    assert (x == sample(dtype)).all()


@each_forward_case
def test_in_place_on_half(case: Case) -> None:
    """16-bit types are computed in float32 and rounded back, in place."""
    for name in HALVES:
        x = sample(name)
        expected = case(sample("f4")).astype(name)
        assert case.in_place(x) is x
        assert_same_bits(x, expected)


def has_refused_type(name: str, operand: str, value: Any) -> Any:
    """Expect the error that names the function, the operand and its type."""
    own = getattr(np.asarray(value) if isinstance(value, list) else value, "dtype", type(value).__name__)
    kind = "is None" if value is None else f"has the type {own}"
    allowed = "bool, integers and real numbers of at most 64 bits"
    return pytest.raises(TypeError, match=f"^{re.escape(f'{name} takes {allowed}; {operand} {kind}')}$")


@pytest.mark.parametrize("value", REFUSED.values(), ids=list(REFUSED))
@each_of_some
def test_refused_types(case: Case, value: Any) -> None:
    """No complex numbers, objects, texts or times, for any operand, whatever the options; nothing is written."""
    good = np.ones(np.shape(value), "f4")
    operands = [good] * case.ndata + list(case.params)
    out = np.full(good.shape, 7.0)
    for j, operand in enumerate(runtime.kernels[case.name].operands):
        if value is None and operand == "max_value":
            continue  # no limit
        given = [*operands[:j], value, *operands[j + 1 :]]
        for options in ({}, {"out": out}, {"out": out, "where": np.ones(good.shape, bool)}):
            with has_refused_type(case.name, operand, value):
                case(*given, **options)
            with has_refused_type(case.name, operand, value):
                case.explain(*given, **options)
    assert (out == 7).all()
    if isinstance(value, np.ndarray) and case.ndata == 1 and value.flags.writeable:
        before = value.copy()
        with pytest.raises(TypeError):
            case.in_place(value)
        assert (value == before).all()


@pytest.mark.parametrize("value", REFUSED.values(), ids=list(REFUSED))
def test_types_that_functions_without_a_kernel_refuse(value: Any) -> None:
    """The same for prelu, rrelu, crelu and the gradients of parameters, in the words of their arguments."""
    good = np.ones(np.shape(value), "f4")
    calls: list[tuple[Any, int]] = [
        (fr.prelu, 1),
        (fr.prelu_, 1),
        (fr.prelu_backward, 2),
        (fr.prelu_backward_from_output, 2),
        (fr.prelu_backward_parameters, 2),
    ]
    for call, ndata in calls:
        with has_refused_type("prelu", "weight", value):
            call(*[good] * ndata, value)
    slopes, state = np.full(good.shape, 7.0), np.random.default_rng(0)
    with has_refused_type("rrelu", "x", value):
        fr.rrelu(value, training=True, slopes=slopes, rng=state)
    assert (slopes == 7).all()
    assert state.random() == np.random.default_rng(0).random()
    for name in ("lower", "upper"):
        if not isinstance(value, fractions.Fraction | decimal.Decimal):
            with pytest.raises(TypeError, match=f"rrelu takes a number as {name}, got "):
                fr.rrelu(good, **{name: value})
    if good.ndim:
        with has_refused_type("crelu", "x", value):
            fr.crelu(value, out=np.ones(6))
    for name, learned in runtime.learned.items():
        data = [good, good, *[np.float32(1.5)] * len(learned.parameters)]
        for j, operand in enumerate(["grad", "x", *learned.parameters]):
            with has_refused_type(f"{name}_backward_parameters", operand, value):
                getattr(fr, f"{name}_backward_parameters")(*data[:j], value, *data[j + 1 :])
