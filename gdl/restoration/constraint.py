"""What is seen of images, as a density needs it: which pixels are known, and which are noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from gdl.capabilities import Incapable, Samples
from gdl.corruptions import Corruption, Seen
from gdl.noise import SampleNoise

__all__ = ["Constraint", "constraint_of", "draw_indices", "probe", "starting_point"]

MOST_DRAWS = 2**20
"""Draws of one image at most, so that each draw of each image has a number of its own."""

NOT_GAUSSIAN = {"salt_and_pepper", "strokes"}
"""Corruptions after which a pixel that is neither known nor in a hole is not just noisy."""


@dataclass(frozen=True)
class Constraint:
    """What a density conditions on. A pixel is known, or noisy, or nothing is seen of it.

    Args:
        x: Images (B, C, H, W) uint8, of which the known pixels count.
        known: Boolean (B, C, H, W).
        noisy: Boolean (B, C, H, W).
        y: What was seen of noisy pixels (B, C, H, W), N(x / (levels - 1), sigma^2).
        sigma: Standard deviation of the noise.
        levels: Number of values of a pixel.
    """

    x: Tensor
    known: Tensor
    noisy: Tensor
    y: Tensor
    sigma: float
    levels: int

    def of(self, some: Tensor) -> Constraint:
        """Return that of some of the images, by their indices."""
        fields = {name: getattr(self, name)[some] for name in ("x", "known", "noisy", "y")}
        return replace(self, **fields)

    @property
    def is_noisy(self) -> bool:
        """Whether any pixel is."""
        return bool(self.noisy.any())

    def log_likelihood(self, pixels: Tensor, channel: int | None = None) -> Tensor:
        """Return log N(y; pixels, sigma^2) where it is noisy, up to a constant, and 0 elsewhere.

        Args:
            pixels: Values in [0, 1], (B, C, H, W), or of one channel any that expand to it.
            channel: None for all channels.
        """
        c = slice(None) if channel is None else slice(channel, channel + 1)
        gap = (self.y[:, c] - pixels) / max(self.sigma, 1e-9)
        return torch.where(self.noisy[:, c], gap.square() / -2, 0)


def constraint_of(seen: Seen, levels: int, device: torch.device, who: str) -> Constraint:
    """Return what a density conditions on.

    Args:
        seen: What is left of the images.
        levels: Number of values of a pixel.
        device: Device of the model.
        who: The class of the model, for the message.

    Raises:
        Incapable: Something is seen that is neither a copy of a pixel nor one with Gaussian noise.
    """
    hole = torch.zeros_like(seen.known) if seen.hole is None else seen.hole
    rest = ~seen.known & ~hole
    assert seen.copied is not None
    copies, other = bool((seen.copied >= 0).all()), NOT_GAUSSIAN & {*seen.names}
    if not copies or (bool(rest.any()) and (other or not seen.sigma)):
        _refuse(seen, who)
    known, noisy = seen.known_pixels, replace(seen, known=rest).known_pixels
    x = (seen.image * (levels - 1)).round().clamp(0, levels - 1).to(torch.uint8)
    tensors = (t.to(device) for t in (x, known, noisy, seen.image))
    return Constraint(*tensors, sigma=seen.sigma, levels=levels)


def probe(corruption: Corruption, shape: Sequence[int]) -> Seen:
    """Return what the corruption leaves of one grey image, which tells what kind it is."""
    return corruption(torch.full((1, *shape), 0.5), SampleNoise(0, [0]))


def draw_indices(indices: Sequence[int] | None, count: int, draws: int) -> list[int]:
    """Return a number for each draw of each of `count` images, all draws of an image together."""
    own = range(count) if indices is None else indices
    return [i * MOST_DRAWS + k for i in own for k in range(draws)]


def starting_point(model: Samples, given: Constraint, n: int = 256) -> Tensor:
    """Return images (B, C, H, W) uint8 to start a chain from: the best linear guess of each pixel.

    A pixel of which nothing is seen is the mean of `n` samples of the model, and a noisy one is drawn
    towards the mean as far as the noise asks for.
    """
    var, mean = torch.var_mean(model.sample(n, seed=0).double() / (given.levels - 1), 0)
    trust = torch.where(given.noisy, var / (var + given.sigma**2).clamp(min=1e-12), 0)
    guess = mean + trust * (given.y - mean)
    levels = (guess * (given.levels - 1)).round().clamp(0, given.levels - 1).to(torch.uint8)
    return torch.where(given.known, given.x, levels)


def _refuse(seen: Seen, who: str) -> NoReturn:
    what = "+".join(seen.names)
    raise Incapable(
        f"{who} cannot restore corruption={what}: a density conditions on pixels that are known "
        "(missing_patch, missing_pixels, downsample with method=subsample, grayscale with a channel) "
        "or that have Gaussian noise. Use one of these, or a run of model=denoising_ae with "
        f"corruption={what}."
    )
