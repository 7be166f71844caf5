"""Section sliders of the page: one latent at a time, those that carry most first."""

import math
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import HasPosterior
from gdl.distributions import gaussian_kl
from gdl.evaluation.latent_use import is_active
from gdl.explorer.subject import Subject
from gdl.explorer.weights import packed
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.flows.priors import LogisticPrior

__all__ = ["content", "factor_of", "worth_of_latents"]

ACTIVE = 0.01
"""Variance of the means over the images from which on a latent is active, see `active_units`."""

REACH = 3.0
"""Sliders of a VAE go over this many standard deviations of the prior, or over all codes."""

CODES = 100
"""Test images whose codes the page can take, at most."""

CODE_NUMBERS = 6_400
"""Numbers in all these codes, at most: 34 kB of the page."""

TOGETHER = 64
"""Latents of which the fitted Gaussian has a full covariance; more are drawn one by one."""


def content(subject: Subject) -> dict[str, Any] | None:
    """Return order, worth, range and draws of the latents; None without latents, and for vectors.

    order: latents, those that carry information first, each part by falling worth;
    active: how many of them carry information; worth: of all latents, in nats or as a share;
    low, high: ranges of the sliders; mean: the code of "reset" and of temperature 0;
    prior: what draws are from, "normal" or "logistic", each latent by itself; "class" where each class
    has a prior and None where there is none, so that draws are from a Gaussian fitted to the codes;
    factor: L of a draw mean + temperature L n: None for the unit matrix, one row for a diagonal;
    codes: some test images' codes, with their labels.
    """
    if not getattr(subject.model, "latent_shape", None) or len(subject.model.shape) != 3:
        return None
    mean, log_std = subject.posterior
    finite = mean.isfinite().all(1)
    if not finite.any():
        return None
    labels, mean = subject.labels, mean[finite]
    labels = None if labels is None else labels[finite]
    log_std = None if log_std is None else log_std[finite]
    worth, active = worth_of_latents(mean, log_std)
    prior = prior_of(subject.model)
    has_prior = prior in ("normal", "logistic")
    low, high = ranges(mean, None if log_std is None else REACH)
    shown = mean[: min(CODES, max(1, CODE_NUMBERS // mean.shape[1]))]
    factor = None if has_prior else factor_of(mean)
    order = sorted(range(len(worth)), key=lambda j: (not active[j], -float(worth[j])))
    return {
        "kind": "variance" if log_std is None else "kl",
        "prior": prior,
        "images": len(mean),
        "order": order,
        "active": int(active.sum()),
        "worth": [round(float(w), 5) for w in worth],
        "low": low,
        "high": high,
        "mean": [0.0] * len(worth) if has_prior else [round(float(v), 6) for v in mean.mean(0)],
        "factor": None if factor is None else packed([factor]),
        "codes": packed([shown]),
        "labels": None if labels is None else labels[: len(shown)].tolist(),
    }


def prior_of(model: GenerativeModel) -> str | None:
    """Return what latents are drawn from: "normal", "logistic", "class" for one per class, or None."""
    if isinstance(model, HasPosterior):
        return "normal"
    if not isinstance(model, FlowModel):
        return None
    if model.class_prior is not None:
        return "class"
    return "logistic" if isinstance(model.prior, LogisticPrior) else "normal"


def worth_of_latents(mean: Tensor, log_std: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return what each latent carries (M,), and whether it carries anything.

    Of a VAE that is KL(q(z_j | x), N(0, 1)) in nats, as the mean over images, and an active latent is
    one as in `measure=active_units`. Of codes without a posterior it is the share of the variance, and
    an active latent has more than a hundredth of an even share. One image alone has no variance: then
    those with more than 0.01 nats are active, and all latents of an autoencoder.

    Args:
        mean: Codes (N, M).
        log_std: Their log standard deviations, of a VAE.
    """
    if log_std is not None:
        kl = gaussian_kl(mean, log_std).mean(0)
        return kl, is_active(mean, ACTIVE) if len(mean) > 1 else kl > ACTIVE
    variance = mean.double().var(0, correction=0)
    share = variance / variance.sum().clamp(min=1e-30)
    return share, (share > 0.01 / len(share)) | (len(mean) < 2)


def ranges(codes: Tensor, reach: float | None) -> tuple[list[float], list[float]]:
    """Return the ends of the sliders of codes (N, M): round numbers that hold all codes.

    Args:
        codes: Codes of images.
        reach: The sliders go at least from -reach to reach; None for the codes' own range.
    """
    low, high = codes.amin(0).tolist(), codes.amax(0).tolist()
    if reach is not None:
        low, high = [min(v, -reach) for v in low], [max(v, reach) for v in high]
    ends = [_round_ends(a, b) for a, b in zip(low, high, strict=True)]
    return [a for a, _ in ends], [b for _, b in ends]


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """Return the ends of a range, moved outwards to two digits of its length.

    >>> _round_ends(-3.0, 3.0), _round_ends(-0.123, 7.77), _round_ends(5.0, 5.0)
    ((-3.0, 3.0), (-0.2, 7.8), (4.0, 6.0))
    """
    if high - low < 1e-6:
        low, high = low - 1, high + 1
    digits = 1 - math.floor(math.log10(high - low))
    step = 10.0**-digits
    return (
        round(math.floor(low / step + 1e-9) * step, digits),
        round(math.ceil(high / step - 1e-9) * step, digits),
    )


def factor_of(codes: Tensor) -> Tensor:
    """Return L (M, M), L L^T the covariance of codes (N, M); for many latents (1, M), of each alone."""
    width = codes.shape[1]
    if width > TOGETHER or len(codes) < 2:
        return codes.std(0, correction=0)[None]
    covariance = torch.atleast_2d(torch.cov(codes.double().T))
    values, vectors = torch.linalg.eigh(
        covariance
    )  # a latent that never changes is no problem here
    return (vectors * values.clamp(min=0).sqrt()).float()
