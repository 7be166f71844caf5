"""A conditional model as a classifier, by Bayes' rule, beside classifiers that learn p(y | x) itself.

Ng & Jordan, 2002, "On discriminative vs. generative classifiers", NeurIPS 14: with few labels the
generative classifier may win, with many the discriminative one does.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

import gdl.plots as plots
from gdl.capabilities import HasImportanceWeights, Incapable
from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.evaluation.classification_scores import (
    Predictions,
    classification_scores,
    reliability,
)
from gdl.evaluation.discriminative import discriminative_classifiers
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.host import Host
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise
from gdl.pictures import subject

__all__ = ["class_log_posterior", "classify"]


def classify(
    model: GenerativeModel,
    data: ImageData,
    k: int = 16,
    labels: Sequence[int | str] = (10, 100, 1000, "all"),
    runs: Sequence[str] = (),
    batch_size: int = 500,
    seed: int = 0,
    *,
    host: Host,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how well p(y | x) = p(y) p(x | y) / p(x) tells the classes of the test images apart.

    The keys are classify-{name}/accuracy, /log_loss in nats and /calibration_error, each with _se; see
    `classification_scores`. The name of the model itself is "exact", or where its p(x | y) is a bound
    "iwae-{k}", "dequant-{k}" or "vardeq-{k}". The others are trained on the same images:
    "logistic-{n}", a logistic regression, and "cnn-{n}", a small convolutional network, see
    `discriminative_classifiers`, where n is the number of training labels per class that they see.

    Args:
        model: A conditional model with a density, in eval mode.
        data: The data set, with labels.
        k: Samples per image and class of a bound; an exact density needs none.
        labels: Labels per class, or "all", of the discriminative classifiers; none: leave them out.
        runs: Other conditional runs on the same images, e.g. with data.labels_per_class=10. Only the
            picture shows their accuracies.
        batch_size: Images at a time.
        seed: Seeds the draws.
        host: Opens the runs, and says where classify.png goes, which shows accuracies against labels
            per class, a reliability diagram and the confusion matrix.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model is not conditional or has no density, or the data have no labels.
        GdlError: k or a number of labels is below 1, or another run is on other images.
    """
    _refuse_or_kind(model, k)
    truth = data.labels("test")
    if truth is None or not bool((truth[:limit] >= 0).any()):
        raise Incapable(
            "measure=classify asks for labels of the test images, and these data have none: use a "
            "run on labelled images, e.g. data=mnist."
        )
    picture = host.file("classify.png")
    trained = [(model, data), *map(host.open_run_and_data, runs)]
    own, *others = (_predictions(m, d, data, k, batch_size, seed, limit) for m, d in trained)
    choice = model.config.get("choices", {}).get("data", "data")
    rivals = list(discriminative_classifiers(data, labels, choice, model.num_classes, limit))
    known = (truth := truth.cpu()[:limit]) >= 0
    scores = {
        p: classification_scores(p.log_p[known], truth[known]) for p in (own, *others, *rivals)
    }
    _picture(picture, scores, truth, data.class_names, subject(model.config))
    return {
        f"classify-{p.name}/{score}": value
        for p in (own, *rivals)
        for score, value in scores[p].items()
    }


@torch.inference_mode()
def class_log_posterior(
    model: GenerativeModel, batches: Iterable[Tensor], k: int = 1, seed: int = 0
) -> Tensor:
    """Return log p(y | x) (N, num_classes) in nats, by Bayes' rule, in float64 on the CPU.

    log p(y | x) = log p(y) + log p(x | y) - log sum_y' p(y') p(x | y'); where p(x | y) is a bound it
    takes the place of p(x | y) and the result is no bound of anything.

    Args:
        model: A conditional model, in eval mode.
        batches: Images (B, C, H, W) uint8, on the model's device.
        k: Samples per image and class of a bound.
        seed: Seeds the draws.
    """
    found = []
    for i, x in enumerate(batches):
        seed_noise(x.device, "classify", seed, i)
        log_joint = model.log_class_prior.double() - model.class_nll(x, k=k).double()
        found.append(log_joint.log_softmax(1).cpu())
    return torch.cat(found)


def _predictions(
    model: GenerativeModel,
    trained_on: ImageData,
    data: ImageData,
    k: int,
    batch_size: int,
    seed: int,
    limit: int | None,
) -> Predictions:
    """Return the class probabilities that a model gives to the test images of `data`.

    Raises:
        Incapable: The model is not conditional or has no density.
        GdlError: It was trained on other images.
    """
    kind = _refuse_or_kind(model, k)
    if trained_on is not data and trained_on.digest() != data.digest():
        raise GdlError(
            f"measure.runs holds a {type(model).__name__} on other images than this run: name runs "
            "that differ in data.labels_per_class."
        )
    labels = trained_on.labels("train")
    assert labels is not None, "a conditional model was trained on labels"
    seen = labels[labels >= 0]
    batches = held_out_batches(model, data, batch_size, limit, progress="classify")
    log_p = class_log_posterior(model, batches, k, seed)
    return Predictions(
        kind, f"{type(model).__name__} ({kind})", len(seen) / len(seen.unique()), log_p
    )


def _refuse_or_kind(model: GenerativeModel, k: int) -> str:
    """Return what p(x | y) is: "exact", or the name of a bound with k samples."""
    asked = "measure=classify asks for p(x | y), the density of a conditional model"
    if model.nll_kind is None:
        raise Incapable(f"{asked}, which {type(model).__name__} lacks: use a run of model=vae.")
    if model.num_classes < 2:
        raise Incapable(
            f"{asked}, and this {type(model).__name__} has {model.num_classes or 'no'} class"
            f"{'' if model.num_classes else 'es'}: use a run that was trained on two classes or more "
            "with model.conditional=true."
        )
    at_least_one("k of measure=classify", k)
    if model.nll_kind.startswith(("dequant", "vardeq")):
        return f"{model.nll_kind.partition('-')[0]}-{k}"
    if isinstance(model, HasImportanceWeights):
        return model.nll_kind if k == 1 and model.nll_kind.startswith("iwae") else f"iwae-{k}"
    return model.nll_kind


def _picture(
    path: Path,
    scores: dict[Predictions, dict[str, float]],
    y: Tensor,
    names: Sequence[str] | None,
    about: str,
) -> None:
    """Draw classifiers, the first of which is the model, as `classify` says."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    most: dict[str, Predictions] = {}
    for p, found in scores.items():
        point = (p.labels_per_class, found["accuracy"], found.get("accuracy_se", 0.0))
        curves.setdefault(p.classifier, []).append(point)
        if p.labels_per_class >= most.setdefault(p.classifier, p).labels_per_class:
            most[p.classifier] = p
    known, own = y >= 0, next(iter(scores))
    bins = {name: reliability(p.log_p[known], y[known]) for name, p in most.items()}
    num_classes = own.log_p.shape[1]
    pairs = num_classes * y[known] + own.log_p[known].argmax(1)
    confusion = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, -1)
    plots.save_classification(path, curves, bins, confusion, names, about)
