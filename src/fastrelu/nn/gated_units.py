"""Layers of the gated linear units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from numpy.typing import ArrayLike

from fastrelu import gated_units
from fastrelu._entries import entries
from fastrelu._options import choice, integer, number, operand, optional_number
from fastrelu._walk import save
from fastrelu.nn.activation import repr_of
from fastrelu.nn.module import Layer
from fastrelu.nn.record import watching

__all__ = ["GEGLU", "GLU", "ReGLU", "SwiGLU"]


class _GatedUnit(Layer):
    """Base of the gated linear units: forward halves an axis, and backward works from the input.

    A subclass names its function; the function's options are attributes of the layer.
    """

    _fresh_gradient: ClassVar[bool] = True
    _name: ClassVar[str]
    _options: ClassVar[tuple[str, ...]] = ("gate", "layout")
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "dim": integer,
        "gate": choice("first", "second"),
        "layout": choice("halves", "interleaved"),
        "limit": optional_number,
        "offset": number,
        "beta": operand,
        "approximate": choice("none", "tanh"),
    }

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        for name, value in entries(options):
            setattr(self, name, value)

    def _how(self) -> dict[str, Any]:
        """Return the options of the function."""
        return {"axis": self.dim, **{name: getattr(self, name) for name in self._options}}

    def forward(self, x: ArrayLike) -> Any:
        """Multiply one half of the axis `dim` by the activation of the other; in training mode the input is saved."""
        how = self._how()
        y = getattr(gated_units, self._name)(x, **how)
        if self.training or self._saved or watching():
            save(self, (x,), (y,), (x, y.shape, how))
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[1]
        return shape

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> Any:
        x, _, how = saved
        return getattr(gated_units, f"{self._name}_backward")(grad, x, **how)

    def extra_repr(self) -> str:
        """Return the axis and the options."""
        return repr_of(self, ("dim", *self._options))


class GLU(_GatedUnit):
    """Layer of :func:`fastrelu.glu`: the first half of the axis `dim` times the sigmoid of the second half.

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved.
    gate, layout
        Options of :func:`fastrelu.glu`, with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.GLU()(np.float32([1.0, 2.0, 0.0, 3.0])).round(4)
    array([0.5   , 1.9051], dtype=float32)
    """

    _name = "glu"

    def __init__(
        self,
        dim: int = -1,
        *,
        gate: Literal["first", "second"] = "second",
        layout: Literal["halves", "interleaved"] = "halves",
    ) -> None:
        super().__init__(dim, gate=gate, layout=layout)


class _ClippedUnit(_GatedUnit):
    """Base of the units with a limit."""

    _options: ClassVar[tuple[str, ...]] = ("gate", "layout", "limit", "offset")

    def __init__(
        self,
        dim: int = -1,
        *,
        gate: Literal["first", "second"] = "first",
        layout: Literal["halves", "interleaved"] = "halves",
        limit: float | None = None,
        offset: float = 0.0,
    ) -> None:
        super().__init__(dim, gate=gate, layout=layout, limit=limit, offset=offset)


class SwiGLU(_ClippedUnit):
    """Layer of :func:`fastrelu.swiglu`: SiLU of the first half of the axis `dim` times the second half.

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved.
    beta, gate, layout, limit, offset
        Options of :func:`fastrelu.swiglu`, with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SwiGLU()(np.float32([1.0, -2.0, 3.0, 0.5])).round(4)
    array([ 2.1932, -0.1192], dtype=float32)
    """

    _name = "swiglu"
    _options = ("beta", *_ClippedUnit._options)

    def __init__(
        self,
        dim: int = -1,
        *,
        beta: float = 1.0,
        gate: Literal["first", "second"] = "first",
        layout: Literal["halves", "interleaved"] = "halves",
        limit: float | None = None,
        offset: float = 0.0,
    ) -> None:
        super().__init__(dim, gate=gate, layout=layout, limit=limit, offset=offset)
        self.beta = beta


class GEGLU(_ClippedUnit):
    """Layer of :func:`fastrelu.geglu`: GELU of the first half of the axis `dim` times the second half.

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved.
    approximate, gate, layout, limit, offset
        Options of :func:`fastrelu.geglu`, with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.GEGLU()(np.float32([1.0, -2.0, 3.0, 0.5])).round(4)
    array([ 2.524 , -0.0228], dtype=float32)
    """

    _name = "geglu"
    _options = ("approximate", *_ClippedUnit._options)

    def __init__(
        self,
        dim: int = -1,
        *,
        approximate: Literal["none", "tanh"] = "none",
        gate: Literal["first", "second"] = "first",
        layout: Literal["halves", "interleaved"] = "halves",
        limit: float | None = None,
        offset: float = 0.0,
    ) -> None:
        super().__init__(dim, gate=gate, layout=layout, limit=limit, offset=offset)
        self.approximate = approximate


class ReGLU(_ClippedUnit):
    """Layer of :func:`fastrelu.reglu`: ReLU of the first half of the axis `dim` times the second half.

    Parameters
    ----------
    dim : int, default -1
        The axis that is halved.
    gate, layout, limit, offset
        Options of :func:`fastrelu.reglu`, with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.ReGLU()(np.float32([1.0, -2.0, 3.0, 0.5]))
    array([3., 0.], dtype=float32)
    """

    _name = "reglu"
