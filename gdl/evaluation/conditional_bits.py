"""The probability of a part of an image given the rest."""

from pathlib import Path

import torch

import gdl.models as models
from gdl.capabilities import ScoresGiven, refuse
from gdl.corruptions import known_pixels
from gdl.data.base import ImageData
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import nats_and_bits
from gdl.families.base import GenerativeModel

__all__ = ["conditional"]


@torch.inference_mode()
def conditional(
    model: GenerativeModel,
    data: ImageData,
    known: str = "top",
    batch_size: int = 500,
    limit: int | None = None,
) -> dict[str, float]:
    """Return -log p(unknown pixels | known pixels) over the test images, in nats and in bits/dim.

    The keys are given-{known}/nll, given-{known}/nll_se, given-{known}/bpd and given-{known}/bpd_se,
    where D counts the unknown pixels only. Where unknown pixels precede known ones in the model's
    order, each is scored given the pixels before it only, and the keys are called ordered-{known}.

    Args:
        model: A model that scores some pixels given others, in eval mode.
        data: The data set.
        known: Which pixels are known, see `gdl.corruptions.known_pixels`.
        batch_size: Images at a time.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model cannot.
        GdlError: There is no such choice of known pixels.
    """
    if not isinstance(model, ScoresGiven):
        asked = "measure=conditional asks for the probability of some pixels given others"
        refuse(model, ScoresGiven, asked, models)
    mask = known_pixels(known, model.shape).to(model.device)
    batches = held_out_batches(model, data, batch_size, limit)
    nll = torch.cat([-model.log_prob_given(x, mask).double().cpu() for x in batches])
    kind = "given" if model.known_come_first(mask) else "ordered"
    return nats_and_bits(model, f"{kind}-{Path(known).name}", nll, int((~mask).sum()))
