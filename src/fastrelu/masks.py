"""Masks of one bit per element, from which the gradient of a piecewise linear function follows without its input.

A mask says where the derivative is that of the inner piece. Bit ``j`` of byte ``i`` stands for element ``8 * i + j`` in C
order, and bits after the last element are 0, as in ``np.packbits(..., bitorder="little")``: a mask of ``n`` elements is a
one-dimensional array of ``ceil(n / 8)`` bytes, whatever the layout of the data. ::

    y, mask = masks.leaky_relu_with_mask(x, -0.5, out=x)     # x is overwritten, and the mask is 1/32 of it
    dx = masks.backward_from_mask(grad, mask, -0.5)
    np.unpackbits(mask, count=x.size, bitorder="little").reshape(x.shape)

The gradient has the bits of that from the input, but for one case: where x is NaN the bit is not set, and the gradient is
that of the outer piece. The output is NaN there.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastrelu._packed as _packed  # noqa: PLR0402  not what stands for it in the package
from fastrelu import activations
from fastrelu._core import check_types, empty_like, joint_dtype, target_in_place
from fastrelu._foreign import refuse, refuse_mask
from fastrelu._kernels import copy_into
from fastrelu._typing import Output
from fastrelu.gated_units import broadcasts
from fastrelu.runtime import isa, kernels

__all__ = [
    "backward_from_mask",
    "hard_shrink_with_mask",
    "hard_sigmoid_with_mask",
    "hard_tanh_with_mask",
    "leaky_relu_with_mask",
    "prelu_with_mask",
    "relu6_with_mask",
    "relu_with_mask",
    "shrink_with_mask",
    "soft_shrink_with_mask",
    "threshold_with_mask",
    "thresholded_relu_with_mask",
]

Mask = NDArray[np.uint8]
WithMask = Callable[..., tuple[Any, Mask]]
_USUAL = (np.dtype(np.float32), np.dtype(np.float64))
_NUMBERS = (int, float, np.integer, np.floating)
_PLAIN = (bool, int, float)
_FEW = 16  # elements of a row


def as_data(name: str, operand: str, value: Any) -> NDArray[Any]:
    """Return an operand as a plain array that the kernels can read: of a type that they compute, in native byte order."""
    if type(value) is np.ndarray and value.dtype in _USUAL and value.flags.aligned:
        return value
    refuse(name, **{operand: value})
    refuse_mask(name, value)
    array = np.asarray(value)
    check_types(name, (operand,), (array,))
    return np.require(array, joint_dtype(array), "A")


class Result:
    """What a call of the kernels writes into: `out`, or a new array, which is copied into it if its type is another.

    Raises unless a result of the shape of `like` and of this type can be written into `out`.
    """

    def __init__(self, name: str, out: Any, like: NDArray[Any], dtype: Any) -> None:
        self.name, self.dtype = name, np.dtype(dtype)
        self.given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
        self.target: NDArray[Any] | None = None
        if self.given is None:
            self.array = empty_like(like) if like.dtype == self.dtype else np.empty_like(like, self.dtype)
            return
        if type(self.given) is not np.ndarray:
            refuse(name, out=self.given)
            refuse_mask(name, self.given)
        self.target = target = np.asarray(target_in_place(name, self.given))
        if target.shape != like.shape:
            raise ValueError(f"{name}: out has the shape {target.shape}, the result {like.shape}")
        # Of integers "same_kind" would let some wrap.
        casting: Any = "safe" if self.dtype.kind in "iu" else "same_kind"
        if target.dtype != self.dtype and not np.can_cast(self.dtype, target.dtype, casting):
            raise TypeError(f"{name}: the result of type {self.dtype} cannot be cast into out of type {target.dtype}")
        if not target.flags.writeable:
            raise ValueError(f"{name}: out is read-only")
        direct = target.dtype == self.dtype and target.dtype.isnative and target.flags.aligned
        self.array = target if direct and 0 not in target.strides else np.empty(like.shape, self.dtype)

    def apart(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return an operand, or a copy of it if the call would overwrite elements that are still to be read."""
        y = self.array
        if x is y or not np.may_share_memory(x, y):
            return x
        same = x.ctypes.data == y.ctypes.data and x.strides == y.strides and x.dtype == y.dtype
        return x if same else x.copy()

    def finished(self) -> Any:
        """Return the result: `out` if it is given, a scalar if there are no axes, as ufuncs do."""
        if self.target is None:
            return self.array if self.array.ndim else self.array[()]
        if self.array is not self.target:
            copy_into(self.target, self.array)
        return self.given


def _dense_order(*arrays: Any) -> tuple[int, ...] | None:
    """Return the axes in the order in which the elements of all arrays lie in memory without a gap; None for C order.

    The kernels take elements in the order of the bits, which would be far from each other.
    """
    first = arrays[0]
    if first.ndim < 2 or first.flags.c_contiguous:
        return None
    axes = tuple(sorted(range(first.ndim), key=lambda axis: -first.strides[axis]))
    if first.shape[axes[-1]] < _FEW:  # then the bits are
        return None
    return axes if all(array.transpose(axes).flags.c_contiguous for array in arrays) else None


def _reordered(bits: Mask, shape: tuple[int, ...], axes: Any) -> Mask:
    """Return the bits of elements of a shape in the order in which they are with other axes first."""
    given = np.unpackbits(bits, count=math.prod(shape), bitorder="little").reshape(shape)
    return np.packbits(given.transpose(axes).reshape(-1), bitorder="little")


def _with_mask(
    function: str,
    gradient: str | None = None,
    backward: str = "backward_from_mask(grad, mask)",
    *,
    by_output: bool = False,
) -> WithMask:
    """Return ``f_with_mask`` of a function whose derivative is one number where the mask is set and another elsewhere.

    `gradient` is a function whose derivative is not 0 exactly where the mask is set: the function itself, unless its
    derivative has two numbers other than 0. It takes no parameters, and the function also arrays of slopes. With
    `by_output` the function itself is not 0 exactly where the mask is set.
    """
    name = f"{function}_with_mask"
    own = getattr(activations, function)
    signature = inspect.Signature([p for p in inspect.signature(own).parameters.values() if p.name != "where"])
    names = tuple(p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)[1:]
    forward, of_mask = kernels.get(function), None if by_output else kernels[f"{gradient or function}_backward"]
    takes_numbers = gradient is None and not by_output
    usual = {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}
    takes_x_alone = len(usual) == len(signature.parameters) - 1
    defaults = tuple(usual.get(parameter) for parameter in names)

    def with_mask(*args: Any, **options: Any) -> tuple[Any, Mask]:
        out = options.get("out")
        if len(args) > 0 and len(options) == ("out" in options):  # without the time that a signature takes to bind
            numbers = args[1:] + defaults[len(args) - 1 :]
            found = _packed.plain_mask_of(
                name, isa, forward, numbers, of_mask, numbers if takes_numbers else (), args[0], out
            )
            if found is not None:
                return found
        if takes_x_alone and len(args) == 1 and not options:
            given = {"x": args[0], **usual}
        else:
            try:
                bound = signature.bind(*args, **options)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            bound.apply_defaults()
            given = dict(bound.arguments)
        x, out = given.pop("x"), given.pop("out")
        numbers = tuple(given[parameter] for parameter in names)
        data = as_data(name, "x", x)
        if any(isinstance(number, (np.generic, np.ndarray)) for number in numbers):  # which promote
            check_types(name, names, numbers)
            data = data.astype(joint_dtype(x, *numbers), copy=False)
            numbers = tuple(float(number) if isinstance(number, np.generic) else number for number in numbers)
        x = data
        if forward is not None and all(type(number) in _PLAIN for number in numbers):
            y = Result(name, out, x, x.dtype)
            x = y.apart(x)
            axes = _dense_order(x, y.array)
            x, to = (x, y.array) if axes is None else (x.transpose(axes), y.array.transpose(axes))
            mask = _packed.mask_of(name, isa, forward, numbers, of_mask, numbers if takes_numbers else (), x, to)
            return y.finished(), mask if axes is None else _reordered(mask, x.shape, np.argsort(axes))
        if gradient is None:
            raise TypeError(f"{name} takes numbers as parameters, got {', '.join(map(repr, numbers))}")
        if given.get("axis") is None and not broadcasts(numbers[0], x.shape):
            raise ValueError(
                f"{name}: {names[0]} of shape {np.shape(numbers[0])} does not broadcast to the shape of x, {x.shape}"
            )
        mask = _packed.mask_of(name, isa, of_mask, (), of_mask, (), x, None)  # first: the result may overwrite x
        return own(x, **given, out=out), mask

    with_mask.__name__ = with_mask.__qualname__ = name
    # What help and inspect show.
    with_mask.__signature__ = signature  # type: ignore[attr-defined]  # functions have it for inspect
    with_mask.__doc__ = f"""Apply :func:`fastrelu.{function}` and return the result, which is `out` if given, and its mask.

    The gradient is ``{backward}``. Arguments are those of the function, parameters
    {"numbers or arrays that broadcast to the shape of x" if gradient else "numbers"}.
    """
    return with_mask


relu_with_mask = _with_mask("relu", by_output=True)
relu6_with_mask = _with_mask("relu6")
leaky_relu_with_mask = _with_mask("leaky_relu", "relu", "backward_from_mask(grad, mask, negative_slope)")
prelu_with_mask = _with_mask("prelu", "relu", "backward_from_mask(grad, mask, weight)")
threshold_with_mask = _with_mask("threshold")
thresholded_relu_with_mask = _with_mask("thresholded_relu")
hard_tanh_with_mask = _with_mask("hard_tanh")
hard_sigmoid_with_mask = _with_mask("hard_sigmoid", None, "backward_from_mask(grad, mask, slope=slope)")
hard_shrink_with_mask = _with_mask("hard_shrink", by_output=True)
soft_shrink_with_mask = _with_mask("soft_shrink", by_output=True)
shrink_with_mask = _with_mask("shrink")


def backward_from_mask(
    grad: ArrayLike, mask: ArrayLike, negative_slope: ArrayLike = 0.0, *, slope: float = 1.0, out: Output = None
) -> Any:
    """Gradient of a piecewise linear function from its mask: ``slope * grad`` where it is set.

    Elsewhere it is ``negative_slope * grad``, which is +0 for a slope of 0, whatever the gradient is.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    mask : array_like of uint8
        One bit for each element of `grad` in C order: what ``relu_with_mask`` and its like return, or
        ``np.packbits(..., bitorder="little")``.
    negative_slope : array_like, default 0.0
        Derivative where the mask is not set: a number, or an array that broadcasts to the shape of `grad`.
    slope : float, default 1.0
        Derivative where the mask is set.
    out : optional
        Buffer for the result, which may be `grad`.

    Returns
    -------
    ndarray or scalar
        Of the shape of `grad`; `out` if given.

    Raises
    ------
    TypeError
        If the mask is not an array of uint8, or `slope` is not a number.
    ValueError
        If the mask has not one bit for each element of `grad`, or `negative_slope` another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import masks
    >>> y, mask = masks.leaky_relu_with_mask(np.float32([-2.0, 3.0, -1.0]), -0.5)
    >>> mask
    array([2], dtype=uint8)
    >>> masks.backward_from_mask(np.float32([1.0, 1.0, 4.0]), mask, -0.5)
    array([-0.5,  1. , -2. ], dtype=float32)
    """
    name = "backward_from_mask"
    found = _packed.plain_select(name, isa, grad, mask, slope, negative_slope, out)
    if found is not None:
        return found
    g, bits = as_data(name, "grad", grad), as_mask(name, mask, np.size(grad))
    if not isinstance(slope, _NUMBERS):
        raise TypeError(f"{name} takes a number as slope, got {slope!r}")
    outside: Any = negative_slope
    if type(negative_slope) not in _PLAIN:
        outside = as_data(name, "negative_slope", negative_slope)
        g = g.astype(joint_dtype(grad, negative_slope), copy=False)
        if not broadcasts(outside, g.shape):
            raise ValueError(
                f"{name}: negative_slope of shape {outside.shape} does not broadcast to the shape of grad, {g.shape}"
            )
    dx = Result(name, out, g, g.dtype)
    if isinstance(outside, np.ndarray):
        outside = dx.apart(outside)
    g, bits, to = dx.apart(g), dx.apart(bits), dx.array
    axes = None if isinstance(outside, np.ndarray) else _dense_order(g, to)
    if axes is not None:
        bits, g, to = _reordered(bits, g.shape, axes), g.transpose(axes), to.transpose(axes)
    _packed.select(name, isa, g, bits, float(slope), outside, to)
    return dx.finished()


def as_mask(name: str, mask: Any, size: int) -> Mask:
    """Return a mask of `size` elements as a contiguous array."""
    if type(mask) is not np.ndarray:
        refuse(name, mask=mask)
        refuse_mask(name, mask)
    array = np.asarray(mask)
    if array.dtype != np.uint8:
        raise TypeError(
            f"{name} takes a mask of uint8, eight elements to a byte, got {None if mask is None else array.dtype}: "
            'pack booleans with numpy.packbits(mask, bitorder="little")'
        )
    if array.shape != ((size + 7) // 8,):
        raise ValueError(f"{name}: the mask of {size} elements has the shape ({(size + 7) // 8},), got {array.shape}")
    return np.ascontiguousarray(array)
