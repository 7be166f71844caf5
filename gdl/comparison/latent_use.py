"""Sentences on the runs of a comparison whose latents carry nothing."""

from collections.abc import Sequence

from gdl.comparison.entries import Entry
from gdl.comparison.ranking import differs_in
from gdl.runs.collapse import collapse

__all__ = ["collapse_lines"]


def collapse_lines(entries: Sequence[Entry]) -> list[str]:
    """Return a line for each run that does not use its latents, or only some of them."""
    told = [collapse(entry.metrics) for entry in entries]
    found = zip(entries, differs_in(entries), told, strict=True)
    return [
        f"{e.id}  {e.model} {differs}".rstrip() + f": {text}" for e, differs, text in found if text
    ]
