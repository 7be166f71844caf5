"""The part of a batch that one of several processes has, and means over the whole batch.

A statistic of a batch, e.g. the mean squared error that sets a variance, is one of all its images, on
whatever processes they are. So several processes minimise what one process does.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Part", "current_part", "of_all_processes", "over_all_processes", "set_part"]


@dataclass(frozen=True, slots=True)
class Part:
    """The images of a batch that one process has: `count` of `total`, from index `first` on."""

    first: int
    count: int
    total: int
    num_processes: int = 1

    @classmethod
    def of(cls, total: int, rank: int, num_processes: int) -> "Part":
        """Return the part of one of several processes; the sizes of the parts differ by at most one.

        >>> [Part.of(10, rank, 3).count for rank in range(3)]
        [4, 3, 3]
        """
        each, more = divmod(total, num_processes)
        count = each + (rank < more)
        return cls(rank * each + min(rank, more), count, total, num_processes)

    @property
    def weight(self) -> float:
        """Factor of this process's mean; the mean over processes is then the mean over images."""
        return self.count * self.num_processes / self.total


_part: Part | None = None


def set_part(part: Part | None) -> None:
    """Say which part of the batch this process has, until the next call; None: all of it."""
    global _part
    _part = part


def current_part() -> Part | None:
    """Return the part of the batch that this process has; None if there is no other process."""
    return None if _part is None or _part.num_processes == 1 else _part


def over_all_processes(mean: Tensor) -> Tensor:
    """Return the mean over the whole batch, given the mean over this process's images.

    Gradients pass through it to the images of all processes. Each process has to call it.

    Args:
        mean: Of any shape, the same in all processes.
    """
    part = current_part()
    if part is None or not (dist.is_available() and dist.is_initialized()):
        return mean
    # a process without images has one that counts 0 times, see `gdl.data.batches.Batches`
    return _Sum.apply(mean * (part.count / part.total))


def of_all_processes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return what all processes have for the images of the batch, and which rows (B,) are one's own.

    Gradients pass through it to the images of all processes. Each process has to call it.

    Args:
        rows: What this process has, one row for each of its images, (B, ...).
    """
    part = current_part()
    if part is None or not (dist.is_available() and dist.is_initialized()):
        return rows, torch.arange(len(rows), device=rows.device)
    # a process without images has one that counts 0 times, see `gdl.data.batches.Batches`; any will do
    own = (part.first + torch.arange(len(rows), device=rows.device)).clamp(max=part.total - 1)
    before = rows.new_zeros(part.first, *rows.shape[1:])
    after = rows.new_zeros(part.total - part.first - part.count, *rows.shape[1:])
    return _Sum.apply(torch.cat([before, rows[: part.count], after])), own


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Sum.apply(gradients[0])
