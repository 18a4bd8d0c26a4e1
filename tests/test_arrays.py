"""Same bits and the right array, whatever the position, length, layout, overlap and place of the result."""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import Case, each_backward_case, each_of_some, each_parametric_case
from compare import assert_guards, assert_same_bits
from grid import LAYOUTS, OUT_LAYOUTS, SENTINEL, guarded, native, read_only
from inputs import values

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array, Precision


SHAPES = [(5, 6, 7), (2, 3, 300)]
# A NumPy ufunc of as many inputs, which says what type, strides and flags the result has.
MODELS: dict[int, np.ufunc] = {1: np.negative, 2: np.maximum}


def model(case: Case) -> np.ufunc:
    """Return NumPy's own ufunc of as many inputs; where it has none, ours, which NumPy's machinery runs."""
    return MODELS.get(case.ufunc.nin, case.ufunc)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layouts(case: Case, dtype: np.dtype[Any], precision: Precision, shape: tuple[int, ...]) -> None:
    """Any layout of the inputs, combined with any layout of `out`."""
    size = int(np.prod(shape))
    data = [a.reshape(shape) for a in case.data(size, dtype)]
    names = list(LAYOUTS)
    few = {name: OUT_LAYOUTS[name] for name in ("C", "transposed", "every second")}
    outputs = OUT_LAYOUTS if size < 1000 and precision == "fast" else few
    with fr.precision(precision):
        expected = case(*data)
        for i, name in enumerate(names):
            for shift in {0, case.ndata - 1} if size < 1000 else {0}:
                inputs = [LAYOUTS[names[(i + shift * j) % len(names)]](a) for j, a in enumerate(data)]
                assert_same_bits(case(*inputs), expected, name)
                for out_name, lay in outputs.items():
                    out = lay(np.zeros_like(expected))
                    assert case(*inputs, out=out) is out
                    assert_same_bits(native(out), expected, (name, out_name))


def test_result_is_made_as_numpy_makes_it(case: Case) -> None:
    """Type, shape, order of axes and flags of a new result equal those that NumPy's own ufuncs give."""
    nin = case.ufunc.nin
    for shape in [(7,), (0,), (1,), (3, 0, 4), (1, 5, 1), (2, 3, 4), (4, 1, 3, 2), (2, 1) + (1,) * 62]:
        data = [a.reshape(shape) for a in case.data(int(np.prod(shape)), "f4")]
        for name, lay in LAYOUTS.items():
            inputs = [lay(a) for a in data]
            got = case(*inputs)
            # A number as parameter has no bearing on the layout, so the model gets an array in its place.
            expected = model(case)(*inputs, *[inputs[0]] * (nin - len(inputs)))
            assert type(got) is np.ndarray
            assert got.dtype == np.float32
            assert got.shape == expected.shape
            assert order(got) == order(expected), (shape, name)
            assert got.flags.c_contiguous == expected.flags.c_contiguous
            assert got.flags.f_contiguous == expected.flags.f_contiguous
            assert got.flags.owndata
            assert got.flags.writeable
            assert got.flags.aligned
            assert not any(np.shares_memory(got, a) for a in inputs)


def order(x: Array) -> list[int]:
    """Return the strides that have a meaning: those of axes longer than one, unless there is no element at all."""
    return [stride for stride, length in zip(x.strides, x.shape, strict=True) if length > 1] if x.size else []


def test_zero_dimensions_and_numbers(case: Case, dtype: np.dtype[Any]) -> None:
    """0-d arrays and scalars give scalars; with `out` they give `out`."""
    kind = dtype.type
    data = case.data(1, dtype)
    expected = case(*data)
    for convert in (lambda a: a.reshape(()), lambda a: a[0]):
        y = case(*[convert(a) for a in data])
        assert type(y) is kind
        assert_same_bits(y, expected[0])
        out = np.zeros((), dtype)
        assert case(*[convert(a) for a in data], out=out) is out
        assert_same_bits(out, expected[0])
    y = case(*[float(a[0]) for a in data])
    assert type(y) is np.float64
    assert_same_bits(y, case(*[a.astype("f8") for a in data])[0])


def test_lists_and_tuples(case: Case, dtype: np.dtype[Any]) -> None:
    """Sequences are arrays of float64, as everywhere in NumPy."""
    data = [np.nan_to_num(a) for a in case.data(6, dtype)]
    expected = case(*[a.astype("f8").reshape(2, 3) for a in data])
    assert_same_bits(case(*[a.reshape(2, 3).tolist() for a in data]), expected)
    assert_same_bits(case(*[tuple(map(tuple, a.reshape(2, 3).tolist())) for a in data]), expected)
    out = np.zeros((2, 3), dtype)
    assert case(*[a.reshape(2, 3).tolist() for a in data], out=out) is out
    assert_same_bits(out, expected.astype(dtype))


def test_empty(case: Case, dtype: np.dtype[Any]) -> None:
    """Empty arrays give empty results, strided, with `out` and in place too."""
    for shape in [(0,), (0, 3), (3, 0), (2, 0, 5)]:
        data = [np.empty(shape, dtype)] * case.ndata
        assert case(*data).shape == shape
        assert case(*[a[..., ::-1] for a in data]).shape == shape
        out = np.empty(shape, dtype)
        assert case(*data, out=out) is out
        assert case(*data, out=data[0]) is data[0]
        if case.params:
            weight = np.full((*shape[:-1], 1), case.params[0], dtype)
            assert case(*data, weight, *case.params[1:]).shape == shape


def test_read_only_inputs(case: Case, dtype: np.dtype[Any]) -> None:
    """Inputs are only read."""
    data = [read_only(a) for a in case.data(50, dtype)]
    before = [a.copy() for a in data]
    case(*data)
    case(*[a[::2] for a in data])
    case.ufunc(*data, *case.params)
    for a, b in zip(data, before, strict=True):
        assert_same_bits(a, b)


# --- Broadcasting ----------------------------------------------------------------------------------------------------

BROADCAST = [
    ((4, 5), (5,)),
    ((4, 5), (4, 1)),
    ((4, 1), (1, 5)),
    ((5,), (4, 5)),
    ((), (4, 5)),
    ((4, 5), ()),
    ((3, 1, 5), (4, 1)),
]


@each_backward_case
def test_gradient_broadcasts(case: Case, dtype: np.dtype[Any]) -> None:
    """The two arrays of a gradient meet as in any ufunc."""
    for shapes in BROADCAST:
        data = [values(int(np.prod(s)), dtype, i).reshape(s) for i, s in enumerate(shapes)]
        full = [np.ascontiguousarray(a) for a in np.broadcast_arrays(*data)]
        expected = case(*full)
        got = case(*data)
        assert_same_bits(got, expected)
        assert got.strides == np.maximum(*data).strides
        out = np.zeros(expected.shape, dtype)
        assert case(*data, out=out) is out
        assert_same_bits(out, expected)


def test_output_wider_than_the_inputs(case: Case, dtype: np.dtype[Any]) -> None:
    """`out` may have more rows than the inputs, as in NumPy."""
    data = case.data(9, dtype)
    out, memory = guarded((4, 9), dtype)
    assert case(*data, out=out) is out
    assert_same_bits(out, np.broadcast_to(case(*data), (4, 9)))
    assert_guards(out, memory)


# How data lie that are the same along a row, and where the result goes.
EVEN: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "a column": ((7, 1), (7, 1)),
    "one element": ((1, 1), (1, 1)),
    "a column and a row": ((7, 1), (1, -1)),
    "a column and all": ((7, -1), (7, 1)),
}


@pytest.mark.parametrize("shapes", EVEN.values(), ids=EVEN)
def test_data_the_same_along_a_row(case: Case, dtype: np.dtype[Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    """One result fills a row, or many do: the bits of the whole arrays, in every layout of the output."""
    for width in (1, 2, 15, 16, 17, 511, 513, 4097):
        data = [
            values(7 * width, dtype, j)[: abs(int(np.prod(shape))) * (width if -1 in shape else 1)].reshape(shape)
            for j, shape in enumerate(shapes[: case.ndata])
        ]
        expected = case(*[np.ascontiguousarray(np.broadcast_to(a, (7, width))) for a in data])
        memory = np.full((7, 2 * width + 1), 7, dtype)
        across = np.zeros((width, 7), dtype)
        for out in (np.zeros((7, width), dtype), memory[:, 1::2], memory[::-1, width:0:-1], across.T):
            case(*data, out=out)
            assert_same_bits(np.ascontiguousarray(out), expected)


@each_parametric_case
def test_parameters_are_operands(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """Arrays of parameters give row by row what numbers give."""
    x = [np.ascontiguousarray(np.broadcast_to(a, (len(case.grid), a.size))) for a in case.data(67, dtype)]
    columns = [np.array(column, dtype)[:, None] for column in zip(*case.grid, strict=True)]
    with fr.precision(precision):
        expected = np.stack([case(*[a[0] for a in x], *params) for params in case.grid])
        assert_same_bits(case(*[a[0][:, None] for a in x], *[c[:, 0] for c in columns]), expected.T)
        spread = [np.ascontiguousarray(np.broadcast_to(c, x[0].shape)) for c in columns]
        for params in (columns, spread, [np.asfortranarray(s) for s in spread], [*columns[:1], *spread[1:]]):
            assert_same_bits(case(*x, *params), expected)
            assert_same_bits(case(*x, *[p.T.copy().T for p in params]), expected)
            assert_same_bits(case(*[a[::-1, ::-1] for a in x], *[p[::-1, ::-1] for p in params]), expected[::-1, ::-1])
            assert_same_bits(case.ufunc(*x, *params), expected)
            # A parameter per row may widen the result.
            assert_same_bits(case(*[a[0] for a in x], *params), expected)
            out = np.zeros((x[0].shape[1], x[0].shape[0]), dtype).T
            assert case(*x, *params, out=out) is out
            assert_same_bits(out, expected)


@each_parametric_case
def test_mixtures_of_numbers_and_arrays(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """Each subset of the parameters as an array, of every kind: 0-d, NumPy scalar, row, column, full, stride 0."""
    x = [a.reshape(3, 40) for a in case.data(120, dtype)]
    kinds: list[Callable[[float], Any]] = [
        lambda v: np.array(v, dtype),
        dtype.type,
        lambda v: np.full(40, v, dtype),
        lambda v: np.full((3, 1), v, dtype),
        lambda v: np.full((3, 40), v, dtype),
        lambda v: np.broadcast_to(np.array(v, dtype), (3, 40)),
        lambda v: np.full((40, 3), v, dtype).T,
        lambda v: np.full((3, 80), v, dtype)[:, ::2],
    ]
    n = len(case.params)
    with fr.precision(precision):
        expected = case(*x)
        for chosen in range(1, 2**n):
            for k, _ in enumerate(kinds):
                params = [kinds[(k + j) % len(kinds)](v) if chosen >> j & 1 else v for j, v in enumerate(case.params)]
                assert_same_bits(case(*x, *params), expected, (chosen, k))
                assert_same_bits(case(*[a[:, ::-1] for a in x], *params), expected[:, ::-1], (chosen, k))


# --- In place and overlapping -----------------------------------------------------------------------------------------


def test_in_place(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """`f_(x)` and `out=` an input overwrite that array itself, in any layout, and nothing else."""
    with fr.precision(precision):
        for shape in ((), (7,), (5, 6, 7), (2, 3, 300)):
            data = [a.reshape(shape) for a in case.data(int(np.prod(shape)), dtype)]
            expected, squared = np.asarray(case(*data)), np.asarray(case(*[data[0]] * case.ndata))
            for name, lay in OUT_LAYOUTS.items() if len(shape) == 3 else [("C", np.copy)]:
                for j, _ in enumerate(data):
                    inputs = [lay(a) for a in data]
                    assert case(*inputs, out=inputs[j]) is inputs[j]
                    for k, a in enumerate(inputs):
                        assert_same_bits(native(a), expected if k == j else data[k], (shape, name))
                x = lay(data[0])
                assert (case.in_place(x) if case.ndata == 1 else case(x, x, out=x)) is x
                assert_same_bits(native(x), squared, (shape, name))
        x, memory = guarded((131,), dtype, 5)
        x[...], *others = case.data(131, dtype)
        expected = case(x, *others)
        case(x, *others, out=x)
        assert_same_bits(x, expected)
        assert_guards(x, memory)


ALIGNED = 1 << 15  # bytes from which on a light kernel begins with the elements before a line of the cache


def test_large_results_begin_anywhere_in_a_line(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """The same bits as of small arrays, and nothing written around them: into an array and in place."""
    least = ALIGNED // dtype.itemsize
    with fr.precision(precision), fr.threads(1):
        data = case.data(least + 77, dtype)
        expected = np.concatenate([case(*[a[i : i + 1000] for a in data]) for i in range(0, least + 77, 1000)])
        for offset in range(64 // dtype.itemsize):
            for n in (least - 1, least, least + 77):
                out, memory = guarded((n,), dtype, offset)
                case(*[a[:n] for a in data], out=out)
                assert_same_bits(out, expected[:n], (offset, n))
                out[...] = data[0][:n]
                case(out, *[a[:n] for a in data[1:]], out=out)
                assert_same_bits(out, expected[:n], (offset, n, "in place"))
                assert_guards(out, memory)


# Views of one block of memory: what is read and what is written.
OVERLAPS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "the same": (lambda m: m, lambda m: m[:]),
    "up by one": (lambda m: m[:-1], lambda m: m[1:]),
    "down by one": (lambda m: m[1:], lambda m: m[:-1]),
    "up by a vector": (lambda m: m[:-16], lambda m: m[16:]),
    "by a third": (lambda m: m[: m.size // 3 * 2], lambda m: m[-(m.size // 3 * 2) :]),
    "reversed": (lambda m: m, lambda m: m[::-1]),
    "both reversed": (lambda m: m[:-1][::-1], lambda m: m[1:][::-1]),
    "pulled together": (lambda m: m[::2], lambda m: m[: m.size // 2]),
    "pulled apart": (lambda m: m[: m.size // 2], lambda m: m[1::2]),
    "in step": (lambda m: m[::2], lambda m: m[1::2]),
    "transposed": (lambda m: _square(m), lambda m: _square(m).T),
    "rows reversed": (lambda m: _square(m), lambda m: _square(m)[::-1]),
    "columns interleaved": (lambda m: _square(m)[:, ::2], lambda m: _square(m)[:, 1::2]),
    "columns shared": (lambda m: _square(m)[:, :7], lambda m: _square(m)[:, 5:12]),
    "one row over all": (lambda m: _square(m)[3], lambda m: _square(m)),
    "one column over all": (lambda m: _square(m)[:, 3:4], lambda m: _square(m)),
    "one element over all": (lambda m: np.broadcast_to(m[5], m.shape), lambda m: m),
    "a sliding window": (
        lambda m: np.lib.stride_tricks.sliding_window_view(m[:40], 5),
        lambda m: m[:180].reshape(36, 5),
    ),
    "by one byte": (lambda m: m.view("u1")[1 : 1 + 64 * m.itemsize].view(m.dtype), lambda m: m[:64]),
}


def _square(m: Array) -> Array:
    side = int(m.size**0.5)
    return m[: side * side].reshape(side, side)


def _memory(size: int, dtype: np.dtype[Any]) -> Array:
    return values(size, dtype, 3)


def _check_overlap(case: Case, dtype: np.dtype[Any], overlap: str, size: int, shared: set[int]) -> None:
    read, write = OVERLAPS[overlap]
    memory, expected = _memory(size, dtype), _memory(size, dtype)
    apart = case.data(read(memory).size, dtype)

    def inputs() -> list[Array]:
        view = read(memory)
        return [view if j in shared else a.reshape(view.shape) for j, a in enumerate(apart)]

    write(expected)[...] = case(*[a.copy() for a in inputs()])
    out = write(memory)
    assert case(*inputs(), out=out) is out
    assert_same_bits(memory, expected, overlap)
    memory = _memory(size, dtype)
    case.ufunc(*inputs(), *case.params, out=write(memory))
    assert_same_bits(memory, expected, overlap)


def test_overlap(case: Case, dtype: np.dtype[Any]) -> None:
    """Overlapping input and output give what a copied input gives, in all of the memory."""
    for overlap in OVERLAPS:
        for shared in [{j} for j in range(case.ndata)] + [set(range(case.ndata))]:
            _check_overlap(case, dtype, overlap, 196, shared)


def test_overlap_of_large_arrays(case: Case) -> None:
    """The same beyond NumPy's buffers and the size from which two threads work."""
    for overlap in ("up by one", "reversed", "transposed"):
        _check_overlap(case, "float32", overlap, 40_000, {case.ndata - 1})


@each_parametric_case
def test_parameters_overlap_the_output(case: Case, dtype: np.dtype[Any]) -> None:
    """A parameter's array may lie in the output's memory too."""
    for overlap, (read, write) in OVERLAPS.items():
        if overlap == "by one byte":
            continue  # read across two numbers a parameter is an arbitrary one, and often outside the domain
        for j, number in enumerate(case.params):
            memory = np.full(196, number, dtype)
            expected = memory.copy()
            view = read(memory)
            data = [a.reshape(view.shape) for a in case.data(view.size, dtype)]
            params = [view if k == j else v for k, v in enumerate(case.params)]
            write(expected)[...] = case(*data)
            out = write(memory)
            assert case(*data, *params, out=out) is out
            assert_same_bits(memory, expected, overlap)


def test_overlap_of_two_types(case: Case) -> None:
    """The output may even be of the other type, in the same memory."""
    for size in (60, 20_000):
        memory = values(2 * size, "f4", 3)
        expected = memory.copy()
        inputs = [memory[:size]] + [a.copy() for a in case.data(size, "f4")[1:]]
        expected.view("f8")[...] = case(*[a.copy() for a in inputs])
        out = memory.view("f8")
        assert case(*inputs, out=out) is out
        assert_same_bits(memory.view("f8"), expected.view("f8"))


def test_where(case: Case, dtype: np.dtype[Any]) -> None:
    """Where the mask is false `out` keeps its bits; elsewhere it holds what it holds without a mask."""
    data = [a.reshape(9, 50) for a in case.data(450, dtype)]
    expected = case(*data)
    rng = np.random.default_rng(1)
    masks = [
        rng.random((9, 50)) < 0.5,
        rng.random(50) < 0.5,
        rng.random((9, 1)) < 0.5,
        np.True_,
        np.False_,
        True,
        False,
    ]
    for mask in [*masks, masks[1].tolist(), masks[0].T.copy().T]:
        for view in (np.s_[:], np.s_[::-1], np.s_[:, ::-1]):
            out, memory = guarded((9, 50), dtype, 3)
            untouched = out.copy()
            assert case(*[a[view] for a in data], out=out, where=mask) is out
            chosen = np.broadcast_to(np.asarray(mask), (9, 50))
            assert_same_bits(out[chosen], expected[view][chosen])
            same = out.view(memory.dtype) == untouched.view(memory.dtype)
            assert same[~chosen].all()
            assert_guards(out, memory)
        x = data[0].copy()
        if case.ndata == 1:
            assert case.in_place(x, where=mask) is x
        else:
            assert case(x, data[1], out=x, where=mask) is x
        assert_same_bits(x, np.where(mask, expected, data[0]))


def _masks(shape: tuple[int, int]) -> dict[str, Array]:
    """Masks of every density: at random, the same along an axis, clustered, and such that a sample of them misleads."""
    chance = np.random.default_rng(3).random(shape)
    place = np.arange(chance.size).reshape(shape)
    found = {}
    for share in (0, 1 / 1000, 1 / 100, 1 / 10, 1 / 3, 2 / 3, 0.99, 1):
        found[f"{share:.3f}"] = chance < share
        found[f"a row of {share:.3f}"] = chance[-1] < share
        found[f"a column of {share:.3f}"] = chance[:, :1] < share
    return found | {
        "every thousandth": place % 1000 == 0,
        "the first half": place < place.size // 2,
        "the last half": place >= place.size // 2,
        "runs": place // 100 % 2 == 0,
        "five of five hundred": place % 500 < 5,
        "one of eight words": place // 8 % 8 == 3,
        "seven of eight words": place // 8 % 8 != 0,
        "the last": place == place.size - 1,
        "all but the last": place != place.size - 1,
        "backwards": (chance < 1 / 30)[::-1, ::-1],
        "across": np.asfortranarray(chance < 1 / 30),
        "bytes whose sum is 0": np.where(chance < 1 / 30, 0x80, 0).astype(np.uint8).view(bool),
        "bytes above 1": (chance * 3).astype(np.uint8).view(bool),
    }


# How inputs lie, and the output in memory that is larger.
PLACES: dict[str, tuple[str, Callable[[Array, tuple[int, int]], Array]]] = {
    "contiguous": ("C", lambda m, shape: m.ravel()[5 : 5 + shape[0] * shape[1]].reshape(shape)),
    "from views": ("every second", lambda m, shape: m.ravel()[5 : 5 + shape[0] * shape[1]].reshape(shape)),
    "into views": ("C", lambda m, shape: m[1:-1, 1::2][:, : shape[1]]),
    "views": ("every fifth", lambda m, shape: m[1:-1, 1::2][:, : shape[1]]),
    "backwards": ("both backwards", lambda m, shape: m[-2:0:-1, shape[1] : 0 : -1]),
    "transposed": ("transposed", lambda m, shape: m.ravel()[5 : 5 + shape[0] * shape[1]].reshape(shape[::-1]).T),
    "swapped": ("byte-swapped", lambda m, shape: m[1:-1, 1 : 1 + shape[1]]),
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, shape, marks=[] if name == "float32" or shape == (4, 100) else pytest.mark.wide)
        for name in ("float32", "float16", "float64")
        for shape in ((3, 1700), (40, 67), (1200, 2), (4, 100))
    ],
    ids=str,
)
@each_of_some
def test_masks_of_every_density(case: Case, name: str, shape: tuple[int, int]) -> None:
    """Whether few elements are computed by themselves, a part of a block or all: the same bits, and nothing beside them.

    In rows that are longer than a block, that are a block, of which a block takes many, and of which it takes all.
    """
    with np.errstate(all="ignore"):  # signaling NaN, and numbers beyond float16
        data = [a.astype(name).reshape(shape) for a in case.data(shape[0] * shape[1], "f4")]
    params = [np.full(shape[1], p, name) for p in case.params]
    same = [*data[:-1], data[-1][:, :1]]  # the last is the same along a row
    expected, by_params = case(*data), case(*data, *params)
    by_rows = case(*data[:-1], np.ascontiguousarray(np.broadcast_to(same[-1], shape)))
    for kind, mask in _masks(shape).items():
        chosen = np.broadcast_to(mask.view(np.uint8) != 0, shape)
        for where, (lay, view) in PLACES.items():
            inputs = [LAYOUTS[lay](a) for a in data]
            calls = [(inputs, expected), ([*inputs, *params], by_params), ([*inputs[:-1], same[-1]], by_rows)]
            for operands, results in calls:
                memory = np.full((shape[0] + 2, 2 * shape[1] + 10), SENTINEL[results.itemsize])
                written = np.zeros(memory.shape, bool)
                out = view(memory.view(name), shape)
                view(written, shape)[...] = chosen
                assert case(*operands, out=out, where=mask) is out
                assert_same_bits(out[chosen], results[chosen], (kind, where))
                assert (memory == SENTINEL[results.itemsize])[~written].all(), (kind, where)
        x = data[0].copy()
        assert case(x, *data[1:], out=x, where=mask) is x
        assert_same_bits(x, np.where(chosen, expected, data[0]), kind)


@each_of_some
def test_masks_of_large_arrays(case: Case, dtype: np.dtype[Any]) -> None:
    """Threads share blocks that a mask skips, and end in the middle of a row of them."""
    data = case.data(300_001, dtype)
    expected = case(*data)
    place = np.arange(300_001)
    for mask in (place < 3, place > 299_997, place == 150_000, place % 50_000 == 0, place // 40_000 % 2 == 0):
        for step in (1, -1):
            out, untouched = np.zeros(300_001, dtype)[::step], np.zeros(300_001, dtype)
            for threads in (1, 2, 3):
                with fr.threads(threads):
                    case(*data, out=out, where=mask)
                assert_same_bits(out, np.where(mask, expected, untouched), (step, threads))
                out[...] = 0


def test_where_without_out(case: Case) -> None:
    """Without `out` the masked elements are undefined; NumPy's own warning about it, where it has one, passes."""
    mask = np.arange(40) % 2 == 0
    data = case.data(40, "f4")
    _, expected = _recorded(lambda: np.negative(data[0], where=mask))
    y, warned = _recorded(lambda: case(*data, where=mask))
    assert warned == expected
    assert_same_bits(y[mask], case(*data)[mask])


def _recorded(call: Callable[[], Any]) -> tuple[Any, list[tuple[type[Warning], str]]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("apart", [0, 1, 40], ids=["dense", "one apart", "far apart"])
@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 511, 512, 513])
def test_rows_of_every_width(width: int, apart: int, dtype: np.dtype[Any], threads: int) -> None:
    """Rows around the limits of the driver, with a parameter for all, per row and per column: the contiguous bits."""
    rng = np.random.default_rng(width)
    wider = [rng.standard_normal((6, 50, width + apart)).astype(dtype) for _ in range(3)]
    x, grad, out = (array[..., :width] for array in wider)
    kept = wider[2][..., width:].copy()
    for shape in ((), (50, 1), (width,), (6, 1, 1)):
        alpha = rng.random(shape).astype(dtype)
        dense = np.ascontiguousarray(np.broadcast_to(alpha, x.shape))
        with fr.threads(threads):
            assert fr.elu(x, alpha, out=out) is out
            np.testing.assert_array_equal(out, fr.elu(x.copy(), dense))
            fr.leaky_relu_backward(grad, x, alpha, out=out)
            np.testing.assert_array_equal(out, fr.leaky_relu_backward(grad.copy(), x.copy(), dense))
            fr.leaky_relu_backward(grad, x[..., ::-1], alpha, out=out)
            np.testing.assert_array_equal(out, fr.leaky_relu_backward(grad.copy(), x[..., ::-1].copy(), dense))
    np.testing.assert_array_equal(wider[2][..., width:], kept)


@pytest.mark.parametrize("width", [1, 2, 3, 10, 21, 22, 23, 60])
def test_short_rows_across(width: int) -> None:
    """Rows closer together than their elements, in all functions that gather elements in C order: the contiguous bits."""
    rng = np.random.default_rng(width)
    calls: list[Callable[[Array, Array, Any], Any]] = [
        lambda x, _, out: fr.masks.relu_with_mask(x, out=out),
        lambda x, grad, out: fr.masks.backward_from_mask(grad, fr.masks.relu_with_mask(x.copy())[1], 0.5, out=out),
        lambda x, _, _out: fr.quantized.quantize(x, 0.05, 3, "relu"),
        lambda x, _, out: fr.quantized.dequantize((9 * x).astype("i1"), 0.05, 3, out=out),
        lambda x, grad, out: fr.fused.bias_act_backward(grad, x, x[(0,) * (x.ndim - 1)], "relu", out=out),
        lambda x, grad, out: fr.elu_backward_parameters(grad, x, np.float32(0.5), out=out),
        lambda x, grad, out: fr.leaky_relu_backward_parameters(grad, x, x[..., :1], out=out),
    ]
    layouts: list[Callable[[Array], Array]] = [
        lambda a: a.copy("F"),
        lambda a: a.repeat(2, 0).copy("F")[::2],
        lambda a: a[::-1, ..., ::-1].copy("F")[::-1, ..., ::-1],
    ]
    for shape, lay in itertools.product(((700, width), (3, 90, width), (1300, 1, width)), layouts):
        x, grad = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
        for call in calls:
            expected = call(x, grad, np.empty_like(x))
            for out in (np.empty_like(x), lay(x), lay(x)[::-1]):
                found = call(lay(x), lay(grad), out)
                pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
                for one, other in pairs:
                    np.testing.assert_array_equal(one, other, str(shape))
