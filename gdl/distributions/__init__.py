r"""Distributions of integer pixels: each object holds log-probability *and* sampling.

A likelihood owns the range of the decoder's output: the network returns real parameters
(B, P, H, W), the likelihood turns them into a distribution over x in
{0, ..., levels - 1}^(C, H, W) whose probabilities sum to 1. Inside, pixels are scaled to [-1, 1],
so that adjacent levels lie 2 / (levels - 1) apart; log-scales are in that unit.
"""

from collections.abc import Sequence

from gdl.distributions.base import Bernoulli, Likelihood
from gdl.distributions.gaussian import DiscretizedGaussian, log_normal
from gdl.distributions.logistic import DiscretizedLogistic, DiscretizedLogisticMixture

__all__ = [
    "Bernoulli",
    "DiscretizedGaussian",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Likelihood",
    "default_likelihood",
    "log_normal",
]


def default_likelihood(shape: Sequence[int], levels: int) -> Likelihood:
    """Return `Bernoulli` for binary images and `DiscretizedLogistic` for all others."""
    return Bernoulli(shape, levels) if levels == 2 else DiscretizedLogistic(shape, levels)
