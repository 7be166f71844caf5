"""The contract of a corruption, and several of them one after the other."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.noise import NoiseSource

__all__ = ["Composed", "Corruption", "Linear", "LinearComposed", "Seen", "compose"]


@dataclass(frozen=True)
class Seen:
    """What is left of images x (B, C, H, W) in [0, 1]: y, and what a restorer may know of it.

    Args:
        shape: (C, H, W) of the images before.
        y: What is left, (B, C', H', W'): fewer channels where colour is lost, smaller where
            resolution is lost. A pixel in a hole holds 0.5, and noise that was added later.
        known: Boolean (B, C', H', W'), true where y is exactly x, or exactly A(x) of a smaller image.
        sigma: Standard deviation of Gaussian noise in y; 0 for none.
        names: The corruptions so far, e.g. ("downsample", "gaussian_noise").
        copied: Which pixel of x, of C H W, each pixel of y is a copy of, (C', H', W') int64; -1 where
            it is an average of several. By default pixel i is a copy of pixel i if y is as large as x.
        hole: Boolean (B, C', H', W'), true where y tells nothing of x; None for no holes. A noisy
            pixel is neither known nor in a hole.
    """

    shape: tuple[int, int, int]
    y: Tensor
    known: Tensor
    sigma: float = 0.0
    names: tuple[str, ...] = ()
    copied: Tensor | None = None
    hole: Tensor | None = None

    def __post_init__(self) -> None:
        """Number the pixels."""
        if self.copied is None:
            _, channels, height, width = self.y.shape
            numbers = torch.arange(channels * height * width, device=self.y.device)
            if (channels, height, width) != tuple(self.shape):
                numbers = torch.full_like(numbers, -1)
            object.__setattr__(self, "copied", numbers.view(channels, height, width))

    def then(self, y: Tensor, sigma: float = 0.0, **changes: Tensor | None) -> Seen:
        """Return what is left after one more corruption; noise levels add up in squares.

        Args:
            y: What is left now.
            sigma: Standard deviation of the noise that was added.
            changes: Other fields that differ now: known, copied, hole.
        """
        named: dict[str, Any] = changes
        return replace(self, y=y, sigma=(self.sigma**2 + sigma**2) ** 0.5, **named)

    @property
    def image(self) -> Tensor:
        """Return y as images (B, C, H, W): a smaller one is enlarged by repetition, grey repeated."""
        return self._full(self.y)

    @property
    def known_pixels(self) -> Tensor:
        """Boolean (B, C, H, W): pixels of `image` that are exactly those of x.

        Of an image that was averaged to a smaller one, or to grey, none are.
        """
        assert self.copied is not None
        size = math.prod(self.shape)
        known = torch.zeros(len(self.y), size + 1, dtype=torch.bool, device=self.y.device)
        # what is no copy goes to one pixel more
        known[:, self.copied.flatten() % (size + 1)] = self.known.flatten(1)
        return known[:, :-1].view(-1, *self.shape)

    @property
    def hole_pixels(self) -> Tensor:
        """Boolean (B, C, H, W): pixels that y tells nothing of, as those of a missing patch."""
        if self.hole is None:
            return torch.zeros(len(self.y), *self.shape, dtype=torch.bool, device=self.y.device)
        return self._full(self.hole)

    def _full(self, t: Tensor) -> Tensor:
        channels, height, width = self.shape
        rows = torch.arange(height, device=t.device) * t.shape[2] // height
        columns = torch.arange(width, device=t.device) * t.shape[3] // width
        return t[:, :, rows][..., columns].expand(-1, channels, -1, -1)


class Corruption(ABC):
    """y = A(x) + noise, for images x (B, C, H, W) with pixels in [0, 1].

    `A` and `A_adjoint` are named as in deepinv, see `Linear`. A corruption is a frozen dataclass, so
    that two with the same options are equal and a checkpoint can hold it as plain data.
    """

    @property
    def name(self) -> str:
        """The name of its file in conf/corruption, e.g. "gaussian_noise"."""
        letters = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in letters).lstrip("_")

    @property
    def linear(self) -> bool:
        """Whether it has an `A` that is the same for all images, see `Linear`."""
        return isinstance(self, Linear)

    @abstractmethod
    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Return what is left of what was left; the noise is drawn for each image of the batch."""

    def __call__(self, x: Tensor, noise: NoiseSource) -> Seen:
        """Return what is left of images x (B, C, H, W) in [0, 1].

        Args:
            x: The images.
            noise: `BatchNoise(x)` in training; `SampleNoise(seed, indices)` for images with an index,
                so that image k always loses the same.

        Raises:
            GdlError: The images do not suit an option, e.g. a factor does not divide their size.
        """
        _, channels, height, width = x.shape
        seen = Seen((channels, height, width), x, torch.ones_like(x, dtype=torch.bool))
        seen = self.corrupt(seen, noise)
        return seen if seen.names else replace(seen, names=(self.name,))


@runtime_checkable
class Linear(Protocol):
    """A corruption whose A is linear and the same for all images.

    Outside of holes, y is A(x) and perhaps noise.
    """

    def A(self, x: Tensor) -> Tensor:
        """Return A x (B, C', H', W') of x (B, C, H, W)."""
        ...

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y (B, C, H, W) of y (B, C', H', W')."""
        ...


@dataclass(frozen=True)
class Composed(Corruption):
    """One corruption after the other."""

    parts: tuple[Corruption, ...]

    def __post_init__(self) -> None:
        """Take a list, as a checkpoint has it, for a tuple."""
        object.__setattr__(self, "parts", tuple(self.parts))

    @property
    def name(self) -> str:
        """The names of the parts, e.g. "downsample+gaussian_noise"."""
        return "+".join(part.name for part in self.parts)

    def corrupt(self, seen: Seen, noise: NoiseSource) -> Seen:
        """Do one after the other."""
        for part in self.parts:
            seen = part.corrupt(seen, noise)
        return replace(seen, names=(*seen.names, *(part.name for part in self.parts)))


class LinearComposed(Composed):
    """Linear corruptions one after the other."""

    def A(self, x: Tensor) -> Tensor:
        """Return A_n ... A_1 x."""
        for part in self.parts:
            assert isinstance(part, Linear)
            x = part.A(x)
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return A_1^T ... A_n^T y."""
        for part in reversed(self.parts):
            assert isinstance(part, Linear)
            y = part.A_adjoint(y)
        return y


def compose(parts: Sequence[Corruption] | Mapping[str, Corruption]) -> Corruption:
    """Return the corruption that does one after the other.

    Args:
        parts: The corruptions in their order, or as the command line has them, by name.

    Raises:
        GdlError: There are none.
    """
    parts = [*parts.values()] if isinstance(parts, Mapping) else [*parts]
    if not parts:
        raise GdlError("There is no corruption: name one, e.g. corruption=gaussian_noise.")
    if len(parts) == 1:
        return parts[0]
    linear = all(part.linear for part in parts)
    return (LinearComposed if linear else Composed)(tuple(parts))
