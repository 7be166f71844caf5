"""Bounds of latent-variable models: ELBO, importance-weighted bound, active units."""

from collections.abc import Iterable

import torch
from torch import Tensor

from gdl.families.streaming import StreamingLogMeanExp
from gdl.models.vae import VAE, gaussian_kl
from gdl.noise import seed_noise

__all__ = ["active_units", "importance_weighted_bound", "rate_distortion"]


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
