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
    the constraint is exact, and no step leaves the range of pixels. A noisy pixel has the likelihood
    N(y; x, sigma^2) with x = (v levels - 1/2) / (levels - 1), the continuous pixel, which is up to half
    a level from the rounded one. The chain is exact in the limit of many steps. A chain of a few
    hundred stays near the mode that it started in, which is the mean image in what is not seen.

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
    """The share of accepted proposals of each step after the burn-in."""

    @property
    def note(self) -> str:
        """One sentence: what is exact and what is approximate in the draws so far."""
        rate = f"{mean(self.accepted):.0%}" if self.accepted else "none yet"
        return (
            f"The draws are of a Markov chain, exact in the limit of many steps: {self.burn_in} of "
            f"Hamiltonian Monte Carlo before the first draw, {self.thin} between two draws ({rate} "
            "of the proposals accepted); it stays near the mode that it started in."
        )

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        # tensors that were made in inference mode have no gradients
        with torch.inference_mode(False), torch.no_grad():
            return self._restored(seen, draws, seed, indices)

    def _restored(
        self, seen: Seen, draws: int, seed: int, indices: Sequence[int] | None
    ) -> Tensor:
        model = self.model
        assert model.levels is not None
        given = constraint_of(seen, model.levels, model.device, type(model).__name__)
        own = list(range(len(given.x)) if indices is None else indices)
        parts = []
        for some in torch.arange(len(own)).split(AT_ONCE):
            numbers = [own[i] for i in some.tolist()]
            noise = SampleNoise(mix_seed("hmc", seed), numbers, model.device, model.dtype)
            chain = _Chain(model, given.of(some), noise, self.leapfrogs)
            parts.append(self._draws(chain, draws))
        return torch.cat(parts, 1).to(torch.float32) / (model.levels - 1)

    def refuse(self, given: Constraint) -> None:
        """Refuse nothing: the density of a flow suits every constraint."""

    def _draws(self, chain: "_Chain", draws: int) -> Tensor:
        """Return draws (draws, B, C, H, W) uint8 of a new chain."""
        for step in range(self.burn_in):
            chance = chain.step()
            chain.adapt_size(step, chance)
            if step >= self.burn_in // 4:
                chain.note_spread()
            if step + 1 in (self.burn_in // 2, 3 * self.burn_in // 4):
                chain.adapt_scales()
        kept = []
        for draw in range(draws):
            for _ in range(self.thin if draw else 1):
                self.accepted.append(float(chain.step().mean()))
            kept.append(chain.images())
        return torch.stack(kept)


class _Chain:
    """Markov chains over the real w (B, C, H, W) of B images, see `ByHamiltonian`."""

    def __init__(
        self, model: FlowModel, given: Constraint, noise: SampleNoise, leapfrogs: int
    ) -> None:
        self.model, self.given, self.noise, self.leapfrogs = model, given, noise, leapfrogs
        levels, known, dtype = given.levels, given.known, model.dtype
        self.width = torch.where(known, 1 / levels, 1.0).to(dtype)
        self.low = torch.where(known, given.x.to(dtype) / levels, 0.0)
        v = (starting_point(model, given).to(dtype) + 0.5) / levels
        self.w = ((v - self.low) / self.width).clamp(1e-3, 1 - 1e-3).logit()
        self.log_p, self.grad = self._target(self.w)
        self.log_size = self.w.new_full((len(v),), -2.0)
        self.scale = torch.ones_like(self.w)
        self._forget()

    def _pixels(self, w: Tensor) -> Tensor:
        """Return v (B, C, H, W) in [0, 1]."""
        return self.low + self.width * w.sigmoid()

    def _target(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(v, what is seen) |dv / dw| (B,) up to a constant, and its gradient."""
        levels = self.given.levels
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            v = self._pixels(w)
            pixels = (v * levels - 0.5) / (levels - 1)
            each = logsigmoid(w) + logsigmoid(-w) + self.given.log_likelihood(pixels)
            log_p = self.model.log_density(v) + each.flatten(1).sum(1)
            (grad,) = torch.autograd.grad(log_p.sum(), w)
        return log_p.detach(), grad

    def step(self) -> Tensor:
        """Move all chains, and return the probability (B,) with which each accepts."""
        jitter = (
            0.8 + 0.4 * self.noise.uniform(1)[:, 0]
        )  # no step size suits a period of the dynamics
        size = _column(self.log_size.exp() * jitter) * self.scale
        start = self.noise.normal(*self.w.shape[1:])
        w, p, log_p, grad = self.w, start, self.log_p, self.grad
        for _ in range(self.leapfrogs):
            p = p + size / 2 * grad
            w = w + size * p
            log_p, grad = self._target(w)
            p = p + size / 2 * grad
        energy = (p.square() - start.square()).flatten(1).sum(1) / 2
        gain = (log_p - self.log_p - energy).nan_to_num(nan=-torch.inf)
        chance = gain.clamp(max=0).exp()
        accept = self.noise.uniform(1)[:, 0] < chance
        self.w = torch.where(_column(accept), w, self.w)
        self.grad = torch.where(_column(accept), grad, self.grad)
        self.log_p = torch.where(accept, log_p, self.log_p)
        return chance

    def adapt_size(self, step: int, chance: Tensor) -> None:
        """Change the step sizes towards the acceptance `TARGET` (Robbins & Monro, 1951)."""
        self.log_size = self.log_size + (step + 1) ** -0.5 * (chance - TARGET)

    def note_spread(self) -> None:
        """Note how far each w strays, for `adapt_scales`."""
        self.count += 1
        delta = self.w - self.center
        self.center = self.center + delta / self.count
        self.squares = self.squares + delta * (self.w - self.center)

    def adapt_scales(self) -> None:
        """Set the scale of each w to its standard deviation; that of an image has mean log 0."""
        scale = (self.squares / self.count).sqrt().clamp(min=1e-4)
        self.scale = scale / _column(scale.flatten(1).log().mean(1).exp())
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.center, self.squares = torch.zeros_like(self.w), torch.zeros_like(self.w)

    def images(self) -> Tensor:
        """Return the images (B, C, H, W) uint8 where the chains are."""
        levels = self.given.levels
        x = (self._pixels(self.w) * levels).floor().clamp(0, levels - 1).to(torch.uint8)
        return torch.where(self.given.known, self.given.x, x)


def _column(t: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1, 1)."""
    return t.view(-1, 1, 1, 1)
