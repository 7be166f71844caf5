"""Dropout whose noise several processes share, as they share all noise of a batch."""

import torch
from torch import Tensor, nn

from gdl.part import current_part

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """Zero each number of (B, ...) with probability p in training, and divide the others by 1 - p.

    Several processes zero what one process does. PyTorch's own layer would zero the same numbers of
    the first image of each process.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with numbers set to zero."""
        part = current_part()
        if not self.training or not 0 < self.p < 1 or (part is None and input.is_cuda):
            return super().forward(input)  # one kernel on a GPU
        first, count, total = 0, len(input), len(input)
        if part is not None and count == part.count:
            first, total = part.first, part.total
        # always in the order of (B, ...), not in that of the memory, which depends on the batch's size
        kept = torch.empty(total, *input.shape[1:], dtype=input.dtype, device=input.device)
        kept.bernoulli_(1 - self.p).div_(1 - self.p)
        return input * kept.narrow(0, first, count)
