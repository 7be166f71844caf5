"""Tables of numbers in files: CSV, or arrays of NumPy's. Nothing in a file is run."""

import csv
import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdl.data.arguments import checked_path
from gdl.data.listing import printable
from gdl.data.numpy_files import BROKEN, StoredArray, stored_arrays
from gdl.errors import GdlError

__all__ = ["Rows", "read_table", "table_shape"]

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "."}
"""What stands in a cell without a value, in small letters."""

ROWS, LABELS = ("x", "data", "rows", "features", "images"), ("y", "labels", "label", "targets")
"""What arrays are called in such files, in small letters; the first name that is there counts."""

HOW = "numpy.savez('x.npz', X=x), x of shape (N, D), or a CSV file with one row a line"


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


def table_shape(file: str, label: str | int | None, drop: Sequence[str | int]) -> list[int]:
    """Return [D] of the rows of a file, see `read_table`."""
    return [len(read_table(file, label, drop).names)]


def read_table(file: str, label: str | int | None = None, drop: Iterable[str | int] = ()) -> Rows:
    """Return the rows of a file, without constant columns.

    Args:
        file: A .npz or .npy file of numbers (N, D), else CSV with or without a line of names; fields
            are separated by commas, semicolons or tabs.
        label: The column of the labels, in a .npz file the array; None looks for an array called y.
        drop: Columns to leave out.

    Raises:
        GdlError: There is no such file or column, or a value is missing or is no number; the message
            names column and row.
    """
    path = checked_path("data.file", file)
    if not path.is_file():
        raise GdlError(f"There is no file {path}: set data.file to a table, from {HOW}.")
    stat, label = path.stat(), None if label is None else str(label)
    return _read(path, label, tuple(map(str, drop)), (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=1)  # a run asks for the shape first, and then for the rows
def _read(path: Path, label: str | None, drop: tuple[str, ...], _version: object) -> Rows:
    try:
        is_numpy = path.suffix.lower() in (".npz", ".npy")
        rows = _from_numpy(path, label, drop) if is_numpy else _from_csv(path, label, drop)
    except BROKEN as e:
        if isinstance(e, GdlError) or (isinstance(e, OSError) and e.errno):
            raise
        raise GdlError(
            f"{path} is no table of numbers, or is damaged ({e}): write it with {HOW}."
        ) from e
    varies = (rows.values != rows.values[:1]).any(0)
    if not varies.any():
        raise GdlError(f"{path} has no column with different values, so there is no density.")
    names = np.array(rows.names, dtype=object)
    return Rows(
        tuple(names[varies]),
        np.ascontiguousarray(rows.values[:, varies]),
        rows.labels,
        rows.classes,
        tuple(names[~varies]),
    )


# ---- CSV


def _from_csv(path: Path, label: str | None, drop: tuple[str, ...]) -> Rows:
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
        raise GdlError(f"{path} is no CSV file ({e}): write it with {HOW}.") from e
    if not lines:
        raise GdlError(f"{path} is empty: write it with {HOW}.")
    first = [cell.strip() for cell in lines[0][1]]
    # a line of names has no numbers
    named = any(c.lower() not in MISSING for c in first) and all(map(_no_number, first))
    names = first if named else [str(i + 1) for i in range(len(first))]
    if named and len(set(names)) < len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise GdlError(f"{path} has two columns called {_shown(double)}: give them other names.")
    lines = lines[named:]
    if not lines:
        raise GdlError(f"{path} has a line of names and no rows.")
    for number, cells in lines:
        if len(cells) != len(names):
            raise GdlError(
                f"{path} has {len(cells)} fields in line {number}, and {len(names)} in the first: "
                "give each row as many."
            )
    kept = _kept(path, names, [*drop, *([] if label is None else [label])])
    values = _numbers(path, [names[i] for i in kept], lines, kept)
    labels, classes = None, None
    if label is not None:
        column = names.index(label)
        labels, classes = _labels(
            path, label, [(number, cells[column].strip()) for number, cells in lines]
        )
    return Rows(tuple(names[i] for i in kept), values, labels, classes, ())


def _kept(path: Path, names: Sequence[str], left_out: Sequence[str]) -> list[int]:
    """Return the numbers of the columns that are rows' values."""
    if unknown := [n for n in left_out if n not in names]:
        raise GdlError(
            f"{path} has no column {_shown(unknown[0])}: it has {_shown(', '.join(names))}."
        )
    kept = [i for i, name in enumerate(names) if name not in left_out]
    if not kept:
        raise GdlError(f"{path} has no column left: leave out fewer by data.drop and data.label.")
    return kept


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
            what = f"is {_shown(cell)}, which is no number"
            fix = f"write a number, or name the labels, data.label={_shown(name)}"
            if not _no_number(cell.replace(",", ".")):
                fix = "write a point in place of the comma"
        elif not math.isfinite(float(cell)):
            what, fix = f"is {_shown(cell)}", "write a finite number"
        else:
            continue
        raise GdlError(
            f"{path}: column {_shown(name)} {what} in line {number}: {fix}, or leave out the column, "
            f"data.drop=[{_shown(name)}]."
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
            raise GdlError(f"{path}: the label {_shown(label)} has no value in line {number}.")
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


# ---- arrays of NumPy's


def _from_numpy(path: Path, label: str | None, drop: tuple[str, ...]) -> Rows:
    found = stored_arrays(path)
    small = {name.lower(): name for name in found}
    rows = next((small[n] for n in ROWS if n in small), None)
    if len(found) == 1:
        rows = next(iter(found))
    if rows is None:
        raise GdlError(f"{path} has the arrays {_shown(', '.join(found))}: name the rows X.")
    labels = label or next((small[n] for n in LABELS if n in small), None)
    if labels is not None and labels not in found:
        raise GdlError(f"{path} has no array {_shown(labels)}: it has {_shown(', '.join(found))}.")
    x = _array(path, rows, found[rows])
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.size:
        raise GdlError(f"{rows} in {path} has shape {x.shape}: write it with {HOW}.")
    names = [str(i + 1) for i in range(x.shape[1])]
    kept = _kept(path, names, drop)
    names, x = [names[i] for i in kept], x[:, kept]
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise GdlError(
            f"{path}: column {names[column]} is {x[row, column]} in row {row + 1}: write a finite "
            f"number, or leave out the column, data.drop=[{names[column]}]."
        )
    y = None if labels is None else _array(path, labels, found[labels])
    if y is not None and (y.shape not in {(len(x),), (len(x), 1)} or (y != y.round()).any()):
        raise GdlError(
            f"{labels} in {path} has shape {y.shape}, but the labels of {len(x)} rows are whole "
            f"numbers of shape ({len(x)},)."
        )
    return Rows(tuple(names), x, None if y is None else y.reshape(-1).astype(np.int64), None, ())


def _array(path: Path, name: str, array: StoredArray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise GdlError(f"{name} in {path} is of type {array.dtype}, not of numbers.")
    return array.read().astype(np.float64)


def _shown(text: str) -> str:
    """Return a text of a stranger's file, short and without what a terminal obeys."""
    text = printable(text)
    return text if len(text) <= 80 else f"{text[:77]}..."
