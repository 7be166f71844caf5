"""Mutual information gap: Chen et al., 2018, "Isolating sources of disentanglement in VAEs".

arXiv 1802.04942, Eq. (6). Two estimates are in use, and their numbers differ: histograms of the
posterior mean (Locatello et al., 2019, arXiv 1811.12359), and the entropy of the mixture of all
posteriors (the paper's own). Neither is called just "MIG".
"""

import torch
from torch import Tensor

from gdl.evaluation.disentangling.mutual_information import (
    discretized,
    entropies,
    mutual_information,
)

__all__ = ["gap_of_top_two", "mig_chen", "mig_hist", "posterior_information"]

AT_A_TIME = 250_000
"""Pairs of a code and a posterior: few, so that they stay in the cache of the processor."""

NEGLIGIBLE = -80.0
"""Smaller logarithms become this: exp is many times slower where its result is no normal number."""


def gap_of_top_two(scores: Tensor) -> Tensor:
    """Return how far the best latent of each factor is above the second (F,), of scores (L, F).

    A single latent is compared with 0.
    """
    best = torch.cat([scores, torch.zeros_like(scores[:1])]).topk(2, 0).values
    return best[0] - best[1]


def mig_hist(codes: Tensor, factors: Tensor, bins: int = 20) -> Tensor:
    """Return (I_1 - I_2) / H(v_k) (F,) of each factor; the score is the mean over the factors.

    I_1 and I_2 are the largest two of the latents' mutual informations, from histograms.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64, each with two values or more.
        bins: Equal-width bins of a latent. Results are only comparable at the same number; 20 is usual.
    """
    information = mutual_information(discretized(codes, bins), factors)
    return gap_of_top_two(information) / entropies(factors)


def mig_chen(mean: Tensor, log_std: Tensor, factors: Tensor, seed: int = 0) -> Tensor:
    """Return (I_1 - I_2) / H(v_k) (F,) of each factor, with I of draws from the posteriors.

    H(v_k) is log(number of values) where all combinations of the factors are equally frequent, as in
    the paper. Arguments are those of `posterior_information`.
    """
    information = posterior_information(mean, log_std, factors, seed)
    return gap_of_top_two(information) / entropies(factors)


def posterior_information(mean: Tensor, log_std: Tensor, factors: Tensor, seed: int = 0) -> Tensor:
    """Return I(z_j; v_k) (L, F) in nats, of z ~ q(z | x) and images x drawn from the N given.

    I = H(z_j) - sum_v p(v) H(z_j | v), with q(z_j | v) the mixture of the posteriors of the images
    whose factor has the value v, and each entropy a mean of -log q over one draw for each image
    (Chen et al., appendix C). With few images for a value, I is too large, of all latents alike.

    Args:
        mean: Means (N, L) of the posteriors, which are Gaussian with a diagonal covariance.
        log_std: Logarithms (N, L) of their standard deviations.
        factors: (N, F) int64.
        seed: Seeds the draws.
    """
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
    z = mean + log_std.exp() * noise.to(mean)
    whole = _entropy(z, mean, log_std)
    columns = []
    for v in factors.T:
        within = torch.zeros_like(whole)
        for value in v.unique():
            has = v == value
            within += _entropy(z[has], mean[has], log_std[has]) * has.double().mean()
        columns.append((whole - within).clamp(min=0))
    return torch.stack(columns, 1)


def _entropy(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the mean of -log q(z_j) (L,) in float64, without log(2 pi) / 2; q is the mixture."""
    precision, log_n = (-log_std).exp(), torch.tensor(float(len(mean))).log()
    size = max(1, AT_A_TIME // len(mean))
    totals = []
    for j in range(z.shape[1]):
        parts = []
        for part in z[:, j].split(size):
            scaled = (part[:, None] - mean[:, j]).mul_(precision[:, j])
            log_q = scaled.square_().mul_(-0.5).sub_(log_std[:, j])
            largest = log_q.amax(1, keepdim=True)
            total = log_q.sub_(largest).clamp_(min=NEGLIGIBLE).exp_().sum(1).log()
            parts.append((total + largest[:, 0]).double().sum())
        totals.append(log_n - torch.stack(parts).sum() / len(z))
    return torch.stack(totals)
