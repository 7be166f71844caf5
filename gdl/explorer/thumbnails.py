"""Many small images as one picture within a budget of bytes, which a page cuts up again."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

__all__ = ["sheet"]

COLUMNS = 32
"""Images in a row of the sheet."""

SIDES = (32, 24, 16)
"""Most pixels of a side; the first that fits is taken."""

FEWEST = 16
"""Images that are kept, whatever the budget."""

MOST_LOSSLESS = 1_500_000
"""Values of a picture that is tried as PNG; a larger one takes seconds, and would not fit."""


def sheet(images: Tensor, levels: int, budget: int = 140_000) -> dict[str, Any]:
    """Return images as one picture of at most a number of bytes, before it becomes text.

    Lossless where that fits, else as 16 greys or WebP, then smaller, then fewer images, evenly chosen.

    Args:
        images: (N, C, H, W), values 0, ..., levels - 1; other than three channels show their first.
        levels: Number of values of a pixel.
        budget: Bytes of the picture.

    Returns:
        "src", a data URI; "size", width and height of an image; "columns"; "of", which of the images
        they are, row by row; "grey", whether they have no colours.
    """
    x = images[:, :3] if images.shape[1] == 3 else images[:, :1]
    pixels = (x.numpy().astype(np.float32) * (255 / (levels - 1))).round().astype(np.uint8)
    pixels = pixels.transpose(0, 2, 3, 1)
    chosen = np.arange(len(pixels))
    while True:
        for side in SIDES:
            small = [
                _small(Image.fromarray(p.squeeze(-1) if p.shape[-1] == 1 else p), side)
                for p in pixels[chosen]
            ]
            for kind, data in _files(_together(small)):
                if len(data) <= budget or (len(chosen) <= FEWEST and side == SIDES[-1]):
                    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
                    return {
                        "src": uri,
                        "size": [*small[0].size],
                        "columns": COLUMNS,
                        "of": chosen.tolist(),
                        "grey": pixels.shape[-1] == 1,
                    }
        chosen = np.linspace(0, len(pixels) - 1, max(FEWEST, len(chosen) // 2)).astype(int)


def _small(image: Image.Image, side: int) -> Image.Image:
    """Return an image of at most `side` pixels in width and height."""
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.BOX)
    return image


def _together(images: list[Image.Image]) -> Image.Image:
    """Return images of one size beside and below each other."""
    (width, height), rows = images[0].size, -(-len(images) // COLUMNS)
    whole = Image.new(images[0].mode, (width * COLUMNS, height * rows))
    for i, image in enumerate(images):
        whole.paste(image, (i % COLUMNS * width, i // COLUMNS * height))
    return whole


def _files(picture: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield a picture as files of less and less quality."""
    if picture.width * picture.height * len(picture.getbands()) < MOST_LOSSLESS:
        yield "png", _saved(picture, "PNG", optimize=True)
        if picture.mode == "L":
            levels = np.round(np.asarray(picture) / 17).astype(np.uint8)
            sixteen = Image.fromarray(levels).convert("P")
            sixteen.putpalette([17 * i for i in range(16) for _ in "rgb"])
            yield "png", _saved(sixteen, "PNG", optimize=True, bits=4)
    for quality in (80, 55, 30):
        yield "webp", _saved(picture, "WEBP", quality=quality)


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
