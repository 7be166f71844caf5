"""One latent at a time."""

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.tasks.latents import Images, decode_grid, encoded, given_labels, with_latents

__all__ = ["traverse"]


@torch.inference_mode()
def traverse(
    model: GenerativeModel,
    x: Images,
    index: int = 0,
    units: int = 10,
    steps: int = 11,
    span: float = 2.5,
    images: int = 500,
    label: int | str | None = None,
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
        label: Of a conditional model, the label to decode with, instead of the image's own.

    Raises:
        GdlError: The model has no latents, or there is no such image.
    """
    if not 0 <= index < len(x):
        raise GdlError(f"task.index={index} is no test image: the last one is {len(x) - 1}.")
    latents = with_latents(model, "traverse")
    own, shown = given_labels(model, x, label)
    z = encoded(latents, x[:images].to(model.device), None if own is None else own[:images])
    z = z.flatten(1)
    std = z.std(0)
    order = std.argsort(descending=True)[:units]
    at = slice(index, index + 1)
    start = encoded(latents, x[at].to(model.device), None if own is None else own[at])
    walk = start.flatten().repeat(len(order), steps, 1)
    reach = torch.linspace(-span, span, steps, device=z.device, dtype=z.dtype)
    for row, unit in enumerate(order):
        walk[row, :, unit] = z[:, unit].mean() + reach * std[unit]
    y = None if shown is None else shown[at].expand(walk.shape[:2])
    return {"moving_traversal": decode_grid(latents, walk.unflatten(-1, start.shape[1:]), y)}
