"""Rows of numbers from a file of the user's, as a data set of continuous vectors."""

import functools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from gdl.data.arguments import held_out_fractions, whole_number
from gdl.data.base import ImageData, Split
from gdl.data.listing import printable
from gdl.data.rows import Rows
from gdl.data.stored import say
from gdl.data.table_columns import check_columns, grid_steps, spiked
from gdl.data.table_files import read_table
from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["Table"]


class Table(ImageData):
    """Vectors (N, D) float32 from a CSV file, or from an array of NumPy's, in their own units.

    A column whose values are all equal is left out, and named. To bring the others to one scale
    belongs to the model (`model.standardize`), as a part of its density.

    A density of whole, rounded or often repeated numbers has no bound: it can be as narrow and high
    as it likes at each of them. Such columns are named in a warning.

    Args:
        file: The file, see `gdl.data.table_files.read_table`.
        shape: (D,), without constant columns.
        levels: None.
        label: The column, or the array, of the labels.
        drop: Columns to leave out.
        columns: The columns of a table that a model was trained on, of which this is another one: it
            has these columns, in this order, and all rows are for testing, in the order of the file.
        standardize: What models of `model=realnvp` and `model=nice` are told to do; it changes no data.
        dequantize: Add noise to columns of whole or rounded numbers, uniform over a step; the nll is
            then a bound of that of the numbers, less the logs of the steps.
        noise: Noise added to the training rows in each epoch anew, in standard deviations of a column:
            a regulariser where rows are few.
        val_fraction: Fraction of the rows held out for validation, at least one row.
        test_fraction: The same for testing.
        split_seed: Seed of the random choice of these rows.
        **kwargs: See `ImageData`.

    Raises:
        GdlError: The file cannot be used, see `read_table`, or an argument is out of range.
    """

    def __init__(
        self,
        file: str,
        shape: Sequence[int],
        levels: None = None,
        label: str | int | None = None,
        drop: Sequence[str | int] = (),
        columns: Sequence[str | int] | None = None,
        standardize: bool = True,
        dequantize: bool = False,
        noise: float = 0.0,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(shape=shape, levels=levels, **kwargs)
        if len(self.shape) != 1:
            raise GdlError(f"data.shape must be [D] for a table, got {list(shape)}: leave it out.")
        self.file, self.label, self.drop, self.columns = file, label, tuple(drop), columns
        self.standardize, self.dequantize, self.noise = standardize, dequantize, noise
        if noise < 0:
            raise GdlError(f"data.noise must be 0 or more, got {noise}.")
        self.fractions = held_out_fractions(val_fraction, test_fraction)
        self.split_seed = whole_number("data.split_seed", split_seed, largest=2**63 - 1)
        self._facts: dict[str, Any] = {}

    def setup(self, stage: str | None = None) -> None:
        """Load the rows, see `ImageData.setup`.

        Raises:
            GdlError: They are to be trained on, and are for testing only.
        """
        if stage == "fit" and self.columns is not None:
            raise GdlError(
                "data.columns is for rows that a trained model scores, and leaves none for training: "
                "leave it out, and name the columns to leave out by data.drop."
            )
        super().setup(stage)

    def load(self) -> dict[str, Split]:
        """Return the three splits, each in random order."""
        rows = read_table(self.file, self.label, self.drop, self.columns)
        if (len(rows.names),) != self.shape:
            raise GdlError(
                f"{self.file} has {len(rows.names)} columns that vary, but data.shape is "
                f"{list(self.shape)}: the file has changed since; leave data.shape out for a new run."
            )
        if self.columns is not None:
            return self._all_for_testing(rows)
        index = self._divide(len(rows.values))
        check_columns(self.file, rows, index["train"].numpy())
        steps = grid_steps(rows.values)
        sizes = {name: len(i) for name, i in index.items()}
        self.class_names = rows.classes
        self._facts = _facts(rows, steps if self.dequantize else None)
        _tell(self.file, rows, sizes, steps, self.dequantize)
        x = torch.from_numpy(rows.values).float()
        splits = {name: x[i] for name, i in index.items()}
        width = torch.from_numpy(steps * self.dequantize).float()
        spread = self.noise * splits["train"].std(0, correction=0)
        if width.any() or spread.any():
            self.transform = functools.partial(with_noise, width, spread)
        for name in ("val", "test"):
            generator = torch.Generator().manual_seed(mix_seed("table", self.split_seed, name))
            splits[name] = with_noise(width, 0 * spread, splits[name], generator)
        y = None if rows.labels is None else torch.from_numpy(rows.labels)
        return {name: (splits[name], None if y is None else y[i]) for name, i in index.items()}

    def _all_for_testing(self, rows: Rows) -> dict[str, Split]:
        x = torch.from_numpy(rows.values).float()
        y = None if rows.labels is None else torch.from_numpy(rows.labels)
        check_columns(self.file, rows, None)
        self._facts = _facts(rows, None)
        none = (x[:0], None if y is None else y[:0])
        return {"train": none, "val": none, "test": (x, y)}

    def facts(self) -> dict[str, Any]:
        """Return the names of the columns, those left out, and what was added to the values."""
        self.setup()
        return self._facts

    def _divide(self, total: int) -> dict[str, Tensor]:
        """Return the indices of the rows of each split."""
        num_val, num_test = (max(1, round(f * total)) for f in self.fractions)
        if total < num_val + num_test + 2:
            raise GdlError(
                f"{self.file} holds {total} rows, too few for training, validation and testing: add "
                "rows."
            )
        order = torch.randperm(total, generator=torch.Generator().manual_seed(self.split_seed))
        parts = order.split([total - num_val - num_test, num_val, num_test])
        return dict(zip(("train", "val", "test"), parts, strict=True))


def with_noise(width: Tensor, spread: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return rows x (B, D) plus noise, uniform of these widths (D,) and normal of these deviations."""
    draw = functools.partial(torch.empty_like, x)
    uniform, normal = draw().uniform_(generator=generator), draw().normal_(generator=generator)
    return x + width.to(x) * (uniform - 0.5) + spread.to(x) * normal


def _facts(rows: Rows, steps: np.ndarray | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"columns": [printable(n) for n in rows.names]}
    if rows.constant:
        facts["constant_columns"] = [printable(n) for n in rows.constant]
    if rows.classes:
        facts["class_names"] = list(rows.classes)
    if steps is not None:
        facts["dequantized"] = {
            printable(n): float(s) for n, s in zip(rows.names, steps, strict=True) if s
        }
    return facts


def _tell(
    file: str, rows: Rows, sizes: dict[str, int], steps: np.ndarray, dequantize: bool
) -> None:
    """Print what was read, and warn of columns whose density has no bound."""
    parts = ", ".join(f"{n:,} {name}" for name, n in sizes.items())
    line = f"{file}: {len(rows.values):,} rows ({parts}) of {len(rows.names)} numbers"
    if rows.labels is not None:
        line += f", {len(np.unique(rows.labels))} classes"
    if rows.constant:
        line += f"; left out, because all values are equal: {_list(rows.constant)}"
    say(f"{line}.")
    whole = [n for n, step in zip(rows.names, steps, strict=True) if step]
    spikes = [n for n, spiked in zip(rows.names, spiked(rows.values), strict=True) if spiked]
    spikes = [n for n in spikes if n not in whole]
    if whole and not dequantize:
        _warn(
            f"{_list(whole)} hold whole or rounded numbers, and a density of them has no "
            "bound, so a low nll may say little: data.dequantize=true adds noise within their steps."
        )
    if spikes:
        _warn(
            f"{_list(spikes)} have one value in a tenth of the rows or more, and a density "
            "has no bound there, so a low nll may say little."
        )


def _list(names: Sequence[str]) -> str:
    """Return a list of columns, of which only the first few are named."""
    first = ", ".join(printable(n)[:40] for n in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column{'s' if len(names) > 1 else ''} {first}{more}"


@rank_zero_only
def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
