"""Section checkpoints of the page: the latent space forms, epoch by epoch."""

from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import HasLatents, HasPosterior
from gdl.evaluation.representations import principal_components
from gdl.explorer.epochs import Epoch
from gdl.explorer.subject import Subject
from gdl.explorer.weights import packed

__all__ = ["content"]

POINTS = 500
"""Test images that move, at most."""


def content(subject: Subject) -> dict[str, Any] | None:
    """Return what the section shows; None for a page of one set of weights.

    Returns:
        "epochs": a text for each set of weights, the chosen ones last. "positions", packed: where
        they put test images, (E, N, 2): their codes, or the first two principal components of the
        codes of the chosen weights, so that a movement means the same in all epochs. "labels",
        "names" and "prior" as of the map. "axes": what the positions are. "left_out": kept epochs
        that the page has no room for.
    """
    if not subject.epochs:
        return None
    shown = [epoch for epoch in subject.epochs if not is_same(epoch, subject)]
    models = [*(epoch.model for epoch in shown), subject.model]
    total = max([*subject.run.epochs(), 0])
    texts = [_text(epoch, total) for epoch in shown]
    chosen = [epoch for epoch in subject.epochs if is_same(epoch, subject)]
    texts.append(f"the best: {_text(chosen[-1], total)}" if chosen else "the best of all epochs")
    kept = {epoch.number for epoch in subject.epochs}
    part = {
        "epochs": texts,
        "left_out": [n for n in subject.run.epochs() if n not in kept],
        "positions": None,
    }
    if not isinstance(subject.model, HasLatents):
        return part
    codes = [_codes(subject, model) for model in models]
    finite = torch.stack([z.isfinite().all(1) for z in codes]).all(0)
    if not finite.any():
        return part
    places, axes = _positions([z[finite] for z in codes])
    labels = subject.labels
    return part | {
        "positions": packed([places]),
        "axes": axes,
        "labels": None if labels is None else labels[:POINTS][finite].tolist(),
        "names": subject.class_names,
        "prior": isinstance(subject.model, HasPosterior) and codes[-1].shape[1] <= 2,
    }


def is_same(epoch: Epoch, subject: Subject) -> bool:
    """Return whether the weights of an epoch are the chosen ones, which the page has already."""
    own, chosen = epoch.model.state_dict(), subject.model.state_dict()
    return all(torch.equal(own[name], value) for name, value in chosen.items())


def _text(epoch: Epoch, total: int) -> str:
    when = f"epoch {epoch.number} of {total}" if epoch.number else "before the first step"
    return ", ".join(filter(None, [when, epoch.score]))


def _codes(subject: Subject, model: Any) -> Tensor:
    """Return the codes (N, M) that a model gives to the first test images of the page."""
    if model is subject.model:
        return subject.posterior[0][:POINTS]
    other = Subject(subject.run, model, subject.data, subject.points, subject.seed)
    return other.posterior[0][:POINTS]


def _positions(codes: list[Tensor]) -> tuple[Tensor, str]:
    """Return places (E, N, 2) of codes, E times (N, M), and what they are."""
    width = codes[0].shape[1]
    if width == 1:  # spread out over the second axis, as on the map
        up = torch.arange(len(codes[0])).mul(0.618034).frac() * 2 - 1
        return torch.stack([torch.stack([z[:, 0], up], 1) for z in codes]), "the latent, across"
    if width == 2 or len(codes[0]) < 2:
        return torch.stack([z[:, :2] for z in codes]), "the two latents"
    found = principal_components(codes[-1], 2)
    axes = "the first two principal components of the codes of the best weights"
    return torch.stack([found.encode(z) for z in codes]), axes
