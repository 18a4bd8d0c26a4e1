"""Activations with learned parameters: one for all elements, or one for each index along an axis."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrelu import activations
from fastrelu._options import check_flag, data_type, integer, number
from fastrelu._walk import alike
from fastrelu.nn.activation import Activation
from fastrelu.nn.parameter import Parameter, stored_dtype


class Learnable(Activation):
    """Base of the layers whose function has a parameter that may be learned.

    A learned parameter is a :class:`~fastrelu.nn.Parameter` of shape ``(num_parameters,)``. Its gradient needs the input,
    of which an in-place layer saves a copy. Subclasses take these parameters beside the function's own.

    Parameters
    ----------
    learnable : bool, default False
        Whether the function's parameter is learned; otherwise it is a fixed number.
    num_parameters : int, default 1
        Number of learned values: 1 for all elements, or one for each index along `axis`.
    axis : int, default 1
        The axis of the input along which several values lie; 1 is the axis of the channels, as in PyTorch.
    dtype : dtype, default float32
        Type of the learned values.

    Raises
    ------
    TypeError
        If `dtype` is neither float32 nor float64.
    ValueError
        If `num_parameters` is less than 1, or more than 1 without `learnable`; in a call, if the input has another
        length along `axis`.
    """

    _learns: ClassVar[bool] = True
    _axis: int = 1
    _not_in_state: ClassVar[frozenset[str]] = frozenset({"dtype", "axis", "learnable", "num_parameters"})

    def _initial(
        self, name: str, value: float, learnable: bool, num_parameters: int, axis: int, dtype: DTypeLike
    ) -> Any:
        """Return the function's parameter `name`: a number, or a learned `Parameter` with that initial value."""
        check_flag("learnable", learnable)
        integer("axis", axis)
        kind = stored_dtype(data_type("dtype", dtype))
        if integer("num_parameters", num_parameters) < 1:
            raise ValueError(f"{type(self).__name__} needs num_parameters of at least 1, got {num_parameters}")
        if not learnable:
            if num_parameters > 1:
                raise ValueError(f"{type(self).__name__} has {num_parameters} parameters only with learnable=True")
            return value
        self._axis = axis
        return Parameter(np.full(num_parameters, number(name, value), kind))

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)
        if any(isinstance(value, Parameter) for value in state.values()):
            if "_axis" not in state:
                raise ValueError("it has no _axis")
            integer("_axis", state["_axis"])
        shapes = {value.shape for value in state.values() if isinstance(value, Parameter)}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise ValueError(f"the learned parameters must have one shape (n,), got {shapes}")

    def _learned(self) -> list[Parameter]:
        """Return the learned parameters in the order of the function's arguments."""
        return [value for value in vars(self).values() if isinstance(value, Parameter)]

    def _output_determines(self) -> bool:
        return not self._learned() and super()._output_determines()

    def _along(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Reshape the values of a parameter so that they broadcast along the axis of an input of this shape."""
        if values.size == 1:
            return values if values.ndim <= len(shape) else values.reshape((1,) * len(shape))
        axis = self._axis
        if not -len(shape) <= axis < len(shape) or shape[axis] != values.size:
            raise ValueError(
                f"{type(self).__name__} has {values.size} parameters along axis {axis}, which does not fit an input "
                f"of shape {shape}"
            )
        return values.reshape(values.size, *(1,) * (len(shape) - axis % len(shape) - 1))

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:
        values = super()._arguments(shape)
        for i, value in enumerate(values):
            if isinstance(value, Parameter):
                values[i] = self._along(value.data, shape)
        return values

    def _reads(self, saved: Any, input_grad: Any) -> list[Parameter]:
        learned = self._learned()
        needed = input_grad or any(parameter.requires_grad for parameter in learned)
        return [*learned, *super()._reads(saved, True)] if needed else []

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:
        learned = self._learned()
        for parameter in learned:
            if parameter.requires_grad:
                break
        else:
            return super()._go_back(grad, saved, input_grad=input_grad, overwrite_grad=overwrite_grad)
        x, _, arguments = saved
        out = grad if overwrite_grad and alike(grad, x) else None
        dx, *gradients = self._backward_parameters(grad, x, *arguments, out=out)
        self._collect(learned, gradients)
        return dx if input_grad else None

    def _backward_parameters(self, grad: Any, x: Any, *arguments: Any, out: Any) -> Any:
        function = self._function_of_parameters
        assert function is not None
        return function(grad, x, *arguments, out=out)

    def _collect(self, learned: list[Parameter], gradients: list[Any]) -> None:
        """Add the gradients with respect to the function's arguments to those of the learned parameters."""
        for parameter, gradient in zip(learned, gradients, strict=True):
            if parameter.requires_grad:
                values = parameter.data
                if not alike(gradient, values):
                    gradient = np.asarray(gradient, values.dtype).reshape(values.shape)  # noqa: PLW2901  converted
                parameter.add_gradient(gradient)

    def extra_repr(self) -> str:
        """Return the fixed parameters, or the number of learned ones."""
        learned = self._learned()
        if not learned:
            return super().extra_repr()
        axis, inplace = "" if self._axis == 1 else f", axis={self._axis}", ", inplace=True" if self.inplace else ""
        return f"num_parameters={learned[0].size}{axis}{inplace}"


class PReLU(Learnable, function="prelu"):
    """Layer of :func:`fastrelu.prelu`: ``x`` where ``x > 0``, ``weight * x`` elsewhere, with learned weights.

    Parameters
    ----------
    num_parameters, axis, dtype
        Number, axis and type of the weights: see :class:`~fastrelu.nn.learnable.Learnable`.
    init : float, default 0.25
        Initial value of the weights.

    Attributes
    ----------
    weight : Parameter
        Of shape ``(num_parameters,)``. Train it without weight decay, which would pull it toward plain ReLU.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> layer = nn.PReLU()
    >>> layer(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.5  , -0.125,  0.   ,  3.   ], dtype=float32)
    """

    _not_in_state = Learnable._not_in_state | {"init"}
    _also_in_state = ("weight",)

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, axis: int = 1, dtype: DTypeLike = np.float32
    ) -> None:
        self.weight: Parameter = self._initial("init", init, True, num_parameters, axis, dtype)
        super().__init__()


class XIELU(Learnable, function="xielu"):
    """Layer of :func:`fastrelu.xielu` with two learned factors, as in the paper and in Hugging Face's transformers.

    The function's `alpha_p` is the softplus of the learned number, and its `alpha_n` that plus `beta`, so that the layer
    stays monotonic far from 0.

    Parameters
    ----------
    alpha_p_init, alpha_n_init : float, default 0.8
        Initial values of the function's factors: above 0, and above `beta`.
    beta : float, default 0.5
        Slope at 0, which is not learned.
    num_parameters, axis, dtype
        Number of each factor, axis and type: see :class:`~fastrelu.nn.learnable.Learnable`.

    Attributes
    ----------
    alpha_p, alpha_n : Parameter
        The learned numbers, of shape ``(num_parameters,)``.

    Raises
    ------
    ValueError
        Unless ``alpha_p_init > 0`` and ``alpha_n_init > beta``.

    References
    ----------
    A. H. Huang, I. Schlag, "Deriving activation functions using integration", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.XIELU()(np.float32([-2.0, -0.5, 0.0, 3.0])).round(4)
    array([-0.0917, -0.1648,  0.    ,  8.7   ], dtype=float32)
    """

    _not_in_state = Learnable._not_in_state | {"alpha_p_init", "alpha_n_init"}
    _also_in_state = ("alpha_p", "alpha_n")

    def __init__(
        self,
        alpha_p_init: float = 0.8,
        alpha_n_init: float = 0.8,
        beta: float = 0.5,
        *,
        num_parameters: int = 1,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not (
            number("alpha_p_init", alpha_p_init) > 0 and number("alpha_n_init", alpha_n_init) > number("beta", beta)
        ):
            raise ValueError(
                f"XIELU requires alpha_p_init > 0 and alpha_n_init > beta, got alpha_p_init={alpha_p_init!r}, "
                f"alpha_n_init={alpha_n_init!r}, beta={beta!r}"
            )
        self.beta = beta

        def raw(value: float) -> float:  # the inverse of softplus
            return value + math.log(-math.expm1(-value))

        self.alpha_p: Parameter = self._initial("alpha_p_init", raw(alpha_p_init), True, num_parameters, axis, dtype)
        self.alpha_n: Parameter = self._initial(
            "alpha_n_init", raw(alpha_n_init - beta), True, num_parameters, axis, dtype
        )
        super().__init__()

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:
        alpha_p, alpha_n = activations.softplus(self.alpha_p.data), activations.softplus(self.alpha_n.data) + self.beta
        return [self._along(alpha_p, shape), self._along(alpha_n, shape), self.beta]

    def _collect(self, learned: list[Parameter], gradients: list[Any]) -> None:
        chained = [
            gradient * activations.sigmoid(parameter.data).reshape(np.shape(gradient))
            for parameter, gradient in zip(learned, gradients[:2], strict=True)
        ]
        super()._collect(learned, chained)


class SReLU(Learnable, function="srelu"):
    """Layer of :func:`fastrelu.srelu`, S-shaped ReLU, with two learned thresholds and two learned outer slopes.

    The right threshold is ``t_left + abs(width)``, which is never below the left one. With the default initial values
    the layer starts as leaky ReLU, as the paper advises.

    Parameters
    ----------
    num_parameters, axis, dtype
        Number of each, axis and type: see :class:`~fastrelu.nn.learnable.Learnable`.
    t_left, a_left : float, default 0.0 and 0.2
        Initial threshold and slope on the left.
    t_right, a_right : float, default 1.0 and 1.0
        Initial threshold and slope on the right.

    Attributes
    ----------
    t_left, a_left, width, a_right : Parameter
        Of shape ``(num_parameters,)`` each.

    Raises
    ------
    ValueError
        Unless ``t_left <= t_right``.

    References
    ----------
    X. Jin et al., "Deep learning with S-shaped rectified linear activation units", AAAI 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> layer = nn.SReLU()
    >>> layer(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.4, -0.1,  0. ,  3. ], dtype=float32)
    """

    _not_in_state = Learnable._not_in_state | {"t_left", "a_left", "t_right", "a_right"}
    _also_in_state = ("t_left", "a_left", "width", "a_right")

    def __init__(
        self,
        num_parameters: int = 1,
        t_left: float = 0.0,
        a_left: float = 0.2,
        t_right: float = 1.0,
        a_right: float = 1.0,
        *,
        axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not number("t_left", t_left) <= number("t_right", t_right):
            raise ValueError(f"SReLU requires t_left <= t_right, got t_left={t_left!r}, t_right={t_right!r}")
        # The function's right threshold is t_left + abs(width): learning t_left moves both.
        self.t_left: Parameter = self._initial("t_left", t_left, True, num_parameters, axis, dtype)
        self.a_left: Parameter = self._initial("a_left", a_left, True, num_parameters, axis, dtype)
        self.width: Parameter = self._initial("t_right", t_right - t_left, True, num_parameters, axis, dtype)
        self.a_right: Parameter = self._initial("a_right", a_right, True, num_parameters, axis, dtype)
        super().__init__()

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:
        t_right = self.t_left.data + np.abs(self.width.data)
        values = [self.t_left.data, self.a_left.data, t_right, self.a_right.data]
        return [self._along(value, shape) for value in values]

    def _collect(self, learned: list[Parameter], gradients: list[Any]) -> None:
        d_left, da_left, d_right, da_right = gradients
        by_width = d_right * np.sign(self.width.data).reshape(np.shape(d_right))
        super()._collect(learned, [d_left + d_right, da_left, by_width, da_right])
