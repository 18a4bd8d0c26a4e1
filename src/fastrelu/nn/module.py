"""What every layer and network is: forward, backward, parameters, modes, state."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastrelu.nn.parameter import FLOATS, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray


class Module:
    """A layer or a network: something with a `forward`, and with a `backward` if it is to be trained.

    Modules and parameters that are attributes are found by name, as in PyTorch. A subclass needs a `forward` for
    inference; to train it, give it a `backward` that calls its layers' backward in reverse order, or build it from
    :class:`Sequential`, which does.

    In training mode a layer remembers what its backward needs, from one forward call until the backward call: it is
    not to be shared between threads then. In evaluation mode nothing is remembered or written, and any number of
    threads may call the same module.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode, as it is at first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc1 = nn.Linear(4, 3, rng=0)
    ...         self.act = nn.ReLU()
    ...         self.fc2 = nn.Linear(3, 2, rng=1)
    ...
    ...     def forward(self, x):
    ...         return self.fc2(self.act(self.fc1(x)))
    >>> net = Net().eval()
    >>> net(np.ones((5, 4), np.float32)).shape
    (5, 2)
    >>> [name for name, _ in net.named_parameters()]
    ['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias']
    """

    # What a forward call left for the backward call; None in evaluation mode and after the backward call.
    _saved: Any = None
    # Whether backward returns an array that nobody else holds, which may be overwritten.
    _fresh_gradient: ClassVar[bool] = False
    # Whether the output is the input's memory.
    _passes_memory_on: ClassVar[bool] = False
    # Class attributes, so that a subclass works that forgets super().__init__().
    training: bool = True
    _hooks: tuple[Callable[..., Any], ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Python's messages about wrong arguments name the class that defines the constructor: a layer that inherits
        # it gets a copy with its own name.
        init = cls.__init__
        if cls.__module__.startswith(f"{__package__}.") and init.__qualname__ != f"{cls.__qualname__}.__init__":
            copy = FunctionType(init.__code__, init.__globals__, "__init__", init.__defaults__, init.__closure__)
            functools.update_wrapper(copy, init).__qualname__ = f"{cls.__qualname__}.__init__"
            copy.__kwdefaults__ = init.__kwdefaults__
            cls.__init__ = copy  # type: ignore[method-assign]

    def __init__(self) -> None:
        self.training = True

    # --- Calls ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call :meth:`forward`, then the hooks."""
        result = self.forward(*args, **kwargs)
        for hook in self._hooks:
            changed = hook(self, args, result)
            if changed is not None:
                result = changed
        return result

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output for an input; subclasses say how."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def backward(self, grad: ArrayLike, *, input_grad: bool = True, overwrite_grad: bool = False) -> Any:
        """Return the gradient with respect to the input of the last forward call, and add up the parameters'.

        A `backward` of your own need not take the two options: :class:`Sequential` passes those that it takes.

        Parameters
        ----------
        grad : array_like
            Gradient of the loss with respect to the output.
        input_grad : bool, default True
            Whether to compute the gradient with respect to the input, which the first layer of a network has no use
            for.
        overwrite_grad : bool, default False
            Whether the result may take the memory of `grad`.

        Returns
        -------
        ndarray or None
            Gradient of the loss with respect to the input, of its shape; None if not `input_grad`.

        Raises
        ------
        RuntimeError
            If no forward call in training mode is left to go back through.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no backward: define backward(self, grad), which calls the layers' backward in "
            "reverse order and returns the gradient with respect to the input, or build the network from Sequential"
        )

    def register_forward_hook(self, hook: Callable[..., Any]) -> Callable[[], None]:
        """Call ``hook(module, args, output)`` after each forward call; what it returns, unless None, is the output.

        Parameters
        ----------
        hook : callable
            What to call.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            self._hooks = tuple(kept for kept in self._hooks if kept is not hook)

        return remove

    def _take(self) -> Any:
        """Return what the forward call left, once."""
        saved = self._saved
        if saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward has no forward call to go back through: call the module in training "
                "mode first (train(), not eval()), once for each backward; a layer remembers one call, so use another "
                "layer for each place in a network"
            )
        self._saved = None
        return saved

    # --- Children and parameters ----------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of each direct child."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield each direct child."""
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield name and module of this module, whose name is empty, and of all below it, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name)

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def _all_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every name, also where several name one parameter."""
        for prefix, module in self._walk():
            for name, parameter in module._own_parameters():
                yield f"{prefix}.{name}" if prefix else name, parameter

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield name and parameter, of this module and all below it, each parameter once."""
        seen: set[int] = set()
        for name, parameter in self._all_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and all below it, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def _keeps_output(self) -> bool:
        """Whether backward reads the array that forward returned."""
        return False

    def _learns(self) -> bool:
        own = (parameter.requires_grad for _, parameter in self._own_parameters())
        return any(own) or any(child._learns() for child in self.children())

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.zero_grad()

    # --- Modes ----------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode, or out of it; return the module itself."""
        for module in self.modules():
            module.training = mode
            module._forget()
        return self

    def eval(self) -> Self:
        """Put this module and all below it into evaluation mode: nothing is remembered; return the module itself."""
        return self.train(False)

    def _forget(self) -> None:
        self._saved = None

    # --- State ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of all parameters by name; ``np.savez("net.npz", **model.state_dict())`` writes them.

        Returns
        -------
        dict
            Arrays in C order under PyTorch's names, such as ``"0.weight"``.
        """
        return {name: parameter.data.copy(order="C") for name, parameter in self._all_parameters()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Take the parameters' values, and their type, from arrays by name.

        Nothing is changed if anything does not fit.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            A dict, what ``np.load("net.npz")`` returns, or the state of a PyTorch module. All arrays float32 or all
            float64; float16 becomes float32.

        Raises
        ------
        KeyError
            If names are missing or unexpected; the message lists them.
        ValueError
            If shapes differ, or a parameter's memory is read-only; the message lists them.
        TypeError
            If arrays are of other types, or of more than one.

        Examples
        --------
        >>> import io, numpy as np
        >>> from fastrelu import nn
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> file = io.BytesIO()
        >>> np.savez(file, **model.state_dict())
        >>> _ = file.seek(0)
        >>> model.load_state_dict(np.load(file))
        """
        own = dict(self._all_parameters())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if missing or unexpected:
            lists = [
                f"{what}: {', '.join(names)}"
                for what, names in (("missing", missing), ("unexpected", unexpected))
                if names
            ]
            raise KeyError(f"the state does not belong to this {type(self).__name__}; {'; '.join(lists)}")
        values = {name: np.asarray(state_dict[name]) for name in own}
        shapes = [
            f"{name} is {own[name].shape}, got {value.shape}"
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        if shapes:
            raise ValueError(f"the state has other shapes: {'; '.join(shapes)}")
        values = {
            name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in values.items()
        }
        wrong = [f"{name} is {value.dtype}" for name, value in values.items() if value.dtype not in FLOATS]
        if wrong:
            raise TypeError(f"layers hold float32 or float64; {'; '.join(wrong)}")
        kinds = {value.dtype: name for name, value in values.items()}
        if len(kinds) > 1:
            found = ", ".join(f"{name} is {kind}" for kind, name in kinds.items())
            raise TypeError(f"the state mixes types ({found}): convert the arrays to one")
        frozen = [name for name, value in values.items() if not own[name].takes(value)]
        if frozen:
            raise ValueError(f"the memory of parameters is read-only: {', '.join(frozen)}")
        # A state may hold the parameters' own memory, under other names.
        shared = [p.data for p in own.values()]
        values = {
            name: value.copy() if any(np.may_share_memory(value, data) for data in shared) else value
            for name, value in values.items()
        }
        memory = {name: own[name].memory_for(value) for name, value in values.items()}
        for name, value in values.items():
            own[name].assign(value, memory[name])

    # --- Text -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the repr; subclasses say what."""
        return ""

    def __repr__(self) -> str:
        lines = [self.extra_repr()] if self.extra_repr() else []
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({''.join(lines)})"
        return "\n  ".join([f"{type(self).__name__}(", *lines, *children]) + "\n)"


class Layer(Module):
    """Base of the layers whose backward needs only the gradient and what forward saved; subclasses say how."""

    def backward(self, grad: ArrayLike, *, input_grad: bool = True, overwrite_grad: bool = False) -> Any:
        """Return the gradient with respect to the input; see :meth:`Module.backward`."""
        saved = self._take()
        return self._gradient(grad, saved, overwrite_grad=overwrite_grad) if input_grad else None

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        raise NotImplementedError


def call_backward(module: Module, grad: Any, *, input_grad: bool, overwrite_grad: bool) -> Any:
    """Call a module's backward with those of the options that it takes."""
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
    """Return whether a backward takes `input_grad`, and whether it takes `overwrite_grad`."""
    parameters = inspect.signature(backward).parameters
    everything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return everything or "input_grad" in parameters, everything or "overwrite_grad" in parameters
