"""Theorems about latent-variable models: ELBO <= IWAE-K <= log p(x), by quadrature."""

import math

import torch
from torch import Tensor

from gdl.audit import diagnosis
from gdl.audit.finding import FAILED, Finding, at_most, skipped
from gdl.audit.subjects import draws
from gdl.capabilities import HasImportanceWeights, HasPosterior
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise

__all__ = ["bounds_are_in_order", "evidence", "rate_is_the_divergence", "terms_add_up", "weights"]


@torch.no_grad()
def evidence(model: HasPosterior, x: Tensor, points: int = 600) -> tuple[Tensor, float] | None:
    """Return log p(x) (N,) and the integral of the prior, by quadrature over one or two latents.

    Args:
        model: Its latents are few.
        x: Images (N, C, H, W).
        points: Points of the grid in each dimension on [-9, 9].
    """
    m = math.prod(model.latent_shape)
    if m > 2:
        return None
    side = torch.linspace(-9, 9, points if m == 1 else 80, dtype=torch.float64)
    z = side[:, None] if m == 1 else torch.cartesian_prod(side, side)
    like = next(iter(model.parameters()), side)  # pyright: ignore[reportAttributeAccessIssue]
    z = z.to(like)[:, None].expand(-1, len(x), -1)
    joint, prior = [], []
    for part in z.split(max(1, 20_000 // len(x))):
        log_px, log_pz = model.log_joint(x, part)
        joint.append((log_px + log_pz).double())
        prior.append(log_pz.double())
    log_area = m * math.log(float(side[1] - side[0]))
    log_p = torch.cat(joint).logsumexp(0) + log_area
    total = float((torch.cat(prior)[:, 0].logsumexp(0) + log_area).exp())
    return log_p, total


@torch.no_grad()
def weights(model: HasImportanceWeights, x: Tensor, k: int) -> Tensor:
    """Return k log weights of each image, log p(x | z) p(z) / q(z | x), (k, N) in float64."""
    seed_noise(x.device, "audit", "weights")
    return torch.cat([sum(model.log_weights(x, 50)).double() for _ in range(-(-k // 50))])  # pyright: ignore


def _mean(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(0), values.std(0) / math.sqrt(len(values))


def _iwae(log_w: Tensor, k: int) -> Tensor:
    """Return independent IWAE-k bounds (n // k, N) from weights (n, N)."""
    n = len(log_w) // k * k
    return log_w[:n].view(-1, k, log_w.shape[1]).logsumexp(1) - math.log(k)


@torch.no_grad()
def bounds_are_in_order(model: GenerativeModel, x: Tensor, n: int = 2000) -> list[Finding]:
    """E log w <= IWAE-K <= log p(x), and what `loss` and `nll(x, k=k)` report are these bounds.

    Args:
        model: A model with importance weights, in eval mode.
        x: Images (N, C, H, W).
        n: Draws per image.
    """
    if not isinstance(model, HasImportanceWeights):
        return [skipped("bounds", "", "the model has no importance weights")]
    log_w = weights(model, x, n)
    found = []
    exact = evidence(model, x) if isinstance(model, HasPosterior) else None
    if exact is not None:
        found += _beside_quadrature(log_w, *exact, math.prod(model.latent_shape))  # pyright: ignore
    kind, reported = str(model.nll_kind), draws(model, x, n)
    k = int(kind.partition("-")[2]) if kind.startswith("iwae-") else 1
    found.append(_reported(reported, log_w, k, model.num_dims))
    more = [model.nll(x, k=8).double() for _ in range(n // 8)]
    found.append(_more_samples(torch.stack(more), log_w))
    return found


def _beside_quadrature(log_w: Tensor, log_p: Tensor, prior: float, m: int) -> list[Finding]:
    constant = diagnosis.offset(math.log(prior), m, None) if prior > 0 else None
    first = at_most(
        "prior",
        "|integral of p(z) - 1|, by quadrature",
        abs(prior - 1),
        1e-4,
        f"p(z) of log_joint integrates to {prior:.4g}: {constant or 'it is not normalised'}",
    )
    w, error = _mean((log_w - log_p).exp())
    # of few heavy weights the error is not known
    known = log_w.softmax(0).amax(0) < 0.05
    w, error = torch.where(known, w, 1.0), torch.where(known, error, 1.0)
    second = at_most(
        "importance weights",
        "|E p(x, z) / q(z) - p(x)|, beside quadrature, in errors",
        float(((w - 1).abs() / error.clamp(min=1e-4)).max()),
        8.0,
        "the mean of the weights is not p(x): q(z | x) is not what z was drawn from, or p(z) is wrong",
    )
    mean, error = _mean(log_w)
    third = at_most(
        "ELBO <= log p(x)",
        "E log w - log p(x) by quadrature, in errors",
        float(((mean - log_p) / error.clamp(min=1e-6)).max()),
        6.0,
        "the ELBO is more than log p(x): a term has the wrong sign",
    )
    return [first, second, third]


def _reported(reported: Tensor, log_w: Tensor, k: int, num_dims: int) -> Finding:
    """E nll is -E log w of the kind "bound", and the IWAE-k bound of the kind "iwae-k"."""
    (nll, error), (bound, error_w) = _mean(reported), _mean(_iwae(log_w, k))
    spread = (error.square() + error_w.square()).sqrt().clamp(min=1e-6)
    off = (nll + bound) / spread
    worst = int(off.abs().argmax())
    reason = f"nll is {'more' if off[worst] > 0 else 'less'} than the bound of its own weights: "
    named = diagnosis.of_difference(nll, -bound, num_dims, None)
    if named is None and k > 1:
        logs, error_l = _mean(log_w)
        if float(((nll + logs).abs() / error_l.clamp(min=1e-6)).max()) < 8:
            named = "it is the mean of the logs, not the log of the mean"
    named = named or (
        "a weight as beta belongs into loss, not into nll; or the rate has a wrong term (the sign of "
        "log-variance, a sum over the wrong axis)"
    )
    what = f"|E nll - the {'ELBO' if k == 1 else f'IWAE-{k} bound'} of log_weights|, in errors"
    return at_most("nll is the bound", what, float(off.abs().max()), 8.0, reason + named)


def _more_samples(nll: Tensor, log_w: Tensor) -> Finding:
    """E nll(x, k=8) is the IWAE-8 bound."""
    (found, error), (bound, error_w) = _mean(nll), _mean(_iwae(log_w, 8))
    spread = (error.square() + error_w.square()).sqrt().clamp(min=1e-6)
    logs = log_w.mean(0)
    like_logs = float((found + logs).abs().mean()) < 0.3 * float((bound - logs).mean())
    reason = "nll(x, k=8) is not the IWAE-8 bound: " + (
        "it is the mean of the logs, not the log of the mean"
        if like_logs
        else "look at logsumexp - log k, and at its axis"
    )
    what = "|E nll(x, k=8) - the IWAE-8 bound|, in errors"
    return at_most("nll(x, k)", what, float(((found + bound).abs() / spread).max()), 8.0, reason)


@torch.no_grad()
def rate_is_the_divergence(model: GenerativeModel, x: Tensor) -> Finding:
    """The term "rate" is KL(q(z | x), N(0, I)) of the posterior."""
    check, what = "rate", "|rate - KL(q(z | x), p(z))| in nats"
    seed_noise(x.device, "audit", "rate")
    terms = model.loss(x)
    if not isinstance(model, HasPosterior) or "rate" not in terms or model.nll_kind != "bound":
        return skipped(check, what, "the model has no posterior, or reports no rate of one draw")
    mean, log_std = model.posterior(x)
    q = torch.distributions.Normal(mean, log_std.exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0 * mean, 1.0)).sum(-1)
    error = (terms["rate"] - kl).abs() / (1 + kl)
    reason = "the rate is not the divergence: look at the sign of the log-variance, and at sums"
    if bool((terms["rate"] < -1e-6).any()):
        reason = (
            "the rate is negative, a divergence never is: look at the sign of the log-variance"
        )
    tolerance = 1e-6 if model.dtype == torch.float64 else 1e-3
    return at_most(check, what, float(error.max()), tolerance, reason)


RATES, DISTORTIONS = ("rate", "kl", "kld"), ("distortion", "rec", "recon", "reconstruction")


def terms_add_up(terms: dict[str, Tensor]) -> Finding:
    """Nll = rate + distortion, where the terms have both, of one draw."""
    check, what = "terms", "|nll - (distortion + rate)| in nats"
    rates = [terms[n] for n in RATES if n in terms]
    distortions = [terms[n] for n in DISTORTIONS if n in terms]
    if not (rates and distortions and "nll" in terms):
        return skipped(check, what, "no rate and distortion are reported")
    total = (rates[0] + distortions[0]).double()
    if bool((rates[0] < -1e-3).all()):
        reason = (
            "the rate is negative, a divergence never is: look at the sign of the log-variance"
        )
        return Finding(check, what, float(rates[0].max()), 0.0, FAILED, reason)
    error = ((terms["nll"].double() - total).abs() / (1 + total.abs())).max()
    ratio = float(((terms["nll"] - distortions[0]) / rates[0].clamp(min=1e-9)).detach().mean())
    reason = (
        f"nll counts the rate {ratio:.3g} times: a weight as beta belongs into loss, not into nll"
    )
    return at_most(check, what, float(error.detach()), 1e-3, reason)
