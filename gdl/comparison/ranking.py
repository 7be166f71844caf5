"""Ranks entries on the same data: by result, by Pareto-optimality, and how their settings differ."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from gdl.comparison.entries import Entry, finite
from gdl.comparison.settings import differences, short

__all__ = ["by_data", "differs_in", "pareto", "ranked"]


def ranked(entries: Iterable[Entry]) -> list[Entry]:
    """Sort by data, then by result, the best first; entries without a result come last."""

    def rank(entry: Entry) -> tuple[str, str, float, str]:
        value = entry.best[0]
        return entry.data, entry.identity, math.inf if value is None else value, entry.name

    return sorted(entries, key=rank)


def by_data(entries: Sequence[Entry]) -> list[list[int]]:
    """Return the indices of ranked entries, a list for each identity of data."""
    groups = groupby(range(len(entries)), lambda i: entries[i].identity)
    return [list(group) for _, group in groups]


def differs_in(entries: Sequence[Entry]) -> list[str]:
    """Return, for each entry, the settings that differ from most others on its data."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        groups[entry.identity].append(i)
    out = [""] * len(entries)
    for group in groups.values():
        found = differences([(entries[i].model, entries[i].settings) for i in group])
        for i, settings in zip(group, found, strict=True):
            out[i] = short(settings)
    return out


def pareto(entries: Sequence[Entry], cost: str) -> set[int]:
    """Return the indices of the Pareto-optimal entries on each data set.

    An entry is Pareto-optimal if no other entry on its data is at least as good in `best` and in the
    cost, and better in one of them. Entries of unknown data are left out: nothing says that they
    were measured on the same images.
    """
    points = [
        (i, e.identity, e.best[0], finite(e.metrics.get(cost)))
        for i, e in enumerate(entries)
        if "data/digest" in e.metrics
    ]
    known = [p for p in points if p[2] is not None and p[3] is not None]

    def dominates(a: Sequence[Any], b: Sequence[Any]) -> bool:
        return a[1] == b[1] and a[2] <= b[2] and a[3] <= b[3] and a[2:] != b[2:]

    return {b[0] for b in known if not any(dominates(a, b) for a in known)}
