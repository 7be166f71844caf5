"""A data set of the user's, which is decoded once and then mapped from a file."""

import json
import re
import shutil
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from gdl.data.arguments import whole_number
from gdl.data.base import ImageData, Split, kept_images
from gdl.data.cache import Entry, create_array, key_of, open_array, open_or_build
from gdl.data.listing import printable
from gdl.data.splits import SPLITS, Division, divide
from gdl.errors import GdlError

__all__ = [
    "NAMES",
    "StoredData",
    "checked_white",
    "image_shape",
    "in_order",
    "progress_bar",
    "say",
    "sizes_of",
    "write_rows",
]

NAMES = "names.json"
"""The names of the images of an entry, in the order of the splits."""

LARGEST = 1 << 30
"""Bytes of one image, far beyond any model."""


class StoredData(ImageData):
    """Images that are kept, decoded, in a file below `data_dir`/decoded.

    The file is mapped into memory and may be larger than it: a batch reads its own images from it, and
    `move_to` copies all images to a GPU only where they fit.
    """

    _entry: Entry | None = None

    has_names = False
    """Whether its images have names of their own, which are kept beside them."""

    @abstractmethod
    def open(self) -> Entry:
        """Return the decoded images, from the cache where they have not changed.

        Raises:
            GdlError: The files are missing, damaged or too few.
        """

    def load(self) -> dict[str, Split]:
        """Return the three splits as views of one file."""
        self._entry = self.open()
        return dict(self._entry.splits())

    def facts(self) -> dict[str, Any]:
        """Return what was found: the number of images, and what was left out."""
        return {} if self._entry is None else self._entry.facts

    def digest(self) -> str:
        """Return the SHA-256 of the images of all splits, which is stored beside them."""
        self.setup()
        assert self._entry is not None
        # with a fraction of them the stored digest would be that of other images
        part = self.fraction < 1 and not self.loads_fraction
        return super().digest() if part else self._entry.digest

    def names(self, split: str) -> list[str]:
        """Return what the images of a split are called; of a folder the paths below it."""
        self.setup()
        assert self._entry is not None
        if not self.has_names:
            return super().names(split)
        if (every := _stored_names(self._entry)) is None:  # decoded by an older version
            shutil.rmtree(self._entry.folder, ignore_errors=True)
            self._splits = {}
            self.setup()
            every = _stored_names(self._entry)
            assert every is not None, self._entry.folder
        sizes = self._entry.sizes
        start = sum(sizes[name] for name in SPLITS[: SPLITS.index(split)])
        found = every[start : start + sizes[split]]
        if split == "train" and self.fraction < 1 and not self.loads_fraction:
            found = [found[i] for i in kept_images(len(found), self.fraction).tolist()]
        return found

    def largest(self, x: Tensor) -> int:
        """Return a value that no image exceeds, if it is known from the time of decoding."""
        return self.facts().get("largest") or super().largest(x)

    @property
    def cache(self) -> Path:
        """The folder of all decoded data sets."""
        return self.data_dir / "decoded"

    def _stored(
        self, source: str, settings: Any, content: Any, build: Callable[[Path], dict[str, Any]]
    ) -> Entry:
        """Return the entry of a source.

        Args:
            source: A name for people.
            settings: How the source is read.
            content: What changes when the source does.
            build: See `open_or_build`.
        """
        name = re.sub(r"[^\w.]+", "_", Path(source).name, flags=re.ASCII)[:40] or "images"
        key = key_of(type(self).__name__, source, self.shape, settings)
        return open_or_build(self.cache, f"{name}-{key}", key_of(content), build)

    def _say(self, entry: Entry, where: str, total: str, left_out: list[str]) -> None:
        """Print how many images were read of how many files, and add to the facts what was not."""
        facts, sizes = entry.facts, entry.sizes
        facts["skipped_files"] += len(left_out)
        facts["skipped_first"] = [*facts["skipped_first"], *left_out][:5]
        parts = ", ".join(f"{sizes[name]} {name}" for name in SPLITS)
        line = f"{where}: {facts['images']} images{total} ({parts})"
        if "classes" in facts:
            line += f", {facts['classes']} classes"
        if "white" in facts:
            line += f", of 16 bits with data.white={facts['white']}"
        if self.levels and 2 * (largest := facts.get("largest", self.levels)) < self.levels:
            line += f", values up to {largest}, for which data.levels={largest + 1} is enough"
        if skipped := facts["skipped_files"]:
            more = ", ..." if skipped > 5 else ""
            line += f"; {skipped} not read: {', '.join(facts['skipped_first'])}{more}"
        say(f"{line}.")


def _stored_names(entry: Entry) -> list[str] | None:
    """Return the names of all images in the order of the splits; None where there are none."""
    try:
        names = json.loads((entry.folder / NAMES).read_text())
    except (OSError, ValueError):
        return None
    fits = isinstance(names, list) and len(names) == len(entry.images)
    return names if fits and all(isinstance(name, str) for name in names) else None


def write_rows(
    folder: Path,
    blocks: Iterator[np.ndarray],
    shape: tuple[int, ...],
    splits: Sequence[str] | int,
    division: Division,
    where: str,
) -> dict[str, Tensor]:
    """Write images into images.npy in the order of the splits; return the indices of each split.

    Args:
        folder: Where the file is written.
        blocks: Arrays (n, C, H, W) uint8, together all images in the order of `splits`.
        shape: (C, H, W).
        splits: See `divide`.
        division: See `divide`.
        where: See `divide`.

    Raises:
        GdlError: There are too few images, or there is too little space.
    """
    chosen = divide(splits, division, where)
    order = in_order(chosen)
    total = splits if isinstance(splits, int) else len(splits)
    rows = np.full(total, -1)
    rows[order] = np.arange(len(order))
    create_array(folder / "images.npy", (len(order), *shape))
    target, done = open_array(folder / "images.npy", "r+"), 0
    for block in blocks:
        here = rows[done : done + len(block)]
        target[here[here >= 0]] = block[here >= 0]
        done += len(block)
    assert done == total, (done, total)
    return chosen


def in_order(chosen: dict[str, Tensor]) -> np.ndarray:
    """Return the indices of all images in the order of the splits."""
    return torch.cat([chosen[name] for name in SPLITS]).numpy()


def sizes_of(chosen: dict[str, Tensor]) -> dict[str, int]:
    """Return the number of images of each split."""
    return {name: len(chosen[name]) for name in SPLITS}


def image_shape(shape: Sequence[int | None]) -> tuple[int, int, int]:
    """Return (C, H, W) for images that are scaled and converted, after checking it.

    Raises:
        GdlError: A number is missing or out of range.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 3:
        raise GdlError(f"data.shape must be a list like [3,64,64], got {shape!r}.")
    if None in shape:
        raise GdlError(
            f"data.shape is {list(shape)}, but it must be known before the images are read: "
            "set data.size=64, or beside data.size=null the shape, e.g. data.shape=[3,64,64]."
        )
    c = whole_number("data.channels", shape[0])
    h, w = (whole_number("data.size", n, 1) for n in shape[1:])
    if c not in (1, 3):
        raise GdlError(f"data.channels must be 1 (grey) or 3 (RGB), got {c}.")
    if c * h * w > LARGEST:
        raise GdlError(
            f"An image of shape {c}x{h}x{w} takes {c * h * w / 1e9:.3g} GB, more than any model here "
            "can take: set a smaller data.size, e.g. data.size=64."
        )
    return c, h, w


def checked_white(white: int | str | None) -> int | None:
    """Return the value that is white in images with 16 bits, None for the largest found.

    Raises:
        GdlError: It is none.
    """
    if white in ("auto", None):
        return None
    if isinstance(white, str):
        raise GdlError(f"data.white must be auto or a number from 1 to 65535, got {white!r}.")
    return whole_number("data.white", white, 1, 65535)


@rank_zero_only
def say(line: str) -> None:
    """Print a line, in one of several processes."""
    print(printable(line), flush=True)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a long work is: a bar on a terminal, else a line every ten seconds.

    Yields:
        A function that is called with the number of further images, from any thread.
    """
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n: bar.advance(task, n)
        return
    done, last = 0, time.monotonic()

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{what}: {done:,} of {total:,}")

    yield advance
