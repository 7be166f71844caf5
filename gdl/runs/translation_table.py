"""The tables of translations of a run: the model beside the baselines."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gdl.runs.translation_numbers import (
    PREFIX,
    columns_of,
    is_baseline,
    method_name,
    own_numbers,
    row,
    translated,
)

__all__ = ["translation_tables"]


def translation_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return a table for each split of which a run has translated pairs."""
    tables = []
    for split, methods in translated(metrics).items():
        names = columns_of(methods.values(), own=False)
        first = PREFIX if split == "test" else f"{PREFIX}-{split}"
        sizes = [(what, metrics.get(f"{first}/{what}")) for what in ("pairs", "sources")]
        counts = [f"{n:,} {what}" for what, n in sizes if isinstance(n, int)]
        caption = "\n".join([", ".join(counts), *own_numbers(methods)])
        title = Text(f"translation of the {split} pairs")
        table = Table(title=title, caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("method")
        for name in names.values():
            table.add_column(name, justify="right", no_wrap=True)
        for method, numbers in methods.items():
            if not names.keys() & numbers.keys():
                continue  # no translation, only how likely the targets are
            bold = "" if is_baseline(method) else "bold"
            table.add_row(Text(method_name(method), bold), *row(numbers, names))
        tables.append(table)
    return tables
