"""Continuous data on the line and in the plane whose density is known in closed form."""

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
    """Samples (N, D), float32, of a density on the line or in the plane; those to train on are new.

    The density is known, so KL(data, model) = E[log p(x) - log q(x)] can be reported itself and
    not only up to the unknown entropy of the data. As there are always more samples to train on,
    each training batch consists of new ones, and a model cannot learn them by heart.

    Args:
        target: A name of `TARGETS[D]`.
        shape: [D], D = 1 or 2.
        num_train: Training samples of an epoch.
        num_eval: Validation samples, and as many test samples, the same for every seed of a run.
        **kwargs: See `ImageData`; `levels` is None.

    Raises:
        GdlError: There is no such target.
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
        """Draw two splits; of the third, which is drawn batch by batch, there is only the size."""
        blank = torch.zeros(1, *self.shape).expand(self.num_train, -1)
        return {"train": (blank, None), "val": self._draw("val"), "test": self._draw("test")}

    def facts(self) -> dict[str, Any]:
        """Name the target."""
        return {"target": self.target}

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (N,) in nats of points (N, D), in float64."""
        return self.density.log_prob(x)

    def _draw(self, split: str) -> Split:
        generator = torch.Generator().manual_seed(mix_seed("toy", self.target, split))
        return self.density.draw(self.num_eval, generator).float(), None
