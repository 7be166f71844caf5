"""A small classifier whose penultimate features are the space that distances are measured in.

It is trained here, on the images and labels of the data module in use, so that no weights are
downloaded; it is trained once per data set and kept in the data folder.
"""

import hashlib
import io
import math
import pickle
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.files import is_whole_archive, path_below, write_atomically
from gdl.noise import mix_seed

__all__ = ["Classifier", "classifier_for", "labelled"]

VERSION = 1
"""Raise it when the network or its training changes, so that cached files are trained again."""

BATCH, MAX_STEPS, MAX_PASSES = 128, 1200, 60
"""Images in a step; steps; passes over the training images, which come first on small data."""

DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
)


class Classifier(nn.Module):
    """Strided 3x3 convolutions down to at most 4x4 pixels, then 128 features, then the classes.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have.
        num_classes: Number of classes.
    """

    num_features = 128

    def __init__(self, shape: tuple[int, ...], levels: int, num_classes: int) -> None:
        super().__init__()
        self.levels, (channels, height, width) = levels, shape
        num_convs = max(2, math.ceil(math.log2(max(height, width) / 4)))
        layers: list[nn.Module] = []
        for i in range(num_convs):
            out = 32 if i == 0 else 64
            layers += [nn.Conv2d(channels, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out)]
            layers += [nn.ReLU()]
            channels, height, width = out, (height + 1) // 2, (width + 1) // 2
        linear = nn.Linear(channels * height * width, self.num_features)
        self.body = nn.Sequential(*layers, nn.Flatten(), linear, nn.ReLU())
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of images (B, C, H, W), see `features`."""
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Return (B, 128) of images (B, C, H, W), uint8 or real, in [0, levels - 1]."""
        return self.body(x.to(self.head.weight.dtype) / (self.levels - 1))


def classifier_for(
    data: ImageData,
    name: str,
    device: torch.device | str = "cpu",
    train: tuple[Tensor, Tensor] | None = None,
) -> tuple[Classifier, float]:
    """Return the classifier of a data set, in eval mode, and its accuracy on the test images.

    It is read from <data_dir>/classifiers/<name>.pt if that file is whole and was made by this
    version of gdl from the same images, and else trained and written there. Its seed is fixed:
    the feature space is the same for every model, whatever the seed of a run.

    Args:
        data: The data set; a random transform is applied once, as in `ImageData.images`.
        name: Name of the file, e.g. cnn-mnist.
        device: Where to train, and where the result is.
        train: Images and labels to train on; by default all training images that have a label.

    Raises:
        GdlError: The data set has no labels, or other classes in its test images.
    """
    (x, y), (test_x, test_y) = train or labelled(data, "train"), labelled(data, "test")
    if not torch.isin(test_y, y).all():
        _refuse("test images of classes that are not among the training images")
    classifier = _untrained(data, y)
    images = _digest(x, y, test_x, test_y)
    key = {"version": VERSION, "images": images, "levels": data.levels}
    path = path_below(data.data_dir / "classifiers", f"{name}.pt")
    accuracy = _read(path, key, classifier)
    if accuracy is None:
        classifier = _train(_untrained(data, y).to(device), x, y)
        accuracy = _accuracy(classifier, test_x, test_y)
        _write(path, {**key, "state_dict": classifier.state_dict(), "accuracy": accuracy})
    return classifier.to(device).eval(), accuracy


def labelled(data: ImageData, split: str) -> tuple[Tensor, Tensor]:
    """Return the images (N, C, H, W) of a split that have a label, and the labels (N,), on the CPU.

    Raises:
        GdlError: The data set has no labels.
    """
    x, y = data.images(split).cpu(), data.labels(split)
    if y is None:
        _refuse("no labels")
    known = (y := y.cpu()) >= 0
    return (x, y) if bool(known.all()) else (x[known], y[known])


def _refuse(reason: str) -> NoReturn:
    raise GdlError(
        f"The data set has {reason}, so no classifier can be trained whose features a distance "
        "is measured in: use a model of mnist, fashion_mnist, binarized_mnist with "
        "data.binarization=dynamic or threshold, cifar10 or digits."
    )


def _digest(*tensors: Tensor) -> str:
    """Return a hash of images and labels: binarizations of one data set share a name."""
    digest = hashlib.blake2b(digest_size=16)
    for t in tensors:
        digest.update(repr(tuple(t.shape)).encode())
        digest.update(t.contiguous().numpy().data)
    return digest.hexdigest()


def _read(path: Path, key: dict[str, Any], classifier: Classifier) -> float | None:
    """Load the weights and return the accuracy; None where the file is missing, stale or damaged."""
    if not is_whole_archive(path):  # torch.load compares no checksums
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if any(content[k] != v for k, v in key.items()):
            return None
        classifier.load_state_dict(content["state_dict"])
        return float(content["accuracy"])
    except DAMAGED:
        return None


def _write(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError as e:  # a data folder that many share may be read-only
        warnings.warn(f"The classifier was not kept for the next time: {e}.", stacklevel=3)


def _untrained(data: ImageData, y: Tensor) -> Classifier:
    assert data.levels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed("classifier", VERSION))
        return Classifier(data.shape, data.levels, int(y.max()) + 1)


def _train(model: Classifier, x: Tensor, y: Tensor) -> Classifier:
    """Train with Adam under a one-cycle learning rate, on shifted images."""
    num_steps = max(2, min(MAX_STEPS, MAX_PASSES * len(x) // BATCH))
    device = model.train().head.weight.device
    generator = torch.Generator().manual_seed(mix_seed("classifier batches", VERSION))
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=num_steps)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(num_steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(x), generator=generator)])
        batch, order = order[:BATCH], order[BATCH:]
        images = _shifted(x[batch], generator).to(device)
        optimizer.zero_grad()
        F.cross_entropy(model(images), y[batch].to(device)).backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image of (B, C, H, W) by up to 1/14 of its size (2 of 28), at least one pixel."""
    n, _, height, width = x.shape
    reach = max(1, max(height, width) // 14)
    shift = torch.randint(2 * reach + 1, (2, n, 1), generator=generator)
    rows, columns = shift[0] + torch.arange(height), shift[1] + torch.arange(width)
    image = torch.arange(n)[:, None, None]
    padded = F.pad(x, [reach] * 4)
    return padded[image, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


@torch.inference_mode()
def _accuracy(model: Classifier, x: Tensor, y: Tensor) -> float:
    device = model.head.weight.device
    guess = torch.cat([model(batch.to(device)).argmax(1).cpu() for batch in x.split(500)])
    return float((guess == y).double().mean())
