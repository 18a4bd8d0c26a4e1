"""The check of an option that is True or False."""

from typing import Any

import numpy as np


def check_flag(name: str, value: Any) -> None:
    """Refuse an option that is neither True nor False: a string such as "no" would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
