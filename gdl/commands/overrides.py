"""The arguments of a command, before Hydra reads them."""

import os
import re
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from gdl.commands.conf import CONF
from gdl.commands.quoting import TEXTS, found, quoted, unquoted
from gdl.errors import GdlError

__all__ = [
    "MOUNTED",
    "READERS",
    "checked_choice",
    "checked_flags",
    "key_parts",
    "mounted",
    "with_files",
    "with_filters",
    "with_run_dir",
    "with_serve",
    "with_value",
]


MOUNTED = ("network", "likelihood", "optimizer", "scheduler", "corruption")
"""Groups that a model file mounts in itself; the command line may leave out @model.<group>."""

READERS = {"evaluate": "measure", "sample": "task"}
"""Commands that read a run, and the group of functions that each calls on it."""

RESTORATION = "restoration"
"""The measure that has corruptions."""


FOLDER_FLAGS = ("--config-dir", "-cd")
"""Flags of a folder of configurations of one's own; it may follow as an argument of its own."""


VALUE_FLAGS = (
    *FOLDER_FLAGS,
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--experimental-rerun", "--info", "-i"),
)
"""Flags of Hydra whose value may follow as an argument of its own."""


def with_filters(args: list[str], config_name: str) -> list[str]:
    """Turn folders into `folders=[...]`, and keys that the file in conf/ lacks into `where=[...]`.

    A folder may have "=" in its name: what exists, and has a separator, is a folder.
    """
    keys = [*map(str, OmegaConf.load(CONF / f"{config_name}.yaml")), "hydra"]
    out: dict[str, list[str]] = {"folders": [], "where": []}
    own, before = [], ""
    for arg in args:
        key, equals, _ = arg.partition("=")
        flag, before = before in FOLDER_FLAGS, arg
        if flag or arg.startswith("-") or (equals and key.partition(".")[0] in keys):
            own.append(arg)
        elif _is_path(arg):
            out["folders"].append(quoted(found(arg) or arg))
        else:
            out["where"].append(quoted(arg))
    return [*own, *(f"{name}=[{','.join(values)}]" for name, values in out.items() if values)]


def with_files(args: list[str], config_name: str) -> list[str]:
    """Turn paths into `files=[...]`: arguments without a key, and what exists whatever its name.

    A key that the file in conf/ lacks stays as it is, and is refused later.
    """
    keys = [*map(str, OmegaConf.load(CONF / f"{config_name}.yaml")), "hydra"]
    own, files, before = [], [], ""
    for arg in args:
        key, equals, value = arg.partition("=")
        flag, before = before in FOLDER_FLAGS, arg
        if flag or arg.startswith("-") or (equals and key.partition(".")[0] in keys):
            own.append(arg)
        elif equals and key == "data" and "split" in keys:
            own.append(f"split={value}")
        elif _is_path(arg) or found(arg) is not None:
            files.append(quoted(found(arg) or arg))
        else:
            own.append(arg)
    return [*own, f"files=[{','.join(files)}]"] if files else own


def _is_path(arg: str) -> bool:
    """Return whether an argument is a path and not a filter, KEY=VALUE."""
    starts = ("/", "./", "../", "~", ".\\", "..\\")
    separated = any(s in arg for s in (os.sep, "/", "\\"))
    return "=" not in arg or arg.startswith(starts) or (separated and found(arg) is not None)


def with_value(arg: str) -> str:
    """Refuse key= without a value: an empty path is the root of the disk, or this folder."""
    key, equals, value = arg.partition("=")
    text = unquoted(value)  # a text of blanks is one
    if equals and not (text if key.lstrip("+") in TEXTS else text.strip()):
        raise GdlError(f"{key}= has no value: give it one, or leave it out.")
    return arg


def checked_flags(args: list[str]) -> list[str]:
    """Move flags to the front, as Hydra's parser does not find one between overrides.

    Raises:
        GdlError: There is no such flag, or it has no value.
    """

    def refuse(message: str) -> NoReturn:
        raise GdlError(f"{message}; `gdl COMMAND --help` lists what a command takes.")

    flags, others, left = [], [], iter(args)
    for arg in left:
        (flags if arg.startswith("-") else others).append(arg)
        if arg in VALUE_FLAGS:
            flags += [next(left, "")]
    parser = get_args_parser()
    parser.error = refuse
    parser.parse_args([*flags, *others])
    return [*flags, *others]


def mounted(args: list[str], command: str = "train") -> list[str]:
    """Turn network=conv into network@model.network=conv, Hydra's name of a nested group.

    Of a command that reads a run, corruption=NAME is that of the task or measure; beside other
    measures, that of measure=restoration.
    """
    return [_mounted(arg, args, command) for arg in args]


def _mounted(arg: str, args: list[str], command: str) -> str:
    group, equals, name = arg.partition("=")
    if not equals or group not in MOUNTED:
        return arg
    if command in ("train", "check"):
        return f"{group}@model.{group}={name}"
    if group != "corruption" or command not in READERS:
        return arg
    added = f"+measure@measure.{RESTORATION}={RESTORATION}" in args
    place = f"measure.{RESTORATION}" if added else READERS[command]
    return f"{group}@{place}.{group}={name}"


def with_serve(args: list[str], command: str) -> list[str]:
    """Turn --serve of gdl explore into serve=true, wherever it stands."""
    return ["serve=true" if a == "--serve" and command == "explore" else a for a in args]


def with_run_dir(args: list[str]) -> list[str]:
    """Turn run_dir=FOLDER of a new run into hydra.run.dir=FOLDER, which makes the folder."""
    if any(arg.startswith("resume=") or arg in ("-m", "--multirun") for arg in args):
        return args
    return [f"hydra.run.dir={a[8:]}" if a.startswith("run_dir=") else a for a in args]


def key_parts(key: str) -> list[str]:
    """Return the names in the key of an override, a/b@c.d."""
    return re.split(r"[./@:]", key)


def checked_choice(arg: str) -> str:
    """Refuse a choice of a group that leaves the group's folder, as model=../../x."""
    key, equals, value = arg.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    is_group = "/" in key or "@" in key or (CONF / group).is_dir()
    if equals and is_group and (".." in value or "/" in unquoted(value)[:1]):
        raise GdlError(f"{key}={value} leaves the folder {group}/: name one of its files.")
    return arg
