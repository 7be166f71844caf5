"""Draws from the model."""

import torch
from torch import Tensor

from gdl.capabilities import Samples
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise
from gdl.tasks.latents import check_temperature, with_latents

__all__ = ["sample"]


@torch.inference_mode()
def sample(
    model: GenerativeModel,
    x: Tensor,
    n: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    mean: bool = True,
) -> dict[str, Tensor]:
    """Draw n images, or n vectors (n, D); draw k depends on (seed, k) only.

    A model with latents but without a distribution over them, such as an autoencoder, decodes
    draws from N(0, I): the course's picture of what it is not.

    Args:
        model: Any model that samples or has latents.
        x: Not used.
        n: Number of images.
        seed: Seed of the whole set.
        temperature: Multiplies the standard deviation of the prior.
        mean: Show E[x | z] where the model has it, as pictures in papers do; false draws pixels too.

    Raises:
        GdlError: n is below 1, or the model draws nothing.
    """
    if n < 1:
        raise GdlError(f"task.n={n} asks for no image: use task.n=1 or more.")
    check_temperature(temperature)
    if model.levels is None and isinstance(model, Samples):
        return {"samples": model.sample(n, seed=seed, temperature=temperature).flatten(1)}
    if isinstance(model, Samples):
        images = model.sample(n, seed=seed, temperature=temperature, mean=mean)
    else:
        latents = with_latents(model, "sample")
        noise = SampleNoise(seed, range(n), model.device, model.dtype)
        images = latents.decode(temperature * noise.normal(*latents.latent_shape))
    columns = max(1, round(n**0.5))
    missing = -n % columns
    images = torch.cat([images, torch.zeros_like(images[:1]).expand(missing, -1, -1, -1)])
    return {"samples": images.unflatten(0, (-1, columns))}
