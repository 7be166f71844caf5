"""One run of a comparison page: its table row, its picture, and the numbers that page.js draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import zip_longest
from typing import Any

from gdl.comparison.entries import Entry
from gdl.comparison.page.curves import read_curves
from gdl.comparison.page.pictures import as_data_uri
from gdl.runs.directory import Run
from gdl.runs.metrics import COSTS

__all__ = ["SEEDS", "Row"]

SEEDS = 5
"""Most seeds of a row whose curves are drawn."""


@dataclass
class Row:
    """One row of the comparison.

    Args:
        id: Its index in the whole comparison.
        entry: The run, or the runs that differ in their seed only.
        differs: The settings that differ, see `gdl.comparison.entries.differences`.
        front: The costs for which it is Pareto-optimal, see `gdl.comparison.entries.pareto`.
        detailed: Whether the page contains its curves, configuration and samples.
    """

    id: int
    entry: Entry
    differs: str
    front: list[str]
    detailed: bool

    @property
    def label(self) -> str:
        """A name for legends and captions."""
        return f"{self.entry.metrics['model']} {self.differs}".strip()

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """Learning curves, one for each seed; see `read_curves`."""
        if not self.detailed:
            return []
        found = [
            (read_curves(Run(path).metrics_csv), seed)
            for path, seed in zip_longest(self.entry.paths[:SEEDS], self.entry.seeds[:SEEDS])
            if path is not None
        ]
        return [{**curve, "seed": seed} for curve, seed in found if curve]

    @property
    def value(self) -> float | None:
        """The test result; None if it is unknown or not finite."""
        return _finite(self.entry.best[0])

    def cost(self, key: str) -> float | None:
        """Return a cost; None if it is unknown."""
        return _finite(self.entry.metrics.get(key))

    def row(self, costs: Sequence[str]) -> str:
        """Return the HTML of the table row, with a column for each of the costs."""
        e, (value, kind) = self.entry, self.entry.best
        error = "" if e.error is None else f' <span class="error">± {e.error:.4f}</span>'
        over = f"{len(e.paths)} seeds" if e.spread is not None else "the test images"
        hint = "" if e.error is None else f"standard error over {over}"
        cells = [
            f'<td class="pick"><input type="checkbox" checked aria-label="draw {escape(e.name)}">'
            '<span class="swatch"></span></td>',
            f"<td>{escape(e.data)}</td><td>{escape(str(e.metrics['model']))}</td>",
            _number(self.value, "-" if value is None else f"{value:.4f}{error}", hint),
            f"<td>{escape(kind)}</td>",
        ]
        for key in costs:
            paid, mark = self.cost(key), "†" if key in self.front else ""
            cells.append(_number(paid, "-" if paid is None else f"{_short(paid)}{mark}"))
        paths = escape("\n".join(map(str, e.paths)))
        cells += [
            f"<td>{escape(','.join(map(str, e.seeds)) or '-')}</td>",
            f'<td class="long">{escape(self.differs)}</td>',
            f'<td class="long" title="{paths}">{escape(e.name)}</td>',
        ]
        return f'<tr data-run="{self.id}">{"".join(cells)}</tr>'

    def picture(self) -> str:
        """Return the HTML of the newest sample grid of the first run; empty if there is none."""
        samples = Run(self.entry.paths[0]).newest_samples()
        found = None if samples is None else as_data_uri(samples)
        if found is None:
            return ""
        (uri, cut), label = found, escape(self.label)
        return (
            f'<figure data-of="{self.id}"><img src="{uri}" alt="samples of {label}, run '
            f'{escape(self.entry.name)}"><figcaption>{label}{" (top left part)" if cut else ""}'
            "</figcaption></figure>"
        )

    def numbers(self, rank: int) -> dict[str, Any]:
        """Return the numbers that page.js draws; rank counts the runs on the data set from 0."""
        return {
            "id": self.id,
            "rank": rank,
            "label": self.label,
            "name": self.entry.name,
            "value": self.value,
            "kind": self.entry.best[1],
            "costs": {key: self.cost(key) for key in COSTS},
            "front": self.front,
            "curves": self.curves,
        }


def _number(value: float | None, shown: str, title: str = "") -> str:
    known = "" if value is None else f' data-value="{value!r}"'
    hint = f' title="{title}"' if title else ""
    return f'<td class="number"{known}{hint}>{shown}</td>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
