"""The Kullback-Leibler divergence on data whose density is known."""

import torch

from gdl.capabilities import HasLogProb, Incapable
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out, held_out_batches
from gdl.families.base import GenerativeModel
from gdl.families.terms import with_error

__all__ = ["divergence"]

POINTS = 5000
"""At a time."""


@torch.inference_mode()
def divergence(
    model: GenerativeModel,
    data: ImageData,
    batch_size: int = POINTS,
    limit: int | None = None,
) -> dict[str, float]:
    """Return KL(data, model) = E[log p(x) - log q(x)] in nats, "test/kl", with "test/kl_se".

    The expectation is a mean over the test points, which the model has not been trained on. As both
    densities are known, no entropy is missing, and the mean is unbiased: its only error is the
    standard error. It may come out below 0, by a few standard errors. "test/entropy" is
    E[-log p(x)] over the same points, the nll of the best model, and "test/points" their number.

    Args:
        model: A model whose nll is exact, in eval mode.
        data: Data with a density.
        batch_size: Points that the model sees at a time.
        limit: Only the first so many test points.

    Raises:
        Incapable: The density of the data is not known, or the model's nll is a bound.
    """
    if not isinstance(data, HasLogProb):
        raise Incapable(
            f"measure=divergence asks for data whose density is known, and {type(data).__name__} "
            "has none: use a run of data=toy1d or data=toy2d."
        )
    if model.nll_kind != "exact":
        raise Incapable(
            f"measure=divergence asks for an exact density, which {type(model).__name__} lacks: use "
            "a run of model=realnvp or model=nice."
        )
    batches = held_out_batches(model, data, batch_size, limit)
    nll = torch.cat([model.nll(x).double().cpu() for x in batches])
    points = held_out(data, limit)
    log_p = torch.cat([data.log_prob(part) for part in points.split(POINTS)]).cpu()
    metrics: dict[str, float] = {"test/points": len(points)}
    for name, values in (("kl", log_p + nll), ("entropy", -log_p)):
        metrics |= with_error(f"test/{name}", values)
    return metrics
