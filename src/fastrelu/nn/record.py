"""The record of a forward call: which layer got which arrays and returned which, for the backward call."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrelu._blocks import block
from fastrelu._entries import entries
from fastrelu._foreign import refuse
from fastrelu._read_only import hold_views, let_go
from fastrelu._steps import updates
from fastrelu._walk import (
    Own,
    alike,
    calls_behind,
    calls_to_do,
    everything,
    go_back,
    identities,
    owner,
    parameters_of,
    part_from_parameters,
    save,
    use_modes,
)
from fastrelu.nn.parameter import FLOATS, Changes, Parameter

if TYPE_CHECKING:
    from fastrelu.nn.module import Module  # which imports this module

    Node = tuple[Module, tuple[Any, ...], tuple[Any, ...], Any]

__all__ = ["detach", "enable_grad", "no_grad"]


class Off:
    """Nothing is recorded; `record` is the one that :func:`no_grad` interrupts."""

    def __init__(self, record: Record | None) -> None:
        self.record = record


class Alone:
    """Each layer saves what its own backward needs, also in evaluation mode.

    Attributes
    ----------
    log : dict or None
        What modules save, and the attributes that they set, by module and name; None if nobody asks.
    """

    def __init__(self, log: dict[tuple[Module, str], Any] | None = None) -> None:
        self.log = log


class Here(threading.local):
    """What is recorded in a thread, as PyTorch's gradient mode is one of each thread.

    Attributes
    ----------
    current : Record, Alone, Off or None
        The record of the network whose forward runs, or a mode; None: the mode of each module decides.
    """

    current: Any = None


HERE = Here()
# Whether a layer in evaluation mode has to call `save`.
watching = functools.partial(getattr, HERE, "current")
_WAYS_OUT = (
    "nn.Add, nn.Multiply, nn.Concatenate, nn.Flatten, nn.Unflatten or the layer of an activation, or nn.detach(array) for "
    "data that needs no gradient"
)


@block
def no_grad() -> Iterator[None]:
    """Record nothing, also in training mode: no backward follows, and no layer keeps an array.

    Within a `forward`, what the layers return counts as data that needs no gradient. Works as a decorator too,
    of generators and coroutines as well.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    >>> with nn.no_grad():
    ...     y = model(np.ones((4, 3), np.float32))  # with dropout
    """
    current = HERE.current
    HERE.current = Off(current if type(current) is Record else None)
    try:
        yield
    finally:
        HERE.current = current


@block
def enable_grad() -> Iterator[None]:
    """Record also in evaluation mode, for gradients of a model without dropout. Works as a decorator too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).eval()
    >>> with nn.enable_grad():
    ...     y = model(np.ones((4, 3), np.float32))
    >>> model.backward(np.ones_like(y), input_grad=True).shape
    (4, 3)
    """
    current = HERE.current
    record = current.record if type(current) is Off else current if type(current) is Record else None
    HERE.current = record or Alone()
    try:
        yield
    finally:
        HERE.current = current


def detach(x: ArrayLike) -> NDArray[Any]:
    """Return `x` as data that needs no gradient, for the layers of the `forward` that runs here.

    An array that NumPy made in a `forward` may depend on what layers returned, so layers refuse it in the backward
    call, unless it is detached: as a mask, or as the target of another branch.

    Parameters
    ----------
    x : array_like
        An array, a layer's output or a parameter.

    Returns
    -------
    ndarray
        A view of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> class Masked(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(3, 2)
    ...         self.multiply = nn.Multiply()
    ...
    ...     def forward(self, x):
    ...         return self.multiply(self.fc(x), nn.detach(x[:, :2] > 0))
    >>> model = Masked()
    >>> y = model(np.ones((4, 3), np.float32))
    >>> model.backward(np.ones_like(y))
    """
    refuse("detach", x=x)
    array = np.asanyarray(x).view()
    record = HERE.current
    if type(record) is Record:
        record.detached.append(array)
        hold_views(record.held, (x,), (array,))
    return array


# --- What a call saves ------------------------------------------------------------------------------------------------


class Saved(threading.local):
    """What the last call of a module saved for its backward, in each thread; a copy of the module begins without.

    Of a network it is a `Record`, of a layer alone a tuple: the saved object, and the number of the last update of
    parameters before.
    """

    call: Any = None

    def __reduce__(self) -> Any:
        return Saved, ()


def _overlap(value: Any, array: NDArray[Any]) -> bool:
    """Whether a value is an array in the memory of another one."""
    return isinstance(value, np.ndarray) and np.may_share_memory(value, array)


def nothing_is_recorded() -> bool:
    """Whether the calls of modules in evaluation mode leave nothing behind."""
    current = HERE.current
    return current is None or (type(current) is Off and current.record is None)


def recording(module: Module) -> bool:
    """Whether a call of a layer is saved."""
    current = HERE.current
    return module.training if current is None else type(current) is not Off


def keep(module: Module, call: Any) -> None:
    """Save a call of a module for its backward, in place of the last one; None releases it."""
    saved = module._saved
    if saved is None:
        saved = vars(module).setdefault("_saved", Saved())
        Changes.count += 1
    saved.call = call
    current = HERE.current
    if type(current) is Alone and current.log is not None:
        current.log[module, "_saved"] = call


def release(module: Module) -> None:
    """Free what the last call of a module saved."""
    if module._saved is not None:
        module._saved.call = None


def writable(array: Any) -> None:
    """Let a layer overwrite an array that the record has made read-only."""
    record = HERE.current
    if type(record) is Record:
        let_go(record.held, array)


# The backward calls of several threads wait for each other: gradients of shared parameters add up in the same memory.
going_back = threading.RLock()


def _renew_lock() -> None:
    """Make a lock for a forked child: a thread that held the old one does not exist there."""
    global going_back  # noqa: PLW0603  one lock per process
    going_back = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _restore(own: Own) -> None:
    """Give modules back what they saved in a call of a module with a backward of its own: there may have been others."""
    for (module, name), value in entries(own.log):
        if name == "_saved":
            keep(module, value)
        else:
            vars(module)[name] = value
            Changes.count += 1


class Record:
    """The calls of layers in the forward call of a network.

    It keeps all arrays alive, so that their identities hold, and read-only until the forward call ends: a change by
    NumPy would not be recorded. Then each array is as writable as it was, whatever other threads record. A layer in
    place writes into what this record alone holds.

    Attributes
    ----------
    nodes : list
        Module, inputs, outputs and saved objects of each call; an `Own` for a module with a backward of its own.
    detached : list
        Arrays that need no gradient.
    held : dict
        Arrays that are read-only until the forward call ends, by identity. What was read-only before is not among them,
        nor views that NumPy makes of them within `forward`, to which it gives their flag: they stay read-only.
    since : int
        The number of the last update of parameters before the last call.
    marks : list or None
        Where it was another one before: positions in `nodes`, and the number of the calls up to there.
    args, kwargs, output : object
        What the network got and returned.
    """

    __slots__ = ("args", "detached", "held", "kwargs", "marks", "nodes", "output", "since")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.nodes: list[Node] = []
        self.detached: list[Any] = []
        self.args, self.kwargs = args, kwargs
        self.output: Any = None
        self.held: dict[int, NDArray[Any]] = {}
        self.since = updates[0]
        self.marks: list[tuple[int, int]] | None = None

    # --- Forward --------------------------------------------------------------------------------------------------

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call and add a module with a backward of its own, whose layers save for that."""
        inputs = tuple(filter(is_array, flat((args, kwargs))))
        if getattr(module, "inplace", False):
            for value in inputs:
                let_go(self.held, value)
        log: dict[tuple[Module, str], Any] = {}
        HERE.current = Alone(log)
        try:
            output = module.forward(*args, **kwargs)
        finally:
            HERE.current = self
        save(module, inputs, tuple(flat(output)), Own((*args, *kwargs.values()), output, log))
        return output

    def mark(self) -> None:
        """Note that parameters have changed since the last call."""
        if self.nodes:
            self.marks = [*(self.marks or ()), (len(self.nodes), self.since)]
        self.since = updates[0]

    def before(self, i: int) -> int:
        """Return the number of the last update of parameters before a call."""
        return next((number for end, number in self.marks or () if i < end), self.since)

    # --- Backward -------------------------------------------------------------------------------------------------

    def backward(self, root: Module, grad: Any, *, input_grad: bool, overwrite_grad: bool) -> Any:
        """Go back through the calls; see :meth:`Module.backward`. Errors about the record leave it as it was."""
        with going_back:
            gradients = self._seeds(root, grad)
            todo = self._plan(root, set(gradients), input_grad=input_grad)
            release(root)
            self.nodes = []
            parameters = parameters_of(todo, Parameter)
            part_from_parameters(gradients, parameters)
            # Gradients that nothing else refers to.
            owned = _own(gradients, todo, parameters) if overwrite_grad else set()
            go_back(root, todo, gradients, owned, Parameter, _own_backward)
            return self._input_gradient(gradients) if input_grad else None

    def _seeds(self, root: Module, grad: Any) -> dict[int, Any]:
        """Return the gradients with respect to what the network returned, by the identities of the arrays."""
        single = self.output
        if alike(single, grad) and single.dtype in FLOATS:  # the usual case: nothing to convert or to say
            return {id(single): grad}
        gradients: dict[int, Any] = {}
        for output, given in pairs(self.output, grad, f"{type(root).__name__} returned"):
            if given is None and output is not self.output:
                continue
            root._check_gradient(given, np.shape(output))
            gradient = np.asarray(given, float_type(output))
            before = gradients.get(id(output))
            gradients[id(output)] = gradient if before is None else before + gradient
        return gradients

    def _plan(self, root: Module, outputs: set[int], *, input_grad: bool) -> list[tuple[Node, Any]]:
        """Return the calls to go back through, and for each which inputs need a gradient; or say what is in the way."""
        wanted = set(outputs)
        active, inplace = calls_behind(self.nodes, wanted)
        needs = identities((*self.args, *self.kwargs.values()))
        wanted -= needs
        if not input_grad:
            needs.clear()
        if wanted:
            needs.update(self._sources(root, wanted, active))
        if inplace:
            self._check_writes(root, active, outputs)
        todo = calls_to_do(self.nodes, active, needs)
        if self.since != updates[0] or self.marks is not None:
            self._check_updates(root, todo)
        return todo

    def _check_updates(self, root: Module, todo: list[tuple[Node, Any]]) -> None:
        """Refuse to go back through calls whose gradients need values of parameters from before an update."""
        parameters = list(root.parameters()) if self.detached else []
        views = [(x, p) for x in self.detached for p in parameters if _overlap(x, p.data)]
        positions = {id(node): i for i, node in enumerate(self.nodes)}
        for node, need in todo:
            module, inputs, _, saved = node
            since = self.before(positions[id(node)])
            seen = [p for x in inputs for view, p in views if x is view]
            if type(saved) is Own:
                seen += [x for x in inputs if isinstance(x, Parameter)]
            kept = saved_values(saved) if seen else []
            refuse_changed(root, module, [p for p in seen if any(_overlap(value, p.data) for value in kept)], since)
            for layer, read, before in _read_in(module, saved, since, need):
                refuse_changed(root, layer, read, before)

    def _sources(self, root: Module, wanted: set[int], active: list[int]) -> list[int]:
        """Return the identities of parameters among the inputs of layers; refuse arrays that no layer made."""
        wanted = wanted - set(map(id, self.detached))
        parameters = []
        for i in active:
            module, inputs, _, _ = self.nodes[i]
            for x in inputs:
                if isinstance(x, Parameter):
                    if x.requires_grad:
                        parameters.append(id(x))
                elif id(x) in wanted and type(x) not in {int, float, bool}:
                    what, way_out = self._foreign(root, x, i)
                    raise RuntimeError(
                        f"{type(root).__name__}.backward cannot go back beyond {where(root, module)}, which got {what}: "
                        f"{way_out}"
                    )
                wanted.discard(id(x))
        for output in flat(self.output):
            if id(output) in wanted:
                what, way_out = self._foreign(root, output, len(self.nodes))
                raise RuntimeError(f"{type(root).__name__}.backward cannot begin: forward returned {what}: {way_out}")
        return parameters

    def _foreign(self, root: Module, array: Any, end: int) -> tuple[str, str]:
        """Say what an array is that no layer made, and what to do instead."""
        shape = np.shape(array)
        if isinstance(array, np.generic):  # h.std() is one too, and its gradient would be missing
            way_out = "pass a constant as a Python number, float(x); operations of NumPy are not recorded"
            return f"the NumPy scalar {array}, which no layer made", f"{way_out}; use {_WAYS_OUT}"
        if isinstance(array, np.ndarray):
            for module, _, outputs, _ in reversed(self.nodes[:end]):
                if any(isinstance(made, np.ndarray) and np.may_share_memory(array, made) for made in outputs):
                    return (
                        f"a view of shape {shape} (a reshape, slice or transpose) of what {where(root, module)} returned",
                        "views are not recorded; use nn.Flatten or nn.Unflatten, or a module with a backward of its own",
                    )
            for name, parameter in root.named_parameters():
                if np.may_share_memory(array, parameter.data):
                    return f"the data of parameter {name}", "pass the parameter itself, to nn.Multiply for instance"
        return f"an array of shape {shape} that no layer made", f"operations of NumPy are not recorded; use {_WAYS_OUT}"

    def _check_writes(self, root: Module, active: list[int], outputs: set[int]) -> None:
        """Refuse a gradient that needs, or belongs to, an array that a layer in place has overwritten since."""
        writes: dict[int, list[tuple[int, Any]]] = {}
        made: dict[int, int] = {}
        detached = set(map(id, self.detached))
        for i, (module, inputs, results, _) in enumerate(self.nodes):
            for result in results:
                made.setdefault(id(result), i)  # a layer in place returns what was made before
            if getattr(module, "inplace", False):
                for out in results:
                    if isinstance(out, np.ndarray) and id(out) in map(id, inputs):
                        writes.setdefault(owner(out), []).append((i, out))
        for i in active:
            node = self.nodes[i]
            for array in saved_arrays(node):
                for j, out in writes.get(owner(array), ()):
                    if j > i and np.may_share_memory(array, out):
                        raise RuntimeError(
                            f"{where(root, self.nodes[j][0])} overwrote an array that {where(root, node[0])} needs for "
                            f"its gradient: use {type(self.nodes[j][0]).__name__} without inplace"
                        )
        got = [(array, i) for i in active for array in self.nodes[i][1]]
        got += [(array, len(self.nodes)) for array in flat(self.output) if id(array) in outputs]
        for array, i in got:
            for j, out in writes.get(owner(array), ()) if id(array) not in detached else ():
                old = array is not out and made.get(id(array), -1) < j < i
                if old and np.may_share_memory(array, out):
                    what = f"{where(root, self.nodes[i][0])} got" if i < len(self.nodes) else "forward returned"
                    raise RuntimeError(
                        f"{what} an array that {where(root, self.nodes[j][0])} had overwritten through a view of it: use "
                        f"{type(self.nodes[j][0]).__name__} without inplace"
                    )

    def _input_gradient(self, gradients: dict[int, Any]) -> Any:
        """Return the gradient with respect to the argument, or a tuple of those with respect to several ones."""
        given = (*self.args, *self.kwargs.values())
        arrays = [value for value in given if id(value) in gradients or is_array(value)]
        if len(arrays) == 1:
            return _gradient_of(arrays[0], gradients)
        return _gradient_of(given[0] if len(given) == 1 else given, gradients)


use_modes(HERE, Record, Off, keep)


def _gradient_of(value: Any, gradients: dict[int, Any]) -> Any:
    """Return the gradient with respect to an argument, in its structure; None if it is no array of real numbers."""
    if id(value) in gradients:
        return gradients[id(value)]
    if isinstance(value, (tuple, list)):
        return tuple(_gradient_of(item, gradients) for item in value)
    if isinstance(value, dict):
        return {name: _gradient_of(item, gradients) for name, item in entries(value)}
    return np.zeros_like(value) if float_type(value) else None


def _own_backward(
    root: Module, node: Node, gradients: dict[int, Any], *, input_grad: bool, overwrite_grad: bool
) -> list[Any]:
    """Call the backward that a user wrote; return a gradient for each input."""
    module, inputs, outputs, saved = node
    args, output = inputs, outputs[0]
    if type(saved) is Own:
        args, output = saved.args, saved.output
        _restore(saved)
    else:
        keep(module, (saved, updates[0]))
    grad = _collected(output, gradients)
    result = call_backward(module, grad, input_grad=input_grad, overwrite_grad=overwrite_grad)
    if not input_grad:
        return []
    name = f"backward of {where(root, module)}"
    if result is None:
        raise TypeError(f"{name}, returned None instead of a gradient")
    if len(inputs) == 1 and not isinstance(result, (tuple, list, dict)):
        found = [(inputs[0], result)]
    else:
        found = pairs(args if len(args) > 1 else args[0], result, f"{name} goes with")
    gradients_found = []
    for x, gradient in found:
        if not is_array(x):
            continue
        if gradient is not None and np.shape(gradient) != np.shape(x):
            raise ValueError(
                f"{name} returned a gradient of shape {np.shape(gradient)} for an input of shape {np.shape(x)}"
            )
        if gradient is not None:
            gradient = np.asarray(gradient, float_type(x))  # noqa: PLW2901  converted
        gradients_found.append(None if isinstance(x, Parameter) and not x.requires_grad else gradient)
    return gradients_found


def _collected(output: Any, gradients: dict[int, Any]) -> Any:
    """Return the gradients with respect to what a module returned, in its structure; zero where there is none."""
    if isinstance(output, (tuple, list)):
        return tuple(_collected(item, gradients) for item in output)
    if isinstance(output, dict):
        return {name: _collected(item, gradients) for name, item in entries(output)}
    if id(output) in gradients:
        return gradients.pop(id(output))
    return np.zeros_like(output) if is_array(output) else None


def call_backward(module: Module, grad: Any, *, input_grad: bool, overwrite_grad: bool) -> Any:
    """Call the backward of a module with those of the two options that it accepts."""
    backward = module.backward
    takes_input_grad, takes_overwrite_grad = _options_of(getattr(backward, "__func__", backward))
    options = {}
    if takes_input_grad:
        options["input_grad"] = input_grad
    if takes_overwrite_grad:
        options["overwrite_grad"] = overwrite_grad
    return backward(grad, **options)


@functools.lru_cache
def _options_of(backward: Callable[..., Any]) -> tuple[bool, bool]:
    """Return whether a backward accepts `input_grad`, and whether it accepts `overwrite_grad`."""
    parameters = inspect.signature(backward).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return anything or "input_grad" in parameters, anything or "overwrite_grad" in parameters


# --- Structures: what a network gets and returns may be arrays, or tuples, lists and dicts of them --------------------


def is_array(value: Any) -> bool:
    """Whether a gradient with respect to an argument is conceivable."""
    return hasattr(value, "__array__")


def float_type(value: Any) -> np.dtype[Any] | None:
    """Return the type of an array of float32 or float64."""
    dtype = getattr(value, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) and dtype in FLOATS else None


def flat(structure: Any) -> list[Any]:
    """Return what a structure consists of, in order."""
    if isinstance(structure, (tuple, list)):
        return list(itertools.chain.from_iterable(map(flat, structure)))
    return flat(list(structure.values())) if isinstance(structure, dict) else [structure]


def pairs(structure: Any, gradients: Any, what: str) -> list[tuple[Any, Any]]:
    """Return each array of a structure with its gradient from the same structure."""
    if not isinstance(structure, (tuple, list, dict)):
        return [(structure, gradients)]
    keys: Any = list(structure) if isinstance(structure, dict) else range(len(structure))
    kinds: Any = dict if isinstance(structure, dict) else (tuple, list)
    if not isinstance(gradients, kinds) or len(gradients) != len(structure):
        given = f"{type(gradients).__name__} of {len(gradients)}" if hasattr(gradients, "__len__") else repr(gradients)
        raise TypeError(
            f"{what} a {type(structure).__name__} of {len(structure)}: its gradient is another with a gradient or None "
            f"for each, got {given}"
        )
    if isinstance(structure, dict) and set(gradients) != set(structure):
        raise TypeError(f"{what} the names {', '.join(structure)}, the gradient has {', '.join(gradients)}")
    return [pair for key in keys for pair in pairs(structure[key], gradients[key], what)]


def where(root: Module, module: Module) -> str:
    """Return name and repr of a layer, for messages."""
    name = next((name for name, other in root.named_modules() if other is module), "")
    text = repr(module) if next(module.children(), None) is None else type(module).__name__
    return f"layer {name}, {text}" if name else text


def saved_arrays(node: Node) -> list[NDArray[Any]]:
    """Return the arrays that were saved for the backward of a call."""
    return [value for value in saved_values(node[3]) if isinstance(value, np.ndarray)]


def _own(gradients: dict[int, Any], todo: list[tuple[Node, Any]], parameters: list[Parameter]) -> set[int]:
    """Return which of the caller's gradients may be overwritten: nothing else is read from their memory.

    Elements of an array that is contiguous do not share memory with each other.
    """
    read: list[Any] = [parameter.data for parameter in parameters]
    for node, _ in todo:
        # What a layer saves is what it got or returned, or its own.
        read += [*node[1], *node[2], *(saved_arrays(node) if type(node[3]) is Own else ())]
    arrays = {id(x): x for x in read if isinstance(x, np.ndarray)}.values()
    owned = set()
    for key, gradient in entries(gradients):
        others = [other for name, other in entries(gradients) if name != key]
        alone = not any(np.may_share_memory(gradient, other) for other in (*others, *arrays))
        if alone and gradient.flags.writeable and gradient.flags.forc:
            owned.add(key)
    return owned


def saved_values(saved: Any) -> list[Any]:
    """Return all that was saved for the backward of a call."""
    if type(saved) is not Own:
        return everything((saved,))
    values = everything(tuple(saved.log.values()))
    inner = [node[3] for value in values if type(value) is Record for node in value.nodes]
    return [*values, *itertools.chain.from_iterable(map(saved_values, inner))]


# --- Parameters that change between a forward call and its backward call ----------------------------------------------


def _read_in(module: Any, saved: Any, since: int, input_grad: Any) -> Iterator[tuple[Module, list[Parameter], int]]:
    """Yield layers, the parameters whose values their gradients read, and the number of the last update before."""
    if type(saved) is Own:
        own = everything(tuple([value for (_, name), value in entries(saved.log) if name != "_saved"]))
        yield module, [value for value in own if isinstance(value, Parameter)], since
        yield from _read_within(module, saved.log, since)
    else:
        # A backward that was set on the layer itself calls that of its class, with options that nobody knows.
        yield module, module._reads(saved, "backward" in vars(module) or input_grad), since


def _read_within(
    root: Module, log: dict[tuple[Module, str], Any], since: int
) -> Iterator[tuple[Module, list[Parameter], int]]:
    """Yield the same of a module with a backward of its own, which may read all parameters that no layer holds."""
    for (module, name), call in entries(log):
        if name == "_saved" and type(call) is tuple:
            own, before = call
            yield from _read_in(module, own, before, True)
        elif name == "_saved" and type(call) is Record:
            for i, node in enumerate(call.nodes):
                yield from _read_in(node[0], node[3], call.before(i), True)
    yield from _read_unseen(root, log, since)


def _read_unseen(
    module: Module, log: dict[tuple[Module, str], Any], since: int
) -> Iterator[tuple[Module, list[Parameter], int]]:
    """Yield modules that are no layers and saved nothing themselves, and their parameters."""
    if not module._is_layer and (module, "_saved") not in log:
        yield module, [parameter for _, parameter in module._own_parameters()], since
        for child in module.children():
            yield from _read_unseen(child, log, since)


def refuse_changed(root: Module, module: Module, parameters: list[Parameter], since: int) -> None:
    """Refuse to compute gradients from parameters of which one has changed since a call, or is another one."""
    number, replaced = module._replaced
    begin = f"{type(root).__name__}.backward cannot begin"
    again = f"call {'the layer' if root._is_layer else 'the network'} again"
    if number > since:
        raise RuntimeError(
            f"{begin}: {replaced} of {where(root, module)}, is not the parameter of the forward call, whose place it took "
            f"since: {again} after the change, or call backward before it"
        )
    for parameter in parameters:
        if parameter._updated > since:
            raise RuntimeError(
                f"{begin}: {_name_of(root, module, parameter)} {where(root, module)}, has changed since the forward call "
                f"(by a step of an optimizer, load_state_dict, nn.init or an assignment), and the gradient needs the "
                f"values that it had: {again} after the change, or call backward before it"
            )


def _name_of(root: Module, module: Module, parameter: Parameter) -> str:
    """Return the name of a parameter of a module or among its inputs, for messages."""
    own = next((name for name, other in module._own_parameters() if other is parameter), None)
    if own is not None:
        return f"{own} of"
    name = next((name for name, other in root.named_parameters() if other is parameter), None)
    return f"{name or f'a parameter of shape {parameter.shape}'}, an input of"
