"""Trains a small network on handwritten digits, the activation and its gradient running in place."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from fastrelu import _digits
from fastrelu._extras import progress, require
from fastrelu._network import Network

HIDDEN = 256
BATCH = 32
MOMENTUM = 0.9
ACCURACY_TO_PASS = 0.95


@dataclass(frozen=True)
class Outcome:
    """What a training run achieved.

    Attributes
    ----------
    accuracy : float
        Share of the test images that the network gets right.
    dead : float
        Share of the hidden units whose derivative is exactly 0 for every training image.
    seconds : float
        Time that the training took.
    """

    accuracy: float
    dead: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether more than 95 % of the test images are right."""
        return self.accuracy > ACCURACY_TO_PASS


def train(activation: str = "relu", epochs: int = 25, seed: int = 0, rate: float = 0.005) -> Outcome:
    """Train a 784-256-10 network on the digits.

    Parameters
    ----------
    activation : str, default "relu"
        An element-wise activation.
    epochs : int, default 25
        Passes over the training images.
    seed : int, default 0
        Seeds the weights and the order of the images; the test images are always the same.
    rate : float, default 0.005
        Step of SGD, with momentum 0.9 and batches of 32. The default suits every activation.

    Returns
    -------
    Outcome
        Accuracy, dead units and time.

    Raises
    ------
    MissingExtraError
        If scikit-learn or tqdm is not installed.
    """
    digits = _digits.load()
    network = Network((digits.train.shape[1], HIDDEN, _digits.CLASSES), activation, np.random.default_rng(seed))
    steps = epochs * -(-len(digits.train) // BATCH)
    start = time.perf_counter()
    # Matrices of this size are too small to share between threads: a second BLAS thread only waits.
    one_thread = require("threadpoolctl", "demo").threadpool_limits(1, user_api="blas")
    with one_thread, progress(steps, f"training with {activation}", extra="demo") as bar:
        for epoch in range(1, epochs + 1):
            for batch in network.batches(len(digits.train), BATCH):
                loss = network.step(digits.train[batch], digits.train_labels[batch], rate, MOMENTUM)
                bar.update()
            bar.set_postfix_str(f"epoch {epoch} of {epochs}, loss {loss:.3f}")
    seconds = time.perf_counter() - start
    return Outcome(
        accuracy=network.accuracy(digits.test, digits.test_labels),
        dead=network.dead_share(digits.train),
        seconds=seconds,
    )
