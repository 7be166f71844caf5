"""What all variational autoencoders share: encoder, decoder, likelihood, bounds, samples."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_likelihood, gaussian_kl, log_normal
from gdl.families.latent import LatentModel
from gdl.families.streaming import stream_weights
from gdl.nn.labels import LabelledCodes, LabelledImages
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import SampleNoise, normal

__all__ = ["Drawn", "VariationalModel", "given"]


class Drawn(NamedTuple):
    """One draw of the latents of images, and what the bound is made of, in nats."""

    mean: Tensor
    """Means (B, M) of q(z | x)."""
    log_std: Tensor
    """Their log standard deviations (B, M)."""
    z: Tensor
    """The draw (B, M)."""
    distortion: Tensor
    """-log p(x | z), (B,)."""
    kl: Tensor
    """KL(q(z_j | x), N(0, 1)) of each latent, (B, M)."""

    def bound(self) -> dict[str, Tensor]:
        """Return nll, elbo, rate and distortion (B,)."""
        rate = self.kl.sum(-1)
        nll = self.distortion + rate
        return {"nll": nll, "elbo": -nll, "rate": rate, "distortion": self.distortion}


class VariationalModel(LatentModel):
    """p(x) = int p(x | z) N(z; 0, I) dz with a Gaussian encoder q(z | x) of diagonal covariance.

    A model of this family writes `terms`: what is minimised, beside the terms of the bound
    -log p(x) <= nll = distortion + rate, with rate = KL(q(z | x), N(0, I)) and distortion =
    -log p(x | z) for one z ~ q.

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
        kl_warmup_steps: Steps in which the weight of the rate rises from 0 to its value.
        num_classes: Number of labels of a conditional model, see `ClassLabels`.
        label_dropout: See `ClassLabels`.
    """

    nll_kind = "bound"

    kl_weight: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 32,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
        likelihood: Callable[..., Likelihood] = default_likelihood,
        kl_warmup_steps: int = 0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, levels, num_classes, label_dropout)
        self.kl_warmup_steps = kl_warmup_steps
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

    @abstractmethod
    def terms(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return loss, nll, elbo, rate and distortion (B,) in nats, and perhaps more.

        Args:
            x: Images (B, C, H, W) uint8.
            y: Labels (B,) of a conditional model, all known or with rows of their own; else None.
        """

    @property
    def rate_weight(self) -> Tensor | float:
        """How much a nat of the rate adds to the loss."""
        return self.kl_weight

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
        rows = given(y)
        mean, log_std = self.posterior(x, *rows)
        noise = normal((k, *mean.shape), mean, axis=1)
        log_px, log_pz = self.log_joint(x, mean + log_std.exp() * noise, *rows)
        return log_px, log_pz - (log_normal(noise) - log_std.sum(-1))

    def drawn(self, x: Tensor, y: Tensor | None) -> Drawn:
        """Return one draw of the latents of images x (B, C, H, W) with labels y (B,), or None."""
        mean, log_std = self.posterior(x, *given(y))
        z = mean + log_std.exp() * normal(mean.shape, mean)
        distortion = -self.log_joint(x, z, *given(y))[0]
        return Drawn(mean, log_std, z, distortion, gaussian_kl(mean, log_std))

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return loss, nll, elbo, rate and distortion (B,) in nats, see the class."""
        if not self.num_classes:
            self.refuse_labels(y)
            return self.terms(x, None)
        if self.label_dropout:
            return self.terms(x, self._rows_or_left_out(x, y))
        if y is None or not self._all_known(y):
            return self._terms_without_label(x, y)
        return self.terms(x, y)

    def _terms_without_label(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of p(x) where the label is unknown, and of p(x | y) where it is known.

        With q(y | x) proportional to p(y) times the bound of p(x | y), the terms are means over q, and
        KL(q(y | x), p(y)) is a part of the rate.
        """
        each = [self.terms(x, label) for label in self.each_label(x)]
        terms = {name: torch.stack([t[name] for t in each]) for name in each[0]}  # (classes, B)
        log_joint = self.log_class_prior.to(self.dtype)[:, None] - terms["nll"]
        q = log_joint.softmax(0)
        # KL(q, p(y)) without log p(y), which may be infinite
        kl = -log_joint.logsumexp(0) - (q * terms["nll"]).sum(0)
        if y is not None:
            known = torch.nn.functional.one_hot(y.clamp(min=0), self.num_classes).T
            q, kl = torch.where(y < 0, q, known), torch.where(y < 0, kl, 0)
        means = {name: (q * t).sum(0) for name, t in terms.items()}
        cost = {"nll": 1, "rate": 1, "elbo": -1, "loss": self.rate_weight}
        return {name: t + cost.get(name, 0) * kl for name, t in means.items()}

    def nll(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Return the negative ELBO (B,) in nats, or with k > 1 the negative IWAE-k bound.

        -log p(x) <= -E log (1/k) sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q (Burda et al., Eq. 8).
        Of an image without label there are k samples for each label.
        """
        if k == 1:
            return super().nll(x, y)
        return -self.over_labels(x, y, lambda x, y: stream_weights(self, x, k, y=y).value())

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


def given(y: Tensor | None) -> list[Tensor]:
    """Return what follows x in a call, so that a subclass without labels need not take them."""
    return [] if y is None else [y]
