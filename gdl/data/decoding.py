"""Reads image files (PNG, JPEG, ...) as integer arrays."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from gdl.errors import GdlError

__all__ = ["UNREADABLE", "decode_image", "read_image"]


UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError),
    *(MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""The exceptions that Pillow's decoders raise on broken files."""


def read_image(path: Path, shape: Sequence[int]) -> torch.Tensor:
    """Return an image file as a tensor (C, H, W) uint8, scaled to cover `shape` and cropped.

    Raises:
        GdlError: The file cannot be read as an image.
    """
    channels, height, width = shape
    try:
        pixels = decode_image(path, channels, (width, height))
    except UNREADABLE as e:
        raise GdlError(f"{path} cannot be read as an image ({e}): name a PNG or JPEG file.") from e
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def decode_image(path: Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image file as an array (H, W, C) uint8.

    It is turned upright by its EXIF orientation, put on white where it is transparent, and
    converted to RGB or grey.

    Args:
        path: The file.
        channels: 3 for RGB, 1 for grey.
        size: (width, height) to scale to and crop at the centre; None keeps the size.

    Raises:
        ValueError: The pixels are 32-bit numbers, whose range is not known.
    """
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip 16-bit values at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if size is not None and image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)
