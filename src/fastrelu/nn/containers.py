"""Containers of layers."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, overload

from fastrelu.nn.module import Module, call_backward

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike


class Sequential(Module):
    """Layers that are called one after another.

    Parameters
    ----------
    *layers : Module
        The layers, named "0", "1", ...; or one ``OrderedDict`` of names and layers.

    Raises
    ------
    TypeError
        If an argument is not a module.
    ValueError
        If an in-place layer would overwrite the output of a layer whose backward needs it, or if one container
        stands in two places.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    >>> model
    Sequential(
      (0): Linear(in_features=784, out_features=256, bias=True)
      (1): ReLU()
      (2): Linear(in_features=256, out_features=10, bias=True)
    )
    >>> model(np.zeros((32, 784), np.float32)).shape
    (32, 10)
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *layers: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], OrderedDict):
            named = dict(layers[0])
        else:
            named = {str(i): layer for i, layer in enumerate(layers)}  # type: ignore[misc]  # _set refuses anything but modules
        self._set(named)

    def _set(self, named: dict[str, Module]) -> None:
        for name, layer in named.items():
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes modules, got {type(layer).__name__!r} as {name!r}")
        _check_overwriting(named)
        self._layers = named
        self._repeats = len({id(layer) for layer in named.values()}) < len(named)
        if self._repeats:
            _check_repeats(named)

    # --- A sequence of layers -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers.values())

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return a layer, or for a slice a Sequential of layers, which keep their names."""
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(self._layers.items())[index]))
        return list(self._layers.values())[index]

    def __getattr__(self, name: str) -> Any:
        """Return a layer by its name."""
        layers: dict[str, Module] = self.__dict__.get("_layers", {})
        if name in layers:
            return layers[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def append(self, layer: Module) -> Sequential:
        """Add a layer at the end, named by its position; return the Sequential itself."""
        self._set({**self._layers, str(len(self._layers)): layer})
        return self

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of each layer."""
        yield from self._layers.items()

    # --- Calls ----------------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Any:
        """Call the layers in order, each with the output of the one before; return the last output."""
        if self._repeats and self.training:
            return self._forward_repeating(x)
        for layer in self._layers.values():
            x = layer(x)
        if self.training:
            self._saved = ()
        return x

    def _forward_repeating(self, x: Any) -> Any:
        """Collect what each call saved: a layer in two places saves only its last call itself."""
        saved = []
        for layer in self._layers.values():
            x = layer(x)
            saved.append(layer._saved)
        self._saved = saved
        return x

    def backward(self, grad: ArrayLike, *, input_grad: bool = False, overwrite_grad: bool = False) -> Any:
        """Call the backward of the layers from the last to the first; see :meth:`Module.backward`.

        Here `input_grad` is False by default: training does not need the gradient with respect to the network's input,
        and it costs the first layer a matrix product.
        """
        saved = self._take()
        layers = list(self._layers.values())
        first = 0 if input_grad else next((i for i, layer in enumerate(layers) if layer._trains()), len(layers))
        result: Any = grad
        overwrite = overwrite_grad
        for i in range(len(layers) - 1, first - 1, -1):
            layer = layers[i]
            if saved:
                layer._saved = saved[i]
            result = call_backward(layer, result, input_grad=input_grad or i > first, overwrite_grad=overwrite)
            if result is None and i > first:
                raise TypeError(f"backward of layer {i}, {type(layer).__name__}, returned None instead of a gradient")
            overwrite = layer._fresh_gradient
        for layer in layers[:first]:
            layer._release()
        return result if input_grad else None

    def _release(self) -> None:
        super()._release()
        for layer in self._layers.values():
            layer._release()


def _flat(named: dict[str, Module], prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Yield name and module of the layers in the order of the calls, with inner Sequentials expanded."""
    for name, layer in named.items():
        if isinstance(layer, Sequential):
            yield from _flat(layer._layers, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _check_overwriting(named: dict[str, Module]) -> None:
    """Refuse an in-place layer that would overwrite an output that the layer before it has saved."""
    before, saver = "", None
    for name, layer in _flat(named):
        if layer._passes_memory_on:
            continue
        if saver is not None and getattr(layer, "inplace", False):
            raise ValueError(
                f"layer {name}, {layer!r}, would overwrite the output of layer {before}, {saver!r}, which needs it for "
                f"its gradient: use {type(layer).__name__} without inplace"
            )
        before, saver = name, layer if layer._saves_output() else None


def _check_repeats(named: dict[str, Module]) -> None:
    seen: set[int] = set()
    for name, layer in named.items():
        if id(layer) in seen and next(layer.children(), None) is not None:
            raise ValueError(f"the {type(layer).__name__} at {name!r} stands in two places: make one for each")
        seen.add(id(layer))
