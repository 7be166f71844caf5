"""Restoration by normalizing flows: Hamiltonian Monte Carlo on the exact density.

Neal, 2011, "MCMC using Hamiltonian dynamics", arXiv 1206.1901; with one leapfrog step it is the
Metropolis-adjusted Langevin algorithm (Roberts & Tweedie, 1996). NICE (Dinh et al., 2014, arXiv
1410.8516, Section 5.2) completes images by Langevin steps that are not adjusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gdl.capabilities import Incapable
from gdl.corruptions import Seen
from gdl.families.flow import FlowModel
from gdl.noise import SampleNoise, mix_seed
from gdl.restoration.constraint import Constraint, constraint_of, starting_point

__all__ = ["ByHamiltonian"]

AT_ONCE = 100
"""Images whose chains run side by side, which bounds the memory."""

TARGET = 0.65
"""The share of proposals to accept, near the best for Hamiltonian Monte Carlo."""


@dataclass
class ByHamiltonian:
    """Draws of p(v | what is seen) of a flow by a Markov chain over continuous pixels v.

    A pixel that is known to be x has v in the cell [x / levels, (x + 1) / levels), any other one has v
    in [0, 1): v = low + width sigmoid(w), and the chain is over the real w, all of them together. So
    the constraint is exact, and no step leaves the range of pixels. Noisy pixels have the likelihood
    N(y; x, sigma^2) with x = (v levels - 1/2) / (levels - 1), the continuous pixel, which is up to half
    a level from the rounded one. The chain is exact in the limit of many steps. In practice it stays
    near the mode that it started in.

    Each image has its own step size, and each pixel its own scale, found in the burn-in.

    Args:
        model: The flow, in eval mode.
        burn_in: Steps before the first draw.
        thin: Steps between two draws, which belong to one chain.
        leapfrogs: Gradients of each step; with 1 it is a Langevin step.
    """

    model: FlowModel
    burn_in: int = 200
    thin: int = 20
    leapfrogs: int = 5
    accepted: list[float] = field(default_factory=list)

    @property
    def note(self) -> str:
        """One sentence: what is exact and what is approximate in the draws so far."""
        rate = f"{mean(self.accepted):.0%}" if self.accepted else "none yet"
        return (
            f"The draws are of a Markov chain, exact in the limit of many steps: {self.burn_in} of "
            f"Hamiltonian Monte Carlo before the first draw, {self.thin} between two draws ({rate} "
            "of the proposals accepted); a chain stays near the mode that it started in."
        )

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        # tensors of inference mode have no gradients, so what is seen is copied outside of it
        with torch.inference_mode(False):
            return self._restored(seen, draws, seed, indices)

    def _restored(
        self, seen: Seen, draws: int, seed: int, indices: Sequence[int] | None
    ) -> Tensor:
        model = self.model
        if model.levels is None or model.dequantize is None:
            raise Incapable("This flow is of continuous data, and only images can be restored.")
        given = constraint_of(seen, model.levels, model.device, type(model).__name__)
        own = list(range(len(given.x)) if indices is None else indices)
        parts = []
        for some in torch.arange(len(own)).split(AT_ONCE):
            noise = SampleNoise(
                mix_seed("hmc", seed), [own[i] for i in some.tolist()], model.device, model.dtype
            )
            parts.append(self._chain(given.of(some), draws, noise))
        x = torch.cat(parts, 1)
        return x.to(torch.float32) / (model.levels - 1)

    def _chain(self, given: Constraint, draws: int, noise: SampleNoise) -> Tensor:
        """Return draws (draws, B, C, H, W) uint8."""
        model, levels = self.model, given.levels
        assert model.dequantize is not None
        target = Target(model, given)
        start = starting_point(model, given)
        v = (start.to(model.dtype) + 0.5) / levels
        w = target.inverse(v)
        beta = 1.0
        if ANNEAL:
            beta = BETA0
        if START == "sample":
            smp = model.sample(len(w), seed=1)
            w = target.inverse((torch.where(given.known, given.x, smp).to(model.dtype) + 0.5) / levels)
        log_p, grad = target(w, beta)
        shape = w.shape[1:]
        column = (-1, *[1] * len(shape))
        log_step = w.new_full((len(w),), -2.0)
        scale, count = torch.ones_like(w), 0
        mu, square = torch.zeros_like(w), torch.zeros_like(w)
        kept = []
        for step in range(self.burn_in + (draws - 1) * self.thin + 1):
            if ANNEAL and step <= int(self.burn_in * ANNEAL):
                beta = BETA0 ** (1 - step / int(self.burn_in * ANNEAL))
                log_p, grad = target(w, beta)
            jitter = 0.8 + 0.4 * noise.uniform(1)[:, 0]
            size = (log_step.exp() * jitter).view(column) * scale
            p = noise.normal(*shape)
            w_new, momentum, grad_new, log_new = w, p, grad, log_p
            for _ in range(self.leapfrogs):
                momentum = momentum + size / 2 * grad_new
                w_new = w_new + size * momentum
                log_new, grad_new = target(w_new, beta)
                momentum = momentum + size / 2 * grad_new
            energy = (momentum.square() - p.square()).flatten(1).sum(1) / 2
            chance = (log_new - log_p - energy).nan_to_num(nan=-torch.inf).clamp(max=0).exp()
            accept = noise.uniform(1)[:, 0] < chance
            pick = accept.view(column)
            w, grad = torch.where(pick, w_new, w), torch.where(pick, grad_new, grad)
            log_p = torch.where(accept, log_new, log_p)
            if step < self.burn_in:
                log_step = log_step + (step + 1) ** -0.5 * (chance - TARGET)
                if step >= self.burn_in // 4 and ADAPT:
                    count += 1
                    delta = w - mu
                    mu = mu + delta / count
                    square = square + delta * (w - mu)
                    if step in (self.burn_in // 2, 3 * self.burn_in // 4):
                        new = (square / count).sqrt().clamp(min=1e-4)
                        new = new / new.flatten(1).log().mean(1).exp().view(column)
                        scale = new
                        count, mu, square = 0, torch.zeros_like(w), torch.zeros_like(w)
            else:
                self.accepted.append(float(accept.float().mean()))
                if (step - self.burn_in) % self.thin == 0:
                    x = model.dequantize.inverse(target.pixels(w))
                    kept.append(torch.where(given.known, given.x, x))
        return torch.stack(kept)

ADAPT = True
ANNEAL = 0.0
BETA0 = 0.05
START='mean'


class Target:
    """log p(v(w), what is seen) |dv / dw|, the density of the real w (B, C, H, W) up to a constant.

    Args:
        model: The flow.
        given: What is seen.
    """

    def __init__(self, model: FlowModel, given: Constraint) -> None:
        self.model, self.given, levels = model, given, given.levels
        known = given.known
        self.width = torch.where(known, 1 / levels, 1.0).to(model.dtype)
        self.low = torch.where(known, given.x.to(model.dtype) / levels, 0)

    def pixels(self, w: Tensor) -> Tensor:
        """Return v (B, C, H, W) in [0, 1]."""
        return self.low + self.width * w.sigmoid()

    def inverse(self, v: Tensor) -> Tensor:
        """Return w of v, not nearer to the ends of its cell than a thousandth."""
        return ((v - self.low) / self.width).clamp(1e-3, 1 - 1e-3).logit()

    def __call__(self, w: Tensor, beta: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return the log density (B,) in nats and its gradient (B, C, H, W)."""
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            v = self.pixels(w)
            log_p = beta * self.model.log_density(v) + (logsigmoid(w) + logsigmoid(-w)).flatten(1).sum(1)
            if self.given.is_noisy:
                pixels = (v * self.given.levels - 0.5) / (self.given.levels - 1)
                log_p = log_p + self.given.log_likelihood(pixels).flatten(1).sum(1)
            (grad,) = torch.autograd.grad(log_p.sum(), w)
        return log_p.detach(), grad
