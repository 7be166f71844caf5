"""VAE: Kingma & Welling, 2014, "Auto-encoding variational Bayes".

arXiv 1312.6114. With `beta` it is the beta-VAE (Higgins et al., 2017, OpenReview Sy2fzU9gl), with
`num_importance_samples` the importance weighted autoencoder, IWAE (Burda et al., 2016,
arXiv 1509.00519).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_likelihood, gaussian_kl, log_normal
from gdl.errors import GdlError
from gdl.families.latent import LatentModel
from gdl.families.streaming import stream_weights
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import SampleNoise, normal
from gdl.part import over_all_processes

__all__ = ["VAE"]


class VAE(LatentModel):
    """p(x) = int p(x | z) N(z; 0, I) dz with a Gaussian encoder q(z | x) of diagonal covariance.

    With one importance sample, rate = KL(q(z | x), N(0, I)) in closed form, and distortion =
    -log p(x | z) for one z ~ q. Then nll = distortion + rate is the negative ELBO, and
    loss = distortion + beta * rate. With k > 1, loss = nll = the negative IWAE-k bound (Burda et
    al., Eq. 8); rate and distortion are still the terms of the ELBO, as means over the k samples.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        latent_dim: Number of latents M.
        encoder: Called with the shape and 2 M; returns a network from images to 2 M numbers.
        decoder: Called with M and the shape of the likelihood's parameters; returns a network.
        likelihood: Called with shape and levels; see `gdl.distributions`.
        beta: Weight of the rate in the loss. It does not change nll.
        kl_warmup_steps: Steps in which the weight of the rate rises from 0 to beta.
        free_bits: Nats per latent below which the rate, averaged over the batch, is not reduced
            further (Kingma et al., 2016, arXiv 1606.04934, Eq. 15). It does not change nll.
        num_importance_samples: k; with 1 it is a VAE, with more an IWAE.

    Raises:
        GdlError: k > 1 together with beta, warm-up or free bits, which only weight a rate.
    """

    kl_weight: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 32,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
        likelihood: Callable[..., Likelihood] = default_likelihood,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        num_importance_samples: int = 1,
    ) -> None:
        super().__init__(shape, levels)
        k = num_importance_samples
        if k > 1 and (beta != 1 or kl_warmup_steps or free_bits):
            raise GdlError(
                f"num_importance_samples={k} trains the IWAE bound, which has no rate to weight: "
                "set beta=1, kl_warmup_steps=0 and free_bits=0."
            )
        self.nll_kind = "bound" if k == 1 else f"iwae-{k}"
        self.beta, self.kl_warmup_steps, self.free_bits = beta, kl_warmup_steps, free_bits
        self.num_importance_samples = k
        self.latent_shape = (latent_dim,)
        self.likelihood = likelihood(self.shape, levels)
        self.encoder = encoder(self.shape, 2 * latent_dim)
        params_shape = (self.likelihood.num_params, *self.shape[1:])
        self.decoder = decoder(latent_dim, params_shape)
        # added to the decoder's output, so that training starts from the mean image
        self.offset = nn.Parameter(torch.zeros(params_shape))
        self.register_buffer("kl_weight", torch.tensor(0.0 if kl_warmup_steps else 1.0))

    def initialize(self, x: Tensor) -> None:
        """Set the offset so that the decoder starts as independent pixels fitted to images x."""
        self.offset.data.copy_(self.likelihood.initial_params(x.to(self.device)))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation (B, M) of q(z | x)."""
        mean, log_std = self.encoder(self.scale(x)).to(self.dtype).chunk(2, -1)
        return mean, log_std.clamp(-9, 9)

    def likelihood_params(self, z: Tensor) -> Tensor:
        """Return the parameters (..., B, P, H, W) of p(x | z) for z (..., B, M)."""
        return self.decoder(z).to(self.dtype) + self.offset

    def log_joint(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z), each (..., B), for z (..., B, M)."""
        params = self.likelihood_params(z)
        # under mixed precision only the networks run in low precision
        with torch.autocast(x.device.type, enabled=False):
            return self.likelihood.log_prob(params, x), log_normal(z)

    def log_weights(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z) - log q(z | x), each (k, B), for k draws from q."""
        mean, log_std = self.posterior(x)
        noise = normal((k, *mean.shape), mean, axis=1)
        log_px, log_pz = self.log_joint(x, mean + log_std.exp() * noise)
        return log_px, log_pz - (log_normal(noise) - log_std.sum(-1))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return loss, nll, elbo, rate and distortion (B,) in nats, see the class."""
        k = self.num_importance_samples
        if k > 1:
            log_px, log_ratio = self.log_weights(x, k)
            distortion, rate = -log_px.mean(0), -log_ratio.mean(0)
            nll = math.log(k) - (log_px + log_ratio).logsumexp(0)
            loss = nll
        else:
            mean, log_std = self.posterior(x)
            z = mean + log_std.exp() * normal(mean.shape, mean)
            distortion = -self.log_joint(x, z)[0]
            kl = gaussian_kl(mean, log_std)
            rate = kl.sum(-1)
            nll = distortion + rate
            loss = distortion + self.beta * self.kl_weight * self._surrogate_rate(kl)
        elbo = -(distortion + rate)
        return {"loss": loss, "nll": nll, "elbo": elbo, "rate": rate, "distortion": distortion}

    def nll(self, x: Tensor, k: int = 1) -> Tensor:
        """Return the negative ELBO (B,) in nats, or with k > 1 the negative IWAE-k bound.

        -log p(x) <= -E log (1/k) sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q (Burda et al., Eq. 8).
        """
        if k == 1:
            return super().nll(x)
        return -stream_weights(self, x, k).value()

    def _surrogate_rate(self, kl: Tensor) -> Tensor:
        """Return a rate (B,) whose batch mean is sum_j max(free_bits, batch mean of KL_j).

        The mean is taken before the maximum, so a latent may be unused for some of the images.
        """
        if not self.free_bits:
            return kl.sum(-1)
        mean = over_all_processes(kl.mean(0))
        return torch.where(mean > self.free_bits, kl, self.free_bits).sum(-1)

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        """Set the weight of the rate in the warm-up. It is a buffer, so checkpoints contain it."""
        if self.kl_warmup_steps:
            self.kl_weight.fill_(min(1.0, self.global_step / self.kl_warmup_steps))

    # ---- capabilities

    def encode(self, x: Tensor) -> Tensor:
        """Return the posterior means (B, M) of images (B, C, H, W) uint8."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Return E[x | z] (B, C, H, W) in [0, levels - 1] for latents (B, M)."""
        return self.likelihood.mean(self.likelihood_params(z))

    def sample(
        self, n: int, *, seed: int = 0, temperature: float = 1.0, mean: bool = False
    ) -> Tensor:
        """Return n images (n, C, H, W); image k depends on (seed, k) only.

        Args:
            n: Number of images.
            seed: Seed of the whole set.
            temperature: Multiplies the standard deviation of the prior.
            mean: Return E[x | z], as in the figures of most papers, instead of a draw from p(x | z).
        """
        chunks = []
        for indices in torch.arange(n).split(100):
            noise = SampleNoise(seed, indices.tolist(), self.device, self.dtype)
            params = self.likelihood_params(temperature * noise.normal(*self.latent_shape))
            lk = self.likelihood
            chunks.append(lk.mean(params) if mean else lk.sample(params, noise))
        return torch.cat(chunks)
