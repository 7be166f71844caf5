"""Theorems about flows: log-determinants, inverses, the prior, and the noise of dequantization."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.audit import diagnosis
from gdl.audit.continuous import ratio_to_samples
from gdl.audit.finding import FAILED, Finding, at_most
from gdl.audit.subjects import nll_of
from gdl.families.flow import FlowModel
from gdl.flows.base import Bijection
from gdl.flows.dequantize import UniformDequantization
from gdl.flows.priors import Prior
from gdl.noise import SampleNoise, seed_noise

__all__ = [
    "change_of_variables",
    "dequantizes",
    "inner_bijections",
    "inverts",
    "jacobian",
    "log_det_is_that_of_the_jacobian",
    "prior_is_that_of_its_samples",
]


@torch.no_grad()
def inner_bijections(bijection: Bijection, y: Tensor) -> list[tuple[str, Bijection, Tensor]]:
    """Return (name, bijection, its input) of all bijections within one, the innermost first.

    The last is the whole. So the first that is wrong is the culprit.
    """
    found: list[tuple[str, Bijection, Tensor]] = []

    def note(name: str, module: Any, args: tuple[Tensor, ...]) -> None:
        found.append((name, module, args[0].detach().clone()))

    modules = [(n, m) for n, m in bijection.named_modules() if isinstance(m, Bijection)]
    handles = [
        m.register_forward_hook(
            lambda m, args, out, n=n: note(f"{type(m).__name__} {n}".strip(), m, args)
        )
        for n, m in modules
    ]
    try:
        bijection(y)
    finally:
        for handle in handles:
            handle.remove()
    return found


def log_det_is_that_of_the_jacobian(
    parts: Sequence[tuple[str, Bijection, Tensor]], tolerance: float = 1e-7
) -> Finding:
    """log_det = log |det dz/dx| with the Jacobian by automatic differentiation, for each image."""
    check, what = "log-determinant", "|log_det - log |det dz/dx||, by autograd"
    worst = 0.0
    for name, bijection, y in parts:
        z, log_det = bijection(y)
        if log_det.shape != (len(y),):
            reason = f"{name} returns a log_det of shape {tuple(log_det.shape)}, not (B,)"
            return Finding(check, what, math.nan, tolerance, FAILED, reason)
        if z[0].numel() != y[0].numel():
            reason = (
                f"{name} maps {y[0].numel()} numbers to {z[0].numel()}: latents that leave early are "
                "missing, and so is their prior"
            )
            return Finding(check, what, math.nan, tolerance, FAILED, reason)
        for i in range(len(y)):
            true = float(torch.linalg.slogdet(jacobian(bijection, y[i : i + 1])).logabsdet)
            found = float(log_det[i].detach())
            error = abs(found - true)
            if not error <= tolerance * max(1.0, abs(true)):
                reason = (
                    f"log_det of {name} is {found:.4f}, not {true:.4f}: {_why(found, true, y)}"
                )
                return Finding(check, what, error, tolerance, FAILED, reason)
            worst = max(worst, error)
    return Finding(check, f"{what}, of {len(parts)} maps", worst, tolerance)


def jacobian(bijection: Bijection, y: Tensor) -> Tensor:
    """Return dz/dy (D, D) at one input y (1, ...): row d is the gradient of z_d at a copy of y."""
    d = y[0].numel()
    copies = y.detach().repeat(d, *[1] * (y.dim() - 1)).requires_grad_()
    z = bijection(copies)[0].flatten(1)
    return torch.autograd.grad(z.diagonal().sum(), copies)[0].flatten(1)


def _why(found: float, true: float, y: Tensor) -> str:
    """Say how a log-determinant differs from the Jacobian's."""
    pixels, close = math.prod(y.shape[2:]), lambda a: math.isclose(found, a, rel_tol=1e-4)
    if close(-true):
        return "the sign is wrong, it is that of the inverse"
    if found == 0:
        return "the map changes volumes, and its Jacobian is not counted"
    if pixels > 1 and close(true / pixels):
        return "it is counted once per image instead of once per pixel"
    if close(true * pixels) or close(true * y[0].numel()):
        return "it is counted several times"
    if close(true / y[0].numel()):
        return "it is a mean over the dimensions instead of a sum"
    return "a part of it is missing, e.g. the latents' prior at a split, or has the wrong sign"


@torch.no_grad()
def inverts(parts: Sequence[tuple[str, Bijection, Tensor]], tolerance: float) -> Finding:
    """inverse(forward(y)) = y, and forward(inverse(z)) = z also of latents that no image has."""
    check, what = "inverse", "|inverse(forward(y)) - y|, relative"
    worst = 0.0
    for name, bijection, y in parts:
        z, _ = bijection(y)
        error = _relative(bijection.inverse(z), y)
        if not error <= tolerance:
            reason = (
                f"the inverse of {name} does not undo its forward: are the steps in reverse order?"
            )
            return Finding(check, what, error, tolerance, FAILED, reason)
        worst = max(worst, error)
    _, whole, y = parts[-1]
    z, _ = whole(y)
    far = z + 0.3 * z.std() * torch.randn_like(z)
    back = whole.inverse(far)
    again, _ = whole(back)
    # where the map is flat, as a sigmoid far out, x holds no more about z than rounding leaves
    kept = again.isfinite().flatten(1).all(1)
    outside = _relative(again[kept], far[kept]) if bool(kept.any()) else 0.0
    if not outside <= 1e4 * tolerance:
        reason = "latents that no image has do not come back: the inverse holds in a part only"
        return Finding(
            check, f"{what}, of other latents", outside, 1e4 * tolerance, FAILED, reason
        )
    return Finding(check, f"{what}, of {len(parts)} maps", worst, tolerance)


def _relative(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return math.inf
    error = (found - expected).abs() / expected.abs().clamp(min=1)
    return float(error.max())


@torch.no_grad()
def change_of_variables(model: FlowModel, x: Tensor) -> Finding:
    """Nll = -(log p(z) + log_det + the term of the dequantization), of the same noise."""
    check, what = (
        "change of variables",
        "|nll + log p(z) + log_det + dequantization term|, relative",
    )
    nll = nll_of(model, x)
    seed_noise(torch.device("cpu"), "audit", 0)
    y, term = (
        (x.to(model.dtype), 0.0) if model.dequantize is None else model.dequantize(x, model.dtype)
    )
    z, log_det = model.bijection(y)
    log_p = model.prior.log_prob(z)
    error = float(((nll + log_p + log_det + term).abs() / (1 + nll.abs())).max())
    reason = "nll is not the density of its parts"
    parts = {"log_det": log_det, "the term of the dequantization": term, "the prior": log_p}
    for name, part in parts.items():
        for factor, text in ((1, "is missing"), (2, "has the wrong sign")):
            missing = nll + log_p + log_det + term - factor * part
            if error > 1e-4 and float((missing / (1 + nll.abs())).abs().max()) < 1e-4:
                reason = f"nll is not the density of its parts: {name} {text}"
    return at_most(check, what, error, 1e-4, reason)


@torch.no_grad()
def prior_is_that_of_its_samples(prior: Prior, num_dims: int, n: int = 20_000) -> Finding:
    """E_p[q(z) / p(z)] = 1 over samples z of the prior p, for any density q."""
    check, what = "prior", f"|log of E[q(z) / p(z)]| over {n} latents, in errors"
    z = prior.sample(SampleNoise(0, range(n), dtype=torch.float64), num_dims)
    log_mean, error = ratio_to_samples(prior.log_prob(z), z, num_dims)
    named = diagnosis.offset(-log_mean, num_dims, None, 0.02)
    reason = f"log_prob of the prior is not of what it samples, by {log_mean:.3f} nats: " + (
        named or "a constant or a scale is wrong"
    )
    return at_most(check, what, abs(log_mean) / max(error, 1e-4), 6.0, reason)


@torch.no_grad()
def dequantizes(layer: UniformDequantization, x: Tensor, n: int = 2000) -> Finding:
    """The noise of each pixel is in its own cell, and the term is -log q(u | x) - D log levels.

    E_q[f(u) / q(u | x)] = the integral of f over [0, 1)^D, here for f = 1 and f = u.

    Args:
        layer: The dequantization, in float64.
        x: Images (B, C, H, W) uint8.
        n: Draws.
    """
    check, what = "dequantization", f"error of integrals over [0, 1) by {n} draws, in errors"
    seed_noise(torch.device("cpu"), "audit", "dequantization")
    batch = x.repeat_interleave(n, 0)
    y, term = layer(batch, torch.float64)
    u = y * layer.levels - batch
    if not bool(((u >= 0) & (u < 1)).all()):
        reason = (
            f"y * levels - x is in [{float(u.min()):.3g}, {float(u.max()):.3g}] and "
            "not in [0, 1): y must "
            "be (x + u) / levels with u in [0, 1)"
        )
        return Finding(check, what, math.nan, 6.0, FAILED, reason)
    if not torch.equal(layer.inverse(y), batch):
        reason = "inverse(forward(x)) is not x: it must round down"
        return Finding(check, what, math.nan, 6.0, FAILED, reason)
    weight = (term.double() + x[0].numel() * math.log(layer.levels)).exp().view(len(x), n, 1)
    shares = torch.stack([torch.ones_like(u), u, u.square()], 1).flatten(2).view(len(x), n, 3, -1)
    values = weight[..., None] * shares
    expected = torch.tensor([1, 1 / 2, 1 / 3], dtype=torch.float64)[:, None]
    error = (values.std(1) / math.sqrt(n)).clamp(min=1e-4)
    worst = ((values.mean(1) - expected).abs() / error).flatten(2).amax((0, 2))
    log_total = float(weight.mean().log())
    named = diagnosis.offset(log_total, x[0].numel(), layer.levels, 0.02)
    reason = (
        f"the noise does not fill [0, 1) as its term says: {named}"
        if named
        else "the noise does not fill [0, 1) evenly, or its term is not -log q(u | x) - D log levels"
    )
    return at_most(check, what, float(worst.max()), 6.0, reason)
