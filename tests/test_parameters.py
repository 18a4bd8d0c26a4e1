"""Parameters: their domains and the errors outside, their types, and that numbers are rounded once and never promote."""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import Case, each_parametric_case, kernels
from compare import assert_same_bits
from grid import DTYPES
from inputs import data_of, gradients, inputs, tiled
from specs import FORWARD, SPECS, Array, Params, Precision, Spec

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Sequence


OUTSIDE = [
    pytest.param(Case(spec, direction), params, id=f"{spec.kernel(direction)}{params}")
    for spec in SPECS.values()
    for direction in spec.directions
    for params in spec.outside(direction)
]
OUTSIDE_ALONE = [
    pytest.param(Case(spec, direction), index, value, id=f"{spec.kernel(direction)}-{index}={value}")
    for spec in SPECS.values()
    for direction in spec.directions
    for index, value in spec.outside_alone
]


def refusal(case: Case, params: Sequence[Any]) -> str:
    """Return a pattern of the message: function, condition, and every parameter as it was given."""
    names = kernels(fr.config()["isa"])[case.name].operands[case.ndata :]
    given = ", ".join(f"{name}={v!s}" for name, v in zip(names, params, strict=True))
    return rf"^{case.public_name} requires .*({'|'.join(names)}).*, got {re.escape(given)}$"


def block(dtype: np.dtype[Any]) -> Array:
    """Return a small array without special values."""
    return np.linspace(-3, 3, 48, dtype=dtype).reshape(6, 8)


@pytest.mark.parametrize(("case", "params"), OUTSIDE)
def test_outside_raises(case: Case, params: Params, dtype: np.dtype[Any]) -> None:
    """Through every door, numbers outside the domain raise and nothing is written."""
    x, message = block(dtype), refusal(case, params)
    out = np.full_like(x, 7)
    strided = np.full((6, 16), 7, dtype)[:, ::2]
    calls: list[tuple[Array, dict[str, Any]]] = [
        (x, {}),
        (x, {"out": out}),
        (x[:, ::2], {}),
        (x, {"out": strided}),
        (x, {"out": out, "where": x > 0}),
        (x[0, 0], {}),
        (x.astype(dtype.newbyteorder()), {"out": out}),
        (x[:0], {}),
    ]
    for data, options in calls:
        with pytest.raises(ValueError, match=message):
            case(*data_of(case, data), *params, **options)
    assert np.all(out == 7)
    assert np.all(strided == 7)


@pytest.mark.parametrize(
    ("spec", "params"),
    [pytest.param(spec, p, id=f"{spec.name}{p}") for spec in SPECS.values() for p in spec.outside(FORWARD)],
)
def test_outside_in_place(spec: Spec, params: Params, dtype: np.dtype[Any]) -> None:
    """In place the array keeps its values."""
    x = block(dtype)
    for target in (x, x[:, ::2]):
        with pytest.raises(ValueError, match=refusal(Case(spec, FORWARD), params)):
            spec.in_place()(target, *params)
    assert_same_bits(x, block(dtype))


@pytest.mark.parametrize(("case", "params"), OUTSIDE)
def test_outside_elements_give_nan(
    case: Case, params: Params, isa: str, dtype: np.dtype[Any], precision: Precision
) -> None:
    """An array element outside the domain gives NaN there and nowhere else."""
    x = block(dtype).ravel()
    data = data_of(case, x, gradients(dtype, x.size))
    good = tiled(case, x.size, dtype)
    wanted = case.on(isa, precision, *data, *good)
    bad = np.arange(x.size) % 5 == 2
    mixed = [np.where(bad, dtype.type(value), column) for value, column in zip(params, good, strict=True)]
    got = case.on(isa, precision, *data, *mixed)
    assert np.isnan(got[bad]).all()
    assert_same_bits(got[~bad], wanted[~bad], case.name)
    # Through the kernel itself, for one number each, as the ufunc calls it on broadcast operands.
    ufunc = case.ufunc_of(precision, isa)
    assert np.isnan(ufunc(*data, *(np.array([value], dtype) for value in params))).all()


@pytest.mark.parametrize(("case", "index", "value"), OUTSIDE_ALONE)
def test_outside_next_to_arrays(case: Case, index: int, value: float, dtype: np.dtype[Any]) -> None:
    """A number outside its own domain raises although the other parameters are arrays."""
    x = block(dtype)
    out = np.full_like(x, 7)
    params: list[Any] = [np.full_like(x, known) for known in case.params]
    params[index] = value
    for kind in (float, dtype.type):
        params[index] = kind(value)
        with pytest.raises(ValueError, match=rf"^{case.public_name} requires "):
            case(*data_of(case, x), *params, out=out)
        assert np.all(out == 7)


@each_parametric_case
def test_parameters_by_name(case: Case, dtype: np.dtype[Any]) -> None:
    """Parameters can be given by the names that the kernel has for them."""
    names = kernels(fr.config()["isa"])[case.name].operands[case.ndata :]
    for params in case.grid:
        data = data_of(case, inputs(case, params, dtype)[:500])
        named = case.function(*data, **dict(zip(names, params, strict=True)))
        assert_same_bits(named, case(*data, *params), f"{case.name}{params}")


@pytest.mark.parametrize(("case", "params"), OUTSIDE)
def test_refusal_is_in_plain_words(case: Case, params: Params) -> None:
    """The condition names the parameters and holds nothing of C, and the numbers are the caller's own."""
    kinds = (float, np.float32, np.float64, np.array, functools.partial(np.array, dtype="f4"))
    for make, dtype in itertools.product(kinds, DTYPES):
        given = [make(value) for value in params]
        with pytest.raises(ValueError, match=refusal(case, given)) as caught:
            case(*[block(dtype)] * case.ndata, *given)
        condition = str(caught.value).removeprefix(f"{case.public_name} requires ").partition(", got ")[0]
        words = {*kernels(fr.config()["isa"])[case.name].operands[case.ndata :], "and", "finite", "0", "0.5"}
        assert set(re.split(r" (?:(?:>|<|>=|<=|!=) )?", condition)) <= words


def test_refusal_says_what_rounding_did() -> None:
    """A number that only lies outside once it is rounded is shown as both."""
    message = r"^softplus requires finite beta and beta > 0, got beta=1e-50 \(0.0 in float32\)$"
    x = np.ones(3, np.float32)
    for data in (x, x[::-2], x.astype(">f4"), np.float32(1)):
        with pytest.raises(ValueError, match=message):
            fr.softplus(data, 1e-50)
    assert fr.softplus(np.ones(3), 1e-50).dtype == np.float64
