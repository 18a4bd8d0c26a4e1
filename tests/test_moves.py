"""Loaders and storers: what the driver converts, swaps and masks block by block is what NumPy makes of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import Case, each_parametric_case, over
from compare import assert_same_bits, bits
from grid import LAYOUTS, OUT_LAYOUTS
from specs import FORWARD, SPECS

import fastrelu as fr
from fastrelu import _runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array

FORMATS = ["?", *np.typecodes["AllInteger"], "e", "f", "d"]
FLOATS = ["e", "f", "d"]
SHAPES = [(1,), (40,), (1030,), (3, 700), (67, 41), (5, 3, 130)]
CASES = [
    Case(SPECS[name], direction) for name, direction in (("relu", FORWARD), ("silu", FORWARD), ("elu", 1), ("tanh", 2))
]
MASKS: dict[str, Callable[[Any, np.random.Generator], Any]] = {
    "random": lambda shape, rng: rng.random(shape) < 0.5,
    "one row": lambda shape, rng: rng.random(shape[-1:]) < 0.5,
    "padding": lambda shape, _: np.broadcast_to(np.arange(shape[-1]) < shape[-1] // 2, shape),
    "one column": lambda shape, rng: rng.random((*shape[:-1], 1)) < 0.5,
    "strided": lambda shape, rng: (rng.random((*shape[:-1], 2 * shape[-1])) < 0.5)[..., ::2],
    "bytes": lambda shape, rng: rng.integers(0, 3, shape, np.uint8).view(bool),
    "nothing": lambda shape, _: np.zeros(shape, bool),
    "no axes": lambda _, __: np.array(True),
}
pytestmark = pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")  # NumPy's, in some versions
each_isa = pytest.mark.parametrize("isa", _runtime.isa_available)


def sample(shape: tuple[int, ...], format_: str, seed: int = 0) -> Array:
    """Return numbers that are small in every format."""
    x = np.random.default_rng(seed).integers(0 if np.dtype(format_).kind in "bu" else -9, 9, shape)
    return (x / (2 if np.dtype(format_).kind == "f" else 1)).astype(format_)


def computed(format_: str) -> str:
    """Return the type in which a format is computed."""
    return "f4" if np.can_cast(format_, "f4") else "f8"


def returned(format_: str) -> str:
    """Return the type of the result."""
    return format_ if format_ == "e" else computed(format_)


@pytest.mark.parametrize("order", "=S")
@pytest.mark.parametrize("format_", FORMATS)
@over(CASES)
@each_isa
def test_loaders(case: Case, format_: str, order: Any, isa: str) -> None:
    """Every format, byte order, shape and layout gives the bits of the converted array."""
    for shape in SHAPES:
        data = [sample(shape, format_, seed) for seed in range(case.ndata)]
        expected = case.on(isa, "fast", *[x.astype(computed(format_)) for x in data], *case.params)
        expected = expected.astype(returned(format_))
        for name, lay in LAYOUTS.items():
            moved = [lay(x.astype(x.dtype.newbyteorder(order))) for x in data]
            got = case.on(isa, "fast", *moved, *case.params)
            assert_same_bits(got, expected, f"{name} {shape}")


@pytest.mark.parametrize("kept", ["e", "f", ">e", ">f"])
@each_parametric_case
def test_loaders_of_parameters(case: Case, kept: str) -> None:
    """Parameters of a row, which are converted once for a box, give what numbers give; under a mask and beside arrays too."""
    rng, rows = np.random.default_rng(0), len(case.grid)
    columns = [np.array(column, "e").astype(kept)[:, None] for column in zip(*case.grid, strict=True)]
    for format_, n in itertools.product("ef", (30, 700)):
        data = [sample((rows, n), format_, seed) for seed in range(case.ndata)]
        values = zip(*[column.ravel().tolist() for column in columns], strict=True)
        results = [case(*[x[row].astype("f") for x in data], *numbers) for row, numbers in enumerate(values)]
        expected = np.stack(results).astype("e" if format_ == "e" and kept[-1] == "e" else "f")
        full = [np.repeat(column, n, 1) for column in columns]
        for lay in LAYOUTS.values():
            moved = [lay(x) for x in data]
            assert_same_bits(case(*moved, *columns), expected)
            assert_same_bits(case(*moved, *columns[:1], *full[1:]), expected)
            for part in (0.02, 0.6):
                out, where = np.zeros((rows, n), "f"), rng.random((rows, n)) < part
                case(*moved, *columns, out=out, where=where)
                assert_same_bits(out, np.where(where, expected, 0).astype("f"))


@pytest.mark.parametrize("stored", [*FLOATS, ">e", ">f", ">d"])
@pytest.mark.parametrize("format_", ["h", "f", "d"])
@over(CASES)
@each_isa
def test_storers(case: Case, format_: str, stored: str, isa: str) -> None:
    """Results are cast as NumPy casts, into any layout, and nothing around the output is written."""
    for shape in SHAPES:
        data = [sample(shape, format_, seed) for seed in range(case.ndata)]
        expected = case.on(isa, "fast", *data, *case.params).astype(stored)
        for name, lay in OUT_LAYOUTS.items():
            out = lay(np.ones(shape, stored))
            memory = out if out.base is None else out.base
            owner = np.array(memory)
            assert case.on(isa, "fast", *data, *case.params, out=out) is out
            assert_same_bits(
                out.astype(out.dtype.newbyteorder("=")), expected.astype(expected.dtype.newbyteorder("=")), name
            )
            out[...] = 1
            assert memory.tobytes() == owner.tobytes(), name


@pytest.mark.parametrize("stored", FLOATS)
@pytest.mark.parametrize("mask", MASKS)
@over(CASES)
@each_isa
def test_masks(case: Case, mask: str, stored: str, isa: str) -> None:
    """The elements that a mask lets through are those of the call without it, the others keep their bits."""
    for shape in SHAPES:
        data = [sample(shape, "f", seed) for seed in range(case.ndata)]
        where = MASKS[mask](shape, np.random.default_rng(2))
        expected = case.on(isa, "fast", *data, *case.params).astype(stored)
        for name, lay in OUT_LAYOUTS.items():
            out = lay(np.full(shape, np.nan, stored))
            before = out.copy()
            assert case.on(isa, "fast", *data, *case.params, out=out, where=where) is out
            kept = np.broadcast_to(where.view(np.uint8) == 0, shape)
            assert out[kept].tobytes() == before[kept].tobytes(), name
            assert_same_bits(out[~kept].astype(stored), expected[~kept], name)
        fresh = case.on(isa, "fast", *data, *case.params, where=where)
        assert_same_bits(fresh[~kept], np.asarray(case.on(isa, "fast", *data, *case.params))[~kept])


@each_isa
def test_float16_is_rounded_once(isa: str) -> None:
    """All float16 numbers are read exactly, and both float types rounded to float16 as NumPy rounds."""
    case = Case(SPECS["leaky_relu"], FORWARD)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert_same_bits(case.on(isa, "fast", halves, np.ones(1, np.float32)), halves.astype(np.float32))
    with np.errstate(over="ignore", invalid="ignore"):  # of the conversions by NumPy
        middle = halves.astype("d") + (np.nextafter(halves, np.float16(np.inf)).astype("d") - halves.astype("d")) / 2
        around = [middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf), middle * (1 + 1e-9)]
        patterns = np.arange(0, 1 << 32, 65521, dtype=np.uint64)
        numbers = [*around, (patterns << np.uint64(32) | patterns).view("d"), patterns.astype(np.uint32).view("f")]
        for x in (*numbers, *(each.astype("f") for each in around)):
            out = np.empty(x.shape, np.float16)
            case.on(isa, "fast", x, 1.0, out=out)
            assert_same_bits(out, x.astype(np.float16))


@pytest.mark.parametrize("count", [1, 2])
def test_threads(count: int) -> None:
    """Large conversions and masks give the same bits on any number of threads, and take them."""
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, 1_000_003, np.int16)
    where = rng.random(x.size) < 0.5
    expected = np.where(where, np.maximum(x, 0), -1).astype(np.float16)
    with fr.threads(count):
        out = np.full(x.shape, -1, np.float16)
        assert fr.explain(fr.relu, x, out=out, where=where).threads == min(count, fr.get_num_threads())
        assert_same_bits(fr.relu(x, out=out, where=where), expected)


def test_overlap() -> None:
    """An output that overlaps an input or the mask is written as if those had been copied."""
    for stored in ("f2", "f4", "f8"):
        memory = np.zeros(4000, np.uint8)
        x = memory[:1600].view("i2")
        x[...] = sample((800,), "h")
        expected = np.maximum(x, 0).astype(stored)
        size = expected.nbytes
        for start in (0, 8, 2400 - size if size <= 2400 else 0):
            room = np.append(memory, memory)[: 1600 + size + 16].copy()
            given = room[:1600].view("i2")
            out = room[start : start + size].view(stored)
            fr.relu(given, out=out)
            assert_same_bits(out, expected)
    mask = np.random.default_rng(0).random(3200) < 0.5
    where = mask[:800].copy()
    out = mask.view(np.float32)[:800]
    wanted = np.where(where, np.float32(1), out)
    fr.relu(np.ones(800, "f4"), out=out, where=mask[:800])
    assert bits(out).tolist() == bits(wanted).tolist()


def test_no_recycled_memory_under_a_mask() -> None:
    """Without out=, masked elements are not initialized; they never show an older result of the pool."""
    x = np.ones(1 << 20, np.float32)
    where = np.zeros(x.shape, bool)
    for _ in range(3):
        state: Any = _runtime.cache_state()
        fr.relu(x, where=where)
        assert _runtime.cache_state() == state
