"""White squares, ellipses and hearts on black, as in dSprites, drawn from their geometry.

A pixel is white if its centre lies within the shape. Lengths were measured in the animation that is
published beside the data set: this file draws 197 of 202 of its frames pixel by pixel, and the other
five with 2 to 4 different pixels. The heart is a stretched form of the curve
(sin^3 t, (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) / 16).
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["ORIENTATIONS", "SCALES", "SHAPES", "draw_sprites"]

SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1, 6)
ORIENTATIONS = np.linspace(0, 2 * np.pi, 40)
"""Counter-clockwise, in radians. The last is the first again: so it is in the published data."""

SIZE = 64
FIRST, LAST, POSITIONS = 16.0, 48.0, 32
"""Where the centres of the first and of the last position are, in pixels from the left and the top."""

HALF_SIDE = 9.6
HALF_AXES = (12.769, 7.213)
HEART_HALF_WIDTH, HEART_HEIGHT, HEART_SHIFT = 9.5935, 10.596, -1.4362

REACH = 14
"""No shape is farther from its centre, in pixels: only a window of this size is looked at."""


def draw_sprites(factors: Tensor) -> Tensor:
    """Return images (B, 1, 64, 64) uint8 in {0, 1}.

    Args:
        factors: (B, 5) int64: shape, scale, orientation, horizontal and vertical position.
    """
    shape, scale, orientation, x, y = factors.numpy().T
    step = (LAST - FIRST) / (POSITIONS - 1)
    window = np.arange(2 * REACH + 1)
    columns, dx = _window(FIRST + step * x, window)
    rows, dy = _window(FIRST + step * y, window)
    cos = (np.cos(ORIENTATIONS)[orientation] / SCALES[scale])[:, None]
    sin = (np.sin(ORIENTATIONS)[orientation] / SCALES[scale])[:, None]
    # back to the shape as it is at scale 1, upright, with its centre at 0
    u = (cos * dx)[:, None, :] - (sin * dy)[:, :, None]
    v = (sin * dx)[:, None, :] + (cos * dy)[:, :, None]
    inside = np.empty(u.shape, bool)
    for i, within in enumerate((_in_square, _in_ellipse, _in_heart)):
        chosen = shape == i
        inside[chosen] = within(u[chosen], v[chosen])
    images = np.zeros((len(factors), 1, SIZE, SIZE), np.uint8)
    every = np.arange(len(factors))[:, None, None]
    images[every, 0, rows[:, :, None], columns[:, None, :]] = inside
    return torch.from_numpy(images)


def _window(centre: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (B, W) around centres (B,), and how far their middles are from these."""
    pixels = np.floor(centre).astype(np.int64)[:, None] - REACH + window
    return pixels, pixels + 0.5 - centre[:, None]


def _in_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= HALF_SIDE


def _in_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / HALF_AXES[0]) ** 2 + (v / HALF_AXES[1]) ** 2 <= 1


def _in_heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return whether points, v downwards, are between the curve's two branches of the same u.

    With s = sin t the horizontal coordinate is s^3, and cos t is +c on the upper and -c on the lower
    branch; the even terms of the height are the same on both.
    """
    s = np.cbrt(np.minimum(np.abs(u) / HEART_HALF_WIDTH, 1))
    c2 = 1 - s * s
    cos2 = 2 * c2 - 1
    even = -5 * cos2 - (2 * cos2 * cos2 - 1)
    odd = np.sqrt(c2) * (13 - 2 * (4 * c2 - 3))
    height = -16 / HEART_HEIGHT * (v - HEART_SHIFT)
    return (np.abs(height - even) <= odd) & (np.abs(u) <= HEART_HALF_WIDTH)
