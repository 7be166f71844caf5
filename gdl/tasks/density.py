"""The change of variables as pictures: a density in the plane before and after each layer."""

from itertools import pairwise

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.flows.base import Chain
from gdl.models.base import GenerativeModel
from gdl.models.flow import FlowModel

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
    """Show a flow in the plane layer by layer, from data to latents.

    "densities" are those of the model's x, then of what comes out of each layer, at last the
    prior's: p(h_k) = prior(f(h_k)) |det df/dh_k| with f the layers that follow. "film_points" are
    the test points on their way through the layers, as histograms.

    Args:
        model: A flow on vectors of two dimensions.
        x: Test points (N, 2).
        size: Pixels in a row of a picture.
        extent: The pictures show [-extent, extent]^2.
        points: Test points that move.
        frames: Pictures between one layer and the next.

    Returns:
        Images (rows, columns, 1, size, size) in [0, 1], each as bright as its densest pixel.

    Raises:
        GdlError: The model is not a flow in the plane.
    """
    if not isinstance(model, FlowModel) or model.shape != (2,):
        raise GdlError(
            "task=density draws flows in the plane: use a run of model=realnvp data=toy2d."
        )
    layers = model.bijection.layers()
    side = torch.linspace(-extent, extent, size, device=model.device)
    # rows of a picture run from the top, where y is large
    y, x1 = torch.meshgrid(-side, side, indexing="ij")
    grid = torch.stack([x1.flatten(), y.flatten()], 1).to(model.dtype)
    densities = []
    for k in range(len(layers) + 1):
        z, log_det = Chain(layers[k:])(grid)
        p = (model.prior.log_prob(z) + log_det).exp().view(1, size, size)
        densities.append(p / p.max())
    stops = [x[:points].to(grid)]
    for layer in layers:
        stops.append(layer(stops[-1])[0])
    path = [torch.lerp(a, b, t / frames) for a, b in pairwise(stops) for t in range(frames)]
    pictures = [_histogram(h, size, extent) for h in [*path, stops[-1]]]
    columns = min(6, len(densities))
    empty = [torch.zeros_like(densities[0])] * (-len(densities) % columns)
    return {
        "densities": torch.stack([*densities, *empty]).unflatten(0, (-1, columns)),
        "film_points": torch.stack(pictures)[None],
    }


def _histogram(h: Tensor, size: int, extent: float) -> Tensor:
    """Return counts (1, size, size) of points (N, 2), as a share of a high one."""
    cells = ((h + extent) * (size / (2 * extent))).floor().long()
    inside = ((cells >= 0) & (cells < size)).all(1)
    column, row = cells[inside].unbind(1)
    counts = torch.bincount((size - 1 - row) * size + column, minlength=size**2).float()
    return (counts / counts.max().clamp(min=1)).view(1, size, size)
