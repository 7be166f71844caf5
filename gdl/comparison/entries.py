"""The runs of a comparison: which are results, and what their numbers are."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gdl.comparison.settings import Settings, shown
from gdl.errors import GdlError
from gdl.runs.config import read_config
from gdl.runs.directory import Run
from gdl.runs.finding import newest_runs
from gdl.runs.metrics import BOUNDS, data_identity, data_title, not_whole, unit

__all__ = ["Entry", "LeftOut", "finite", "read_runs", "select"]

UNFINISHED = "without results (running, interrupted or failed)"
NO_RESULT = "trained or tested on a part of the data, so no result"
DAMAGED = "damaged"

UNREADABLE = (
    GdlError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
    yaml.YAMLError,
)
"""What reading a damaged file of a run raises."""


@dataclass
class Entry:
    """One row of a comparison: a run, or all runs that differ in their seed only."""

    name: str
    paths: list[Path]
    """The run directories, in the order of the seeds."""
    metrics: dict[str, Any]
    settings: Settings
    seeds: list[int] = field(default_factory=list)
    spread: float | None = None
    """Standard error of `best` over the seeds; None for one run."""
    spreads: dict[str, float] = field(default_factory=dict)
    """Standard errors over the seeds of all numbers of `metrics`; empty for one run."""
    id: str = ""
    """A short name of the (first) run, unique among the runs that were read with it."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.metrics["model"])

    @property
    def data(self) -> str:
        """Name of the data, which tells them from other data."""
        return data_title(self.metrics)

    @property
    def identity(self) -> str:
        """What the data are; only entries with equal ones are compared."""
        return data_identity(self.metrics)

    @property
    def best_key(self) -> str | None:
        """Key of the lowest finite result: test bits/dim, or a bound; None if there is none."""
        key, _ = unit(self.metrics)
        bounds = [k for k in self.metrics if k.startswith(BOUNDS) and k.endswith(f"/{key}")]
        known = [k for k in (f"test/{key}", *bounds) if finite(self.metrics.get(k)) is not None]
        return min(known, key=lambda k: self.metrics[k], default=None)

    @property
    def best(self) -> tuple[float | None, str]:
        """The lowest test bits/dim, or nats on continuous data, and the kind of this number."""
        key, kind = self.best_key, self.metrics.get("kind")
        if key is None:
            return None, "no density" if kind is None else str(kind)
        prefix = key.partition("/")[0]
        return self.metrics[key], str(kind) if prefix == "test" else prefix

    @property
    def error(self) -> float | None:
        """Standard error of `best`: over the seeds, or for a single run over the test images."""
        if self.spread is not None:
            return self.spread
        return finite(self.metrics.get(f"{self.best_key}_se"))


@dataclass
class LeftOut:
    """A run that is in no table, and why."""

    path: Path
    why: str
    detail: str = ""


def read_runs(folders: Iterable[str | Path]) -> tuple[list[Entry], list[LeftOut]]:
    """Return the runs below the folders that have a result, newest first, and the others.

    Others are unfinished, damaged, or tested on a part of the test set.

    Raises:
        GdlError: A folder does not exist.
    """
    found: dict[Path, Entry | LeftOut] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise GdlError(f"{folder} is not a folder: give one that holds runs, e.g. outputs/.")
        for path in newest_runs(folder):
            name = str(path.relative_to(folder)) if path != folder else path.name
            found.setdefault(path.resolve(), _read(path, name))
    for (_, run), short in zip(found.items(), _short_ids(found), strict=True):
        if isinstance(run, Entry):
            run.id = short
    entries = [run for run in found.values() if isinstance(run, Entry)]
    return entries, [run for run in found.values() if isinstance(run, LeftOut)]


def _read(path: Path, name: str) -> Entry | LeftOut:
    try:
        metrics, config = Run(path).metrics(), read_config(path)
        Run(path).record_facts()
        if "model" not in metrics:
            return LeftOut(path, UNFINISHED)
        trainer = {k[8:]: v for k, v in config.items() if k.startswith("trainer.")}
        if part := not_whole(metrics, trainer):
            return LeftOut(path, NO_RESULT, part)
        seeds = [metrics["seed"]] if "seed" in metrics else []
        return Entry(name, [path], metrics, Settings.of(config), seeds)
    except UNREADABLE as e:
        return LeftOut(path, DAMAGED, (str(e).splitlines() or [type(e).__name__])[0])


def _short_ids(paths: Iterable[Path]) -> list[str]:
    """Return a hexadecimal name of each path: at least 4 digits, and as many as make all unique.

    A name depends on the path, so that it stays when other runs are added.
    """
    full = [
        hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest() for path in paths
    ]
    digits = next(n for n in range(4, 65) if n == 64 or len({f[:n] for f in full}) == len(full))
    return [f[:digits] for f in full]


def select(entries: Sequence[Entry], where: Sequence[str]) -> list[Entry]:
    """Return the entries that match all filters, e.g. ["model=glow,nice", "data.bits=5"].

    A filter is KEY=VALUE or KEY=VALUE,VALUE. The key is one of metrics.json (model, data, kind,
    seed, ...) or of the configuration, or "run", whose values are short names of runs.

    Raises:
        GdlError: No run has such a key.
    """
    for key, _, wanted in (w.partition("=") for w in where):
        values = [_value(e, key) for e in entries]
        if entries and all(v is None for v in values):
            raise GdlError(
                f"No run here has {key}: filter by run, model, data, kind, seed or a key of the "
                "runs' configuration such as model.optimizer.lr."
            )
        choices = wanted.split(",")
        entries = [
            e
            for e, v in zip(entries, values, strict=True)
            if {str(v), shown(v)} & {*choices, wanted}
        ]
    return list(entries)


def _value(entry: Entry, key: str) -> Any:
    return entry.id if key == "run" else entry.metrics.get(key, entry.settings.values.get(key))


def finite(value: Any) -> float | None:
    """Return a finite number; None if the value is something else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None
