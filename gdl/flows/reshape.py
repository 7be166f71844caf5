"""Squeeze, flatten, and the multi-scale architecture whose latents are all whitened."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import tanh_log_scale

__all__ = ["Flatten", "MultiScale", "SplitPrior", "Squeeze"]


class Squeeze(Bijection):
    """Turns 2x2 pixels into 4 channels (Real NVP, Section 3.6): (C, H, W) -> (4 C, H/2, W/2)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return F.pixel_shuffle(z, 2)


class Flatten(Bijection):
    """Turns examples of a shape into vectors.

    Args:
        shape: Shape of an example.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return z.unflatten(1, self.shape)


class SplitPrior(nn.Module):
    """The Gaussian of the half that leaves, given the half that goes on, as a whitening.

    N(h; mean, std^2) of h is N(eps; 0, 1) of eps = (h - mean) / std, with log-determinant
    -sum log std. So all latents of a flow have one and the same prior, N(0, I), and can be encoded,
    decoded and interpolated together (Glow, Section 3.5, calls this a learned split prior).

    Args:
        net: Maps the half that goes on (B, C, H, W) to (B, 2 C, H, W): means, raw log-stds.
        bound: |log std| is at most this.
    """

    def __init__(self, net: nn.Module, bound: float = 4.0) -> None:
        super().__init__()
        self.net, self.bound = net, bound

    def whiten(self, h: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Return eps (B, C, H, W) and the log-determinant (B,)."""
        mean, log_std = self._mean_and_log_std(given)
        return (h - mean) * (-log_std).exp(), -log_std.flatten(1).sum(1)

    def colour(self, eps: Tensor, given: Tensor) -> Tensor:
        """Return h (B, C, H, W) with whiten(h, given) = eps."""
        mean, log_std = self._mean_and_log_std(given)
        return mean + eps * log_std.exp()

    def _mean_and_log_std(self, given: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.net(given).to(given.dtype).chunk(2, 1)
        return mean, tanh_log_scale(raw, self.bound)


class MultiScale(Bijection):
    """Levels of a flow; after each but the last, half of the channels leave as latents.

    The result is *all* latents as one vector (B, D), those of the last level first, so that
    inverse(forward(x)) = x for real images; keeping only the last level's would not be a bijection
    (Real NVP, Section 3.6).

    Args:
        levels: Bijections of images, each to an even number of channels.
        splits: One prior fewer than levels.
        shapes: Shape (C, H, W) of what comes out of each level.
    """

    def __init__(
        self,
        levels: Sequence[Bijection],
        splits: Sequence[SplitPrior],
        shapes: Sequence[tuple[int, int, int]],
    ) -> None:
        super().__init__()
        self.levels = cast(list[Bijection], nn.ModuleList(levels))
        self.splits = cast(list[SplitPrior], nn.ModuleList(splits))
        halves = [(c // 2, h, w) for c, h, w in shapes[:-1]]
        self.latent_shapes = [shapes[-1], *reversed(halves)]
        """Of the parts of the result, the last level's first."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        latents, log_dets = [], []
        for i, level in enumerate(self.levels):
            x, log_det = level(x)
            log_dets.append(log_det)
            if i < len(self.splits):
                x, leaves = x.chunk(2, 1)
                eps, log_det = self.splits[i].whiten(leaves, x)
                latents.append(eps.flatten(1))
                log_dets.append(log_det)
        return torch.cat([x.flatten(1), *reversed(latents)], 1), torch.stack(log_dets).sum(0)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        sizes = [math.prod(shape) for shape in self.latent_shapes]
        x, *others = (
            part.unflatten(1, shape)
            for part, shape in zip(z.split(sizes, 1), self.latent_shapes, strict=True)
        )
        x = self.levels[-1].inverse(x)
        for level, split, eps in zip(
            reversed(self.levels[:-1]), reversed(self.splits), others, strict=True
        ):
            x = level.inverse(torch.cat([x, split.colour(eps, x)], 1))
        return x
