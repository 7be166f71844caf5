"""The test of typicality."""

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.evaluation.outliers.images import Images
from gdl.evaluation.units import at_least_one
from gdl.noise import mix_seed

__all__ = ["typicality"]


def typicality(images: Images, train: Images, n: int = 1) -> Tensor:
    """Return |mean of -log p over n images - mean of -log p over training images| in nats (N // n,).

    An image may be too likely to be typical (Nalisnick et al., 2019, "Detecting out-of-distribution
    inputs to deep generative models using typicality", arXiv 1906.02994, Eq. 5; H is the resubstitution
    estimate of Sec. 3.1).

    Args:
        images: To score; their groups of n are chosen by the seed.
        train: Whose mean nll is meant.
        n: Images in a group; with more than one it is no score of single images.

    Raises:
        Incapable: There are fewer than n images.
        GdlError: n is no number of images.
    """
    at_least_one("n of typicality", n)
    if len(images) < n:
        raise Incapable(
            f"it asks for {n} images at least, and there are {len(images)}: raise limit."
        )
    seed = mix_seed("typicality", images.setting.seed)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    nll = images.nll if n == 1 else images.nll[order]
    groups = nll[: len(nll) // n * n].view(-1, n).mean(1)
    return (groups - train.nll.mean()).abs()
