"""The code length of the unknown pixels of an image, given the known ones."""

import math

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.distributions import log_normal
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.families.streaming import StreamingLogMeanExp
from gdl.families.variational import VariationalModel
from gdl.noise import SampleNoise, mix_seed, seed_noise
from gdl.restoration.constraint import Constraint
from gdl.restoration.latent import ByGibbs
from gdl.restoration.particles import particles_given

__all__ = ["unknown_bits"]

STAGES = 28
FILLS = 4
"""Completions of each image, around whose latents p(known) of a VAE is estimated."""


@torch.inference_mode()
def unknown_bits(
    model: GenerativeModel,
    x: Tensor,
    known: Tensor,
    samples: int = 256,
    seed: int = 0,
    first: int = 0,
) -> tuple[str, Tensor]:
    """Return what the numbers are, and -log2 p(unknown | known) (B,) in bits per unknown value.

    - "exact": of an autoregressive model in whose order the known pixels come first.
    - "particles-K": of another one. p(x) is exact and p(known) an estimate from K particles, which on
      average is too small; so the bits are too few, on average.
    - "iwae-K": of a VAE. Both p(x) and p(known) are bounded from below with K samples; the bits, a
      difference of bounds, are themselves no bound.

    Args:
        model: The model, in eval mode.
        x: Images (B, C, H, W) uint8, whole.
        known: Boolean (B, C, H, W).
        samples: K.
        seed: Seeds the draws.
        first: The index of the first image in its set; image i depends on (seed, first + i).

    Raises:
        Incapable: The model has no such number, or the mask splits the channels of a VAE's pixels.
    """
    known = known.to(x.device).expand_as(x)
    count = (~known).flatten(1).sum(1).clamp(min=1)
    if isinstance(model, AutoregressiveModel):
        if model.known_come_first(known):
            return "exact", -model.log_prob_given(x, known).double() / math.log(2) / count
        numbers = range(first, first + len(x))
        found = particles_given(model, x, known, samples, STAGES, mix_seed("bits", seed), numbers)
        nats = found.log_seen - model.log_prob(x).double()
        return f"particles-{samples}", nats / math.log(2) / count
    if not isinstance(model, VariationalModel):
        raise Incapable(
            f"A {type(model).__name__} has no p(unknown | known) in closed form or by a simple "
            "estimate: use a run of an autoregressive model, e.g. model=made, or of model=vae."
        )
    if bool((known != known[:, :1]).any()):
        raise Incapable(
            "The bits of a VAE ask for masks that are the same for all channels: use "
            "corruption=missing_patch or missing_pixels, or an autoregressive model."
        )
    nats = _log_known(model, x, known, samples, seed, first) - _log_whole(model, x, samples, seed)
    return f"iwae-{samples}", nats / math.log(2) / count


def _log_whole(model: VariationalModel, x: Tensor, samples: int, seed: int) -> Tensor:
    seed_noise(x.device, "bits", seed)
    return -model.nll(x, k=samples).double()


def _log_known(
    model: VariationalModel, x: Tensor, known: Tensor, samples: int, seed: int, first: int
) -> Tensor:
    """Return an estimate (B,) of log p(known pixels), a lower bound on average.

    p(known) = E_r[p(known | z) p(z) / r(z)], where r is the equal mixture of q(z | x_j) over
    completions x_j of the known pixels.
    """
    assert model.levels is not None
    nothing = torch.zeros_like(known)
    given = Constraint(x, known, nothing, x.to(model.dtype), 0.0, model.levels)
    numbers = list(range(first, first + len(x)))
    restorer = ByGibbs(model)
    restorer.refuse(given)
    fills = restorer.chain(given, FILLS, mix_seed("bits", seed), numbers)
    mean, log_std = (t.unflatten(0, fills.shape[:2]) for t in model.posterior(fills.flatten(0, 1)))
    noise = SampleNoise(mix_seed("bits of known", seed), numbers, model.device, model.dtype)
    stream = StreamingLogMeanExp()
    for k in range(samples):
        j = k % FILLS
        z = mean[j] + log_std[j].exp() * noise.normal(*model.latent_shape)
        each = log_normal((z - mean) * (-log_std).exp()) - log_std.sum(-1)
        log_r = each.logsumexp(0) - math.log(FILLS)
        stream.add((_log_pixels(model, x, known, z) + log_normal(z) - log_r)[None])
    return stream.value()


def _log_pixels(model: VariationalModel, x: Tensor, known: Tensor, z: Tensor) -> Tensor:
    """Return log p(known pixels | z) (B,) of z (B, M)."""
    params = model.likelihood_params(z).movedim(1, -1)
    # each pixel is an image of its own
    own = lambda t: t.reshape(-1, t.shape[-1], 1, 1)  # noqa: E731
    each = model.likelihood.log_prob(own(params), own(x.movedim(1, -1)))
    return (each.view(params.shape[:-1]) * known[:, 0]).flatten(1).sum(1)
