"""Images and texts to bytes and back: the coder of `gdl compress`, and general codecs beside it."""

from gdl.coding.codecs import CODECS, Codec, code_lengths, stream_lengths
from gdl.coding.compression import (
    Compressed,
    check_codable,
    compress,
    decompress,
    model_digest,
)
from gdl.coding.container import Header, unpack
from gdl.coding.sliding import text_bits
from gdl.coding.text_codecs import compressed_lengths
from gdl.coding.texts import check_codes_text, compress_texts, decompress_texts

__all__ = [
    "CODECS",
    "Codec",
    "Compressed",
    "Header",
    "check_codable",
    "check_codes_text",
    "code_lengths",
    "compress",
    "compress_texts",
    "compressed_lengths",
    "decompress",
    "decompress_texts",
    "model_digest",
    "stream_lengths",
    "text_bits",
    "unpack",
]
