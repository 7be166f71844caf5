"""The divergence itself, on data whose density is known."""

import torch
from torch import Tensor

from gdl.capabilities import HasLogProb
from gdl.families.base import GenerativeModel
from gdl.families.terms import mean_and_error

__all__ = ["divergence", "exact_nll"]

POINTS = 5000
"""At a time."""


@torch.inference_mode()
def exact_nll(model: GenerativeModel, x: Tensor) -> Tensor:
    """Return -log q(x) (N,) in nats of points (N, D), of a model whose nll is exact."""
    parts = [model.loss(part.to(model.device))["nll"] for part in x.split(POINTS)]
    return torch.cat([part.double().cpu() for part in parts])


@torch.inference_mode()
def divergence(nll: Tensor, truth: HasLogProb, x: Tensor) -> dict[str, float]:
    """Return KL(data, model) = E[log p(x) - log q(x)] in nats, "test/kl", with "test/kl_se".

    The expectation is a mean over points that the model has not been trained on. As both densities
    are known, no entropy is missing, and the mean is unbiased: its only error is the standard error.
    It may come out below 0, by a few standard errors. "test/entropy" is E[-log p(x)] over the same
    points, what the nll of the best model would be.

    Args:
        nll: The model's exact -log q(x) (N,).
        truth: The data's p.
        x: Draws (N, D) from p, "test/points" many.
    """
    log_p = torch.cat([truth.log_prob(part) for part in x.split(POINTS)]).cpu()
    metrics: dict[str, float] = {"test/points": len(x)}
    for name, values in (("kl", log_p + nll), ("entropy", -log_p)):
        metrics[f"test/{name}"], metrics[f"test/{name}_se"] = mean_and_error(values)
    return metrics
