"""The settings of a run as a comparison sees them: resolved, and without what changes no number."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Settings", "differences", "short", "shown"]

PLUMBING = (
    "run_dir.",
    "resume.",
    "data_dir.",
    "data.data_dir.",
    "config_dir.",
    "trust.",
    "logger.",
    "callbacks.images.",
    "trainer.profiler.",
)
"""Keys that do not change what a run computes. The seed, and what follows it, is left out too."""

REFERENCE = re.compile(r"\$\{([^${}]*)\}")
LONGEST = 2000
"""Characters of a value; longer ones, which references could build without end, are cut."""


@dataclass
class Settings:
    """The flat configuration of a run."""

    values: dict[str, Any] = field(default_factory=dict)
    """Each setting by its key, e.g. "model.optimizer.lr", references resolved."""
    following: set[str] = field(default_factory=set)
    """Keys whose value is that of another key, e.g. of a decoder as wide as its encoder."""

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Settings":
        """Return the settings of a flat configuration, see `gdl.runs.config.read_config`."""
        out = cls()
        for key, value in config.items():
            if key == "seed" or f"{key}.".startswith(PLUMBING) or "${seed}" in str(value):
                continue
            out.values[key] = _resolved(value, key, config)
            if isinstance(value, str) and REFERENCE.fullmatch(value):
                out.following.add(key)
        return out


def _resolved(value: Any, key: str, config: dict[str, Any]) -> Any:
    """Return a value without ${...}: references are looked up, and no resolver is called."""
    if isinstance(value, list):
        return [_resolved(v, f"{key}.{i}", config) for i, v in enumerate(value)]
    for _ in range(10):  # references may refer to references, or to themselves
        if not isinstance(value, str) or "${" not in value:
            return value
        if (whole := REFERENCE.fullmatch(value)) is not None:
            value = _target(whole[1], key, config)
        else:
            value = REFERENCE.sub(lambda m: str(_target(m[1], key, config)), value)[:LONGEST]
    return str(value).replace("${", "{")


def _target(name: str, key: str, config: dict[str, Any]) -> Any:
    """Return what ${name} stands for at a key; what only the run itself knew stays as text."""
    function, colon, argument = name.partition(":")
    if colon:  # ${levels:5}, ${oc.env:HOME}, ${hydra:runtime.output_dir}
        is_levels = function == "levels" and re.fullmatch("[1-8]", argument.strip())
        return 2 ** int(argument) if is_levels else f"<{name}>"
    path = name.lstrip(".")
    if up := len(name) - len(path):
        path = ".".join([*key.split(".")[:-up], path])
    if path in config:
        return config[path]
    below = {k.removeprefix(f"{path}."): v for k, v in config.items() if k.startswith(f"{path}.")}
    return str(below) if below else f"<{name}>"


ADDED = {"model.conditional": False, "model.label_dropout": 0.0}
"""What settings were, before there were keys for them."""


def differences(runs: Sequence[tuple[str, Settings]]) -> list[dict[str, str]]:
    """Return, for each run, the settings as texts that most of the other runs do not have.

    Where no value prevails, all runs list theirs. A setting that all runs take from another one is
    not listed beside it.

    Args:
        runs: The model and the settings of each run, all on the same data.
    """
    out: list[dict[str, str]] = [{} for _ in runs]
    keys = {key for _, settings in runs for key in settings.values}
    for key in sorted(k for k in keys if not k.endswith("._partial_")):
        for members in _compared(key, runs):
            texts = {i: shown(runs[i][1].values.get(key, ADDED.get(key))) for i in members}
            has = [runs[i][1] for i in members if key in runs[i][1].values]
            if len(set(texts.values())) == 1 or all(key in s.following for s in has):
                continue
            text, often = Counter(texts.values()).most_common(1)[0]
            common = text if 2 * often > len(texts) else None
            for i, own in texts.items():
                if own != common:
                    out[i][key] = own
    return out


def _compared(key: str, runs: Sequence[tuple[str, Settings]]) -> list[list[int]]:
    """Return groups of runs in which the values of a key can be compared, as indices."""
    everyone = range(len(runs))
    if key.startswith(("model.optimizer.", "model.scheduler.")):
        return [[i for i in everyone if key in runs[i][1].values]]  # others have another optimizer
    if not key.startswith("model."):
        return [list(everyone)]  # where it is missing, the default holds
    models = sorted({m for m, settings in runs if key in settings.values})
    return [[i for i in everyone if runs[i][0] == m] for m in models]


def short(settings: dict[str, str]) -> str:
    """Return settings in one line, each key without its folders where the rest is unique."""
    found = {}
    for key, text in settings.items():
        if key.endswith("._target_"):  # the name of a class
            key, text = key.removesuffix("._target_"), text.rpartition(".")[2]
        found[key] = text
    last = Counter(k.rpartition(".")[2] for k in found)
    names = {k: k.rpartition(".")[2] if last[k.rpartition(".")[2]] == 1 else k for k in found}
    return " ".join(f"{names[k]}={text}" for k, text in found.items())


def shown(value: Any) -> str:
    """Return the text of a value: a text as it stands, other values as JSON without spaces."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), default=str)
