"""The tables of restored images of a run: the model beside the trivial methods."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gdl.restored_numbers import bits_told, cells, name_of, restored, verdict

__all__ = ["restoration_tables"]


def restoration_tables(metrics: dict[str, Any]) -> list[tuple[Table, bool, str]]:
    """Return, for each corruption, a table, whether the model beats all baselines, and a sentence.

    They are the numbers of measure=restoration, the highest PSNR first. ± is the standard error over
    the images.
    """
    found = []
    for corruption, methods in restored(metrics).items():
        table = Table(
            title=Text(f"restoration of {corruption}"),
            caption="\n".join(bits_told(methods)) or None,
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        columns, rows = cells(methods, bits=False)
        table.add_column("method")
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for method, row in rows.items():
            bold = "bold" if method == "model" else ""
            table.add_row(Text(name_of(method, methods[method]), bold), *row)
        won, sentence = verdict(methods) or (True, "")
        found.append((table, won, sentence))
    return found
