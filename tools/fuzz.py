"""Call every public function with random arguments, and compare each result with the same kernel on plain copies.

``python tools/fuzz.py --calls 300000 --seed 0`` draws one call per number: function, form, precision, threads, and for
each array its type, byte order, shape (0 to 6 axes, sizes 0 and 1 included), strides (negative, 0, with gaps, permuted,
unaligned), place in memory and values (NaN, infinities, subnormal and huge numbers among them); ``out=`` of any type
and layout, disjoint from the inputs or overlapping them in any way; ``where=``; parameters as numbers and arrays. The
thresholds for threads and streaming are lowered, so that small arrays reach both.

The checks: the result has the bits, type and shape of the kernel on contiguous copies, taken before the call, through
another door and on one thread; `out` itself is returned; and all memory of the call (inputs, gaps between elements,
surroundings) is unchanged, except the elements of `out`. Some calls are also compared with the NumPy references of
tests/specs.py, some are explained first, and some are wrong on purpose: these must raise the right error with a
message, and write nothing.

A call follows from seed and number alone (except for the state that earlier calls left: threads, the pool), so
``--seed 0 --only 4711`` repeats one. ``--trace FILE`` holds the number of the current call, for crashes.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import fastrelu as fr
from fastrelu import _runtime, activations, along_axis, fused, gated_units, losses, masks, quantized, runtime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from cases import CASES
from compare import assert_within_limit, crossing_bounds
from fuzz_calls import SORTS, Roughly
from fuzz_draw import Draw, Marked, equal, joint, same
from grid import WIDE
from inputs import rounded
from specs import FROM_OUTPUT, SPECS

if TYPE_CHECKING:
    from fuzz_draw import Array, Call


def wrong_out(call: Call, got: Any, wanted: Array, blocks: list[Array], expected: list[Array]) -> str:
    """Return the fault of an output, and add the output to the expected memory."""
    assert call.out
    given = call.keywords.get("out", call.out.view)
    if got is not (given[0] if isinstance(given, tuple) else given):
        return f"out did not come back, but {type(got).__name__}"
    into = call.out.on(expected)
    np.copyto(into, wanted, where=True if call.mask is None else call.mask, casting="same_kind")
    now, then = np.array(call.out.view), np.array(into)
    shared = any(n > 1 and s == 0 for n, s in zip(into.shape, into.strides, strict=True))
    right = np.isin(now.real, wanted.astype(now.dtype).real) | np.isnan(now) if shared else equal(now, then)
    if not right.all() and not (shared and call.mask is not None):
        return f"out is wrong in {(~right).sum()} elements, the first {now[~right][0]!r}, not {then[~right][0]!r}"
    # The bits of a NaN and the padding of a long double are unspecified.
    raw = f"V{into.itemsize}"
    call.out.on(expected, raw)[...] = call.out.on(blocks, raw)
    return ""


def wrong_result(call: Call, got: Any, wanted: Any) -> str:
    """Return the fault of a new result."""
    if isinstance(wanted, Roughly):
        off = np.abs(got - wanted.values) > 1e-9 * np.abs(wanted.values) + 1e-13 * wanted.scale
        return f"{got}, not about {wanted.values}" if off.any() or np.shape(got) != wanted.values.shape else ""
    chosen = np.broadcast_to(
        True if call.mask is None else call.mask, joint(wanted, *([] if call.mask is None else [call.mask]))
    )
    if not isinstance(got, np.ndarray if chosen.ndim else np.generic) and not any(
        isinstance(a, Marked) for a in call.args
    ):
        return f"a {type(got).__name__} of shape {chosen.shape}"
    if np.shape(got) == chosen.shape and same(np.asarray(got)[chosen], np.broadcast_to(wanted, chosen.shape)[chosen]):
        return ""
    return f"{got!r:.300}, not {wanted!r:.300}"


def changed(d: Draw, expected: list[Array]) -> str:
    """Return the memory that differs from the expected contents."""
    for k, (block, was) in enumerate(zip(d.blocks, expected, strict=True)):
        if not np.array_equal(block, was):
            return f"block {k} has other bytes at {np.flatnonzero(block != was)[:9].tolist()}, where nothing is written"
    return ""


def describe(d: Draw, call: Call) -> str:
    """Return a call as text."""

    def show(value: Any) -> str:
        for spot in (*d.spots, *([call.out] if call.out else [])):
            if value is spot.view:
                where = f"strides {value.strides} in block {spot.block} at {spot.offset}"
                return f"<{value.dtype.str}{value.shape} {where}>"
        return f"<{value.dtype.str}{value.shape}>" if isinstance(value, np.ndarray) else f"{value!r:.200}"

    args = [show(a) for a in call.args] + [f"{k}={show(v)}" for k, v in call.keywords.items()]
    how = f"{d.precision}, {d.threads} threads from {d.parallel_from}, streams from {d.stream_from}"
    return f"{call.function.__name__}({', '.join(args)}), {how}" + (
        f", is to raise {call.errors}" if call.errors else ""
    )


def against_numpy(d: Draw) -> None:
    """Compare a kernel on plain numbers with its row of tests/specs.py."""
    case = d.pick([case for case in CASES if case.direction != FROM_OUTPUT])
    dtype, params = np.dtype(d.pick(("f4", "f8"))), d.pick(case.grid)
    x, grad = d.numbers((300,), dtype.name), d.numbers((300,), dtype.name)
    grad = np.where((np.abs(grad) > 1e-3) & (np.abs(grad) < 1e3), grad, -1).astype(dtype)
    wide, exactly = x.astype(WIDE[dtype]), rounded(params, dtype)
    exact = np.asarray(case.spec.reference(case.direction)(wide, *exactly), wide.dtype)
    blurred = case.spec.blurred(float(np.finfo(dtype).eps), wide, *exactly)
    clear = ~(blurred | (np.abs(exact) > np.finfo(dtype).max)) if case.direction else np.ones(x.shape, bool)
    got = case(*((grad, x) if case.direction else (x,)), *params)[clear]
    exact = (exact * grad if case.direction else exact)[clear]
    absolute = crossing_bounds(case, params, x, runtime.isa, d.precision)[clear]
    more = grad[clear] if case.direction else None
    assert_within_limit(case, got, exact, x[clear], absolute, runtime.isa, d.precision, grad=more)


def made(d: Draw, call: Call, counts: collections.Counter[str]) -> str:
    """Make a call and return its fault, if there is one."""
    if not call.errors:
        with fr.threads(1):
            wanted = call.wanted()
    before = [block.copy() for block in d.blocks]
    limits = (d.parallel_from,) * 3
    _runtime.set_defaults(stream_from=d.stream_from, parallel_from=limits, waking_from=limits)
    try:
        name = getattr(call.function, "__name__", "")
        known = getattr(activations, name, None) is call.function and "parameters" not in name
        if known and not call.errors and d.chance(0.03):
            fr.explain(call.function, *call.args, **call.keywords)
            counts["explained"] += 1
            if wrong := changed(d, before):
                return f"explain: {wrong}"
        with fr.threads(d.threads):
            got = call.function(*call.args, **call.keywords)
    except Exception as error:  # noqa: BLE001  whatever it is
        clean = isinstance(error, call.errors) and str(error)
        return changed(d, before) if clean else f"raises {type(error).__name__}: {error}"
    finally:
        _runtime.set_defaults(stream_from=-1, parallel_from=_runtime.parallel_from, waking_from=_runtime.waking_from)
    if call.errors:
        return "is not refused"
    expected = before
    if call.also:
        call.also[0].on(expected)[...] = call.also[1]
    if wanted is None:
        return ""
    results, values = (r if isinstance(r, tuple) else (r,) for r in (got, wanted))
    for k, (result, value) in enumerate(zip(results, values, strict=True)):
        if call.out is not None and k == call.main:
            wrong = wrong_out(call, result, value, d.blocks, expected)
        else:
            wrong = wrong_result(call, result, value)
        if wrong:
            return f"result {k}: {wrong}"
    return changed(d, expected)


def attempt(seed: int, number: int, counts: collections.Counter[str], show: bool = False) -> str:
    """Draw and make the call of a number, and return its fault, if there is one."""
    d = Draw(seed, number)
    sort = d.rng.choices(SORTS, [share for _, share, _ in SORTS])[0][0]
    counts[sort.__name__] += 1
    with fr.precision(d.precision):
        call = sort(d)
        if call.bad and d.chance(0.06):
            place, value, call.errors = d.pick(call.bad)
            counts["refused"] += 1
            if isinstance(place, str):
                call.keywords[place] = value
            else:
                call.args[place:] = value if place < 0 else [value, *call.args[place + 1 :]]
        if show:
            print(describe(d, call))
        wrong = made(d, call, counts)
        if number % 40 == 0:
            counts["against NumPy"] += 1
            against_numpy(d)
    return f"{wrong}\n  {describe(d, call)}" if wrong else ""


def main() -> int:
    """Read the options, make the calls, and print the faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="make this call alone, and show it")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the number of each call there before it is made"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    covered = {name for _, _, names in SORTS for name in names} | {f"{s.public or s.name}_" for s in SPECS.values()}
    modules = activations, along_axis, gated_units, fused, masks, quantized, losses
    if missing := {name for module in modules for name in module.__all__} - covered:
        parser.error(f"no calls are drawn of {', '.join(sorted(missing))}")
    faulthandler.enable()
    warnings.simplefilter("ignore")  # NumPy's, of casts and of where= without out=
    np.seterr(all="ignore")
    _runtime.set_team(granted=3, hold=False, insist=True)
    trace = os.open(options.trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if options.trace else None
    counts: collections.Counter[str] = collections.Counter()
    wrong, start = 0, time.monotonic()
    numbers = range(options.calls) if options.only is None else [options.only]
    for number in tqdm(numbers, unit="call", disable=None, smoothing=0):
        if trace is not None:
            os.pwrite(trace, f"{number:12}".encode(), 0)
        try:
            found = attempt(options.seed, number, counts, options.only is not None)
        except Exception as error:
            if options.only is not None:
                raise
            found = f"{type(error).__name__} beside the call: {error}"
        if found:
            tqdm.write(f"call {number}: {found}")
            wrong += 1
    sorts = sum(counts[sort.__name__] for sort, _, _ in SORTS)
    report = {"calls": sorts, "seed": options.seed, "isa": runtime.isa, "numpy": np.__version__, **counts}
    report |= {"wrong": wrong, "seconds": round(time.monotonic() - start, 1)}
    print(", ".join(f"{key} {value}" for key, value in report.items()))
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
