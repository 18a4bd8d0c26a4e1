"""Layers of softmax and its relatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import along_axis
from fastrelu._entries import entries
from fastrelu._options import check_flag, integers, number, operand, optional_number
from fastrelu._walk import save, shape_of
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import Parameter
from fastrelu.nn.random import Random
from fastrelu.nn.record import watching

__all__ = [
    "GumbelSoftmax",
    "Hardmax",
    "LogSoftmax",
    "Softmax",
    "Softmin",
    "Sparsemax",
]


def _axes(name: str, value: Any) -> None:
    """Refuse what is neither an axis nor several; without one, PyTorch takes an axis that depends on the input."""
    if value is None:
        raise TypeError(
            f"{name} must be an integer or a tuple of integers, got None: PyTorch, told none, takes axis 0 of inputs with "
            "0, 1 or 3 axes and axis 1 of others; pass that one"
        )
    if isinstance(value, list):
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {value!r}")
    integers(name, value)


def _sink(name: str, value: Any) -> None:
    """Refuse what is neither a number nor an array of real numbers."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} cannot be a masked array: fill it first, {name}.filled(0), got {value!r}")
    if value is not None:
        operand(name, value)


class _AlongAxis(Layer):
    """Base of the layers along an axis, whose backward works from the output.

    Parameters
    ----------
    dim : int, default -1
        The axis.
    """

    _fresh_gradient: ClassVar[bool] = True
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"dim": _axes}
    _name: ClassVar[str]

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def _saves_output(self) -> bool:
        return True

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Apply the function along the axis; in training mode the layer saves the result."""
        axis = self._axis_of(x)
        y: NDArray[Any] = getattr(along_axis, self._name)(x, axis)
        if self.training or self._saved or watching():
            save(self, (x,), (y,), (y, axis, {}))
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        return shape_of(saved[0])

    def _axis_of(self, x: ArrayLike) -> Any:
        """Return the axis, or no axis of a single number, which PyTorch takes for one element along axis 0."""
        return () if np.ndim(x) == 0 and self.dim in (0, -1) else self.dim

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> Any:
        y, axis, options = saved
        return getattr(along_axis, f"{self._name}_backward_from_output")(grad, y, axis, **options)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class _Saved(NamedTuple):
    """What a call saves whose gradient is not that from the output alone."""

    x: ArrayLike
    added: Any
    shape: tuple[int, ...]  # of the output
    bias: Any  # as it was given
    axis: Any
    options: dict[str, Any]


class _Loaded(_AlongAxis):
    """Base of the layers whose input may be scaled, capped, and have a bias and a sink."""

    _learns: ClassVar[bool] = True
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        **_AlongAxis._checks,
        "scale": number,
        "softcap": optional_number,
        "sink": _sink,
    }

    def __init__(
        self,
        dim: int = -1,
        *,
        scale: float = 1.0,
        softcap: float | None = None,
        sink: ArrayLike | Parameter | None = None,
    ) -> None:
        super().__init__(dim)
        self.scale = scale
        self.softcap = softcap
        getattr(along_axis, self._name)(np.empty((0, 1)), scale=scale, softcap=softcap)  # refuses other numbers
        if not isinstance(sink, Parameter):
            _sink("sink", sink)
        fixed = sink is None or isinstance(sink, (int, float, Parameter))
        self.sink: Any = sink if fixed else Parameter(np.asarray(sink))

    def _options(self) -> dict[str, Any]:
        sink = self.sink.data if isinstance(self.sink, Parameter) else self.sink
        return {"scale": self.scale, "softcap": self.softcap, "sink": sink}

    def _saves_output(self) -> bool:
        return self.softcap is None and self.sink is None

    def forward(self, x: ArrayLike, bias: ArrayLike | Parameter | None = None) -> NDArray[Any]:
        """Apply the function along the axis; in training mode the layer saves what its gradient needs.

        Parameters
        ----------
        x : array_like
            The input.
        bias : array_like or Parameter, optional
            What is added to the scaled and capped input; broadcasts to its shape. `backward` then returns two gradients.
        """
        added: Any = bias.data if isinstance(bias, Parameter) else bias
        axis, options = self._axis_of(x), self._options()
        y: NDArray[Any] = getattr(along_axis, self._name)(x, axis, bias=added, **options)
        if self.training or self._saved or watching():
            inputs = (x,) if bias is None else (x, bias)
            simple = bias is None and self._saves_output()
            saved = (y, axis, {"scale": self.scale}) if simple else _Saved(x, added, np.shape(y), bias, axis, options)
            save(self, inputs, (y,), saved)
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        return saved.shape if isinstance(saved, _Saved) else super()._output_shape(saved)

    def _reads(self, saved: Any, input_grad: Any) -> list[Parameter]:
        if not isinstance(self.sink, Parameter):
            return super()._reads(saved, input_grad)
        return [self.sink, *super()._reads(saved, True)] if input_grad or self.sink.requires_grad else []

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:
        if not isinstance(saved, _Saved):
            return super()._go_back(grad, saved, input_grad=input_grad, overwrite_grad=overwrite_grad)
        x, bias, _, _, axis, options = saved
        backward = getattr(along_axis, f"{self._name}_backward_parameters")
        dx, _, dbias, dsink = backward(grad, x, axis, bias=bias, **options)
        if isinstance(self.sink, Parameter) and self.sink.requires_grad:
            self.sink.add_gradient(np.asarray(dsink, self.sink.dtype))
        if not input_grad:
            return None
        return dx if bias is None else (dx, dbias)

    def extra_repr(self) -> str:
        """Return the axis and the options that are not the usual ones."""
        options = {"scale": None if self.scale == 1 else self.scale, "softcap": self.softcap, "sink": self.sink}
        if isinstance(self.sink, Parameter):
            options["sink"] = f"Parameter of shape {self.sink.shape}"
        return ", ".join(
            [super().extra_repr(), *(f"{name}={value}" for name, value in entries(options) if value is not None)]
        )


class Softmax(_Loaded):
    """Layer of :func:`fastrelu.softmax`: ``exp(x) / sum(exp(x))`` along the axis `dim`.

    A network that is trained with :class:`CrossEntropyLoss`, which takes logits, does not end with this layer. As a part of
    attention it takes the scores, and their bias as a second input.

    Parameters
    ----------
    dim : int, default -1
        The axis.
    scale : float, default 1.0
        Factor of the input.
    softcap : float, optional
        Limit of the scaled input.
    sink : float or array_like, optional
        One more logit for each row, whose probability is dropped. A number is fixed; an array or a
        :class:`~fastrelu.nn.Parameter` is learned, and broadcasts to the shape of the input without `dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softmax()(np.float32([0.0, 0.0]))
    array([0.5, 0.5], dtype=float32)
    >>> layer = nn.Softmax(scale=0.5, sink=np.zeros(1, np.float32))  # one sink that is learned
    >>> layer(np.float32([[0.0, 0.0]]), np.float32([0.0, -np.inf]))
    array([[0.5, 0. ]], dtype=float32)
    >>> [*layer.state_dict()]
    ['sink']
    """

    _name = "softmax"


class LogSoftmax(_Loaded):
    """Layer of :func:`fastrelu.log_softmax`: ``x - log(sum(exp(x)))`` along the axis `dim`.

    Parameters
    ----------
    dim, scale, softcap, sink
        As of :class:`Softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.LogSoftmax()(np.float32([0.0, 0.0])).round(4)
    array([-0.6931, -0.6931], dtype=float32)
    """

    _name = "log_softmax"


class Softmin(_AlongAxis):
    """Layer of :func:`fastrelu.softmin`: ``exp(-x) / sum(exp(-x))`` along the axis `dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softmin()(np.float32([0.0, 0.0]))
    array([0.5, 0.5], dtype=float32)
    """

    _name = "softmin"


class Hardmax(_AlongAxis):
    """Layer of :func:`fastrelu.hardmax`: 1 at the first of the largest elements along the axis `dim`, 0 elsewhere.

    No gradient passes; :class:`GumbelSoftmax` with ``hard=True`` has one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Hardmax()(np.float32([1.0, 4.0, 4.0]))
    array([0., 1., 0.], dtype=float32)
    """

    _name = "hardmax"


class Sparsemax(_AlongAxis):
    """Layer of :func:`fastrelu.sparsemax`: ``max(x - t, 0)`` that adds up to 1 along the axis `dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Sparsemax()(np.float32([1.0, 1.5, -2.0]))
    array([0.25, 0.75, 0.  ], dtype=float32)
    """

    _name = "sparsemax"


class GumbelSoftmax(Random, _AlongAxis):
    """Layer of :func:`fastrelu.gumbel_softmax`: softmax of noisy logits along the axis `dim`, in both modes.

    Parameters
    ----------
    tau : float, default 1.0
        Temperature; finite and greater than 0.
    hard : bool, default False
        Whether to return zeros and a single 1, with the gradient of the sample that they are made of.
    dim : int, default -1
        The axis.
    rng : numpy.random.Generator or seed, optional
        Source of the random numbers; any argument of :func:`numpy.random.default_rng`. Without it, copies of the layer
        and forked processes draw independently.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> sorted(nn.GumbelSoftmax(hard=True, rng=0)(np.float32([1.0, 2.0, 4.0])).tolist())
    [0.0, 0.0, 1.0]
    """

    _name = "gumbel_softmax"
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        **_AlongAxis._checks,
        "tau": number,
        "hard": check_flag,
    }

    def __init__(
        self, tau: float = 1.0, hard: bool = False, dim: int = -1, *, rng: np.random.Generator | int | None = None
    ) -> None:
        super().__init__(dim)
        self.tau = tau
        self.hard = hard
        self._seed(rng)

    def _saves_output(self) -> bool:
        return not self.hard

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Draw a sample; in training mode the layer saves it."""
        axis = self._axis_of(x)
        soft = along_axis.gumbel_softmax(x, axis, tau=self.tau, rng=self._generator())
        y: NDArray[Any] = along_axis.hardmax(soft, axis) if self.hard else soft
        if self.training or self._saved or watching():
            save(self, (x,), (y,), (soft, axis, {"tau": self.tau}))
        return y

    def extra_repr(self) -> str:
        """Return temperature, whether samples are hard, and the axis."""
        return f"tau={self.tau}, hard={self.hard}, {super().extra_repr()}"
