"""What the layers of all activations share: which function they call, what they keep, when they work in place."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastrelu import activations
from fastrelu.nn.module import Layer, Module

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    Function = Callable[..., Any]

_DATA = ("grad", "x", "y")


def repr_of(module: Module, names: tuple[str, ...]) -> str:
    """Return attributes as they stand in a repr."""
    return ", ".join(f"{name}={getattr(module, name)!r}" for name in names)


class Activation(Layer):
    """Base of the layers that apply a function to each element.

    A subclass names its function, ``class ReLU(Activation, function="relu")``; the function's parameters are
    attributes of the layer. Out of place the layer keeps its input for the gradient, or its output (`exact`) where
    that tells the gradient without loss: the next layer keeps the same array. In place it keeps its output.

    Parameters
    ----------
    inplace : bool, default False
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `inplace` is True and the output does not determine the gradient.
    """

    _fresh_gradient: ClassVar[bool] = True
    _name: ClassVar[str] = ""
    _exact: ClassVar[bool] = False
    _names: ClassVar[tuple[str, ...]] = ()
    _function: ClassVar[Function]
    _function_: ClassVar[Function]
    _backward: ClassVar[Function]
    _backward_from_output: ClassVar[Function | None] = None

    def __init_subclass__(cls, function: str = "", exact: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not function:  # a subclass of a layer
            return
        cls._name, cls._exact = function, exact
        cls._function = staticmethod(getattr(activations, function))
        cls._function_ = staticmethod(getattr(activations, f"{function}_"))
        for attribute, suffix in (("_backward", "_backward"), ("_backward_from_output", "_backward_from_output")):
            found = getattr(activations, f"{function}{suffix}", None)
            setattr(cls, attribute, found and staticmethod(found))
        parameters = inspect.signature(cls._function).parameters.values()
        cls._names = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in _DATA)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        if inplace:
            self._check_inplace()

    def _check_inplace(self) -> None:
        """Refuse to work in place where the gradient would be lost."""
        reason = f"the output of {self._name} does not determine the gradient"
        if self._backward_from_output is not None:
            try:
                self._backward_from_output(np.empty(0), np.empty(0), *self._arguments((0,)))
            except ValueError as error:
                reason += f" ({error})"
            else:
                return
        raise ValueError(
            f"{type(self).__name__} cannot work in place: {reason}, and the input would be overwritten; leave out "
            f"inplace=True, or call fastrelu.{self._name}_ where no gradient is needed"
        )

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:  # noqa: ARG002  parameters that learn look at it
        """Return the function's parameters for an input of some shape."""
        return [getattr(self, name) for name in self._names]

    def _output_suffices(self) -> bool:
        """Whether the output tells the gradient exactly, for the parameters as they are."""
        return self._exact

    def _keeps_output(self) -> bool:
        return self.inplace or self._output_suffices()

    def forward(self, x: ArrayLike) -> Any:
        """Apply the function.

        Parameters
        ----------
        x : array_like
            Input of any shape. In training the layer remembers it, or the result, until the backward call: leave
            both as they are.

        Returns
        -------
        ndarray
            `x` itself if the layer works in place.
        """
        arguments = self._arguments(np.shape(x)) if self._names else ()
        y = self._function_(x, *arguments) if self.inplace else self._function(x, *arguments)
        if self.training:
            from_output = self._keeps_output()
            self._saved = y if from_output else x, from_output
        return y

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        kept, from_output = saved
        function = self._backward_from_output if from_output else self._backward
        assert function is not None
        arguments = self._arguments(np.shape(kept)) if self._names else ()
        return function(grad, kept, *arguments, out=grad if overwrite_grad and alike(grad, kept) else None)

    def extra_repr(self) -> str:
        """Return the parameters, and whether the layer works in place."""
        shown = repr_of(self, self._names)
        return ", ".join(filter(None, [shown, "inplace=True" if self.inplace else ""]))


def alike(grad: Any, kept: Any) -> bool:
    """Whether the result has the shape and type of `grad`."""
    return type(grad) is type(kept) is np.ndarray and grad.dtype == kept.dtype and grad.shape == kept.shape
