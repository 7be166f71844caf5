"""Which overrides may stand beside resume=: how long a run trains and what is told of it may change."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gdl.commands.overrides import unquoted
from gdl.errors import GdlError
from gdl.runs.config import read_choices, read_config
from gdl.runs.directory import Run

__all__ = ["MAY_CHANGE", "check_change"]

MAY_CHANGE = (
    "trainer",
    "callbacks",
    "logger",
    "checkpoint_every",
    "compile",
    "max_skipped_steps",
    "data_dir",
    "data.data_dir",
    "data.root",
    "data.file",
    "data.path",
    "config_dir",
    "trust",
    "hydra",
    "sweep",
)
"""Keys, with all below them, that a resumed run may change: none of them is in a checkpoint."""

FIXED = ("callbacks.ema",)
"""Keys below those that belong to what is trained: the checkpoint holds the averaged weights."""


def check_change(run: Run, saved: list[str], override: str) -> None:
    """Refuse an override that a resumed run would ignore, or with which it would be another model.

    The optimizer's state, the learning rate in it, the order of the images and the noise go on as they
    were. An override that says what the run has already is no change.

    Args:
        run: The run to resume.
        saved: The overrides that it was started with.
        override: What stands beside resume=, e.g. "trainer.max_epochs=30".

    Raises:
        GdlError: The override is such a change.
    """
    key, equals, text = override.lstrip("+~").partition("=")
    if override.startswith("-") or override in saved:
        return
    if key == "hydra.run.dir":
        if Path(unquoted(text)).resolve() != run.path:
            raise GdlError(
                f"resume= goes on in {run.path}: leave out {override}, or copy the directory first."
            )
        return
    is_choice = key == "callbacks"
    if _below(key, MAY_CHANGE) and not _below(key, FIXED) and not is_choice:
        return
    before = read_choices(run.path) | read_config(run.path)
    if key in before and equals and _value(override) == before[key]:
        return
    if not override.startswith(("+", "~")) and not _has(before, key):
        return  # no such key: Hydra says so, with the nearest one
    was = f" (it is {before[key]})" if key in before else ""
    raise GdlError(
        f"A run that is resumed cannot change {key}{was}: leave {override} out, or start a new run. "
        "How long it trains, trainer.max_epochs, and what it logs and saves can change."
    )


def _below(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _has(before: dict[str, Any], key: str) -> bool:
    names = key.split("@")  # scheduler@model.scheduler
    return any(k == n or k.startswith((f"{n}.", f"{n}@")) for k in before for n in names)


def _value(override: str) -> Any:
    """Return the value of an override as Hydra reads it; what equals nothing if it is no plain one."""
    try:
        return OverridesParser.create().parse_override(override).value()
    except (HydraException, ValueError):
        return object()
