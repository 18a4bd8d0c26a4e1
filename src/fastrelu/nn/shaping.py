"""Layers that change the shape, or nothing."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu._foreign import refuse, refuse_none
from fastrelu._options import integer, integers
from fastrelu._walk import save
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import check_backward_flags
from fastrelu.nn.record import watching


class Identity(Layer):
    """A layer that returns its input; the constructor accepts any arguments.

    Parameters
    ----------
    *args, **kwargs
        Ignored, so that it can replace any layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> x = np.ones(3)
    >>> nn.Identity()(x) is x
    True
    """

    _passes_memory_on: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  as in PyTorch
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Return `x` itself."""
        if self.training or self._saved or watching():
            save(self, (), (), getattr(x, "shape", None))
        return x

    def backward(self, grad: Any, *, input_grad: bool = True, overwrite_grad: bool = False) -> Any:
        """Return `grad` itself."""
        check_backward_flags(input_grad, overwrite_grad)
        if self._saved is not None and self._saved.call is not None:  # needs no forward call
            return super().backward(grad, input_grad=input_grad, overwrite_grad=overwrite_grad)
        return grad if input_grad else None

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved
        return shape

    def _gradient(self, grad: Any, saved: Any, **_: bool) -> Any:  # noqa: ARG002  nothing depends on it
        return grad


class _Reshaping(Layer):
    """Base of the layers that return the input's numbers in another shape."""

    _passes_memory_on: ClassVar[bool] = True

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Return `x` in the new shape, as a view if the memory layout allows it.

        Raises
        ------
        numpy.exceptions.AxisError
            If `x` has no such axis.
        ValueError
            If the shape does not fit.
        """
        if type(x) is np.ndarray:
            array = x
        else:
            refuse_none(self, x=x)
            refuse(self, x=x)
            array = np.asanyarray(x)
        shape = array.shape
        new_shape = self._new_shape(shape)
        y: NDArray[Any] = array.reshape(new_shape)
        if self.training or self._saved or watching():
            save(self, (x,), (y,), (shape, new_shape))
        return y

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        raise NotImplementedError

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[1]
        return shape

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:  # noqa: ARG002  a view of the gradient is returned
        if not input_grad:
            return None
        return grad.reshape(saved[0]) if type(grad) is np.ndarray else np.reshape(grad, saved[0])


class Flatten(_Reshaping):
    """Join consecutive axes into one: by default all but the first, as between images and a linear layer.

    Parameters
    ----------
    start_dim, end_dim : int, default 1 and -1
        First and last axis to join.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Flatten()(np.zeros((32, 1, 28, 28))).shape
    (32, 784)
    """

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"start_dim": integer, "end_dim": integer}

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        first, last, new_shape = _joined(shape, operator.index(self.start_dim), operator.index(self.end_dim))
        if last < first:
            raise ValueError(f"{self!r} cannot join axes {first} to {last}")
        return new_shape

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


def _sizes(name: str, value: Any) -> None:
    """Refuse what is no tuple of lengths."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    integers(name, value)


class Unflatten(_Reshaping):
    """Split an axis into several.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : tuple of int
        The lengths of the new axes; one of them may be -1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Unflatten(1, (28, 28))(np.zeros((32, 784))).shape
    (32, 28, 28)
    """

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"dim": integer, "unflattened_size": _sizes}

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        _sizes("unflattened_size", unflattened_size)
        self.unflattened_size = tuple(unflattened_size)

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        dim = operator.index(self.dim)
        try:
            return _split(shape, dim, tuple(map(operator.index, self.unflattened_size)))
        except np.exceptions.AxisError:
            raise
        except ValueError:
            raise ValueError(f"{self!r} cannot split an axis of length {shape[dim]}") from None

    def extra_repr(self) -> str:
        """Return axis and lengths."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


# A layer sees the same few shapes again and again, and to find the new one takes longer than NumPy's reshape.
@functools.lru_cache
def _joined(shape: tuple[int, ...], start: int, end: int) -> tuple[int, int, tuple[int, ...]]:
    """Return the numbers of the first and the last axis, and the shape with these and those between joined."""
    first, last = _axis(start, len(shape)), _axis(end, len(shape))
    return first, last, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


@functools.lru_cache
def _split(shape: tuple[int, ...], dim: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with an axis split into several, of which one may be -1."""
    axis = _axis(dim, len(shape))
    return *shape[:axis], *np.empty(shape[axis], np.bool_).reshape(sizes).shape, *shape[axis + 1 :]
