"""The section of a page for one data set: its HTML, and the numbers that page.js draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from gdl.comparison.codes import Code
from gdl.comparison.page.row import LENGTHS, SEEDS, Row
from gdl.comparison.settings import differences, shown
from gdl.comparison.tables import DIFFERS
from gdl.runs.collapse import collapse
from gdl.runs.metrics import COSTS, STEADY_COSTS, TERMS, about_data, unit

__all__ = ["Section"]


@dataclass
class Section:
    """The runs on one data set, the best first."""

    id: str
    """Id of the HTML element."""
    data: str
    """Name of the data set."""
    lines: list[Row]
    codes: list[Code] = field(default_factory=list)
    """What general coders make of the test images."""

    @property
    def unit(self) -> str:
        """Unit of the test results."""
        return unit(self.lines[0].entry.metrics)[1]

    @property
    def columns(self) -> list[str]:
        """The costs, and the lengths of training, that at least one run has."""
        keys = (*COSTS, *LENGTHS)
        return [key for key in keys if any(n.cost(key) is not None for n in self.lines)]

    def numbers(self) -> dict[str, Any]:
        """Return the numbers that page.js draws."""
        return {
            "id": self.id,
            "unit": self.unit,
            "terms": TERMS,
            "costs": COSTS,
            "steady": STEADY_COSTS,
            "runs": [n.numbers(rank) for rank, n in enumerate(self.lines)],
        }

    def html(self) -> str:
        """Return the HTML of the section."""
        parts = (self._table(), self._figures(), self._differences(), self._samples())
        about = escape(about_data(self.lines[0].entry.metrics))
        return (
            f'<section id="{self.id}"><h2>{escape(self.data)}</h2><p class="note">{about}</p>'
            f"{''.join(parts)}</section>\n"
        )

    def _table(self) -> str:
        numeric = ' class="number" data-numeric'
        heads = {"run": "", "model": "", f"test {self.unit}": numeric, "kind": ""}
        heads |= {COSTS.get(key, key): numeric for key in self.columns}
        heads |= {"seeds": ""}
        if any(n.differs for n in self.lines):
            heads[DIFFERS] = ""
        head = "".join(
            f'<th scope="col" aria-sort="{"ascending" if name.startswith("test ") else "none"}"'
            f'{kind}><button type="button">{name}</button></th>'
            for name, kind in heads.items()
        )
        rows = "\n".join(n.row(self.columns) for n in self.lines)
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="Runs on {escape(self.data)}">'
            '<table class="comparison"><thead><tr><th scope="col"><input type="checkbox" class="all" '
            f'checked aria-label="draw all rows"></th>{head}</tr></thead><tbody>{rows}</tbody>'
            f"</table></div>{self._notes()}"
        )

    def _notes(self) -> str:
        best = sum(n.detailed for n in self.lines)
        notes = []
        if self.codes:
            numbers = "; ".join(f"{escape(c.title)} {c.bpd:.4f}" for c in self.codes)
            notes.append(f"General coders on the same test images, bits/dim: {numbers}.")
        if best < len(self.lines):
            notes.append(
                f"Curves, configurations and samples are shown for the best {best} of "
                f"{len(self.lines)} rows; filters of compare.py choose others."
            )
        if any(n.detailed and len(n.entry.paths) > SEEDS for n in self.lines):
            notes.append(f"Curves are drawn for the first {SEEDS} seeds of a row.")
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
        known = [n for n in self.lines if n.entry.best[0] is not None]
        costs = {k: v for k, v in COSTS.items() if any((n.cost(k) or 0) > 0 for n in known)}
        front = (
            f'<div class="front"><h3>What it costs</h3>{_switch("by", f"cost-{self.id}", costs)}'
            '<div class="plot"></div><p class="note steady">Diamonds: nothing on these data is better '
            'and costs no more.</p><p class="note unsteady" hidden>The time of a sample depends on '
            "what else the machine does, so no run is called better by it.</p></div>"
        )
        missing = '<p class="note">No metrics.csv of these runs has learning curves.</p>'
        figures = (curves if terms else missing, front if costs else "", self._plane())
        return f'<div class="figures">{"".join(figures)}</div>'

    def _plane(self) -> str:
        """Return the HTML of rates and distortions; empty if no run has them."""
        if not any(n.has_plane for n in self.lines):
            return ""
        told = [(n.label, collapse(n.entry.metrics)) for n in self.lines]
        items = "".join(
            f"<li>{escape(label)}: {escape(text)}</li>" for label, text in told if text
        )
        return (
            '<div class="plane"><h3>Rate and distortion</h3><div class="plot"></div>'
            '<p class="note">Nats per test image. On a dashed line the ELBO is the same; a run whose '
            "rate is near 0 does not use its latents, and all its samples look alike.</p>"
            f"{f'<ul class=collapse>{items}</ul>' if items else ''}</div>"
        )

    def _differences(self) -> str:
        lines = [n for n in self.lines if n.detailed]
        found = differences([(n.entry.model, n.entry.settings) for n in lines])
        keys = sorted({k for settings in found for k in settings})
        rows = {k: [_value(n.entry.settings.values, k) for n in lines] for k in keys}
        body = "".join(
            f'<tr><th scope="row">{escape(key)}</th>{_cells(lines, values)}</tr>'
            for key, values in rows.items()
        )
        if not body:
            return ""
        heads = "".join(
            f'<th scope="col" data-of="{n.id}" title="{escape(n.entry.name)}">'
            f"{escape(n.entry.model)}<br><small>{escape(n.entry.id)}</small></th>"
            for n in lines
        )
        return (
            "<details open><summary>Configuration keys that differ</summary>"
            '<div class="scroll" tabindex="0" role="region" aria-label="Configuration">'
            f'<table class="differences"><thead><tr><th scope="col">key</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div></details>"
        )

    def _samples(self) -> str:
        figures = "".join(n.picture() for n in self.lines if n.detailed)
        if not figures:
            return ""
        return (
            f"<details open><summary>Samples</summary>"
            f'<div class="samples">{figures}</div></details>'
        )


def _switch(title: str, name: str, choices: dict[str, str]) -> str:
    labels = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{" checked" if i == 0 else ""}> '
        f"{text}</label>"
        for i, (value, text) in enumerate(choices.items())
    )
    return f'<fieldset class="switch"><legend>{title}</legend>{labels}</fieldset>'


def _cells(lines: Sequence[Row], values: Sequence[str]) -> str:
    pairs = zip(lines, values, strict=True)
    return "".join(f'<td data-of="{n.id}">{escape(v)}</td>' for n, v in pairs)


def _value(settings: dict[str, Any], key: str) -> str:
    return shown(settings[key]) if key in settings else "–"
