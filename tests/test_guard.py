"""Floating-point state: the host's modes change no bit of a result, and the kernels leave the host's state alone."""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from cases import CASES, Case, each_parametric_case
from compare import assert_same_bits
from grid import DOORS, DTYPES, PRECISIONS
from programs import run_python

import fastrelu as fr
from fastrelu import _runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from specs import Precision


FLAGS = 0x3F
DEFAULT = 0x1F80
# What a host may have set in MXCSR: control bits and flags that stick.
MODES = {
    "default": DEFAULT,
    "default, all flags raised": DEFAULT | FLAGS,
    "flush to zero": DEFAULT | 0x8000,
    "denormals are zero": DEFAULT | 0x0040,
    "flush both": DEFAULT | 0x8040,
    "flush both, inexact and underflow raised": DEFAULT | 0x8040 | 0x30,
    "round down": DEFAULT | 0x2000,
    "round up": DEFAULT | 0x4000,
    "truncate and flush": DEFAULT | 0x6000 | 0x8040,
}


class Mxcsr(NamedTuple):
    """Reads and writes the control and status register of SSE."""

    get: Callable[[], int]
    set: Callable[[int], None]


@pytest.fixture(scope="module")
def mxcsr() -> Iterator[Mxcsr]:
    """Return access to MXCSR by two functions of machine code."""
    if platform.machine() not in {"x86_64", "AMD64"} or sys.maxsize < 2**32:
        pytest.skip("MXCSR is a register of x86-64")
    if sys.platform == "win32":
        pytest.skip("the memory of mmap cannot be made executable here")
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, PermissionError):
        pytest.skip("this system grants no memory that is writable and executable")
    page.write(bytes.fromhex("0fae1fc3" + "0fae17c3"))  # stmxcsr [rdi]; ret; ldmxcsr [rdi]; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))
    store, load = prototype(address), prototype(address + 4)
    word = ctypes.c_uint32()
    pointer = ctypes.pointer(word)

    def get() -> int:
        store(pointer)
        return word.value

    def put(value: int) -> None:
        word.value = value
        load(pointer)

    before = get()
    yield Mxcsr(get, put)
    put(before)


def calls(case: Case, dtype: np.dtype[Any], n: int) -> dict[str, Callable[[], Any]]:
    """Return one call through each door, results preallocated."""
    data = case.data(n, dtype)
    spread = [np.repeat(a, 2)[::2] for a in data]
    apart = [DOORS["ufunc"](a) for a in data]
    out = {name: np.zeros(n, dtype) for name in ("dense", "strided", "masked", "ufunc")}
    half = np.zeros(n, np.float16)
    mask = np.ones(n, bool)
    found: dict[str, Callable[[], Any]] = {
        "dense": lambda: case(*data, out=out["dense"]),
        "strided": lambda: case(*spread, out=out["strided"]),
        "masked": lambda: case(*data, out=out["masked"], where=mask),
        "converted": lambda: case(*data, out=half),
        "ufunc": lambda: case(*apart, out=out["ufunc"]),
    }
    if case.params:
        columns = [np.full(n, v, dtype) for v in case.params]
        out["array"] = np.zeros(n, dtype)
        found["array"] = lambda: case(*data, *columns, out=out["array"])
    return found


def test_host_modes(mxcsr: Mxcsr, case: Case, dtype: np.dtype[Any], precision: Precision) -> None:
    """Flushing, rounding and raised flags of the host: same bits through every door, and the register as it was."""
    with fr.precision(precision):
        for door, call in calls(case, dtype, 150).items():
            expected = call().copy()
            for name, mode in MODES.items():
                mxcsr.set(mode)
                try:
                    got = call()
                    after = mxcsr.get()
                finally:
                    mxcsr.set(DEFAULT)
                assert_same_bits(got, expected, (door, name))
                if door == "ufunc":  # NumPy reads and clears the flags around every ufunc
                    assert after & ~FLAGS == mode & ~FLAGS, name
                else:
                    assert after == mode, (door, name)


def test_host_modes_in_a_team(mxcsr: Mxcsr, case: Case) -> None:
    """Modes of the host change no bit with two threads either, whose registers differ from the host's."""
    found = calls(case, "float32", max(_runtime.parallel_from) + 1)
    for door in ("dense", "strided"):
        call = found[door]
        with fr.threads(1):
            expected = call().copy()
        for mode in (MODES["flush both"], MODES["round up"]):
            mxcsr.set(mode)
            try:
                got = call()
                after = mxcsr.get()
            finally:
                mxcsr.set(DEFAULT)
            assert_same_bits(got, expected, door)
            assert after & ~FLAGS == mode & ~FLAGS


@each_parametric_case
def test_host_modes_do_not_round_parameters(mxcsr: Mxcsr, case: Case) -> None:
    """Python numbers, subnormal ones too, become float32 as they would in the default mode."""
    for params in [*case.grid, *[tuple(v * 2.0**-140 for v in row) for row in case.grid]]:
        try:
            case(*case.data(1, "f4"), *params)
        except ValueError:
            continue  # a parameter that has become zero may lie outside the domain
        data = case.data(40, "f4")
        columns = [np.full(40, v, "f4") for v in params]
        expected = case(*data, *columns)
        mask = np.ones(40, bool)
        out = np.zeros(40, "f4")
        for name, mode in MODES.items():
            mxcsr.set(mode)
            try:
                dense = case(*data, *params)
                strided = case(*[a[::-1] for a in data], *params)
                mixed = case(*data, columns[0], *params[1:])
                general = case(*data, *params, out=out, where=mask)
            finally:
                mxcsr.set(DEFAULT)
            for got in (dense, strided[::-1], mixed, general):
                assert_same_bits(got, expected, (params, name))


def test_host_modes_do_not_judge_parameters(mxcsr: Mxcsr) -> None:
    """A subnormal number outside a domain is refused where the host takes subnormals for zero too."""
    found = 0
    for case in CASES:
        for params in case.spec.outside(case.direction):
            tiny = tuple(v * 2.0**-1060 for v in params)
            call = (*case.data(3, "f8"), *tiny)
            try:
                case(*call)
            except ValueError as refused:
                message = str(refused)
            else:
                continue
            found += 1
            mxcsr.set(MODES["flush both"])
            try:
                with pytest.raises(ValueError, match="requires") as caught:
                    case(*call)
            finally:
                mxcsr.set(DEFAULT)
            assert str(caught.value).split(", got")[0] == message.split(", got", maxsplit=1)[0]
    assert found


def test_nothing_is_raised(case: Case, dtype: np.dtype[Any]) -> None:
    """No floating-point warning or error comes from a kernel, whatever the numbers, through any door."""
    with np.errstate(all="raise"):
        for precision in PRECISIONS:
            with fr.precision(precision):
                data = case.data(300, dtype)
                for call in calls(case, dtype, 300).values():
                    call()
                case.ufunc(*data, *case.params)
                case.ufunc(*[a[::-1] for a in data], *case.params)
                for row in zip(*data, strict=True):
                    case(*row)
                    case(*map(float, row))
                if case.ufunc.nin == 2:
                    case.ufunc.accumulate(abs(data[0]))
                    case.ufunc.at(data[0], [0, 1, 1], dtype.type(case.params[0] if case.params else 1))


def test_casts_do_not_warn(case: Case) -> None:
    """A result too large for the type of the output becomes infinite, in silence."""
    data = [np.float64([1e30, 1, 1, 1])] * case.ndata
    with np.errstate(over="ignore"):  # of NumPy's own cast
        expected = case(*data).astype("f2")
    out = np.zeros(4, "f2")
    with np.errstate(all="raise"):
        assert_same_bits(case(*data, out=out), expected)


def test_import_leaves_the_register_alone(mxcsr: Mxcsr) -> None:
    """Importing sets no mode: no object was linked with a startup file that flushes subnormals."""
    assert mxcsr.get() & ~FLAGS == DEFAULT
    program = (
        "import numpy as np\n"
        "tiny = np.float32(1e-40)\n"
        "assert tiny * np.float32(0.5) > 0\n"
        "import fastrelu as fr\n"
        "assert tiny * np.float32(0.5) > 0\n"
        "fr.ufuncs.relu(np.ones(100_000, 'f'))\n"
        "assert tiny * np.float32(0.5) > 0\n"
        "print('ok')"
    )
    assert run_python(program) == "ok\n"


def test_subnormal_results_survive() -> None:
    """Kernels give subnormal numbers in every thread; at least one function of the table has some."""
    found = 0
    for case in CASES:
        for dtype in DTYPES:
            tiny = np.finfo(dtype).tiny
            y = case(*case.data(2000, dtype))
            found += int(((abs(y) < tiny) & (y != 0)).any())
    assert found > len(CASES)
