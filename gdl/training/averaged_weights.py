"""An exponential moving average of the weights."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

__all__ = ["AveragedWeights"]

FULL = 1_000_000
"""So many updates that the decay is the full one."""


class AveragedWeights(Callback):
    """An exponential moving average of the parameters, used in validation, checkpoints and test.

    Lightning's `WeightAveraging` averages a copy of the whole model. Here only the parameters have a
    second value, on the device of the training, and all are averaged in one pass without waiting for
    a GPU. Everything else, such as a buffer that training changes, is the model's own, so `decay=0`
    is the same as no average.

    A checkpoint holds the average as "state_dict" and the parameters that training goes on with as
    "current_model_state".

    With a fixed decay a short run would end with much of its first weights in the average: more than
    a third after 1,000 steps of decay=0.999. So update n has the decay min(decay, n / (9 + n)), the
    rule of TensorFlow's `ExponentialMovingAverage`.

    Args:
        decay: Factor of the old average in each update, at most.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay
        self._other: list[Tensor] = []
        """The average; the current parameters while the model holds the average."""
        self._model_has_average = False
        self._updates = 0
        self._latest_step = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make room for the average on the device of the training."""
        if stage == "fit":
            device = trainer.strategy.root_device
            self._other = [p.detach().clone().to(device) for p in pl_module.parameters()]
            self._model_has_average, self._updates = False, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the step, so that the next one is noticed."""
        self._latest_step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the average towards the parameters after each optimizer step."""
        if trainer.global_step == self._latest_step:
            return
        self._latest_step = trainer.global_step
        parameters: list[Tensor] = list(pl_module.parameters())
        decay = min(self.decay, self._updates / (9 + self._updates))
        if decay:
            torch._foreach_lerp_(self._other, parameters, 1 - decay)
        else:
            torch._foreach_copy_(self._other, parameters)
        self._updates += 1

    def on_validation_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Validate the average."""
        self._put_average(pl_module, True)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the current parameters, if training goes on."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._put_average(pl_module, False)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the model."""
        self._put_average(pl_module, True)

    def state_dict(self) -> dict[str, Any]:
        """Return how many updates the average has had."""
        return {"updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of updates; older checkpoints say at most whether there was one."""
        begun = state_dict.get("has_begun", state_dict.get("latest_update_step"))
        self._updates = state_dict.get("updates", FULL if begun else 0)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the average into "state_dict", and the current parameters beside it."""
        own = checkpoint["state_dict"]
        other = dict(own)
        if self._updates:
            other |= {k: v for k, v in self._named(pl_module).items() if k in own}
        states = [own, other] if self._model_has_average else [other, own]
        checkpoint["state_dict"], checkpoint["current_model_state"] = states

    @torch.no_grad()
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore average and parameters; a run without average begins one."""
        if not self._other or "current_model_state" not in checkpoint:
            return
        average = checkpoint["state_dict"]
        for name, value in self._named(pl_module).items():
            value.copy_(average[name])
        pl_module.load_state_dict(checkpoint["current_model_state"])

    def _named(self, model: pl.LightningModule) -> dict[str, Tensor]:
        """Return the other values of the parameters by name; a shared parameter has several names."""
        other = dict(zip(model.parameters(), self._other, strict=True))
        return {name: other[p] for name, p in model.named_parameters(remove_duplicate=False)}

    @torch.no_grad()
    def _put_average(self, model: pl.LightningModule, wanted: bool) -> None:
        """Let the model hold the average, or the current parameters again."""
        if not self._updates or self._model_has_average == wanted:
            return
        # in place, since recorded CUDA graphs and optimizers refer to these tensors
        for mine, other in zip(model.parameters(), self._other, strict=True):
            kept = mine.clone()
            mine.copy_(other)
            other.copy_(kept)
        self._model_has_average = wanted
