"""Reads image files (PNG, JPEG, ...) as integer arrays, with Pillow.

Nothing heavy is imported here, because the processes that decode a folder import this file.
"""

import struct
import sys
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile, ImageOps

from gdl.errors import GdlError

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["UNREADABLE", "decode_image", "planes", "read_image", "reason"]


UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError),
    *(AttributeError, RuntimeError, AssertionError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""The exceptions that Pillow's decoders raise on broken files."""

ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held; from 5 on, width and height are exchanged."""

REVERSED = {
    **{f"{mode};16B": f"{mode};16L" for mode in ("RGB", "RGBA")},
    **{f"{mode};16L": f"{mode};16B" for mode in ("RGB", "RGBA")},
    **{f"{m};16N": f"{m};16{'B' if sys.byteorder == 'little' else 'L'}" for m in ("RGB", "RGBA")},
    "LA;16B": "RGBA",  # the four bytes of a pixel: grey and opacity, the upper byte first
}
"""Layouts of colours with 16 bits in a file, and those that read the lower bytes of the same file."""


def read_image(path: Path, shape: Sequence[int]) -> "torch.Tensor":
    """Return an image file as a tensor (C, H, W) uint8, scaled to cover `shape` and cropped.

    Args:
        path: The file.
        shape: (C, H, W), or (C,) for an image of its own size.

    Raises:
        GdlError: The file cannot be read as an image.
    """
    import torch  # not needed to decode a folder

    channels, *size = shape
    try:
        image, _ = decode_image(path, channels, (size[1], size[0]) if size else None)
    except UNREADABLE as e:
        raise GdlError(
            f"{path} cannot be read as an image ({reason(e)}): name a PNG or JPEG file."
        ) from e
    return torch.frombuffer(bytearray(planes(image)), dtype=torch.uint8).view(
        channels, image.height, image.width
    )


def decode_image(
    source: Path | str | BytesIO,
    channels: int,
    size: tuple[int, int] | None,
    white: int | None = None,
) -> tuple[Image.Image, int | None]:
    """Return an image file as an image of mode RGB or L, and its largest value if it has 16 bits.

    It is turned upright by its EXIF orientation, put on white where it is transparent, and
    converted to RGB or grey. A JPEG file that is much larger than `size` is decoded at a half, a
    quarter or an eighth of its size, which averages pixels and takes a fraction of the time.

    Args:
        source: The file, or its bytes.
        channels: 3 for RGB, 1 for grey.
        size: (width, height) to scale to and crop at the centre; None keeps the size.
        white: Of images with 16 bits, the value that becomes 255. None takes the largest value of
            the image, because many cameras and microscopes use 10 or 12 bits only.

    Raises:
        ValueError: The pixels are numbers whose range is not known.
    """
    with Image.open(source) as file:
        if file.format == "JPEG" and size is not None:
            turned = "exif" in file.info and file.getexif().get(ORIENTATION, 1) >= 5
            file.draft("L" if channels == 1 else "RGB", (size[1], size[0]) if turned else size)
        deep = _deep_colours(source, file)
        file.load()
        image, largest = _with_8_bits(file, deep, white)
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    if size is not None and image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    return image, largest


def planes(image: Image.Image) -> bytes:
    """Return the pixels of an image as the bytes of an array (C, H, W)."""
    return b"".join(band.tobytes() for band in image.split())


def reason(error: Exception) -> str:
    """Return in a few words why a file cannot be read."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:100] or type(error).__name__


def _deep_colours(source: Path | str | BytesIO, file: ImageFile.ImageFile) -> "np.ndarray | None":
    """Return colours of 16 bits (H, W, C), which Pillow has no mode for; None of any other image.

    It keeps their upper bytes, so that 12 bits would be nearly black. Read in the reverse order of
    bytes, the file gives the lower ones.
    """
    layouts = {a for tile in file.tile for a in _arguments(tile)}
    ppm = file.tile[:1] and file.tile[0].codec_name == "ppm" and 65535 in layouts
    if not (layouts & set(REVERSED)) and not (ppm and file.mode == "RGB"):
        return None
    import numpy as np  # few images have 16 bits

    if ppm:
        count, content = file.width * file.height * 3, _content(source)
        x = np.frombuffer(content, ">u2", count, file.tile[0].offset)
        return x.reshape(file.height, file.width, 3).astype(np.uint16)
    with Image.open(source) as again:
        again.tile = [tile._replace(args=_reversed(tile.args)) for tile in again.tile]
        low = np.asarray(again)
    high = np.asarray(file).astype(np.uint16) << 8
    return high | (low[..., [1, 1, 1, 3]] if "LA;16B" in layouts else low)


def _content(source: Path | str | BytesIO) -> bytes:
    return source.getvalue() if isinstance(source, BytesIO) else Path(source).read_bytes()


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _reversed(args: Any) -> Any:
    if isinstance(args, tuple):
        return tuple(_reversed(a) for a in args)
    return REVERSED.get(args, args) if isinstance(args, str) else args


def _with_8_bits(
    image: Image.Image, deep: "np.ndarray | None", white: int | None
) -> tuple[Image.Image, int | None]:
    """Return an image with 8 bits, and its largest value if it had 16."""
    if deep is None and not image.mode.startswith(("I", "F")):
        return image, None
    import numpy as np  # few images have 16 bits

    x = np.asarray(image) if deep is None else deep
    if image.mode == "F" or x.min() < 0 or x.max() > 65535:
        raise ValueError(f"pixels of mode {image.mode} have no known range")
    colours = x[..., :3] if x.ndim == 3 else x
    largest = int(colours.max())
    scaled = np.rint(x * (255 / max(1, white or largest))).clip(0, 255).astype(np.uint8)
    if x.ndim == 3 and x.shape[2] == 4:
        scaled[..., 3] = x[..., 3] >> 8  # opacity is a fraction of 65535, whatever white is
    result = Image.fromarray(scaled)
    if orientation := image.getexif().get(ORIENTATION):
        result.getexif()[ORIENTATION] = orientation
    return result, largest
