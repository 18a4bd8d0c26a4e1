from typing import Any

from fastrelu._row_kernels import RowKernels

def logsumexp(
    kernels: RowKernels, x: object, axis: object, out: object, where: object, keepdims: bool, mean: bool
) -> Any: ...
def logsumexp_backward(
    kernels: RowKernels,
    name: str,
    grad: object,
    x: object,
    axis: object,
    out: object,
    where: object,
    keepdims: bool,
) -> Any: ...
