"""Likelihoods as operations: the mean image, and the log-probability of an image."""

from collections.abc import Callable
from typing import Any

from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Likelihood,
)
from gdl.explorer.graph import Graph
from gdl.explorer.layers import Inexpressible

__all__ = ["log_prob", "mean"]


def mean(likelihood: Likelihood, graph: Graph, params: int) -> int:
    """Append E[x], (B, C, H, W) in [0, levels - 1], given parameters (B, P, H, W).

    Raises:
        Inexpressible: The page does not know this class of likelihood.
    """
    return _known(MEAN, likelihood)(likelihood, graph, params)


def log_prob(likelihood: Likelihood, graph: Graph, params: int, x: int) -> int:
    """Append log p(x) (B,) in nats, given parameters (B, P, H, W) and images x (B, C, H, W).

    Raises:
        Inexpressible: The page does not know this class of likelihood.
    """
    name, options = _known(LOG_PROB, likelihood)
    tensors = {}
    if isinstance(likelihood, DiscretizedGaussian):
        tensors = {"log_std": likelihood.log_std}
    return graph.add(name, params, x, tensors=tensors, **options(likelihood))


def _known(table: dict[type[Likelihood], Any], likelihood: Likelihood) -> Any:
    # by the exact class: a subclass may compute something else
    if type(likelihood) not in table:
        raise Inexpressible(
            f"The page cannot run the likelihood {type(likelihood).__name__}: let Python decode, with "
            "gdl explore --serve."
        )
    return table[type(likelihood)]


def _clipped(likelihood: Likelihood, graph: Graph, params: int) -> int:
    """Append the means, the first parameters of each pixel, in levels."""
    half = (likelihood.levels - 1) / 2
    h = graph.add("narrow", params, start=0, length=likelihood.shape[0])
    h = graph.add("affine", h, scale=half, shift=half)
    return graph.add("clamp", h, low=0, high=likelihood.levels - 1)


def _mixture(likelihood: DiscretizedLogisticMixture) -> dict[str, Any]:
    return {"levels": likelihood.levels, "mixtures": likelihood.num_mixtures}


MEAN: dict[type[Likelihood], Callable[..., int]] = {
    Bernoulli: lambda _, graph, params: graph.add("sigmoid", params),
    Categorical: lambda lk, graph, params: graph.add(
        "categorical_mean", params, channels=lk.shape[0], levels=lk.levels
    ),
    DiscretizedGaussian: _clipped,
    DiscretizedLogistic: _clipped,
    DiscretizedLogisticMixture: lambda lk, graph, params: graph.add(
        "mixture_mean", params, channels=lk.shape[0], **_mixture(lk)
    ),
}
"""What appends the mean of a likelihood."""

LOG_PROB: dict[type[Likelihood], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Bernoulli: ("bernoulli_log_prob", lambda lk: {}),
    Categorical: ("categorical_log_prob", lambda lk: {"levels": lk.levels}),
    DiscretizedGaussian: ("gaussian_log_prob", lambda lk: {"levels": lk.levels}),
    DiscretizedLogistic: ("logistic_log_prob", lambda lk: {"levels": lk.levels}),
    DiscretizedLogisticMixture: ("mixture_log_prob", _mixture),
}
"""The operation that scores an image, and its options."""
