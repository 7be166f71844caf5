"""Draws from the most likely levels only: top-k and top-p."""

import math

import torch
from torch import Tensor

from gdl.distributions.base import Likelihood
from gdl.errors import GdlError
from gdl.noise import SampleNoise

__all__ = ["Truncated"]


class Truncated:
    """Draws of a likelihood from its most likely levels, whose probabilities are scaled to sum to 1.

    First the probabilities are raised to 1 / temperature. Then `top_k` keeps the k most likely levels
    (Fan et al., 2018, arXiv 1805.04833). Of these `top_p` keeps the fewest, from the most likely one,
    that have the probability p together (Holtzman et al., 2020, arXiv 1904.09751). Of levels with
    equal probabilities the lower one comes first.

    The noise is that of `Categorical`, for each likelihood. So `Categorical` draws what it draws
    without truncation wherever that is among the kept levels.

    Args:
        likelihood: The likelihood.
        top_k: Number of levels to keep; None for all.
        top_p: Their probability, in (0, 1].
        temperature: See above; 0 takes the most likely level.

    Raises:
        GdlError: top_k or top_p is out of range.
    """

    def __init__(
        self, likelihood: Likelihood, top_k: int | None, top_p: float, temperature: float
    ) -> None:
        if top_k is not None and top_k < 1:
            raise GdlError(f"top_k={top_k} keeps no value: use 1 or more, or null for all.")
        if not 0 < top_p <= 1:
            raise GdlError(f"top_p={top_p} is no probability to keep: use one above 0, up to 1.")
        self.likelihood, self.top_k, self.top_p = likelihood, top_k, top_p
        self.temperature = temperature

    def noise(self, source: SampleNoise, height: int, width: int) -> Tensor:
        """Return a Gumbel variable for each level of each channel, (B, C levels, height, width)."""
        return source.gumbel(self.likelihood.shape[0] * self.likelihood.levels, height, width)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return images (B, C, H, W) uint8; `noise` is multiplied by the temperature already."""
        channels, levels = self.likelihood.shape[0], self.likelihood.levels
        noise = noise.unflatten(1, (channels, levels))
        x = noise.new_empty(len(noise), 0, *noise.shape[-2:], dtype=torch.uint8)
        for c in range(channels):
            log_p = self.likelihood.probabilities(params, x).log()
            kept = log_p.masked_fill(~self.kept(log_p), -math.inf)
            value = (kept + noise[:, c]).argmax(1, keepdim=True)
            x = torch.cat([x, value.to(torch.uint8)], 1)
        return x

    def kept(self, log_p: Tensor) -> Tensor:
        """Return which levels are kept, (B, levels, ...) like the log-probabilities."""
        ordered, level = log_p.sort(dim=1, descending=True, stable=True)
        keep = torch.ones_like(ordered, dtype=torch.bool)
        if self.top_k is not None:
            keep[:, self.top_k :] = False
        if self.top_p < 1:
            # at the temperature 0 all levels but the first have no probability
            sharp = (ordered - ordered[:, :1]) / max(self.temperature, 1e-6)
            p = sharp.masked_fill(~keep, -math.inf).softmax(1)
            keep &= p.cumsum(1) - p < self.top_p
        return torch.zeros_like(keep).scatter(1, level, keep)
