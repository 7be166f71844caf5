"""Sums of per-example terms that never make a step wait for the device; means with their errors."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["TermSums", "mean_and_error"]


class TermSums:
    """Collects the terms of many batches and gives their means over examples.

    A step costs two small kernels and no synchronisation; the rest is done when the means are
    asked for.
    """

    def __init__(self) -> None:
        self.total = 0
        """Examples seen since construction."""
        self._names: list[str] = []
        self._steps: list[Tensor] = []
        self._count = 0

    @property
    def num_steps(self) -> int:
        """Batches since the last `pop`."""
        return len(self._steps)

    def add(self, terms: dict[str, Tensor], count: int | None = None) -> None:
        """Add the terms of a batch, each of shape (B,), or of its first `count` examples."""
        values = torch.stack(list(terms.values())).detach()[:, :count]
        wide = torch.float32 if values.device.type == "mps" else torch.float64
        self._names = list(terms)
        self._steps.append(values.sum(1, dtype=wide))
        self._count += values.shape[1]
        self.total += values.shape[1]

    def first_nonfinite(self) -> tuple[str, int] | None:
        """Return (term, batches before the latest one) of the first non-finite sum, else None."""
        bad = ~torch.stack(self._steps).isfinite().cpu()
        if not bool(bad.any()):
            return None
        step = int(bad.any(1).int().argmax())
        names = [n for n, is_bad in zip(self._names, bad[step], strict=True) if is_bad]
        # "loss" contains the others, so a more precise name comes first
        return next((n for n in names if n not in ("loss", "nll", "elbo")), names[0]), (
            len(self._steps) - 1 - step
        )

    def pop(self, reduce: Callable[[Tensor], Tensor] = lambda t: t) -> dict[str, float]:
        """Return the mean of each term over all examples since the last call.

        Args:
            reduce: Sums a tensor over processes. Sums and counts are reduced before the division,
                so uneven last batches are weighted right.
        """
        if not self._steps:
            return {}
        sums = torch.stack(self._steps).sum(0)
        sums = torch.cat([sums, sums.new_tensor([self._count])])
        *totals, count = reduce(sums).tolist()
        self._steps, self._count = [], 0
        return {name: t / count for name, t in zip(self._names, totals, strict=True)}


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean over images and its standard error; a NaN makes both NaN, none is dropped."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
