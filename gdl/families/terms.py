"""Sums of per-image terms that need no synchronisation with the device, and means with errors."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["TermSums", "with_error"]


class TermSums:
    """Sums the terms of many batches and returns their means over examples.

    Adding a batch costs two small kernels and no synchronisation; the rest happens in `pop`.
    """

    def __init__(self) -> None:
        self.total = 0
        """Examples seen since construction."""
        self.popped = 0
        """Examples that the last `pop` took the mean over, in all processes."""
        self._names: list[str] = []
        self._steps: list[Tensor] = []
        self._count = 0

    @property
    def num_steps(self) -> int:
        """Batches since the last `pop`."""
        return len(self._steps)

    def add(self, terms: dict[str, Tensor], count: int | None = None) -> None:
        """Add the terms, each of shape (B,), of a batch, or only of its first `count` examples."""
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
        # "loss", "nll" and "elbo" are sums of other terms, so another name says more
        return next((n for n in names if not n.startswith(("loss", "nll", "elbo"))), names[0]), (
            len(self._steps) - 1 - step
        )

    def pop(self, reduce: Callable[[Tensor], Tensor] = lambda t: t) -> dict[str, float]:
        """Return the mean of each term over all examples since the last call.

        Args:
            reduce: Sums a tensor over processes. Sums and counts are reduced before the division,
                so uneven last batches get the right weight.
        """
        if not self._steps:
            return {}
        sums = torch.stack(self._steps).sum(0)
        sums = torch.cat([sums, sums.new_tensor([self._count])])
        *totals, count = reduce(sums).tolist()
        self._steps, self._count, self.popped = [], 0, round(count)
        return {name: t / count for name, t in zip(self._names, totals, strict=True)}

    def state(self, reduce: Callable[[Tensor], Tensor] = lambda t: t) -> dict[str, Any]:
        """Return what was added since the last `pop`, for a checkpoint.

        Args:
            reduce: Sums a tensor over processes; then only one of them may restore the state.
        """
        if not self._steps:
            return {}
        steps = torch.stack(self._steps)
        count = int(reduce(steps.new_tensor(self._count)))
        return {"names": self._names, "steps": reduce(steps).cpu(), "count": count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on with a state, so that the next means are those of a run without a pause."""
        if state:
            self._names, self._count = list(state["names"]), state["count"]
            self._steps = list(state["steps"].to(device))


def with_error(key: str, values: Tensor) -> dict[str, float]:
    """Return the mean over images as {key} and its standard error as {key}_se; of one image the mean.

    One NaN makes both NaN.

    >>> with_error("nll", torch.tensor([1.0, 2.0, 3.0])).keys()
    dict_keys(['nll', 'nll_se'])
    """
    found = {key: float(values.mean())}
    if len(values) > 1:
        found[f"{key}_se"] = float(values.std() / math.sqrt(len(values)))
    return found
