"""The likelihood against its variance over an ensemble."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.errors import GdlError
from gdl.evaluation.outliers.images import Images

__all__ = ["waic"]


def waic(images: Images, train: Images, ensemble: Sequence[str] | None = None) -> Tensor:
    """Return -(E[log p(x)] - Var[log p(x)]) (N,), nats and their square: high where models disagree.

    Choi et al., 2018, "WAIC, but why?", arXiv 1810.01392, Eq. 2. Mean and variance are over the run
    and those of the ensemble, which differ in their seed. Equal members give the nll.

    Args:
        images: To score.
        train: Not used.
        ensemble: The other runs, at least one.

    Raises:
        Incapable: No other run is named, or one is of other images.
        GdlError: The ensemble is no list of runs.
    """
    if ensemble is None or len(ensemble) == 0:
        raise Incapable(
            "it asks for an ensemble: train more runs by the run's own command with other seeds, and "
            "name them, ood.ensemble=[RUN,RUN]."
        )
    if isinstance(ensemble, str):
        raise GdlError(f"ood.ensemble must be a list of runs, e.g. [{ensemble}], got {ensemble}.")
    nll = torch.stack([images.nll, *(images.under(run).nll for run in ensemble)])
    return nll.mean(0) + nll.var(0)
