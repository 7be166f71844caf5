"""Distributions of a flow's latents: log-probability and sampling in one object."""

from typing import Protocol

import torch
from torch import Tensor

from gdl.distributions import log_normal
from gdl.kernels.log_sigmoid import log_sigmoid
from gdl.noise import SampleNoise

__all__ = ["LogisticPrior", "NormalPrior", "Prior"]


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
