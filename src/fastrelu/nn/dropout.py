"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu.nn.module import Layer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Dropout(Layer):
    """In training mode, set random elements to zero and scale the others by ``1 / (1 - p)``.

    In evaluation mode the input itself is returned.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is set to zero; ``0 <= p < 1``.
    rng : numpy.random.Generator or seed, optional
        Source of the random numbers; any argument of :func:`numpy.random.default_rng`.

    Raises
    ------
    ValueError
        Unless ``0 <= p < 1``.

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

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout requires 0 <= p < 1, got p={p!r}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: ArrayLike) -> Any:
        """Return `x` with random elements set to zero, or `x` itself in evaluation mode.

        Raises
        ------
        TypeError
            In training mode, if `x` is neither float32 nor float64.
        """
        if not self.training:
            return x
        array: NDArray[Any] = np.asarray(x)
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"Dropout takes float32 or float64 in training, got {array.dtype}")
        scale = np.zeros(array.shape, array.dtype)
        scale[self.rng.random(array.shape, np.float32) >= self.p] = 1 / (1 - self.p)
        self._saved = scale
        return array * scale

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> Any:
        return grad * saved

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"
