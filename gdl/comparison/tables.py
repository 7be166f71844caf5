"""Comparison tables of many runs, one for each data set, with cells as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gdl.comparison.codes import KIND, Code, codes_of
from gdl.comparison.entries import Entry
from gdl.comparison.ranking import by_data, differs_in, pareto, ranked
from gdl.runs.metrics import COSTS, STEADY_COSTS, about_data, unit

__all__ = ["DIFFERS", "MARK", "PATH", "ComparisonTable", "amount", "comparison_tables"]

MARK = "†"
"""Stands beside a cost for which a run is Pareto-optimal."""

DIFFERS, PATH = "differs in", "path"
"""Columns of settings and of run directories, which can be long."""


@dataclass
class ComparisonTable:
    """The table of the runs on one data set, the best first, with the coders among them."""

    data: str
    about: str
    """Shape, levels and sizes of the splits."""
    columns: list[str]
    rows: list[list[str]]


def comparison_tables(
    entries: Sequence[Entry], coders: Sequence[dict[str, Any]] = ()
) -> list[ComparisonTable]:
    """Return one table for each identity of data.

    A dagger marks a cost for which the run is Pareto-optimal, see `gdl.comparison.ranking.pareto`.
    General coders have a row, but no run and no costs, so they take no dagger from a run.

    Args:
        entries: The runs.
        coders: Records of coders, see `gdl.comparison.codes.known_codes`.
    """
    entries = ranked(entries)
    efficient = {key: pareto(entries, key) for key in STEADY_COSTS}
    differing = differs_in(entries)
    out = []
    for group in by_data(entries):
        first = entries[group[0]].metrics
        result = f"test {unit(first)[1]}"
        columns = [
            *("run", "model", result, "kind", *COSTS.values()),
            *("epochs", "steps", "seeds", DIFFERS, PATH),
        ]
        rows = []
        for i in group:
            marks = {key for key in STEADY_COSTS if i in efficient[key]}
            rows.append((entries[i].best[0], _row(entries[i], marks, differing[i])))
        codes = codes_of([{"metrics": entries[i].metrics} for i in group], coders)
        rows += [(code.bpd, _code_row(code)) for code in codes]
        rows = [row for _, row in sorted(rows, key=lambda r: math.inf if r[0] is None else r[0])]
        out.append(ComparisonTable(entries[group[0]].data, about_data(first), columns, rows))
    return out


def _row(entry: Entry, marks: set[str], differing: str) -> list[str]:
    value, kind = entry.best
    spread = "" if entry.spread is None else f" ± {entry.spread:.4f}"
    result = "-" if value is None else f"{value:.4f}{spread}"
    costs = [amount(entry.metrics.get(k)) + (MARK if k in marks else "") for k in COSTS]
    lengths = [amount(entry.metrics.get(k)) for k in ("epochs", "steps")]
    seeds = ",".join(map(str, entry.seeds)) or "-"
    paths = "\n".join(map(str, entry.paths))
    return [entry.id, entry.model, result, kind, *costs, *lengths, seeds, differing, paths]


def _code_row(code: Code) -> list[str]:
    costs_and_lengths = ["-"] * (len(COSTS) + len(("epochs", "steps", "seeds")))
    return ["-", code.title, f"{code.bpd:.4f}", KIND, *costs_and_lengths, "", ""]


def amount(value: float | None) -> str:
    """Return a cost as text, with three significant digits below 100.

    >>> amount(1234.5), amount(0.01234), amount(None)
    ('1,234', '0.0123', '-')
    """
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
