"""A bias for each class, by which a layer of a conditional model depends on the label."""

import torch
from torch import Tensor, nn

__all__ = ["ClassBias"]


class ClassBias(nn.Module):
    """Adds to features a bias of their image's class, zero at the start.

    Args:
        rows: Number of classes; 0 for a model without labels, which gets no parameter.
        shape: Shape of the bias of a class.
    """

    def __init__(self, rows: int, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, *shape)) if rows else None

    def of(self, y: Tensor | None) -> Tensor | None:
        """Return the biases (B, *shape) of classes y (B,); None without classes."""
        return None if self.weight is None or y is None else self.weight[y]

    def forward(self, h: Tensor, y: Tensor | None, axis: int = 1) -> Tensor:
        """Return features h, (B, features, ...) or with the features at another axis, plus the bias."""
        bias = self.of(y)
        if bias is None:
            return h
        shape = [len(bias)] + [1] * (h.dim() - 1)
        shape[axis] = -1
        return h + bias.view(shape)
