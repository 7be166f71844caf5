r"""Distributions of integer pixels: each object holds log-probability *and* sampling.

A likelihood owns the range of the decoder's output: the network returns real parameters
(B, P, H, W), the likelihood turns them into a distribution over x in
{0, ..., levels - 1}^(C, H, W) whose probabilities sum to 1. Inside, pixels are scaled to [-1, 1],
so that adjacent levels lie 2 / (levels - 1) apart; log-scales are in that unit.
"""

from collections.abc import Sequence

from gdl.distributions.base import Bernoulli, Likelihood
from gdl.distributions.categorical import Categorical
from gdl.distributions.gaussian import DiscretizedGaussian, gaussian_kl, log_normal
from gdl.distributions.logistic import DiscretizedLogistic, DiscretizedLogisticMixture

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedGaussian",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Likelihood",
    "default_conditional",
    "default_likelihood",
    "gaussian_kl",
    "log_normal",
]


def default_likelihood(shape: Sequence[int], levels: int) -> Likelihood:
    """Return `Bernoulli` for binary images and `DiscretizedLogistic` for all others."""
    return Bernoulli(shape, levels) if levels == 2 else DiscretizedLogistic(shape, levels)


def default_conditional(shape: Sequence[int], levels: int) -> Likelihood:
    """Return what suits one pixel given others, whose distribution may have several modes.

    `Bernoulli` for binary images, `Categorical` for up to 32 levels, else a mixture of discretized
    logistics.
    """
    if levels == 2:
        return Bernoulli(shape, levels)
    if levels <= 32:
        return Categorical(shape, levels)
    return DiscretizedLogisticMixture(shape, levels)
