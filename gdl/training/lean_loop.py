"""Lightning's training loop without the calls that do nothing.

Lightning calls some forty hooks, contexts and wrappers per step, whether anybody overrides them or
not: a third of a millisecond, a tenth of the step of a small model. This loop looks once per epoch
who overrides what, and then calls only those, in Lightning's order and with Lightning's counters.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from gdl.families.base import GenerativeModel
from gdl.families.optimization import Optimization

__all__ = ["NoProfiler", "lean"]

OTHERS = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
    "lr_scheduler_step",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
)
"""Hooks of a model that this loop does not call; a model that overrides one has Lightning's loop."""

HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
"""Hooks of callbacks within a step."""


class NoProfiler(PassThroughProfiler):
    """Lightning's default profiler without its context managers, which each step enters forty times."""

    _nothing = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return self._nothing


def lean(trainer: pl.Trainer) -> None:
    """Give a trainer this loop, if its Lightning is of a version whose loop it repeats."""
    if pl.__version__.startswith("2.6."):
        old = trainer.fit_loop.epoch_loop
        trainer.fit_loop.epoch_loop = _LeanLoop(trainer, old.min_steps, old.max_steps)


class _LeanLoop(_TrainingEpochLoop):
    """The loop over the batches of an epoch."""

    def __init__(self, trainer: pl.Trainer, min_steps: int | None, max_steps: int) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self.automatic_optimization = _LeanOptimization(trainer)
        self._is_lean = False

    @property
    def _optimization(self) -> "_LeanOptimization":
        # no second attribute: Lightning would store it in checkpoints as another loop
        return self.automatic_optimization  # pyright: ignore[reportReturnType]

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        self._is_lean = is_plain(self.trainer) and type(data_fetcher) is _PrefetchDataFetcher
        self._optimization.hooks = overridden(self.trainer) if self._is_lean else None

    def advance(self, data_fetcher: Any) -> None:
        if self.restarting or not self._is_lean:
            super().advance(data_fetcher)
            return
        trainer, model, hooks = self.trainer, self.trainer.lightning_module, self._optimization
        self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        self.batch_progress.is_last_batch = data_fetcher.done
        batch = model._apply_batch_transfer_handler(batch, trainer.strategy.root_device)
        self.batch_progress.increment_ready()
        trainer._logger_connector.on_batch_start(batch)
        hooks.call("on_train_batch_start", batch, index)
        model._current_fx_name = "on_train_batch_start"
        skips = model.on_train_batch_start(batch, index) == -1
        output = None
        if skips:
            self.batch_progress.increment_by(0, is_last_batch=True)
        else:
            self.batch_progress.increment_started()
            output = self._optimization.run(
                trainer.optimizers[0], index, self._build_kwargs(OrderedDict(), batch, index)
            )
        self.batch_progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        if skips:
            raise StopIteration
        hooks.call("on_train_batch_end", output, batch, index)
        model._current_fx_name = "on_train_batch_end"
        model.on_train_batch_end(output, batch, index)
        model._current_fx_name = None
        trainer._logger_connector.on_batch_end()
        self.batch_progress.increment_completed()
        trainer._logger_connector.update_train_step_metrics()


class _LeanOptimization(_AutomaticOptimization):
    """A step: loss, gradients, optimizer."""

    hooks: dict[str, list[Callable[..., Any]]] | None = None
    """The callbacks' methods by hook; None for Lightning's own way."""

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook of those callbacks that have it."""
        assert self.hooks is not None
        if methods := self.hooks[hook]:
            model = self.trainer.lightning_module
            model._current_fx_name = hook
            for method in methods:
                method(self.trainer, model, *args)
            model._current_fx_name = None

    def run(self, optimizer: Any, batch_idx: int, kwargs: OrderedDict[str, Any]) -> dict[str, Any]:
        if self.hooks is None:
            return super().run(optimizer, batch_idx, kwargs)
        trainer, model = self.trainer, self.trainer.lightning_module
        step, zero = self.optim_progress.optimizer.step, self.optim_progress.optimizer.zero_grad
        step.increment_ready()
        with torch.enable_grad():
            model._current_fx_name = "training_step"
            with trainer.precision_plugin.train_step_context():
                loss: Any = model.training_step(*kwargs.values())
            model._current_fx_name = None
            zero.increment_ready()
            self.call("on_before_zero_grad", optimizer)
            zero.increment_started()
            optimizer.zero_grad()
            zero.increment_completed()
            self.call("on_before_backward", loss)
            loss.backward()
            self.call("on_after_backward")
        self.call("on_before_optimizer_step", optimizer)
        model._current_fx_name = "on_before_optimizer_step"
        model.on_before_optimizer_step(optimizer)
        model._current_fx_name = None
        if trainer.gradient_clip_val:
            model.configure_gradient_clipping(
                optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )
        optimizer.step()
        step.increment_completed()
        return {"loss": loss.detach()}


def is_plain(trainer: Any) -> bool:
    """Return whether a training has nothing of which the lean loop does not know."""
    model, precision = trainer.lightning_module, trainer.precision_plugin
    return (
        isinstance(model, GenerativeModel)
        and type(trainer.profiler) is NoProfiler
        and model.automatic_optimization
        and type(trainer.strategy) is SingleDeviceStrategy
        and (
            type(precision) is Precision
            or (type(precision) is MixedPrecision and precision.scaler is None)
        )
        and trainer.accumulate_grad_batches == 1
        and len(trainer.optimizers) == 1
        and not isinstance(trainer.optimizers[0], torch.optim.LBFGS)
        and not any(getattr(type(model), h) is not getattr(Optimization, h) for h in OTHERS)
    )


def overridden(trainer: Any) -> dict[str, list[Callable[..., Any]]]:
    """Return, for each hook within a step, the methods of the callbacks that override it."""
    return {
        hook: [
            getattr(callback, hook)
            for callback in trainer.callbacks
            if getattr(type(callback), hook, None) is not getattr(Callback, hook)
            or hook in vars(callback)
        ]
        for hook in HOOKS
    }
