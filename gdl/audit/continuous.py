"""Theorems about densities of real vectors: they integrate to 1, and samples follow them."""

import math

import torch
from torch import Tensor

from gdl.audit import diagnosis
from gdl.audit.finding import Finding, at_most, skipped
from gdl.capabilities import HasLogProb, Samples
from gdl.families.base import GenerativeModel

__all__ = ["integrates_to_one", "ratio_to_samples", "samples_follow_density"]


@torch.no_grad()
def integrates_to_one(
    model: HasLogProb, num_dims: int, extent: float = 16.0, tolerance: float = 2e-3
) -> Finding:
    """The density of vectors of one or two dimensions integrates to 1 on [-extent, extent]^D."""
    check, what = "integral", "|log of the integral of p(x)|"
    if num_dims > 2:
        return skipped(check, what, f"no grid in {num_dims} dimensions is fine enough")
    n = 40_001 if num_dims == 1 else 501
    side = torch.linspace(-extent, extent, n, dtype=torch.float64)
    points = side[:, None] if num_dims == 1 else torch.cartesian_prod(side, side)
    like = next(iter(model.parameters()), side)  # pyright: ignore[reportAttributeAccessIssue]
    p = torch.cat([model.log_prob(b.to(like)).double() for b in points.split(100_000)])
    log_total = float(p.logsumexp(0)) + num_dims * math.log(float(side[1] - side[0]))
    named = diagnosis.offset(log_total, num_dims, None)
    reason = f"the density integrates to {math.exp(min(log_total, 700)):.4g}: " + (
        named or "a log-determinant or a constant is missing, or has the wrong sign"
    )
    return at_most(check, what, abs(log_total), tolerance, reason)


def ratio_to_samples(log_p: Tensor, x: Tensor, num_dims: int) -> tuple[float, float]:
    """Return log E_p[q(x) / p(x)] and its standard error, 0 for every density q.

    Args:
        log_p: log p(x) (N,) of its own samples.
        x: The samples (N, D).
        num_dims: D.
    """
    # narrower than p, so that the weights have a variance
    mean, std = x.median(0).values, 0.5 * (x.quantile(0.84, 0) - x.quantile(0.16, 0)) / 2
    std = std.clamp(min=1e-6)
    log_q = -0.5 * ((x - mean) / std).square().sum(1) - std.log().sum()
    log_q = log_q - 0.5 * num_dims * math.log(2 * math.pi)
    log_w = (log_q - log_p).double()
    log_mean = float(log_w.logsumexp(0)) - math.log(len(log_w))
    w = (log_w - log_mean).exp()
    return log_mean, float(w.std()) / math.sqrt(len(w))


@torch.no_grad()
def samples_follow_density(model: GenerativeModel, n: int = 4000) -> Finding:
    """E_p[q(x) / p(x)] = 1 over samples x of p, for any density q."""
    check, what = "samples", f"|log of E[q(x) / p(x)]| over {n} samples, in errors"
    if not (isinstance(model, Samples) and isinstance(model, HasLogProb)):
        return skipped(check, what, "the model does not sample, or has no log_prob")
    x = model.sample(n, seed=1)
    log_mean, error = ratio_to_samples(model.log_prob(x), x.flatten(1), model.num_dims)
    reason = "samples are not of the density: " + (
        diagnosis.offset(-log_mean, model.num_dims, None, 0.02)
        or "sample inverts another map than nll has, or a log-determinant is wrong"
    )
    return at_most(check, what, abs(log_mean) / max(error, 1e-3), 6.0, reason)
