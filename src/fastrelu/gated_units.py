"""Gated linear units: an activation of one half of an axis, the gate, times the other half, the value, in one pass.

The halves are the first and the second half of an axis, its even and odd elements, or two arrays. Nothing is copied to
split them. Each result has the bits of the product of two arrays, ``f(gate) * value``.
"""

from __future__ import annotations

import functools
from operator import methodcaller
from typing import Any, Literal

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike

from fastrelu import _gated, activations
from fastrelu._core import MULTIPLY, call_fused, empty_like, joint_dtype, target_in_place
from fastrelu._foreign import is_foreign, refuse, refuse_labels, refuse_untyped
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
        if gate not in {"first", "second", None}:
            raise ValueError(f'{name}: gate must be "first" or "second", got {gate!r}')
        if layout not in {"halves", "interleaved"}:
            raise ValueError(f'{name}: layout must be "halves" or "interleaved", got {layout!r}')
        if limit is not None and not limit > 0:
            raise ValueError(f"{name}: limit must be positive, got {limit!r}")
        # Conversions first: they may run the caller's code, which may change arrays.
        numbers = tuple(map(_number, numbers))
        limit, offset = None if limit is None else float(limit), float(offset)
        self.name, self.activation, self.numbers = name, activation, numbers
        self.axis, self.given, self.layout = axis, gate, layout
        self.gate = gate or default
        self.limit, self.offset = limit, offset
        self.function_name = "gelu" if activation == "gelu_tanh" else activation
        self.options = ("tanh",) if activation == "gelu_tanh" else numbers

    def function(self, x: Any) -> Any:
        """Return the activation of an array."""
        return getattr(activations, self.function_name)(x, *self.options)

    def function_backward(self, grad: Any, x: Any) -> Any:
        """Return the gradient of the activation."""
        return getattr(activations, f"{self.function_name}_backward")(grad, x, *self.options)

    def split(self, x: Any) -> tuple[Any, Any]:
        """Return gate and value, which are views of an input in one array."""
        if isinstance(x, tuple):
            if len(x) != 2:
                raise ValueError(f"{self.name} takes one array or a pair (gate, value), got a tuple of {len(x)}")
            if self.given is not None or self.layout != "halves":
                raise ValueError(f"{self.name}: gate= and layout= belong to an input in one array, not to a pair")
            gate, value = (part if hasattr(part, "shape") else np.asarray(part) for part in x)
            if gate.shape != value.shape:
                raise ValueError(
                    f"{self.name} takes a gate and a value of one shape, got {gate.shape} and {value.shape}"
                )
            return gate, value
        if type(x) is not np.ndarray:
            refuse_labels(f"{self.name} of one array", x=x)  # the halves would meet by their labels
            x = x if hasattr(x, "shape") else np.asarray(x)
        first, second = self.halves(x)
        return (first, second) if self.gate == "first" else (second, first)

    def halves(self, x: Any) -> tuple[Any, Any]:
        """Return the two halves of an array as views."""
        axis = normalize_axis_index(self.axis, len(x.shape))
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
        """Return gate and value within `limit`, and the value plus `offset`."""
        if self.limit is not None:
            gate = call_whole(self.name, np.minimum, gate, self.limit)
            value = activations.hard_tanh(value, -self.limit, self.limit)
        return gate, call_whole(self.name, np.add, value, self.offset) if self.offset else value

    def forward(self, x: Any, out: Any) -> Any:
        """Return ``f(gate) * value``."""
        gate, value = self.split(x)
        plain = self.limit is None and not self.offset
        passes = ((kernels[self.activation], (gate, *self.numbers), ((1 + len(self.numbers), MULTIPLY, value),), out),)
        results = call_fused(self.name, passes) if plain else None
        if results is not None:
            return results[0]
        refuse_labels(self.name, out=out)
        with np.errstate(all="ignore"):  # a pass of the kernels adds no warnings either
            gate, value = self.clipped(gate, value)
            if isinstance(out, np.ndarray):
                return call_whole(self.name, np.multiply, self.function(gate), value, out)
            multiply = np.multiply if out is None else functools.partial(np.multiply, out=out)
            return call_whole(self.name, multiply, self.function(gate), value)

    def backward(self, grad: Any, x: Any, out: Any) -> Any:
        """Return the gradient in the layout of the input."""
        name = f"{self.name}_backward"
        gate, value = self.split(x)
        grad = grad if hasattr(grad, "shape") else np.asarray(grad)
        if grad.shape != gate.shape:
            raise ValueError(f"{name}: the output was of shape {gate.shape}, the gradient is {grad.shape}")
        for target in out if isinstance(out, tuple) else (out,):
            refuse(name, out=target)
        refuse_untyped(name, grad=grad, gate=gate, value=value)
        if isinstance(x, tuple):
            return self._gradients(grad, gate, value, (None, None) if out is None else out)
        if not isinstance(x, np.ndarray):
            if hasattr(type(x), "__array_ufunc__"):
                raise TypeError(
                    f"{name} fills one array of NumPy with both gradients; of a {type(x).__name__} pass the "
                    "pair (gate, value), which gives a pair of gradients"
                )
            x = np.asarray(x)
        refuse(name, grad=grad)
        if out is None:
            kind = joint_dtype(grad, x)
            out = empty_like(x) if type(x) is np.ndarray and kind == x.dtype else np.empty_like(x, kind)
        elif isinstance(out, tuple):
            (out,) = out
        target = target_in_place(name, out)
        if target.shape != x.shape:
            raise ValueError(f"{name} needs out= of the shape of the input, {x.shape}, got {target.shape}")
        self._gradients(grad, gate, value, self.split(target))
        return out

    def _gradients(self, grad: Any, gate: Any, value: Any, out: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return the gradients with respect to gate and value."""
        if self.limit is None and not self.offset:
            forward, backward = kernels[self.activation], kernels[f"{self.activation}_backward"]
            of_gate = (backward, (grad, gate, *self.numbers), ((0, MULTIPLY, value),), out[0])
            of_value = (forward, (gate, *self.numbers), ((1 + len(self.numbers), MULTIPLY, grad),), out[1])
            results = call_fused(f"{self.name}_backward", (of_gate, of_value))
            if results is not None:
                return results[0], results[1]
        with np.errstate(all="ignore"):  # a pass of the kernels adds no warnings either
            kind = joint_dtype(grad, gate, value)  # of integers, whose products would wrap, a float
            as_kind = methodcaller("astype", kind)
            grad, gate, value = (
                a if a.dtype == kind else call_whole(self.name, as_kind, a) for a in (grad, gate, value)
            )
            inner, outer = self.clipped(gate, value)
            of_value = call_whole(self.name, np.multiply, self.function(inner), grad)
            of_gate = self.function_backward(call_whole(self.name, np.multiply, grad, outer), inner)
        if self.limit is not None:
            of_value = activations.hard_tanh_backward(of_value, value, -self.limit, self.limit)
            of_gate = activations.hard_tanh_backward(of_gate, gate, -np.inf, self.limit)
        if out[0] is None:
            return of_gate, of_value
        for target, gradient in zip(out, (of_gate, of_value), strict=True):
            plain = gradient if is_foreign(gradient) else np.asarray(gradient)  # a subclass would get the target
            call_whole(self.name, np.copyto, target, plain)  # casts if the kind stays
        return out


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
    """Return a unit of an input: of a small one without a :class:`Unit`, which costs more than the kernel."""
    if limit is None and type(offset) is float and offset == 0.0:
        kernel, second = kernels[activation], default == "second"
        small = _gated.small_unit(name, kernel, numbers, x, axis, second, gate, layout, out)
        if small is not None:
            return small
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
        small = _gated.small_unit_backward(name, kernel, gradient, numbers, grad, x, axis, second, gate, layout, out)
        if small is not None:
            return small
    unit = Unit(
        name, activation, numbers, axis=axis, gate=gate, default=default, layout=layout, limit=limit, offset=offset
    )
    return unit.backward(grad, x, out)


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
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape.
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
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape.
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
    return _forward(x, out, "swiglu", *_silu(beta), axis, gate, "first", layout, limit, offset)


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
    clips.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.swiglu_backward(np.float32([1.0]), np.float32([0.0, 2.0]))
    array([1., 0.], dtype=float32)
    """
    return _backward(grad, x, out, "swiglu", *_silu(beta), axis, gate, "first", layout, limit, offset)


def _silu(beta: float) -> tuple[str, tuple[float, ...]]:
    """Return the kernel and its numbers."""
    return ("silu", ()) if beta == 1 else ("swish", (beta,))


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
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape.
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
    clips.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.geglu_backward(np.float32([1.0]), np.float32([0.0, 2.0]))
    array([1., 0.], dtype=float32)
    """
    return _backward(grad, x, out, "geglu", _gelu(approximate), (), axis, gate, "first", layout, limit, offset)


def _gelu(approximate: Literal["none", "tanh"]) -> str:
    """Return the kernel of a form of GELU."""
    if approximate not in {"none", "tanh"}:
        raise ValueError(f'geglu: approximate must be "none" or "tanh", got {approximate!r}')
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
        Input with an even number of elements along `axis`; or the pair ``(gate, value)`` of one shape.
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
    clips.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> fr.reglu_backward(np.float32([1.0]), np.float32([1.0, 2.0]))
    array([2., 1.], dtype=float32)
    """
    return _backward(grad, x, out, "reglu", "relu", (), axis, gate, "first", layout, limit, offset)
