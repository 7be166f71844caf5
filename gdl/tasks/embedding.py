"""Maps of the test images: what two numbers, or a picture of many, tell of their classes."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gdl.plots as plots
from gdl.capabilities import HasFeatures, HasLatents, Incapable, Invertible
from gdl.errors import GdlError
from gdl.evaluation.host import Host
from gdl.evaluation.neighbours import nearest_labels, vote
from gdl.evaluation.representations import (
    Components,
    needs_label,
    pixels,
    principal_components,
    refuse_features,
    vectors,
)
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.tasks.images import LazyImages
from gdl.tasks.latents import Images

__all__ = ["embed"]

METHODS = ("pca", "tsne", "umap")
"""What draws a map of vectors with more than two numbers."""

MOST_DIMS = 50
"""Vectors are brought to so many principal components before t-SNE and UMAP, as is customary."""


@torch.inference_mode()
def embed(
    model: GenerativeModel,
    x: Images,
    runs: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    points: int = 5000,
    fit: int | None = 10_000,
    k: int = 10,
    thumbnails: bool = False,
    seed: int = 0,
    batch_size: int = 500,
    *,
    host: Host,
) -> dict[str, Any]:
    """Draw test images as points in the plane, coloured by class, a map for each way to do so.

    The first map are the principal components of the pixels. A run with two latents is a map by itself.
    Of latents, or hidden states, with more numbers there are the principal components, t-SNE, and UMAP
    if umap-learn is installed.

    A title gives the accuracy of a vote of the k nearest neighbours in the map: of test images among
    training images, and where a map has no formula for new images (t-SNE, UMAP) of each test image
    among the others. It also gives the squared error per pixel, of pixels in [0, 1], of the images that
    are decoded from the points, as images, i.e. between 0 and 1.

    Args:
        model: A model with latents or hidden states.
        x: Test images, with labels if they have some.
        runs: Other runs on the same images.
        methods: Of "pca", "tsne" and "umap", which are drawn; None for all that are installed.
        points: At most so many test images, a random choice.
        fit: At most so many training images, for the components and the neighbours; None for all.
        k: Neighbours that vote.
        thumbnails: Draw some of the images, too, where they do not overlap.
        seed: Seeds the choices, t-SNE and UMAP.
        batch_size: Images at a time.
        host: Opens the run's data and the other runs.

    Returns:
        "maps", a figure, and the numbers in the titles.

    Raises:
        Incapable: A model has no latents or hidden states, or only one number.
        GdlError: A run is on other images, a method is unknown or not installed, or a number is below
            1.
    """
    own = refuse_features(model, "task=embed asks for latents or hidden states")
    for name, number in (("points", points), ("k", k), ("fit", fit)):
        if number is not None:
            at_least_one(f"task.{name}", number)
    methods = _checked_methods(methods)
    others = [_other_run(host, run) for run in runs]
    train = _chosen(LazyImages.of(host.data(), "train"), fit, seed)
    test = _chosen(x, points, seed)
    assert model.levels is not None
    grey = pixels(test.images, model.levels)
    found = [_of_pixels(train, test, model.levels)]
    names = _names([type(model).__name__, *(type(m).__name__ for m, _ in others)], runs)
    for name, one in zip(names, [own, *(features for _, features in others)], strict=True):
        found += _of_model(name, one, train, test, methods, seed, batch_size)
    titles: dict[str, Tensor] = {}
    numbers: dict[str, Tensor] = {}
    for each in found:
        told = []
        if train.labels is not None and test.labels is not None:
            accuracy = each.accuracy(train.labels, test.labels, k)
            told.append(f"{k}-NN accuracy {accuracy:.3f}{' (leave-one-out)' * each.alone}")
            numbers[f"map-{each.name}: {k}-NN accuracy"] = torch.tensor(accuracy)
        if each.decoded is not None:
            error = float((each.decoded() - grey).square().mean())
            told.append(f"squared error {error:.4f} a pixel")
            numbers[f"map-{each.name}: squared error a pixel"] = torch.tensor(error)
        titles[each.name + "\n" + ", ".join(told)] = each.test
    shown = grey.unflatten(1, model.shape) if thumbnails else None
    data, labels = host.data(), test.labels
    classes = [str(c) for c in data.class_names or range(data.num_classes)]
    title = f"{len(grey):,} test images"
    return {"maps": plots.draw_maps(titles, labels, classes, shown, title), **numbers}


@dataclass
class _Images:
    """Some images (N, C, H, W) uint8 and their labels (N,), on the CPU; None where there are none."""

    images: Tensor
    labels: Tensor | None


@dataclass
class _Map:
    """Test images as points (N, 2), and what tells how good a map they are."""

    name: str
    test: Tensor
    train: Tensor | None = None
    """Training images as points, where the map has a formula for new images."""
    decoded: Callable[[], Tensor] | None = None
    """Returns the images (N, D) in [0, 1] of the points, where there are some."""

    @property
    def alone(self) -> bool:
        """Whether the test images have no neighbours but each other."""
        return self.train is None

    def accuracy(self, train_y: Tensor, test_y: Tensor, k: int) -> float:
        """Return how many of the test images with a known class their neighbours classify rightly."""
        points, y = (self.test, test_y) if self.train is None else (self.train, train_y)
        among, asked = y >= 0, test_y >= 0
        nearest = nearest_labels(self.test[asked], points[among], y[among], k, self.alone)
        classes = int(max(y.max(), test_y.max())) + 1
        return float((vote(nearest, k, classes) == test_y[asked]).double().mean())


def _checked_methods(methods: Sequence[str] | None) -> list[str]:
    """Return the methods, or all that are installed.

    Raises:
        GdlError: One is unknown or not installed.
    """
    has_umap = importlib.util.find_spec("umap") is not None
    if methods is None:
        return [m for m in METHODS if m != "umap" or has_umap]
    for method in methods:
        if method not in METHODS:
            raise GdlError(f"task.methods has {method!r}: use some of {', '.join(METHODS)}.")
        if method == "umap" and not has_umap:
            raise GdlError(
                "task.methods has umap, which is not installed: pip install umap-learn."
            )
    return list(methods)


def _other_run(host: Host, run: str) -> tuple[GenerativeModel, HasFeatures]:
    """Return the model of another run.

    Raises:
        GdlError: It is on other images.
    """
    model, data = host.open_run_and_data(run)
    if data.identity() != host.data().identity():
        raise GdlError(
            f"task.runs holds a {type(model).__name__} on other images than this run: name runs on "
            "the same data."
        )
    return model, refuse_features(model, "task=embed asks for latents or hidden states")


def _names(classes: Sequence[str], runs: Sequence[str]) -> list[str]:
    """Return the names of models, with those of their runs where they are of one class."""
    paths = ["this run", *(Path(run).name for run in runs)]
    return [
        f"{name} ({path})" if classes.count(name) > 1 else name
        for name, path in zip(classes, paths, strict=True)
    ]


def _chosen(x: Images, most: int | None, seed: int) -> _Images:
    """Return a random choice of images; a folder has them class by class."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:most]
    y = getattr(x, "labels", None)
    known = y is not None and bool((y >= 0).any())
    return _Images(x[order].cpu(), y.cpu()[order] if known and y is not None else None)


def _of_pixels(train: _Images, test: _Images, levels: int) -> _Map:
    v, fitted = pixels(test.images, levels), pixels(train.images, levels)
    components = principal_components(fitted, 2)
    z = components.encode(v)
    decoded = lambda: components.decode(z).clamp(0, 1)  # noqa: E731
    return _Map("PCA of the pixels", z, components.encode(fitted), decoded)


def _of_model(
    name: str,
    model: Any,
    train: _Images,
    test: _Images,
    methods: Sequence[str],
    seed: int,
    batch_size: int,
) -> Iterator[_Map]:
    """Yield the maps of a model.

    Raises:
        Incapable: It says one number of an image.
    """
    given = needs_label(model)
    y = test.labels if given else None
    v = vectors(model, test.images, y, batch_size)
    fitted = vectors(model, train.images, train.labels if given else None, batch_size)
    has_code = isinstance(model, HasLatents)
    said = f"{v.shape[1]} {'latents' if has_code else 'hidden units'}{' given the label' * given}"
    name = f"{name}, {said}"
    if v.shape[1] < 2:
        raise Incapable(
            f"task=embed asks for two latents or more, and {name}, is a line: use a run with "
            "model.latent_dim=2."
        )

    def decoded(z: Tensor) -> Callable[[], Tensor] | None:
        # what is left of a flow's latents in a plane is far from all that it has seen
        if not has_code or isinstance(model, Invertible):
            return None
        return lambda: _decoded(model, z, y, batch_size)

    if v.shape[1] == 2:
        yield _Map(name, v, fitted, decoded(v))
        return
    dims = min(MOST_DIMS, *fitted.shape)
    components = principal_components(fitted, dims)
    codes = components.encode(v)
    for method in methods:
        if method == "pca":
            plane = Components(components.mean, components.directions[:2])
            z = plane.encode(v)
            yield _Map(f"{name}: PCA", z, plane.encode(fitted), decoded(plane.decode(z)))
        else:
            label = {"tsne": "t-SNE", "umap": "UMAP"}[method]
            yield _Map(f"{name}: {label}", _neighbour_map(method, codes, seed))


def _decoded(model: Any, z: Tensor, y: Tensor | None, batch_size: int) -> Tensor:
    """Return the images (N, D) in [0, 1] of latents (N, M)."""
    device, dtype = model.device, model.dtype
    parts = [z.to(dtype).split(batch_size)] + ([] if y is None else [y.split(batch_size)])
    found = []
    for code, *label in zip(*parts, strict=True):
        latents = code.unflatten(1, model.latent_shape).to(device)
        images = model.decode(latents, *(t.to(device) for t in label))
        found.append(images.flatten(1).float().cpu() / (model.levels - 1))
    return torch.cat(found)


def _neighbour_map(method: str, v: Tensor, seed: int) -> Tensor:
    """Return points (N, 2) that keep the neighbours of vectors (N, F), by t-SNE or UMAP."""
    if method == "tsne":
        from sklearn.manifold import TSNE  # scikit-learn takes a second to import

        few = min(30.0, (len(v) - 1) / 3)
        points = TSNE(perplexity=few, init="pca", random_state=seed).fit_transform(v.numpy())
    else:
        from umap import UMAP  # pyright: ignore[reportMissingImports]  # optional

        points = UMAP(random_state=seed, n_neighbors=min(15, len(v) - 1)).fit_transform(v.numpy())
    return torch.from_numpy(points).float()
