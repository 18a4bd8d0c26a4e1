"""Activations with the passes around them: a bias and a residual are added, block by block, in the activation's pass."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import activations
from fastrelu._catalogue import check_name
from fastrelu._core import call as run
from fastrelu._core import check_types, empty_like, explaining, joint_dtype, stored, target_in_place
from fastrelu._entries import entries
from fastrelu._foreign import is_foreign, refuse, refuse_untyped
from fastrelu._fused import ADD, call_fused, small_sum
from fastrelu._kernels import as_half, copy_into, quiet
from fastrelu._options import axis_index
from fastrelu._sums import call_biased, small_biased
from fastrelu._typing import Output
from fastrelu.gated_units import broadcasts, combined, is_16_bit
from fastrelu.runtime import isa, kernels

__all__ = ["bias_act", "bias_act_", "bias_act_backward", "bias_act_backward_from_output"]

_T = TypeVar("_T")
Activation = str | Callable[..., Any]
# What a kernel gets where a parameter is None, for no limit.
_FOR_NONE = {"max_value": math.inf, "eps": -1.0}


# Fewer elements with one number of the bias are added sooner as an array, once it is made.
_FEW = 32
# Compared by identity, which costs less, and takes an array for no axis; another -1 takes the longer way.
_LAST = -1


def _is_last(x: Any, axis: Any) -> bool:
    """Whether an axis from 0 on is the last one of an array."""
    return type(x) is np.ndarray and type(axis) is int and axis == x.ndim - 1


class Call(NamedTuple):
    """One activation with values for its parameters: the name of its kernel, and its functions by the same values."""

    kernel: str
    name: str
    options: dict[str, Any]
    numbers: tuple[Any, ...]

    def function(self, suffix: str = "") -> Callable[..., Any]:
        """Return the function of the activation, or of its gradient, with the values of the parameters."""
        return functools.partial(getattr(activations, self.name + suffix), **self.options)


@functools.cache
def _parameters(name: str) -> dict[str, Any]:
    """Return the parameters of an element-wise activation with their defaults."""
    if name == "prelu":
        raise ValueError("prelu is leaky_relu here, with its weight as negative_slope")
    check_name(
        name, [known for known in activations.__all__ if f"{known}_backward" in kernels], "element-wise activation"
    )
    own = inspect.signature(getattr(activations, name)).parameters.values()
    return {p.name: p.default for p in own if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "x"}


@functools.cache
def _usual(activation: Activation) -> Call:
    """Return an activation with the usual values of its parameters."""
    return find(activation, {})


@functools.lru_cache
def _by_numbers(activation: Activation, names: tuple[str, ...], *numbers: float) -> Call:
    """Return an activation with numbers for some of its parameters."""
    return find(activation, dict(zip(names, numbers, strict=True)))


def chosen(activation: Activation, options: dict[str, Any]) -> Call:
    """Return an activation with its parameters; with the usual ones, and with those of before, sooner than :func:`find`."""
    if type(activation) is str and not options:
        return _usual(activation)
    if type(activation).__hash__ is None or not (isinstance(activation, str) or callable(activation)):
        return find(activation, options)
    if not options:
        return _usual(activation)
    for value in options.values():
        if type(value) is not float or not value:  # equal to one of another type, or of another sign
            return find(activation, options)
    return _by_numbers(activation, (*options,), *options.values())


def find(activation: Activation, options: dict[str, Any]) -> Call:
    """Return an activation, given by name or as its function, with its parameters."""
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", repr(activation))
    if not isinstance(activation, str) and getattr(activations, name, find) is not activation:
        raise ValueError(
            f"{name} is no activation of this library: give its name or its function, such as fastrelu.gelu"
        )
    known = _parameters(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        takes = ", ".join(known) or "none"
        raise TypeError(f"{name} has no parameter {unknown[0]!r}; its parameters: {takes}")
    missing = [option for option, value in entries(known) if value is inspect.Parameter.empty and option not in options]
    if missing:
        raise TypeError(f"{name} needs a value for {missing[0]}")
    values = known | options
    kernel = name
    if "approximate" in values:
        getattr(activations, name)(np.empty(0, np.float32), values["approximate"])  # refuses another form
        kernel = name if values.pop("approximate") == "none" else f"{name}_tanh"
    if f"{name}_line" in kernels:  # for other numbers than the usual ones
        if all(type(value) is float and value == known[option] for option, value in entries(values)):
            values = {}
        else:
            kernel = f"{name}_line"
    numbers = (_FOR_NONE.get(option, value) if value is None else value for option, value in entries(values))
    return Call(kernel, name, options, tuple(numbers))


def check_shapes(name: str, operand: str, x: Any, parameters: dict[str, Any]) -> None:
    """Refuse parameters that would give the result another shape than that of its operand."""
    for parameter, value in entries(parameters):
        if type(value) is not float and not broadcasts(value, np.shape(x)):
            raise ValueError(
                f"{name}: {parameter} of shape {np.shape(value)} does not broadcast to the shape of {operand}, "
                f"{np.shape(x)}"
            )


def _along(x: Any, bias: Any, axis: int) -> Any:
    """Return the bias in a shape that broadcasts along an axis of `x`."""
    if type(x) is type(bias) is np.ndarray and (axis is _LAST or _is_last(x, axis)) and x.shape[-1:] == bias.shape:
        return bias
    shape = np.shape(bias)
    ndim = np.ndim(x)
    at = axis_index(axis, ndim)
    if len(shape) > 1 or (shape and shape[0] != np.shape(x)[at]):
        raise ValueError(
            f"the bias is one number for each of the {np.shape(x)[at]} elements along axis {axis} of x, got shape {shape}"
        )
    if not shape:
        return bias
    if type(bias) is not np.ndarray and not is_foreign(x):
        refuse("bias_act", bias=bias)
    shape = shape + (1,) * (ndim - 1 - at)
    return bias.reshape(shape) if type(bias) is np.ndarray else np.reshape(bias, shape)


def _array(value: Any) -> Any:
    """Return what NumPy adds to arrays as it is, such as a number, and other operands as arrays."""
    if type(value) is np.ndarray or value is None:
        return value
    if hasattr(value, "dtype"):
        refuse_untyped("a fused pass", operand=value)
    given = isinstance(value, (int, float, complex)) or hasattr(type(value), "__array_ufunc__")
    return value if given else np.asarray(value)


def _terms(x: Any, bias: Any, residual: Any, axis: int) -> list[Any]:
    """Return what is added to `x`, in order, in shapes that broadcast to that of `x`."""
    if type(x) is not np.ndarray or not x.ndim:
        check_types("bias_act", ("x",), (x,))  # None has no axis, which says nothing
    terms = [] if bias is None else [_along(x, _array(bias), axis)]
    residual = _array(residual)
    if residual is not None:
        if np.shape(residual) != np.shape(x):
            raise ValueError(f"the residual has the shape of x, {np.shape(x)}, got {np.shape(residual)}")
        terms.append(residual)
    return terms


def _repeated(x: Any, bias: Any) -> Any:
    """Return a bias that is the same for a few elements of an array side by side as often as it is added."""
    if type(bias) is not np.ndarray or type(x) is not np.ndarray or bias.size < 2:
        return bias
    same = math.prod(x.shape[x.ndim - bias.ndim + 1 :])
    if not 1 < same <= _FEW or bias.shape[1:] != (1,) * (bias.ndim - 1) or x.shape[-bias.ndim] != len(bias):
        return bias
    if abs(x.strides[-bias.ndim]) < same * x.itemsize:  # the elements do not lie side by side
        return bias
    return bias.repeat(same).reshape(x.shape[x.ndim - bias.ndim :])


def _sum(name: str, x: Any, bias: Any, residual: Any, terms: list[Any]) -> Any:
    """Return the sum as NumPy rounds it, step by step; of integers in floating point, where it does not wrap."""
    added = {"bias": bias, "residual": residual}
    names = ("x", *(term for term, value in entries(added) if value is not None))
    check_types(name, names, (x, *terms))
    if np.result_type(x, *terms).kind in "biu":
        x = x.astype(joint_dtype(x, *terms))
    with np.errstate(all="ignore"):  # a pass of the kernels adds no warnings either
        for term in terms:
            x = combined("bias_act", ADD, x, term)
    return x


def _in_one_type(x: Any, terms: list[Any], *others: Any) -> list[NDArray[Any]] | None:
    """Return plain arrays in the type of x and its terms, which that of others may not widen.

    None if NumPy would round a step of the sum to another type, or if the type has 16 bits.
    """
    arrays = (x, *terms, *others)
    if not all(type(array) is np.ndarray and array.dtype.kind in "biuf" for array in arrays):
        return None
    kind, sums = joint_dtype(x, *terms), [np.result_type(x, terms[0]), np.result_type(x, *terms)]
    if (sums[1].kind == "f" and not kind == sums[0] == sums[1]) or kind.itemsize == 2 or joint_dtype(*arrays) != kind:
        return None
    return [array if array.dtype == kind else _converted(array, kind) for array in arrays]


def _converted(array: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return an array in a wider type, or that of its results."""
    if explaining():  # the pass is explained, not the conversion; the values do not matter
        return np.empty_like(array, kind)
    own = joint_dtype(array) == kind
    result: NDArray[Any] = run(kernels["identity"], None if own else empty_like(array, kind), True, array)
    return result


def _into(name: str, out: Any, own: NDArray[Any] | None, compute: Callable[[Any], Any]) -> Any:
    """Return results of which the first is computed in `out`, or in memory of our own, if there is any, and stored.

    None if they cannot be computed in either.
    """
    results = compute(out)
    if results is None and out is not None:
        results = compute(own)
        return None if results is None else (stored(name, results[0], out), *results[1:])
    return results


def _pass_in_one_type(kernel: Any, numbers: tuple[Any, ...], out: Any, x: Any, terms: list[Any]) -> Any:
    """Return the result of a pass over arrays of several types, or of integers, in a tuple; None if there is none."""
    arrays = _in_one_type(x, terms)
    if arrays is None:
        return None
    fused = tuple((0, ADD, term) for term in arrays[1:])
    own = None if arrays[0] is x else arrays[0]
    return _into("bias_act", out, own, lambda to: call_fused("bias_act", ((kernel, (arrays[0], *numbers), fused, to),)))


def _gradients_in_one_type(
    kernel: Any, numbers: tuple[Any, ...], out: Any, grad: Any, x: Any, terms: list[Any]
) -> tuple[Any, Any] | None:
    """Return the gradients from a pass over arrays of several types, or of integers; None if there is none."""
    arrays = _in_one_type(x, terms, grad)
    if arrays is None:
        return None
    x_too, bias, *residual, g = arrays
    own = None if g is grad else g
    results: tuple[Any, Any] | None = _into(
        "bias_act_backward",
        out,
        own,
        lambda to: call_biased(kernel, isa, numbers, to, g, x_too, bias, residual[0] if residual else None),
    )
    return results


def bias_act(
    x: ArrayLike,
    bias: ArrayLike | None,
    activation: Activation,
    /,
    *,
    residual: ArrayLike | None = None,
    axis: int = -1,
    out: Output = None,
    **parameters: Any,
) -> Any:
    """Activation of ``x + bias + residual``, in one pass.

    Computes ``f(x + bias + residual)`` for any element-wise activation ``f``, to the same bits: each sum is rounded to
    the type of the operands, as NumPy rounds it.

    Parameters
    ----------
    x : array_like
        Input with at least one axis, such as the result of a matrix product.
    bias : array_like or None
        One number for each element along `axis`, or a single one.
    activation : str or function
        ``"gelu"``, ``fr.gelu``: the name of an element-wise activation, or its function.
    residual : array_like, optional
        Another summand, of the shape of `x`.
    axis : int, default -1
        The axis of the bias: -1 for rows of features, 1 for images of shape (batch, channels, height, width).
    out : optional
        Buffer for the result; see :mod:`fastrelu.activations`.
    **parameters
        Those of the activation, such as ``negative_slope=0.1`` or ``approximate="tanh"``.

    Returns
    -------
    ndarray
        Of the shape of `x`; `out` if given.

    Raises
    ------
    ValueError
        If there is no such activation, or `bias` or `residual` has another shape.
    TypeError
        If the activation has no such parameter.

    Notes
    -----
    One pass over memory if the operands are arrays of one floating-point type. Arrays of several types, or of integers,
    are converted before that pass if no sum is rounded to another type than the result's; other operands are added first.
    The result is the same; sums of integers do not wrap.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([[-1.0, 2.0], [0.5, -3.0]])
    >>> fr.fused.bias_act(x, np.float32([1.0, -1.0]), "relu")
    array([[0. , 1. ],
           [1.5, 0. ]], dtype=float32)
    """
    call = chosen(activation, parameters)
    if parameters:
        check_shapes("bias_act", "x", x, parameters)
    kernel = kernels[call.kernel]
    if bias is None:
        total = small_sum(x, residual, None, False, whole=True)
    else:
        total = small_sum(x, bias, residual, False, axis)
    if total is not None:
        return run(kernel, out, True, total, *call.numbers)
    x = _array(x)
    terms = _terms(x, bias, residual, axis)
    if terms:
        terms[0] = _repeated(x, terms[0])
    fused = tuple((0, ADD, term) for term in terms)
    results = call_fused("bias_act", ((kernel, (x, *call.numbers), fused, out),)) if fused else None
    if results is None and terms:
        results = _pass_in_one_type(kernel, call.numbers, out, x, terms)
    return call.function()(_sum("bias_act", x, bias, residual, terms), out=out) if results is None else results[0]


def bias_act_(
    x: _T,
    bias: ArrayLike | None,
    activation: Activation,
    /,
    *,
    residual: ArrayLike | None = None,
    axis: int = -1,
    **parameters: Any,
) -> _T:
    """Apply :func:`bias_act` in place to an array or a writable buffer, and return it.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.float32([[-1.0, 2.0], [0.5, -3.0]])
    >>> fr.fused.bias_act_(x, np.float32([1.0, -1.0]), "relu") is x
    True
    """
    target = target_in_place("bias_act_", x)
    bias_act(target, bias, activation, residual=residual, axis=axis, out=target, **parameters)
    return x


def bias_act_backward(
    grad: ArrayLike,
    x: ArrayLike,
    bias: ArrayLike | None,
    activation: Activation,
    /,
    *,
    residual: ArrayLike | None = None,
    axis: int = -1,
    out: Output = None,
    **parameters: Any,
) -> tuple[Any, Any]:
    """Gradients of :func:`bias_act` with respect to `x` and to the bias, in one pass.

    Computes ``dx = f_backward(grad, x + bias + residual)``, which is the gradient of the residual too, and the sum of dx
    over all axes but `axis`. The sum is taken in double, in an order that depends on the shape alone, and rounded once.

    Returns
    -------
    tuple of ndarray
        dx, which is `out` if given, and the gradient of the bias in its shape; None if there is no bias.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x, grad = np.float32([[-1.0, 2.0], [0.5, -3.0]]), np.ones((2, 2), np.float32)
    >>> dx, dbias = fr.fused.bias_act_backward(grad, x, np.float32([1.0, 0.0]), "relu")
    >>> dx
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    >>> dbias
    array([1., 1.], dtype=float32)
    """
    call = chosen(activation, parameters)
    if parameters:
        check_shapes("bias_act_backward", "x", x, parameters)
    kernel = kernels[f"{call.kernel}_backward"]
    small = small_biased(kernel, isa, call.numbers, out, grad, x, bias, residual, axis)
    if small is not None:
        return small
    grad = _array(grad)
    if np.shape(grad) != np.shape(x):
        check_types("bias_act_backward", ("grad", "x"), (grad, x))  # of None the shape says nothing
        raise ValueError(f"the gradient has the shape of x, {np.shape(x)}, got {np.shape(grad)}")
    x = _array(x)
    terms = _terms(x, bias, residual, axis)
    results = None if bias is None else call_biased(kernel, isa, call.numbers, out, grad, x, terms[0], residual)
    if results is None and bias is not None:
        results = _gradients_in_one_type(kernel, call.numbers, out, grad, x, terms)
    if results is None:
        name = "bias_act_backward"
        refuse(name, grad=grad, x=x, bias=bias, residual=residual)
        passes = ((kernel, (grad, x, *call.numbers), tuple((1, ADD, term) for term in terms), None),)
        found = call_fused(name, passes) if terms and is_16_bit(x) else None
        dx = call.function("_backward")(grad, _sum(name, x, bias, residual, terms)) if found is None else found[0]
        of_bias = None if bias is None else _summed(dx, np.zeros(np.shape(terms[0]), dx.dtype))
        results = stored(name, dx, out), of_bias
    return results[0], results[1] if bias is None else results[1].reshape(np.shape(bias))


def bias_act_backward_from_output(
    grad: ArrayLike, y: ArrayLike, activation: Activation, *, axis: int = -1, out: Output = None, **parameters: Any
) -> tuple[Any, Any]:
    """Gradients of :func:`bias_act` from its output: with respect to `x`, and to a bias along `axis`.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> y, grad = np.float32([[0.0, 1.0], [1.5, 0.0]]), np.ones((2, 2), np.float32)
    >>> fr.fused.bias_act_backward_from_output(grad, y, "relu")[1]
    array([1., 1.], dtype=float32)
    """
    call = chosen(activation, parameters)
    kernel = kernels.get(f"{call.kernel}_backward_from_output")
    if kernel is None:
        raise ValueError(f"the output of {call.name} does not determine its gradient: use bias_act_backward")
    if parameters:
        check_shapes("bias_act_backward_from_output", "y", y, parameters)
    small = small_biased(kernel, isa, call.numbers, out, grad, y, None, None, axis, added=False)
    if small is not None:
        return small
    grad, y = _array(grad), _array(y)
    if np.shape(grad) != np.shape(y):
        check_types("bias_act_backward_from_output", ("grad", "y"), (grad, y))  # of None the shape says nothing
        raise ValueError(f"the gradient has the shape of y, {np.shape(y)}, got {np.shape(grad)}")
    if not type(grad) is type(y) is np.ndarray:
        refuse("bias_act_backward_from_output", grad=grad, y=y)
    results = call_biased(kernel, isa, call.numbers, out, grad, y, _shape_of_bias(y, axis), None, added=False)
    if results is None:
        dx = call.function("_backward_from_output")(grad, y)
        return stored("bias_act_backward_from_output", dx, out), _summed(dx, _shape_of_bias(dx, axis))
    return results[0], results[1].ravel()


def _shape_of_bias(x: Any, axis: int) -> NDArray[Any]:
    """Return an array in the shape of a bias along an axis of `x`."""
    at = axis_index(axis, np.ndim(x))
    return np.zeros((np.shape(x)[at],) + (1,) * (np.ndim(x) - 1 - at), x.dtype)


@quiet
def _summed(dx: Any, bias: Any) -> Any:
    """Return the sum of a gradient over all axes along which the bias does not vary, in the type of the bias.

    The gradient is nobody else's yet.
    """
    if type(dx) is not np.ndarray and not isinstance(dx, np.ma.MaskedArray):
        dx = np.asarray(dx)
    # This gradient is `dx` itself, written where it is.
    backward = kernels["leaky_relu_backward"]
    results = call_biased(backward, isa, (1.0,), dx, dx, dx, bias, None, added=False, exact=True)
    if results is not None:
        return results[1].ravel()
    if np.result_type(dx).itemsize == 2:  # summed in double, as the others, and rounded once
        wide = np.empty_like(dx, np.float32, subok=False)
        copy_into(wide, np.asarray(dx))
        return as_half(_summed(wide, np.zeros(np.shape(bias))), dx.dtype)
    missing = np.ndim(dx) - np.ndim(bias)
    varies = [k + missing for k, length in enumerate(np.shape(bias)) if length != 1]
    return np.sum(dx, tuple(k for k in range(np.ndim(dx)) if k not in varies)).reshape(-1)
