"""A linear layer whose outputs each depend on a prefix of the inputs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.kernels.cpu import by_hand
from gdl.kernels.staircase import StaircaseProduct, cut_staircase

__all__ = ["PrefixLinear"]


class PrefixLinear(nn.Module):
    """A linear layer whose outputs see prefixes: y_o = b_o + sum over i < reach_o of W_oi x_i.

    Since `reach` does not decrease, the used part of W is a staircase. On a CPU it is multiplied as a
    few rectangles, which skips most masked entries: with many inputs and outputs half of the work.

    Args:
        in_features: Number of inputs I.
        reach: (O,), the number of inputs that each output sees, in increasing order.
    """

    reach: Tensor

    def __init__(self, in_features: int, reach: Tensor) -> None:
        super().__init__()
        self.register_buffer("reach", reach, persistent=False)
        self._staircase = cut_staircase(reach, in_features)
        # the initial variance of an output is as in a linear layer with reach_o inputs
        bound = reach.clamp(min=1)[:, None] ** -0.5
        self.weight = nn.Parameter(bound * torch.empty(len(reach), in_features).uniform_(-1, 1))

    def extra_repr(self) -> str:
        """Return the sizes, for `repr`."""
        return f"{self.weight.shape[1]}, {len(self.reach)}"

    def forward(self, x: Tensor, bias: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return y (B, O) for x (B, I) and b (O,); `weight`, if given, replaces the layer's W."""
        weight = self.weight if weight is None else weight
        if by_hand(x):
            return StaircaseProduct.apply(x, weight, bias, self._staircase)  # pyright: ignore[reportReturnType]
        mask = torch.arange(x.shape[1], device=x.device) < self.reach[:, None]
        return F.linear(x, weight * mask, bias)
