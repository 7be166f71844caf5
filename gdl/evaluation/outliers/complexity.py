"""The likelihood against the length of a general code."""

import math

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.evaluation.outliers.images import Images

__all__ = ["complexity"]


def complexity(images: Images, train: Images) -> Tensor:
    """Return -log p(x) - L(x) ln 2 (N,) in nats, where L(x) are the bits of the shortest code.

    It is the log-likelihood ratio of a general code, as a model of all images, and the model (Serra et
    al., 2020, "Input complexity and out-of-distribution detection with likelihood-based generative
    models", arXiv 1909.11480, Eq. 1, where the minimum over codecs is Sec. 3.2).

    Args:
        images: To score.
        train: Not used.

    Raises:
        Incapable: No codec can code such images.
    """
    levels = images.model.levels
    if levels is None or levels > 256 or not images.code_lengths:
        raise Incapable(
            "it asks for images of at most 256 levels, which codecs can code: use a run on images."
        )
    bytes_of_best = torch.stack(list(images.code_lengths.values())).amin(0)
    return images.nll - 8 * math.log(2) * bytes_of_best
