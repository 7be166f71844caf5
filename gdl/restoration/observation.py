"""The linear part of a corruption, and what else an image lost."""

import torch
from torch import Tensor

from gdl.corruptions import Corruption, Linear, MissingPatch, Seen
from gdl.corruptions.base import Composed

__all__ = ["Operator", "has_colours", "holes_of", "is_noisy", "is_smaller", "parts_of"]


class Operator:
    """A of y = A x + noise outside of holes; each of its rows is orthogonal to the others.

    Parts of the corruption that differ between images, or are not linear, are left out: of them,
    holes tell which values of y are lost.

    Args:
        corruption: The corruption.
    """

    def __init__(self, corruption: Corruption) -> None:
        parts = parts_of(corruption)
        self._parts = [part for part in parts if part.linear and isinstance(part, Linear)]

    def A(self, x: Tensor) -> Tensor:
        """Return A x (B, C', H', W') of images x (B, C, H, W)."""
        for part in self._parts:
            x = part.A(x)
        return x

    def A_without_holes(self, x: Tensor) -> Tensor:
        """Return A x (B, C', H', W') as it would be if no pixel were missing."""
        for part in self._parts:
            x = x if isinstance(part, MissingPatch) else part.A(x)
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y (B, C, H, W) of y (B, C', H', W')."""
        for part in reversed(self._parts):
            y = part.A_adjoint(y)
        return y

    def diagonal(self, y: Tensor) -> Tensor:
        """Return the diagonal (1, C', H', W') of A A^T, which has no other entries."""
        return self.A(self.A_adjoint(torch.ones_like(y[:1])))

    def first(self, y: Tensor) -> tuple[float, float]:
        """Return the row and column, in the image, that the first pixel of y is the centre of."""
        one = torch.zeros_like(y[:1])
        one[..., 0, 0] = 1
        weights = self.A_adjoint(one)[0].sum(0)
        row, column = (weights.sum(1 - axis) for axis in (0, 1))
        middle = lambda w: float((w * torch.arange(len(w)).to(w)).sum() / w.sum())  # noqa: E731
        return middle(row), middle(column)


def parts_of(corruption: Corruption) -> tuple[Corruption, ...]:
    """Return the corruptions that follow one another in a corruption."""
    return corruption.parts if isinstance(corruption, Composed) else (corruption,)


def has_colours(seen: Seen) -> bool:
    """Return whether y has the channels of the images."""
    return seen.y.shape[1] == seen.shape[0]


def is_smaller(seen: Seen) -> bool:
    """Return whether y has fewer pixels than the images."""
    return tuple(seen.y.shape[2:]) != tuple(seen.shape[1:])


def holes_of(seen: Seen) -> Tensor:
    """Return the boolean mask (B, C', H', W') of the values of y that tell nothing."""
    return torch.zeros_like(seen.known) if seen.hole is None else seen.hole


def is_noisy(seen: Seen) -> bool:
    """Return whether a value of y outside of holes is not exact."""
    return bool((~seen.known & ~holes_of(seen)).any())
