"""Noise that is added to pixels."""

import torch
from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.noise import NoiseSource

__all__ = ["GaussianNoise"]


class GaussianNoise(Corruption):
    """y = x + sigma n with n ~ N(0, I), which is not clipped: it may leave [0, 1].

    Args:
        sigma: Standard deviation, where pixels are in [0, 1].
    """

    def __init__(self, sigma: float = 0.5) -> None:
        self.sigma = sigma

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Add the noise; no pixel is then known."""
        y = seen.y + self.sigma * noise.normal(*seen.y.shape[1:])
        return seen.then(y, known=torch.zeros_like(seen.known), sigma=self.sigma)

    def A(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return y."""
        return y
