"""Processors and memory that the machine and its control groups allow this process."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]  # the type of a module that is missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    _Path = str | os.PathLike[str]

# No pathlib: the package imports this module, and must be imported fast.
_CGROUPS, _OWN = "/sys/fs/cgroup", "/proc/self/cgroup"


def _text(*parts: _Path) -> str:
    """Return what a file holds."""
    with open(os.path.join(*parts), encoding="utf-8") as file:  # noqa: PTH118, PTH123  see above
        return file.read()


def _control_groups(root: _Path, own: _Path, controller: str) -> Iterator[str]:
    """Yield the folders of the control groups of this process that may set a limit of one controller."""
    try:
        lines = _text(own).splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # The limits of all parent groups apply too. In a container the path may be that of the host: stop at root.
        names = [name for name in (controller if controllers else "", *path.split("/")) if name]
        for many in range(len(names), -1, -1):
            yield os.path.join(root, *names[:many])  # noqa: PTH118  see above


def cpu_quota(root: _Path = _CGROUPS, own: _Path = _OWN) -> int:
    """Return how many processors the control groups of this process allow, rounded up; 0 for no limit."""
    limits = [quota for folder in _control_groups(root, own, "cpu") for quota in _quota_of(folder)]
    return max(1, int(-(-min(limits) // 1))) if limits else 0


def _quota_of(folder: str) -> Iterator[float]:
    """Yield the quota that one control group sets, in processors (version 2, then version 1)."""
    with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
        quota, period = _text(folder, "cpu.max").split()
        yield int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # no such version
        microseconds = int(_text(folder, "cpu.cfs_quota_us"))
        if microseconds > 0:
            yield microseconds / int(_text(folder, "cpu.cfs_period_us"))


def usable_memory(root: _Path = _CGROUPS, own: _Path = _OWN) -> int:
    """Return how many bytes this process may use: the least of machine, control groups and rlimits."""
    limits = [sys.maxsize]
    for folder in _control_groups(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
                limits.append(int(_text(folder, name)))
    with contextlib.suppress(AttributeError, OSError, ValueError):  # not on every system
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if resource is not None:
        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in limits if limit >= 0)  # a negative limit means no limit


def default_cache_limit() -> int:
    """Return how many bytes of freed results are kept if no limit is set."""
    return min(2**28, usable_memory() // 8)
