"""Flat colours in smooth regions, as if an image were drawn with a broad brush."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.corruptions.options import check_whole
from gdl.noise import NoiseSource

__all__ = ["Strokes"]


@dataclass(frozen=True)
class Strokes(Corruption):
    """A smoothed image in a few flat colours of its own; without randomness.

    The smoothing keeps edges: Kuwahara et al., 1976, "Processing of RI-angiocardiographic images". The
    colours are those of k-means, started at quantiles of the brightness.

    Args:
        colours: Number of colours.
        radius: Side of the smoothed regions in pixels, less one.
        steps: Steps of k-means.
    """

    colours: int = 6
    radius: int = 2
    steps: int = 4

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole("strokes.colours", self.colours, 1)
        check_whole("strokes.radius", self.radius, 1)
        check_whole("strokes.steps", self.steps, 0)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Draw the image; no pixel is then known."""
        y = self._flat(_smooth(seen.y, self.radius))
        return seen.then(y, known=torch.zeros_like(seen.known))

    def _flat(self, x: Tensor) -> Tensor:
        """Return the nearest of an image's own few colours at each pixel."""
        few = x[..., ::2, ::2].flatten(2)  # (B, C, N); of a smooth image these are enough
        order = few.sum(1).argsort(dim=1, stable=True)
        middles = (torch.arange(self.colours, device=x.device) * 2 + 1) * order.shape[1]
        chosen = order[:, middles // (2 * self.colours)]
        colours = few.gather(2, chosen[:, None].expand(-1, x.shape[1], -1))  # (B, C, K)
        numbers = torch.arange(self.colours, device=x.device)[:, None]
        for _ in range(self.steps):
            own = _nearest(few, colours)[:, None] == numbers  # (B, K, N)
            # no matrix product: its rounding depends on the number of images
            sums, count = (few[:, :, None] * own[:, None]).sum(-1), own.sum(-1)[:, None]
            colours = torch.where(count > 0, sums / count.clamp(min=1), colours)
        nearest = _nearest(x.flatten(2), colours)[:, None].expand(-1, x.shape[1], -1)
        return colours.gather(2, nearest).view_as(x)


def _nearest(pixels: Tensor, colours: Tensor) -> Tensor:
    """Return the index (B, N) of the nearest colour (B, C, K) of each pixel (B, C, N)."""
    distance = colours.square().sum(1)[..., None]  # less that of the pixel from black
    for p, c in zip(pixels.unbind(1), colours.unbind(1), strict=True):
        distance = torch.addcmul(distance, c[..., None], p[:, None], value=-2)
    return distance.argmin(1)


def _smooth(x: Tensor, radius: int) -> Tensor:
    """Return the mean of that square, of the four with a corner at a pixel, that varies least."""
    padded = F.pad(x, [radius] * 4, mode="replicate")
    mean, size = F.avg_pool2d(padded, radius + 1, 1), x.shape[-2:]
    square = F.avg_pool2d(padded.square(), radius + 1, 1)
    variance = (square - mean.square()).sum(1, keepdim=True)
    corner = lambda t, i, j: t[..., i : i + size[0], j : j + size[1]]  # noqa: E731
    places = [(i, j) for i in (0, radius) for j in (0, radius)]
    least = torch.stack([corner(variance, *p) for p in places]).argmin(0, keepdim=True)
    means = torch.stack([corner(mean, *p) for p in places])
    return means.gather(0, least.expand(1, *x.shape))[0]
