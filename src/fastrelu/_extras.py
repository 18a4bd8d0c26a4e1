"""Optional dependencies, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Self


class MissingExtraError(ImportError):
    """A package of one of the extras is not installed."""


def require(module: str, extra: str) -> Any:
    """Import a module that an extra of fastrelu installs.

    Parameters
    ----------
    module : str
        Full name of the module.
    extra : str
        The extra that installs it.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingExtraError
        If the package is not installed. A package that is installed and fails to import raises its own error.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(f'{package} is missing: pip install "fastrelu[{extra}]"') from error


def installed(package: str) -> bool:
    """Tell whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def progress(total: int, description: str, *, extra: str | None = None) -> Any:
    """Return a tqdm bar that is silent unless it is written to a terminal.

    Parameters
    ----------
    total : int
        Number of steps.
    description : str
        Text before the bar.
    extra : str, optional
        The extra that installs tqdm. Without one, a missing tqdm means no bar.

    Returns
    -------
    tqdm or stand-in
        A context manager with `update` and `set_postfix_str`.

    Raises
    ------
    MissingExtraError
        If `extra` is given and tqdm is not installed.
    """
    if extra is None and not installed("tqdm"):
        return _NoBar()
    tqdm = require("tqdm", extra or "demo")
    return tqdm.tqdm(total=total, desc=description, leave=False, disable=None)  # None: only on a terminal


class _NoBar:
    """A bar that does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def update(self, steps: int = 1) -> None:
        """Do nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Do nothing."""
