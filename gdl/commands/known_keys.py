"""Keys that a command does not use are refused, however they are written."""

import difflib
import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from gdl.commands.help import groups, own_keys, own_options
from gdl.commands.overrides import FOLDER_FLAGS, READERS
from gdl.commands.unknown_names import unknown_key
from gdl.errors import GdlError

__all__ = ["READERS", "check_arguments", "check_functions"]

CODERS = ("compress", "decompress", "explore", "export")
"""Commands that read a run and call no functions that have keys."""

GIVEN = {
    "evaluate": ("model", "data", "limit", "host", "images", "train"),
    "sample": ("model", "x", "host"),
}
"""What each passes to these functions itself."""


def check_arguments(args: list[str], command: str) -> None:
    """Check that a command that reads a run uses each of its arguments.

    What Hydra adds with "+" and "++" would be ignored, and what it takes out with "~" be missed.

    Raises:
        GdlError: It does not; the message names the nearest key.
    """
    if command not in READERS and command not in CODERS:
        return
    for before, arg in pairwise(["", *args]):
        key, equals, _ = arg.partition("=")
        is_override = equals or key.startswith("~")
        if arg.startswith("-") or before in FOLDER_FLAGS or not is_override:
            continue
        name = key.lstrip("+~")
        if not _is_known(name, command):
            raise GdlError(_elsewhere(name, command, arg) or _unknown(name, command))
        if key.startswith("~") and "." not in name and not name.startswith("hydra"):
            raise GdlError(f"gdl {command} needs {name}: leave out {arg}.")


def _is_known(name: str, command: str) -> bool:
    """Return whether a command has a key; a function's own keys are looked at later."""
    group = READERS.get(command)
    choice, at, package = name.partition("@")
    if _root(name) == "hydra":
        return True
    if at:
        return choice in (group, "corruption") and _root(package) == group
    if name in own_keys(command):
        return True
    return group is not None and (name == group or name.startswith(f"{group}."))


def _roots(command: str) -> list[str]:
    """Return the first names of a command's keys."""
    return [*dict.fromkeys([*own_keys(command), *filter(None, [READERS.get(command)])])]


def _root(name: str) -> str:
    return re.split(r"[./@]", name)[0]


def _unknown(name: str, command: str) -> str:
    text = unknown_key(name, command)
    known = ", ".join(_roots(command))
    return text if "did you mean" in text else f"{text} The keys of gdl {command} are {known}."


def _elsewhere(name: str, command: str, arg: str) -> str | None:
    """Say whose key it is, if another command knows it."""
    root = _root(name)
    if root == "data" and command == "sample":
        return (
            "A run is sampled with the data that it was trained on; other data are not possible yet: "
            f"leave out {arg}."
        )
    if root in _roots(command):
        return None
    if root in [*own_keys("train"), *groups("train", [])]:
        return (
            f"{root} belongs to gdl train; the checkpoint says with which one the run was trained, and "
            f"gdl {command} takes that: leave out {arg}."
        )
    for other in (*READERS, *CODERS):
        if root in _roots(other):
            return (
                f"{root} belongs to gdl {other}, gdl {command} has no use for it: leave out {arg}."
            )
    return None


def check_functions(cfg: DictConfig, command: str) -> None:
    """Check that the functions that a command calls know each key of their configuration.

    Raises:
        GdlError: One does not; the message names the nearest key.
    """
    if command not in READERS:
        return
    group = READERS[command]
    content: Any = OmegaConf.to_container(cfg[group], resolve=False)
    for message in _unused(content, group, command, own_options(command, group)):
        raise GdlError(message)


def _unused(node: Any, path: str, command: str, of_command: Sequence[str] = ()) -> Iterator[str]:
    if not isinstance(node, dict) or "_target_" not in node:
        yield f"{path} is no {READERS[command]}: name a file of conf/{READERS[command]}/."
        return
    given = GIVEN[command]
    parameters = inspect.signature(get_method(node["_target_"])).parameters
    more = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        own = f"{path}.{key}"
        if key in of_command or (key.startswith("_") and key.endswith("_")):
            continue
        if key in given:
            use = f": use {key}=." if key == "limit" else ": leave it out."
            yield f"{own} comes from gdl {command} itself{use}"
        elif isinstance(value, dict) and "_target_" not in value:  # functions by name
            for name, part in value.items():
                yield from _unused(part, f"{own}.{name}", command)
        elif key not in parameters and more:
            yield from _unused(value, own, command)
        elif key not in parameters:
            options = [*(p for p in parameters if p not in given), *of_command]
            near = difflib.get_close_matches(key, options, 1, 0.6)
            hint = f"did you mean {path}.{near[0]}?" if near else f"it has {', '.join(options)}."
            yield f"There is no configuration key {own!r}: {hint}"
