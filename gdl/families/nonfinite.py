"""Optimizer steps that would spoil the parameters are left out, and counted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gdl.errors import GdlError
from gdl.families.terms import TermSums

__all__ = ["NonFiniteSteps"]


class NonFiniteSteps:
    """Leaves out a step whose loss or gradients are NaN or infinite, without waiting for the device.

    Such a step changes neither parameters nor the optimizer's state. Whether it is one is known
    on the device only. Fused optimizers (Adam, AdamW) look at the flag there, as they do at a
    gradient scaler's. For the others (Adamax) it is read: for nothing on a CPU, but with one
    synchronisation per step on an accelerator. A step left out still counts in the step number and
    in the learning-rate schedule, and its terms stay in the means of its interval.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._count: Tensor | float = 0.0

    def watch(self, loss: Tensor) -> None:
        """Remember a loss of the next step, one of several where gradients are accumulated."""
        self._losses.append(loss.detach())

    def check(self, optimizer: Optimizer, reduce: Callable[[Tensor], Tensor], scaler: Any) -> None:
        """Call between backward and the optimizer's step, before gradients are clipped.

        Args:
            optimizer: Its gradients are looked at.
            reduce: The maximum of a tensor over all processes, which then agree.
            scaler: A gradient scaler, which itself leaves out the steps whose gradients overflow in
                half precision, as a matter of course; only losses that are not finite are counted.
        """
        tensors, self._losses = self._losses, []
        if scaler is None:
            params = (p for group in optimizer.param_groups for p in group["params"])
            tensors += [p.grad for p in params if p.grad is not None]
        found, one = tensors[0].new_zeros(()).float(), tensors[0].new_ones(()).float()
        # what a gradient scaler uses: one pass, which multiplies by one
        torch._amp_foreach_non_finite_check_and_unscale_(tensors, found, one)
        found = reduce(found)
        if scaler is None and self._stays_on_device(found, optimizer):
            optimizer.found_inf = found  # pyright: ignore[reportAttributeAccessIssue]
        elif scaler is None and bool(found):
            optimizer.zero_grad()  # parameters without a gradient are passed over
        self._count = self._count + found

    @staticmethod
    def _stays_on_device(found: Tensor, optimizer: Optimizer) -> bool:
        return found.device.type != "cpu" and getattr(
            optimizer, "_step_supports_amp_scaling", False
        )

    def enforce(self, limit: int, sums: TermSums, step: int) -> int:
        """Return the steps left out until now; reading it waits for the device.

        Args:
            limit: What is too many.
            sums: The terms of the latest steps, of which the first bad one is named.
            step: The number of the latest step.

        Raises:
            GdlError: They are more than the limit.
        """
        count = self.count
        if count > limit:
            term, steps_ago = sums.first_nonfinite() or ("grad_norm", 0)
            raise GdlError(
                f"train/{term} is NaN or infinite at step {step - steps_ago}, and {count} steps "
                f"were skipped for such values, more than max_skipped_steps={limit}; training "
                "stopped and the last good checkpoint is kept: lower model.optimizer.lr, set "
                "trainer.gradient_clip_val=1, or use a learning-rate warm-up."
            )
        return count

    @property
    def count(self) -> int:
        """Steps left out until now."""
        return int(self._count)

    @count.setter
    def count(self, value: int) -> None:
        self._count = float(value)
