"""The runs of a comparison: their results, kinds of numbers, ranks and differences."""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gdl.errors import GdlError
from gdl.runs.config import read_config
from gdl.runs.directory import Run, newest_runs
from gdl.runs.metrics import BOUNDS, data_name, unit

__all__ = [
    "Entry",
    "differences",
    "group_seeds",
    "pareto",
    "ranked",
    "read_runs",
    "select",
]

PLUMBING = (
    "run_dir.",
    "resume.",
    "data_dir.",
    "config_dir.",
    "trust.",
    "logger.",
    "callbacks.images.",
    "trainer.profiler.",
)
"""Configuration keys that do not change what a run computes. The seed is treated separately."""


@dataclass
class Entry:
    """One row of a comparison: a run, or all runs that differ in their seed only."""

    name: str
    paths: list[Path]
    """The run directories, in the order of the seeds."""
    metrics: dict[str, Any]
    config: dict[str, Any]
    """The configuration, flat, without the seed and the keys in `PLUMBING`."""
    seeds: list[int] = field(default_factory=list)
    spread: float | None = None
    """Standard error over the seeds, in bits/dim; None for one run."""

    @property
    def best(self) -> tuple[float | None, str]:
        """The lowest test bits/dim, or nats on continuous data, and the kind of this number."""
        key, _ = unit(self.metrics)
        found = [(self.metrics.get(f"test/{key}"), str(self.metrics.get("kind")))]
        for name, value in self.metrics.items():
            if name.startswith(BOUNDS) and name.endswith(f"/{key}"):
                found.append((value, name.partition("/")[0]))
        known = [(value, kind) for value, kind in found if value is not None]
        return min(known) if known else (None, "no density")

    @property
    def error(self) -> float | None:
        """Standard error of `best`: over the seeds, or for a single run over the test images."""
        if self.spread is not None:
            return self.spread
        (key, _), (value, kind) = unit(self.metrics), self.best
        prefix = kind if self.metrics.get(f"{kind}/{key}", math.nan) == value else "test"
        return self.metrics.get(f"{prefix}/{key}_se")

    @property
    def data(self) -> str:
        """Name of the data set, with the binarization or the target density."""
        return data_name(self.metrics)


def read_runs(folders: Iterable[str | Path]) -> tuple[list[Entry], list[Path]]:
    """Return the finished runs below the folders, newest first, and the paths of unfinished runs.

    Raises:
        GdlError: A folder does not exist.
    """
    finished, unfinished = [], []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise GdlError(f"{folder} is not a folder: give one that holds runs, e.g. outputs/.")
        for path in newest_runs(folder):
            metrics = Run(path).metrics()
            if "model" not in metrics:
                unfinished.append(path)
                continue
            config = read_config(path)
            kept = {
                k: v for k, v in config.items() if k != "seed" and not f"{k}.".startswith(PLUMBING)
            }
            name = str(path.relative_to(folder)) if path != folder else path.name
            seeds = [metrics["seed"]] if "seed" in metrics else []
            finished.append(Entry(name, [path], metrics, kept, seeds))
    return finished, unfinished


def select(entries: Sequence[Entry], where: Sequence[str]) -> list[Entry]:
    """Return the entries that match all filters, e.g. ["model=glow,nice", "data.bits=5"].

    A filter is KEY=VALUE or KEY=VALUE,VALUE. The key is one of metrics.json (model, data, kind,
    seed, ...) or of the configuration.

    Raises:
        GdlError: No run has such a key.
    """
    for key, _, wanted in (w.partition("=") for w in where):
        values = [e.metrics.get(key, e.config.get(key)) for e in entries]
        if entries and all(v is None for v in values):
            raise GdlError(
                f"No run here has {key}: filter by model, data, kind, seed or a key of the runs' "
                "configuration such as model.optimizer.lr."
            )
        choices = wanted.split(",")
        entries = [e for e, v in zip(entries, values, strict=True) if str(v) in choices]
    return list(entries)


def group_seeds(entries: Sequence[Entry]) -> list[Entry]:
    """Merge runs that differ in their seed only, into means with a standard error.

    Where a seed was run several times, only the newest run counts.
    """
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        what = {"model": entry.metrics["model"], "data": entry.data, **entry.config}
        key = json.dumps(what, sort_keys=True, default=str)
        if not set(entry.seeds) & {s for e in groups[key] for s in e.seeds} or not entry.seeds:
            groups[key].append(entry)
    return [_merge(group) if len(group) > 1 else group[0] for group in groups.values()]


def _merge(group: Sequence[Entry]) -> Entry:
    first, keys = group[0], set.intersection(*(set(e.metrics) for e in group))
    numbers = {k for k in keys if all(isinstance(e.metrics[k], int | float) for e in group)}
    metrics = {k: first.metrics[k] for k in keys if k not in numbers}
    metrics |= {k: statistics.fmean(e.metrics[k] for e in group) for k in numbers}
    paths = [path for e in sorted(group, key=lambda e: e.seeds) for path in e.paths]
    merged = Entry(first.name, paths, metrics, first.config)
    merged.seeds = sorted(s for e in group for s in e.seeds)
    if merged.best[0] is not None:
        values = [b for e in group if (b := e.best[0]) is not None]
        merged.spread = statistics.stdev(values) / len(values) ** 0.5
    return merged


def differences(entries: Sequence[Entry]) -> list[str]:
    """Return, for each entry, the settings that differ from other entries of its model and data.

    A setting is listed as key=value if its value is not the most common one.
    """
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.metrics["model"], entry.data].append(entry)
    common = {}
    for of, group in groups.items():
        keys = {k for e in group for k in e.config}
        counts = {k: Counter(_text(e.config.get(k)) for e in group) for k in keys}
        common[of] = {k: c.most_common(1)[0][0] for k, c in counts.items() if len(c) > 1}
    out = []
    for entry in entries:
        usual = common[entry.metrics["model"], entry.data]
        own = {k: v for k in usual if (v := _text(entry.config.get(k))) != usual[k]}
        short = Counter(k.rpartition(".")[2] for k in own)
        names = {k: k.rpartition(".")[2] if short[k.rpartition(".")[2]] == 1 else k for k in own}
        out.append(" ".join(f"{names[k]}={v}" for k, v in sorted(own.items())))
    return out


def pareto(entries: Sequence[Entry], cost: str) -> set[int]:
    """Return the indices of the Pareto-optimal entries of each data set.

    An entry is Pareto-optimal if no other entry on its data set is at least as good in `best` and in
    the cost, and better in one of them.
    """
    points = [
        (i, e.data, _or_nan(e.best[0]), _or_nan(e.metrics.get(cost)))
        for i, e in enumerate(entries)
    ]
    known = [p for p in points if math.isfinite(p[2]) and math.isfinite(p[3])]

    def dominates(a: Sequence[Any], b: Sequence[Any]) -> bool:
        return a[1] == b[1] and a[2] <= b[2] and a[3] <= b[3] and a[2:] != b[2:]

    return {b[0] for b in known if not any(dominates(a, b) for a in known)}


def ranked(entries: Iterable[Entry]) -> list[Entry]:
    """Sort by data set, then by result, the best first; entries without a density come last."""

    def rank(entry: Entry) -> tuple[str, bool, float, str]:
        value = _or_nan(entry.best[0])
        missing = math.isnan(value)
        return entry.data, missing, 0.0 if missing else value, entry.name

    return sorted(entries, key=rank)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
