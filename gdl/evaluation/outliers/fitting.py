"""Other data as images of the model's shape and levels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.base import ImageData
from gdl.data.mnist import bernoulli
from gdl.errors import GdlError
from gdl.evaluation.outliers.shapes import FITS, ways

__all__ = ["FITS", "fitted", "fitted_name"]


def fitted(
    name: str,
    x: Tensor,
    levels: int | None,
    data: ImageData,
    fit: str | Sequence[str] | None = None,
) -> Tensor:
    """Return images of other data as images of the run's shape and levels, on the CPU.

    Levels are mapped so that black and white stay; of a binarized run the images are binarized as its
    own were: by a threshold at one half, or by one draw with a fixed seed.

    Args:
        name: Of the other data, for the sentence.
        x: Images (N, C, H, W) uint8.
        levels: Of the other data; None for continuous data.
        data: The run's data.
        fit: How images of another shape are brought to the run's: names in `FITS`, or joined by "+",
            which are applied in this order.

    Raises:
        Incapable: The images have another shape and no fit that brings them to the run's is named, or
            one kind of data is continuous and the other is not.
        GdlError: There is no such fit.
    """
    y = x
    for part in _parts(fit) if tuple(x.shape[1:]) != data.shape and x.ndim == 4 else []:
        y = FITS[part](y, data.shape)
    if tuple(y.shape[1:]) != data.shape:
        shapes = ["x".join(map(str, shape)) for shape in (x.shape[1:], data.shape, y.shape[1:])]
        comparable = x.ndim == 4 and len(data.shape) == 3
        found = ["+".join(way) for way in ways(x, data.shape)] if comparable else []
        how = f"set ood.fit={' or '.join(found)}" if found else f"choose data of {shapes[1]}"
        after = f", with fit={'+'.join(_parts(fit))} of {shapes[2]}" if fit else ""
        raise Incapable(
            f"data={name} has images of {shapes[0]}{after}, and the run's are {shapes[1]}: {how}."
        )
    x = y
    if (levels is None) != (data.levels is None):
        kinds = ("continuous", "integers") if levels is None else ("integers", "continuous")
        raise Incapable(
            f"The values of data={name} are {kinds[0]}, and the run's are {kinds[1]}: choose "
            "other data."
        )
    x = x.cpu()
    if levels is None or data.levels is None or levels == data.levels:
        return x
    return to_levels(x, levels, data.levels, data.facts())


def fitted_name(
    name: str, other: ImageData, data: ImageData, fit: str | Sequence[str] | None
) -> str:
    """Return the name of other data in a table, with what `fitted` has done to them.

    An example is "cifar10+grey+resize", and for a run with 5 bits "mnist+pad+32levels". Fits that
    leave these images as they are, since they were asked for because of others, are not named.
    """
    parts, x = [], torch.zeros(1, *other.shape, dtype=torch.uint8)
    for part in _parts(fit) if other.shape != data.shape and len(other.shape) == 3 else []:
        y = FITS[part](x, data.shape)
        parts += [part] if y.shape != x.shape else []  # else it did nothing
        x = y
    parts += [] if other.levels == data.levels else [f"{data.levels}levels"]
    return "+".join([name, *parts])


def _parts(fit: str | Sequence[str] | None) -> list[str]:
    """Return the names of fits.

    Raises:
        GdlError: There is no such fit.
    """
    parts = fit.split("+") if isinstance(fit, str) else list(fit or [])
    for part in parts:
        if part not in FITS:
            raise GdlError(
                f"ood.fit={'+'.join(map(str, parts))} is not known: choose from {', '.join(FITS)}, or "
                "join some as grey+resize."
            )
    return parts


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
