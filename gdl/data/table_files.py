"""Tables of numbers in files: CSV, or arrays of NumPy's. Nothing in a file is run."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gdl.data.arguments import checked_path
from gdl.data.csv_files import from_csv
from gdl.data.numpy_files import BROKEN, StoredArray, stored_arrays
from gdl.data.rows import Rows, kept_columns, shown
from gdl.errors import GdlError

__all__ = ["Rows", "read_table", "table_shape"]

ROWS, LABELS = ("x", "data", "rows", "features", "images"), ("y", "labels", "label", "targets")
"""What arrays are called in such files, in small letters; the first name that is there counts."""

HOW = "numpy.savez('x.npz', X=x), x of shape (N, D), or a CSV file with one row a line"

Name = str | int
"""Of a column, or its number from 1 on, where it has none."""


def table_shape(
    file: str, label: Name | None, drop: Sequence[Name], columns: Sequence[Name] | None = None
) -> list[int]:
    """Return [D] of the rows of a file, see `read_table`."""
    return [len(read_table(file, label, drop, columns).names)]


def read_table(
    file: str,
    label: Name | None = None,
    drop: Iterable[Name] = (),
    columns: Iterable[Name] | None = None,
) -> Rows:
    """Return the rows of a file, without constant columns, or those columns that are named.

    Args:
        file: A .npz or .npy file of numbers (N, D), else CSV with or without a line of names; fields
            are separated by commas, semicolons or tabs.
        label: The column of the labels, in a .npz file the array; None looks for an array called y.
        drop: Columns to leave out.
        columns: The columns to take, in this order, also constant ones; None takes all that vary.

    Raises:
        GdlError: There is no such file or column, or a value is missing or is no number; the message
            names column and row.
    """
    path = checked_path("data.file", file)
    if not path.is_file():
        raise GdlError(f"There is no file {path}: set data.file to a table, from {HOW}.")
    stat, label = path.stat(), None if label is None else str(label)
    named = None if columns is None else tuple(map(str, columns))
    return _read(path, label, tuple(map(str, drop)), named, (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=1)  # a run asks for the shape first, and then for the rows
def _read(
    path: Path,
    label: str | None,
    drop: tuple[str, ...],
    columns: tuple[str, ...] | None,
    _version: object,
) -> Rows:
    try:
        is_numpy = path.suffix.lower() in (".npz", ".npy")
        rows = (_from_numpy if is_numpy else from_csv)(path, label, drop, columns)
    except BROKEN as e:
        if isinstance(e, GdlError) or (isinstance(e, OSError) and e.errno):
            raise
        raise GdlError(
            f"{path} is no table of numbers, or is damaged ({e}): write it with {HOW}."
        ) from e
    if columns is not None:
        return rows
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


# ---- arrays of NumPy's


def _from_numpy(
    path: Path, label: str | None, drop: Sequence[str], columns: Sequence[str] | None
) -> Rows:
    found = stored_arrays(path)
    small = {name.lower(): name for name in found}
    rows = next((small[n] for n in ROWS if n in small), None)
    if len(found) == 1:
        rows = next(iter(found))
    if rows is None:
        raise GdlError(f"{path} has the arrays {shown(', '.join(found))}: name the rows X.")
    labels = label or next((small[n] for n in LABELS if n in small), None)
    if labels is not None and labels not in found:
        raise GdlError(f"{path} has no array {shown(labels)}: it has {shown(', '.join(found))}.")
    x = _array(path, rows, found[rows])
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.size:
        raise GdlError(f"{rows} in {path} has shape {x.shape}: write it with {HOW}.")
    names = [str(i + 1) for i in range(x.shape[1])]
    kept = kept_columns(path, names, drop, columns)
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
