"""Checkpoints of runs whose best epoch is not the last."""

from pathlib import Path
from typing import Any

import hydra
import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.utils.data import DataLoader

from gdl.commands.conf import CONF


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
