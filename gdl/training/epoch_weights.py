"""The weights of single epochs, from which `gdl explore checkpoints=true` shows a model forming."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.runs.epochs import epoch_file, epoch_files
from gdl.training.averaged_weights import AveragedWeights

__all__ = ["EpochWeights", "is_kept"]

GROWTH = 1.4
"""Factor from one kept epoch to the next: a model changes most at the beginning."""


class EpochWeights(Callback):
    """A callback that keeps the weights of some epochs in epoch_0000.ckpt, epoch_0001.ckpt and so on.

    Epoch 0 are the weights before the first step, and the last epoch is always kept. A file holds what
    is tested, so the averaged weights if there are some, the configuration, and the numbers of the
    validation of these weights, but nothing to go on with: it has a third of the size of last.ckpt.

    No checkpoint callback of Lightning, which all come after this one: an epoch that last.ckpt has
    ended has its file, also where the process was killed.

    Args:
        folder: Folder of the files.
        every_n_epochs: Epochs between two files; 0 for gaps that grow, 1, 2, 3, 5, 7, 10, 14, 20, 28,
            40, 56 and so on.

    Raises:
        GdlError: The number is negative.
    """

    def __init__(self, folder: str, every_n_epochs: int = 0) -> None:
        if every_n_epochs < 0:
            raise GdlError(f"callbacks.history.every_n_epochs={every_n_epochs} must be 0 or more.")
        self.folder, self.every_n_epochs = Path(folder), every_n_epochs
        self._latest = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what another start left, or what this one will train again; keep the first weights."""
        done = trainer.current_epoch
        if trainer.is_global_zero:
            for number, path in epoch_files(self.folder).items():
                if number > done or trainer.global_step == 0:
                    path.unlink()
        self._latest = done
        if trainer.global_step == 0:
            self._keep(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights, if it is the turn of this epoch."""
        self._latest = trainer.current_epoch + 1
        if is_kept(self._latest, self.every_n_epochs):
            self._keep(trainer, pl_module, self._latest)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the last weights."""
        self._keep(trainer, pl_module, self._latest)

    def _keep(self, trainer: pl.Trainer, model: pl.LightningModule, number: int) -> None:
        assert isinstance(model, GenerativeModel)
        validation, path = _validation(trainer, model), epoch_file(self.folder, number)
        if trainer.fast_dev_run or not trainer.is_global_zero or path.exists():  # pyright: ignore[reportAttributeAccessIssue]
            return
        content: dict[str, Any] = {
            "state_dict": model.state_dict(),
            "gdl_config": model.config or {"model": model.description()},
            "gdl_epoch": number,
            "global_step": trainer.global_step,
            "gdl_validation": validation,
        }
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, AveragedWeights):
                callback.on_save_checkpoint(trainer, model, content)
                content.pop("current_model_state")
        # its own bytes: a part of a larger tensor is stored with all of it
        content["state_dict"] = {k: v.cpu().clone() for k, v in content["state_dict"].items()}
        trainer.strategy.save_checkpoint(content, path)


def is_kept(number: int, every_n_epochs: int = 0) -> bool:
    """Return whether the weights after so many epochs are kept.

    >>> [n for n in range(60) if is_kept(n)]
    [0, 1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56]
    """
    if every_n_epochs:
        return number % every_n_epochs == 0
    kept = 1
    while kept < number:
        kept = math.ceil(GROWTH * kept)
    return number in (0, kept)


def _validation(trainer: pl.Trainer, model: GenerativeModel) -> dict[str, float]:
    """Return the numbers of the validation of these weights, none if there was none of them."""
    if model.validated_step != trainer.global_step:
        return {}
    found = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
    return {k: v for k, v in found.items() if math.isfinite(v)}
