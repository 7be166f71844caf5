"""One picture of what several models make of the same images."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gdl.corruptions import Seen
from gdl.pictures import Picture
from gdl.restoration.restorer import Restorer

__all__ = ["families_picture"]


def families_picture(
    restorers: Mapping[str, Restorer],
    x: Tensor,
    seen: Seen,
    draws: int = 4,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    title: str = "",
) -> Picture:
    """Return, for each image, a row of each restorer: original, what is seen, mean, and single draws.

    A restorer with one answer has it in all columns of the draws.

    Args:
        restorers: By the name that stands at the row.
        x: Images (B, C, H, W) in [0, 1].
        seen: What is left of them.
        draws: Number of draws; the mean is over as many.
        seed: See `Restorer`.
        indices: See `Restorer`.
        title: What stands above, e.g. the corruption.
    """
    x = x.cpu()
    left = seen.image.clamp(0, 1).cpu()
    rows = []
    for restore in restorers.values():
        drawn = restore(seen, draws=draws, seed=seed, indices=indices).cpu()
        drawn = drawn.expand(draws, *drawn.shape[1:])
        rows.append(torch.stack([x, left, drawn.mean(0), *drawn], 1))
    images = torch.stack(rows, 1).flatten(0, 1)
    columns = ["original", "seen", "mean", *(f"draw {k + 1}" for k in range(draws))]
    return Picture(images, title, [*restorers] * len(x), columns)
