"""The one case of the tests: a kernel, by all the ways in which it can be called."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from inputs import values
from specs import FORWARD, SPECS, Spec

import fastrelu as fr
from fastrelu import _core, _kernels, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from specs import Array, Params, Precision


@functools.cache
def kernels(isa: str) -> dict[str, _kernels.Kernel]:
    """Return the kernels of one instruction set; ufuncs point into them, so they live for good."""
    return _kernels.load_kernels(isa)


@dataclass(frozen=True)
class Case:
    """One kernel: a row of the table of activations, in one direction."""

    spec: Spec
    direction: int

    @property
    def name(self) -> str:
        """The name of the kernel and of its ufuncs."""
        return self.spec.kernel(self.direction)

    @property
    def public_name(self) -> str:
        """The name of the public function, by which messages call it."""
        return self.spec.public_name(self.direction)

    @property
    def ndata(self) -> int:
        """The number of arrays that come before the parameters."""
        return 1 if self.direction == FORWARD else 2

    @property
    def grid(self) -> tuple[Params, ...]:
        """All tuples of parameters in the table that lie in this kernel's domain."""
        return self.spec.grid(self.direction)

    @property
    def params(self) -> Params:
        """The typical parameters."""
        return self.grid[0]

    @property
    def function(self) -> Callable[..., Any]:
        """The public function."""
        return self.spec.function(self.direction)

    @property
    def ufunc(self) -> np.ufunc:
        """The ufunc of the precision in force."""
        return self.ufunc_of(fr.get_precision())

    def ufunc_of(self, precision: Precision, isa: str = "") -> np.ufunc:
        """Return the ufunc of a precision, of the instruction set in use or of another one."""
        found: np.ufunc = getattr((kernels(isa) if isa else runtime.kernels)[self.name], precision)
        return found

    def __str__(self) -> str:
        """Return the name, as pytest shows it."""
        return self.name

    def __call__(self, *inputs: Any, out: Any = None, where: Any = True) -> Any:
        """Call the public function, with the typical parameters unless `inputs` holds some."""
        params = self.params if len(inputs) == self.ndata else ()
        return self.function(*inputs, *params, out=out, where=where)

    def explain(self, *inputs: Any, out: Any = None, where: Any = True) -> fr.Explanation:
        """Return what such a call would do."""
        function: Any = self.function
        params = self.params if len(inputs) == self.ndata else ()
        return fr.explain(function.func, *inputs, *params, out=out, where=where, **function.keywords)

    def on(self, isa: str, precision: Precision, *inputs: Any, out: Any = None, where: Any = True) -> Any:
        """Call the kernel of any instruction set as the public function calls its own; all parameters are given."""
        with fr.precision(precision):
            return _core.call(kernels(isa)[self.name], out, where, *inputs)

    def in_place(self, x: Any, *params: Any, where: Any = True) -> Any:
        """Call the public function with the trailing underscore."""
        return self.spec.in_place()(x, *(params or self.params), where=where)

    def data(self, n: int, dtype: Any) -> list[Array]:
        """`n` elements for each array that comes before the parameters."""
        return [values(n, dtype, seed) for seed in range(self.ndata)]


CASES = [Case(spec, direction) for spec in SPECS.values() for direction in spec.directions]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
FORWARD_CASES = [case for case in CASES if case.direction == FORWARD]
BACKWARD_CASES = [case for case in CASES if case.direction != FORWARD]
PARAMETRIC_CASES = [case for case in CASES if case.params]
# What becomes of arguments depends on the numbers of operands alone: one kernel of each sort, and every ninth.
_SORTS = {(case.direction, len(case.params)): case.name for case in reversed(CASES)}
SOME_CASES = [case for i, case in enumerate(CASES) if i % 9 == 0 or case.name in _SORTS.values()]
TWO_INPUT_CASES = [case for case in CASES if case.ufunc.nin == 2]


def over(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrize `case` over these instead of all."""
    return pytest.mark.parametrize("case", cases, ids=str)


each_forward_case = over(FORWARD_CASES)
each_backward_case = over(BACKWARD_CASES)
each_of_some = over(SOME_CASES)
each_forward_of_some = over([case for case in SOME_CASES if case.ndata == 1])
each_parametric_case = over(PARAMETRIC_CASES)
