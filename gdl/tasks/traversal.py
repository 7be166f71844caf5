"""One latent at a time."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import HasLatents, HasPosterior, refuse
from gdl.distributions import gaussian_kl
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.tasks.latents import Images, decode_grid, encoded, given_labels, with_latents

__all__ = ["traverse"]

REACHES = ("prior", "data")


@torch.inference_mode()
def traverse(
    model: GenerativeModel,
    x: Images,
    index: int = 0,
    units: int = 10,
    steps: int = 11,
    span: float = 2.5,
    reach: str | None = None,
    images: int = 500,
    label: int | str | None = None,
) -> dict[str, Picture]:
    """Move one latent at a time, around an encoded image; a row is a latent.

    Latents of a model with a posterior are ordered by their mean KL(q(z_j | x), N(0, 1)), others by
    the variance of the codes over the images, because a traversal of unused ones shows nothing. All
    other latents keep the values of the image, which stands in the first column as it is.

    Args:
        model: A model with latents.
        x: Test images.
        index: The test image to start from.
        units: Latents shown.
        steps: Images in a row.
        span: Reach in both directions, in standard deviations.
        reach: Whose standard deviations: "prior", around 0, or "data", of the codes of the images
            around their mean. By default the prior's, if the model has a posterior.
        images: Test images that the means and standard deviations are taken over.
        label: Of a conditional model, the label to decode with, instead of the image's own.

    Returns:
        "traversal", the grid, and "traversal_moving", its rows without the first column as frames.

    Raises:
        GdlError: The model has no latents, or there is no such image or reach.
    """
    if units < 1:
        raise GdlError(f"task.units={units} shows no latent: use a whole number from 1 on.")
    if not 0 <= index < len(x):
        raise GdlError(f"task.index={index} is no test image: the last one is {len(x) - 1}.")
    latents = with_latents(model, "traverse")
    if reach is None:
        reach = "prior" if isinstance(model, HasPosterior) else "data"
    if reach not in REACHES:
        raise GdlError(f"task.reach must be prior or data, got {reach!r}.")
    if reach == "prior" and not isinstance(model, HasPosterior):
        refuse(model, HasPosterior, "task.reach=prior asks for a prior N(0, I)", models)
    own, shown = given_labels(model, x, label)
    y = None if own is None else own[:images]
    z = encoded(latents, x[:images].to(model.device), y).flatten(1)
    worth, name, unit = _worth(latents, x[:images].to(model.device), y, z)
    order = worth.argsort(descending=True)[:units]
    at = slice(index, index + 1)
    start = encoded(latents, x[at].to(model.device), None if own is None else own[at])
    middle, std = (z.mean(0), z.std(0)) if reach == "data" else (0 * z[0], torch.ones_like(z[0]))
    scale = torch.linspace(-span, span, steps, device=z.device, dtype=z.dtype)
    values = middle[order, None] + scale * std[order, None]
    walk = start.flatten().repeat(len(order), steps, 1)
    walk.scatter_(2, order.view(-1, 1, 1).expand(-1, steps, 1), values[..., None])
    decoded_with = None if shown is None else shown[at].expand(walk.shape[:2])
    rows = decode_grid(latents, walk.unflatten(-1, start.shape[1:]), decoded_with)
    first = x[at].to(rows).expand(len(rows), 1, *rows.shape[2:])
    each = zip(order.tolist(), values, strict=True)
    labels = [f"z{j}: {name} {float(worth[j]):.2g}{unit}, {_range(v)}" for j, v in each]
    whose = "of the prior" if reach == "prior" else f"of the codes of {len(z)} images"
    title = f"latents sorted by {name}, each moved by ±{span:g} standard deviations {whose}"
    steps_shown = [f"{s:+.2g}" if abs(s) > 1e-6 else "0" for s in scale.tolist()]
    moving = Picture(rows, title, labels, steps_shown, moves=True, still=False)
    columns = [f"image {index}", *steps_shown]
    still = Picture(torch.cat([first, rows], 1), title, labels, columns)
    return {"traversal": still, "traversal_moving": moving}


def _worth(latents: HasLatents, x: Tensor, y: Tensor | None, z: Tensor) -> tuple[Tensor, str, str]:
    """Return what latents are ordered by (M,), its name and its unit."""
    if not isinstance(latents, HasPosterior):
        return z.var(0), "variance", ""
    mean, log_std = latents.posterior(x) if y is None else latents.posterior(x, y)  # pyright: ignore
    return gaussian_kl(mean, log_std).mean(0), "KL", " nats"


def _range(values: Tensor) -> str:
    return f"{float(values[0]):.2g} to {float(values[-1]):.2g}"
