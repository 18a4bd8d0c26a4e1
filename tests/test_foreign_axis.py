"""Functions along an axis of arrays of other libraries: results are lazy or labeled, or the array is refused."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from compare import assert_same_bits
from test_foreign import SHAPE, TABLE, Declining, Meters, Overriding, Row

import fastrelu as fr
from fastrelu import diagnostics, nn, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array

X = np.random.default_rng(5).normal(0, 3, SHAPE).astype("f4")
MASK = X < 2
FORWARD = ("softmax", "log_softmax", "softmin", "hardmax", "sparsemax")
SUMS = ("logsumexp", "logmeanexp")


class Function(NamedTuple):
    """A function along an axis, with its inputs and their shapes along the last axis."""

    name: str
    data: tuple[Array, ...]
    reduces: bool = False
    masked: bool = True

    def __call__(self, *data: Any, **options: Any) -> Any:
        """Call it along the last axis."""
        return getattr(fr, self.name)(*data, **{"axis": -1} | options)

    def ufunc(self, masked: bool = False) -> np.ufunc:
        """Return its ufunc in the precision in force."""
        module = fr.ufuncs.accurate if fr.get_precision() == "accurate" else fr.ufuncs
        found: np.ufunc = getattr(module, self.name + "_where" * masked)
        return found

    def __str__(self) -> str:
        return self.name


GRAD = np.linspace(-1, 1, 24, dtype="f4").reshape(SHAPE)
FUNCTIONS = [
    *(Function(name, (X,)) for name in FORWARD),
    *(Function(f"{n}_backward_from_output", (GRAD, getattr(fr, n)(X)), masked=False) for n in FORWARD),
    *(Function(name, (X,), reduces=True) for name in SUMS),
    *(Function(f"{name}_backward", (GRAD[:, 0], X)) for name in SUMS),
]
each_function = pytest.mark.parametrize("function", FUNCTIONS, ids=str)
each_name = pytest.mark.parametrize("name", FORWARD)


def test_every_function_along_an_axis_is_here() -> None:
    """The table has all functions but losses, random samples and parameter gradients, which refuse such arrays."""
    names = {f.name for f in FUNCTIONS} | {f"{name}_" for name in FORWARD}
    assert names == {name for name in fr.along_axis.__all__ if not name.startswith(("cross_entropy", "gumbel"))
                     and not name.endswith("_backward_parameters")}  # fmt: skip  # one condition
    assert {f"{f.name}{'_where' * m}" for f in FUNCTIONS for m in range(1 + f.masked)} == set(runtime.rows.ufuncs)


# --- The table ------------------------------------------------------------------------------------------------------


def _dask_rows(x: Array) -> Any:
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    return dask.from_array(x, chunks=(3, *x.shape[1:]))


XARRAY = r"TypeError: use xarray.apply_ufunc .* Here: xarray.apply_ufunc\(fr.ufuncs."
# What differs from the functions of single elements: (result, in place and out=).
DIFFERENT = {
    "numpy.ma.MaskedArray": (r"TypeError: where=~x\.mask", r"TypeError: where=~x\.mask"),
    "__dlpack__": ("TypeError: takes real numbers, not Exchanged", "itself"),
    "pandas.Series of Float32": (
        r"TypeError: pandas' type Float32, whose missing values .* x.astype\(float\) first",
        r"TypeError: pandas' type Float32, whose missing values",
    ),
    "xarray.DataArray": (XARRAY, XARRAY),
    "xarray.Dataset": (XARRAY, XARRAY),
    "dask.array": ("the type", r"TypeError: writes no dask array into out=: use its result instead"),
}


def _row(name: str) -> Row:
    row = TABLE[name]._replace(numbers_promote=False)
    if name == "dask.array":
        row = row._replace(make=_dask_rows)
    if name in DIFFERENT:
        row = row._replace(result=DIFFERENT[name][0], in_place=DIFFERENT[name][1])
    return row


ROWS = {name: _row(name) for name in TABLE}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))


def expect(outcome: str) -> Any:
    """Return the context that expects the error that a row names."""
    return pytest.raises(TypeError, match=f"(?s){outcome.removeprefix('TypeError: ')}")


@each_row
@each_name
def test_result(name: str, row: Row) -> None:
    """`f(x)` and its gradient return the type of x, with the bits that the plain array gives."""
    function, backward = getattr(fr, name), getattr(fr, f"{name}_backward_from_output")
    x, grad = (X[0], GRAD[0]) if row.flat else (X, GRAD)
    for options in ({}, {"axis": -1}, {"axis": (-1,)}, {"where": MASK[0] if row.flat else MASK}):
        given = row.make(x.copy())
        if ":" in row.result:
            with expect(row.result.split("x.astype")[0] if "where" in options else row.result):
                function(given, **options)
            continue
        y = function(given, **options)
        expected = function(x, **options)
        assert type(y) is (np.ndarray if row.result == "ndarray" else type(given))
        assert_same_bits(row.read(y), expected)
        assert_same_bits(row.read(given), x)
        if "where" not in options:
            for operands in ((row.make(grad), y), (grad, y), (row.make(grad), expected)):
                dx = backward(*operands, **options)
                assert type(dx) is type(y)
                assert_same_bits(row.read(dx), backward(grad, expected, **options))


@each_row
@each_name
def test_output(name: str, row: Row) -> None:
    """`out=y` fills y and returns it; `f_(x)` overwrites x and returns it."""
    function, in_place = getattr(fr, name), getattr(fr, f"{name}_")
    x = X[0] if row.flat else X
    calls: list[Callable[[Any], Any]] = [lambda t: function(x, out=t), lambda t: function(x, out=(t,)), in_place]
    for call in calls:
        target = row.make(x.copy())
        if ":" in row.in_place:
            outcome = row.in_place
            if "Float32" in outcome and call is not in_place:  # pandas rounds into it
                assert call(target) is target
                continue
            with expect(outcome):
                call(target)
            continue
        assert call(target) is target
        assert_same_bits(row.read(target), function(x))


@each_row
@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str, row: Row) -> None:
    """One number for each row, in the type of x where it can hold them."""
    function, backward = getattr(fr, name), getattr(fr, f"{name}_backward")
    x = X[0] if row.flat else X
    given = row.make(x.copy())
    labels = "would lose the labels of a 'DataFrame': use x.apply"
    if ":" in row.result or "DataFrame" in type(given).__name__:
        with expect(row.result if ":" in row.result else labels):
            function(given, axis=-1)
        if ":" in row.result:
            return
    else:
        y = function(given, axis=-1)
        if not row.flat:
            assert type(y) is (np.ndarray if row.result == "ndarray" else type(given))
        assert_same_bits(np.asarray(row.read(y)), np.asarray(function(x, axis=-1)))
    grad = np.float32(2) if row.flat else GRAD[:, 0]
    dx = backward(grad, given, axis=-1)
    assert type(dx) is (np.ndarray if row.result == "ndarray" else type(given))
    assert_same_bits(row.read(dx), backward(grad, x, axis=-1))


# --- Ufuncs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fast", "accurate"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "bfloat16"])
@each_function
def test_ufuncs(function: Function, dtype: Any, precision: fr.runtime.Precision) -> None:
    """Ufuncs give the function's bits in any layout, along any axis, with masks, other types and no elements."""
    rng = np.random.default_rng(7)
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="the type is not there without it").bfloat16
    for shape in ((3, 4), (2, 3, 5), (300, 7), (0, 3), (3, 0), (1, 1), (40, 1500)):
        for axis in range(-len(shape), len(shape)):
            x, grad = rng.normal(0, 4, (2, *shape)).astype(dtype)
            mask = rng.random(shape) < 0.6
            mask[:1] = False
            if len(function.data) == 1:
                data = [x]
            elif function.masked:
                data = [grad.sum(axis, dtype), x]
            else:
                data = [grad, getattr(fr, function.name.split("_backward")[0])(x, axis)]
            with fr.precision(precision):
                ufunc = function.ufunc()
                expected = function(*data, axis=axis)
                assert_same_bits(ufunc(*data, axis=axis), expected)
                assert_same_bits(ufunc(*[np.asfortranarray(a) for a in data], axis=axis), expected)
                assert_same_bits(ufunc(*[a.astype(a.dtype.newbyteorder()) for a in data], axis=axis), expected)
                out = np.empty_like(expected)
                assert ufunc(*data, axis=axis, out=out) is out
                assert_same_bits(out, expected)
                if not function.reduces:
                    target = data[-1].copy()
                    assert ufunc(*data[:-1], target, axis=axis, out=target) is target
                    assert_same_bits(target, expected)
                if function.masked:
                    expected = function(*data, axis=axis, where=mask)
                    assert_same_bits(function.ufunc(True)(*data, mask, axis=axis), expected)


@each_function
def test_properties(function: Function) -> None:
    """Names, signature, types, docstring and pickling are those of the elementwise ufuncs."""
    inner = ",".join("()" if a.ndim == 1 else "(n)" for a in function.data)
    for module in (fr.ufuncs, fr.ufuncs.accurate):
        for masked in range(1 + function.masked):
            ufunc = getattr(module, function.name + "_where" * masked)
            nin = len(function.data) + masked
            assert (ufunc.__name__, ufunc.nin, ufunc.nout) == (function.name + "_where" * masked, nin, 1)
            assert ufunc.signature == f"{inner}{',(n)' * masked}->{'()' if function.reduces else '(n)'}"
            assert ufunc.types[:3] == [f"{c * len(function.data)}{'?' * masked}->{c}" for c in "fde"]
            assert all(word in str(ufunc.__doc__) for word in (f"fastrelu.{function.name}`", *["where"] * masked))
            assert pickle.loads(pickle.dumps(ufunc)) is ufunc
            assert repr(ufunc) == f"<ufunc '{ufunc.__name__}'>"
    assert fr.ufuncs.softmax(np.arange(12).reshape(3, 4), axes=[0, 1]).dtype == np.float64
    assert fr.ufuncs.logsumexp(np.array([[1, 2]], "i1"), keepdims=True).shape == (1, 1)


def test_a_ufunc_without_memory() -> None:
    """A row that must be copied, and cannot be, is an error and no crash."""
    x = np.lib.stride_tricks.as_strided(np.zeros(2, "f4"), (2, 2**58), (0, 0))
    with pytest.raises(MemoryError):
        fr.ufuncs.logsumexp(x)


# --- Foreign types --------------------------------------------------------------------------------------------------


@each_function
def test_override_receives_the_ufunc(function: Function) -> None:
    """The object sees the ufunc of the precision in force, all inputs by position, and always an axis."""
    for level in ("fast", "accurate"):
        with fr.precision(level):
            for j in range(len(function.data)):
                given: list[Any] = list(function.data)
                given[j] = Overriding(given[j])
                expected = function(*function.data)
                assert_same_bits(function(*given).x, expected)
                assert function(*given, out=(out := np.empty_like(expected))) is out
                asked = [(function.ufunc(), "__call__", len(given), names) for names in (["axis"], ["axis", "out"])]
                if function.masked:
                    function(*given, where=MASK[0])
                    asked.append((function.ufunc(True), "__call__", len(given) + 1, ["axis"]))
                assert given[j].asked == asked
            if function.masked:
                mask = Overriding(MASK)
                assert_same_bits(function(*function.data, where=mask).x, function(*function.data, where=MASK))
                assert mask.asked == [(function.ufunc(True), "__call__", len(given) + 1, ["axis"])]


def test_keepdims_is_handed_over() -> None:
    """keepdims= reaches the object's ufunc method; the gradient of a reduction refuses it."""
    x = Overriding(X)
    assert fr.logsumexp(x, 1, keepdims=True).x.shape == (4, 1)
    assert x.asked[0][3] == ["axis", "keepdims"]
    with pytest.raises(TypeError, match=r"logsumexp_backward takes keepdims= for arrays of NumPy alone: .*squeeze"):
        fr.logsumexp_backward(np.ones((4, 1)), x, 1, keepdims=True)


def test_several_axes_of_a_foreign_array_are_refused() -> None:
    """Such an array may have one axis, as a generalized ufunc; a subclass that only wraps results may have several."""
    x = Overriding(X)
    for axis in (None, (0, 1)):
        with pytest.raises(
            TypeError, match=r"softmax takes one axis of a 'Overriding', not (None|\(0, 1\)): pass axis= as"
        ):
            fr.softmax(x, axis)
    with pytest.raises(TypeError, match="logsumexp takes one axis of a 'Declining', not None"):
        fr.logsumexp(Declining(X))
    assert_same_bits(fr.softmax(X.view(Meters), None).view(np.ndarray), fr.softmax(X, None))


def test_masked_arrays_are_refused_everywhere() -> None:
    """A masked array is refused as x, gradient, output or mask, next to a foreign array too."""
    masked, where = np.ma.masked_array(X, MASK), np.ma.masked_array(MASK, MASK)
    x = X.copy()
    calls: list[Callable[[], Any]] = [
        lambda: fr.softmax(masked),
        lambda: fr.softmax_(masked),
        lambda: fr.softmax(x, out=masked),
        lambda: fr.softmax(x, where=where),
        lambda: fr.softmax_(x, where=where),
        lambda: fr.softmax(Overriding(x), out=masked),
        lambda: fr.softmax(Overriding(x), where=where),
        lambda: fr.softmax_backward_from_output(masked, x),
        lambda: fr.softmax_backward_from_output(masked, Overriding(x)),
        lambda: fr.logsumexp(masked, where=MASK),
        lambda: fr.logsumexp(x, where=where),
        lambda: fr.logmeanexp_backward(np.ma.masked_array(1.0), x),
        lambda: fr.cross_entropy(masked, [0] * 4),
        lambda: nn.Softmax()(masked),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"does not read masks of numpy.ma: pass x\.data"):
            call()
    assert_same_bits(x, X)


# --- pandas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if not f.reduces], ids=str)
def test_frames_keep_their_labels_along_either_axis(function: Function) -> None:
    """Labels are kept along both axes, also if columns have different types, which pandas stores apart."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    types: tuple[dict[str, str], ...] = ({}, {"a": "f8", "d": "i4"})
    for dtypes in types:
        for axis in (0, 1):
            arrays = [a if a.ndim == 2 or axis else np.resize(a, 6) for a in function.data]
            given: list[Any] = [
                pandas.DataFrame(a, columns=list("abcdef")).astype(dtypes) if a.ndim == 2 else a for a in arrays
            ]
            y = function(*given, axis=axis)
            assert list(y.columns) == list("abcdef")
            assert list(y.index) == [0, 1, 2, 3]
            assert_same_bits(y.to_numpy(), function(*map(np.asarray, given), axis=axis))


def test_pandas_reduces_by_apply() -> None:
    """The call that the error proposes keeps the labels."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    frame = pandas.DataFrame(X, index=list("pqrs"))
    y = frame.apply(fr.logsumexp, axis=1)
    assert list(y.index) == list("pqrs")
    assert_same_bits(y.to_numpy(), fr.logsumexp(X, 1))
    assert fr.logsumexp(frame[0]) == fr.logsumexp(X[:, 0])  # one dimension has one axis
    with pytest.raises(TypeError, match="would lose the labels of a 'Series': leave keepdims out"):
        fr.logsumexp(frame[0], keepdims=True)
    missing = pandas.DataFrame({"a": pandas.array([1.0, None], "Float32"), "b": [1.0, 2.0]})
    with pytest.raises(
        TypeError, match="softmax takes no x of pandas' type Float32, whose missing values would take part"
    ):
        fr.softmax(missing)


# --- xarray ---------------------------------------------------------------------------------------------------------


@each_function
def test_xarray_takes_the_way_out(function: Function) -> None:
    """The call that the error names works as it stands, and keeps dask arrays lazy."""
    xarray = pytest.importorskip("xarray", reason="the extra 'test' brings xarray")
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    names = {1: ("row",), 2: ("row", "column")}
    for masked in range(1 + function.masked):
        data = [*function.data, MASK] if masked else list(function.data)
        given = [xarray.DataArray(a, dims=names[a.ndim]) for a in data]
        with pytest.raises(TypeError) as caught:
            function(*given[: len(function.data)], **{"where": given[-1]} if masked else {})
        call = str(caught.value).partition("Here: ")[2]
        expected = function(*function.data, **{"where": MASK} if masked else {})
        for lazily in (False, True):
            x = [a.copy(data=dask.from_array(a.values, (2, 6)[: a.ndim])) if lazily else a for a in given]
            code = call.replace(", x" * (len(x) - 1), "", 1).replace(", x,", ", *x,", 1)
            y = eval(code, {"xarray": xarray, "fr": fr, "x": x, "dim": "column"})
            assert y.chunks is None or y.chunks[0] == (2, 2)
            assert_same_bits(y.values, expected)


# --- dask -----------------------------------------------------------------------------------------------------------


class Counted(NamedTuple):
    """A lazy array that says when it is read."""

    array: Any
    read: list[int]


def counted(x: Array, chunks: tuple[int, ...]) -> Counted:
    """Return a dask array whose blocks are counted when they are computed."""
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    read: list[int] = []

    def block(a: Array) -> Array:
        read.append(1)
        return a

    return Counted(
        dask.from_array(x, chunks).map_blocks(block, dtype=x.dtype, meta=np.empty((0,) * x.ndim, x.dtype)), read
    )


@pytest.mark.parametrize("precision", ["fast", "accurate"])
@each_function
def test_dask_is_lazy(function: Function, precision: fr.runtime.Precision) -> None:
    """Nothing is computed when the graph is built; chunks, precision and bits are kept, with plain operands beside too."""
    other: fr.runtime.Precision = "accurate" if precision == "fast" else "fast"
    for lazy in ([0], [len(function.data) - 1], list(range(len(function.data)))):
        for axis in (0, 1):
            chunks = (2, 6) if axis else (4, 3)
            data = [a if a.ndim == 2 or axis else np.resize(a, 6) for a in function.data]
            own = [chunks if a.ndim == 2 else (chunks[1 - axis],) for a in data]
            given = {j: counted(data[j], own[j]) for j in lazy}
            operands = [given[j].array if j in given else a for j, a in enumerate(data)]
            with fr.precision(precision):
                expected, y = function(*data, axis=axis), function(*operands, axis=axis)
                masked = []
                if function.masked:
                    mask = counted(MASK, chunks)
                    masked = [function(*operands, axis=axis, where=m) for m in (mask.array, MASK)]
                    masked.append(function(*data, axis=axis, where=mask.array))
                    assert not mask.read
                expected_masked = function(*data, axis=axis, where=MASK) if function.masked else None
            assert not any(c.read for c in given.values())
            assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
            assert y.chunks == (((3, 3),) if expected.ndim == 1 and not axis else tuple_of(expected.ndim, axis))
            with fr.precision(other):  # the graph holds the ufunc
                assert_same_bits(y.compute(scheduler="threads", num_workers=2), expected)
                for m in masked:
                    assert_same_bits(m.compute(scheduler="synchronous"), expected_masked)
            assert all(c.read for c in given.values())


def tuple_of(ndim: int, axis: int) -> tuple[tuple[int, ...], ...]:
    """Return the chunks of a result: cut across the axis, whole along it."""
    if ndim == 1:
        return ((2, 2),)
    return ((2, 2), (6,)) if axis else ((4,), (3, 3))


@each_name
def test_dask_attention_is_lazy(name: str) -> None:
    """A softmax in the middle of a graph: nothing before it is computed, and every block once after it."""
    pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    query = counted(X, (2, 6))
    scores = query.array @ X.T
    probabilities = getattr(fr, name)(scores / 2)
    y = nn.Softmax().eval()(probabilities @ X)
    assert type(y) is type(scores)
    assert not query.read
    expected = fr.softmax(getattr(fr, name)((X @ X.T) / 2) @ X)
    np.testing.assert_allclose(y.compute(scheduler="threads"), expected, 1e-4, 1e-6)
    assert len(query.read) == 2


def test_dask_operands_are_cut_alike() -> None:
    """The second operand gets the chunks of the first; an operand with a row in several chunks is refused."""
    dask: Any = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    y = fr.softmax(X)
    whole, rows, cut = (dask.from_array(y, chunks) for chunks in ((4, 6), (2, 6), (2, 3)))
    dx = fr.softmax_backward_from_output(rows, whole)
    assert dx.chunks == ((2, 2), (6,))
    assert_same_bits(dx.compute(scheduler="synchronous"), fr.softmax_backward_from_output(y, y))
    calls: dict[str, Callable[[], Any]] = {
        "x": lambda: fr.softmax(cut),
        "y": lambda: fr.softmax_backward_from_output(rows, cut),
        "grad": lambda: fr.softmax_backward_from_output(cut, rows),
        "where": lambda: fr.softmax(rows, where=cut > 0),
    }
    for names, call in calls.items():
        with pytest.raises(
            ValueError, match=rf": {names} is cut into chunks along axis 1, .* pass {names}\.rechunk\(\{{1: -1\}}\)"
        ):
            call()
    assert_same_bits(fr.softmax(cut.rechunk({1: -1})).compute(scheduler="synchronous"), fr.softmax(y))
    with pytest.raises(np.exceptions.AxisError):
        fr.softmax(rows, 2)
    unknown = rows[rows[:, 0] > 0]  # as many rows as there will be
    assert_same_bits(fr.softmax(unknown).compute(scheduler="synchronous"), fr.softmax(y[y[:, 0] > 0]))
    with pytest.raises(TypeError, match=r"softmax takes bool, integers and real numbers .*complex64"):
        fr.softmax(rows.astype("c8"))


# --- What has no ufunc ----------------------------------------------------------------------------------------------

LABELS = np.array([0, 1, 2, 3])
GATED = np.concatenate([X, X], -1)
REFUSED: dict[str, Callable[[Any], Any]] = {
    "cross_entropy logits": lambda f: fr.cross_entropy(f(X), LABELS),
    "cross_entropy labels": lambda f: fr.cross_entropy(X, f(LABELS)),
    "cross_entropy weight": lambda f: fr.cross_entropy(X, LABELS, weight=f(X[0])),
    "cross_entropy_value_and_grad logits": lambda f: fr.cross_entropy_value_and_grad(f(X), LABELS),
    "CrossEntropyLoss logits": lambda f: nn.CrossEntropyLoss()(f(X), LABELS),
    "binary_cross_entropy_with_logits labels": lambda f: fr.binary_cross_entropy_with_logits(X, f(MASK)),
    "NLLLoss log_probabilities": lambda f: nn.NLLLoss()(f(X), LABELS),
    "crelu x": lambda f: fr.crelu(f(X)),
    "crelu out": lambda f: fr.crelu(X, out=f(GATED)),
    "crelu_backward grad": lambda f: fr.crelu_backward(f(GATED), X),
    "crelu_backward x": lambda f: fr.crelu_backward(GATED, f(X)),
    "crelu_backward_from_output y": lambda f: fr.crelu_backward_from_output(GATED, f(GATED)),
    "prelu_backward_parameters grad": lambda f: fr.prelu_backward_parameters(f(X), X, 0.5),
    "elu_backward_parameters x": lambda f: fr.elu_backward_parameters(X, f(X)),
    "swish_backward_parameters beta": lambda f: fr.swish_backward_parameters(X, X, f(X)),
    "a summary a": lambda f: diagnostics.summarize(f(X)),
    "a summary running": lambda f: diagnostics.Running().update(f(X)),
    "CReLU x": lambda f: nn.CReLU()(f(X)),
    "Linear x": lambda f: nn.Linear(6, 2)(f(X)),
    "Dropout x": lambda f: nn.Dropout()(f(X)),
    "Flatten x": lambda f: nn.Flatten()(f(X)),
    "Unflatten x": lambda f: nn.Unflatten(1, (2, 3))(f(X)),
    "Add x": lambda f: nn.Add()(X, f(X)),
    "Concatenate x": lambda f: nn.Concatenate()(f(X), X),
    "detach x": lambda f: nn.detach(f(X)),
}


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("library", ["dask", "pandas", "xarray", "an object"])
def test_what_is_no_ufunc_refuses(refused: str, library: str) -> None:
    """A TypeError that names the operand and numpy.asarray, before anything is computed."""
    read: list[int] = []

    def make(x: Array) -> Any:
        if library == "dask":
            array, own = counted(x, (2, *x.shape[1:]))
            read.extend(own)
            return array
        if library == "an object":
            return Overriding(x)
        module = pytest.importorskip(library, reason=f"the extra 'test' brings {library}")
        if library == "xarray":
            return module.DataArray(x)
        return module.DataFrame(x) if x.ndim == 2 else module.Series(x)

    with pytest.raises(TypeError, match=r"convert (it|operands) with numpy\.asarray"):
        REFUSED[refused](make)
    assert not read


def test_layers_hand_over() -> None:
    """Layers of functions that are ufuncs keep a dask array lazy, in training too."""
    pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    for layer in (nn.Softmax(), nn.LogSoftmax(dim=1), nn.Softmin(-1), nn.GELU(), nn.RReLU(), nn.RReLU().eval()):
        x = counted(X, (2, 6))
        y = layer(x.array)
        assert not x.read
        assert y.chunks == x.array.chunks
        assert y.compute(scheduler="synchronous").shape == SHAPE


def test_prelu_with_an_axis() -> None:
    """A dask weight stays lazy; one that cannot be laid along the axis is refused."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    weight = counted(np.full(4, 0.25, "f4"), (4,))
    y = fr.prelu(X, weight.array, axis=0)
    assert not weight.read
    assert_same_bits(y.compute(scheduler="synchronous"), fr.prelu(X, 0.25))
    with pytest.raises(
        TypeError, match=r"prelu with axis= takes no 'Series' as weight: convert it with numpy\.asarray"
    ):
        fr.prelu(X, pandas.Series(np.ones(4)), axis=0)


def test_crelu_wraps(torch: Any) -> None:
    """A type that wraps results of ufuncs gets those of crelu too."""
    y = fr.crelu(torch.from_numpy(X.copy()))
    assert type(y) is torch.Tensor
    assert_same_bits(y.numpy(), fr.crelu(X))
