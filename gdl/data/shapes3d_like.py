"""A coloured solid in a coloured room, with the factors of 3D Shapes (Burgess and Kim, 2018)."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gdl.data.rays import Hit, box, capsule, cylinder, sphere, unit
from gdl.data.views import WHITE, ViewData, camera, hues, image_plane, weights_of

__all__ = ["Shapes3DLike"]

SHAPES = ("cube", "cylinder", "sphere", "capsule")
SCALES = np.linspace(0.75, 1.25, 8)
ORIENTATIONS = np.linspace(-np.pi / 6, np.pi / 6, 15)

ROOM = 6.0
"""Half of the length of a wall; the solids are about 2 high."""

CAMERA_DISTANCE, ELEVATION, OPENING = 6.5, 0.42, 0.42
TARGET_HEIGHT = 0.95
LIGHT = unit(np.array([-0.15, -0.75, 1.0]))


class Shapes3DLike(ViewData):
    """480,000 images of 64x64 pixels: every combination of six factors of a solid in a room.

    Burgess and Kim, 2018, "3D Shapes Dataset", whose factors and sizes these are: floor_hue,
    wall_hue and object_hue (10 each), scale (8), shape (4) and orientation (15) of the camera. The
    pictures are drawn here by casting rays, and are not the published ones.

    Args:
        **kwargs: See `FactorData`.
    """

    factor_names = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    factor_sizes = (10, 10, 10, 8, 4, 15)
    view_factors = ("scale", "shape", "orientation")
    value_names: ClassVar = {"shape": SHAPES}

    def view(self, factors: tuple[int, ...]) -> np.ndarray:
        """Return the weights (4, 64, 64) uint8 of floor, wall, object, and white."""
        scale, shape, orientation = factors
        towards, right, up = camera(-3 * np.pi / 4 + ORIENTATIONS[orientation], ELEVATION)
        x, y = (OPENING * a[:, None] for a in image_plane())
        o = CAMERA_DISTANCE * towards + [0, 0, TARGET_HEIGHT]
        d = unit(-towards + x * right + y * up)
        meet = lambda o, d: _solid(SHAPES[shape], SCALES[scale], o, d)  # noqa: E731
        t, normal = meet(o, d)
        parts = np.zeros((4, len(d)))
        solid = np.isfinite(t)
        bright = 0.38 + 0.62 * np.maximum(normal @ LIGHT, 0)
        half = unit(LIGHT - d)
        shine = 0.35 * np.maximum((normal * half).sum(-1), 0) ** 40
        parts[2] = np.where(solid, bright * (1 - shine), 0)
        parts[3] = np.where(solid, shine, 0)
        parts[:2] = np.where(solid, 0, _room(o, d, meet))
        return weights_of(parts)

    def colours(self, factors: Tensor) -> np.ndarray:
        """Return the colours (B, 4, 3) of floor, wall, object, and white."""
        hue = factors[:, :3].numpy()
        floor, wall, thing = hues(10, 0.65, 0.85), hues(10, 0.5, 0.95), hues(10, 0.9, 1)
        white = np.broadcast_to(np.uint8(WHITE), (len(hue), 3))
        return np.stack([floor[hue[:, 0]], wall[hue[:, 1]], thing[hue[:, 2]], white], 1)


def _solid(shape: str, scale: float, o: np.ndarray, d: np.ndarray) -> Hit:
    """Meet the solid, which stands on the floor in the middle of the room."""
    at = lambda height: np.array([0, 0, scale * height])  # noqa: E731
    if shape == "cube":
        return box(o, d, at(0.85), scale * np.full(3, 0.85))
    if shape == "cylinder":
        return cylinder(o, d, at(0.95), 0.85 * scale, 0.95 * scale)
    if shape == "sphere":
        return sphere(o, d, at(1), scale)
    return capsule(o, d, at(1.15), 0.65 * scale, 0.5 * scale)


def _room(o: np.ndarray, d: np.ndarray, meet: Any) -> np.ndarray:
    """Return how bright (2, N) floor and walls are, seen from within the room."""
    with np.errstate(divide="ignore"):
        walls = (np.sign(d[:, :2]) * ROOM - o[:2]) / d[:, :2]
        floor = np.where(d[:, 2] < 0, -o[2] / d[:, 2], np.inf)
    on_floor = floor < walls.min(-1)
    first = walls[:, 0] < walls[:, 1]
    height = o[2] + walls.min(-1) * d[:, 2]
    wall = np.where(first, 1, 0.82) * (1 - 0.25 * np.exp(-np.maximum(height, 0)))
    ground = o + np.where(on_floor, floor, 0)[:, None] * d
    ground[:, 2] = 0
    dark = np.zeros(len(d), bool)
    dark[on_floor] = np.isfinite(
        meet(ground[on_floor], np.broadcast_to(LIGHT, d.shape)[on_floor])[0]
    )
    return np.stack(
        [np.where(on_floor, np.where(dark, 0.55, 0.95), 0), np.where(on_floor, 0, wall)]
    )
