"""Tables of whole texts: bits per byte of runs with a sliding window, and of general compressors."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from gdl.comparison.entries import Entry
from gdl.comparison.markdown import costs_of, markdown_section
from gdl.comparison.tables import DIFFERS, PATH, ComparisonTable
from gdl.runs.text_numbers import STREAM, STREAM_CODES

__all__ = ["stream_sections", "stream_tables"]

ABOUT = (
    "lower is better; ± is the standard error over parts of the text; the window moves by the stride; "
    "compressors have seen nothing before"
)
COLUMNS = ["bits per byte", "nats per character", "stride", "window"]
OF_RUN = re.compile(rf"{STREAM}(\d+)(?:-(val|train))?/bits_per_byte")
OF_CODER = re.compile(rf"{STREAM_CODES}(?:-(val|train))?/(\w+)")


class Row(NamedTuple):
    """A number of one text."""

    bits: float
    run: int | None
    """Index of the run, None for a compressor."""
    method: str
    cells: list[str]


def _by_text(runs: Sequence[dict[str, Any]]) -> dict[str, list[Row]]:
    """Return the rows on each text by its title, the fewest bits first.

    Windows of any length are of one text if compressors take the same for it.

    Args:
        runs: The metrics of runs.
    """
    found: dict[tuple[Any, ...], dict[Any, Row]] = defaultdict(dict)
    for i, metrics in enumerate(runs):
        codes: dict[str, dict[str, float]] = defaultdict(dict)
        for key, bits in metrics.items():
            if match := OF_CODER.fullmatch(key):
                codes[match[1] or "test"][match[2]] = bits
        for key, bits in metrics.items():
            if not (match := OF_RUN.fullmatch(key)):
                continue
            split, kind = match[2] or "test", key.partition("/")[0]
            size = metrics.get(f"{kind}/bytes")
            sizes = tuple(sorted(codes[split].items()))
            text = (metrics.get("data/source", metrics["data"]), split, size, sizes)
            cells = [_cell(metrics, key), _cell(metrics, f"{kind}/nats_per_character")]
            cells += [match[1], str(metrics["data/shape"][-1])]
            found[text][i, kind] = Row(bits, i, metrics["model"], cells)
            for name, rate in sizes:
                found[text][name] = Row(rate, None, name, [f"{rate:.3f}", "", "", ""])
    out = {}
    for (source, split, size, _), rows in found.items():
        title = f"{source}: the whole {split} text of {size:,} bytes"
        out[title] = sorted(rows.values(), key=lambda row: row.bits)
    return out


def _cell(metrics: dict[str, Any], key: str) -> str:
    """Return a number with its error."""
    if key not in metrics:
        return ""
    error = metrics.get(f"{key}_se")
    return f"{metrics[key]:.3f}" + ("" if error is None else f" ± {error:.3f}")


def stream_tables(entries: Sequence[Entry]) -> list[ComparisonTable]:
    """Return a table for each text that `measure=stream` has been run on."""
    out = []
    for title, rows in _by_text([entry.metrics for entry in entries]).items():
        lines = []
        for row in rows:
            name = "-" if row.run is None else entries[row.run].id
            lines.append([name, row.method, *row.cells, "", ""])
        out.append(
            ComparisonTable(title, ABOUT, ["run", "method", *COLUMNS, DIFFERS, PATH], lines)
        )
    return out


def stream_sections(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sections of RESULTS.md, one for each text.

    Args:
        records: Those of runs; see `gdl.comparison.results`.
    """
    parts = []
    for title, rows in sorted(_by_text([r["metrics"] for r in records]).items()):
        lines = [["method", *COLUMNS, "minutes", "command"]]
        for row in rows:
            record = None if row.run is None else records[row.run]
            lines.append([row.method, *row.cells, *costs_of(record)])
        parts.append(markdown_section(f"## {title}", ABOUT, lines))
    return parts
