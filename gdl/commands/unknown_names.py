"""The nearest known name for a key, a file of a group or an override that does not exist."""

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

from gdl.commands.conf import CONF
from gdl.commands.help import choices_of, groups
from gdl.commands.trust import own_folders

__all__ = ["PLUGINS", "unknown_group", "unknown_key", "unknown_override"]

PLUGINS = {
    "optuna": "sweep",
    "joblib": "sweep",
    "submitit_local": "sweep",
    "submitit_slurm": "sweep",
    "ray": "ray",
}
"""Which extra of pyproject.toml brings a choice of hydra/sweeper or hydra/launcher."""


def unknown_group(e: MissingConfigException) -> str:
    """Name the nearest file of a group that lacks the one chosen, or the plugin that brings it."""
    group, _, name = str(e.missing_cfg_file).rpartition("/")
    if extra := PLUGINS.get(name) if group.startswith("hydra/") else None:
        return f"{group}={name} needs a plugin of Hydra: pip install 'gdl[{extra}]'."
    # of one of several choices, callbacks=[ema,histroy], Hydra does not tell them
    options = [str(o) for o in e.options or choices_of(group, _folders())]
    if group.startswith("experiment/"):  # a recipe in a folder
        group, name = "experiment", str(e.missing_cfg_file).removeprefix("experiment/")
        options = groups("train", _folders()[1:])["experiment"]
    return (
        f"{group or 'config'}={name} does not exist{_nearest(name, options)}; "
        f"the choices are {', '.join(options) or 'none'}."
    )


def unknown_override(message: str, config_name: str) -> str:
    """Name the nearest valid key of an override that Hydra refuses."""
    if there := re.search(r"An item is already at '([^']+)'", message):
        return f"{there.group(1)} has a value already: write it once, and without the + in front."
    match = re.search(r"(?:override|delete) '([^'=]+)", message)
    match = match or re.search(r"delete from config. '([^']+)' does not", message)
    if match is None:
        return " ".join(message.split())
    key = match.group(1).lstrip("+~")
    if key.startswith("corruption@"):
        return (
            "corruption= is for model=denoising_ae, task=restore and measure=restoration: choose one "
            "of these, or leave it out."
        )
    adding = f" (Use +{key}=... to add a key.)" if config_name == "train" else ""
    return unknown_key(key, config_name) + adding


def unknown_key(key: str, config_name: str) -> str:
    """Return the sentence about a key that a command does not know, with the nearest one.

    The keys to choose from are those of a composition with the choices of groups on the command line,
    but without the overrides that Hydra refuses.

    Args:
        key: The key.
        config_name: File of the command in conf/, without its ending.
    """
    keys = [*_groups(config_name), *_flat_keys(_compose_groups(config_name))]
    last = key.rpartition(".")[2]
    near = (
        [k for k in keys if k.endswith(f".{key}")]  # the right name without its beginning
        or difflib.get_close_matches(key, keys, 1, 0.7)
        or [k for k in keys if k.rpartition(".")[2] == last]
    )
    return f"There is no configuration key {key!r}" + (
        f": did you mean {near[0]}?" if near else "."
    )


def _nearest(name: str, options: list[str]) -> str:
    near = difflib.get_close_matches(name, options, len(options) or 1, 0.5)
    # difflib counts two swapped letters, the commonest slip, as two mistakes
    near.sort(key=lambda option: sorted(option) != sorted(name))
    return f": did you mean {near[0]}?" if near else ""


def _folders() -> list[Path]:
    """Return the folders of configurations: gdl's, and the user's own if there is one."""
    return [CONF, *own_folders(sys.argv[1:])]


def _groups(config_name: str) -> list[str]:
    if config_name != "train":
        return list(groups(config_name, []))
    return sorted(p.name for folder in _folders() for p in folder.iterdir() if p.is_dir())


def _compose_groups(config_name: str) -> DictConfig:
    """Compose with the group choices of the command line only."""
    choices = [f"hydra.searchpath=[{','.join(f'file://{f}' for f in _folders()[1:])}]"]
    for arg in sys.argv[1:]:
        group, _, name = arg.partition("=")
        if any((f / group.partition("@")[0] / f"{name}.yaml").is_file() for f in _folders()):
            choices.append(arg)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return hydra.compose(config_name, choices)
        except HydraException:  # a choice of a group that the command does not have
            return hydra.compose(config_name, choices[:1])


def _flat_keys(node: DictConfig) -> list[str]:
    plain = OmegaConf.to_container(node, resolve=False)

    def walk(value: Any, prefix: str) -> Iterator[str]:
        if not isinstance(value, dict):
            return
        for key, item in value.items():
            path = f"{prefix}{key}"
            yield path
            yield from walk(item, f"{path}.")

    return list(walk(plain, ""))
