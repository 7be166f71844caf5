"""Section canvas of the page: how a drawing or a picture is brought to the shape of the data."""

import base64
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import HasLatents
from gdl.explorer.subject import Subject

__all__ = ["content", "looks"]

TEST_IMAGES, TEST_BYTES = 20, 22_000
"""How many test images the page holds, at most, and their bytes."""


def content(subject: Subject) -> dict[str, Any] | None:
    """Return what the section shows; None for vectors, models without latents, and without images.

    Returns:
        What `looks` says, and "count" test images as levels of a byte, base64, with "labels" or None.
    """
    model = subject.model
    if not isinstance(model, HasLatents) or model.levels is None or model.shape[0] not in (1, 3):
        return None
    images = subject.images
    if not len(images):  # they say how drawings are brought to shape
        return None
    count = min(TEST_IMAGES, len(images), TEST_BYTES // images[0].numel())
    labels = subject.labels if model.num_classes else None
    return {
        **looks(images, model.levels),
        "count": count,
        "images": base64.b64encode(images[:count].numpy().tobytes()).decode(),
        "labels": None if labels is None else [int(y) if y >= 0 else None for y in labels[:count]],
    }


def looks(images: Tensor, levels: int) -> dict[str, Any]:
    """Return how things lie in images (N, C, H, W) of levels.

    Returns:
        "paper", the median of each channel at the border, in [0, 1]; "ink", "bright" on dark paper or
        "dark"; "plain_paper", whether a grey image lies on black or white; "fit", of what differs from
        the paper: "extent", how much of the image its longer side takes, and "centre", its centre of
        mass (row, column) as parts of the image; "strokes", whether all images are fitted so, as
        MNIST's are.
    """
    x = images.double() / (levels - 1)
    border = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], -1)
    paper = border.transpose(0, 1).flatten(1).median(1).values
    ink = (x - paper[:, None, None]).abs().mean(1)
    centres, extents = _centres(ink), _extents(ink)
    grey = len(paper) == 1
    extent = float(extents.median()) if len(extents) else 1.0
    centre = centres.mean(0) if len(centres) else torch.full((2,), 0.5)
    # at the border MNIST has 0.0002 and Fashion-MNIST 0.05, centres differ by 0.01 and 0.05
    empty = float((border - paper[:, None]).abs().mean()) < 0.01
    together = len(centres) > 1 and float(centres.std(0).max()) < 0.03
    return {
        "paper": [round(float(v), 4) for v in paper],
        "ink": "bright" if float(paper.mean()) < 0.5 else "dark",
        "plain_paper": grey and not 0.1 < float(paper[0]) < 0.9,
        "fit": {"extent": round(extent, 4), "centre": [round(float(v), 4) for v in centre]},
        "strokes": grey and empty and together and extent < 0.95,
    }


def _centres(ink: Tensor) -> Tensor:
    """Return the centres of mass (N, 2), row and column in [0, 1], of ink (N, H, W) that is there."""
    ink = ink[ink.sum((1, 2)) > 0]
    mass = ink.sum((1, 2))
    rows, columns = ((torch.arange(n) + 0.5) / n for n in ink.shape[1:])
    down, across = (ink.sum(2) * rows).sum(1) / mass, (ink.sum(1) * columns).sum(1) / mass
    return torch.stack([down, across], 1)


def _extents(ink: Tensor) -> Tensor:
    """Return how much of the image (N,) the longer side of the ink's bounding box takes."""
    some = ink > 0
    some = some[some.any(2).any(1)]
    sides = [_length(some.any(2)) / ink.shape[1], _length(some.any(1)) / ink.shape[2]]
    return torch.maximum(*sides)


def _length(some: Tensor) -> Tensor:
    """Return how long (N,) the part of each row (N, L) is from its first to its last true value."""
    first, last = some.int().argmax(1), some.shape[1] - some.flip(1).int().argmax(1)
    return (last - first).double()
