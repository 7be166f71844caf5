"""Pairs of a source and a target, each a window of text: translation as completion of a line."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from gdl.data.alphabets import Alphabet
from gdl.data.arguments import checked_window, held_out_fractions, whole_number
from gdl.data.base import ImageData, Split
from gdl.data.pair_files import END, SEPARATOR, Pair, PairLines, pair_lines
from gdl.data.splits import SPLITS
from gdl.data.stored import say
from gdl.data.text_protocols import HasAlphabet
from gdl.errors import GdlError

__all__ = ["HasPairs", "Pairs", "split_pair"]


@runtime_checkable
class HasPairs(HasAlphabet, Protocol):
    """Data whose images are pairs of texts: source, tab, target, new line, and new lines behind it."""

    def pairs(self, split: str) -> list[tuple[str, str]]:
        """Return the source and the target of each image of a split."""
        ...


class Pairs(ImageData):
    """Windows (1, 1, L) of one pair each: "source<tab>target<new line>", filled up with new lines.

    All pairs of one source are in one split, which depends on the source and `split_seed` only. In a
    split they stand in an order that does not depend on the file's.

    Args:
        shape: (1, 1, L), L the length of a window.
        levels: Number of symbols; None takes what the alphabet has.
        file: See `pair_lines`, and so for `alphabet`, `reverse` and `length`.
        alphabet: See `file`.
        reverse: See `file`.
        length: See `file`; None takes L.
        ends: The numbers of tab and new line, which models get from the configuration; None finds them.
        val_fraction: Part of the sources that is for validation, at least one.
        test_fraction: The same for testing.
        split_seed: Seed of the choice.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: There are no such pairs, or an argument is out of range.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None = None,
        file: str | Path | None = None,
        alphabet: str = "characters",
        reverse: bool = False,
        length: int | None = None,
        ends: Sequence[int] | None = None,
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        checked_window(shape, length)
        self._lines = pair_lines(alphabet, file, reverse, shape[2])
        self._alphabet = alphabet
        super().__init__(shape, levels or len(self._lines.symbols), **kwargs)
        for name, value, right in (
            ("levels", self.levels, len(self._lines.symbols)),
            ("ends", self._lines.ends if ends is None else [*ends], self._lines.ends),
        ):
            if value != right:
                raise GdlError(
                    f"{self._lines.where} has data.{name}={right}, but it is {value}: leave "
                    f"data.{name} out; if you did, the file has changed since."
                )
        if self.mutation:
            raise GdlError("data.mutation would change what ends a source: use data=text for it.")
        self.fractions = held_out_fractions(val_fraction, test_fraction)
        self._split_seed = whole_number("data.split_seed", split_seed, largest=2**63 - 1)

    @property
    def characters(self) -> str | None:
        """The alphabet in the order of its numbers; None for bytes."""
        return self._lines.symbols.characters

    @property
    def ends(self) -> list[int]:
        """The numbers of tab and new line."""
        return self._lines.ends

    def encode(self, text: str) -> Tensor:
        """Return the symbols (T,) uint8 of a text; see `Alphabet.encode`."""
        return self._lines.symbols.encode(text)

    def decode(self, x: Tensor) -> str:
        """Return the text of symbols of any shape; see `Alphabet.decode`."""
        return self._lines.symbols.decode(x)

    def read_with(self, characters: str | None) -> None:
        """Number the symbols as other pairs do, e.g. those that a model was trained on.

        What they do not know is named when the pairs are read.

        Raises:
            GdlError: They are no alphabet.
        """
        self._lines = replace(self._lines, symbols=Alphabet(characters))
        self.levels = len(self._lines.symbols)

    def pairs(self, split: str) -> list[tuple[str, str]]:
        """Return the source and the target of each image of a split."""
        return [split_pair(self.decode(row)) for row in self.images(split).cpu()]

    def load(self) -> dict[str, Split]:
        """Return the windows (N, 1, 1, L) of the pairs of each split."""
        chosen = _divided(self._lines, self.fractions, self._split_seed)
        self._tell({name: len(pairs) for name, pairs in chosen.items()})
        return {name: (self._windows(chosen[name]), None) for name in SPLITS}

    def _windows(self, pairs: list[Pair]) -> Tensor:
        lines = [f"{source}{SEPARATOR}{target}{END}" for source, target in pairs]
        of_bytes = self.characters is None
        sizes = np.array([len(line.encode()) if of_bytes else len(line) for line in lines])
        windows = torch.full((len(lines), self.shape[2]), self.ends[1], dtype=torch.uint8)
        own = torch.from_numpy(np.arange(self.shape[2]) < sizes[:, None])
        windows[own] = self.encode("".join(lines))
        return windows.view(-1, *self.shape)

    def facts(self) -> dict[str, Any]:
        """Return where the pairs are from, their alphabet, and how many there are."""
        return {
            "source": self._lines.source,
            "alphabet": self._alphabet,
            "pairs": len(self._lines.pairs),
            "left_out": self._lines.left_out,
        }

    def digest(self) -> str:
        """Return a SHA-256 of the images of all splits and of the alphabet."""
        own = f"{super().digest()} {self.characters!r}"
        return hashlib.sha256(own.encode()).hexdigest()

    def _tell(self, sizes: dict[str, int]) -> None:
        """Print what was read, how it is divided, and what was left out."""
        lines = self._lines
        unit = "bytes" if self.characters is None else f"characters of {self.levels}"
        parts = ", ".join(f"{sizes[name]:,} {name}" for name in SPLITS)
        say(
            f"{lines.where}: {len(lines.pairs):,} pairs in windows of {self.shape[2]} {unit}; {parts}."
        )
        if lines.left_out:
            say(
                f"{lines.where}: {lines.left_out:,} longer pairs were left out; the longest takes "
                f"data.length={lines.longest}."
            )
        if lines.usual < 0.7 * self.shape[2]:
            say(
                f"{lines.where}: 99 % of the pairs take up to {lines.usual:,}: with "
                f"data.length={lines.usual} the others are left out, and training is faster."
            )
        if lines.further:
            say(f"{lines.where}: {lines.further:,} lines have further fields, which are not read.")


def split_pair(line: str) -> Pair:
    r"""Return the source and the target of a line.

    >>> split_pair("3 March 1987\t1987-03-03\n\n\n")
    ('3 March 1987', '1987-03-03')
    """
    source, _, rest = line.partition(SEPARATOR)
    return source, rest.partition(END)[0]


def _divided(
    lines: PairLines, fractions: tuple[float, float], seed: int
) -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of each split, all pairs of a source in one."""

    def place(source: str) -> bytes:
        return hashlib.sha256(f"{seed} {source}".encode()).digest()

    sources = sorted({source for source, _ in lines.pairs}, key=place)
    num_val, num_test = (max(1, round(f * len(sources))) for f in fractions)
    if len(sources) <= num_val + num_test:
        raise GdlError(
            f"{lines.where} has {len(sources)} different source{'s'[: len(sources) > 1]}, too few for "
            "training, validation and testing: give more pairs, or smaller data.val_fraction and "
            "data.test_fraction."
        )
    rank = {source: k for k, source in enumerate(sources)}
    found: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in sorted(lines.pairs, key=lambda pair: (rank[pair[0]], pair[1])):
        k = rank[pair[0]]
        found["test" if k < num_test else "val" if k < num_test + num_val else "train"].append(
            pair
        )
    return found
