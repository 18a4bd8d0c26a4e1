"""A network of two layers in NumPy whose activation and gradient run in place."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu import activations
from fastrelu._catalogue import required_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class Activation:
    """An activation between two layers; it overwrites what it is given.

    Parameters
    ----------
    name : str
        An element-wise activation in ``fastrelu.activations``; parameters without a default take the values of
        the example in its docstring.
    """

    def __init__(self, name: str) -> None:
        self.arguments = required_arguments(name)
        self.apply_ = getattr(activations, f"{name}_")
        self.gradient = getattr(activations, f"{name}_backward")
        self.gradient_from_output = self._from_output(name, self.arguments)
        self.kept: Array = np.empty(0, np.float32)

    @staticmethod
    def _from_output(name: str, arguments: dict[str, float]) -> Callable[..., Any] | None:
        """Return the gradient from the output if there is one for these parameters."""
        function: Callable[..., Any] | None = getattr(activations, f"{name}_backward_from_output", None)
        if function is not None:
            try:
                function(np.empty(0), np.empty(0), **arguments)
            except ValueError:  # outside the parameters' domain
                return None
        return function

    def evaluate(self, z: Array) -> Array:
        """Return the activations of `z`, in place."""
        result: Array = self.apply_(z, **self.arguments)
        return result

    def forward(self, z: Array) -> Array:
        """Return the activations of `z`, in place, and keep what the gradient needs."""
        self.kept = z if self.gradient_from_output else z.copy()
        return self.evaluate(z)

    def backward(self, grad: Array) -> Array:
        """Return the gradient with respect to the last `z`, in place."""
        function = self.gradient_from_output or self.gradient
        result: Array = function(grad, self.kept, **self.arguments, out=grad)
        return result


class RandomActivation(Activation):
    """An activation that draws a slope per element in training, as rrelu does."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.arguments = {}
        self.apply_ = getattr(activations, f"{name}_")
        self.rng = rng

    def forward(self, z: Array) -> Array:
        """Return the activations of `z`, in place, and keep the slopes."""
        self.slopes = np.empty_like(z)
        self.kept = self.apply_(z, training=True, rng=self.rng, slopes=self.slopes)
        return self.kept

    def backward(self, grad: Array) -> Array:
        """Return the gradient with respect to the last `z`, in place."""
        result: Array = activations.leaky_relu_backward_from_output(grad, self.kept, self.slopes, out=grad)
        return result


def activation(name: str, rng: np.random.Generator) -> Activation:
    """Return an activation by name."""
    draws = "training" in inspect.signature(getattr(activations, name)).parameters
    return RandomActivation(name, rng) if draws else Activation(name)


class Network:
    """Linear, activation, linear, softmax; trained on the cross-entropy by SGD with momentum.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden units and classes.
    name : str
        The activation.
    rng : numpy.random.Generator
        Draws the weights (He et al., "Delving deep into rectifiers", ICCV 2015) and the batches.
    """

    def __init__(self, sizes: tuple[int, int, int], name: str, rng: np.random.Generator) -> None:
        inputs, hidden, classes = sizes
        self.rng = rng
        self.activation = activation(name, rng)
        self.parameters = [_he(inputs, hidden, rng), np.zeros(hidden, np.float32)]
        self.parameters += [_he(hidden, classes, rng), np.zeros(classes, np.float32)]
        self.velocities = [np.zeros_like(p) for p in self.parameters]

    def batches(self, count: int, size: int) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of one epoch's batches in random order."""
        order = self.rng.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]

    def step(self, x: Array, labels: NDArray[np.int64], rate: float, momentum: float) -> float:
        """Take one step of SGD on a batch and return its mean loss before the step."""
        w1, b1, w2, b2 = self.parameters
        y = self.activation.forward(x @ w1 + b1)
        probability = _softmax(y @ w2 + b2)
        rows = np.arange(len(labels))
        loss = -float(np.log(probability[rows, labels] + 1e-12).mean())
        probability[rows, labels] -= 1
        delta = probability / len(labels)
        w2_gradient = y.T @ delta
        hidden = self.activation.backward(delta @ w2.T)
        gradients = [x.T @ hidden, hidden.sum(0), w2_gradient, delta.sum(0)]
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, gradients, strict=True):
            np.multiply(velocity, momentum, out=velocity)
            np.subtract(velocity, rate * gradient, out=velocity)
            np.add(parameter, velocity, out=parameter)
        return loss

    def accuracy(self, x: Array, labels: NDArray[np.int64]) -> float:
        """Return the share of rows whose class is right."""
        w1, b1, w2, b2 = self.parameters
        scores = self.activation.evaluate(x @ w1 + b1) @ w2 + b2
        return float((scores.argmax(1) == labels).mean())

    def dead_share(self, x: Array) -> float:
        """Return the share of hidden units whose derivative is exactly 0 for every row of `x`."""
        w1, b1, _, _ = self.parameters
        z = self.activation.forward(x @ w1 + b1)
        derivative = self.activation.backward(np.ones_like(z))
        return float((derivative == 0).all(0).mean())


def _he(inputs: int, outputs: int, rng: np.random.Generator) -> Array:
    return rng.standard_normal((inputs, outputs), np.float32) * np.float32(np.sqrt(2 / inputs))


def _softmax(scores: Array) -> Array:
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores
