"""Classes outside gdl: a folder of configurations of one's own, and whose code may run."""

import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gdl import serialization
from gdl.commands.overrides import FOLDER_FLAGS
from gdl.commands.quoting import quoted, unquoted
from gdl.commands.train_log import is_first_process
from gdl.errors import GdlError
from gdl.serialization import add_folder, trusted

__all__ = [
    "check_targets",
    "foreign",
    "foreign_packages",
    "own_folders",
    "with_config_dir",
    "with_trust",
]

NAMES = (
    "lightning.pytorch.Trainer",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.TensorBoardLogger",
)
"""Names that a training may call; the other loggers of lightning send to wherever they are told."""

ROOMS = (
    *serialization.ROOMS,
    "gdl.training",
    "gdl.tracking",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.profilers",
)
"""Packages whose public names a training may call without the reader's word."""


def with_trust(args: list[str]) -> list[str]:
    """Move `trust=a,b` from the arguments to GDL_TRUST, for this process and those it starts.

    It is the word of the person at the keyboard: neither a run nor a checkpoint keeps it.

    Raises:
        GdlError: A name is none of a package.
    """
    given = [a.partition("=")[2] for a in args if a.startswith("trust=")]
    names = [n.strip(" '\"") for value in given for n in unquoted(value).strip("[]").split(",")]
    names = [n for n in names if n != "null"]
    for name in names:
        if not name.isidentifier():
            raise GdlError(
                f"trust={name} names no Python package: write its name, e.g. trust=mylab, or "
                "trust=mylab,otherlab for two."
            )
    if names:
        os.environ["GDL_TRUST"] = ",".join(sorted(trusted(names)))
    return [a for a in args if not a.startswith("trust=")]


def with_config_dir(args: list[str]) -> list[str]:
    """Turn the flag --config-dir X, wherever it stands, into the override config_dir=X.

    The run keeps the override, and sweeps and `resume=` read it here again. The folder's parent
    joins the path of imports, so that `_target_: mylab.ppca.PPCA` is found beside, or in, it.

    Raises:
        GdlError: It is not a folder.
    """
    found, rest, left = None, [], iter(args)
    for arg in left:
        key, equals, value = arg.partition("=")
        if key in FOLDER_FLAGS:
            found = value if equals else next(left, "")
        elif key == "config_dir":
            found = None if value == "null" else unquoted(value)
        else:
            rest.append(arg)
    if found is None:
        return rest
    folder = Path(found).expanduser()
    if not found or not folder.is_dir():
        raise GdlError(
            f"--config-dir={found} names no folder: name the one that holds your model/, data/ or "
            "experiment/."
        )
    folder = folder.resolve()
    add_folder(folder)
    return [*rest, f"config_dir={quoted(folder)}"]


def own_folders(args: list[str]) -> list[Path]:
    """Return the folder of configurations of one's own that the arguments name, if any."""
    given = [a.partition("=")[2] for a in args if a.startswith("config_dir=")]
    return [Path(unquoted(value)) for value in given[-1:]]


def check_targets(cfg: DictConfig, resumed: bool) -> None:
    """Say which classes outside gdl a training uses; refuse them in a resumed run without trust.

    The overrides of a resumed run are read from its directory, and that may be a stranger's.

    Raises:
        GdlError: The resumed run names a class that the reader has not allowed.
    """
    if resumed:
        OmegaConf.resolve(cfg)  # what is looked at here is what is built later
    config = OmegaConf.to_container(cfg, resolve=not resumed)
    outside = foreign(_targets(config))
    if resumed:
        _refuse(outside, config)
    own = sorted({t for t in outside if not t.startswith("gdl.")})
    if own and is_first_process() and not resumed:
        print(
            f"This run uses classes outside gdl: {', '.join(own)}. To read its checkpoints, or to "
            f"resume it, say trust={','.join(foreign_packages(cfg))}."
        )


def _refuse(outside: list[str], config: Any) -> None:
    refused = [t for t in outside if t.partition(".")[0] not in trusted()]
    if refused:
        packages = sorted({t.partition(".")[0] for t in refused})
        raise GdlError(
            f"The run to resume calls {', '.join(refused)}, which is not a public part of gdl; it "
            f"was not started. If you trust that code, say so: trust={','.join(packages)}."
        )
    for text in _texts(config):
        if "${" in text:  # it would be resolved once more, into anything
            raise GdlError(f"The run to resume holds {text!r:.100}, which is not plain text.")


def foreign_packages(cfg: DictConfig) -> list[str]:
    """Return the packages outside gdl, torch.optim and lightning that a configuration names."""
    targets = foreign(_targets(OmegaConf.to_container(cfg, resolve=True)))
    return sorted({t.partition(".")[0] for t in targets} - {"gdl"})


def foreign(targets: Iterable[str]) -> list[str]:
    """Return the dotted names that are no public names of `ROOMS`."""
    return [t for t in targets if not _known(t)]


def _targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` of a plain configuration."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        node = [*node, *node.values()]
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, str):
        yield node


def _known(target: str) -> bool:
    """Return whether a dotted name is a public name of `ROOMS`, or a class in a module of theirs."""
    package, _, name = serialization.RENAMED.get(target, target).rpartition(".")
    if target in NAMES:
        return True
    if not any(f"{package}.".startswith(f"{room}.") for room in ROOMS):
        return False
    try:
        module = importlib.import_module(package)  # a module: names within one, torch.hub, fail
    except ImportError:
        if package in ROOMS and package.startswith("gdl."):
            raise  # gdl itself is broken, which is no matter of trust
        return False
    found = getattr(module, name, None)
    if package in ROOMS:
        return callable(found) and name in module.__all__
    return isinstance(found, type) and found.__module__ == package
