"""The multi-scale architecture: squeeze, levels of a flow, half of the channels leaves after each.

Dinh et al., 2017, "Density estimation using Real NVP", arXiv 1605.08803, Section 3.6.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.flows.base import Bijection
from gdl.flows.coupling import tanh_log_scale

__all__ = ["MultiScale", "SplitPrior", "Squeeze"]


class Squeeze(Bijection):
    """Turns 2x2 pixels into 4 channels : (C, H, W) -> (4 C, H/2, W/2)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Bijection.forward`."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Bijection.inverse`."""
        return F.pixel_shuffle(z, 2)


class SplitPrior(nn.Module):
    """A learned Gaussian of the half that leaves, given the half that goes on, as a whitening.

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
    """Levels of a flow; after each but the last, half of the channels leaves as latents.

    With h_0 = x, level l = 1, ..., L and `SplitPrior.whiten`:

        [h_l, e_l] = level_l(h_(l-1)),    eps_l = whiten(e_l, h_l),    z = [h_L, eps_(L-1), ..., eps_1].

    The log-determinant is the sum over levels and whitenings. The result z is *all* latents as one
    vector (B, D), so that inverse(forward(x)) = x for real images; keeping only the last level's
    would not be a bijection.

    Args:
        levels: Bijections of images, each to an even number of channels.
        splits: One prior fewer than levels.
        shapes: Shape (C, H, W) of the output of each level.
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
        """Shapes (C, H, W) of the parts of the result, the last level's first."""

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
