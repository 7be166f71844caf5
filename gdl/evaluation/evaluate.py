"""Test numbers with their standard errors, for evaluate.py."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from gdl.capabilities import HasLogProb
from gdl.corruptions.masks import known_pixels
from gdl.errors import GdlError
from gdl.evaluation.divergence import divergence
from gdl.evaluation.flow import dequantization_bound, inversion
from gdl.evaluation.latent import active_units, importance_weighted_bound, rate_distortion
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.families.terms import mean_and_error
from gdl.models.vae import VAE
from gdl.noise import seed_noise
from gdl.tasks.completion import completing_models

__all__ = ["evaluate"]


@torch.inference_mode()
def evaluate(
    model: GenerativeModel,
    x: Tensor,
    k: int,
    batch_size: int,
    seed: int,
    dequantization_samples: int = 1,
    known: str | None = None,
    truth: HasLogProb | None = None,
) -> dict[str, Any]:
    """Return numbers for metrics.json, in nats and in bits/dim.

    Args:
        model: In eval mode.
        x: Test images (N, C, H, W) uint8.
        k: Importance samples of the IWAE bound, for models with latents.
        batch_size: Images at a time.
        seed: Seeds all draws.
        dequantization_samples: Noise samples per image of a flow's bound.
        known: Also score the pixels that are not known given those that are; see `known_pixels`.
        truth: The data's density, where it is known; see `divergence`.
    """
    terms = _terms(model, x.split(batch_size), seed)
    if isinstance(model, VAE):
        terms |= rate_distortion(model, x.split(batch_size), seed=seed)
        if model.num_importance_samples == 1:
            terms["nll"] = -terms["elbo"]
    metrics: dict[str, Any] = {}
    for term, values in terms.items():
        metrics[f"test/{term}"], metrics[f"test/{term}_se"] = mean_and_error(values)
    if "nll" in terms:
        metrics |= _bits(model, "test", terms["nll"])
    if truth is not None:
        metrics |= divergence(terms["nll"], truth, x)
    if isinstance(model, VAE):
        batches = track(x.split(50), f"iwae-{k}", transient=True, disable=not sys.stdout.isatty())
        bound, effective = importance_weighted_bound(model, batches, k, seed=seed)
        metrics |= _bits(model, f"iwae-{k}", bound)
        metrics[f"iwae-{k}/effective_samples"] = float(effective.median())
        metrics["active_units"] = active_units(model, x.split(batch_size))
    if isinstance(model, FlowModel):
        metrics |= inversion(model, x.split(batch_size), seed=seed)
        if dequantization_samples > 1:
            bound = dequantization_bound(
                model, x.split(batch_size), dequantization_samples, seed=seed
            )
            metrics |= _bits(model, f"dequant-{dequantization_samples}", bound)
    if known is not None:
        metrics |= _completion(model, x.split(batch_size), known)
    return metrics


def _completion(model: GenerativeModel, batches: Iterable[Tensor], name: str) -> dict[str, float]:
    """Return the conditional nats and bits/dim of the pixels that are not known.

    They are called "given-NAME" where they are exact, and "ordered-NAME" where unknown pixels precede
    known ones in the model's order: then each is scored given the pixels before it only.
    """
    if not isinstance(model, AutoregressiveModel):
        raise GdlError(
            f"known={name} asks for a conditional probability, which {type(model).__name__} lacks: "
            f"use a run of {completing_models()}, or leave known=null."
        )
    mask = known_pixels(name, model.shape).to(model.device)
    nll = [-model.log_prob_given(x.to(model.device), mask).double().cpu() for x in batches]
    kind = "given" if model.known_come_first(mask) else "ordered"
    return _bits(model, f"{kind}-{Path(name).name}", torch.cat(nll), int((~mask).sum()))


def _terms(model: GenerativeModel, batches: Iterable[Tensor], seed: int) -> dict[str, Tensor]:
    """Return the model's own terms (N,) over all images."""
    found: list[dict[str, Tensor]] = []
    for i, x in enumerate(batches):
        seed_noise(model.device, "evaluate", seed, i)
        found.append({k: v.double().cpu() for k, v in model.loss(x.to(model.device)).items()})
    return {name: torch.cat([f[name] for f in found]) for name in found[0]}


def _bits(
    model: GenerativeModel, prefix: str, nll: Tensor, dims: int | None = None
) -> dict[str, float]:
    nats, error = mean_and_error(nll)
    metrics = {f"{prefix}/nll": nats, f"{prefix}/nll_se": error}
    if model.levels is not None:
        metrics[f"{prefix}/bpd"] = model.bits_per_dim(nats, dims)
        metrics[f"{prefix}/bpd_se"] = model.bits_per_dim(error, dims)
    return metrics
