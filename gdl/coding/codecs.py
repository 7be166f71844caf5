"""General lossless codecs, measured on integer images as they are: PNG, WebP, JPEG-XL, zlib and xz.

A length is the number of bytes of a code from which the image comes back exactly, given its shape and
the number of its levels, which are the same for all images of a data set. PNG, WebP and JPEG-XL are
whole files. zlib and xz are raw streams without a container; of two levels the shorter of the pixels
as bytes and of eight pixels in a byte, and a first byte says which.

Bits per dimension of a code are 8 bytes / (N D), comparable with nll / (N D ln 2).
"""

import io
import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["CODECS", "Codec", "code_lengths", "has_jxl", "stream_lengths"]


@dataclass(frozen=True)
class Codec:
    """A lossless code of integer images.

    Args:
        encode: Maps an array uint8, (C, H, W) or of a whole stream (N, C, H, W), and its number of
            levels to bytes.
        decode: Maps the bytes, the shape and the levels to the array.
        takes_stream: Whether it codes many images as one; else it codes each on its own.
        takes_channels: The numbers of channels that it knows; empty for any.
    """

    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes, Sequence[int], int], np.ndarray]
    takes_stream: bool = False
    takes_channels: tuple[int, ...] = ()


def _picture(x: np.ndarray, levels: int) -> Image.Image:
    if len(x) == 3:
        return Image.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0)))
    if levels == 2:
        return Image.fromarray((x[0] * 255).astype(np.uint8)).convert(
            "1", dither=Image.Dither.NONE
        )
    return Image.fromarray(x[0])


def _as_file(kind: str, levels_of_file: int | None = None, *others: Any, **options: Any) -> Codec:
    """Return a codec of Pillow; `levels_of_file=256` where it has no pictures of one bit.

    Of files with the `options` and with each of the `others`, the shortest counts.
    """

    def encode(x: np.ndarray, levels: int) -> bytes:
        files = [io.BytesIO() for _ in (options, *others)]
        for file, chosen in zip(files, (options, *others), strict=True):
            _picture(x, levels_of_file or levels).save(file, kind, **chosen)
        return min((file.getvalue() for file in files), key=len)

    def decode(code: bytes, shape: Sequence[int], levels: int) -> np.ndarray:
        with Image.open(io.BytesIO(code), formats=[kind]) as picture:
            mode = "RGB" if shape[0] == 3 else "L"
            y = np.asarray(picture.convert(mode), np.uint8)
        if shape[0] == 1 and levels == 2 and levels_of_file is None:
            y = (y > 0).astype(np.uint8)
        return y[None] if shape[0] == 1 else y.transpose(2, 0, 1)

    return Codec(encode, decode, takes_channels=(1, 3))


def _as_bytes(compress: Callable[[bytes], bytes], expand: Callable[[bytes, int], bytes]) -> Codec:
    """Return the codec of a compressor of bytes; `expand` is told how many bytes come out at most."""

    def encode(x: np.ndarray, levels: int) -> bytes:
        codes = [b"\0" + compress(x.tobytes())]
        if levels == 2:
            codes.append(b"\1" + compress(np.packbits(x).tobytes()))
        return min(codes, key=len)

    def decode(code: bytes, shape: Sequence[int], levels: int) -> np.ndarray:
        size = math.prod(shape)
        y = np.frombuffer(expand(code[1:], size), np.uint8)
        if code[0] == 1:
            y = np.unpackbits(y, count=size)
        return y.reshape(tuple(shape))

    return Codec(encode, decode, takes_stream=True)


def _lzma2(size: int) -> Any:
    """Return the filter of xz; a dictionary larger than the content would take 60 ms to clear."""
    window = min(max(size, 4096), 1 << 26)
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": window}]


def _xz(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_RAW, filters=_lzma2(len(content)))


def _unxz(code: bytes, size: int) -> bytes:
    return lzma.decompress(code, lzma.FORMAT_RAW, filters=_lzma2(size))


def _deflate(content: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return coder.compress(content) + coder.flush()


CODECS: dict[str, Codec] = {
    # of Pillow's filters the former suits photographs, the latter drawings on an even ground
    "png": _as_file(
        "PNG", None, {"compress_level": 9, "compress_type": zlib.Z_DEFAULT_STRATEGY}, optimize=True
    ),
    "webp": _as_file("WEBP", 256, lossless=True, quality=100, method=4, exact=True),
    "jxl": _as_file("JXL", 256, lossless=True, effort=7),
    "zlib": _as_bytes(_deflate, lambda code, _: zlib.decompress(code, -15)),
    "xz": _as_bytes(_xz, _unxz),
}
"""Codecs by name. "jxl" needs the extra gdl[coding]; see `has_jxl`."""

THOROUGH: dict[str, Codec] = CODECS | {
    # takes six times as long; tiny and binary images become up to a third smaller
    "webp": _as_file("WEBP", 256, lossless=True, quality=100, method=6, exact=True),
}
"""The same codecs at their best, which no score of every image can wait for."""


def has_jxl() -> bool:
    """Return whether JPEG-XL can be written here."""
    try:
        import pillow_jxl  # noqa: F401  # it registers the format with Pillow
    except ImportError:
        return False
    return True


def _usable(codecs: Sequence[str] | None, channels: int, levels: int | None) -> list[str]:
    """Return the names of the codecs that can code such images here.

    Raises:
        GdlError: A name is unknown, or needs a package that is not installed; or the images are
            no integers of one byte.
    """
    if levels is None or levels > 256:
        raise GdlError(
            "Codecs take images of at most 256 levels: the values of these data are others."
        )
    names = list(CODECS) if codecs is None else list(codecs)
    if unknown := [name for name in names if name not in CODECS]:
        raise GdlError(f"There is no codec {unknown[0]!r}: choose from {', '.join(CODECS)}.")
    if "jxl" in names and not has_jxl():
        if codecs is not None:
            raise GdlError("The codec jxl needs a package: pip install 'gdl[coding]'.")
        names.remove("jxl")
    fits = lambda codec: not codec.takes_channels or channels in codec.takes_channels  # noqa: E731
    return [name for name in names if fits(CODECS[name])]


def code_lengths(
    x: Tensor, levels: int | None, codecs: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """Return the bytes (N,) int64 of the code of each image on its own, by codec.

    Args:
        x: Images (N, C, H, W) uint8 in {0, ..., levels - 1}.
        levels: Number of values that a pixel can have.
        codecs: Names in `CODECS`; None for all that can code such images here, without JPEG-XL where
            its package is missing.

    Raises:
        GdlError: A codec is unknown or not installed, or the images have more than 256 levels.
    """
    return _alone(x, levels, {n: CODECS[n] for n in _usable(codecs, x.shape[1], levels)})


def _alone(x: Tensor, levels: int | None, codecs: dict[str, Codec]) -> dict[str, Tensor]:
    images = x.cpu().numpy()
    found = {}
    with ThreadPoolExecutor() as pool:  # the encoders release the interpreter lock
        for name, codec in codecs.items():
            sizes = pool.map(lambda image, f=codec.encode: len(f(image, levels or 0)), images)
            found[name] = torch.tensor(list(sizes), dtype=torch.int64)
    return found


def stream_lengths(
    x: Tensor, levels: int | None, codecs: Sequence[str] | None = None
) -> dict[str, int]:
    """Return the bytes of the code of all images together, by codec.

    zlib and xz code the pixels of all images, in order, as one stream; PNG, WebP and JPEG-XL are the
    sums of files of single images, made as small as the codec can. Arguments and errors are those of
    `code_lengths`.
    """
    names = _usable(codecs, x.shape[1], levels)
    streams = [name for name in names if THOROUGH[name].takes_stream]
    alone = _alone(x, levels, {n: THOROUGH[n] for n in names if n not in streams})
    whole = x.cpu().numpy()
    return {
        name: len(THOROUGH[name].encode(whole, levels or 0))
        if name in streams
        else int(alone[name].sum())
        for name in names
    }
