"""A plane of latents as a grid of images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.capabilities import HasPosterior
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.tasks.latents import Images, decode_grid, encoded, given_labels, with_latents

__all__ = ["manifold"]


@torch.inference_mode()
def manifold(
    model: GenerativeModel,
    x: Images,
    side: int = 15,
    units: Sequence[int] | None = None,
    index: int | None = None,
    tail: float = 0.02,
    images: int = 2000,
    label: int | str | None = None,
) -> dict[str, Picture]:
    """Decode a grid over two latents, the first to the right and the second upwards.

    Its values are the quantiles of N(0, 1) at equally spaced probabilities, where that is the prior, so
    that a square of any size holds the share of its area in the draws (Kingma & Welling, 2014,
    arXiv 1312.6114, Figure 4). Other models have the quantiles of the codes of test images.

    Args:
        model: A model with two latents or more.
        x: Test images.
        side: Images in a row and in a column.
        units: The two latents, counted from 0; None takes the only two, or those whose codes vary most
            over test images.
        index: The test image that has the other latents; None sets them to 0.
        tail: Probability below the first value, and above the last.
        images: Test images whose codes are looked at.
        label: Of a conditional model, the label to decode with, instead of the image's own.

    Raises:
        GdlError: The model has no two latents, or an option is out of range.
    """
    latents = with_latents(model, "manifold")
    for name, number in (("side", side), ("images", images)):
        at_least_one(f"task.{name}", number)
    if not 0 < tail < 0.5:
        raise GdlError(f"task.tail={tail} is no share of a tail: use a number between 0 and 0.5.")
    dims = int(torch.tensor(latents.latent_shape).prod())
    if dims < 2:
        raise GdlError(
            "task=manifold shows a plane of latents, and this run has one: use a run with "
            "model.latent_dim=2."
        )
    if units is not None and not _are_two(units, dims):
        raise GdlError(
            f"task.units={[*units]} are no two latents: use two of 0 to {dims - 1}, e.g. "
            "task.units=[0,1]."
        )
    if index is not None and not 0 <= index < len(x):
        raise GdlError(f"task.index={index} is no test image: the last one is {len(x) - 1}.")
    own, shown = given_labels(model, x, label)
    if shown is not None and index is None and label is None:
        if not model.label_dropout:
            raise GdlError(
                f"This {type(model).__name__} is conditional: set task.label to the class to show, or "
                "task.index to a test image."
            )
        shown = None
    start = next(model.parameters()).new_zeros(dims)
    if index is not None:
        at = slice(index, index + 1)
        y = None if own is None else own[at]
        start = encoded(latents, x[at].to(model.device), y).flatten()
    has_prior = isinstance(model, HasPosterior)
    codes = None
    if not has_prior or (units is None and dims > 2):
        y = None if own is None else own[:images]
        codes = encoded(latents, x[:images].to(model.device), y).flatten(1)
    if units is None:
        units = [0, 1] if dims == 2 else _most_varied(codes)
    p = torch.linspace(tail, 1 - tail, side, dtype=torch.float64)
    p = p if side > 1 else torch.tensor([0.5], dtype=torch.float64)
    if has_prior:
        across = up = torch.special.ndtri(p)
        where = "the prior N(0, 1)"
    else:
        assert codes is not None
        across, up = codes[:, [*units]].double().cpu().quantile(p, dim=0).T
        where = "the codes of test images"
    walk = start.repeat(side, side, 1)
    walk[..., units[0]] = across.to(walk)
    walk[..., units[1]] = up.to(walk).flip(0)[:, None]
    z = walk.unflatten(-1, latents.latent_shape)
    y = None if shown is None else shown[index or 0].expand(side, side)
    i, j = units
    title = f"{type(model).__name__}: z{i} to the right, z{j} upwards, at the quantiles of {where}"
    if dims > 2:
        others = "0" if index is None else f"those of test image {index}"
        title += f"; the other {dims - 2} are {others}"
    text = lambda values: [f"{value:.2f}" for value in values.tolist()]  # noqa: E731
    picture = Picture(decode_grid(latents, z, y), title, text(up.flip(0)), text(across))
    return {"manifold": picture}


def _are_two(units: Sequence[int], dims: int) -> bool:
    whole = all(isinstance(u, int) and not isinstance(u, bool) for u in units)
    return whole and len({*units}) == len(units) == 2 and all(0 <= u < dims for u in units)


def _most_varied(codes: Tensor | None) -> list[int]:
    """Return the two latents whose codes (N, M) vary most, in their order."""
    assert codes is not None
    return sorted(codes.var(0).topk(2).indices.tolist())
