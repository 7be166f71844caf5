"""Options that make a model small, by its choice of conf/model; without a row it has its own size."""

from pathlib import Path
from typing import Any

import yaml

import gdl
from gdl.commands.conf import CONF

SMALL: dict[str, dict[str, Any]] = {
    "factor_vae": {"discriminator": [16]},
    "glow": {"depth": 2, "width": 16},
    "glow_small": {"depth": 2, "width": 16},
    "made": {"hidden": [10]},
    "nade": {"hidden": 10},
    "nice": {"hidden": [20]},
    "pixelcnn": {"width": 8, "layers": 1, "hidden": 8},
    "pixelcnn_pp": {"width": 8},
    "realnvp": {"width": 8, "blocks": 1},
    "transformer": {"width": 8, "blocks": 1},
}


def small(choice: str) -> list[str]:
    """Return the overrides that make a model small."""
    return [
        f"model.{key}={value}".replace(" ", "") for key, value in SMALL.get(choice, {}).items()
    ]


def _classes() -> dict[str, str]:
    """Return the choice of conf/model whose file names a class, by the name of the class."""
    found = {}
    for file in sorted(Path(CONF, "model").glob("*.yaml")):
        target = yaml.safe_load(file.read_text()).get("_target_")
        if target is not None:
            found[target.rpartition(".")[2]] = file.stem
    return found


CHOICES = _classes()
"""E.g. {"Glow": "glow"}: each class of gdl.models has a file."""


def build_small(name: str, *args: Any, **options: Any) -> gdl.families.GenerativeModel:
    """Return a small model of a class of gdl.models."""
    return getattr(gdl.models, name)(*args, **{**SMALL.get(CHOICES[name], {}), **options})
