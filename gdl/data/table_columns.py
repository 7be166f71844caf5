"""Columns of a table that have no density, or none with a bound."""

import numpy as np

from gdl.data.listing import printable
from gdl.data.rows import Rows
from gdl.errors import GdlError

__all__ = ["check_columns", "grid_steps", "spiked"]

LARGEST = 1e18
"""Values beyond it have no square in float32."""


def check_columns(file: str, rows: Rows, train: np.ndarray | None) -> None:
    """Refuse columns that float32 cannot hold, or that do not vary in the training rows.

    Args:
        file: The file, for the sentence.
        rows: Its content.
        train: The indices of the training rows; None where there are none.

    Raises:
        GdlError: There is such a column; the sentence names it.
    """
    for name, column in zip(map(printable, rows.names), rows.values.T, strict=True):
        largest, drop = abs(column).max(), f"leave it out, data.drop=[{name}]"
        if largest > LARGEST:
            raise GdlError(
                f"{file}: column {name} has values up to {largest:.3g}, too large for float32: give "
                f"it in another unit, or {drop}."
            )
        if train is None:
            continue
        seen = column[train]
        if (seen == seen[0]).all():
            raise GdlError(
                f"{file}: column {name} has one value in all {len(train)} training rows, and others "
                f"in the rest, so it has no density: {drop}."
            )
        if largest * 2.0**-24 > 0.01 * seen.std():
            raise GdlError(
                f"{file}: column {name} varies by {seen.std():.3g} around values of {largest:.3g}, "
                f"which float32 rounds away: subtract its mean, or {drop}."
            )


def grid_steps(values: np.ndarray) -> np.ndarray:
    """Return the step (D,) of columns whose numbers are whole or rounded, 0 for others.

    Such a column has each value twice in the mean, and all are whole multiples of a step apart.

    Args:
        values: (N, D).
    """
    steps = np.zeros(values.shape[1])
    for i, column in enumerate(values.T):
        found = np.unique(column)
        if len(found) < 2 or 2 * len(found) > len(column):
            continue
        step = np.diff(found).min()
        multiples = (found - found[0]) / step
        if multiples[-1] < 1e6 and abs(multiples - multiples.round()).max() < 1e-3:
            steps[i] = step
    return steps


def spiked(values: np.ndarray) -> np.ndarray:
    """Return whether one value holds a tenth of a column (D,), or more."""
    return np.array([np.unique(c, return_counts=True)[1].max() >= 0.1 * len(c) for c in values.T])
