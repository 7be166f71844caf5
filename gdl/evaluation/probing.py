"""What the features of a model are worth: probes with few and many labels, beside trivial features.

Alain & Bengio, 2016, "Understanding intermediate layers using linear classifier probes", arXiv
1610.01644.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import gdl.plots as plots
from gdl.capabilities import HasPosterior, Incapable
from gdl.data.base import ImageData
from gdl.data.labels import keep_labels
from gdl.evaluation.host import Host
from gdl.evaluation.linear_probe import linear_probe
from gdl.evaluation.neighbours import nearest_labels, vote
from gdl.evaluation.representations import (
    needs_label,
    pixels,
    principal_components,
    refuse_features,
    vectors,
)
from gdl.evaluation.units import at_least_one, several_images
from gdl.families.base import GenerativeModel

__all__ = ["features"]

NEIGHBOURS = (1, 3, 5, 10, 20)
"""Numbers of neighbours of which validation images choose."""

MOST_VAL = 5000
"""Validation images that choose; more take time and choose the same."""


def features(
    model: GenerativeModel,
    data: ImageData,
    labels: Sequence[int | str] = (10, 100, "all"),
    draws: int = 3,
    num_train: int | None = None,
    threshold: float = 0.01,
    batch_size: int = 500,
    *,
    host: Host,
    limit: int | None = None,
) -> dict[str, float]:
    """Return how well simple classifiers find the classes in what the model says of images.

    The keys are features-{name}/{probe}-{n}, accuracies on the test images, with _se. The names are
    "model" (latents, or the last hidden layer of an autoregressive model), and the controls "pixels"
    and "pca", the components of the pixels, as many as the model has numbers; where that are as many
    as pixels, there is no such control. n is the number of training labels per class, of which there
    are several random choices; the error is over these and over the test images.

    A probe is "linear", a logistic regression on standardised features, or "knn", a vote of nearest
    neighbours among features as they are. Validation images choose its penalty, or k, and with few
    labels, where it matters, whether each feature is divided by its own standard deviation or all by
    the largest: components of pixels, say, lose with their scales what told signal from noise.

    features-{name}/dims are the numbers per image, features-{name}/active_units those that vary: with
    a posterior those whose mean has a variance above the threshold (Burda et al., 2016), else those
    with more than that share of the largest variance.

    Args:
        model: A model with features that do not need the label, in eval mode.
        data: The data set, with labels.
        labels: Labels per class, or "all"; a number that some class does not have is left out.
        draws: Random choices of a number of labels.
        num_train: At most so many training images, a random choice; None for all.
        threshold: See above.
        batch_size: Images at a time.
        host: Says where features.png goes, accuracy against labels.
        limit: Only the first so many test images.

    Raises:
        Incapable: The model has no features, or needs the label for them; or the data have no labels.
        GdlError: A number is below 1, or test images have classes that no training image has.
    """
    refuse_features(model, "measure=features asks for latents or hidden states")
    if needs_label(model):
        raise Incapable(
            f"measure=features asks for features that do not know the label, and this "
            f"{type(model).__name__} is given it: use a run with model.conditional=false."
        )
    for name, number in (("draws", draws), ("num_train", num_train), ("limit", limit)):
        if number is not None:
            at_least_one(name, number)
    for n in labels:
        if n != "all":
            at_least_one("each of measure.labels, unless it is all,", n)
    splits = {
        "train": _split(data, "train", num_train),
        "val": _split(data, "val", MOST_VAL),
        "test": _split(data, "test", limit=limit),
    }
    several_images("features", "test", splits["test"].x)
    picture = host.file("features.png")
    subsets = _subsets(splits["train"].y, labels, draws)
    truth, num_classes = splits["test"].y, data.num_classes
    numbers: dict[str, float] = {}
    curves: dict[str, dict[str, list[tuple[float, float, float]]]] = {"linear": {}, "knn": {}}
    for name, of in _representations(model, splits["train"], batch_size):
        v = {split: of(part.x) for split, part in splits.items()}
        varies = v["test"].double().var(0)
        is_posterior = name == "model" and isinstance(model, HasPosterior)
        active = varies > threshold * (1 if is_posterior else varies.max())
        numbers |= {f"features-{name}/dims": v["test"].shape[1]}
        numbers |= {f"features-{name}/active_units": int(active.sum())}
        mean = v["train"].mean(0)
        centred = {split: part - mean for split, part in v.items()}
        probed = _Vectors(**centred, scales=_scales(centred["train"]))
        for n, choices in subsets.items():
            for probe in curves:
                right = [
                    _predicted(probe, probed, splits, chosen, num_classes) == truth
                    for chosen in choices
                ]
                accuracy, error = _with_error(torch.stack(right).double())
                key = f"features-{name}/{probe}-{n}"
                numbers |= {key: accuracy, f"{key}_se": error}
                per_class = len(choices[0]) / num_classes
                curves[probe].setdefault(name, []).append((per_class, accuracy, error))
    plots.save_probes(picture, curves, type(model).__name__)
    return numbers


@dataclass
class _Split:
    """Images (N, C, H, W) uint8 with known labels (N,), on the CPU."""

    x: Tensor
    y: Tensor


def _split(
    data: ImageData, split: str, most: int | None = None, limit: int | None = None
) -> _Split:
    """Return the labelled images of a split.

    Args:
        data: The data.
        split: "train", "val" or "test".
        most: At most so many of them, a random choice, because a folder has them class by class.
        limit: Only those among the first so many images.

    Raises:
        Incapable: There is none.
    """
    y = data.labels(split)
    known = torch.empty(0).long() if y is None else (y[:limit].cpu() >= 0).nonzero().flatten()
    if most is not None and len(known) > most:
        known = known[
            torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:most]
        ]
    if y is None or not len(known):
        raise Incapable(
            f"measure=features asks for labels of the {split} images, and these data have none: use "
            "a run on labelled images, e.g. data=mnist."
        )
    return _Split(data.images(split).cpu()[known], y.cpu()[known])


def _subsets(y: Tensor, labels: Sequence[int | str], draws: int) -> dict[int | str, list[Tensor]]:
    """Return, for each number of labels per class, choices of training images (n,)."""
    classes, counts = y.unique(return_counts=True)
    if len(classes) < 2:
        raise Incapable(
            "measure=features asks for two classes of training images or more: use larger data."
        )
    found: dict[int | str, list[Tensor]] = {}
    for n in dict.fromkeys(labels):
        if n == "all":
            found[n] = [torch.arange(len(y))]
        elif int(n) <= int(counts.min()):
            kept = [keep_labels(y, int(n), seed) >= 0 for seed in range(draws)]
            found[n] = [k.nonzero().flatten() for k in kept]
    return found


def _representations(
    model: GenerativeModel, train: _Split, batch_size: int
) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Yield names and functions from images to vectors: the model's, then the controls."""
    own = refuse_features(model, "measure=features asks for latents or hidden states")
    yield "model", lambda x: vectors(own, x, batch_size=batch_size)
    dims = vectors(own, train.x[:1]).shape[1]
    assert model.levels is not None
    levels = model.levels
    yield "pixels", lambda x: pixels(x, levels)
    if dims < min(len(train.x), model.num_dims):
        components = principal_components(pixels(train.x, levels), dims)
        yield "pca", lambda x: components.encode(pixels(x, levels))


def _scales(v: Tensor) -> list[Tensor]:
    """Return what scales the numbers of vectors (N, F): each by its deviation, and by the largest."""
    std = v.std(0)
    largest = std.max().clamp(min=1e-12)
    return [torch.where(std > 1e-6 * largest, 1 / std, 0), (1 / largest).expand_as(std)]


@dataclass
class _Vectors:
    """Vectors of the splits: (N, F) each, centred over the training images, and their scales."""

    train: Tensor
    val: Tensor
    test: Tensor
    scales: Sequence[Tensor]


def _predicted(
    probe: str, v: _Vectors, splits: dict[str, _Split], chosen: Tensor, num_classes: int
) -> Tensor:
    """Return the class (N,) of each test image, of a probe trained on some training images."""
    x, y, val_y = v.train[chosen], splits["train"].y[chosen], splits["val"].y
    if probe == "linear":
        scales = v.scales if len(chosen) < len(v.train) else v.scales[:1]
        return linear_probe((x, y), (v.val, val_y), v.test, scales)
    ks = [k for k in NEIGHBOURS if k <= len(x)]
    nearest = nearest_labels(v.val, x, y, max(ks))
    right = [(vote(nearest, k, num_classes) == val_y).double().mean() for k in ks]
    k = ks[int(torch.stack(right).argmax())]
    return vote(nearest_labels(v.test, x, y, k), k, num_classes)


def _with_error(right: Tensor) -> tuple[float, float]:
    """Return the mean of (draws, N) and its standard error, over images and over draws."""
    draws, n = right.shape
    variance = right.mean(0).var() / n
    if draws > 1:
        variance = variance + right.mean(1).var() / draws
    return float(right.mean()), float(variance.sqrt())
