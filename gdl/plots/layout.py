"""Where the images and the labels of a picture are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from gdl.pictures import Picture
from gdl.plots.text import block, font, line_height, wrapped

__all__ = ["LEAST", "MOST", "Layout", "Text"]

LEAST = 600
"""Small images are enlarged until the grid has so many pixels on its shorter side."""

MOST = (2400, 4000)
"""They are not enlarged beyond this width and height, as long rows and columns would be."""

NARROWEST = 400
"""Room for the title of a narrow grid, in pixels."""

GAP, MARGIN = 6, 14
FRAME = (190, 190, 190)


@dataclass(frozen=True)
class Text:
    """Lines from the top down, at a place that is left, middle or right by the anchor of PIL."""

    x: int
    y: int
    anchor: str
    size: int
    lines: Sequence[str]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, in pixels of the picture."""
        width = ceil(max((font(self.size).getlength(line) for line in self.lines), default=0))
        left = self.x - {"l": 0, "m": width // 2, "r": width}[self.anchor[0]]
        return left, self.y, left + width, self.y + line_height(self.size) * len(self.lines)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Write the lines."""
        for k, line in enumerate(self.lines):
            at = self.x, self.y + k * line_height(self.size)
            draw.text(at, line, "black", font(self.size), anchor=self.anchor)


class Layout:
    """Places of images and labels, for all frames of an animation the same.

    Images are enlarged by a whole number, and their pixels stay exact; their frames are in the gaps.
    `texts` are the title and the labels.

    Args:
        picture: Images and labels.
        least: See `LEAST`.
        bare: Leave the title and the labels out.
        noted: Leave a line below the title for `drawn`.
    """

    def __init__(
        self, picture: Picture, least: int = LEAST, bare: bool = False, noted: bool = False
    ) -> None:
        rows, self.columns, _, h, w = picture.images.shape
        self.count = picture.shown
        self.factor = _factor((self.columns, rows), (w, h), least)
        self.cell = self.factor * w, self.factor * h
        grid = self.columns * (self.cell[0] + GAP) - GAP
        self.size = min(28, max(13, grid // 60))
        if bare:
            picture, noted = Picture(picture.images, count=picture.count), False
        self._margin = 1 if bare else MARGIN

        # what is left and above comes first, then places are known
        labels_size, labels = self._labels(picture.rows, grid)
        lengths = [font(labels_size).getlength(line) for lines in labels for line in lines]
        self.left = self._margin + (round(max(lengths)) + 10 if lengths else 0)
        narrowest = 0 if bare else NARROWEST * least // LEAST
        self.width = max(self.left + grid + self._margin, narrowest)
        title = self._title(picture.title)
        self._note_at = self._margin + (_height(title.size, [title.lines]) if title.lines else 0)
        top = self._note_at + noted * (line_height(self.size) + GAP)
        room = self.cell[0] + GAP - 2
        heads_size, heads = block(picture.columns, room, self.size, 3)
        self.top = top + _height(heads_size, heads)
        captions_size, captions = block(picture.captions, room, self.size, 3)
        self.pitch = self.cell[0] + GAP, self.cell[1] + GAP + _height(captions_size, captions)
        self.height = self.top + rows * self.pitch[1] - GAP + self._margin

        self.texts = [title]
        for column, lines in enumerate(heads):
            x = self.box(column)[0] + self.cell[0] // 2
            y = self.top - GAP + 2 - line_height(heads_size) * len(lines)
            self.texts.append(Text(x, y, "ma", heads_size, lines))
        for row, lines in enumerate(labels):
            y = self.box(row * self.columns)[1]
            y += (self.cell[1] - line_height(labels_size) * len(lines)) // 2
            self.texts.append(Text(self.left - 10, y, "ra", labels_size, lines))
        for i, lines in enumerate(captions):
            left, _, right, bottom = self.box(i)
            self.texts.append(Text((left + right) // 2, bottom + 3, "ma", captions_size, lines))

    def box(self, i: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of image i, in pixels of the picture."""
        row, column = divmod(i, self.columns)
        left, top = self.left + column * self.pitch[0], self.top + row * self.pitch[1]
        return left, top, left + self.cell[0], top + self.cell[1]

    def drawn(self, pixels: Tensor, note: str = "") -> Image.Image:
        """Return the picture of images (N, 3, H, W) uint8; of grey ones only, it is of mode L.

        Args:
            pixels: At least as many images as are shown.
            note: A line below the title.
        """
        grey = all(torch.equal(pixels[:, 0], pixels[:, c]) for c in (1, 2))
        page = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(page)
        for i, image in enumerate(pixels[: self.count].movedim(1, -1).contiguous().numpy()):
            left, top, right, bottom = self.box(i)
            draw.rectangle((left - 1, top - 1, right, bottom), outline=FRAME)
            large = Image.fromarray(image).resize(self.cell, Image.Resampling.NEAREST)
            page.paste(large, (left, top))
        for text in self.texts:
            text.draw(draw)
        if note:
            lines = wrapped(note, self.width - 2 * self._margin, self.size, 1)
            Text(self._margin, self._note_at, "la", self.size, lines).draw(draw)
        return page.convert("L") if grey else page

    def _title(self, title: str) -> Text:
        size = self.size * 6 // 5
        lines = wrapped(title, self.width - 2 * self._margin, size, 5)
        return Text(self._margin, self._margin - 3, "la", size, lines)

    def _labels(self, rows: Sequence[str], grid: int) -> tuple[int, list[list[str]]]:
        """Return the labels of rows: their size and lines."""
        lines = max(1, self.cell[1] // line_height(self.size))
        size = min(self.size, max(9, self.cell[1]))  # many rows of small images
        return block(rows, max(grid // 3, 140), size, lines)


def _height(size: int, texts: Sequence[Sequence[str]]) -> int:
    """Return the height of the tallest text, with a gap, or 0 if there is none."""
    lines = max(map(len, texts), default=0)
    return lines * line_height(size) + GAP if lines else 0


def _factor(number: Sequence[int], size: Sequence[int], least: int) -> int:
    """Return how often each pixel is repeated, of so many images of a size in both directions."""
    gaps = [(n - 1) * GAP for n in number]
    wanted = [-(-(least - g) // (n * s)) for n, s, g in zip(number, size, gaps, strict=True)]
    most = [(m - g) // (n * s) for n, s, g, m in zip(number, size, gaps, MOST, strict=True)]
    return max(1, min(max(wanted), *most))
