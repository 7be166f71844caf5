"""Continuous data on the line and in the plane whose density is known in closed form."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.base import ImageData, Split
from gdl.data.densities import TARGETS
from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["Toy"]


class Toy(ImageData):
    """Samples (N, D) float32 of a known density on the line or in the plane.

    Because the density is known, KL(data, model) = E[log p(x) - log q(x)] can be reported, and not
    only the cross-entropy. Every training batch is drawn anew, so a model cannot memorise its
    training data.

    Args:
        target: A key of `gdl.data.densities.TARGETS[D]`.
        shape: [D], D = 1 or 2.
        num_train: Training samples per epoch.
        num_eval: Number of validation and of test samples, which are the same for every `seed`.
        **kwargs: See `ImageData`; `levels` is None.

    Raises:
        GdlError: There is no such target, or D is not 1 or 2.
    """

    def __init__(
        self,
        target: str,
        shape: Sequence[int],
        levels: None = None,
        num_train: int = 100_000,
        num_eval: int = 50_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(shape, levels, **kwargs)
        if tuple(shape) not in {(1,), (2,)}:
            raise GdlError(f"data.shape must be [1] or [2] for toy data, got {list(shape)}.")
        targets = TARGETS[shape[0]]
        if target not in targets:
            raise GdlError(f"data.target must be one of {', '.join(targets)}, got {target!r}.")
        self.target, self.num_train, self.num_eval = target, num_train, num_eval
        self.density = targets[target]()
        self.transform = lambda x, generator: self.density.draw(len(x), generator).to(x)

    def load(self) -> dict[str, Split]:
        """Return validation and test samples; "train" has zeros, which `transform` replaces."""
        blank = torch.zeros(1, *self.shape).expand(self.num_train, -1)
        return {"train": (blank, None), "val": self._draw("val"), "test": self._draw("test")}

    def facts(self) -> dict[str, Any]:
        """Return the name of the density."""
        return {"target": self.target}

    def digest(self) -> str:
        """Return a digest of what is drawn, because draws differ by rounding between machines."""
        return hashlib.sha256(f"{self.target} {self.shape}".encode()).hexdigest()

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (N,) in nats of points (N, D), in float64."""
        return self.density.log_prob(x)

    def _draw(self, split: str) -> Split:
        generator = torch.Generator().manual_seed(mix_seed("toy", self.target, split))
        return self.density.draw(self.num_eval, generator).float(), None
