"""Distributions of a flow's latents: log-probability and sampling in one object."""

from typing import Protocol

import torch
from torch import Tensor, nn

from gdl.distributions import log_normal
from gdl.flows.coupling import tanh_log_scale
from gdl.kernels.log_sigmoid import log_sigmoid
from gdl.noise import SampleNoise

__all__ = ["ClassPrior", "LogisticPrior", "NormalPrior", "Prior"]


class Prior(Protocol):
    """A distribution of latents: log-probability and sampling in one object."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, shape (B,), of z (B, D)."""
        ...

    def sample(self, noise: SampleNoise, num_dims: int) -> Tensor:
        """Return latents (n, D), the k-th from the k-th stream of `noise`."""
        ...


class NormalPrior:
    """N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return log_normal(z)

    def sample(self, noise: SampleNoise, num_dims: int) -> Tensor:
        """See `Prior.sample`."""
        return noise.normal(num_dims)


class LogisticPrior:
    """Independent standard logistic latents, as NICE has them: tails heavier than a Gaussian's."""

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Prior.log_prob`."""
        return (log_sigmoid(z) + log_sigmoid(-z)).sum(1)

    def sample(self, noise: SampleNoise, num_dims: int) -> Tensor:
        """See `Prior.sample`."""
        return torch.logit(noise.uniform(num_dims))


class ClassPrior(nn.Module):
    """Latents given a label: z = m_y + s_y e with e from a prior that all classes share.

    The prior is over all latents of a flow. It is one of every level of a multi-scale flow too,
    because the latents that leave early are already standardised given the rest, see `SplitPrior`.
    All classes start with m = 0 and s = 1, so that a new conditional flow is the unconditional one.

    Args:
        base: Distribution of e.
        num_rows: Classes, and one more row for "no label" where the model has it.
        num_dims: Number of latents D.
    """

    BOUND = 4.0
    """|log s| is at most this: a latent that hardly varies within a class cannot grow without limit."""

    def __init__(self, base: Prior, num_rows: int, num_dims: int) -> None:
        super().__init__()
        self.base = base
        self.mean = nn.Parameter(torch.zeros(num_rows, num_dims))
        self.raw_log_scale = nn.Parameter(torch.zeros(num_rows, num_dims))

    def log_prob(self, z: Tensor, y: Tensor) -> Tensor:
        """Return log p(z | y) (B,) in nats of z (B, D), for rows y (B,) or one row y ()."""
        log_scale = self._log_scale(y)
        e = (z - self.mean[y]) * (-log_scale).exp()
        return self.base.log_prob(e) - log_scale.sum(-1)

    def log_probs(self, z: Tensor) -> Tensor:
        """Return log p(z | y) (B, rows) in nats for every row y."""
        rows = torch.arange(len(self.mean), device=z.device)
        return torch.stack([self.log_prob(z, y) for y in rows], 1)

    def place(self, e: Tensor, y: Tensor) -> Tensor:
        """Return latents z (n, D) of rows y (n,), for draws e (n, D) of the shared prior."""
        return self.mean[y] + self._log_scale(y).exp() * e

    def _log_scale(self, y: Tensor) -> Tensor:
        return tanh_log_scale(self.raw_log_scale[y], self.BOUND)
