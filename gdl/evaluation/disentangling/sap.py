"""Separated attribute predictability: Kumar et al., 2018, "Variational inference of disentangled ...".

The title goes on "latent concepts from unlabeled observations"; arXiv 1711.00848, Section 3.
"""

import torch
from torch import Tensor

from gdl.evaluation.disentangling.mig import gap_of_top_two
from gdl.evaluation.disentangling.mutual_information import CONSTANT

__all__ = ["sap_r2", "sap_svc", "squared_correlations"]


def sap_r2(codes: Tensor, factors: Tensor) -> Tensor:
    """Return the gap (F,) of the best two squared correlations of each factor; the score is the mean.

    A factor without an order, such as the shape, counts by the number of its value.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64.
    """
    return gap_of_top_two(squared_correlations(codes, factors))


def squared_correlations(codes: Tensor, factors: Tensor) -> Tensor:
    """Return squared correlations (L, F) of latents with factors, in float64; 0 of constants."""
    x, v = codes.double(), factors.double()
    size, spread = x.abs().amax(0), x.amax(0) - x.amin(0)
    x, v = x - x.mean(0), v - v.mean(0)
    norms = x.norm(dim=0)[:, None] * v.norm(dim=0)
    r = (x.T @ v) / norms.clamp(min=torch.finfo(x.dtype).tiny)
    return torch.where((spread > CONSTANT * size)[:, None], r.square(), 0.0)


def sap_svc(codes: Tensor, factors: Tensor, test_codes: Tensor, test_factors: Tensor) -> Tensor:
    """Return the gap (F,) of the best two accuracies with which one latent predicts each factor.

    The classifier is a linear support vector machine (C = 0.01, classes weighted to the same total),
    trained on one latent. It separates one value from all others by one threshold, so a factor of
    many values stays far below 1 whatever the code.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64.
        test_codes: (M, L), of other images.
        test_factors: (M, F).
    """
    from sklearn.svm import LinearSVC  # a second to import

    x, test_x = (t.cpu().double().numpy() for t in (codes, test_codes))
    accuracy = torch.zeros(x.shape[1], factors.shape[1], dtype=torch.float64)
    for k, (v, test_v) in enumerate(zip(factors.T, test_factors.T, strict=True)):
        for j in range(x.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            machine.fit(x[:, j : j + 1], v.cpu().numpy())
            predicted = torch.from_numpy(machine.predict(test_x[:, j : j + 1]))
            accuracy[j, k] = (predicted == test_v.cpu()).double().mean()
    return gap_of_top_two(accuracy)
