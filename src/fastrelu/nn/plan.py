"""How layers in evaluation mode run one after another: as a plan, made once.

A plan is made at the second call between two changes to any module, and holds until the next change; so what a layer
checks in each call is checked once. Linear layers in a row, each with the activation that follows it, become a chain: a
product into new memory, in which bias and activation are applied. Small sums are a pass of their own, larger ones are
part of the activation's pass. All other layers, and subclasses, are called as ever; so are the layers of a chain for an
input that the first of them would have to convert, or to refuse.

Nothing is kept between calls: large arrays come from the pool, which limits what it keeps and serves every thread. So
an array that a call returns, or that a layer got, is nobody else's. The product of a single row is one of a vector, and
others are ``np.dot``, which begin sooner than ``np.matmul`` and have its bits. Overflow in them, and in sums, gives no
warning, as in the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastrelu._core import ADD, Kernel, call_fused, fresh, small_sum
from fastrelu.fused import find
from fastrelu.nn.activation import Activation
from fastrelu.nn.dropout import Dropout
from fastrelu.nn.linear import Linear
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
    """

    __slots__ = ("_saved", "_steps", "changes")

    def __init__(self, container: Any, forward: Callable[..., Any]) -> None:
        self.changes = Changes.count
        self._saved: list[Saved] = []
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
                self._steps.append(chain := Chain(link))
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
    """A linear layer and perhaps an activation, as they are until the next change."""

    __slots__ = ("activation", "arguments", "bias", "by_dot", "features", "kernel", "numbers", "weight")

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight, self.bias, self.features = weight.T, bias, weight.shape[:1]
        self.by_dot = min(weight.shape) > 1  # otherwise np.dot is another routine than np.matmul
        self.activation: Callable[..., Any] | None = None
        self.arguments: tuple[Any, ...] = ()
        self.kernel: Kernel | None = None
        self.numbers: tuple[Any, ...] = ()

    @classmethod
    def of(cls, layer: Module) -> Link | None:
        """Return a linear layer as a link; None if it is none, or has arrays that its forward has to look at."""
        if not _is_plain(layer, Linear.forward):
            return None
        given = vars(layer).get("weight"), vars(layer).get("bias")
        if type(given[0]) is not Parameter or type(given[1]) not in {Parameter, type(None)}:
            return None
        weight, bias = (parameter and parameter.data for parameter in given)
        arrays = [weight] if bias is None else [weight, bias]
        for array in arrays:
            known = type(array) is np.ndarray and array.dtype in FLOATS and array.dtype == weight.dtype
            if not (known and array.flags.forc and array.flags.aligned):
                return None
        return cls(weight, bias) if weight.ndim == 2 and (bias is None or bias.shape == weight.shape[:1]) else None

    def join(self, layer: Any) -> bool:
        """Make a layer the link's activation, if it is one whose parameters are numbers; return whether it is."""
        if not _is_plain(layer, Activation.forward):
            return False
        arguments = tuple(getattr(layer, name, self) for name in layer._names)
        if not all(type(value) in {int, float, str, type(None)} for value in arguments):
            return False
        try:
            found = find(layer._name, dict(zip(layer._names, arguments, strict=True)))
        except (TypeError, ValueError):  # which a call of the layer raises
            return False
        self.activation, self.arguments = layer._function_, arguments
        self.kernel, self.numbers = kernels[found.kernel], found.numbers
        return True


class Chain:
    """Links in a row, of which each takes what the one before returns.

    Attributes
    ----------
    layers : list of Module
        The layers of the links.
    """

    __slots__ = ("dtype", "features", "layers", "links")

    def __init__(self, first: Link) -> None:
        self.features, self.dtype = first.weight.shape[0], first.weight.dtype
        self.links: list[Link] = []
        self.layers: list[Module] = []

    def takes(self, link: Link) -> bool:
        """Whether a link may be added."""
        return link.weight.dtype == self.dtype and self.links[-1].features == link.weight.shape[:1]

    def __call__(self, x: Any) -> Any:
        """Return the output of the last layer."""
        if (
            type(x) is not np.ndarray
            or x.dtype is not self.dtype
            or x.shape[-1:] != (self.features,)
            or not x.flags.c_contiguous
        ):
            for layer in self.layers:
                x = layer(x)
            return x
        lead = x.shape[:-1]
        rows = () if x.size == self.features else lead if len(lead) == 1 else (math.prod(lead),)
        if rows != lead:
            x = x.reshape(*rows, self.features)
        last = self.links[-1]
        for link in self.links:
            if link is last and rows != lead:
                result = fresh(lead + link.features, self.dtype)
                y = result.reshape(rows + link.features)
            else:
                result = y = fresh(rows + link.features, self.dtype)
            if link.by_dot:
                x.dot(link.weight, y)
            else:
                np.matmul(x, link.weight, out=y)
            x = y
            if link.bias is not None and small_sum(y, link.bias, None, True) is None:
                fused = ((link.kernel, (y, *link.numbers), ((0, ADD, link.bias),), y),)
                if link.kernel is not None and call_fused("Linear", fused) is not None:
                    continue
                np.add(y, link.bias, out=y)
            if link.activation is not None:
                link.activation(y, *link.arguments)
        return result
