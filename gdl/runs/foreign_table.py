"""The table of how well scores tell foreign images from a run's own."""

import math
import re
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["foreign_table"]

KEY = re.compile(r"test/ood/(?P<data>[^/]+)/(?P<score>[^/]+)/(?P<number>auroc|aupr|fpr95)")


def foreign_table(metrics: dict[str, Any]) -> Table | None:
    """Return the numbers of measure=ood as a table, None where there are none.

    FPR95 is the part of the own images that is called foreign where 95 % of the foreign ones are found.
    "data+fit" are data that were brought to the run's shape.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in metrics.items():
        if found := KEY.fullmatch(key):
            row = rows.setdefault((found["data"], found["score"]), {})
            row[found["number"]] = _shown(value)
            if found["number"] == "auroc":
                ends = [_shown(metrics.get(f"{key}_{end}")) for end in ("low", "high")]
                row["interval"] = "–".join(ends)
    if not rows:
        return None
    table = Table(title=Text("foreign images told from the run's own"))
    for column in ("foreign data", "score"):
        table.add_column(column)
    for column in ("AUROC", "95 % interval", "AUPR", "FPR95"):
        table.add_column(column, justify="right")
    order = list(dict.fromkeys(data for data, _ in rows))
    before = ""
    for (data, score), row in sorted(rows.items(), key=lambda item: order.index(item[0][0])):
        shown = "" if data == before else f"{data} ({metrics.get(f'test/ood/{data}/images', '?')})"
        if before and shown:
            table.add_section()
        before = data
        numbers = [row.get(name, "-") for name in ("auroc", "interval", "aupr", "fpr95")]
        table.add_row(Text(shown), Text(score), *numbers)
    return table


def _shown(value: Any) -> str:
    """Return a number as text; null in the file is no finite number, and none at all is not there."""
    finite = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.4f}" if finite else "-"
