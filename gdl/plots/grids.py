"""Grids of images, contact sheets and animations."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

from gdl.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second to import

__all__ = ["save_animation", "save_grid", "save_result", "save_sheet"]

MIN_SIDE = 32


def _to_pixels(x: Tensor, levels: int | None) -> Tensor:
    """Map images (N, C, H, W) in [0, levels - 1] to uint8 RGB, small images enlarged.

    Without levels they are densities (N, 1, H, W) in [0, 1] and are shown in colours.
    """
    if levels is None:
        from matplotlib import colormaps  # half a second to import

        rgba = torch.from_numpy(
            colormaps["magma"](x.detach().cpu().squeeze(1).numpy(), bytes=True)
        )
        return rgba[..., :3].movedim(-1, 1)
    y = (x.detach().cpu().float() / (levels - 1) * 255).round().clamp(0, 255).to(torch.uint8)
    factor = max(1, round(MIN_SIDE / min(y.shape[-2:])))
    y = y.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    return y.expand(-1, 3, -1, -1) if y.shape[1] == 1 else y[:, :3]


def _grid(x: Tensor, levels: int | None, columns: int) -> Image.Image:
    grid = make_grid(_to_pixels(x, levels), nrow=columns, padding=2, pad_value=128)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def save_grid(x: Tensor, path: Path, levels: int | None, columns: int | None = None) -> Path:
    """Write images as one PNG, row by row.

    Args:
        x: (N, C, H, W) with values in [0, levels - 1], integer or floating point, or densities.
        path: The file.
        levels: Number of values that a pixel can have; None for densities in [0, 1].
        columns: Images in a row; by default as many as rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _grid(x, levels, columns or round(len(x) ** 0.5)).save(path)
    return path


def save_animation(
    frames: Sequence[Tensor], path: Path, levels: int | None, columns: int, seconds: float = 4.0
) -> Path:
    """Write a GIF that runs forwards and backwards; a frame is a grid of images as in `save_grid`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [_grid(frame, levels, columns) for frame in frames]
    pictures += pictures[-2:0:-1]
    duration = max(20, int(1000 * seconds / len(pictures)))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)
    return path


def save_result(
    result: "Tensor | Picture | Figure", folder: Path, name: str, levels: int | None
) -> list[Path]:
    """Write the result of a task, images (rows, columns, C, H, W) or a diagram, as a PNG.

    If the name starts with "moving_", the columns also become the frames of a GIF. If it starts with
    "film_", only the GIF is written.

    Args:
        result: A picture, its images only, or a figure of matplotlib.
        folder: Folder of the files.
        name: Name of the result; its prefix is not part of the name of the file.
        levels: See `save_grid`.

    Returns:
        The files.
    """
    if not isinstance(result, Tensor | Picture):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        result.savefig(path, dpi=100)
        return [path]
    kind, _, rest = name.partition("_")
    stem = rest if kind in ("moving", "film") else name
    if isinstance(result, Tensor):
        result = Picture(result, moves=stem != name, still=kind != "film")
    rows, columns = result.images.shape[:2]
    written = []
    if result.still:
        images = result.images.flatten(0, 1)
        written.append(save_grid(images, folder / f"{stem}.png", levels, columns))
    if result.moves:
        frames, side = result.images.unbind(1), round(rows**0.5)
        written.append(save_animation(frames, folder / f"{stem}.gif", levels, side))
    return written


def save_sheet(x: Tensor, labels: Sequence[str], path: Path, levels: int | None) -> Path:
    """Write a contact sheet, images (N, C, H, W) in rows with a short label below each, as one PNG."""
    pixels = _to_pixels(x, levels)
    height, width = pixels.shape[-2:]
    cell_w, cell_h = max(width, 44) + 6, height + 16
    columns = max(1, round((len(x) * cell_h / cell_w) ** 0.5))
    rows = -(-len(x) // columns)
    sheet = Image.new("RGB", (columns * cell_w, rows * cell_h), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        left, top = i % columns * cell_w, i // columns * cell_h
        image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
        sheet.paste(image, (left + (cell_w - width) // 2, top + 2))
        draw.text((left + cell_w // 2, top + height + 3), label, fill="black", anchor="ma")
    sheet.save(path)
    return path
