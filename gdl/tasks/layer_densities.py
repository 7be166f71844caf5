"""The change of variables as pictures: a density before and after each layer of a flow."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.capabilities import HasLogProb
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.flows.base import Bijection, Chain

__all__ = ["density"]


@torch.inference_mode()
def density(
    model: GenerativeModel,
    x: Tensor,
    size: int = 160,
    extent: float = 4.0,
    points: int = 20_000,
    frames: int = 6,
) -> dict[str, Tensor]:
    """Show a flow on the line or in the plane layer by layer, from data to latents.

    "densities" are those of the model's x, then of what comes out of each layer, at last the
    prior's: p(h_k) = prior(f(h_k)) |det df/dh_k| with f the layers that follow. On the line they are
    curves, over histograms of the test points at the same place. "film_points" are the test points
    on their way through the layers, as histograms.

    Args:
        model: A flow on vectors of one or two dimensions.
        x: Test points (N, D).
        size: Pixels in a row of a picture.
        extent: The pictures show [-extent, extent]^D.
        points: Test points that move.
        frames: Pictures between one layer and the next.

    Returns:
        Images (rows, columns, 1, size, size) in [0, 1], each as bright, or as high, as its densest
        pixel.

    Raises:
        GdlError: The model is not a flow on the line or in the plane.
    """
    bijection, prior = getattr(model, "bijection", None), getattr(model, "prior", None)
    if not (isinstance(bijection, Bijection) and isinstance(prior, HasLogProb)) or (
        model.shape not in {(1,), (2,)}
    ):
        raise GdlError(
            "task=density draws flows on the line and in the plane: use a run of model=realnvp "
            "data=toy1d or data=toy2d."
        )
    if model.num_classes:
        raise GdlError(
            "task=density draws one prior, and a conditional flow has one for each class: use a run "
            "with model.conditional=false."
        )
    layers = bijection.layers()
    stops = [x[:points].to(next(model.parameters()))]
    for layer in layers:
        stops.append(layer(stops[-1])[0])
    d = model.shape[0]
    grid = _pixels(size, extent, d).to(stops[0])
    pictures = []
    for k, h in enumerate(stops):
        z, log_det = Chain(layers[k:])(grid)
        p = (prior.log_prob(z) + log_det).exp().view(*[size] * d)
        pictures.append(p / p.max() if d == 2 else _curve(p, _histogram(h, size, extent)))
    path = [torch.lerp(a, b, t / frames) for a, b in pairwise(stops) for t in range(frames)]
    film = [_histogram(h, size, extent) for h in [*path, stops[-1]]]
    # as a share of a high count
    film = [h / h.max().clamp(min=1e-9) for h in film]
    film = [h if d == 2 else _below(h * size) for h in film]
    columns = min(6, len(pictures))
    empty = [torch.zeros_like(pictures[0])] * (-len(pictures) % columns)
    return {
        "densities": torch.stack([*pictures, *empty]).unflatten(0, (-1, columns))[:, :, None],
        "film_points": torch.stack(film)[None, :, None],
    }


def _pixels(size: int, extent: float, d: int) -> Tensor:
    """Return the middles (size^D, D) of pixels, row by row from the top, where y is large."""
    side = torch.linspace(-extent, extent, size)
    if d == 1:
        return side[:, None]
    y, x = torch.meshgrid(-side, side, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def _histogram(h: Tensor, size: int, extent: float) -> Tensor:
    """Return the density (size,) or (size, size) of points (N, D) in the cells of a picture."""
    d, width = h.shape[1], 2 * extent / size
    cells = ((h + extent) / width).floor().long()
    cells = cells[((cells >= 0) & (cells < size)).all(1)]
    index = cells[:, 0] if d == 1 else (size - 1 - cells[:, 1]) * size + cells[:, 0]
    counts = torch.bincount(index, minlength=size**d).view(*[size] * d)
    return counts.float() / (len(h) * width**d)


def _curve(p: Tensor, histogram: Tensor) -> Tensor:
    """Draw a density p (size,) as a line over a histogram (size,) in half-tone."""
    scale = 0.95 * len(p) / p.max()
    height = (p * scale)[None]
    # where it is steep, as long as the step to the next column
    top = F.max_pool1d(height, 3, 1, 1)[0]
    bottom = -F.max_pool1d(-height, 3, 1, 1)[0] - 1.5
    line = _below(top) - _below(bottom)
    return torch.maximum(0.45 * _below(histogram * scale), line)


def _below(height: Tensor) -> Tensor:
    """Return a picture (size, size) that is 1 below a height (size,) in pixels."""
    from_bottom = torch.arange(len(height), device=height.device).flip(0)[:, None]
    return (height - from_bottom).clamp(0, 1)
