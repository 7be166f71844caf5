"""Coding with a MADE of several masks, by bits-back over the number of the mask.

p(x) is the mean of R densities, whose orders may differ. So an image is coded with one of them, which
is popped from the stack with its probability given x, as the latents of a VAE are (see bits_back.py).
On average that gives back log R and the difference to the mean.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gdl.coding.autoregressive import BATCH, code_sequences
from gdl.coding.tables import Stack, tables
from gdl.families.progress import Counter
from gdl.models import MADE

__all__ = ["largest_mask_batch", "pop_masked", "push_masked"]


class _Recorder(NamedTuple):
    """Keeps symbols and tables, which are pushed in the reverse order."""

    found: list[tuple[np.ndarray, np.ndarray]]

    def code(self, table: np.ndarray, symbols: Tensor) -> Tensor:
        self.found.append((symbols.numpy(), table))
        return symbols


class _Popper(NamedTuple):
    stack: Stack

    def code(self, table: np.ndarray, symbols: Tensor | None = None) -> Tensor:
        return torch.from_numpy(self.stack.pop(table).astype(np.uint8))


def largest_mask_batch(model: MADE) -> int:
    """Return how many images are coded together at most: their tables take up to 64 MB."""
    assert model.levels is not None
    return max(1, min(BATCH, 2**24 // (model.num_dims * model.levels)))


def push_masked(model: MADE, stack: Stack, x: Tensor, most: int) -> None:
    """Push images (n, C, H, W) uint8, in batches of at most `most`."""
    with Counter(len(x), "coding") as counter:
        for i, part in enumerate(x.split(most)):
            members = stack.pop(_posterior(model, part))
            for member in reversed(range(model.num_masks)):
                mine = torch.from_numpy(members == member)
                if mine.any():
                    recorder = _Recorder([])
                    _code(model, member, recorder, int(mine.sum()), part[mine])
                    for symbols, table in reversed(recorder.found):
                        stack.push(symbols, table)
            stack.push_uniform(members, model.num_masks)
            counter.show(i * most)


def pop_masked(model: MADE, stack: Stack, n: int, most: int) -> Tensor:
    """Pop n images (n, C, H, W) uint8, which were pushed in batches of at most `most`."""
    sizes, parts = [min(most, n - done) for done in range(0, n, most)], []
    with Counter(n, "decoding") as counter:
        for i, size in enumerate(reversed(sizes)):
            members = stack.pop_uniform(size, model.num_masks)
            x = torch.zeros(size, *model.shape, dtype=torch.uint8)
            for member in range(model.num_masks):
                mine = torch.from_numpy(members == member)
                if mine.any():
                    x[mine] = _code(model, member, _Popper(stack), int(mine.sum()), None)
            stack.push(members, _posterior(model, x))
            parts.append(x)
            counter.show(i * most)
    return torch.cat(parts[::-1])


def _code(
    model: MADE, member: int, coder: _Recorder | _Popper, n: int, x: Tensor | None
) -> Tensor:
    """Return n images, which are coded under one mask."""
    model.member = member
    try:
        given = None if x is None else model.sequence(x)
        return model.image(code_sequences(model, coder, n, given))
    finally:
        model.member = 0


def _posterior(model: MADE, x: Tensor) -> np.ndarray:
    """Return the tables (n, R) of the mask, given images."""
    return tables(model.mask_log_probs(x).double().softmax(0).T)
