"""The aggregate posterior q(z) = mean_n q(z | x_n) of N images against the prior p(z) = N(0, I).

Hoffman & Johnson, 2016, "ELBO surgery: yet another way to carve up the variational evidence lower
bound", Advances in Approximate Bayesian Inference: mean_n KL(q(z | x_n), p(z)) =
I(n; z) + KL(q(z), p(z)), where n is the number of an image. Chen et al., 2018, "Isolating sources of
disentanglement in VAEs", arXiv 1802.04942, Eq. 2: KL(q(z), p(z)) = KL(q(z), prod_j q(z_j)) +
sum_j KL(q(z_j), p(z_j)); the first term is the total correlation.
"""

import math
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor

__all__ = ["Marginal", "information", "marginal"]

MAX_CELLS = 4000
"""Of the grid of a latent, whose cells are otherwise as wide as half the narrowest posterior."""

PAIRS = 5_000_000
"""Pairs of a draw and an image at a time."""

MAX_DRAWS = 10_000
"""Draws of z that the information is averaged over, at least one for each image."""


@dataclass(frozen=True)
class Marginal:
    """The marginal q(z_j) of the aggregate posterior on a grid.

    Args:
        z: Middles of the cells (G,), evenly spaced.
        density: Mean density in each cell (G,).
        kl: KL(q(z_j), N(0, 1)) in nats.
    """

    z: Tensor
    density: Tensor
    kl: float


def marginal(mean: Tensor, log_std: Tensor) -> Marginal:
    """Return the marginal of one latent, by numerical integration.

    The mass of a cell is exact, so a posterior that is narrower than a cell is not missed. What is
    within a cell is averaged, which makes the divergence at most smaller.

    Args:
        mean: Means of q(z_j | x) of N images (N,).
        log_std: Log standard deviations (N,).
    """
    mean, std = mean.double(), log_std.double().exp()
    low, high = float((mean - 7 * std).min()), float((mean + 7 * std).max())
    cells = min(MAX_CELLS, max(500, math.ceil(2 * (high - low) / float(std.min()))))
    edges = torch.linspace(low, high, cells + 1, dtype=torch.float64)
    mass = torch.zeros(cells, dtype=torch.float64)
    for m, s in zip(*(part.split(max(1, PAIRS // cells)) for part in (mean, std)), strict=True):
        below = torch.special.ndtr((edges - m[:, None]) / s[:, None])
        mass += below.diff(dim=1).sum(0)
    mass /= len(mean)
    z, width = (edges[1:] + edges[:-1]) / 2, (high - low) / cells
    density = mass / width
    log_prior = -0.5 * ((mean.square() + std.square()).mean() + math.log(2 * math.pi))
    kl = torch.special.xlogy(mass, density).sum() - log_prior
    return Marginal(z, density, max(0.0, float(kl)))


def information(mean: Tensor, log_std: Tensor, seed: int = 0) -> Tensor:
    """Return log q(z | x_n) - log q(z) of draws z ~ q(z | x_n), (N,); their mean estimates I(n; z).

    Every draw is compared with the posteriors of all images. A draw gives log N at most, so the mean
    does too: where it comes near, z tells all images apart, and I(x; z) over all images that there
    could be is larger.

    Args:
        mean: Means of q(z | x) of N images (N, M).
        log_std: Log standard deviations (N, M).
        seed: Seeds the draws. There are several for each image where the images are few.
    """
    mean, log_std = mean.double().cpu(), log_std.double().cpu()
    generator, n = torch.Generator().manual_seed(seed), len(mean)
    inverse = (-2 * log_std).exp()
    # log q(z | x_m) = -0.5 (z^2 a_m - 2 z b_m + c_m), summed over the latents by matrix products
    b, c = mean * inverse, (mean.square() * inverse + 2 * log_std).sum(1)
    c += mean.shape[1] * math.log(2 * math.pi)
    rounds, total = max(1, MAX_DRAWS // n), torch.zeros(n, dtype=torch.float64)
    parts = torch.arange(n).split(max(1, PAIRS // n))
    for part in track(parts, "information", transient=True, disable=len(parts) < 5):
        for _ in range(rounds):
            noise = torch.randn(mean[part].shape, generator=generator, dtype=torch.float64)
            z = mean[part] + log_std[part].exp() * noise
            log_q = -0.5 * (z.square() @ inverse.T - 2 * z @ b.T + c)
            own = -0.5 * (noise.square() + 2 * log_std[part] + math.log(2 * math.pi)).sum(1)
            log_q[torch.arange(len(part)), part] = own  # exact, without cancellation
            total[part] += own - log_q.logsumexp(1) + math.log(n)
    return total / rounds
