"""Tables of translations: the runs on the same pairs, and the baselines once."""

from collections.abc import Sequence
from typing import Any

from gdl.comparison.entries import Entry
from gdl.comparison.markdown import costs_of, markdown_section
from gdl.comparison.ranking import by_data, ranked
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.runs.metrics import data_name
from gdl.runs.translation_numbers import (
    ABOUT,
    columns_of,
    is_baseline,
    method_name,
    row,
    translated,
)

__all__ = ["translation_sections", "translation_tables"]

Row = tuple[int | None, str, list[str]]
"""The index of a run, None for a baseline; the method; the cells."""


def _by_split(runs: Sequence[dict[str, Any]]) -> dict[str, tuple[list[str], list[Row]]]:
    """Return a table for each split, columns and rows, the highest exact match first.

    Baselines are from the first run that has them: they are the same for all runs on the same data.

    Args:
        runs: The metrics of runs on the same data.
    """
    known = [translated(metrics) for metrics in runs]
    out = {}
    for split in dict.fromkeys(name for found in known for name in found):
        found: dict[tuple[int | None, str], dict[str, float]] = {}
        for i, of_run in enumerate(known):
            for method, numbers in of_run.get(split, {}).items():
                found.setdefault((None if is_baseline(method) else i, method), numbers)
        columns = columns_of(found.values())
        order = sorted(found, key=lambda key: -found[key].get("exact", 0.0))
        out[split] = [*columns.values()], [(*key, row(found[key], columns)) for key in order]
    return out


def translation_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return a table for each data and split whose pairs runs have translated."""
    entries, out = ranked(entries), []
    for group in by_data(entries):
        runs = [entries[i] for i in group]
        for split, (names, rows) in _by_split([r.metrics for r in runs]).items():
            columns = ["run", "method", *names, DIFFERS, PATH]
            lines = []
            for i, method, cells in rows:
                of_run = ["-", method_name(method)]
                if i is not None:
                    of_run = [runs[i].id, method_name(method, runs[i].model)]
                lines.append([*of_run, *cells, "", ""])
            title = f"{runs[0].data}: translation of the {split} pairs"
            out.append(ComparisonTable(title, ABOUT, columns, lines))
    return out


def translation_sections(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sections of RESULTS.md on records of runs on the same data, one per split.

    Args:
        records: See `gdl.comparison.results`.
    """
    ordered = sorted(records, key=lambda r: (r["metrics"]["model"], r["command"]))
    parts = []
    for split, (names, rows) in _by_split([r["metrics"] for r in ordered]).items():
        title = f"### {data_name(ordered[0]['metrics'])}: translation of the {split} pairs"
        lines = [["method", *names, "minutes", "command"]]
        for i, method, cells in rows:
            record = ordered[i] if i is not None else None
            named = method_name(method, record["metrics"]["model"] if record else "model")
            lines.append([named, *cells, *costs_of(record)])
        parts.append(markdown_section(title, ABOUT, lines))
    return parts
