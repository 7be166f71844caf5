"""Reads learning curves from metrics.csv, thinned to few enough points for a page."""

import csv
import math
from pathlib import Path
from typing import Any

from gdl.runs.metrics import TERMS

__all__ = ["read_curves"]

MAX_POINTS = 200
MAX_READ = 1_000_000_000


def read_curves(path: Path) -> dict[str, Any] | None:
    """Return the training and validation curve of a metrics.csv, at most `MAX_POINTS` points each.

    Returns:
        "term", a key of `TERMS`, and for each logged stage {"step", "seconds", "value"}, three lists
        of the same length. "seconds", the time of training, is None if a row has no time. None if
        the file does not exist, is damaged or has no curve.
    """
    if not path.is_file() or path.stat().st_size > MAX_READ:
        return None
    try:
        with path.open(newline="", errors="replace") as f:
            header, *rows = list(csv.reader(f)) or [[]]
    except (OSError, csv.Error):
        return None
    columns = {name: i for i, name in enumerate(header)}
    stages = ("train", "val")
    rows = [r for r in rows if len(r) == len(header)]  # the last may have been cut off by a kill
    for term in TERMS:
        found = {s: _curve(rows, columns, f"{s}/{term}") for s in stages}
        if any(found.values()):
            return {"term": term, **{s: c for s, c in found.items() if c}}
    return None


def _curve(
    rows: list[list[str]], columns: dict[str, int], name: str
) -> dict[str, list[Any] | None] | None:
    """Return the finite points of a column, evenly thinned; the last point is kept."""
    if name not in columns or "step" not in columns:
        return None
    at, step, time = columns[name], columns["step"], columns.get("seconds")
    rows = [r for r in rows if _number(r[at]) is not None and _number(r[step]) is not None]
    if not rows:
        return None
    every = math.ceil(len(rows) / MAX_POINTS)
    rows = rows[::-every][::-1]
    seconds = None if time is None else [_number(r[time]) for r in rows]
    return {
        "step": [int(float(r[step])) for r in rows],
        "seconds": None if seconds is None or None in seconds else seconds,
        "value": [_number(r[at]) for r in rows],
    }


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else None
