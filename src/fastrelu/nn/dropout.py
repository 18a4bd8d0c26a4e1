"""Dropout."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastrelu.masks as masks  # noqa: PLR0402  not what stands for it in the package
from fastrelu._foreign import refuse, refuse_none
from fastrelu._options import real_number
from fastrelu._packed import words_from
from fastrelu._walk import save
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import Parameter
from fastrelu.nn.random import Random, random_words
from fastrelu.nn.record import watching, writable
from fastrelu.runtime import isa


class Dropout(Random, Layer):
    """In training mode, set random elements to zero and scale the others by ``1 / (1 - p)``.

    For the gradient the layer saves one bit per element. In evaluation mode the input itself is returned.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is set to zero; ``0 <= p <= 1``.
    inplace : bool, default False
        Whether to overwrite the input.
    rng : numpy.random.Generator or seed, optional
        Source of the random numbers; any argument of :func:`numpy.random.default_rng`. Without it, copies of the layer
        and forked processes draw independently.

    Raises
    ------
    TypeError
        If `p` is no number.
    ValueError
        Unless ``0 <= p <= 1``.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> x = np.ones(1000, np.float32)
    >>> sorted(set(nn.Dropout(0.5, rng=0)(x).tolist()))
    [0.0, 2.0]
    >>> nn.Dropout(0.5).eval()(x) is x
    True
    """

    _fresh_gradient: ClassVar[bool] = True

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: np.random.Generator | int | None = None) -> None:
        super().__init__()
        self.p = p
        self.inplace = inplace
        self._seed(rng)

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name == "p" and not 0 <= real_number("p", value) <= 1:
            raise ValueError(f"Dropout requires 0 <= p <= 1, got p={value!r}")

    def forward(self, x: ArrayLike) -> Any:
        """Return `x` with random elements set to zero, or `x` itself in evaluation mode.

        Raises
        ------
        TypeError
            In training mode, if `x` is neither float32 nor float64, or is a masked array.
        """
        if not self.training:
            if self._saved or watching():
                save(self, (), (), (None, 1.0, np.shape(x), None))
            return x
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{self!r} cannot take a masked array into account: fill it first, x.filled(0)")
        refuse_none(self, x=x)
        refuse(self, x=x)
        array: NDArray[Any] = np.asarray(x)
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"Dropout takes float32 or float64 in training, got {array.dtype}")
        if self.inplace:
            if isinstance(x, (Parameter, list, tuple, int, float, np.generic)):
                raise TypeError(f"Dropout can write into an array or a writable buffer, not into {type(x).__name__!r}")
            writable(x)
        mask = self._draw(array.size)
        y: Any = masks.backward_from_mask(array, mask, slope=self._scale(), out=array if self.inplace else None)
        y = x if self.inplace else y
        save(self, (x,), (y,), (mask, self._scale(), array.shape, array.dtype))
        return y

    def _draw(self, n: int) -> masks.Mask:
        """Return the mask of the elements that are kept: those whose word of 32 random bits is not below p."""
        limit = round(self.p * 2**32)
        if limit == 2**32:
            return np.zeros((n + 7) // 8, np.uint8)
        words = random_words(self._generator(), (n + 1) // 2)
        return words_from("Dropout", isa, words.view(np.uint32)[:n], limit)

    def _scale(self) -> float:
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        shape: tuple[int, ...] = saved[2]
        return shape

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        mask, scale, _, dtype = saved
        if mask is None:
            return grad
        refuse(self, grad=grad)
        g = np.asarray(grad)
        g = g if g.dtype.kind == "f" else g.astype(dtype)
        return masks.backward_from_mask(g, mask, slope=scale, out=g if overwrite_grad else None)

    def extra_repr(self) -> str:
        """Return the probability, and whether the layer works in place."""
        return f"p={self.p}, inplace={self.inplace}"
