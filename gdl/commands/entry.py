"""What all commands share: Hydra, with short answers to bad input. Nothing heavy is imported here."""

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gdl.commands import multirun
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.explain import causes, explain
from gdl.commands.old_spellings import with_new_names
from gdl.commands.overrides import mounted, with_resume, with_value
from gdl.sweeps.jobs import JobFailed, report

__all__ = ["run_command"]


def run_command(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run a command on the arguments of this process.

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
    def explained(cfg: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN and "sweep" in cfg:
            return multirun.run_one_job(task, cfg, lambda e: explain(e, config_name))
        try:
            return task(cfg)
        except Exception as e:
            _exit_if_explained(e, config_name)
            raise

    folder: Path | None = None
    try:
        args = with_new_names([with_value(arg) for arg in sys.argv[1:]], config_name)
        args = with_resume([mounted(arg) for arg in args])
        if config_name == "train":
            args, folder = multirun.with_folder(args)
        sys.argv[1:] = args
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(explained)()
    except Exception as e:
        failed = 0 if folder is None else report(folder)
        if not (failed and any(isinstance(c, JobFailed) for c in causes(e))):
            _exit_if_explained(e, config_name)
            raise
        sys.exit(1)
    except SystemExit as e:
        if type(e).__name__ == "Interrupted":
            print(f"stopped by {e}; resume=latest goes on from the last step.", file=sys.stderr)
        raise
    if folder is not None and report(folder):
        sys.exit(1)


def _exit_if_explained(error: Exception, config_name: str) -> None:
    message = explain(error, config_name)
    if message is None:
        return
    if os.environ.get("GDL_TRACEBACK"):
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


register_resolvers()  # here, because a launcher's worker imports this file but runs no command
