"""Loss functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu import along_axis, losses
from fastrelu._kernels import quiet
from fastrelu._losses import BINARY, BINARY_WITH_LOGITS, HUBER, L1, MSE, SMOOTH_L1, Formula, scaled, small, small_nll
from fastrelu._options import choice, integer, number, real_number
from fastrelu._steps import updates
from fastrelu._walk import save
from fastrelu.nn.module import Layer
from fastrelu.nn.parameter import check_backward_flags, is_half
from fastrelu.nn.record import Off, recording, release, watching

Reduction = Literal["mean", "sum", "none"]
_AXES = [tuple(range(ndim)) for ndim in range(65)]  # all of an array, by their number

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


@quiet
def _times(gradient: NDArray[Any], grad: Any, axes: tuple[int, ...]) -> Any:
    """Return the gradient times that of the loss, or of each loss, which lacks some axes."""
    return gradient * np.expand_dims(np.asarray(grad, gradient.dtype), axes)


class _Loss(Layer):
    """Base of the losses: in training mode a call computes the gradient too and saves it for backward.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or all of them.
    """

    _fresh_gradient: ClassVar[bool] = True
    # Whether the gradient with respect to the second argument is the first one's, negated.
    _symmetric: ClassVar[bool] = False

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "reduction": choice("mean", "sum", "none"),
        "ignore_index": integer,
        "label_smoothing": number,
        "delta": real_number,
        "beta": real_number,
    }

    def __init_subclass__(cls, symmetric: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._symmetric = cls._symmetric or symmetric

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name in {"weight", "pos_weight"} and value is not None:
            losses.real_array(type(self).__name__, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call :meth:`forward`, then the hooks."""
        if self._hooks or kwargs or len(args) != 2:
            return super().__call__(*args, **kwargs)
        x, y = args
        try:
            return self.forward(x, y)  # which costs less than with a tuple and a dict
        except BaseException:
            release(self)  # as Module does
            raise

    def backward(
        self,
        grad: ArrayLike | None = None,
        *,
        input_grad: bool = True,
        overwrite_grad: bool = False,
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
        if input_grad is not True or overwrite_grad is not False:
            check_backward_flags(input_grad, overwrite_grad)
        memory = self._saved
        call = memory.call if memory is not None else None
        if memory is None or type(call) is not tuple:
            call = self._last_call()  # which says what is wrong
        assert memory is not None
        gradient, axes = call[0]
        if grad is not None:
            found = scaled(gradient, grad, axes, losses._BLOCK) if input_grad else None
            if found is None:
                return super().backward(grad, input_grad=input_grad)
            gradient = found
        elif len(axes) < gradient.ndim:
            raise ValueError('with reduction="none" backward needs the gradient with respect to each loss')
        memory.call = None
        return gradient if input_grad else None

    def _save(self, x: ArrayLike, target: ArrayLike, loss: Any, gradient: Any) -> None:
        """Save the gradient; a target of integers has none in any network."""
        dtype: Any = getattr(target, "dtype", None)
        if not isinstance(dtype, np.dtype):  # a list, or a tensor of another library
            dtype = np.asarray(target).dtype
        has_gradient = dtype.kind == "f" or is_half(dtype)
        saved = None if gradient is None else (gradient, self._axes(gradient))
        save(self, (x, target) if has_gradient else (x,), (loss,), saved)

    def _axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:
        """Return the axes of the first argument that the loss does not have."""
        return self._reduced_axes(gradient) if self.reduction == "none" else _AXES[gradient.ndim]

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        gradient, axes = saved
        return tuple(n for i, n in enumerate(gradient.shape) if i not in axes)

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:  # noqa: ARG002  grad is one number as a rule
        if not input_grad:
            return None
        gradient, axes = saved
        found = scaled(gradient, grad, axes, losses._BLOCK)
        gradient = _times(gradient, grad, axes) if found is None else found
        if not isinstance(input_grad, tuple):
            return gradient
        if input_grad[1] and not self._symmetric:
            raise RuntimeError(f"{self!r} has no gradient with respect to its second argument: use nn.detach for that")
        return gradient if input_grad[0] else None, -gradient if input_grad[1] else None

    def _reduced_axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:  # noqa: ARG002  classes are such an axis
        """Return the axes of the first argument that the losses do not have."""
        return ()


class _Pointwise(_Loss):
    """Base of the losses of two arrays of one shape: a subclass defines the formula."""

    _formula: ClassVar[int]
    # What the formula takes besides the arrays: a number, weights of the losses and of positive labels. None: the defaults.
    _terms: ClassVar[Callable[[Any], tuple[float, Any, Any]] | None] = None

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
        current = watching()
        records = self.training if current is None else type(current) is not Off
        terms = self._terms
        number, weight, pos_weight = (1.0, None, None) if terms is None else terms()
        found = small(
            self._formula, number, prediction, target, weight, pos_weight, self.reduction, records, losses._BLOCK
        )
        loss, grad = self._compute(prediction, target, records) if found is None else found
        memory = self._saved
        if current is None and memory is not None:
            call = None
            if records:
                call = ((grad, () if self.reduction == "none" else _AXES[grad.ndim]), updates[0])
            memory.call = call
        elif records or current is not None:
            self._save(prediction, target, loss, grad)
        return loss

    def _compute(self, prediction: ArrayLike, target: ArrayLike, records: bool) -> tuple[Any, Any]:
        """Return loss and gradient of anything, or refuse it."""
        number, weight, _ = self._terms() if self._terms is not None else (1.0, None, None)
        name = type(self).__name__
        (x, y), (kind, other) = losses.pair(name, ("prediction", "target"), prediction, target)
        formula = Formula(self._formula, number, True)
        # The type of the gradient is that of the prediction, whatever the target's; integers as a target change no type.
        return losses.blockwise(
            name,
            formula,
            [x, y] if weight is None else [x, y, losses.factor(name, "weight", weight, x.shape)],
            losses.float_type(x) if x.dtype is y.dtype else np.result_type(losses.float_type(x), losses.float_type(y)),
            self.reduction,
            loss_dtype=kind if kind is other or y.dtype.kind != "f" else losses.common_type(kind, other),
            grad_dtype=kind if records else None,
        )


class MSELoss(_Pointwise, symmetric=True):
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

    _formula = MSE


class L1Loss(_Pointwise, symmetric=True):
    """Mean absolute error ``mean(abs(prediction - target))``; its gradient is 0 where both are equal.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the absolute values, or each of them.

    Raises
    ------
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.L1Loss()
    >>> float(criterion(np.float32([1.0, 2.0]), np.float32([1.0, 4.0])))
    1.0
    >>> criterion.backward()
    array([ 0. , -0.5], dtype=float32)
    """

    _formula = L1


class HuberLoss(_Pointwise, symmetric=True):
    """Squares of small differences, absolute values of large ones.

    The loss of a difference d is ``d ** 2 / 2`` where ``abs(d) <= delta``, ``delta * (abs(d) - delta / 2)`` elsewhere.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or each of them.
    delta : float, default 1.0
        The largest slope; greater than 0.

    Raises
    ------
    ValueError
        If `reduction` is none of the three, or `delta` is not greater than 0.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.HuberLoss(reduction="none")
    >>> criterion(np.float32([1.5, 6.0]), np.float32([1.0, 4.0]))
    array([0.125, 1.5  ], dtype=float32)
    >>> criterion.backward(np.ones(2))
    array([0.5, 1. ], dtype=float32)
    """

    _formula = HUBER

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name == "delta" and not value > 0:
            raise ValueError(f"HuberLoss requires delta > 0, got delta={value!r}")

    def _terms(self) -> tuple[float, Any, Any]:
        return self.delta, None, None


class SmoothL1Loss(_Pointwise, symmetric=True):
    """Absolute error with a parabola around 0: :class:`HuberLoss` with ``delta=beta``, divided by `beta`.

    The loss of a difference d is ``d ** 2 / (2 * beta)`` where ``abs(d) < beta``, ``abs(d) - beta / 2`` elsewhere.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or each of them.
    beta : float, default 1.0
        Where the parabola ends; at least 0, and 0 is :class:`L1Loss`.

    Raises
    ------
    ValueError
        If `reduction` is none of the three, or `beta` is negative.

    References
    ----------
    R. Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.SmoothL1Loss(reduction="none", beta=0.5)
    >>> criterion(np.float32([1.25, 6.0]), np.float32([1.0, 4.0]))
    array([0.0625, 1.75  ], dtype=float32)
    >>> criterion.backward(np.ones(2))
    array([0.5, 1. ], dtype=float32)
    """

    _formula = SMOOTH_L1

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name == "beta" and not value >= 0:
            raise ValueError(f"SmoothL1Loss requires beta >= 0, got beta={value!r}")

    def _terms(self) -> tuple[float, Any, Any]:
        return self.beta, None, None


class BCEWithLogitsLoss(_Pointwise):
    """Cross-entropy of labels and the sigmoid of logits; see :func:`fastrelu.binary_cross_entropy_with_logits`.

    It neither overflows nor cancels, where a sigmoid and :class:`BCELoss` do.

    Parameters
    ----------
    weight : array_like, optional
        Factor of each loss; broadcasts to the shape of the logits.
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or each of them.
    pos_weight : array_like, optional
        Factor of the positive label's part; one number for each class along the last axis, or any other shape that
        broadcasts.

    Raises
    ------
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.BCEWithLogitsLoss()
    >>> loss = criterion(np.float32([0.0, 0.0]), np.array([0, 1]))
    >>> round(float(loss), 4)
    0.6931
    >>> criterion.backward()
    array([ 0.25, -0.25], dtype=float32)
    """

    _formula = BINARY_WITH_LOGITS

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        reduction: Reduction = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.pos_weight = pos_weight

    def forward(self, logits: ArrayLike, labels: ArrayLike) -> Any:
        """Return the loss.

        Parameters
        ----------
        logits : array_like
            Of any shape.
        labels : array_like
            The probability that each element is positive, of the shape of the logits; 0, 1, or between.

        Returns
        -------
        scalar or ndarray
            One number, or with ``reduction="none"`` one for each element.
        """
        return super().forward(logits, labels)

    def _terms(self) -> tuple[float, Any, Any]:
        return 1.0, self.weight, self.pos_weight

    def _compute(self, logits: ArrayLike, labels: ArrayLike, records: bool) -> tuple[Any, Any]:
        options: dict[str, Any] = {
            "weight": self.weight,
            "pos_weight": self.pos_weight,
            "reduction": self.reduction,
        }
        if records:
            return losses.binary_cross_entropy_with_logits_value_and_grad(logits, labels, **options)
        return losses.binary_cross_entropy_with_logits(logits, labels, **options), None


class BCELoss(_Pointwise):
    """Cross-entropy of labels and probabilities, such as a sigmoid returns.

    The loss is ``-(y * log(x) + (1 - y) * log(1 - x))`` with logarithms of at least -100, as in PyTorch.
    :class:`BCEWithLogitsLoss` without the sigmoid is more accurate.

    Parameters
    ----------
    weight : array_like, optional
        Factor of each loss; broadcasts to the shape of the probabilities.
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses, or each of them.

    Raises
    ------
    ValueError
        If `reduction` is none of the three; in a call, if a probability or a label is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.BCELoss()
    >>> loss = criterion(np.float32([0.5, 0.25]), np.array([0, 1]))
    >>> round(float(loss), 4)
    1.0397
    >>> criterion.backward()
    array([ 1., -2.], dtype=float32)
    """

    _formula = BINARY

    def __init__(self, weight: ArrayLike | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def _terms(self) -> tuple[float, Any, Any]:
        return 1.0, self.weight, None


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
            "axis": _class_axis(logits),
            "weight": self.weight,
            "ignore_index": self.ignore_index,
            "reduction": self.reduction,
            "label_smoothing": self.label_smoothing,
        }
        if recording(self):
            loss, gradient = along_axis.cross_entropy_value_and_grad(logits, labels, **options)
        else:
            loss, gradient = along_axis.cross_entropy(logits, labels, **options), None
        self._save(logits, labels, loss, gradient)
        return loss

    def _reduced_axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:
        return (_class_axis(gradient),)


class NLLLoss(_Loss):
    """Negative logarithm of the probability of each label, from the result of :class:`LogSoftmax`.

    :class:`CrossEntropyLoss` does both in one pass. The axis of the classes is 1 as in PyTorch, or the only one.

    Parameters
    ----------
    weight : array_like, optional
        A weight for each class.
    ignore_index : int, default -100
        Rows with this label are ignored.
    reduction : {"mean", "sum", "none"}, default "mean"
        Whether to return the mean or the sum of the losses of all rows, or each of them. The mean is that with the
        weights of the labels.

    Raises
    ------
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> criterion = nn.NLLLoss()
    >>> float(criterion(np.float32([[-0.5, -1.0], [-2.0, -0.25]]), np.array([0, 1])))
    0.375
    >>> criterion.backward()
    array([[-0.5,  0. ],
           [ 0. , -0.5]], dtype=float32)
    """

    def __init__(
        self, weight: ArrayLike | None = None, *, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: ArrayLike, labels: ArrayLike) -> Any:
        """Return the loss.

        Parameters
        ----------
        log_probabilities : array_like
            Of shape ``(C,)``, ``(N, C)`` or ``(N, C, ...)``.
        labels : array_like
            Class indices of shape ``()``, ``(N,)`` or ``(N, ...)``.

        Returns
        -------
        scalar or ndarray
            One number, or with ``reduction="none"`` one for each label.

        Raises
        ------
        TypeError
            If `log_probabilities` is not an array of real numbers, or `labels` not one of integers.
        ValueError
            If shapes do not match.
        IndexError
            If a label is no class, `ignore_index` aside.
        """
        records = recording(self)
        found = small_nll(
            log_probabilities, labels, self.weight, self.ignore_index, self.reduction, records, losses._BLOCK
        )
        loss, gradient = self._compute(log_probabilities, labels, records) if found is None else found
        if records or self._saved is not None or watching() is not None:
            self._save(log_probabilities, labels, loss, gradient)
        return loss

    @quiet
    def _compute(self, log_probabilities: ArrayLike, labels: ArrayLike, records: bool) -> tuple[Any, Any]:
        """Return loss and gradient of anything, or refuse it."""
        x, dtype = losses.typed_array("NLLLoss", "log_probabilities", log_probabilities)
        if x.ndim == 0:
            raise ValueError("NLLLoss needs an axis of classes, got one number")
        axis = _class_axis(x)
        classes, shape = x.shape[axis], x.shape[:axis] + x.shape[axis + 1 :]
        label, counted = self._checked(labels, classes, shape)
        weight: Any = 1.0 if self.weight is None else self._weights(classes)[label]
        at = self._places(label, axis)
        picked = np.asarray(x[at])
        if self.weight is None and counted is None:
            each, count = np.negative(picked, dtype=np.float64), float(label.size)
        else:
            weight = np.where(True if counted is None else counted, weight, 0.0)
            # No weight of an infinite loss is 0.
            each = np.multiply(picked, -weight, out=np.zeros(shape), where=weight != 0)
            count = float(np.sum(weight))
        if self.reduction == "none":
            loss = losses.rounded(each, dtype)[()]
        else:
            loss = losses.reduced(float(np.add.reduce(each, None)), count, self.reduction, dtype)
        gradient = None
        if records:
            # The mean of losses whose weights are all 0 is NaN, and so is its gradient; what is ignored has none.
            share = 1.0 if self.reduction != "mean" else 1 / count if count else np.inf
            at_labels = np.asarray(-weight * share)
            if counted is not None:
                at_labels = np.where(counted, at_labels, 0.0)
            gradient = np.zeros(x.shape, dtype)
            gradient[at] = losses.rounded(at_labels, dtype)
        return loss, gradient

    def _checked(
        self, labels: ArrayLike, classes: int, shape: tuple[int, ...]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_] | None]:
        """Return the labels, 0 instead of those to ignore, and which of them count, None if all do."""
        given = losses.real_array("NLLLoss", "labels", labels)
        if given.dtype.kind not in "iu":
            raise TypeError(f"NLLLoss: labels must be integers, not {given.dtype}")
        if given.shape != shape:
            raise ValueError(
                f"NLLLoss: labels must have the shape of log_probabilities without the axis of the classes, {shape}, "
                f"not {given.shape}"
            )
        label = given.astype(np.intp)  # a copy: another thread may write it meanwhile
        may_count = label.size > 0 and not 0 <= self.ignore_index < classes
        # Without a sign negative labels are the largest of all.
        if may_count and np.maximum.reduce(label.view(np.uintp), None) < classes:
            return label, None
        given = given.copy()
        counted = given != self.ignore_index
        wrong = counted & ((given < 0) | (given >= classes))
        if wrong.any():
            position = int(np.argmax(wrong))
            raise IndexError(
                f"NLLLoss: label {given.flat[position]} at position {position} is out of range for {classes} classes; "
                f"rows to ignore carry ignore_index, which is {self.ignore_index}"
            )
        return np.where(counted, given, 0).astype(np.intp), counted

    def _places(self, label: NDArray[np.intp], axis: int) -> tuple[Any, ...]:
        """Return the index of the elements at the labels."""
        if label.ndim <= 1:
            return (np.arange(len(label)), label) if label.ndim else (label,)
        others = np.indices(label.shape, sparse=True)
        return (*others[:axis], label, *others[axis:])

    def _weights(self, classes: int) -> NDArray[Any]:
        assert self.weight is not None
        weight = losses.real_array("NLLLoss", "weight", self.weight)
        if weight.shape != (classes,):
            raise ValueError(
                f"NLLLoss: weight must hold one number for each of the {classes} classes, its shape is {weight.shape}"
            )
        return weight.astype(np.float64)

    def _reduced_axes(self, gradient: NDArray[Any]) -> tuple[int, ...]:
        return (_class_axis(gradient),)


def _class_axis(array: ArrayLike) -> int:
    return min(1, np.ndim(array) - 1)
