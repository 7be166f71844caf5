"""Probabilities as integers, and the coders that spend bits by them.

The coders are those of `constriction` (Bamler, 2022, "Understanding entropy coding with asymmetric
numeral systems (ANS): a statistician's perspective", arXiv 2201.01741). Its categorical model adds 1
to the frequency of each symbol and scales the rest to 2^24 in floating point. `tables` gives it
integers whose sum needs no scaling, so that a symbol has exactly the frequency that is asked for.
"""

import hashlib
import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["PRECISION", "RangeDecoder", "RangeEncoder", "Stack", "known_words", "tables"]

PRECISION = 24
"""Frequencies of the symbols of a table sum to 2^24, as in constriction."""


def tables(probabilities: Tensor) -> np.ndarray:
    """Return integer frequencies (n, L), each less by one, as float32; they sum to 2^24 - L.

    So every symbol can be coded, however improbable.

    Args:
        probabilities: (n, L); they need not sum to 1, what rounding has left below 0 counts as 0, and
            a row of zeros means equal ones.

    Raises:
        GdlError: They are not finite.
    """
    p = np.maximum(probabilities.double().numpy(), 0.0)
    total, free = p.sum(1, keepdims=True), float(2**PRECISION - p.shape[1])
    if not np.isfinite(total).all():
        raise GdlError(
            "The model gives probabilities that are not finite, so nothing can be coded with it: use "
            "another checkpoint of the run."
        )
    p, total = np.where(total > 0, p, 1.0), np.where(total > 0, total, p.shape[1])
    counts = np.floor(p / total * free)
    rest = free - counts.sum(1)
    counts[np.arange(len(p)), counts.argmax(1)] += rest
    # integers up to 2^24 are exact; constriction reads rows that follow one another
    return counts.astype(np.float32, order="C")


class RangeEncoder:
    """Writes symbols, the first one first."""

    def __init__(self) -> None:
        self._stream = _stream()
        self._model = self._stream.model.Categorical(perfect=False)
        self._coder = self._stream.queue.RangeEncoder()

    def code(self, table: np.ndarray, symbols: Tensor) -> Tensor:
        """Write symbols (n,) with the tables (n, L), and return them."""
        self._coder.encode(symbols.numpy().astype(np.int32), self._model, table)
        return symbols

    def words(self) -> np.ndarray:
        """Return what was written, as uint32."""
        return self._coder.get_compressed()


class RangeDecoder:
    """Reads what a `RangeEncoder` has written.

    Args:
        words: The words, uint32.
    """

    def __init__(self, words: np.ndarray) -> None:
        self._stream = _stream()
        self._model = self._stream.model.Categorical(perfect=False)
        self._coder = self._stream.queue.RangeDecoder(words)

    def code(self, table: np.ndarray, symbols: Tensor | None = None) -> Tensor:
        """Return the next symbols (n,) uint8, which were written with the tables (n, L)."""
        return torch.from_numpy(self._coder.decode(self._model, table).astype(np.uint8))


class Stack:
    """Symbols that are popped in the reverse order in which they were pushed.

    Below what is pushed there are words without end that everybody knows, see `known_words`. Popping
    them draws symbols; pushing the symbols gives the words back.

    Args:
        words: What is left of a stack, uint32.
        given: How many words of the endless ones, counted from the top, `words` stands on.
    """

    def __init__(self, words: np.ndarray | None = None, given: int = 2) -> None:
        self._stream = _stream()
        self._model = self._stream.model.Categorical(perfect=False)
        self._coder = self._stream.stack.AnsCoder(known_words(given) if words is None else words)
        self._given, self._untouched = given, 0

    def push(self, symbols: np.ndarray, table: np.ndarray) -> None:
        """Push symbols (n,) with the tables (n, L)."""
        self._coder.encode_reverse(symbols.astype(np.int32), self._model, table)

    def pop(self, table: np.ndarray) -> np.ndarray:
        """Pop symbols (n,) int32 with the tables (n, L)."""
        self._have(2 + -(-len(table) * PRECISION // 32))
        found = self._coder.decode(self._model, table)
        self._untouched = min(self._untouched, self._coder.num_words() - 2)
        return found

    def push_uniform(self, symbols: np.ndarray, size: int) -> None:
        """Push symbols (n,) in {0, ..., size - 1}, all equally probable."""
        self._coder.encode_reverse(symbols.astype(np.int32), self._stream.model.Uniform(size))

    def pop_uniform(self, n: int, size: int) -> np.ndarray:
        """Pop symbols (n,) int32 in {0, ..., size - 1}, all equally probable."""
        return self._coder.decode(self._stream.model.Uniform(size), n)

    def words(self) -> tuple[np.ndarray, int]:
        """Return the stack, and how many of the endless words it stands on or holds."""
        return self._coder.get_compressed()[self._untouched :], self._given - self._untouched

    def is_start(self) -> bool:
        """Return whether only the endless words are left."""
        left = self._coder.get_compressed()
        return np.array_equal(left, known_words(self._given))

    def _have(self, needed: int) -> None:
        """Put more of the endless words below the stack, if it has fewer words than needed."""
        more = needed - self._coder.num_words()
        if more > 0:
            deeper = known_words(self._given + more)[:more]
            words = np.concatenate([deeper, self._coder.get_compressed()])
            self._coder = self._stream.stack.AnsCoder(words)
            self._given, self._untouched = self._given + more, self._untouched + more


def known_words(n: int) -> np.ndarray:
    """Return the upper n of the endless words below every `Stack`, uint32, the uppermost last."""
    words = np.frombuffer(hashlib.shake_128(b"gdl").digest(4 * n), "<u4").astype(np.uint32)
    words[:1] |= 1  # the uppermost one must not be zero
    return words[::-1].copy()


def _stream() -> Any:
    try:
        return importlib.import_module("constriction").stream
    except ImportError as e:
        raise GdlError("Coding needs the library constriction: pip install 'gdl[coding]'.") from e
