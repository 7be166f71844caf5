"""Pictures that move."""

from pathlib import Path

import torch
from PIL import Image

from gdl.pictures import Picture
from gdl.plots.layout import Layout
from gdl.plots.pixels import to_pixels

__all__ = ["save_animation"]

LEAST = 320
"""Pixels on the shorter side of the grid."""

MOST_BACK_AND_FORTH = 13
"""An animation of so few frames also runs backwards, which gives at most 24."""

SECONDS = 4.0
"""From the first frame to the last one that is shown."""


def save_animation(picture: Picture, path: Path, levels: int | None, bare: bool = False) -> Path:
    """Write the columns of a picture as the frames of a GIF.

    A frame shows all rows as a grid. Few frames run forwards and backwards; where there are more, they
    run forwards only. The ends are held. All frames share one palette, so that nothing flickers.

    Args:
        picture: Labels of its rows stand below the images, the label of a column below the title.
        path: The file.
        levels: See `save_grid`.
        bare: Leave the title and the labels out.
    """
    rows, steps = picture.images.shape[:2]
    columns = round(rows**0.5)
    pixels = [to_pixels(frame, levels) for frame in picture.images.unbind(1)]
    empty = picture.images[:1, 0].expand(-rows % columns, -1, -1, -1)
    grid = torch.cat([picture.images[:, 0], empty]).unflatten(0, (-1, columns))
    shown = Picture(grid, picture.title, captions=picture.rows, count=rows)
    layout = Layout(shown, LEAST, bare, noted=bool(picture.columns))
    notes = ["" if bare else note for note in picture.columns] or [""] * steps
    pages = [layout.drawn(p, note) for p, note in zip(pixels, notes, strict=True)]
    order = [*range(steps)]
    if steps <= MOST_BACK_AND_FORTH:
        order += order[-2:0:-1]
    duration = max(20, int(1000 * SECONDS / len(order)))
    times = [duration * (3 if i in (0, steps - 1) else 1) for i in order]
    pages = _with_one_palette(pages)
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [pages[i] for i in order]
    options = {"save_all": True, "append_images": others, "duration": times, "loop": 0}
    first.save(path, optimize=False, **options)
    return path


def _with_one_palette(pages: list[Image.Image]) -> list[Image.Image]:
    """Return pages of at most 256 colours, which are the same for all; shades of grey are exact."""
    if all(page.mode == "L" for page in pages):
        return [page.convert("P") for page in pages]
    width, height = pages[0].size
    strip = Image.new("RGB", (width, height * len(pages)))
    for i, page in enumerate(pages):
        strip.paste(page, (0, i * height))
    strip = strip.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return [strip.crop((0, i * height, width, (i + 1) * height)) for i in range(len(pages))]
