"""Values of the configuration: whether they are of the type, and in the range, that is asked for."""

import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gdl.commands.conf import CONF
from gdl.errors import GdlError
from gdl.serialization import OWN_KEYS, RENAMED

__all__ = ["RANGES", "check_values"]

COUNT = (1, 10**9)
SOME = (0, 10**15)
PART = (0, 1)

RANGES: dict[str, tuple[float, float]] = {
    # of models and networks
    **dict.fromkeys(
        ("latent_dim", "hidden", "width", "depth", "blocks", "layers", "heads"), COUNT
    ),
    **dict.fromkeys(("num_masks", "num_couplings", "num_levels", "num_scales", "mixtures"), COUNT),
    **dict.fromkeys(("noise_couplings", "noise_width"), COUNT),
    **dict.fromkeys(("num_mixtures", "channels", "patch", "smallest", "max_channels"), COUNT),
    **dict.fromkeys(("kernel", "first_kernel", "window", "resolutions"), COUNT),
    **dict.fromkeys(("num_importance_samples", "shape"), COUNT),
    "levels": (2, 256),
    "alpha": (0, 0.49),
    **dict.fromkeys(("colours", "radius", "factor", "discriminator"), COUNT),
    **dict.fromkeys(("gamma", "sigma"), (0, 1e6)),
    **dict.fromkeys(("beta", "free_bits", "init_range"), (0, 1e6)),
    **dict.fromkeys(("dropout", "decay", "label_dropout"), PART),
    # of the optimizer and its schedule
    **dict.fromkeys(("lr", "discriminator_lr", "eps", "weight_decay"), (0, 1e9)),
    **dict.fromkeys(("betas", "final", "momentum"), PART),
    **dict.fromkeys(("warmup_steps", "kl_warmup_steps"), SOME),
    # of data
    **dict.fromkeys(
        ("batch_size", "eval_batch_size", "num_train", "num_eval", "size", "length"), COUNT
    ),
    "labels_per_class": COUNT,
    **dict.fromkeys(("num_val", "num_test", "n", "index", "units"), SOME),
    "bits": (1, 8),
    **dict.fromkeys(("val_fraction", "test_fraction", "mutation", "fraction"), PART),
    "noise": (0, 1e6),
    **dict.fromkeys(("seed", "split_seed"), (0, 2**32 - 1)),
    # of tasks and measures
    **dict.fromkeys(("k", "chunk", "draws", "pairs", "completions", "images", "limit"), COUNT),
    **dict.fromkeys(("steps", "frames", "points", "num_fit", "resamples", "sheet"), COUNT),
    **dict.fromkeys(("max_dims", "num", "bins", "curves", "pictures", "fit", "side"), COUNT),
    **dict.fromkeys(("stride", "parts"), COUNT),
    **dict.fromkeys(("bits_samples", "prune", "mistakes"), SOME),
    "tail": (0, 0.5),
    "top_k": COUNT,
    "top_p": (1e-6, 1),
    "scale": (1e-9, 1e9),
    **dict.fromkeys(("temperature", "extent", "span", "threshold"), (0, 1e9)),
    # of training
    **dict.fromkeys(("max_epochs", "max_steps", "devices"), (-1, 10**15)),
    **dict.fromkeys(("accumulate_grad_batches", "check_val_every_n_epoch"), COUNT),
    **dict.fromkeys(("log_every_n_steps", "every_n_epochs", "max_skipped_steps"), SOME),
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), SOME),
    **dict.fromkeys(
        ("every_seconds", "finish_seconds", "gradient_clip_val", "minutes"), (0, 1e12)
    ),
    **dict.fromkeys(("checkpoint_every", "every_minutes"), (0, 1e9)),
    **dict.fromkeys(("min_epochs", "min_steps", "reload_dataloaders_every_n_epochs"), SOME),
    **dict.fromkeys(("overfit_batches", "fast_dev_run", "limit_predict_batches"), SOME),
    "val_check_interval": (1e-9, 10**15),
    "num_nodes": COUNT,
    "port": (0, 2**16 - 1),
    "num_sanity_val_steps": (-1, 10**9),
    "trials": COUNT,
}
"""The smallest and the largest value of a number, or of each in a list, by the key's last name."""

COMMANDS: dict[str, dict[str, Any]] = {
    "train": {
        "seed": int,
        "resume": str | None,
        "checkpoint_every": float | None,
        "compile": bool,
        "max_skipped_steps": int,
        "data_dir": str,
        "run_dir": str,
        "sweep": dict,
        "trainer": dict,
        "callbacks": dict,
        "model": dict,
        "data": dict,
    },
    "sample": {
        "run": str,
        "device": str,
        "out": str | None,
        "task": dict,
        "task.bare": bool,
        "task.files": bool,
    },
    "evaluate": {
        "run": str,
        "device": str,
        "seed": int,
        "batch_size": int,
        "limit": int | None,
        "other_data": list[list[str]] | None,
        "out": str | None,
        "measure": dict,
    },
    "compress": {
        "run": str,
        "files": list[str],
        "split": str,
        "limit": int | None,
        "codecs": bool,
        "stride": int | None,
        "parts": int | None,
        "out": str,
    },
    "decompress": {"run": str, "files": list[str], "out": str},
    "explore": {
        "run": str,
        "out": str | None,
        "points": int | None,
        "seed": int,
        "checkpoints": bool,
        "serve": bool,
        "host": str,
        "port": int,
        "device": str,
    },
    "export": {"run": str, "format": str, "out": str | None},
    "check": {
        "run": str | None,
        "seed": int,
        "verbose": bool,
        "data_dir": str,
        "model": dict,
        "data": dict,
    },
    "compare": {
        "folders": list[str],
        "where": list[str],
        "group_seeds": bool,
        "report": str | None,
        "results": bool,
        "wandb": bool,
        "report_path": str | None,
    },
}
"""Types of the keys that a command reads itself; other keys are of objects, whose types are theirs."""

TYPED = ("gdl.", "torch.optim", "lightning.pytorch")
"""Packages whose annotations are right."""

ABSENT = object()
"""In the place of a key that is not there."""

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check_values(cfg: DictConfig, command: str) -> None:
    """Compare a configuration with the types of what it is for, and its numbers with `RANGES`.

    Args:
        cfg: The composed configuration.
        command: Its file in conf/, without the ending.

    Raises:
        GdlError: A value does not fit; the message names its key and what would.
    """
    for key, hint in COMMANDS[command].items():
        value = OmegaConf.select(cfg, key, default=ABSENT, throw_on_missing=True)
        if value is not ABSENT:
            _check(key, _plain(value), hint)
    for group in ("callbacks", "logger"):
        for name in cfg.get(group) or ():
            node = cfg[group]._get_node(name)
            if not (node._is_none() or (isinstance(node, DictConfig) and "_target_" in node)):
                is_choice = (CONF / group / f"{name}.yaml").is_file()  # it was replaced by another
                choose = f"choose it too, {group}=[{name},...], " if is_choice else ""
                raise GdlError(
                    f"{group}.{name} is no object: {choose}give it a _target_, or null."
                )
    for key in cfg:
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            _check_objects(str(key), OmegaConf.to_container(node, resolve=True))


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _check_objects(key: str, node: Any) -> None:
    """Check the arguments of each `_target_` in a plain configuration."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            _check_objects(f"{key}[{i}]", item)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        if not isinstance(node["_target_"], str) or not node["_target_"].strip("."):
            raise GdlError(f"{key}._target_={node['_target_']} is no name of a class or function.")
        if not isinstance(node.get("_partial_", False), bool):
            raise GdlError(f"{key}._partial_={node['_partial_']} must be true or false.")
        hints = _hints(node["_target_"])
        for name, value in node.items():
            if name in hints and name not in OWN_KEYS:
                _check(f"{key}.{name}", value, hints[name])
    for name, value in node.items():
        _check_objects(f"{key}.{name}", value)


def _hints(target: str) -> dict[str, Any]:
    """Return the types of the arguments of a class or function; none for what is not known."""
    module, _, name = RENAMED.get(target, target).rpartition(".")
    if not module.startswith(TYPED):
        return {}
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return {}  # which building it tells
    hints: dict[str, Any] = {}
    for function in reversed(inspect.getmro(found)) if isinstance(found, type) else [found]:
        own = function.__dict__.get("__init__") if isinstance(function, type) else function
        try:
            hints |= typing.get_type_hints(own) if inspect.isfunction(own) else {}
        except NameError:  # a name that is imported for type checkers only
            continue
    return hints


def _check(key: str, value: Any, hint: Any) -> None:
    name = key.rpartition(".")[2]
    allowed = RANGES.get(name)
    in_range = allowed is None or all(
        allowed[0] <= x <= allowed[1] for x in _numbers(value) if not isinstance(x, bool)
    )
    continuous = name == "levels" and value is None  # models that need levels say what they need
    if continuous or (_fits(value, hint) and in_range):
        return
    shown = "null" if value is None else f"{value!s:.60}"
    limits = f" from {allowed[0]:.9g} to {allowed[1]:.9g}" if allowed and not in_range else ""
    raise GdlError(f"{key}={shown} does not fit: give {_described(hint)}{limits}.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value


def _fits(value: Any, hint: Any) -> bool:
    """Return whether plain data, or the object that a dict stands for, are of a type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar | str):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in args)
    if origin is typing.Literal:
        return value in args
    if origin in (list, Sequence, Iterable):
        return isinstance(value, list) and all(_fits(item, args[0]) for item in value)
    if origin is tuple:
        return isinstance(value, list) and (
            args[-1] is Ellipsis or (len(args) == len(value) and all(map(_fits, value, args)))
        )
    if isinstance(value, dict) or hint is dict:
        return isinstance(value, dict) and hint not in (bool, int, float, str, None, type(None))
    if hint is int:
        return type(value) is int and abs(value) < 2**63
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e300
    if hint in (None, type(None)):
        return value is None
    return isinstance(value, str) if hint is Path else hint in NAMES and isinstance(value, hint)


def _described(hint: Any) -> str:
    """Return a type in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        words = [_described(part) for part in args]
        return " or ".join(dict.fromkeys(w for w in words if w))
    if origin is typing.Literal:
        return " or ".join("null" if a is None else str(a) for a in args)
    if origin in (list, Sequence, Iterable):
        return f"a list, each of it {_described(args[0])}"
    if origin is tuple:
        return f"a list of {len(args)}, each of it {_described(args[0])}"
    if hint in (None, type(None)):
        return "null"
    if hint is Path:
        return "a path"
    if hint in (Callable, Mapping, timedelta, dict) or origin in (Callable, Mapping, dict):
        return "keys with values"
    return NAMES.get(hint, f"keys with values for a {getattr(hint, '__name__', hint)}")
