"""The density of a model's own statistics: an image is strange where they are unusual."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.errors import GdlError
from gdl.evaluation.outliers.images import Images
from gdl.evaluation.outliers.model_statistics import statistics_of
from gdl.evaluation.units import at_least_one

__all__ = ["DENSITIES", "dose"]

PAIRS = 2_000_000
"""Differences between images and fitted images at a time."""


def dose(images: Images, train: Images, draws: int = 16, density: str = "svm") -> Tensor:
    """Return how unusual the model's own statistics of an image are among training images (N,).

    Morningstar et al., 2021, "Density of states estimation for out-of-distribution detection", arXiv
    2006.09273. The statistics T(x) are those of `model_statistics`, standardised. With density=kde the
    score is -sum_s log p_s(T_s(x)) in nats, p_s a kernel density of each; with density=svm it is minus
    the decision function of a one-class support vector machine, which sees them together.

    Args:
        images: To score.
        train: Images that belong, on which the density is fitted.
        draws: Latents, or dequantization samples, per image.
        density: "svm" or "kde".

    Raises:
        Incapable: The model has no density, or there is one training image only.
        GdlError: `draws` is no number of samples, or there is no such density.
    """
    at_least_one("draws of dose", draws)
    if density not in DENSITIES:
        raise GdlError(f"ood.density must be {' or '.join(DENSITIES)}, got {density!r}.")
    train.check_density()
    if len(train) < 2:
        raise Incapable("it asks for at least 2 training images: raise ood.num_fit.")
    fit = lambda: DENSITIES[density](statistics_of(train, draws))  # noqa: E731
    return -train.once(("dose", draws, density), fit)(statistics_of(images, draws))


def standard(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (S,) of rows t (n, S); that of a constant one is not 0."""
    mean, std = t.mean(0), t.std(0)
    return mean, std.clamp(min=1e-9 * (1 + float(mean.abs().max())))


def kernel_density(t: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the log-density (B,), in nats, of rows (B, S), fitted on rows t (n, S).

    It is a product of densities, one of each column: Gaussian kernels of width sigma n^(-1/5) (Scott).
    """
    mean, std = standard(t)
    points, (n, columns) = (t - mean) / std, t.shape
    width = n**-0.2
    log_norm = math.log(n * width) + 0.5 * math.log(2 * math.pi)

    def log_prob(at: Tensor) -> Tensor:
        found = []
        for part in ((at - mean) / std).split(max(1, PAIRS // (n * columns))):
            z = (part[:, None] - points) / width  # (b, n, S)
            found.append(((-0.5 * z.square()).logsumexp(1) - log_norm - std.log()).sum(1))
        return torch.cat(found)

    return log_prob


def support_vectors(t: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the decision function (B,) of rows (B, S), above 0 for about 9 in 10 rows t (n, S).

    Schoelkopf et al., 2001, "Estimating the support of a high-dimensional distribution", with kernels
    exp(-|a - b|^2 / S) of standardised rows.
    """
    from sklearn.svm import OneClassSVM  # takes a second to import

    mean, std = standard(t)
    width: Any = 1 / t.shape[1]  # its stubs know the names of widths only
    machine = OneClassSVM(nu=0.1, gamma=width).fit(((t - mean) / std).numpy())
    return lambda at: torch.from_numpy(machine.decision_function(((at - mean) / std).numpy()))


DENSITIES = {"svm": support_vectors, "kde": kernel_density}
"""Fits of rows (n, S), by the name that density= has for them: each returns a score of rows (B, S)."""
