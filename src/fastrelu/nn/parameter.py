"""Arrays that are trained, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrelu import _kernels, _runtime
from fastrelu._entries import entries
from fastrelu._options import check_flag
from fastrelu._steps import new_update
from fastrelu._walk import alike

FLOATS = _runtime.dtypes


class Changes:
    """The number of changes to modules and of new arrays of parameters: what containers found out holds until the next.

    It counts after the change, so that no thread takes what was there before for what is there now.
    """

    count = 0


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64, the types in which layers train; refuse any other."""
    found = np.dtype(dtype)
    if found not in FLOATS:
        raise TypeError(f"layers hold float32 or float64, not {found}")
    return found


def is_half(dtype: np.dtype[Any]) -> bool:
    """Return whether it is float16 or bfloat16, in which parameters are stored for inference."""
    return dtype.itemsize == 2 and (dtype == np.float16 or _kernels.is_bfloat16(dtype))


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in native byte order, in which its type is one of those that layers know."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def stored_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return a type that parameters may have; refuse any other."""
    found = np.dtype(dtype)
    if found not in FLOATS and not is_half(found):
        raise TypeError(f"layers hold float32 or float64, and for inference float16 or bfloat16, not {found}")
    return found


def check_backward_flags(input_grad: Any, overwrite_grad: Any) -> None:
    """Refuse options of backward that are neither True nor False."""
    if type(input_grad) is not bool or type(overwrite_grad) is not bool:
        check_flag("input_grad", input_grad)
        check_flag("overwrite_grad", overwrite_grad)


def _array(values: ArrayLike, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Return the values of a parameter; numbers without a type get `dtype`."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("the values of a parameter cannot be a masked array: fill it first, values.filled(0)")
    typed = hasattr(values, "dtype")  # asked first: an attribute of the caller's may free the memory of a view
    array = np.asarray(values)
    if dtype is not None and not typed and array.dtype.kind in "iuf":
        array = array.astype(dtype)
    stored_dtype(array.dtype)
    return array


class Parameter:
    """An array that is trained, with the gradient of the loss with respect to it.

    The gradients of all backward passes since the last step of an optimizer, or since :meth:`zero_grad`, add up; a step
    uses no other, and each one once. After a step `grad` is read-only and the next backward pass replaces it, in the
    same memory: copy `grad` to keep it.

    Parameters
    ----------
    data : array_like
        The values, float32 or float64; an array is not copied. float16 and bfloat16 are for inference alone.
    requires_grad : bool, default True
        Whether layers compute the gradient and optimizers update the values. False freezes the parameter.

    Attributes
    ----------
    data : ndarray
        The values; optimizers change them in place. An array that is assigned has the same shape and is not copied;
        a list of numbers gets the type of the parameter. A change between a forward and its backward call is an error if
        the gradients need the values; only what NumPy writes into `data`, as in ``p.data[...] = 0``, is not noticed.
    grad : ndarray or None
        The gradient, of the shape and type of `data`; None before the first backward pass. An array that is assigned
        counts as the gradient of a backward pass.
    requires_grad : bool
        As given.

    Raises
    ------
    TypeError
        If `data` has another type, or is masked; if `requires_grad` is neither True nor False.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> p = nn.Parameter(np.zeros((2, 3), np.float32))
    >>> p.shape, p.dtype, p.grad
    ((2, 3), dtype('float32'), None)
    """

    __slots__ = ("_buffer", "_data", "_grad", "_owned", "_requires_grad", "_updated", "_used")

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        self._data: NDArray[Any] = _array(data)
        self.requires_grad = requires_grad
        self._grad: NDArray[Any] | None = None
        self._owned = False  # the memory of the gradient is not an assigned array
        self._used = False  # by a step
        self._buffer: NDArray[Any] | None = None
        self._updated = 0  # the number of the last change of the values, of those that the library makes

    def __setstate__(self, state: Any) -> None:
        """Set the values and the gradient of a copy or an unpickled parameter, or refuse what was not its state."""
        given = state[1] if isinstance(state, tuple) and len(state) == 2 else None
        if not isinstance(given, dict) or {*given, "_updated"} != {*self.__slots__}:
            raise TypeError(f"the state of a Parameter is damaged, or of another version: {state!r}")
        data, grad, buffer = given["_data"], given["_grad"], given["_buffer"]
        for name, array in (("_data", data), ("_grad", grad), ("_buffer", buffer)):
            if not isinstance(array, np.ndarray) and not (name != "_data" and array is None):
                raise TypeError(f"the state of a Parameter is damaged: {name[1:]} must be an array, got {array!r}")
        stored_dtype(data.dtype)
        if grad is not None and (grad.shape, grad.dtype) != (data.shape, data.dtype):
            raise ValueError(
                f"the state of a Parameter is damaged: values of shape {data.shape} and type {data.dtype}, a gradient of "
                f"{grad.shape} and {grad.dtype}"
            )
        for name in ("_owned", "_used", "_requires_grad"):
            check_flag(name[1:], given[name])
        for name, value in entries(given):
            setattr(self, name, value)
        self._updated = 0  # older pickles have none; updates are counted in each process, and no call has read this one

    @property
    def data(self) -> NDArray[Any]:
        """The values."""
        return self._data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        if np.shape(values) != self._data.shape:
            raise ValueError(f"the values of a parameter of shape {self.shape} cannot have shape {np.shape(values)}")
        array = _array(values, self._data.dtype)
        if array.dtype != self._data.dtype:
            self.zero_grad()
        self._updated = new_update()
        self._data = array
        Changes.count += 1

    @property
    def requires_grad(self) -> bool:
        """Whether layers compute the gradient and optimizers update the values."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        check_flag("requires_grad", value)
        self._requires_grad = bool(value)

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
        # A change to a used gradient would be lost without an error.
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
        check_flag("set_to_none", set_to_none)
        self.grad = None if set_to_none or self._grad is None else np.zeros_like(self.data)

    def gradient_target(self) -> NDArray[Any]:
        """Return memory for a new gradient: that of the last one, unless the new one will be added to it."""
        data = self._data
        if data.itemsize == 2:
            self.refuse_training()
        if self._grad is not None and not self._used:
            return np.empty_like(data)
        buffer = self._buffer
        if buffer is None or not alike(buffer, data):
            self._buffer = buffer = np.empty_like(data)
        return buffer

    def add_gradient(self, grad: NDArray[Any]) -> None:
        """Store the first gradient since the last step, or add another one to it."""
        if self._data.itemsize == 2:
            self.refuse_training()
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

    def takes(self, values: NDArray[Any]) -> bool:
        """Whether new values can be stored: the memory is writable, or their type needs new memory anyway."""
        return self.data.flags.writeable or values.dtype != self.data.dtype

    def assignment(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return what an assignment of values of the same shape needs: the memory, and what is copied to where in it.

        The memory is that of this parameter, or new memory if their type differs. The copy allocates nothing.
        """
        memory = self.data if values.dtype == self.data.dtype else np.empty_like(self.data, dtype=values.dtype)
        if is_half(values.dtype):  # where there is no memory, NumPy crashes in copies of bfloat16
            return memory, memory.view(np.uint16), values.view(np.uint16)
        return memory, memory, values

    def adopt(self, memory: NDArray[Any]) -> None:
        """Take memory with new values, which may have another type."""
        if memory is not self._data:
            self.zero_grad()
            self._data = memory
            Changes.count += 1

    def count_update(self, update: int | None = None) -> None:
        """Count an update of the values before it begins: an error in it leaves them in doubt."""
        self._updated = new_update() if update is None else update

    def refuse_training(self) -> None:
        """Refuse a type that is for inference."""
        raise TypeError(
            f"a parameter of {self.dtype} is for inference: train with float32 or float64, and convert its data afterwards"
        )

    def _refuse_change(self, *_: Any) -> Any:
        raise TypeError(
            "the values of a parameter change through data: weight.data += 1, weight.data[0] = 1; a Parameter is no array"
        )

    # With an array on the right, NumPy would make an array of the sum and leave the parameter as it is.
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = _refuse_change
    __iand__ = __ior__ = __ixor__ = __ilshift__ = __irshift__ = __setitem__ = _refuse_change

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter containing:\n{self.data!r}{frozen}"
