"""The images of a picture one by one, for people and programs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gdl.files import write_atomically
from gdl.pictures import Picture
from gdl.plots.pixels import to_pixels

__all__ = ["save_files"]


def save_files(picture: Picture, folder: Path, name: str, levels: int | None) -> list[Path]:
    """Write each image as a PNG of its own size, and all as NAME.npz, which needs no pickle.

    The files are NAME/RRCC.png by row and column, from 0; values from 0 to levels - 1 are scaled to 0
    to 255. The arrays are images (rows, columns, C, H, W), uint8 where all values are whole numbers,
    else float32; title, rows, columns and captions, texts; count, the number of images that are
    shown; and levels, 0 for densities.

    Returns:
        NAME.npz and the folder of the images.
    """
    rows, columns = picture.images.shape[:2]
    digits = [max(2, len(str(n - 1))) for n in (rows, columns)]
    (folder / name).mkdir(parents=True, exist_ok=True)
    pixels = to_pixels(picture.images.flatten(0, 1), levels).movedim(1, -1).contiguous()
    for i, image in enumerate(pixels[: picture.shown]):
        row, column = (str(k).zfill(d) for k, d in zip(divmod(i, columns), digits, strict=True))
        grey = levels is not None and picture.images.shape[2] == 1
        file = Image.fromarray((image[..., 0] if grey else image).numpy())
        file.save(folder / name / f"{row}{column}.png")
    values = picture.images.detach().cpu()
    values = values.to(torch.uint8) if _is_bytes(values, levels) else values.float()
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        key: np.array([*getattr(picture, key)], str) for key in ("rows", "columns", "captions")
    }
    arrays |= {"images": values.numpy(), "title": np.array(picture.title)}
    arrays |= {"count": np.array(picture.shown), "levels": np.array(levels or 0)}
    np.savez_compressed(content, **arrays)
    write_atomically(folder / f"{name}.npz", content.getvalue())
    return [folder / f"{name}.npz", folder / name]


def _is_bytes(values: Tensor, levels: int | None) -> bool:
    if levels is None:
        return False
    return bool(((values >= 0) & (values <= 255) & (values == values.round())).all())
