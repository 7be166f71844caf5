"""What all commands share: Hydra, with short answers to bad input. Nothing heavy is imported here."""

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gdl.commands import multirun
from gdl.commands.compiling import compiler_failed
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.explain import causes, defect, explain
from gdl.commands.grid import register
from gdl.commands.help import print_help
from gdl.commands.known_keys import check_arguments, check_functions
from gdl.commands.measure_keys import with_measure_keys
from gdl.commands.old_spellings import with_new_names
from gdl.commands.overrides import (
    checked_choice,
    checked_flags,
    mounted,
    with_run_dir,
    with_serve,
    with_value,
)
from gdl.commands.places import check_places
from gdl.commands.quoting import with_quoted_paths
from gdl.commands.resume import hold_directory, what_is_kept, with_resume
from gdl.commands.trust import check_targets, own_folders, with_config_dir, with_trust
from gdl.commands.values import check_values
from gdl.serialization import add_folder
from gdl.stopping import Interrupted, before_stopping, noted
from gdl.sweeps.apart import stop_workers
from gdl.sweeps.jobs import JobFailed, report

__all__ = ["run_command"]


def run_command(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run a command on the arguments of this process.

    Bad input ends with one sentence on stderr and exit code 1. So does a defect of gdl, and its
    sentence says in which file the traceback is. GDL_TRACEBACK=1 prints the traceback of both.

    Args:
        task: Called with the composed configuration.
        config_name: File in conf/, without its ending.

    Raises:
        SystemExit: The input is bad.
        Interrupted: The process was told to stop.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions through to this function
    # what a terminal cannot show is escaped, as on stderr
    errors = "backslashreplace" if sys.stdout.errors == "strict" else sys.stdout.errors
    sys.stdout.reconfigure(line_buffering=True, errors=errors)  # pyright: ignore[reportAttributeAccessIssue]
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    folder: Path | None = None
    try:
        args = with_quoted_paths([with_value(arg) for arg in sys.argv[1:]])
        args = with_measure_keys(with_new_names(args, config_name), config_name)
        args = mounted(with_serve(args, config_name), config_name)
        check_arguments(args, config_name)
        args = with_config_dir(with_trust([checked_choice(arg) for arg in args]))
        args = multirun.with_flag(args)
        if {"-h", "--help"} & set(args):
            print_help(config_name, own_folders(args), args)
            return
        given = args
        args, resumed = with_resume(args)
        if config_name == "train":
            args = with_run_dir(args)
            args, folder = multirun.with_folder(args)
            hold_directory(args)
        if folder is not None:
            register()
            before_stopping(functools.partial(stop_workers, folder))
        sys.argv[1:] = checked_flags(
            [*(f"--config-dir={own}" for own in own_folders(args)), *args]
        )
        wrap = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
        wrap(_explained(task, config_name, given if resumed else None))()
    except Exception as e:
        there = folder is not None and os.path.isdir(folder)  # false where the name is too long
        failed = report(folder) if folder is not None and there else 0
        if failed and any(isinstance(c, JobFailed) for c in causes(e)):
            _end_of_sweep()
        _end(e, config_name)
    except Interrupted as e:
        if folder is not None:
            report(folder)
            e.sentence = f"stopped by {e}; the same command goes on with the jobs that are left."
        raise
    if folder is not None and report(folder):
        _end_of_sweep()


def _explained(
    task: Callable[[DictConfig], Any], config_name: str, resumed: Sequence[str] | None
) -> Callable[[DictConfig], Any]:
    """Return the task with its checks, with the record of a sweep's job, and with short answers.

    Args:
        task: Called with the composed configuration.
        config_name: File in conf/, without its ending.
        resumed: What was given beside `resume=`; None where no arguments are read from a run.
    """

    def checked(cfg: DictConfig) -> Any:
        if cfg.config_dir is not None:
            add_folder(cfg.config_dir)  # a launcher's worker has not read the arguments
        if config_name == "train":
            check_targets(cfg, resumed is not None)
            if resumed is not None:
                check_places(cfg, Path(HydraConfig.get().runtime.output_dir), resumed)
        check_functions(cfg, config_name)
        check_values(cfg, config_name)
        with _compiler_told_to_stop():
            return task(cfg)

    @functools.wraps(task)
    def explained(cfg: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN and "sweep" in cfg:
            return multirun.run_one_job(checked, cfg, lambda e: explain(e, config_name))
        try:
            return checked(cfg)
        except Interrupted as e:
            if config_name == "train":
                e.sentence = what_is_kept(e, Path(HydraConfig.get().runtime.output_dir))
            raise
        except Exception as e:
            _end(e, config_name)

    return explained


@contextmanager
def _compiler_told_to_stop() -> Iterator[None]:
    """Take an error of the compiler for the signal that ended it: Ctrl-C in a terminal is for both.

    Raises:
        Interrupted: There was a signal, and networks could not be compiled.
    """
    try:
        yield
    except Exception as e:
        if noted() and compiler_failed(causes(e)):
            raise Interrupted(noted()) from e
        raise


def _end(error: Exception, config_name: str) -> NoReturn:
    """End the process with a sentence about an error."""
    message = explain(error, config_name) or defect(error, _run_dir(config_name))
    if os.environ.get("GDL_TRACEBACK"):
        traceback.print_exception(error)
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _end_of_sweep() -> NoReturn:
    print("error: Some jobs of the sweep failed; the table has their reasons.", file=sys.stderr)
    sys.exit(1)


def _run_dir(config_name: str) -> Path | None:
    """Return the directory of the run that is trained; other commands leave nothing in a run's."""
    if config_name != "train" or not HydraConfig.initialized():
        return None
    return Path(HydraConfig.get().runtime.output_dir)


register_resolvers()  # here, because a launcher's worker imports this file but runs no command
