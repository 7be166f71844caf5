"""Diagrams of classifiers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gdl.plots.figures import save_figure

__all__ = ["save_classification", "save_probes"]


def save_classification(
    path: Path,
    curves: Mapping[str, Sequence[tuple[float, float, float]]],
    reliabilities: Mapping[str, tuple[Tensor, Tensor]],
    confusion: Tensor,
    class_names: Sequence[str] | None = None,
    about: str = "",
) -> Path:
    """Write three diagrams of classifiers side by side as a PNG.

    The first shows accuracies against the number of training labels, the second the accuracy in bins
    of the confidence, the third which classes the first classifier takes for which.

    Args:
        path: The file.
        curves: Labels per class, accuracy and its standard error, by the name of the classifier. The
            first classifier is drawn thickest.
        reliabilities: Mean confidence and accuracy of each bin, by the name of the classifier.
        confusion: Numbers of images (K, K), rows are the true classes.
        class_names: Names of the classes, by default their numbers.
        about: What the first classifier is, e.g. "vae on mnist".
    """
    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(15, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_accuracies(left, curves, "generative and discriminative")
    middle.plot([0, 1], [0, 1], color="grey", lw=1, ls="--")
    for i, (name, (confidence, accuracy)) in enumerate(reliabilities.items()):
        middle.plot(confidence.numpy(), accuracy.numpy(), **_style(i, name))
    middle.set(title="reliability: calibrated on the dashed line", xlim=(0, 1.02), ylim=(0, 1.02))
    middle.set(xlabel="confidence", ylabel="accuracy")
    middle.grid(alpha=0.3)
    middle.legend(fontsize=8)
    _draw_confusion(right, confusion, class_names or [str(c) for c in range(len(confusion))])
    right.set_title(f"images by class: {next(iter(curves))}")
    figure.suptitle(f"classifiers of {int(confusion.sum())} test images")
    return save_figure(figure, path, about)


def save_probes(
    path: Path,
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]],
    model: str,
) -> Path:
    """Write accuracies of probes against the number of training labels as a PNG, a diagram per probe.

    Args:
        path: The file.
        curves: For "linear" and "knn", labels per class, accuracy and its standard error, by the name
            of the features; "model" is drawn thickest.
        model: What "model" is called.
    """
    from matplotlib.figure import Figure  # half a second to import

    titles = {"linear": "linear probe", "knn": "nearest neighbours"}
    names = {"model": model, "pca": "PCA of the same dimension"}
    figure = Figure(figsize=(5.2 * len(curves), 4.4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False).flatten()
    for axes, (probe, by_features) in zip(panels, curves.items(), strict=True):
        named = {names.get(name, name): curve for name, curve in by_features.items()}
        _draw_accuracies(axes, named, f"{titles[probe]} on features")
    return save_figure(figure, path)


def _style(i: int, name: str) -> dict[str, Any]:
    return {"label": name, "marker": "o", "lw": 1.5 + 1.5 * (i == 0)}


def _draw_accuracies(
    axes: Any, curves: Mapping[str, Sequence[tuple[float, float, float]]], title: str
) -> None:
    for i, (name, curve) in enumerate(curves.items()):
        axes.errorbar(*zip(*sorted(curve), strict=True), capsize=3, **_style(i, name))
    axes.set(title=title, xscale="log")
    axes.set(xlabel="training labels per class", ylabel="accuracy on the test images")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_confusion(axes: Any, confusion: Tensor, names: Sequence[str]) -> None:
    share = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(confusion) > 20:
        return  # no room for numbers
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    for row, column in torch.cartesian_prod(*[torch.arange(len(confusion))] * 2).tolist():
        colour = "white" if share[row, column] > 0.5 else "black"
        text = str(int(confusion[row, column]))
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
