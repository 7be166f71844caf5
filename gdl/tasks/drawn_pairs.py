"""Targets drawn by a model of pairs of texts."""

from typing import Any

from gdl.data.alphabets import alphabet_of
from gdl.data.pairs import split_pair
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.translations import translate
from gdl.tasks.drawn_texts import draw_texts, writes_text
from gdl.tasks.images import LazyImages
from gdl.texts import Show, Texts

__all__ = ["ARROW", "draw_targets", "room_for_target", "translates", "with_targets"]

ARROW = " -> "
"""What stands between a source and its target where they are shown."""


def translates(model: GenerativeModel) -> bool:
    """Return whether a model is one of targets given their sources."""
    return writes_text(model) and getattr(model, "ends", None) is not None


def draw_targets(
    model: GenerativeModel,
    n: int,
    source: str,
    length: int | None = None,
    stop: str | None = None,
    **how: Any,
) -> Texts:
    """Return n draws of a target, as "source -> target"; draw k depends on (seed, k) only.

    Args:
        model: See `translates`.
        n: How many.
        source: A text of one line.
        length: Symbols of a target at most; by default those that the window has left.
        stop: None, since a target has an end.
        **how: Of `Drawing`, also the seed.

    Raises:
        GdlError: The source is no line, too long, or has characters outside of the model's alphabet, or
            an option does not fit.
    """
    if stop is not None:
        raise GdlError("task.stop is for other texts, a target ends by itself: leave it out.")
    left = room_for_target(model, source)
    if length is not None:
        at_least_one("task.length", length)
    if length is not None and length > left:
        raise GdlError(
            f"task.length={length} is more than the {left} symbols that the source leaves in "
            f"the model's window of {model.num_dims:,}: use {left} or less, or leave it out."
        )
    shown = f"{source}{ARROW}"
    return draw_texts(model, "completion", n, f"{source}\t", length, "\n", shown=shown, **how)


def room_for_target(model: GenerativeModel, source: str, option: str = "task.prompt") -> int:
    """Return how many symbols a source and its tab leave in the window, at least one.

    Args:
        model: See `translates`.
        source: A text of one line.
        option: What gave it, for sentences.

    Raises:
        GdlError: The source is no line, too long, or has characters outside of the model's alphabet.
    """
    if "\t" in source or "\n" in source:
        raise GdlError(
            f"{option} is the source of a pair, one line without a tab: leave out tabs and new "
            "lines, the tab behind it is added."
        )
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    try:
        left = model.num_dims - len(alphabet.encode(f"{source}\t"))
    except GdlError as e:
        raise GdlError(f"{option}: {e}") from e
    if left < 1:
        raise GdlError(
            f"{option} takes {model.num_dims - left:,} {alphabet.unit}s with its tab, and the "
            f"model's window of {model.num_dims:,} is for the target, too: use a shorter one, or a "
            "run with a larger data.length."
        )
    return left


def with_targets(
    model: GenerativeModel,
    x: Any,
    n: int,
    length: int | None = None,
    stop: str | None = None,
    **how: Any,
) -> Texts:
    """Return the sources of the first n images, each with a drawn target, a line for each.

    Line k depends on its source and (seed, k) only.

    Args:
        model: See `translates`.
        x: Images (N, 1, 1, L) of pairs.
        n: How many, at most N.
        length: None, since a target has an end.
        stop: None.
        **how: Of `Drawing`, also the seed.

    Raises:
        GdlError: An option does not fit.
    """
    for name, value in (("length", length), ("stop", stop)):
        if value is not None:
            raise GdlError(
                f"task.{name} is for other texts, the targets of pairs end by themselves: leave it out."
            )
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    drawing = Drawing(**how)
    rows = (x.images if isinstance(x, LazyImages) else x)[:n].cpu()
    sources = [split_pair(alphabet.decode(row))[0] for row in rows]

    def texts(show: Show | None) -> list[str]:
        targets = translate(model, sources, drawing).texts
        lines = [f"{s}{ARROW}{t}" for s, t in zip(sources, targets, strict=True)]
        if show is not None:
            show(0, "\n".join(lines))
        return ["\n".join(lines)]

    return Texts("sample", 1, texts, len(sources))
