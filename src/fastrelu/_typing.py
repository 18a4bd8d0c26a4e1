"""Types of the arguments that all functions share."""

from types import EllipsisType
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray


class SupportsBuffer(Protocol):
    """A buffer such as ``array.array`` or ``memoryview``."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class SupportsDLPack(Protocol):
    """An array of another library, such as a PyTorch tensor."""

    def __dlpack__(self, **kwargs: Any) -> Any: ...


Output: TypeAlias = NDArray[Any] | SupportsBuffer | SupportsDLPack | tuple[NDArray[Any]] | EllipsisType | None
