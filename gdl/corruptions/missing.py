"""Pixels that are missing: a patch, or single ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdl.corruptions.base import Corruption, Seen
from gdl.corruptions.options import check_choice, check_fraction, check_whole
from gdl.errors import GdlError
from gdl.noise import NoiseSource

__all__ = ["MissingPatch", "MissingPixels"]


def _without(seen: Seen, hole: Tensor) -> Seen:
    """Return what is left without the pixels of a mask that expands to (B, C', H', W')."""
    hole = hole.expand(seen.y.shape)
    before = hole if seen.hole is None else seen.hole | hole
    return seen.then(seen.y.masked_fill(hole, 0.5), known=seen.known & ~hole, hole=before)


@dataclass(frozen=True)
class MissingPatch(Corruption):
    """A square is missing.

    Args:
        size: Its side in pixels; None for half of the height and half of the width, so 14 x 14 of
            28 x 28 pixels.
        place: "centre", or "random" for a place of its own in each image.
    """

    size: int | None = None
    place: str = "centre"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.size is not None:
            check_whole("missing_patch.size", self.size, 1)
        check_choice("missing_patch.place", self.place, ("centre", "random"))

    @property
    def linear(self) -> bool:
        """Whether all images lose the same pixels."""
        return self.place == "centre"

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Take the square away."""
        if self.place == "centre":
            return _without(seen, self._centre(seen.y))
        drawn = noise.uniform(2).to(seen.y)
        sides, sizes = seen.y.shape[2:], self._sizes(seen.y)
        rows, columns = (
            self._within(side, size, (drawn[:, i] * (side - size + 1)).long())
            for i, (side, size) in enumerate(zip(sides, sizes, strict=True))
        )
        return _without(seen, (rows[:, :, None] & columns[:, None])[:, None])

    def A(self, x: Tensor) -> Tensor:
        """Return x with zeros in the hole, of place=centre only.

        Raises:
            GdlError: The place differs from image to image.
        """
        if self.place != "centre":
            raise GdlError(
                "missing_patch.place=random has no A, as it differs from image to image: use "
                "place=centre, or `hole` of what is seen."
            )
        return x.masked_fill(self._centre(x), 0.0)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return y with zeros in the hole."""
        return self.A(y)

    def _centre(self, y: Tensor) -> Tensor:
        """Return the mask (H', W') of the hole."""
        rows, columns = (
            self._within(side, size, torch.tensor((side - size) // 2, device=y.device))
            for side, size in zip(y.shape[2:], self._sizes(y), strict=True)
        )
        return rows[:, None] & columns

    def _within(self, side: int, size: int, first: Tensor) -> Tensor:
        """Return which of `side` places, the last axis, are among the `size` from `first` on."""
        place = torch.arange(side, device=first.device) - first[..., None]
        return (place >= 0) & (place < size)

    def _sizes(self, y: Tensor) -> tuple[int, int]:
        height, width = y.shape[2:]
        if self.size is None:
            return max(1, height // 2), max(1, width // 2)
        if self.size >= min(height, width):
            raise GdlError(
                f"missing_patch.size={self.size} leaves nothing of an image of {height}x{width} pixels "
                "to go by: use a smaller one."
            )
        return self.size, self.size


@dataclass(frozen=True)
class MissingPixels(Corruption):
    """Single pixels are missing, in all channels.

    Args:
        fraction: Probability that a pixel is missing.
    """

    fraction: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        check_fraction("missing_pixels.fraction", self.fraction)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Take pixels away."""
        return _without(seen, noise.uniform(1, *seen.y.shape[2:]).to(seen.y) < self.fraction)
