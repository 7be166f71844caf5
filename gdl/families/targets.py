"""Sequences that are a source and a target: what of them a model of p(target | source) is about.

A sequence is source, END OF SOURCE, target, END OF TARGET, and anything behind. Its model is one of all
symbols in their order, of which only the target and its end count.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["checked_ends", "in_target"]


def in_target(s: Tensor, ends: Sequence[int]) -> Tensor:
    """Return which symbols (B, N) are those of a target or its end, in sequences (B, N).

    The target begins behind the first end of a source, and ends with the first end of a target behind
    that. Without the former nothing is a target, without the latter all that follows is.

    >>> in_target(torch.tensor([[5, 0, 6, 7, 1, 0, 6]]), (0, 1)).int()
    tensor([[0, 0, 1, 1, 1, 0, 0]], dtype=torch.int32)
    """
    source, target = ends
    behind = _before(s == source) > 0
    return behind & (_before(behind & (s == target)) == 0)


def _before(found: Tensor) -> Tensor:
    """Return how many are found before each position (B, N)."""
    return found.int().cumsum(-1) - found.int()


def checked_ends(
    ends: Sequence[int] | None, shape: Sequence[int], levels: int, orders: Tensor
) -> tuple[int, int] | None:
    """Return the numbers of the symbols that end a source and a target.

    Args:
        ends: The two numbers, or None of data that are no pairs.
        shape: (C, H, W) of the images.
        levels: Number of symbols.
        orders: Orders (R, H W) of the pixels.

    Raises:
        GdlError: They are no such numbers, or the model does not read a row from left to right.
    """
    if ends is None:
        return None
    found = tuple(ends)
    numbers = all(isinstance(i, int) and not isinstance(i, bool) for i in found)
    if not numbers or not len(found) == len({*found}) == 2 or not {*found} <= {*range(levels)}:
        raise GdlError(
            f"model.ends must be two numbers of symbols from 0 to {levels - 1}, got {list(ends)}: "
            "leave it out, then data=pairs gives it."
        )
    if tuple(shape[:2]) != (1, 1):
        raise GdlError(
            f"model.ends is for pairs of texts of shape [1, 1, L], not {list(shape)}: leave it out."
        )
    if not bool((orders.cpu() == torch.arange(orders.shape[-1])).all()):
        raise GdlError(
            "A source comes before its target, and this model has another order: use "
            "model.order=raster."
        )
    return found[0], found[1]
