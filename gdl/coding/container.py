"""The file of `gdl compress`: a header and the coder's words, with a checksum of both.

It consists of

- "GDLZ", 4 bytes;
- the number of the format, 1 byte;
- the size of the header, 4 bytes, little-endian;
- the header in JSON, compressed with zlib;
- the coder's words, 4 bytes each, little-endian;
- the SHA-256 of all that precedes it, 32 bytes.
"""

import hashlib
import json
import math
import re
import struct
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from gdl.errors import GdlError

__all__ = ["KINDS", "MAX_PARTS", "MAX_VALUES", "Header", "Layout", "pack", "unpack"]

MAGIC, FORMAT = b"GDLZ", 1
START = struct.Struct("<4sBI")
CHECKSUM = 32
MAX_HEADER = 256_000_000
"""Bytes of a header in JSON at most; names of a million files have 100 million."""

MAX_VALUES = 2**31
"""Values of all pixels, or symbols of all texts, of a file at most."""

MAX_PARTS = 256
"""Parts of texts that are coded side by side at most."""

MAX_BATCH, MAX_WORDS = 4096, 2**24
"""Images that are coded together, and words at the start of a stack, at most; both cost memory."""

KINDS = ("autoregressive", "mixture", "latents", "text")
"""Range coding; bits-back over masks and labels; bits-back over the latents of a VAE; range coding of
texts of any length."""


@dataclass(frozen=True)
class Layout:
    """How texts follow one another.

    Attributes:
        sizes: Symbols of each.
        stride: Symbols by which the window of the model moves.
    """

    sizes: tuple[int, ...]
    stride: int


@dataclass(frozen=True)
class Header:
    """What a decoder must know beside the words.

    Attributes:
        digest: SHA-256 of the model, see `model_digest`.
        run: Where the run was, as a hint for the reader.
        kind: One of `KINDS`.
        shape: (C, H, W) of the images; of texts (1, 1, L), the window of the model.
        levels: Number of values of a pixel, or of symbols.
        count: Number of images or texts.
        batch: Images that are coded together, at most; of texts, the parts of them all together.
        initial_words: Of a stack, the words that were there at the start; 0 of other kinds.
        pixels: SHA-256 of the images or texts.
        names: A file name for each image or text; None for images that have only numbers.
        arithmetic: What the bits of the model's numbers depend on, as a hint for the reader.
        gdl: The version that wrote the file.
        texts: Of texts, how they follow one another; images have none, and their files no such key.
    """

    digest: str
    run: str
    kind: str
    shape: tuple[int, int, int]
    levels: int
    count: int
    batch: int
    initial_words: int
    pixels: str
    names: tuple[str, ...] | None
    arithmetic: str
    gdl: str
    texts: Layout | None = None


def pack(header: Header, words: np.ndarray) -> bytes:
    """Return the bytes of a file."""
    plain = {
        key: value for key, value in asdict(header).items() if (key, value) != ("texts", None)
    }
    text = zlib.compress(json.dumps(plain, separators=(",", ":"), allow_nan=False).encode(), 9)
    content = START.pack(MAGIC, FORMAT, len(text)) + text + words.astype("<u4").tobytes()
    return content + hashlib.sha256(content).digest()


def unpack(content: bytes, where: str) -> tuple[Header, np.ndarray]:
    """Return the header and the words, uint32, of a file.

    Args:
        content: The bytes of the file.
        where: Its name, for errors.

    Raises:
        GdlError: It is of another kind or format, is damaged, or is cut off.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise GdlError(f"{where} is no file of gdl compress: name one, e.g. images.gdlz.")
    if content[len(MAGIC) :][:1] not in (b"", bytes([FORMAT])):
        raise GdlError(
            f"{where} has format {content[len(MAGIC)]}, and this gdl reads format {FORMAT}: use the "
            "version of gdl that wrote the file."
        )
    body, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
    if len(body) < START.size or hashlib.sha256(body).digest() != checksum:
        raise GdlError(f"{where} is damaged or cut off: take another copy of the file.")
    size = START.unpack_from(body)[2]
    text, rest = body[START.size :][:size], body[START.size + size :]
    header = _header(text)
    if header is None or len(rest) % 4:
        raise GdlError(f"{where} is damaged: its header is none that gdl compress writes.")
    return header, np.frombuffer(rest, "<u4").astype(np.uint32)


def _header(text: bytes) -> Header | None:
    """Return a header, None if it is none; a file of somebody else may hold anything."""
    try:
        unzip = zlib.decompressobj()
        plain = unzip.decompress(text, MAX_HEADER)
        content = json.loads(plain) if unzip.eof else None
    except (zlib.error, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    content = {"texts": None, **content}
    return _checked(content) if set(content) == {f.name for f in fields(Header)} else None


def _checked(content: dict[str, Any]) -> Header | None:
    strings = [content[key] for key in ("digest", "run", "kind", "pixels", "arithmetic", "gdl")]
    numbers = [content[key] for key in ("levels", "count", "batch", "initial_words")]
    shape, names, texts = content["shape"], content["names"], content["texts"]
    if not isinstance(shape, list) or len(shape) != 3:
        return None
    if names is not None and not isinstance(names, list):
        return None
    if not (texts is None or _is_layout(texts)) or (texts is None) == (content["kind"] == "text"):
        return None
    strings += names or []
    if not all(isinstance(t, str) for t in strings) or content["kind"] not in KINDS:
        return None
    if not all(type(x) is int and x >= 0 for x in [*numbers, *shape]):
        return None
    if not all(re.fullmatch(r"[0-9a-f]{64}", content[key]) for key in ("digest", "pixels")):
        return None
    count, values = content["count"], content["count"] * math.prod(shape)
    fits = [len(x) == count for x in (names, texts and texts["sizes"]) if x is not None]
    if texts is not None:
        values = sum(texts["sizes"])
        fits.append(names is not None and texts["stride"] <= shape[2])
        fits.append(content["batch"] <= MAX_PARTS)
    large = values > MAX_VALUES or content["initial_words"] > MAX_WORDS
    large = large or content["batch"] > MAX_BATCH
    if large or not all(fits) or 0 in (count, content["batch"], *shape):
        return None
    layout = texts and Layout(tuple(texts["sizes"]), texts["stride"])
    tuples = {"shape": tuple(shape), "names": None if names is None else tuple(names)}
    return Header(**{**content, **tuples, "texts": layout})


def _is_layout(texts: Any) -> bool:
    """Return whether this is what a `Layout` is in a file."""
    if not isinstance(texts, dict) or set(texts) != {f.name for f in fields(Layout)}:
        return False
    sizes, stride = texts["sizes"], texts["stride"]
    if not isinstance(sizes, list) or type(stride) is not int or stride < 1:
        return False
    return all(type(x) is int and x >= 0 for x in sizes)
