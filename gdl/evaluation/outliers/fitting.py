"""Other data as images of the model's shape and levels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.data.mnist import bernoulli
from gdl.errors import GdlError

__all__ = ["FITS", "fitted"]

Fit = Callable[[Tensor, tuple[int, ...]], Tensor]
"""Maps images (N, C, H, W) uint8 to the shape (C, H, W), or leaves an axis for another fit as it is."""

FITS: dict[str, Fit] = {}
"""Ways to bring images to another shape, by the name that fit= has for them."""


def fitted(
    name: str, x: Tensor, levels: int | None, data: ImageData, fit: str | None = None
) -> Tensor:
    """Return images of other data as images of the run's shape and levels, on the CPU.

    Levels are mapped so that black and white stay; of a binarized run the images are binarized as its
    own were: by a threshold at one half, or by one draw with a fixed seed.

    Args:
        name: Of the other data, for the sentence.
        x: Images (N, C, H, W) uint8.
        levels: Of the other data; None for continuous data.
        data: The run's data.
        fit: How images of another shape are brought to the run's: names in `FITS` joined by "+".

    Raises:
        Incapable: The images have another shape and no fit is named, or one kind of data is
            continuous and the other is not.
        GdlError: There is no such fit.
    """
    for part in (fit or "").split("+") if fit else []:
        if part not in FITS:
            raise GdlError(f"fit={fit} is not known: choose from {', '.join(FITS)}.")
        x = FITS[part](x, data.shape)
    if tuple(x.shape[1:]) != data.shape:
        own = "x".join(map(str, data.shape))
        way = f"set fit={', '.join(FITS)}" if FITS else f"choose data of {own}"
        raise Incapable(
            f"data={name} has images of {'x'.join(map(str, x.shape[1:]))}, and the run's are {own}: "
            f"{way}."
        )
    if (levels is None) != (data.levels is None):
        kinds = ("continuous", "integers") if levels is None else ("integers", "continuous")
        raise Incapable(
            f"The values of data={name} are {kinds[0]}, and the run's are {kinds[1]}: choose other data."
        )
    x = x.cpu()
    if levels is None or data.levels is None or levels == data.levels:
        return x
    return to_levels(x, levels, data.levels, data.facts())


def to_levels(x: Tensor, levels: int, target: int, facts: dict[str, Any]) -> Tensor:
    """Return images with `levels` levels as images with `target` levels; see `fitted`."""
    if target == 2 and facts.get("binarization", "threshold") != "threshold":
        grey = _stretched(x, levels, 256)
        return bernoulli(grey, torch.Generator().manual_seed(1))
    if target < levels:  # equal steps; of powers of two the lowest bits are dropped
        return (x.int() * target // levels).to(torch.uint8)
    return _stretched(x, levels, target)


def _stretched(x: Tensor, levels: int, target: int) -> Tensor:
    return (x.double() * ((target - 1) / (levels - 1))).round().to(torch.uint8)
