"""The density of a model's own statistics: an image is strange where they are unusual."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.evaluation.outliers.images import Images
from gdl.evaluation.outliers.model_statistics import statistics_of
from gdl.evaluation.units import at_least_one

__all__ = ["KernelDensity", "dose"]

PAIRS = 2_000_000
"""Differences between images and fitted images at a time."""


def dose(images: Images, train: Images, draws: int = 8) -> Tensor:
    """Return -sum_s log p_s(T_s(x)) (N,), p_s a kernel density of the statistic T_s of training images.

    Morningstar et al., 2021, "Density of states estimation for out-of-distribution detection", arXiv
    2006.09273, its form DoSE-KDE. The statistics are those of `model_statistics`.

    Args:
        images: To score.
        train: Images that belong, on which the densities are fitted.
        draws: Latents, or dequantization samples, per image.

    Raises:
        Incapable: The model has no density, or there is one training image only.
        GdlError: `draws` is no number of samples.
    """
    at_least_one("draws of dose", draws)
    train.check_density()
    if len(train) < 2:
        raise Incapable("it asks for at least 2 training images, raise ood.num_fit.")
    density = train.once(("dose", draws), lambda: KernelDensity.fit(statistics_of(train, draws)))
    return -density.log_prob(statistics_of(images, draws))


@dataclass(frozen=True)
class KernelDensity:
    """A product of densities, one of each column: Gaussian kernels of width sigma n^(-1/5) (Scott).

    Args:
        points: The n standardised points that were fitted (n, S).
        mean: Their means before (S,).
        std: Their standard deviations before (S,).
    """

    points: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, t: Tensor) -> "KernelDensity":
        """Return the density of rows t (n, S)."""
        mean, std = t.mean(0), t.std(0)
        std = std.clamp(min=1e-9 * (1 + float(mean.abs().max())))  # of a column that is constant
        return cls((t - mean) / std, mean, std)

    def log_prob(self, t: Tensor) -> Tensor:
        """Return the log-density (B,), in nats, of rows t (B, S)."""
        n, columns = self.points.shape
        width = n**-0.2
        log_norm = math.log(n * width) + 0.5 * math.log(2 * math.pi)
        found = []
        for part in ((t - self.mean) / self.std).split(max(1, PAIRS // (n * columns))):
            z = (part[:, None] - self.points) / width  # (b, n, S)
            log_p = (-0.5 * z.square()).logsumexp(1) - log_norm - self.std.log()
            found.append(log_p.sum(1))
        return torch.cat(found)
