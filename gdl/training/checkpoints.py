"""The two checkpoints of a run: best.ckpt, which is tested, and last.ckpt, where it goes on.

A run that was killed goes on from last.ckpt and repeats what came after it. So best.ckpt may not be
ahead of last.ckpt: weights that training will perhaps not reach again would stand where better ones
of the past are gone. A new best waits in best.ckpt.next until last.ckpt knows of it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn

from gdl.errors import GdlError
from gdl.runs.directory import BEST, LAST
from gdl.serialization import read_checkpoint

__all__ = ["BestCheckpoint", "LastCheckpoint", "best_record", "save_last"]

Record = Mapping[str, Any]
"""What a validation was worth: the number's name `monitor`, its `value`, and the `step`."""


class BestCheckpoint(Checkpoint):
    """A callback that keeps the weights of the best validation of a run in best.ckpt.

    Every validation counts, also one within an epoch. Each checkpoint holds the record of the best
    validation so far, without any path, so a run can be moved or copied before it is resumed.

    Args:
        folder: Folder of the checkpoints.
        monitor: Name of the number that decides, e.g. val/nll.
        mode: "min" or "max", whether small or large numbers are good.

    Raises:
        GdlError: `mode` is neither.
    """

    def __init__(self, folder: str, monitor: str = "val/nll", mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise GdlError(f"callbacks.checkpoint.mode must be min or max, got {mode!r}.")
        self.path, self.last = Path(folder) / BEST, Path(folder) / LAST
        self.waiting = Path(folder) / f"{BEST}.next"
        self.monitor, self.mode = monitor, mode
        self.best: Record | None = None
        """The record of the best validation so far; None before the first one."""
        self._waits = False
        self._last_step = -1

    @property
    def value(self) -> float | None:
        """The monitored number of the best validation so far."""
        return None if self.best is None else self.best["value"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the weights that were validated, if they are the best so far.

        Raises:
            GdlError: The validation has no number with that name.
        """
        if trainer.sanity_checking or trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            return
        if self.monitor not in trainer.callback_metrics:
            names = ", ".join(sorted(k for k in trainer.callback_metrics if k.startswith("val/")))
            raise GdlError(
                f"callbacks.checkpoint.monitor={self.monitor} is not a number of this model's "
                f"validation: use one of {names}."
            )
        value = float(trainer.callback_metrics[self.monitor])
        if not self._is_best(value):
            return
        self.best = {"monitor": self.monitor, "value": value, "step": trainer.global_step}
        # after training, last.ckpt is of the last step; without one, a run goes on from best.ckpt,
        # which it could not do where gradients are being gathered
        is_between = self.last.exists() or trainer.fit_loop._should_accumulate()
        self._waits = trainer.state.fn == TrainerFn.FITTING and is_between
        trainer.save_checkpoint(self.waiting if self._waits else self.path)
        if trainer.state.fn != TrainerFn.FITTING and trainer.strategy.broadcast(
            self.last.exists()
        ):
            save_last(
                trainer, self.last
            )  # it has to know of the best, for a run that trains longer

    def last_was_saved(self, trainer: pl.Trainer) -> None:
        """Move a new best to its place, now that last.ckpt knows of it."""
        self._last_step = trainer.global_step
        self._settle(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what a killed process left."""
        if trainer.is_global_zero:
            self.waiting.unlink(missing_ok=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let last.ckpt, if there is one, be of the last step; it is not where callbacks.last=null."""
        there_is_one = trainer.strategy.broadcast(self.last.exists())
        if there_is_one and self._last_step < trainer.global_step:
            save_last(trainer, self.last)
        self._settle(trainer)

    def _settle(self, trainer: pl.Trainer) -> None:
        if self._waits and trainer.is_global_zero:
            self.waiting.replace(self.path)
        self._waits = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the record of the best validation so far."""
        checkpoint["gdl_best"] = self.best

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the best that the checkpoint knows of, if its weights are there."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        record = best_record(checkpoint)
        if trainer.is_global_zero:
            record = self._found(record)
        self.best = trainer.strategy.broadcast(record)

    def _is_best(self, value: float) -> bool:
        if self.value is None or not math.isfinite(value):
            return math.isfinite(value)
        return value < self.value if self.mode == "min" else value > self.value

    def _found(self, record: Record | None) -> Record | None:
        """Return the record if best.ckpt has the weights, or is given them; else None."""
        if record is not None and record["monitor"] != self.monitor:
            rank_zero_warn(
                f"The best checkpoint so far was chosen by {record['monitor']}; from here on "
                f"{self.monitor} decides, and earlier validations do not count."
            )
            record = None
        if record is not None and _record_of(self.path) != record:
            if _record_of(self.waiting) == record:
                self.waiting.replace(self.path)
            else:
                rank_zero_warn(
                    f"The best weights so far, of step {record['step']}, are not in {self.path}: "
                    "validations before this start do not count."
                )
                record = None
        return record


class LastCheckpoint(Checkpoint):
    """A callback that saves last.ckpt after epochs and at the end; see also `Interruption`.

    Args:
        folder: Folder of last.ckpt.
        every_n_epochs: Epochs between two saves; the first is always saved.
    """

    def __init__(self, folder: str, every_n_epochs: int = 1) -> None:
        if every_n_epochs < 1:
            raise GdlError(f"every_n_epochs must be at least 1, got {every_n_epochs}.")
        self.path, self.every_n_epochs = Path(folder) / LAST, every_n_epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; Lightning calls this after the model has logged the epoch."""
        is_due = trainer.current_epoch % self.every_n_epochs == 0 or not self.path.exists()
        if is_due and not trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            save_last(trainer, self.path)


def save_last(trainer: pl.Trainer, path: Path) -> None:
    """Write last.ckpt."""
    trainer.save_checkpoint(path)
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(callback, BestCheckpoint):
            callback.last_was_saved(trainer)


def best_record(checkpoint: Mapping[str, Any]) -> Record | None:
    """Return the record of the best validation that a checkpoint knows of."""
    if "gdl_best" in checkpoint:
        return _checked(checkpoint["gdl_best"])
    # up to 0.1.0 a callback of Lightning chose
    for name, state in checkpoint.get("callbacks", {}).items():
        score = state.get("best_model_score") if name.startswith("ModelCheckpoint") else None
        if score is not None and state["monitor"]:
            return {"monitor": state["monitor"], "value": float(score), "step": None}
    return None


def _checked(record: Any) -> Record | None:
    """Return a record, which may be somebody else's.

    Raises:
        GdlError: It is no record.
    """
    kinds = {"monitor": str, "value": float, "step": int}
    if record is None or (
        isinstance(record, dict)
        and record.keys() == kinds.keys()
        and all(isinstance(record[key], kind) for key, kind in kinds.items())
    ):
        return record
    raise GdlError(f"The checkpoint is damaged: its best validation is {record!s:.60}.")


def _record_of(path: Path) -> Record | None:
    try:
        return best_record(read_checkpoint(path))
    except GdlError:  # damaged, or not there
        return None
