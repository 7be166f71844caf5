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
                ends = [_shown(metrics.get(f"{key}_{end}"), 3) for end in ("low", "high")]
                row["interval"] = "–".join(ends)
    if not rows:
        return None
    kind, k = metrics.get("kind", "?"), metrics.get("test/ood/k", 1)
    of_k = "" if kind == "exact" else f" from {k} sample{'s' * (k != 1)}"
    table = Table(title=Text(f"foreign images told from the run's own, nll: {kind}{of_k}"))
    for column in ("foreign data", "score"):
        table.add_column(column)
    for column in ("AUROC", "95 % interval", "AUPR", "FPR95"):
        table.add_column(column, justify="right")
    for data in dict.fromkeys(data for data, _ in rows):
        table.add_section()
        scores = [score for of, score in rows if of == data]
        # the name, and below it the number of images
        left = [data, f"{metrics.get(f'test/ood/{data}/images', '?')} images"]
        left = left if len(scores) > 1 else [", ".join(left)]
        for score in scores:
            numbers = [
                rows[data, score].get(n, "-") for n in ("auroc", "interval", "aupr", "fpr95")
            ]
            table.add_row(Text(left.pop(0) if left else ""), Text(score), *numbers)
    return table


def _shown(value: Any, digits: int = 4) -> str:
    """Return a number as text; null in the file is no finite number, and none at all is not there."""
    finite = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.{digits}f}" if finite else "-"
