"""Layers that change the shape, or nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastrelu.nn.module import Layer, Module

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Identity(Module):
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
        if self.training:
            self._saved = getattr(x, "shape", None)
        return x

    def backward(self, grad: Any, *, input_grad: bool = True, overwrite_grad: bool = False) -> Any:  # noqa: ARG002  grad is returned as it is
        """Return `grad` itself."""
        if self._saved is not None:  # needs no forward call
            self._check_gradient(grad, self._take())
        return grad if input_grad else None


class Flatten(Layer):
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

    _passes_memory_on: ClassVar[bool] = True

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Return `x` with the axes joined, as a view if the memory layout allows it.

        Raises
        ------
        numpy.exceptions.AxisError
            If `x` has no such axis.
        ValueError
            If the last axis comes before the first.
        """
        array = np.asanyarray(x)
        first, last = (_axis(axis, array.ndim) for axis in (self.start_dim, self.end_dim))
        if last < first:
            raise ValueError(f"{self!r} cannot join axes {first} to {last}")
        joined = math.prod(array.shape[first : last + 1])
        y: NDArray[Any] = array.reshape(*array.shape[:first], joined, *array.shape[last + 1 :])
        if self.training:
            self._saved = array.shape, y.shape
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[1]
        return shape

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> NDArray[Any]:
        return np.reshape(grad, saved[0])

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim
