"""Completions of a model of text during its training, as one table that grows, and as files."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.alphabets import alphabet_of
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.tasks.drawn_texts import draw_texts, goes_on, writes_text
from gdl.texts import visible

__all__ = [
    "COLUMNS",
    "as_markdown",
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
"""Windows of the validation text whose beginnings are prompts where none are given."""

LENGTH = 200
"""Symbols of a completion, at most."""

OPTION = "callbacks.images.prompts"


def check_prompts(model: GenerativeModel, prompts: Sequence[str]) -> None:
    """Check prompts before a training.

    Raises:
        GdlError: One is empty, has symbols that the model does not know or is as long as its window; or
            the model does not complete texts.
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
        try:
            length = len(alphabet.encode(prompt))
        except GdlError as e:
            raise GdlError(f"{OPTION}: {e}") from e
        if not 0 < length < model.num_dims:
            raise GdlError(
                f"{OPTION} has a prompt of {length} {alphabet.unit}s: give from 1 to "
                f"{model.num_dims - 1}, as many as the window of {model.num_dims} allows."
            )


def own_prompts(model: GenerativeModel, windows: Tensor) -> list[str]:
    """Return the first quarters of some windows (N, 1, 1, L), spread over all of them, as prompts."""
    alphabet = alphabet_of(model.config)
    if alphabet is None or not goes_on(model):
        return []
    some = windows[:: max(1, -(-len(windows) // PROMPTS))].flatten(1)
    found = (alphabet.decode(row[: model.num_dims // 4]) for row in some)
    # a character of several bytes may be cut at both ends
    return [prompt for text in found if (prompt := text.strip("\ufffd"))]


@torch.inference_mode()
def completions(
    model: GenerativeModel, prompts: Sequence[str], draws: int, seed: int
) -> list[tuple[str, int, str]]:
    """Return prompt, number of the draw from 1 on, and what follows the prompt, up to the window's end.

    Draw k of prompt i depends on (seed + i, k) and the weights only.
    """
    found = []
    for i, prompt in enumerate(prompts):
        left = model.num_dims - len(_encoded(model, prompt))
        drawn = draw_texts(model, "completion", draws, prompt, min(LENGTH, left), seed=seed + i)
        found += [(prompt, k, text[len(prompt) :]) for k, text in enumerate(drawn.texts, 1)]
    return found


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


def as_markdown(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as blocks of code, in which Markdown and HTML mean nothing."""
    parts = []
    for _, _, prompt, k, text in rows:
        lines = visible(f"--- draw {k} ---\n{prompt}{text}").split("\n")
        parts.append("\n".join(f"    {line}" for line in lines))
    return "\n".join(parts)
