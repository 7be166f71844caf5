"""Learning-rate schedules, as functions of the optimizer step or of the time that has passed."""

import math
import time
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from gdl.errors import GdlError

__all__ = ["Cosine", "warmup"]


def warmup(optimizer: Optimizer, total_steps: float, warmup_steps: int) -> LambdaLR:
    """Raise the learning rate linearly over `warmup_steps`, then keep it; `total_steps` is ignored."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup_steps)))


class Cosine(LRScheduler):
    """A schedule that raises the learning rate linearly, then lowers it along a half cosine.

    Loshchilov & Hutter, 2017, "SGDR: Stochastic gradient descent with warm restarts",
    arXiv 1608.03983, Eq. 5, without restarts.

    The final rate is reached at the last step, or when `minutes` are over, whichever comes first. With
    `minutes`, training to a deadline (`+trainer.max_time`) ends at the final rate whatever the speed of
    the machine; then two runs of one seed differ, because their rates follow the clock.

    Args:
        optimizer: Its learning rate is the maximum.
        total_steps: The step at which the final rate is reached; infinity where it is not known.
        warmup_steps: Number of steps of the linear rise.
        final: The final rate as a fraction of the maximum.
        minutes: Minutes of training, compilation and validation included, after which the final rate is
            reached. A resumed run goes on counting where its checkpoint was saved.

    Raises:
        GdlError: `minutes` is not positive, or without it the number of steps is not known.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: float,
        warmup_steps: int = 0,
        final: float = 0.0,
        minutes: float | None = None,
    ) -> None:
        if minutes is None and math.isinf(total_steps):
            raise GdlError(
                "scheduler=cosine falls over the whole of training, whose length is not known: set "
                "trainer.max_epochs, trainer.max_steps or model.scheduler.minutes."
            )
        if minutes is not None and not 0 < minutes < math.inf:
            raise GdlError(f"scheduler.minutes must be a positive number or null, got {minutes}.")
        self._total_steps, self._warmup_steps = total_steps, warmup_steps
        self._final, self._minutes = final, minutes
        self._start = time.monotonic()
        super().__init__(optimizer)

    @property
    def seconds(self) -> float:
        """Seconds since the start, those before a checkpoint included."""
        return time.monotonic() - self._start

    def get_lr(self) -> list[float | Any]:
        """Return the learning rate of each parameter group for the next step."""
        return [base * self.factor(self.last_epoch) for base in self.base_lrs]

    def factor(self, step: int) -> float:
        """Return the rate of a step now, as a fraction of the maximum."""
        if step < self._warmup_steps:
            return (step + 1) / self._warmup_steps
        done = (step - self._warmup_steps) / max(1, self._total_steps - self._warmup_steps)
        if self._minutes is not None:
            done = max(done, self.seconds / (60 * self._minutes))
        return self._final + (1 - self._final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps, the current rates and the seconds that are over."""
        return {
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "_last_lr": self._last_lr,
            "base_lrs": self.base_lrs,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; one of an older version has no seconds, and counts from here."""
        state = dict(state_dict)
        self._start = time.monotonic() - state.pop("seconds", 0.0)
        state.pop("lr_lambdas", None)
        self.__dict__.update(state)
