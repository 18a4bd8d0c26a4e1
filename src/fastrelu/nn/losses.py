"""Loss functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fastrelu import along_axis
from fastrelu.nn.module import Module

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Reduction = Literal["mean", "sum", "none"]


class _Loss(Module):
    """Base of the losses: in training mode a call computes the gradient too and saves it for backward.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or all of them.
    """

    _fresh_gradient: ClassVar[bool] = True

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in {"mean", "sum", "none"}:
            raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
        self.reduction = reduction

    def backward(
        self,
        grad: ArrayLike | None = None,
        *,
        input_grad: bool = True,
        overwrite_grad: bool = False,  # noqa: ARG002  grad is one number as a rule
    ) -> Any:
        """Return the gradient of the last loss with respect to the first argument; see :meth:`Module.backward`.

        `grad` is optional for a loss that is one number; with ``reduction="none"`` it has the shape of the losses.

        Raises
        ------
        RuntimeError
            If there was no call in training mode since the last backward call.
        ValueError
            If `grad` is missing with ``reduction="none"``, or has another shape than the loss.
        """
        if grad is None and self.reduction == "none":
            raise ValueError('with reduction="none" backward needs the gradient with respect to each loss')
        gradient = self._take()
        if not input_grad:
            return None
        if grad is None:
            return gradient
        axes = self._reduced_axes(gradient) if self.reduction == "none" else tuple(range(gradient.ndim))
        self._check_gradient(grad, tuple(n for i, n in enumerate(gradient.shape) if i not in axes))
        return gradient * np.expand_dims(np.asarray(grad, gradient.dtype), axes)

    def _real(self, name: str, value: ArrayLike) -> NDArray[Any]:
        """Return an argument as an array of float32 or float64, or refuse it."""
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{type(self).__name__} got a masked {name}: select or fill the elements first")
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
            raise TypeError(f"{type(self).__name__} needs a {name} of real numbers, got {array.dtype}")
        return array.astype(np.result_type(array.dtype, np.float32), copy=False)

    def _reduced_axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:  # noqa: ARG002  CrossEntropyLoss has one
        """Return the axes of the first argument that the losses do not have."""
        return ()


class CrossEntropyLoss(_Loss):
    """Cross-entropy between the softmax of logits and labels; see :func:`fastrelu.cross_entropy`.

    ``loss = criterion(logits, labels)`` computes the gradient in the same pass, and ``criterion.backward()`` returns
    it. The axis of the classes is 1 as in PyTorch, or the only one.

    Parameters
    ----------
    weight : array_like, optional
        A weight for each class.
    ignore_index : int, default -100
        Rows with this label are ignored.
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses of all rows, or each of them.
    label_smoothing : float, default 0.0
        Share of each label's probability that is distributed evenly over all classes.

    Raises
    ------
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.CrossEntropyLoss()
    >>> loss = criterion(np.float32([[0.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    >>> round(float(loss), 4)
    0.6931
    >>> criterion.backward()
    array([[-0.25,  0.25],
           [ 0.25, -0.25]], dtype=float32)
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def _axis(self, logits: ArrayLike) -> int:
        return min(1, np.ndim(logits) - 1)

    def forward(self, logits: ArrayLike, labels: ArrayLike) -> Any:
        """Return the loss.

        Parameters
        ----------
        logits : array_like
            Of shape ``(C,)``, ``(N, C)`` or ``(N, C, ...)``.
        labels : array_like
            Class indices of shape ``()``, ``(N,)`` or ``(N, ...)``, or probabilities of the shape of the logits.

        Returns
        -------
        scalar or ndarray
            One number, or with ``reduction="none"`` one for each label.
        """
        options: dict[str, Any] = {
            "axis": self._axis(logits),
            "weight": self.weight,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
        }
        if not self.training:
            return along_axis.cross_entropy(logits, labels, **options)
        loss, self._saved = along_axis.cross_entropy_value_and_grad(logits, labels, **options)
        return loss

    def _reduced_axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:
        return (self._axis(gradient),)


class MSELoss(_Loss):
    """Mean squared error ``mean((prediction - target) ** 2)``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the squares, or each of them.

    Raises
    ------
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.MSELoss()
    >>> float(criterion(np.float32([1.0, 2.0]), np.float32([1.0, 4.0])))
    2.0
    >>> criterion.backward()
    array([ 0., -2.], dtype=float32)
    """

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Any:
        """Return the loss.

        Parameters
        ----------
        prediction, target : array_like
            Of the same shape. They are not broadcast: that would hide mistakes.

        Returns
        -------
        scalar or ndarray
            One number, or with ``reduction="none"`` one for each element.

        Raises
        ------
        TypeError
            If either is not an array of real numbers, or is masked.
        ValueError
            If the shapes differ.
        """
        x, y = self._real("prediction", prediction), self._real("target", target)
        if x.shape != y.shape:
            raise ValueError(f"MSELoss needs one shape, got {x.shape} and {y.shape}")
        difference = np.subtract(x, y)
        squares = np.square(difference)
        if self.training:
            # The type of the gradient is that of the prediction, whatever the target's.
            factor = 2 / max(x.size, 1) if self.reduction == "mean" else 2
            self._saved = np.multiply(difference, factor, dtype=difference.dtype).astype(x.dtype, copy=False)
        if self.reduction == "none":
            return squares
        return squares.mean() if self.reduction == "mean" else squares.sum()
