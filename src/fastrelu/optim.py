"""Optimisers: how parameters follow their gradients."""

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
    """Base of the optimisers: a list of parameters and what it means to take a step.

    Parameters
    ----------
    params : iterable of Parameter
        What to change, such as ``model.parameters()``.

    Raises
    ------
    TypeError
        If `params` holds anything else.
    ValueError
        If `params` is empty.
    """

    def __init__(self, params: Iterable[Parameter]) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("the optimiser got no parameters; has the model any?")
        for parameter in self.params:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"optimisers change Parameter objects, got {type(parameter).__name__!r}")
        self._memory: dict[tuple[int, str], NDArray[Any]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients; a step sees to it by itself that the next backward pass starts anew."""
        for parameter in self.params:
            parameter.zero_grad()

    def step(self) -> None:
        """Change each parameter that has a gradient, in place; the next backward pass starts gradients anew."""
        for i, parameter in enumerate(self.params):
            if parameter.grad is not None:
                self._update(i, parameter.data, parameter.grad)
                parameter.mark_used()

    def _update(self, i: int, data: NDArray[Any], grad: NDArray[Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _update")

    def _kept(self, i: int, name: str, like: NDArray[Any]) -> NDArray[Any] | None:
        """Return an array that belongs to a parameter, in the parameter's present type; None if there is none yet."""
        array = self._memory.get((i, name))
        if array is not None and array.dtype != like.dtype:
            array = self._memory[i, name] = array.astype(like.dtype)
        return array

    def _scratch(self, i: int, name: str, like: NDArray[Any]) -> NDArray[Any]:
        """Return memory whose content does not matter, the same in every step."""
        array = self._memory.get((i, name))
        if array is None or array.dtype != like.dtype:
            array = self._memory[i, name] = np.empty_like(like)
        return array


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's too, and weight decay.

    Attributes have the arguments' names and may change between steps, as ``optimizer.lr *= 0.1`` does.

    Parameters
    ----------
    params : iterable of Parameter
        What to change, such as ``model.parameters()``.
    lr : float, default 1e-3
        Length of a step; at least 0.
    momentum : float, default 0.0
        Share of the last step's direction that is kept; at least 0.
    dampening : float, default 0.0
        Share of the gradient that is left out of the direction.
    weight_decay : float, default 0.0
        Multiple of the parameter that is added to its gradient; at least 0.
    nesterov : bool, default False
        Whether to look ahead along the direction.

    Raises
    ------
    TypeError
        If `params` holds anything but parameters.
    ValueError
        If `params` is empty, a number is out of range, or `nesterov` comes without momentum or with dampening.

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
            velocity = self._kept(i, "velocity", data)
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
    """Adam: steps scaled by running means of the gradient and of its square.

    Attributes have the arguments' names and may change between steps.

    Parameters
    ----------
    params : iterable of Parameter
        What to change, such as ``model.parameters()``.
    lr : float, default 1e-3
        Length of a step; at least 0.
    betas : tuple of float, default (0.9, 0.999)
        Share of the running means that is kept, of the gradient and of its square; each in ``[0, 1)``.
    eps : float, default 1e-8
        What is added to the root of the mean square; at least 0.
    weight_decay : float, default 0.0
        Multiple of the parameter that is added to its gradient; at least 0.

    Raises
    ------
    TypeError
        If `params` holds anything but parameters.
    ValueError
        If `params` is empty or a number is out of range.

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
        mean, square = self._kept(i, "mean", data), self._kept(i, "square", data)
        if mean is None or square is None:
            mean, square = np.zeros_like(data), np.zeros_like(data)
            self._memory[i, "mean"], self._memory[i, "square"] = mean, square
        self._steps[i] += 1
        first, second = self.betas

        np.subtract(direction, mean, out=scratch)
        np.multiply(scratch, 1 - first, out=scratch)
        np.add(mean, scratch, out=mean)

        np.multiply(direction, direction, out=scratch)
        np.multiply(scratch, 1 - second, out=scratch)
        np.multiply(square, second, out=square)
        np.add(square, scratch, out=square)

        np.sqrt(square, out=scratch)
        np.divide(scratch, math.sqrt(1 - second ** self._steps[i]), out=scratch)
        np.add(scratch, self.eps, out=scratch)
        np.divide(mean, scratch, out=scratch)
        np.multiply(scratch, self.lr / (1 - first ** self._steps[i]), out=scratch)
        np.subtract(data, scratch, out=data)
