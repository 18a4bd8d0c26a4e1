"""Arrays that are trained, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrelu import _runtime

FLOATS = _runtime.dtypes


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64, the types in which layers compute; refuse any other."""
    found = np.dtype(dtype)
    if found not in FLOATS:
        raise TypeError(f"layers hold float32 or float64, not {found}")
    return found


class Parameter:
    """An array that is trained, with the gradient of the loss with respect to it.

    The gradients of all backward passes since the last step of an optimizer, or since :meth:`zero_grad`, add up; a step
    uses no other, and each one once. After a step `grad` is read-only and the next backward pass replaces it, in the
    same memory: copy `grad` to keep it.

    Parameters
    ----------
    data : array_like
        The values, float32 or float64; an array is not copied.
    requires_grad : bool, default True
        Whether layers compute the gradient and optimizers update the values. False freezes the parameter.

    Attributes
    ----------
    data : ndarray
        The values; optimizers change them in place. An array that is assigned has the same shape and is not copied.
    grad : ndarray or None
        The gradient, of the shape and type of `data`; None before the first backward pass. An array that is assigned
        counts as the gradient of a backward pass.
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

    __slots__ = ("_buffer", "_data", "_grad", "_owned", "_used", "requires_grad")

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        self._data: NDArray[Any] = np.asarray(data)
        float_dtype(self._data.dtype)
        self.requires_grad = requires_grad
        self._grad: NDArray[Any] | None = None
        self._owned = False  # the memory of the gradient is not an assigned array
        self._used = False  # by a step
        self._buffer: NDArray[Any] | None = None

    @property
    def data(self) -> NDArray[Any]:
        """The values."""
        return self._data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        array = np.asarray(values)
        if array.shape != self._data.shape:
            raise ValueError(f"the values of a parameter of shape {self.shape} cannot have shape {array.shape}")
        if float_dtype(array.dtype) != self._data.dtype:
            self.zero_grad()
        self._data = array

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

    @property
    def grad(self) -> NDArray[Any] | None:
        """The gradient."""
        if self._grad is None or not self._used:
            return self._grad
        # A change to a used gradient would be lost without a word.
        view = self._grad.view()
        view.flags.writeable = False
        return view

    @grad.setter
    def grad(self, values: ArrayLike | None) -> None:
        if values is self._grad and not self._used:  # as in p.grad *= 2
            return
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError("a gradient cannot be a masked array: fill it first, grad.filled(0)")
        grad = None if values is None else values if isinstance(values, np.ndarray) else np.array(values)
        if grad is not None:
            if grad.shape != self.shape:
                raise ValueError(f"the gradient of a parameter of shape {self.shape} cannot have shape {grad.shape}")
            if not np.can_cast(grad.dtype, self.dtype, "same_kind"):
                raise TypeError(f"the gradient of a {self.dtype} parameter cannot be {grad.dtype}")
            grad = grad.astype(self.dtype, copy=False)
        self._grad, self._owned, self._used = grad, False, False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradient, whose memory the next backward pass reuses, or set it to zero if there is one."""
        self.grad = None if set_to_none or self._grad is None else np.zeros_like(self.data)

    def gradient_target(self) -> NDArray[Any]:
        """Return memory for a new gradient: that of the last one, unless the new one will be added to it."""
        data = self._data
        if self._grad is not None and not self._used:
            return np.empty_like(data)
        buffer = self._buffer
        if buffer is None or buffer.shape != data.shape or buffer.dtype != data.dtype:
            self._buffer = buffer = np.empty_like(data)
        return buffer

    def add_gradient(self, grad: NDArray[Any]) -> None:
        """Store the first gradient since the last step, or add another one to it."""
        if self._grad is not None and not self._used:
            # An assigned array is not overwritten: it may have other uses.
            grad = np.add(self._grad, grad, out=self._grad if self._owned else grad)
        self._grad, self._owned, self._used = grad, True, False

    def writable_gradient(self) -> NDArray[Any] | None:
        """Return the gradient since the last step for a change in place; an assigned array is copied before."""
        if self._grad is None or self._used:
            return None
        if not self._owned:
            self._grad, self._owned = self._grad.copy(), True
        return self._grad

    def use_gradient(self) -> NDArray[Any] | None:
        """Return the gradient for a step, once; None if there is none since the last step, or if frozen."""
        grad = self._grad if self.requires_grad and not self._used else None
        self._used = True
        return grad

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
            self.data = memory

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter containing:\n{self.data!r}{frozen}"
