"""Compares many runs: tables in the terminal, RESULTS.md, an HTML page, W&B tables."""

from gdl.comparison.entries import Entry, LeftOut, read_runs, select
from gdl.comparison.ranking import differs_in, pareto, ranked
from gdl.comparison.results import add_records, render
from gdl.comparison.seeds import group_seeds
from gdl.comparison.tables import ComparisonTable, comparison_tables
from gdl.comparison.terminal import print_tables

__all__ = [
    "ComparisonTable",
    "Entry",
    "LeftOut",
    "add_records",
    "comparison_tables",
    "differs_in",
    "group_seeds",
    "pareto",
    "print_tables",
    "ranked",
    "read_runs",
    "render",
    "select",
]
