"""`explain` says what a call does: which door, how many threads, which memory; and does nothing itself."""

from __future__ import annotations

import array
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from cases import Case, each_case
from compare import assert_same_bits
from grid import each_dtype, each_precision
from specs import SPECS

import fastrelu as fr
from fastrelu import _core, _runtime, activations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from specs import Array

N = 200_000  # of float32: recycled, and shared among threads


@pytest.fixture(autouse=True)
def _own_cache() -> Iterator[None]:
    before = fr.get_cache_limit()
    fr.set_cache_limit(2**26)
    fr.clear_cache()
    yield
    fr.set_cache_limit(before)


class Kind(NamedTuple):
    """Arguments of `leaky_relu`, made from an array, and what is to be said of them."""

    arguments: Callable[[Array], tuple[Any, ...]]
    door: str
    fast: str = ""
    driver: str = ""
    out: Callable[[Array], Any] = lambda _: None
    where: Callable[[Array], Any] = lambda _: True
    output: str = "new, will be recycled"
    loads: str = ""
    stores: str = ""


def same(x: Array) -> tuple[Any, ...]:
    """Return the array as it is."""
    return (x,)


def unaligned(x: Array) -> Array:
    """Return a copy that starts between two elements."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    memory[1:] = x.view(np.uint8)
    return memory[1:].view(x.dtype)


KINDS = {
    "plain": Kind(same, "fast path"),
    "a slope": Kind(lambda x: (x, 0.5), "fast path"),
    "Fortran order": Kind(lambda x: (x.reshape(-1, 50).T,), "fast path"),
    "out": Kind(same, "fast path", out=np.empty_like, output="given"),
    "in place": Kind(same, "fast path", out=lambda x: x, output="given"),
    "small": Kind(lambda x: (x[:100],), "fast path", output="new"),
    "empty": Kind(lambda x: (x[:0],), "fast path", output="new"),
    "strided": Kind(lambda x: (np.repeat(x, 2)[::2],), "N-d driver", "x is not contiguous"),
    "array as slope": Kind(
        lambda x: (x.reshape(-1, 100), np.full(100, 0.1, x.dtype)),
        "N-d driver",
        "negative_slope is no Python number but ndarray",
    ),
    "empty, array as slope": Kind(
        lambda x: (np.empty((0, 1), x.dtype), x),
        "N-d driver",
        "negative_slope is no Python number but ndarray",
        output="new",
    ),
    "another layout of out": Kind(
        lambda x: (x.reshape(-1, 100),),
        "N-d driver",
        "out has a different memory layout than x",
        out=lambda x: np.empty((x.size // 100, 100), x.dtype, "F"),
        output="given",
    ),
    "few": Kind(lambda x: (x[:100:2],), "N-d driver", "x is not contiguous", output="new"),
    "cast": Kind(
        lambda x: (x.astype("i2" if x.dtype == "f4" else "i8"),), "N-d driver", "x is {}", loads="x: {} to {dtype}"
    ),
    "byte order": Kind(
        lambda x: (x.astype(x.dtype.newbyteorder()),),
        "N-d driver",
        "x is in foreign byte order",
        loads="x: byte order",
    ),
    "unaligned": Kind(lambda x: (unaligned(x),), "ufunc", "x is not aligned", "x is not aligned"),
    "where": Kind(
        same,
        "N-d driver",
        "where= is given",
        out=np.zeros_like,
        where=lambda x: x > 0,
        output="given",
        stores="masked",
    ),
    "where, no out": Kind(same, "N-d driver", "where= is given", where=lambda x: x > 0, output="new", stores="masked"),
    "where, no array": Kind(
        same,
        "ufunc",
        "where= is given",
        "where= is given",
        out=np.zeros_like,
        where=lambda x: (x > 0).tolist(),
        output="given",
    ),
    "subclass": Kind(
        lambda x: (x.view(np.matrix),),
        "ufunc",
        "x is no plain ndarray but matrix",
        "x is no plain ndarray but matrix",
        output="new",
    ),
    "masked": Kind(
        lambda x: (np.ma.masked_less(x, 0),),
        "ufunc",
        "x is no plain ndarray but MaskedArray",
        "x is no plain ndarray but MaskedArray",
        output="new",
    ),
    "no axes": Kind(lambda x: (x[0, ...],), "ufunc", "there are no axes", "there are no axes", output="new"),
    "scalar": Kind(
        lambda x: (x[0],), "ufunc", "x is no plain ndarray but {}", "x is no plain ndarray but {}", output="new"
    ),
    "buffer": Kind(
        same,
        "N-d driver",
        "out is no plain ndarray but array",
        out=lambda x: array.array(x.dtype.char, x.tobytes()),
        output="given",
    ),
    "cast out": Kind(
        same,
        "N-d driver",
        "out is float16",
        out=lambda x: x.astype("f2"),
        output="given",
        stores="{dtype} to float16",
    ),
    "cast out, byte order, where": Kind(
        same,
        "N-d driver",
        "where= is given",
        out=lambda x: x.astype(">f2"),
        where=lambda x: x > 0,
        output="given",
        stores="byte order, {dtype} to float16, masked",
    ),
}


def bits(value: Any) -> Any:
    """Return the bytes of an array or a buffer."""
    return None if value is None else np.asarray(value).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@each_dtype
@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")  # NumPy's own warning
def test_what_is_said_is_what_happens(kind: str, dtype: str) -> None:
    """The door is the expected one, the output's memory comes from where it is said to, and nothing is written."""
    row = KINDS[kind]
    x = np.linspace(-3, 3, N).astype(dtype)
    args, out, where = row.arguments(x), row.out(x), row.where(x)
    name = getattr(args[0], "dtype", None) if kind == "cast" else type(args[0]).__name__
    for round_ in range(2):
        before, inputs = bits(out), [bits(arg) for arg in args]
        state = _runtime.cache_state()
        found = fr.explain(fr.leaky_relu, *args, out=out, where=where)
        assert _runtime.cache_state() == state
        assert bits(out) == before
        assert [bits(arg) for arg in args] == inputs
        assert (found.door, found.why_not_fast) == (row.door, row.fast.format(name))
        assert found.why_not_driver == row.driver.format(name)
        assert found.loads == row.loads.format(name, dtype=dtype)
        assert found.stores == row.stores.format(dtype=dtype)
        assert (found.function, found.kernel, found.dtype) == ("leaky_relu", "leaky_relu", dtype)
        expected = row.output
        if expected == "new, will be recycled" and round_:
            expected = "recycled"
        assert found.output == expected
        y = fr.leaky_relu(*args, out=out, where=where)
        after = _runtime.cache_state()
        assert after["hits"] - state["hits"] == (expected == "recycled")
        assert after["misses"] - state["misses"] == (expected == "new, will be recycled")
        assert (y is out) == (expected == "given")
        del y


def test_overlap() -> None:
    """An output that overlaps the input is written through a copy; explaining leaves it as it is."""
    memory = np.linspace(-3, 3, N + 1, dtype="f4")
    before = memory.copy()
    found = fr.explain(fr.relu, memory[1:], out=memory[:-1])
    assert found.door == "N-d driver"
    assert found.why_not_fast == "out overlaps x"
    assert found.output == "given, through a copy, because it overlaps an input"
    assert_same_bits(memory, before)
    assert_same_bits(fr.relu(memory[1:], out=memory[:-1]), np.maximum(before[1:], 0))


def test_gradients() -> None:
    """The door depends on the gradient and on the input."""
    x = np.ones((40, 50), "f4")
    for grad, why in (
        (x, ""),
        (x.T.copy().T, "x has a different memory layout than grad"),
        (x[0], "x has the shape (40, 50), grad (50,)"),
        (x.astype("f8"), "x is float32"),
    ):
        assert fr.explain(fr.relu_backward, grad, x).why_not_fast == why
    found = fr.explain(fr.relu_backward_from_output, x, x, out=x)
    assert (found.kernel, found.door, found.output) == ("relu_backward_from_output", "fast path", "given")


@pytest.mark.parametrize("count", [1, 2])
def test_threads(count: int) -> None:
    """It says how many threads the call would use, and why."""
    allowed = min(count, fr.get_num_threads())
    with fr.threads(count):
        for n, threads in ((max(_runtime.parallel_from) * 2, allowed), (min(_runtime.parallel_from) - 1, 1)):
            for x in (np.ones(n, "f4"), np.ones(2 * n, "f4")[::2]):
                found = fr.explain(fr.gelu, x)
                assert found.threads == threads
                small = n < min(_runtime.parallel_from)
                assert ("would not pay" in found.why_threads) == small
                assert ("allow" in found.why_threads) == (not small and allowed == 1)


@each_precision
def test_settings(precision: Any) -> None:
    """Precision and instruction set are those of the call."""
    with fr.precision(precision):
        found = fr.explain(fr.gelu, np.ones(3), approximate="tanh")
    assert found.precision == precision
    assert found.isa == fr.config()["isa"]
    assert (found.function, found.kernel, found.dtype) == ("gelu", "gelu_tanh", "float64")


@pytest.mark.parametrize("n", [N, 2**24])
def test_streaming(n: int) -> None:
    """Large results are streamed into memory that has been in use, and only there."""
    x = np.ones(n, "f4")
    kernel = fr.runtime.kernels["relu"]
    large = _core.streams(kernel, x.nbytes, fr.explain(fr.relu, x).threads)
    assert fr.explain(fr.relu, x, out=np.empty_like(x)).streamed == large
    assert not fr.explain(fr.relu, x, out=x).streamed
    assert not fr.explain(fr.relu, x).streamed
    fr.set_cache_limit(2**28)
    fr.relu(x)
    assert fr.explain(fr.relu, x).streamed == large
    assert fr.explain(fr.relu, x).output == "recycled"


# --- Every function -------------------------------------------------------------------------------------------------------


@each_case
def test_every_kernel(case: Case) -> None:
    """Each function is explained with the arguments it takes, and computes none of it."""
    data = [np.linspace(-1, 1, N, dtype="f4") for _ in range(case.ndata)]
    function: Any = case.spec.function(case.direction)
    params = (
        case.params if case.spec.name != "hard_swish_line" else (0.2, 0.4)
    )  # the usual ones have a kernel of their own
    found = fr.explain(function.func, *data, *params, **function.keywords)
    assert (found.kernel, found.door) == (case.name, "fast path")
    before = _runtime.cache_state()
    found = fr.explain(function.func, *[x[::2] for x in data], *params, **function.keywords)
    assert found.door == "N-d driver"
    if case.direction == 0:
        in_place: Any = case.spec.in_place()
        found = fr.explain(in_place.func, data[0], *params, **in_place.keywords)
        assert (found.function, found.kernel, found.output) == (in_place.func.__name__, case.name, "given")
    assert _runtime.cache_state() == before
    assert_same_bits(data[0], np.linspace(-1, 1, N, dtype="f4"))


def test_functions_that_share_a_kernel() -> None:
    """prelu, rrelu and crelu are explained as the calls they make, and draw and write nothing."""
    x = np.linspace(-1, 1, 2000, dtype="f4").reshape(20, 100)
    found = fr.explain(fr.prelu, x, np.ones(20, "f4"), axis=0)
    assert (found.function, found.kernel, found.door) == ("prelu", "leaky_relu", "N-d driver")
    assert fr.explain(fr.prelu_backward, x, x, np.ones(100, "f4"), axis=1).kernel == "leaky_relu_backward"
    rng = np.random.default_rng(5)
    slopes = np.full_like(x, 9)
    assert fr.explain(fr.rrelu, x, training=True, rng=rng, slopes=slopes).door == "N-d driver"
    assert fr.explain(fr.rrelu_, x, training=True, rng=rng).output == "given"
    assert (slopes == 9).all()
    assert rng.random() == np.random.default_rng(5).random()
    assert fr.explain(fr.rrelu, x).door == "fast path"
    assert fr.explain(fr.crelu, x).kernel == "relu"
    for axis in (0, 1):
        found = fr.explain(fr.crelu, x, axis)
        assert (found.door, found.output) == ("N-d driver", "new")
        assert found.why_not_fast == "two results lie side by side in one array"
    out = np.full((20, 200), 9, "f4")
    assert fr.explain(fr.crelu, x, out=out).output == "given"
    assert (out == 9).all()
    assert fr.explain(fr.crelu_backward, out, x).kernel == "relu_backward"
    assert fr.explain(fr.crelu_backward_from_output, out, out).kernel == "relu_backward_from_output"


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
@pytest.mark.parametrize("kind", [None, "f4", "f8"])
def test_two_results_side_by_side(dtype: str, kind: str | None) -> None:
    """Explaining crelu takes nothing from the pool, and says where its memory will be from."""
    for x in (np.ones((500, 400), dtype), np.ones((500, 800), dtype)[:, ::2]):
        out = None if kind is None else np.full((500, 800), 9, kind)
        before = _runtime.cache_state()
        found = fr.explain(fr.crelu, x, out=out)
        assert _runtime.cache_state() == before
        if out is not None:
            assert (out == 9).all()
            copied = not x.dtype.isnative or x.dtype != out.dtype
            assert found.output == ("given, through a copy, until both results are there" if copied else "given")
            continue
        fr.crelu(x)
        after = _runtime.cache_state()
        assert after["hits"] - before["hits"] == (found.output == "recycled")
        assert after["misses"] - before["misses"] == (found.output == "new, will be recycled")


def test_every_function_is_explained() -> None:
    """The tests above explain every public function."""
    covered = {spec.public_name(direction) for spec in SPECS.values() for direction in spec.directions}
    covered |= {f"{spec.public or spec.name}_" for spec in SPECS.values()}
    rest = {"prelu", "prelu_", "prelu_backward", "prelu_backward_from_output", "rrelu", "rrelu_"}
    rest |= {"crelu", "crelu_backward", "crelu_backward_from_output"}
    summing = {name for name in activations.__all__ if name.endswith("_backward_parameters")}
    assert covered | rest | summing == set(activations.__all__)
    for name in summing:
        with pytest.raises(TypeError, match="also sums"):
            fr.explain(getattr(fr, name), X, X, X)


# --- Errors -----------------------------------------------------------------------------------------------------------------

X = np.linspace(-1, 1, 1000, dtype="f4")
FROZEN = X.copy()
FROZEN.flags.writeable = False

BAD: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "complex": (fr.relu, (X.astype("c8"),), {}),
    "object": (fr.relu, (X.astype(object),), {}),
    "text": (fr.relu, ("text",), {}),
    "longdouble": (fr.relu, (X.astype("g"),), {}),
    "domain": (fr.hard_shrink, (X, -1.0), {}),
    "domain, strided": (fr.hard_shrink, (X[::2], -1.0), {}),
    "shapes": (fr.leaky_relu, (X, X[1:]), {}),
    "shapes, cast": (fr.leaky_relu, (X.astype("f2"), X[1:]), {}),
    "shape of out": (fr.relu, (X,), {"out": np.empty(3, "f4")}),
    "shape of out, where": (fr.relu, (X,), {"out": np.empty(3, "f4"), "where": X > 0}),
    "read-only": (fr.relu, (X,), {"out": FROZEN}),
    "read-only, in place": (fr.relu_, (FROZEN,), {}),
    "type of out": (fr.relu, (X,), {"out": np.empty(1000, "i4")}),
    "in place, integers": (fr.relu_, (np.arange(1000),), {}),
    "type of where": (fr.relu, (X,), {"out": X.copy(), "where": X}),
    "shape of where": (fr.relu, (X,), {"out": X.copy(), "where": X[1:] > 0}),
    "out no buffer": (fr.relu, (X,), {"out": "text"}),
    "out a list": (fr.relu_, ([1.0, 2.0],), {}),
    "too few": (fr.relu, (), {}),
    "too many": (fr.relu, (X, 1.0), {}),
    "unknown keyword": (fr.relu, (X,), {"axis": 0}),
    "form of gelu": (fr.gelu, (X,), {"approximate": "erf"}),
    "axis of prelu": (fr.prelu, (X, np.ones(1000, "f4")), {"axis": 3}),
    "slopes of rrelu": (fr.rrelu, (X,), {"slopes": X.copy()}),
    "crelu": (fr.crelu, (X,), {"out": X.copy()}),
    "two outputs": (fr.relu, (X,), {"out": (X.copy(), X.copy())}),
}


@pytest.mark.parametrize("bad", BAD)
def test_errors_are_those_of_the_call(bad: str) -> None:
    """It raises what the call would raise, with the same message, and later calls run."""
    function, args, keywords = BAD[bad]
    with pytest.raises(Exception) as expected:  # noqa: PT011  compared below
        function(*args, **keywords)
    with pytest.raises(type(expected.value)) as found:
        fr.explain(function, *args, **keywords)
    assert str(found.value) == str(expected.value)
    assert fr.relu(-1.0) == 0


@pytest.mark.parametrize("other", [np.maximum, fr.ufuncs.relu, len, "gelu", fr.threads, lambda x: x])
def test_other_functions_are_refused(other: Any) -> None:
    """Functions other than those of this library are refused."""
    with pytest.raises(TypeError, match=r"explain takes an activation function of fastrelu, such as fr\.gelu, not"):
        fr.explain(other, X)


def test_foreign_operands_are_not_asked() -> None:
    """An operand with code of its own is named; the code does not run."""

    class Foreign:
        dtype = "mine"

        def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    found = fr.explain(fr.relu, Foreign())
    assert (found.door, found.why_not_fast) == ("ufunc", "x is no plain ndarray but Foreign")


def test_other_threads_compute() -> None:
    """While one thread explains, the calls of others run."""
    results: list[Array] = []
    started, stop = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            results.append(fr.relu(-X))
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    for _ in range(1000):
        fr.explain(fr.relu, X)
    stop.set()
    thread.join()
    for y in results:
        assert_same_bits(y, np.maximum(-X, 0))


def test_text() -> None:
    """Every line names a field and its value; a field without a value has no line."""
    text = str(fr.explain(fr.relu, X[::2]))
    lines = text.splitlines()
    assert lines[0] == "function       relu"
    assert "why not fast   x is not contiguous" in lines
    assert all(line[14] == " " != line[15] for line in lines)
    assert "driver" not in str(fr.explain(fr.relu, X))
