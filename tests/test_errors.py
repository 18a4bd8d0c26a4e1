"""What is refused, with which error and words, and that nothing is written before the refusal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import Case, each_forward_of_some, each_of_some, each_parametric_case
from compare import assert_same_bits
from grid import LAYOUTS, read_only
from inputs import values

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array


@pytest.mark.parametrize("layout", LAYOUTS)
@each_forward_of_some
def test_read_only_in_place(case: Case, layout: str, dtype: np.dtype[Any]) -> None:
    """A read-only array is refused in any layout, and keeps its values."""
    x = LAYOUTS[layout](values(24, dtype).reshape(4, 6))
    before = x.copy()
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        case.in_place(x)
    assert x.tobytes() == before.tobytes()


def test_read_only_output(case: Case, dtype: np.dtype[Any]) -> None:
    """A read-only `out=` is refused through every door."""
    data = case.data(24, dtype)
    mask = np.ones(24, bool)
    calls: list[Callable[[Array], Any]] = [
        lambda out: case(*data, out=out),
        lambda out: case(*[a[::-1] for a in data], out=out),
        lambda out: case(*data, out=out, where=mask),
        lambda out: case(*[a.astype(a.dtype.newbyteorder()) for a in data], out=out),
    ]
    for call in calls:
        out = read_only(np.zeros(24, dtype))
        with pytest.raises(ValueError, match="read-only"):
            call(out)
        assert not out.any()


# Shapes of the inputs, of `out`, and NumPy's words for them.
SHAPES = [
    ((4, 6), (6,), "non-broadcastable output operand with shape (6,) doesn't match the broadcast shape (4,6)"),
    ((6,), (5,), "operands could not be broadcast together with shapes"),
    ((6,), (), "non-broadcastable output operand with shape () doesn't match the broadcast shape (6,)"),
    ((4, 6), (4, 1), "non-broadcastable output operand with shape (4,1) doesn't match the broadcast shape (4,6)"),
    ((4, 6), (6, 4), "operands could not be broadcast together with shapes"),
    ((6,), (0,), "operands could not be broadcast together with shapes"),
    ((0,), (6,), "operands could not be broadcast together with shapes"),
    ((4, 6), (24,), "operands could not be broadcast together with shapes"),
]


@pytest.mark.parametrize(("shape", "out_shape", "message"), SHAPES)
@each_of_some
def test_output_of_another_shape(case: Case, shape: tuple[int, ...], out_shape: tuple[int, ...], message: str) -> None:
    """NumPy's words, on every path, and `out` untouched."""
    for dtype in ("f4", "i4", ">f4"):
        data = [np.ones(shape, dtype)] * case.ndata
        out = np.full(out_shape, 7.0, "f8" if dtype == "i4" else "f4")
        with pytest.raises(ValueError, match=re.escape(message)):
            case(*data, out=out)
        assert (out == 7).all()


def test_inputs_that_do_not_meet(case: Case) -> None:
    """Shapes of arrays, parameters and masks that do not broadcast."""
    data = [np.ones((4, 6), "f4")] * case.ndata
    message = "operands could not be broadcast together"
    with pytest.raises(ValueError, match=message):
        case(*data, where=np.ones(5, bool), out=np.ones((4, 6), "f4"))
    for j in range(case.ndata):
        for dtype in ("f4", "f8", "i2"):
            wrong = [*data]
            wrong[j] = np.ones(5, dtype)
            if case.ndata == 2:
                with pytest.raises(ValueError, match=message):
                    case(*wrong)
    for j, value in enumerate(case.params):
        params: list[Any] = list(case.params)
        params[j] = np.full(5, value, "f4")
        with pytest.raises(ValueError, match=message):
            case(*data, *params)
        if case.ndata == 1:
            params[j] = np.full((3, 1, 1), value, "f4")
            x = data[0].copy()
            with pytest.raises(ValueError, match="non-broadcastable output operand"):
                case.in_place(x, *params)
            assert (x == 1).all()


OUTPUTS: dict[str, tuple[Any, type[Exception], str]] = {
    "list": ([np.zeros(3)], TypeError, "can write into an array or a writable buffer, not into 'list'"),
    "list of numbers": ([0.0, 0.0, 0.0], TypeError, "can write into an array or a writable buffer, not into 'list'"),
    "number": (0.0, TypeError, "can write into an array or a writable buffer, not into 'float'"),
    "text": ("out", TypeError, "can write into an array or a writable buffer, not into 'str'"),
    "type": (np.ndarray, TypeError, "can write into an array or a writable buffer, not into 'type'"),
    "no array": ((), ValueError, "The 'out' tuple must have exactly one entry per ufunc output"),
    "two arrays": (
        (np.zeros(3), np.zeros(3)),
        ValueError,
        "The 'out' tuple must have exactly one entry per ufunc output",
    ),
    "tuple of a list": (([0.0],), TypeError, "can write into an array or a writable buffer, not into 'list'"),
    "NumPy scalar": (np.float64(0), ValueError, "read-only|non-broadcastable"),
}


@pytest.mark.parametrize(("out", "error", "message"), OUTPUTS.values(), ids=list(OUTPUTS))
@each_of_some
def test_output_that_is_no_array(case: Case, out: Any, error: type[Exception], message: str) -> None:
    """`out` is an array, a buffer, or a tuple of one."""
    with pytest.raises(error, match=message):
        case(*[np.ones(3)] * case.ndata, out=out)


MASKS: dict[str, Any] = {
    "float": np.ones(3),
    "int": np.ones(3, int),
    "number": 1,
    "object": np.array([True, False, True], object),
    "text": "yes",
    "None": None,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=list(MASKS))
@each_of_some
def test_mask_that_is_none(case: Case, mask: Any) -> None:
    """`where` is refused, or taken, exactly as np.negative refuses or takes it."""
    out, model = np.full(3, 7.0), np.full(3, 7.0)
    try:
        np.negative(np.ones(3), out=model, where=mask)
    except (TypeError, ValueError) as refused:
        words = str(refused)
        with pytest.raises(type(refused), match=re.escape(words)):
            case(*[np.ones(3)] * case.ndata, out=out, where=mask)
        assert (out == 7).all()
    else:
        case(*[np.ones(3)] * case.ndata, out=out, where=mask)
        assert_same_bits(out, np.where(model == 7, 7.0, case(*[np.ones(3)] * case.ndata)))


def test_number_of_arguments(case: Case) -> None:
    """The errors are those of Cython, which compiles the wrappers, and have the name of the function."""
    function = case.spec.function(case.direction)
    name = case.public_name
    data = [np.ones(3)] * case.ndata
    with pytest.raises(TypeError, match=rf"{name}\(\) takes (exactly|at least) \d+ positional arguments? \(0 given\)"):
        function()
    with pytest.raises(TypeError, match=rf"{name}\(\) (takes .*positional argument|got multiple values)"):
        function(*data, *case.params, *[None] * 9)
    for option in ("dtype", "casting", "order", "axis", "inplace"):
        with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument '{option}'"):
            function(*data, *case.params, **{option: None})
    with pytest.raises(TypeError, match="out"):
        getattr(fr, f"{case.spec.public or case.spec.name}_")(np.ones(3), *case.params, out=np.ones(3))


@each_parametric_case
def test_numbers_outside_the_domain(case: Case) -> None:
    """A number outside, of Python's or NumPy's or 0-d, stops the call before anything is written, on every path."""
    for params in case.spec.outside(case.direction):
        makers: list[Callable[[float], Any]] = [float, np.float64, np.float32, np.array]
        for make in makers:
            given = [make(v) for v in params]
            for step in (1, -2):
                data = [a[::step] for a in case.data(24, "f8")]
                out = np.full(data[0].shape, 7.0)
                for options in ({"out": out}, {"out": out, "where": np.ones(out.shape, bool)}, {}):
                    with pytest.raises(ValueError, match=f"^{case.public_name} requires .*, got "):
                        case(*data, *given, **options)
                assert (out == 7).all()
                if case.ndata == 1:
                    x = data[0].copy()
                    with pytest.raises(ValueError, match=f"^{case.public_name} requires .*, got "):
                        case.in_place(x, *given)
                    assert_same_bits(x, data[0])


@each_parametric_case
def test_numbers_too_large(case: Case) -> None:
    """An integer beyond the range of float is Python's OverflowError; nothing is written."""
    out = np.full(3, 7.0)
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        case(*[np.ones(3)] * case.ndata, 10**400, *case.params[1:], out=out)
    assert (out == 7).all()


def test_errors_leave_the_engine_working(case: Case) -> None:
    """After a refusal the next call works, with a team too."""
    data = case.data(100_000, "f4")
    expected = case(*data)
    with pytest.raises(ValueError, match="broadcast"):
        case(*data, out=np.zeros(3, "f4"))
    with pytest.raises(ValueError, match="read-only"):
        case(*data, out=read_only(expected))
    assert_same_bits(case(*data), expected)


@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # NumPy casts what it then discards
@pytest.mark.parametrize("dtype", ["f8", "f2", "F", "g", ">f8"])
@each_of_some
def test_mask_beside_an_overlapping_output_of_another_type(case: Case, dtype: np.dtype[Any]) -> None:
    """Masked elements of `out` keep their bits, though NumPy would copy `out` in the type of the computation."""
    out = (np.arange(1, 9) / 7).astype(dtype)
    x = out.view("f4")[:8] if out.itemsize >= 4 else out
    before, mask = out.copy(), np.arange(8) % 3 == 0
    data = [np.array(x) if case.ndata > 1 else x] * (case.ndata - 1) + [x]
    wanted = before.copy()
    case(*[a.copy() for a in data], *case.params, out=wanted, where=mask)
    case(*data, *case.params, out=out, where=mask)
    assert out.tobytes() == wanted.tobytes()
    assert (out[~mask] == before[~mask]).all()


def test_slopes_are_kept_if_the_call_is_refused() -> None:
    """`rrelu` writes `slopes` last."""
    x, slopes = np.ones((4, 4), "f4"), np.full((4, 4), 7, "f4")
    calls: list[Callable[[], Any]] = [
        lambda: fr.rrelu(x, training=True, slopes=slopes, out=np.zeros((4, 5))),
        lambda: fr.rrelu(x, training=True, slopes=slopes, out=np.zeros((4, 4)), where=np.ones(5, bool)),
        lambda: fr.rrelu_(read_only(x), training=True, slopes=slopes),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"broadcast|read-only"):
            call()
        assert (slopes == 7).all()
    out = np.full((4, 4), 7, "f4")
    with pytest.raises(ValueError, match="rrelu writes slopes=, which is read-only"):
        fr.rrelu(x, training=True, slopes=read_only(slopes), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [("gelu", {"approximate": "tanh"}), ("hard_swish", {"slope": 0.3})],
)
@pytest.mark.parametrize("suffix", ["", "_", "_backward"])
def test_messages_name_the_function(name: str, options: dict[str, Any], suffix: str) -> None:
    """A function that chooses between kernels is named by the name that the caller wrote."""
    function = getattr(fr, name + suffix)
    data = [np.ones(3), np.ones(3, complex)][0 if suffix == "_backward" else 1 :]
    with pytest.raises(TypeError, match=rf"^{name}{suffix.removesuffix('_')} takes .* x has the type complex128"):
        function(*data, **options)
    if name == "hard_swish":
        data = [np.ones(3)] * len(data)
        with pytest.raises(ValueError, match=rf"^{name}{suffix.removesuffix('_')} requires .* got slope=nan"):
            function(*data, slope=np.nan)
