"""``python -m fastrelu verify``: check that the kernels of this build give the published bits on this machine.

Every output bit of every kernel goes into a hash; hashes.json holds the hashes of the build that was measured
against exact results (tools/verify.py, docs/accuracy.md). If the hashes are equal, those measurements apply here.

The hash of a block of outputs is a sum of 64-bit words with fixed odd weights, modulo 2**64, which NumPy computes
at memory speed; a cryptographic hash would take ten times as long as the kernels. One changed word always changes
the sum. The sums of all blocks are then hashed with BLAKE2.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastrelu import _kernels, _runtime, limits, runtime
from fastrelu._cli.arguments import Parser, integer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Sample = Literal["quick", "full"]

BLOCK = 1 << 16
_CHUNK = 64  # blocks that a thread takes at a time
# Inputs are bit patterns: in float32 all of them, or every N-th; in float64 steps of 2**64 / golden ratio, which spread
# evenly over the patterns, and so over all binades.
_FLOAT32_STRIDE = 1021
_FLOAT64_STEP = 0x9E3779B97F4A7C15
_FLOAT64_INPUTS = {"quick": 1 << 19, "full": 1 << 22}


def input_count(dtype: str, sample: Sample) -> int:
    """Return how many inputs a hash covers."""
    if dtype == "float64":
        return _FLOAT64_INPUTS[sample]
    return 2**32 if sample == "full" else -(-(2**32) // _FLOAT32_STRIDE)


def inputs(dtype: str, sample: Sample, start: int, count: int) -> Array:
    """Return `count` inputs of a sample, from number `start` on."""
    if dtype == "float64":
        return (np.arange(start, start + count, dtype=np.uint64) * np.uint64(_FLOAT64_STEP)).view(np.float64)
    step = 1 if sample == "full" else _FLOAT32_STRIDE
    return np.arange(start * step, (start + count) * step, step, dtype=np.uint32).view(np.float32)


@functools.cache
def weights() -> NDArray[np.uint64]:
    """Return the odd weights of a block: the numbers of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = np.arange(1, BLOCK + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)


def block_sum(out: Array) -> int:
    """Return the weighted sum of a block of outputs."""
    if out.nbytes % 8:
        out = np.append(out, out.dtype.type(0))
    words = out.view(np.uint64)
    return int(np.dot(words, weights()[: words.size]))


def digest(sums: Sequence[int]) -> str:
    """Return the hash of all blocks."""
    return hashlib.blake2b(np.array(sums, "<u8").tobytes(), digest_size=8).hexdigest()


def arguments(kernel: _kernels.Kernel, x: Array, parameters: Sequence[float], grad: Array | None = None) -> list[Any]:
    """Return the operands of a kernel: x alone or after gradients (ones by default), then the parameters."""
    data = [x] if kernel.operands[0] == "x" else [np.ones_like(x) if grad is None else grad, x]
    return [*data, *(x.dtype.type(value) for value in parameters)]


def kernel_hash(
    kernel: _kernels.Kernel, precision: str, dtype: str, parameters: Sequence[float], sample: Sample, workers: int = 1
) -> str:
    """Return the hash of the outputs of a kernel, for gradients of 1."""
    count = input_count(dtype, sample)
    ufunc = getattr(kernel, precision)

    def chunk(first: int) -> list[int]:
        out = np.empty(BLOCK, dtype)
        grad = np.ones(BLOCK, dtype)
        sums = []
        for start in range(first, min(first + _CHUNK * BLOCK, count), BLOCK):
            x = inputs(dtype, sample, start, min(BLOCK, count - start))
            y = out[: x.size]
            ufunc(*arguments(kernel, x, parameters, grad[: x.size]), out=y)
            with np.errstate(invalid="ignore"):  # signaling NaN are among the inputs
                if np.isnan(np.max(y)):
                    y[np.isnan(y)] = np.nan  # sign and payload of a NaN are not promised
            sums.append(block_sum(y))
        return sums

    starts = range(0, count, _CHUNK * BLOCK)
    if len(starts) == 1 or workers == 1:
        return digest(list(itertools.chain.from_iterable(map(chunk, starts))))
    with ThreadPoolExecutor(workers) as pool:
        return digest(list(itertools.chain.from_iterable(pool.map(chunk, starts))))


def hash_class(dtype: str, precision: str, isa: str) -> str:
    """Return the class of instruction sets that give the same bits; in accurate float32 all do."""
    if precision == "accurate" and dtype == "float32":
        return "accurate"
    return f"{precision} {limits.isa_class(isa)}"


def published() -> dict[str, Any]:
    """Return the content of hashes.json."""
    text = files("fastrelu").joinpath("hashes.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _check(
    names: Sequence[str], isa: str, sample: Sample, workers: int
) -> Iterator[tuple[str, str, str, Literal["same", "DIFFERENT", "unpublished"]]]:
    known = published()["kernels"]
    kernels = _kernels.load_kernels(isa)
    for name, dtype, precision in itertools.product(
        names, [each.name for each in _runtime.dtypes], ("fast", "accurate")
    ):
        row = known.get(name, {})
        wanted = row.get(dtype, {}).get(hash_class(dtype, precision, isa), {}).get(sample)
        if wanted is None:
            yield name, dtype, precision, "unpublished"
            continue
        got = kernel_hash(kernels[name], precision, dtype, row["parameters"], sample, workers)
        yield name, dtype, precision, "same" if got == wanted else "DIFFERENT"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the hashes of all kernels with the published ones; return 1 if one differs."""
    parser = Parser(
        prog="fastrelu verify",
        description="Check that this build gives the published bits on this machine: all 2**32 float32 inputs of every "
        "kernel (about ten minutes on two cores), and a fixed sample of float64.",
    )
    parser.add_argument("--quick", action="store_true", help=f"every {_FLOAT32_STRIDE}st float32 input: takes seconds")
    parser.add_argument("--function", action="append", metavar="NAME", help="only this function or kernel; repeatable")
    parser.add_argument("--isa", default=runtime.isa, choices=_runtime.isa_available, help="default: %(default)s")
    parser.add_argument("--jobs", type=integer, default=runtime.get_num_threads(), metavar="N", help="threads")
    options = parser.parse_args(argv)

    asked = set(options.function or ())
    names = [kernel for function, _, kernel in _kernels.kernel_names() if not asked or {function, kernel} & asked]
    unknown = asked - {name for function, _, kernel in _kernels.kernel_names() for name in (function, kernel)}
    if unknown:
        parser.error(f"no function {', '.join(sorted(unknown))}")

    sample: Sample = "quick" if options.quick else "full"
    counts = {"same": 0, "DIFFERENT": 0, "unpublished": 0}
    for name, dtype, precision, verdict in _check(names, options.isa, sample, min(options.jobs, os.cpu_count() or 1)):
        counts[verdict] += 1
        print(f"{name:<40} {dtype} {precision:<8}  {verdict}", flush=True)
    print(f"{options.isa}: {counts['same']} kernels give the published bits, {counts['DIFFERENT']} do not", end="")
    print(f", {counts['unpublished']} have none published" if counts["unpublished"] else "")
    return 1 if counts["DIFFERENT"] else 0
