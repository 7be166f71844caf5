"""Lossless coding of images: general codecs, as references for likelihoods in bits."""

from gdl.coding.codecs import CODECS, Codec, code_lengths, stream_lengths

__all__ = ["CODECS", "Codec", "code_lengths", "stream_lengths"]
