"""VAE: Kingma & Welling, 2014, "Auto-encoding variational Bayes".

arXiv 1312.6114. With `beta` it is the beta-VAE (Higgins et al., 2017, OpenReview Sy2fzU9gl), with
`num_importance_samples` the importance weighted autoencoder, IWAE (Burda et al., 2016,
arXiv 1509.00519).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_likelihood
from gdl.errors import GdlError
from gdl.families.variational import VariationalModel, given
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.part import over_all_processes

__all__ = ["VAE"]


class VAE(VariationalModel):
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
        parts = (encoder, decoder, likelihood)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, latent_dim, *parts, kl_warmup_steps, *labels)
        k = num_importance_samples
        if k > 1 and (beta != 1 or kl_warmup_steps or free_bits):
            raise GdlError(
                f"num_importance_samples={k} trains the IWAE bound, which has no rate to weight: "
                "set beta=1, kl_warmup_steps=0 and free_bits=0."
            )
        self.nll_kind = "bound" if k == 1 else f"iwae-{k}"
        self.beta, self.free_bits, self.num_importance_samples = beta, free_bits, k

    @property
    def rate_weight(self) -> Tensor | float:
        """How much a nat of the rate adds to the loss: beta, after the warm-up."""
        return self.beta * self.kl_weight

    def terms(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of p(x | y), or p(x) of a model without labels, see the class."""
        k = self.num_importance_samples
        if k == 1:
            drawn = self.drawn(x, y)
            loss = drawn.distortion + self.rate_weight * self._surrogate_rate(drawn.kl)
            return {"loss": loss, **drawn.bound()}
        log_px, log_ratio = self.log_weights(x, k, *given(y))
        distortion, rate = -log_px.mean(0), -log_ratio.mean(0)
        nll = math.log(k) - (log_px + log_ratio).logsumexp(0)
        terms = {"loss": nll, "nll": nll, "elbo": -(distortion + rate)}
        return {**terms, "rate": rate, "distortion": distortion}

    def _surrogate_rate(self, kl: Tensor) -> Tensor:
        """Return a rate (B,) whose batch mean is sum_j max(free_bits, batch mean of KL_j).

        The mean is taken before the maximum, so a latent may be unused for some of the images.
        """
        if not self.free_bits:
            return kl.sum(-1)
        mean = over_all_processes(kl.mean(0))
        return torch.where(mean > self.free_bits, kl, self.free_bits).sum(-1)
