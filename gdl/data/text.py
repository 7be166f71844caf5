"""Windows of a text as images of one row, whose pixels are its symbols."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.alphabets import Alphabet, checked_alphabet, symbols_of, text_levels
from gdl.data.arguments import checked_window, held_out_fractions, whole_number
from gdl.data.base import ImageData, Split
from gdl.data.corpora import Corpus, read_corpus
from gdl.data.listing import printable
from gdl.data.splits import SPLITS
from gdl.data.stored import say
from gdl.errors import GdlError

__all__ = ["Text"]


class Text(ImageData):
    """Windows (1, 1, L) of one long text: bits/dim are bits per symbol.

    The splits are contiguous parts of the text: first training, then validation, then test. Validation
    and test windows follow one another; symbols that are left over at the end of these parts are
    counted in what is printed. Training windows start anywhere, anew in each epoch, and an epoch has as
    many as fit into the part.

    Args:
        shape: (1, 1, L), L the length of a window.
        levels: Number of symbols; None takes what the alphabet has.
        corpus: See `read_corpus`, and so for `file`, `root` and `glob`.
        file: See `corpus`.
        root: See `corpus`.
        glob: See `corpus`.
        length: Used only in the configuration, where `shape` refers to it.
        alphabet: "bytes", or "characters" for those of the text, at most 256.
        val_fraction: Part of the text that is for validation.
        test_fraction: The same for testing.
        **kwargs: See `ImageData`. A `fraction` of the training part is its beginning.

    Raises:
        GdlError: There is no such text, or an argument is out of range.
    """

    loads_fraction = True

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None = None,
        corpus: str | None = None,
        file: str | None = None,
        root: str | None = None,
        glob: str = "*",
        length: int | None = None,
        alphabet: str = "bytes",
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
        **kwargs: Any,
    ) -> None:
        checked_window(shape, length)
        whole_number("data.length", shape[2], 1)
        self._source = (corpus, file, root, glob)
        self._alphabet = checked_alphabet(alphabet)
        levels = text_levels(alphabet, *self._source) if levels is None else levels
        super().__init__(shape=shape, levels=levels, **kwargs)
        self.fractions = held_out_fractions(val_fraction, test_fraction)
        self.transform = self._anywhere
        self._streams: dict[str, Tensor] = {}
        self._every = torch.empty(0)  # training windows from every place, a view (T - L + 1, L)
        self._symbols = Alphabet(None)
        self._known: Alphabet | None = None  # else the alphabet is the text's own
        self._facts: dict[str, Any] = {}

    @property
    def length(self) -> int:
        """Symbols of a window."""
        return self.shape[2]

    @property
    def characters(self) -> str | None:
        """The alphabet in the order of its numbers; None for bytes."""
        self.setup()
        return self._symbols.characters

    def encode(self, text: str) -> Tensor:
        """Return the symbols (T,) uint8 of a text; see `Alphabet.encode`."""
        self.setup()
        return self._symbols.encode(text)

    def decode(self, x: Tensor) -> str:
        """Return the text of symbols of any shape; see `Alphabet.decode`."""
        self.setup()
        return self._symbols.decode(x)

    def stream(self, split: str) -> Tensor:
        """Return the whole text (T,) uint8 of a split, also what no window of it holds."""
        self.setup()
        return self._streams[split]

    def read_with(self, characters: str | None) -> None:
        """Number the symbols as another text does, e.g. the one that a model was trained on.

        Args:
            characters: Its alphabet, None for bytes.

        Raises:
            GdlError: They are no alphabet.
        """
        self._known = Alphabet(characters)
        self._alphabet = "bytes" if characters is None else "characters"
        self.levels = len(self._known)

    def load(self) -> dict[str, Split]:
        """Return the windows (N, 1, 1, L) of each split that follow one another.

        Raises:
            GdlError: The text cannot be read, is too short, or has characters that `read_with` does
                not know, which are named.
        """
        corpus = read_corpus(*self._source)
        whole, self._symbols = symbols_of(corpus, self._alphabet, self._known)
        if len(self._symbols) != self.levels:
            raise GdlError(
                f"{corpus.where} has an alphabet of {len(self._symbols)}, but data.levels is "
                f"{self.levels}: leave data.levels out; if you did, the text has changed since."
            )
        num_val, num_test = (round(f * len(whole)) for f in self.fractions)
        parts = whole.split([len(whole) - num_val - num_test, num_val, num_test])
        self._streams = dict(zip(SPLITS, parts, strict=True))
        self._streams["train"] = parts[0][: round(self.fraction * len(parts[0]))]
        for split, part in self._streams.items():
            self._check_length(corpus, len(whole), split, len(part))
        self._every = self._streams["train"].unfold(0, self.length, 1)
        self._facts = {
            "source": corpus.source,
            "alphabet": self._alphabet,
            "symbols": len(whole),
            **corpus.facts,
        }
        self._tell(corpus, len(whole))
        return {split: (self._windows(split), None) for split in SPLITS}

    def _windows(self, split: str) -> Tensor:
        """Return the windows (N, 1, 1, L) of a split that follow one another."""
        part, length = self._streams[split], self.length
        return part[: len(part) // length * length].view(-1, 1, 1, length)

    def _anywhere(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return windows of the training part, as many as x has and like them, from random places."""
        on = {"generator": generator, "device": x.device}
        start = torch.randint(len(self._every), (len(x),), **on)
        return self._every.index_select(0, start).view_as(x)

    def move_to(self, device: torch.device) -> None:
        """Move the windows, and the text of those for training; see `ImageData.move_to`."""
        super().move_to(device)
        where = self._splits["train"][0].device
        self._every = self._streams["train"].to(where).unfold(0, self.length, 1)

    def facts(self) -> dict[str, Any]:
        """Return where the text is from, its alphabet and its length."""
        self.setup()
        return self._facts

    def digest(self) -> str:
        """Return a SHA-256 of the texts of all splits, of the length of windows and the alphabet."""
        self.setup()
        if self._digest is None:
            kind = (
                self.length,
                self._symbols.characters,
                [len(s) for s in self._streams.values()],
            )
            whole = hashlib.sha256(repr(kind).encode())
            for split in SPLITS:
                whole.update(self._streams[split].numpy().tobytes())
            self._digest = whole.hexdigest()
        return self._digest

    def names(self, split: str) -> list[str]:
        """Return the places of windows in the text of their split, as val[256:512].

        Training windows have none of their own, since they start anywhere.
        """
        if split == "train":
            return super().names(split)
        length = self.length
        return [
            f"{split}[{i * length}:{(i + 1) * length}]" for i in range(len(self.images(split)))
        ]

    def _check_length(self, corpus: Corpus, total: int, split: str, size: int) -> None:
        if self.length <= size:
            return
        if self.length > total:
            what = f"{corpus.where}, which has {total:,} {self._alphabet}"
            raise GdlError(f"data.length={self.length} is longer than {what}: set a smaller one.")
        raise GdlError(
            f"data.length={self.length} is longer than the {split} part of {corpus.where}, which has "
            f"{size:,} of {total:,} {self._alphabet}: set data.length={max(1, size)} or less"
            + (f", or a larger data.{split}_fraction." if split != "train" else ".")
        )

    def _tell(self, corpus: Corpus, total: int) -> None:
        """Print what was read, how it is divided, and what was not read."""
        of = f" of {len(self._symbols)}" if self._symbols.characters is not None else ""
        files = f" in {corpus.facts['files']:,} files" if "files" in corpus.facts else ""
        line = f"{corpus.where}: {total:,} {self._alphabet}{of}{files}"
        if empty := corpus.facts.get("empty_files"):
            line += f" ({empty} empty)"
        sizes = ((split, len(self._streams[split])) for split in SPLITS)
        parts = [f"{n:,} {split} ({self._division(split, n)})" for split, n in sizes]
        say(f"{line}; {', '.join(parts)}.")
        if corpus.left_out:
            say(f"{corpus.where}: not read: {_listed(corpus.left_out)}.")
        if self._symbols.characters is None and (foreign := corpus.foreign()):
            say(f"{corpus.where}: read as bytes, though not UTF-8: {_listed(foreign)}.")

    def _division(self, split: str, size: int) -> str:
        windows, over = divmod(size, self.length)
        text = f"{windows:,} windows of {self.length}"
        if split == "train":
            return f"{text} from random places"
        return text + (f", {over} left over" if over else "")


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(printable(name) for name in names[:5])
    return first + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
