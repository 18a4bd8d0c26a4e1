from typing import Any, final

from typing_extensions import disjoint_base

updates: list[int]

@disjoint_base
class Rule: ...

@final
class Descent(Rule):
    def __init__(self, lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool) -> None: ...

@final
class Moments(Rule):
    def __init__(
        self, lr: float, first: float, second: float, eps: float, weight_decay: float, decoupled: bool, amsgrad: bool
    ) -> None: ...

def new_update() -> int: ...
def use_slots(parameter: type) -> None: ...
def take_step(optimizer: Any) -> None: ...
