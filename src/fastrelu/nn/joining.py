"""Layers of several inputs, for networks with branches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastrelu._foreign import refuse, refuse_none
from fastrelu._kernels import as_half, as_native
from fastrelu._options import integer
from fastrelu._walk import plain_alike, save, shape_of, shapes_of
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import FLOATS, Parameter, is_half, native
from fastrelu.nn.record import watching


class _Joining(Layer):
    """Base of the layers that take any number of arrays, as arguments or in one list.

    The inputs may be numbers and parameters too. The result has the type of the floating-point inputs; integers and
    booleans do not change it.
    """

    def forward(self, *inputs: Any) -> Any:
        """Return what the inputs make together.

        Parameters
        ----------
        *inputs : array_like or Parameter
            One or more, of any shapes that fit together.

        Raises
        ------
        TypeError
            If an input is a masked array, or consists of anything but real numbers.
        ValueError
            If the shapes do not fit together.
        """
        if len(inputs) == 1 and isinstance(inputs[0], (tuple, list)):
            inputs = tuple(inputs[0])
        values = inputs if plain_alike(inputs) else self._converted(inputs)
        y = self._join(values)
        if self.training or self._saved or watching():
            parameters = () if values is inputs else self._kept_parameters(inputs)
            save(self, inputs, (y,), (self._kept(values), shape_of(y), parameters))
        return y

    def _converted(self, inputs: tuple[Any, ...]) -> Sequence[Any]:
        """Return the inputs in one type; numbers adapt to it by themselves."""
        if not inputs:
            raise TypeError(f"{self!r} takes one or more arrays, got none")
        for x in inputs:
            refuse_none(self, x=x)
            refuse(self, x=x)
        values = [
            x if type(x) in {bool, int, float} else x.data if isinstance(x, Parameter) else native(np.asanyarray(x))
            for x in inputs
        ]
        types = [x.dtype for x in values if isinstance(x, np.ndarray)]
        halves = [kind for kind in types if is_half(kind)]
        if halves and types == halves[:1] * len(types):
            return [np.asarray(x) if isinstance(x, np.ndarray) else x for x in values]
        types = [FLOATS[0] if is_half(kind) else kind for kind in types]
        wrong = [str(kind) for kind in types if kind.kind not in "biuf" or kind.itemsize > FLOATS[1].itemsize]
        if wrong:
            raise TypeError(f"{self!r} takes arrays of real numbers, got {wrong[0]}")
        if any(isinstance(x, np.ma.MaskedArray) for x in values):
            raise TypeError(f"{self!r} cannot take a masked array into account: fill it first, x.filled(0)")
        dtype = np.result_type(*([kind for kind in types if kind.kind == "f"] or types), np.float32)
        return [np.asarray(x, dtype) if isinstance(x, np.ndarray) else x for x in values]

    def _join(self, values: Sequence[Any]) -> Any:
        raise NotImplementedError

    def _kept(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return what the gradients need of the inputs: here their shapes."""
        return shapes_of(values)

    def _kept_parameters(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG002  Multiply keeps some
        """Return the inputs that are parameters of whose values the gradients consist; None for the others."""
        return ()

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[1]
        return shape

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:  # noqa: ARG002  the inputs share the gradient
        """Return the gradient of the only input, or a tuple of gradients."""
        if not input_grad:
            return None
        g: NDArray[Any] = grad
        if not plain_alike((grad,)):
            refuse(self, grad=grad)
            g = native(np.asarray(grad))
        kept, some, found = saved[0], isinstance(input_grad, tuple), []
        for i in range(len(kept)):
            found.append(None if some and not input_grad[i] else self._share(g, kept, i))
        return found[0] if len(found) == 1 else tuple(found)

    def _share(self, grad: NDArray[Any], kept: Sequence[Any], i: int) -> NDArray[Any]:
        """Return the gradient with respect to one of the inputs."""
        raise NotImplementedError


class _Elementwise(_Joining):
    """Base of sum and product."""

    _operator: ClassVar[Callable[..., Any]]

    def _join(self, values: Sequence[Any]) -> Any:
        if len(values) == 1:
            return np.array(values[0])
        function, y = self._operator, values[0]
        try:
            for x in values[1:]:
                y = function(y, x)
        except ValueError:  # the question whether shapes fit takes longer than a small sum
            text = ", ".join(map(str, shapes_of(values)))
            raise ValueError(f"{self!r} takes arrays of one shape, or that broadcast, got {text}") from None
        return y


class Add(_Elementwise):
    """Sum of any number of arrays, which broadcast, as in a residual connection.

    In a `forward` it takes the place of ``x + y``, which NumPy computes unrecorded.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> add = nn.Add()
    >>> add(np.float32([[1.0, 2.0]]), np.float32([[10.0], [20.0]]))
    array([[11., 12.],
           [21., 22.]], dtype=float32)
    >>> dx, dy = add.backward(np.ones((2, 2), np.float32))
    >>> dx, dy
    (array([[2., 2.]], dtype=float32), array([[2.],
           [2.]], dtype=float32))
    """

    _operator: ClassVar[Callable[..., Any]] = staticmethod(operator.add)

    def _share(self, grad: NDArray[Any], kept: Sequence[Any], i: int) -> NDArray[Any]:
        shape = kept[i]
        return grad if grad.shape == shape else _summed(grad, shape)


class Multiply(_Elementwise):
    """Product of any number of arrays, which broadcast, as in a gate, a mask or a learned scale.

    In a `forward` it takes the place of ``x * y``, which NumPy computes unrecorded.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> multiply, scale = nn.Multiply(), nn.Parameter(np.float32([2.0, 3.0]))
    >>> multiply(np.float32([[1.0, 2.0]]), scale)
    array([[2., 6.]], dtype=float32)
    """

    _operator: ClassVar[Callable[..., Any]] = staticmethod(operator.mul)

    def _kept(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    def _kept_parameters(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([x if isinstance(x, Parameter) else None for x in inputs])

    def _reads(self, saved: Any, input_grad: Any) -> list[Parameter]:
        """Return those by which the gradient of another input is multiplied."""
        given = saved[2]
        needed = input_grad if isinstance(input_grad, tuple) else (input_grad,) * len(given)
        return [x for i, x in enumerate(given) if x is not None and any(needed[j] for j in range(len(given)) if j != i)]

    def _share(self, grad: NDArray[Any], kept: Sequence[Any], i: int) -> NDArray[Any]:
        share = grad
        for j, x in enumerate(kept):
            if j != i:
                share = share * x
        shape = shape_of(kept[i])
        return share if share.shape == shape else _summed(share, shape)


class Concatenate(_Joining):
    """Concatenation of any number of arrays along an axis.

    In a `forward` it takes the place of ``np.concatenate``, which NumPy computes unrecorded.

    Parameters
    ----------
    axis : int, default -1
        The axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Concatenate()(np.zeros((2, 3)), np.ones((2, 1)))
    array([[0., 0., 0., 1.],
           [0., 0., 0., 1.]])
    """

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"axis": integer}

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def _join(self, values: Sequence[Any]) -> Any:
        try:
            return np.concatenate(values, self.axis)
        except ValueError:
            shapes = shapes_of(values)
            if not -len(shapes[0]) <= self.axis < len(shapes[0]):
                raise ValueError(f"{self!r}: arrays of shape {shapes[0]} have no such axis") from None
            raise ValueError(f"{self!r} cannot join arrays of shapes {', '.join(map(str, shapes))}") from None

    def _kept(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return the part of the result that each input became, as an index."""
        axis, kept, begin = self.axis, [], 0
        before = (slice(None),) * (axis % values[0].ndim)
        for x in values:
            end = begin + x.shape[axis]
            kept.append((*before, slice(begin, end)))
            begin = end
        return kept

    def _share(self, grad: NDArray[Any], kept: Sequence[Any], i: int) -> NDArray[Any]:
        part: NDArray[Any] = grad[kept[i]]
        return part

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"axis={self.axis}"


def _summed(grad: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the gradient with respect to an array that was broadcast."""
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    axes = tuple([i for i in range(grad.ndim) if i < added or shape[i - added] != grad.shape[i]])
    result: NDArray[Any]
    if is_half(grad.dtype):  # in their own type, as NumPy adds them, the sum of 3000 ones is 2048 or less
        result = as_half(np.asarray(np.add.reduce(as_native(grad), axis=axes, dtype=np.float64)), grad.dtype)
    else:
        result = np.add.reduce(grad, axis=axes)
    return result.reshape(shape)
