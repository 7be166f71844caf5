"""Completions of a model of text during its training, as one table that grows, and as files."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.pairs import split_pair
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.tasks.drawn_pairs import ARROW, draw_targets, room_for_target, translates
from gdl.tasks.drawn_texts import draw_texts, goes_on, writes_text
from gdl.texts import visible

__all__ = [
    "COLUMNS",
    "as_markdown",
    "between",
    "check_prompts",
    "completions",
    "own_prompts",
    "shown",
    "table_rows",
]

COLUMNS = ["epoch", "step", "prompt", "draw", "completion"]
"""Columns of the table."""

TYPES = (int, int, str, int, str)

PROMPTS = 3
"""How many prompts there are where none are given, see `own_prompts`."""

LENGTH = 200
"""Symbols of a completion, at most."""

OPTION = "callbacks.images.prompts"


def check_prompts(model: GenerativeModel, prompts: Sequence[str]) -> None:
    """Check prompts before a training.

    Raises:
        GdlError: One is empty, has symbols that the model does not know or is as long as its window, or
            of a model of pairs no source; or the model does not complete texts.
    """
    if not prompts:
        return
    alphabet = alphabet_of(model.config) if writes_text(model) and goes_on(model) else None
    if alphabet is None:
        raise GdlError(
            f"{OPTION} is for models that complete texts, and this {type(model).__name__} does not: "
            "leave it out, or use model=transformer data=text."
        )
    for prompt in prompts:
        if prompt and translates(model):
            room_for_target(model, prompt, OPTION)
            continue
        try:
            length = len(alphabet.encode(prompt))
        except GdlError as e:
            raise GdlError(f"{OPTION}: {e}") from e
        most = model.num_dims - 1 - translates(model)  # a target has one symbol at least
        if not 0 < length <= most:
            raise GdlError(
                f"{OPTION} has a prompt of {length} {alphabet.unit}s: give from 1 to "
                f"{most}, as many as the window of {model.num_dims} allows."
            )


def own_prompts(model: GenerativeModel, windows: Tensor) -> list[str]:
    """Return the first quarters of some windows (N, 1, 1, L), spread over all of them, as prompts.

    Of a model of pairs they are the first sources, which stand in no order.
    """
    alphabet = alphabet_of(model.config)
    if alphabet is None or not goes_on(model):
        return []
    if translates(model):
        return _sources(alphabet, windows)
    some = windows[:: max(1, -(-len(windows) // PROMPTS))].flatten(1)
    found = (alphabet.decode(row[: model.num_dims // 4]) for row in some)
    # a character of several bytes may be cut at both ends
    return [prompt for text in found if (prompt := text.strip("\ufffd"))]


def _sources(alphabet: Alphabet, windows: Tensor) -> list[str]:
    """Return the first `PROMPTS` different sources of windows (N, 1, 1, L) of pairs."""
    found: dict[str, None] = {}
    for row in windows:
        found[split_pair(alphabet.decode(row))[0]] = None
        if len(found) == PROMPTS:
            break
    return [*found]


@torch.inference_mode()
def completions(
    model: GenerativeModel, prompts: Sequence[str], draws: int, seed: int
) -> list[tuple[str, int, str]]:
    """Return prompt, number of the draw from 1 on, and what follows the prompt, up to the window's end.

    Of a model of pairs a prompt is a source, and what follows a target, which ends by itself. Draw k
    of prompt i depends on (seed + i, k) and the weights only.
    """
    found = []
    for i, prompt in enumerate(prompts):
        if translates(model):
            left = room_for_target(model, prompt, OPTION)
            drawn = draw_targets(model, draws, prompt, min(LENGTH, left), seed=seed + i)
        else:
            left = model.num_dims - len(_encoded(model, prompt))
            drawn = draw_texts(
                model, "completion", draws, prompt, min(LENGTH, left), seed=seed + i
            )
        before = len(prompt + between(model))
        found += [(prompt, k, text[before:]) for k, text in enumerate(drawn.texts, 1)]
    return found


def between(model: GenerativeModel) -> str:
    """Return what stands between a prompt and its completion where they are shown together."""
    return ARROW if translates(model) else ""


def _encoded(model: GenerativeModel, prompt: str) -> Tensor:
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    return alphabet.encode(prompt)


def table_rows(rows: Any) -> list[list[Any]]:
    """Return those of the rows that have `COLUMNS`, of a checkpoint that may be somebody else's."""
    listed = rows if isinstance(rows, list) else []
    fit = [
        row for row in listed if isinstance(row, list | tuple) and [*map(type, row)] == [*TYPES]
    ]
    return [list(row) for row in fit]


def shown(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return rows whose texts hold no character that a terminal obeys."""
    return [[visible(v) if isinstance(v, str) else v for v in row] for row in rows]


def as_markdown(rows: Sequence[Sequence[Any]], between: str = "") -> str:
    """Return rows as blocks of code, in which Markdown and HTML mean nothing; see `between`."""
    parts = []
    for _, _, prompt, k, text in rows:
        lines = visible(f"--- draw {k} ---\n{prompt}{between}{text}").split("\n")
        parts.append("\n".join(f"    {line}" for line in lines))
    return "\n".join(parts)
