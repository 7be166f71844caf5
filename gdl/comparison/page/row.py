"""One run of a comparison page: its table row, its picture, and the numbers that page.js draws."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gdl.comparison.entries import Entry, finite
from gdl.comparison.page.curves import read_curves
from gdl.comparison.page.pictures import as_data_uri
from gdl.comparison.settings import shown
from gdl.comparison.tables import DIFFERS, MARK, amount
from gdl.runs.directory import Run
from gdl.runs.metrics import COSTS

__all__ = ["LENGTHS", "SEEDS", "Row"]

SEEDS = 5
"""Most seeds of a row whose curves are drawn."""

LENGTHS = ("epochs", "steps")
"""Keys of metrics.json that say how long a run was trained."""


@dataclass
class Row:
    """One row of the comparison.

    Args:
        id: Its index in the whole comparison.
        entry: The run, or the runs that differ in their seed only.
        differs: The settings that differ, see `gdl.comparison.ranking.differs_in`.
        front: The costs for which it is Pareto-optimal, see `gdl.comparison.ranking.pareto`.
        detailed: Whether the page contains its curves, configuration and samples.
        folder: The folder of the page, to which links are relative.
    """

    id: int
    entry: Entry
    differs: str
    front: list[str]
    detailed: bool
    folder: Path

    @property
    def label(self) -> str:
        """A name for legends and captions."""
        return f"{self.entry.model} {self.differs}".strip()

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

    def cost(self, key: str) -> float | None:
        """Return a cost, or another number; None if it is unknown or not finite."""
        return finite(self.entry.metrics.get(key))

    @property
    def has_plane(self) -> bool:
        """Whether it has a place in the plane of rate and distortion."""
        return None not in (self.cost("test/rate"), self.cost("test/distortion"))

    def row(self, columns: Sequence[str]) -> str:
        """Return the HTML of the table row, with a column for each of the costs and lengths."""
        e, (value, kind) = self.entry, self.entry.best
        error = "" if e.error is None else f' <span class="error">± {e.error:.4f}</span>'
        over = f"{len(e.paths)} seeds" if e.spread is not None else "the test images"
        hint = "" if e.error is None else f"standard error over {over}"
        paths = escape("\n".join(map(str, e.paths)))
        cells = [
            f'<td class="pick"><input type="checkbox" checked aria-label="draw {escape(e.name)}">'
            '<span class="swatch"></span></td>',
            f'<td data-name="run"><a href="{self._link(e.paths[0])}" title="{paths}">'
            f"{escape(e.id or e.name)}</a></td>",
            _cell(e.model, "model"),
            _number("result", value, "-" if value is None else f"{value:.4f}{error}", hint),
            _cell(kind, "kind"),
        ]
        for key in columns:
            paid, mark = self.cost(key), MARK if key in self.front else ""
            cells.append(_number(COSTS.get(key, key), paid, amount(paid) + mark))
        cells += [
            f'<td data-name="seeds"><span>{self._seeds()}</span></td>',
            _cell(self.differs, DIFFERS, "long"),
        ]
        return f'<tr data-run="{self.id}">{"".join(cells)}</tr>'

    def _seeds(self) -> str:
        """Return the HTML of the seeds; where there are several, each links to its run."""
        texts = [escape(str(seed)) for seed in self.entry.seeds]
        if len(texts) > 1:
            pairs = zip(self.entry.paths, texts, strict=True)
            texts = [f'<a href="{self._link(path)}">{text}</a>' for path, text in pairs]
        return ", ".join(texts) or "-"

    def _link(self, path: Path) -> str:
        """Return the address of a file or folder, relative to the page."""
        relative = Path(os.path.relpath(path.resolve(), self.folder.resolve())).as_posix()
        # with a dot in front no name can be read as a scheme, such as javascript:
        return escape("./" + quote(relative, errors="surrogateescape"))

    def picture(self) -> str:
        """Return the HTML of the newest sample grid of the first run; empty if there is none."""
        samples = Run(self.entry.paths[0]).newest_samples()
        found = None if samples is None else as_data_uri(samples)
        if samples is None or found is None:
            return ""
        (uri, cut), label = found, escape(self.label)
        return (
            f'<figure data-of="{self.id}"><a href="{self._link(samples)}"><img src="{uri}" '
            f'alt="samples of {label}, run {escape(self.entry.name)}"></a>'
            f"<figcaption>{label}{' (top left part)' if cut else ''}</figcaption></figure>"
        )

    def numbers(self, rank: int) -> dict[str, Any]:
        """Return the numbers that page.js draws; rank counts the runs on the data set from 0."""
        return {
            "id": self.id,
            "rank": rank,
            "label": self.label,
            "model": self.entry.model,
            "name": self.entry.name,
            "value": self.entry.best[0],
            "kind": self.entry.best[1],
            "costs": {key: self.cost(key) for key in COSTS},
            "front": self.front,
            "rate": self.cost("test/rate"),
            "distortion": self.cost("test/distortion"),
            "beta": shown(self.entry.settings.values.get("model.beta", "")),
            "curves": self.curves,
        }


def _cell(text: str, name: str, kind: str = "") -> str:
    """Return a cell; `name` is its column's, which a narrow screen shows beside it."""
    empty = "" if text.strip("-") else ' data-empty=""'
    style = f' class="{kind}"' if kind else ""
    return f'<td{style} data-name="{escape(name)}"{empty}><span>{escape(text)}</span></td>'


def _number(name: str, value: float | None, shown: str, title: str = "") -> str:
    known = ' data-empty=""' if value is None else f' data-value="{value!r}"'
    hint = f' title="{title}"' if title else ""
    return f'<td class="number" data-name="{escape(name)}"{known}{hint}><span>{shown}</span></td>'
