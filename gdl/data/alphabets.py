"""The symbols of a text as whole numbers: its bytes, or its own characters.

>>> Alphabet("abn").encode("banana")
tensor([1, 0, 2, 0, 2, 0], dtype=torch.uint8)
>>> Alphabet(None).decode(Alphabet(None).encode("café"))
'café'
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdl.data.corpora import Corpus, read_corpus
from gdl.errors import GdlError

__all__ = ["LARGEST", "Alphabet", "alphabet_of", "checked_alphabet", "symbols_of", "text_levels"]

LARGEST = 256
"""Symbols of an alphabet, each of which is one byte in memory."""

UNKNOWN = "\ufffd"
"""What stands for a symbol, or for bytes, that are no character."""


class Alphabet:
    """Numbers the symbols of texts from 0 on.

    Args:
        characters: The characters, in rising order; None stands for the 256 bytes of UTF-8.

    Raises:
        GdlError: They are no such text, or more than `LARGEST`.
    """

    def __init__(self, characters: str | None) -> None:
        if characters is not None and (
            not isinstance(characters, str) or [*characters] != sorted({*characters})
        ):
            raise GdlError("An alphabet must be different characters in rising order.")
        if characters is not None and not 1 <= len(characters) <= LARGEST:
            raise GdlError(
                f"The text has {len(characters)} different characters, and an alphabet has from 1 to "
                f"{LARGEST}: use data.alphabet=bytes."
            )
        self.characters = characters
        self._codes = None if characters is None else _codes(characters)

    def __len__(self) -> int:
        return LARGEST if self.characters is None else len(self.characters)

    @property
    def unit(self) -> str:
        """What a symbol is: "byte" or "character"."""
        return "byte" if self.characters is None else "character"

    def encode(self, text: str) -> Tensor:
        """Return the symbols (T,) uint8 of a text.

        Raises:
            Foreign: It has characters outside of the alphabet, which are named.
        """
        if self._codes is None:
            return _as_bytes(_utf8(text))
        codes = _codes(text)
        numbers = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        if (foreign := self._codes[numbers] != codes).any():
            raise Foreign(len(self), [chr(c) for c in np.unique(codes[foreign])])
        return torch.from_numpy(numbers.astype(np.uint8))

    def decode(self, x: Tensor) -> str:
        """Return the text of symbols of any shape; what is no character becomes U+FFFD."""
        numbers = x.detach().flatten().long().cpu().numpy()
        if self.characters is None:
            return numbers.astype(np.uint8).tobytes().decode("utf-8", "replace")
        size = len(self.characters)
        return "".join(self.characters[i] if 0 <= i < size else UNKNOWN for i in numbers.tolist())

    def content(self, x: Tensor) -> bytes:
        """Return the text of symbols of any shape in UTF-8; bytes are what they are."""
        if self.characters is None:
            return x.detach().to(torch.uint8).cpu().contiguous().numpy().tobytes()
        return self.decode(x).encode("utf-8", "surrogatepass")


class Foreign(GdlError):
    """Characters outside of an alphabet.

    Args:
        size: Symbols of the alphabet.
        characters: They, each once.
    """

    def __init__(self, size: int, characters: Sequence[str]) -> None:
        more = f" and {len(characters) - 10} more" if len(characters) > 10 else ""
        self.names = " ".join(map(_shown, characters[:10])) + more
        super().__init__(
            f"The text has characters outside of the alphabet of {size}: {self.names}; leave them "
            "out, or train with data.alphabet=bytes, which knows every character."
        )


def _shown(character: str) -> str:
    """Return a character in quotes; one that is nothing by itself is escaped and has its name."""
    if character.isprintable() and not unicodedata.combining(character):
        return repr(character)
    name = unicodedata.name(character, "")
    return f"{character!a} ({name})" if name else ascii(character)


def alphabet_of(config: Mapping[str, Any]) -> Alphabet | None:
    """Return the alphabet that a model's configuration holds, `model.config`; None of other data.

    Raises:
        GdlError: It holds something else there.
    """
    return Alphabet(config["alphabet"]) if "alphabet" in config else None


def text_levels(
    alphabet: str, corpus: str | None, file: str | None, root: str | None, glob: str
) -> int:
    """Return the number of symbols of a text's alphabet; only that of characters reads the text.

    Raises:
        GdlError: The text cannot be read, or has too many characters.
    """
    if checked_alphabet(alphabet) == "bytes":
        return LARGEST
    return len(_characters(read_corpus(corpus, file, root, glob)))


def symbols_of(
    corpus: Corpus, alphabet: str, known: Alphabet | None = None
) -> tuple[Tensor, Alphabet]:
    """Return the symbols (T,) uint8 of a text and their alphabet, see `text_levels`.

    Args:
        corpus: The text.
        alphabet: "bytes" or "characters".
        known: An alphabet of characters, instead of those of the text.

    Raises:
        GdlError: It has too many characters, some that are not known, or is no UTF-8.
    """
    if alphabet == "bytes":
        return _as_bytes(corpus.content), Alphabet(None)
    symbols = known or _characters(corpus)
    try:
        return symbols.encode(corpus.text()), symbols
    except Foreign as e:
        raise GdlError(
            f"{corpus.where} has characters that the model does not know: {e.names}; leave them "
            "out, or train with data.alphabet=bytes, which knows every character."
        ) from e


def _characters(corpus: Corpus) -> Alphabet:
    found = "".join(sorted({*corpus.text()}))
    if not 2 <= len(found) <= LARGEST:
        raise GdlError(
            f"{corpus.where} has {len(found):,} different characters, and data.alphabet=characters "
            f"takes from 2 to {LARGEST}: use data.alphabet=bytes."
        )
    return Alphabet(found)


def checked_alphabet(alphabet: str) -> str:
    """Return data.alphabet.

    Raises:
        GdlError: It is none.
    """
    if alphabet not in ("bytes", "characters"):
        raise GdlError(f"data.alphabet must be bytes or characters, got {alphabet!r}.")
    return alphabet


def _as_bytes(content: bytes) -> Tensor:
    """Return bytes as a tensor (T,) uint8 of its own memory."""
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def _codes(text: str) -> np.ndarray:
    """Return the code points (T,) of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _utf8(text: str) -> bytes:
    try:
        # bytes of a command line that are no UTF-8 are such surrogates, and become what they were
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise GdlError(f"The text has {text[e.start]!a}, which is no character.") from e
