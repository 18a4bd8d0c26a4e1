"""A call takes the memory of its result and no more: no temporary as large as the data, whatever the layout."""

from __future__ import annotations

import functools
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from programs import run_python

import fastrelu as fr

if TYPE_CHECKING:
    from collections.abc import Callable

    from cases import Case

SHAPE = (64, 16, 64)
# Iterators, views and the blocks of the driver; the smallest result is 256 KiB.
SLACK = 16384


def peak(call: Callable[[], Any]) -> int:
    """Return the most memory that a call held, of NumPy's and of Python's."""
    call()  # what is imported or read once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = call()
        most = tracemalloc.get_traced_memory()[1] - before
        del result
    finally:
        tracemalloc.stop()
    return most


def strided(x: Any) -> Any:
    """Return the same numbers, every second element of an array twice as wide."""
    return np.repeat(x, 2, -1)[..., ::2]


def per_channel(values: tuple[float, ...], dtype: np.dtype[Any]) -> list[Any]:
    """Return the parameters as arrays along the middle axis."""
    return [np.full((SHAPE[1], 1), value, dtype) for value in values]


def test_result_alone(case: Case, dtype: np.dtype[Any]) -> None:
    """Fresh: the result. Into given memory: nothing. Contiguous, strided, transposed, with parameters per channel."""
    data = [x.reshape(SHAPE) for x in case.data(int(np.prod(SHAPE)), dtype)]
    size, out = data[0].nbytes, np.empty(SHAPE, dtype)
    wide = np.empty((*SHAPE[:2], 2 * SHAPE[2]), dtype)[..., ::2]
    layouts = [data, [strided(x) for x in data], [x.copy().T.copy().T for x in data]]
    for arrays in layouts:
        for params in (case.params, per_channel(case.params, dtype)):
            assert size <= peak(functools.partial(case, *arrays, *params)) < size + SLACK
            for target in (out, wide):
                assert peak(functools.partial(case, *arrays, *params, out=target)) < SLACK
    if case.direction == 0:
        for x in (out, wide):
            x[...] = 1
            assert peak(functools.partial(case.in_place, x)) < SLACK
    assert peak(lambda: case(*data, out=data[-1])) < SLACK


def test_casts(case: Case) -> None:
    """Casts are done by blocks: float16 and other byte orders cost no copy of the array."""
    data = [np.ones(SHAPE, "f2") for _ in range(case.ndata)]
    size = data[0].nbytes
    buffers = 8192 * 8 * (case.ufunc.nin + 1)
    assert size <= peak(lambda: case(*data)) < size + buffers + SLACK
    swapped, size = [x.astype(">f4") for x in data], 2 * size
    assert size <= peak(lambda: case(*swapped)) < size + buffers + SLACK


HALF = np.ones((1024, 512), np.float16)
BIAS, OUT = np.ones(512, np.float16), np.empty((1024, 512), np.float32)
# Calls of 16 bits with options, and the most memory that they hold, in sizes of the input: results, and blocks or whole
# arrays of the type that computes.
OPTIONS: dict[str, tuple[float, Callable[[], Any]]] = {
    "bias": (1, lambda: fr.fused.bias_act(HALF, BIAS, "gelu")),
    "bias and residual": (1, lambda: fr.fused.bias_act(HALF, BIAS, "relu", residual=HALF)),
    "bias's gradient": (1.3, lambda: fr.fused.bias_act_backward(HALF, HALF, BIAS, "gelu")),
    "halves": (0.5, lambda: fr.swiglu(HALF)),
    "interleaved": (0.5, lambda: fr.geglu(HALF, layout="interleaved")),
    "pair": (1, lambda: fr.reglu((HALF, HALF))),
    "pair's gradient": (2, lambda: fr.swiglu_backward(HALF, (HALF, HALF))),
    "scale": (2.3, lambda: fr.softmax_backward_from_output(HALF, HALF, scale=0.5)),
    "tau": (2.3, lambda: fr.gumbel_softmax_backward_from_output(HALF, HALF, tau=0.5)),
    "out": (1.8, lambda: fr.softmax(HALF, out=OUT)),
    "learned": (5, lambda: fr.elu_backward_parameters(HALF, HALF, 1.0)),
    "threshold": (1.3, lambda: fr.conventions.torch.softplus(HALF)),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_sixteen_bits(option: str) -> None:
    """Paths with options convert block by block, or hold no more than they need."""
    units, call = OPTIONS[option]
    with fr.threads(1):  # each has blocks of its own
        assert peak(call) < units * HALF.nbytes + 2 * SLACK


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_resident_memory() -> None:
    """By the system's count, a new result of 64 MiB costs 64 MiB, and one into given memory nothing."""
    program = """
import re
from pathlib import Path
import numpy as np
import fastrelu as fr
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
x, y = np.ones(2**24, "f4"), np.ones(2**24, "f4")
fr.gelu(x[:100000]), fr.gelu(x[:100000][::-1])
before = peak()
fr.gelu(x, out=y), fr.gelu(x[::-1], out=y), fr.relu_backward(x, y, out=y)
given = peak() - before
for _ in range(3):
    fr.gelu(x)
    fr.gelu(x[::-1])
print(given, peak() - before)
"""
    given, fresh = (int(size) for size in run_python(program).split())
    assert given < 2**20
    assert 2**26 <= fresh + 2**20 < 2**26 + 2**22
    assert fr.get_cache_limit() <= 2**28
