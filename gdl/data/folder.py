"""The images below a folder of the user's, as a data set."""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdl.data.base import ImageData, Split, hold_out
from gdl.data.decoding import UNREADABLE, decode_image
from gdl.errors import GdlError

__all__ = ["Folder"]

ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".pgm", ".ppm", ".pnm"),
}


class Folder(ImageData):
    """All images below a folder, decoded once and kept in memory with 256 levels.

    An image is turned upright by its EXIF orientation, put on white where it is transparent,
    converted to RGB or grey, scaled to cover `shape` and cropped at its centre. Files that cannot
    be read are left out with a warning. Hidden files, and files with another ending than those in
    `ENDINGS`, are ignored. There are no labels.

    Args:
        root: The folder; sub-folders count too.
        shape: (C, H, W) of the images, C = 1 or 3.
        size: None keeps the sizes of the images, and an image of another size than `shape` is an
            error; a number scales and crops them to `shape`. The number itself is used only in the
            configuration, where `shape` refers to it.
        channels: Used only in the configuration, where `shape` refers to it.
        val_fraction: Fraction of the images held out for validation, at least one image.
        test_fraction: Fraction of the images held out for testing, at least one image.
        split_seed: Seed of the random choice of these images.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: There is no such folder, or an argument is out of range.
    """

    def __init__(
        self,
        root: str,
        shape: Sequence[int | None],
        size: int | None = 64,
        channels: int = 3,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if len(shape) != 3 or None in shape:
            raise GdlError(
                f"data.shape is {list(shape)}, but it must be known before the images are read: "
                "set data.size=64, or beside data.size=null the shape, e.g. data.shape=[3,64,64]."
            )
        super().__init__(shape=[int(n) for n in shape if n is not None], **kwargs)
        if self.shape[0] not in (1, 3):
            raise GdlError(f"data.channels must be 1 (grey) or 3 (RGB), got {self.shape[0]}.")
        if min(self.shape) < 1:
            raise GdlError(f"data.shape must be positive, got {list(self.shape)}.")
        if val_fraction <= 0 or test_fraction <= 0 or val_fraction + test_fraction >= 1:
            raise GdlError(
                "data.val_fraction and data.test_fraction must be positive and together less than "
                f"1, got {val_fraction} and {test_fraction}."
            )
        self.root, self.resize = Path(root).expanduser(), size is not None
        if not self.root.is_dir():
            raise GdlError(f"There is no folder {self.root}: set data.root to one with images.")
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.split_seed = split_seed
        self._facts: dict[str, Any] = {}

    def load(self) -> dict[str, Split]:
        """Return the three splits, chosen at random among the sorted files.

        Raises:
            GdlError: There are too few images for three splits.
        """
        x = self._decode_all()
        num_test = max(1, round(self.test_fraction * len(x)))
        num_val = max(1, round(self.val_fraction * len(x)))
        if num_test + num_val >= len(x):
            raise GdlError(
                f"{self.root} holds {len(x)} readable images, too few for three splits: add "
                f"images ({', '.join(sorted(ENDINGS))})."
            )
        rest, test = hold_out(x, None, num_test, self.split_seed)
        train, val = hold_out(rest[0], None, num_val, self.split_seed)
        return {"train": train, "val": val, "test": test}

    def facts(self) -> dict[str, Any]:
        """Return the number of images, and the number and names of files that could not be read."""
        return self._facts

    def _paths(self) -> list[Path]:
        """Return the image files, sorted by name, so that the splits are the same in each run."""
        names = [
            p.relative_to(self.root)
            for p in self.root.rglob("*")
            if p.suffix.lower() in ENDINGS and p.is_file()
        ]
        visible = [p for p in names if not any(part.startswith(".") for part in p.parts)]
        return [self.root / p for p in sorted(visible, key=Path.as_posix)]

    def _decode_all(self) -> torch.Tensor:
        """Return all readable images (N, C, H, W) uint8."""
        paths = self._paths()
        c, h, w = self.shape
        out = np.empty((len(paths), h, w, c), np.uint8)
        resize = (w, h) if self.resize else None

        def decode(i: int) -> tuple[int, int] | str:
            try:
                x = decode_image(paths[i], c, resize)
            except UNREADABLE as e:
                return f"{paths[i].relative_to(self.root)} ({e})"
            if x.shape[:2] == (h, w):
                out[i] = x
            return x.shape[0], x.shape[1]

        # threads suffice: Pillow releases the interpreter lock
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            results = list(pool.map(decode, range(len(paths))))
        self._report([r for r in results if isinstance(r, str)], len(paths))
        self._check_sizes(Counter(r for r in results if not isinstance(r, str)))
        keep = np.array([not isinstance(r, str) for r in results], dtype=bool)
        return torch.from_numpy(out if keep.all() else out[keep]).permute(0, 3, 1, 2).contiguous()

    def _report(self, broken: list[str], total: int) -> None:
        self._facts = {
            "images": total - len(broken),
            "skipped_files": len(broken),
            "skipped_first": broken[:5],
        }
        if broken:
            more = ", ..." if len(broken) > 5 else ""
            warnings.warn(
                f"{len(broken)} of {total} files in {self.root} cannot be read and are left out: "
                f"{', '.join(broken[:5])}{more}.",
                stacklevel=4,
            )

    def _check_sizes(self, sizes: Counter[tuple[int, int]]) -> None:
        if set(sizes) <= {self.shape[1:]}:
            return
        common = ", ".join(f"{h}x{w} ({n} images)" for (h, w), n in sizes.most_common(5))
        raise GdlError(
            f"The images in {self.root} have {len(sizes)} sizes, {common}, but data.size=null "
            f"asks for {self.shape[1]}x{self.shape[2]} only: set data.size=64 to scale and crop."
        )
