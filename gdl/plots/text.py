"""Text in pictures: a font of any size, and lines that fit into a width."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

__all__ = ["block", "font", "line_height", "wrapped"]

SMALLEST = 9
"""Pixels; smaller letters cannot be read."""


@cache
def font(size: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """Return the font of matplotlib's diagrams; finding its file does not import matplotlib."""
    found = find_spec("matplotlib")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)


def line_height(size: int) -> int:
    """Return the pixels from one line to the next."""
    return -(-size * 5 // 4)


def block(texts: Sequence[str], width: int, size: int, lines: int) -> tuple[int, list[list[str]]]:
    """Return the largest size of letters, up to `size`, at which all texts fit, and their lines.

    Where no size is small enough, the texts are shortened.
    """
    for smaller in range(size, SMALLEST - 1, -1):
        found = []
        for text in texts:
            found.append(_lines(text, width, smaller))
            if len(found[-1]) > lines or not _fits(found[-1], width, smaller):
                break
        else:
            return smaller, found
    smallest = min(size, SMALLEST)
    return smallest, [wrapped(text, width, smallest, lines) for text in texts]


def wrapped(text: str, width: int, size: int, lines: int) -> list[str]:
    """Return a text as at most so many lines, none wider than so many pixels.

    What does not fit ends with an ellipsis.
    """
    found = _lines(text, width, size)
    if len(found) > lines:
        found = [*found[: lines - 1], " ".join(found[lines - 1 :])]
        found[-1] += "…" if _fits(found[-1:], width, size) else ""
    return [_shortened(line, width, size) for line in found]


def _fits(lines: Sequence[str], width: int, size: int) -> bool:
    return all(font(size).getlength(line) <= width for line in lines)


def _lines(text: str, width: int, size: int) -> list[str]:
    """Break a text at spaces; a single word may be wider."""
    found = []
    # file names may hold anything
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    for part in clean.split("\n") if clean else ():
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and not _fits([longer], width, size):
                found.append(line)
                longer = word
            line = longer
        found.append(line)
    return found


def _shortened(line: str, width: int, size: int) -> str:
    if _fits([line], width, size):
        return line
    low, high = 0, len(line)  # the most letters that fit before the ellipsis
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if _fits([line[:middle] + "…"], width, size) else (low, middle - 1)
        )
    return line[:low].rstrip() + "…"
