"""The change of variables as pictures: a density before and after each layer of a flow."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.capabilities import HasLogProb
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.flows.base import Bijection, Chain
from gdl.pictures import Picture
from gdl.tasks.images import LazyImages
from gdl.tasks.latents import Images

__all__ = ["density"]


@torch.inference_mode()
def density(
    model: GenerativeModel,
    x: Images,
    size: int = 160,
    extent: float = 4.0,
    points: int = 20_000,
    frames: int = 24,
) -> dict[str, Picture]:
    """Show a flow on the line or in the plane layer by layer, from data to latents.

    "densities" are those of the model's x, then of what comes out of each layer, at last the
    prior's: p(h_k) = prior(f(h_k)) |det df/dh_k| with f the layers that follow. On the line they are
    curves, over histograms of the test points at the same place. "points" are the test points on
    their way through the layers, as histograms. Where the density of the data is known, each place
    has the KL divergence from the points there to the prior, E[log p(h_k) - log prior(h_k)]; after the
    last layer it is KL(data, model).

    Args:
        model: A flow on vectors of one or two dimensions.
        x: Test points (N, D).
        size: Pixels in a row of a picture.
        extent: The pictures show [-extent, extent]^D.
        points: Test points that move.
        frames: Pictures of the film, from data to latents.

    Returns:
        Pictures of images in [0, 1], each as bright, or as high, as its densest pixel.

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
    log_dets = [stops[0].new_zeros(len(stops[0]))]  # from x to each stop
    for layer in layers:
        h, log_det = layer(stops[-1])
        stops.append(h)
        log_dets.append(log_dets[-1] + log_det)
    d = model.shape[0]
    grid = _pixels(size, extent, d).to(stops[0])
    pictures = []
    for k, h in enumerate(stops):
        z, log_det = Chain(layers[k:])(grid)
        p = (prior.log_prob(z) + log_det).exp().view(*[size] * d)
        pictures.append(p / p.max() if d == 2 else _curve(p, _histogram(h, size, extent)))
    times = torch.linspace(0, len(layers), max(2, frames)).tolist()
    film = [_histogram(_between(stops, t), size, extent) for t in times]
    # as a share of a high count
    film = [h / h.max().clamp(min=1e-9) for h in film]
    film = [h if d == 2 else _below(h * size) for h in film]
    columns = min(6, len(pictures))
    empty = [torch.zeros_like(pictures[0])] * (-len(pictures) % columns)
    images = torch.stack([*pictures, *empty]).unflatten(0, (-1, columns))[:, :, None]
    axes = f"{'the axis' if d == 1 else 'both axes'} from {-extent:g} to {extent:g}"
    what = "curve: density, filled: histogram of test points" if d == 1 else "density"
    captions = ["data", *(f"{k}: {type(f).__name__}" for k, f in enumerate(layers, 1))]
    title = f"{what}, before and after each of {len(layers)} layers; {axes}"
    if (log_p := _log_density(x, points)) is not None:
        kl = [
            float((log_p - log_det.cpu().double() - prior.log_prob(h).cpu().double()).mean())
            for h, log_det in zip(stops, log_dets, strict=True)
        ]
        captions = [f"{c}\nKL to prior {k:.3g}" for c, k in zip(captions, kl, strict=True)]
        title += f"; KL(data, model) = {kl[-1]:.3g} nats"
    moving = Picture(
        torch.stack(film)[None, :, None],
        f"test points on their way through {len(layers)} layers; {axes}",
        columns=[f"layer {t:.1f}" for t in times],
        moves=True,
        still=False,
    )
    densities = Picture(images, title, captions=captions, count=len(pictures))
    return {"densities": densities, "points": moving}


def _log_density(x: Images, points: int) -> Tensor | None:
    """Return the log-density (N,) of the first points under the distribution of the data, if known."""
    if not isinstance(x, LazyImages):
        return None
    found = [x.log_prob(part) for part in x[:points].split(5000)]
    known = [log_p.double() for log_p in found if log_p is not None]
    return torch.cat(known) if known else None


def _between(stops: list[Tensor], t: float) -> Tensor:
    """Return where the points are at time t, in layers."""
    k = min(int(t), len(stops) - 2)
    return torch.lerp(stops[k], stops[k + 1], t - k)


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
