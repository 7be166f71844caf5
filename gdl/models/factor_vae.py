"""FactorVAE: Kim & Mnih, 2018, "Disentangling by factorising".

arXiv 1802.05983. A network that tells codes from codes whose latents are shuffled over the images
estimates the total correlation of the latents.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_likelihood
from gdl.families.variational import VariationalModel
from gdl.nn.linear import Linear
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import uniform
from gdl.part import of_all_processes

__all__ = ["FactorVAE"]


class FactorVAE(VariationalModel):
    """A VAE with loss = distortion + rate + gamma TC, TC = KL(q(z), prod_j q(z_j)) (Eq. 2).

    A discriminator D(z) is the probability that z is a draw from q(z), and not from prod_j q(z_j). Then
    TC = E[log D(z) - log(1 - D(z))] (Eq. 3). Draws from the product are those of the batch, each latent
    shuffled over the images (Algorithm 1; the paper takes them from a second batch). The loss contains
    the discriminator's own, its cross-entropy, too: no gradient of it reaches the VAE, and none of TC
    reaches the discriminator, so one optimizer trains both.

    So loss, "tc" and "discriminator" of an image depend on the other images of the batch; nll, rate and
    distortion do not, and nll does not contain gamma.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        latent_dim: Number of latents M.
        encoder: Called with the shape and 2 M; returns a network from images to 2 M numbers.
        decoder: Called with M and the shape of the likelihood's parameters; returns a network.
        likelihood: Called with shape and levels; see `gdl.distributions`.
        gamma: Weight of the total correlation.
        discriminator: Widths of the hidden layers of the discriminator.
        discriminator_lr: Its learning rate, which the schedule changes too.
        kl_warmup_steps: Steps in which the weight of rate and total correlation rises from 0.
        num_classes: Number of labels of a conditional model, see `ClassLabels`.
        label_dropout: See `ClassLabels`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 32,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
        likelihood: Callable[..., Likelihood] = default_likelihood,
        gamma: float = 35.0,
        discriminator: Sequence[int] = (1000,) * 6,
        discriminator_lr: float = 1e-4,
        kl_warmup_steps: int = 0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        parts = (encoder, decoder, likelihood)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, latent_dim, *parts, kl_warmup_steps, *labels)
        self.gamma, self.discriminator_lr = gamma, discriminator_lr
        layers: list[nn.Module] = []
        for i, o in zip([latent_dim, *discriminator], discriminator, strict=False):
            layers += [Linear(i, o), nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, Linear([latent_dim, *discriminator][-1], 1))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the VAE's parameters, and the discriminator's with their learning rate."""
        own = [*self.discriminator.parameters()]
        others = {id(p) for p in own}
        vae = [p for p in self.parameters() if id(p) not in others]
        return [{"params": vae}, {"params": own, "lr": self.discriminator_lr}]

    def terms(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of the bound (B,) in nats, loss, "tc" and "discriminator", see the class."""
        drawn = self.drawn(x, y)
        bound = drawn.bound()
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        tc = torch.func.functional_call(self.discriminator, frozen, (drawn.z,)).squeeze(-1)
        entropy = self.discriminator_loss(drawn.z.detach())
        loss = drawn.distortion + self.kl_weight * (bound["rate"] + self.gamma * tc) + entropy
        return {"loss": loss, **bound, "tc": tc, "discriminator": entropy}

    def discriminator_loss(self, z: Tensor) -> Tensor:
        """Return the discriminator's cross-entropy (B,) in nats, ln 2 where it knows nothing.

        Args:
            z: Draws (B, M) from q(z), one for each image of the batch.
        """
        shuffled = self.discriminator(_shuffled(z)).squeeze(-1)
        return 0.5 * (F.softplus(-self.discriminator(z).squeeze(-1)) + F.softplus(shuffled))


def _shuffled(z: Tensor) -> Tensor:
    """Return codes (B, M) whose latents are each shuffled over the images of the batch."""
    noise, own = of_all_processes(uniform(z.shape, z))
    whole, _ = of_all_processes(z)
    return whole.gather(0, noise.argsort(0))[own]
