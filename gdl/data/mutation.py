"""Images of which some pixels are replaced by noise: what a background model learns from."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["Mutation", "checked_mutation"]


@dataclass(frozen=True)
class Mutation:
    """A random map of images: each pixel is replaced, with probability `rate`, by a uniform level.

    Ren et al., 2019, "Likelihood ratios for out-of-distribution detection", arXiv 1906.02845,
    Section 3: a model that is trained on such images knows the background, but little of what is
    drawn on it. In their experiments the rate is between 0.1 and 0.3.

    Args:
        rate: Probability that a pixel is replaced; its new value may be the old one.
        levels: Number of values that a pixel can have.
        first: A random map that is applied before, e.g. a binarization.
    """

    rate: float
    levels: int
    first: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return images of the shape and type of x (B, C, H, W), drawn with the generator."""
        if self.first is not None:
            x = self.first(x, generator)
        on = {"device": x.device, "generator": generator}
        replaced = torch.rand(x.shape, **on) < self.rate
        return torch.where(replaced, torch.randint(self.levels, x.shape, dtype=x.dtype, **on), x)


def checked_mutation(rate: object, levels: int | None) -> float:
    """Return data.mutation, a number from 0 to 1.

    Raises:
        GdlError: It is none, or the data are continuous and have no levels to draw.
    """
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate <= 1:
        raise GdlError(f"data.mutation must be a number from 0 to 1, got {rate!r}.")
    if rate and levels is None:
        raise GdlError(
            "data.mutation replaces pixels of images by uniform levels, and continuous data have no "
            "levels: leave it out, or use images, e.g. data=mnist."
        )
    return float(rate)
