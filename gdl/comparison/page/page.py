"""Writes a comparison of runs as one HTML file: tables, curves, costs, configurations, samples.

The tables and pictures are in the HTML. page.js sorts, filters and draws; its numbers are in the page
as JSON. The page also contains the script of plotly, so it needs no network.
"""

import time
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gdl.comparison.codes import codes_of
from gdl.comparison.entries import Entry, LeftOut
from gdl.comparison.page.row import Row
from gdl.comparison.page.section import Section
from gdl.comparison.ranking import by_data, differs_in, pareto, ranked
from gdl.errors import GdlError
from gdl.files import write_atomically
from gdl.runs.metrics import STEADY_COSTS
from gdl.webpage import BASE_CSS, as_json, fill

__all__ = ["write_page"]

BEST, BEST_OF_ALL = 16, 64
"""Most runs with curves and samples per data set and per page, which limits the size of the page."""

FOLDER = Path(__file__).parent


def write_page(
    entries: Iterable[Entry],
    left_out: Sequence[LeftOut],
    path: Path,
    coders: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write the HTML page and return its path.

    Args:
        entries: The rows of the comparison.
        left_out: Runs that are in no table, which are listed at the end.
        path: The file.
        coders: Records of coders, see `gdl.comparison.codes.known_codes`.

    Raises:
        GdlError: The folder of the file does not exist. A missing plotly is reported in the same way.
    """
    if not path.parent.is_dir():
        raise GdlError(f"{path.parent} is not a folder, so {path.name} cannot be written there.")
    script = _plotly()
    entries = ranked(entries)
    groups = by_data(entries)
    # the best run of each data set first, then the second best, ..., until the page is full
    order = sorted((rank, i) for group in groups for rank, i in enumerate(group[:BEST]))
    detailed = {i for _, i in order[:BEST_OF_ALL]}
    marks = {cost: pareto(entries, cost) for cost in STEADY_COSTS}
    differing, sections = differs_in(entries), []
    for group in groups:
        lines = [
            Row(
                i,
                entries[i],
                differing[i],
                [c for c in STEADY_COSTS if i in marks[c]],
                i in detailed,
                path.parent,
            )
            for i in group
        ]
        codes = codes_of([{"metrics": entries[i].metrics} for i in group], coders)
        sections.append(Section(f"data-{len(sections)}", lines[0].entry.data, lines, codes))
    total = sum(len(e.paths) for e in entries)
    parts = {
        "title": f"gdl: {total} run{'s' if total > 1 else ''} compared",
        "summary": f"Written {time.strftime('%Y-%m-%d %H:%M')} by compare.py. Runs that differ in "
        "the seed only are one line.",
        "links": "".join(f'<a href="#{s.id}">{escape(s.data)}</a>' for s in sections),
        "sections": "".join(s.html() for s in sections),
        "left_out": _left_out(left_out),
        "numbers": as_json([s.numbers() for s in sections]),
        "css": BASE_CSS.read_text() + (FOLDER / "page.css").read_text(),
        "script": (FOLDER / "plane.js").read_text() + (FOLDER / "page.js").read_text(),
        "plotly": script,
    }
    write_atomically(path, fill((FOLDER / "page.html").read_text(), parts))
    return path


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as e:
        raise GdlError(
            "report=html draws with plotly, which is not installed: pip install plotly."
        ) from e
    return get_plotlyjs()


def _left_out(runs: Sequence[LeftOut]) -> str:
    parts = []
    for why in dict.fromkeys(run.why for run in runs):
        found = [run for run in runs if run.why == why]
        details = [f" ({run.detail})" if run.detail else "" for run in found]
        items = "".join(
            f"<li>{escape(f'{run.path}{detail}')}</li>"
            for run, detail in zip(found, details, strict=True)
        )
        parts.append(
            f"<details><summary>{len(found)} {escape(why)}</summary><ul>{items}</ul></details>"
        )
    return "".join(parts)
