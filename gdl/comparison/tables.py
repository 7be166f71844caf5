"""Comparison tables of many runs, one per data set, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gdl.comparison.entries import Entry, differences, pareto, ranked
from gdl.files import for_shell
from gdl.runs.metrics import COSTS, unit

__all__ = ["ComparisonTable", "comparison_tables", "print_tables"]


@dataclass
class ComparisonTable:
    """The table of the runs on one data set, the best first, with cells as text."""

    data: str
    columns: list[str]
    rows: list[list[str]]


def comparison_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return one table for each data set.

    A dagger marks a cost for which the run is Pareto-optimal, see `gdl.comparison.entries.pareto`.
    """
    entries = ranked(entries)
    efficient = {key: pareto(entries, key) for key in COSTS}
    differing = differences(entries)
    out = []
    for data, group in groupby(range(len(entries)), key=lambda i: entries[i].data):
        rows = list(group)
        _, name = unit(entries[rows[0]].metrics)
        columns = ["model", f"test {name}", "kind", *COSTS.values(), "seeds", "differs in", "run"]
        table = ComparisonTable(data, columns, [])
        for i in rows:
            paid = [
                _amount(entries[i].metrics.get(key)) + ("†" if i in efficient[key] else "")
                for key in COSTS
            ]
            table.rows.append(_row(entries[i], paid, differing[i]))
        out.append(table)
    return out


def print_tables(found: Sequence[ComparisonTable], unfinished: Sequence[Path] = ()) -> None:
    """Print the tables, and the paths of the runs without results."""
    console = Console()
    for shown in found:
        table = Table(title=shown.data, title_justify="left")
        for column in shown.columns:
            number = column in COSTS.values() or column.startswith("test ")
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in shown.rows:
            table.add_row(*row)
        console.print(table)
    if found:
        console.print("† no run on these data is better and costs less")
    if unfinished:
        print(f"{len(unfinished)} without results (running, interrupted or failed):")
        for path in unfinished:
            print(f"  {for_shell(path)}")


def _row(entry: Entry, paid: Sequence[str], differing: str) -> list[str]:
    value, kind = entry.best
    spread = "" if entry.spread is None else f" ± {entry.spread:.4f}"
    shown = "-" if value is None else f"{value:.4f}{spread}"
    seeds = ",".join(map(str, entry.seeds)) or "-"
    return [entry.metrics["model"], shown, kind, *paid, seeds, differing, entry.name]


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
