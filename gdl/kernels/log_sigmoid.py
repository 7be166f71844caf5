"""The log of the sigmoid on a CPU, ten times as fast as torch's, whose log1p is not vectorised."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.kernels.cpu import by_hand

__all__ = ["log_sigmoid"]


def log_sigmoid(x: Tensor) -> Tensor:
    """Return log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)).

    In float32 on a CPU its error is at most 1e-7 or, where it is larger, one rounding of the result.
    That is as good for a sum of log-probabilities as the more exact `F.logsigmoid`, which also
    resolves log-probabilities closer to 0 than 1e-7.
    """
    plain = (
        x.dtype != torch.float32 or not by_hand(x) or torch._C._are_functorch_transforms_active()
    )
    return F.logsigmoid(x) if plain else _LogSigmoid.apply(x)  # pyright: ignore[reportReturnType]


class _LogSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(max=0).sub_(x.abs().neg_().exp_().add_(1).log_())

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (g,), (x,) = gs, ctx.saved_tensors
        return g * torch.sigmoid(-x)
