from typing import Any

from fastrelu._row_kernels import RowKernels

def cross_entropy(
    kernels: RowKernels,
    logits: object,
    labels: object,
    axis: object,
    weight: object,
    ignore_index: object,
    label_smoothing: object,
    reduction: str,
    with_grad: bool,
    out: object,
) -> Any: ...
