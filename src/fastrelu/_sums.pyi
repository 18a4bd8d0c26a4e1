from typing import Any, final

from fastrelu._kernels import Kernel

@final
class Learned:
    name: str
    backward: Kernel
    @property
    def parameters(self) -> tuple[str, ...]: ...

def load(isa: str, kernels: dict[str, Kernel]) -> dict[str, Learned]: ...
def renamed(learned: Learned, name: str, backward: Kernel) -> Learned: ...
def call(
    learned: Learned,
    out: object,
    grad: object,
    x: object,
    a: object,
    b: object = None,
    c: object = None,
    d: object = None,
) -> tuple[Any, ...]: ...
def call_biased(
    kernel: Kernel,
    isa: str,
    numbers: tuple[Any, ...],
    out: object,
    grad: object,
    x: object,
    bias: object,
    residual: object,
    added: bool = True,
    exact: bool = False,
) -> tuple[Any, Any] | None: ...
def small_biased(
    kernel: Kernel,
    isa: str,
    numbers: tuple[Any, ...],
    out: object,
    grad: object,
    x: object,
    bias: object,
    residual: object,
    axis: object,
    added: bool = True,
) -> tuple[Any, Any] | None: ...
