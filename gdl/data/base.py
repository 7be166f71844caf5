"""What every data set provides: three splits of integer images, and batches of them."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import (
    SequentialSampler,
)

from gdl.data.arguments import checked_fraction, checked_path, whole_number
from gdl.data.batches import Batches, EpochShuffle, ImageSet
from gdl.data.labels import NO_LABELS, keep_labels, number_of_classes
from gdl.data.mutation import Mutation, checked_mutation
from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["NAMED_FACTS", "ImageData", "Split", "hold_out", "kept_images"]

NAMED_FACTS = ("binarization", "bits", "target", "source", "mutation", "fraction")
"""Keys of `ImageData.facts` that the name of the data shows; they belong to the identity."""

HASHED_AT_ONCE = 8_000_000
"""Bytes of the parts that are hashed in parallel."""

Split = tuple[Tensor, Tensor | None]
"""Images (N, C, H, W) uint8 in {0, ..., levels - 1} and labels (N,) int64, None without labels.

A label of -1 says that the class is not known.
"""


class ImageData(pl.LightningDataModule, ABC):
    """A data set of integer images x in {0, ..., levels - 1}^(C, H, W), as batches of uint8.

    Nothing is scaled, centred or dequantized here: that belongs to the models, because it is part
    of their density. The validation split is held out from the training images and chooses the
    checkpoint; the test split is used once, after training.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have; None for continuous data (N, D), float32.
        batch_size: Images in a training batch.
        eval_batch_size: Images in a validation or test batch.
        seed: Seeds the order of the training images and their random transform.
        data_dir: Folder with one sub-folder per data set.
        labels_per_class: How many training images of each class keep their label, a random choice
            that depends on the seed; the others have -1. None keeps all.
        mutation: Probability that a pixel is replaced by a uniform level, in the images of all splits;
            the data of a background model, see `Mutation`.
        fraction: Part of the training images that is kept, a random choice that is the same for every
            seed; validation and test images stay what they are.

    Raises:
        GdlError: An argument is out of range.
    """

    class_names: Sequence[str] | None = None
    """Names of the classes, where they are known; of some data only after `setup`."""

    transform: Callable[[Tensor, torch.Generator], Tensor] | None = None
    """Random map from training batches to training batches, e.g. a binarization."""

    loads_fraction = False
    """Whether `load` itself returns only the fraction of the training images."""

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        data_dir: str = "~/.cache/gdl",
        labels_per_class: int | None = None,
        mutation: float = 0.0,
        fraction: float = 1.0,
    ) -> None:
        super().__init__()
        self.shape, self.levels = tuple(shape), levels
        if levels is not None:
            whole_number("data.levels", levels, 2, 65536)
        self.batch_size = whole_number("data.batch_size", batch_size, 1)
        self.eval_batch_size = whole_number("data.eval_batch_size", eval_batch_size, 1)
        self.seed, self.data_dir = seed, checked_path("data_dir", data_dir)
        if labels_per_class is not None:
            whole_number("data.labels_per_class", labels_per_class, 1)
        self.labels_per_class = labels_per_class
        self.mutation = checked_mutation(mutation, levels)
        self.fraction = checked_fraction("data.fraction", fraction, or_one=True)
        self._splits: dict[str, Split] = {}
        self._digest: str | None = None

    @abstractmethod
    def load(self) -> dict[str, Split]:
        """Return the splits "train", "val" and "test".

        Raises:
            GdlError: A file is missing or damaged; the message names it and says how to get it.
        """

    def facts(self) -> dict[str, Any]:
        """Return the settings that a result on these data depends on, e.g. the binarization.

        They are stored as data/{name} in metrics.json.
        """
        return {}

    def identity(self) -> dict[str, Any]:
        """Return what tells these data from others, as plain values for JSON.

        The keys are "shape", "levels", the number of images in "train", "val" and "test", those of
        `NAMED_FACTS` that `facts` has, and "digest". Only results of equal identities are compared.
        """
        self.setup()
        sizes = {split: len(x) for split, (x, _) in self._splits.items()}
        facts = self.facts() | ({"mutation": self.mutation} if self.mutation else {})
        facts |= {"fraction": self.fraction} if self.fraction < 1 else {}
        named = {k: v for k, v in facts.items() if k in NAMED_FACTS}
        kind = {"shape": list(self.shape), "levels": self.levels}
        return {**kind, **sizes, **named, "digest": self.digest()}

    def digest(self) -> str:
        """Return a SHA-256, as hexadecimal digits, of the images of all splits and their shapes.

        It is computed once, in threads; 180 MB take about 0.1 s on two cores. Where a transform
        or a mutation draws images, those before it count.
        """
        self.setup()
        if self._digest is None:
            whole = hashlib.sha256()
            for split, (x, _) in sorted(self._splits.items()):
                whole.update(f"{split} {x.dtype} {tuple(x.shape)}".encode())
                for part in _part_digests(x):
                    whole.update(part)
            self._digest = whole.hexdigest()
        return self._digest

    def setup(self, stage: str | None = None) -> None:
        """Load the images, once, and check that they fit `shape` and `levels`.

        Raises:
            GdlError: The images have another shape, or larger values.
        """
        if self._splits:
            return
        splits = self.load()
        for name, (x, _) in splits.items():
            if tuple(x.shape[1:]) != self.shape:
                raise GdlError(
                    f"The {name} images have shape {tuple(x.shape[1:])}, but data.shape is "
                    f"{self.shape}: set data.shape={list(x.shape[1:])}."
                )
            if name == "train" and self.transform is not None:
                x = self.transform(x[:1000], torch.Generator())
            if self.levels is None or (self.levels > 255 and x.dtype == torch.uint8):
                continue  # a look at all values would read all of a file that is mapped into memory
            if (largest := self.largest(x)) >= self.levels:
                raise GdlError(
                    f"The {name} images have pixel values up to {largest}, but data.levels "
                    f"is {self.levels}: set data.levels={largest + 1} or more."
                )
        if self.fraction < 1 and not self.loads_fraction:
            x, y = splits["train"]
            kept = kept_images(len(x), self.fraction)
            splits["train"] = x[kept], None if y is None else y[kept]
        if self.labels_per_class is not None:
            x, y = splits["train"]
            if y is None:
                raise GdlError(f"data.labels_per_class needs labels: {NO_LABELS}")
            splits["train"] = x, keep_labels(y, self.labels_per_class, self.seed)
        self._splits = splits

    @property
    def num_classes(self) -> int:
        """Number of classes of the labels, which may be -1 where unknown; 0 without labels."""
        self.setup()
        found = number_of_classes(y for _, y in self._splits.values())
        return (
            found if self.class_names is None else max(found, bool(found) * len(self.class_names))
        )

    def largest(self, x: Tensor) -> int:
        """Return the largest value of the images of a split; a data set may know it already."""
        return int(x.max())

    def move_to(self, device: torch.device) -> None:
        """Move the images to a GPU if they take less than a quarter of its free memory.

        Otherwise they stay where they are, in memory or in a file that is mapped into it, and each
        batch is taken there and copied on its own.
        """
        size = sum(x.nbytes for x, _ in self._splits.values())
        if device.type == "cuda" and size < 0.25 * torch.cuda.mem_get_info(device)[0]:
            self._splits = {
                name: (x.to(device), None if y is None else y.to(device))
                for name, (x, y) in self._splits.items()
            }

    def images(self, split: str) -> Tensor:
        """Return all images (N, C, H, W) uint8 in {0, ..., levels - 1} of a split.

        Training images with a random transform, e.g. a binarization, are transformed with a fixed
        seed, so every call returns the same images; and so are the images of any split with a mutation.
        """
        self.setup()
        x = self._splits[split][0]
        random_map = self._random_map(split)
        if random_map is None:
            return x
        seed = 0 if split == "train" else mix_seed("mutation", split)
        return random_map(x, torch.Generator(x.device).manual_seed(seed))

    def _random_map(self, split: str) -> Callable[[Tensor, torch.Generator], Tensor] | None:
        """Return what draws the images of a split; the transform is of training images only."""
        transform = self.transform if split == "train" else None
        if not self.mutation or self.levels is None:
            return transform
        return Mutation(self.mutation, self.levels, transform)

    def names(self, split: str) -> list[str]:
        """Return what the images of a split are called: split[i], or files of a folder."""
        return [f"{split}[{i}]" for i in range(len(self.images(split)))]

    def labels(self, split: str) -> Tensor | None:
        """Return the labels (N,) of a split, -1 where unknown, or None where the data have none."""
        self.setup()
        return self._splits[split][1]

    def batch_total(self, split: str, batch_idx: int, num_processes: int) -> int:
        """Return the size of a batch summed over all processes; the last batch may be smaller."""
        size = num_processes * (self.batch_size if split == "train" else self.eval_batch_size)
        return min(size, len(self._splits[split][0]) - batch_idx * size)

    def train_dataloader(self) -> Batches:
        """Return shuffled batches (B, C, H, W) uint8, with labels (B,) for a conditional model."""
        self.setup()
        epoch = lambda: self.trainer.current_epoch if self.trainer else 0  # noqa: E731
        labels = self._labels_for_model("train")
        random_map = self._random_map("train")
        data = ImageSet(self._splits["train"][0], random_map, self.seed, epoch, labels)
        order = EpochShuffle(data, self.seed)
        return Batches(data, self.batch_size, order, self._processes, self._given)

    def val_dataloader(self) -> Batches:
        """Return validation batches (B, C, H, W) uint8 in a fixed order."""
        return self._eval_dataloader("val")

    def test_dataloader(self) -> Batches:
        """Return test batches (B, C, H, W) uint8 in a fixed order."""
        return self._eval_dataloader("test")

    def _eval_dataloader(self, split: str) -> Batches:
        data = ImageSet(self.images(split), labels=self._labels_for_model(split))
        return Batches(data, self.eval_batch_size, SequentialSampler(data), self._processes)

    def _labels_for_model(self, split: str) -> Tensor | None:
        """Return the labels of a split if the trainer's model is conditional.

        Raises:
            GdlError: It is, but there are none.
        """
        model = getattr(self.trainer, "lightning_module", None)
        if not getattr(model, "num_classes", 0):
            return None
        labels = self.labels(split)
        if labels is None:
            raise GdlError(f"A conditional model needs labels: {NO_LABELS}")
        return labels

    @property
    def _processes(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _given(self) -> int:
        trainer = self.trainer
        return 0 if trainer is None else trainer.fit_loop.epoch_loop.batch_progress.current.ready


def _part_digests(x: Tensor) -> list[bytes]:
    """Return the SHA-256 of each part of the images (N, ...), about `HASHED_AT_ONCE` bytes each."""
    images = max(1, HASHED_AT_ONCE // max(1, x[:1].numel() * x.element_size()))
    of = lambda part: hashlib.sha256(part.contiguous().cpu().numpy()).digest()  # noqa: E731
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return list(pool.map(of, x.split(images)))


def hold_out(images: Tensor, labels: Tensor | None, num: int, seed: int) -> tuple[Split, Split]:
    """Split N images into N - num for training and num for validation, chosen by seed."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, val = order[num:].sort().values, order[:num].sort().values
    pick = lambda index: (images[index], None if labels is None else labels[index])  # noqa: E731
    return pick(train), pick(val)


def kept_images(num: int, fraction: float) -> Tensor:
    """Return the indices of a fixed random fraction of N images, at least one, in rising order.

    The choice with a larger fraction contains the choice with a smaller one.
    """
    generator = torch.Generator().manual_seed(mix_seed("fraction"))
    order = torch.randperm(num, generator=generator)
    return order[: max(1, round(fraction * num))].sort().values
