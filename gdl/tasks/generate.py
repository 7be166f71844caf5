"""Tasks that make pictures: functions (model, x, **options) -> named image tensors.

`x` are test images (N, C, H, W) uint8. A result is a tensor (rows, columns, C, H, W) with values in
[0, levels - 1]; it is drawn as a grid, and as an animation over the columns where the name starts
with "moving_". A result without dimensions is a number, which is printed.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gdl.capabilities import HasLatents, Samples
from gdl.data.decoding import read_image
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise

__all__ = ["interpolate", "reconstruct", "sample", "traverse"]


@torch.inference_mode()
def sample(
    model: GenerativeModel,
    x: Tensor,
    n: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    mean: bool = True,
) -> dict[str, Tensor]:
    """Draw n images; image k depends on (seed, k) only.

    A model with latents but without a distribution over them, such as an autoencoder, decodes
    draws from N(0, I): the course's picture of what it is not.

    Args:
        model: Any model that samples or has latents.
        x: Not used.
        n: Number of images.
        seed: Seed of the whole set.
        temperature: Multiplies the standard deviation of the prior.
        mean: Show E[x | z] where the model has it, as pictures in papers do; false draws pixels too.
    """
    _check_images(model, "sample")
    if n < 1:
        raise GdlError(f"task.n={n} asks for no image: use task.n=1 or more.")
    if isinstance(model, Samples):
        images = model.sample(n, seed=seed, temperature=temperature, mean=mean)
    else:
        latents = _with_latents(model, "sample")
        noise = SampleNoise(seed, range(n), model.device, model.dtype)
        images = latents.decode(temperature * noise.normal(*latents.latent_shape))
    columns = max(1, round(n**0.5))
    missing = -n % columns
    images = torch.cat([images, torch.zeros_like(images[:1]).expand(missing, -1, -1, -1)])
    return {"samples": images.unflatten(0, (-1, columns))}


@torch.inference_mode()
def reconstruct(model: GenerativeModel, x: Tensor, n: int = 32) -> dict[str, Tensor]:
    """Show images in odd rows and decode(encode(x)), without randomness, below each.

    "reconstruction/max_error" and "reconstruction/mean_error" are of |decode(encode(x)) - x| in levels
    of a pixel: what rounding leaves for a flow, what the bottleneck loses for an autoencoder.

    Args:
        model: A model with latents.
        x: Test images.
        n: How many of them.
    """
    x = x[:n].to(model.device)
    latents = _with_latents(model, "reconstruct")
    y = latents.decode(latents.encode(x))
    error = (y - x).abs().double()
    columns = min(8, len(x))
    whole = len(x) // columns * columns
    pairs = [x[:whole].to(y.dtype), y[:whole]]
    rows = torch.stack([p.unflatten(0, (-1, columns)) for p in pairs], 1)
    return {
        "reconstructions": rows.flatten(0, 1),
        "reconstruction/max_error": error.max(),
        "reconstruction/mean_error": error.mean(),
    }


@torch.inference_mode()
def interpolate(
    model: GenerativeModel,
    x: Tensor,
    images: Sequence[str] | None = None,
    pairs: int = 8,
    steps: int = 10,
    path: str = "linear",
    grid: bool = False,
) -> dict[str, Tensor]:
    """Walk through latent space between real images.

    Args:
        model: A model with latents.
        x: Test images; neighbours are paired.
        images: Two image files of the user's own, instead of test images (four with `grid`).
        pairs: Number of pairs of test images.
        steps: Images from one end to the other, both included.
        path: "linear", or "spherical" for a walk that keeps the norm typical of N(0, I).
        grid: Interpolate bilinearly between four images, one in each corner.
    """
    latents = _with_latents(model, "interpolate")
    if path not in ("linear", "spherical"):
        raise GdlError(f"task.path must be linear or spherical, got {path!r}.")
    if images:
        need = 4 if grid else 2
        if len(images) != need:
            raise GdlError(
                f"task.images names {len(images)} files, but {need} are needed: use "
                f"'task.images=[{','.join(f'{c}.png' for c in 'abcd'[:need])}]'."
            )
        x = torch.stack([_user_image(model, f) for f in images])
    z = latents.encode(x[: 4 if grid else 2 * pairs].to(model.device))
    mix = _slerp if path == "spherical" else torch.lerp
    t = torch.linspace(0, 1, steps, device=z.device, dtype=z.dtype).view(-1, *[1] * z.dim())
    if grid:
        left, right = mix(z[0:1], z[2:3], t), mix(z[1:2], z[3:4], t)  # (steps, 1, M) each
        walk = torch.stack([mix(left, right, s) for s in t], 1).squeeze(2)
        return {"interpolation_grid": _decode(latents, walk)}
    walk = mix(z[0::2], z[1::2], t).transpose(0, 1)
    return {"moving_interpolation": _decode(latents, walk)}


@torch.inference_mode()
def traverse(
    model: GenerativeModel,
    x: Tensor,
    index: int = 0,
    units: int = 10,
    steps: int = 11,
    span: float = 2.5,
    images: int = 500,
) -> dict[str, Tensor]:
    """Move one latent at a time, around an encoded image; a row is a latent.

    Latents are ordered by how much they vary over the data, because a traversal of unused ones
    shows nothing. The reach is `span` standard deviations of the latent over the data.

    Args:
        model: A model with latents.
        x: Test images.
        index: The test image to start from.
        units: Latents shown.
        steps: Images in a row.
        span: Reach in both directions, in standard deviations.
        images: Test images that the standard deviations are taken over.
    """
    latents = _with_latents(model, "traverse")
    z = latents.encode(x[:images].to(model.device)).flatten(1)
    std = z.std(0)
    order = std.argsort(descending=True)[:units]
    start = latents.encode(x[index : index + 1].to(model.device))
    walk = start.flatten().repeat(len(order), steps, 1)
    reach = torch.linspace(-span, span, steps, device=z.device, dtype=z.dtype)
    for row, unit in enumerate(order):
        walk[row, :, unit] = z[:, unit].mean() + reach * std[unit]
    return {"moving_traversal": _decode(latents, walk.unflatten(-1, start.shape[1:]))}


def _check_images(model: GenerativeModel, task: str) -> None:
    if model.levels is None:
        raise GdlError(f"task={task} draws images, and this run is on vectors: use task=density.")


def _with_latents(model: GenerativeModel, task: str) -> HasLatents:
    _check_images(model, task)
    if not isinstance(model, HasLatents):
        raise GdlError(
            f"task={task} needs a model with latents, and {type(model).__name__} has none: use a "
            "run of model=vae or model=ae."
        )
    return model


def _decode(latents: HasLatents, walk: Tensor) -> Tensor:
    """Decode latents (rows, columns, ...) to images (rows, columns, C, H, W)."""
    return latents.decode(walk.flatten(0, 1)).unflatten(0, walk.shape[:2])


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the great circle from a to b (Shoemake, 1985)."""
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = torch.cosine_similarity(flat_a, flat_b, dim=1).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.arccos().view(-1, *[1] * (a.dim() - 1))
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()


def _user_image(model: GenerativeModel, file: str) -> Tensor:
    """Read an image file as the model's integers (C, H, W)."""
    assert model.levels is not None
    x = read_image(Path(file).expanduser(), model.shape)
    return (x.int() * model.levels // 256).to(torch.uint8)
