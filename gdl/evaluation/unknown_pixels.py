"""Bits of the pixels that an image has lost, given those that are left."""

import torch
from torch import Tensor

from gdl.capabilities import Incapable, ScoresGiven
from gdl.corruptions import Corruption
from gdl.families.base import GenerativeModel
from gdl.restoration.bits import unknown_bits
from gdl.restoration.scoring import on_seen

__all__ = ["bits_of_unknown"]


def bits_of_unknown(
    model: GenerativeModel,
    images: Tensor,
    corruption: Corruption,
    samples: int = 0,
    batch_size: int = 500,
    seed: int = 0,
) -> tuple[str, Tensor] | None:
    """Return what the numbers are, and the bits per unknown value (N,), see `unknown_bits`.

    None if the model has no such number, if no pixel is known or all are, or if the number would have
    to be estimated and `samples` is 0.

    Args:
        model: A density, in eval mode.
        images: Test images (N, C, H, W) uint8.
        corruption: What they lose.
        samples: Samples of each image, for an estimate.
        batch_size: Images at a time.
        seed: Seeds the samples.
    """
    assert model.levels is not None
    found: list[Tensor] = []
    kind = ""
    for first in range(0, len(images), batch_size):
        x = images[first : first + batch_size].to(model.device)
        seen = on_seen(corruption, x.float() / (model.levels - 1), first)
        known = seen.known_pixels
        exact = isinstance(model, ScoresGiven) and model.known_come_first(known)
        if not known.any() or known.all() or not (samples or exact):
            return None
        try:
            kind, bits = unknown_bits(model, x, known, max(1, samples), seed, first)
        except Incapable:
            return None
        found.append(bits.cpu())
    return kind, torch.cat(found)
