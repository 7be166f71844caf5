"""A conditional model as a classifier, by Bayes' rule, beside classifiers that learn p(y | x) itself.

Ng & Jordan, 2002, "On discriminative vs. generative classifiers", NeurIPS 14: with few labels the
generative classifier may win, with many the discriminative one does.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gdl.plots as plots
from gdl.capabilities import HasImportanceWeights, Incapable
from gdl.data.base import ImageData
from gdl.evaluation.classification_scores import classification_scores, reliability
from gdl.evaluation.discriminative import discriminative_classifiers
from gdl.evaluation.held_out import held_out_batches
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise

__all__ = ["class_log_posterior", "classify"]


def classify(
    model: GenerativeModel,
    data: ImageData,
    k: int = 16,
    labels: Sequence[int | str] = (10, 100, 1000, "all"),
    batch_size: int = 500,
    seed: int = 0,
    out: str | Path | None = None,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how well p(y | x) = p(y) p(x | y) / p(x) tells the classes of the test images apart.

    The keys are classify-{name}/accuracy, /log_loss in nats and /calibration_error, each with _se; see
    `classification_scores`. The name of the model itself is "exact", or where its p(x | y) is a bound
    "iwae-{k}" or "dequant-{k}". The others are trained on the same images: "logistic-{n}", a logistic
    regression, and "cnn-{n}", a small convolutional network, see `discriminative_classifiers`, where n
    is the number of training labels per class that they see.

    Args:
        model: A conditional model with a density, in eval mode.
        data: The data set, with labels.
        k: Samples per image and class of a bound; an exact density needs none.
        labels: Labels per class, or "all", of the discriminative classifiers; none: leave them out.
        batch_size: Images at a time.
        seed: Seeds the draws.
        out: Folder for classify.png, which shows accuracies against labels per class, a reliability
            diagram and the confusion matrix; None for no picture.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model is not conditional or has no density, or the data have no labels.
        GdlError: k or a number of labels is below 1.
    """
    name = _refuse_or_name(model, k)
    truth = data.labels("test")
    if truth is None or not bool((truth[:limit] >= 0).any()):
        raise Incapable(
            "measure=classify asks for labels of the test images, and these data have none: use a "
            "run on labelled images, e.g. data=mnist."
        )
    batches = held_out_batches(model, data, batch_size, limit, progress="classify")
    found = {name: class_log_posterior(model, batches, k, seed)}
    known = (truth := truth.cpu()[:limit]) >= 0
    counts = {name: _labels_of_run(data)}
    choice, num_classes = model.config.get("choices", {}).get("data", "data"), model.num_classes
    for other, n, log_p in discriminative_classifiers(data, labels, choice, num_classes, limit):
        found[other], counts[other] = log_p, n
    found = {key: log_p[known] for key, log_p in found.items()}
    metrics: dict[str, float] = {}
    for key, log_p in found.items():
        scores = classification_scores(log_p, truth[known])
        metrics |= {f"classify-{key}/{score}": value for score, value in scores.items()}
    if out is not None:
        _picture(Path(out), model, name, found, counts, metrics, truth[known], data)
    return metrics


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


def _refuse_or_name(model: GenerativeModel, k: int) -> str:
    """Return what the numbers of the model are called, which says whether its p(x | y) is a bound."""
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
    if model.nll_kind.startswith("dequant"):
        return f"dequant-{k}"
    if isinstance(model, HasImportanceWeights):
        return model.nll_kind if k == 1 and model.nll_kind.startswith("iwae") else f"iwae-{k}"
    return model.nll_kind


def _picture(
    folder: Path,
    model: GenerativeModel,
    name: str,
    found: dict[str, Tensor],
    counts: dict[str, float],
    metrics: dict[str, float],
    y: Tensor,
    data: ImageData,
) -> None:
    """Write classify.png, see `classify`."""
    own = f"{type(model).__name__} ({name})"
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for key, n in counts.items():
        accuracy = f"classify-{key}/accuracy"
        point = (n, metrics[accuracy], metrics.get(f"{accuracy}_se", 0.0))
        curves.setdefault(own if key == name else key.rpartition("-")[0], []).append(point)
    # of each kind the one with the most labels, which comes last
    last = {own if key == name else key.rpartition("-")[0]: key for key in counts}
    bins = {kind: reliability(found[key], y) for kind, key in last.items()}
    guess, num_classes = found[name].argmax(1), found[name].shape[1]
    confusion = torch.bincount(num_classes * y + guess, minlength=num_classes**2)
    names = getattr(data, "class_names", None)
    plots.save_classification(
        folder / "classify.png", curves, bins, confusion.view(num_classes, -1), names
    )


def _labels_of_run(data: ImageData) -> float:
    """Return the mean number of training labels of a class."""
    labels: Any = data.labels("train")
    return int((labels >= 0).sum()) / len(labels[labels >= 0].unique())
