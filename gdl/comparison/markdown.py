"""Tables as Markdown."""

from collections.abc import Sequence

__all__ = ["markdown_table"]


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of rows of cells, the first of which are the names of the columns."""
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * len(lines[0]), *rows[1:], ""])
