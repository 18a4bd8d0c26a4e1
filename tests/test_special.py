"""NaN, infinities, signed zeros and subnormal numbers, through every door and without a warning."""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case, each_forward_case
from compare import assert_same_bits, ulp_error
from grid import DOORS, DTYPES, WIDE, swapped
from inputs import data_of, gradients, inputs, tiled
from specs import FORWARD, SPECS, Precision, Spec

import fastrelu as fr
from fastrelu import fused, limits, masks, quantized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from specs import Array


def test_special_values(spec: Spec, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """The values of the row, with the sign of zero, in every lane of a vector."""
    x = np.repeat(np.array([x for x, _ in spec.special], dtype), 37)
    wanted = np.repeat(np.array([y for _, y in spec.special]), 37)
    limit = limits.error_bound(spec.name, dtype, precision=precision, isa=isa)
    for name, door in DOORS.items():
        got = Case(spec, FORWARD).on(isa, precision, door(x), *spec.params[0])
        error = ulp_error(got, wanted.astype(WIDE[dtype]))
        # The value in the row is rounded to double, the usual parameters are rounded to the type.
        far = (error > limit + 1) | (np.signbit(got) != np.signbit(wanted))
        assert not far.any(), f"{spec.name} {name}: {got[far][0]!r}, not {wanted[far][0]!r}, at x={x[far][0]!r}"


def test_nan(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """NaN of either sign in x gives NaN in every lane, whatever the gradient; no other lane is touched."""
    params = case.params
    x = inputs(case, params, dtype)
    x = x[~np.isnan(x)][:512]
    good = gradients(dtype, x.size)
    odd = np.resize(np.array([1, 0, -0.0, np.inf, -np.inf, np.nan, -3], dtype), x.size)
    clean = case.on(isa, precision, *data_of(case, x, good), *params)
    # Every 17th element: each lane of a vector in turn, next to clean ones.
    spoiled = np.arange(x.size) % 17 == 0
    for nan, door in itertools.product((np.nan, -np.nan), DOORS.values()):
        bad = np.where(spoiled, np.copysign(np.array(np.nan, dtype), nan), x)
        for values in (params, tiled(case, x.size, dtype)):
            got = case.on(isa, precision, *map(door, data_of(case, bad, odd)), *values)
            assert np.isnan(got[spoiled]).all(), f"{case.name} hides a NaN"
        got = case.on(isa, precision, *map(door, data_of(case, bad, good)), *params)
        assert_same_bits(got[~spoiled], clean[~spoiled], case.name)
        for values in case.grid:  # whatever the parameters are
            got = case.on(isa, precision, *map(door, data_of(case, bad[:40], odd[:40])), *values)
            assert np.isnan(got[spoiled[:40]]).all(), f"{case.name}{values} hides a NaN"


def test_signaling_nan(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """A signaling NaN, and NaNs with any payload, are NaNs too."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    infinity = np.array(np.inf, dtype).view(unsigned)
    payloads = infinity + np.array([1, 2, 12345, np.finfo(dtype).nmant], unsigned)
    quiet = np.array(np.nan, dtype).view(unsigned) + np.array([0, 1, 999], unsigned)
    x = np.concatenate([payloads, quiet]).view(dtype)
    x = np.resize(np.concatenate([x, np.negative(x)]), 100)
    with np.errstate(all="raise"):
        got = case.on(isa, precision, *data_of(case, x), *case.params)
    assert np.isnan(got).all()


def test_no_warnings(case: Case, isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """No floating-point flag gets out, not even of the ufunc, whose flags NumPy reads."""
    ufunc = case.ufunc_of(precision, isa)
    for params in case.grid:
        x = inputs(case, params, dtype)[:4000]
        data = data_of(case, x, gradients(dtype, x.size))
        with np.errstate(all="raise"):
            for door in DOORS.values():
                case.on(isa, precision, *map(door, data), *params)
            ufunc(*data, *(dtype.type(value) for value in params))


class Subclass(np.ndarray):
    """An array whose calls NumPy handles."""


# Types and sorts of `out` into which a result is converted; a subclass takes NumPy's way.
OUT_TYPES = [np.dtype(kind) for kind in ("f2", "f4", "f8", "longdouble", "complex64")]
OUT_TYPES += [dtype for dtype in DTYPES if dtype.name == "bfloat16"]
OUT_SORTS: dict[str, Callable[[Array], Array]] = {
    "dense": DOORS["dense"],
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "unaligned": DOORS["ufunc"],
    "byte-swapped": swapped,
    "subclass": lambda x: x.view(Subclass),
    "masked array": np.ma.array,
}
# Values of arguments by name, beside those of the data; functions that need others.
ARGUMENTS: dict[str, Any] = {
    "labels": np.array([1, 2]),
    "bias": np.ones(6),
    "activation": "softplus",
    "scale": 1e-3,
    "zero_point": 0,
    "q": np.full((2, 6), 127, np.int8),
    "table": np.arange(256, dtype=np.uint8),
    "mask": np.zeros(2, np.uint8),
}
HALVED = {f"{unit}_backward" for unit in ("glu", "swiglu", "geglu", "reglu")}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "reduction": [{"reduction": reduction} for reduction in ("none", "mean", "sum")],
    "keepdims": [{"axis": -1}, {"axis": -1, "keepdims": True}],
}
TAKE_DATA: dict[str, Callable[..., Any]] = {
    name: function
    for module in (fr, fused, masks, quantized)
    for name in module.__all__
    if callable(function := getattr(module, name))
    and not inspect.isclass(function)
    and next(iter(inspect.signature(function).parameters), "") in {"x", "grad", "y", "logits", "q", "table"}
}
ELEMENTWISE = {case.public_name for case in CASES}


def extreme(dtype: Any) -> Array:
    """Return numbers whose results overflow, underflow or are invalid in the type itself or in a narrower one."""
    limits = np.finfo(dtype)
    rows = [
        [limits.max, -limits.max, limits.max / 2, limits.tiny, -limits.tiny, 1],
        [0, np.inf, -np.inf, np.nan, -20, -100],
    ]
    return np.array(rows, dtype)


def calls_of(name: str, x: Array) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the arguments of a public function for its data."""
    parameters = inspect.signature(TAKE_DATA[name]).parameters
    given = ARGUMENTS | {"x": x, "grad": x, "logits": x, "y": np.full_like(x, 0.25)}
    if name.startswith("binary"):
        given["labels"] = np.full(x.shape, 0.5)
    if name == "crelu_backward" or name in HALVED:
        given["x" if name == "crelu_backward" else "grad"] = x[:, ::2].copy()
    arguments: list[Any] = [
        given.get(p.name, 1.0)
        for p in parameters.values()
        if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    for options in next((OPTIONS[key] for key in OPTIONS if key in parameters), [{}]):
        if "keepdims" in parameters and name.endswith("backward"):
            arguments[0] = x[:, :1] if options.get("keepdims") else x[:, 0]
        yield arguments, options


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", TAKE_DATA)
def test_no_warnings_in_any_call(name: str, dtype: str) -> None:
    """Nor of what NumPy converts: inputs that are not aligned, numbers, and results for any sort of `out`."""
    function = TAKE_DATA[name]
    parameters, x = inspect.signature(function).parameters, extreme(dtype)
    for arguments, options in calls_of(name, x):
        with np.errstate(all="raise"):
            found = function(*(value.copy() if value is x else value for value in arguments), **options)
            for lay in (swapped, DOORS["ufunc"], OUT_SORTS["subclass"]):
                function(
                    *(lay(v) if isinstance(v, np.ndarray) and v.dtype == dtype else v for v in arguments), **options
                )
            if "out" not in parameters:
                continue
            result = found[-1 if "logits" in parameters else 0] if isinstance(found, tuple) else found
            own = result.dtype if result.dtype.kind != "V" else np.dtype(np.float32)
            for kind in OUT_TYPES if own.kind == "f" else [own]:
                for sort, lay in OUT_SORTS.items():
                    if sort == "masked array" and name not in ELEMENTWISE:  # refused
                        continue
                    out = lay(np.zeros(result.shape, kind))
                    function(*arguments, out=out, **options)
                    with np.errstate(all="ignore"):
                        lost = kind.itemsize <= own.itemsize and np.isinf(out) != np.isinf(result.astype(kind))
                    assert not np.any(lost), f"{name} {kind} {sort}"


@pytest.mark.parametrize("kind", OUT_TYPES, ids=str)
@each_forward_case
def test_no_warnings_of_numbers(case: Case, kind: np.dtype[Any]) -> None:
    """A number with an `out` without axes, as an array with one."""
    for number in (1e300, -1e300, 1e-300, np.float64(1e300), [1e300], np.float32(3e38)):
        out = np.zeros(np.shape(number), kind)
        with np.errstate(all="raise"):
            assert case(number, out=out) is out
            case(number)


def test_rows_state_the_limits() -> None:
    """Every row says what happens at the infinities and at both zeros."""
    for spec in SPECS.values():
        stated = [x for x, _ in spec.special]
        assert {np.inf, -np.inf} <= set(stated), spec.name
        assert {np.signbit(x) for x in stated if x == 0} == {False, True}, spec.name
