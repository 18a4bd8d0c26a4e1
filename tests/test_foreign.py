"""The table of foreign types: what a function returns for each, and what `f_(x)` and `out=` do with it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from cases import CASES, FORWARD_CASES, SOME_CASES, Case, each_forward_of_some, each_of_some
from compare import assert_same_bits

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array


SHAPE = (4, 6)
each_parametric_case = pytest.mark.parametrize("case", [case for case in SOME_CASES if case.params], ids=str)
each_backward_case = pytest.mark.parametrize("case", [case for case in SOME_CASES if case.ndata == 2], ids=str)


# --- Types of our own ----------------------------------------------------------------------------------------------------


class Meters(np.ndarray[Any, Any]):
    """A subclass of ndarray that carries something along."""

    label: str | None = None

    def __array_finalize__(self, source: Any) -> None:
        """Take the label of the array that this one comes from."""
        self.label = getattr(source, "label", None)


class OnlyArray:
    """An object that NumPy can turn into an array, and nothing else."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return a copy, as NumPy asks for it."""
        return np.array(self.x, dtype, copy=copy)


class Wrapped(OnlyArray):
    """An object that NumPy can turn into an array, and whose results NumPy wraps again."""

    def __array_wrap__(self, x: Array, context: Any = None, return_scalar: bool = False) -> Any:
        """Wrap a result."""
        del context
        return x[()] if return_scalar else Wrapped(x)


class Overriding(OnlyArray):
    """An object that takes ufuncs over, and remembers what it was asked."""

    asked: list[tuple[np.ufunc, str, int, list[str]]]

    def __init__(self, x: Array) -> None:
        super().__init__(x)
        self.asked = []

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Answer a ufunc."""
        self.asked.append((ufunc, method, len(inputs), sorted(options)))
        out = options.pop("out", ())
        if out:
            options["out"] = tuple(o.x if isinstance(o, Overriding) else o for o in out)
        plain = [i.x if isinstance(i, Overriding) else i for i in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return out[0] if out else Overriding(result)


class Declining(OnlyArray):
    """An object that knows of ufuncs but not of ours."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        """Answer a ufunc."""
        return NotImplemented


class Refusing(OnlyArray):
    """An object that wants to have nothing to do with ufuncs."""

    __array_ufunc__ = None


class Exchanged:
    """An array of another library: it hands its memory out by DLPack only."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def __dlpack__(self, **options: Any) -> Any:
        """Hand out the memory."""
        return self.x.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        """Say where the memory is."""
        return self.x.__dlpack_device__()


# --- The table -----------------------------------------------------------------------------------------------------------


def _pandas(kind: str, x: Array, **options: Any) -> Any:
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    return getattr(pandas, kind)(x.ravel() if kind != "DataFrame" else x.copy(), **options)


def _xarray(x: Array) -> Any:
    xarray = pytest.importorskip("xarray", reason="the extra 'test' brings xarray")
    return xarray.DataArray(x, dims=("row", "column"), coords={"row": [3, 1, 2, 0]}, attrs={"unit": "m"}, name="v")


def _dask(x: Array) -> Any:
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    return dask.from_array(x, chunks=(3, 4))


def _torch(x: Array) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return torch.from_numpy(x)


def _read_dask(y: Any) -> Any:
    return y.compute(scheduler="synchronous")


def _index(x: Array) -> Any:
    return [f"r{i}" for i in range(x.size)]


class Row(NamedTuple):
    """What one type supports."""

    make: Callable[[Array], Any]
    read: Callable[[Any], Any] = np.asarray
    result: str = "the type"  # of f(x): "the type" itself or "ndarray"; else the error
    in_place: str = "itself"  # of f_(x) and out=x: the object itself; else the error
    flat: bool = False  # it has one dimension
    numbers_promote: bool = False  # next to a Python number as parameter float32 becomes float64, as in np.maximum


TABLE = {
    "ndarray subclass": Row(lambda x: x.view(Meters), read=lambda y: y.view(np.ndarray)),
    "numpy.ma.MaskedArray": Row(np.ma.MaskedArray, read=np.ma.getdata),
    "__array__": Row(OnlyArray, result="ndarray", in_place="TypeError: can write into an array or a writable buffer"),
    "__array_wrap__": Row(Wrapped, in_place="TypeError: can write into an array or a writable buffer"),
    "__array_ufunc__": Row(Overriding, read=lambda y: y.x),
    "__array_ufunc__ that returns NotImplemented": Row(
        Declining, result="TypeError: returned NotImplemented", in_place="TypeError: returned NotImplemented"
    ),
    "__array_ufunc__ = None": Row(
        Refusing, result="TypeError: does not support ufuncs", in_place="TypeError: does not support ufuncs"
    ),
    "__dlpack__": Row(Exchanged, read=lambda y: y.x, result="TypeError: has the type Exchanged"),
    "pandas.Series": Row(lambda x: _pandas("Series", x, index=_index(x), name="v"), flat=True),
    "pandas.Series of Float32": Row(
        lambda x: _pandas("Series", x, dtype="Float32"), read=lambda y: y.to_numpy(y.dtype.numpy_dtype), flat=True
    ),
    "pandas.DataFrame": Row(lambda x: _pandas("DataFrame", x, columns=list("abcdef")), numbers_promote=True),
    "pandas.Index": Row(
        lambda x: _pandas("Index", x), flat=True, in_place="TypeError: Index does not support mutable operations"
    ),
    "xarray.DataArray": Row(
        _xarray, in_place=r"TypeError: not yet supported in the `out` argument .* numpy\.asarray first"
    ),
    "xarray.Dataset": Row(
        lambda x: _xarray(x).to_dataset(),
        read=lambda y: y["v"].values,
        in_place=r"TypeError: not yet supported in the `out` argument .* numpy\.asarray first",
    ),
    "dask.array": Row(_dask, read=_read_dask),  # lazily; "in place" it is the name that gets a new graph
    "torch.Tensor on the CPU": Row(_torch),
}
each_row = pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array_wrap__ must accept context:DeprecationWarning"  # NumPy warns PyTorch so in np.negative too
)


def finite(case: Case) -> list[Array]:
    """Return numbers that every type can hold: pandas takes NaN for a missing value."""
    return [np.nan_to_num(a, posinf=9, neginf=-9).reshape(SHAPE) for a in case.data(24, "f4")]


def expect(outcome: str) -> Any:
    """Return the context that expects the error that a row names."""
    return pytest.raises(TypeError, match=outcome.removeprefix("TypeError: "))


@each_row
@each_of_some
def test_result(case: Case, row: Row) -> None:
    """`f(x)` returns the type of x, with the bits that the plain array gives."""
    data = finite(case)
    given = [row.make(a.copy()) for a in data]
    if ":" in row.result:
        with expect(row.result):
            case(*given)
        return
    y = case(*given)
    assert type(y) is (np.ndarray if row.result == "ndarray" else type(given[0]))
    assert y is not given[0]
    promoted = case.params and row.numbers_promote
    expected = case(*[a.astype("f8") for a in data] if promoted else data)
    assert_same_bits(row.read(y).reshape(SHAPE), expected)
    for a, g in zip(data, given, strict=True):
        assert_same_bits(row.read(g).reshape(SHAPE), a)


@each_row
@each_of_some
def test_output(case: Case, row: Row) -> None:
    """`out=y` fills y and returns it; `f_(x)` overwrites x and returns it."""
    data = finite(case)
    expected = case(*data)
    flat = row.flat
    plain = [a.ravel() if flat else a for a in data]
    calls: list[Callable[[Any], Any]] = [lambda t: case(*plain, out=t), lambda t: case(*plain, out=(t,))]
    if case.ndata == 1:
        calls.append(case.in_place)
    for call in calls:
        target = row.make(data[0].copy())
        if ":" in row.in_place:
            with expect(row.in_place):
                call(target)
            continue
        result = call(target)
        assert result is target or (call is not case.in_place and not _numpy_returns_it(row, plain[0]))
        got = row.read(target).reshape(SHAPE)
        if row.numbers_promote:  # the result was rounded from float64
            np.testing.assert_allclose(got, expected, 1e-5, 1e-7)
        else:
            assert_same_bits(got, expected)


def _numpy_returns_it(row: Row, x: Array) -> bool:
    """Whether NumPy's own ufuncs return an `out` of this type as that very object: pandas 3 fills it, but does not."""
    target = row.make(x.copy().reshape(SHAPE))
    try:
        return np.negative(x, out=target) is target
    except TypeError:  # NumPy does not write into it at all
        return True


@each_parametric_case
def test_foreign_parameters(case: Case) -> None:
    """A parameter may be the foreign one, and decides the type of the result."""
    data = finite(case)
    expected = case(*data)
    for name in (
        "ndarray subclass",
        "numpy.ma.MaskedArray",
        "__array_ufunc__",
        "pandas.DataFrame",
        "xarray.DataArray",
        "dask.array",
    ):
        row = TABLE[name]
        params = [row.make(np.full(SHAPE, v, "f4")) for v in case.params]
        y = case(*data, *params)
        assert type(y) is type(params[0])
        assert_same_bits(row.read(y), expected)


# --- What each type keeps -------------------------------------------------------------------------------------------------


@each_of_some
def test_subclass_keeps_its_attributes(case: Case) -> None:
    """`__array_finalize__` runs as for NumPy's ufuncs; in place too."""
    given = [a.view(Meters) for a in finite(case)]
    given[0].label = "height"
    assert case(*given).label == np.negative(given[0]).label == "height"
    first = case(*[a.ravel()[0] for a in given])
    assert type(first) is np.float32


@each_of_some
def test_masks_are_kept(case: Case) -> None:
    """The mask of the result is the union of the masks; numbers elsewhere are those without masks."""
    data = finite(case)
    masks = [np.arange(24).reshape(SHAPE) % (3 + j) == 0 for j in range(case.ndata)]
    given = [np.ma.MaskedArray(a.copy(), m) for a, m in zip(data, masks, strict=True)]
    union = np.logical_or.reduce(masks)
    expected = case(*data)
    y = case(*given)
    assert (np.ma.getmaskarray(y) == union).all()
    assert_same_bits(y.data[~union], expected[~union])
    if case.ndata == 1:
        assert case.in_place(given[0]) is given[0]
        assert (given[0].mask == masks[0]).all()
        assert_same_bits(given[0].data[~union], expected[~union])


@each_of_some
def test_series_align_on_their_index(case: Case) -> None:
    """Names and indices are kept; two series meet by label, as in pandas' own arithmetic."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    data = [a.ravel() for a in finite(case)]
    series = [pandas.Series(a, index=_index(a), name="v") for a in data]
    y = case(*series)
    assert list(y.index) == _index(data[0])
    assert y.name == "v"
    if case.ndata == 2:
        y = case(series[0], series[1][::-1])
        assert_same_bits(y[series[0].index].to_numpy(), case(*data))


@each_forward_of_some
def test_missing_values_of_pandas(case: Case) -> None:
    """pandas.NA stays missing."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    x = pandas.Series([1.5, None, -2.0], dtype="Float32")
    y = case(x)
    assert str(y.dtype) == "Float32"
    assert y.isna().tolist() == [False, True, False]
    assert_same_bits(y.dropna().to_numpy(np.float32), case(np.float32([1.5, -2.0])))


@each_of_some
def test_frames_compute_each_column_in_its_type(case: Case) -> None:
    """Columns of several types; labels are kept."""
    pandas = pytest.importorskip("pandas", reason="the extra 'test' brings pandas")
    x = finite(case)[0].ravel()[:6]
    frame = pandas.DataFrame({"a": x, "b": x.astype("f8"), "c": np.arange(6, dtype="i4")}, index=list("uvwxyz"))
    y = case(*[frame] * case.ndata)
    assert list(y.columns) == list(frame.columns)
    assert list(y.index) == list(frame.index)
    for name, column in frame.items():
        np.testing.assert_allclose(y[name], case(*[column.to_numpy().astype("f8")] * case.ndata), 1e-5, 1e-7)


@each_of_some
def test_xarray_keeps_what_its_policy_keeps(case: Case) -> None:
    """Dimensions and coordinates are kept, attributes as for NumPy's own ufuncs; dimensions broadcast by name."""
    data = finite(case)
    x = [_xarray(a) for a in data]
    y = case(*x)
    model = np.negative(*x) if len(x) == 1 else np.maximum(*x)
    assert y.dims == ("row", "column")
    assert y.coords.equals(x[0].coords)
    assert y.attrs == model.attrs
    assert y.name == model.name
    if case.ndata == 2:
        assert_same_bits(case(x[0], x[1].T).values, y.values)
        row = case(x[0], x[1][:, 0])
        assert_same_bits(row.values, case(data[0], data[1][:, :1]))


# --- Helpers that take a function ---------------------------------------------------------------------------------------

# What a helper hands to a plain function, given six elements: all, a part, or each for itself.
HELPERS: dict[str, tuple[str, Callable[[Any, Any], Any], set[tuple[int, ...]]]] = {
    "Series.pipe": ("pandas", lambda x, f: x.pipe(f), {(6,)}),
    "Series.apply": ("pandas", lambda x, f: x.apply(f), {()}),
    "Series.map": ("pandas", lambda x, f: x.map(f), {()}),
    "Series.transform": ("pandas", lambda x, f: x.transform(f), {()}),
    "DataFrame.pipe": ("pandas", lambda x, f: x.to_frame().pipe(f)[0], {(6, 1)}),
    "DataFrame.apply": ("pandas", lambda x, f: x.to_frame().apply(f)[0], {(6,)}),
    "DataFrame.transform": ("pandas", lambda x, f: x.to_frame().transform(f)[0], {(6,)}),
    "DataFrame.map": ("pandas", lambda x, f: x.to_frame().map(f)[0], {()}),
    "np.vectorize": ("numpy", lambda x, f: np.vectorize(f)(x), {()}),
    "np.frompyfunc": ("numpy", lambda x, f: np.frompyfunc(f, 1, 1)(x).astype("f4"), {()}),
    "DataArray.pipe": ("xarray", lambda x, f: x.pipe(f), {(6,)}),
    "xarray.apply_ufunc": ("xarray", lambda x, f: _module("xarray").apply_ufunc(f, x), {(6,)}),
    "xarray.apply_ufunc(vectorize=True)": (
        "xarray",
        lambda x, f: _module("xarray").apply_ufunc(f, x, vectorize=True),
        {()},
    ),
    "xarray.apply_ufunc on dask": (
        "xarray",
        lambda x, f: _module("xarray").apply_ufunc(f, x.chunk(3), dask="parallelized", output_dtypes=["f4"]),
        {(3,)},
    ),
    "dask map_blocks": ("dask.array", lambda x, f: x.map_blocks(f, meta=np.empty(0, "f4")), {(3,)}),
}


def _module(name: str) -> Any:
    pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    return pytest.importorskip(name, reason="the extra 'test' brings it")


@pytest.mark.parametrize(("package", "helper", "shapes"), HELPERS.values(), ids=list(HELPERS))
def test_helpers_call_as_the_guide_says(
    package: str, helper: Callable[[Any, Any], Any], shapes: set[tuple[int, ...]]
) -> None:
    """One call for all elements, or for each chunk, or one for each element, which the guide warns of."""
    seen = set()

    def counted(x: Any) -> Any:
        seen.add(np.shape(x))
        return fr.sigmoid(x)

    x = np.linspace(-3, 3, 6, dtype="f4")
    make = {"pandas": "Series", "xarray": "DataArray", "dask.array": "from_array", "numpy": "asarray"}[package]
    options = {"chunks": 3} if package == "dask.array" else {}
    got = helper(getattr(_module(package), make)(x, **options), counted)
    if shapes != {()}:
        assert_same_bits(got, fr.sigmoid(x))
    np.testing.assert_allclose(got, fr.sigmoid(x), rtol=1e-6)  # pandas passes elements as Python's float
    assert seen == shapes


@pytest.mark.parametrize("helper", ["apply", "transform", "pipe"])
def test_pandas_calls_a_ufunc_once(helper: str) -> None:
    """A ufunc is handed the whole column."""
    pandas = _module("pandas")
    asked = []

    class Asked(pandas.Series):  # type: ignore[misc, name-defined]  # its base is only known when pandas is there
        def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
            asked.append((ufunc, np.shape(inputs[0])))
            return super().__array_ufunc__(ufunc, method, *inputs, **options)

        @property
        def _constructor(self) -> type:
            return Asked

    x = np.linspace(-3, 3, 6, dtype="f4")
    got = getattr(Asked(x), helper)(fr.ufuncs.sigmoid)
    assert_same_bits(got.to_numpy(), fr.sigmoid(x))
    assert asked == [(fr.ufuncs.sigmoid, (6,))]


# --- dask ---------------------------------------------------------------------------------------------------------------


@each_of_some
def test_dask_is_lazy_and_threaded(case: Case) -> None:
    """Nothing is computed when the graph is built; worker threads give the same bits; chunks are kept."""
    dask = pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    data = finite(case)
    read: list[int] = []

    def block(a: Array, count: int) -> Array:
        read.append(count)
        return a

    lazy = [
        dask.from_array(a, chunks=(1, 6)).map_blocks(block, 1, dtype="f4", meta=np.empty((0, 0), "f4")) for a in data
    ]
    y = case(*lazy)
    assert not read
    assert y.dtype == np.float32
    assert y.chunks == lazy[0].chunks
    assert_same_bits(y.compute(scheduler="threads", num_workers=4), case(*data))
    assert read


@each_of_some
def test_dask_keeps_the_precision_it_was_built_with(case: Case) -> None:
    """The graph holds the ufunc: computed later, elsewhere, under another setting, it keeps its precision."""
    pytest.importorskip("dask.array", reason="the extra 'test' brings dask")
    data = finite(case)
    lazy = [_dask(a) for a in data]
    results = {}
    for level in ("fast", "accurate"):
        with fr.precision(level):
            results[level] = case(*lazy), case(*data)
    names = {y.name for y, _ in results.values()}
    assert len(names) == 2, "dask would take one graph for the other"
    for level, (y, expected) in results.items():
        with fr.precision("fast" if level == "accurate" else "accurate"):
            assert_same_bits(y.compute(scheduler="threads"), expected)
        assert_same_bits(pickle.loads(pickle.dumps(y)).compute(scheduler="synchronous"), expected)


# --- PyTorch --------------------------------------------------------------------------------------------------------------


@each_forward_of_some
def test_tensors_of_any_layout(case: Case, torch: Any) -> None:
    """In place on views of tensors: transposed, with steps, 0-d and empty; neighbors keep their values."""
    data = finite(case)[0]
    for pick in (lambda t: t.T, lambda t: t[:, ::2], lambda t: t[1:3, 2:5], lambda t: t[0, 0], lambda t: t[:0]):
        for dtype in (torch.float32, torch.float64):
            tensor = torch.from_numpy(data.copy()).to(dtype)
            expected = tensor.clone()
            pick(expected).copy_(torch.from_numpy(np.array(case(pick(tensor).numpy()))))
            view = pick(tensor)
            assert case.in_place(view) is view
            assert_same_bits(tensor.numpy(), expected.numpy())


@each_backward_case
def test_tensors_as_inputs_and_output(case: Case, torch: Any) -> None:
    """A gradient from tensors into a tensor, and into one of the inputs."""
    data = finite(case)
    expected = case(*data)
    tensors = [torch.from_numpy(a.copy()) for a in data]
    out = torch.empty(SHAPE)
    assert case(*tensors, out=out) is out
    assert_same_bits(out.numpy(), expected)
    assert case(*tensors, out=tensors[0]) is tensors[0]
    assert_same_bits(tensors[0].numpy(), expected)


def test_tensors_of_a_graph_are_refused(torch: Any) -> None:
    """PyTorch hands out no memory of a tensor that records gradients; a detached view works."""
    for case in FORWARD_CASES:
        leaf = torch.linspace(-2, 2, 5, requires_grad=True)
        before = leaf.detach().clone()
        with pytest.raises(BufferError, match="detach"):
            case.in_place(leaf)
        with pytest.raises(BufferError, match="detach"):
            case(np.ones(5, "f4"), out=leaf)
        with pytest.raises(RuntimeError, match="detach"):
            case(leaf)
        assert torch.equal(leaf.detach(), before)
        case.in_place(leaf.detach())
        assert_same_bits(leaf.detach().numpy(), case(before.numpy()))


def test_tensors_of_other_types(torch: Any) -> None:
    """Half precision is cast as NumPy casts it; integers are refused as NumPy refuses them."""
    for case in FORWARD_CASES:
        half = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float16)
        expected = case(half.numpy().astype("f4")).astype("f2")
        assert case.in_place(half) is half
        assert_same_bits(half.numpy(), expected)
        with pytest.raises(TypeError, match="Cannot cast ufunc"):
            case.in_place(torch.tensor([1, 2, 3]))


def test_flushing_in_pytorch_changes_nothing(torch: Any) -> None:
    """`torch.set_flush_denormal` sets the mode of the host; results keep their bits."""
    expected = [(case, case.data(500, "f4"), case(*case.data(500, "f4"))) for case in CASES]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        got = [case(*data) for case, data, _ in expected]
    finally:
        torch.set_flush_denormal(False)
    for y, (_, _, before) in zip(got, expected, strict=True):
        assert_same_bits(y, before)


# --- __array_ufunc__ -------------------------------------------------------------------------------------------------------


@each_of_some
def test_override_receives_the_ufunc(case: Case) -> None:
    """The object sees the ufunc of the precision in force, all inputs by position, and `out` as a tuple."""
    data = finite(case)
    nin = case.ndata + len(case.params)
    for level in ("fast", "accurate"):
        with fr.precision(level):
            for j in range(case.ndata):
                given: list[Any] = list(data)
                given[j] = Overriding(data[j])
                case(*given)
                case(*given, where=np.ones(SHAPE, bool), out=np.zeros(SHAPE, "f4"))
                assert given[j].asked == [
                    (case.ufunc, "__call__", nin, []),
                    (case.ufunc, "__call__", nin, ["out", "where"]),
                ]
            target = Overriding(np.zeros(SHAPE, "f4"))
            assert case(*data, out=target) is target
            assert target.asked == [(case.ufunc, "__call__", nin, ["out"])]
