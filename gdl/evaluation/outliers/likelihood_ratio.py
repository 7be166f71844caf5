"""The likelihood against that of a background model."""

from torch import Tensor

from gdl.capabilities import Incapable
from gdl.evaluation.outliers.images import Images

__all__ = ["ratio"]


def ratio(images: Images, train: Images, background: str | None = None) -> Tensor:
    """Return log p_background(x) - log p(x) (N,) in nats: high where the background explains x better.

    Ren et al., 2019, "Likelihood ratios for out-of-distribution detection", arXiv 1906.02845,
    with the sign turned: what both models know equally well, e.g. a plain background, cancels. The
    background model is one of the same architecture on perturbed images, data.mutation=0.1 to 0.3.

    Args:
        images: To score.
        train: Not used.
        background: The run of the background model; of the model itself it gives 0.

    Raises:
        Incapable: No background is named, or it is of other images.
    """
    if background is None:
        raise Incapable(
            "it asks for a background model: train one by the run's own command with "
            "data.mutation=0.1, and name it, ood.background=RUN."
        )
    return images.nll - images.under(background).nll
