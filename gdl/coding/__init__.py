"""Images to bytes and back: the entropy coder of `gdl compress`."""

from gdl.coding.compression import Compressed, compress, decompress, model_digest
from gdl.coding.container import Header, unpack

__all__ = ["Compressed", "Header", "compress", "decompress", "model_digest", "unpack"]
