from typing import Any, final

import numpy as np

names: tuple[str, ...]

@final
class RowUfunc:
    name: str
    operands: tuple[str, ...]
    fast: np.ufunc
    accurate: np.ufunc
    def __init__(self, /, *args: Any, **kwargs: Any) -> None: ...

@final
class RowKernels:
    ufuncs: dict[str, RowUfunc]
    def __init__(self, isa: str) -> None: ...

@final
class Load:
    def __init__(
        self, name: str, scale: object, bias: object, capper: object, softcap: object, sink: object
    ) -> None: ...
    def choose(self, name: str, dtype: int) -> int: ...

def suit_cache(bytes_held: int) -> None: ...
