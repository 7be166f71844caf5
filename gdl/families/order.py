"""The orders in which an autoregressive model can visit the pixels of an image."""

import re

import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["pixel_order"]


def pixel_order(name: str, height: int, width: int) -> Tensor:
    """Return the raster indices (H W,) of the pixels, in the order in which they are visited.

    >>> pixel_order("columns", 2, 3).tolist()
    [0, 3, 1, 4, 2, 5]
    >>> pixel_order("hilbert", 4, 4).tolist()
    [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3]

    Args:
        name: "raster" (row by row), "columns", "hilbert" (Hilbert's curve, whose successive pixels
            are neighbours in the image), or "random", "random-1", "random-2", ... (a random
            permutation with that seed).
        height: H.
        width: W.

    Raises:
        GdlError: There is no order of that name.
    """
    raster = torch.arange(height * width)
    if name == "raster":
        return raster
    if name == "columns":
        return raster.view(height, width).T.flatten()
    if name == "hilbert":
        return _hilbert_distance(height, width).flatten().argsort()
    if match := re.fullmatch(r"random(?:-(\d+))?", name):
        seed = int(match[1] or 0)
        return torch.randperm(len(raster), generator=torch.Generator().manual_seed(seed))
    raise GdlError(
        f"model.order must be raster, columns, hilbert, random or random-SEED, got {name!r}."
    )


def _hilbert_distance(height: int, width: int) -> Tensor:
    """Return the position (H, W) of each pixel on Hilbert's curve.

    The curve fills the smallest square around the image whose side is a power of two. Positions
    outside of the image are skipped, so a step there may be longer than one pixel.
    """
    side = 1 << (max(height, width) - 1).bit_length()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = torch.zeros_like(x)
    half = side // 2
    while half:
        right, low = (x & half) > 0, (y & half) > 0
        distance += half * half * ((3 * right) ^ low.long())
        # the curve is transposed in the upper quadrants, and turned around in the upper right one
        turn = right & ~low
        x, y = torch.where(turn, side - 1 - x, x), torch.where(turn, side - 1 - y, y)
        x, y = torch.where(low, x, y), torch.where(low, y, x)
        half //= 2
    return distance
