"""Processors and memory that the machine and its control groups allow this process."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _control_groups(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process that may set a limit of one controller."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        group = root / controller / path.lstrip("/") if controllers else root / path.lstrip("/")
        # The limits of all parent groups apply too. In a container the path may be that of the host: stop at root.
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            yield folder


def cpu_quota(root: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Return how many processors the control groups of this process allow, rounded up; 0 for no limit."""
    limits = [quota for folder in _control_groups(root, own, "cpu") for quota in _quota_of(folder)]
    return max(1, int(-(-min(limits) // 1))) if limits else 0


def _quota_of(folder: Path) -> Iterator[float]:
    """Yield the quota that one control group sets, in processors (version 2, then version 1)."""
    with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
        quota, period = (folder / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # no such version
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        if microseconds > 0:
            yield microseconds / int((folder / "cpu.cfs_period_us").read_text())


def usable_memory(root: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Return how many bytes this process may use: the least of machine, control groups and rlimits."""
    limits = [sys.maxsize]
    for folder in _control_groups(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
                limits.append(int((folder / name).read_text()))
    with contextlib.suppress(AttributeError, OSError, ValueError):  # not on every system
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(ImportError):  # Windows has neither
        import resource  # noqa: PLC0415  not on every system

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in limits if limit >= 0)  # a negative limit means no limit


def default_cache_limit() -> int:
    """Return how many bytes of freed results are kept if no limit is set."""
    return min(2**28, usable_memory() // 8)
