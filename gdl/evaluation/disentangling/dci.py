"""DCI: Eastwood & Williams, 2018, "A framework for the quantitative evaluation of disentanglement".

OpenReview By-7dz-AZ. The importances come from trees. Which trees matters as much as which model, so
the name of the variant is part of the name of the number.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gdl.errors import GdlError

__all__ = ["DCI", "VARIANTS", "check_variant", "concentration", "dci"]

VARIANTS = ("forest", "gbt")
"""Extremely randomised trees, seconds; gradient boosting as in Locatello et al. (2019), minutes."""


class DCI(NamedTuple):
    """The three scores, apart, and what the first two are computed from."""

    disentanglement: float
    """Whether each latent is important for one factor only; latents count by their importance."""
    completeness: float
    """Whether one latent only is important for each factor."""
    informativeness: float
    """Accuracy of the predicted values of a factor on the test images, mean over the factors."""
    importance: Tensor
    """(L, F), the columns sum to 1."""


def dci(
    codes: Tensor,
    factors: Tensor,
    test_codes: Tensor,
    test_factors: Tensor,
    variant: str = "forest",
    seed: int = 0,
) -> DCI:
    """Predict each factor from all latents by trees, and see which latents they use.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64.
        test_codes: (M, L), of other images.
        test_factors: (M, F).
        variant: See `VARIANTS`.
        seed: Seeds the trees.

    Raises:
        GdlError: There is no such variant.
    """
    x, test_x = (t.cpu().float().numpy() for t in (codes, test_codes))
    importances, accuracies = [], []
    for v, test_v in zip(factors.T.cpu().numpy(), test_factors.T.cpu().numpy(), strict=True):
        trees = _classifier(variant, seed).fit(x, v)
        importances.append(torch.from_numpy(trees.feature_importances_))
        accuracies.append(float((trees.predict(test_x) == test_v).mean()))
    importance = torch.stack(importances, 1).double()
    total = importance.sum().clamp(min=1e-12)
    by_latent = importance.sum(1) / total
    return DCI(
        float((concentration(importance, 1) * by_latent).sum()),
        float((concentration(importance, 0) * importance.sum(0) / total).sum()),
        sum(accuracies) / len(accuracies),
        importance,
    )


def concentration(importance: Tensor, axis: int) -> Tensor:
    """Return 1 - H(p) / log(n) of p, the importances (n along the axis) divided by their sum.

    1: all importance is in one place, which is also so if there is only one. 0: it is evenly spread.
    """
    n, importance = importance.shape[axis], importance.clamp(min=0)  # trees round to below 0
    p = importance / importance.sum(axis, keepdim=True).clamp(min=1e-12)
    entropy = -torch.xlogy(p, p).sum(axis)
    return torch.ones_like(entropy) if n == 1 else 1 - entropy / torch.tensor(float(n)).log()


def check_variant(variant: str) -> None:
    """Check the name of a variant.

    Raises:
        GdlError: It is none of `VARIANTS`.
    """
    if variant not in VARIANTS:
        raise GdlError(f"measure.trees must be {' or '.join(VARIANTS)}, got {variant!r}.")


def _classifier(variant: str, seed: int) -> Any:
    from sklearn.ensemble import (  # a second to import
        ExtraTreesClassifier,
        GradientBoostingClassifier,
    )

    check_variant(variant)
    if variant == "gbt":
        return GradientBoostingClassifier(random_state=seed)
    # Every split may choose among all latents: with a random part of them, as forests usually have,
    # latents without information get importance. So they do in deeper trees, which split on noise,
    # and with the best thresholds, which suit noise better than random ones do.
    settings: dict[str, Any] = {"max_depth": 8, "max_features": None, "random_state": seed}
    return ExtraTreesClassifier(50, n_jobs=torch.get_num_threads(), **settings)
