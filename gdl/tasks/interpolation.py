"""Walks through latent space between images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gdl.data.decoding import read_image
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.tasks.latents import Images, decode_grid, encoded, given_labels, with_latents

__all__ = ["interpolate"]


@torch.inference_mode()
def interpolate(
    model: GenerativeModel,
    x: Images,
    images: Sequence[str] | None = None,
    pairs: int = 8,
    steps: int = 10,
    path: str = "linear",
    grid: bool = False,
    label: int | str | None = None,
) -> dict[str, Picture]:
    """Walk through latent space between real images.

    A conditional model decodes a point with the label of the end that is nearer.

    Args:
        model: A model with latents.
        x: Test images; neighbours are paired.
        images: Two image files of the user's own, instead of test images (four with `grid`).
        pairs: Number of pairs of test images.
        steps: Images from one end to the other, both included.
        path: "linear", or "spherical" for a walk that keeps the norm typical of N(0, I).
        grid: Interpolate bilinearly between four images, one in each corner.
        label: Of a conditional model, the label to decode with, instead of the images' own. It is the
            label of the user's own images, too.

    Raises:
        GdlError: The model has no latents, an option is unknown, or files are missing.
    """
    latents = with_latents(model, "interpolate")
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
    count = 4 if grid else 2 * pairs
    own, shown = (None if y is None else y[:count] for y in given_labels(model, x, label))
    z = encoded(latents, x[:count].to(model.device), own)
    mix = _slerp if path == "spherical" else torch.lerp
    t = torch.linspace(0, 1, steps, device=z.device, dtype=z.dtype).view(-1, *[1] * z.dim())
    nearer = (t.flatten() > 0.5).long()
    if grid:
        left, right = mix(z[0:1], z[2:3], t), mix(z[1:2], z[3:4], t)  # (steps, 1, M) each
        walk = torch.stack([mix(left, right, s) for s in t], 1).squeeze(2)
        y = None if shown is None else shown.view(2, 2)[nearer[:, None], nearer]
        title = f"{path} interpolation between the latents of four images, those in the corners"
        heads = [f"t = {s:.2g}" for s in t.flatten().tolist()]
        sides = [head.replace("t", "s", 1) for head in heads]
        return {"interpolation_grid": Picture(decode_grid(latents, walk, y), title, sides, heads)}
    walk = mix(z[0::2], z[1::2], t).transpose(0, 1)
    y = None if shown is None else shown[: 2 * len(walk)].view(-1, 2)[:, nearer]
    title = f"{path} interpolation between the latents of two images, those at the ends"
    heads = [f"t = {s:.2g}" for s in t.flatten().tolist()]
    ends = [Path(file).name for file in images] if images else ["first image", "second image"]
    heads[0], heads[-1] = f"{heads[0]}\n{ends[0]}", f"{heads[-1]}\n{ends[1]}"
    decoded = decode_grid(latents, walk, y)
    return {"interpolation": Picture(decoded, title, columns=heads, moves=True)}


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
