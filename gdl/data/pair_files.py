"""Pairs of a source and a target: lines of a file, or dates."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gdl.data.alphabets import LARGEST, Alphabet, checked_alphabet
from gdl.data.arguments import checked_path, whole_number
from gdl.data.corpora import not_utf8, read_corpus
from gdl.data.dates import date_pairs
from gdl.errors import GdlError

__all__ = ["END", "SEPARATOR", "PairLines", "pair_lines"]

SEPARATOR, END = "\t", "\n"
"""What ends a source, and what ends a target; neither has one of them inside."""

MEMORY = 8_000_000_000
"""Bytes of all windows, at most."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairLines:
    """Pairs as lines of text that fit into a window.

    Args:
        source: The name of what they are from, short.
        where: What they are from, for sentences.
        pairs: The source and the target of each.
        left_out: Lines that are longer than the window.
        further: Lines with more fields than the two.
        length: Symbols of a window: those that were asked for, or of the longest line.
        longest: Symbols of the longest line.
        usual: Symbols that 99 % of the lines take at most.
        symbols: The alphabet.
    """

    source: str
    where: str
    pairs: tuple[Pair, ...]
    left_out: int
    further: int
    length: int
    longest: int
    usual: int
    symbols: Alphabet

    @property
    def ends(self) -> list[int]:
        """The numbers of tab and new line."""
        return self.symbols.encode(SEPARATOR + END).tolist()


def pair_lines(
    alphabet: str, file: str | Path | None, reverse: bool, length: int | None
) -> PairLines:
    """Return the pairs of a file, by default dates in six languages and in ISO 8601.

    Args:
        alphabet: "characters" for those of the pairs, tab and new line, or "bytes" of UTF-8.
        file: Lines of a source, a tab and a target; further fields are left out.
        reverse: Take the second field as the source.
        length: Symbols of a window, which holds both fields and what ends them; None for those of the
            longest. Longer lines are left out.

    Raises:
        GdlError: The file cannot be read or is no such file, which names the line, has too many
            characters, or no line fits.
    """
    checked_alphabet(alphabet)
    if not isinstance(reverse, bool):
        raise GdlError(f"data.reverse must be true or false, got {reverse!r}.")
    if length is not None:
        whole_number("data.length", length, 4)
    if file is None:
        return _lines(None, alphabet, reverse, length, 0)
    path = checked_path("data.file", file)
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0  # what reads it says what is wrong
    return _lines(path, alphabet, reverse, length, changed)


@lru_cache(maxsize=2)  # the configuration asks three times, and the data set once
def _lines(
    path: Path | None, alphabet: str, reverse: bool, length: int | None, changed: int
) -> PairLines:
    source, where, pairs, further = _dates() if path is None else _file(path)
    if reverse:
        source, pairs = f"{source}, reversed", [(b, a) for a, b in pairs]
    of_bytes = alphabet == "bytes"
    sizes = [len(p.encode()) if of_bytes else len(p) for p in map("\t".join, pairs)]
    longest, usual = max(sizes) + 1, sorted(sizes)[99 * (len(sizes) - 1) // 100] + 1
    kept = pairs
    if length is not None and longest > length:
        kept = [pair for pair, size in zip(pairs, sizes, strict=True) if size < length]
    if not kept:
        raise GdlError(
            f"data.length={length} is less than every pair of {where} takes: set "
            f"data.length={min(sizes) + 1} or more, the longest takes {longest:,}."
        )
    symbols = Alphabet(None) if of_bytes else _characters(kept, where)
    left_out = len(pairs) - len(kept)
    length = longest if length is None else length
    if len(kept) * length > MEMORY:
        advice = f"set data.length={usual}, which leaves out the longest 1 %"
        if usual >= length:
            advice = "set a smaller data.length, or give fewer pairs"
        raise GdlError(
            f"{len(kept):,} pairs of {where} in windows of {length:,} take "
            f"{len(kept) * length / 1e9:,.0f} GB: {advice}."
        )
    return PairLines(
        source, where, tuple(kept), left_out, further, length, longest, usual, symbols
    )


def _characters(pairs: list[Pair], where: str) -> Alphabet:
    found = {SEPARATOR, END}.union(*(a + b for a, b in pairs))
    if len(found) > LARGEST:
        raise GdlError(
            f"{where} has {len(found):,} different characters with tab and new line, and "
            f"data.alphabet=characters takes up to {LARGEST}: use data.alphabet=bytes."
        )
    return Alphabet("".join(sorted(found)))


def _dates() -> tuple[str, str, list[Pair], int]:
    return "dates", "dates in six languages", date_pairs(), 0


def _file(path: Path) -> tuple[str, str, list[Pair], int]:
    """Return the pairs of a file, what it is called, and how many of its lines have further fields."""
    corpus = read_corpus(None, str(path), None, "*")
    where, pairs, further = corpus.where, [], 0
    lines = corpus.content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    for number, content in enumerate(lines, 1):
        if problem := not_utf8(content):
            raise GdlError(f"Line {number} of {where} is not UTF-8 ({problem}): convert the file.")
        line = content.decode().removesuffix("\r")
        first, *others = line.split(SEPARATOR)
        if not others:
            raise GdlError(
                f"Line {number} of {where} has no tab: data=pairs takes lines of a source, a tab and "
                "a target."
            )
        if "\r" in first + others[0]:
            raise GdlError(
                f"Line {number} of {where} has a carriage return in a field: data=pairs takes lines "
                r"that end with \n or \r\n, so convert the file's line ends."
            )
        for name, field in (("before", first), ("after", others[0])):
            if not field.strip():
                raise GdlError(
                    f"Line {number} of {where} has nothing {name} its first tab: give each line a "
                    "source and a target, or leave it out."
                )
        pairs.append((first, others[0]))
        further += len(others) > 1
    if not pairs:
        raise GdlError(
            f"{where} has no line with text: give lines of a source, a tab and a target."
        )
    return corpus.source, where, pairs, further
