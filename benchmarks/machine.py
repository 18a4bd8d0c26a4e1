"""Describes the machine and the versions behind a measurement; names no host and no path."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import fastrelu as fr


def describe(*packages: str) -> dict[str, object]:
    """Return processor, system and versions, including those of further packages.

    Parameters
    ----------
    *packages : str
        Names of installed packages.

    Returns
    -------
    dict
        The information to repeat the measurement.
    """
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fastrelu": fr.config(),
        "sources": sources(),
        **{package: metadata.version(package) for package in packages},
    }


def sources() -> list[str]:
    """Return the last commit that changed the package, with a plus if it was changed since; none outside a checkout.

    A result whose cells were measured one after another has several.
    """
    folder = Path(fr.__file__).parent
    found = []
    for command in (["log", "-1", "--format=%h", "--", "."], ["status", "--porcelain", "--untracked-files=no", "."]):
        try:
            run = subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            return []
        found.append(run.stdout.strip())
    commit, changed = found
    return [commit + "+" * bool(changed)] if commit else []


def cpu_name() -> str:
    """Return the processor's name, if the system provides it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
