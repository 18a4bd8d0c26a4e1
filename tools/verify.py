"""Measure the largest error of every kernel: all 2**32 float32 inputs, and a dense sample of float64.

``python tools/verify.py`` runs everything on every instruction set of this machine, resumes where it was interrupted
(state in build/verify/) and compares each result with ``fastrelu.error_bound``; the exit status says whether all
limits hold. ``--write`` writes the results to docs/accuracy.json, docs/accuracy.md and the hashes of the package.

The references are those of tools/reference.c, in double for float32 (the worst inputs are checked again in quad)
and in quad for float64. A function without a reference is measured more slowly, against its row in tests/specs.py.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import inspect
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import fastrelu
from fastrelu import _core, _kernels, _runtime, limits, runtime
from fastrelu._cli import verify as _verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastrelu.runtime import Precision

    Array = NDArray[Any]
    Parameters = tuple[float, ...]
    Key = tuple[str, Precision]  # with the instruction set

ROOT = Path(__file__).resolve().parent.parent
KERNEL_SOURCES = ROOT / "src" / "fastrelu" / "kernels"
ACCURACY = ROOT / "docs" / "accuracy.json"
TABLE = ROOT / "docs" / "accuracy.md"
HASHES = ROOT / "src" / "fastrelu" / "hashes.json"

BLOCK = _verify.BLOCK
FLOAT64_BLOCK = 1 << 12
CHUNK = 64  # blocks per task
GRID_STRIDE = 251  # for parameters other than the usual ones, and gradients other than 1
ANYTHING = float.fromhex("-0x1.5p-1000")  # result of the reference where any result is allowed
LANDMARKS = 20_000
PROMISED_WIDE = {"gelu", "gelu_backward", "gelu_tanh_backward", "mish_backward"}  # 6 ULP instead of 3
DTYPES = [dtype.name for dtype in _runtime.dtypes]
KEPT = 5  # worst inputs to keep per kernel, type and precision

# Parameters to measure, the usual ones first. For other functions, the defaults in their signature.
GRID: dict[str, tuple[Parameters, ...]] = {
    "leaky_relu": ((0.01,), (0.0,), (0.2,), (0.3,), (1.5,), (-0.5,)),
    "srelu": (
        (-1.0, 0.1, 1.0, 0.5),
        (-1.0, 40.0, 1.0, -250.0),
        (0.0, 0.3, 0.0, 1.0),
        (-0.7, 0.0, 1.3, 3.0),
        (-3.0, -0.3, 2.0, -0.7),
    ),
    "bounded_relu": ((0.0, math.inf, 0.0), (0.2, 6.0, 0.0), (0.1, 2.5, 0.7), (-0.5, 1.0, -0.3), (0.0, 6.0, 1.0)),
    "threshold": ((0.1, 0.0), (0.1, 20.0), (-2.0, -3.0)),
    "thresholded_relu": ((1.0,), (0.5,)),
    "hard_sigmoid": ((1 / 6, 0.5), (0.2, 0.5), (3.0, -7.0)),
    "hard_tanh": ((-1.0, 1.0), (0.0, 6.0), (-0.3, 0.7)),
    "hard_swish_line": ((1 / 6, 0.5), (0.2, 0.5), (1.0, 1.0), (3.0, -7.0)),
    "hard_shrink": ((0.5,), (0.0,), (1.5,)),
    "soft_shrink": ((0.5,), (0.0,), (1.5,)),
    "shrink": ((0.5, 0.0), (0.5, 0.5), (1.5, -0.3), (0.3, 2.0)),
    "logit": ((-1.0,), (0.0,), (1e-6,), (0.1,)),
    "elu": ((1.0,), (0.1,), (0.5,), (2.0,), (-0.5,)),
    "xielu": ((0.8, 0.8, 0.5), (1.3, 2.0, 0.5), (0.3, 0.7, 0.7), (0.1, 5.0, 0.25), (2.0, -0.5, 1.0)),
    "celu": ((1.0,), (0.1,), (0.5,), (2.0,), (30.0,), (-0.5,)),
    "softplus": ((1.0,), (0.1,), (0.5,), (1.702,), (2.0,), (10.0,)),
    "swish": ((1.0,), (0.1,), (0.5,), (1.702,), (2.0,), (10.0,), (-0.7,), (0.0,)),
    "softcap": ((50.0,), (0.1,), (1.0,), (3.3,), (30.0,)),
    "squareplus": ((4.0,), (0.25,), (1.0,), (16.0,), (0.0,)),
}


# --- Cases --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One kernel in one type, with its parameters and gradient."""

    function: str
    direction: int
    kernel: str
    dtype: str
    parameters: Parameters
    random_gradient: bool = False
    usual: bool = True  # the usual parameters

    @property
    def rounded(self) -> Parameters:
        """The parameters, rounded to the type of the kernel."""
        return tuple(float(np.dtype(self.dtype).type(value)) for value in self.parameters)

    def __str__(self) -> str:
        """Return a name for the case."""
        values = f"({', '.join(f'{value:.6g}' for value in self.parameters)})" if self.parameters else ""
        return f"{self.kernel}{values} {self.dtype}{' any gradient' if self.random_gradient else ''}"


def usual_parameters(function: str) -> Parameters:
    """Return the defaults in the signature of a function that GRID does not name."""
    operands = _kernels.load_kernels(_runtime.isa_available[0])[function].operands[1:]
    if not operands:
        return ()
    signature = inspect.signature(getattr(fastrelu, function)).parameters
    values = [signature[name].default for name in operands]
    if inspect.Parameter.empty in values:
        raise SystemExit(f"{function} has parameters without defaults: add a row to GRID in tools/verify.py")
    return tuple(values)


def grid(function: str, direction: int, kernel: str) -> list[Parameters]:
    """Return the parameters to measure a kernel with: those in its domain."""
    domain = _kernels.load_kernels(_runtime.isa_available[0])[kernel]
    found = []
    for values in GRID.get(function) or (usual_parameters(function),):
        with contextlib.suppress(ValueError):  # a parameter outside the domain is what is looked for
            data = [np.ones(1)] * (2 if direction else 1)
            _core.call(domain, None, True, *data, *values)
            found.append(values)
    return found


def cases(names: Sequence[str], dtypes: Sequence[str]) -> list[Case]:
    """Return all cases of functions or kernels of these names."""
    found = []
    for function, direction, kernel in _kernels.kernel_names():
        if names and not {function, kernel} & set(names):
            continue
        for dtype in dtypes:
            for index, values in enumerate(grid(function, direction, kernel)):
                found.append(Case(function, direction, kernel, dtype, values, usual=index == 0))
                if direction and index == 0:
                    found.append(Case(function, direction, kernel, dtype, values, random_gradient=True))
    return found


# --- References ---------------------------------------------------------------------------------------------------


class Region(ctypes.Structure):
    """Mirror of fr_region in reference.c."""

    _fields_ = [(name, ctypes.c_double) for name in ("low", "high", "zone_low", "zone_high", "other_zero")]


class Worst(ctypes.Structure):
    """Mirror of fr_worst in reference.c."""

    _fields_ = [
        ("ulp", ctypes.c_double),
        ("zone", ctypes.c_double),
        ("ulp_at", ctypes.c_long),
        ("zone_at", ctypes.c_long),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """Compile and load reference.c."""
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
    if "v3" in _runtime.isa_available:  # for the references alone: the same bits, faster
        flags.append("-march=x86-64-v3")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "reference.so")
        source = Path(__file__).with_name("reference.c")
        subprocess.run([*compiler, *flags, "-o", str(target), str(source), "-lquadmath", "-lm"], check=True)
        return ctypes.CDLL(str(target))


def address(array: Array) -> ctypes.c_void_p:
    """Return the address of an array's elements."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def has_reference(kernel: str) -> bool:
    """Whether reference.c has a kernel."""
    return hasattr(library(), f"float64_{kernel}")


def exact_results(kernel: str, x: Array, parameters: Parameters, grad: Array | None = None) -> tuple[Array, Array]:
    """Return the exact results of x: the nearest doubles, and the remainders in units of their last place."""
    if not has_reference(kernel):
        return _specified(kernel, x, parameters, grad)
    exact, low = np.empty(x.size), np.empty(x.size)
    with np.errstate(invalid="ignore"):  # signaling NaN are among the inputs
        wide = x.astype(np.float64)
    wide_grad = None if grad is None else grad.astype(np.float64)
    values = (ctypes.c_double * 4)(*parameters)
    evaluate = getattr(library(), f"float64_{kernel}")
    gradient = None if wide_grad is None else address(wide_grad)
    evaluate(address(wide), gradient, address(exact), address(low), ctypes.c_long(x.size), values)
    return exact, low


def _specified(kernel: str, x: Array, parameters: Parameters, grad: Array | None) -> tuple[Array, Array]:
    """Evaluate the reference of tests/specs.py in double for float32, in long double for float64."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from specs import SPECS  # noqa: PLC0415  only functions without a C reference need it
    finally:
        sys.path.pop(0)
    function, direction = next((f, d) for f, d, name in _kernels.kernel_names() if name == kernel)
    wide = np.dtype(np.float64 if x.dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):  # references overflow and divide where the kernel does not
        result = SPECS[function].reference(direction)(x.astype(wide), *(wide.type(value) for value in parameters))
        result = np.asarray(result if grad is None else result * grad, wide)
        exact = result.astype(np.float64)
        low = np.where(np.isfinite(exact), (result - exact) / np.spacing(np.abs(exact)), 0).astype(np.float64)
    return exact, low


def largest_error(out: Array, exact: Array, low: Array, x: Array, known: float) -> tuple[float, float] | None:
    """Return the largest error of results in ULP and its input, if it exceeds the largest so far."""
    worst = Worst(known, 0.0, -1, -1)
    region = Region(-math.inf, math.inf, math.inf, -math.inf, 1.0)
    getattr(library(), f"measure_{out.dtype}")(
        address(x),
        None,
        ctypes.c_long(x.size),
        (ctypes.c_void_p * 1)(out.ctypes.data),
        ctypes.c_int(1),
        None,
        None,
        address(exact),
        address(low),
        ctypes.byref(region),
        None,
        None,
        ctypes.byref(worst),
    )
    return (worst.ulp, float(x[worst.ulp_at])) if worst.ulp_at >= 0 else None


# --- Inputs -------------------------------------------------------------------------------------------------------


def neighbors(points: Array, count: int) -> Array:
    """Return doubles and their `count` nearest neighbors on either side."""
    bits = np.unique(np.abs(points[np.isfinite(points)])).view(np.int64)
    spread = (bits[:, None] + np.arange(-count, count + 1)).ravel()
    magnitude = spread[(spread >= 0) & (spread <= np.float64(np.inf).view(np.int64))].view(np.float64)
    return np.concatenate([magnitude, -magnitude])


@functools.cache
def literals() -> Array:
    """Return every number in the source of the kernels; all their thresholds are among them."""
    number = re.compile(r"0x[0-9a-f.]+p[+-]?\d+|\d+\.?\d*(?:e[+-]?\d+)?", re.IGNORECASE)
    text = "\n".join(path.read_text() for path in sorted(KERNEL_SOURCES.glob("*.h")))
    found = {float.fromhex(word) if word[:2].lower() == "0x" else float(word) for word in number.findall(text)}
    return np.array(sorted(value for value in found if math.isfinite(value)))


def dense(case: Case, points: int) -> Array:
    """Return the float64 sample: about `points` random numbers, and numbers near all thresholds.

    If `points` is less than LANDMARKS, that many in all.
    """
    rng = np.random.default_rng(20240229)
    signs = np.array([-1.0, 1.0])
    every = rng.uniform(-1074, 1024, points // 4)
    near = rng.uniform(-60, 11, points // 2)
    logarithmic = np.concatenate([np.exp2(every), np.exp2(near)]) * rng.choice(signs, every.size + near.size)
    steps = [np.linspace(-high, high, points // 16) for high in (1.0, 10.0, 40.0, 760.0)]
    binades = np.ldexp(1.0, np.arange(-1074, 1024))
    halves = np.arange(1, 2200) * (math.log(2) / 2)  # where k in the reduction of exp changes
    tenths = np.arange(1, 500) / 10
    special = np.array(
        [0.0, np.inf, np.nan, np.finfo(float).max, np.finfo(float).tiny, np.finfo(float).smallest_subnormal]
    )
    scales = {1.0, *(abs(value) for value in case.parameters if value and math.isfinite(value))}
    with np.errstate(over="ignore"):  # literals times a scale may overflow
        places = [scale * numbers for scale in scales for numbers in (literals(), 1 / literals()[literals() > 1e-300])]
    zero = limits.zero_crossing(case.kernel, "float64", case.parameters)
    if zero is not None:
        middle = (zero.low + zero.high) / 2
        places.append(np.array([middle]))
        steps.append(middle + np.exp2(rng.uniform(-60, 0, points // 8)) * rng.choice(signs, points // 8))
        steps.append(neighbors(np.array([middle]), 1000))
    x = np.concatenate(
        [
            logarithmic,
            *steps,
            neighbors(np.concatenate([binades, halves, tenths, np.arange(1.0, 1100.0)]), 4),
            neighbors(np.concatenate(places), 20),
        ]
    )
    chosen = rng.permutation(x)[: None if points >= LANDMARKS else points]
    return np.concatenate([special, -special, chosen])


# --- Measuring ----------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """The largest error so far of one kernel on one instruction set at one precision."""

    isa: str
    precision: Precision
    inputs: int = 0
    ulp: float = 0.0
    worst: list[str] = field(default_factory=list)  # x, gradient, result, exact result and its rest
    zone: float = 0.0
    zone_worst: list[str] = field(default_factory=list)

    def merge(self, other: Tally) -> None:
        """Merge the result of another part of the same run."""
        self.inputs += other.inputs
        if other.ulp > self.ulp:
            self.ulp, self.worst = other.ulp, other.worst
        if other.zone > self.zone:
            self.zone, self.zone_worst = other.zone, other.zone_worst


class _UFunc(ctypes.Structure):
    """The beginning of NumPy's PyUFuncObject, after the object header."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        ("functions", ctypes.c_void_p),
        ("data", ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))),
    ]


def code_address(ufunc: np.ufunc, dtype: str) -> int:
    """Return the address of a ufunc's loop: kernels with the same machine code need to run only once."""
    found = _UFunc.from_address(id(ufunc) + object.__basicsize__)
    assert found.nin == ufunc.nin
    return int(found.data[0 if dtype == "float32" else 1][0])


class Run:
    """The data that the blocks of one case share."""

    def __init__(self, case: Case, keys: Sequence[Key], stride: int, points: int) -> None:
        self.case = case
        self.keys = keys
        self.stride = stride if case.usual and not case.random_gradient else stride * GRID_STRIDE
        kernels = [_kernels.load_kernels(isa)[case.kernel] for isa, _ in keys]
        self.kernels = kernels
        ufuncs = [getattr(kernel, precision) for kernel, (_, precision) in zip(kernels, keys, strict=True)]
        codes = [code_address(ufunc, case.dtype) for ufunc in ufuncs]
        self.ufuncs = [ufuncs[codes.index(code)] for code in dict.fromkeys(codes)]
        self.source = [list(dict.fromkeys(codes)).index(code) for code in codes]
        self.block = BLOCK if case.dtype == "float32" else FLOAT64_BLOCK
        self.sample = None if case.dtype == "float32" else dense(case, points if self.stride == stride else points // 4)
        self.count = -(-(2**32) // self.stride) if self.sample is None else self.sample.size
        self.patterns = (np.arange(BLOCK, dtype=np.uint64) * np.uint64(self.stride)).astype(np.uint32)
        self.low, self.high = self._range()
        self.regions = (Region * len(keys))(*(self._region(isa, precision) for isa, precision in keys))
        self.best = [Tally(*key) for key in keys]
        self.lock = threading.Lock()
        # Only a run over all inputs gives the published hashes.
        self.hashed = case.dtype == "float32" and self.stride == 1
        self.sums: list[list[list[int]]] = []

    def _range(self) -> tuple[float, float]:
        """Return the range of the operand: all numbers, or for a gradient from the output the range of the function."""
        if self.case.direction != 2:
            return -math.inf, math.inf
        exact, _ = exact_results(self.case.function, np.array([-math.inf, math.inf]), self.case.rounded)
        first, last = (float(value) for value in exact.astype(self.case.dtype))
        return (first, last) if first < last else (-math.inf, math.inf)  # NaN: of a function of a part of all numbers

    def _region(self, isa: str, precision: Precision) -> Region:
        zone = limits.zero_crossing(
            self.case.kernel,
            self.case.dtype,
            self.case.parameters,
            precision=precision,
            isa=isa,
        )
        # If the range of outputs ends at a zero, any result is allowed for the zero of the other sign.
        other_zero = -self.low if self.low == 0 else -self.high if self.high == 0 else 1.0
        ends = (zone.low, zone.high) if zone else (math.inf, -math.inf)
        return Region(self.low, self.high, *ends, other_zero)

    def inputs(self, start: int, size: int) -> Array:
        """Return `size` inputs from number `start` on."""
        if self.sample is not None:
            return self.sample[start : start + size]
        return (self.patterns[:size] + np.uint32(start * self.stride)).view(np.float32)

    def compare(self, x: Array, grad: Array, outs: Array, worst: Any, *, exactly: bool = False) -> list[int]:
        """Compare the outputs of all keys with exact results; return their weighted sums if they are needed."""
        case, count = self.case, len(self.keys)
        name = f"{case.dtype}_{case.kernel}"
        given: tuple[Any, Any] = (None, None)
        compiled = None
        if exactly or not has_reference(case.kernel):
            arrays = exact_results(case.kernel, x, case.rounded, grad[: x.size] if case.random_gradient else None)
            if self.regions[0].other_zero == 0:
                arrays[0][(x == 0) & (np.signbit(x) == np.signbit(self.regions[0].other_zero))] = ANYTHING
            given = address(arrays[0]), address(arrays[1])
        else:
            compiled = ctypes.cast(getattr(library(), name), ctypes.c_void_p)
        sums = (ctypes.c_uint64 * count)()
        pointers = (ctypes.c_void_p * count)(*(outs[index].ctypes.data for index in self.source))
        getattr(library(), f"measure_{case.dtype}")(
            address(x),
            address(grad) if case.random_gradient else None,
            ctypes.c_long(x.size),
            pointers,
            ctypes.c_int(count),
            compiled,
            (ctypes.c_double * 4)(*case.rounded),
            *given,
            self.regions,
            address(_verify.weights()) if self.hashed and not exactly else None,
            sums,
            worst,
        )
        return list(sums)

    def chunk(self, first: int) -> list[list[int]]:
        """Measure CHUNK blocks and return the weighted sums of the outputs of each."""
        case, size = self.case, self.block
        outs = np.empty((len(self.ufuncs), size), case.dtype)
        tallies = [Tally(*key) for key in self.keys]
        grad = np.ones(size, case.dtype)
        if case.random_gradient:
            grad[:] = np.random.default_rng(first).uniform(1, 2, size)
        sums = []
        for start in range(first, min(first + CHUNK * size, self.count), size):
            n = min(size, self.count - start)
            x = self.inputs(start, n)
            operands = _verify.arguments(self.kernels[0], x, case.parameters, grad[:n])
            for ufunc, out in zip(self.ufuncs, outs, strict=True):
                ufunc(*operands, out=out[:n])
            worst = self._known(tallies)
            sums.append(self.compare(x, grad, outs, worst))
            if any(one.ulp_at >= 0 or one.zone_at >= 0 for one in worst):
                self._take(tallies, worst, x, grad, outs)
        for tally in tallies:
            tally.inputs += min(CHUNK * size, self.count - first)
        with self.lock:
            for best, tally in zip(self.best, tallies, strict=True):
                best.merge(tally)
        return sums

    def _known(self, tallies: list[Tally]) -> Any:
        pairs = zip(tallies, self.best, strict=True)
        return (Worst * len(tallies))(*(Worst(max(t.ulp, b.ulp), max(t.zone, b.zone), -1, -1) for t, b in pairs))

    def _take(self, tallies: list[Tally], worst: Any, x: Array, grad: Array, outs: Array) -> None:
        """Record new maxima; in float32 only if quad confirms them, or else the maximum that quad finds in the block."""
        if self.case.dtype == "float32" and not all(
            self._confirmed(worst, index, x, grad, outs) for index in range(len(worst))
        ):
            worst = self._known(tallies)
            self.compare(x, grad, outs, worst, exactly=True)
        for tally, one, source in zip(tallies, worst, self.source, strict=True):
            if one.ulp_at >= 0:
                tally.ulp = one.ulp if one.ulp == one.ulp else math.inf
                tally.worst = self._record(one.ulp_at, outs[source], x, grad)
            if one.zone_at >= 0:
                tally.zone, tally.zone_worst = one.zone, self._record(one.zone_at, outs[source], x, grad)

    def _confirmed(self, worst: Any, index: int, x: Array, grad: Array, outs: Array) -> bool:
        """Measure a maximum again in quad; return whether double was good enough for its block."""
        one = worst[index]
        if one.ulp_at < 0:
            return True
        at = slice(one.ulp_at, one.ulp_at + 1)
        again = (Worst * len(worst))()
        self.compare(x[at].copy(), grad[at].copy(), outs[:, at].copy(), again, exactly=True)
        if abs(again[index].ulp - one.ulp) > 1e-3:
            return False
        one.ulp = again[index].ulp
        return True

    def _record(self, at: int, out: Array, x: Array, grad: Array) -> list[str]:
        exact, low = exact_results(self.case.kernel, x[at : at + 1], self.case.rounded, grad[at : at + 1])
        return [float(value).hex() for value in (x[at], grad[at], out[at], exact[0], low[0])]

    def hashes(self) -> dict[str, str]:
        """Return the digest of each kernel's outputs, if all were computed."""
        if not self.hashed:
            return {}
        blocks = [block for chunk in self.sums for block in chunk]
        return {
            f"{isa} {precision}": _verify.digest([block[index] for block in blocks])
            for index, (isa, precision) in enumerate(self.keys)
        }


def measure(case: Case, keys: Sequence[Key], stride: int, points: int, jobs: int) -> Run:
    """Run one case on all threads."""
    run = Run(case, keys, stride, points)
    starts = range(0, run.count, CHUNK * run.block)
    with ThreadPoolExecutor(jobs) as pool:
        for sums in pool.map(run.chunk, starts):
            if run.hashed:
                run.sums.append(sums)
    return run


# --- Results ------------------------------------------------------------------------------------------------------


def fingerprint() -> str:
    """Return a hash of everything that a result depends on: the kernels as built, and the references."""
    state = hashlib.blake2b(digest_size=8)
    for path in (
        Path(_runtime.__file__),
        Path(_kernels.__file__),
        Path(__file__),
        Path(__file__).with_name("reference.c"),
    ):
        state.update(path.read_bytes())
    return state.hexdigest()


def load_state(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of an earlier run with the same settings."""
    with contextlib.suppress(OSError, ValueError):  # there is none, or only half of one
        state: dict[str, Any] = json.loads(path.read_text())
        if state.pop("settings") == settings:
            return state
    return None


def limit_of(case: Case, isa: str, precision: Precision) -> float:
    """Return the limit for a case, from fastrelu.limits."""
    bound = limits.error_bound(case.kernel, case.dtype, precision=precision, isa=isa)
    return (
        limits.product_bound(case.kernel, case.dtype, precision=precision, isa=isa) if case.random_gradient else bound
    )


def run_case(case: Case, keys: Sequence[Key], options: argparse.Namespace) -> dict[str, Any]:
    """Measure a case, or take its result from an interrupted run."""
    run_settings = {
        "fingerprint": fingerprint(),
        "keys": [list(key) for key in keys],
        "stride": options.stride,
        "points": options.points,
    }
    path = Path(options.state) / f"{re.sub(r'[^a-z0-9_.-]+', '-', str(case).lower())}.json"
    state = None if options.fresh else load_state(path, run_settings)
    if state is None:
        begin = time.perf_counter()
        run = measure(case, keys, options.stride, options.points, options.jobs)
        state = {
            "seconds": round(time.perf_counter() - begin, 1),
            "tallies": [dataclasses.asdict(tally) for tally in run.best],
            "hashes": run.hashes(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"settings": run_settings, **state}))
    return state


def report(case: Case, state: dict[str, Any]) -> tuple[list[str], bool]:
    """Return one line per flavor of a kernel, and whether all limits hold."""
    lines, good = [], True
    for tally in (Tally(**tally) for tally in state["tallies"]):
        bound = limit_of(case, tally.isa, tally.precision)
        zone = zone_of(case, tally)
        # A gradient below 2 doubles the absolute error at most.
        zone_bound = (zone.bound if zone else 0.0) * (2 if case.random_gradient else 1)
        holds = tally.ulp <= bound and tally.zone <= zone_bound
        good &= holds
        worst = f" at {float.fromhex(tally.worst[0])!r}" if tally.worst else ""
        crossing = f", {tally.zone:.3g} (limit {zone_bound:.3g}) around the zero" if zone else ""
        lines.append(
            f"{'ok  ' if holds else 'FAIL'} {case!s:<52} {tally.isa:<5}{tally.precision:<9}{tally.ulp:8.4f} ULP "
            f"(limit {bound:g}){worst}{crossing}"
        )
    return lines, good


# --- Publishing ---------------------------------------------------------------------------------------------------


def ulp_error(got: float, exact: float, low: float, dtype: str) -> float:
    """Return an error in ULP, in rational arithmetic; `low` is the remainder of `exact`, in its own float64 ULP."""
    if math.isnan(got) or math.isnan(exact):
        return 0.0 if math.isnan(got) and math.isnan(exact) else math.inf
    if math.isinf(got) or math.isinf(exact):
        return 0.0 if got == float(np.dtype(dtype).type(exact)) else math.inf
    info = np.finfo(dtype)
    true = exact_fraction(exact, low)
    if got == 0 and exact == 0 and low == 0:
        return 0.0 if math.copysign(1, got) == math.copysign(1, exact) else math.inf
    exponent = math.frexp(exact)[1] - 1
    if abs(true) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, int(info.minexp)) - info.nmant)
    return float(abs(Fraction(got) - true) / unit)


def exact_fraction(exact: float, low: float) -> Fraction:
    """Return the exact sum of a double and its remainder."""
    return Fraction(exact) + Fraction(low) * Fraction(math.ulp(exact))


def publish(results: list[tuple[Case, dict[str, Any]]], *, full: bool) -> None:
    """Write results to docs/accuracy.json, docs/accuracy.md and the hashes of the package."""
    known: dict[str, Any] = {"rows": [], "worst": {}}
    with contextlib.suppress(OSError):  # the first run has none
        known = json.loads(ACCURACY.read_text())
    measured = {(case.kernel, case.dtype) for case, _ in results}
    present = {kernel for *_, kernel in _kernels.kernel_names()}
    rows = [row for row in known["rows"] if (row["kernel"], row["dtype"]) not in measured and row["kernel"] in present]
    rows += merged_rows(results)
    order = {kernel: index for index, (*_, kernel) in enumerate(_kernels.kernel_names())}
    rows.sort(key=lambda row: (row["dtype"], order[row["kernel"]], row["precision"] == "accurate", row["isa"]))
    refresh(rows)
    worst = {kernel: entries for kernel, entries in known["worst"].items() if kernel in present}
    for place, entries in worst_inputs(results).items():
        kernel, dtype = place
        old = worst.setdefault(kernel, {}).get(dtype, [])
        # Keep those of earlier runs: they reveal a change that brings an old error back.
        worst[kernel][dtype] = [*entries, *(entry for entry in old if entry not in entries)][: 2 * KEPT]
    ACCURACY.parent.mkdir(exist_ok=True)
    ACCURACY.write_text(dump({"rows": rows, "worst": dict(sorted(worst.items(), key=lambda item: order[item[0]]))}))
    TABLE.write_text(render(rows))
    publish_hashes(results, full=full)


def worst_inputs(results: list[tuple[Case, dict[str, Any]]]) -> dict[tuple[str, str], list[list[Any]]]:
    """Return the inputs of each kernel that came nearest to a limit: parameters, x, gradient, exact result, its rest."""
    found: dict[tuple[str, str], dict[str, tuple[float, list[Any]]]] = {}
    for case, state in results:
        entries = found.setdefault((case.kernel, case.dtype), {})
        for tally in (Tally(**tally) for tally in state["tallies"]):
            zone = zone_of(case, tally)
            shares = [(tally.ulp / limit_of(case, tally.isa, tally.precision), tally.worst)]
            shares.append((tally.zone / zone.bound if zone else 0.0, tally.zone_worst))
            for share, place in shares:
                if place:
                    x, grad, _, exact, low = place
                    key = json.dumps([list(case.parameters), x, grad, exact, low])
                    entries[key] = max(entries.get(key, (0.0, [])), (share, json.loads(key)), key=lambda pair: pair[0])
    return {
        place: [entry for _, entry in sorted(entries.values(), key=lambda pair: -pair[0])[:KEPT]]
        for place, entries in found.items()
    }


def refresh(rows: list[dict[str, Any]]) -> None:
    """Set the limits in the rows from fastrelu.limits."""
    for row in rows:
        isa, level = row["isa"].split(", ")[0], row["precision"]
        if isa not in _runtime.isa_known:
            continue
        row["error"]["limit"] = limits.error_bound(row["kernel"], row["dtype"], precision=level, isa=isa)
        if "product" in row:
            row["product"]["limit"] = limits.product_bound(row["kernel"], row["dtype"], precision=level, isa=isa)


def dump(content: Any, depth: int = 2) -> str:
    """Return JSON with one line per entry of the last level but one, so that diffs are readable."""
    if depth and isinstance(content, dict) and content:
        inner = ",\n".join(f"{json.dumps(key)}: {dump(value, depth - 1)}" for key, value in content.items())
        return "{\n" + inner + "\n}" + ("\n" if depth == 2 else "")
    if depth and isinstance(content, list) and content:
        return "[\n" + ",\n".join(json.dumps(value) for value in content) + "\n]"
    return json.dumps(content)


def merged_rows(results: list[tuple[Case, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return one row per kernel, type and precision, and per instruction set where they differ."""
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for case, state in results:
        for tally in (Tally(**tally) for tally in state["tallies"]):
            row = rows.setdefault(
                (case.kernel, case.dtype, tally.precision, tally.isa),
                {
                    "kernel": case.kernel,
                    "dtype": case.dtype,
                    "precision": tally.precision,
                    "isa": tally.isa,
                    "inputs": 0,
                },
            )
            place = {"parameters": list(case.parameters), "at": tally.worst[0] if tally.worst else None}
            row["inputs"] += tally.inputs
            kind = "product" if case.random_gradient else "error"
            if kind not in row or tally.ulp > row[kind]["ulp"]:
                row[kind] = {"ulp": round_up(tally.ulp), "limit": limit_of(case, tally.isa, tally.precision), **place}
            zone = zone_of(case, tally)
            if zone and not case.random_gradient and tally.zone >= row.get("zero", {"error": 0})["error"]:
                at = tally.zone_worst[0] if tally.zone_worst else None
                row["zero"] = {
                    **zone._asdict(),
                    "error": tally.zone,
                    "parameters": place["parameters"],
                    "at": at,
                }
    joined: dict[str, dict[str, Any]] = {}
    for row in rows.values():
        same = json.dumps({**row, "isa": ""})
        if same in joined:
            joined[same]["isa"] += f", {row['isa']}"
        else:
            joined[same] = row
    return list(joined.values())


def zone_of(case: Case, tally: Tally) -> limits.ZeroCrossing | None:
    """Return the zero crossing of a case at the precision and instruction set of a result."""
    return limits.zero_crossing(
        case.kernel,
        case.dtype,
        case.parameters,
        precision=tally.precision,
        isa=tally.isa,
    )


def round_up(ulp: float) -> float:
    """Return an error rounded up to the digits that are worth printing."""
    return math.ceil(ulp * 1e4) / 1e4 if math.isfinite(ulp) else ulp


HEAD = """# Accuracy

Written by `python tools/verify.py --write`; the numbers behind it are in `accuracy.json`.

An error is \\|got - exact\\| / ulp(exact) in units in the last place (ULP), where a unit is never less than the smallest
subnormal number: 0.5 is correctly rounded. Tails and subnormal results count in full; a NaN or a sign of zero missed
counts as infinite. The limit is that of `fastrelu.error_bound`, which the tests assert.

float32 kernels ran on {patterns} with their usual parameters, and on a part of them with others, against double
precision; the worst inputs were measured again in quadruple precision. float64 kernels ran on a sample, against
quadruple precision: log-spaced and linear, both sides of every power of two, the neighbors of every number in the source
of the kernels (and so of every threshold), of multiples of ln(2)/2 and of the derivatives' zeros. Gradient kernels are
measured with a gradient of 1, and the last column with gradients between 1 and 2. Kernels from the output are measured against
the exact derivative of that output, over the range of the function.

`base`: x86-64 without FMA; `v3`: AVX2 and FMA. AVX-512 and NEON fuse the same operations;
`python -m fastrelu verify` shows whether a machine gives these bits.
If a row names several instruction sets, their results are the same.
"""


def render(rows: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    every = all(row["inputs"] >= 2**32 for row in rows if row["dtype"] == "float32")
    parts = [
        HEAD.format(patterns="every bit pattern" if every else "a part of all bit patterns (see the column inputs)")
    ]
    for dtype in DTYPES:
        parts.append(f"\n## {dtype}\n")
        parts.append("| kernel | precision | ISA | max ULP | limit | worst input | inputs | any gradient (limit) |")
        parts.append("|---|---|---|---|---|---|---|---|")
        for row in rows:
            if row["dtype"] == dtype:
                parts.append(_row(row))
    parts.append("\n## Zero crossings\n")
    parts.append("In these intervals errors are absolute; the tables above cover all other inputs.\n")
    parts.append("| kernel | dtype | precision | ISA | interval | max error | limit |")
    parts.append("|---|---|---|---|---|---|---|")
    for row in rows:
        if "zero" in row:
            zero = row["zero"]
            parts.append(
                f"| {row['kernel']}{_values(zero['parameters'])} | {row['dtype']} | {row['precision']} | {row['isa']} "
                f"| {zero['low']:.6g} to {zero['high']:.6g} | {zero['error']:.3g} | {zero['bound']:.3g} |"
            )
    return "\n".join(parts) + "\n"


def _values(parameters: Sequence[float]) -> str:
    return f" ({', '.join(f'{value:.4g}' for value in parameters)})" if parameters else ""


def _row(row: dict[str, Any]) -> str:
    error, product = row["error"], row.get("product")
    at = "" if error["at"] is None else f"{float.fromhex(error['at']):.9g}{_values(error['parameters'])}"
    gradients = f"{product['ulp']:.4g} ({product['limit']:g})" if product else ""
    return (
        f"| {row['kernel']} | {row['precision']} | {row['isa']} | {error['ulp']:.4g} | {error['limit']:g} | {at} "
        f"| {row['inputs']:,} | {gradients} |"
    )


def suggest(rows: list[dict[str, Any]]) -> str:
    """Return rows for the table in fastrelu.limits: the measured errors over all inputs, rounded up to the next 0.05.

    A sample misses the worst input, so its maximum gets 15 % more, and an accurate kernel at least 0.85: subnormal
    results are rounded twice. No limit exceeds the promise of the project.
    """
    columns = [("float32", "fast", "fma"), *(("float64", p, c) for c in ("fma", "base") for p in ("fast", "accurate"))]
    found: dict[str, dict[tuple[str, str, str], float]] = {}
    for row in rows:
        margin = 1.0 if row["inputs"] >= 2**32 or row["error"]["ulp"] <= 0.5 else 1.15
        for isa in row["isa"].split(", "):
            place = (row["dtype"], row["precision"], limits.isa_class(isa))
            known = found.setdefault(row["kernel"], {}).get(place, 0.5)
            least = 0.85 if margin > 1 and place[:2] == ("float64", "accurate") else 0.5
            found[row["kernel"]][place] = max(known, least, row["error"]["ulp"] * margin)
    lines = []
    for kernel, values in found.items():
        wide = kernel in PROMISED_WIDE
        promised = [
            6.0 if wide else 3.0,
            *((8.0, 1.1, 9.0, 2.0) if wide and "gelu" in kernel else (4.0, 1.1, 5.0, 2.0)),
        ]
        bounds = [
            min(math.ceil(min(values.get(column, math.inf), 99) * 20 - 1e-9) / 20, most)
            for column, most in zip(columns, promised, strict=True)
        ]
        # If both precisions are one kernel, their limits are the same.
        bounds[1], bounds[3] = max(bounds[1:3]), max(bounds[3:])
        if set(bounds) != {0.5}:
            lines.append(f'    "{kernel}": ({", ".join(map(str, bounds))}),')
    return "\n".join(lines)


def publish_hashes(results: list[tuple[Case, dict[str, Any]]], *, full: bool) -> None:
    """Write the hashes of the measured kernels, and keep those of the others."""
    table: dict[str, Any] = {}
    with contextlib.suppress(OSError):  # the first run has none
        table = json.loads(HASHES.read_text())["kernels"]
    for case, state in results:
        if not case.usual or case.random_gradient:
            continue
        row = table.setdefault(case.kernel, {})
        changed = row.get("parameters") != list(case.parameters)
        row["parameters"] = list(case.parameters)
        old, row[case.dtype] = ({} if changed else row.get(case.dtype, {})), {}
        for tally in state["tallies"]:
            isa, precision = tally["isa"], tally["precision"]
            name = _verify.hash_class(case.dtype, precision, isa)
            kernel = _kernels.load_kernels(isa)[case.kernel]
            jobs = runtime.get_num_threads()
            found = {"quick": _verify.kernel_hash(kernel, precision, case.dtype, case.parameters, "quick", jobs)}
            if case.dtype == "float64":
                found["full"] = _verify.kernel_hash(kernel, precision, case.dtype, case.parameters, "full", jobs)
            elif full:
                found["full"] = state["hashes"][f"{isa} {precision}"]
            elif old.get(name, {}).get("quick") == found["quick"] and "full" in old[name]:
                found["full"] = old[name]["full"]
            if row[case.dtype].setdefault(name, found) != found:
                raise SystemExit(f"{case}: instruction sets of one class differ ({name})")
    order = [kernel for *_, kernel in _kernels.kernel_names()]
    table = {kernel: table[kernel] for kernel in order if kernel in table}
    HASHES.write_text(dump({"kernels": table}))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--function", action="append", default=[], metavar="NAME", help="function or kernel; repeatable"
    )
    parser.add_argument("--precision", choices=("fast", "accurate"), help="default: both")
    parser.add_argument("--isa", choices=_runtime.isa_available, help="default: all that this machine supports")
    parser.add_argument("--dtype", choices=DTYPES, help="default: all")
    parser.add_argument("--stride", type=int, default=1, help="use every N-th float32 input (default: 1, all of them)")
    parser.add_argument("--points", type=int, default=500_000, help="random float64 inputs (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=runtime.get_num_threads(), help="threads (default: %(default)s)")
    parser.add_argument("--state", default=str(ROOT / "build" / "verify"), help="directory to resume from")
    parser.add_argument("--fresh", action="store_true", help="do not resume")
    parser.add_argument("--write", action="store_true", help="publish the results in docs/ and the package's hashes")
    parser.add_argument("--failures", action="store_true", help="print only errors that exceed their limit")
    parser.add_argument("--render", action="store_true", help="rewrite the table with the current limits, and stop")
    parser.add_argument("--suggest", action="store_true", help="print limits from docs/accuracy.json and stop")
    options = parser.parse_args(argv)

    if options.render:
        known = json.loads(ACCURACY.read_text())
        refresh(known["rows"])
        ACCURACY.write_text(dump(known))
        TABLE.write_text(render(known["rows"]))
        return 0
    if options.suggest:
        print(suggest(json.loads(ACCURACY.read_text())["rows"]))
        return 0
    levels: tuple[Precision, ...] = ("fast", "accurate")
    keys = [
        (isa, precision)
        for isa in _runtime.isa_available
        for precision in levels
        if options.isa in {None, isa} and options.precision in {None, precision}
    ]
    todo = cases(options.function, [options.dtype] if options.dtype else DTYPES)
    if not todo:
        parser.error(f"no function {', '.join(options.function)}")
    if options.write and (options.isa or options.precision):
        parser.error("--write needs the results of every instruction set and precision")
    all_good = True
    results = []
    with tqdm(total=len(todo), unit="case", disable=None, smoothing=0) as progress:
        for case in todo:
            progress.set_description(str(case))
            state = run_case(case, keys, options)
            results.append((case, state))
            lines, good = report(case, state)
            all_good &= good
            for line in lines:
                if not options.failures or line.startswith("FAIL"):
                    progress.write(f"{line} [{state['seconds']} s]")
            progress.update()
    if options.write:
        publish(results, full=options.stride == 1)
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
