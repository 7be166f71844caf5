"""Noise in pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.corruptions.options import check_fraction, check_number
from gdl.noise import NoiseSource

__all__ = ["GaussianNoise", "SaltAndPepper"]


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """y = x + sigma n with n ~ N(0, I), which is not clipped: it may leave [0, 1].

    Args:
        sigma: Standard deviation, where pixels are in [0, 1].
    """

    sigma: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        check_number("gaussian_noise.sigma", self.sigma)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Add the noise; no pixel is then known."""
        y = seen.y + self.sigma * noise.normal(*seen.y.shape[1:]).to(seen.y)
        return seen.then(y, self.sigma, known=torch.zeros_like(seen.known))

    def A(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return y."""
        return y


@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Some pixels are white or black, each as often, in all channels.

    What is neither is known to be untouched.

    Args:
        fraction: Probability that a pixel is replaced.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        """Check the options."""
        check_fraction("salt_and_pepper.fraction", self.fraction)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Replace pixels."""
        drawn = noise.uniform(1, *seen.y.shape[2:]).to(seen.y)
        white, black = drawn < self.fraction / 2, drawn > 1 - self.fraction / 2
        y = seen.y.masked_fill(white, 1.0).masked_fill(black, 0.0)
        doubtful = (y == 0).all(1, keepdim=True) | (y == 1).all(1, keepdim=True)
        hole = None if seen.hole is None else seen.hole & ~white & ~black
        return seen.then(y, known=seen.known & ~doubtful, hole=hole)
