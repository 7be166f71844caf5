"""Tables of restored images: the runs on the same data and corruption, and the baselines once."""

from collections.abc import Sequence
from typing import Any

from gdl.comparison.entries import Entry
from gdl.comparison.markdown import costs_of, markdown_section
from gdl.comparison.ranking import by_data, ranked
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.restored_numbers import baselines_of, cells, name_of, restored
from gdl.runs.metrics import data_name

__all__ = ["restoration_sections", "restoration_tables"]

ABOUT = (
    "higher is better; ± is the standard error over the test images; settings of baselines are chosen "
    "on validation images"
)

Row = tuple[int | None, str, list[str]]
"""The index of a run, None for a baseline; the method; the cells."""


def _by_corruption(runs: Sequence[dict[str, Any]]) -> dict[str, tuple[list[str], list[Row]]]:
    """Return a table for each corruption, columns and rows, the highest PSNR first.

    Baselines are from the first run that has them: they are the same for all runs on the same data.

    Args:
        runs: The metrics of runs on the same data.
    """
    known = [restored(metrics) for metrics in runs]
    out = {}
    for corruption in dict.fromkeys(name for found in known for name in found):
        entries: dict[str, dict[str, float]] = {}
        of_run: dict[str, tuple[int | None, str]] = {}
        for i, found in enumerate(known):
            methods = found.get(corruption, {})
            own = {m: n for m, n in methods.items() if m not in baselines_of(methods)}
            for method, numbers in own.items():
                entries[f"{i}/{method}"] = numbers
                of_run[f"{i}/{method}"] = i, method
            for method, numbers in baselines_of(methods).items():
                entries.setdefault(method, numbers)
                of_run[method] = None, name_of(method, numbers)
        columns, rows = cells(entries)
        out[corruption] = columns, [(*of_run[key], row) for key, row in rows.items()]
    return out


def restoration_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return a table for each data and corruption that runs have been measured with."""
    entries, out = ranked(entries), []
    for group in by_data(entries):
        runs = [entries[i] for i in group]
        for corruption, (names, rows) in _by_corruption([r.metrics for r in runs]).items():
            title = f"{runs[0].data}: restoration of {corruption}"
            columns = ["run", "method", *names, DIFFERS, PATH]
            lines = []
            for i, method, cells_of in rows:
                run = runs[i] if i is not None else None
                named = method if run is None else _of_model(run.model, method)
                lines.append(["-" if run is None else run.id, named, *cells_of, "", ""])
            out.append(ComparisonTable(title, ABOUT, columns, lines))
    return out


def restoration_sections(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sections of RESULTS.md on records of runs on the same data, one per corruption.

    Args:
        records: See `gdl.comparison.results`.
    """
    ordered = sorted(records, key=lambda r: (r["metrics"]["model"], r["command"]))
    parts = []
    for corruption, (names, rows) in _by_corruption([r["metrics"] for r in ordered]).items():
        title = f"### {data_name(ordered[0]['metrics'])}: restoration of {corruption}"
        lines = [["method", *names, "minutes", "command"]]
        for i, method, cells_of in rows:
            record = ordered[i] if i is not None else None
            named = method if record is None else _of_model(record["metrics"]["model"], method)
            lines.append([named, *cells_of, *costs_of(record)])
        parts.append(markdown_section(title, ABOUT, lines))
    return parts


def _of_model(model: str, method: str) -> str:
    return model if method == "model" else name_of(method).replace("model", model)
