"""Saves a run that is told to stop by a signal, and every few minutes in case it is killed."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

__all__ = ["Interrupted", "Interruption"]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""SIGUSR2 comes from submitit, whose handler queues the SLURM job again and ends the process."""


class Interrupted(SystemExit):
    """The exception that ends a process after a signal, with exit code 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum

    def __str__(self) -> str:
        return signal.Signals(self.signum).name


class Interruption(Callback):
    """A callback that writes last.ckpt every few minutes and after SIGTERM or Ctrl-C.

    After a signal, the current step is finished, then the run is saved and stopped. All processes of
    a run save and stop at the same step, even if only one of them got the signal. A second signal
    stops at once, without saving.

    Args:
        folder: Folder of last.ckpt.
        every_minutes: Minutes between two saves within an epoch; None for no such saves. The end of
            each epoch is saved by the callback `last`.
    """

    def __init__(self, folder: str, every_minutes: float | None) -> None:
        self.path, self.every_minutes = Path(folder) / "last.ckpt", every_minutes
        self._signum = 0
        self._saved = time.monotonic()
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock and install the signal handlers; Lightning removes them after training."""
        self._saved, self._signum = time.monotonic(), 0
        # Lightning's own handler communicates with the other processes inside of the handler, where
        # they may be in the middle of a reduction
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.getsignal(s) for s in SIGNALS}
            for signum, handler in self._before.items():
                if signum != signal.SIGUSR2 or callable(handler):
                    signal.signal(signum, self._note)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if enough time has passed; save and stop if there was a signal."""
        late = (
            self.every_minutes is not None
            and time.monotonic() - self._saved > 60 * self.every_minutes
        )
        signum, late = self._agree(trainer, self._signum, late)
        # after the last batch of an epoch, validation follows and writes its own checkpoint
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or not (signum or late):
            return
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
        if signum:
            self._stop(signum)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the test if a signal came in the last epoch, whose end has been saved."""
        signum, _ = self._agree(trainer, self._signum, False)
        if signum:
            self._stop(signum)

    def _stop(self, signum: int) -> NoReturn:
        if signum == signal.SIGUSR2:
            self._before[signum](signum, None)
        raise Interrupted(signum)

    @staticmethod
    def _agree(trainer: pl.Trainer, signum: int, late: bool) -> tuple[int, bool]:
        """Return the largest values over all processes."""
        if trainer.world_size == 1:
            return signum, late
        both = torch.tensor([signum, int(late)], device=trainer.strategy.root_device)
        both = trainer.strategy.reduce(both, reduce_op="max")
        assert isinstance(both, torch.Tensor)
        return int(both[0]), bool(both[1])

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._signum:
            raise Interrupted(signum)
        self._signum = signum
        text = "\nstopping after this step; again to stop at once\n"
        os.write(sys.stderr.fileno(), text.encode())
