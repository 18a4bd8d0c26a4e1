"""Optimizers, which update parameters from their gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu.nn.parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["SGD", "Adam", "Optimizer"]


def _at_least(name: str, value: float, low: float = 0.0) -> float:
    if not value >= low:
        raise ValueError(f"{name} must be at least {low:g}, got {value!r}")
    return value


class Optimizer:
    """Base of the optimizers: the list of parameters, and the loop over them in a step.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, such as ``model.parameters()``.

    Raises
    ------
    TypeError
        If `params` contains anything but parameters.
    ValueError
        If `params` is empty, or contains a parameter twice.
    """

    def __init__(self, params: Iterable[Parameter]) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("the optimizer got no parameters; has the model any?")
        for parameter in self.params:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"optimizers update Parameter objects, got {type(parameter).__name__!r}")
        positions: dict[int, int] = {}
        for i, parameter in enumerate(self.params):
            before = positions.setdefault(id(parameter), i)
            if before != i:
                raise ValueError(
                    f"parameters {before} and {i} of the optimizer are the same, which a step would update twice: pass "
                    "each parameter once, as model.parameters() does"
                )
        self._memory: dict[tuple[int, str], NDArray[Any]] = {}

    def zero_grad(self) -> None:
        """Clear all gradients; not needed after a step, where the next backward pass replaces them."""
        for parameter in self.params:
            parameter.zero_grad()

    def step(self) -> None:
        """Update in place each parameter that is not frozen and has a gradient since the last step."""
        for i, parameter in enumerate(self.params):
            grad = parameter.use_gradient()
            if grad is not None:
                self._update(i, parameter.data, grad)

    def _update(self, i: int, data: NDArray[Any], grad: NDArray[Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _update")

    def _running(self, i: int, name: str, like: NDArray[Any]) -> NDArray[Any] | None:
        """Return a running array of a parameter in the parameter's present type; None before the first step."""
        array = self._memory.get((i, name))
        if array is not None and array.dtype != like.dtype:
            array = self._memory[i, name] = array.astype(like.dtype)
        return array

    def _scratch(self, i: int, name: str, like: NDArray[Any]) -> NDArray[Any]:
        """Return a temporary array, the same memory in every step."""
        array = self._memory.get((i, name))
        if array is None or array.dtype != like.dtype:
            array = self._memory[i, name] = np.empty_like(like)
        return array


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov momentum and weight decay.

    The arguments are attributes, which may change between steps: ``optimizer.lr *= 0.1``.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, such as ``model.parameters()``.
    lr : float, default 1e-3
        Learning rate; at least 0.
    momentum : float, default 0.0
        Factor of the last update in the next one; at least 0.
    dampening : float, default 0.0
        The gradient's factor in the momentum is ``1 - dampening``.
    weight_decay : float, default 0.0
        Factor of the parameter that is added to its gradient; at least 0.
    nesterov : bool, default False
        Whether to use Nesterov momentum.

    Raises
    ------
    ValueError
        If a number is out of range, or for `nesterov` without momentum or with dampening.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013; the update is
    PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> model = nn.Sequential(nn.Linear(784, 256, rng=0), nn.ReLU(), nn.Linear(256, 10, rng=1))
    >>> criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
    >>> rng = np.random.default_rng(2)
    >>> x, y = rng.standard_normal((32, 784), np.float32), rng.integers(0, 10, 32)
    >>> losses = []
    >>> for _ in range(20):
    ...     losses.append(float(criterion(model(x), y)))
    ...     model.backward(criterion.backward())
    ...     optimizer.step()
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params)
        self.lr = _at_least("lr", lr)
        self.momentum = _at_least("momentum", momentum)
        self.dampening = dampening
        self.weight_decay = _at_least("weight_decay", weight_decay)
        self.nesterov = nesterov
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("nesterov needs momentum above 0 and no dampening")

    def _update(self, i: int, data: NDArray[Any], grad: NDArray[Any]) -> None:
        scratch = self._scratch(i, "scratch", data)
        direction = grad
        if self.weight_decay:
            np.multiply(data, self.weight_decay, out=scratch)
            direction = np.add(scratch, grad, out=scratch)
        if self.momentum:
            velocity = self._running(i, "velocity", data)
            if velocity is None:
                velocity = self._memory[i, "velocity"] = np.empty_like(data)
                np.copyto(velocity, direction)
            else:
                np.multiply(velocity, self.momentum, out=velocity)
                if self.dampening:
                    direction = np.multiply(direction, 1 - self.dampening, out=scratch)
                np.add(velocity, direction, out=velocity)
            if self.nesterov:
                ahead = np.multiply(velocity, self.momentum, out=self._scratch(i, "ahead", data))
                direction = np.add(ahead, direction, out=scratch)
            else:
                direction = velocity
        np.multiply(direction, self.lr, out=scratch)
        np.subtract(data, scratch, out=data)


class Adam(Optimizer):
    """Adam: updates scaled by running means of the gradient and of its square.

    The arguments are attributes, which may change between steps.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, such as ``model.parameters()``.
    lr : float, default 1e-3
        Learning rate; at least 0.
    betas : tuple of float, default (0.9, 0.999)
        Decay factors of the running means of the gradient and of its square; each in ``[0, 1)``.
    eps : float, default 1e-8
        Added to the root of the mean square; at least 0.
    weight_decay : float, default 0.0
        Factor of the parameter that is added to its gradient; at least 0.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; the update is PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> p = nn.Parameter(np.zeros(2, np.float32))
    >>> optimizer = optim.Adam([p], lr=0.1)
    >>> p.grad = np.float32([1.0, -5.0])
    >>> optimizer.step()
    >>> p.data.round(4)
    array([-0.1,  0.1], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params)
        self.lr = _at_least("lr", lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas!r}")
        self.betas = betas
        self.eps = _at_least("eps", eps)
        self.weight_decay = _at_least("weight_decay", weight_decay)
        self._steps = [0] * len(self.params)

    def _update(self, i: int, data: NDArray[Any], grad: NDArray[Any]) -> None:
        scratch = self._scratch(i, "scratch", data)
        direction = grad
        if self.weight_decay:
            np.multiply(data, self.weight_decay, out=scratch)
            direction = np.add(scratch, grad, out=self._scratch(i, "direction", data))
        mean, root = self._running(i, "mean", data), self._running(i, "root", data)
        if mean is None or root is None:
            mean, root = np.zeros_like(data), np.zeros_like(data)
            self._memory[i, "mean"] = mean
        self._steps[i] += 1
        first, second = self.betas

        np.subtract(direction, mean, out=scratch)
        np.multiply(scratch, 1 - first, out=scratch)
        np.add(mean, scratch, out=mean)

        # The root of the mean square is what is kept: a square that overflows would freeze the parameter for good.
        new = self._scratch(i, "new root", data)
        with np.errstate(over="ignore"):
            np.multiply(direction, direction, out=scratch)
            np.multiply(scratch, 1 - second, out=scratch)
            np.multiply(root, root, out=new)
            np.multiply(new, second, out=new)
            np.add(new, scratch, out=new)
        np.sqrt(new, out=new)
        if not np.isfinite(new.max(initial=0)):
            np.hypot(math.sqrt(second) * root, math.sqrt(1 - second) * direction, out=new)
        self._memory[i, "root"], self._memory[i, "new root"] = new, root

        np.divide(new, math.sqrt(1 - second ** self._steps[i]), out=scratch)
        np.add(scratch, self.eps, out=scratch)
        np.divide(mean, scratch, out=scratch)
        np.multiply(scratch, self.lr / (1 - first ** self._steps[i]), out=scratch)
        np.subtract(data, scratch, out=data)
