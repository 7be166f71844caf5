"""A Weights & Biases logger that can neither stop nor slow down training."""

import atexit
import os
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from queue import Full, Queue
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from gdl.errors import GdlError
from gdl.tracking.wandb_service import resolve_mode, start_run, stop_service, sync_dir

__all__ = [
    "DetachedWandb",
    "close",
    "keep_explorer",
    "keep_model",
    "offline_dir",
    "open_wandb_logger",
]


class DetachedWandb(WandbLogger):
    """A W&B logger that can neither stop nor slow down training, nor keep the process from ending.

    A thread takes log entries from a queue and passes them to W&B. If W&B's own process dies,
    freezes or raises, a warning is printed once and the run goes on; metrics.csv has the numbers.

    Args:
        experiment: A started W&B run.
        save_dir: The run directory.
        project: W&B project.
        size: Length of the queue. If it is full, W&B is given up.
        finish_seconds: The longest time in seconds that the end of the run waits for W&B.
    """

    def __init__(
        self,
        experiment: Any,
        save_dir: str,
        project: str,
        size: int = 10_000,
        finish_seconds: float = 120,
    ) -> None:
        super().__init__(experiment=experiment, save_dir=save_dir, project=project)
        self.finish_seconds = finish_seconds
        self.keeps_model = self.keeps_explorer = False
        self._queue: Queue[Callable[[], None]] = Queue(size)
        self._fault: str | None = None
        threading.Thread(target=self._work, name="wandb", daemon=True).start()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Queue numbers for logging."""
        self._later(partial(super().log_metrics, dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:  # pyright: ignore
        """Queue the configuration for logging."""
        self._later(partial(super().log_hyperparams, params))

    def log_image(
        self, key: str, images: list[Any], step: int | None = None, **kwargs: Any
    ) -> None:
        """Queue image files for logging."""
        self._later(partial(super().log_image, key, images, step, **kwargs))

    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Queue a table for logging; a later one under the same key takes its place."""
        self._later(partial(super().log_table, key, columns, data, dataframe, step))

    def log_summary(self, numbers: Mapping[str, Any]) -> None:
        """Queue final numbers for the run's summary."""
        self._later(partial(self.experiment.summary.update, dict(numbers)))

    def keep_model(self, path: str | Path, facts: Mapping[str, Any]) -> None:
        """Queue a checkpoint to be kept as an artifact, if `logger.wandb.log_model` asks for it."""
        if self.keeps_model:
            self._later(partial(self._keep_model, Path(path), dict(facts)))

    def _keep_model(self, path: Path, facts: dict[str, Any]) -> None:
        import wandb

        artifact = wandb.Artifact(f"model-{self.experiment.id}", "model", metadata=facts)
        artifact.add_file(str(path), name=path.name)
        self.experiment.log_artifact(artifact, aliases=["best", "latest"])

    def keep_explorer(self, path: str | Path, facts: Mapping[str, Any]) -> None:
        """Queue the page of gdl explore, as a panel of the run and as an artifact."""
        self._later(partial(self._keep_explorer, Path(path), dict(facts)))

    def _keep_explorer(self, path: Path, facts: dict[str, Any]) -> None:
        import wandb

        artifact = wandb.Artifact(f"explorer-{self.experiment.id}", "explorer", metadata=facts)
        artifact.add_file(str(path), name=path.name)
        self.experiment.log_artifact(artifact, aliases=["best", "latest"])
        # as it is: W&B would add a style of its own, which the page's policy refuses
        self.experiment.log({"explorer": wandb.Html(path, inject=False)})

    def facts(self) -> dict[str, Any]:
        """Return what continues this W&B run, and finds those beside it."""
        run = self.experiment
        known = {"project": run.project, "entity": run.entity, "group": run.group}
        return {"id": run.id, **{key: value or None for key, value in known.items()}}

    def finalize(self, status: str) -> None:
        """Wait until the queue is empty, for at most ten seconds."""
        self._wait(10)

    def finish(self, exit_code: int) -> None:
        """End the W&B run; the next job of a sweep starts its own."""
        if self in UNFINISHED:
            UNFINISHED.remove(self)
        self.finalize("")
        # in the queue's thread: a call that may hang needs a thread to be waited for with a limit, and
        # no new thread can start while the interpreter ends
        self._later(partial(self.experiment.finish, exit_code))
        self._wait(self.finish_seconds)
        if self._fault is not None:
            stop_service()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._queue.unfinished_tasks and self._fault is None:
            if time.monotonic() > deadline:
                self._give_up(f"no answer in {seconds:g} s")
            time.sleep(0.01)

    def _later(self, call: Callable[[], None]) -> None:
        if self._fault is None and rank_zero_only.rank == 0:  # pyright: ignore[reportFunctionMemberAccess]
            try:
                self._queue.put_nowait(call)
            except Full:
                self._give_up("does not keep up")

    def _work(self) -> None:
        while True:
            call = self._queue.get()
            try:
                if self._fault is None:
                    call()
            except Exception as e:
                self._give_up(type(e).__name__)
            finally:
                self._queue.task_done()

    def _give_up(self, fault: str) -> None:
        if self._fault is None:
            self._fault = fault
            print(
                f"warning: W&B failed ({fault}); the run goes on without it, see metrics.csv.",
                file=sys.stderr,
            )


UNFINISHED: list[DetachedWandb] = []
"""The logger that this process has not finished; at most one, as W&B has one run per process."""


def _finish_left() -> None:
    """Finish the W&B run of a sweep job that failed, or of a process that was interrupted."""
    for logger in list(UNFINISHED):
        logger.finish(exit_code=1)


def open_wandb_logger(
    save_dir: str,
    project: str | None = None,
    id: str | None = None,
    mode: str = "auto",
    finish_seconds: float = 120,
    log_model: bool = False,
    explorer: bool = False,
    defaults: Mapping[str, Any] | None = None,
    **options: Any,
) -> WandbLogger | None:
    """Return a started W&B logger: online where the user is logged in and the server answers.

    What is None here is left to W&B's own environment, e.g. WANDB_PROJECT, WANDB_ENTITY, WANDB_TAGS,
    WANDB_RUN_GROUP or WANDB_DIR, and then to the defaults.

    Args:
        save_dir: The run directory; offline runs are written to its folder wandb/.
        project: W&B project, "gdl" by default.
        id: Id of the W&B run; a known id continues that run.
        mode: "online", "offline", "disabled", or "auto": see `resolve_mode`.
        finish_seconds: The longest time in seconds that the end of the run waits for W&B and its
            uploads; `wandb sync` uploads the rest.
        log_model: Keep the best checkpoint as an artifact.
        explorer: Show the page of the best checkpoint, see `gdl explore`, and keep it as an artifact.
        defaults: Arguments of `wandb.init` for what is None here and not in W&B's environment.
        **options: Further arguments of `wandb.init`, such as entity, group, job_type, name and tags.

    Returns:
        None where W&B is disabled; then it writes nothing.

    Raises:
        GdlError: `mode`, `log_model` or `explorer` is not known.
    """
    for key, value in (("log_model", log_model), ("explorer", explorer)):
        if not isinstance(value, bool):
            raise GdlError(f"logger.wandb.{key}={value} is not known: use true or false.")
    os.environ.setdefault("WANDB_SILENT", "true")
    mode = resolve_mode(mode)
    if mode == "disabled":
        return None
    if rank_zero_only.rank != 0:  # pyright: ignore[reportFunctionMemberAccess]
        # the first process writes for all
        return WandbLogger(save_dir=save_dir, project=project)
    _finish_left()
    own = {"project": "gdl", "dir": save_dir, "resume": "allow", **(defaults or {})}
    run = start_run(mode, {**options, "project": project, "id": id}, own)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    given = ("nll_given_label", "bpd_given_label", "bits_per_symbol")
    smallest = ("loss", "nll", "bpd", *given)
    for metric, best in [*((name, "min") for name in smallest), ("elbo", "max")]:
        run.define_metric(
            f"val/{metric}", step_metric="trainer/global_step", summary=f"{best},last"
        )
    logger = DetachedWandb(run, save_dir, run.project, finish_seconds=finish_seconds)
    logger.keeps_model, logger.keeps_explorer = log_model, explorer
    UNFINISHED.append(logger)
    atexit.unregister(_finish_left)
    # registered after W&B's own exit hook, so it runs before that hook, which may wait forever
    atexit.register(_finish_left)
    return logger


def close(loggers: Iterable[Logger], status: str = "success") -> None:
    """Finish all loggers, and the W&B run, so that the next job of a sweep can start its own."""
    for logger in loggers:
        logger.finalize(status)
        if isinstance(logger, DetachedWandb):
            logger.finish(exit_code=0 if status == "success" else 1)


def keep_model(loggers: Iterable[Logger], path: str | Path, facts: Mapping[str, Any]) -> None:
    """Keep a checkpoint as an artifact of each W&B run that wants it, see `open_wandb_logger`."""
    for logger in loggers:
        if isinstance(logger, DetachedWandb):
            logger.keep_model(path, facts)


def keep_explorer(
    loggers: Iterable[Logger], write: Callable[[], Path], facts: Mapping[str, Any]
) -> None:
    """Keep the page of the best checkpoint in each W&B run that wants it, see `open_wandb_logger`.

    A page that cannot be written is told in a warning; the run loses nothing else.

    Args:
        loggers: Those of the run.
        write: Writes the page and returns its path; called where a run wants it only.
        facts: What the artifact says of the page.
    """
    wanting = [lg for lg in loggers if isinstance(lg, DetachedWandb) and lg.keeps_explorer]
    if not wanting:
        return
    try:
        path = write()
    except Exception as e:
        reason = str(e) if isinstance(e, GdlError) else f"{type(e).__name__}: {e}"
        print(
            f"warning: W&B gets no page of gdl explore. {' '.join(reason.split())}",
            file=sys.stderr,
        )
        return
    for logger in wanting:
        logger.keep_explorer(path, facts)


def offline_dir(logger: Logger) -> Path | None:
    """Return the directory to pass to `wandb sync`; None if the logger is not an offline W&B run."""
    return sync_dir(logger.experiment) if isinstance(logger, WandbLogger) else None
