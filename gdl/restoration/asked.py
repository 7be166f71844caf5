"""The corruption that a command asks about, and whether a model is made for it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gdl.corruptions import Corruption, Seen, compose
from gdl.data.alphabets import alphabet_of
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise

__all__ = ["corruption_of", "empty"]


def corruption_of(
    model: GenerativeModel, asked: Mapping[str, Corruption] | None, by: str
) -> Corruption:
    """Return the corruption that was asked for, or else the one that the model was trained on.

    Args:
        model: The model.
        asked: Corruptions by name, one after the other; none for the model's own.
        by: What asks, for the message, as "measure=restoration".

    Raises:
        GdlError: There is none, or the model was trained on another kind, or is one of text.
    """
    if alphabet_of(model.config) is not None:
        raise GdlError(
            f"{by} asks what images lose, and this {type(model).__name__} is a model of text: use "
            "task=complete task.prompt=TEXT."
        )
    own = getattr(model, "corruption", None)
    chosen = compose([*asked.values()]) if asked else own
    if not isinstance(chosen, Corruption):
        raise GdlError(
            f"{by} asks what images lose, and this {type(model).__name__} was not trained on a "
            "corruption: name one, as corruption=missing_patch."
        )
    if isinstance(own, Corruption) and chosen != own:
        a, b = (empty(c, model.shape) for c in (own, chosen))
        if a.names != b.names or a.y.shape != b.y.shape or not _equal(a.copied, b.copied):
            raise GdlError(
                f"This {type(model).__name__} was trained on {own.name} and cannot undo {chosen.name} "
                "with these options: leave out corruption=, or train a model on what you ask for."
            )
    return chosen


def empty(corruption: Corruption, shape: tuple[int, ...]) -> Seen:
    """Return what is left of a black image (C, H, W): the sizes and the places of what is seen."""
    return corruption(torch.zeros(1, *shape), SampleNoise(0, [0]))


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and torch.equal(a, b)
