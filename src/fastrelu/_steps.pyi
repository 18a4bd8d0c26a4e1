from typing import Any

from numpy.typing import NDArray

def finish_step(
    changes: list[tuple[NDArray[Any], float, NDArray[Any], NDArray[Any] | None, float]],
    state: dict[Any, dict[str, Any]],
    running: dict[Any, dict[str, Any]],
    parameters: list[Any],
) -> None: ...
