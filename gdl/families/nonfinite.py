"""Optimizer steps whose loss or gradient is NaN or infinite are skipped and counted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gdl.errors import GdlError
from gdl.families.terms import TermSums

__all__ = ["NonFiniteSteps"]


class NonFiniteSteps:
    """Skips a step whose loss or gradients are NaN or infinite, without waiting for the device.

    A skipped step changes neither the parameters nor the optimizer's state. The flag that says
    whether to skip stays on the device. Fused optimizers (Adam, AdamW) read it there, as they read
    the flag of a gradient scaler. For other optimizers (Adamax) the host reads it: at no cost on a
    CPU, with one synchronisation per step on an accelerator. A skipped step still counts in the step
    number and in the learning-rate schedule, and its terms stay in the means of its interval.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._count: Tensor | float = 0.0

    def watch(self, loss: Tensor) -> None:
        """Keep a loss of the next step; there are several where gradients are accumulated."""
        self._losses.append(loss.detach())

    def check(self, optimizer: Optimizer, reduce: Callable[[Tensor], Tensor], scaler: Any) -> None:
        """Call between backward and the optimizer's step, before gradients are clipped.

        Args:
            optimizer: The optimizer whose gradients are checked.
            reduce: Returns the maximum of a tensor over all processes, so that they all agree.
            scaler: A gradient scaler, if there is one. In half precision it skips steps whose
                gradients overflow, which is normal; so only non-finite losses are counted here.
        """
        tensors, self._losses = self._losses, []
        if scaler is None:
            params = (p for group in optimizer.param_groups for p in group["params"])
            tensors += [p.grad for p in params if p.grad is not None]
        found, one = tensors[0].new_zeros(()).float(), tensors[0].new_ones(()).float()
        # the operation of a gradient scaler: one pass over all tensors; here it multiplies by one
        torch._amp_foreach_non_finite_check_and_unscale_(tensors, found, one)
        found = reduce(found)
        if scaler is None and self._stays_on_device(found, optimizer):
            optimizer.found_inf = found  # pyright: ignore[reportAttributeAccessIssue]
        elif scaler is None and bool(found):
            optimizer.zero_grad()  # an optimizer ignores parameters without a gradient
        self._count = self._count + found

    @staticmethod
    def _stays_on_device(found: Tensor, optimizer: Optimizer) -> bool:
        return found.device.type != "cpu" and getattr(
            optimizer, "_step_supports_amp_scaling", False
        )

    def enforce(self, limit: int, sums: TermSums, step: int) -> int:
        """Return the number of skipped steps; reading it waits for the device.

        Args:
            limit: The largest number that is allowed.
            sums: The terms of the latest steps, from which the message names the first bad one.
            step: The number of the latest step.

        Raises:
            GdlError: More steps were skipped than `limit`.
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
        """Number of skipped steps since the start."""
        return int(self._count)

    @count.setter
    def count(self, value: int) -> None:
        self._count = float(value)
