"""Saves a run that is told to stop by a signal, and every few minutes in case it is killed."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from gdl import stopping
from gdl.runs.directory import LAST
from gdl.stopping import Interrupted
from gdl.training.checkpoints import save_last

__all__ = ["Interrupted", "Interruption"]


class Interruption(Checkpoint):
    """A callback that writes last.ckpt every few minutes and after SIGTERM or Ctrl-C.

    After a signal, the current step is finished, then the run is saved and stopped. All processes of
    a run save and stop at the same step, even if only one of them got the signal. A second signal
    stops at once, without saving.

    It saves only where a run can go on as if nothing had happened: after a step, not between batches
    whose gradients are gathered for one; and after the validation, if one is due at that step.

    Args:
        folder: Folder of last.ckpt.
        every_minutes: Minutes between two saves within an epoch; None for no such saves. The end of
            each epoch is saved by the callback `last`.
    """

    def __init__(self, folder: str, every_minutes: float | None) -> None:
        self.path, self.every_minutes = Path(folder) / LAST, every_minutes
        self._saved = time.monotonic()
        self._step = 0
        self._may_save = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; from now on a signal waits for the end of a step."""
        self._saved, self._step = time.monotonic(), trainer.global_step
        stopping.finish_step_first()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if enough time has passed; save and stop if there was a signal."""
        has_stepped, self._step = trainer.global_step > self._step, trainer.global_step
        loop = trainer.fit_loop.epoch_loop
        # at the end of an epoch, and so of training, others save
        is_end = loop.batch_progress.is_last_batch or trainer.global_step == trainer.max_steps
        self._may_save = has_stepped and not is_end
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        # a run that goes on from here would leave a validation out
        if self._may_save and not loop._should_check_val_fx(fetcher):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after a validation within an epoch, which had to come first."""
        if self._may_save and not trainer.should_stop:
            self._save_if_due(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the test if a signal came in the last epoch."""
        self._may_save = False
        signum, _ = self._agree(trainer, stopping.noted(), False)
        if signum:
            save_last(trainer, self.path)
            stopping.stop(signum)
        stopping.stop_at_once()
        stopping.check()

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        late = (
            self.every_minutes is not None
            and time.monotonic() - self._saved > 60 * self.every_minutes
        )
        signum, late = self._agree(trainer, stopping.noted(), late)
        if not (signum or late):
            return
        save_last(trainer, self.path)
        self._saved = time.monotonic()
        if signum:
            stopping.stop(signum)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Wait for no further step."""
        stopping.stop_at_once()

    @staticmethod
    def _agree(trainer: pl.Trainer, signum: int, late: bool) -> tuple[int, bool]:
        """Return the largest values over all processes."""
        if trainer.world_size == 1:
            return signum, late
        both = torch.tensor([signum, int(late)], device=trainer.strategy.root_device)
        both = trainer.strategy.reduce(both, reduce_op="max")
        assert isinstance(both, torch.Tensor)
        return int(both[0]), bool(both[1])
