"""Optimizers, which update parameters from their gradients."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

import fastrelu._steps as _steps  # noqa: PLR0402  not what stands for it in the package
from fastrelu._entries import entries
from fastrelu._options import at_least, check_flag, real_number
from fastrelu.nn.parameter import Parameter
from fastrelu.nn.utils import parameter_list

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]

_NUMPY = (np.ndarray, np.generic)
_CONSTANTS = (float, int, tuple, np.generic)  # which do not change while they are the same object

_steps.use_slots(Parameter)


class Optimizer:
    """Base of the optimizers: groups of parameters with their options, and the loop over them in a step.

    The options of the constructor are attributes, which may change between steps: ``optimizer.lr *= 0.1``. A group may
    have options of its own: ``SGD([{"params": weights}, {"params": biases, "weight_decay": 0.0}], weight_decay=0.1)``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        The parameters to update, such as ``model.parameters()``, or groups: dicts of ``"params"`` and options.
    **options
        The options of the groups that do not have their own.

    Attributes
    ----------
    param_groups : list of dict
        The groups: ``"params"`` and all options.
    state : dict
        The running arrays of each parameter, by name.

    Raises
    ------
    TypeError
        If `params` contains anything but parameters, or but groups, or an option is of another kind.
    ValueError
        If `params` or a group is empty, contains a parameter twice, or has an unknown option.
    """

    # The entries of the state of a parameter: all of the first after a step, and maybe the others.
    _needed: ClassVar[tuple[str, ...]] = ()
    _optional: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class with methods that steps called until they were compiled: they would be ignored."""
        super().__init_subclass__(**options)
        for name in ("_changes", "_check_update", "_memory", "_options", "_running", "_update"):
            if hasattr(cls, name):
                raise TypeError(
                    f"{cls.__name__} defines {name}, which steps do not call any more: define step, in which the data of "
                    "parameters changes in place"
                )

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], **options: Any) -> None:
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        # What the last step has checked: the options of the groups and what follows from them, and the parameters.
        self._settled: dict[int, tuple[tuple[Any, ...], _steps.Rule]] = {}
        self._known: tuple[Parameter, ...] = ()
        self._defaults = options
        self._check(options)
        given: Any = list(params) if isinstance(params, Iterator) else params
        if isinstance(given, dict) and "params" in given:
            raise TypeError("optimizers take a list of groups, got one group: pass [group]")
        grouped = isinstance(given, (list, tuple)) and given and all(isinstance(group, dict) for group in given)
        for group in given if grouped else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group: a dict of ``"params"`` and options."""
        given: Any = group
        if not isinstance(given, dict) or "params" not in given:
            found = f"a dict of {list(given)}" if isinstance(given, dict) else repr(type(given).__name__)
            raise TypeError(f"a group is a dict of 'params' and options, got {found}")
        unknown = [name for name in group if name != "params" and name not in self._defaults]
        if unknown:
            known = ", ".join(self._defaults)
            raise ValueError(f"{type(self).__name__} has no option {', '.join(map(repr, unknown))}, only {known}")
        options = {**self._defaults, **{name: value for name, value in entries(group) if name != "params"}}
        self._check(options)
        given = group["params"]
        parameters = [given] if isinstance(given, Parameter) else parameter_list("optimizers update", given)
        if not parameters:
            raise ValueError("the optimizer got no parameters; has the model any?")
        _refuse_twice([*self.params, *parameters])
        self.param_groups.append({"params": parameters, **options})

    @property
    def params(self) -> list[Parameter]:
        """The parameters of all groups."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def __getattr__(self, name: str) -> Any:
        """Return an option that is the same in all groups."""
        if name not in self.__dict__.get("_defaults", ()):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value, *others = (group[name] for group in self.param_groups)
        if any(other != value for other in others):
            raise AttributeError(f"the groups differ in {name!r}: use param_groups[i][{name!r}]")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        options = self.__dict__.get("_defaults")
        if options is None or name not in options:
            # A class of a user's own may have attributes of its own.
            own = type(self).__module__ != __name__ or hasattr(type(self), name) or name in self.__dict__
            if options is not None and not own:
                known = ", ".join(options)
                raise AttributeError(f"{type(self).__name__} has no option {name!r} that could be set, only {known}")
            super().__setattr__(name, value)
            return
        for group in self.param_groups:
            self._check({**group, name: value})
        for group in self.param_groups:
            group[name] = value

    def _check(self, options: dict[str, Any]) -> None:
        """Refuse options that are out of range."""

    # --- Steps ----------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients, or set them to zero.

        Not needed after a step, where the next backward replaces them. Needed after a backward that no step follows, as
        through a discriminator for the gradients of its generator: they would be added to the next ones.
        """
        for parameter in self.params:
            parameter.zero_grad(set_to_none)

    def step(self) -> None:
        """Update in place each parameter that is not frozen and has a gradient since the last step.

        All are updated, with their running arrays, or none: a step that ends with an error, also for lack of memory or
        by Ctrl-C, has changed nothing. A step goes after the backward call: between a forward and its backward call it
        would change values that the gradients need, which is an error of the backward call.

        Raises
        ------
        TypeError
            If an option is of another kind, as it may be after a change, or a parameter or its gradient is of another
            type.
        ValueError
            If an option is out of range, a parameter is read-only, or its gradient has another shape.
        """
        _steps.take_step(self)

    def _rule(self, options: dict[str, Any]) -> _steps.Rule:
        """Return what a step does to the parameters of a group with these options."""
        raise NotImplementedError(f"{type(self).__name__} is no optimizer yet: use SGD, Adam or AdamW, or define step")

    def _settle(self, i: int, group: dict[str, Any]) -> _steps.Rule:
        """Check the options of a group and return its rule; the next step asks again if one is another object."""
        values = tuple(group.values())
        missing = [name for name in self._defaults if name not in group]
        if missing:
            raise ValueError(f"group {i} of the optimizer has no option {', '.join(map(repr, missing))}")
        self._check(group)
        # NumPy's scalars, unlike Python's numbers, would have a single-precision step computed in double.
        options = {name: value.item() if isinstance(value, _NUMPY) else value for name, value in entries(group)}
        rule = self._rule(options)
        if all(isinstance(value, _CONSTANTS) for name, value in entries(group) if name != "params"):
            self._settled[i] = values, rule
        return rule

    def _check_parameters(self, parameters: list[Parameter]) -> None:
        """Refuse what is no parameter, or is there twice: the lists of the groups may have been changed by hand."""
        for i, parameter in enumerate(parameters):
            if not isinstance(parameter, Parameter):
                raise TypeError(f"parameter {i} of the optimizer is no Parameter, but {type(parameter).__name__!r}")
        _refuse_twice(parameters)
        self._known = tuple(parameters)

    def _refuse_update(self, i: int, parameter: Parameter) -> None:
        """Say why a parameter cannot be updated."""
        data, grad = parameter.data, parameter._grad
        assert grad is not None
        if data.itemsize == 2:
            parameter.refuse_training()
        if grad.dtype != data.dtype:
            raise TypeError(f"parameter {i} of the optimizer is {data.dtype}, but its gradient {grad.dtype}")
        if grad.shape != data.shape:
            raise ValueError(f"parameter {i} of the optimizer is {data.shape}, but its gradient {grad.shape}")
        if not data.flags.writeable:
            raise ValueError(f"parameter {i} of the optimizer, of shape {data.shape}, is read-only")
        raise TypeError(f"parameter {i} of the optimizer must be float32 or float64, not {data.dtype}")

    # --- State ----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without what the last step has checked."""
        return {name: value for name, value in entries(vars(self)) if name not in {"_settled", "_known"}}

    def __setstate__(self, state: Any) -> None:
        """Set the attributes of a copy or an unpickled optimizer, or refuse what was not its state."""
        kind, needed = type(self).__name__, ("param_groups", "state", "_defaults")
        if not isinstance(state, dict) or not set(needed) <= set(state):
            raise TypeError(f"the state of an optimizer {kind} is a dict with {', '.join(needed)}, got {state!r}")
        groups, kept, defaults = (state[name] for name in needed)
        try:
            if not isinstance(groups, list) or not isinstance(kept, dict) or not isinstance(defaults, dict):
                raise TypeError(f"{', '.join(needed)} must be a list and two dicts")
            for group in groups:
                if not isinstance(group, dict) or set(group) != {"params", *defaults}:
                    raise ValueError(f"a group is a dict of params, {', '.join(defaults)}, got {group!r}")
                parameter_list("optimizers update", group["params"])
                self._check(group)
            parameters = [parameter for group in groups for parameter in group["params"]]
            found = {p: self._loaded(i, p, kept[p]) for i, p in enumerate(parameters) if p in kept}
            self._check(defaults)
            if len(set(parameters)) != len(parameters) or set(kept) - set(parameters):
                raise ValueError("parameters come twice, or running arrays belong to none")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            words = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"the state of an optimizer {kind} is damaged, or of another class: {words}") from None
        vars(self).update({**state, "state": found, "_settled": {}, "_known": ()})

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the running arrays and the options; parameters are numbered in the order of the groups.

        With the state of the model it resumes training where it stopped, to the bit.
        """
        numbers = {parameter: i for i, parameter in enumerate(self.params)}
        return {
            "state": {numbers[p]: copy.deepcopy(self.state[p]) for p in self.params if self.state.get(p)},
            "param_groups": [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state_dict: Any) -> None:
        """Set running arrays and options from the result of `state_dict`, or raise an error and change nothing.

        Raises
        ------
        TypeError
            If an entry is of another kind.
        ValueError
            If the state has other groups, options, parameters, entries or shapes than this optimizer.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise TypeError(
                f"load_state_dict takes what state_dict returns, with state and param_groups, got {state_dict!r}"
            )
        groups, parameters = state_dict["param_groups"], self.params
        sizes, own = ([len(group["params"]) for group in each] for each in (groups, self.param_groups))
        if sizes != own:
            raise ValueError(f"the optimizer has groups of {own} parameters, the state of {sizes}")
        for group in groups:
            if set(group) != {"params", *self._defaults}:
                raise ValueError(
                    f"{type(self).__name__} has the options {', '.join(self._defaults)}, the state "
                    f"{', '.join(name for name in group if name != 'params')}"
                )
            self._check(group)
        order = [number for group in groups for number in group["params"]]
        unknown = [number for number in state_dict["state"] if number not in order]
        if unknown:
            raise ValueError(f"the state has entries of parameter {unknown[0]!r}, which is in none of its groups")
        state = {
            p: self._loaded(i, p, state_dict["state"].get(number, {}))
            for i, (number, p) in enumerate(zip(order, parameters, strict=True))
        }
        self.state = state
        for group, given in zip(self.param_groups, groups, strict=True):
            group.update({name: given[name] for name in self._defaults})

    def _loaded(self, i: int, parameter: Parameter, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the entries of a parameter's state, or refuse them."""
        found = {name: copy.deepcopy(value) for name, value in entries(given) if value is not None}
        if not set(found) <= {*self._needed, *self._optional} or (found and not set(self._needed) <= set(found)):
            raise ValueError(
                f"{type(self).__name__} keeps {', '.join((*self._needed, *self._optional))} of a parameter, the state of "
                f"parameter {i} has {', '.join(map(str, found))}"
            )
        for name, value in entries(found):
            if name == "step":
                found[name] = int(at_least("step", value, 1))  # np.savez makes an array of it
            elif not isinstance(value, np.ndarray) or value.dtype.kind != "f":
                raise TypeError(f"{name} of parameter {i} must be an array of floating-point numbers, got {value!r}")
            elif value.shape != parameter.shape:
                raise ValueError(f"parameter {i} is {parameter.shape}, but its {name} in the state {value.shape}")
        return found


def _refuse_twice(parameters: list[Parameter]) -> None:
    """Refuse a parameter that is there twice."""
    positions: dict[Parameter, int] = {}
    for i, parameter in enumerate(parameters):
        before = positions.setdefault(parameter, i)
        if before != i:
            raise ValueError(
                f"parameters {before} and {i} of the optimizer are the same, which a step would update twice: pass "
                "each parameter once, as model.parameters() does"
            )


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov momentum and weight decay.

    Options may change between steps and differ between groups: see :class:`Optimizer`.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        The parameters to update, such as ``model.parameters()``, or groups.
    lr : float, default 1e-3
        Learning rate; at least 0.
    momentum : float, default 0.0
        Factor of the last update in the next one; at least 0.
    dampening : float, default 0.0
        The gradient's factor in the momentum is ``1 - dampening``.
    weight_decay : float, default 0.0
        Factor of the parameter that is added to its gradient; at least 0.
    nesterov : bool, default False
        Whether to use Nesterov momentum.

    Raises
    ------
    ValueError
        If a number is out of range, or for `nesterov` without momentum or with dampening.

    Notes
    -----
    Where gradients stay 0, as those of dead units do, the running array shrinks to subnormal numbers and remains there,
    in PyTorch too: with a momentum of 0.9 after some 900 steps. Intel's processors are slow on them. Zeros end that:
    ``optimizer.state[parameter]["momentum_buffer"][...] = 0``.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013; the update is
    PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> model = nn.Sequential(nn.Linear(784, 256, rng=0), nn.ReLU(), nn.Linear(256, 10, rng=1))
    >>> criterion, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)
    >>> rng = np.random.default_rng(2)
    >>> x, y = rng.standard_normal((32, 784), np.float32), rng.integers(0, 10, 32)
    >>> losses = []
    >>> for _ in range(20):
    ...     losses.append(float(criterion(model(x), y)))
    ...     model.backward(criterion.backward())
    ...     optimizer.step()
    >>> losses[-1] < losses[0]
    True
    """

    _optional = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def _check(self, options: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            at_least(name, options[name])
        if math.isnan(real_number("dampening", options["dampening"])):
            raise ValueError("dampening must be a number, got nan")
        check_flag("nesterov", options["nesterov"])
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("nesterov needs momentum above 0 and no dampening")

    def _rule(self, options: dict[str, Any]) -> _steps.Rule:
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        return _steps.Descent(*(options[name] for name in names))


class Adam(Optimizer):
    """Adam: updates scaled by running means of the gradient and of its square.

    Options may change between steps and differ between groups: see :class:`Optimizer`.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        The parameters to update, such as ``model.parameters()``, or groups.
    lr : float, default 1e-3
        Learning rate; at least 0.
    betas : tuple of float, default (0.9, 0.999)
        Decay factors of the running means of the gradient and of its square; each in ``[0, 1)``.
    eps : float, default 1e-8
        Added to the root of the mean square; at least 0.
    weight_decay : float, default 0.0
        Factor of the parameter that is added to its gradient; at least 0.
    amsgrad : bool, default False
        Whether to use the largest mean square so far instead of the present one.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; the update is PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> p = nn.Parameter(np.zeros(2, np.float32))
    >>> optimizer = optim.Adam([p], lr=0.1)
    >>> p.grad = np.float32([1.0, -5.0])
    >>> optimizer.step()
    >>> p.data.round(4)
    array([-0.1,  0.1], dtype=float32)
    """

    _decoupled: ClassVar[bool] = False
    _needed = ("step", "exp_avg", "exp_avg_root")
    _optional = ("max_exp_avg_root",)

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def _check(self, options: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            at_least(name, options[name])
        check_flag("amsgrad", options["amsgrad"])
        betas = options["betas"]
        try:
            if not isinstance(betas, (tuple, list)) or len(betas) != 2:
                raise TypeError
            first, second = (real_number("each of betas", beta) for beta in betas)
        except TypeError:
            raise TypeError(f"betas must be a pair of numbers, got {betas!r}") from None
        if not (0 <= first < 1 and 0 <= second < 1):
            raise ValueError(f"betas must be in [0, 1), got {betas!r}")

    def _rule(self, options: dict[str, Any]) -> _steps.Rule:
        first, second = options["betas"]
        lr, eps, decay = options["lr"], options["eps"], options["weight_decay"]
        return _steps.Moments(lr, first, second, eps, decay, self._decoupled, options["amsgrad"])


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameter is multiplied by ``1 - lr * weight_decay`` before the update.

    The parameters are those of :class:`Adam`; `weight_decay` is 0.01 by default.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019; the update is PyTorch's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu import nn, optim
    >>> p = nn.Parameter(np.ones(2, np.float32))
    >>> optimizer = optim.AdamW([p], lr=0.1, weight_decay=0.5)
    >>> p.grad = np.float32([0.0, 1.0])
    >>> optimizer.step()
    >>> p.data.round(4)
    array([0.95, 0.85], dtype=float32)
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
