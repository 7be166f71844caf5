"""A benchmark of small images, for restorers of gdl and of anybody else; see docs/restoration.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

import gdl.data
from gdl.corruptions import Corruption, Seen
from gdl.data import ImageData
from gdl.errors import GdlError
from gdl.restoration.baselines import baselines
from gdl.restoration.restorer import Restorer
from gdl.restoration.scoring import score
from gdl.restored_numbers import cells, name_of, restored, verdict

__all__ = ["DATA", "Outcome", "benchmark"]

DATA: dict[str, tuple[str, dict[str, Any]]] = {
    "mnist": ("MNIST", {"shape": (1, 28, 28), "levels": 256}),
    "fashion_mnist": ("MNIST", {"shape": (1, 28, 28), "levels": 256, "source": "fashion_mnist"}),
    "cifar10": ("CIFAR10", {"shape": (3, 32, 32), "levels": 256}),
    "digits": ("Digits", {"shape": (1, 8, 8), "levels": 17}),
}
"""The data that have a name here: class and arguments, as in conf/data/."""


@dataclass(frozen=True)
class Outcome:
    """What `benchmark` has found.

    Args:
        metrics: restoration-{corruption}/{method}/{number}, with errors as {number}_se.
        images: Number of test images.
        data: What they are called.
    """

    metrics: dict[str, float]
    images: int
    data: str

    def rows(self) -> list[list[str]]:
        """Return the table, the names of the columns first, then the highest PSNR."""
        ((_, methods),) = restored(self.metrics).items()
        columns, found = cells(methods)
        names = {m: name_of(m, methods[m]) for m in found}
        return [["method", *columns], *([names[m], *row] for m, row in found.items())]

    def __str__(self) -> str:
        ((corruption, methods),) = restored(self.metrics).items()
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        pad = lambda row: "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()  # noqa: E731
        title = f"{self.data}, {self.images:,} test images, {corruption}"
        _, sentence = verdict(methods) or (True, "")
        return "\n".join(filter(None, [title, *map(pad, rows), sentence]))


@torch.inference_mode()
def benchmark(
    restore: Callable[[Seen], Tensor] | Restorer | None,
    corruption: Corruption,
    data: str | ImageData = "mnist",
    *,
    limit: int | None = None,
    batch_size: int = 500,
    device: str = "cpu",
    draws: int = 1,
    seed: int = 0,
    data_dir: str | None = None,
) -> Outcome:
    """Return PSNR and SSIM of a restorer beside those of every baseline, on all test images.

    Test image i loses the same whoever asks. The settings of the baselines come from training and
    validation images. `print` shows the table.

    Args:
        restore: A function of what is left of B images that returns B images (B, C, H, W) in [0, 1], or
            a `Restorer`; None for the baselines alone.
        corruption: What the images lose.
        data: A key of `DATA`, or data of your own.
        limit: Only the first so many test images, for a quick look.
        batch_size: Images at a time.
        device: Where the images are.
        draws: Draws of each image, of a `Restorer` that draws.
        seed: Seeds them.
        data_dir: Folder of the data sets, by default GDL_DATA_DIR.

    Raises:
        GdlError: There are no such data.
    """
    name = data if isinstance(data, str) else type(data).__name__
    images = _data(data, data_dir) if isinstance(data, str) else data
    if images.levels is None:
        raise GdlError(f"{name} holds no images: use one of {', '.join(DATA)}.")
    top = images.levels - 1
    train, val = (images.images(s).to(device).float() / top for s in ("train", "val"))
    methods: dict[str, Restorer] = {**baselines(corruption, train, val)}
    if restore is not None:
        methods = {"model": _as_restorer(restore), **methods}
    test = images.images("test")[:limit]
    options = (device, batch_size, draws, seed)
    metrics = score(methods, test, images.levels, corruption, *options).metrics()
    return Outcome(metrics, len(test), name)


def _data(name: str, data_dir: str | None) -> ImageData:
    if name not in DATA:
        raise GdlError(f"data={name!r} does not exist here: use one of {', '.join(DATA)}.")
    kind, arguments = DATA[name]
    folder = data_dir or os.environ.get("GDL_DATA_DIR")
    place = {"data_dir": folder} if folder else {}
    data = getattr(gdl.data, kind)(**arguments, **place)
    data.prepare_data()
    return data


def _as_restorer(restore: Any) -> Restorer:
    """Return a restorer of a function that may take what is left alone, and return one draw."""
    takes_draws = "draws" in signature(restore).parameters

    def restorer(
        seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        options: dict[str, Any] = {"draws": draws, "seed": seed, "indices": indices}
        y = restore(seen, **options) if takes_draws else restore(seen)
        y = y if y.dim() == 5 else y[None]
        if y.shape[1:] != (len(seen.y), *seen.shape):
            raise GdlError(
                f"The restorer returned images of shape {tuple(y.shape[1:])}, but the originals have "
                f"{(len(seen.y), *seen.shape)}: return (B, C, H, W) in [0, 1]."
            )
        return y

    return restorer
