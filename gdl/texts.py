"""Texts that a task makes, on a terminal and as files."""

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from gdl.files import write_atomically

__all__ = ["Draw", "Show", "Texts", "save_texts", "visible"]

Show = Callable[[int, str], None]
"""Called with the number of a text, from 0 on, and the next part of it."""

Draw = Callable[[Show | None], list[str]]
"""Returns texts; with a function to show them by, it draws one after the other and shows each as it
comes, else all together, which takes less time."""


class Texts:
    """Texts that are drawn when they are asked for.

    Args:
        what: What one of them is, e.g. "completion".
        n: How many.
        draw: Draws them.
        draws: How many draws they show, by default n.
    """

    def __init__(self, what: str, n: int, draw: Draw, draws: int | None = None) -> None:
        self.what, self._n, self._draw, self._at = what, n, draw, -1
        self.draws = n if draws is None else draws

    @cached_property
    def texts(self) -> list[str]:
        """The texts as they are."""
        return self._draw(None)

    def show(self) -> None:
        """Print the texts: on a terminal as their characters come, elsewhere when all are drawn."""
        if not sys.stdout.isatty():
            for k, text in enumerate(self.texts):
                self._print(k, text)
        else:
            self.texts = self._draw(self._print)
        print(flush=True)

    def heading(self, k: int) -> str:
        """Return the line above the text of number k; a single text has none."""
        return f"--- {self.what} {k + 1} of {self._n} ---\n" if self._n > 1 else ""

    def _print(self, k: int, part: str) -> None:
        start = "" if k == self._at else ("\n" if k else "") + self.heading(k)
        self._at = k
        print(start + visible(part), end="", flush=True)


def visible(text: str) -> str:
    """Return a text in which characters that a terminal obeys, other than new lines, are escaped."""
    return "".join(c if c in "\n\t" or c.isprintable() else ascii(c)[1:-1] for c in text)


def save_texts(found: Texts, folder: Path, name: str, files: bool = False) -> list[Path]:
    """Write texts as they are, in UTF-8, to NAME.txt, each below its heading if there are several.

    Args:
        found: The texts.
        folder: Folder of the files.
        name: Name of the result.
        files: Also write each text to a file of its own, NAME/0000.txt and so on.

    Returns:
        The files.
    """
    parts = [found.heading(k) + text for k, text in enumerate(found.texts)]
    contents = {folder / f"{name}.txt": "\n".join(parts)}
    if files:
        contents |= {folder / name / f"{k:04}.txt": text for k, text in enumerate(found.texts)}
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8", "surrogateescape"))
    return [*contents]
