"""Tables of disentanglement: rows are runs, over their seeds, and columns are metrics."""

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from gdl.comparison.entries import Entry, finite
from gdl.comparison.markdown import markdown_table
from gdl.comparison.ranking import by_data, differs_in, ranked
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.runs.metrics import DISENTANGLEMENT, data_name

__all__ = ["disentanglement_sections", "disentanglement_tables", "scores_of"]

ABOUT = "higher is better, at most 1; of gaussian_total_correlation (nats) lower is better"


def scores_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of measure=disentanglement by metric, without errors and details.

    >>> scores_of({"disentanglement/sap_r2": 0.25, "disentanglement/sap_r2_se": 0.1, "test/nll": 3})
    {'sap_r2': 0.25}
    """
    found = {}
    for key, value in metrics.items():
        name = key.removeprefix(DISENTANGLEMENT)
        detail = "/" in name or name.endswith("_se") or name == "images"
        if name != key and not detail and finite(value) is not None:
            found[name] = value
    return found


def disentanglement_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return a table for each data set, of the runs that have been measured, the highest gap first.

    Args:
        entries: Runs, those that differ in their seed only merged by `group_seeds` or not. Of merged
            ones the cells hold the mean and its standard error over the seeds.
    """
    has = [entry for entry in ranked(entries) if scores_of(entry.metrics)]
    differing, out = differs_in(has), []
    for group in by_data(has):
        names = _names([has[i].metrics for i in group])
        rows = []
        for i in sorted(group, key=lambda i: _rank(has[i].metrics)):
            entry, seeds = has[i], ",".join(map(str, has[i].seeds)) or "-"
            cells = [_cell(entry.metrics, name, entry.spreads) for name in names]
            rows.append([entry.id, entry.model, *cells, seeds, differing[i], ""])
        # words below each other, so that a table of many metrics fits
        columns = ["run", "model", *(n.replace("_", " ") for n in names), "seeds", DIFFERS, PATH]
        title = f"{has[group[0]].data}: disentanglement"
        out.append(ComparisonTable(title, ABOUT, columns, rows))
    return out


def disentanglement_sections(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the section of RESULTS.md on records of runs on the same data; none if no run has scores.

    Runs whose commands differ in the seed only share a row.

    Args:
        records: See `gdl.comparison.results`.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if scores_of(record["metrics"]):
            command = " ".join(re.sub(r"(?<= )seed=\d+", "", record["command"]).split())
            groups[record["metrics"]["model"], command].append(record["metrics"])
    if not groups:
        return []
    means = {what: _means(runs) for what, runs in groups.items()}
    names = _names([mean for mean, _ in means.values()])
    lines = [["model", "seeds", *names, "command"]]
    for what in sorted(means, key=lambda what: _rank(means[what][0])):
        (model, command), (mean, errors) = what, means[what]
        cells = [_cell(mean, name, errors) for name in names]
        lines.append([model, str(len(groups[what])), *cells, f"`{command}`"])
    first = next(iter(groups.values()))[0]
    about = f"{ABOUT}. ± is the standard error over the seeds, of one seed over the images."
    title = f"### {data_name(first)}: disentanglement"
    return ["\n".join([f"{title}\n", f"{about}\n", markdown_table(lines)])]


def _means(runs: Sequence[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the means of the numbers that all runs have, and standard errors, by key."""
    keys = [DISENTANGLEMENT + name for name in scores_of(runs[0])]
    keys = [key for key in keys if all(finite(m.get(key)) is not None for m in runs)]
    if len(runs) == 1:
        errors = {key: runs[0].get(f"{key}_se") for key in keys}
        return {key: runs[0][key] for key in keys}, {k: e for k, e in errors.items() if e}
    values = {key: [m[key] for m in runs] for key in keys}
    errors = {key: statistics.stdev(found) / len(runs) ** 0.5 for key, found in values.items()}
    return {key: statistics.fmean(found) for key, found in values.items()}, errors


def _names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics that a run has, in the order of the first runs."""
    return list(dict.fromkeys(name for metrics in runs for name in scores_of(metrics)))


def _rank(metrics: Mapping[str, Any]) -> float:
    """Return what sorts runs: minus the gap of histograms, which every measured run has."""
    gaps = (v for name, v in scores_of(metrics).items() if name.startswith("mig_hist"))
    return -next(gaps, 0.0)


def _cell(metrics: Mapping[str, Any], name: str, errors: Mapping[str, float]) -> str:
    key = DISENTANGLEMENT + name
    value, error = finite(metrics.get(key)), finite(errors.get(key))
    if value is None:
        return "-"
    digits = 1 if name == "active_units" else 3
    text = str(value) if isinstance(value, int) else f"{value:.{digits}f}"
    return text if error is None else f"{text} ± {error:.{digits}f}"
