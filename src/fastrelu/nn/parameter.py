"""Arrays that are trained, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64, the types in which layers compute; refuse any other."""
    found = np.dtype(dtype)
    if found not in FLOATS:
        raise TypeError(f"layers hold float32 or float64, not {found}")
    return found


class Parameter:
    """An array that is trained, with the gradient of the loss with respect to it.

    Gradients of several backward passes add up until the next step of an optimizer or :meth:`zero_grad`. The pass
    after that overwrites the same memory: copy `grad` to keep it.

    Parameters
    ----------
    data : array_like
        The values, float32 or float64; an array is not copied.
    requires_grad : bool, default True
        Whether layers compute the gradient. False freezes the parameter.

    Attributes
    ----------
    data : ndarray
        The values; optimizers change them in place.
    grad : ndarray or None
        The gradient, of the shape and type of `data`; None before the first backward pass.
    requires_grad : bool
        As given.

    Raises
    ------
    TypeError
        If `data` is neither float32 nor float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> p = nn.Parameter(np.zeros((2, 3), np.float32))
    >>> p.shape, p.dtype, p.grad
    ((2, 3), dtype('float32'), None)
    """

    __slots__ = ("_buffer", "_used", "data", "grad", "requires_grad")

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        self.data: NDArray[Any] = np.asarray(data)
        float_dtype(self.data.dtype)
        self.requires_grad = requires_grad
        self.grad: NDArray[Any] | None = None
        self._buffer: NDArray[Any] | None = None
        self._used = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.data.dtype

    def zero_grad(self) -> None:
        """Clear the gradient; the next backward pass reuses its memory."""
        self.grad = None

    def gradient_target(self) -> NDArray[Any]:
        """Return memory for a new gradient: that of the last one, unless the new one will be added to it."""
        if self.grad is not None and not self._used:
            return np.empty_like(self.data)
        buffer = self._buffer
        if buffer is None or buffer.shape != self.data.shape or buffer.dtype != self.data.dtype:
            self._buffer = buffer = np.empty_like(self.data)
        return buffer

    def add_gradient(self, grad: NDArray[Any]) -> None:
        """Store the first gradient since the last step, or add another one to it."""
        if self.grad is None or self._used:
            self.grad, self._used = grad, False
        else:
            self.grad += grad

    def mark_used(self) -> None:
        """Mark the gradient as used, so that the next backward pass replaces it; optimizers call this in a step."""
        self._used = True

    def takes(self, values: NDArray[Any]) -> bool:
        """Whether new values can be stored: the memory is writable, or their type needs new memory anyway."""
        return self.data.flags.writeable or values.dtype != self.data.dtype

    def memory_for(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return memory for new values: that of this parameter, or new memory if their type differs."""
        return self.data if values.dtype == self.data.dtype else np.empty_like(self.data, dtype=values.dtype)

    def assign(self, values: NDArray[Any], memory: NDArray[Any] | None = None) -> None:
        """Store new values of the same shape, and adopt their type; `memory` is the result of `memory_for`."""
        if memory is None:
            memory = self.memory_for(values)
        np.copyto(memory, values)
        if memory is not self.data:
            self.data, self.grad = memory, None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter containing:\n{self.data!r}{frozen}"
