"""Which pixels of an image are known."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["known_pixels"]


def known_pixels(name: str, shape: Sequence[int]) -> Tensor:
    """Return a boolean mask (C, H, W), true where a pixel is known, the same for all channels.

    Args:
        name: "top", "bottom", "left" or "right" for that half; "random" for a random half of the
            pixels, "random-0.25" for a quarter of them; or an image file, bright where known.
        shape: (C, H, W).

    Raises:
        GdlError: There is no such choice and no such file, the file is no image, or the mask leaves
            nothing to complete.
    """
    _, height, width = shape
    row, column = torch.arange(height)[:, None], torch.arange(width)
    halves = {
        "top": row < height // 2,
        "bottom": row >= height // 2,
        "left": column < width // 2,
        "right": column >= width // 2,
    }
    if name in halves:
        known = halves[name]
    elif match := re.fullmatch(r"random(?:-(0?\.\d+))?", name):
        count = round(float(match[1] or 0.5) * height * width)
        shuffled = torch.randperm(height * width, generator=torch.Generator().manual_seed(0))
        known = (shuffled < count).view(height, width)
    elif (file := Path(name).expanduser()).is_file():
        known = _brightness(file, height, width) > 127
    else:
        raise GdlError(
            f"known must be top, bottom, left, right, random, random-FRACTION or a file, got {name!r}."
        )
    if known.all():
        raise GdlError(f"known={name} leaves no pixel to complete: paint some of them black.")
    return known.expand(*shape)


def _brightness(file: Path, height: int, width: int) -> Tensor:
    """Return an image file as (H, W) uint8, scaled and cropped; what is transparent is white.

    Raises:
        GdlError: The file cannot be read as an image.
    """
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = ImageOps.fit(image.convert("L"), (width, height), Image.Resampling.BICUBIC)
    except Exception as e:  # Pillow's decoders raise many kinds on broken files
        raise GdlError(f"known={file} cannot be read as an image ({e}): name a PNG file.") from e
    return torch.from_numpy(np.array(image))
