"""Compares many runs: tables in the terminal, RESULTS.md, an HTML page, W&B tables."""

from gdl.comparison.entries import (
    Entry,
    differences,
    group_seeds,
    pareto,
    ranked,
    read_runs,
    select,
)
from gdl.comparison.results import add_records, render
from gdl.comparison.tables import ComparisonTable, comparison_tables, print_tables

__all__ = [
    "ComparisonTable",
    "Entry",
    "add_records",
    "comparison_tables",
    "differences",
    "group_seeds",
    "pareto",
    "print_tables",
    "ranked",
    "read_runs",
    "render",
    "select",
]
