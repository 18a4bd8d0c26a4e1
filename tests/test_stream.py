"""Results that go past the cache: the same bits, nothing written around them, and only where it is allowed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, Case
from compare import assert_guards, assert_same_bits
from grid import DTYPES, guarded

import fastrelu as fr
from fastrelu import _core, _runtime, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from specs import Precision


KERNEL = next(iter(runtime.kernels.values()))
LONGEST = 2 * 512 + 70
# Less than a line, around whole lines, around blocks of 512, and blocks with a rest.
LENGTHS = [*range(1, 70), 127, 128, 129, *range(500, 530), 1023, 1024, 1025, LONGEST]
OFFSETS = range(16)  # elements past a line: every residue of both types

pytestmark = pytest.mark.skipif(not _core.streams(KERNEL, 2**62, 1), reason="this processor has no such stores")


@contextlib.contextmanager
def streaming(least: int) -> Iterator[None]:
    """Stream outputs from this many bytes on."""
    _runtime.set_defaults(stream_from=least)
    try:
        yield
    finally:
        _runtime.set_defaults(stream_from=-1)


def test_every_length_and_alignment(case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """Streamed results equal the others to the bit, and end where the output ends."""
    with fr.precision(precision), fr.threads(1):
        data = case.data(LONGEST + 3, dtype)
        for shift in (0, 3):
            inputs = [a[shift:] for a in data]
            whole = case(*[a[:LONGEST] for a in inputs])
            for offset in OFFSETS if shift else [0, 5]:
                for n in LENGTHS if offset in {0, 5} else [63, 600, LONGEST]:
                    out, memory = guarded((n,), dtype, offset)
                    with streaming(0):
                        assert case(*[a[:n] for a in inputs], out=out) is out
                    assert_same_bits(out, whole[:n], (offset, n))
                    assert_guards(out, memory)


def test_threads(case: Case, dtype: np.dtype[Any]) -> None:
    """Parts of several threads meet within a line."""
    n = 2 * max(_runtime.parallel_from) + 77
    data = case.data(n, dtype)
    expected = case(*data)
    for count in (1, 2, 5):
        out, memory = guarded((n,), dtype, 3)
        with fr.threads(count), streaming(0):
            case(*data, out=out)
        assert_same_bits(out, expected, count)
        assert_guards(out, memory)


def test_rows(case: Case, dtype: np.dtype[Any]) -> None:
    """Rows of the output are streamed where it has gaps between them, and parameters may be arrays."""
    rows, columns = 40, 700
    data = [a.reshape(rows, columns) for a in case.data(rows * columns, dtype)]
    params = [np.full((rows, 1), value, dtype) for value in case.params]
    expected = case(*data)
    for k in (3, 64, 255, 256, 511, 513, columns):
        memory = np.zeros((rows, columns + 9), dtype)
        out = memory[:, 5 : k + 5]
        with streaming(0):
            assert case(*[a[:, :k] for a in data], *params, out=out) is out
        assert_same_bits(out, expected[:, :k], k)
        assert not memory[:, :5].any()
        assert not memory[:, k + 5 :].any()


def test_in_place(case: Case, dtype: np.dtype[Any]) -> None:
    """An output that is an input takes the usual way, whatever its size."""
    data = case.data(5000, dtype)
    expected = case(*data)
    for j in range(case.ndata):
        inputs = [a.copy() for a in data]
        with streaming(0):
            assert case(*inputs, out=inputs[j]) is inputs[j]
        assert_same_bits(inputs[j], expected)
        inputs = [a.copy() for a in data]
        with streaming(0):
            case(*[a[:-1] for a in inputs], out=inputs[j][1:])  # by way of a copy
        assert_same_bits(inputs[j][1:], expected[:-1])


def test_every_instruction_set(isa: str, dtype: np.dtype[Any]) -> None:
    """The stores of each instruction set, through its own kernels."""
    for case in CASES[::9]:
        data = case.data(LONGEST, dtype)
        expected = case.on(isa, "fast", *data, *case.params)
        for offset in OFFSETS:
            out, memory = guarded((LONGEST,), dtype, offset)
            with streaming(0):
                assert case.on(isa, "fast", *data, *case.params, out=out) is out
            assert_same_bits(out, expected, (case.name, offset))
            assert_guards(out, memory)


def test_least_size() -> None:
    """Streaming starts at the size of the last-level cache, or of all such caches that the threads may run beside."""
    sizes = [1 << k for k in range(10, 48)]
    for threads in (1, 2, 64, 1024):
        answers = [_core.streams(KERNEL, size, threads) for size in sizes]
        assert answers == sorted(answers)
        assert not answers[0]
        assert answers[-1]
    with streaming(4096):
        assert [_core.streams(KERNEL, size, 1) for size in (4095, 4096)] == [False, True]


def test_virtual_machines() -> None:
    """A virtual machine reports the cache of its host; most of it belongs to others, so streaming starts at 32 MiB."""
    flags = Path("/proc/cpuinfo").read_text().split() if sys.platform == "linux" else []
    if "hypervisor" not in flags:
        pytest.skip("this is no virtual machine")
    assert _core.streams(KERNEL, 32 << 20, 1)


def test_large_outputs() -> None:
    """Where it really happens: an output larger than the cache, next to one that is not streamed."""
    least = next(size for size in (1 << k for k in range(20, 48)) if _core.streams(KERNEL, size, fr.get_num_threads()))
    if least > 1 << 28:
        pytest.skip("this would take too much memory here")
    case, dtype = CASES[0], DTYPES[0]
    n = least // np.dtype(dtype).itemsize + 5
    x = np.resize(case.data(10007, dtype)[0], n)
    out = np.ones(n, dtype)
    case(x, out=out)
    with streaming(2**62):
        plain = case(x, out=np.ones(n, dtype))
    assert np.array_equal(out, plain, equal_nan=True)
