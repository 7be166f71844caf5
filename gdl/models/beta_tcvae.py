"""beta-TCVAE: Chen, Li, Grosse & Duvenaud, 2018, "Isolating sources of disentanglement in VAEs".

arXiv 1802.04942. Of the rate, only the total correlation of the latents is weighted by beta.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gdl.data.base import ImageData
from gdl.distributions import Likelihood, default_likelihood
from gdl.families.variational import Drawn, VariationalModel
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.part import of_all_processes

__all__ = ["BetaTCVAE"]


class BetaTCVAE(VariationalModel):
    """A VAE with loss = distortion + rate + (beta - 1) TC, TC = KL(q(z), prod_j q(z_j)).

    The mean rate is the information that z has of x, plus the total correlation TC, plus the divergence
    of each q(z_j) from N(0, 1) (Eq. 2); beta weighs the second only (Eq. 4, alpha = gamma = 1). Here
    q(z) is the mean of q(z | x) over the N training images. It is estimated from each batch without
    bias: an image's own q(z | x) counts 1 / N, and the others of the batch share the rest. These are
    the expected weights of the paper's stratified sampling (Appendix C.2).

    So loss and "tc" of an image depend on the other images of the batch; nll, rate and distortion do
    not, and nll does not contain beta.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        latent_dim: Number of latents M.
        encoder: Called with the shape and 2 M; returns a network from images to 2 M numbers.
        decoder: Called with M and the shape of the likelihood's parameters; returns a network.
        likelihood: Called with shape and levels; see `gdl.distributions`.
        beta: Weight of the total correlation.
        kl_warmup_steps: Steps in which the weight of rate and total correlation rises from 0.
        num_classes: Number of labels of a conditional model, see `ClassLabels`.
        label_dropout: See `ClassLabels`.
    """

    num_images: Tensor
    """N, the number of training images; 0 before training, when a batch is taken for all there is."""

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        latent_dim: int = 32,
        encoder: Callable[..., nn.Module] = MLPEncoder,
        decoder: Callable[..., nn.Module] = MLPDecoder,
        likelihood: Callable[..., Likelihood] = default_likelihood,
        beta: float = 6.0,
        kl_warmup_steps: int = 0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        parts = (encoder, decoder, likelihood)
        labels = (num_classes, label_dropout)
        super().__init__(shape, levels, latent_dim, *parts, kl_warmup_steps, *labels)
        self.beta = beta
        self.register_buffer("num_images", torch.tensor(0))

    def on_fit_start(self) -> None:
        """Count the training images."""
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ImageData):
            self.num_images.fill_(len(data.images("train")))

    def terms(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of the bound (B,) in nats, the loss, and "tc", see the class."""
        drawn = self.drawn(x, y)
        tc, bound = self.total_correlation(drawn), drawn.bound()
        loss = drawn.distortion + self.kl_weight * (bound["rate"] + (self.beta - 1) * tc)
        return {"loss": loss, **bound, "tc": tc}

    def total_correlation(self, drawn: Drawn) -> Tensor:
        """Return estimates (B,) in nats of log q(z) - sum_j log q(z_j) at the draws z.

        Their mean over images estimates TC; it is no exact one, since the logarithm of an unbiased
        estimate is too small on average.
        """
        mean, own = of_all_processes(drawn.mean)
        log_std, _ = of_all_processes(drawn.log_std)
        noise = (drawn.z[:, None] - mean) * (-log_std).exp()
        # (B, all, M); the constant of the normal densities cancels
        each = -0.5 * noise.square() - log_std
        weights = self._log_weights(len(mean), own).to(each)
        log_joint = (each.sum(-1) + weights).logsumexp(1)
        log_marginals = (each + weights[..., None]).logsumexp(1)
        return log_joint - log_marginals.sum(-1)

    def _log_weights(self, total: int, own: Tensor) -> Tensor:
        """Return the log-weights (B, total) in q(z) of the q(z | x) of all images of the batch."""
        n = self.num_images.clamp(min=total).double()
        if total == 1:
            return own.new_zeros(1, 1)
        others = ((n - 1) / (n * (total - 1))).log()
        weights = others.expand(len(own), total).clone()
        return weights.scatter(1, own[:, None], -n.log().expand(len(own), 1))
