"""How good predicted probabilities of classes are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.families.terms import with_error
from gdl.noise import mix_seed

__all__ = ["BINS", "Predictions", "classification_scores", "reliability"]

BINS = 15
"""Bins of the confidence, as in most papers."""

FEWEST = 10
"""Images in a bin of a reliability diagram; the accuracy of fewer says little."""

RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class Predictions:
    """The probabilities that a classifier gives to the classes of some images.

    Args:
        name: Its name among the numbers, e.g. cnn-100.
        classifier: Its name without the number of labels.
        labels_per_class: The mean number of labels of a class that it was trained on.
        log_p: log p(y | x) (N, K) in nats.
    """

    name: str
    classifier: str
    labels_per_class: float
    log_p: Tensor


def classification_scores(log_p: Tensor, y: Tensor) -> dict[str, float]:
    """Return "accuracy", "log_loss" and "calibration_error", each with its standard error {name}_se.

    The log-loss is the mean of -log p(y | x), in nats. The calibration error is the mean distance of
    confidence and accuracy over bins of the confidence (Guo et al., 2017, "On calibration of modern
    neural networks", arXiv 1706.04599, Eq. 3), with its standard error from a bootstrap over the
    images. It is biased upwards: of a calibrated classifier it is not 0 but about as large as its
    noise.

    Args:
        log_p: log p(y | x) (N, K) in nats.
        y: The classes (N,) int64.
    """
    # imported with lightning already, but costs time where it is not
    from torchmetrics.functional.classification import multiclass_calibration_error

    log_p = log_p.double()
    right = (log_p.argmax(1) == y).double()
    found = with_error("accuracy", right)
    found |= with_error("log_loss", -log_p.gather(1, y[:, None])[:, 0])
    p = log_p.exp().clamp(0, 1)
    error = multiclass_calibration_error(p, y, num_classes=log_p.shape[1], n_bins=BINS)
    found["calibration_error"] = float(error)
    if len(y) > 1:
        found["calibration_error_se"] = _bootstrap(p.max(1).values, right)
    return found


def reliability(log_p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean confidence and accuracy of each bin of the confidence that has `FEWEST` images.

    Args:
        log_p: log p(y | x) (N, K) in nats.
        y: The classes (N,) int64.
    """
    confidence, guess = log_p.double().exp().max(1)
    mean, accuracy, count = _bins(confidence, (guess == y).double())
    return mean[count >= FEWEST], accuracy[count >= FEWEST]


def _bins(confidence: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    index = (confidence * BINS).long().clamp(0, BINS - 1)
    count = torch.bincount(index, minlength=BINS)
    mean = lambda w: torch.bincount(index, w, minlength=BINS) / count  # noqa: E731
    return mean(confidence), mean(right), count


def _bootstrap(confidence: Tensor, right: Tensor) -> float:
    generator = torch.Generator().manual_seed(mix_seed("calibration error"))
    errors = []
    for _ in range(RESAMPLES):
        pick = torch.randint(len(right), (len(right),), generator=generator)
        mean, accuracy, count = _bins(confidence[pick], right[pick])
        gaps = (mean - accuracy).abs().nan_to_num(0) * count
        errors.append(gaps.sum() / len(right))
    return float(torch.stack(errors).std())
