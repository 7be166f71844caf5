"""Tables of numbers as CSV, with or without a line of names."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gdl.data.listing import printable
from gdl.data.rows import Rows, kept_columns, shown
from gdl.errors import GdlError

__all__ = ["from_csv"]

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "."}
"""What stands in a cell without a value, in small letters."""


def from_csv(
    path: Path, label: str | None, drop: Sequence[str], columns: Sequence[str] | None
) -> Rows:
    """Return the rows of a CSV file, see `gdl.data.table_files.read_table`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            start = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=start.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError as e:
        raise GdlError(
            f"{path} is no text in UTF-8 (byte {e.start}): save it as CSV in UTF-8."
        ) from e
    except csv.Error as e:
        raise GdlError(f"{path} is no CSV file ({e}): write one row a line.") from e
    if not lines:
        raise GdlError(f"{path} is empty: write one row a line.")
    first = [cell.strip() for cell in lines[0][1]]
    # a line of names has no numbers
    named = any(c.lower() not in MISSING for c in first) and all(map(_no_number, first))
    names = first if named else [str(i + 1) for i in range(len(first))]
    if named and len(set(names)) < len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise GdlError(f"{path} has two columns called {shown(double)}: give them other names.")
    lines = lines[named:]
    if not lines:
        raise GdlError(f"{path} has a line of names and no rows.")
    for number, cells in lines:
        if len(cells) != len(names):
            raise GdlError(
                f"{path} has {len(cells)} fields in line {number}, and {len(names)} in the first: "
                "give each row as many."
            )
    kept = kept_columns(path, names, [*drop, *([] if label is None else [label])], columns)
    values = _numbers(path, [names[i] for i in kept], lines, kept)
    labels, classes = None, None
    if label is not None:
        column = names.index(label)
        labels, classes = _labels(
            path, label, [(number, cells[column].strip()) for number, cells in lines]
        )
    return Rows(tuple(names[i] for i in kept), values, labels, classes, ())


def _numbers(
    path: Path, names: Sequence[str], lines: Sequence[tuple[int, list[str]]], kept: Sequence[int]
) -> np.ndarray:
    """Return the values (N, D) of these columns."""
    columns = []
    for name, i in zip(names, kept, strict=True):
        try:
            column = np.array([cells[i] for _, cells in lines], dtype=np.float64)
        except ValueError:
            column = np.full(len(lines), np.nan)
        if not np.isfinite(column).all():
            _refuse(path, name, [(number, cells[i].strip()) for number, cells in lines])
        columns.append(column)
    return np.stack(columns, 1)


def _refuse(path: Path, name: str, cells: Iterable[tuple[int, str]]) -> None:
    """Name the first value of a column that is missing or no finite number."""
    for number, cell in cells:
        if cell.lower() in MISSING:
            what, fix = "has no value", "fill it in, or leave out the row"
        elif _no_number(cell):
            what = f"is {shown(cell)}, which is no number"
            fix = f"write a number, or name the labels, data.label={shown(name)}"
            if not _no_number(cell.replace(",", ".")):
                fix = "write a point in place of the comma"
        elif not math.isfinite(float(cell)):
            what, fix = f"is {shown(cell)}", "write a finite number"
        else:
            continue
        raise GdlError(
            f"{path}: column {shown(name)} {what} in line {number}: {fix}, or leave out the column, "
            f"data.drop=[{shown(name)}]."
        )


def _no_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return cell.strip().lower() == "nan"


def _labels(
    path: Path, label: str, cells: Sequence[tuple[int, str]]
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return the labels (N,) int64, and the names of the classes where they are text."""
    for number, cell in cells:
        if cell.lower() in MISSING:
            raise GdlError(f"{path}: the label {shown(label)} has no value in line {number}.")
    texts = [cell for _, cell in cells]
    try:
        numbers = np.array(texts, dtype=np.float64)
        if (numbers == numbers.round()).all() and (abs(numbers) < 2**53).all():
            return numbers.astype(np.int64), None
    except ValueError:
        pass
    classes = sorted(set(texts))
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[text] for text in texts]), tuple(map(printable, classes))
