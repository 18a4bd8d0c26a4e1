"""Layers of softmax and its relatives."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import ArrayLike, NDArray

from fastrelu import along_axis
from fastrelu.nn.module import Layer
from fastrelu.nn.record import save, watching

__all__ = [
    "LogSoftmax",
    "Softmax",
    "Softmin",
]


class _AlongAxis(Layer):
    """Base of the layers along an axis, whose backward works from the output.

    Parameters
    ----------
    dim : int, default -1
        The axis.
    """

    _fresh_gradient: ClassVar[bool] = True
    _name: ClassVar[str]

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def _saves_output(self) -> bool:
        return True

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Apply the function along the axis; in training mode the layer saves the result."""
        y: NDArray[Any] = getattr(along_axis, self._name)(x, self.dim)
        if self.training or self._saved or watching():
            save(self, (x,), (y,), y)
        return y

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> Any:
        return getattr(along_axis, f"{self._name}_backward_from_output")(grad, saved, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """Layer of :func:`fastrelu.softmax`: ``exp(x) / sum(exp(x))`` along the axis `dim`.

    A network that is trained with :class:`CrossEntropyLoss`, which takes logits, does not end with this layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Softmax()(np.float32([0.0, 0.0]))
    array([0.5, 0.5], dtype=float32)
    """

    _name = "softmax"


class LogSoftmax(_AlongAxis):
    """Layer of :func:`fastrelu.log_softmax`: ``x - log(sum(exp(x)))`` along the axis `dim`.

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
