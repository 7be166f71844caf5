"""The linear probe: how much of the class a linear map finds in vectors."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["linear_probe"]

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
"""Weights of half the squared norm beside the mean log-loss, of which validation images choose."""

MAX_ITERATIONS = 1000


def linear_probe(
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    test: Tensor,
    scales: Sequence[Tensor],
) -> Tensor:
    """Return the class (N,) that a logistic regression on vectors gives to each test vector.

    It is trained to convergence with each scale and penalty, from the strongest on; the first of those
    that classify most validation vectors rightly is taken. Weaker ones are not tried after two that did
    worse.

    Args:
        train: Vectors (N, F) and labels (N,), of two classes or more.
        val: The same, of validation images.
        test: Vectors.
        scales: What the numbers of a vector are multiplied with, (F,) each: the penalty depends on it.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to import

    best, found = -1.0, torch.empty(0)
    for scale in scales:
        x, val_x, test_x = ((v * scale).numpy() for v in (train[0], val[0], test))
        regression = LogisticRegression(max_iter=MAX_ITERATIONS, tol=1e-4, warm_start=True)
        worse = 0
        for penalty in PENALTIES:
            regression.C = 1 / (penalty * len(x))
            with warnings.catch_warnings():
                # it then stands where a little more of the penalty would have taken it
                warnings.simplefilter("ignore", ConvergenceWarning)
                regression.fit(x, train[1].numpy())
            predicted = torch.from_numpy(regression.predict(val_x))
            right = float((predicted == val[1]).double().mean())
            if right > best:
                best, worse = right, 0
                found = torch.from_numpy(regression.predict(test_x))
            elif (worse := worse + 1) == 2:
                break
    return found
