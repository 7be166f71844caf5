"""Grids of images, contact sheets and the results of tasks."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gdl.pictures import Picture
from gdl.plots.animations import save_animation
from gdl.plots.figures import save_figure
from gdl.plots.layout import Layout
from gdl.plots.pixels import to_pixels
from gdl.plots.separate import save_files

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["save_grid", "save_result", "save_sheet"]


def save_grid(picture: Picture, path: Path, levels: int | None, bare: bool = False) -> Path:
    """Write images with title and labels as one PNG.

    Args:
        picture: The images; small ones are enlarged by a whole number.
        path: The file.
        levels: Number of values that a pixel can have; None for densities in [0, 1].
        bare: Leave the title and the labels out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = to_pixels(picture.images.flatten(0, 1), levels)
    Layout(picture, bare=bare).drawn(pixels).save(path)
    return path


def save_result(
    result: "Tensor | Picture | Figure",
    folder: Path,
    name: str,
    levels: int | None,
    about: str = "",
    bare: bool = False,
    files: bool = False,
) -> list[Path]:
    """Write the result of a task, a picture or a diagram, as a PNG, and as a GIF if it moves.

    Of images alone, the name says what else a `Picture` would: if it starts with "moving_", the
    columns are also the frames of an animation; if with "film_", there is only the animation. These
    prefixes are not part of the name of the file.

    Args:
        result: A picture, its images (rows, columns, C, H, W) only, or a figure of matplotlib.
        folder: Folder of the files.
        name: Name of the result.
        levels: See `save_grid`.
        about: What all results are about; it stands before each title.
        bare: Leave titles and labels of images out.
        files: Also write each image in its own size, and all of them as numbers, see `save_files`.

    Returns:
        The files.
    """
    if not isinstance(result, Tensor | Picture):
        return [save_figure(result, folder / f"{name}.png", about)]
    kind, _, rest = name.partition("_")
    stem = rest if rest and kind in ("moving", "film") else name
    if isinstance(result, Tensor):
        result = Picture(result, moves=stem != name, still=stem == name or kind == "moving")
    title = result.title or stem.replace("_", " ")
    result = replace(result, title=f"{about}: {title}" if about else title)
    written = []
    if result.still:
        written.append(save_grid(result, folder / f"{stem}.png", levels, bare))
    if result.moves:
        written.append(save_animation(result, folder / f"{stem}.gif", levels, bare))
    if files:
        written += save_files(result, folder, stem, levels)
    return written


def save_sheet(
    x: Tensor, labels: Sequence[str], path: Path, levels: int | None, title: str = ""
) -> Path:
    """Write a contact sheet, images (N, C, H, W) in rows with a short label below each, as one PNG."""
    columns = max(1, math.ceil(len(x) ** 0.5))
    empty = torch.zeros_like(x[:1]).expand(-len(x) % columns, -1, -1, -1)
    images = torch.cat([x, empty]).unflatten(0, (-1, columns))
    return save_grid(Picture(images, title, captions=labels, count=len(x)), path, levels)
