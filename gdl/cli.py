"""Entry points: Hydra with short answers to bad input. Nothing heavy is imported here."""

import difflib
import errno
import functools
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gdl import study, sweep
from gdl.errors import GdlError
from gdl.runs import quoted, unquoted, with_resume

__all__ = ["main", "register_resolvers", "with_filters"]

MOUNTED = ("network", "likelihood", "optimizer", "scheduler")
"""Groups that a model file mounts in itself; the command line may leave out @model.<group>."""

PLUGINS = {
    "optuna": "sweep",
    "joblib": "sweep",
    "submitit_local": "sweep",
    "submitit_slurm": "sweep",
    "ray": "ray",
}
"""Which extra of pyproject.toml brings a choice of hydra/sweeper or hydra/launcher."""

CONF = Path(__file__).resolve().parent.parent / "conf"


def register_resolvers() -> None:
    """Register the interpolations that the configs use.

    `${levels:BITS}` is 2 ** BITS, `${job_name:OVERRIDES}` the name of a sweep's job.
    """
    OmegaConf.register_new_resolver("levels", lambda bits: 2 ** int(bits), replace=True)
    OmegaConf.register_new_resolver("job_name", sweep.job_name, replace=True)


def main(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run an entry point.

    Bad input ends with one sentence on stderr and exit code 1; anything else is a defect and keeps
    its traceback.

    Args:
        task: Called with the composed configuration.
        config_name: File in conf/, without its ending.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions through to this function
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"

    @functools.wraps(task)
    def guarded(cfg: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN and "sweep" in cfg:
            return sweep.run_job(task, cfg, lambda e: explain(e, config_name))
        try:
            return task(cfg)
        except Exception as e:
            _exit_if_explained(e, config_name)
            raise

    folder = None
    try:
        args = with_resume([_mount(_with_value(arg)) for arg in sys.argv[1:]])
        if config_name == "train":
            args, folder = sweep.with_folder(args)
        if folder is not None:
            args = study.go_on(args, folder)
        sys.argv[1:] = args
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(guarded)()
    except Exception as e:
        failed = 0 if folder is None else sweep.report(folder)
        if not (failed and any(isinstance(c, sweep.JobFailed) for c in _causes(e))):
            _exit_if_explained(e, config_name)
            raise
        sys.exit(1)
    except SystemExit as e:
        if type(e).__name__ == "Interrupted":
            print(f"stopped by {e}; resume=latest goes on from the last step.", file=sys.stderr)
        raise
    if folder is not None and sweep.report(folder):
        sys.exit(1)


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


def _exit_if_explained(error: Exception, config_name: str) -> None:
    message = explain(error, config_name)
    if message is None:
        return
    if os.environ.get("GDL_TRACEBACK"):
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _with_value(arg: str) -> str:
    """Refuse key= without a value: an empty path is the root of the disk, or this folder."""
    key, equals, value = arg.partition("=")
    if equals and not unquoted(value).strip():
        raise GdlError(f"{key}= has no value: give it one, or leave it out.")
    return arg


def _mount(arg: str) -> str:
    """Turn network=conv into network@model.network=conv, Hydra's name of a nested group."""
    group, equals, name = arg.partition("=")
    return f"{group}@model.{group}={name}" if equals and group in MOUNTED else arg


def explain(error: BaseException, config_name: str) -> str | None:
    """Return a sentence that says what to do about bad input, None for a defect."""
    chain = list(_causes(error))
    for e in chain:
        if isinstance(e, GdlError):
            return str(e)
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"The disk is full while writing {e.filename or 'a file'}: free some space."
        if isinstance(e, MissingConfigException) and e.missing_cfg_file:
            return _unknown_group(e)
        if isinstance(e, MissingMandatoryValue):
            key = (e.full_key or str(e)).strip()
            return f"{key} has no value: set it on the command line, e.g. {key}=..."
        if type(e).__name__ == "MisconfigurationException":
            return str(e)
        if isinstance(e, RuntimeError) and "slurm cluster" in str(e):
            return "This is no SLURM cluster (there is no srun): use hydra/launcher=joblib."
    for e in chain:
        if isinstance(e, OverrideParseException):
            return (
                f"{e.override!r} is not an override that Hydra can read: quote special characters."
            )
        if isinstance(e, ConfigCompositionException):
            return _unknown_key(str(e), config_name)
        if isinstance(e, InstantiationException):
            return _unfit_value(e)
        if isinstance(e, HydraException | OmegaConfBaseException):
            return " ".join(str(e).split())
    return None


def _unfit_value(e: InstantiationException) -> str | None:
    """Say which part of the configuration its constructor refused; None for any other failure."""
    if not isinstance(e.__cause__, TypeError | ValueError):
        return None
    key = re.search(r"full_key: (\S+)", str(e))
    return (
        f"{key.group(1) if key else 'An object'} cannot be built from these values: {e.__cause__} "
        "(GDL_TRACEBACK=1 shows where)."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unknown_group(e: MissingConfigException) -> str:
    group, _, name = str(e.missing_cfg_file).rpartition("/")
    if extra := PLUGINS.get(name) if group.startswith("hydra/") else None:
        return f"{group}={name} needs a plugin of Hydra: pip install 'gdl[{extra}]'."
    options = [str(o) for o in e.options or []]
    return (
        f"{group or 'config'}={name} does not exist{_nearest(name, options)}; "
        f"the choices are {', '.join(options)}."
    )


def _unknown_key(message: str, config_name: str) -> str:
    """Name the nearest valid key, from a composition without the overrides that Hydra refuses."""
    match = re.search(r"override '([^']+)'", message)
    if match is None:
        return " ".join(message.split())
    key = match.group(1).lstrip("+~")
    keys = [*_groups(), *_flat_keys(_compose_groups(config_name))]
    last = key.rpartition(".")[2]
    near = (
        [k for k in keys if k.endswith(f".{key}")]  # the right name without its beginning
        or difflib.get_close_matches(key, keys, 1, 0.7)
        or [k for k in keys if k.rpartition(".")[2] == last]
    )
    hint = f": did you mean {near[0]}?" if near else "."
    return f"There is no configuration key {key!r}{hint} (Use +{key}=... to add a key.)"


def _nearest(name: str, options: list[str]) -> str:
    near = difflib.get_close_matches(name, options, len(options) or 1, 0.5)
    # difflib counts two swapped letters, the commonest slip, as two mistakes
    near.sort(key=lambda option: sorted(option) != sorted(name))
    return f": did you mean {near[0]}?" if near else ""


def _groups() -> list[str]:
    return sorted(p.name for p in CONF.iterdir() if p.is_dir())


def _compose_groups(config_name: str) -> DictConfig:
    """Compose with the group choices of the command line only."""
    choices = []
    for arg in sys.argv[1:]:
        group, _, name = arg.partition("=")
        if (CONF / group.partition("@")[0] / f"{name}.yaml").is_file():
            choices.append(arg)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, choices)


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


register_resolvers()  # here, because a launcher's worker imports this file but calls no main
