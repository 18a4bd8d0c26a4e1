"""Modules that are imported when they are first used."""

from importlib import import_module
from types import ModuleType
from typing import Any


class Later(ModuleType):
    """Stands for a module in the package until something in it is asked for; import then puts the module in its place.

    A ``__getattr__`` of the package would do the same, but CPython does not specialize the attributes of a module that
    has one: every ``fastrelu.relu`` would take 300 instructions more.
    """

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute of the module, importing it first."""
        return getattr(_module(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the module."""
        setattr(_module(self), name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute of the module."""
        delattr(_module(self), name)

    def __repr__(self) -> str:
        """Return what the module returns."""
        return repr(_module(self))


def _module(stand_in: Later) -> ModuleType:
    own = object.__getattribute__(stand_in, "__dict__")
    if "module" not in own:
        own["module"] = import_module(own["__name__"])
    module: ModuleType = own["module"]
    return module
