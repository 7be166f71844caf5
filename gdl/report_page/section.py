"""One data set's part of the page: its HTML, and the numbers that page.js draws."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import zip_longest
from typing import Any

from gdl.compare import Entry
from gdl.report_page.curves import TERMS, read_curves
from gdl.report_page.pictures import newest_samples
from gdl.runs import Run

__all__ = ["COSTS", "Line", "Section"]

COSTS = {
    "params": "parameters",
    "train_seconds": "train seconds",
    "sampling_ms": "sampling ms",
}
"""Keys of metrics.json that are costs, and the names of their columns."""

SEEDS = 5
"""Curves of a line, at most."""


@dataclass
class Line:
    """A line of the board.

    Args:
        id: Its position on the whole board.
        entry: The run, or the runs that differ in their seed only.
        differs: In what, see `gdl.compare.differences`.
        front: The costs for which no other run on the data is better and costs no more.
        detailed: Whether the page holds its curves, configuration and samples.
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
        """Learning curves, one for each seed, see `read_curves`."""
        if not self.detailed:
            return []
        found = [
            (read_curves(Run(path).metrics_csv), seed)
            for path, seed in zip_longest(self.entry.paths[:SEEDS], self.entry.seeds[:SEEDS])
            if path is not None
        ]
        return [{**curve, "seed": seed} for curve, seed in found if curve]

    def cost(self, key: str) -> float | None:
        """Return a cost, None where it is unknown."""
        return _finite(self.entry.metrics.get(key))

    def row(self, costs: Sequence[str]) -> str:
        """Return the row of the table."""
        e, (value, kind) = self.entry, self.entry.best
        error = "" if e.error is None else f' <span class="error">± {e.error:.4f}</span>'
        what = f"over {len(e.paths)} seeds" if e.spread is not None else "over the test images"
        cells = [
            f'<td class="pick"><input type="checkbox" checked aria-label="draw {escape(e.name)}">'
            '<span class="swatch"></span></td>',
            f"<td>{escape(e.data)}</td><td>{escape(str(e.metrics['model']))}</td>",
            _number(_finite(value), "-" if value is None else f"{value:.4f}{error}", what),
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

    def numbers(self, rank: int) -> dict[str, Any]:
        """Return what is drawn of the line; rank is its place on its data, from 0."""
        value, kind = self.entry.best
        return {
            "id": self.id,
            "rank": rank,
            "label": self.label,
            "name": self.entry.name,
            "value": _finite(value),
            "kind": kind,
            "costs": {key: self.cost(key) for key in COSTS},
            "front": self.front,
            "curves": self.curves,
        }


@dataclass
class Section:
    """The lines on one data set, the best first."""

    id: str
    data: str
    lines: list[Line]

    @property
    def unit(self) -> str:
        """Unit of the test numbers."""
        return "bits/dim" if any("test/bpd" in n.entry.metrics for n in self.lines) else "nats"

    @property
    def costs(self) -> list[str]:
        """The costs that a line has."""
        return [key for key in COSTS if any(n.cost(key) is not None for n in self.lines)]

    def numbers(self) -> dict[str, Any]:
        """Return what page.js draws."""
        return {
            "id": self.id,
            "unit": self.unit,
            "terms": TERMS,
            "costs": COSTS,
            "runs": [n.numbers(rank) for rank, n in enumerate(self.lines)],
        }

    def html(self) -> str:
        """Return the section of the page."""
        parts = (self._table(), self._figures(), self._differences(), self._samples())
        return f'<section id="{self.id}"><h2>{escape(self.data)}</h2>{"".join(parts)}</section>\n'

    def _table(self) -> str:
        numeric = ' class="number" data-numeric'
        heads = {"data": "", "model": "", f"test {self.unit}": numeric, "kind": ""}
        heads |= {COSTS[key]: numeric for key in self.costs}
        heads |= {"seeds": "", "differs in": "", "run": ""}
        head = "".join(
            f'<th scope="col" aria-sort="{"ascending" if name.startswith("test ") else "none"}"'
            f'{kind}><button type="button">{name}</button></th>'
            for name, kind in heads.items()
        )
        rows = "\n".join(n.row(self.costs) for n in self.lines)
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="Runs on {escape(self.data)}">'
            '<table class="board"><thead><tr><th scope="col"><input type="checkbox" class="all" '
            f'checked aria-label="draw all rows"></th>{head}</tr></thead><tbody>{rows}</tbody>'
            f"</table></div>{self._limits()}"
        )

    def _limits(self) -> str:
        best = sum(n.detailed for n in self.lines)
        notes = []
        if best < len(self.lines):
            notes.append(
                f"Curves, configurations and samples are those of the best {best} of "
                f"{len(self.lines)} lines; filters of compare.py choose others."
            )
        if any(n.detailed and len(n.entry.paths) > SEEDS for n in self.lines):
            notes.append(f"Curves of a line are those of its first {SEEDS} seeds.")
        return f'<p class="note">{" ".join(notes)}</p>' if notes else ""

    def _figures(self) -> str:
        terms = [t for t in TERMS if any(c["term"] == t for n in self.lines for c in n.curves)]
        options = "".join(f'<option value="{t}">{TERMS[t]}</option>' for t in terms)
        axes = {"step": "steps", "seconds": "training time"}
        curves = (
            f'<div class="curves"><h3>Learning curves</h3>{_switch("over", f"x-{self.id}", axes)}'
            f'<label class="note"{" hidden" if len(terms) < 2 else ""}>of the runs that log '
            f'<select>{options}</select></label><div class="plot"></div>'
            '<p class="note">Bold: val; faint: train. At most 200 points of each are drawn.</p>'
            '<p class="note time" hidden></p></div>'
        )
        known = [n for n in self.lines if _finite(n.entry.best[0]) is not None]
        costs = {k: COSTS[k] for k in self.costs if any((n.cost(k) or 0) > 0 for n in known)}
        front = (
            f'<div class="front"><h3>What it costs</h3>{_switch("by", f"cost-{self.id}", costs)}'
            '<div class="plot"></div><p class="note">Diamonds: nothing on these data is better and '
            "costs no more.</p></div>"
        )
        missing = '<p class="note">No metrics.csv of these runs has learning curves.</p>'
        return f'<div class="figures">{curves if terms else missing}{front if costs else ""}</div>'

    def _differences(self) -> str:
        lines = [n for n in self.lines if n.detailed]
        keys = sorted({k for n in lines for k in n.entry.config})
        rows = {k: [_value(n.entry.config, k) for n in lines] for k in keys}
        body = "".join(
            f'<tr><th scope="row">{escape(key)}</th>{_cells(lines, values)}</tr>'
            for key, values in rows.items()
            if len(set(values)) > 1
        )
        if not body:
            return ""
        heads = "".join(
            f'<th scope="col" data-of="{n.id}" title="{escape(n.entry.name)}">'
            f"{escape(str(n.entry.metrics['model']))}<br><small>{escape(n.entry.name)}</small></th>"
            for n in lines
        )
        return (
            "<details open><summary>Configuration keys that differ</summary>"
            '<div class="scroll" tabindex="0" role="region" aria-label="Configuration">'
            f'<table class="differences"><thead><tr><th scope="col">key</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div></details>"
        )

    def _samples(self) -> str:
        figures = "".join(_pictures([n for n in self.lines if n.detailed]))
        if not figures:
            return ""
        return (
            f"<details open><summary>Samples</summary>"
            f'<div class="samples">{figures}</div></details>'
        )


def _pictures(lines: Sequence[Line]) -> Iterator[str]:
    for n in lines:
        found = newest_samples(Run(n.entry.paths[0]).images)
        if found is not None:
            uri, cut = found
            part = " (top left part)" if cut else ""
            yield (
                f'<figure data-of="{n.id}"><img src="{uri}" alt="samples of {escape(n.label)}, '
                f'run {escape(n.entry.name)}"><figcaption>{escape(n.label)}{part}</figcaption>'
                "</figure>"
            )


def _switch(title: str, name: str, choices: dict[str, str]) -> str:
    labels = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{" checked" if i == 0 else ""}> '
        f"{text}</label>"
        for i, (value, text) in enumerate(choices.items())
    )
    return f'<fieldset class="switch"><legend>{title}</legend>{labels}</fieldset>'


def _number(value: float | None, shown: str, title: str = "") -> str:
    known = "" if value is None else f' data-value="{value!r}"'
    hint = f' title="{title}"' if title else ""
    return f'<td class="number"{known}{hint}>{shown}</td>'


def _cells(lines: Sequence[Line], values: Sequence[str]) -> str:
    pairs = zip(lines, values, strict=True)
    return "".join(f'<td data-of="{n.id}">{escape(v)}</td>' for n, v in pairs)


def _value(config: dict[str, Any], key: str) -> str:
    value = config.get(key, "–")
    return "null" if value is None else str(value)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
