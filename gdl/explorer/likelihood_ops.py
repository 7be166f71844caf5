"""The operations that likelihoods need, in PyTorch: the likelihoods themselves are what they mean.

`page/likelihoods.js` has the same table in JavaScript; tests compare the two in a browser.
"""

from collections.abc import Callable

from torch import Tensor

from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)

__all__ = ["LIKELIHOOD_OPS"]


def _bernoulli_log_prob(params: Tensor, x: Tensor) -> Tensor:
    """Return log p(x) (B,) of binary images x (B, C, H, W), given logits (B, C, H, W)."""
    return Bernoulli(x.shape[1:], 2).log_prob(params, x)


def _categorical_mean(params: Tensor, channels: int, levels: int) -> Tensor:
    """Return E[x] (B, C, H, W), given logits (B, C * levels, H, W)."""
    return Categorical((channels, *params.shape[2:]), levels).mean(params)


def _categorical_log_prob(params: Tensor, x: Tensor, levels: int) -> Tensor:
    return Categorical(x.shape[1:], levels).log_prob(params, x)


def _gaussian_log_prob(params: Tensor, x: Tensor, log_std: Tensor, levels: int) -> Tensor:
    """Return log p(x) (B,), given means (B, C, H, W) and one log-scale for all pixels."""
    likelihood = DiscretizedGaussian(x.shape[1:], levels).eval()
    likelihood.log_std = log_std.detach()
    return likelihood.log_prob(params, x)


def _logistic_log_prob(params: Tensor, x: Tensor, levels: int) -> Tensor:
    """Return log p(x) (B,), given means and log-scales (B, 2 C, H, W)."""
    return DiscretizedLogistic(x.shape[1:], levels).log_prob(params, x)


def _mixture_mean(params: Tensor, channels: int, levels: int, mixtures: int) -> Tensor:
    """Return E[x] (B, C, H, W), see `DiscretizedLogisticMixture`."""
    shape = (channels, *params.shape[2:])
    return DiscretizedLogisticMixture(shape, levels, mixtures).mean(params)


def _mixture_log_prob(params: Tensor, x: Tensor, levels: int, mixtures: int) -> Tensor:
    return DiscretizedLogisticMixture(x.shape[1:], levels, mixtures).log_prob(params, x)


LIKELIHOOD_OPS: dict[str, Callable[..., Tensor]] = {
    "bernoulli_log_prob": _bernoulli_log_prob,
    "categorical_mean": _categorical_mean,
    "categorical_log_prob": _categorical_log_prob,
    "gaussian_log_prob": _gaussian_log_prob,
    "logistic_log_prob": _logistic_log_prob,
    "mixture_mean": _mixture_mean,
    "mixture_log_prob": _mixture_log_prob,
}
"""Every operation by its name in a graph."""
