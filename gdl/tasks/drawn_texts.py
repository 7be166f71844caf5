"""Draws of a model of text."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import Continues, Samples, refuse
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.growing import as_symbols, growing, without_stop
from gdl.families.windows import continuations
from gdl.tasks.latents import truncation
from gdl.tasks.live_text import LiveText
from gdl.texts import Show, Texts

__all__ = [
    "draw_texts",
    "draw_windows",
    "goes_on",
    "refuse_image_options",
    "refuse_text_options",
    "writes_text",
]

AT_ONCE = 256
"""Texts that are drawn together, which bounds the memory."""


def writes_text(model: GenerativeModel) -> bool:
    """Return whether the values of a model's images are the symbols of a text."""
    return alphabet_of(model.config) is not None


def goes_on(model: GenerativeModel) -> bool:
    """Return whether a model of text draws symbol by symbol, from left to right."""
    own: Any = model
    try:
        return isinstance(model, Continues) and bool(
            continuations(own, 1, as_symbols(b""), Drawing())
        )
    except GdlError:
        return False


def refuse_text_options(model: GenerativeModel, **options: object) -> None:
    """Refuse options of texts for another model.

    Raises:
        GdlError: One is given.
    """
    _refuse(
        options,
        f"is for models of text, and this {type(model).__name__} is one of other data: leave it out, "
        "or use a run of data=text.",
    )


def refuse_image_options(model: GenerativeModel, **options: object) -> None:
    """Refuse options of images for a model of text.

    Raises:
        GdlError: One is given.
    """
    _refuse(
        options,
        f"is for images, and this {type(model).__name__} is a model of text: leave it out.",
    )


def _refuse(options: dict[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise GdlError(f"task.{name} {why}")


def draw_texts(
    model: GenerativeModel,
    what: str,
    n: int,
    prompt: str = "",
    length: int | None = None,
    stop: str | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    shown: str | None = None,
) -> Texts:
    """Return n texts; text k depends on (seed, k) only, and a shorter one is the beginning of it.

    Where a text is longer than the model's window, a symbol depends on at least the half of a window
    before it, see `gdl.families.windows`.

    Args:
        model: A model of text, see `writes_text`.
        what: What one of them is, e.g. "completion".
        n: How many.
        prompt: The beginning of each.
        length: Symbols after the prompt, which are bytes or characters as the model has them; by
            default up to the end of the window.
        stop: A text ends in front of the first of these that it draws.
        seed: Seed of the whole set.
        temperature: Divides the logits; 0 takes the most likely symbol.
        top_k: Draw from the k most likely symbols only; None for all.
        top_p: Draw from the fewest symbols that have this probability together.
        shown: What stands in the place of the prompt in the texts; None for the prompt.

    Raises:
        Incapable: The model cannot continue a text.
        GdlError: The prompt is too long, or has characters outside of the model's alphabet; or top_k or
            top_p is out of range.
    """
    if not isinstance(model, Continues):
        refuse(model, Continues, "A text asks for a model that continues its beginning", models)
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    if len(alphabet) != model.levels:
        raise GdlError(
            f"The run's alphabet has {len(alphabet)} symbols, and its model {model.levels} levels: its "
            "checkpoint is damaged, train it again."
        )
    symbols = _symbols(alphabet, "prompt", prompt)
    end = _symbols(alphabet, "stop", stop or "").numpy().tobytes()
    left = model.num_dims - len(symbols)
    if length is not None:
        at_least_one("task.length", length)
    if left < 0 or (left == 0 and length is None):
        raise GdlError(
            f"task.prompt has {len(symbols):,} {alphabet.unit}s, which fill the model's window of "
            f"{model.num_dims:,}: keep the last {model.num_dims - 1:,} of them, or use a run with a "
            "larger data.length."
        )
    how = Drawing(seed, temperature, **truncation(model, top_k, top_p))
    shown = prompt if shown is None else shown
    own: Any = model
    continuations(own, 1, symbols, how)  # what is wrong is told before the first text is shown

    def texts(show: Show | None) -> list[str]:
        found = []
        for some in _parts(range(n), AT_ONCE if show is None else 1):
            live = LiveText(alphabet, end, partial(show, some[0])) if show is not None else None
            if show is not None:
                show(some[0], shown)
            rows: list[bytearray] = []
            for rows in growing(own, len(some), symbols, how, length or left, end, some):
                if live is not None:
                    live.show(rows[0])
            if live is not None:
                live.close(rows[0])
            found += [shown + alphabet.decode(as_symbols(without_stop(row, end))) for row in rows]
        return found

    return Texts(what, n, texts)


def draw_windows(
    model: GenerativeModel,
    n: int,
    length: int | None = None,
    stop: str | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Texts:
    """Return n texts of a model that draws whole windows only, cut like those of `draw_texts`.

    Raises:
        Incapable: The model does not draw value by value, which top_k and top_p ask for.
        GdlError: The length is more than a window, or top_k or top_p is out of range.
    """
    assert isinstance(model, Samples)
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    end = _symbols(alphabet, "stop", stop or "").numpy().tobytes()
    length = model.num_dims if length is None else length
    at_least_one("task.length", length)
    if length > model.num_dims:
        raise GdlError(
            f"task.length={length} is more than the window of {model.num_dims:,}, and this "
            f"{type(model).__name__} draws whole windows only: use at most {model.num_dims}, or a "
            "run of model=transformer."
        )

    kept = truncation(model, top_k, top_p)

    def texts(show: Show | None) -> list[str]:
        x = model.sample(n, seed=seed, temperature=temperature, mean=False, **kept)
        rows = x.round().to(torch.uint8).flatten(1)[:, :length].cpu().numpy()
        drawn = [row.tobytes() for row in rows]
        parts = [row.partition(end)[0] if end else row for row in drawn]
        found = [alphabet.decode(as_symbols(part)) for part in parts]
        for k, text in enumerate(found if show is not None else ()):
            show(k, text)  # pyright: ignore[reportOptionalCall]
        return found

    return Texts("sample", n, texts)


def _parts(numbers: range, size: int) -> list[Sequence[int]]:
    return [numbers[k : k + size] for k in numbers[::size]]


def _symbols(alphabet: Alphabet, option: str, text: str) -> Tensor:
    """Return the symbols (T,) of an option of the task."""
    try:
        return alphabet.encode(text)
    except GdlError as e:
        raise GdlError(f"task.{option}: {e}") from e
