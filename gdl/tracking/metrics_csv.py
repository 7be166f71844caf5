"""A logger that writes metrics to a CSV file, also across interruptions."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from gdl.errors import GdlError
from gdl.files import read_text, write_atomically

__all__ = ["MetricsCSV"]

MAX_BYTES = 1_000_000_000


class MetricsCSV(Logger):
    """A logger that appends one row per logged step to metrics.csv; a new column rewrites the file.

    Args:
        path: The file. If there is one, a run that starts over drops its rows; one that is resumed
            keeps some of them, see `rewind`.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = []
        self._opened = False

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """The empty string, because there is one file per run."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any) -> None:
        """Do nothing: hyperparameters are in .hydra/ and in the checkpoint."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a row."""
        row = {"step": step, **metrics}
        if not self._opened:
            self.rewind(0)
        new = [name for name in row if name not in self._columns]
        if new:
            self._columns += new
            self._write(self._rows() if self.path.exists() else [])
        with self.path.open("a", newline="") as f:
            csv.DictWriter(f, self._columns).writerow(row)

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop the rows of this step and later ones, and a last row that is incomplete.

        A run that resumes after `step` steps will write them again; its rows are numbered from 0.
        """
        self._opened = True
        if not self.path.exists():
            return
        rows = self._rows()
        self._columns = list(rows[0]) if rows else []
        self._write([r for r in rows if r["step"].isdigit() and int(r["step"]) < step])

    def _rows(self) -> list[dict[str, str]]:
        table = csv.DictReader(io.StringIO(read_text(self.path, MAX_BYTES), newline=""))
        try:
            rows = [r for r in table if None not in r and None not in r.values()]
        except csv.Error:
            rows = [{}]
        if rows and "step" not in rows[0]:
            raise GdlError(
                f"{self.path} is damaged: it is no table of steps. Move it away; the run goes on "
                "without the rows before."
            )
        return rows

    def _write(self, rows: list[dict[str, str]]) -> None:
        lines = [self._columns, *([r.get(c, "") for c in self._columns] for r in rows)]
        write_atomically(self.path, "".join(",".join(line) + "\r\n" for line in lines))
