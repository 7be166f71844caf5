"""Continuous data in the plane whose density is known in closed form."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.base import ImageData, Split
from gdl.errors import GdlError
from gdl.noise import mix_seed

__all__ = ["TARGETS", "Toy"]

Components = tuple[Tensor, float]
"""Centres (K, 2) of equally likely Gaussians, and the standard deviation that they share."""


def _circle(radius: float, n: int) -> Tensor:
    angle = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def _grid() -> Components:
    side = torch.linspace(-2, 2, 3, dtype=torch.float64)
    return torch.cartesian_prod(side, side), 0.3


def _rings() -> Components:
    # as many centres as the circumference asks for, so that the density is even along a ring
    return torch.cat([_circle(1.0, 50), _circle(2.5, 125)]), 0.2


def _spirals() -> Components:
    t = torch.linspace(0.5, 3.0, 100, dtype=torch.float64).sqrt() * math.sqrt(3.0)
    angle = t * 2.2
    arm = t[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return torch.cat([arm, -arm]), 0.2


def _moons() -> Components:
    angle = torch.linspace(0, math.pi, 60, dtype=torch.float64)
    upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    return 1.6 * torch.cat([upper, -upper]), 0.2


TARGETS: dict[str, Callable[[], Components]] = {
    "gaussians": lambda: (_circle(2.0, 8), 0.3),
    "grid": _grid,
    "rings": _rings,
    "spirals": _spirals,
    "moons": _moons,
}
"""Named targets in the plane."""


class Toy(ImageData):
    """Samples (N, 2), float32, of a mixture of Gaussians whose centres may draw a curve.

    The density is known, so KL(data, model) = E[log p(x) - log q(x)] can be reported itself and
    not only up to the unknown entropy of the data.

    Args:
        target: A name of `TARGETS`.
        num_train: Training samples.
        num_eval: Validation samples, and as many test samples.
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
        if target not in TARGETS:
            raise GdlError(f"data.target must be one of {', '.join(TARGETS)}, got {target!r}.")
        self.target, self.num_train, self.num_eval = target, num_train, num_eval
        self.centres, self.std = TARGETS[target]()

    def load(self) -> dict[str, Split]:
        """Draw the three splits; they are the same for every seed of a run."""
        sizes = {"train": self.num_train, "val": self.num_eval, "test": self.num_eval}
        return {split: (self._draw(n, split), None) for split, n in sizes.items()}

    def facts(self) -> dict[str, Any]:
        """Name the target."""
        return {"target": self.target}

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (N,) in nats of points (N, D), in float64."""
        gaps = torch.cdist(x.double(), self.centres.to(x.device)) / self.std
        size = len(self.centres)
        norm = x.shape[1] * (math.log(self.std) + 0.5 * math.log(2 * math.pi)) + math.log(size)
        return (-0.5 * gaps.square()).logsumexp(1) - norm

    def _draw(self, n: int, split: str) -> Tensor:
        generator = torch.Generator().manual_seed(mix_seed("toy", self.target, split))
        chosen = torch.randint(len(self.centres), (n,), generator=generator)
        noise = torch.randn(n, *self.shape, generator=generator, dtype=torch.float64)
        return (self.centres[chosen] + self.std * noise).float()
