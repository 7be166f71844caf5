"""What is seen of images, as a density needs it: integer pixels that are known, or noisy ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from gdl.capabilities import Incapable, Samples
from gdl.corruptions import Corruption, Seen
from gdl.noise import SampleNoise

__all__ = ["Constraint", "constraint_of", "draw_indices", "first_guess", "probe"]

MOST_DRAWS = 2**20
"""Draws of one image at most, so that each draw of each image has a number of its own."""

ASK = (
    "a density restores images of which pixels or channels are known exactly (corruption="
    "missing_patch or missing_pixels, downsample with method=subsample, grayscale with channel=0), "
    "or that gaussian_noise was added to"
)


@dataclass(frozen=True)
class Constraint:
    """What a density conditions on: known integer pixels, or noise of a known size on every pixel.

    Args:
        x: Images (B, C, H, W) uint8, right where they are known; elsewhere the nearest level to `y`.
        known: Boolean (B, C, H, W).
        y: What was seen (B, C, H, W), a pixel of level k at k / (levels - 1).
        sigma: Standard deviation of y around the pixels; 0 where pixels are known or unknown.
        levels: Number of values of a pixel.
    """

    x: Tensor
    known: Tensor
    y: Tensor
    sigma: float
    levels: int

    def of(self, some: Tensor) -> "Constraint":
        """Return that of some of the images, by their indices."""
        return replace(self, x=self.x[some], known=self.known[some], y=self.y[some])


def constraint_of(seen: Seen, levels: int, device: torch.device, who: str) -> Constraint:
    """Return what a density conditions on.

    Args:
        seen: What is left of the images.
        levels: Number of values of a pixel.
        device: Device of the model.
        who: The class of the model, for the message.

    Raises:
        Incapable: What is left are no known pixels and no noisy ones.
    """
    known, image = seen.known_pixels.to(device), seen.image.to(device)
    # noise on top of something else: y does not tell which pixels hold the noise alone
    usable = seen.names == ("gaussian_noise",) if seen.sigma else bool(known.any())
    if not usable:
        _refuse(seen, who)
    x = (image * (levels - 1)).round().clamp(0, levels - 1).to(torch.uint8)
    return Constraint(x, known, image, seen.sigma, levels)


def probe(corruption: Corruption, shape: Sequence[int]) -> Seen:
    """Return what the corruption leaves of one grey image, which tells what kind it is."""
    return corruption(torch.full((1, *shape), 0.5), SampleNoise(0, [0]))


def draw_indices(indices: Sequence[int] | None, count: int, draws: int) -> list[int]:
    """Return a number for each draw of each of `count` images, all draws of an image together."""
    own = range(count) if indices is None else indices
    return [i * MOST_DRAWS + k for i in own for k in range(draws)]


def first_guess(model: Samples, given: Constraint, n: int = 256) -> Tensor:
    """Return images (B, C, H, W) uint8 to start a chain from: the best linear guess, pixel by pixel.

    An unknown pixel is the mean of `n` samples of the model, and a noisy one is drawn towards it as
    far as the noise asks for.
    """
    var, mean = torch.var_mean(model.sample(n, seed=0).double() / (given.levels - 1), 0)
    if given.sigma:
        guess = mean + var / (var + given.sigma**2) * (given.y - mean)
    else:
        guess = mean.expand_as(given.y)
    levels = (guess * (given.levels - 1)).round().clamp(0, given.levels - 1).to(torch.uint8)
    return torch.where(given.known, given.x, levels)


def _refuse(seen: Seen, who: str) -> NoReturn:
    what = "+".join(seen.names)
    raise Incapable(
        f"{who} cannot restore corruption={what}: {ASK}. For others use a run of "
        f"model=denoising_ae with corruption={what}."
    )
