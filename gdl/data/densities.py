"""Known densities on the line and in the plane, as targets for models of continuous data.

Each has a log-density in closed form and exact samples, so KL(data, model) can be estimated:

>>> import torch
>>> rings = TARGETS[2]["rings"]()
>>> x = rings.draw(4, torch.Generator().manual_seed(0))
>>> x.shape, rings.log_prob(x).shape
(torch.Size([4, 2]), torch.Size([4]))

The densities are normalised; here on a grid of cells of area 0.05^2:

>>> axis = torch.arange(-5, 5, 0.05, dtype=torch.float64)
>>> mass = rings.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * 0.05**2
>>> round(float(mass), 6)
1.0
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["BLUR", "FAMILIES", "TARGETS", "Density", "Dots", "Family", "LineMixture"]


class Density(Protocol):
    """A distribution of points (N, D)."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (N,) in nats of points (N, D), in float64."""
        ...

    def draw(self, n: int, generator: Generator) -> Tensor:
        """Return n points (n, D) in float64, on the generator's device."""
        ...


@dataclass
class Dots:
    """A mixture of Gaussians in the plane with equal weights and one standard deviation.

    With many centres along a curve it is a smooth density around that curve.

    Args:
        centres: (K, 2), float64.
        std: Standard deviation of every component, in both directions.
    """

    centres: Tensor
    std: float

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Density.log_prob`."""
        gaps = torch.cdist(x.double(), self.centres.to(x.device)) / self.std
        norm = 2 * math.log(self.std) + math.log(2 * math.pi) + math.log(len(self.centres))
        return (-0.5 * gaps.square()).logsumexp(1) - norm

    def draw(self, n: int, generator: Generator) -> Tensor:
        """See `Density.draw`."""
        where: Any = {"generator": generator, "device": generator.device}
        chosen = torch.randint(len(self.centres), (n,), **where)
        noise = torch.randn(n, 2, dtype=torch.float64, **where)
        return self.centres.to(generator.device)[chosen] + self.std * noise


def _circle(radius: float, n: int) -> Tensor:
    angle = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def _grid() -> Dots:
    side = torch.linspace(-2, 2, 3, dtype=torch.float64)
    return Dots(torch.cartesian_prod(side, side), 0.3)


def _rings() -> Dots:
    # the number of centres is proportional to the radius, so both rings are equally dense
    return Dots(torch.cat([_circle(1.0, 50), _circle(2.5, 125)]), 0.2)


def _spirals() -> Dots:
    t = torch.linspace(0.5, 3.0, 100, dtype=torch.float64).sqrt() * math.sqrt(3.0)
    angle = t * 2.2
    arm = t[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return Dots(torch.cat([arm, -arm]), 0.2)


def _moons() -> Dots:
    angle = torch.linspace(0, math.pi, 60, dtype=torch.float64)
    upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    return Dots(1.6 * torch.cat([upper, -upper]), 0.2)


@dataclass
class Family:
    """A location-scale family on the line, given by its standard member (location 0, scale 1).

    Args:
        log_density: Maps points of any shape to their log-density in nats, elementwise.
        from_uniform: Maps n pairs of uniform numbers on (0, 1), (n, 2), to n samples (n,).
    """

    log_density: Callable[[Tensor], Tensor]
    from_uniform: Callable[[Tensor], Tensor]


BLUR = 0.05
"""Scale of the logistic noise that smooths the edges of a box of half-width 1."""


def _log_box(x: Tensor) -> Tensor:
    # sigmoid(b) - sigmoid(a), written as sigmoid(b) sigmoid(-a) (1 - exp(a - b)) to avoid cancellation
    inside = F.logsigmoid((1 + x) / BLUR) + F.logsigmoid((1 - x) / BLUR)
    return inside + math.log(-math.expm1(-2 / BLUR)) - math.log(2)


FAMILIES = {
    "normal": Family(
        lambda x: -0.5 * (x.square() + math.log(2 * math.pi)),
        lambda u: torch.special.ndtri(u[:, 0]),
    ),
    "laplace": Family(
        lambda x: -x.abs() - math.log(2),
        lambda u: -u[:, 0].log() * torch.where(u[:, 1] < 0.5, -1, 1),
    ),
    "box": Family(_log_box, lambda u: 2 * u[:, 0] - 1 + BLUR * u[:, 1].logit()),
    "gumbel": Family(lambda x: -x - (-x).exp(), lambda u: -(-u[:, 0].log()).log()),
}


@dataclass
class LineMixture:
    """A mixture of members of one location-scale family on the line.

    Args:
        family: A key of `FAMILIES`.
        parts: (weight, location, scale) of the components; the weights sum to 1.
    """

    family: str
    parts: Sequence[tuple[float, float, float]]

    def log_prob(self, x: Tensor) -> Tensor:
        """See `Density.log_prob`."""
        weight, where, scale = self._parts().to(x.device)
        terms = FAMILIES[self.family].log_density((x.double() - where) / scale)
        return (weight.log() - scale.log() + terms).logsumexp(1)

    def draw(self, n: int, generator: Generator) -> Tensor:
        """See `Density.draw`."""
        weight, where, scale = self._parts().to(generator.device)
        chosen = torch.multinomial(weight, n, replacement=True, generator=generator)
        u = torch.rand(n, 2, generator=generator, device=generator.device, dtype=torch.float64)
        u = u.clamp(min=2.0**-53)  # never exactly 0, whose logarithm is infinite
        return (where[chosen] + scale[chosen] * FAMILIES[self.family].from_uniform(u))[:, None]

    def _parts(self) -> Tensor:
        """Return weights, locations and scales (3, K)."""
        return torch.tensor(self.parts, dtype=torch.float64).T


def _claw() -> LineMixture:
    # Marron & Wand, 1992, "Exact mean integrated squared error", density 10
    return LineMixture("normal", [(0.5, 0.0, 1.0), *((0.1, 0.5 * i - 1, 0.1) for i in range(5))])


TARGETS: dict[int, dict[str, Callable[[], Density]]] = {
    1: {
        "gaussians": lambda: LineMixture(
            "normal", [(0.3, -2, 0.3), (0.5, 0.3, 0.5), (0.2, 2.2, 0.2)]
        ),
        "laplace": lambda: LineMixture("laplace", [(0.6, -1, 0.3), (0.4, 1, 0.5)]),
        "boxes": lambda: LineMixture("box", [(0.5, -1.5, 0.5), (0.5, 1.2, 0.8)]),
        "skewed": lambda: LineMixture("gumbel", [(1.0, -0.5, 0.7)]),
        "claw": _claw,
    },
    2: {
        "gaussians": lambda: Dots(_circle(2.0, 8), 0.3),
        "grid": _grid,
        "rings": _rings,
        "spirals": _spirals,
        "moons": _moons,
    },
}
"""Densities by their number of dimensions and their name."""
