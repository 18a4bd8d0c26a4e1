"""Base class of all layers and networks: forward, backward, parameters, modes, state."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu._entries import entries
from fastrelu._options import check_flag
from fastrelu._read_only import let_go_all
from fastrelu._steps import new_update, updates
from fastrelu._walk import everything, parted, shape_of, usual_call
from fastrelu.nn.parameter import FLOATS, Changes, Parameter, check_backward_flags, is_half, native
from fastrelu.nn.record import HERE, Alone, Off, Record, Saved, flat, keep, refuse_changed, release, where

# What is saved of a call whose output a hook has replaced.
REPLACED = object()
# Attributes of the library's own, which may hold modules.
_INTERNAL = frozenset({"_hooks", "_modules", "_plan", "_replaced", "_saved"})
# Those of one object, which its copies do not get.
_TRANSIENT = frozenset({"_checked", "_plan", "_replaced", "_saved"})


class IncompatibleKeys(NamedTuple):
    """Names that :meth:`Module.load_state_dict` did not find in the state, and names in it that it did not need."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        names = f"missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r}"
        return f"IncompatibleKeys({names})" if any(self) else "<All keys matched successfully>"


class Watcher:
    """A hook of an object that watches the calls of a module, and is no part of it.

    Copies and pickles of the module are made without it. This base class watches nothing; it takes the place of a watcher
    in those that a subclass makes from all attributes, by a `__getstate__` of its own.
    """

    def begin(self, module: Module, call: object) -> None:
        """Take note that a call begins; `call` is an object that stands for this call alone."""

    def end(self, call: object) -> None:
        """Take note that a call has ended, also by an error, which may have been raised before `begin`."""

    def __call__(self, module: Module, args: tuple[Any, ...], output: Any) -> None:
        """Take note of arguments and output of a call."""

    def __reduce__(self) -> Any:
        return Watcher, ()


class Handle:
    """Removes a hook from a module, once."""

    __slots__ = ("_hook", "_module")

    def __init__(self, module: Module, hook: Callable[..., Any]) -> None:
        self._module: Module | None = module
        self._hook = hook

    def remove(self) -> None:
        """Remove the hook; one that was registered several times has a handle for each."""
        module, self._module = self._module, None
        if module is None:
            return
        hooks = module._hooks
        i = next((i for i, hook in enumerate(hooks) if hook is self._hook), len(hooks))
        module._hooks = (*hooks[:i], *hooks[i + 1 :])

    __call__ = remove

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class Module:
    """Base class of layers and networks: a `forward` that calls layers, and nothing else is needed for training.

    Attributes that are modules or parameters are registered under their names, as in PyTorch. In training mode a call
    records which layer got which arrays and returned which, and :meth:`backward` goes back through the record. So in a
    `forward` every array that a layer gets is an argument of `forward`, what another layer returned, or a
    :class:`Parameter`; NumPy's operations are not recorded, and :class:`Add`, :class:`Multiply`,
    :class:`Concatenate`, :class:`Flatten` and :class:`Unflatten` take their place. :func:`detach` marks data that needs
    no gradient. A subclass may also define a `backward`, which calls the backward of its layers in reverse order; it is
    then used instead.

    A network records if it is in training mode itself; the modes of the layers in it only say how they compute, so that
    some may stay in evaluation mode. :func:`no_grad` and :func:`enable_grad` decide otherwise. The record is freed by
    backward and by the next call. Each thread has its own.

    Until a recorded `forward` ends, the arrays that layers got or returned are read-only, those of ndarray's subclasses
    too (of a masked array the values, not the mask): a change by NumPy, which would not be recorded, is an error. Then
    each is as writable as before, whatever other threads record. A view that `forward` itself makes of one by NumPy,
    ``h[:, :2]``, is read-only, as NumPy makes it, and stays so. A layer in place writes into no array that was read-only
    before, nor into one that another thread records.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode; True for a new module.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc1 = nn.Linear(4, 3, rng=0)
    ...         self.relu = nn.ReLU()
    ...         self.fc2 = nn.Linear(3, 2, rng=1)
    ...
    ...     def forward(self, x):
    ...         return self.fc2(self.relu(self.fc1(x)))
    >>> model = Net()
    >>> [name for name, _ in model.named_parameters()]
    ['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias']
    >>> criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
    >>> loss = criterion(model(np.ones((5, 4), np.float32)), np.array([0, 1, 1, 0, 1]))
    >>> model.backward(criterion.backward())
    >>> optimizer.step()
    """

    # What the last forward call saved for the backward call; None before the first.
    _saved: Saved | None = None
    # The last update in which another parameter, or None, took the place of one or of None, and its name.
    _replaced: tuple[int, str] = (0, "")
    # Whether forward calls `save` itself, and `_go_back` takes what it saved.
    _is_layer: ClassVar[bool] = False
    # Whether a subclass has a backward of its own, which goes with its forward.
    _has_backward: ClassVar[bool] = False
    # Whether the module may have parameters.
    _learns: ClassVar[bool] = True
    # Whether backward returns a new array, to which no other reference exists: the caller may overwrite it.
    _fresh_gradient: ClassVar[bool] = False
    # Whether the output shares the input's memory.
    _passes_memory_on: ClassVar[bool] = False
    # Class attributes, so that a subclass works even without super().__init__().
    training: bool = True
    _hooks: tuple[Callable[..., Any], ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(f"{__package__}."):
            cls._inherit_backward()
        # Python's messages about wrong arguments show the qualified name of a method. A layer that inherits its
        # constructor, or anything from a class that users do not know, gets a copy under its own name.
        for name in (
            ("__init__", "__call__", "forward", "backward") if cls.__module__.startswith(f"{__package__}.") else ()
        ):
            method = getattr(cls, name)
            owner = method.__qualname__.partition(".")[0]
            if owner != cls.__qualname__ and (name == "__init__" or owner.startswith("_")):
                copy = FunctionType(method.__code__, method.__globals__, name, method.__defaults__, method.__closure__)
                functools.update_wrapper(copy, method).__qualname__ = f"{cls.__qualname__}.{name}"
                copy.__kwdefaults__ = method.__kwdefaults__
                setattr(cls, name, copy)

    @classmethod
    def _inherit_backward(cls) -> None:
        """Find out whether a user's class has a backward that goes with its forward; otherwise it gets the record's."""
        for base in cls.__mro__:
            if "backward" in vars(base):
                if not base.__module__.startswith(f"{__package__}."):
                    cls._has_backward = vars(base)["backward"] is not Module.backward
                    cls._is_layer = cls._is_layer and not cls._has_backward
                return
            if "forward" in vars(base) and not base.__module__.startswith(f"{__package__}."):
                cls.backward = Module.backward  # type: ignore[method-assign]  # the inherited one is of another forward
                cls._has_backward = cls._is_layer = False
                return

    def __init__(self) -> None:
        self.training = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _INTERNAL:
            if name == "requires_grad" and not hasattr(type(self), name):
                raise AttributeError(
                    f"{type(self).__name__}.requires_grad would change nothing: call requires_grad_({value!r}), or set it "
                    "for each of parameters()"
                )
            self._check_attribute(name, value)
            current = HERE.current
            if type(current) is Alone and current.log is not None:
                current.log[self, name] = value
            before = vars(self).get(name, value)  # a new attribute takes nobody's place
            if value is not before and (isinstance(before, Parameter) or isinstance(value, Parameter)):
                vars(self)["_replaced"] = new_update(), name
        super().__setattr__(name, value)
        Changes.count += 1

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        Changes.count += 1

    def _check_attribute(self, name: str, value: Any) -> None:
        """Refuse what would remove a parameter or layer from the module, or hide it, without an error."""
        kind = type(self).__name__
        before = vars(self).get(name)
        if isinstance(value, (Module, Parameter)):
            self._check_name(name)
        if isinstance(value, Module) and value._contains(self):
            raise ValueError(f"{kind}.{name} cannot be the module itself, or one that contains it: that has no end")
        if name == "training" or (name == "inplace" and self._is_layer):
            check_flag(name, value)
        if value is not None:
            if isinstance(before, Parameter) and not isinstance(value, Parameter):
                raise TypeError(
                    f"{kind}.{name} is a parameter and cannot become {type(value).__name__!r}: set its values with "
                    f"{name}.data[...] = values, or assign a Parameter or None"
                )
            if isinstance(before, Module) and not isinstance(value, Module):
                raise TypeError(
                    f"{kind}.{name} is a layer and cannot become {type(value).__name__!r}: assign a Module or None"
                )
            self._check_collection(name, value)

    def _check_name(self, name: str) -> None:
        """Refuse the name of a method or of an attribute that every module has."""
        if name in _INTERNAL or hasattr(Module, name) or inspect.isroutine(getattr(type(self), name, None)):
            raise ValueError(
                f"no layer or parameter of {type(self).__name__} can be named {name!r}: that is an attribute"
            )

    def _check_collection(self, name: str, value: Any) -> None:
        """Refuse layers and parameters in a list or dict, where they would be neither trained nor saved."""
        found = _hidden(value)
        if found is not None and found is not value:
            way_out = (
                f"use nn.{'ModuleDict' if isinstance(value, dict) else 'ModuleList'}"
                if isinstance(found, Module)
                else "assign each to an attribute of its own"
            )
            raise TypeError(
                f"{type(self).__name__}.{name} is a {type(value).__name__} that contains a {type(found).__name__}, which "
                f"would be neither trained nor saved: {way_out}"
            )

    # --- Calls ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call :meth:`forward`, then the hooks."""
        if self._hooks:
            return self._call_watched(args, kwargs)
        if not self._is_layer:
            return self._call(args, kwargs)
        try:
            return self.forward(*args, **kwargs)
        except BaseException:
            release(self)  # the call before this one is not the last any more
            raise

    def _call_watched(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module that has hooks; those that watch it learn when the call begins and ends."""
        watchers = [hook for hook in self._hooks if isinstance(hook, Watcher)]  # a new list, which stands for the call
        try:
            for watcher in watchers:
                watcher.begin(self, watchers)
            if self._is_layer:
                return self._run_own_hooks(args, self.forward(*args, **kwargs))
            return self._call(args, kwargs)
        except BaseException:
            release(self)
            raise
        finally:
            for watcher in watchers:
                watcher.end(watchers)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module that is no layer: with a record, as a part of a recorded one, or without."""
        current = HERE.current
        records = self.training if current is None else type(current) is not Off
        if type(current) is Off and current.record is not None:
            result = self._run_hooks(args, self.forward(*args, **kwargs))
            current.record.detached.extend(flat(result))
            return result
        if self._has_backward or "backward" in self.__dict__:
            if type(current) is Record:
                result = current.call(self, args, kwargs)
            elif current is None and records:
                return self._call_alone(args, kwargs)
            else:
                result = self.forward(*args, **kwargs)
            return self._run_hooks(args, result)
        if self._saved is not None:
            self._saved.call = None
        if type(current) is Record or not records:
            result = self.forward(*args, **kwargs)
            return self._run_hooks(args, result) if self._hooks else result
        return self._forward_recorded(args, kwargs)

    # Methods of their own, because they are short: where no memory is left, CPython 3.11 repeats the handler of an error
    # for ever if it is beyond the 256th instruction.
    def _call_alone(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `forward` so that the layers in it save for the backward that calls them, whatever their modes."""
        log: dict[tuple[Module, str], Any] | None = {} if self._hooks else None
        HERE.current = Alone(log)
        try:
            result = self.forward(*args, **kwargs)
        except BaseException:
            for module in self.modules():  # some have this call saved, and others the one before
                release(module)
            raise
        finally:
            HERE.current = None
        if log is None:
            return result
        changed = self._run_hooks(args, result)
        if changed is not result:  # which the module's own backward does not know
            for module, name in log:
                if name == "_saved":
                    keep(module, REPLACED)
        return changed

    def _forward_recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `forward` and record which layers are called."""
        current, record = HERE.current, Record(args, kwargs)
        HERE.current = record
        try:
            result = self.forward(*args, **kwargs)
            result = record.output = self._run_hooks(args, result) if self._hooks else result
        except ValueError as error:
            if "read-only" in str(error):
                error.add_note(
                    "Arrays that layers got or returned are read-only until forward ends: a change in place is not "
                    "recorded. Use layers (nn.Add, nn.Multiply, nn.ReLU(inplace=True)), or change a copy."
                )
            raise
        finally:
            HERE.current = current
            let_go_all(record.held)
        keep(self, record)
        return result

    def _run_hooks(self, args: tuple[Any, ...], result: Any) -> Any:
        for hook in self._hooks:
            changed = hook(self, args, result)
            if changed is not None:
                result = changed
        return result

    def _run_own_hooks(self, args: tuple[Any, ...], result: Any) -> Any:
        """Run the hooks of a layer, whose own backward does not know what they return instead."""
        changed = self._run_hooks(args, result)
        if changed is not result and self._saved is not None and self._saved.call is not None:
            keep(self, REPLACED)
        return changed

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output for an input; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def backward(self, grad: Any, *, input_grad: bool = False, overwrite_grad: bool = False) -> Any:
        """Go back through the last forward call: add to the parameters' gradients what the call contributes.

        For a layer `input_grad` is True by default. For a network it is False: training does not need the gradient with
        respect to the network's input, and it costs the first layer a matrix product.

        Parameters
        ----------
        grad : array_like
            Gradient of the loss with respect to the output. If `forward` returned a tuple, list or dict, another with
            a gradient for each, or None.
        input_grad : bool
            Whether to compute the gradient with respect to the input.
        overwrite_grad : bool, default False
            Whether the result may be written into `grad`. A network does not write into gradients that are read-only or
            not contiguous, nor into memory that they share with each other or with an array that backward reads.

        Returns
        -------
        ndarray, tuple or None
            Gradient of the loss with respect to the input, of its shape; None if not `input_grad`. A tuple with one
            for each argument if `forward` got several arrays.

        Raises
        ------
        RuntimeError
            If there was no recorded forward call since the last backward call; if a layer got an array that no layer
            made; if a layer in place has overwritten an array that another one needs; if a parameter whose values the
            gradients need has changed since the forward call, by a step of an optimizer for instance. No gradient has
            been added then, and a second call says the same.
        TypeError
            If `grad` is no array of real numbers, or not structured as the output.
        ValueError
            If `grad` has another shape than the output.
        """
        check_backward_flags(input_grad, overwrite_grad)
        record = self._last_call()
        return record.backward(self, grad, input_grad=input_grad, overwrite_grad=overwrite_grad)

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:
        """Return the gradients of a layer's inputs from what a call saved; of several inputs those in `input_grad`."""
        raise NotImplementedError

    def register_forward_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call ``hook(module, args, output)`` after each forward call; a result that is not None replaces the output.

        Parameters
        ----------
        hook : callable
            The function to call.

        Returns
        -------
        Handle
            Its method ``remove()`` removes the hook; so does a call of the handle, and the end of a ``with`` block.

        Raises
        ------
        TypeError
            If `hook` is no function.
        """
        if not callable(hook):
            raise TypeError(f"a forward hook is a function of module, args and output, got {hook!r}")
        self._hooks = (*self._hooks, hook)
        return Handle(self, hook)

    def _check_gradient(self, grad: ArrayLike, shape: tuple[int, ...]) -> None:
        """Refuse a gradient of another shape than the output, or of no real numbers."""
        if type(grad) is np.ndarray and grad.shape == shape and grad.dtype in FLOATS:
            return
        name = where(self, self)
        if grad is None:
            raise TypeError(f"{name}: the gradient is None; the backward before returns one with input_grad=True")
        if isinstance(grad, np.ma.MaskedArray):
            raise TypeError(f"{name}: a gradient cannot be a masked array: fill it first, grad.filled(0)")
        array = grad if hasattr(grad, "shape") and hasattr(grad, "dtype") else np.asarray(grad)
        if getattr(array.dtype, "kind", "f") in "cmMOSU":
            raise TypeError(f"{name}: a gradient consists of real numbers, got {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{name}: the output was of shape {shape}, the gradient is {array.shape}")

    def _last_call(self) -> Any:
        """Return what the last forward call saved."""
        saved = self._saved.call if self._saved is not None else None
        if saved is REPLACED:
            raise RuntimeError(
                f"{type(self).__name__}.backward cannot begin: a forward hook replaced the output of the layer, or of a "
                "module with a backward of its own that calls it, which returns the gradient of what it computed itself; "
                "let the hook return None, or call layers in it and the layer within a network"
            )
        if saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward has no forward call to go back through: the last call must be one of the "
                "module itself, module(x), that is recorded (in training mode, train() and not eval(), or within "
                "nn.enable_grad(); not within nn.no_grad()), that ended without an error, and that has had no backward yet; "
                "what was called as a part of a network belongs to the network's backward"
            )
        return saved

    # --- Children and parameters ----------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of each direct child."""
        for name, value in entries(vars(self)):
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield each direct child."""
        for _, child in self.named_children():
            yield child

    def _contains(self, module: Module) -> bool:
        """Whether a module is this one or one of its descendants."""
        return module is self or any(child._contains(module) for child in self.children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield name and module of this module, whose name is empty, and of all its descendants, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """Yield this module and all its descendants, each once."""
        for _, module in self.named_modules():
            yield module

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        for name, value in entries(vars(self)):
            if name not in _INTERNAL:
                self._check_collection(name, value)  # a list may have grown since it was assigned
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name)

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for name, value in entries(vars(self)):
            if isinstance(value, Parameter):
                yield name, value

    def _all_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every name and its parameter; a shared parameter comes once for each of its names."""
        for prefix, module in self._walk():
            for name, parameter in module._own_parameters():
                yield f"{prefix}.{name}" if prefix else name, parameter

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield name and parameter of this module and all its descendants, each parameter once."""
        seen: set[int] = set()
        for name, parameter in self._all_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and all its descendants, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def _saves_output(self) -> bool:
        """Whether the layer saves the array that forward returns, because backward reads it."""
        return False

    def _trains(self) -> bool:
        """Whether any parameter of this module or of its descendants requires a gradient."""
        own = (parameter.requires_grad for _, parameter in self._own_parameters())
        return any(own) or any(child._trains() for child in self.children())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients, or set them to zero."""
        check_flag("set_to_none", set_to_none)
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze all parameters if `requires_grad` is False, or let them be trained; return the module itself."""
        check_flag("requires_grad", requires_grad)
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    # --- Modes ----------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or evaluation mode, for this module and all its descendants; return the module itself."""
        check_flag("mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode for this module and all its descendants; return the module itself."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call a function with each descendant and then with this module itself, which is returned."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- State ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of all parameters by name; ``np.savez("net.npz", **model.state_dict())`` writes them.

        Returns
        -------
        dict
            Arrays in C order under PyTorch's names, such as ``"0.weight"``.
        """
        return {name: parameter.data.copy(order="C") for name, parameter in self._all_parameters()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Set the parameters' values, and their type, from arrays by name.

        Either all parameters are set, or none and an error is raised.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            A dict, the result of ``np.load("net.npz")``, or the state of a PyTorch module. The arrays are all float32
            or all float64, in any byte order; float16 and bfloat16 become float32, unless the parameters have 16 bits:
            then their type.
        strict : bool, default True
            Whether missing and unexpected names are an error. Otherwise parameters that are missing keep their values,
            and the others their types.

        Returns
        -------
        IncompatibleKeys
            A named tuple of two lists, `missing_keys` and `unexpected_keys`.

        Raises
        ------
        KeyError
            If `strict`, and names are missing or unexpected; the message lists them.
        ValueError
            If shapes differ, or a parameter's memory is read-only; the message lists them.
        TypeError
            If the arrays have other types, or more than one, or `state_dict` is no mapping.

        Examples
        --------
        >>> import io, numpy as np
        >>> from fastrelu import nn
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> file = io.BytesIO()
        >>> np.savez(file, **model.state_dict())
        >>> _ = file.seek(0)
        >>> model.load_state_dict(np.load(file))
        <All keys matched successfully>
        """
        check_flag("strict", strict)
        if not hasattr(state_dict, "keys"):
            raise TypeError(f"a state is a mapping of names to arrays, got {type(state_dict).__name__!r}")
        own = dict(self._all_parameters())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            lists = [
                f"{what}: {', '.join(map(str, names))}"
                for what, names in (("missing", missing), ("unexpected", unexpected))
                if names
            ]
            raise KeyError(f"the state does not belong to this {type(self).__name__}; {'; '.join(lists)}")
        values = {name: _array_of(name, state_dict[name], own[name].dtype) for name in own if name in state_dict}
        shapes = [
            f"{name} is {own[name].shape}, got {value.shape}"
            for name, value in entries(values)
            if value.shape != own[name].shape
        ]
        if shapes:
            raise ValueError(f"the state has other shapes: {'; '.join(shapes)}")
        wrong = [
            f"{name} is {value.dtype}"
            for name, value in entries(values)
            if value.dtype not in FLOATS and not is_half(value.dtype)
        ]
        if wrong:
            raise TypeError(f"layers hold float32 or float64; {'; '.join(wrong)}")
        if missing:
            values = {name: value.astype(own[name].dtype, copy=False) for name, value in entries(values)}
        kinds = {value.dtype: name for name, value in entries(values)}
        if len(kinds) > 1:
            found = ", ".join(f"{name} is {kind}" for kind, name in entries(kinds))
            raise TypeError(f"the state mixes types ({found}): convert the arrays to one")
        frozen = [name for name, value in entries(values) if not own[name].takes(value)]
        if frozen:
            raise ValueError(f"the memory of parameters is read-only: {', '.join(frozen)}")
        # The arrays of the state may be views of this module's parameters, under other names: they are copied before
        # anything is overwritten.
        shared = [p.data for p in own.values()]
        values = {
            name: value.copy() if any(np.may_share_memory(value, data) for data in shared) else value
            for name, value in entries(values)
        }
        todo = [(own[name], *own[name].assignment(value)) for name, value in entries(values)]
        update = new_update()
        for parameter, _, to, source in todo:  # nothing is allocated, so that all or none have new values
            parameter.count_update(update)
            np.copyto(to, source)
        for parameter, memory, _, _ in todo:
            parameter.adopt(memory)
        return IncompatibleKeys(missing, unexpected)

    # --- Text -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the text between the parentheses of the repr; subclasses define it."""
        return ""

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without what belongs to this object: what a call saved, what was checked, who watches."""
        state = {name: value for name, value in entries(vars(self)) if name not in _TRANSIENT}
        return {**state, "_hooks": _without_watchers(self._hooks)} if "_hooks" in state else state

    def __setstate__(self, state: Any) -> None:
        """Set the attributes of a copy or an unpickled module, or refuse what was not its state."""
        kind = type(self).__name__
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise TypeError(f"the state of a {kind} must be a dict of attributes, got {type(state).__name__!r}")
        given = {name: value for name, value in entries(state) if name not in {"_saved", "_checked", "_plan"}}
        hooks: Any = given.get("_hooks", ())
        if not isinstance(hooks, tuple) or not all(map(callable, hooks)):
            raise TypeError(
                f"the state of a {kind} is damaged, or of another class or version: it has hooks that are no functions, {hooks!r}"
            )
        if hooks:
            given["_hooks"] = _without_watchers(hooks)
        missing = [name for name in self._state_names() if name not in given]
        if missing:
            raise ValueError(
                f"the state of a {kind} is damaged, or of another class or version: it has no {', '.join(missing)}"
            )
        try:
            for name, value in entries(given):
                if name not in _INTERNAL:
                    self._check_attribute(name, value)
            self._check_state(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"the state of a {kind} is damaged, or of another class or version: {error}") from None
        vars(self).update(given)
        Changes.count += 1

    @classmethod
    def _state_names(cls) -> tuple[str, ...]:
        """Return the attributes without which a module of this class does not work."""
        return ()

    def _check_state(self, state: dict[str, Any]) -> None:
        """Refuse attributes that do not fit together."""

    def __repr__(self) -> str:
        lines = [self.extra_repr()] if self.extra_repr() else []
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({''.join(lines)})"
        return "\n  ".join([f"{type(self).__name__}(", *lines, *children]) + "\n)"


def _without_watchers(hooks: tuple[Callable[..., Any], ...]) -> tuple[Callable[..., Any], ...]:
    return tuple(hook for hook in hooks if not isinstance(hook, Watcher))


def _array_of(name: str, value: Any, own: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of a state, or of a tensor that may require gradients; 16-bit types become float32, or `own`."""
    half = False
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: fill it first, {name}.filled(0)")
    try:
        if hasattr(value, "detach") and hasattr(value, "cpu"):
            value = value.detach().cpu()
            half = str(value.dtype).endswith("bfloat16")  # NumPy has no such type
            value = value.float() if half else value
        array = native(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is a {type(value).__name__}, which NumPy cannot read: {error}") from None
    return array.astype(own if is_half(own) else np.float32) if half or is_half(array.dtype) else array


def _hidden(value: Any, depth: int = 3) -> Module | Parameter | None:
    """Return a module or parameter among the first 100 items of a collection, or of collections in it."""
    if isinstance(value, (Module, Parameter)):
        return value
    if depth == 0 or not isinstance(value, (list, tuple, dict, set, frozenset, deque)):
        return None
    items = itertools.islice(value.values() if isinstance(value, dict) else value, 100)
    return next((found for item in items if (found := _hidden(item, depth - 1)) is not None), None)


class Layer(Module):
    """Base of the layers: forward calls `save`, and `_gradient` or `_go_back` take what it saved."""

    _is_layer: ClassVar[bool] = True
    _learns: ClassVar[bool] = False
    # Arguments of the constructor that are no attributes, and attributes that are no arguments.
    _not_in_state: ClassVar[frozenset[str]] = frozenset({"rng", "dtype"})
    _also_in_state: ClassVar[tuple[str, ...]] = ()
    # The checks of its options, which are attributes, by name.
    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {}

    def _check_attribute(self, name: str, value: Any) -> None:
        super()._check_attribute(name, value)
        if name in self._checks and not isinstance(value, Parameter):
            self._checks[name](name, value)

    @classmethod
    def _state_names(cls) -> tuple[str, ...]:
        own = next(base for base in cls.__mro__ if base.__module__.startswith(f"{__package__}."))
        names = [
            p.name
            for p in inspect.signature(own).parameters.values()
            if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY} and p.name not in cls._not_in_state
        ]
        return *names, *cls._also_in_state

    def _check_state(self, state: dict[str, Any]) -> None:
        for name in self._also_in_state:
            if not isinstance(state[name], Parameter):
                raise TypeError(f"{name} must be a Parameter, got {type(state[name]).__name__!r}")

    def backward(self, grad: ArrayLike, *, input_grad: bool = True, overwrite_grad: bool = False) -> Any:
        """Return the gradient with respect to the input; see :meth:`Module.backward`."""
        saved = usual_call(self, grad, input_grad, overwrite_grad)
        if saved is None:
            check_backward_flags(input_grad, overwrite_grad)
            saved, since = self._last_call()
            self._check_gradient(grad, self._output_shape(saved))
            if since != updates[0]:
                refuse_changed(self, self, self._reads(saved, input_grad), since)
            release(self)
        if self._learns:
            grad = parted(self, saved, grad, Parameter)
        return self._go_back(grad, saved, input_grad=input_grad, overwrite_grad=overwrite_grad)

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        """Return the shape of the output; here forward saves the output or an array of its shape."""
        return shape_of(saved)

    def _reads(self, saved: Any, input_grad: Any) -> list[Parameter]:
        """Return the parameters whose values `_go_back` reads: own ones, and those among the inputs, which it saved."""
        return [value for value in everything((saved,)) if isinstance(value, Parameter)] if input_grad else []

    def _go_back(self, grad: Any, saved: Any, *, input_grad: Any, overwrite_grad: bool) -> Any:
        return self._gradient(grad, saved, overwrite_grad=overwrite_grad) if input_grad else None

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        raise NotImplementedError
