"""The table of what probes find in the features of a run, beside trivial features."""

import re
from typing import Any

from rich.table import Table
from rich.text import Text

from gdl.runs.metrics import FEATURES

__all__ = ["features_table"]

KEY = re.compile(rf"{FEATURES}(?P<features>[^/]+)/(?P<probe>linear|knn)-(?P<labels>\w+)")


def features_table(metrics: dict[str, Any]) -> Table | None:
    """Return the accuracies of measure=features as a table, None where there are none."""
    rows: dict[str, dict[str, dict[str, str]]] = {}
    for key, value in metrics.items():
        if (found := KEY.fullmatch(key)) and not key.endswith("_se"):
            by_labels = rows.setdefault(found["features"], {})
            shown = _shown(value, metrics.get(f"{key}_se"))
            by_labels.setdefault(found["labels"], {})[found["probe"]] = shown
    if not rows:
        return None
    table = Table(title=Text("accuracy of classifiers of features"))
    table.add_column("features")
    for column in ("labels per class", "linear probe", "nearest neighbours"):
        table.add_column(column, justify="right")
    for name, by_labels in rows.items():
        table.add_section()
        dims, active = (
            metrics.get(f"{FEATURES}{name}/{k}", "?") for k in ("dims", "active_units")
        )
        left = [str(metrics.get("model", name)) if name == "model" else name]
        left += [f"{dims} numbers", f"{active} active"]
        left = left if len(by_labels) >= len(left) else [", ".join(left)]
        for n, accuracies in by_labels.items():
            cells = [accuracies.get(probe, "-") for probe in ("linear", "knn")]
            table.add_row(Text(left.pop(0) if left else ""), Text(n), *cells)
    return table


def _shown(value: Any, error: Any) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.3f}" + (f" ± {error:.3f}" if isinstance(error, int | float) else "")
