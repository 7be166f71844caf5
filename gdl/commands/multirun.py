"""Hydra's multirun: which folder a sweep has, and how one of its jobs is run."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from gdl.commands.conf import CONF
from gdl.commands.quoting import quoted, unquoted
from gdl.commands.train_log import train_log
from gdl.commands.trust import foreign_packages
from gdl.errors import GdlError
from gdl.runs.directory import Run, sweep_dir
from gdl.stopping import catch_signals
from gdl.sweeps.apart import run_apart
from gdl.sweeps.jobs import Job, run_job
from gdl.sweeps.names import sweep_name
from gdl.sweeps.optuna_study import continue_study

__all__ = ["flags", "run_one_job", "with_flag", "with_folder"]


def with_flag(args: list[str]) -> list[str]:
    """Write hydra.mode=MULTIRUN as -m, which means the same."""
    rest = [a for a in args if not re.fullmatch(r"\+{0,2}hydra\.mode=['\"]?MULTIRUN['\"]?", a)]
    return args if len(rest) == len(args) else ["-m", *rest]


def with_folder(args: list[str]) -> tuple[list[str], Path | None]:
    """Give a multirun its folder, outputs/sweeps/<name>; the same overrides have the same name.

    With sweep=optuna the folder also holds the study, which a second start continues.

    Returns:
        The arguments, and the folder; None without --multirun.
    """
    if not flags(args):
        return args, None
    given = [a.partition("=")[2] for a in args if a.startswith("hydra.sweep.dir=")]
    if given:
        folder = Path(unquoted(given[-1]))
    else:
        named = [a.partition("=")[2] for a in args if a.startswith("sweep.name=")]
        folder = sweep_dir(unquoted(named[-1]) if named else sweep_name(args))
        args = [*args, f"hydra.sweep.dir={quoted(folder)}"]
    return _with_study(args, folder), folder


def flags(args: list[str]) -> list[str]:
    """Return those arguments that ask for a multirun."""
    return [arg for arg in args if arg in ("-m", "--multirun")]


def _with_study(args: list[str], folder: Path) -> list[str]:
    """Tell Optuna how many trials are left, and another seed than before."""
    if "sweep=optuna" not in args:
        return args
    folder.mkdir(parents=True, exist_ok=True)
    found = continue_study(folder, retry_failed="sweep.rerun=none" not in args)
    if found is None:
        return args
    default = OmegaConf.load(CONF / "sweep" / "optuna.yaml").sweep.trials
    total = [default, *(a.partition("=")[2] for a in args if a.startswith("sweep.trials="))][-1]
    return [
        *args,
        f"hydra.sweeper.n_trials={max(0, int(total) - found.ended)}",
        f"hydra.sweeper.sampler.seed={found.trials}",
    ]


def run_one_job(
    task: Callable[[DictConfig], Any],
    cfg: DictConfig,
    explain: Callable[[BaseException], str | None],
) -> float | None:
    """Leave out, resume or start one job of a sweep; return its objective.

    Args:
        task: Called with the configuration, returns the objective.
        cfg: Its `sweep.rerun` says which jobs that have ended are started over: failed, all or none.
        explain: Returns the sentence for an exception that bad input has caused.

    Raises:
        GdlError: sweep.rerun is none of these.
        JobFailed: The job failed, now or, with `sweep.rerun=none`, before.
    """
    catch_signals()  # a launcher's worker has not run the command
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return task(cfg)  # one of the job's other processes; the first keeps the record
    if cfg.sweep.rerun not in ("failed", "all", "none"):
        raise GdlError(f"sweep.rerun={cfg.sweep.rerun} is not known: use failed, all or none.")
    hydra_config = HydraConfig.get()
    job = Job(Path(hydra_config.runtime.output_dir))

    def compute(checkpoint: Path | None) -> float | None:
        os.environ["GDL_SWEEP"] = Path(hydra_config.sweep.dir).name
        if _needs_process(cfg):
            return run_apart(job, _own_arguments(cfg, job, checkpoint))
        with open_dict(cfg):
            cfg.resume = None if checkpoint is None else str(checkpoint)
        train_log.attach(Run(job.folder).train_log)
        return task(cfg)

    train_log.detach()  # each job has its own
    try:
        return run_job(job, compute, cfg.sweep.rerun, explain)
    finally:
        train_log.detach()


def _own_arguments(cfg: DictConfig, job: Job, checkpoint: Path | None) -> list[str]:
    """Return the arguments of a command that does the job by itself."""
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    resume = [] if checkpoint is None else [f"resume={quoted(checkpoint)}"]
    # the command that started the sweep names these classes, so its jobs may resume with them
    packages = foreign_packages(cfg)
    trust = [f"trust={','.join(packages)}"] if packages else []
    return [*overrides, f"hydra.run.dir={quoted(job.folder)}", *resume, *trust]


def _needs_process(cfg: DictConfig) -> bool:
    """Return whether a job has a process of its own.

    With several devices it must: Lightning starts the command line again for each of them. So does
    a launcher with worker processes: a kill then takes one job, and not the launcher's worker with
    all the jobs that wait for it.
    """
    if cfg.sweep.isolate != "auto":
        return bool(cfg.sweep.isolate)
    launcher = str(HydraConfig.get().launcher.get("_target_", ""))
    several = cfg.trainer.devices not in (1, "1") or "ddp" in str(cfg.trainer.get("strategy"))
    return "SLURM_JOB_ID" not in os.environ and (several or not launcher.endswith("BasicLauncher"))
