"""What the array tests share: kernels as users call them, test values, comparison of bits, memory layouts."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from specs import FORWARD, SPECS, Spec

import fastrelu as fr
from fastrelu import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]
DTYPES = ("float32", "float64")
PRECISIONS: tuple[runtime.Precision, ...] = ("fast", "accurate")
# What a guard band holds: a NaN whose payload no kernel writes.
SENTINEL = {4: np.uint32(0x7FC0BEEF), 8: np.uint64(0x7FF8BEEFBEEFBEEF)}


@dataclass(frozen=True)
class Case:
    """One kernel as users call it: a row of the table of activations, in one direction."""

    spec: Spec
    direction: int

    @property
    def name(self) -> str:
        """The name of the kernel and of its ufuncs."""
        return self.spec.kernel(self.direction)

    @property
    def ufunc(self) -> np.ufunc:
        """The ufunc of the precision in force."""
        kernel = runtime.kernels[self.name]
        return kernel.accurate if fr.get_precision() == "accurate" else kernel.fast

    @property
    def ndata(self) -> int:
        """The number of arrays that come before the parameters."""
        return 1 if self.direction == FORWARD else 2

    @property
    def grid(self) -> tuple[tuple[float, ...], ...]:
        """All tuples of parameters in the table that lie in this kernel's domain."""
        return self.spec.grid(self.direction)

    @property
    def params(self) -> tuple[float, ...]:
        """The typical parameters."""
        return self.grid[0]

    def __str__(self) -> str:
        """Return the name, as pytest shows it."""
        return self.name

    def __call__(self, *inputs: Any, out: Any = None, where: Any = True) -> Any:
        """Call the public function, with the typical parameters unless `inputs` holds some."""
        params = self.params if len(inputs) == self.ndata else ()
        return self.spec.function(self.direction)(*inputs, *params, out=out, where=where)

    def in_place(self, x: Any, *params: Any, where: Any = True) -> Any:
        """Call the public function with the trailing underscore."""
        return self.spec.in_place()(x, *(params or self.params), where=where)

    def data(self, n: int, dtype: Any) -> list[Array]:
        """`n` elements for each array that comes before the parameters."""
        return [values(n, dtype, seed) for seed in range(self.ndata)]


CASES = [Case(spec, direction) for spec in SPECS.values() for direction in spec.directions]
FORWARD_CASES = [case for case in CASES if case.direction == FORWARD]
BACKWARD_CASES = [case for case in CASES if case.direction != FORWARD]
PARAMETRIC_CASES = [case for case in CASES if case.params]
# What becomes of arguments depends on the numbers of operands alone: one kernel of each sort, and every ninth.
_SORTS = {(case.direction, len(case.params)): case.name for case in reversed(CASES)}
SOME_CASES = [case for i, case in enumerate(CASES) if i % 9 == 0 or case.name in _SORTS.values()]
TWO_INPUT_CASES = [case for case in CASES if case.ufunc.nin == 2]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_forward_case = pytest.mark.parametrize("case", FORWARD_CASES, ids=str)
each_backward_case = pytest.mark.parametrize("case", BACKWARD_CASES, ids=str)
each_of_some = pytest.mark.parametrize("case", SOME_CASES, ids=str)
each_forward_of_some = pytest.mark.parametrize("case", [case for case in SOME_CASES if case.ndata == 1], ids=str)
each_parametric_case = pytest.mark.parametrize("case", PARAMETRIC_CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def values(n: int, dtype: Any, seed: int = 0) -> Array:
    """`n` numbers of every kind: ordinary, huge, subnormal, signed zeros, infinities, NaN and the usual kinks."""
    return _values(n, dtype, seed).copy()


@functools.cache
def _values(n: int, dtype: Any, seed: int) -> Array:
    kind = np.dtype(dtype)
    info = np.finfo(kind)
    rng = np.random.default_rng(seed)
    x = (4 * rng.standard_normal(n)).astype(kind)
    special = np.array(
        [
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            0.5,
            -0.5,
            1,
            -1,
            3,
            -3,
            6,
            info.tiny,
            -info.tiny / 4,
            info.max,
            -info.max,
            -90,
        ],
        kind,
    )
    # Some 30 % of the positions, so that vectors mix both sorts.
    chosen = rng.random(n) < 0.3
    x[chosen] = rng.choice(special, int(chosen.sum()))
    return x


def bits(x: Any) -> Array:
    """Return the bits of the elements, all NaNs made one: the sign and payload of a NaN are unspecified."""
    x = np.asarray(x)
    native = np.array(x, x.dtype.newbyteorder("="), order="C")
    native[np.isnan(native)] = np.nan
    return native.view(f"u{native.itemsize}")


def assert_same_bits(got: Any, expected: Any, context: object = "") -> None:
    """Fail unless both hold the same numbers, to the bit, in the same type and shape."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, context
    assert got.shape == expected.shape, context
    np.testing.assert_array_equal(bits(got), bits(expected), err_msg=str(context))


def guarded(shape: tuple[int, ...], dtype: Any, offset: int = 0) -> tuple[Array, Array]:
    """Return an array `offset` elements past an aligned address, and the memory around it."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape))
    memory = np.full(size + 64, SENTINEL[kind.itemsize])
    start = 16 + offset
    return memory[start : start + size].view(kind).reshape(shape), memory


def assert_guards(array: Array, memory: Array) -> None:
    """Fail if anything was written to `memory` outside `array`."""
    start = (array.ctypes.data - memory.ctypes.data) // memory.itemsize
    for band in (memory[:start], memory[start + array.size :]):
        assert (band == SENTINEL[memory.itemsize]).all()


def _strided(step: int) -> Callable[[Array], Array]:
    def lay(x: Array) -> Array:
        memory = np.empty((*x.shape[:-1], x.shape[-1] * step), x.dtype)
        memory.view(f"u{x.itemsize}")[...] = SENTINEL[x.itemsize]
        view = memory[..., ::step]
        view[...] = x
        return view

    return lay


def _columns(x: Array) -> Array:
    memory = np.empty((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    memory[..., 1:-2] = x
    return memory[..., 1:-2]


def _every_second_row(x: Array) -> Array:
    memory = np.empty((2 * x.shape[0], *x.shape[1:]), x.dtype)
    memory[::2] = x
    return memory[::2]


def _reversed_axis(*axes: int) -> Callable[[Array], Array]:
    def lay(x: Array) -> Array:
        chosen = tuple({axis % x.ndim for axis in axes})
        return np.flip(np.flip(x, chosen).copy(), chosen)

    return lay


def _transposed(x: Array) -> Array:
    return x.T.copy("C").T


def _permuted(x: Array) -> Array:
    order = np.roll(np.arange(x.ndim), 1)
    return x.transpose(order).copy("C").transpose(np.argsort(order))


def _offset(x: Array) -> Array:
    return np.concatenate([np.zeros(3, x.dtype), x.ravel()])[3:].reshape(x.shape)


def _unaligned(x: Array) -> Array:
    memory = np.empty(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def _swapped(x: Array) -> Array:
    return x.astype(x.dtype.newbyteorder())


def read_only(x: Array) -> Array:
    """Return a copy that nothing can write into."""
    x = x.copy()
    x.flags.writeable = False
    return x


# Each lays the same numbers out in memory in another way.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: x.copy("C"),
    "F": lambda x: x.copy("F"),
    "transposed": _transposed,
    "permuted": _permuted,
    "offset": _offset,
    "every second": _strided(2),
    "every fifth": _strided(5),
    "columns of a wider array": _columns,
    "every second row": _every_second_row,
    "backwards": _reversed_axis(-1),
    "rows backwards": _reversed_axis(0),
    "both backwards": _reversed_axis(0, -1),
    "unaligned": _unaligned,
    "byte-swapped": _swapped,
    "read-only": read_only,
}
OUT_LAYOUTS = {name: lay for name, lay in LAYOUTS.items() if name != "read-only"}


def run_python(code: str, **environment: str) -> str:
    """Run a program in a fresh interpreter that can import what this one imports; return what it prints."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
