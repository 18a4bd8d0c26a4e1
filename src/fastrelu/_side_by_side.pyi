from typing import Any

from fastrelu._kernels import Kernel

def parts(whole: Any, axis: int, at: int) -> tuple[Any, Any]: ...
def call_side_by_side(
    name: str, first: Kernel, second: Kernel, params: tuple[float, ...], x: object, axis: int, out: object
) -> Any: ...
