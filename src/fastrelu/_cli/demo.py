"""Trains a small network on handwritten digits, with one activation after another."""

from __future__ import annotations

import inspect
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu import diagnostics, nn, optim
from fastrelu._catalogue import required_arguments
from fastrelu._cli.digits import CLASSES, Digits, load
from fastrelu._extras import progress, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

HIDDEN = 256
BATCH = 32
MOMENTUM = 0.9
ACCURACY_TO_PASS = 0.95


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training run.

    Attributes
    ----------
    activation : str
        The activation's name.
    losses : tuple of float
        Mean loss of each epoch's batches.
    accuracy : float
        Share of the test images that the network classifies correctly.
    dead : float
        Share of the hidden units whose derivative is exactly 0 for every training image.
    seconds : float
        Time of the training.
    images : int
        Number of test images.
    """

    activation: str
    losses: tuple[float, ...]
    accuracy: float
    dead: float
    seconds: float
    images: int

    @property
    def standard_error(self) -> float:
        """How far the accuracy on other images of the same kind would be from this one, typically."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.images)

    @property
    def passed(self) -> bool:
        """Whether more than 95 % of the test images are classified correctly."""
        return self.accuracy > ACCURACY_TO_PASS


def compare(activations: Sequence[str], epochs: int = 25, seed: int = 0, rate: float = 0.01) -> list[Outcome]:
    """Train a 784-256-10 network on the digits with each activation in turn, from the same initial weights.

    Parameters
    ----------
    activations : sequence of str
        Element-wise activations.
    epochs : int, default 25
        Passes over the training images.
    seed : int, default 0
        Seeds the weights and the order of the images; the test images are always the same.
    rate : float, default 0.01
        Initial learning rate of SGD, with momentum 0.9 and batches of 32; it decreases linearly to 0. The default suits
        every activation.

    Returns
    -------
    list of Outcome
        One for each activation: losses, accuracy, dead units and time.

    Raises
    ------
    MissingExtraError
        If scikit-learn or tqdm is not installed.
    """
    digits = load()
    steps = len(activations) * epochs * -(-len(digits.train) // BATCH)
    # Matrices of this size are too small to share between threads: a second BLAS thread only waits.
    one_thread = require("threadpoolctl", "demo").threadpool_limits(1, user_api="blas")
    # A learning rate that is too large makes the loss infinite, which the result shows.
    quiet = np.errstate(over="ignore", invalid="ignore")  # the loss shows it
    with one_thread, quiet, progress(steps, "training", extra="demo") as bar:
        return [_train(name, digits, epochs, seed, rate, bar) for name in activations]


def _train(name: str, digits: Digits, epochs: int, seed: int, rate: float, bar: Any) -> Outcome:
    rng = np.random.default_rng(seed)
    model = network(name, digits.train.shape[1], rng)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), momentum=MOMENTUM)
    losses = []
    start = time.perf_counter()
    for epoch in range(epochs):
        optimizer.lr = rate * (1 - epoch / epochs)
        total = 0.0
        for batch in _batches(len(digits.train), rng):
            total += len(batch) * float(criterion(model(digits.train[batch]), digits.train_labels[batch]))
            model.backward(criterion.backward())
            optimizer.step()
            bar.update()
        losses.append(total / len(digits.train))
        bar.set_postfix_str(f"{name}, epoch {epoch + 1} of {epochs}, loss {losses[-1]:.3f}")
    seconds = time.perf_counter() - start
    dead = dead_share(model, digits.train)
    right = model.eval()(digits.test).argmax(1) == digits.test_labels
    return Outcome(name, tuple(losses), accuracy=float(right.mean()), dead=dead, seconds=seconds, images=len(right))


def network(name: str, inputs: int, rng: np.random.Generator) -> nn.Sequential:
    """Return linear, activation, linear, with weights after He et al., "Delving deep into rectifiers" (ICCV 2015)."""
    layers = nn.Sequential(nn.Linear(inputs, HIDDEN), activation_layer(name, rng), nn.Linear(HIDDEN, CLASSES))
    for linear in (layers[0], layers[2]):
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu", rng=rng)
        nn.init.zeros_(linear.bias)
    return layers


def activation_layer(name: str, rng: np.random.Generator) -> nn.Activation:
    """Return the layer of an activation, in place if its output determines the gradient.

    Arguments without a default take the values of the example in the function's docstring.
    """
    kind = _layers()[name]
    accepted = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {k: v for k, v in required_arguments(name).items() if k in accepted}
    if "rng" in accepted:
        arguments["rng"] = rng
    if "inplace" in accepted:
        try:
            return kind(**arguments, inplace=True)
        except ValueError:  # the gradient needs the input
            pass
    return kind(**arguments)


def _layers() -> dict[str, Callable[..., nn.Activation]]:
    """Return the layer class of each activation."""
    kinds = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Activation)]
    return {kind._name: kind for kind in kinds if kind._name}


def _batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of one epoch's batches in random order."""
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def dead_share(model: nn.Sequential, x: NDArray[np.float32]) -> float:
    """Return the share of the first activation's units whose derivative is exactly 0 for every row of `x`.

    This is the strict meaning of dead: a unit at 0 may still learn (GELU), a unit at 1 may not (hard tanh).
    """
    first, activation = model[0], model[1]
    y = activation(first(x))
    derivative = diagnostics.summarize(activation.backward(np.ones_like(y)), axis=1)
    return float(derivative.dead.mean())
