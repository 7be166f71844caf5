"""The rows of a table, from whatever file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdl.data.listing import printable
from gdl.errors import GdlError

__all__ = ["Rows", "kept_columns", "shown"]


@dataclass(frozen=True)
class Rows:
    """The rows of a table.

    Args:
        names: Of the D columns; their numbers, from 1 on, where the file has no names.
        values: (N, D) float64, finite.
        labels: (N,) int64, or None.
        classes: What the labels stand for, where they are text.
        constant: Names of the columns that were left out because all rows have the same value.
    """

    names: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    constant: tuple[str, ...]


def kept_columns(
    path: Path, names: Sequence[str], left_out: Sequence[str], columns: Sequence[str] | None
) -> list[int]:
    """Return the numbers of the columns that are rows' values."""
    if unknown := [n for n in [*left_out, *(columns or ())] if n not in names]:
        raise GdlError(
            f"{path} has no column {shown(unknown[0])}: it has {shown(', '.join(names))}."
        )
    wanted = [n for n in names if n not in left_out] if columns is None else columns
    kept = [names.index(name) for name in wanted]
    if not kept:
        raise GdlError(f"{path} has no column left: leave out fewer by data.drop and data.label.")
    return kept


def shown(text: str) -> str:
    """Return a text of a stranger's file, short and without what a terminal obeys."""
    text = printable(text)
    return text if len(text) <= 80 else f"{text[:77]}..."
