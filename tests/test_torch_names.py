"""Names and arguments of PyTorch's layers, initializers and optimizers are here, or listed with the reason why not."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastrelu import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch, the CPU build suffices")

REASONS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("torch_names.toml").read_text("utf-8"))
OURS = {"nn": nn, "init": nn.init, "utils": nn.utils, "optim": optim}
PEERS = {"nn": torch.nn, "init": torch.nn.init, "utils": torch.nn.utils, "optim": torch.optim}


def public(space: str) -> Iterator[tuple[str, Any]]:
    """Yield the classes of `nn` and `optim` in PyTorch, and the functions of `init` and `utils`."""
    wanted: Callable[[Any], bool] = inspect.isclass if space in {"nn", "optim"} else inspect.isfunction
    for name, value in inspect.getmembers(PEERS[space], wanted):
        alias = hasattr(PEERS[space], f"{name}_")  # without the underscore: deprecated
        if not name.startswith("_") and not alias:
            yield name, value


def module_of(value: Any) -> str:
    """Return the module of torch.nn in which a class is defined."""
    return str(value.__module__).removeprefix("torch.nn.").removeprefix("modules.")


@pytest.mark.parametrize("space", OURS)
def test_every_name_is_here_or_has_a_reason(space: str) -> None:
    """A new name in PyTorch fails here, and so does an entry for a name that has come."""
    names = dict(public(space))
    here = {name for name in names if hasattr(OURS[space], name)}
    listed = set(REASONS[space])
    if space == "nn":
        listed |= {name for name, value in names.items() if module_of(value) in REASONS["modules"]}
    assert not set(names) - here - listed, "neither here nor in torch_names.toml"
    assert not {name for name in listed if hasattr(OURS[space], name)}, "here, and listed as missing"


def test_reasons_are_sentences() -> None:
    """A reason is a sentence that users can read."""
    for section in REASONS.values():
        for name, reason in section.items():
            assert len(reason) > 15, name
            assert reason.endswith("."), name


def arguments(function: Any) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a function or constructor."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


SHARED = [
    pytest.param(name, getattr(OURS[space], name), peer, id=f"{space}.{name}")
    for space in OURS
    for name, peer in public(space)
    if hasattr(OURS[space], name) and name not in {"Module", "Optimizer", "Parameter"}
]


@pytest.mark.parametrize(("name", "ours", "peer"), SHARED)
def test_every_argument_is_here_or_has_a_reason(name: str, ours: Any, peer: Any) -> None:
    """Arguments have PyTorch's names, positions and defaults."""
    theirs, own = arguments(peer), arguments(ours)
    entries = {key: f"*.{key}" if f"*.{key}" in REASONS["arguments"] else f"{name}.{key}" for key in theirs}
    listed = {key for key, entry in entries.items() if entry in REASONS["arguments"]}
    by_position = [key for key, p in theirs.items() if p.kind is p.POSITIONAL_OR_KEYWORD and key not in listed]
    assert [key for key, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD][: len(by_position)] == by_position
    for key, parameter in theirs.items():
        if key not in listed:
            assert key in own
            assert own[key].default == parameter.default, key
        elif f"{name}.{key}" in REASONS["arguments"] and key in own:
            assert own[key].kind is inspect.Parameter.KEYWORD_ONLY or own[key].default != parameter.default, (
                "no entry needed"
            )


def test_arguments_that_are_listed_exist() -> None:
    """An entry names something that is here."""
    names = {parameter.values[0] for parameter in SHARED}
    assert {entry.split(".")[0] for entry in REASONS["arguments"]} <= {"*", *names}
