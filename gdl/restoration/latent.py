"""Imputation by variational autoencoders: pseudo-Gibbs, then Metropolis within Gibbs.

Rezende, Mohamed & Wierstra, 2014, "Stochastic backpropagation and approximate inference in deep
generative models", arXiv 1401.4082, Appendix F; Mattei & Frellsen, 2018, "Leveraging the exact
likelihood of deep latent variable models", arXiv 1802.04826, Algorithm 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.corruptions import Seen
from gdl.distributions import DiscretizedLogisticMixture, log_normal
from gdl.models.vae import VAE
from gdl.noise import SampleNoise, mix_seed
from gdl.restoration.constraint import Constraint, constraint_of, starting_point

__all__ = ["ByGibbs"]

AT_ONCE, VALUES_AT_ONCE = 250, 5_000_000
"""Images at a time, and under noise, where every level of every pixel is weighted, these numbers."""


@dataclass
class ByGibbs:
    """Draws of p(x | what is seen) of a VAE by a Markov chain over (z, x).

    A sweep proposes z' ~ q(z | x), accepts it with the probability of Metropolis and Hastings, and then
    draws x from p(x | z, what is seen): known pixels are kept, and a noisy pixel is weighted by its
    noise, which is exact because pixels are independent given z. So the chain has the exact posterior
    of the model in the limit of many sweeps, whatever q is. The first sweeps accept every proposal
    (pseudo-Gibbs), because a chain that starts far away would stay there.

    Args:
        model: The VAE, in eval mode.
        pseudo: First sweeps, which accept every proposal.
        burn_in: Sweeps after them before the first draw.
        thin: Sweeps between two draws, which belong to one chain.
    """

    model: VAE
    pseudo: int = 100
    burn_in: int = 100
    thin: int = 20
    accepted: list[float] = field(default_factory=list)

    @property
    def note(self) -> str:
        """One sentence: what is exact and what is approximate in the draws so far."""
        rate = f"{mean(self.accepted):.0%}" if self.accepted else "none yet"
        return (
            f"The draws are of a Markov chain, exact in the limit of many sweeps: {self.pseudo} of "
            f"pseudo-Gibbs, then {self.burn_in} of Metropolis within Gibbs ({rate} of the proposals "
            f"accepted), and {self.thin} between two draws."
        )

    @torch.inference_mode()
    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """See `Restorer`."""
        model = self.model
        assert model.levels is not None
        given = constraint_of(seen, model.levels, model.device, type(model).__name__)
        refuse_dependent(model, given)
        own = list(range(len(given.x)) if indices is None else indices)
        parts = []
        weighted = max(1, VALUES_AT_ONCE // (model.levels * model.num_dims))
        at_once = min(AT_ONCE, weighted) if given.is_noisy else AT_ONCE
        for some in torch.arange(len(own)).split(at_once):
            numbers = [own[i] for i in some.tolist()]
            parts.append(self._chain(given.of(some), draws, seed, numbers))
        return torch.cat(parts, 1).to(torch.float32) / (model.levels - 1)

    def _chain(self, given: Constraint, draws: int, seed: int, indices: list[int]) -> Tensor:
        """Return draws (draws, B, C, H, W) uint8."""
        model = self.model
        noise = SampleNoise(mix_seed("gibbs", seed), indices, model.device, model.dtype)
        x, z, kept = starting_point(model, given), None, []
        for sweep in range(self.pseudo + self.burn_in + (draws - 1) * self.thin + 1):
            mean_z, log_std = model.posterior(x)
            e = noise.normal(*model.latent_shape)
            proposed = mean_z + log_std.exp() * e
            if z is None or sweep < self.pseudo:
                z = proposed
            else:
                both = torch.stack([proposed, z])
                log_px, log_pz = model.log_joint(x, both)
                log_q = log_normal((both - mean_z) * (-log_std).exp())
                log_w = log_px + log_pz - log_q
                accept = noise.uniform(1)[:, 0].log() < log_w[0] - log_w[1]
                z = torch.where(accept[:, None], proposed, z)
                self.accepted.append(float(accept.float().mean()))
            x = pixels_given(model, z, given, noise)
            after = sweep - self.pseudo - self.burn_in
            if after >= 0 and after % self.thin == 0:
                kept.append(x)
        return torch.stack(kept)


def pixels_given(model: VAE, z: Tensor, given: Constraint, noise: SampleNoise) -> Tensor:
    """Return a draw (B, C, H, W) uint8 of p(x | z, what is seen)."""
    params, likelihood = model.likelihood_params(z), model.likelihood
    splits = bool((given.known != given.known[:, :1]).any())
    if not given.is_noisy and not (splits and depends(model)):
        return torch.where(given.known, given.x, likelihood.sample(params, noise))
    x = given.x.clone()
    levels = torch.arange(given.levels, device=x.device).view(-1, 1, 1) / (given.levels - 1)
    for c in range(x.shape[1]):
        p = likelihood.probabilities(params, x[:, :c])
        if given.is_noisy:
            log_w = given.log_likelihood(levels, c)
            p = p * (log_w - log_w.amax(1, keepdim=True)).exp()
        below = p.cumsum(1)
        u = noise.uniform(1, *x.shape[2:]) * below[:, -1:]
        drawn = (below[:, :-1] < u).sum(1).to(torch.uint8)
        x[:, c] = torch.where(given.known[:, c], given.x[:, c], drawn)
    return x


def depends(model: VAE) -> bool:
    """Return whether the channels of a pixel depend on each other given z."""
    return isinstance(model.likelihood, DiscretizedLogisticMixture) and model.shape[0] > 1


def refuse_dependent(model: VAE, given: Constraint) -> None:
    """Refuse what the likelihood cannot condition on.

    Raises:
        Incapable: Channels depend on each other, and there is noise on them, or a later one is known.
    """
    late = bool((given.known.int().diff(dim=1) > 0).any())
    if depends(model) and (given.is_noisy or late):
        raise Incapable(
            "The channels of a pixel depend on each other in this VAE, so it restores noise, or "
            "colours of which not the first are known, only with "
            "likelihood@model.likelihood=discretized_logistic: train one, or use a run of "
            "model=denoising_ae."
        )
