"""Hydra's sweeper of grids, which knows without composing a job's configuration that it has ended."""

import itertools
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from gdl.errors import GdlError
from gdl.sweeps.jobs import Job
from gdl.sweeps.names import job_name

__all__ = ["GridSweeper", "register"]

ENDED = {"failed": ("done",), "none": ("done", "failed"), "all": ()}
"""The states of jobs that are not started again, for each value of sweep.rerun."""

NAMED_BY_OVERRIDES = "${job_name:${hydra:job.override_dirname},${hydra:sweep.dir}}"
"""hydra.sweep.subdir of conf/train.yaml; with another one, only composing tells a job's folder."""


class GridSweeper(Sweeper):
    """A job for each combination of the values, but for those that have ended: see `sweep.rerun`.

    Hydra's own sweeper composes the configuration of each job twice, a third of a second, before the
    job can see that there is nothing to do.

    Args:
        max_batch_size: Jobs that a launcher gets at a time; None for all.
        params: Values by key, as on the command line, which goes before.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Build the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Launch the jobs that are left; return what the launcher has returned of each batch.

        Raises:
            GdlError: sweep.rerun is no choice, or the values are no list.
        """
        assert self.config is not None
        assert self.launcher is not None
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        jobs = combinations([*(f"{k}={v}" for k, v in self.params.items()), *arguments])
        left = _left(self.config, jobs)
        if len(left) < len(jobs):
            print(f"{len(jobs) - len(left)} of {len(jobs)} jobs have ended before", flush=True)
        size, returns = self.max_batch_size or max(1, len(left)), []
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            self.validate_batch_is_legal(
                batch
            )  # a mistake in the last job is told before the first
            returns.append(self.launcher.launch(batch, initial_job_idx=start))
            for job in returns[-1]:
                _ = job.return_value  # raises what the job has raised
        return returns


def combinations(arguments: list[str]) -> list[list[str]]:
    """Return the overrides of each job: one value for each key; the last argument of a key counts.

    >>> combinations(["model=vae", "seed=1,2"])
    [['model=vae', 'seed=1'], ['model=vae', 'seed=2']]

    Raises:
        GdlError: An argument is an interval, which has no list of values.
    """
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create().parse_overrides(arguments):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise GdlError(
                f"{override.input_line} is an interval, and a grid needs values: write {key}=1,2 or "
                f"{key}=range(1,3), or search with sweep=optuna."
            )
    return [list(job) for job in itertools.product(*choices.values())]


def register() -> None:
    """Give Hydra the sweeper under a name from which it takes plugins; conf/hydra/sweeper has it."""
    Plugins.instance().class_name_to_class["hydra_plugins.gdl.GridSweeper"] = GridSweeper


def _left(config: DictConfig, jobs: list[list[str]]) -> list[list[str]]:
    """Return the jobs that have not ended, or are to be started over."""
    if (rerun := config.sweep.rerun) not in ENDED:
        raise GdlError(f"sweep.rerun={rerun} is not known: use failed, all or none.")
    sweep: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if not ENDED[rerun] or sweep["subdir"] != NAMED_BY_OVERRIDES:
        return jobs
    folder = Path(config.hydra.sweep.dir)
    return [job for job in jobs if _state(job, folder) not in ENDED[rerun]]


def _state(job: list[str], sweep: Path) -> str | None:
    """Return the state of a job, by its overrides; None if it has not been started."""
    overrides = OverridesParser.create().parse_overrides(job)
    own: list[Override] = [o for o in overrides if not o.is_hydra_override()]
    name = job_name(get_overrides_dirname(own, kv_sep="=", item_sep=",", exclude_keys=[]), sweep)
    return Job(sweep / name).status.get("state")
