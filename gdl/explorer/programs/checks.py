"""Compares the programs of a page with the model itself, so that no page shows another model."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from gdl.capabilities import HasPosterior
from gdl.errors import GdlError
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.layers import Inexpressible
from gdl.explorer.weights import most_exact, rounded
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel

__all__ = ["check", "label_rows", "refuse_own_methods"]

PIXEL, RELATIVE = 2 / 255, 1e-2
"""Largest error of a pixel, as a part of the range of the levels, and largest relative error of other
outputs, with weights of 16 bits."""

ROUNDING = 1e-4
"""Largest error with weights of 32 bits: more is not rounding, but another model."""

METHODS = ["scale", "encode", "decode", "posterior", "log_joint", "likelihood_params"]
METHODS += ["label_rows_of", "_output", "_decoded"]
"""What programs compute, where a model has it."""


def refuse_own_methods(model: GenerativeModel, family: type[GenerativeModel]) -> None:
    """Raise Inexpressible if the class of a model computes something else than its family."""
    for name in METHODS:
        if getattr(type(model), name, None) is not getattr(family, name, None):
            raise Inexpressible(
                f"The page cannot run {type(model).__name__}.{name}, which differs from "
                f"{family.__name__}.{name}: let Python decode, with gdl explore --serve."
            )


@torch.inference_mode()
def check(
    model: GenerativeModel,
    graphs: Mapping[str, Graph],
    weights: Weights,
    x: Tensor,
    y: Tensor | None = None,
) -> None:
    """Compare programs with their model, at the codes of some images and at draws from N(0, I).

    Args:
        model: The model, in eval mode.
        graphs: Its programs.
        weights: Their weights, which are taken as they are, and rounded to 16 bits as in the page.
        x: Some images (B, C, H, W) uint8, or vectors (B, D).
        y: Their labels (B,) of a conditional model, -1 where unknown.

    Raises:
        GdlError: The model gives numbers that are not finite.
        Inexpressible: The programs compute something else, or need more than 16 bits.
    """
    name = type(model).__name__
    if model.dtype not in (torch.float32, torch.float64):
        # the page computes in 32 bits, and what a model loses in 16 bits makes it no other model
        model = copy.deepcopy(model).float()
    inputs, own = _own(model, x, y)
    for output, value in own.items():
        if not bool(value.isfinite().all()):
            raise GdlError(
                f"The {output} that this {name} computes is not finite, so there is nothing to "
                "explore: train it again, e.g. with a smaller model.optimizer.lr."
            )
    for tensors in (None, rounded(weights.tensors, most_exact(model.shape))):
        found: dict[str, Tensor] = {}
        for program in graphs.keys() & {"encode", "decode", "distortion"}:
            found |= graphs[program].run(inputs, tensors)
        if "log_prior" in graphs and "log_prob" in own:
            found["log_prob"] = _log_prob(graphs, inputs, tensors)
        for output in found.keys() & own.keys():
            limit = PIXEL if output == "image" and model.levels is not None else RELATIVE
            limit = ROUNDING if tensors is None else limit
            # NaN is not below the limit
            if not _error(found[output], own[output], output, model.levels) <= limit:
                what = "computes something else than its family"
                what = what if tensors is None else "needs weights of more than 16 bits"
                raise Inexpressible(
                    f"{name} {what} ({output}), so the page cannot run it: let Python decode, with gdl "
                    "explore --serve."
                )


def label_rows(model: GenerativeModel, y: Tensor | None, n: int) -> dict[str, Tensor]:
    """Return the input "y" (n,) of the programs; nothing for a model without labels.

    Args:
        model: The model.
        y: Labels (n,), -1 where unknown; None for all unknown.
        n: Number of images.
    """
    if not model.num_classes:
        return {}
    unknown = torch.full((n,), model.num_classes)
    return {"y": unknown if y is None else torch.where(y < 0, unknown, y)}


def _own(
    model: GenerativeModel, x: Tensor, y: Tensor | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the inputs of the programs, and the outputs as the model computes them."""
    x = torch.cat([x, x])
    y = None if y is None or not model.num_classes else torch.cat([y, y])
    labels, coder = [] if y is None else [y], cast(Any, model)
    is_variational = isinstance(model, HasPosterior)
    mean, *log_std = coder.posterior(x, *labels) if is_variational else [coder.encode(x, *labels)]
    half = len(x) // 2
    draws = torch.randn(mean[half:].shape, generator=torch.Generator().manual_seed(0))
    z = torch.cat([mean[:half], draws.to(mean)])
    own = {"mean": mean, "image": coder.decode(z, *labels)}
    if is_variational:
        own |= {"log_std": log_std[0], "distortion": -coder.log_joint(x, z, *labels)[0]}
    if isinstance(model, FlowModel) and model.levels is None and (labels or not model.num_classes):
        own["log_prob"] = model.log_prob(x, *labels)
    return {"x": x, "z": z, **label_rows(model, y, len(x))}, own


def _log_prob(
    graphs: Mapping[str, Graph], inputs: Mapping[str, Tensor], tensors: list[Tensor] | None
) -> Tensor:
    """Return log p(x) (N,) in nats as the layers of a flow and its prior give it, one by one."""
    h, total = inputs["x"].float(), torch.zeros(len(inputs["x"]))
    count = sum(name.startswith("layer") for name in graphs)
    for k in range(1, count + 1):
        found = graphs[f"layer{k}"].run({"h": h}, tensors)
        h, total = found["h"], total + found.get("log_det", 0)
    return total + graphs["log_prior"].run({**inputs, "z": h}, tensors)["log_p"]


def _error(found: Tensor, own: Tensor, output: str, levels: int | None) -> float:
    """Return the largest error: of pixels as a part of their range, of others relative."""
    error = (found - own).abs()
    if output == "image" and levels is not None:
        return float(error.max()) / (levels - 1)
    # of each image: those far from the data have many nats
    if output in ("distortion", "log_prob"):
        return float((error / own.abs().clamp(min=1)).max())
    return float(error.max() / own.abs().max().clamp(min=1e-6))
