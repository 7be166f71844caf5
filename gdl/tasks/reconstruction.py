"""Test images beside what a model makes of their latents."""

import torch
from torch import Tensor

from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.tasks.latents import Images, decode_grid, encoded, given_labels, with_latents

__all__ = ["reconstruct"]


@torch.inference_mode()
def reconstruct(
    model: GenerativeModel, x: Images, n: int = 32, label: int | str | None = None
) -> dict[str, Picture | Tensor]:
    """Show images in odd rows and decode(encode(x)), without randomness, below each.

    "reconstruction/max_error" and "reconstruction/mean_error" are of |decode(encode(x)) - x| in levels
    of a pixel: what rounding leaves for a flow, what the bottleneck loses for an autoencoder. The
    title has the mean squared error of pixels in [0, 1].

    Args:
        model: A model with latents.
        x: Test images.
        n: How many of them.
        label: Of a conditional model, the label to decode with, instead of the image's own.
    """
    latents = with_latents(model, "reconstruct")
    own, shown = (None if y is None else y[:n] for y in given_labels(model, x, label))
    x = x[:n].to(model.device)
    z = encoded(latents, x, own)
    y = decode_grid(latents, z[None], shown)[0]
    error = (y - x).abs().double()
    columns = min(8, len(x))
    whole = len(x) // columns * columns
    pairs = [x[:whole].to(y.dtype), y[:whole]]
    rows = torch.stack([p.unflatten(0, (-1, columns)) for p in pairs], 1)
    assert model.levels is not None
    squared = float((error / (model.levels - 1)).square().mean())
    title = "images and their reconstructions"
    if label is not None:
        title += f" as class {label}"
    picture = Picture(
        rows.flatten(0, 1),
        f"{title}, mean squared error {squared:.2g} of pixels in [0, 1]",
        rows=["original", "reconstruction"] * len(rows),
    )
    return {
        "reconstructions": picture,
        "reconstruction/max_error": error.max(),
        "reconstruction/mean_error": error.mean(),
    }
