"""Writable buffers other than arrays: computed where they lie, and returned as that very object."""

from __future__ import annotations

import array
import ctypes
import mmap
import multiprocessing.shared_memory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from cases import CASES, FORWARD_CASES, Case, each_forward_of_some, each_of_some
from compare import assert_same_bits
from grid import native
from inputs import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from specs import Array


N = 48


class Buffer(NamedTuple):
    """An object with memory, and the array that looks at it."""

    given: Any
    view: Array


def _array(x: Array) -> Buffer:
    made = array.array(x.dtype.char, x.tobytes())
    return Buffer(made, np.frombuffer(made, x.dtype))


def _memoryview(x: Array) -> Buffer:
    memory = x.copy()
    return Buffer(memoryview(memory), memory)


def _cast_bytearray(x: Array) -> Buffer:
    memory = bytearray(x.tobytes())
    return Buffer(memoryview(memory).cast(x.dtype.char), np.frombuffer(memory, x.dtype))


def _many_dimensions(x: Array) -> Buffer:
    memory = bytearray(x.tobytes())
    view = memoryview(memory).cast(x.dtype.char, (4, x.size // 4))
    return Buffer(view, np.frombuffer(memory, x.dtype).reshape(4, -1))


def _strided(x: Array) -> Buffer:
    memory = np.repeat(x, 3)
    return Buffer(memoryview(memory)[::-3], memory[::-3])


def _other_byte_order(x: Array) -> Buffer:
    memory = x.astype(x.dtype.newbyteorder())
    return Buffer(memoryview(memory), memory)


def _ctypes(x: Array) -> Buffer:
    made = ((ctypes.c_float if x.itemsize == 4 else ctypes.c_double) * x.size)(*x.tolist())
    return Buffer(made, np.frombuffer(made, x.dtype))


def _mmap(x: Array) -> Buffer:
    memory = mmap.mmap(-1, x.nbytes)
    memory.write(x.tobytes())
    return Buffer(memoryview(memory).cast(x.dtype.char), np.frombuffer(memory, x.dtype))


KINDS: dict[str, Callable[[Array], Buffer]] = {
    "array.array": _array,
    "memoryview": _memoryview,
    "memoryview of a bytearray": _cast_bytearray,
    "memoryview of two dimensions": _many_dimensions,
    "memoryview with steps": _strided,
    "memoryview of the other byte order": _other_byte_order,
    "ctypes array": _ctypes,
    "memoryview of mmap": _mmap,
}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=list(KINDS))


@each_kind
@each_forward_of_some
def test_in_place(case: Case, make: Callable[[Array], Buffer], dtype: np.dtype[Any]) -> None:
    """`f_(buffer)` overwrites the buffer's memory and returns the buffer."""
    buffer = make(values(N, dtype))
    expected = case(native(buffer.view))
    assert case.in_place(buffer.given) is buffer.given
    assert_same_bits(native(buffer.view), expected)
    # A mask, as for arrays.
    buffer = make(values(N, dtype))
    before = native(buffer.view)
    assert case.in_place(buffer.given, where=before > 0) is buffer.given
    assert_same_bits(native(buffer.view), np.where(before > 0, expected, before))


@each_kind
@each_of_some
def test_out(case: Case, make: Callable[[Array], Buffer], dtype: np.dtype[Any]) -> None:
    """`out=buffer` and `out=(buffer,)` fill the buffer and return it; buffers serve as inputs too."""
    data = case.data(N, dtype)
    buffers = [make(a) for a in data]
    expected = case(*[native(b.view) for b in buffers])
    for inputs in ([b.given for b in buffers], [native(b.view) for b in buffers]):
        for wrap in (lambda b: b, lambda b: (b,)):
            out = make(np.zeros(N, dtype))
            assert case(*inputs, out=wrap(out.given)) is out.given
            assert_same_bits(native(out.view), expected)
    assert case(*[b.given for b in buffers], out=buffers[-1].given) is buffers[-1].given
    assert_same_bits(native(buffers[-1].view), expected)


@each_kind
def test_new_result_of_buffers(make: Callable[[Array], Buffer]) -> None:
    """Without `out` a buffer is an input like an array."""
    for case in CASES:
        buffers = [make(a) for a in case.data(N, "f4")]
        assert_same_bits(case(*[b.given for b in buffers]), case(*[native(b.view) for b in buffers]))


def test_nothing_holds_the_buffer_afterwards() -> None:
    """An array.array can grow again, and a memoryview be released."""
    for case in FORWARD_CASES:
        grows = array.array("f", [1.0, 2.0, 3.0])
        case.in_place(grows)
        case([1.0, 2.0, 3.0], out=grows)
        grows.append(4.0)
        view = memoryview(np.ones(3))
        case.in_place(view)
        view.release()


@pytest.fixture(scope="module")
def shared() -> Iterator[multiprocessing.shared_memory.SharedMemory]:
    """Return a block of shared memory."""
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=8 * N)
    yield block
    block.close()
    block.unlink()


@each_forward_of_some
def test_shared_memory(case: Case, dtype: np.dtype[Any], shared: multiprocessing.shared_memory.SharedMemory) -> None:
    """The buffer of shared memory, cast to numbers, and an array on top of it."""
    x = values(N, dtype)
    assert shared.buf is not None
    view = shared.buf[: x.nbytes].cast("c").cast(x.dtype.char)
    view[:] = memoryview(x)
    assert case.in_place(view) is view
    assert_same_bits(np.array(view, dtype), case(x))
    view.release()
    on_top: Array = np.ndarray((N,), dtype, shared.buf)
    on_top[...] = x
    assert case(x, out=on_top) is on_top
    assert_same_bits(on_top, case(x))


@each_of_some
def test_memory_mapped_files(case: Case, dtype: np.dtype[Any], tmp_path: Path) -> None:
    """np.memmap as input, in place and as `out`: what the file holds afterwards is the result."""
    file = tmp_path / "numbers"
    data = case.data(N, dtype)
    expected = case(*data)
    mapped: Any = np.memmap(file, dtype, "w+", shape=(N,))
    mapped[...] = data[0]
    assert_same_bits(case(mapped, *data[1:]), expected)
    assert type(case(mapped, *data[1:])) is np.ndarray  # as NumPy's functions return it
    assert case.explain(mapped, *data[1:], out=mapped).door == "N-d driver"
    assert case(mapped, *data[1:], out=mapped) is mapped
    mapped.flush()
    del mapped
    assert_same_bits(np.fromfile(file, dtype), expected)
    frozen: Any = np.memmap(file, dtype, "r", shape=(N,))
    with pytest.raises(ValueError, match="read-only"):
        case(*data, out=frozen)


READ_ONLY: dict[str, Callable[[], Any]] = {
    "memoryview": lambda: memoryview(np.ones(3)).toreadonly(),
    "memoryview of bytes": lambda: memoryview(np.ones(3).tobytes()).cast("d"),
    "array over bytes": lambda: np.frombuffer(np.ones(3).tobytes()),
    "broadcast": lambda: np.broadcast_to(1.0, 3),
}


@pytest.mark.parametrize("make", READ_ONLY.values(), ids=list(READ_ONLY))
@each_forward_of_some
def test_read_only(case: Case, make: Callable[[], Any]) -> None:
    """What cannot be written is refused, as NumPy refuses it, and stays as it was."""
    for call in (case.in_place, lambda given: case(np.zeros(3), out=given)):
        given = make()
        with pytest.raises(ValueError, match="read-only"):
            call(given)
        assert np.asarray(given).tolist() == [1.0] * 3


# Objects with memory that holds no numbers of a type that the result can be cast to.
WRONG: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(3),
    "array of int": lambda: array.array("i", [1, 2, 3]),
    "array of long": lambda: array.array("q", [1, 2, 3]),
    "memoryview of bytes": lambda: memoryview(bytearray(3)),
    "ctypes int": lambda: (ctypes.c_int * 3)(),
    "mmap": lambda: mmap.mmap(-1, 3),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=list(WRONG))
@each_forward_of_some
def test_wrong_type(case: Case, make: Callable[[], Any]) -> None:
    """The casting error that NumPy has for an array of that type."""
    for call in (case.in_place, lambda given: case(np.zeros(3), out=given)):
        with pytest.raises(TypeError, match=f"Cannot cast ufunc '{case.name}' output"):
            call(make())


NO_BUFFER = [[1.0], [], {1.0}, "x", 1, 1.0, object]


@pytest.mark.parametrize("given", NO_BUFFER, ids=repr)
@each_forward_of_some
def test_no_buffer(case: Case, given: Any) -> None:
    """Objects without memory to write into are refused by name, not silently copied."""
    message = f"{case.public_name} can write into an array or a writable buffer, not into {type(given).__name__!r}"
    with pytest.raises(TypeError, match=message):
        case.in_place(given)
    with pytest.raises(TypeError, match=message):
        case(np.ones(1), out=given)
