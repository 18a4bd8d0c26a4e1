"""Describes the machine and the versions behind a measurement; names no host and no path."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import fastrelu as fr


def describe(*packages: str) -> dict[str, object]:
    """Return processor, system and versions, those of further packages included.

    Parameters
    ----------
    *packages : str
        Names of installed packages.

    Returns
    -------
    dict
        What a reader needs to repeat the measurement.
    """
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fastrelu": fr.config(),
        **{package: metadata.version(package) for package in packages},
    }


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
