"""The categorical likelihood: a probability for each level of a pixel."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.distributions.base import Likelihood, finite
from gdl.noise import SampleNoise

__all__ = ["Categorical"]

MANY = 32
"""Levels from which on single pixels are scored in another, faster way, with other rounding errors."""


class Categorical(Likelihood):
    """Independent pixels with one logit per level: C x levels parameters, channel after channel.

    It ignores that levels are ordered. For many levels `DiscretizedLogistic` needs fewer parameters.
    """

    def __init__(self, shape: Sequence[int], levels: int) -> None:
        super().__init__(shape, levels)
        self.num_params = self.shape[0] * levels

    def _logits(self, params: Tensor) -> Tensor:
        """Return (..., C, levels, H, W)."""
        return params.unflatten(-3, (self.shape[0], self.levels))

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood.log_prob`."""
        single = params.dim() == 4 and x.shape == (len(params), 1, 1, 1)
        if single and self.levels > MANY:
            # torch is slow where the levels are not the last axis
            return -F.cross_entropy(
                finite(params).flatten(1), x.flatten().long(), reduction="none"
            )
        log_p = self._logits(finite(params)).log_softmax(-3)
        index = x.long().unsqueeze(-3)
        index = index.view(*[1] * (log_p.dim() - index.dim()), *index.shape)
        return log_p.take_along_dim(index, -3).flatten(-4).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """See `Likelihood.mean`."""
        level = torch.arange(self.levels, dtype=params.dtype, device=params.device)
        return (self._logits(finite(params)).softmax(-3) * level.view(-1, 1, 1)).sum(-3)

    def probabilities(self, params: Tensor, earlier: Tensor) -> Tensor:
        """See `Likelihood.probabilities`."""
        return self._logits(finite(params))[:, earlier.shape[1]].softmax(1)

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        """See `Likelihood.noise`; here one Gumbel variable per logit."""
        return source.gumbel(self.num_params, height, width)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """See `Likelihood.draw`."""
        return self._logits(finite(params) + noise).argmax(-3).to(torch.uint8)

    def initial_params(self, x: Tensor) -> Tensor:
        """Return the log frequencies of the levels at each pixel, with one pseudo-count per level."""
        counts = torch.stack([(x == v).sum(0) for v in range(self.levels)], 1) + 1
        return (counts / (len(x) + self.levels)).log().flatten(0, 1)
