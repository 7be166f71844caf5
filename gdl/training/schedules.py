"""Learning-rate schedules, as functions of the optimizer step."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["cosine", "warmup"]


def warmup(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Raise the learning rate linearly over `warmup_steps`, then keep it; `total_steps` is ignored."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup_steps)))


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_steps: int = 0, final: float = 0.0
) -> LambdaLR:
    """Raise the learning rate linearly, then lower it along a half cosine.

    Loshchilov & Hutter, 2017, "SGDR: Stochastic gradient descent with warm restarts",
    arXiv 1608.03983, Eq. 5, without restarts.

    Args:
        optimizer: Its learning rate is the maximum.
        total_steps: The step at which the final rate is reached.
        warmup_steps: Number of steps of the linear rise.
        final: The final rate as a fraction of the maximum.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)
