"""How near restored images are to the originals: one number for each image."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MAX_PSNR", "colourfulness", "has_ssim", "psnr", "ssim_map"]

MAX_PSNR = 60.0
"""dB; an error below it cannot be seen in 8 bits, whose rounding alone costs 58.9 dB."""

WINDOW = 11
"""Pixels of a side of the window of SSIM."""


def psnr(x: Tensor, target: Tensor, where: Tensor | None = None) -> Tensor:
    """Return 10 log10(1 / MSE) (B,) in dB, at most `MAX_PSNR`, over all channels of an image.

    The limit keeps images that are restored without any error from deciding the mean of all.

    Args:
        x: Images (B, C, H, W), where the data range is [0, 1].
        target: The originals.
        where: Boolean (B, C, H, W), the pixels that count; NaN for an image without one.
    """
    error = (x - target).square().double()
    if where is None:
        mse = error.flatten(1).mean(1)
    else:
        mse = (error * where).flatten(1).sum(1) / where.flatten(1).sum(1)
    return -10 * mse.clamp(min=10 ** (-MAX_PSNR / 10)).log10()


def has_ssim(shape: tuple[int, ...]) -> bool:
    """Return whether images (C, H, W) are large enough to be mirrored under the window of SSIM."""
    return min(shape[1:]) > WINDOW // 2


def ssim_map(x: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity (B, C, H, W) around each pixel; SSIM of an image is its mean.

    Wang et al., 2004, "Image quality assessment: from error visibility to structural similarity":
    a Gaussian window of 11 x 11 pixels with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03, data
    range 1. As in torchmetrics, images are mirrored at the border, so that every pixel has a window,
    also in images that are smaller than a window; scikit-image leaves out a border of 5 pixels.

    Args:
        x: Images (B, C, H, W), H and W at least 6, see `has_ssim`.
        target: The originals.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # 2 seconds

    _, similarity = structural_similarity_index_measure(
        *(x.float(), target.float()), data_range=1.0, reduction="none", return_full_image=True
    )
    return similarity


def colourfulness(x: Tensor) -> Tensor:
    """Return M3 (B,) of RGB images (B, 3, H, W) in [0, 1], for a range of 255 as in the paper.

    Hasler and Suesstrunk, 2003, "Measuring colourfulness in natural images", Eq. 8: 0 for grey images,
    15 "slightly", 33 "moderately" and 109 "extremely colourful".
    """
    red, green, blue = (255 * x).flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    spread, shift = opponents.std(2, correction=0), opponents.mean(2)
    return spread.square().sum(0).sqrt() + 0.3 * shift.square().sum(0).sqrt()
