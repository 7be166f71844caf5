"""Checkpoints of runs whose best epoch is not the last, and the line of progress."""

from pathlib import Path
from typing import Any

import hydra
import lightning.pytorch as pl
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.utils.data import DataLoader

from gdl.commands.conf import CONF
from gdl.training import ProgressLine


class Worse(pl.LightningModule):
    """A model that is worse after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor) -> None:
        self.log("val/nll", float(self.current_epoch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_the_last_checkpoint_is_of_the_last_epoch_though_another_was_better(
    tmp_path: Path,
) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"run_dir={tmp_path}"])
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        callbacks=[instantiate(cfg.callbacks[name]) for name in ("checkpoint", "last")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(list(torch.ones(4, 1)))
    trainer.fit(Worse(), data, data)
    epochs = {
        name: torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert epochs == {"best": 0, "last": 2}


class Lines(ProgressLine):
    """The progress line, which is kept after each step."""

    found: list[str]

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.found = [*getattr(self, "found", []), self.line(trainer)]


@pytest.mark.parametrize("epochs", [-1, 10**9])
def test_the_time_left_is_that_until_the_time_limit(epochs: int) -> None:
    lines = Lines(every_seconds=1000)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        max_time={"hours": 2},
        callbacks=[lines, StopAfter(3)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(Worse(), DataLoader(list(torch.ones(4, 1))))
    first = lines.found[1]
    assert first.startswith("epoch 1 ·" if epochs < 0 else "epoch 1/1000000000 ·")
    assert first.endswith(("2 h 00 min left", "1 h 59 min left"))


class StopAfter(pl.Callback):
    """Ends a training after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps
