"""The pool of memory for large results: what it keeps, gives out again and frees; results are ordinary arrays."""

from __future__ import annotations

import copy
import ctypes
import gc
import importlib
import io
import itertools
import os
import pickle
import queue
import random
import signal
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, each_case
from compare import assert_same_bits
from grid import each_dtype
from programs import run_python

import fastrelu as fr
from fastrelu import _host, _runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from specs import Array

MIB = 2**20
FROM = _runtime.recycle_from
LIMIT = 64 * MIB
# Elements of float32 in the smallest result that is recycled, and in one that fills huge pages.
SMALL, LARGE = FROM // 4, 3 * MIB
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc or sets its limits")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> Iterator[None]:
    """Hide the objects of other tests from the garbage collections here: each would take half a second longer."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    """Start each test with an empty pool that frees no block for its age, and on one thread."""
    before = fr.get_cache_limit()
    gc.collect()
    fr.set_cache_limit(LIMIT)
    _runtime.set_cache(milliseconds=10**9)
    fr.clear_cache()
    with fr.threads(1):
        yield
    fr.set_cache_limit(before)
    _runtime.set_cache(milliseconds=10_000)
    fr.clear_cache()


def counts() -> dict[str, int]:
    """Return bytes and blocks held, hits and misses."""
    state = _runtime.cache_state()
    del state["limit"]
    return state


def result(n: int = SMALL, dtype: Any = "f4", fill: float = 1) -> Array:
    """Return a fresh result of n elements that all hold `fill`."""
    found: Array = fr.relu(np.broadcast_to(np.array(fill, dtype), n))
    return found


def plain(n: int, dtype: Any = "f4") -> Array:
    """Return an array that NumPy has allocated."""
    return np.ones(n, dtype)


# --- What is recycled -----------------------------------------------------------------------------------------------------


@each_case
@each_dtype
def test_released_memory_is_used_again(case: Any, dtype: str) -> None:
    """The next result of a size gets the memory of a freed one, and holds its own numbers."""
    data = case.data(FROM // np.dtype(dtype).itemsize, dtype)
    fr.set_cache_limit(0)
    expected = case(*data)
    fr.set_cache_limit(LIMIT)
    first = case(*data)
    address = first.ctypes.data
    assert_same_bits(first, expected)
    del first
    before = counts()
    second = case(*data)
    assert second.ctypes.data == address
    assert counts() == {**before, "hits": before["hits"] + 1, "held": 0, "blocks": 0}
    assert_same_bits(second, expected)


def _two_dimensional(x: Array) -> Array:
    return x.reshape(-1, 64)


# Each ends in a fresh result of as many elements as x has.
WAYS: dict[str, Callable[[Array], Any]] = {
    "fast path": fr.relu,
    "fast path, Fortran order": lambda x: fr.relu(_two_dimensional(x).T),
    "fast path, permuted": lambda x: fr.relu(x.reshape(2, 4, -1).transpose(1, 0, 2)),
    "driver, strided": lambda x: fr.relu(np.repeat(x, 2)[::2]),
    "driver, backwards": lambda x: fr.relu(x[::-1]),
    "driver, broadcast input": lambda x: fr.relu(np.broadcast_to(x[:64], (len(x) // 64, 64))),
    "driver, an array as parameter": lambda x: fr.leaky_relu(_two_dimensional(x), np.full(64, 0.1, x.dtype)),
    "driver, outer product": lambda x: fr.leaky_relu(x[: len(x) // 64, None], np.full(64, 0.1, x.dtype)),
    "driver, gradient": lambda x: fr.relu_backward(x, x[::-1]),
    "ufunc, cast": lambda x: fr.relu(x.astype("i2" if x.dtype == "f4" else "i8")),
    "ufunc, byte order": lambda x: fr.relu(x.astype(x.dtype.newbyteorder())),
    "ufunc, unaligned": lambda x: fr.relu(np.frombuffer(b" " + x.tobytes(), np.uint8)[1:].view(x.dtype)),
    "ufunc, list": lambda x: fr.relu(x.astype("f8").tolist())[: len(x)],
}


@pytest.mark.parametrize("way", WAYS)
@each_dtype
def test_every_way_recycles(way: str, dtype: str) -> None:
    """All three doors take the memory of new results from the pool."""
    x = plain(FROM // np.dtype(dtype).itemsize, dtype)
    WAYS[way](x)
    before = counts()["hits"]
    y = WAYS[way](x)
    assert counts()["hits"] == before + 1
    assert (y == 1).all()


@pytest.mark.parametrize("way", [way for way in WAYS if way != "ufunc, list"])  # a slice has a base
@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_result_is_an_ordinary_array(way: str, n: int) -> None:
    """A result owns its memory, has no base and one reference, and starts at a cache line."""
    x = plain(n)
    for _ in range(2):
        y = WAYS[way](x)
        assert type(y) is np.ndarray
        assert y.base is None
        assert y.flags.owndata
        assert y.flags.writeable
        assert y.flags.aligned
        assert y.ctypes.data % 64 == 0
        assert sys.getrefcount(y) == sys.getrefcount(x)
        assert sys.getsizeof(y) == sys.getsizeof(np.empty_like(y))
        del y


def test_small_results_are_numpys() -> None:
    """Below the measured size results have NumPy's memory, which costs no page faults either."""
    before = counts()
    for n in (0, 1, 100, SMALL - 1):
        assert len(result(n)) == n
        fr.relu(plain(2 * n)[::2])
        fr.relu(plain(n, "f2"))
    assert counts() == before


@pytest.mark.parametrize(
    "call",
    [lambda x: fr.relu(x, out=np.empty_like(x)), fr.relu_, lambda x: fr.relu_(x[::-1])],
    ids=["out", "in place", "in place, strided"],
)
def test_given_memory_is_used(call: Callable[[Array], Any]) -> None:
    """With out= and in place nothing is taken from the pool."""
    before = counts()
    call(plain(SMALL * 2))
    assert counts() == before


def test_arrays_of_others_are_numpys() -> None:
    """The pool serves plain results of this library alone: no array of NumPy, no subclass, nothing after an error."""
    x = plain(SMALL)
    before = counts()
    for _ in range(2):
        np.empty_like(x)
        x + x
        fr.relu(x.view(np.matrix))
        fr.relu(np.ma.masked_array(x))
        for bad in (x.astype("c8"), x.astype(object), [x, x[1:]]):
            with pytest.raises((TypeError, ValueError)):
                fr.relu(bad)
        with pytest.raises(ValueError, match="broadcast"):
            fr.leaky_relu(x, x[1:])
        with pytest.raises(ValueError, match="requires"):
            fr.hard_shrink(x, -1.0)
    assert counts()["held"] == before["held"] == 0
    np.empty_like(x)
    assert counts()["held"] == 0


# --- Bounds -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [SMALL, SMALL + 1, 5 * SMALL - 1, 7 * SMALL + 12345, MIB // 2, 2 * MIB + 1, 17 * MIB - 8])
def test_waste(n: int) -> None:
    """A block is at most an eighth larger than what it holds, and near sizes share it."""
    fr.set_cache_limit(4 * LIMIT)
    y = result(n)
    address, size = y.ctypes.data, y.nbytes
    del y
    held = counts()["held"]
    assert size <= held <= size * 9 / 8
    assert result(held // 4).ctypes.data == address
    assert counts()["held"] == held
    assert result(held // 4 + 1).ctypes.data != address


def test_limit() -> None:
    """The pool holds at most its limit: the block that was freed first goes first; a larger block is not kept."""
    ys = [result(2 * MIB, fill=i) for i in range(10)]  # 8 MiB each
    addresses = [y.ctypes.data for y in ys]
    for i in range(len(ys)):
        ys[i] = None  # type: ignore[call-overload]  # the last reference goes
        assert counts()["held"] == min(LIMIT, 8 * MIB * (i + 1))
    assert {result(2 * MIB).ctypes.data for _ in range(20)} == {addresses[-1]}
    fr.set_cache_limit(24 * MIB)
    assert counts()["held"] == 24 * MIB
    kept = [result(2 * MIB) for _ in range(4)]
    assert [y.ctypes.data for y in kept[:3]] == [addresses[9], addresses[8], addresses[7]]
    assert kept[3].ctypes.data not in addresses[7:]
    del kept
    fr.set_cache_limit(MIB)
    assert counts()["held"] == 0
    del ys
    result(2 * MIB)
    assert counts()["held"] == 0
    result(MIB // 4)
    assert counts()["held"] == MIB


def test_number_of_blocks() -> None:
    """At most 256 blocks are held, however small they are; all of them can be used again."""
    ys = [result() for _ in range(400)]
    del ys
    before = counts()
    assert before["blocks"] == 256
    assert before["held"] == 256 * FROM
    ys = [result() for _ in range(300)]
    assert counts()["hits"] == before["hits"] + 256
    assert len({y.ctypes.data for y in ys}) == 300


def test_off() -> None:
    """With a limit of 0 results come from NumPy."""
    fr.set_cache_limit(0)
    before = counts()
    assert (result() == 1).all()
    assert counts() == before
    assert fr.get_cache_limit() == 0


def test_clear() -> None:
    """Clearing frees every block of the pool and none that is in use."""
    y = result(fill=7)
    result(LARGE)
    assert counts()["held"] > 0
    fr.clear_cache()
    assert counts()["held"] == counts()["blocks"] == 0
    assert (y == 7).all()
    del y
    assert counts()["held"] == FROM


@pytest.mark.parametrize("later", ["fresh", "out", "in place", "release"])
def test_unused_blocks_are_freed(later: str) -> None:
    """Blocks that were unused for the set time are freed by the next large call, or when the next result is freed."""
    x, y = plain(LARGE), result(LARGE)
    result(SMALL)
    assert counts()["held"] == FROM
    _runtime.set_cache(milliseconds=-1)
    if later == "fresh":
        x = result(LARGE)
    elif later == "out":
        fr.relu(x, out=x)
    elif later == "in place":
        fr.relu_(x)
    else:
        del y
    assert counts()["held"] == (4 * LARGE if later == "release" else 0)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "number of bytes must not be negative, got -1"),
        (1.5, TypeError, "number of bytes must be an integer, got 'float'"),
        (True, TypeError, "number of bytes must be an integer, got 'bool'"),
        ("1", TypeError, "number of bytes must be an integer, got 'str'"),
    ],
)
def test_bad_limits(value: Any, error: type[Exception], message: str) -> None:
    """A limit that is refused changes nothing."""
    with pytest.raises(error, match=message):
        fr.set_cache_limit(value)
    assert fr.get_cache_limit() == LIMIT


def test_limits_of_every_size() -> None:
    """NumPy integers and numbers beyond the address space are limits too."""
    limit: Any = np.int16(5)
    fr.set_cache_limit(limit)
    assert fr.get_cache_limit() == 5
    fr.set_cache_limit(2**80)
    assert fr.get_cache_limit() == sys.maxsize


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("1000000", 10**6), ("", None)])
def test_variable(value: str, expected: int | None) -> None:
    """FASTRELU_CACHE_BYTES is the limit, and empty means unset."""
    program = "import fastrelu as fr; print(fr.config()['cache_limit'])"
    found = int(run_python(program, FASTRELU_CACHE_BYTES=value))
    assert found == (_host.default_cache_limit() if expected is None else expected)


MEMORY = {
    # what the process's own list says, files of the tree, bytes granted
    "v2": ("0::/a\n", {"a/memory.max": "1000000\n"}, 1000000),
    "v2, no limit": ("0::/a\n", {"a/memory.max": "max\n"}, None),
    "v2, limit above": ("0::/a/b\n", {"a/memory.max": "1000\n", "a/b/memory.max": "2000\n"}, 1000),
    "v2, root of a container": ("0::/host/path\n", {"memory.max": "4000\n"}, 4000),
    "v2, damaged": ("0::/a\n", {"a/memory.max": "nonsense\n"}, None),
    "v1": ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "3000\n"}, 3000),
    "v1, no limit": ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    "v1, other controllers": ("3:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "3000\n"}, None),
    "both": ("4:memory:/a\n0::/u\n", {"memory/a/memory.limit_in_bytes": "3000", "u/memory.max": "2000"}, 2000),
    "none": ("0::/\n", {}, None),
}


@pytest.mark.parametrize(("own", "files", "expected"), MEMORY.values(), ids=list(MEMORY))
def test_control_groups(tmp_path: Path, own: str, files: dict[str, str], expected: int | None) -> None:
    """The limit of the control groups counts where it is the least."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = _host.usable_memory(tmp_path / "tree", tmp_path / "own")
    without = _host.usable_memory(tmp_path / "tree", tmp_path / "missing")
    assert found == (without if expected is None else expected)
    assert without > 2**24


@linux
def test_address_space_limits_the_cache() -> None:
    """The default follows a limit that was set before the first large call."""
    program = """
import resource
import numpy as np
import fastrelu as fr
resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY))
fr.relu(np.ones(10**6))
print(fr.get_cache_limit(), fr.config()["cache_misses"])
"""
    environment = {"OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    assert run_python(program, **environment) == f"{2**27} 1\n"


# --- Memory is never shared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_live_arrays_share_nothing(seed: int) -> None:
    """Over random orders of calls, releases, resizes, views and settings every array keeps what was put there."""
    rng = random.Random(seed)
    alive: list[tuple[Array, float]] = []
    sizes = [SMALL, SMALL + 1, SMALL + 5000, 2 * SMALL, LARGE // 8, LARGE]
    for step in range(400):
        action = rng.randrange(10)
        if action < 5:
            dtype = rng.choice(["f4", "f8"])
            alive.append((result(rng.choice(sizes), dtype, step), step))
        elif action < 8 and alive:
            alive.pop(rng.randrange(len(alive)))
        elif action == 8 and alive:
            y, fill = alive.pop(rng.randrange(len(alive)))
            if y.base is None:
                y.resize(rng.choice(sizes), refcheck=False)
                y[...] = fill
            alive.append((y[rng.randrange(100) :: rng.choice([1, 3])], fill))
            del y
        else:
            fr.set_cache_limit(rng.choice([LIMIT, LIMIT, LIMIT, 4 * MIB, 0]))
            if rng.random() < 0.3:
                fr.clear_cache()
        assert counts()["held"] <= fr.get_cache_limit()
        if len(alive) > 12:
            alive = rng.sample(alive, 6)
    for i, (y, fill) in enumerate(alive):
        assert (y == fill).all()
        assert not any(np.shares_memory(y, z) for z, _ in alive[:i])
    ranges = sorted(np.lib.array_utils.byte_bounds(y) for y, _ in alive)
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ranges))


def test_views_outlive_the_array() -> None:
    """A view, a memoryview, a buffer and a ctypes pointer keep the memory."""
    view, window = result(fill=3)[10:20], memoryview(result(fill=4))
    pointer = result(fill=5).ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    y = result(fill=6)
    buffer = np.frombuffer(y, "f4")
    del y
    for i in range(20):
        result(fill=i)
    assert (view == 3).all()
    assert set(window.tolist()) == {4.0}
    assert (buffer == 6).all()
    assert pointer[0] == pointer[SMALL - 1] == 5


@pytest.mark.parametrize("start", [SMALL, LARGE])
@pytest.mark.parametrize("end", [0, 1, 1000, SMALL - 1, SMALL, 2 * SMALL, LARGE - 1, LARGE + 1, 2 * LARGE])
@pytest.mark.parametrize("clear", [False, True], ids=["kept", "cleared"])
def test_resize(start: int, end: int, clear: bool) -> None:
    """Resizing keeps what fits and fills with zeros, after clear_cache and with the cache off too, and back again."""
    y = result(start, fill=5)
    if clear:
        fr.clear_cache()
        fr.set_cache_limit(0)
    y.resize(end, refcheck=False)
    assert y.flags.owndata
    assert (y[:start] == 5).all()
    assert (y[start:] == 0).all()
    y.resize(start, refcheck=False)
    assert (y[: min(start, end)] == 5).all()
    assert (y[min(start, end) :] == 0).all()
    del y
    assert counts()["held"] <= fr.get_cache_limit()


def test_resize_frees_large_blocks() -> None:
    """An array that is made small gives its large block back to the pool."""
    y = result(LARGE)
    y.resize(10, refcheck=False)
    assert counts()["held"] >= 4 * LARGE
    fr.clear_cache()
    assert (y == 1).all()


def test_attributes_may_change() -> None:
    """An array whose flags were set is freed into the pool like any other."""
    y = result(LARGE)
    y.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        fr.relu_(y)
    y.setflags(write=True)
    y = y.view("u1").view("f4")
    y.flags.writeable = False
    del y
    assert counts()["held"] == 4 * LARGE


def test_copies() -> None:
    """Pickles, copies and files hold the numbers, and do not share memory."""
    y = fr.relu(np.arange(LARGE, dtype="f4"))
    buffers: list[pickle.PickleBuffer] = []
    outside = pickle.dumps(y, 5, buffer_callback=buffers.append)
    file = io.BytesIO()
    np.savez(file, y=y)
    file.seek(0)
    copies = [
        *[pickle.loads(pickle.dumps(y, protocol)) for protocol in range(2, 6)],
        pickle.loads(outside, buffers=[bytes(buffer) for buffer in buffers]),
        copy.copy(y),
        copy.deepcopy(y),
        np.load(file)["y"],
        np.resize(y, LARGE),
    ]
    del buffers, y
    expected = np.arange(LARGE, dtype="f4")
    result(LARGE, fill=9)
    for z in copies:
        assert_same_bits(z, expected)


def test_earlier_results_keep_their_values() -> None:
    """No later call writes into what an earlier one returned."""
    data = {case: case.data(SMALL, "f4") for case in CASES}
    results = {case: case(*arrays) for case, arrays in data.items()}
    copies = {case: y.copy() for case, y in results.items()}
    for case, arrays in data.items():
        case(*arrays)
        case(*arrays, out=np.empty(SMALL, "f4"))
    for case, y in results.items():
        assert_same_bits(y, copies[case])


# --- The handler's own functions --------------------------------------------------------------------------------------------


def test_handler_functions() -> None:
    """Recycled memory is cleared by calloc, realloc keeps contents, absurd sizes give NULL, NULL may be released."""
    library = ctypes.CDLL(_runtime.__file__)
    size_t, void_p = ctypes.c_size_t, ctypes.c_void_p
    arguments: dict[str, list[Any]]
    arguments = {"malloc": [size_t], "calloc": [size_t, size_t], "realloc": [void_p, size_t], "free": [void_p, size_t]}
    for name, types in arguments.items():
        function = getattr(library, f"fr_pool_{name}")
        function.restype = void_p
        function.argtypes = [void_p, *types]
    for size in (1, 100, FROM - 1, FROM, 3 * MIB):
        p = library.fr_pool_malloc(None, size)
        assert p % 64 == 0
        ctypes.memset(p, 0xAA, size)
        library.fr_pool_free(None, p, size)
        p = library.fr_pool_calloc(None, size, 1)
        assert ctypes.string_at(p, size) == bytes(size)
        ctypes.memset(p, 0xBB, size)
        for new in (size + 1, 2 * size, 20 * size, size, size // 3 + 1, size):
            p = library.fr_pool_realloc(None, p, new)
            assert p % 64 == 0
        assert ctypes.string_at(p, size // 3 + 1) == b"\xbb" * (size // 3 + 1)
        assert library.fr_pool_realloc(None, p, sys.maxsize) is None
        library.fr_pool_free(None, p, 0)
    assert library.fr_pool_malloc(None, sys.maxsize) is None
    assert library.fr_pool_malloc(None, 2 * sys.maxsize) is None
    assert library.fr_pool_calloc(None, sys.maxsize, 4) is None
    p = library.fr_pool_realloc(None, None, FROM)
    library.fr_pool_free(None, p, 0)
    library.fr_pool_free(None, None, 0)


class _Allocator(ctypes.Structure):
    _fields_ = (
        ("ctx", ctypes.c_void_p),
        ("malloc", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
        ("calloc", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)),
        ("realloc", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
        ("free", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
    )


class _Handler(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", _Allocator))


@pytest.mark.skipif(sys.platform == "win32", reason="takes malloc from the C library of the process")
def test_hosts_own_handler_is_respected() -> None:
    """Where the host has set a data-memory handler, large results come from that one."""
    libc = ctypes.CDLL(None)
    for name in ("malloc", "calloc", "realloc"):
        getattr(libc, name).restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.malloc.argtypes = [ctypes.c_size_t]
    asked: list[int] = []

    def malloc(_: Any, size: int) -> Any:
        asked.append(size)
        return libc.malloc(size)

    types: dict[str, Any] = dict(_Allocator._fields_)
    allocator = _Allocator(
        None,
        types["malloc"](malloc),
        types["calloc"](lambda _, n, size: libc.calloc(n, size)),
        types["realloc"](lambda _, p, size: libc.realloc(p, size)),
        types["free"](lambda _, p, size: libc.free(p) and size),
    )
    handler = _Handler(b"host", 1, allocator)
    api = ctypes.pythonapi
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = api.PyCapsule_GetPointer(importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    pointers = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(pointers[304])
    before = counts()
    old = set_handler(api.PyCapsule_New(ctypes.addressof(handler), b"mem_handler", None))
    try:
        y = result()
        assert y.nbytes in asked
        del y
    finally:
        set_handler(old)
    assert counts() == before
    gc.collect()


# --- Threads, processes, limits of the system -------------------------------------------------------------------------------


def test_threads() -> None:
    """Results are freed by other threads than those that made them, and no block serves two results at a time."""
    handed: queue.Queue[tuple[Array, float] | None] = queue.Queue(8)
    wrong: list[float] = []

    def produce(seed: int) -> None:
        rng = random.Random(seed)
        for i in range(200):
            fill = seed * 1000 + i
            handed.put((result(rng.choice([SMALL, SMALL + 9, LARGE // 8]), fill=fill), fill))
            if i % 50 == 0:
                fr.clear_cache()
        handed.put(None)

    def consume() -> None:
        for y, fill in iter(handed.get, None):
            if not (y == fill).all():
                wrong.append(fill)

    threads = [threading.Thread(target=produce, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counts()["held"] <= LIMIT


@forks
def test_fork() -> None:
    """Children of a process whose threads are at the cache neither wait for them nor disturb the parent."""
    y = result(fill=3)
    result(LARGE)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            result()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, for processes that have threads
                child = os.fork()
            if not child:
                try:
                    signal.alarm(60)
                    z = [result(LARGE, fill=i) for i in range(3)]
                    y += 1
                    good = all((z[i] == i).all() for i in range(3)) and (y == 4).all()
                    del z, y
                    fr.clear_cache()
                    os._exit(0 if good and counts()["held"] == 0 else 1)
                except BaseException:  # noqa: BLE001  nothing of the parent may run in the child
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (y == 3).all()


def test_exit() -> None:
    """Results that are kept until the interpreter ends, by modules, cycles and threads, may be freed in any order."""
    program = f"""
import atexit, sys, threading
import numpy as np
import fastrelu as fr
x = np.ones({SMALL}, "f4")
sys.kept = fr.relu(x)
np.kept = fr.relu(x)[3:]
cycle = [fr.relu(x)]
cycle.append(cycle)
atexit.register(lambda y=fr.relu(x): fr.relu(y))
class Late:
    def __init__(self, relu, x): self.relu, self.x = relu, x
    def __del__(self): self.relu(self.x)
late = Late(fr.relu, fr.relu(x))
started = threading.Event()
def work():
    while True:
        fr.relu(x)
        started.set()
threading.Thread(target=work, daemon=True).start()
started.wait()
print("ok", flush=True)
"""
    assert run_python(program) == "ok\n"


# Six results of 16 MiB are in use, the pool is empty, and the process may have 40 MiB more.
OUT_OF_MEMORY = f"""
import resource
from pathlib import Path
import numpy as np
import fastrelu as fr
fr.set_cache_limit(2**40)
mapped = lambda: 4096 * int(Path("/proc/self/statm").read_text().split()[0])
x = np.zeros({16 * MIB}, "f4")
short = np.zeros({16 * MIB}, "i2")
small = [fr.relu(x[:{4 * MIB}]) for _ in range(6)]
resource.setrlimit(resource.RLIMIT_AS, (mapped() + {40 * MIB}, resource.RLIM_INFINITY))
"""


@linux
@pytest.mark.parametrize("view", ["x", "x[::-1]", "short", "x.view(x.dtype.newbyteorder())"])
def test_out_of_memory(view: str) -> None:
    """Without memory there is a MemoryError, nothing is lost, and smaller calls work."""
    program = f"""{OUT_OF_MEMORY}
before = mapped()
for _ in range(3):
    try:
        fr.relu({view})
    except MemoryError as error:
        assert "allocate" in str(error), error
    else:
        raise AssertionError
assert mapped() - before < {MIB}, mapped() - before
assert fr.config()["cache_held"] == 0
assert (fr.relu(x[:{4 * MIB}]) == 0).all()
before = fr.config()["cache_misses"]
np.ones({SMALL}, "f4")
assert fr.config()["cache_misses"] == before  # NumPy's own handler is back in its place
print("ok")
"""
    environment = {"OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    assert run_python(program, **environment) == "ok\n"


@linux
def test_the_pool_is_emptied_before_a_call_fails() -> None:
    """A call that finds no memory frees the blocks of the pool, tries again and succeeds."""
    program = f"""{OUT_OF_MEMORY}
del small
assert fr.config()["cache_held"] == {6 * 16 * MIB}
assert (fr.relu(x) == 0).all()
assert fr.config()["cache_held"] == {64 * MIB}
print("ok")
"""
    environment = {"OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    assert run_python(program, **environment) == "ok\n"


@linux
def test_failed_resize_keeps_the_array() -> None:
    """Growing beyond the address space is a MemoryError and leaves the array as it was."""
    program = f"""{OUT_OF_MEMORY}
y = small.pop()
try:
    y.resize({64 * MIB}, refcheck=False)
except MemoryError:
    print(y.shape == ({4 * MIB},) and not y.any())
"""
    environment = {"OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    assert run_python(program, **environment) == "True\n"


# --- What it is for ---------------------------------------------------------------------------------------------------------


@linux
def test_no_page_faults() -> None:
    """In the steady state results cost no page faults, alone and in a chain of layers."""
    program = f"""
import resource
import numpy as np
import fastrelu as fr
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for n in ({SMALL}, {MIB}, {12 * MIB}):
    x = np.ones(n, "f4")
    def layers():
        y = fr.relu(x)
        z = fr.relu(y[::-1])
        return fr.relu(z), fr.leaky_relu(y, 0.5)
    layers()
    before = faults()
    for _ in range(20):
        layers()
    print(faults() - before)
"""
    found = [int(line) for line in run_python(program, FASTRELU_NUM_THREADS="1").split()]
    assert max(found) < 20, f"page faults in 80 calls: {found}"


def _flags_of(address: int) -> list[str]:
    """Return the kernel's flags of the mapping around an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first:
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "VmFlags:":
            return line.split()[1:]
    return []


@linux
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="this kernel has no huge pages"
)
def test_huge_pages() -> None:
    """Large blocks are of huge pages, unless NumPy's variable forbids them; smaller ones are not."""
    y = result(LARGE)
    assert y.ctypes.data % (2 * MIB) == 0
    assert "hg" in _flags_of(y.ctypes.data)
    assert "hg" not in _flags_of(result(SMALL).ctypes.data)
    program = f"""
import numpy as np
import fastrelu as fr
from test_recycle import _flags_of
print("hg" in _flags_of(fr.relu(np.ones({LARGE}, "f4")[::-1]).ctypes.data))
"""
    assert run_python(program, NUMPY_MADVISE_HUGEPAGE="0") == "False\n"


@linux
def test_clear_gives_memory_back() -> None:
    """Memory that the pool frees goes back to the system."""

    def resident() -> int:
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

    y = result(LARGE)
    del y
    before = resident()
    fr.clear_cache()
    assert before - resident() > 4 * LARGE * 0.9


def test_tracemalloc() -> None:
    """Memory that tracemalloc counts: the results in use, not the blocks of the pool."""
    domain = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)

    def traced() -> int:
        return sum(t.size for t in tracemalloc.take_snapshot().filter_traces([domain]).traces)

    x = plain(LARGE)
    tracemalloc.start()
    try:
        for _ in range(2):
            y = fr.relu(x)
            assert traced() == y.nbytes
            z = y[5:]
            del y
            assert traced() == x.nbytes
            del z
            assert traced() == 0
        y = fr.relu(x)
        y.resize(2 * LARGE, refcheck=False)
        assert traced() == y.nbytes
        del y
        assert traced() == 0
    finally:
        tracemalloc.stop()
