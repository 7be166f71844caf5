"""The arguments of a command, before Hydra reads them."""

import re
from pathlib import Path

from omegaconf import OmegaConf

from gdl.commands.conf import CONF
from gdl.errors import GdlError
from gdl.runs.directory import find_run

__all__ = ["MOUNTED", "mounted", "quoted", "unquoted", "with_filters", "with_resume", "with_value"]


def with_resume(args: list[str], outputs: str | Path = "outputs") -> list[str]:
    """Replace `resume=<run|latest>` by the overrides, and the directory, of that run.

    Overrides that stand beside `resume=` come last and win, e.g. trainer.max_epochs.
    """
    wanted = [a for a in args if re.fullmatch(r"resume=(?!null$).+", a)]
    if not wanted:
        return args
    # quoted where Lightning starts this command line again for another process
    run, checkpoint = find_run(unquoted(wanted[-1].removeprefix("resume=")), outputs)
    rest = [a for a in args if a not in wanted]
    args = [*run.overrides(), *rest, f"hydra.run.dir={quoted(run.path)}"]
    if checkpoint is None and not run.has_checkpoint:
        print(f"{run.path} was interrupted before its first checkpoint; it starts over.")
        return args
    target = checkpoint or run.checkpoint("last")
    return [*args, f"resume={quoted(target.resolve())}"]


def quoted(value: str | Path) -> str:
    """Return a text or path as a value of Hydra's override grammar."""
    return "'" + str(value).replace("'", "\\'") + "'"


def unquoted(value: str) -> str:
    """Return the text that an override's value stands for, quoted or not."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1].replace(f"\\{value[0]}", value[0])
    return value


MOUNTED = ("network", "likelihood", "optimizer", "scheduler")
"""Groups that a model file mounts in itself; the command line may leave out @model.<group>."""


def with_filters(args: list[str], config_name: str) -> list[str]:
    """Turn folders into `folders=[...]`, and keys that the file in conf/ lacks into `where=[...]`."""
    keys = [*map(str, OmegaConf.load(CONF / f"{config_name}.yaml")), "hydra"]
    out: dict[str, list[str]] = {"folders": [], "where": []}
    own = []
    for arg in args:
        key, equals, _ = arg.partition("=")
        if arg.startswith("-") or (equals and key.partition(".")[0] in keys):
            own.append(arg)
        else:
            out["where" if equals else "folders"].append(quoted(arg))
    return [*own, *(f"{name}=[{','.join(values)}]" for name, values in out.items() if values)]


def with_value(arg: str) -> str:
    """Refuse key= without a value: an empty path is the root of the disk, or this folder."""
    key, equals, value = arg.partition("=")
    if equals and not unquoted(value).strip():
        raise GdlError(f"{key}= has no value: give it one, or leave it out.")
    return arg


def mounted(arg: str) -> str:
    """Turn network=conv into network@model.network=conv, Hydra's name of a nested group."""
    group, equals, name = arg.partition("=")
    return f"{group}@model.{group}={name}" if equals and group in MOUNTED else arg
