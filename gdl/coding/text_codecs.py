"""General compressors of texts, at their best, each measured on the same bytes as one stream."""

import bz2
import gzip
import lzma
from collections.abc import Callable

__all__ = ["compressed_lengths"]


def _xz(content: bytes) -> bytes:
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


def compressors() -> dict[str, Callable[[bytes], bytes]]:
    """Return the compressors that are here, by name.

    gzip, bz2 and xz are Python's. zstd is from Python 3.14 on, or the package zstandard; PPMd (variant
    H, of order 16 with 256 MB) is the package pyppmd. gdl asks for neither.
    """
    found: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda content: gzip.compress(content, 9, mtime=0),
        "bz2": lambda content: bz2.compress(content, 9),
        "xz": _xz,
    }
    if (zstd := _zstd()) is not None:
        found["zstd"] = zstd
    try:
        import pyppmd  # pyright: ignore[reportMissingImports]
    except ImportError:
        return found
    return found | {"ppmd": lambda content: pyppmd.compress(content, max_order=16, mem_size=2**28)}


def _zstd() -> Callable[[bytes], bytes] | None:
    """Return zstd at its highest level, which looks back 128 MB; None where it is not installed."""
    try:
        from compression import zstd  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
    except ImportError:
        try:
            import zstandard  # pyright: ignore[reportMissingImports]
        except ImportError:
            return None
        return lambda content: zstandard.ZstdCompressor(level=22).compress(content)
    return lambda content: zstd.compress(content, 22)


def compressed_lengths(content: bytes) -> dict[str, int]:
    """Return the bytes that a text takes, with the header of a file, by the name of the compressor."""
    return {name: len(compress(content)) for name, compress in compressors().items()}
