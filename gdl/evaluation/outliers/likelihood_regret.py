"""Likelihood regret: how much a VAE's bound gains when q is fitted to one image."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasPosterior, refuse
from gdl.distributions import gaussian_kl
from gdl.evaluation.outliers.images import Images
from gdl.noise import mix_seed

__all__ = ["regret", "regret_of"]

DRAWS = 2
"""Latents per image at a step; the bounds before and after are means over 32 times as many."""


def regret(images: Images, train: Images, steps: int = 25, lr: float = 0.1) -> Tensor:
    """Return max_q ELBO(x; q) - ELBO(x; q(z | x)) (N,) in nats: high where the encoder is lost.

    Xiao et al., 2020, "Likelihood regret", arXiv 2003.02977: q runs over Gaussians with a diagonal
    covariance, starts as the encoder's and takes `steps` steps of Adam, for each image by itself. The
    regret is at least 0, and at most KL(q(z | x), p(z | x)), the gap of the encoder's bound.

    Args:
        images: To score.
        train: Not used.
        steps: Steps of Adam; 0 gives 0.
        lr: The rate of the first step, of means and log standard deviations.

    Raises:
        Incapable: The model has no q(z | x).
    """
    model = images.model
    if not isinstance(model, HasPosterior):
        refuse(model, HasPosterior, "it asks for a posterior of latents", models)
    seed = images.setting.seed
    return images.each(lambda x: regret_of(model, x, steps, lr, seed), "regret")


def regret_of(model: HasPosterior, x: Tensor, steps: int, lr: float, seed: int) -> Tensor:
    """Return the regret (B,) of images x (B, C, H, W), see `regret`.

    All images share the noise, so a score depends on its image, the options and the seed alone.
    """
    with torch.inference_mode(False):
        x = x.clone()  # a tensor that inference has made takes part in no gradient
        noise = torch.Generator().manual_seed(mix_seed("regret", seed))
        with torch.no_grad():
            start = torch.stack(model.posterior(x))
        q = _maximum(model, x, start, steps, lr, noise)
        with torch.no_grad():
            eps = _noise(start, 32 * DRAWS, noise)
            gain = _elbo(model, x, q, eps) - _elbo(model, x, start, eps)
    return gain.clamp(min=0)  # the encoder's q is one of those over which the maximum is taken


def _maximum(
    model: HasPosterior, x: Tensor, q: Tensor, steps: int, lr: float, noise: torch.Generator
) -> Tensor:
    """Return mean and log standard deviation (2, B, M) after `steps` steps of Adam from q.

    Adam is written out: its steps are of each number by itself, so the images do not meet.
    """
    first, second = torch.zeros_like(q), torch.zeros_like(q)
    for i in range(1, steps + 1):
        with torch.enable_grad():
            q = q.detach().requires_grad_()
            bound = _elbo(model, x, q, _noise(q, DRAWS, noise)).sum()
        (g,) = torch.autograd.grad(bound, q)
        first, second = first.lerp(g, 0.1), second.lerp(g.square(), 0.05)
        rate = lr * (1 - (i - 1) / steps)  # to 0, so that the noise of the last steps is averaged
        step = first / (1 - 0.9**i) / ((second / (1 - 0.95**i)).sqrt() + 1e-8)
        q = q.detach() + rate * step
    return q.detach()


def _noise(q: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Return noise (draws, 1, M), the same for all images, of mean 0 and variance 1 over the draws.

    So a bound whose log p(x | z) is quadratic in each latent is exact.
    """
    half = torch.randn(draws // 2, 1, q.shape[-1], generator=generator)
    half = half / half.square().mean(0).sqrt()
    return torch.cat([half, -half]).to(q)


def _elbo(model: HasPosterior, x: Tensor, q: Tensor, eps: Tensor) -> Tensor:
    """Return the ELBO (B,) of q = (mean, log_std), averaged over draws eps (K, 1, M)."""
    mean, log_std = q
    log_px = model.log_joint(x, mean + log_std.exp() * eps)[0].double().mean(0)
    return log_px - gaussian_kl(mean, log_std).sum(-1)
