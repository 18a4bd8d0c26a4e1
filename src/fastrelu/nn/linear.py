"""The affine layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrelu import _kernels
from fastrelu._foreign import refuse, refuse_none
from fastrelu._fused import linear_or_none, product, sum_of_rows
from fastrelu._kernels import quietly
from fastrelu._options import check_flag, data_type, generator, integer
from fastrelu._runtime import call_whole
from fastrelu._walk import save
from fastrelu.nn.init import uniform_
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import FLOATS, Parameter, stored_dtype
from fastrelu.nn.record import watching


class Linear(Layer):
    """Affine map ``y = x @ weight.T + bias``.

    The initial values of both are uniform in ``(-1/sqrt(in_features), 1/sqrt(in_features))``, as in PyTorch;
    :mod:`fastrelu.nn.init` has other distributions.

    Parameters
    ----------
    in_features, out_features : int
        Length of the last axis of the input and of the output.
    bias : bool, default True
        Whether to add a learned bias.
    dtype : dtype, default float32
        float32 or float64; float16 or bfloat16 are for inference: products are computed in float32 and rounded once.
    rng : numpy.random.Generator or seed, optional
        Source of the initial values; any argument of :func:`numpy.random.default_rng`.

    Attributes
    ----------
    weight : Parameter
        Of shape ``(out_features, in_features)`` and in Fortran order, in which the matrix product reads it.
    bias : Parameter or None
        Of shape ``(out_features,)``.

    Raises
    ------
    TypeError
        If `dtype` is none of these.
    ValueError
        If a number of features is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> layer = nn.Linear(784, 256)
    >>> layer
    Linear(in_features=784, out_features=256, bias=True)
    >>> layer(np.ones((32, 784), np.float32)).shape
    (32, 256)
    """

    _fresh_gradient: ClassVar[bool] = True
    _also_in_state = ("weight",)
    _learns: ClassVar[bool] = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__()
        check_flag("bias", bias)
        if min(integer("in_features", in_features), integer("out_features", out_features)) < 1:
            raise ValueError(f"Linear needs at least one feature, got {in_features} in, {out_features} out")
        self.in_features = in_features
        self.out_features = out_features
        kind = stored_dtype(data_type("dtype", dtype))
        trained = np.dtype(np.float32) if kind.itemsize == 2 else kind
        source = generator(rng)
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(np.empty((out_features, in_features), trained, order="F"))
        self.bias = Parameter(np.empty(out_features, trained)) if bias else None
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound, rng=source)
            if kind is not trained:
                parameter.data = parameter.data.astype(kind)

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        bias, wanted = state["bias"], (state["out_features"], state["in_features"])
        if state["weight"].shape != wanted:
            raise ValueError(f"weight must have the shape {wanted}, got {state['weight'].shape}")
        if bias is not None and not isinstance(bias, Parameter):
            raise TypeError(f"bias must be a Parameter or None, got {type(bias).__name__!r}")
        if bias is not None and bias.shape not in {wanted[:1], (1,)}:
            raise ValueError(f"bias must have the shape {wanted[:1]}, got {bias.shape}")

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        shape, ndim = {"weight": ("(out_features, in_features)", 2), "bias": ("(out_features,)", 1)}.get(
            name, ("", None)
        )
        if ndim is not None and value is not None and not isinstance(value, Parameter):
            raise TypeError(f"Linear.{name} must be a Parameter or None, got {value!r}")
        if ndim is not None and value is not None and value.ndim != ndim:
            raise ValueError(f"Linear.{name} is of shape {shape}, got a parameter of shape {value.shape}")

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Return ``x @ weight.T + bias`` for the last axis of `x`.

        Parameters
        ----------
        x : array_like
            Of shape ``(..., in_features)`` and the type of the weights. In training mode the layer saves a reference
            to it: do not change it before the backward call.

        Returns
        -------
        ndarray
            Of shape ``(..., out_features)``.

        Raises
        ------
        TypeError
            If `x` has another type than the weights.
        ValueError
            If the last axis of `x` has another length.
        """
        given = x
        weight = self.weight.data
        if type(x) is not np.ndarray or x.dtype is not weight.dtype:
            x = self._converted(x)
        shape = x.shape
        if not shape or shape[-1] != weight.shape[1]:
            raise ValueError(f"{self!r} takes arrays of shape (..., {weight.shape[1]}), got {shape}")
        rows = x if len(shape) == 2 else x.reshape(math.prod(shape[:-1]), shape[-1])
        if weight.itemsize == 2:
            return self._rounded(rows, shape)
        bias = None if self.bias is None else self.bias.data
        y = linear_or_none(rows, weight.T, bias)
        if y is None:
            y = call_whole("Linear", np.matmul, rows, weight.T)
            if bias is not None:
                quietly(np.add, y, bias, out=y)
        if len(shape) != 2:
            y = y.reshape(*shape[:-1], y.shape[1])
        if self.training or self._saved or watching():
            save(
                self,
                (given,),
                (y,),
                (rows, shape, y.shape, given if given is not x and isinstance(given, Parameter) else None),
            )
        return y

    def _rounded(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the output of a layer of 16-bit weights: computed in float32 and rounded once."""
        weight = self.weight.data
        y = np.matmul(_kernels.as_native(rows), _kernels.as_native(weight).T)
        if self.bias is not None:
            np.add(y, _kernels.as_native(self.bias.data), out=y)
        result = _kernels.as_half(y, weight.dtype).reshape(*shape[:-1], weight.shape[0])
        if self.training or self._saved or watching():
            save(self, (rows,), (result,), (rows, shape, result.shape, None))
        return result

    def _converted(self, x: ArrayLike) -> NDArray[Any]:
        """Return `x` as an array of the weights' type, or raise the error that says why it is none."""
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{self!r} cannot take a masked array into account: fill it first, x.filled(0)")
        refuse_none(self, x=x)
        refuse(self, x=x)
        array, dtype = np.asarray(x), self.weight.dtype
        if not np.can_cast(array.dtype, dtype, "equiv"):
            wanted = f"{'ml_dtypes' if dtype.name == 'bfloat16' else 'np'}.{dtype}"
            convert = f"x.astype({wanted})" if hasattr(x, "astype") else f"np.asarray(x, {wanted})"
            other = f", or make the layer with dtype=np.{array.dtype}" if array.dtype in FLOATS else ""
            raise TypeError(f"{self!r} has {dtype} weights and got {array.dtype}: convert the input, {convert}{other}")
        return array.astype(dtype, copy=False)

    def _trains(self) -> bool:
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)

    def _reads(self, saved: Any, input_grad: Any) -> list[Parameter]:
        own = [self.weight] if input_grad else []
        return [*own, *super()._reads(saved, True)] if self.weight.requires_grad else own

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[2]
        return shape

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:  # noqa: ARG002  a matrix product cannot overwrite its operand
        rows, shape, _, _ = saved
        weight, bias = self.weight, self.bias
        values = weight.data
        g: NDArray[Any] = grad
        if type(grad) is not np.ndarray or grad.dtype is not values.dtype:
            refuse(self, grad=grad)
            g = np.asarray(grad, values.dtype)
        if g.ndim != 2:
            g = g.reshape(len(rows), g.shape[-1])
        if weight.requires_grad:
            target = weight.gradient_target()
            product(rows.T, g, target.T)
            weight.add_gradient(target)
        if bias is not None and bias.requires_grad:
            target = bias.gradient_target()
            if target.size == g.shape[1]:
                sum_of_rows(g, target)
            else:  # one number for all outputs
                quietly(np.add.reduce, quietly(np.add.reduce, g, axis=0), keepdims=True, out=target)
            bias.add_gradient(target)
        if not input_grad:
            return None
        dx = product(g, values)
        return dx if len(shape) == 2 else dx.reshape(shape)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
