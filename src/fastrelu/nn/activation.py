"""Base class of the activation layers: the function they call, and what they save."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastrelu import activations
from fastrelu._options import operand, optional_operand
from fastrelu._walk import alike, save, shape_of
from fastrelu.nn.module import Layer, Module
from fastrelu.nn.record import watching, writable

Function = Callable[..., Any]

_DATA = ("grad", "x", "y")


def repr_of(module: Module, names: tuple[str, ...]) -> str:
    """Return ``name=value`` of some attributes, as a repr shows them."""
    return ", ".join(f"{name}={getattr(module, name)!r}" for name in names)


class Activation(Layer):
    """Base of the layers that apply a function to each element.

    A subclass names its function, ``class ReLU(Activation, function="relu")``; the function's parameters are
    attributes of the layer. For the gradient the layer saves its input. It saves its output instead when the gradient
    from the output is as exact as that from the input (`exact`), as the next layer saves the same array as its input; and
    when it works in place and the output determines the gradient. If it works in place and the output does not, as for
    SiLU, Mish or a learned slope, it saves a copy of the input in training mode, so that no memory is saved; in evaluation
    mode there is no copy. Layers with two slopes save a mask instead.

    Parameters
    ----------
    inplace : bool, default False
        Whether to overwrite the input.
    """

    _fresh_gradient: ClassVar[bool] = True
    _name: ClassVar[str] = ""
    _exact: ClassVar[bool] = False
    _names: ClassVar[tuple[str, ...]] = ()
    _function: ClassVar[Function]
    _function_: ClassVar[Function]
    _backward: ClassVar[Function]
    _backward_from_output: ClassVar[Function | None] = None
    _function_of_parameters: ClassVar[Function | None] = None

    def __init_subclass__(cls, function: str = "", exact: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not function:  # a user's subclass of a layer
            return
        cls._name, cls._exact = function, exact
        cls._function = staticmethod(getattr(activations, function))
        cls._function_ = staticmethod(getattr(activations, f"{function}_"))
        for attribute, suffix in (
            ("_backward", "_backward"),
            ("_backward_from_output", "_backward_from_output"),
            ("_function_of_parameters", "_backward_parameters"),
        ):
            found = getattr(activations, f"{function}{suffix}", None)
            setattr(cls, attribute, found and staticmethod(found))
        parameters = inspect.signature(cls._function).parameters.values()
        own = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in _DATA]
        cls._names = tuple(p.name for p in own)
        cls._checks = {**{p.name: optional_operand if p.default is None else operand for p in own}, **cls._checks}

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    @classmethod
    def _state_names(cls) -> tuple[str, ...]:
        return *(name for name in super()._state_names() if name != "inplace"), "inplace"

    def _arguments(self, shape: tuple[int, ...]) -> list[Any]:  # noqa: ARG002  Learnable uses the shape
        """Return the function's parameters for an input of this shape."""
        return [getattr(self, name) for name in self._names]

    def _output_suffices(self) -> bool:
        """Whether the gradient from the output is exact, for the present parameters."""
        return self._exact

    def _output_determines(self) -> bool:
        """Whether the gradient can be computed from the output, for the present parameters."""
        if self._backward_from_output is None:
            return False
        if self._names:
            try:
                self._backward_from_output(np.empty(0), np.empty(0), *self._arguments((0,)))
            except ValueError:  # they are outside of its domain
                return False
        return True

    def _has_arrays(self) -> bool:
        """Whether a parameter is an array, or nothing that the function takes, but no learned one."""
        kinds = (np.ndarray, list, tuple, str, complex)
        for name in self._names:  # noqa: SIM110  any() of a generator takes longer than a small call
            if isinstance(getattr(self, name, None), kinds):
                return True
        return False

    def _saves_output(self) -> bool:
        if self._names and self._has_arrays():
            return False
        try:
            return self._output_suffices() or (self.inplace and self._output_determines())
        except TypeError:  # a parameter that is no number at all, which the function refuses
            return False

    def _saved_input(self, x: ArrayLike) -> Any:
        """Return the input as it is before the call: itself, or a copy if it will be overwritten."""
        return np.array(x) if self.inplace else x

    def forward(self, x: ArrayLike) -> Any:
        """Apply the function.

        Parameters
        ----------
        x : array_like
            Input of any shape. In training mode the layer saves a reference to it, or to the result, until the
            backward call: do not change either before.

        Returns
        -------
        ndarray
            `x` itself if the layer works in place.
        """
        arguments = self._arguments(shape_of(x)) if self._names else ()
        saves = self.training or self._saved or watching()
        from_output = saves and self._saves_output()
        before = self._saved_input(x) if saves and not from_output else None
        if self.inplace:
            writable(x)
            y = self._function_(x, *arguments)
        else:
            y = self._function(x, *arguments)
        if saves:
            save(self, (x,), (y,), (y if from_output else before, from_output, arguments))
        return y

    def _output_shape(self, saved: Any) -> tuple[int, ...]:
        return shape_of(saved[0])

    def _gradient(self, grad: ArrayLike, saved: Any, *, overwrite_grad: bool) -> Any:
        array, from_output, arguments = saved
        function = self._backward_from_output if from_output else self._backward
        assert function is not None
        return function(grad, array, *arguments, out=grad if overwrite_grad and alike(grad, array) else None)

    def extra_repr(self) -> str:
        """Return the function's parameters, and whether the layer works in place."""
        shown = repr_of(self, self._names)
        return ", ".join(filter(None, [shown, "inplace=True" if self.inplace else ""]))
