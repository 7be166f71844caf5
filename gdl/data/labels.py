"""Labels of images: how many classes there are, and data of which only some are labelled."""

from collections.abc import Iterable

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["MOST_CLASSES", "NO_LABELS", "keep_labels", "number_of_classes"]

MOST_CLASSES = 10_000
"""A larger label is no class but a measurement."""

NO_LABELS = (
    "these data have none. mnist, fashion_mnist, cifar10, digits and olivetti have labels, dsprites, "
    "shapes3d_like and chairs with data.label=FACTOR, a folder has them with a sub-folder for each class, "
    "arrays with an array of labels, and binarized_mnist with data.binarization=dynamic or threshold."
)
"""The end of a sentence that asks for labels."""


def number_of_classes(labels: Iterable[Tensor | None]) -> int:
    """Return K for labels in {0, ..., K - 1}, or -1 where a label is unknown; 0 without labels.

    Args:
        labels: Those (N,) of each split, or None.

    Raises:
        GdlError: They are no such numbers.
    """
    given = [y for y in labels if y is not None and len(y)]
    if not given:
        return 0
    smallest, largest = min(int(y.min()) for y in given), max(int(y.max()) for y in given)
    if smallest < -1 or largest >= MOST_CLASSES:
        raise GdlError(
            f"The labels are {smallest} to {largest}, but classes are numbered from 0 on, at most "
            f"{MOST_CLASSES:,} of them, and -1 is for an unknown label: number them so."
        )
    return largest + 1


def keep_labels(y: Tensor, per_class: int, seed: int) -> Tensor:
    """Return labels (N,) of which a random choice of `per_class` of each class is kept, -1 elsewhere.

    The choice with a larger number contains the choice with a smaller one.

    Raises:
        GdlError: A class has fewer.
    """
    generator = torch.Generator().manual_seed(mix_seed("labels", seed))
    order = torch.randperm(len(y), generator=generator).to(y.device)
    kept = torch.full_like(y, -1)
    for label in y[y >= 0].unique().tolist():
        found = order[y[order] == label]
        if len(found) < per_class:
            raise GdlError(
                f"data.labels_per_class is {per_class}, but class {label} has {len(found)} training "
                f"images with a label: set it to {len(found)} or less, or to null for all labels."
            )
        kept[found[:per_class]] = label
    return kept
