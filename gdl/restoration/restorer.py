"""What restores an image."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from gdl.corruptions import Seen

__all__ = ["Restorer"]


class Restorer(Protocol):
    """A way to restore images: a trained network, a density under a constraint, or a trivial method."""

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """Return restored images (draws, B, C, H, W) in [0, 1].

        A method without randomness returns the same image for each draw, or one draw. Draw k of image i
        depends on (seed, indices[i], k) only.

        Args:
            seen: What is left of B images.
            draws: Number of draws of each image.
            seed: Seed of the draws.
            indices: The index of each image in its set; by default 0 to B - 1.
        """
        ...
