"""Neural autoregressive distribution estimator.

Larochelle & Murray, 2011, "The neural autoregressive distribution estimator" (AISTATS); Uria et
al., 2016, arXiv 1605.02226.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.models.autoregressive import AutoregressiveModel, Steps

__all__ = ["NADE"]


class NADE(AutoregressiveModel):
    """One hidden layer per position, with tied weights: h_i = sigmoid(c + W x_<i), logit V_i h_i + b_i.

    Since position i + 1 adds one column of W to what position i has, sampling costs O(N H)
    (Larochelle & Murray, Algorithm 1).

    Note: in training the positions are taken in chunks. Inside a chunk the hidden layer of an image
    changes only after pixels that are not zero, so on a CPU each of its states is computed once and
    multiplied with the V of the whole chunk: a few matrix products in place of N B sigmoids of H
    units. On other devices every position has a state of its own, because to count them would make
    the host wait.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        optimizer: See `GenerativeModel`.
        scheduler: See `GenerativeModel`.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        hidden: Width H of the hidden layer.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        optimizer: Callable[..., Any],
        scheduler: Callable[..., Any] | None = None,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        hidden: int = 500,
    ) -> None:
        super().__init__(shape, levels, optimizer, scheduler, likelihood, order)
        n, p = self.bias.shape
        # a state is multiplied with the V of its chunk, of which it needs a part: few if they are large
        self.chunk = 16 if p == 1 else 4
        self.weight = nn.Parameter(torch.empty(n, hidden).uniform_(-1, 1) * n**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Parameter(torch.empty(n, p, hidden).uniform_(-1, 1) * hidden**-0.5)

    def params(self, s: Tensor) -> Tensor:
        """See `AutoregressiveModel.params`."""
        # sums over all positions are too long for low precision
        with torch.autocast(s.device.type, enabled=False):
            x = self.unit(s).squeeze(-1).T
            total, out = self.hidden_bias.expand(len(s), -1), []
            chunks = (t.split(self.chunk) for t in (x, self.weight, self.output))
            for x_chunk, weight, output in zip(*chunks, strict=True):
                place = torch.arange(len(x_chunk), device=x.device)
                first, image, state = _states(x_chunk, distinct=x.device.type == "cpu")
                before = x_chunk.T[image] * (place < first[:, None])
                h = torch.addmm(total[image], before, weight).sigmoid()
                # (states, positions, P), of which each position and image has one
                every = (h @ output.flatten(0, 1).T).unflatten(1, output.shape[:2])
                out.append(every[state, place[:, None]])
                total = torch.addmm(total, x_chunk.T, weight)
            return torch.cat(out).transpose(0, 1) + self.bias

    def steps(self, n: int) -> Steps:
        """See `AutoregressiveModel.steps`; one column of W at a time."""
        total = self.hidden_bias.repeat(n, 1)
        h = torch.empty_like(total)
        for weight, output, bias in zip(self.weight, self.output.mT, self.bias, strict=True):
            value = yield torch.addmm(bias, torch.sigmoid(total, out=h), output)
            total.addr_(self.unit(value).squeeze(-1), weight)


def _states(x: Tensor, distinct: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the hidden states of a chunk of positions x (T, B), or only the distinct ones.

    Returns:
        The first position (M,) and the image (M,) of each state, and the state of each position and
        image (T, B).
    """
    if not distinct:
        grid = torch.arange(x.numel(), device=x.device)
        return grid // x.shape[1], grid % x.shape[1], grid.view_as(x)
    new = torch.ones_like(x, dtype=torch.bool)
    new[1:] = x[:-1] != 0
    rank = new.flatten().cumsum(0).view_as(x) - 1
    first, image = new.nonzero(as_tuple=True)
    return first, image, torch.where(new, rank, 0).cummax(0).values
