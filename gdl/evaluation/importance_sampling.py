"""The importance-weighted bound of latent-variable models."""

from collections.abc import Iterable

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasImportanceWeights, refuse
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import at_least_one, nats_and_bits
from gdl.families.base import GenerativeModel
from gdl.families.streaming import stream_weights
from gdl.noise import seed_noise

__all__ = ["importance_weighted_bound", "iwae"]


@torch.inference_mode()
def iwae(
    model: GenerativeModel,
    data: ImageData,
    k: int = 1000,
    batch_size: int = 50,
    chunk: int | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return the negative IWAE-k bound over the test images, see `importance_weighted_bound`.

    The keys are iwae-{k}/nll and iwae-{k}/nll_se in nats, iwae-{k}/bpd and iwae-{k}/bpd_se, and the
    median and the smallest effective sample size of an image, iwae-{k}/effective_samples and
    iwae-{k}/effective_samples_min. Where it is small the bound is loose, which the standard error over
    the images does not show. A conditional model has k samples for each label, and the bound is that of
    p(x) = sum_y p(y) p(x | y).

    Args:
        model: A model with importance weights, in eval mode.
        data: The data set.
        k: Importance samples per image.
        batch_size: Images at a time.
        chunk: Decoded images at a time, which bounds the memory; None: as many as are fastest.
        seed: Seeds the draws.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model has no importance weights.
        GdlError: k is no number of samples.
    """
    if not isinstance(model, HasImportanceWeights):
        asked = "measure=iwae asks for importance weights of latents"
        refuse(model, HasImportanceWeights, asked, models)
    at_least_one("k of measure=iwae", k)
    batches = held_out_batches(model, data, batch_size, limit, progress=f"iwae-{k}")
    bound, effective = importance_weighted_bound(model, batches, k, chunk, seed)
    return {
        **nats_and_bits(model, f"iwae-{k}", bound),
        f"iwae-{k}/effective_samples": float(effective.median()),
        f"iwae-{k}/effective_samples_min": float(effective.min()),
    }


@torch.inference_mode()
def importance_weighted_bound(
    model: HasImportanceWeights,
    batches: Iterable[Tensor],
    k: int,
    chunk: int | None = None,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return the negative IWAE-k bound (N,) in nats and the effective sample size (N,) per image.

    -log p(x) <= -E log (1/k) sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q (Burda et al., 2016,
    "Importance weighted autoencoders", arXiv 1509.00519, Eq. 8). Logs are averaged over images,
    never weights.

    Args:
        model: In eval mode.
        batches: Images (B, C, H, W) uint8, on the model's device.
        k: Number of importance samples; every value is honoured.
        chunk: Decoded images at a time, which bounds the memory; None: as many as are fastest.
        seed: Seeds the draws.
    """
    bounds, effective = [], []
    for i, x in enumerate(batches):
        seed_noise(x.device, "iwae", seed, i)
        stream = stream_weights(model, x, k, chunk)
        bounds.append(-stream.value())
        effective.append(stream.effective_samples())
    return torch.cat(bounds).cpu(), torch.cat(effective).cpu()
