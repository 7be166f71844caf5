"""What a task shows: images in rows and columns, and what a reader needs to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """Images in a grid, with a title and labels of rows and columns.

    Args:
        images: (rows, columns, C, H, W) with values in [0, levels - 1], or densities in [0, 1] of a
            model without levels.
        title: One line above the grid.
        rows: A label for each row, or none.
        columns: A label for each column, or none.
        moves: Whether the columns are also shown as the frames of an animation.
        still: Whether a grid is written; false for an animation alone.
    """

    images: Tensor
    title: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    moves: bool = False
    still: bool = True
