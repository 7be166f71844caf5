"""How many latents a model uses."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasPosterior, refuse
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out_batches, held_out_labels
from gdl.evaluation.units import several_images
from gdl.families.base import GenerativeModel

__all__ = ["active_units", "is_active", "posteriors"]


@torch.inference_mode()
def active_units(
    model: GenerativeModel,
    data: ImageData,
    threshold: float = 0.01,
    batch_size: int = 500,
    limit: int | None = None,
) -> dict[str, int]:
    """Return "active_units", the latents whose posterior mean varies over the test images.

    Their number is "latents/number".

    A latent z_j is active if Var_x(E[z_j | x]) > threshold (Burda et al., 2016, "Importance weighted
    autoencoders", arXiv 1509.00519, Section 5.2). A conditional model is given the labels.

    Args:
        model: A model with a posterior, in eval mode.
        data: The data set.
        threshold: Variance above which a latent is active.
        batch_size: Images at a time.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model has no posterior, or there is one image.
    """
    if not isinstance(model, HasPosterior):
        asked = "measure=active_units asks for a posterior of latents"
        refuse(model, HasPosterior, asked, models)
    means, _ = posteriors(model, data, batch_size, limit)
    several_images("active_units", "test", means)
    return {
        "active_units": int(is_active(means, threshold).sum()),
        "latents/number": len(means[0]),
    }


def is_active(means: Tensor, threshold: float) -> Tensor:
    """Return whether each latent is active (M,), from the posterior means (N, M) of images."""
    return means.double().var(0) > threshold


def posteriors(
    model: GenerativeModel, data: ImageData, batch_size: int, limit: int | None
) -> tuple[Tensor, Tensor]:
    """Return mean and log standard deviation (N, M), float64 on the CPU, of the test images.

    Args:
        model: A model with a posterior; a conditional one is given the labels.
        data: The data set.
        batch_size: Images at a time.
        limit: Only the first so many test images.
    """
    assert isinstance(model, HasPosterior)
    batches = held_out_batches(model, data, batch_size, limit)
    labels = held_out_labels(model, data, limit)
    if labels is None:
        found = [model.posterior(x) for x in batches]
    else:
        given = zip(batches, labels.split(batch_size), strict=True)
        found = [model.posterior(x, y) for x, y in given]  # pyright: ignore[reportCallIssue]
    mean, log_std = (torch.cat(part).cpu().double() for part in zip(*found, strict=True))
    return mean, log_std
