"""The configuration of a run, read without Hydra."""

import functools
import os
import re
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.files import read_text, read_yaml
from gdl.serialization import RENAMED

__all__ = ["read_choices", "read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a run directory, flat: {"model.optimizer.lr": 0.001, ...}.

    It is empty where the directory has none.

    Raises:
        GdlError: The file is damaged.
    """
    file = path / ".hydra" / "config.yaml"
    if not os.path.lexists(file):
        return {}
    try:
        text = read_text(file, 1_000_000)
    except OSError as e:
        raise GdlError(f"{file} cannot be read: {e.strerror}.") from e
    # one top-level key at a time, because most are equal in many runs and can be cached
    parts = re.split(r"^(?=[^\s#-])", text, flags=re.MULTILINE)
    try:
        return {key: value for part in parts for key, value in _part(part).items()}
    except GdlError as e:
        raise GdlError(f"{file} is damaged: it is no configuration.") from e


def read_choices(path: Path) -> dict[str, Any]:
    """Return the files of which a run directory's groups were composed, {"model": "vae", ...}.

    It is empty where the directory does not say so.
    """
    try:
        file = path / ".hydra" / "hydra.yaml"
        content = read_yaml(read_text(file, 1_000_000), file)
        return dict(content["hydra"]["runtime"]["choices"])
    except (OSError, KeyError, TypeError, ValueError):  # a GdlError is a ValueError
        return {}


@functools.lru_cache(maxsize=10_000)
def _part(text: str) -> dict[str, Any]:
    content = read_yaml(text, Path("config.yaml")) or {}
    if not isinstance(content, dict):
        raise GdlError("It is no dict.")
    return _flat(content)


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            # runs of all versions can be compared
            old = key == "_target_" and isinstance(value, str)
            out[f"{prefix}{key}"] = RENAMED.get(value, value) if old else value
    return out
