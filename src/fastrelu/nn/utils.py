"""Gradient clipping: call it between the backward pass and the step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu._options import at_least, check_flag, real_number
from fastrelu.nn.module import Module
from fastrelu.nn.parameter import Parameter

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by one factor, in place, so that their common norm is at most `max_norm`; return the norm.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Such as ``model.parameters()``; only gradients since the last step count.
    max_norm : float
        The largest norm; at least 0.
    norm_type : float, default 2.0
        Exponent of the norm, greater than 0; ``math.inf`` for the largest absolute value.
    error_if_nonfinite : bool, default False
        Whether a norm that is infinite or NaN is an error; otherwise it makes all gradients zero or NaN, as in PyTorch.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    RuntimeError
        If the norm is not finite and `error_if_nonfinite`.
    TypeError
        If `parameters` contains anything but parameters, or a number is none.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_(p, 1.0)
    5.0
    >>> p.grad.round(4)
    array([0.6, 0.8])
    """
    check_flag("error_if_nonfinite", error_if_nonfinite)
    at_least("max_norm", max_norm)
    if not real_number("norm_type", norm_type) > 0:
        raise ValueError(f"norm_type must be greater than 0, got {norm_type!r}")
    max_norm, norm_type = float(max_norm), float(norm_type)
    gradients = _gradients(parameters)
    # Scaled by the largest element, powers neither overflow nor vanish.
    total = float(max((np.abs(grad).max(initial=0) for grad in gradients), default=0.0))
    if math.isfinite(total) and total > 0 and not math.isinf(norm_type):
        powers = (np.sum(np.abs(np.divide(grad, total, dtype=np.float64)) ** norm_type) for grad in gradients)
        total *= float(sum(powers)) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(f"the norm of the gradients is {total}, so they cannot be clipped")
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:
        with contextlib.nullcontext() if math.isfinite(total) else np.errstate(invalid="ignore"):  # inf * 0
            for grad in gradients:
                np.multiply(grad, factor, out=grad)
    return total


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Limit each element of the gradients to ``[-clip_value, clip_value]``, in place.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Such as ``model.parameters()``; only gradients since the last step count.
    clip_value : float
        The largest absolute value; at least 0.

    Raises
    ------
    TypeError
        If `parameters` contains anything but parameters, or `clip_value` is no number.
    ValueError
        If `clip_value` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, -0.5])
    >>> nn.utils.clip_grad_value_(p, 1.0)
    >>> p.grad
    array([ 1. , -0.5])
    """
    at_least("clip_value", clip_value)
    for grad in _gradients(parameters):
        np.clip(grad, -clip_value, clip_value, out=grad)


def parameter_list(taker: str, given: Any) -> list[Parameter]:
    """Return parameters in an order that is the same in every run, or say what to pass instead."""
    hint = ""
    if isinstance(given, Module):
        hint = f": pass its parameters, {type(given).__name__}.parameters()"
    elif isinstance(given, Mapping):
        hint = ": pass its values()"
    elif isinstance(given, (set, frozenset)):
        hint = ", whose order may be another one in the next run: pass a list"
    if hint or isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{taker} an iterable of Parameter objects, got {type(given).__name__!r}{hint}")
    parameters = list(given)
    for parameter in parameters:
        if isinstance(parameter, tuple) and len(parameter) == 2 and isinstance(parameter[1], Parameter):
            raise TypeError(
                f"{taker} Parameter objects, got pairs with names: pass parameters(), not named_parameters()"
            )
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{taker} Parameter objects, got {type(parameter).__name__!r}")
    return parameters


def _gradients(parameters: Parameter | Iterable[Parameter]) -> list[NDArray[np.floating]]:
    """Return the gradients since the last step, each once."""
    given = [parameters] if isinstance(parameters, Parameter) else parameters
    each = dict.fromkeys(parameter_list("gradient clipping takes", given))
    found = (parameter.writable_gradient() for parameter in each)
    return [grad for grad in found if grad is not None]
