"""Translations by a model of pairs: what follows a source and a tab, up to the end of the line."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.growing import as_symbols, ended, growing, without_stop
from gdl.families.progress import Counter

__all__ = ["Translated", "translate"]

GREEDY = Drawing(temperature=0.0)


class Translated(NamedTuple):
    """The translations of some sources, in their order."""

    texts: list[str]
    unended: list[int]
    """Indices of the sources whose translation had no end, and is cut where the window ends."""


def translate(
    model: GenerativeModel,
    sources: Sequence[str],
    how: Drawing = GREEDY,
    batch_size: int = 256,
    indices: Sequence[int] | None = None,
) -> Translated:
    """Return a translation of each source; translation k depends on it, the seed and indices[k] only.

    Sources of the same length are translated together, with one cache of keys and values.

    Args:
        model: A model of lines "source, tab, target, new line" that continues texts, in eval mode.
        sources: Any texts without a tab or a new line.
        how: How symbols are drawn; by default each is the most likely one.
        batch_size: Sources at a time.
        indices: The index of each source in the set of that seed; by default 0 to n - 1.

    Raises:
        GdlError: A source leaves no room in the window, or has characters that the model does not
            know; or see `continuations`.
    """
    alphabet = alphabet_of(model.config)
    assert alphabet is not None
    own = range(len(sources)) if indices is None else indices
    prompts = [_prompt(model, alphabet, source) for source in sources]
    by_length: dict[int, list[int]] = {}
    for k, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(k)
    texts, unended, done = [""] * len(sources), [], 0
    with Counter(len(sources), "translating") as counter:
        for numbers in by_length.values():
            for some in (numbers[i : i + batch_size] for i in range(0, len(numbers), batch_size)):
                batch = torch.stack([prompts[k] for k in some])
                drawn = _lines(model, alphabet, batch, how, [own[k] for k in some])
                for k, (text, ended) in zip(some, drawn, strict=True):
                    texts[k] = text
                    unended += [] if ended else [k]
                counter.show(done := done + len(some))
    return Translated(texts, sorted(unended))


def _prompt(model: GenerativeModel, alphabet: Alphabet, source: str) -> Tensor:
    """Return the symbols (T,) of a source and a tab."""
    if "\t" in source or "\n" in source:
        raise GdlError(f"A source is one line without a tab, got {source!a:.60}.")
    prompt = alphabet.encode(f"{source}\t")
    if len(prompt) >= model.num_dims:
        raise GdlError(
            f"The source {source!a:.60} has {len(prompt) - 1:,} {alphabet.unit}s, and the model's "
            f"window of {model.num_dims:,} is for source, tab and target: shorten it, or use a run "
            "with a larger data.length."
        )
    return prompt


def _lines(
    model: GenerativeModel, alphabet: Alphabet, prompts: Tensor, how: Drawing, indices: list[int]
) -> Iterator[tuple[str, bool]]:
    """Yield what follows each of the prompts (n, T), and whether it came to the end of the line."""
    own: Any = model
    end = alphabet.encode("\n").numpy().tobytes()
    left = model.num_dims - prompts.shape[1]
    *_, rows = growing(own, len(prompts), prompts, how, left, end, indices)
    for row in rows:
        yield alphabet.decode(as_symbols(without_stop(row, end))), ended(row, end)
