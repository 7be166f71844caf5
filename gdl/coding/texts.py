"""Texts of any length to bytes and back, symbol by symbol, with a window that slides over them.

Several texts follow one another as one. It is cut into K parts of equal length, which are coded side by
side as a batch: a step of the model then gives K symbols. More parts take less time, but each begins
without a context, which costs bits. In a part, symbol t is coded with the model's conditional at
position t - s of the window that starts at s: the windows start at 0, S, 2 S, ..., and t belongs to the
first one that has it. So at least N - S symbols before it are known, of windows of N; those of
`measure=stream` with the same stride S are the same.
"""

import hashlib
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.coding.autoregressive import Coder, code_behind
from gdl.coding.compression import Compressed, check_model, differs, model_digest
from gdl.coding.container import MAX_PARTS, MAX_VALUES, Header, Layout, pack, unpack
from gdl.coding.pinned import arithmetic, pinned
from gdl.coding.tables import RangeDecoder, RangeEncoder
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.corpora import not_utf8
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.progress import Counter
from gdl.families.windows import check_left_to_right
from gdl.version import __version__

__all__ = ["check_codes_text", "compress_texts", "decompress_texts", "text_bits"]

SHORTEST, WINDOWS = 2000, 16
"""Symbols and windows of a part, at least, of a text that is cut: a start without a context costs 10 to
50 bits, which is below 1 % of a part."""

AT_ONCE = 2**14
"""Symbols of the windows of all parts together at most, which bounds the memory."""


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
    parts = _num_parts(len(text), window) if parts is None else _checked("parts", parts, MAX_PARTS)
    encoder, started = RangeEncoder(), time.perf_counter()
    with pinned(own):
        _code_text(own, encoder, len(text), parts, stride, text)
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
            text = _code_text(
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


@torch.inference_mode()
def text_bits(model: AutoregressiveModel, text: Tensor, stride: int) -> float:
    """Return -log2 p of a text (T,) uint8 in one part: the window slides over all of it.

    Up to rounding, a text coded with `parts=1` takes as many bits.
    """
    if not len(text):
        return 0.0
    assert model.levels is not None
    window, total = model.num_positions, len(text)
    count = 1 + -(-max(0, total - window) // stride)
    windows = F.pad(text, (0, window + (count - 1) * stride - total)).unfold(0, window, stride)
    place, nats = torch.arange(window), 0.0
    most = max(1, 2**22 // (window * model.levels))
    with Counter(count, "measuring") as counter:
        for start in range(0, count, most):
            x = windows[start : start + most, None, None].contiguous()
            first = torch.arange(start, start + len(x))[:, None]  # numbers of the windows
            counted = (first * stride + place < total) & (
                (place >= window - stride) | (first == 0)
            )
            each = model.position_log_probs(x, _no_labels(model, len(x)))
            nats -= float(each.double()[counted].sum())
            counter.show(start)
    return nats / math.log(2)


def _code_text(
    model: AutoregressiveModel,
    coder: Coder,
    total: int,
    parts: int,
    stride: int,
    text: Tensor | None,
) -> Tensor:
    """Write a text (T,) uint8, or read one of `total` symbols; return it.

    Both run the same code on the same numbers, see `code_images`.
    """
    longest = -(-total // parts)
    sizes = [total // parts + (k < total % parts) for k in range(parts)]
    given = None if text is None else _rows(text, sizes, longest)
    s = torch.zeros(parts, longest, 1, dtype=torch.uint8)
    window, done, y = model.num_positions, 0, _no_labels(model, parts)
    coder = _Uneven(coder, longest, sizes.count(longest))
    with Counter(longest, "decoding" if text is None else "coding") as counter:
        while done < longest:
            first = max(0, done - window + stride)
            stop = min(first + window, longest)
            own = None if given is None else given[:, first:stop]
            known = s[:, first:done].clone()
            s[:, first:stop] = code_behind(model, coder, known, stop - first, own, y)
            done = stop
            counter.show(done)
    return torch.cat([row[:size] for row, size in zip(s.squeeze(-1), sizes, strict=True)])


class _Uneven:
    """Codes symbols of all parts, and the last one of the longer parts only, which come first."""

    def __init__(self, coder: Coder, longest: int, longer: int) -> None:
        self._coder, self._left, self._longer = coder, longest, longer

    def code(self, table: np.ndarray, symbols: Tensor | None) -> Tensor:
        self._left -= 1
        if self._left:
            return self._coder.code(table, symbols)
        found, n = torch.zeros(len(table), dtype=torch.uint8), self._longer
        found[:n] = self._coder.code(table[:n], None if symbols is None else symbols[:n])
        return found


def _rows(text: Tensor, sizes: list[int], longest: int) -> Tensor:
    """Return the parts of a text as rows (K, longest, 1), padded with zeros."""
    return torch.stack([F.pad(p, (0, longest - len(p))) for p in text.split(sizes)])[..., None]


def _num_parts(total: int, window: int) -> int:
    most = max(1, min(MAX_PARTS, AT_ONCE // window))
    return max(1, min(most, total // max(SHORTEST, WINDOWS * window)))


def _no_labels(model: AutoregressiveModel, n: int) -> Tensor | None:
    """Return the rows (n,) of texts without a label, see `label_rows`."""
    return torch.full((n,), model.num_classes) if model.label_dropout else None


def _checked(name: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise GdlError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
    return value


def _digest(contents: Sequence[bytes]) -> str:
    whole = hashlib.sha256(f"{[len(c) for c in contents]}".encode())
    for content in contents:
        whole.update(content)
    return whole.hexdigest()
