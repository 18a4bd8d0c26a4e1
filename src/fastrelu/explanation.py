"""`explain`: which code a call would run, and why no faster one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from fastrelu import _core, _row_kernels, _rows, activations, along_axis, gated_units, runtime

__all__ = ["Explanation", "explain"]


class Explanation(NamedTuple):
    """The plan of a call, as :func:`explain` returns it.

    Attributes
    ----------
    function : str
        The public function.
    kernel : str
        The name of the kernel and of its ufuncs, which differs from `function` if several functions share a kernel
        (``prelu`` and ``rrelu`` use ``leaky_relu``).
    dtype : str
        The type that the kernel computes in: ``"float32"`` or ``"float64"``.
    precision : str
        ``"fast"`` or ``"accurate"``.
    isa : str
        Instruction set of the kernel.
    door : str
        The way into the kernels: ``"fast path"`` (dense arrays of one layout, numbers as parameters), ``"N-d driver"``
        (plain arrays of any strides, shapes and number types, masks) or ``"ufunc"`` (NumPy runs it: subclasses, scalars,
        other types).
    why_not_fast, why_not_driver : str
        Why a faster door cannot be taken; empty if it can, or was not tried.
    threads : int
        Number of threads.
    why_threads : str
        The reason for this number.
    output : str
        ``"given"``; ``"given, through a copy, ..."``; ``"recycled"``, the memory of a freed result; ``"new, will be
        recycled"``; or ``"new"``, from NumPy.
    streamed : bool
        Whether the result is stored past the cache.
    loads, stores : str
        How operands and the result are converted, in blocks or registers: ``"x: int32 to float64"``, ``"byte order"``,
        ``"masked"``; empty if they are not. In a fused pass, the array that is added or multiplied: ``"x + an array"``. In
        softmax, its options: ``"x * scale, softcap, + bias, a sink"``.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> found = fr.explain(fr.prelu, np.ones((8, 3)), np.ones(8), axis=0)
    >>> found.function, found.kernel, found.threads
    ('prelu', 'leaky_relu', 1)
    """

    function: str
    kernel: str
    dtype: str
    precision: str
    isa: str
    door: str
    why_not_fast: str
    why_not_driver: str
    threads: int
    why_threads: str
    output: str
    streamed: bool
    loads: str
    stores: str

    def __str__(self) -> str:
        """Return one line for each field that is not empty."""
        lines = zip(self._fields, self, strict=True)
        return "\n".join(f"{name.replace('_', ' '):<14} {value}" for name, value in lines if value != "")


def _foresee_rows(name: str, base: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a call of one of the functions that normalize rows would do."""
    x, second = arguments.get("x"), None
    out, load = arguments.get("out"), None
    if "y" in arguments:
        x, second = arguments["grad"], arguments["y"]
    if name.endswith("_"):
        x = out = _core.target_in_place(name, x)
    if "sink" in arguments:
        scale, bias, softcap, sink = (arguments[option] for option in ("scale", "bias", "softcap", "sink"))
        load = _row_kernels.Load(base, scale, bias, runtime.kernels["softcap"], softcap, sink)
    where, kind = arguments.get("where", True), _row_kernels.names.index(base)
    return _rows.foresee(runtime.rows, kind, second is not None, x, second, arguments["axis"], out, where, load)


def explain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation:
    """Tell which code a call would run in the current context, and why no faster one.

    The call makes its decisions as usual and stops before it computes: nothing is written, drawn or kept. The actual
    call may decide otherwise if another thread uses the team or takes memory from the pool first.

    Parameters
    ----------
    function : callable
        A function of this package: ``fr.gelu``, ``fr.gelu_``, ``fr.gelu_backward``, ...
    *args, **kwargs
        Its arguments.

    Returns
    -------
    Explanation
        Fields to read; ``print`` shows them. ``crelu`` and its gradients make two calls; the first is explained.

    Raises
    ------
    TypeError, ValueError
        If `function` is not one of these (``_backward_parameters`` are not), and any error of the call itself for these
        arguments. The code of an operand with ``__array_ufunc__`` is not run.

    Examples
    --------
    >>> import numpy as np, fastrelu as fr
    >>> x = np.ones((100, 100), np.float32)
    >>> fr.explain(fr.relu, x).door
    'fast path'
    >>> fr.explain(fr.relu, x[:, ::2]).why_not_fast
    'x is not contiguous'
    >>> print(fr.explain(fr.gelu, x[:10, ::2].astype("i2"), approximate="tanh"))  # doctest: +ELLIPSIS
    function       gelu
    kernel         gelu_tanh
    dtype          float32
    precision      fast
    isa            ...
    door           N-d driver
    why not fast   x is int16
    threads        1
    why threads    fewer than ...
    output         new
    streamed       False
    loads          x: int16 to float32
    """
    name = getattr(function, "__name__", "")
    if getattr(along_axis, name, None) is function and name in along_axis.__all__:
        base = name.removesuffix("_backward_from_output").removesuffix("_")
        if base in _row_kernels.names:
            try:
                bound = inspect.signature(function).bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}() {error}") from None
            bound.apply_defaults()
            found = _foresee_rows(name, base, bound.arguments)
            return Explanation(function=name, isa=runtime.isa, **found)
    homes = (activations, gated_units, sys.modules.get("fastrelu.fused"))
    if not any(home and name in home.__all__ and getattr(home, name) is function for home in homes):
        raise TypeError(f"explain takes an activation function of fastrelu, such as fr.gelu, not {function!r}")
    if name.endswith("_backward_parameters") or name.startswith("bias_act_backward"):
        raise TypeError(f"explain takes functions of one result per element; {name} also sums")
    token = _core.explained_context.set(True)
    _core.explain_calls(1)
    try:
        function(*args, **kwargs)
    except _core.Explained as ended:
        decision = ended.args[0]
    finally:
        _core.explain_calls(-1)
        _core.explained_context.reset(token)
    return Explanation(function=name, isa=runtime.isa, **decision)
