"""How the parameters of all models are updated: optimizer, schedule, clipping, skipped steps."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import Optimizer

from gdl.families.nonfinite import NonFiniteSteps

__all__ = ["Optimization"]


class Optimization(pl.LightningModule):
    """A LightningModule with an optimizer of its own choice, which skips steps that are not finite."""

    def __init__(self) -> None:
        super().__init__()
        self._optimizer: Callable[..., Optimizer] = torch.optim.Adam
        self._scheduler: Callable[..., Any] | None = None
        self.max_skipped_steps = 10
        self._nonfinite = NonFiniteSteps()
        self._grad_norm: Tensor | None = None
        self._lr = math.nan
        self._has_stepped = False
        """Whether the latest batch ended with a step; others gather gradients for a later one."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets this name 40 times per step, and Module.__setattr__ checks each time whether
        # it is a parameter: a quarter of a millisecond per step
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def train_with(
        self,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        """Choose the optimizer for training; the default is Adam with a learning rate of 1e-3.

        Args:
            optimizer: Called with the parameters, returns the optimizer.
            scheduler: Called with the optimizer and `total_steps`, returns a per-step scheduler.
        """
        self._optimizer, self._scheduler = optimizer, scheduler

    @property
    def skipped_steps(self) -> int:
        """Number of steps skipped because loss or gradients were not finite; see `NonFiniteSteps`."""
        return self._nonfinite.count

    @property
    def _log_every(self) -> int:
        return self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of trainer.precision=16-mixed, else None."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def parameter_groups(self) -> Any:
        """Return the parameters, or groups of them with options of their own, for the optimizer."""
        return self.parameters()

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Return the weights between hidden layers, for `gdl.training.Muon`; by default none."""
        return []

    def configure_optimizers(self) -> Any:
        """Build the optimizer and, if there is one, the per-step scheduler."""
        options: dict[str, Any] = {}
        trainer = self._trainer
        if trainer is not None and trainer.gradient_clip_val and self._scaler is not None:
            # a fused optimizer unscales the gradients itself, which is too late for clipping
            options = {k: False for k in getattr(self._optimizer, "keywords", {}) if k == "fused"}
        if "hidden" in inspect.signature(self._optimizer).parameters:
            options["hidden"] = self.hidden_matrices()
        optimizer = self._optimizer(self.parameter_groups(), **options)
        if self._scheduler is None:
            return optimizer
        total = self.trainer.estimated_stepping_batches  # infinite where only the time is limited
        scheduler = self._scheduler(optimizer, total_steps=total)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients as the trainer is configured.

        Lightning's own version refuses fused optimizers under mixed precision.
        """
        if gradient_clip_val:
            clip = clip_grad_value_ if gradient_clip_algorithm == "value" else clip_grad_norm_
            clip(self.parameters(), gradient_clip_val)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Skip a step that is not finite; note the gradient norm and the rate that it is made with."""
        self._has_stepped = True
        self._lr = optimizer.param_groups[0]["lr"]
        if (self.global_step + 1) % self._log_every == 0:
            grads = [p.grad for p in self.parameters() if p.grad is not None]
            self._grad_norm = get_total_norm(grads)
        reduce = lambda t: self.trainer.strategy.reduce(t, reduce_op="max")  # noqa: E731
        self._nonfinite.check(optimizer, reduce, self._scaler)
