"""Images to bytes and back: the entropy coder of `gdl compress`, and general codecs beside it."""

from gdl.coding.codecs import CODECS, Codec, code_lengths, stream_lengths
from gdl.coding.compression import (
    Compressed,
    check_codable,
    compress,
    decompress,
    model_digest,
)
from gdl.coding.container import Header, unpack
from gdl.coding.text_codecs import compressed_lengths

__all__ = [
    "CODECS",
    "Codec",
    "Compressed",
    "Header",
    "check_codable",
    "code_lengths",
    "compress",
    "compressed_lengths",
    "decompress",
    "model_digest",
    "stream_lengths",
    "unpack",
]
