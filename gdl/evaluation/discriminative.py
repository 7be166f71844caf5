"""Classifiers that learn p(y | x) itself, from all training labels or from a few of each class."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gdl.data.base import ImageData
from gdl.data.labels import keep_labels
from gdl.errors import GdlError
from gdl.evaluation.classifier import classifier_for, labelled
from gdl.evaluation.held_out import held_out

__all__ = ["discriminative_classifiers"]


def discriminative_classifiers(
    data: ImageData, labels: Sequence[int | str], name: str, limit: int | None = None
) -> Iterator[tuple[str, float, Tensor]]:
    """Yield the name of each classifier, its labels per class, and its log p(y | x) (N, K) in nats.

    "logistic-{n}" is a logistic regression on the pixels in [0, 1] with scikit-learn's default
    penalty, "cnn-{n}" the network of `gdl.evaluation.classifier`, which sees shifted images. A number
    of labels that some class does not have is left out. The labels are those that a model trained with
    data.labels_per_class sees.

    Args:
        data: Labelled images.
        labels: Labels per class, or "all".
        name: Of the data, for the files in which the networks are kept, e.g. mnist.
        limit: Only the first so many test images.

    Raises:
        GdlError: A number of labels is below 1.
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
        yield f"logistic-{n}", count, _logistic_regression(*train, test, data.levels)
        cnn, _ = classifier_for(data, file, train=train)
        with torch.inference_mode():
            logits = torch.cat([cnn(part) for part in test.split(500)])
        yield f"cnn-{n}", count, logits.double().log_softmax(1)


def _logistic_regression(x: Tensor, y: Tensor, test: Tensor, levels: int | None) -> Tensor:
    assert levels is not None, "labelled data are images of integers"
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to import

    flat = lambda t: t.flatten(1).float().div(levels - 1).numpy()  # noqa: E731
    regression = LogisticRegression(max_iter=200, tol=1e-3).fit(flat(x), y.numpy())
    found = torch.from_numpy(regression.predict_log_proba(flat(test))).double()
    log_p = found.new_full((len(test), int(y.max()) + 1), -torch.inf)
    log_p[:, torch.from_numpy(regression.classes_)] = found
    return log_p.log_softmax(1)  # its own sum to 1 in float32 only
