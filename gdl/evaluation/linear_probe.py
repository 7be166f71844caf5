"""The linear probe: how much of the class a linear map finds in vectors."""

import warnings

import torch
from torch import Tensor

__all__ = ["linear_probe"]

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
"""Weights of half the squared norm beside the mean log-loss, of which validation images choose."""

MAX_ITERATIONS = 1000


def linear_probe(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], test: Tensor) -> Tensor:
    """Return the class (N,) that a logistic regression on vectors gives to each test vector.

    It is trained to convergence with each penalty, from the strongest on; the first of those that
    classify most validation vectors rightly is taken. Weaker ones are not tried after two that did
    worse.

    Args:
        train: Vectors (N, F), standardised, and labels (N,), of two classes or more.
        val: The same, of validation images.
        test: Vectors.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to import

    (x, y), (val_x, val_y) = train, val
    options = {"max_iter": MAX_ITERATIONS, "tol": 1e-4, "warm_start": True}
    regression = LogisticRegression(**options)
    best, worse, found = -1.0, 0, torch.empty(0)
    for penalty in PENALTIES:
        regression.C = 1 / (penalty * len(x))
        with warnings.catch_warnings():
            # it then stands where a little more of the penalty would have taken it
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(x.numpy(), y.numpy())
        right = (torch.from_numpy(regression.predict(val_x.numpy())) == val_y).double().mean()
        if right > best:
            best, worse = float(right), 0
            found = torch.from_numpy(regression.predict(test.numpy()))
        elif (worse := worse + 1) == 2:
            break
    return found
