"""Merges runs that differ in their seed only into means with a standard error."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gdl.comparison.entries import Entry, finite

__all__ = ["group_seeds"]


def group_seeds(entries: Sequence[Entry]) -> list[Entry]:
    """Merge runs on the same data that differ in their seed only.

    Where a seed was run several times, only the newest run counts. A run without a finite result is
    not merged with runs that have one.
    """
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        what = [entry.model, entry.metrics.get("kind"), entry.identity, entry.best_key is None]
        key = json.dumps([*what, entry.settings.values], sort_keys=True, default=str)
        if not set(entry.seeds) & {s for e in groups[key] for s in e.seeds} or not entry.seeds:
            groups[key].append(entry)
    return [_merge(group) if len(group) > 1 else group[0] for group in groups.values()]


def _merge(group: Sequence[Entry]) -> Entry:
    """Return one entry whose result is of the tightest kind that all runs of the group have."""
    group = sorted(group, key=lambda e: e.seeds)
    first, paths = group[0], [path for e in group for path in e.paths]
    metrics = {k: v for k in first.metrics if (v := _mean(k, group)) is not None}
    merged = Entry(first.name, paths, metrics, first.settings, id=first.id)
    merged.seeds = [s for e in group for s in e.seeds]
    merged.spreads = {k: s for k in metrics if (s := _standard_error(k, group)) is not None}
    if (key := merged.best_key) is not None:
        merged.spread = merged.spreads[key]
    return merged


def _standard_error(key: str, group: Sequence[Entry]) -> float | None:
    """Return the standard error over the entries of the mean of a number; None if it is no number."""
    values = [finite(e.metrics.get(key)) for e in group]
    known = [v for v in values if v is not None]
    if len(known) < len(values) or len(known) < 2:
        return None
    return statistics.stdev(known) / len(known) ** 0.5


def _mean(key: str, group: Sequence[Entry]) -> Any:
    """Return a value that all runs share, or the mean of their numbers; None if there is neither."""
    values = [e.metrics.get(key) for e in group]
    if key == "seed" or key.endswith("_se"):
        return None  # the error of a mean is not the mean of the errors
    if all(v == values[0] and type(v) is type(values[0]) for v in values):
        return values[0]
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return statistics.fmean(values) if is_number else None  # pyright: ignore
