"""The likelihood as a score."""

from torch import Tensor

from gdl.evaluation.outliers.images import Images

__all__ = ["likelihood"]


def likelihood(images: Images, train: Images) -> Tensor:
    """Return -log p(x) (N,) in nats (Bishop, 1994, "Novelty detection and neural network validation").

    Models of natural images give simple foreign images a higher likelihood than their own (Nalisnick
    et al., 2019, "Do deep generative models know what they don't know?", arXiv 1810.09136).

    Args:
        images: To score.
        train: Not used.
    """
    return images.nll
