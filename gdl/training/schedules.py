"""Learning-rate schedules over the whole of training, in optimizer steps."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["cosine", "warmup"]


def warmup(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Rise linearly over `warmup_steps`, then stay; `total_steps` is not needed."""
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup_steps)))


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_steps: int = 0, final: float = 0.0
) -> LambdaLR:
    """Rise linearly over `warmup_steps`, then fall along a half cosine to `final` times the rate.

    Args:
        optimizer: Its learning rate is the maximum.
        total_steps: Steps at which the final rate is reached.
        warmup_steps: Steps of the rise.
        final: Last rate, as a fraction of the maximum (Loshchilov & Hutter, 2017, 1608.03983).
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)
