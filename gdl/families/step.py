"""The training step, evaluation step and checkpoint that all models share."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.families.labels import ClassLabels
from gdl.families.terms import TermSums
from gdl.noise import seed_noise
from gdl.part import Part

__all__ = ["SharedStep"]

Batch = Tensor | Sequence[Tensor]
"""Images (B, C, H, W), or a pair of images and labels (B,)."""

GIVEN_LABEL = {name: f"{name}_given_label" for name in ("nll", "elbo")}
"""The terms of `loss` whose meaning changes if a label is given, and what they are then called."""


@runtime_checkable
class Rewinds(Protocol):
    """A logger that can forget."""

    def rewind(self, step: int) -> None:
        """Forget what was logged for this step and later ones."""


class SharedStep(ClassLabels, ABC):
    """A LightningModule that logs the mean of each term of `loss` as {stage}/{term}.

    Its noise is seeded anew for every batch, steps that are not finite are skipped, and its
    checkpoints hold the configuration.
    """

    def __init__(self, num_classes: int = 0, label_dropout: float = 0.0) -> None:
        super().__init__(num_classes, label_dropout)
        self.config: dict[str, Any] = {}
        self.noise_seed = 0
        self.train_metrics: dict[str, float] = {}
        self.validated_step = -1
        """The step of the last validation."""
        self.tested_images = 0
        """Images of the last test, in all processes."""
        self._sums = {stage: TermSums() for stage in ("train", "val", "test")}
        self._sums_to_restore: dict[str, Any] = {}
        self._train_clock = (time.perf_counter(), 0)
        self._fit_start: float | None = None
        self._fit_seconds = 0.0

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms (B,) of images and, of a conditional model, their labels."""

    @abstractmethod
    def nll(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Return -log p(x | y) (B,), or -log p(x) without labels, in nats."""

    def _own_config(self) -> dict[str, Any]:
        """Return the configuration of a model that was built without train.py."""
        try:
            return {"model": self.description()}
        except GdlError:
            return {}  # such a checkpoint is for load_state_dict only

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return the model's class and arguments as plain data."""

    @abstractmethod
    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the mean terms, and numbers that follow from them, such as bits/dim."""

    @property
    def fit_seconds(self) -> float:
        """Seconds of training so far, including the time before an interruption."""
        if self._fit_start is None:
            return self._fit_seconds
        return self._fit_seconds + time.perf_counter() - self._fit_start

    def _apply_batch_transfer_handler(
        self, batch: Batch, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Batch:
        # replaces three of Lightning's hooks per step, which no model here overrides
        to = device or self.device
        if isinstance(batch, Tensor):
            return batch.to(to, non_blocking=True)
        return [t.to(to, non_blocking=True) for t in batch]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss; the sums of the terms stay on the device until they are logged."""
        part = self._part(batch, "train", batch_idx)
        self._seed(part, "train", self.current_epoch, batch_idx)
        self._has_stepped = False
        terms = self.logged_terms(batch, "train")
        self._sums["train"].add(terms, part.count)
        loss = terms["loss"].mean()
        if part.weight != 1:
            loss = loss * part.weight
        self._nonfinite.watch(loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the terms of a validation batch."""
        self._evaluate(batch, "val", batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the terms of a test batch."""
        self._evaluate(batch, "test", batch_idx)

    def _evaluate(self, batch: Batch, stage: str, batch_idx: int) -> None:
        part = self._part(batch, stage, batch_idx)
        self._seed(part, stage, batch_idx)
        self._sums[stage].add(self.logged_terms(batch, stage), part.count)

    def logged_terms(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        """Return the terms (B,) of a batch, under the names that they are logged by.

        Terms that are given the label are called so: -log p(x | y) is no likelihood of x alone. The
        test adds -log p(x), which can be compared with other models. In training, where labels may be
        left out, a mean could be of both, so only the loss has a name.
        """
        if isinstance(batch, Tensor):
            return self.loss(batch)
        x, y = batch
        if not self.num_classes:
            return self.loss(x)
        terms = self.loss(x, y)
        if stage == "train" and not (self.all_labelled and not self.label_dropout):
            return {name: t for name, t in terms.items() if name not in GIVEN_LABEL}
        terms = {GIVEN_LABEL.get(name, name): t for name, t in terms.items()}
        if stage == "test" and "nll_given_label" in terms:
            terms["nll"] = self.nll(x)
        return terms

    def _part(self, batch: Batch, stage: str, batch_idx: int) -> Part:
        """Return the part of the batch, shared by all processes, that this process has."""
        n = len(batch if isinstance(batch, Tensor) else batch[0])
        if self._trainer is None or self._trainer.world_size == 1:
            return Part(0, n, n)
        rank, world = self.global_rank, self._trainer.world_size
        data = getattr(self._trainer, "datamodule", None)
        if isinstance(data, ImageData):
            return Part.of(data.batch_total(stage, batch_idx, world), rank, world)
        return Part(rank * n, n, world * n, world)

    def _seed(self, part: Part, *key: int | str) -> None:
        """Make the noise of a batch a function of (seed, stage, epoch, batch, image).

        Then a resumed run repeats the interrupted one bit for bit, even if other code draws random
        numbers, and validation uses the same noise in each epoch.
        """
        seed_noise(self.device, self.noise_seed, *key, part=part)

    def on_train_start(self) -> None:
        """Start the clocks of the training time and of images/s."""
        self._fit_start = time.perf_counter()
        self._train_clock = (self._fit_start, self._sums["train"].total)
        self._sums["train"].restore(self._sums_to_restore, self.device)
        self._sums_to_restore = {}

    def on_train_end(self) -> None:
        """Stop the clock of the training time."""
        self._fit_seconds, self._fit_start = self.fit_seconds, None

    def on_train_epoch_start(self) -> None:
        """Start the clock that measures images/s."""
        self._train_clock = (time.perf_counter(), self._sums["train"].total)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log means over the last `log_every_n_steps` steps.

        For a small model, logging at each step would cost more than half of the step.
        """
        self._log_if_due()

    def _log_if_due(self) -> None:
        if self.global_step % self._log_every == 0:
            self._log_train_interval()

    def on_validation_start(self) -> None:
        """Log the last training steps, so that bad values stop the run before anything is saved."""
        if not self.trainer.sanity_checking:
            self._log_train_interval()

    def on_train_epoch_end(self) -> None:
        """Log the rest of the epoch, before a checkpoint is written."""
        self._log_train_interval()

    def on_validation_epoch_end(self) -> None:
        """Log the validation means and the seconds of training so far."""
        self._log_means("val")
        self.log("seconds", self.fit_seconds)
        self.validated_step = self.global_step

    def on_test_epoch_end(self) -> None:
        """Log the test means and count the images that they are over."""
        self._log_means("test")
        self.tested_images = self._sums["test"].popped

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the resolved configuration as plain data, from which the model can be rebuilt.

        Raises:
            GdlError: A parameter is NaN or infinite; the previous checkpoint is kept.
        """
        for name, p in self.named_parameters():
            if not bool(p.isfinite().all()):
                raise GdlError(
                    f"Parameter {name} is not finite at step {self.global_step}, so no checkpoint "
                    "was written: lower model.optimizer.lr or set trainer.gradient_clip_val=1."
                )
        # Lightning calls the callbacks that save before the hook that logs
        self._log_if_due()
        reduce = self.trainer.strategy.reduce
        sums = self._sums["train"].state(lambda t: reduce(t, reduce_op="sum"))
        checkpoint["gdl_train_sums"] = sums
        checkpoint["gdl_config"] = self.config or self._own_config()
        checkpoint["gdl_fit_seconds"] = self.fit_seconds
        checkpoint["gdl_skipped_steps"] = self.skipped_steps
        # the row of a validation after training comes after this step, so it will be logged again
        is_fitting = self.trainer.state.fn == TrainerFn.FITTING
        checkpoint["gdl_validated_step"] = self.validated_step if is_fitting else -1

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what training has counted so far, and drop rows that will be logged again.

        Raises:
            GdlError: The weights are those of another model.
        """
        self.check_weights(checkpoint["state_dict"])
        if self.trainer.state.fn == TrainerFn.FITTING:
            if self.trainer.is_global_zero:
                self._sums_to_restore = checkpoint.get("gdl_train_sums", {})
            for logger in self.loggers:
                if isinstance(logger, Rewinds):
                    logger.rewind(checkpoint["global_step"])
        self._fit_seconds = checkpoint.get("gdl_fit_seconds", 0.0)
        self._nonfinite.count = checkpoint.get("gdl_skipped_steps", 0)
        self.validated_step = checkpoint.get("gdl_validated_step", -1)

    def check_weights(self, state: Mapping[str, Tensor]) -> None:
        """Refuse to resume from the weights of another model.

        Raises:
            GdlError: Names or shapes differ.
        """
        own = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if other := sorted(k for k in own | given if own.get(k) != given.get(k)):
            raise GdlError(
                f"The checkpoint is of another model ({other[0]} is {given.get(other[0])} there and "
                f"{own.get(other[0])} here): resume it without changing the model, or start a new run."
            )

    def _means(self, stage: str) -> dict[str, float]:
        """Return {stage}/{term} over the examples since the last call, and empty the sums."""
        reduce = self.trainer.strategy.reduce
        means = self._sums[stage].pop(lambda t: reduce(t, reduce_op="sum"))
        return {f"{stage}/{term}": value for term, value in self.derived(means).items()}

    def _log_means(self, stage: str) -> None:
        self.log_dict(self._means(stage))

    def _log_train_interval(self) -> None:
        sums = self._sums["train"]
        if not sums.num_steps or not self._has_stepped:
            return
        skipped = self._nonfinite.enforce(self.max_skipped_steps, sums, self.global_step)
        metrics = self._means("train")
        metrics["train/skipped_steps"] = skipped
        metrics["lr"] = self._lr
        now, (before, seen) = time.perf_counter(), self._train_clock
        images = (sums.total - seen) * self.trainer.world_size
        metrics["images_per_second"] = images / (now - before)
        metrics["seconds"] = self.fit_seconds
        self._train_clock = (now, sums.total)
        if self._grad_norm is not None:
            metrics["grad_norm"] = float(self._grad_norm)
            self._grad_norm = None
        self.train_metrics = metrics
        for logger in self.loggers:
            logger.log_metrics({**metrics, "epoch": self.current_epoch}, step=self.global_step - 1)
