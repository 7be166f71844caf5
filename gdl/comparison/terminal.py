"""Prints comparison tables so that they fit the terminal and no word is broken."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gdl.comparison.entries import LeftOut
from gdl.comparison.tables import DIFFERS, MARK, PATH, ComparisonTable
from gdl.files import for_shell
from gdl.runs.metrics import COSTS

__all__ = ["print_tables"]

FIRST_TO_GO = (COSTS["sampling_ms"], "steps", "seeds", COSTS["train_seconds"])
"""Columns that are left out of a narrow terminal, in this order."""

READABLE = 30
"""Characters that a column of settings should have beside the others, else it goes below."""


@dataclass
class Layout:
    """Which columns a table shows, and how wide they are."""

    columns: list[str]
    widths: list[int]
    gap: int
    stacked: bool
    """Whether the ± of a result stands below it."""
    lacking: list[str]
    """Columns for which there is no room at all."""

    @property
    def total(self) -> int:
        """Characters of a line."""
        return sum(self.widths) + self.gap * (len(self.widths) - 1)


def print_tables(
    found: Sequence[ComparisonTable], left_out: Sequence[LeftOut] = (), paths: bool = False
) -> None:
    """Print the tables, and the runs that are in none of them.

    Args:
        found: The tables.
        left_out: Runs without a result that could be compared.
        paths: Whether to list the directory of each run below its table.
    """
    console = Console(highlight=False, markup=False)
    for table in found:
        _print_table(console, table, paths)
        print()
    if any(MARK in cell for table in found for row in table.rows for cell in row):
        console.print(f"{MARK} no run on these data is better and costs no more")
    of_seeds = [table for table in found if "±" not in table.about]
    if any(" ± " in cell for table in of_seeds for row in table.rows for cell in row):
        console.print("± standard error over the seeds")
    for why in dict.fromkeys(run.why for run in left_out):
        runs = [run for run in left_out if run.why == why]
        print(f"{len(runs)} {why}:")
        for run in runs:
            print(f"  {for_shell(run.path)}" + (f"  ({run.detail})" if run.detail else ""))


def _print_table(console: Console, table: ComparisonTable, paths: bool) -> None:
    layout = _layout(table, console.width)
    console.print(Text(table.data, "bold"))
    if table.about:
        console.print(Text(table.about, "dim"))
    heads = {
        name: textwrap.wrap(name, width, break_long_words=False)
        for name, width in zip(layout.columns, layout.widths, strict=True)
    }
    tallest = max(map(len, heads.values()))
    shown = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, layout.gap - 1, 0, 0), show_edge=False
    )
    for name, width in zip(layout.columns, layout.widths, strict=True):
        head = "\n".join([""] * (tallest - len(heads[name])) + heads[name])
        side = "right" if _is_number(name) else "left"
        shown.add_column(Text(head), width=width, justify=side)
    at = [table.columns.index(name) for name in layout.columns]
    marked = [i for i in at if any(MARK in row[i] for row in table.rows)]
    for row in table.rows:
        # digits stand below digits, also where only some of a column have a mark
        cells = [row[i] + (" " if i in marked and MARK not in row[i] else "") for i in at]
        shown.add_row(*(Text(_stacked(cell, layout.stacked)) for cell in cells))
    wide = Console(highlight=False, markup=False, width=max(console.width, layout.total + 2))
    wide.print(shown)
    if layout.lacking:
        lacking = ", ".join(layout.lacking)
        console.print(Text(f"not shown at this width: {lacking}", "dim"), soft_wrap=True)
    if DIFFERS not in layout.columns:
        _print_below(console, table, DIFFERS)
    if paths:
        _print_below(console, table, PATH)


def _layout(table: ComparisonTable, width: int) -> Layout:
    """Return the first layout, from rich to poor, that fits; the poorest one whatever its width."""
    cells = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    own = [c for c in table.columns if c != PATH and any(x not in ("", "-") for x in cells[c])]
    below = [c for c in own if c != DIFFERS]
    choices = [(own, False), (own, True), (below, False), (below, True)]
    for i in range(len(FIRST_TO_GO)):
        choices.append(([c for c in below if c not in FIRST_TO_GO[: i + 1]], True))
    layouts = [
        Layout(
            columns,
            [_width(c, cells[c], stacked) for c in columns],
            gap,
            stacked,
            [c for c in below if c not in columns],
        )
        for columns, stacked in choices
        for gap in (2, 1)
    ]
    best = next((x for x in layouts if x.total <= width), layouts[-1])
    if DIFFERS in best.columns:  # it takes what is left, at most what it needs
        longest = max(map(cell_len, cells[DIFFERS]))
        best.widths[-1] = min(best.widths[-1] + width - best.total, max(longest, best.widths[-1]))
    return best


def _width(name: str, cells: Sequence[str], stacked: bool) -> int:
    """Return the least width of a column in which no word is broken."""
    longest_word = max(map(cell_len, name.split()))
    if name == DIFFERS:
        words = max(cell_len(w) for cell in cells for w in [*cell.split(), ""])
        return max(longest_word, words, min(READABLE, max(map(cell_len, cells))))
    lines = [line for cell in cells for line in _stacked(cell, stacked).split("\n")]
    return max(longest_word, *map(cell_len, lines))


def _stacked(cell: str, stacked: bool) -> str:
    return cell.replace(" ± ", "\n± ") if stacked else cell


def _is_number(name: str) -> bool:
    return name in (*COSTS.values(), "epochs", "steps", "seeds") or name.startswith("test ")


def _print_below(console: Console, table: ComparisonTable, name: str) -> None:
    """Print a column as lines below the table, each with the short name of its run."""
    at, lines = table.columns.index(name), []
    for row in table.rows:
        for text in row[at].split("\n"):
            indent = f"  {row[0]}  "
            lines += textwrap.wrap(
                text, console.width, initial_indent=indent, subsequent_indent=" " * len(indent),
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    if lines:
        print("\n".join([f"{name}:", *lines]))
