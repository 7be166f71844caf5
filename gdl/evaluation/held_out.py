"""The test images as measures need them."""

import sys
from collections.abc import Iterator

from rich.progress import track
from torch import Tensor

from gdl.data.base import ImageData
from gdl.data.labels import NO_LABELS
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel

__all__ = ["held_out", "held_out_batches", "held_out_labels"]


def held_out(data: ImageData, limit: int | None) -> Tensor:
    """Return the test images (N, C, H, W) uint8, or the first so many of them.

    Raises:
        GdlError: The limit is no number of images.
    """
    if limit is not None:
        at_least_one("limit", limit)
    return data.images("test")[:limit]


def held_out_labels(model: GenerativeModel, data: ImageData, limit: int | None) -> Tensor | None:
    """Return the labels (N,) of the test images for a conditional model, None for any other.

    Raises:
        GdlError: The data have no labels.
    """
    if not model.num_classes:
        return None
    labels = data.labels("test")
    if labels is None:
        raise GdlError(f"This {type(model).__name__} is conditional, but {NO_LABELS}")
    return labels[:limit].to(model.device)


def held_out_batches(
    model: GenerativeModel,
    data: ImageData,
    batch_size: int,
    limit: int | None,
    progress: str | None = None,
) -> Iterator[Tensor]:
    """Yield the test images (B, C, H, W) uint8, in order, on the model's device.

    Args:
        model: Its device is meant.
        data: The data set.
        batch_size: Images at a time.
        limit: Only the first so many, None for all.
        progress: Name of a progress bar, which is shown on a terminal only.

    Raises:
        GdlError: The batch size or the limit is no number of images.
    """
    at_least_one("batch_size", batch_size)
    batches = held_out(data, limit).split(batch_size)
    if progress is not None and sys.stdout.isatty():
        batches = track(batches, progress, transient=True)
    for x in batches:
        yield x.to(model.device)
