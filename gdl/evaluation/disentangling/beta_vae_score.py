"""beta-VAE score: Higgins et al., 2017, "beta-VAE", OpenReview Sy2fzU9gl, Section 3."""

import torch
from torch import Tensor

from gdl.evaluation.disentangling.shared_values import SharedValues

__all__ = ["beta_vae_score"]

PAIRS = 64
"""Pairs of images that a point is the mean of."""


def beta_vae_score(
    codes: Tensor, factors: Tensor, points: int = 10_000, test_points: int = 5_000, seed: int = 0
) -> float:
    """Return the accuracy of a linear classifier that tells which factor pairs of images share.

    A point: for a random factor k, 64 pairs of images that have the same value of it, a value of their
    own for each pair; its features are the means of |z_j - z'_j| over the pairs. The classifier, a
    logistic regression on the L features, predicts k. Chance is 1 / F. It is near 1 for many codes
    that other metrics call entangled, so it should not stand alone.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64.
        points: Points that the classifier is trained on.
        test_points: Points for the accuracy.
        seed: Seeds the draws.

    Raises:
        GdlError: The values of a factor have too few images each.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import

    generator = torch.Generator().manual_seed(seed)
    shared = SharedValues(factors, generator)
    if factors.shape[1] == 1:
        return 1.0  # there is nothing to tell
    x, y = _points(codes.cpu().float(), shared, points)
    test_x, test_y = _points(codes.cpu().float(), shared, test_points)
    classifier = LogisticRegression(max_iter=1000).fit(x.numpy(), y.numpy())
    return float(classifier.score(test_x.numpy(), test_y.numpy()))


def _points(codes: Tensor, shared: SharedValues, points: int) -> tuple[Tensor, Tensor]:
    """Return features (points, L) and the numbers of the shared factors (points,)."""
    features, factors = [], []
    size = max(1, 4_000_000 // (PAIRS * codes.shape[1]))
    for start in range(0, points, size):
        factor, image = shared.factor_and_image(min(size, points - start), PAIRS)
        other = shared.others(factor[:, None].expand(-1, PAIRS), image)
        features.append((codes[image] - codes[other]).abs().mean(1))
        factors.append(factor)
    return torch.cat(features), torch.cat(factors)
