"""Containers of layers."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from fastrelu._entries import entries
from fastrelu.nn.module import Module
from fastrelu.nn.parameter import Changes
from fastrelu.nn.plan import Plan
from fastrelu.nn.record import nothing_is_recorded


class _Container(Module):
    """Base of the containers: modules by name in a dict, which are also attributes."""

    _modules: dict[str, Module]

    def __init__(self, named: Mapping[str, Any]) -> None:
        super().__init__()
        self._set(dict(named))

    def _set(self, named: dict[Any, Any]) -> None:
        """Make these the modules of the container, or raise an error and change nothing."""
        for name, module in entries(named):
            if not isinstance(name, str):
                raise TypeError(f"the name of a module is a string, got {name!r}")
            if not name or "." in name:
                raise ValueError(f"the name of a module is not empty and has no dot, got {name!r}")
            if not isinstance(module, Module):
                hint = "; unpack a list, Sequential(*layers)" if isinstance(module, (list, tuple)) else ""
                raise TypeError(f"{type(self).__name__} takes modules, got {type(module).__name__!r} as {name!r}{hint}")
            self._check_attribute(name, module)
        self._check(named)
        self._modules = named
        for name in named:
            vars(self).pop(name, None)  # None or a number, which would hide the module
        Changes.count += 1

    @classmethod
    def _state_names(cls) -> tuple[str, ...]:
        return ("_modules",)

    def _check_state(self, state: dict[str, Any]) -> None:
        if not isinstance(state["_modules"], dict):
            raise TypeError(f"the modules must be a dict of names and modules, got {state['_modules']!r}")

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._set(self._modules)

    def _check(self, named: dict[str, Module]) -> None:
        """Refuse modules that do not fit together."""

    def __len__(self) -> int:
        return len(self._modules)

    def __getattr__(self, name: str) -> Any:
        """Return a module by its name."""
        modules: dict[str, Module] = self.__dict__.get("_modules", {})
        if name in modules:
            return modules[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        modules = self.__dict__.get("_modules")
        if modules is None and isinstance(value, Module):
            raise AttributeError(f"call super().__init__() before {type(self).__name__}.{name} is assigned")
        if isinstance(value, Module) or (modules and name in modules):
            self._set({**self._modules, name: value})
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._modules:
            self._set({other: module for other, module in entries(self._modules) if other != name})
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._modules]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of each."""
        yield from entries(self._modules)


class _List(_Container):
    """Base of the containers that are lists. Modules that are named by their positions are renamed when these change."""

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def _name(self, index: int | str) -> str:
        if isinstance(index, str):
            if index not in self._modules:
                raise KeyError(f"{type(self).__name__} has no module {index!r}, only {', '.join(self._modules)}")
            return index
        return list(self._modules)[index]

    def _replace(self, items: list[tuple[str, Module]]) -> None:
        """Set names and modules; an empty name stands for the next free number."""
        names = list(self._modules)
        if names == [str(i) for i in range(len(names))]:
            self._set({str(i): module for i, (_, module) in enumerate(items)})
            return
        named: dict[str, Module] = {}
        for name, module in items:
            free = (str(i) for i in itertools.count(len(names)) if str(i) not in {*names, *named})
            named[name or next(free)] = module
        self._set(named)

    def __getitem__(self, index: int | str) -> Any:
        """Return a module by its position or name."""
        return self._modules[self._name(index)]

    def __setitem__(self, index: int | str, module: Module) -> None:
        """Replace a module, by its position or name."""
        self._set({**self._modules, self._name(index): module})

    def __delitem__(self, index: int | slice | str) -> None:
        """Remove one or several modules."""
        removed = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        self._replace([item for item in entries(self._modules) if item[0] not in removed])

    def append(self, module: Module) -> Self:
        """Add a module at the end; return the container itself."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; return the container itself."""
        self._replace([*entries(self._modules), *(("", module) for module in modules)])
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Insert a module before a position, as ``list.insert`` does; return the container itself."""
        items = list(entries(self._modules))
        items.insert(index, ("", module))
        self._replace(items)
        return self

    def pop(self, index: int | str = -1) -> Any:
        """Remove and return a module, by default the last."""
        module = self[index]
        del self[index]
        return module


class Sequential(_List):
    """Layers that are called one after another.

    Parameters
    ----------
    *layers : Module
        The layers, named "0", "1", ...; or one ``OrderedDict`` of names and layers.

    Notes
    -----
    In evaluation mode the second call after a change to any module finds out what the next ones can leave out. Python
    does not report a function that is assigned to a *class*, ``nn.Tanh.forward = f``, nor a change of ``vars(layer)``:
    they count from the next change of an attribute on, such as another call of ``eval()``.

    Raises
    ------
    TypeError
        If an argument is not a module.
    ValueError
        If an in-place layer would overwrite the output of a layer whose backward needs it.

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
        if len(layers) == 1 and isinstance(layers[0], OrderedDict):
            super().__init__(layers[0])
        else:
            super().__init__({str(i): layer for i, layer in enumerate(layers)})

    # The number of changes to modules up to which no layer overwrites what another has saved.
    _checked = -1
    # How it runs in evaluation mode; before the second call after a change the number of changes.
    _plan: Plan | int = -1

    def _check(self, named: dict[str, Module]) -> None:
        _check_overwriting(named)
        vars(self).pop("_saved", None)

    @overload
    def __getitem__(self, index: int | str) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | str | slice) -> Any:
        """Return a layer by its position or name, or for a slice a Sequential of layers, which keep their names."""
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(entries(self._modules))[index]))
        return super().__getitem__(index)

    # --- Calls ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call :meth:`forward`, then the hooks."""
        plan = self._plan
        if type(plan) is not Plan or plan.changes != Changes.count or not plan.whole or len(args) != 1 or kwargs:
            return super().__call__(*args, **kwargs)
        return plan(*args) if nothing_is_recorded() else super().__call__(*args)

    def forward(self, x: Any) -> Any:
        """Call the layers in order, each with the output of the one before; return the last output."""
        if self.training:
            if self._checked != Changes.count:
                _check_overwriting(self._modules)
                vars(self)["_checked"] = Changes.count
        elif nothing_is_recorded():
            plan = self._plan
            if type(plan) is Plan and plan.changes == Changes.count:
                return plan(x)
            vars(self)["_plan"] = Plan(self, Sequential.forward) if plan == Changes.count else Changes.count
        for layer in self._modules.values():
            x = layer(x)
        return x


class ModuleList(_List):
    """A list of modules for a `forward` of your own; each is registered under its position.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules.

    Examples
    --------
    >>> from fastrelu import nn
    >>> blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    >>> blocks.append(nn.ReLU())
    ModuleList(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): Linear(in_features=4, out_features=4, bias=True)
      (2): ReLU()
    )
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__({str(i): module for i, module in enumerate(modules)})

    @overload
    def __getitem__(self, index: int | str) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...

    def __getitem__(self, index: int | str | slice) -> Any:
        """Return a module, or for a slice a ModuleList."""
        return ModuleList(list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)


class ModuleDict(_Container):
    """A dict of modules for a `forward` of your own; each is registered under its key.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The modules.

    Examples
    --------
    >>> from fastrelu import nn
    >>> heads = nn.ModuleDict({"mean": nn.Linear(4, 1), "scale": nn.Softplus()})
    >>> heads["scale"]
    Softplus(beta=1.0, threshold=20.0)
    >>> list(heads)
    ['mean', 'scale']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__(dict(modules))

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Any:
        """Return a module by its name."""
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        """Add or replace a module."""
        self._set({**self._modules, name: module})

    def __delitem__(self, name: str) -> None:
        """Remove a module."""
        self.pop(name)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Module]:
        """Return names and modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules."""
        self._set({**self._modules, **dict(modules)})

    def pop(self, name: str) -> Any:
        """Remove and return a module."""
        named = dict(self._modules)
        module = named.pop(name)
        self._set(named)
        return module

    def clear(self) -> None:
        """Remove all modules."""
        self._set({})


def _flat(named: dict[str, Module], prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Yield name and module of the layers in the order of the calls, with inner Sequentials expanded."""
    for name, layer in entries(named):
        if isinstance(layer, Sequential):
            yield from _flat(layer._modules, f"{prefix}{name}.")
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
