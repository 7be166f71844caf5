"""The configuration of a run, read without Hydra."""

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from gdl.serialization import RENAMED

__all__ = ["read_choices", "read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a run directory, flat: {"model.optimizer.lr": 0.001, ...}.

    It is empty where the directory has none.
    """
    file = path / ".hydra" / "config.yaml"
    text = file.read_text() if file.is_file() else ""
    # one top-level key at a time, because most are equal in many runs and can be cached
    parts = re.split(r"^(?=[^\s#-])", text, flags=re.MULTILINE)
    return {key: value for part in parts for key, value in _part(part).items()}


def read_choices(path: Path) -> dict[str, Any]:
    """Return the files of which a run directory's groups were composed, {"model": "vae", ...}.

    It is empty where the directory does not say so.
    """
    try:
        content = yaml.safe_load((path / ".hydra" / "hydra.yaml").read_text())
        return dict(content["hydra"]["runtime"]["choices"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}


@functools.lru_cache(maxsize=10_000)
def _part(text: str) -> dict[str, Any]:
    # PyYAML's C parser; OmegaConf takes 20 ms per file, seconds for a hundred runs
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _flat(yaml.load(text, Loader=loader) or {})


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
