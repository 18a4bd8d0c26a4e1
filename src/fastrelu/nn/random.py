"""The random numbers of layers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu._entries import entries
from fastrelu._options import generator

# Bit generators whose raw numbers are Generator.integers of 64 bits.
_OF_64_BITS = frozenset({np.random.PCG64, np.random.PCG64DXSM, np.random.SFC64, np.random.Philox})


def random_words(source: np.random.Generator, n: int) -> NDArray[np.uint64]:
    """Return n random integers of 64 bits; a generator takes longer for its arguments than for a few of them."""
    bits = source.bit_generator
    if type(source) is np.random.Generator and type(bits) in _OF_64_BITS:
        words: NDArray[np.uint64] = bits.random_raw(n)
        return words
    return source.integers(0, 2**64, n, np.uint64)


class Random:
    """Mixin of the layers that draw random numbers in training mode.

    Without a seed, copies of the layer, unpickled layers and forked processes draw independently of the original. With
    a seed or generator they repeat its draws.

    Attributes
    ----------
    rng : numpy.random.Generator
        The source of the random numbers.
    """

    rng: np.random.Generator
    # The generator that was made without a seed, and the process that made it.
    _unseeded: np.random.Generator | None = None
    _process: int = 0

    def _seed(self, rng: np.random.Generator | int | None) -> None:
        self.rng = generator(rng)
        self._unseeded, self._process = (self.rng if rng is None else None), os.getpid()

    def _generator(self) -> np.random.Generator:
        """Return the generator, a new one in a forked process."""
        if self.rng is self._unseeded and self._process != os.getpid():
            self._seed(None)
        return self.rng

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in entries(vars(self)) if name != "_saved"}
        if self.rng is self._unseeded:
            del state["rng"], state["_unseeded"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]  # of the layer that this is mixed into
        if "rng" not in state:
            self._seed(None)

    def _check_state(self, state: dict[str, Any]) -> None:
        super()._check_state(state)  # type: ignore[misc]  # of the layer that this is mixed into
        source = state.get("rng")
        if source is not None and not isinstance(source, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {source!r}")
