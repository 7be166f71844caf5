"""dSprites: white shapes on black, of which five factors are known (Matthey et al., 2017)."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from gdl.data.cache import digest_of
from gdl.data.factors import FactorData, factors_of
from gdl.data.numpy_files import BROKEN, StoredArray, stored_arrays
from gdl.data.sprites import ORIENTATIONS, SCALES, SHAPES, draw_sprites
from gdl.errors import GdlError

__all__ = ["DSprites"]

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
COMPARED = 3000
"""Images of the file that are compared with drawn ones."""


class DSprites(FactorData):
    """737,280 binary images of 64x64 pixels: every combination of six factors, in published order.

    Matthey, Higgins, Hassabis, Lerchner, 2017, "dSprites: Disentanglement testing Sprites dataset".
    The factors are color (1 value), shape (3), scale (6), orientation (40), posX and posY (32 each).

    The published file is read where it is in `data_dir`, or in `data_dir`/dsprites; else the images are
    drawn, which differ from the published ones in a few pixels of a few images.

    Note:
        As in the published data, the last orientation is a full turn and gives the same image as the
        first, so a test image may be equal to a training image.

    Args:
        source: "generated" draws the images, "file" reads the published file, "auto" reads it where it
            is there.
        **kwargs: See `FactorData`.

    Raises:
        GdlError: There is no such source.
    """

    factor_names = ("color", "shape", "scale", "orientation", "posX", "posY")
    factor_sizes = (1, 3, 6, 40, 32, 32)
    value_names: ClassVar = {"color": ("white",), "shape": SHAPES}

    factor_values: ClassVar = {
        **{"color": (1.0,), "shape": (1.0, 2.0, 3.0), "scale": tuple(SCALES.tolist())},
        **{"orientation": tuple(ORIENTATIONS.tolist())},
        **dict.fromkeys(("posX", "posY"), tuple(np.linspace(0, 1, 32).tolist())),
    }
    """The published values of each factor."""

    def __init__(
        self, source: Literal["auto", "generated", "file"] = "auto", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if source not in ("auto", "generated", "file"):
            raise GdlError(f"data.source must be auto, generated or file, got {source!r}.")
        self.source = source
        self._compared: dict[str, Any] = {}

    def draw(self, factors: Tensor) -> Tensor:
        """Return drawn images (B, 1, 64, 64) uint8 in {0, 1}, also where the file is read."""
        return draw_sprites(factors[:, 1:])

    def _file(self) -> Path | None:
        """Return the published file, or None where images are drawn.

        Raises:
            GdlError: It is asked for, and is not there.
        """
        if self.source == "generated":
            return None
        places = [self.data_dir / "dsprites" / FILE, self.data_dir / FILE]
        found = next((path for path in places if path.is_file()), None)
        if found is None and self.source == "file":
            raise GdlError(
                f"There is no {places[0]}: put the published file there, or set "
                "data.source=generated to draw the images."
            )
        return found

    def _source(self) -> tuple[str, Any]:
        if (path := self._file()) is None:
            return "generated", None
        about = path.stat()
        return "file", [about.st_size, about.st_mtime_ns]

    def _write(self, every: Tensor, target: np.ndarray, advance: Callable[[int], None]) -> None:
        if (path := self._file()) is None:
            super()._write(every, target, advance)
            return
        images, done = _published(path, self.factor_sizes), 0
        row = np.full(prod(self.factor_sizes), -1)
        row[every.numpy()] = np.arange(len(every))
        for block in images.blocks():
            here = row[done : done + len(block)]
            target[here[here >= 0]] = block[here >= 0, None]
            done += len(block)
            advance(int((here >= 0).sum()))
        compared = torch.linspace(0, len(every) - 1, COMPARED).long()
        self._compare(torch.from_numpy(target[compared.numpy()]), every[compared])

    def _compare(self, given: Tensor, indices: Tensor) -> None:
        """Note how images (N, 1, 64, 64) of the file differ from drawn ones."""
        drawn = self.draw(factors_of(indices, self.factor_sizes))
        sums = [digest_of([x.numpy()]) for x in (given, drawn)]
        equal = float((given == drawn).flatten(1).all(1).float().mean())
        both, one = ((given & drawn).flatten(1).sum(1), (given | drawn).flatten(1).sum(1))
        self._compared = {
            "rendering": "identical" if sums[0] == sums[1] else "different",
            "rendering_equal": equal,
            "rendering_iou": float((both / one).mean()),
        }

    def _facts(self) -> dict[str, Any]:
        return self._compared


def _published(path: Path, sizes: tuple[int, ...]) -> StoredArray:
    """Return the images (N, 64, 64) of the published file, after a look at their factors.

    The file has an object beside them, `metadata`, that is pickled and could run code: it is not read.

    Raises:
        GdlError: The file is damaged, or another one.
    """
    total, why = prod(sizes), None
    try:
        found = stored_arrays(path, ("imgs", "latents_classes"))
        images, classes = found["imgs"], found["latents_classes"]
        if (images.shape, images.dtype) != ((total, 64, 64), np.uint8):
            why = f"imgs has shape {images.shape} and type {images.dtype}"
        elif classes.shape != (total, len(sizes)):
            why = f"latents_classes has shape {classes.shape}"
        elif not np.array_equal(classes.read(), factors_of(torch.arange(total), sizes).numpy()):
            why = "its images are in another order"
    except BROKEN as e:
        why, images = str(e) or type(e).__name__, None
    if why is not None or images is None:
        raise GdlError(
            f"{path} is damaged, or not the published file ({why}): replace it, or set "
            "data.source=generated."
        )
    return images
