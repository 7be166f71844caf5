"""The end of a training run: test the best weights, record and print the numbers."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig

from gdl.capabilities import HasLogProb
from gdl.evaluation import divergence
from gdl.explorer import Subject, write_page
from gdl.runs.directory import LAST
from gdl.runs.metrics import COSTS, GIVEN_LABEL, limits, stored_name
from gdl.runs.report import print_paths, print_results
from gdl.serialization import read_checkpoint
from gdl.tracking.wandb_logger import close, keep_explorer, keep_model, offline_dir
from gdl.training.checkpoints import BestCheckpoint
from gdl.training.grids import ImageGrids
from gdl.training.run import Training

__all__ = ["finish"]

KNOWN = ("test/kl", "test/entropy", "test/points")  # measured where the data's density is known
SUMMARY = ("best_", *COSTS, "skipped_steps", *KNOWN)
"""Prefixes of the final numbers that are sent to the loggers, beside the terms of the test."""


def _best(trainer: pl.Trainer) -> BestCheckpoint | None:
    """Return the callback that has kept the best weights; None if there are none."""
    found = (c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint) and c.best)
    return next(found, None)


def finish(job: Training) -> float | None:
    """Test the best checkpoint, write metrics.json, print the table and the paths.

    Without validation, or with callbacks.checkpoint=null, the last weights are tested.

    Returns:
        The best validation value, for sweeps.
    """
    trainer, model, run = job.trainer, job.model, job.run
    best = _best(trainer)
    if best is not None:
        model.load_state_dict(read_checkpoint(best.path)["state_dict"])
    elif trainer.is_global_zero:
        print("No best checkpoint was kept, so the last weights are tested.")
    trainer.test(model, datamodule=job.data, verbose=False)
    if trainer.is_global_zero:
        metrics = _final_metrics(job, best)
        run.merge_metrics(metrics)
        summary = {k: v for k, v in metrics.items() if k.startswith(SUMMARY) and v is not None}
        for logger in trainer.loggers:
            logger.log_metrics(summary, step=trainer.global_step)
        if best is not None:
            keep_model(trainer.loggers, best.path, metrics)
        print_results(run.metrics())
        checkpoint = run.checkpoints / LAST if best is None else best.path
        print_paths(run, checkpoint, [offline_dir(lg) for lg in trainer.loggers])
        if best is not None:  # last, as it takes seconds
            keep_explorer(trainer.loggers, partial(_write_explorer, job), metrics)
    close(trainer.loggers)
    return None if best is None else best.value


def _write_explorer(job: Training) -> Path:
    """Write the page of the tested weights, and return its path."""
    model = job.model.cpu().eval()
    # what was compiled for the training is not compiled again for a CPU
    eager = torch.compiler.set_stance("force_eager") if job.cfg.compile else nullcontext()
    with eager:
        return write_page(Subject(job.run, model, job.data), job.run.explorer_html)


def _final_metrics(job: Training, best: BestCheckpoint | None) -> dict[str, Any]:
    trainer, model = job.trainer, job.model
    callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    times = [c.sampling_ms for c in callbacks if isinstance(c, ImageGrids) and c.sampling_ms]
    sampling = {"sampling_ms": times[0]} if times else {}
    names = HydraConfig.get().runtime.choices
    found = trainer.callback_metrics.items()
    tested = {stored_name(k): float(v) for k, v in found if k.startswith("test/")}
    labels = job.data.labels("test") if model.num_classes else None
    if labels is not None and bool((labels < 0).any()):
        # their mean is also over images without a label; `measure=bits` leaves these out
        tested = {k: v for k, v in tested.items() if not k.startswith(GIVEN_LABEL)}
    if isinstance(job.data, HasLogProb):
        tested |= divergence(model, job.data)
    return {
        "model": names["model"],
        "data": names["data"],
        "kind": model.nll_kind,
        **{f"data/{k}": v for k, v in (job.data.facts() | job.data.identity()).items()},
        **tested,
        "test/images": model.tested_images,
        "limited_by": _limits(trainer),
        **({} if best is None else {f"best_{best.monitor}": best.value}),
        "params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "skipped_steps": model.skipped_steps,
        "seed": job.cfg.seed,
        "train_seconds": job.train_seconds,
        **sampling,
    }


def _limits(trainer: pl.Trainer) -> str:
    """Return what limits the data that the numbers are of; also from Lightning's environment."""
    keys = ("fast_dev_run", "limit_test_batches", "overfit_batches")
    return limits({key: getattr(trainer, key) for key in keys})
