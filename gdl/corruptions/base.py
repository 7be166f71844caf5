"""The contract of a corruption, and several of them one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gdl.noise import NoiseSource

__all__ = ["Corruption", "Seen", "compose"]


@dataclass(frozen=True)
class Seen:
    """What is left of images x (B, C, H, W) in [0, 1]: y, and what a restorer may know of it.

    Args:
        shape: (C, H, W) of the images before.
        y: What is left, (B, C', H', W'): fewer channels where colour is lost, smaller where
            resolution is lost. An unknown pixel holds 0.5.
        known: Boolean (B, C', H', W'), true where y is exactly x, or exactly A(x) of a smaller image.
        sigma: Standard deviation of Gaussian noise in y; 0 for none.
        names: The corruptions so far, e.g. ("downsample", "gaussian_noise").
    """

    shape: tuple[int, int, int]
    y: Tensor
    known: Tensor
    sigma: float = 0.0
    names: tuple[str, ...] = ()

    def then(self, y: Tensor, known: Tensor | None = None, sigma: float = 0.0) -> Seen:
        """Return what is left after one more corruption; noise levels add up in squares."""
        total = (self.sigma**2 + sigma**2) ** 0.5
        return replace(self, y=y, known=self.known if known is None else known, sigma=total)

    @property
    def image(self) -> Tensor:
        """Return y as images (B, C, H, W): a smaller one is enlarged by repetition, grey repeated."""
        return self._full(self.y)

    @property
    def known_pixels(self) -> Tensor:
        """Boolean (B, C, H, W): pixels of `image` that are exactly those of x.

        Of an image that was averaged to a smaller one, or to grey, none are.
        """
        if self.y.shape[1:] != self.shape:
            return torch.zeros(len(self.y), *self.shape, dtype=torch.bool, device=self.y.device)
        return self.known

    def _full(self, t: Tensor) -> Tensor:
        channels, height, width = self.shape
        rows = torch.arange(height, device=t.device) * t.shape[2] // height
        columns = torch.arange(width, device=t.device) * t.shape[3] // width
        return t[:, :, rows][..., columns].expand(-1, channels, -1, -1)


class Corruption(ABC):
    """y = A(x) + noise, for images x (B, C, H, W) with pixels in [0, 1].

    `A` and `A_adjoint` are named as in deepinv. A corruption whose A is not linear, or differs from
    image to image, has no `A_adjoint`.
    """

    @property
    def name(self) -> str:
        """The name of its file in conf/corruption, e.g. "gaussian_noise"."""
        letters = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in letters).lstrip("_")

    @abstractmethod
    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Return what is left of what was left; the noise is drawn for each image of the batch."""

    def __call__(self, x: Tensor, noise: NoiseSource) -> Seen:
        """Return what is left of images x (B, C, H, W) in [0, 1].

        Args:
            x: The images.
            noise: `BatchNoise(x)` in training; `SampleNoise(seed, indices)` for images with an index,
                so that image k always loses the same.
        """
        _, channels, height, width = x.shape
        seen = Seen((channels, height, width), x, torch.ones_like(x, dtype=torch.bool))
        seen = self.corrupt(seen, noise)
        return seen if seen.names else replace(seen, names=(self.name,))


class _Composed(Corruption):
    def __init__(self, parts: Sequence[Corruption]) -> None:
        self.parts = tuple(parts)

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        for part in self.parts:
            seen = part.corrupt(seen, noise)
        return replace(seen, names=tuple(part.name for part in self.parts))


def compose(parts: Sequence[Corruption]) -> Corruption:
    """Return the corruption that does one after the other."""
    return parts[0] if len(parts) == 1 else _Composed(parts)
