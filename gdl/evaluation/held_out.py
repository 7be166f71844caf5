"""The test images as measures need them."""

import sys
from collections.abc import Iterator

from rich.progress import track
from torch import Tensor

from gdl.data.base import ImageData
from gdl.families.base import GenerativeModel

__all__ = ["held_out_batches"]


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
    """
    batches = data.images("test")[:limit].split(batch_size)
    if progress is not None and sys.stdout.isatty():
        batches = track(batches, progress, transient=True)
    for x in batches:
        yield x.to(model.device)
