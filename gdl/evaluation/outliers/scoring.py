"""Which scores are computed, and the training images that they take their statistics from."""

import difflib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.evaluation.outliers.images import Images, Setting
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.noise import mix_seed

__all__ = ["Score", "chosen", "training_sample"]

Score = Callable[[Images, Images], Tensor]
"""Maps images and training images to scores (N,), of groups of n (N // n,); higher is more foreign."""


def chosen(scores: Mapping[str, Score], only: Sequence[str] | None) -> dict[str, Score]:
    """Return the scores with these names, in the order of the table; None for all.

    Raises:
        GdlError: There is no such score, or none is left.
    """
    names = list(scores) if only is None else list(only)
    for name in names:
        if name not in scores:
            near = difflib.get_close_matches(name, scores, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(scores)}."
            raise GdlError(f"There is no score {name!r}: {hint}")
    if not names:
        raise GdlError(f"No score is left: choose from {', '.join(scores) or 'conf/score/'}.")
    return {name: score for name, score in scores.items() if name in names}


def training_sample(
    model: GenerativeModel, data: ImageData, setting: Setting, num_fit: int
) -> Images:
    """Return a random sample of the training images, chosen by the seed, without replacement.

    Raises:
        GdlError: The number of images is none.
    """
    at_least_one("num_fit", num_fit)
    x = data.images("train")
    if num_fit < len(x):
        generator = torch.Generator().manual_seed(mix_seed("num_fit", setting.seed))
        x = x[torch.randperm(len(x), generator=generator)[:num_fit].sort().values.to(x.device)]
    return Images(model, x, setting, "training images")
