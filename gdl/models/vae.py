"""VAE: Kingma & Welling, 2014, "Auto-encoding variational Bayes".

arXiv 1312.6114. With `beta` it is the beta-VAE (Higgins et al., 2017, OpenReview Sy2fzU9gl), with
`num_importance_samples` the importance weighted autoencoder, IWAE (Burda et al., 2016,
arXiv 1509.00519).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_likelihood, gaussian_kl, log_normal
from gdl.errors import GdlError
from gdl.families.latent import LatentModel
from gdl.families.streaming import stream_weights
from gdl.nn.labels import LabelledCodes, LabelledImages
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

    A conditional model has p(x | z, y) and q(z | x, y): the label is an input of decoder and encoder,
    see `gdl.nn.labels`. Of an image without label the terms are those of the latents (z, y), with the
    best q(y | x): sum_y p(y) p(x | y) is bounded by the sum over the bounds of p(x | y).

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
        num_classes: Number of labels of a conditional model, see `ClassLabels`.
        label_dropout: See `ClassLabels`.

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
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, levels, num_classes, label_dropout)
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
        self.label_input, self.label_code = None, None
        if num_classes:
            self.label_input = LabelledImages(self.label_rows, self.shape)
            self.label_code = LabelledCodes(self.label_rows)
            latent_dim += self.label_code.size
        self.decoder = decoder(latent_dim, params_shape)
        # added to the decoder's output, so that training starts from the mean image
        self.offset = nn.Parameter(torch.zeros(params_shape))
        self.register_buffer("kl_weight", torch.tensor(0.0 if kl_warmup_steps else 1.0))

    def initialize(self, x: Tensor) -> None:
        """Set the offset so that the decoder starts as independent pixels fitted to images x."""
        self.offset.data.copy_(self.likelihood.initial_params(x.to(self.device)))

    def posterior(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation (B, M) of q(z | x), or q(z | x, y)."""
        inputs, rows = self.scale(x), self.label_rows_of(len(x), y)
        if self.label_input is not None:
            inputs = self.label_input(inputs, rows)
        mean, log_std = self.encoder(inputs).to(self.dtype).chunk(2, -1)
        return mean, log_std.clamp(-9, 9)

    def likelihood_params(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the parameters (..., B, P, H, W) of p(x | z), or p(x | z, y), for z (..., B, M)."""
        rows = self.label_rows_of(z.shape[-2], y)
        if self.label_code is not None:
            z = self.label_code(z, rows)
        return self.decoder(z).to(self.dtype) + self.offset

    def log_joint(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z), each (..., B), for z (..., B, M), of labels y (B,)."""
        params = self.likelihood_params(z, y)
        # under mixed precision only the networks run in low precision
        with torch.autocast(x.device.type, enabled=False):
            return self.likelihood.log_prob(params, x), log_normal(z)

    def log_weights(self, x: Tensor, k: int, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return log p(x | z) and log p(z) - log q(z | x), each (k, B), for k draws from q."""
        given = _given(y)
        mean, log_std = self.posterior(x, *given)
        noise = normal((k, *mean.shape), mean, axis=1)
        log_px, log_pz = self.log_joint(x, mean + log_std.exp() * noise, *given)
        return log_px, log_pz - (log_normal(noise) - log_std.sum(-1))

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return loss, nll, elbo, rate and distortion (B,) in nats, see the class."""
        if not self.num_classes:
            self.refuse_labels(y)
            return self._terms_given(x, None)
        if self.label_dropout:
            return self._terms_given(x, self._rows_or_left_out(x, y))
        if y is None or not self._all_known(y):
            return self._terms_without_label(x, y)
        return self._terms_given(x, y)

    def _terms_given(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of p(x | y), or p(x) of a model without labels."""
        k = self.num_importance_samples
        if k > 1:
            log_px, log_ratio = self.log_weights(x, k, *_given(y))
            distortion, rate = -log_px.mean(0), -log_ratio.mean(0)
            nll = math.log(k) - (log_px + log_ratio).logsumexp(0)
            loss = nll
        else:
            mean, log_std = self.posterior(x, *_given(y))
            z = mean + log_std.exp() * normal(mean.shape, mean)
            distortion = -self.log_joint(x, z, *_given(y))[0]
            kl = gaussian_kl(mean, log_std)
            rate = kl.sum(-1)
            nll = distortion + rate
            loss = distortion + self.beta * self.kl_weight * self._surrogate_rate(kl)
        elbo = -(distortion + rate)
        return {"loss": loss, "nll": nll, "elbo": elbo, "rate": rate, "distortion": distortion}

    def _terms_without_label(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of p(x) where the label is unknown, and of p(x | y) where it is known.

        With q(y | x) proportional to p(y) times the bound of p(x | y), the terms are means over q, and
        KL(q(y | x), p(y)) is a part of the rate.
        """
        each = [self._terms_given(x, label) for label in self.each_label(x)]
        terms = {name: torch.stack([t[name] for t in each]) for name in each[0]}  # (classes, B)
        log_joint = self.log_class_prior.to(self.dtype)[:, None] - terms["nll"]
        q = log_joint.softmax(0)
        # KL(q, p(y)) without log p(y), which may be infinite
        kl = -log_joint.logsumexp(0) - (q * terms["nll"]).sum(0)
        if y is not None:
            known = torch.nn.functional.one_hot(y.clamp(min=0), self.num_classes).T
            q, kl = torch.where(y < 0, q, known), torch.where(y < 0, kl, 0)
        means = {name: (q * t).sum(0) for name, t in terms.items()}
        cost = {"nll": 1, "rate": 1, "elbo": -1, "loss": self.beta * self.kl_weight}
        return {name: t + cost.get(name, 0) * kl for name, t in means.items()}

    def nll(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Return the negative ELBO (B,) in nats, or with k > 1 the negative IWAE-k bound.

        -log p(x) <= -E log (1/k) sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q (Burda et al., Eq. 8).
        Of an image without label there are k samples for each label.
        """
        if k == 1:
            return super().nll(x, y)
        return -self.over_labels(x, y, lambda x, y: stream_weights(self, x, k, y=y).value())

    def _surrogate_rate(self, kl: Tensor) -> Tensor:
        """Return a rate (B,) whose batch mean is sum_j max(free_bits, batch mean of KL_j).

        The mean is taken before the maximum, so a latent may be unused for some of the images.
        """
        if not self.free_bits:
            return kl.sum(-1)
        mean = over_all_processes(kl.mean(0))
        return torch.where(mean > self.free_bits, kl, self.free_bits).sum(-1)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the weight of the rate in the warm-up. It is a buffer, so checkpoints contain it."""
        if self.kl_warmup_steps:
            self.kl_weight.fill_(min(1.0, self.global_step / self.kl_warmup_steps))

    # ---- capabilities

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the posterior means (B, M) of images (B, C, H, W) uint8 with labels y (B,)."""
        return self.posterior(x, y)[0]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return E[x | z] (B, C, H, W) in [0, levels - 1] for latents (B, M) and labels y (B,)."""
        return self.likelihood.mean(self.likelihood_params(z, y))

    def sample(
        self,
        n: int,
        *,
        label: int | Tensor | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        mean: bool = False,
    ) -> Tensor:
        """Return n images (n, C, H, W); image k depends on (seed, k) only.

        Args:
            n: Number of images.
            label: A label for all images or one for each (n,); None draws them from p(y).
            seed: Seed of the whole set.
            temperature: Multiplies the standard deviation of the prior.
            mean: Return E[x | z], as in the figures of most papers, instead of a draw from p(x | z).
        """
        labels, chunks = self.checked_labels(label, n), []
        for indices in torch.arange(n).split(100):
            noise = SampleNoise(seed, indices.tolist(), self.device, self.dtype)
            y = self._labels_of_samples(labels, indices, seed)
            params = self.likelihood_params(temperature * noise.normal(*self.latent_shape), y)
            lk = self.likelihood
            chunks.append(lk.mean(params) if mean else lk.sample(params, noise))
        return torch.cat(chunks)


def _given(y: Tensor | None) -> list[Tensor]:
    """Return what follows x in a call, so that a subclass without labels need not take them."""
    return [] if y is None else [y]
