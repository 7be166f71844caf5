"""Many runs as tables in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gdl.compare import Entry, differences, pareto, ranked

__all__ = ["print_board"]


def print_board(entries: Sequence[Entry], unfinished: Sequence[Path] = ()) -> None:
    """Print one table for each data set, the best run first.

    A dagger marks numbers that no other run of the table beats at the same or a lower cost.
    """
    entries = ranked(entries)
    costs = {"parameters": "params", "seconds": "train_seconds", "ms a sample": "sampling_ms"}
    efficient = {name: pareto(entries, key) for name, key in costs.items()}
    differing = differences(entries)
    console = Console()
    table = None
    for i, e in enumerate(entries):
        if table is None or e.data != entries[i - 1].data:
            if table is not None:
                console.print(table)
            table = Table(title=e.data, title_justify="left")
            unit = "bits/dim" if "test/bpd" in e.metrics else "nats"
            for column in ("model", f"test {unit}", "kind", *costs, "seeds", "differs in", "run"):
                justify = "right" if column in costs or unit in column else "left"
                table.add_column(column, justify=justify, overflow="fold")
        value, kind = e.best
        spread = "" if e.spread is None else f" ± {e.spread:.4f}"
        shown = "-" if value is None else f"{value:.4f}{spread}"
        paid = [
            _amount(e.metrics.get(key)) + ("†" if i in efficient[name] else "")
            for name, key in costs.items()
        ]
        seeds = ",".join(map(str, e.seeds)) or "-"
        table.add_row(e.metrics["model"], shown, kind, *paid, seeds, differing[i], e.name)
    if table is not None:
        console.print(table)
        console.print("† no run on these data is better and costs less")
    if unfinished:
        print(f"{len(unfinished)} without results (running, interrupted or failed):")
        for path in unfinished:
            print(f"  {path}")


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
