"""Stated by tools/state_conventions.py."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from fastrelu._typing import Output
from fastrelu.conventions._build import Row

ROWS: tuple[Row, ...]
FUNCTIONS: dict[str, Callable[..., Any]]

def logit(input: ArrayLike, eps: float | None = None, *, out: Output = None) -> Any:
    """Logit: the inverse of :func:`fastrelu.sigmoid`.

    As ``torch.special.logit``, computed by :func:`fastrelu.logit`.
    """

def erf(input: ArrayLike, *, out: Output = None) -> Any:
    """Error function.

    As ``torch.special.erf``, computed by :func:`fastrelu.erf`.
    """

def expit(input: ArrayLike, *, out: Output = None) -> Any:
    """Logistic function.

    As ``torch.special.expit``, computed by :func:`fastrelu.sigmoid`.
    """

def softmax(input: ArrayLike, dim: int | tuple[int, ...] | None, *, dtype: DTypeLike | None = None) -> Any:
    """Softmax: exponentials divided by their sum.

    As ``torch.special.softmax``, computed by :func:`fastrelu.softmax`.
    """

def log_softmax(input: ArrayLike, dim: int | tuple[int, ...] | None, *, dtype: DTypeLike | None = None) -> Any:
    """Logarithm of :func:`fastrelu.softmax`.

    As ``torch.special.log_softmax``, computed by :func:`fastrelu.log_softmax`.
    """

def logsumexp(input: ArrayLike, dim: int | tuple[int, ...] | None, keepdim: bool = False, *, out: Output = None) -> Any:
    """Logarithm of the sum of exponentials.

    As ``torch.special.logsumexp``, computed by :func:`fastrelu.logsumexp`.
    """

def logit_backward(grad: ArrayLike, input: ArrayLike, eps: float | None = None, *, out: Output = None) -> Any:
    """Gradient of :func:`logit` with respect to `input`."""

def erf_backward(grad: ArrayLike, input: ArrayLike, *, out: Output = None) -> Any:
    """Gradient of :func:`erf` with respect to `input`."""

def expit_backward(grad: ArrayLike, input: ArrayLike, *, out: Output = None) -> Any:
    """Gradient of :func:`expit` with respect to `input`."""

def softmax_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None, *, dtype: DTypeLike | None = None
) -> Any:
    """Gradient of :func:`softmax` with respect to `input`."""

def log_softmax_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None, *, dtype: DTypeLike | None = None
) -> Any:
    """Gradient of :func:`log_softmax` with respect to `input`."""

def logsumexp_backward(
    grad: ArrayLike, input: ArrayLike, dim: int | tuple[int, ...] | None, keepdim: bool = False, *, out: Output = None
) -> Any:
    """Gradient of :func:`logsumexp` with respect to `input`."""
