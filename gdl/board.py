"""Many runs as tables: in the terminal, or wherever else their text is to stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gdl.compare import Entry, differences, pareto, ranked

__all__ = ["Board", "boards", "print_boards"]

COSTS = {"parameters": "params", "seconds": "train_seconds", "ms a sample": "sampling_ms"}


@dataclass
class Board:
    """The runs on one data set, the best first, as text."""

    data: str
    columns: list[str]
    rows: list[list[str]]


def boards(entries: Sequence[Entry]) -> list[Board]:
    """Return one table for each data set.

    A dagger marks numbers that no other run of the table beats at the same or a lower cost.
    """
    entries = ranked(entries)
    efficient = {name: pareto(entries, key) for name, key in COSTS.items()}
    differing = differences(entries)
    out = []
    for data, group in groupby(range(len(entries)), key=lambda i: entries[i].data):
        rows = list(group)
        unit = "bits/dim" if "test/bpd" in entries[rows[0]].metrics else "nats"
        columns = ["model", f"test {unit}", "kind", *COSTS, "seeds", "differs in", "run"]
        board = Board(data, columns, [])
        for i in rows:
            paid = [
                _amount(entries[i].metrics.get(key)) + ("†" if i in efficient[name] else "")
                for name, key in COSTS.items()
            ]
            board.rows.append(_row(entries[i], paid, differing[i]))
        out.append(board)
    return out


def print_boards(found: Sequence[Board], unfinished: Sequence[Path] = ()) -> None:
    """Print the tables, and which runs have no results."""
    console = Console()
    for board in found:
        table = Table(title=board.data, title_justify="left")
        for column in board.columns:
            number = column in COSTS or column.startswith("test ")
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in board.rows:
            table.add_row(*row)
        console.print(table)
    if found:
        console.print("† no run on these data is better and costs less")
    if unfinished:
        print(f"{len(unfinished)} without results (running, interrupted or failed):")
        for path in unfinished:
            print(f"  {path}")


def _row(entry: Entry, paid: Sequence[str], differing: str) -> list[str]:
    value, kind = entry.best
    spread = "" if entry.spread is None else f" ± {entry.spread:.4f}"
    shown = "-" if value is None else f"{value:.4f}{spread}"
    seeds = ",".join(map(str, entry.seeds)) or "-"
    return [entry.metrics["model"], shown, kind, *paid, seeds, differing, entry.name]


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
