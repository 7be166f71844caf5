"""The divergence itself, on data whose density is known."""

import torch
from torch import Tensor

from gdl.capabilities import HasLogProb
from gdl.evaluation.evaluate import mean_and_error
from gdl.models.base import GenerativeModel

__all__ = ["divergence"]


@torch.inference_mode()
def divergence(
    model: GenerativeModel, truth: HasLogProb, x: Tensor, batch_size: int = 5000
) -> dict[str, float]:
    """Return KL(data, model) = E[log p(x) - log q(x)] in nats, "test/kl", with "test/kl_se".

    The expectation is a mean over points that the model has not been trained on. As both densities
    are known, no entropy is missing, and the mean is unbiased: its only error is the standard error.
    It may come out below 0, by a few standard errors. "test/entropy" is E[-log p(x)] over the same
    points, what the nll of the best model would be.

    Args:
        model: One whose nll is exact.
        truth: The data's p.
        x: Draws (N, D) from p, "test/points" many.
        batch_size: Points at a time.
    """
    log_q = [
        -model.loss(part.to(model.device))["nll"].double().cpu() for part in x.split(batch_size)
    ]
    log_p = torch.cat([truth.log_prob(part) for part in x.split(batch_size)]).cpu()
    metrics: dict[str, float] = {"test/points": len(x)}
    for name, values in (("kl", log_p - torch.cat(log_q)), ("entropy", -log_p)):
        metrics[f"test/{name}"], metrics[f"test/{name}_se"] = mean_and_error(values)
    return metrics
