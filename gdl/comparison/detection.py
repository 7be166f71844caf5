"""Tables of how well scores tell foreign images from a run's own: rows are runs, columns scores."""

from collections.abc import Sequence
from typing import Any

from gdl.comparison.entries import Entry, finite
from gdl.comparison.markdown import markdown_table
from gdl.comparison.ranking import by_data, ranked
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.runs.metrics import data_name

__all__ = ["auroc_of", "detection_sections", "detection_tables"]

PREFIX, SUFFIX = "test/ood/", "/auroc"
"""Of the keys of `gdl.evaluation.ood`, test/ood/{data}/{score}/auroc."""


def auroc_of(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the finite areas under the ROC curve by foreign data and score, in the order of the keys.

    >>> auroc_of({"test/ood/mnist/likelihood/auroc": 0.25, "test/ood/mnist/images": 10, "test/nll": 3})
    {'mnist': {'likelihood': 0.25}}
    """
    found: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        if key.startswith(PREFIX) and key.endswith(SUFFIX) and finite(value) is not None:
            foreign, _, score = key.removeprefix(PREFIX).removesuffix(SUFFIX).rpartition("/")
            found.setdefault(foreign, {})[score] = value
    return found


def _foreign_tables(
    runs: Sequence[dict[str, Any]], intervals: bool = False
) -> dict[str, tuple[list[str], list[tuple[int, list[str]]]]]:
    """Return a table for each foreign data set: the scores, and rows of a run's index and its cells.

    Args:
        runs: The metrics of runs on the same data.
        intervals: Whether a cell also holds the 95 % interval of its number.
    """
    known = [auroc_of(metrics) for metrics in runs]
    out = {}
    for foreign in dict.fromkeys(name for found in known for name in found):
        has = [(i, found[foreign]) for i, found in enumerate(known) if foreign in found]
        scores = list(dict.fromkeys(score for _, found in has for score in found))
        rows = [
            (i, [_cell(runs[i], foreign, score, intervals) for score in scores]) for i, _ in has
        ]
        out[foreign] = scores, rows
    return out


def _cell(metrics: dict[str, Any], foreign: str, score: str, interval: bool) -> str:
    key = f"{PREFIX}{foreign}/{score}{SUFFIX}"
    value, low, high = (finite(metrics.get(f"{key}{end}")) for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    if not interval or low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def detection_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return a table for each pair of data, of the runs that have been measured with measure=ood."""
    entries, out = ranked(entries), []
    for group in by_data(entries):
        runs = [entries[i] for i in group]
        for foreign, (scores, rows) in _foreign_tables([r.metrics for r in runs]).items():
            title = f"{runs[0].data}: AUROC of telling {foreign} from the test images"
            columns = ["run", "model", *scores, DIFFERS, PATH]
            lines = [[runs[i].id, runs[i].model, *cells, "", ""] for i, cells in rows]
            out.append(ComparisonTable(title, "higher is better, 0.5 is chance", columns, lines))
    return out


def detection_sections(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sections of RESULTS.md on records of runs on the same data, one for each other data.

    Args:
        records: See `gdl.comparison.results`.
    """
    ordered = sorted(records, key=lambda r: (r["metrics"]["model"], r["command"]))
    found = _foreign_tables([r["metrics"] for r in ordered], intervals=True)
    parts = []
    for foreign, (scores, rows) in found.items():
        title = (
            f"### {data_name(ordered[rows[0][0]]['metrics'])}: {foreign} as out of distribution"
        )
        about = "AUROC with 95 % intervals over the test images; higher is better, 0.5 is chance."
        lines = [["model", *scores, "command"]]
        for i, cells in rows:
            lines.append([ordered[i]["metrics"]["model"], *cells, f"`{ordered[i]['command']}`"])
        parts.append("\n".join([f"{title}\n", f"{about}\n", markdown_table(lines)]))
    return parts
