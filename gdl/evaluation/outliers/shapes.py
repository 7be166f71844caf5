"""Ways to bring images to another shape."""

import math
from collections.abc import Callable, Iterator
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import pad as padded

__all__ = ["FITS", "Fit", "ways"]

Fit = Callable[[Tensor, tuple[int, ...]], Tensor]
"""Maps images (N, C, H, W) uint8 towards the shape (C, H, W); what it does not know it leaves."""

PIXELS = 1 << 24
"""Pixels that are scaled at a time."""


def pad(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the images in the middle of a black frame, where they are smaller."""
    (top, bottom), (left, right) = (
        (max(0, n - m) // 2, -(-max(0, n - m) // 2))
        for n, m in zip(shape[1:], x.shape[2:], strict=True)
    )
    return padded(x, (left, right, top, bottom))


def crop(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the middle of the images, where they are larger."""
    for axis, n in ((2, shape[1]), (3, shape[2])):
        spare = max(0, x.shape[axis] - n)
        x = x.narrow(axis, spare // 2, x.shape[axis] - spare)
    return x


def resize(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the images scaled to height and width, bilinearly and without aliasing."""
    at_once = max(1, PIXELS // max(1, math.prod(x.shape[1:])))
    parts = [
        interpolate(part.float(), size=shape[1:], mode="bilinear", antialias=True).round()
        for part in x.split(at_once)
    ]
    return torch.cat(parts).to(x.dtype)


def grey(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return colours as their luma (ITU-R BT.601), or grey in each channel of a run on colours."""
    if (x.shape[1], shape[0]) == (3, 1):
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1).to(x.device)
        return (x * weights).sum(1, keepdim=True).round().to(x.dtype)
    return x.repeat(1, shape[0], 1, 1) if x.shape[1] == 1 else x


FITS: dict[str, Fit] = {"pad": pad, "crop": crop, "resize": resize, "grey": grey}
"""By the name that fit= has for them."""


def ways(x: Tensor, shape: tuple[int, ...]) -> Iterator[list[str]]:
    """Yield names of fits that together bring images (N, C, H, W) to a shape, the fewest first."""
    one = x[:1]
    for count in (1, 2, 3):
        fewer: list[list[str]] = []
        for names in permutations(FITS, count):
            y = one
            for name in names:
                y = FITS[name](y, shape)
            if tuple(y.shape[1:]) == shape and sorted(names) not in fewer:
                fewer.append(sorted(names))
                yield list(names)
        if fewer:
            return
