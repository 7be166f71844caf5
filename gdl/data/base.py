"""The contract of every data set: integer images in memory, a batch as one index operation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from gdl.errors import GdlError
from gdl.noise import Part, mix_seed

__all__ = ["ImageData", "ImageSet", "Split", "hold_out"]

Split = tuple[Tensor, Tensor | None]
"""Images (N, C, H, W) uint8 in {0, ..., levels - 1} and labels (N,) int64, None without labels."""


class ImageSet(Dataset[Tensor]):
    """Images in one uint8 tensor, with an optional random map applied to each batch.

    Args:
        images: (N, C, H, W) uint8.
        transform: Called with a batch (B, C, H, W) uint8 and a generator; returns uint8.
        seed: Seeds the transform's noise together with the epoch and the batch's first index, so
            the noise is a function of what is drawn and not of what was drawn before.
        epoch: Returns the current epoch.
    """

    def __init__(
        self,
        images: Tensor,
        transform: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        seed: int = 0,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.images = images
        self._transform, self._seed, self._epoch = transform, seed, epoch
        self._generator = torch.Generator(images.device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Return the batch (B, C, H, W) uint8; a DataLoader calls this once per batch."""
        # by way of NumPy, which reads a list of integers several times as fast as torch
        index = torch.from_numpy(np.asarray(indices))
        # a copy to a GPU that blocks would wait for all steps under way
        index = index.to(self.images.device, non_blocking=True)
        x = self.images.index_select(0, index)
        if self._transform is None:
            return x
        seed = mix_seed("data", self._seed, self._epoch(), int(indices[0]))
        return self._transform(x, self._generator.manual_seed(seed))


class EpochShuffle(RandomSampler):
    """A shuffle that is a function of (seed, epoch) only; Lightning calls `set_epoch`."""

    def __init__(self, data_source: Dataset[Tensor], seed: int) -> None:
        super().__init__(cast(Any, data_source))
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(mix_seed("shuffle", self._seed, self._epoch))
        return iter(torch.randperm(self.num_samples, generator=generator).tolist())


class Batches(DataLoader[Tensor]):
    """Batches, loaded in this process; of several processes each has its part of every batch.

    Args:
        data: The images.
        batch_size: Images of a batch in one process.
        sampler: The order of the images.
        processes: The rank of this process, and how many there are.
        given: Returns how many batches of the epoch to leave out, because an interrupted run has
            had them.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        sampler: Sampler[int],
        processes: tuple[int, int] = (0, 1),
        given: Callable[[], int] = lambda: 0,
    ) -> None:
        together = BatchSampler(sampler, batch_size * processes[1], drop_last=False)
        super().__init__(data, batch_sampler=together)
        self._images, self._together = data, together
        self._processes, self._given = processes, given

    def __iter__(self) -> Iterator[Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield this process's part (b, C, H, W) uint8 of each batch."""
        # the trainer knows what was given only when the first batch is asked for
        for indices in islice(self._together, self._given(), None):
            # all of it is transformed, so that each process draws what a single one would
            batch, part = (
                self._images.__getitems__(indices),
                Part.of(len(indices), *self._processes),
            )
            # where there are fewer images than processes, one that counts for nothing
            yield batch[part.first : part.first + part.count] if part.count else batch[:1]


class ImageData(pl.LightningDataModule, ABC):
    """A data set of integer images x in {0, ..., levels - 1}^(C, H, W), as batches of uint8.

    Nothing is scaled, centred or dequantized here: that belongs to the models, because it is part
    of their density. The validation split is held out from the training images; the test split is
    for one look after training.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values that a pixel can have; None for continuous data (N, D), float32.
        batch_size: Images in a training batch.
        eval_batch_size: Images in a validation or test batch.
        seed: Seeds the order of the training images and their random transform.
        data_dir: Folder with one sub-folder per data set.
    """

    transform: Callable[[Tensor, torch.Generator], Tensor] | None = None
    """Random map from training batches to training batches, e.g. a binarization."""

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        data_dir: str = "~/.cache/gdl",
    ) -> None:
        super().__init__()
        self.shape, self.levels = tuple(shape), levels
        if min(batch_size, eval_batch_size) < 1:
            raise GdlError("data.batch_size and data.eval_batch_size must be 1 or more.")
        self.batch_size, self.eval_batch_size, self.seed = batch_size, eval_batch_size, seed
        self.data_dir = Path(data_dir).expanduser()
        self._splits: dict[str, Split] = {}

    @abstractmethod
    def load(self) -> dict[str, Split]:
        """Return the splits "train", "val" and "test".

        Raises:
            GdlError: A file is missing or damaged; the message names it and says how to get it.
        """

    def facts(self) -> dict[str, Any]:
        """Return what a number measured on this data must be printed with, e.g. a binarization."""
        return {}

    def setup(self, stage: str | None = None) -> None:
        """Load the images, once."""
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
            if self.levels is not None and int(x.max()) >= self.levels:
                raise GdlError(
                    f"The {name} images have pixel values up to {int(x.max())}, but data.levels "
                    f"is {self.levels}: set data.levels={int(x.max()) + 1} or more."
                )
        self._splits = splits

    def move_to(self, device: torch.device) -> None:
        """Keep the images on a GPU from now on, if they take less than a quarter of its memory."""
        size = sum(x.nbytes for x, _ in self._splits.values())
        if device.type == "cuda" and size < 0.25 * torch.cuda.mem_get_info(device)[0]:
            self._splits = {name: (x.to(device), y) for name, (x, y) in self._splits.items()}

    def images(self, split: str) -> Tensor:
        """Return all images (N, C, H, W) uint8 in {0, ..., levels - 1} of a split.

        Where training images are transformed at random, e.g. binarized, this is one draw, the same
        at each call.
        """
        self.setup()
        x = self._splits[split][0]
        if split == "train" and self.transform is not None:
            return self.transform(x, torch.Generator(x.device).manual_seed(0))
        return x

    def labels(self, split: str) -> Tensor | None:
        """Return the labels (N,) of a split, or None where the data set has none."""
        self.setup()
        return self._splits[split][1]

    def batch_total(self, split: str, batch_idx: int, num_processes: int) -> int:
        """Return how many images all processes together have in a batch."""
        size = num_processes * (self.batch_size if split == "train" else self.eval_batch_size)
        return min(size, len(self._splits[split][0]) - batch_idx * size)

    def train_dataloader(self) -> Batches:
        """Return shuffled training batches (B, C, H, W) uint8."""
        self.setup()
        epoch = lambda: self.trainer.current_epoch if self.trainer else 0  # noqa: E731
        data = ImageSet(self._splits["train"][0], self.transform, self.seed, epoch)
        order = EpochShuffle(data, self.seed)
        return Batches(data, self.batch_size, order, self._processes, self._given)

    def val_dataloader(self) -> Batches:
        """Return validation batches (B, C, H, W) uint8 in a fixed order."""
        return self._eval_dataloader("val")

    def test_dataloader(self) -> Batches:
        """Return test batches (B, C, H, W) uint8 in a fixed order."""
        return self._eval_dataloader("test")

    def _eval_dataloader(self, split: str) -> Batches:
        data = ImageSet(self.images(split))
        return Batches(data, self.eval_batch_size, SequentialSampler(data), self._processes)

    @property
    def _processes(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _given(self) -> int:
        trainer = self.trainer
        return 0 if trainer is None else trainer.fit_loop.epoch_loop.batch_progress.current.ready


def hold_out(images: Tensor, labels: Tensor | None, num: int, seed: int) -> tuple[Split, Split]:
    """Split N images into N - num for training and num for validation, chosen by seed."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    train, val = order[num:].sort().values, order[:num].sort().values
    pick = lambda index: (images[index], None if labels is None else labels[index])  # noqa: E731
    return pick(train), pick(val)
