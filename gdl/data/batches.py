"""Integer images in memory, and batches that one index operation takes from them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
)

from gdl.noise import mix_seed
from gdl.part import Part

__all__ = ["Batches", "EpochShuffle", "ImageSet"]


Batch = Tensor | tuple[Tensor, Tensor]
"""Images (B, C, H, W), or images and labels (B,)."""


class ImageSet(Dataset[Batch]):
    """Images in one uint8 tensor, with an optional random map applied to each batch.

    Args:
        images: (N, C, H, W) uint8.
        transform: Called with a batch (B, C, H, W) uint8 and a generator; returns uint8.
        seed: With the epoch and the index of the batch's first image it seeds the noise of the
            transform. So the noise does not depend on which batches were drawn before.
        epoch: Returns the current epoch.
        labels: (N,) int64; then batches are pairs of images and labels.
    """

    def __init__(
        self,
        images: Tensor,
        transform: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        seed: int = 0,
        epoch: Callable[[], int] = lambda: 0,
        labels: Tensor | None = None,
    ) -> None:
        self.images, self._labels = images, labels
        self._transform, self._seed, self._epoch = transform, seed, epoch
        self._generator = torch.Generator(images.device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        batch = self.__getitems__([index])
        return batch[0] if isinstance(batch, Tensor) else (batch[0][0], batch[1][0])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a batch (B, C, H, W) uint8, perhaps with labels; called once a batch."""
        # NumPy reads a list of integers several times as fast as torch
        index = torch.from_numpy(np.asarray(indices))
        # a blocking copy to a GPU would wait until all queued steps are done
        index = index.to(self.images.device, non_blocking=True)
        x = self.images.index_select(0, index)
        if self._transform is not None:
            seed = mix_seed("data", self._seed, self._epoch(), int(indices[0]))
            x = self._transform(x, self._generator.manual_seed(seed))
        return x if self._labels is None else (x, self._labels.index_select(0, index))


class EpochShuffle(RandomSampler):
    """A shuffle that depends on (seed, epoch) only; Lightning calls `set_epoch`."""

    def __init__(self, data_source: Dataset[Batch], seed: int) -> None:
        super().__init__(cast(Any, data_source))
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration yields."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(mix_seed("shuffle", self._seed, self._epoch))
        return iter(torch.randperm(self.num_samples, generator=generator).tolist())


class Batches(DataLoader[Batch]):
    """Batches, loaded in this process without workers.

    With several processes, each yields its own part of every batch.

    Args:
        data: The images.
        batch_size: Images per batch and process.
        sampler: The order of the images.
        processes: The rank of this process, and the number of processes.
        given: Returns how many batches of the epoch to skip, because the run was interrupted after
            them and is resumed now.
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

    def __iter__(self) -> Iterator[Batch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield this process's part (b, C, H, W) uint8 of each batch, perhaps with labels (b,)."""
        # `given` is called here because the trainer restores its position after the constructor
        for indices in islice(self._together, self._given(), None):
            # the whole batch is transformed, so that the noise is the same as with one process
            batch, part = (
                self._images.__getitems__(indices),
                Part.of(len(indices), *self._processes),
            )
            # a process without images yields one that is given weight 0
            rows = slice(part.first, part.first + part.count) if part.count else slice(1)
            yield batch[rows] if isinstance(batch, Tensor) else (batch[0][rows], batch[1][rows])
