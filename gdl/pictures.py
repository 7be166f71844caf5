"""What a task shows: images in rows and columns, and what a reader needs to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Picture", "subject"]


@dataclass(frozen=True)
class Picture:
    """Images in a grid, with a title and labels of rows, columns or single images.

    A label may have several lines; one that is too long for its place is wrapped, then shortened.

    Args:
        images: (rows, columns, C, H, W) with values in [0, levels - 1], or densities in [0, 1] of a
            model without levels.
        title: A sentence above the grid.
        rows: A label for each row, or none.
        columns: A label for each column, or none.
        captions: A label below each image, row by row, or none.
        count: How many images there are, row by row; the places after them stay empty. By default
            all.
        moves: Whether the columns are also shown as the frames of an animation.
        still: Whether a grid is written; false for an animation alone.

    Raises:
        ValueError: The images are no grid, or there are too few or too many labels.
    """

    images: Tensor
    title: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    moves: bool = False
    still: bool = True
    captions: Sequence[str] = ()
    count: int | None = None

    def __post_init__(self) -> None:
        if self.images.dim() != 5:
            raise ValueError(
                f"A picture has images (rows, columns, C, H, W), got {tuple(self.images.shape)}."
            )
        rows, columns = self.images.shape[:2]
        wanted = {"rows": rows, "columns": columns, "captions": self.shown}
        for name, number in wanted.items():
            if (found := len(getattr(self, name))) not in (0, number):
                raise ValueError(f"A picture with {number} {name} cannot have {found} labels.")

    @property
    def shown(self) -> int:
        """The number of images."""
        return self.images.shape[0] * self.images.shape[1] if self.count is None else self.count


def subject(config: Mapping[str, Any]) -> str:
    """Return what a picture is about, "vae on digits", from the configuration of a model.

    It may be a stranger's: what is no short text is left out. The result is empty where nothing is
    known.
    """
    choices = config.get("choices")
    names = [choices.get(key) for key in ("model", "data")] if isinstance(choices, dict) else []
    return " on ".join(name for name in names if isinstance(name, str) and 0 < len(name) < 60)
