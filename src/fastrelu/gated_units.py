"""Gated linear units: an activation of one half of an axis, the gate, times the other half, the value, in one pass.

The halves are the first and the second half of an axis, its even and odd elements, or two arrays. Nothing is copied to
split them. Each result has the bits of the product of two arrays, ``f(gate) * value``.
"""

from __future__ import annotations

import functools
import math
from operator import methodcaller
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import _gated, activations
from fastrelu._core import check_types, empty_like, explaining, joint_dtype, target_in_place
from fastrelu._foreign import is_foreign, refuse, refuse_labels, refuse_untyped
from fastrelu._fused import ADD, MULTIPLY, call_fused
from fastrelu._kernels import as_half, as_native, copy_into, quietly
from fastrelu._options import axis_index, choice, real_number
from fastrelu._runtime import call_whole
from fastrelu._typing import Output
from fastrelu.runtime import kernels

__all__ = [
    "geglu",
    "geglu_backward",
    "glu",
    "glu_backward",
    "reglu",
    "reglu_backward",
    "swiglu",
    "swiglu_backward",
]

Gate = Literal["first", "second"]
Layout = Literal["halves", "interleaved"]
Pair = tuple[ArrayLike, ArrayLike]

_USUAL = (np.dtype(np.float32), np.dtype(np.float64))
_MANY = 512  # elements


class Unit:
    """One call of a gated linear unit: its activation, and how gate and value lie in the input.

    Parameters
    ----------
    name : str
        Of the public function.
    activation : str
        Of the kernel.
    numbers : tuple
        Values of the activation's parameters.
    axis, gate, layout, limit, offset
        Arguments of the public function.
    """

    def __init__(
        self,
        name: str,
        activation: str,
        numbers: tuple[Any, ...] = (),
        *,
        axis: int,
        gate: Gate | None,
        default: Gate = "first",
        layout: Layout,
        limit: float | None = None,
        offset: float = 0.0,
    ) -> None:
        if gate is not None:
            _check_choice(name, "gate", gate)
        _check_choice(name, "layout", layout)
        # Conversions first: they may run the caller's code, which may change arrays.
        numbers = tuple(map(_number, numbers))
        bound, shift = None if limit is None else _real(name, "limit", limit), _real(name, "offset", offset)
        if bound is not None and not bound > 0:
            raise ValueError(f"{name}: limit must be positive, got {limit!r}")
        if not math.isfinite(shift):
            raise ValueError(f"{name}: offset must be finite, got {offset!r}")
        self.name, self.activation, self.numbers = name, activation, numbers
        self.axis, self.given, self.layout = axis, gate, layout
        self.gate = gate or default
        self.limit, self.offset = bound, shift
        self.function_name = "gelu" if activation == "gelu_tanh" else activation
        self.options = ("tanh",) if activation == "gelu_tanh" else numbers

    def function(self, x: Any) -> Any:
        """Return the activation of an array."""
        return getattr(activations, self.function_name)(x, *self.options)

    def function_backward(self, grad: Any, x: Any) -> Any:
        """Return the gradient of the activation."""
        return getattr(activations, f"{self.function_name}_backward")(grad, x, *self.options)

    def operands(self, name: str, x: Any) -> tuple[Any, Any]:
        """Return gate and value of an input, whose types and shapes are checked."""
        pair = isinstance(x, tuple)
        gate, value = self.split(x)
        check_types(name, ("gate", "value") if pair else ("x",), (gate, value) if pair else (gate,))
        for number in self.numbers:
            if type(number) is np.ndarray and not broadcasts(number, gate.shape):
                raise ValueError(
                    f"{name}: beta of shape {number.shape} does not broadcast to the shape of the gate, {gate.shape}"
                )
        return gate, value

    def split(self, x: Any) -> tuple[Any, Any]:
        """Return gate and value, which are views of an input in one array."""
        if isinstance(x, tuple):
            if len(x) != 2:
                raise ValueError(f"{self.name} takes one array or a pair (gate, value), got a tuple of {len(x)}")
            if self.given is not None or self.layout != "halves":
                raise ValueError(f"{self.name}: gate= and layout= belong to an input in one array, not to a pair")
            gate, value = map(_shaped, x)
            if self.axis != -1:  # has no effect, but should exist
                axis_index(self.axis, gate.ndim)
            if gate.shape != value.shape:
                check_types(self.name, ("gate", "value"), (gate, value))  # of None the shape says nothing
                raise ValueError(
                    f"{self.name} takes a gate and a value of one shape, got {gate.shape} and {value.shape}"
                )
            return gate, value
        if type(x) is not np.ndarray:
            if isinstance(x, list) and len(x) == 2 and all(getattr(part, "ndim", 0) for part in x):
                raise TypeError(
                    f"{self.name} takes one array or a pair (gate, value), got a list of two arrays: pass the tuple "
                    "(gate, value), or numpy.stack of the list for one array"
                )
            refuse_labels(f"{self.name} of one array", x=x)  # the halves would meet by their labels
            x = _shaped(x)
            check_types(self.name, ("x",), (x,))  # None has no axis, which says nothing
        first, second = self.halves(x)
        return (first, second) if self.gate == "first" else (second, first)

    def halves(self, x: Any) -> tuple[Any, Any]:
        """Return the two halves of an array as views."""
        axis = axis_index(self.axis, len(x.shape))
        length = x.shape[axis]
        if length % 2:
            raise ValueError(
                f"{self.name} needs an even number of elements along axis {self.axis}, got shape {x.shape}"
            )
        before = (slice(None),) * axis
        if self.layout == "interleaved":
            return x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))]
        return x[(*before, slice(0, length // 2))], x[(*before, slice(length // 2, None))]

    def clipped(self, gate: Any, value: Any) -> tuple[Any, Any]:
        """Return gate and value, which have the type of a result, within `limit`, and the value plus `offset`."""
        if self.limit is not None:
            highest = gate.dtype.type(self.limit)
            if is_16_bit(gate):  # NumPy takes ten times as long
                gate = activations.hard_tanh(gate, -math.inf, float(highest))
            else:
                gate = call_whole(self.name, np.minimum, gate, highest)
            value = activations.hard_tanh(value, -self.limit, self.limit)
        if self.offset and is_16_bit(value):
            value = combined(self.name, ADD, value, np.asarray(self.offset, value.dtype))
        elif self.offset:
            value = call_whole(self.name, np.add, value, value.dtype.type(self.offset))
        return gate, value

    def forward(self, x: Any, out: Any) -> Any:
        """Return ``f(gate) * value``."""
        gate, value = self.operands(self.name, x)
        plain = self.limit is None and not self.offset
        passes = ((kernels[self.activation], (gate, *self.numbers), ((1 + len(self.numbers), MULTIPLY, value),), out),)
        results = call_fused(self.name, passes) if plain else None
        if results is not None:
            return results[0]
        refuse_labels(self.name, out=out)
        given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
        target = (
            given
            if given is None or isinstance(given, tuple) or is_foreign(given)
            else target_in_place(self.name, given)
        )
        with np.errstate(all="ignore"):  # a pass of the kernels adds no warnings either
            if not plain:
                refuse_untyped(self.name, gate=gate, value=value)
                gate, value = self.clipped(*(_as_type(self.name, a, joint_dtype(a)) for a in (gate, value)))
            gate = self.function(gate)
            if target is None or type(target) is np.ndarray:
                product = combined(self.name, MULTIPLY, gate, value, target)
                return product if target is None else given
            if isinstance(target, np.ndarray):
                call_whole(self.name, np.multiply, gate, value, target)
                return given
            return call_whole(self.name, functools.partial(np.multiply, out=target), gate, value)

    def backward(self, grad: Any, x: Any, out: Any) -> Any:
        """Return the gradient in the layout of the input."""
        name = f"{self.name}_backward"
        gate, value = self.operands(name, x)
        grad = _shaped(grad)
        check_types(name, ("grad",), (grad,))
        if grad.shape != gate.shape:
            raise ValueError(f"{name}: the output was of shape {gate.shape}, the gradient is {grad.shape}")
        for target in out if isinstance(out, tuple) else (out,):
            refuse(name, out=target)
        refuse_untyped(name, grad=grad, gate=gate, value=value)
        kind = joint_dtype(grad, gate, value, *self.numbers)
        if isinstance(x, tuple):
            return self._gradients(grad, gate, value, kind, self._pair_of(name, gate, out, kind))
        if not isinstance(x, np.ndarray):
            if hasattr(type(x), "__array_ufunc__"):
                raise TypeError(
                    f"{name} fills one array of NumPy with both gradients; of a {type(x).__name__} pass the "
                    "pair (gate, value), which gives a pair of gradients"
                )
            x = np.asarray(x)
        refuse(name, grad=grad)
        if isinstance(out, tuple):
            if len(out) != 1:
                raise ValueError(f"{name} writes the gradient of one array into one, got a tuple of {len(out)} as out")
            (out,) = out
        if out is None and explaining():  # before memory is taken
            self._gradients(grad, gate, value, kind, (None, None))
        if out is None:
            plain = type(x) is np.ndarray and kind == x.dtype
            out = empty_like(x) if plain else np.empty_like(x, kind, subok=type(x) is not np.memmap)
        target = target_in_place(name, out)
        if target.shape != x.shape:
            raise ValueError(f"{name} needs out= of the shape of the input, {x.shape}, got {target.shape}")
        if target.dtype != kind and np.can_cast(kind, target.dtype, "same_kind"):
            # Both halves before any is written: a conversion may find no memory.
            fresh = np.empty(x.shape, kind)
            self._gradients(grad, gate, value, kind, self.split(fresh))
            call_whole(name, copy_into, target, fresh)
            return out
        self._gradients(grad, gate, value, kind, self.split(target))
        return out

    def _pair_of(self, name: str, gate: Any, out: Any, kind: np.dtype[Any]) -> tuple[Any, Any]:
        """Return what the gradients of gate and value are written into, each an array or None."""
        if out is None:
            return None, None
        if not isinstance(out, tuple) or len(out) != 2:
            found = f"a tuple of {len(out)}" if isinstance(out, tuple) else repr(type(out).__name__)
            raise TypeError(f"{name} writes the gradients of a pair into a pair, out=(of gate, of value), got {found}")
        first, second = (target if target is None else target_in_place(name, target) for target in out)
        for target in (first, second):
            if target is None:
                continue
            if target.shape != gate.shape:
                raise ValueError(f"{name} needs out= of the shape of the gate, {gate.shape}, got {target.shape}")
            if not np.can_cast(kind, target.dtype, "same_kind"):
                raise TypeError(f"{name}: a gradient of type {kind} cannot be cast into out of type {target.dtype}")
            if not target.flags.writeable:
                raise ValueError(f"{name}: out is read-only")
        return first, second

    def _gradients(
        self, grad: Any, gate: Any, value: Any, kind: np.dtype[Any], out: tuple[Any, Any]
    ) -> tuple[Any, Any]:
        """Return the gradients with respect to gate and value, computed in one type."""
        plain = self.limit is None and not self.offset
        results = self._fused_gradients(grad, gate, value, out) if plain else None
        if results is not None:
            return results
        with np.errstate(all="ignore"):  # a pass of the kernels adds no warnings either
            # Products of integers would wrap.
            given = grad, gate, value
            grad, gate, value = (_as_type(self.name, a, kind) for a in given)
            if plain and not (grad is given[0] and gate is given[1] and value is given[2]):
                results = self._fused_gradients(grad, gate, value, out)
                if results is not None:
                    return results
            inner, outer = self.clipped(gate, value)
            of_value = combined(self.name, MULTIPLY, self.function(inner), grad)
            of_gate = self.function_backward(combined(self.name, MULTIPLY, grad, outer), inner)
        last = kernels["identity"]
        of_both: tuple[tuple[Any, ...], ...] = (of_gate,), (of_value,)
        if self.limit is not None:
            last = kernels["hard_tanh_backward"]
            of_both = (of_gate, gate, -np.inf, self.limit), (of_value, value, -self.limit, self.limit)
        if out[0] is not None and out[1] is not None:  # both are written, or none where there is no memory
            passes = tuple((last, operands, (), target) for operands, target in zip(of_both, out, strict=True))
            if call_fused(f"{self.name}_backward", passes) is not None:
                return out
        if self.limit is not None:
            of_gate, of_value = (activations.hard_tanh_backward(*operands) for operands in of_both)
        return self._stored(of_gate, out[0]), self._stored(of_value, out[1])

    def _fused_gradients(self, grad: Any, gate: Any, value: Any, out: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """Return both gradients from one pass; None, and nothing is done, where the driver cannot read the operands."""
        forward, backward = kernels[self.activation], kernels[f"{self.activation}_backward"]
        of_gate = (backward, (grad, gate, *self.numbers), ((0, MULTIPLY, value),), out[0])
        of_value = (forward, (gate, *self.numbers), ((1 + len(self.numbers), MULTIPLY, grad),), out[1])
        results = call_fused(f"{self.name}_backward", (of_gate, of_value))
        return None if results is None else (results[0], results[1])

    def _stored(self, gradient: Any, target: Any) -> Any:
        """Return a gradient, in `target` if it is given."""
        if target is None:
            return gradient
        plain = gradient if is_foreign(gradient) else np.asarray(gradient)  # a subclass would get the target
        own = type(target) is type(plain) is np.ndarray
        copy: Any = copy_into if own else functools.partial(quietly, np.copyto)  # both cast if the kind stays
        call_whole(self.name, copy, target, plain)
        return target


def _forward(
    x: Any,
    out: Any,
    name: str,
    activation: str,
    numbers: tuple[Any, ...],
    axis: int,
    gate: Gate | None,
    default: Gate,
    layout: Layout,
    limit: float | None = None,
    offset: float = 0.0,
) -> Any:
    """Return a unit of an input: of a dense one without a :class:`Unit`, which costs more than a small kernel."""
    if limit is None and type(offset) is float and offset == 0.0:
        kernel, second = kernels[activation], default == "second"
        found = _gated.dense_unit(name, kernel, numbers, x, axis, second, gate, layout, out)
        if found is not None:
            return found
    unit = Unit(
        name, activation, numbers, axis=axis, gate=gate, default=default, layout=layout, limit=limit, offset=offset
    )
    return unit.forward(x, out)


def _backward(
    grad: Any,
    x: Any,
    out: Any,
    name: str,
    activation: str,
    numbers: tuple[Any, ...],
    axis: int,
    gate: Gate | None,
    default: Gate,
    layout: Layout,
    limit: float | None = None,
    offset: float = 0.0,
) -> Any:
    """Return the gradient of a unit in the same way."""
    if limit is None and type(offset) is float and offset == 0.0:
        kernel, gradient, second = kernels[activation], kernels[activation + "_backward"], default == "second"
        found = _gated.dense_unit_backward(name, kernel, gradient, numbers, grad, x, axis, second, gate, layout, out)
        if found is not None:
            return found
    unit = Unit(
        name, activation, numbers, axis=axis, gate=gate, default=default, layout=layout, limit=limit, offset=offset
    )
    return unit.backward(grad, x, out)


_CHOICES = {
    "gate": choice("first", "second"),
    "layout": choice("halves", "interleaved"),
    "approximate": choice("none", "tanh"),
}


def _check_choice(name: str, option: str, value: Any) -> None:
    _CHOICES[option](f"{name}: {option}", value)


def _real(name: str, option: str, value: Any) -> float:
    """Return an option as a number."""
    if type(value) is float:
        return value
    return real_number(f"{name}: {option}", value)


def _shaped(value: Any) -> Any:
    """Return an operand that has a shape: arrays of other libraries stay what they are."""
    return value if hasattr(value, "shape") and not isinstance(value, memoryview) else np.asarray(value)


def _as_type(name: str, array: Any, kind: np.dtype[Any]) -> Any:
    array = array if array.dtype == kind else _widened(name, array)
    return array if array.dtype == kind else call_whole(name, methodcaller("astype", kind), array)


def is_16_bit(*arrays: Any) -> bool:
    """Whether one is a plain array of a type of 16 bits, and one so large that NumPy takes longer than a pass of ours."""
    plain = [array for array in arrays if type(array) is np.ndarray]
    halves = [array for array in plain if array.itemsize == 2 and array.dtype.kind not in "iu"]
    return bool(halves) and max(array.size for array in plain) >= _MANY


def _widened(name: str, array: Any) -> Any:
    """Return a plain array of a type of 16 bits in float32, and others as they are."""
    return call_whole(name, as_native, array) if is_16_bit(array) else array


def _narrowed(kind: np.dtype[Any], array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in a type of 16 bits, which has all its numbers."""
    return array if array.dtype == kind else as_half(as_native(array).astype(np.float32, copy=False), kind)


def combined(name: str, how: int, a: Any, b: Any, out: NDArray[Any] | None = None) -> Any:
    """Return the sum or the product of two arrays as NumPy rounds it, in `out` if it is given.

    NumPy's loops over 16-bit types, and its casts to and from them, take up to a hundred times as long as ours.
    """
    function = np.add if how == ADD else np.multiply
    halves = is_16_bit(a, b, out)
    if halves and type(a) is type(b) is np.ndarray:
        kind = joint_dtype(a, b) if is_16_bit(a, b) else np.result_type(a, b)
        if out is not None and kind != out.dtype and 2 in {kind.itemsize, out.itemsize} and _fits(a, b, kind, out):
            call_whole(name, copy_into, out, combined(name, how, a, b))
            return out
        if is_16_bit(a, b) and kind.itemsize == 2:
            a, b = (call_whole(name, functools.partial(_narrowed, kind), array) for array in (a, b))
            results = call_fused(name, ((kernels["identity"], (a,), ((0, how, b),), out),))
            if results is not None:
                return results[0]
        else:
            a, b = (call_whole(name, as_native, array) for array in (a, b))
    elif halves and getattr(b if is_16_bit(a) else a, "dtype", None) in _USUAL:
        a, b = _widened(name, a), _widened(name, b)
    return call_whole(name, function, a, b) if out is None else call_whole(name, function, a, b, out)


def _fits(a: NDArray[Any], b: NDArray[Any], kind: np.dtype[Any], out: NDArray[Any]) -> bool:
    """Whether a result of a type can be cast into `out`, and is not repeated there; if not, NumPy says why."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    return np.can_cast(kind, out.dtype, "same_kind") and out.flags.writeable and out.shape == shape


def broadcasts(array: Any, shape: tuple[int, ...]) -> bool:
    """Whether an array broadcasts to a shape."""
    own = np.shape(array)
    pairs = zip(reversed(own), reversed(shape), strict=False)
    return len(own) <= len(shape) and all(length in {1, wanted} for length, wanted in pairs)


def _number(value: Any) -> Any:
    """Return a parameter as a number or an array, which do not run code of the caller any more."""
    if isinstance(value, (float, int)) and not isinstance(value, np.generic):
        return float(value)
    return value if is_foreign(value) else np.asarray(value)


def glu(
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    gate: Gate | None = None,
    layout: Layout = "halves",
    out: Output = None,
) -> Any:
    """Gated linear unit: half of the elements times the sigmoid of the other half.

    Computes ``value * sigmoid(gate)``, in one pass and to the bits of that product. By default the value is the first half
    of an axis and the gate the second, as in PyTorch, JAX, Keras and MLX.

    In SciPy: ``value, gate = np.split(x, 2, axis)``, then ``value * special.expit(gate)``.

    Parameters
    ----------
    x : array_like, or tuple of two
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape, a
        tuple.
    axis : int, default -1
        The axis that is halved.
    gate : {"first", "second"}, default "second"
        Which half is the gate.
    layout : {"halves", "interleaved"}, default "halves"
        Whether the first half of the axis is its first elements or those at even positions.
    out : array, optional
        Buffer for the result; it may be the gate, the value or a half of `x`. See :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray
        Of the shape of a half; `out` if given.

    Raises
    ------
    ValueError
        If the axis has an odd number of elements, or gate and value have different shapes.

    References
    ----------
    Y. N. Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.glu(np.float32([1.0, 2.0, 0.0, 3.0])).round(4)
    array([0.5   , 1.9051], dtype=float32)
    """
    return _forward(x, out, "glu", "sigmoid", (), axis, gate, "second", layout)


def glu_backward(
    grad: ArrayLike,
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    gate: Gate | None = None,
    layout: Layout = "halves",
    out: Any = None,
) -> Any:
    """Gradient of :func:`glu` from its input, in the layout of the input: one array, or a pair for a pair.

    Computes ``grad * value * s * (1 - s)`` with ``s = sigmoid(gate)`` for the gate, and ``grad * s`` for the value.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.glu_backward(np.float32([1.0]), np.float32([2.0, 0.0]))
    array([0.5, 0.5], dtype=float32)
    """
    return _backward(grad, x, out, "glu", "sigmoid", (), axis, gate, "second", layout)


def swiglu(
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    beta: float = 1.0,
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Output = None,
) -> Any:
    """Gated linear unit with SiLU, or with Swish.

    Computes ``gate * sigmoid(beta * gate) * value``, in one pass and to the bits of that product; with `limit` or `offset` in
    several passes. By default the gate is the first half of an axis, as in ONNX and in most models; PyTorch's
    :func:`glu` has the gate second.

    In NumPy: ``gate, value = np.split(x, 2, axis)``, then ``gate / (1 + np.exp(-beta * gate)) * value``.

    Parameters
    ----------
    x : array_like, or tuple of two
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape, a
        tuple.
    axis : int, default -1
        The axis that is halved.
    beta : float, default 1.0
        Scale inside the sigmoid; 1.702 in the clamped form of GPT-OSS, with ``limit=7.0, offset=1.0, layout="interleaved"``.
    gate : {"first", "second"}, default "first"
        Which half is the gate.
    layout : {"halves", "interleaved"}, default "halves"
        Whether the first half of the axis is its first elements or those at even positions.
    limit : float, optional
        The gate is clipped above at `limit`, the value on both sides at plus and minus `limit`.
    offset : float, default 0.0
        Added to the value after clipping.
    out : array, optional
        Buffer for the result; it may be the gate, the value or a half of `x`. See :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray
        Of the shape of a half; `out` if given.

    Raises
    ------
    ValueError
        If the axis has an odd number of elements, gate and value have different shapes, or `limit` is not positive.

    References
    ----------
    N. Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.swiglu(np.float32([1.0, -2.0, 3.0, 0.5])).round(4)
    array([ 2.1932, -0.1192], dtype=float32)
    """
    return _forward(x, out, "swiglu", *_silu("swiglu", beta), axis, gate, "first", layout, limit, offset)


def swiglu_backward(
    grad: ArrayLike,
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    beta: float = 1.0,
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Any = None,
) -> Any:
    """Gradient of :func:`swiglu` from its input, in the layout of the input: one array, or a pair for a pair.

    Computes ``silu_backward(grad * value, gate)`` for the gate and ``grad * silu(gate)`` for the value; 0 where `limit`
    clips, and at the limit.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.swiglu_backward(np.float32([1.0]), np.float32([0.0, 2.0]))
    array([1., 0.], dtype=float32)
    """
    return _backward(grad, x, out, "swiglu", *_silu("swiglu", beta), axis, gate, "first", layout, limit, offset)


def _silu(name: str, beta: float) -> tuple[str, tuple[float, ...]]:
    """Return the kernel and its numbers."""
    if type(beta) is not float and type(beta) is not int:
        check_types(name, ("beta",), (beta,))
        return "swish", (beta,)
    if beta == 1:
        return "silu", ()
    if not math.isfinite(beta):
        raise ValueError(f"{name} requires finite beta, got beta={beta!r}")
    return "swish", (beta,)


def geglu(
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    approximate: Literal["none", "tanh"] = "none",
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Output = None,
) -> Any:
    """Gated linear unit with GELU.

    Computes ``gelu(gate) * value``, in one pass and to the bits of that product; with `limit` or `offset` in
    several passes. By default the gate is the first half of an axis, as in ONNX and in most models; PyTorch's
    :func:`glu` has the gate second.

    In NumPy: ``gate, value = np.split(x, 2, axis)``, then ``0.5 * gate * (1 + special.erf(gate / 2**0.5)) * value`` with SciPy.

    Parameters
    ----------
    x : array_like, or tuple of two
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape, a
        tuple.
    axis : int, default -1
        The axis that is halved.
    approximate : {"none", "tanh"}, default "none"
        The form of :func:`gelu`.
    gate : {"first", "second"}, default "first"
        Which half is the gate.
    layout : {"halves", "interleaved"}, default "halves"
        Whether the first half of the axis is its first elements or those at even positions.
    limit : float, optional
        The gate is clipped above at `limit`, the value on both sides at plus and minus `limit`.
    offset : float, default 0.0
        Added to the value after clipping.
    out : array, optional
        Buffer for the result; it may be the gate, the value or a half of `x`. See :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray
        Of the shape of a half; `out` if given.

    Raises
    ------
    ValueError
        If the axis has an odd number of elements, gate and value have different shapes, or `limit` is not positive.

    References
    ----------
    N. Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.geglu(np.float32([1.0, -2.0, 3.0, 0.5])).round(4)
    array([ 2.524 , -0.0228], dtype=float32)
    """
    return _forward(x, out, "geglu", _gelu(approximate), (), axis, gate, "first", layout, limit, offset)


def geglu_backward(
    grad: ArrayLike,
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    approximate: Literal["none", "tanh"] = "none",
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Any = None,
) -> Any:
    """Gradient of :func:`geglu` from its input, in the layout of the input: one array, or a pair for a pair.

    Computes ``gelu_backward(grad * value, gate)`` for the gate and ``grad * gelu(gate)`` for the value; 0 where `limit`
    clips, and at the limit.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.geglu_backward(np.float32([1.0]), np.float32([0.0, 2.0]))
    array([1., 0.], dtype=float32)
    """
    return _backward(grad, x, out, "geglu", _gelu(approximate), (), axis, gate, "first", layout, limit, offset)


def _gelu(approximate: Literal["none", "tanh"]) -> str:
    """Return the kernel of a form of GELU."""
    _check_choice("geglu", "approximate", approximate)
    return "gelu" if approximate == "none" else "gelu_tanh"


def reglu(
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Output = None,
) -> Any:
    """Gated linear unit with ReLU.

    Computes ``max(gate, 0) * value``, in one pass and to the bits of that product; with `limit` or `offset` in
    several passes. By default the gate is the first half of an axis, as in ONNX and in most models; PyTorch's
    :func:`glu` has the gate second.

    In NumPy: ``gate, value = np.split(x, 2, axis)``, then ``np.maximum(gate, 0) * value``.

    Parameters
    ----------
    x : array_like, or tuple of two
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape, a
        tuple.
    axis : int, default -1
        The axis that is halved.
    gate : {"first", "second"}, default "first"
        Which half is the gate.
    layout : {"halves", "interleaved"}, default "halves"
        Whether the first half of the axis is its first elements or those at even positions.
    limit : float, optional
        The gate is clipped above at `limit`, the value on both sides at plus and minus `limit`.
    offset : float, default 0.0
        Added to the value after clipping.
    out : array, optional
        Buffer for the result; it may be the gate, the value or a half of `x`. See :mod:`fastrelu.activations`.

    Returns
    -------
    ndarray
        Of the shape of a half; `out` if given.

    Raises
    ------
    ValueError
        If the axis has an odd number of elements, gate and value have different shapes, or `limit` is not positive.

    References
    ----------
    N. Shazeer, "GLU variants improve transformer", 2020.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.reglu(np.float32([1.0, -2.0, 3.0, 0.5]))
    array([3., 0.], dtype=float32)
    """
    return _forward(x, out, "reglu", "relu", (), axis, gate, "first", layout, limit, offset)


def reglu_backward(
    grad: ArrayLike,
    x: ArrayLike | Pair,
    axis: int = -1,
    *,
    gate: Gate | None = None,
    layout: Layout = "halves",
    limit: float | None = None,
    offset: float = 0.0,
    out: Any = None,
) -> Any:
    """Gradient of :func:`reglu` from its input, in the layout of the input: one array, or a pair for a pair.

    Computes ``relu_backward(grad * value, gate)`` for the gate and ``grad * relu(gate)`` for the value; 0 where `limit`
    clips, and at the limit.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.reglu_backward(np.float32([1.0]), np.float32([1.0, 2.0]))
    array([2., 1.], dtype=float32)
    """
    return _backward(grad, x, out, "reglu", "relu", (), axis, gate, "first", layout, limit, offset)
