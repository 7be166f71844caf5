"""What a model says about an image, beside the likelihood."""

import math

import torch
from torch import Tensor

from gdl.capabilities import HasPosterior, Invertible, ScoresGiven
from gdl.distributions import gaussian_kl, log_normal
from gdl.evaluation.outliers.images import Images
from gdl.families.base import GenerativeModel
from gdl.noise import normal

__all__ = ["model_statistics", "statistics_of"]


def statistics_of(images: Images, draws: int) -> Tensor:
    """Return `model_statistics` of all images (N, S), computed once."""
    name = ("statistics", draws)
    what = lambda x: model_statistics(images.model, x, draws)  # noqa: E731
    return images.once(name, lambda: images.each(what, "statistics"))


def model_statistics(model: GenerativeModel, x: Tensor, draws: int) -> Tensor:
    """Return S statistics of images (B, S), in nats, that the model has anyway.

    - A VAE: the negative ELBO, rate, distortion, the entropy of q(z | x) up to a constant, |mean|^2 / 2
      of its mean, and by how much the IWAE bound of the same draws is tighter.
    - A flow: nll, |z|^2 / 2 of the latents, and their difference, which for normal latents is the
      log-determinant up to a constant.
    - An autoregressive model: nll, that of the upper half, and that of the lower half given the upper.
    - Any other model with a density: nll.

    Args:
        model: In eval mode, on the device of x.
        x: Images (B, C, H, W) uint8, or vectors (B, D).
        draws: Latents, or dequantization samples, per image.
    """
    if isinstance(model, HasPosterior):
        return torch.stack(_of_posterior(model, x, draws), 1)
    nll = model.nll(x, k=draws).double()
    found = [nll]
    if isinstance(model, Invertible):
        half_norm = model.encode(x).double().flatten(1).square().sum(1) / 2
        found += [half_norm, half_norm - nll]
    elif isinstance(model, ScoresGiven):
        upper = torch.zeros(x.shape[1:], dtype=torch.bool, device=x.device)
        upper[:, : x.shape[2] // 2] = True
        lower = -model.log_prob_given(x, upper).double()
        found += [nll - lower, lower]
    return torch.stack(found, 1)


def _of_posterior(model: HasPosterior, x: Tensor, draws: int) -> list[Tensor]:
    mean, log_std = model.posterior(x)
    noise = normal((draws, *mean.shape), mean, axis=1)
    log_px, log_pz = (part.double() for part in model.log_joint(x, mean + log_std.exp() * noise))
    rate = gaussian_kl(mean, log_std).double().sum(-1)
    log_q = (log_normal(noise) - log_std.sum(-1)).double()
    weights = log_px + log_pz - log_q
    gain = weights.logsumexp(0) - math.log(draws) - weights.mean(0)  # of the IWAE bound
    distortion, entropy = -log_px.mean(0), log_std.double().sum(-1)
    norm = mean.double().square().sum(-1) / 2
    return [rate + distortion, rate, distortion, entropy, norm, gain]
