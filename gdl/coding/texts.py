"""Texts to bytes and back; several follow one another as one, see `gdl.coding.sliding`."""

import hashlib
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gdl.coding.compression import Compressed, check_model, differs, model_digest
from gdl.coding.container import MAX_PARTS, MAX_VALUES, Header, Layout, pack, unpack
from gdl.coding.pinned import arithmetic, pinned
from gdl.coding.sliding import code_symbols, num_parts
from gdl.coding.tables import RangeDecoder, RangeEncoder
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.corpora import not_utf8
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.windows import check_left_to_right
from gdl.version import __version__

__all__ = ["check_codes_text", "compress_texts", "decompress_texts", "encoded"]


def check_codes_text(model: GenerativeModel) -> tuple[AutoregressiveModel, Alphabet]:
    """Return a model of text that can code texts of any length, and its alphabet.

    Raises:
        GdlError: It cannot; the message says which models can.
    """
    name, alphabet = type(model).__name__, alphabet_of(model.config)
    if alphabet is None:
        raise GdlError(f"This {name} is a model of other data than text: use a run of data=text.")
    if not isinstance(model, AutoregressiveModel):
        raise GdlError(
            f"Texts are coded symbol by symbol, and {name} has whole windows only: use a run of "
            "model=transformer, made, nade or fvsbn."
        )
    model.refuse_pairs("gdl compress asks for codes of whole windows")
    check_left_to_right(model)
    if model.num_classes and not model.label_dropout:
        raise GdlError(
            f"The conditionals of this {name} ask for labels, which a text lacks: use a run without "
            "model.conditional."
        )
    if len(alphabet) != model.levels:
        raise GdlError(
            f"The run's alphabet has {len(alphabet)} symbols, and its model {model.levels} levels: its "
            "checkpoint is damaged, train it again."
        )
    return model, alphabet


def compress_texts(
    model: GenerativeModel,
    contents: Sequence[bytes],
    names: Sequence[str],
    run: str = "",
    stride: int | None = None,
    parts: int | None = None,
) -> Compressed:
    """Return texts as bytes, which `decompress_texts` turns back into the same bytes.

    Args:
        model: An autoregressive model of text, on the CPU, in eval mode.
        contents: The texts; with a model of bytes, anything.
        names: A file name for each.
        run: Where the model is from, for whoever has the file.
        stride: Symbols by which the window moves, half of it by default. With a smaller one, symbols
            have more before them, and take fewer bits and more time.
        parts: Into how many parts the texts are cut, which are coded side by side.

    Raises:
        GdlError: The model cannot code texts, or these are not in its alphabet; or an argument is out
            of range.
    """
    own, alphabet = check_codes_text(model)
    symbols = [encoded(alphabet, c, name) for c, name in zip(contents, names, strict=True)]
    if not symbols:
        raise GdlError("There are no texts to compress: name text files, or folders with some.")
    text, window = torch.cat(symbols), own.num_positions
    if len(text) > MAX_VALUES:
        raise GdlError(
            f"{len(text):,} symbols are more than one file can have, {MAX_VALUES:,}: compress them in "
            "parts."
        )
    stride = max(1, window // 2) if stride is None else _checked("stride", stride, window)
    parts = num_parts(len(text), window) if parts is None else _checked("parts", parts, MAX_PARTS)
    encoder, started = RangeEncoder(), time.perf_counter()
    with pinned(own):
        code_symbols(own, encoder, len(text), parts, stride, text)
    words, seconds = encoder.words(), time.perf_counter() - started
    header = Header(
        digest=model_digest(own),
        run=run,
        kind="text",
        shape=(1, 1, window),
        levels=len(alphabet),
        count=len(symbols),
        batch=parts,
        initial_words=0,
        pixels=_digest(contents),
        names=tuple(names),
        arithmetic=arithmetic(),
        gdl=__version__,
        texts=Layout(tuple(len(s) for s in symbols), stride),
    )
    return Compressed(pack(header, words), 32 * len(words), 0, seconds)


def decompress_texts(
    model: GenerativeModel, content: bytes, where: str = "The file"
) -> tuple[list[bytes], Header]:
    """Return the texts of a file, byte for byte, and its header.

    Args:
        model: The model with which the file was written, on the CPU, in eval mode.
        content: The bytes of the file.
        where: Its name, for errors.

    Raises:
        GdlError: The file is damaged, is of another model, or this machine computes other numbers
            than the one that wrote it. Wrong texts are never returned.
    """
    header, words = unpack(content, where)
    if header.texts is None:
        raise GdlError(f"{where} holds images: decode it with gdl.coding.decompress.")
    own, alphabet = check_codes_text(model)
    check_model(own, header, "text", where)
    sizes, contents = header.texts.sizes, None
    with pinned(own):
        try:
            text = code_symbols(
                own, RangeDecoder(words), sum(sizes), header.batch, header.texts.stride, None
            )
            contents = [alphabet.content(part) for part in text.split(list(sizes))]
        except AssertionError:  # constriction's, of words that no encoder writes
            pass
    if contents is None or _digest(contents) != header.pixels:
        raise GdlError(differs(header, "text", where))
    return contents, header


def encoded(alphabet: Alphabet, content: bytes, name: str) -> Tensor:
    """Return the symbols (T,) uint8 of a text.

    Raises:
        GdlError: It is no UTF-8, or has characters outside of the alphabet; their lines are named.
    """
    if alphabet.characters is None:
        return torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    if problem := not_utf8(content):
        raise GdlError(
            f"{name} is not UTF-8 ({problem}): use a run with data.alphabet=bytes, which codes any "
            "file."
        )
    text = content.decode()
    if foreign := set(text) - set(alphabet.characters):
        first = sorted((text.index(c), c) for c in foreign)
        found = [f"{c!a} in line {text.count(chr(10), 0, at) + 1}" for at, c in first[:5]]
        more = f" and {len(first) - 5:,} more" if first[5:] else ""
        raise GdlError(
            f"{name} has characters outside of the run's alphabet of {len(alphabet)}: "
            f"{', '.join(found)}{more}; leave them out, or use a run with data.alphabet=bytes, which "
            "codes any file."
        )
    return alphabet.encode(text)


def _checked(name: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise GdlError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
    return value


def _digest(contents: Sequence[bytes]) -> str:
    whole = hashlib.sha256(f"{[len(c) for c in contents]}".encode())
    for content in contents:
        whole.update(content)
    return whole.hexdigest()
