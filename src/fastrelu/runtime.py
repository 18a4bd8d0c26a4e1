"""Settings of the process and of a context: precision, threads, instruction set; and the settings in force."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from fastrelu import _kernels, _row_kernels, _runtime, _sums
from fastrelu._blocks import block
from fastrelu._entries import entries
from fastrelu._version import __version__

__all__ = [
    "clear_cache",
    "config",
    "get_cache_limit",
    "get_num_threads",
    "get_precision",
    "precision",
    "set_cache_limit",
    "set_num_threads",
    "set_precision",
    "show_config",
    "threads",
]

Precision = Literal["fast", "accurate"]
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def _precision_index(level: Any, source: str = "precision") -> int:
    if not isinstance(level, str) or level not in _PRECISIONS:
        raise ValueError(f'{source} must be "fast" or "accurate", got {level!r}')
    return _PRECISIONS.index(level)


def _thread_number(n: int, source: str = "number of threads") -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"{source} must be an integer, got {type(n).__name__!r}")
    if n < 1:
        raise ValueError(f"{source} must be at least 1, got {n}")
    return min(int(n), 2**30)


def set_precision(level: Precision) -> None:
    """Set the default precision of calls in this process.

    Parameters
    ----------
    level : {"fast", "accurate"}
        ``"fast"`` is the default. The environment variable ``FASTRELU_PRECISION`` sets it at import.

    Raises
    ------
    ValueError
        If `level` is neither of them.

    See Also
    --------
    precision : The same for the calls in a ``with`` block.

    Examples
    --------
    >>> import fastrelu as fr
    >>> fr.set_precision("accurate")
    >>> fr.get_precision()
    'accurate'
    >>> fr.set_precision("fast")
    """
    _runtime.set_defaults(precision=_precision_index(level))


def get_precision() -> Precision:
    """Return the precision of a call made in the current context.

    Returns
    -------
    str
        ``"fast"`` or ``"accurate"``.

    Examples
    --------
    >>> import fastrelu as fr
    >>> with fr.precision("accurate"):
    ...     fr.get_precision()
    'accurate'
    """
    return _PRECISIONS[_runtime.precision_level()]


@block
def precision(level: Precision) -> Iterator[None]:
    """Override the default precision for the calls in a ``with`` block.

    It applies to the thread or asyncio task that opens the block, and to lazy graphs built in it. The object can be kept,
    for several blocks, also within each other, and decorate functions, generators and coroutines.

    Parameters
    ----------
    level : {"fast", "accurate"}
        The precision inside the block.

    Yields
    ------
    None
        The block runs with `level`.

    Raises
    ------
    ValueError
        If `level` is neither of them.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> with fr.precision("accurate"):
    ...     y = fr.hard_swish(np.float32([1.0, 2.0]))
    >>> y
    array([0.6666667, 1.6666666], dtype=float32)
    """
    value = _precision_index(level)
    _runtime.watch_overrides()
    token = _runtime.precision_override.set(value)
    try:
        yield
    finally:
        _runtime.precision_override.reset(token)


def set_num_threads(n: int) -> None:
    """Set the default number of threads that a large call in this process may use.

    Parameters
    ----------
    n : int
        At least 1. The limits of OpenMP, the affinity mask and the control group are never exceeded. The environment
        variable ``FASTRELU_NUM_THREADS`` sets it at import.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    See Also
    --------
    threads : The same for the calls in a ``with`` block.

    Examples
    --------
    >>> import fastrelu as fr
    >>> before = fr.get_num_threads()
    >>> fr.set_num_threads(1)
    >>> fr.get_num_threads()
    1
    >>> fr.set_num_threads(before)
    """
    _runtime.set_defaults(threads=_thread_number(n))


def get_num_threads() -> int:
    """Return how many threads a large call made in the current context would use.

    Returns
    -------
    int
        The least of the limit that was set, the threads that OpenMP allows the calling thread, the processors in its
        affinity mask, and the processors in the control group's quota.

    Examples
    --------
    >>> import fastrelu as fr
    >>> fr.get_num_threads() >= 1
    True
    """
    return _runtime.thread_count()


@block
def threads(n: int) -> Iterator[None]:
    """Limit the threads of the calls in a ``with`` block.

    It applies to the Python thread or asyncio task that opens the block. The object can be kept, for several blocks, also
    within each other, and decorate functions, generators and coroutines.

    Parameters
    ----------
    n : int
        At least 1; replaces the process's default inside the block.

    Yields
    ------
    None
        The block runs with at most `n` threads per call.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import fastrelu as fr
    >>> with fr.threads(1):
    ...     fr.get_num_threads()
    1
    """
    value = _thread_number(n)
    _runtime.watch_overrides()
    token = _runtime.thread_override.set(value)
    try:
        yield
    finally:
        _runtime.thread_override.reset(token)


def _byte_number(n: int, source: str = "number of bytes") -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"{source} must be an integer, got {type(n).__name__!r}")
    if n < 0:
        raise ValueError(f"{source} must not be negative, got {n}")
    return min(int(n), sys.maxsize)


def set_cache_limit(n: int) -> None:
    """Set how many bytes of freed results this process keeps in a pool, for reuse by new results.

    A new large array costs more than most activations, because of its page faults: the system maps and zeroes pages.
    When a result of 128 KiB or more is freed, its memory goes to the pool, and the next result of about its size reuses
    it. Blocks that have been unused for ten seconds are freed at the next large call.

    Parameters
    ----------
    n : int
        Not negative; 0 keeps nothing, and new arrays come from NumPy. Blocks beyond `n` bytes are freed. The default
        is the smaller of 256 MiB and an eighth of the memory that this process may use (machine, control group,
        ``ulimit -v``). The environment variable ``FASTRELU_CACHE_BYTES`` sets it at import.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is negative.

    See Also
    --------
    clear_cache : Free all blocks in the pool.
    config : Report the size of the pool and how often it was used.

    Examples
    --------
    >>> import fastrelu as fr
    >>> before = fr.get_cache_limit()
    >>> fr.set_cache_limit(2**20)
    >>> fr.get_cache_limit()
    1048576
    >>> fr.set_cache_limit(before)
    """
    _runtime.set_cache(limit=_byte_number(n))


def get_cache_limit() -> int:
    """Return how many bytes of freed results this process keeps at most.

    Returns
    -------
    int
        The limit set by :func:`set_cache_limit`, or the default.

    Examples
    --------
    >>> import fastrelu as fr
    >>> 0 <= fr.get_cache_limit() <= 2**28
    True
    """
    return _runtime.cache_state()["limit"]


def clear_cache() -> None:
    """Give the memory of all freed results back to the system.

    Arrays that are in use are not touched.

    Examples
    --------
    >>> import fastrelu as fr
    >>> fr.clear_cache()
    >>> fr.config()["cache_held"]
    0
    """
    _runtime.clear_cache()


def _load_kernels() -> tuple[str, dict[str, _kernels.Kernel]]:
    """Return the instruction set that FASTRELU_ISA names, or the highest one supported, and its kernels."""
    asked = os.environ.get("FASTRELU_ISA")
    if asked:
        try:
            return asked, _kernels.load_kernels(asked)
        except (RuntimeError, ValueError) as error:
            raise type(error)(f"FASTRELU_ISA={asked!r}: {error}") from None
    if not _runtime.isa_available:
        raise ImportError("fastrelu needs a processor with the x86-64-v2 instructions (SSE4.2), which this one lacks")
    return _runtime.isa_available[-1], _kernels.load_kernels(_runtime.isa_available[-1])


isa, kernels = _load_kernels()
learned = _sums.load(isa, kernels)
rows = _row_kernels.RowKernels(isa)


def config() -> dict[str, object]:
    """Return the version, the settings in force and the versions that the package was built with.

    Returns
    -------
    dict
        ``version``, ``isa`` (in use), ``isa_available`` (built, and supported by this machine), ``threads`` (of a
        large call), ``openmp`` (the version's date, or None without OpenMP), ``precision``, ``numpy``, ``cython``, and
        for the pool of freed results ``cache_limit`` and ``cache_held``, in bytes, with ``cache_hits`` and
        ``cache_misses``, the numbers of large results that did and did not find a block there.

    Examples
    --------
    >>> import fastrelu as fr
    >>> sorted(fr.config())  # doctest: +NORMALIZE_WHITESPACE
    ['cache_held', 'cache_hits', 'cache_limit', 'cache_misses', 'cython', 'isa', 'isa_available', 'numpy', 'openmp',
     'precision', 'threads', 'version']
    """
    cache = _runtime.cache_state()
    return {
        "version": __version__,
        "isa": isa,
        "isa_available": list(_runtime.isa_available),
        "threads": get_num_threads(),
        "openmp": _runtime.openmp or None,
        "precision": get_precision(),
        "numpy": np.__version__,
        "cython": _runtime.cython_version,
        **{f"cache_{name}": cache[name] for name in ("limit", "held", "hits", "misses")},
    }


def show_config() -> None:
    """Print what :func:`config` returns, one line each.

    Examples
    --------
    >>> import fastrelu as fr
    >>> fr.show_config()  # doctest: +ELLIPSIS
    version        ...
    """
    for key, value in entries(config()):
        print(f"{key:<14} {', '.join(value) if isinstance(value, list) else value}")


def _integer(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{variable} must be an integer, got {text!r}") from None


def _read_environment() -> None:
    level = os.environ.get("FASTRELU_PRECISION")
    if level:
        _runtime.set_defaults(precision=_precision_index(level, "FASTRELU_PRECISION"))
    count = _integer("FASTRELU_NUM_THREADS")
    if count is not None:
        _runtime.set_defaults(threads=_thread_number(count, "FASTRELU_NUM_THREADS"))
    limit = _integer("FASTRELU_CACHE_BYTES")
    if limit is not None:
        _runtime.set_cache(limit=_byte_number(limit, "FASTRELU_CACHE_BYTES"))
    if os.environ.get("NUMPY_MADVISE_HUGEPAGE") == "0":  # a setting of NumPy's, followed here too
        _runtime.set_cache(huge_pages=False)


_read_environment()
