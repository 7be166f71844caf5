"""Tables as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["costs_of", "markdown_section", "markdown_table"]


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of rows of cells, the first of which are the names of the columns."""
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * len(lines[0]), *rows[1:], ""])


def markdown_section(title: str, about: str, lines: Sequence[Sequence[str]]) -> str:
    """Return a title with its marks, a sentence and a table, see `markdown_table`."""
    return "\n".join([f"{title}\n", f"{about.capitalize()}.\n", markdown_table(lines)])


def costs_of(record: Mapping[str, Any] | None) -> list[str]:
    """Return the cells of minutes and command of a record, which are empty without one."""
    return ["", ""] if record is None else [f"{record['minutes']:g}", f"`{record['command']}`"]
