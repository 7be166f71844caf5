"""Section flow: points move through the layers of a flow on the line or in the plane."""

import math
from typing import Any

import torch
from torch import Tensor

from gdl.data import Toy
from gdl.explorer.bijections import plain_layers
from gdl.explorer.subject import Subject
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection
from gdl.flows.priors import LogisticPrior

__all__ = ["content"]

POINTS = 2000
"""Points that move, at most."""

WIDER = 1.1
"""The pictures end this far behind the points."""


@torch.inference_mode()
def content(subject: Subject) -> dict[str, Any] | None:
    """Return points and layers of a flow in one or two dimensions; None for other models.

    layers: names of the K layers.
    points: test points, N * D numbers.
    labels: of the points, -1 where unknown; None without labels. names: of the classes.
    known: log-densities (N,) of the points in nats under the distribution of the data; None if unknown.
    boxes: what the pictures before and after each layer show, K + 1 times [centres..., half sides...].
    prior: "normal" or "logistic", what new latents are drawn from.
    """
    model = subject.model
    if not isinstance(model, FlowModel) or model.shape not in {(1,), (2,)}:
        return None
    x = subject.images[:POINTS].float()
    labels = None if subject.labels is None else subject.labels[:POINTS].tolist()
    known = None
    if isinstance(subject.data, Toy):
        known = _rounded(subject.data.log_prob(x)).tolist()
    layers = plain_layers(model.bijection)
    return {
        "layers": [type(layer).__name__ for layer in layers],
        "points": torch.stack([_rounded(column) for column in x.T], 1).flatten().tolist(),
        "labels": labels,
        "names": subject.class_names,
        "known": known,
        "boxes": _boxes(layers, x.to(model.device)),
        "prior": "logistic" if isinstance(model.prior, LogisticPrior) else "normal",
    }


def _boxes(layers: list[Bijection], h: Tensor) -> list[list[float]]:
    """Return what the picture of each place shows, the same for all where one is enough."""
    found = [_ends(h)]
    for layer in layers:
        h = layer(h)[0]
        found.append(_ends(h))
    sides = [float(torch.stack(ends).abs().max()) for ends in found]
    if max(sides) <= 4 * min(sides):
        d = h.shape[1]
        return [[0.0] * d + [_round(max(sides) * WIDER)] * d] * len(found)
    return [[*((low + high) / 2).tolist(), *_sides(low, high).tolist()] for low, high in found]


def _sides(low: Tensor, high: Tensor) -> Tensor:
    """Return half sides (D,) of a picture, above 0 even if all numbers are the same."""
    least = 1e-6 * torch.maximum(low.abs(), high.abs()).clamp(min=1e-6)
    return ((high - low) / 2 * WIDER).maximum(least)


def _ends(h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest numbers (D,) of nearly all points (N, D)."""
    low, high = h.double().cpu().quantile(torch.tensor([0.004, 0.996], dtype=torch.float64), 0)
    return low, high


def _round(side: float) -> float:
    """Return a side rounded up to a quarter, if it is not small."""
    return -(-side // 0.25) * 0.25 if side > 1 else side


def _rounded(values: Tensor) -> Tensor:
    """Return numbers (N,) to a hundred-thousandth of their spread, which a picture cannot tell."""
    values = values.double().cpu()
    spread = float(values.max() - values.min()) if len(values) else 0.0
    if not spread or not math.isfinite(spread):
        return values
    return torch.tensor(
        [round(v, 5 - math.ceil(math.log10(spread))) for v in values.tolist()], dtype=torch.float64
    )
