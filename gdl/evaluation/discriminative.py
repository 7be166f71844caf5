"""Classifiers that learn p(y | x) itself, from all training labels or from a few of each class."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gdl.data.base import ImageData
from gdl.data.labels import keep_labels
from gdl.errors import GdlError
from gdl.evaluation.classification_scores import Predictions
from gdl.evaluation.classifier import classifier_for, labelled
from gdl.evaluation.held_out import held_out

__all__ = ["discriminative_classifiers"]


def discriminative_classifiers(
    data: ImageData,
    labels: Sequence[int | str],
    name: str,
    num_classes: int,
    limit: int | None = None,
) -> Iterator[Predictions]:
    """Yield what each classifier says of the test images.

    "logistic-{n}" is a logistic regression on the pixels in [0, 1] with scikit-learn's default
    penalty, "cnn-{n}" the network of `gdl.evaluation.classifier`, which sees shifted images. A number
    of labels that some class does not have is left out. The labels are those that a model trained with
    data.labels_per_class sees.

    Args:
        data: Labelled images.
        labels: Labels per class, or "all".
        name: Of the data, for the files in which the networks are kept, e.g. mnist.
        num_classes: K, of which the training images need not have all.
        limit: Only the first so many test images.

    Raises:
        GdlError: A number of labels is below 1, or test images have classes that no training image has.
    """
    (x, y), test = labelled(data, "train"), held_out(data, limit).cpu()
    fewest = int(y.unique(return_counts=True)[1].min())
    for n in labels:
        if n != "all" and (not isinstance(n, int) or n < 1):
            raise GdlError(
                f"measure.labels are whole numbers from 1 on, or all, got {n!r}: use "
                "'measure.labels=[10,100,all]'."
            )
        if n != "all" and int(n) > fewest:
            continue
        count, file, train = len(y) / len(y.unique()), f"cnn-{name}", (x, y)
        if isinstance(n, int):
            few = keep_labels(y, n, data.seed) >= 0
            count, file, train = float(n), f"{file}-{n}", (x[few], y[few])
        log_p = _logistic_regression(*train, test, data.levels)
        log_p = _among(num_classes, train[1].unique(), log_p)
        yield Predictions(f"logistic-{n}", "logistic", count, log_p)
        cnn, _ = classifier_for(data, file, train=train)
        with torch.inference_mode():
            logits = torch.cat([cnn(part) for part in test.split(500)])
        log_p = logits.double().log_softmax(1)
        log_p = _among(num_classes, torch.arange(log_p.shape[1]), log_p)
        yield Predictions(f"cnn-{n}", "cnn", count, log_p)


def _logistic_regression(x: Tensor, y: Tensor, test: Tensor, levels: int | None) -> Tensor:
    """Return log p(y | x) (N, classes) of the classes that y has, in their order."""
    assert levels is not None, "labelled data are images of integers"
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to import

    flat = lambda t: t.flatten(1).float().div(levels - 1).numpy()  # noqa: E731
    regression = LogisticRegression(max_iter=200, tol=1e-3).fit(flat(x), y.numpy())
    # its own log-probabilities are infinite where a probability is below 1e-45
    logits = torch.from_numpy(regression.decision_function(flat(test))).double()
    if logits.dim() == 1:  # two classes have one number
        logits = torch.stack([torch.zeros_like(logits), logits], 1)
    return logits.log_softmax(1)


def _among(num_classes: int, classes: Tensor, log_p: Tensor) -> Tensor:
    """Return (N, num_classes) of log-probabilities (N, classes) of some classes, -inf elsewhere."""
    found = log_p.new_full((len(log_p), num_classes), -torch.inf)
    found[:, classes] = log_p
    return found
