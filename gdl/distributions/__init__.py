r"""Distributions of integer pixels: each object holds log-probability *and* sampling.

A network returns real parameters (B, P, H, W) of any size. A likelihood turns them into a
distribution over images x in {0, ..., levels - 1}^(C, H, W) whose probabilities sum to 1. Inside,
pixels are scaled to [-1, 1], so adjacent levels are 2 / (levels - 1) apart; log-scales are in that
unit. Here for one pixel with 17 levels:

>>> import torch
>>> likelihood = DiscretizedLogistic(shape=(1, 1, 1), levels=17)
>>> params = torch.randn(1, likelihood.num_params, 1, 1)
>>> x = torch.arange(17, dtype=torch.uint8).view(17, 1, 1, 1)
>>> round(float(likelihood.log_prob(params, x).exp().sum()), 4)
1.0
"""

from collections.abc import Sequence

from gdl.distributions.base import Bernoulli, Likelihood
from gdl.distributions.categorical import Categorical
from gdl.distributions.gaussian import DiscretizedGaussian, gaussian_kl, log_normal
from gdl.distributions.logistic import DiscretizedLogistic, DiscretizedLogisticMixture
from gdl.distributions.truncated import Truncated

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedGaussian",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Likelihood",
    "Truncated",
    "default_conditional",
    "default_likelihood",
    "gaussian_kl",
    "log_normal",
]


def default_likelihood(
    shape: Sequence[int], levels: int, alphabet: str | None = None
) -> Likelihood:
    """Return `Bernoulli` for binary images and `DiscretizedLogistic` for all others.

    The symbols of an alphabet have no order, and are `Categorical`.
    """
    if alphabet is not None and levels > 2:
        return Categorical(shape, levels)
    return Bernoulli(shape, levels) if levels == 2 else DiscretizedLogistic(shape, levels)


def default_conditional(
    shape: Sequence[int], levels: int, alphabet: str | None = None
) -> Likelihood:
    """Return a likelihood for one pixel given other pixels, which may have several modes.

    It is `Bernoulli` for binary images, `Categorical` for up to 32 levels and for the symbols of an
    alphabet, and a mixture of discretized logistics for more.
    """
    if levels == 2:
        return Bernoulli(shape, levels)
    if levels <= 32 or alphabet is not None:
        return Categorical(shape, levels)
    return DiscretizedLogisticMixture(shape, levels)
