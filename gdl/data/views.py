"""Coloured pictures of solids: a view is computed once, and its colours are chosen afterwards.

A picture is a sum of parts, such as floor, wall and object, each with one colour: a pixel is the sum
over the parts of weight times colour. The weights of a view hold coverage, light and shadow. They are
whole numbers, and so are the colours, so that the same pixels come out on every machine.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdl.data.factors import FactorData, factors_of, index_of

__all__ = ["ViewData", "camera", "hues", "image_plane", "paint", "weights_of"]

SIZE = 64
SAMPLES = 2
"""Rays per pixel in each direction."""

WHITE = (255, 255, 255)


class ViewData(FactorData):
    """Images (3, 64, 64) of which some factors choose a view and the others colours."""

    view_factors: tuple[str, ...] = ()
    """Those of `factor_names` that choose the view."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._columns = [self.factor_names.index(name) for name in self.view_factors]
        self._view_sizes = [self.factor_sizes[f] for f in self._columns]
        self._weights: dict[int, np.ndarray] = {}

    @abstractmethod
    def view(self, factors: tuple[int, ...]) -> np.ndarray:
        """Return the weights (P, 64, 64) uint8 of the parts, for values of `view_factors`."""

    @abstractmethod
    def colours(self, factors: Tensor) -> np.ndarray:
        """Return the colours (B, P, 3) uint8 of the parts, for factors (B, F)."""

    def draw(self, factors: Tensor) -> Tensor:
        """Return images (B, 3, 64, 64) uint8; views are kept for the next time, 16 kB each."""
        views = index_of(factors[:, self._columns], self._view_sizes)
        for number in set(views.tolist()) - set(self._weights):
            values = factors_of(torch.tensor([number]), self._view_sizes)[0].tolist()
            self._weights[number] = self.view(tuple(values))
        weights = np.stack([self._weights[number] for number in views.tolist()])
        return torch.from_numpy(paint(weights, self.colours(factors)))


def paint(weights: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return images (B, 3, H, W) uint8: the sum of weights (B, P, H, W) times colours (B, P, 3) / 255.

    Both are uint8, and the weights of a pixel are together 255 at most.
    """
    total = np.full((len(weights), 3, *weights.shape[2:]), 128, np.uint16)
    for part in range(weights.shape[1]):
        total += colours[:, part, :, None, None].astype(np.uint16) * weights[:, part, None]
    return ((total + (total >> 8)) >> 8).astype(np.uint8)  # divided by 255, and rounded


def weights_of(parts: np.ndarray) -> np.ndarray:
    """Return weights (P, 64, 64) uint8 from those of all rays (P, N) in [0, 1], rounded down."""
    grid = parts.reshape(len(parts), SIZE, SAMPLES, SIZE, SAMPLES)
    return np.floor(grid.mean((2, 4)) * 255 + 1e-6).astype(np.uint8)


def camera(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors (3,) from the object to a camera, to its right, and upwards in its image.

    Args:
        azimuth: Angle around the vertical axis, counter-clockwise from above, in radians.
        elevation: Angle above the floor, in radians.
    """
    a, e = azimuth, elevation
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0])
    return towards, right, np.cross(towards, right)


def image_plane() -> tuple[np.ndarray, np.ndarray]:
    """Return where rays go through the image (N,), from -1 to 1 to the right and upwards."""
    n = SIZE * SAMPLES
    at = (np.arange(n) + 0.5) / n * 2 - 1
    up, right = np.meshgrid(-at, at, indexing="ij")
    return right.ravel(), up.ravel()


def hues(n: int, saturation: float, value: float) -> np.ndarray:
    """Return n colours (n, 3) uint8 of equal distance on the circle of hues, from red on."""
    h = 6 * np.arange(n) / n
    k = (np.array([5, 3, 1]) + h[:, None]) % 6
    level = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.round(255 * level).astype(np.uint8)
