"""Bounds of latent-variable models: ELBO, importance-weighted bound, active units."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.models.vae import VAE, gaussian_kl
from gdl.noise import seed_noise

__all__ = ["StreamingLogMeanExp", "active_units", "importance_weighted_bound", "rate_distortion"]


@dataclass
class StreamingLogMeanExp:
    """log of the mean of exp(w) over a stream of log weights, in float64, without keeping them.

    Also keeps the sum of squares, for the effective sample size (sum w)^2 / sum w^2.
    """

    log_sum: Tensor | None = None
    log_sum_squares: Tensor | None = None
    count: int = 0

    def add(self, log_w: Tensor) -> None:
        """Add log weights (k, B)."""
        log_w = log_w.double()
        s, q = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        self.log_sum = s if self.log_sum is None else torch.logaddexp(self.log_sum, s)
        old = self.log_sum_squares
        self.log_sum_squares = q if old is None else torch.logaddexp(old, q)
        self.count += log_w.shape[0]

    def value(self) -> Tensor:
        """Return log (1 / K) sum_k exp(w_k), (B,)."""
        assert self.log_sum is not None, "no weights were added"
        return self.log_sum - math.log(self.count)

    def effective_samples(self) -> Tensor:
        """Return (B,), between 1 and K; below about 2 the bound is loose."""
        assert self.log_sum is not None
        assert self.log_sum_squares is not None
        return (2 * self.log_sum - self.log_sum_squares).exp()


@torch.inference_mode()
def importance_weighted_bound(
    model: VAE, batches: Iterable[Tensor], k: int, chunk: int = 4000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the negative IWAE-k bound (N,) in nats and the effective sample size (N,) per image.

    -log p(x) <= -E log (1/k) sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q (Burda et al., 2016,
    arXiv 1509.00519, Eq. 8). Logs are averaged over images, never weights.

    Args:
        model: A VAE in eval mode.
        batches: Images (B, C, H, W) uint8.
        k: Number of importance samples; every value is honoured.
        chunk: Decoded images at a time, which bounds the memory.
        seed: Seeds the draws.
    """
    bounds, effective = [], []
    for i, x in enumerate(batches):
        x = x.to(model.device)
        seed_noise(model.device, "iwae", seed, i)
        stream = StreamingLogMeanExp()
        at_once = max(1, chunk // len(x))
        while stream.count < k:
            log_px, log_ratio = model.log_weights(x, min(at_once, k - stream.count))
            stream.add(log_px + log_ratio)
        bounds.append(-stream.value())
        effective.append(stream.effective_samples())
    return torch.cat(bounds).cpu(), torch.cat(effective).cpu()


@torch.inference_mode()
def rate_distortion(
    model: VAE, batches: Iterable[Tensor], draws: int = 8, seed: int = 0
) -> dict[str, Tensor]:
    """Return "rate", "distortion" and "elbo" = -(rate + distortion) per image, (N,) in nats.

    The rate is in closed form; the distortion is averaged over `draws` samples of z.
    """
    rates, distortions = [], []
    for i, x in enumerate(batches):
        x = x.to(model.device)
        seed_noise(model.device, "elbo", seed, i)
        mean, log_std = model.posterior(x)
        noise = torch.randn(draws, *mean.shape, dtype=mean.dtype, device=mean.device)
        log_px, _ = model.log_joint(x, mean + log_std.exp() * noise)
        rates.append(gaussian_kl(mean, log_std).sum(-1).double())
        distortions.append(-log_px.double().mean(0))
    rate, distortion = torch.cat(rates).cpu(), torch.cat(distortions).cpu()
    return {"rate": rate, "distortion": distortion, "elbo": -(rate + distortion)}


@torch.inference_mode()
def active_units(model: VAE, batches: Iterable[Tensor], threshold: float = 0.01) -> int:
    """Count the latents whose posterior mean varies over images by more than `threshold`.

    Var_x(E[z_j | x]) > 0.01 (Burda et al., 2016, Section 5.2).
    """
    means = torch.cat([model.posterior(x.to(model.device))[0] for x in batches])
    return int((means.double().var(0) > threshold).sum())
