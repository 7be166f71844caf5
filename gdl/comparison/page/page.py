"""Writes a comparison of runs as one HTML file: tables, curves, costs, configurations, samples.

The tables and pictures are in the HTML. page.js sorts, filters and draws; its numbers are in the page
as JSON. The page also contains the script of plotly, so it needs no network.
"""

import json
import re
import time
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from gdl.comparison.entries import Entry, differences, pareto, ranked
from gdl.comparison.page.row import Row
from gdl.comparison.page.section import Section
from gdl.errors import GdlError
from gdl.files import write_atomically
from gdl.runs.metrics import COSTS

__all__ = ["write_page"]

BEST, BEST_OF_ALL = 16, 64
"""Most runs with curves and samples per data set and per page, which limits the size of the page."""

FOLDER = Path(__file__).parent


def write_page(entries: Iterable[Entry], unfinished: Sequence[Path], path: Path) -> Path:
    """Write the HTML page and return its path.

    Args:
        entries: The rows of the comparison.
        unfinished: Directories of runs without results, which are listed at the end.
        path: The file.

    Raises:
        GdlError: The folder of the file does not exist. A missing plotly is reported in the same way.
    """
    if not path.parent.is_dir():
        raise GdlError(f"{path.parent} is not a folder, so {path.name} cannot be written there.")
    script = _plotly()
    entries = ranked(entries)
    places = [i for _, group in groupby(entries, lambda e: e.data) for i, _ in enumerate(group)]
    # the best run of each data set first, then the second best, ..., until the page is full
    order = sorted((r, i) for i, r in enumerate(places) if r < BEST)
    detailed = {i for _, i in order[:BEST_OF_ALL]}
    marks = {cost: pareto(entries, cost) for cost in COSTS}
    differing, sections = differences(entries), []
    for data, group in groupby(range(len(entries)), lambda i: entries[i].data):
        lines = [
            Row(i, entries[i], differing[i], [c for c in COSTS if i in marks[c]], i in detailed)
            for i in group
        ]
        sections.append(Section(f"data-{len(sections)}", data, lines))
    total = sum(len(e.paths) for e in entries)
    parts = {
        "title": f"gdl: {total} run{'s' if total > 1 else ''} compared",
        "summary": f"Written {time.strftime('%Y-%m-%d %H:%M')} by compare.py. Runs that differ in "
        "the seed only are one line.",
        "links": "".join(f'<a href="#{s.id}">{escape(s.data)}</a>' for s in sections),
        "sections": "".join(s.html() for s in sections),
        "unfinished": _unfinished(unfinished),
        # an unescaped "</script>" would end the script element around the JSON
        "numbers": json.dumps([s.numbers() for s in sections]).replace("<", "\\u003c"),
        "css": (FOLDER / "page.css").read_text(),
        "script": (FOLDER / "page.js").read_text(),
        "plotly": script,
    }
    # in one pass, so that a placeholder in the text of a run is not replaced
    page = re.sub(r"{{(\w+)}}", lambda m: parts[m[1]], (FOLDER / "page.html").read_text())
    write_atomically(path, page)
    return path


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as e:
        raise GdlError(
            "report=html draws with plotly, which is not installed: pip install plotly."
        ) from e
    return get_plotlyjs()


def _unfinished(paths: Sequence[Path]) -> str:
    if not paths:
        return ""
    items = "".join(f"<li>{escape(str(p))}</li>" for p in paths)
    return (
        f"<details><summary>{len(paths)} without results (running, interrupted or failed)"
        f"</summary><ul>{items}</ul></details>"
    )
