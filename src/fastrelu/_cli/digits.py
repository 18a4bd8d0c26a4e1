"""The handwritten digits that come with scikit-learn, as 28x28 images in a training and a test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrelu._extras import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 28
CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """Images as rows of 784 float32 values of mean 0 and variance 1, and their digits."""

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def load() -> Digits:
    """Load the digits; a fifth of them, always the same, is the test set.

    Returns
    -------
    Digits
        1437 images for training and 360 for testing.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    datasets: Any = require("sklearn.datasets", "demo")
    selection: Any = require("sklearn.model_selection", "demo")
    ndimage: Any = require("scipy.ndimage", "demo")
    digits = datasets.load_digits()
    zoom = SIDE / digits.images.shape[1]
    images = ndimage.zoom(digits.images, (1, zoom, zoom), order=1, mode="nearest", grid_mode=True)
    rows = images.reshape(len(images), -1)
    train, test, train_labels, test_labels = selection.train_test_split(
        rows, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    mean, deviation = train.mean(), train.std()
    return Digits(
        train=((train - mean) / deviation).astype(np.float32),
        train_labels=train_labels,
        test=((test - mean) / deviation).astype(np.float32),
        test_labels=test_labels,
    )
