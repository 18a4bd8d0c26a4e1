"""Activation layers that work in place with any parameters, by a mask of one bit per element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastrelu.masks as masks  # noqa: PLR0402  not what stands for it in the package
from fastrelu._core import joint_dtype
from fastrelu._walk import alike, save
from fastrelu.nn.activation import Activation
from fastrelu.nn.record import watching, writable


class _Saved(NamedTuple):
    """What a layer saves instead of an array."""

    mask: masks.Mask
    like: NDArray[Any]  # without elements in memory, of the shape and type of the input
    outer_slope: float


class Masked(Activation):
    """Base of the activations whose derivative is 1 where a mask is set, and one number elsewhere.

    In place, and with parameters for which the output does not tell the input, it saves the mask, 1/32 of a copy of a
    float32 input. Where the input is NaN the gradient is then that of the outer piece.
    """

    _with_mask: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, function: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(function, **kwargs)
        if function:
            cls._with_mask = staticmethod(getattr(masks, f"{function}_with_mask"))

    def _outer_slope(self) -> float:
        """Return the derivative where the mask is not set."""
        return 0.0

    def forward(self, x: ArrayLike) -> Any:
        """Apply the function; see :meth:`Activation.forward`."""
        saves = self.inplace and (self.training or self._saved or watching()) and not self._has_arrays()
        if not saves or self._saves_output() or not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
            return super().forward(x)
        writable(x)
        mask = self._with_mask(x, *self._arguments(x.shape), out=x)[1]
        save(self, (x,), (x,), _Saved(mask, np.broadcast_to(np.empty((), x.dtype), x.shape), self._outer_slope()))
        return x

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        return saved.like.shape if isinstance(saved, _Saved) else super()._output_shape(saved)

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        if not isinstance(saved, _Saved):
            return super()._gradient(grad, saved, overwrite_grad=overwrite_grad)
        out: Any = grad if overwrite_grad and alike(grad, saved.like) else None
        g = np.asarray(grad, joint_dtype(grad, saved.like))
        return masks.backward_from_mask(g, saved.mask, saved.outer_slope, out=out)
