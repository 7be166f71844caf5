"""Coding with an autoregressive model that is a mixture, by bits-back over the component.

A MADE of several masks is a mean of densities whose orders may differ, and the p(x) of a conditional
model is sum_y p(y) p(x | y). Such an image is coded with one component, which is popped from the stack
with its probability given x, as the latents of a VAE are (see bits_back.py). On average that gives
back what the choice of a component costs.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gdl.coding.autoregressive import BATCH, code_sequences
from gdl.coding.tables import Stack, tables
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.progress import Counter

__all__ = ["Mixture", "largest_mixture_batch", "pop_mixture", "push_mixture"]


class Mixture:
    """The components of a model: its masks times the rows of its labels.

    Args:
        model: The model. With `label_dropout` it has one row for images without a label.
    """

    def __init__(self, model: AutoregressiveModel) -> None:
        self.model = model
        self.masks: int = getattr(model, "num_masks", 1)
        classes = model.num_classes
        self.rows = [None] if not classes else list(range(classes))
        self.log_prior = torch.zeros(1) if not classes else model.log_class_prior
        if model.label_dropout:
            self.rows, self.log_prior = [classes], torch.zeros(1)

    def __len__(self) -> int:
        return self.masks * len(self.rows)

    def labels(self, components: Tensor) -> Tensor | None:
        """Return the rows (n,) of components (n,), None of a model without labels."""
        rows = components % len(self.rows)
        first = self.rows[0]
        return None if first is None else rows + first

    def prior(self, n: int) -> np.ndarray:
        """Return the tables (n, R) of the components before an image is seen."""
        return tables(self.log_prior.double().exp().repeat(self.masks).expand(n, -1))

    def posterior(self, x: Tensor) -> np.ndarray:
        """Return the tables (n, R) of the component of each image (n, C, H, W)."""
        n, found = len(x), []
        for k in range(len(self)):
            y = self.labels(torch.full((n,), k))
            self.model.member = k // len(self.rows)
            log_prior = self.log_prior[k % len(self.rows)]
            found.append(log_prior + self.model.position_log_probs(x, y).double().sum(-1))
        self.model.member = 0
        return tables(torch.stack(found, 1).softmax(1))

    def code(
        self, mask: int, coder: "_Recorder | _Popper", components: Tensor, x: Tensor | None
    ) -> Tensor:
        """Return images, which are coded with components (n,) of one mask."""
        self.model.member = mask
        try:
            given = None if x is None else self.model.sequence(x)
            y = self.labels(components)
            return self.model.image(code_sequences(self.model, coder, len(components), given, y))
        finally:
            self.model.member = 0


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


def largest_mixture_batch(model: AutoregressiveModel) -> int:
    """Return how many images are coded together at most: their tables take up to 64 MB."""
    assert model.levels is not None
    return max(1, min(BATCH, 2**24 // (model.num_dims * model.levels)))


def push_mixture(mixture: Mixture, stack: Stack, x: Tensor, most: int) -> None:
    """Push images (n, C, H, W) uint8, in batches of at most `most`."""
    with Counter(len(x), "coding") as counter:
        for i, part in enumerate(x.split(most)):
            chosen = stack.pop(mixture.posterior(part))
            components = torch.from_numpy(chosen).long()
            for mask in reversed(range(mixture.masks)):
                mine = components // len(mixture.rows) == mask
                if mine.any():
                    recorder = _Recorder([])
                    mixture.code(mask, recorder, components[mine], part[mine])
                    for symbols, table in reversed(recorder.found):
                        stack.push(symbols, table)
            stack.push(chosen, mixture.prior(len(part)))
            counter.show(i * most)


def pop_mixture(mixture: Mixture, stack: Stack, n: int, most: int) -> Tensor:
    """Pop n images (n, C, H, W) uint8, which were pushed in batches of at most `most`."""
    sizes, parts = [min(most, n - done) for done in range(0, n, most)], []
    with Counter(n, "decoding") as counter:
        for i, size in enumerate(reversed(sizes)):
            chosen = stack.pop(mixture.prior(size))
            components = torch.from_numpy(chosen).long()
            x = torch.zeros(size, *mixture.model.shape, dtype=torch.uint8)
            for mask in range(mixture.masks):
                mine = components // len(mixture.rows) == mask
                if mine.any():
                    x[mine] = mixture.code(mask, _Popper(stack), components[mine], None)
            stack.push(chosen, mixture.posterior(x))
            parts.append(x)
            counter.show(i * most)
    return torch.cat(parts[::-1])
