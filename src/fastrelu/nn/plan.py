"""How layers in evaluation mode run one after another: as a plan, made once.

A plan is made at the second call between two changes to any module, and holds until the next change; so what a layer
checks in each call is checked once. Linear layers in a row, each with the activation that follows it, become a chain: a
product into new memory, in which bias and activation are applied. Small sums are a pass of their own, larger ones are
part of the activation's pass. All other layers, and subclasses, are called as ever; so are the layers of a chain for an
input that the first of them would have to convert, or to refuse.

Nothing is kept between calls: large arrays come from the pool, which limits what it keeps and serves every thread. So
an array that a call returns, or that a layer got, is nobody else's. The product of a single row is one of a vector, and
others are ``np.dot``, which begin sooner than ``np.matmul`` and have its bits. NumPy warns of overflow in a product, as it
does where no layer is; sums give no warning, as in the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelu import activations
from fastrelu._fused import linear
from fastrelu._kernels import Kernel
from fastrelu.fused import find
from fastrelu.nn.activation import Activation
from fastrelu.nn.dropout import Dropout
from fastrelu.nn.linear import Linear
from fastrelu.nn.masked import Masked
from fastrelu.nn.module import Module
from fastrelu.nn.parameter import FLOATS, Changes, Parameter
from fastrelu.nn.record import Saved
from fastrelu.nn.shaping import Identity
from fastrelu.runtime import kernels


class Plan:
    """The steps of a container whose forward is `forward`.

    Attributes
    ----------
    changes : int
        The number of changes at which the plan was made.
    whole : bool
        Whether a call of the container is nothing else.
    """

    __slots__ = ("_saved", "_steps", "changes", "whole")

    def __init__(self, container: Any, forward: Callable[..., Any]) -> None:
        self.changes = Changes.count
        self.whole = _is_plain(container, forward) and "backward" not in vars(container)
        self._saved: list[Saved] = [container._saved] if container._saved is not None else []
        layers = list(self._layers(container, forward))
        self._steps: list[Callable[[Any], Any]] = []
        while layers:
            layer = layers.pop(0)
            link = Link.of(layer)
            if link is None:
                self._steps.append(layer)
                continue
            chain = self._steps[-1] if self._steps else None
            if not isinstance(chain, Chain) or not chain.takes(link):
                self._steps.append(chain := Chain())
            chain.links.append(link)
            chain.layers.append(layer)
            if layers and link.join(layers[0]):
                chain.layers.append(layers.pop(0))

    def _layers(self, container: Any, forward: Callable[..., Any]) -> Iterator[Module]:
        """Yield the layers that do something, also those of inner containers."""
        for layer in container._modules.values():
            if layer._saved is not None:
                self._saved.append(layer._saved)
            if _is_plain(layer, forward):
                yield from self._layers(layer, forward)
            elif not (_is_plain(layer, Identity.forward) or _is_plain(layer, Dropout.forward)):
                yield layer

    def __call__(self, x: Any) -> Any:
        """Return what the layers return when they are called one by one."""
        for saved in self._saved:
            saved.call = None
        for step in self._steps:
            x = step(x)
        return x


def _is_plain(layer: Module, forward: Callable[..., Any]) -> bool:
    """Whether a layer is one of this library that has this forward, is in evaluation mode and has no hooks."""
    cls = type(layer)
    own = cls.__module__.startswith(f"{__package__}.") and cls.forward is forward
    return own and not (layer.training or layer._hooks or "forward" in vars(layer))


class Link:
    """A linear layer and perhaps an activation, as they are until the next change: the arguments of `linear` but x."""

    __slots__ = ("bias", "kernel", "numbers", "weight")

    def __init__(self, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        self.weight, self.bias = weight.T, bias
        self.kernel: Kernel | None = None
        self.numbers: tuple[Any, ...] = ()

    @classmethod
    def of(cls, layer: Module) -> Link | None:
        """Return a linear layer as a link; None if it is none, or has arrays that its forward has to look at."""
        if not _is_plain(layer, Linear.forward):
            return None
        given: list[Any] = [getattr(layer, name, layer) for name in ("weight", "bias")]
        if type(given[0]) is not Parameter or type(given[1]) not in {Parameter, type(None)}:
            return None
        weight, bias = (parameter and parameter.data for parameter in given)
        for array in (weight,) if bias is None else (weight, bias):
            known = type(array) is np.ndarray and array.dtype in FLOATS and array.dtype == weight.dtype
            if not (known and array.flags.forc and array.flags.aligned):
                return None
        fits = weight.ndim == 2 and weight.size and (bias is None or bias.shape == weight.shape[:1])
        return cls(weight, bias) if fits else None

    def join(self, layer: Any) -> bool:
        """Make a layer the link's activation, if it is one whose parameters are numbers; return whether it is."""
        known = _is_plain(layer, Activation.forward) or _is_plain(layer, Masked.forward)
        if not known or layer._function is not getattr(activations, layer._name):
            return False
        values = {name: getattr(layer, name, self) for name in layer._names}
        if not all(type(value) in {int, float, str, type(None)} for value in values.values()):
            return False
        try:
            found = find(layer._name, values)
        except (TypeError, ValueError):  # which a call of the layer raises
            return False
        self.kernel, self.numbers = kernels[found.kernel], found.numbers
        return True


class Chain:
    """Links in a row, of which each takes what the one before returns.

    Attributes
    ----------
    links : list of tuple
        Their attributes.
    layers : list of Module
        Their layers.
    """

    __slots__ = ("dtype", "layers", "links")

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.layers: list[Module] = []

    def takes(self, link: Link) -> bool:
        """Whether a link may be added."""
        before = self.links[-1].weight
        return link.weight.dtype == before.dtype and before.shape[1] == link.weight.shape[0]

    def __call__(self, x: Any) -> Any:
        """Return the output of the last layer."""
        weight = self.links[0].weight
        if (
            type(x) is not np.ndarray
            or x.dtype is not weight.dtype
            or not x.flags.c_contiguous
            or x.shape[-1:] != weight.shape[:1]
        ):
            for layer in self.layers:
                x = layer(x)
            return x
        lead = x.shape[:-1]
        if len(lead) != 1:
            x = x.reshape(-1, weight.shape[0])
        for link in self.links:
            x = linear(x, link.weight, link.bias, link.kernel, link.numbers)
        return x if len(lead) == 1 else x.reshape(*lead, x.shape[1])
