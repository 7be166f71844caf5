"""Numbers of runs against a setting that was swept, with intervals over seeds."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gdl.comparison.entries import Entry, finite
from gdl.comparison.ranking import by_data, ranked
from gdl.comparison.settings import Settings, differences, short, shown
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.errors import GdlError
from gdl.plots import save_figure
from gdl.plots.sweeps import Interval, SweepLine, sweep_figure

__all__ = ["interval", "sweep_lines", "sweep_tables", "write_sweep_figures"]

PLANE = ("test/rate", "test/distortion")
ALONE = (*PLANE, "test/nll", "active_units")
"""What is shown of runs that were not measured with measure=disentanglement."""

OF_FACTORS = "disentanglement/"


def sweep_lines(entries: Sequence[Entry], key: str, metrics: Sequence[str]) -> list[SweepLine]:
    """Return a line for each group of runs that differ only in a setting and in the seed.

    Where a seed was run several times with the same settings, only the newest run counts.

    Args:
        entries: Single runs on the same data, the newest first.
        key: The setting, e.g. "model.beta". Runs without it are left out.
        metrics: Keys of metrics.json.

    Returns:
        Lines whose points are sorted by the value of the setting.
    """
    groups: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in (e for e in entries if key in e.settings.values):
        rest = _others(entry, key)
        line = json.dumps([entry.model, rest], sort_keys=True, default=str)
        value = entry.settings.values[key]
        same = groups[line][shown(value if finite(value) is None else float(value))]
        if not set(entry.seeds) & {s for e in same for s in e.seeds} or not entry.seeds:
            same.append(entry)
    firsts = [next(iter(line.values()))[0] for line in groups.values()]
    rests = differences([(e.model, Settings(_others(e, key))) for e in firsts])
    found = zip(groups.values(), firsts, rests, strict=True)
    lines = []
    for line, first, differs in found:
        points = [
            (same[0].settings.values[key], {m: interval(_numbers(same, m)) for m in metrics})
            for same in line.values()
        ]
        lines.append(SweepLine(first.model, short(differs), sorted(points, key=_order)))
    return lines


def _others(entry: Entry, key: str) -> dict[str, Any]:
    """Return the settings that do not follow another one, without that of the key."""
    settings = entry.settings
    return {k: v for k, v in settings.values.items() if k != key and k not in settings.following}


def interval(numbers: Iterable[float]) -> Interval | None:
    """Return the mean of some runs with its 95 % interval by Student's t; None without a number.

    Raises:
        GdlError: scipy, which scikit-learn brings along, is not installed.
    """
    values = list(numbers)
    if not values:
        return None
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Interval(mean, None, 1)
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / n**0.5
    return Interval(mean, half, n)


def sweep_tables(
    entries: Sequence[Entry], key: str, chosen: Sequence[str]
) -> list[ComparisonTable]:
    """Return the numbers of `sweep_lines`, a row each, as a table for each data set.

    Args:
        entries: Single runs.
        key: The setting.
        chosen: Keys of metrics.json; empty for those of `measure=disentanglement`, with rate and
            distortion.

    Raises:
        GdlError: No run has the setting, or none of the numbers.
    """
    tables = []
    for data, keys, lines in _by_data(entries, key, chosen):
        values = sorted({p[0]: p for line in lines for p in line.points}.values(), key=_order)
        swept = [f"{key.rpartition('.')[2]}={shown(x)}" for x, _ in values]
        rows = []
        for line in lines:
            at = dict(line.points)
            for k in keys:
                cells = [_cell(at[x][k]) if x in at else "-" for x, _ in values]
                rows.append([_short(k), line.model, *cells, _seeds(line), line.differs, ""])
        columns = ["number", "model", *swept, "seeds", DIFFERS, PATH]
        about = "mean over the seeds, and its 95 % interval by Student's t"
        tables.append(ComparisonTable(f"{data}: against {key}", about, columns, rows))
    return tables


def write_sweep_figures(
    entries: Sequence[Entry], key: str, chosen: Sequence[str], folder: Path
) -> list[Path]:
    """Write the numbers of `sweep_lines` as diagrams, with the plane of rate and distortion.

    Args:
        entries: Single runs.
        key: The setting.
        chosen: Keys of metrics.json, see `sweep_tables`.
        folder: A file for each data set goes there, e.g. curve-model.beta.png.

    Raises:
        GdlError: No run has the setting, or none of the numbers.
    """
    found, paths = list(_by_data(entries, key, chosen)), []
    for i, (data, keys, lines) in enumerate(found):
        path = folder / f"curve-{key}{f'-{i + 1}' if len(found) > 1 else ''}.png"
        names = {k: _short(k) for k in keys if k not in PLANE or not _has_plane(lines)}
        figure = sweep_figure(lines, key, names, PLANE if _has_plane(lines) else None, data)
        save_figure(figure, path)
        paths.append(path)
    return paths


def _by_data(
    entries: Sequence[Entry], key: str, chosen: Sequence[str]
) -> Iterable[tuple[str, list[str], list[SweepLine]]]:
    """Yield name of the data, keys of the numbers that runs have, and lines, for each data set."""
    has = [e for e in entries if key in e.settings.values]
    if not has:
        raise GdlError(
            f"No run here has the setting {key}: curve= takes a key of their configuration, e.g. "
            "curve=model.beta."
        )
    age = {id(e): i for i, e in enumerate(entries)}
    any_shown = False
    for group in by_data(rows := ranked(has)):
        members = sorted((rows[i] for i in group), key=lambda e: age[id(e)])
        known = {k for e in members for k, v in e.metrics.items() if finite(v) is not None}
        keys = [k for k in chosen or _default(known) if k in known]
        if keys:
            any_shown = True
            yield (
                members[0].data,
                keys,
                sweep_lines(members, key, [*dict.fromkeys([*keys, *PLANE])]),
            )
    if not any_shown:
        raise GdlError(
            f"None of the runs with {key} has {' or '.join(chosen or ALONE)} in metrics.json: name "
            "other numbers as metrics=[test/nll], or measure the runs with gdl evaluate."
        )


def _default(known: set[str]) -> list[str]:
    # of one factor are disentanglement/METRIC/FACTOR
    found = sorted(k for k in known if k.startswith(OF_FACTORS) and not k.endswith("_se"))
    of_factors = [k for k in found if k.count("/") == 1 and k != f"{OF_FACTORS}images"]
    return [*PLANE, *of_factors] if of_factors else list(ALONE)


def _numbers(entries: Sequence[Entry], key: str) -> list[float]:
    return [v for e in entries if (v := finite(e.metrics.get(key))) is not None]


def _order(point: tuple[Any, Any]) -> tuple[bool, float, str]:
    number = finite(point[0])
    return number is None, 0.0 if number is None else number, shown(point[0])


def _has_plane(lines: Sequence[SweepLine]) -> bool:
    return any(all(found[k] for k in PLANE) for line in lines for _, found in line.points)


def _short(key: str) -> str:
    return key.removeprefix("test/").removeprefix(OF_FACTORS)


def _seeds(line: SweepLine) -> str:
    """Return how many runs a value of the setting has at most."""
    return str(max((i.n for _, found in line.points for i in found.values() if i), default=0))


def _cell(found: Interval | None) -> str:
    if found is None:
        return "-"
    if found.half is None:
        return f"{found.mean:.4g}"
    return f"{found.mean:.4g} ({found.mean - found.half:.4g} to {found.mean + found.half:.4g})"
