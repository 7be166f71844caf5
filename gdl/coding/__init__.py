"""Images to bytes and back: the entropy coder of `gdl compress`."""

from gdl.coding.compression import (
    Compressed,
    check_codable,
    compress,
    decompress,
    model_digest,
)
from gdl.coding.container import Header, unpack

__all__ = [
    "Compressed",
    "Header",
    "check_codable",
    "compress",
    "decompress",
    "model_digest",
    "unpack",
]
