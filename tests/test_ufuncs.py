"""The ufuncs behind the functions: their names, pickling, methods and options are those of NumPy's own."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import BACKWARD_CASES, CASES, TWO_INPUT_CASES, Case, over
from compare import assert_same_bits
from grid import DTYPES, PRECISIONS
from inputs import values
from programs import run_python

import fastrelu as fr
from fastrelu import _kernels, runtime

if TYPE_CHECKING:
    from specs import Array, Precision

each_two_input_case = over(TWO_INPUT_CASES)
MODULES = {"fast": fr.ufuncs, "accurate": fr.ufuncs.accurate}


def test_modules_hold_every_ufunc() -> None:
    """Both modules list all kernels by name, and each name is one ufunc."""
    names = [*(name for _, _, name in _kernels.kernel_names()), *runtime.rows.ufuncs]
    assert sorted(fr.ufuncs.__all__) == sorted([*names, "accurate"])
    assert sorted(fr.ufuncs.accurate.__all__) == sorted(names)
    ufuncs = [getattr(module, name) for module in MODULES.values() for name in names]
    assert all(type(u) is np.ufunc for u in ufuncs)
    assert len({id(u) for u in ufuncs}) == len(ufuncs)


def test_properties(case: Case, precision: Precision) -> None:
    """Names, numbers of operands, types, and a docstring that names the inputs."""
    ufunc = getattr(MODULES[precision], case.name)
    kernel = runtime.kernels[case.name]
    nin = case.ndata + len(case.params)
    assert (ufunc.__name__, ufunc.nin, ufunc.nout, ufunc.nargs) == (case.name, nin, 1, nin + 1)
    assert ufunc.types == [f"{dtype.char * nin}->{dtype.char}" for dtype in (*DTYPES, np.dtype("e"))]
    assert ufunc is getattr(kernel, precision)
    assert ufunc.identity is None
    assert ufunc.signature is None
    assert all(name in str(ufunc.__doc__) for name in (f"fastrelu.{case.name}", *kernel.operands))
    assert kernel.operands[: case.ndata] == (("x",), ("grad", "x"), ("grad", "y"))[case.direction]


# --- Pickling ---------------------------------------------------------------------------------------------------------


def test_pickle_and_copy(case: Case, precision: Precision) -> None:
    """A ufunc is itself after pickling and copying."""
    ufunc = getattr(MODULES[precision], case.name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(ufunc, protocol)) is ufunc
    assert copy.copy(ufunc) is ufunc
    assert copy.deepcopy(ufunc) is ufunc
    cloudpickle = pytest.importorskip("cloudpickle", reason="dask brings it")
    assert pickle.loads(cloudpickle.dumps(ufunc)) is ufunc


def test_pickle_into_a_fresh_process() -> None:
    """Another process finds the ufuncs of both precisions, and functions too, without having imported anything."""
    ufuncs = {
        (level, name): getattr(MODULES[level], name) for level in PRECISIONS for name in fr.ufuncs.accurate.__all__
    }
    functions = {name: getattr(fr, name) for name in vars(fr)["__all__"] if callable(getattr(fr, name))}
    print_them = (
        f"import pickle; u, f = pickle.loads({pickle.dumps((ufuncs, functions))!r})\n"
        "import fastrelu as fr\n"
        "modules = {'fast': fr.ufuncs, 'accurate': fr.ufuncs.accurate}\n"
        "assert all(x is getattr(modules[level], name) for (level, name), x in u.items())\n"
        "assert all(x is getattr(fr, name) for name, x in f.items())\n"
        "print(len(u), len(f))"
    )
    assert run_python(print_them) == f"{len(ufuncs)} {len(functions)}\n"


# --- Methods of two-input ufuncs --------------------------------------------------------------------------------------


def scalar_loop(ufunc: np.ufunc, x: Array, keep: bool) -> Any:
    """Reduce or accumulate one axis by calls with scalars."""
    total = x[0]
    steps = [total]
    for value in x[1:]:
        total = ufunc(total, value)
        steps.append(total)
    return np.array(steps, x.dtype) if keep else total


@each_two_input_case
def test_reduce_and_accumulate(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """One element after the other, along any axis, in any layout."""
    with fr.precision(precision):
        ufunc = case.ufunc
    for n in (1, 2, 7, 100):
        x = np.abs(values(n, dtype, 2))
        for view in (x, x[::-1], x[::2], np.repeat(x, 3)[::3]):
            assert_same_bits(ufunc.reduce(view), scalar_loop(ufunc, view, keep=False))
            assert_same_bits(ufunc.accumulate(view), scalar_loop(ufunc, view, keep=True))
    table = np.abs(values(6 * 35, dtype, 2)).reshape(6, 35)
    for view in (table, np.asfortranarray(table), table[::-1, ::-1], table[:, ::3]):
        for axis in (0, 1):
            rows = np.moveaxis(view, axis, -1)
            assert_same_bits(ufunc.reduce(view, axis=axis), np.array([scalar_loop(ufunc, r, keep=False) for r in rows]))
            kept = np.stack([scalar_loop(ufunc, r, keep=True) for r in rows])
            assert_same_bits(np.moveaxis(ufunc.accumulate(view, axis=axis), axis, -1), kept)
        expected = ufunc.reduce(view, axis=1)
        assert_same_bits(ufunc.reduce(view, axis=1, keepdims=True)[:, 0], expected)
        out = np.zeros(6, dtype)
        assert ufunc.reduce(view, axis=1, out=out) is out
        assert_same_bits(out, expected)
    # In place: what is read has not been written yet, or has been read already.
    x = np.abs(values(50, dtype, 2))
    expected = ufunc.accumulate(x.copy())
    ufunc.accumulate(x, out=x)
    assert_same_bits(x, expected)


@each_two_input_case
def test_reductions_take_an_initial_value_but_have_no_identity(case: Case, dtype: np.dtype[Any]) -> None:
    """NumPy's rules for ufuncs without identity."""
    x = np.abs(values(20, dtype, 2))
    start = dtype.type(0.5)
    assert_same_bits(case.ufunc.reduce(x, initial=start), scalar_loop(case.ufunc, np.append(start, x), keep=False))
    mask = np.arange(20) % 3 == 0
    expected = scalar_loop(case.ufunc, np.append(start, x[mask]), keep=False)
    assert_same_bits(case.ufunc.reduce(x, initial=start, where=mask), expected)
    with pytest.raises(ValueError, match="zero-size array to reduction operation"):
        case.ufunc.reduce(x[:0])
    with pytest.raises(ValueError, match="not reorderable"):
        case.ufunc.reduce(x.reshape(4, 5), axis=(0, 1))


@each_two_input_case
def test_reduceat(case: Case, dtype: np.dtype[Any]) -> None:
    """Slices between indices, a single element where they do not rise."""
    x = np.abs(values(40, dtype, 2))
    indices = [0, 5, 5, 30, 12, 39]
    expected = []
    for i, start in enumerate(indices):
        stop = indices[i + 1] if i + 1 < len(indices) else x.size
        expected.append(scalar_loop(case.ufunc, x[start:stop] if start < stop else x[start : start + 1], keep=False))
    assert_same_bits(case.ufunc.reduceat(x, indices), np.array(expected, dtype))


def test_at(case: Case, dtype: np.dtype[Any]) -> None:
    """Unbuffered in place, each occurrence of an index counts."""
    ufunc = case.ufunc
    if ufunc.nin > 2:
        with pytest.raises(ValueError, match="Only unary and binary ufuncs supported"):
            ufunc.at(np.zeros(3, dtype), [0], 1)
        return
    indices = [3, 0, 3, 3, 7, -1, 0]
    x = np.abs(values(20, dtype, 2))
    operands = [values(len(indices), dtype, 5)] if case.direction else [np.array(case.params * len(indices), dtype)]
    operands = operands[: ufunc.nin - 1]
    expected = x.copy()
    for j, i in enumerate(indices):
        expected[i] = ufunc(expected[i], *[a[j] for a in operands])
    ufunc.at(x, indices, *operands)
    assert_same_bits(x, expected)
    strided = np.repeat(np.abs(values(20, dtype, 2)), 2)
    ufunc.at(strided[::2], indices, *operands)
    assert_same_bits(strided[::2], expected)
    unaligned = np.empty(x.nbytes + 1, np.uint8)[1:].view(dtype)  # whose addresses NumPy hands to the loop as they are
    unaligned[...] = np.abs(values(20, dtype, 2))
    ufunc.at(unaligned, indices, *operands)
    assert_same_bits(unaligned.copy(), expected)


@each_two_input_case
def test_outer(case: Case, dtype: np.dtype[Any]) -> None:
    """`outer` computes every pair."""
    x, y = np.abs(values(7, dtype, 2)), np.abs(values(5, dtype, 2)) + 1
    assert_same_bits(case.ufunc.outer(x, y), case.ufunc(x[:, None], y))


@over([case for case in CASES if case.ufunc.nin != 2])
def test_methods_need_two_inputs(case: Case) -> None:
    """NumPy's error for the others."""
    for method in (case.ufunc.reduce, case.ufunc.accumulate):
        with pytest.raises(ValueError, match="only supported for binary functions"):
            method(np.ones(3))


# --- Options -----------------------------------------------------------------------------------------------------------


def test_dtype_casting_and_signature(case: Case) -> None:
    """`dtype=`, `signature=` and `casting=` choose the loop as they do for NumPy's ufuncs."""
    ufunc, params = case.ufunc, case.params
    data = case.data(40, "f4")
    expected = ufunc(*[a.astype("f8") for a in data], *params)
    assert_same_bits(ufunc(*data, *params, dtype="f8"), expected)
    assert_same_bits(ufunc(*data, *params, signature=ufunc.types[1]), expected)
    wide = [np.nan_to_num(a).clip(-9, 9).astype("f8") for a in data]
    narrow = [a.astype("f4") for a in wide]
    assert_same_bits(ufunc(*wide, *params, dtype="f4", casting="same_kind"), ufunc(*narrow, *params))
    with pytest.raises(TypeError, match="Cannot cast ufunc"):
        ufunc(*wide, *params, dtype="f4", casting="safe")
    with pytest.raises(TypeError, match="No loop matching the specified signature"):
        ufunc(*data, *params, dtype="i4")


def test_out_as_tuple_and_ellipsis(case: Case, dtype: np.dtype[Any]) -> None:
    """`out=(y,)` is `out=y`; `out=...` always returns an array, where NumPy knows it."""
    data = case.data(30, dtype)
    expected = case(*data)
    for view in (np.s_[:], np.s_[::-1]):
        out = np.zeros(30, dtype)
        assert case(*[a[view] for a in data], out=(out,)) is out
        assert_same_bits(out, expected[view])
    assert_same_bits(case(*data, out=(None,)), expected)
    try:
        np.negative(np.float32(1), out=...)
    except TypeError:
        pytest.skip("this NumPy has no out=...")
    for inputs in (
        data,
        [a[::2] for a in data],
        [a.reshape(5, 6) for a in data],
        [np.arange(30, dtype="i1") for _ in data],
    ):
        y = case(*inputs, out=...)
        assert type(y) is np.ndarray
        assert_same_bits(y, case(*inputs))
    for scalars in ([a[0] for a in data], [a[:1].reshape(()) for a in data]):
        y = case(*scalars, out=...)
        assert type(y) is np.ndarray
        assert y.shape == ()
        assert_same_bits(y, expected[0])


@over(BACKWARD_CASES[:4])
def test_order_of_a_result(case: Case) -> None:
    """`order=` of the ufunc is NumPy's."""
    data = [a.reshape(5, 6) for a in case.data(30, "f4")]
    assert case.ufunc(*data, *case.params, order="F").flags.f_contiguous
