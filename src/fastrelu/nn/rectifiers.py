"""Layers of the rectifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import activations
from fastrelu._foreign import is_foreign
from fastrelu._options import integer, number
from fastrelu._walk import alike, save, shape_of
from fastrelu.nn.activation import Activation, repr_of
from fastrelu.nn.masked import Masked
from fastrelu.nn.module import Layer
from fastrelu.nn.random import Random
from fastrelu.nn.record import watching, writable

__all__ = [
    "BoundedReLU",
    "CReLU",
    "LeakyReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SquaredReLU",
    "Threshold",
    "ThresholdedReLU",
]


class ReLU(Activation, function="relu", exact=True):
    """Layer of :func:`fastrelu.relu`: ``max(x, 0)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.ReLU()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 3.], dtype=float32)
    """


class ReLU6(Activation, function="relu6", exact=True):
    """Layer of :func:`fastrelu.relu6`: ``min(max(x, 0), 6)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.ReLU6()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 3.], dtype=float32)
    """


class LeakyReLU(Masked, function="leaky_relu"):
    """Layer of :func:`fastrelu.leaky_relu`: ``x`` where ``x > 0``, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope below 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.LeakyReLU(0.2)(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.4, -0.1,  0. ,  3. ], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.negative_slope >= 0

    def _outer_slope(self) -> float:
        return self.negative_slope


class BoundedReLU(Activation, function="bounded_relu"):
    """Layer of :func:`fastrelu.bounded_relu`: ReLU with a slope, an upper limit and a threshold, as in Keras.

    Parameters
    ----------
    negative_slope : float, default 0.0
        Slope at and below the threshold.
    max_value : float or None, default None
        Upper limit of the output, at least `threshold`; None is none.
    threshold : float, default 0.0
        Inputs above it are kept.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.BoundedReLU(0.25, 2.0)(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-0.5  , -0.125,  0.   ,  2.   ], dtype=float32)
    """

    def __init__(
        self,
        negative_slope: float = 0.0,
        max_value: float | None = None,
        threshold: float = 0.0,
        *,
        inplace: bool = False,
    ) -> None:
        self.negative_slope = negative_slope
        self.max_value = max_value
        self.threshold = threshold
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.negative_slope >= 0 and self.threshold >= 0 and (self.max_value is None or self.max_value > 0)


class Threshold(Masked, function="threshold"):
    """Layer of :func:`fastrelu.threshold`: ``x`` where ``x > threshold``, ``value`` elsewhere.

    Parameters
    ----------
    threshold : float
        Inputs above it are kept.
    value : float
        Replaces all other inputs.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.Threshold(0.1, 20.0)(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([20., 20., 20.,  3.], dtype=float32)
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.value <= self.threshold


class ThresholdedReLU(Masked, function="thresholded_relu"):
    """Layer of :func:`fastrelu.thresholded_relu`: ``x`` where ``x > alpha``, 0 elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        Inputs above it are kept; all others become 0.
    inplace : bool, default False
        Whether to overwrite the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.ThresholdedReLU()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 3.], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, *, inplace: bool = False) -> None:
        self.alpha = alpha
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.alpha >= 0


class SquaredReLU(Activation, function="squared_relu"):
    """Layer of :func:`fastrelu.squared_relu`: ``max(x, 0) ** 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.SquaredReLU()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([0., 0., 0., 9.], dtype=float32)
    """


class RReLU(Random, Activation, function="rrelu"):
    """Layer of :func:`fastrelu.rrelu`: leaky ReLU with random slopes in training mode, and their mean in evaluation mode.

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        Range of the slopes.
    inplace : bool, default False
        Whether to overwrite the input.
    rng : numpy.random.Generator or seed, optional
        Source of the slopes; any argument of :func:`numpy.random.default_rng`. Without it, copies of the layer and
        forked processes draw independently.

    Raises
    ------
    ValueError
        Unless ``lower <= upper``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.RReLU(0.25, 0.75).eval()(np.float32([-2.0, -0.5, 0.0, 3.0]))
    array([-1.  , -0.25,  0.  ,  3.  ], dtype=float32)
    """

    def __init__(
        self,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        inplace: bool = False,
        *,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not number("lower", lower) <= number("upper", upper):
            raise ValueError(f"RReLU requires lower <= upper, got lower={lower!r}, upper={upper!r}")
        self.lower = lower
        self.upper = upper
        self._seed(rng)
        super().__init__(inplace)

    def _output_suffices(self) -> bool:
        return self.lower >= 0

    def _output_determines(self) -> bool:
        return self._output_suffices()

    def forward(self, x: ArrayLike) -> Any:
        """Apply the function, in training mode with new random slopes; see :meth:`Activation.forward`."""
        function: Any = activations.rrelu_ if self.inplace else activations.rrelu
        saves = self.training or self._saved or watching()
        from_output = self._saves_output()
        before = self._saved_input(x) if saves and not from_output else None
        if self.inplace:
            writable(x)
        slopes: Any = (self.lower + self.upper) / 2
        if self.training:
            array: Any = x if is_foreign(x) and hasattr(x, "dtype") else np.asanyarray(x)  # which computes a lazy array
            slopes = np.empty(array.shape, np.float32 if np.can_cast(array.dtype, np.float32) else np.float64)
            y = function(x, self.lower, self.upper, training=True, rng=self._generator(), slopes=slopes)
        else:
            y = function(x, self.lower, self.upper)
        if saves:
            save(self, (x,), (y,), (y if from_output else before, slopes, from_output))
        return y

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        array, slopes, from_output = saved
        out: Any = grad if overwrite_grad and alike(grad, array) else None
        if from_output:
            return activations.leaky_relu_backward_from_output(grad, array, slopes, out=out)
        return activations.leaky_relu_backward(grad, array, slopes, out=out)

    def extra_repr(self) -> str:
        """Return the range of the slopes, and whether the layer works in place."""
        return repr_of(self, ("lower", "upper")) + (", inplace=True" if self.inplace else "")


class CReLU(Layer):
    """Layer of :func:`fastrelu.crelu`: the concatenation of ``relu(x)`` and ``relu(-x)``, twice as long along `axis`.

    Parameters
    ----------
    axis : int, default -1
        The axis of the concatenation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> nn.CReLU()(np.float32([-2.0, 3.0]))
    array([0., 3., 2., 0.], dtype=float32)
    """

    _fresh_gradient: ClassVar[bool] = True
    _name: ClassVar[str] = "crelu"
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {"axis": integer}

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def _saves_output(self) -> bool:
        return True

    def forward(self, x: ArrayLike) -> NDArray[Any]:
        """Apply the function; in training mode the layer saves the result."""
        y: NDArray[Any] = activations.crelu(x, self.axis)
        if self.training or self._saved or watching():
            save(self, (x,), (y,), (y, self.axis))
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        return shape_of(saved[0])

    def _gradient(self, grad: ArrayLike, saved: Any, **_: bool) -> Any:
        return activations.crelu_backward_from_output(grad, *saved)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"axis={self.axis}"
