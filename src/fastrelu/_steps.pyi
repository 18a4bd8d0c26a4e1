from typing import Any

from numpy.typing import NDArray

updates: list[int]

def new_update() -> int: ...
def finish_step(
    changes: list[tuple[NDArray[Any], float, NDArray[Any], NDArray[Any] | None, float]],
    state: dict[Any, dict[str, Any]],
    running: dict[Any, dict[str, Any]],
    parameters: list[Any],
    updated: list[Any],
    slots: tuple[Any, Any],
) -> None: ...
