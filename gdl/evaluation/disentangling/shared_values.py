"""Draws images that share the value of a factor, among images whose factors are known."""

import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["FEWEST", "SharedValues"]

FEWEST = 4
"""Other images with the same value that an image needs, so that something varies among them."""


class SharedValues:
    """Draws from N images with replacement, by the values of their factors.

    The scores of beta-VAE and FactorVAE fix one factor and draw all others. Where the images are a
    random sample, drawing among those that have the value does this, and no image is encoded again.

    Args:
        factors: (N, F) int64.
        generator: The source of all draws, on the CPU.

    Raises:
        GdlError: The values of a factor have too few images each.
    """

    def __init__(self, factors: Tensor, generator: torch.Generator) -> None:
        self._generator = generator
        order, start, count, eligible = [], [], [], []
        for k, v in enumerate(factors.cpu().T):
            sizes = torch.bincount(v)
            order.append(v.argsort(stable=True))
            start.append((sizes.cumsum(0) - sizes)[v])
            count.append(sizes[v])
            eligible.append((sizes[v] > FEWEST).nonzero().flatten())
            if not len(eligible[-1]):
                raise GdlError(
                    f"Among {len(v)} images no value of factor {k} has more than {FEWEST}, too few to "
                    "see what varies while it is fixed: raise limit, or use larger data."
                )
        self._order, self._start, self._count = map(torch.stack, (order, start, count))
        self._eligible = eligible
        place = torch.empty_like(self._order)
        place.scatter_(1, self._order, torch.arange(len(factors)).expand_as(self._order))
        self._place = place - self._start

    def factor_and_image(self, count: int, per_factor: int = 1) -> tuple[Tensor, Tensor]:
        """Return random factors (count,), and images (count, per_factor) that others share it with."""
        factor = self._uniform(count).mul(len(self._eligible)).long()
        sizes = torch.tensor([len(e) for e in self._eligible])[factor]
        at = (self._uniform(count, per_factor) * sizes[:, None]).long()
        image = torch.empty_like(at)
        for k, eligible in enumerate(self._eligible):
            chosen = factor == k
            image[chosen] = eligible[at[chosen]]
        return factor, image

    def others(self, factor: Tensor, image: Tensor) -> Tensor:
        """Return for each image another one whose factor has the same value; all of the same shape."""
        others = self._count[factor, image] - 1
        step = 1 + (self._uniform(*image.shape) * others).long()
        place = (self._place[factor, image] + step) % (others + 1)
        return self._order[factor, self._start[factor, image] + place]

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, dtype=torch.float64)
