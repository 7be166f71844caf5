"""gdl COMMAND --help: the keys of a command, with the comments of its file in conf/."""

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gdl.commands.conf import CONF
from gdl.commands.overrides import MOUNTED, READERS
from gdl.commands.quoting import unquoted

__all__ = ["choices_of", "groups", "own_keys", "own_options", "print_help"]


def print_help(command: str, folders: list[Path], args: Sequence[str] = ()) -> None:
    """Print usage, keys and choices of a command, and the keys of what is chosen.

    Args:
        command: Its name, which is the name of its file in conf/.
        folders: Folders of configurations of one's own.
        args: What else stands on the command line; task=complete shows the keys of that task.
    """
    first = importlib.import_module(f"gdl.commands.{command}").__doc__ or ""
    print(f"{first.splitlines()[0]}\n\nusage: gdl {command} [KEY=VALUE ...]\n")
    print(_keys((CONF / f"{command}.yaml").read_text()))
    if found := groups(command, folders):
        print("Choices, as GROUP=NAME; GROUP.KEY=VALUE sets a key of the choice:")
        for group, names in found.items():
            print(f"  {group + ':':<12}{', '.join(names)}")
        if "model" in found:
            print(f"Keys of {', '.join(MOUNTED)} are below model, e.g. model.optimizer.lr=1e-3.")
        print()
    for group, name in _chosen(command, found, args).items():
        files = [path / group / f"{name}.yaml" for path in (*folders, CONF)]
        text = next(file for file in files if file.is_file()).read_text()
        about = re.match(r"# *(.+)", text)
        if keys := _keys(text):
            print(f"Keys of {group}={name}{f' ({about[1]})' if about else ''}:\n{keys}")
    print(f"gdl {command} --cfg job prints every key with its value.")


def own_keys(command: str) -> list[str]:
    """Return the keys of a command's file, without its defaults and Hydra's part."""
    content: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"), resolve=False)
    return [str(key) for key in content if key not in ("defaults", "hydra")]


def own_options(command: str, group: str) -> list[str]:
    """Return the keys of a group that the command itself reads, whatever is chosen there."""
    content: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"), resolve=False)
    return [*content.get(group, ())]


def _keys(text: str) -> str:
    """Return the own keys of a file, with their comments, without its defaults and Hydra's part."""
    parts = re.split(r"^(?=[^\s#-])", text, flags=re.MULTILINE)
    left_out = ("defaults:", "hydra:", "_target_:", "_partial_:")
    kept = [p.rstrip() for p in parts[1:] if not p.startswith(left_out)]
    return "".join(f"  {line}\n" for part in kept for line in part.splitlines())


def _chosen(
    command: str, found: Mapping[str, Sequence[str]], args: Sequence[str]
) -> dict[str, str]:
    """Return the choices of groups that arguments make, and what a reader of runs calls by default."""
    content: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))
    defaults = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    chosen = {k: v for entry in defaults for k, v in entry.items() if k == READERS.get(command)}
    chosen |= {k: unquoted(v) for k, _, v in (arg.partition("=") for arg in args) if k in found}
    return {group: name for group, name in chosen.items() if name in found[group]}


def groups(command: str, folders: list[Path]) -> dict[str, list[str]]:
    """Return the choices of each group that the command's defaults name."""
    content: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))
    names = [key for entry in content["defaults"] if isinstance(entry, dict) for key in entry]
    names += MOUNTED if "model" in names else ["corruption"] if command in READERS else []
    found = {name: choices_of(name, [CONF, *folders]) for name in names}
    return {name: choices for name, choices in found.items() if choices}


def choices_of(group: str, folders: list[Path]) -> list[str]:
    """Return the files of a group; recipes may be in folders, as restoration/NAME."""
    pattern = "**/*.yaml" if group == "experiment" else "*.yaml"
    files = [f.relative_to(own) for own in (p / group for p in folders) for f in own.glob(pattern)]
    return sorted({f.with_suffix("").as_posix() for f in files})
