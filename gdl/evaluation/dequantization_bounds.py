"""Tighter bounds of dequantized flows."""

from collections.abc import Iterable

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Incapable, Invertible, refuse
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import at_least_one, nats_and_bits
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise

__all__ = ["dequantization", "dequantization_bound"]


@torch.inference_mode()
def dequantization(
    model: GenerativeModel,
    data: ImageData,
    k: int = 16,
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return a flow's negative bound from k dequantization samples per test image.

    The keys are dequant-{k}/nll and dequant-{k}/nll_se in nats, dequant-{k}/bpd and
    dequant-{k}/bpd_se; of variational dequantization they begin with vardeq-{k}.

    Args:
        model: A flow on integer images, in eval mode.
        data: The data set.
        k: Samples per image; 1 is the bound that the model is trained on.
        batch_size: Images at a time.
        seed: Seeds the draws.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model is no flow, or its data are continuous.
        GdlError: k is no number of samples.
    """
    if not isinstance(model, Invertible):
        asked = "measure=dequantization asks for a flow that adds noise to the pixels"
        refuse(model, Invertible, asked, models)
    if model.levels is None:
        raise Incapable(
            "measure=dequantization asks for integer data, and these are continuous: their nll is "
            "exact already, use measure=bits."
        )
    at_least_one("k of measure=dequantization", k)
    batches = held_out_batches(model, data, batch_size, limit)
    kind = getattr(getattr(model, "dequantize", None), "kind", "dequant")
    return nats_and_bits(model, f"{kind}-{k}", dequantization_bound(model, batches, k, seed))


@torch.inference_mode()
def dequantization_bound(
    model: GenerativeModel, batches: Iterable[Tensor], k: int, seed: int = 0
) -> Tensor:
    """Return the negative bound (N,) in nats from k dequantization samples per image.

    -log P(x) <= -E log (1 / k) sum_k p(y_k) / q(y_k | x); k = 1 is the usual one, more are tighter
    (Hoogeboom et al., 2021, "Learning discrete distributions by dequantization", arXiv 2001.11235).
    q is the model's own: uniform, or the flow of its variational dequantization.

    Args:
        model: A flow in eval mode.
        batches: Images (B, C, H, W) uint8, on the model's device.
        k: Samples per image.
        seed: Seeds the draws.
    """
    bounds = []
    for i, x in enumerate(batches):
        seed_noise(x.device, "dequantize", seed, i)
        bounds.append(model.nll(x, k=k))
    return torch.cat(bounds).cpu()
