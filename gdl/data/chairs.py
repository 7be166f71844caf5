"""Chairs on a turntable: pictures of which style, azimuth, elevation and colours are known.

In the manner of the rendered chairs of Aubry et al., 2014, "Seeing 3D chairs", on which disentangled
latents are often shown. These chairs are made of boxes, and drawn here by casting parallel rays.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from gdl.data.rays import box, unit
from gdl.data.views import WHITE, ViewData, camera, hues, image_plane, weights_of

__all__ = ["Chairs"]

AZIMUTHS = 2 * np.pi * np.arange(36) / 36
ELEVATIONS = np.deg2rad([5, 15, 25, 35, 45, 55])
FRAMES = {
    **{"birch": (222, 184, 135), "walnut": (110, 70, 45)},
    **{"black": (45, 45, 50), "grey": (150, 155, 160)},
}

VIEW, MIDDLE = 1.27, 0.92
"""Half of the length that an image shows, and the height that is in its middle; a seat is 1 wide."""

SEAT, FRAME = 0, 1


class Box(NamedTuple):
    """A box of a chair that looks along the first axis."""

    part: int
    centre: tuple[float, float, float]
    half: tuple[float, float, float]


def _legs(height: float, thick: float, reach: float = 0.44) -> list[Box]:
    places = [(x, y) for x in (-reach, reach) for y in (-reach, reach)]
    return [Box(FRAME, (x, y, height / 2), (thick, thick, height / 2)) for x, y in places]


def _side_chair() -> list[Box]:
    posts = [Box(FRAME, (-0.44, y, 1.3), (0.05, 0.05, 0.45)) for y in (-0.44, 0.44)]
    slats = [Box(SEAT, (-0.44, 0, z), (0.03, 0.42, 0.075)) for z in (1.18, 1.42, 1.66)]
    return [*_legs(0.8, 0.05), Box(SEAT, (0, 0, 0.84), (0.52, 0.52, 0.06)), *posts, *slats]


def _armchair() -> list[Box]:
    arms = [Box(SEAT, (0.02, y, 0.72), (0.52, 0.1, 0.36)) for y in (-0.58, 0.58)]
    back = Box(SEAT, (-0.48, 0, 0.92), (0.12, 0.68, 0.56))
    return [*_legs(0.36, 0.06, 0.46), Box(SEAT, (0.02, 0, 0.5), (0.52, 0.5, 0.14)), back, *arms]


def _bar_chair() -> list[Box]:
    sides = [Box(FRAME, (0, y, 0.4), (0.36, 0.035, 0.035)) for y in (-0.36, 0.36)]
    ends = [Box(FRAME, (x, 0, 0.55), (0.035, 0.36, 0.035)) for x in (-0.36, 0.36)]
    posts = [Box(FRAME, (-0.36, y, 1.4), (0.04, 0.04, 0.25)) for y in (-0.3, 0.3)]
    seat, back = (
        Box(SEAT, (0, 0, 1.2), (0.44, 0.42, 0.06)),
        Box(SEAT, (-0.36, 0, 1.62), (0.05, 0.4, 0.11)),
    )
    return [*_legs(1.16, 0.045, 0.36), *sides, *ends, *posts, seat, back]


def _high_back_chair() -> list[Box]:
    back = Box(SEAT, (-0.44, 0, 1.36), (0.06, 0.46, 0.56))
    arms = [Box(FRAME, (-0.02, y, 1.12), (0.44, 0.05, 0.035)) for y in (-0.5, 0.5)]
    posts = [Box(FRAME, (0.38, y, 0.93), (0.04, 0.04, 0.16)) for y in (-0.5, 0.5)]
    return [*_legs(0.7, 0.055), Box(SEAT, (0, 0, 0.76), (0.52, 0.52, 0.08)), back, *arms, *posts]


STYLES = {
    "side chair": _side_chair(),
    "armchair": _armchair(),
    "bar chair": _bar_chair(),
    "high-back chair": _high_back_chair(),
}


class Chairs(ViewData):
    """41,472 images of 64x64 pixels: every combination of five factors of a chair on white.

    The factors are style (4), azimuth (36 steps of 10 degrees, without a repetition), elevation of the
    camera (6, from 5 to 55 degrees), colour of seat and back (12 hues) and material of the frame (4).

    Args:
        **kwargs: See `FactorData`.
    """

    factor_names = ("style", "azimuth", "elevation", "colour", "frame")
    factor_sizes = (4, 36, 6, 12, 4)
    view_factors = ("style", "azimuth", "elevation")
    value_names: ClassVar = {"style": tuple(STYLES), "frame": tuple(FRAMES)}

    def view(self, factors: tuple[int, ...]) -> np.ndarray:
        """Return the weights (3, 64, 64) uint8 of seat, frame, and the white ground."""
        style, azimuth, elevation = factors
        boxes = list(STYLES.values())[style]
        towards, right, up = camera(AZIMUTHS[azimuth], ELEVATIONS[elevation])
        # the light turns with the camera: so it is the chair that turns
        light = unit(np.array([0, 0, 1.5]) + 0.5 * towards - 0.55 * right)
        x, y = (VIEW * a[:, None] for a in image_plane())
        o = x * right + y * up + [0, 0, MIDDLE] + 9 * towards
        t, normal, which = _nearest(o, -towards, boxes)
        hit = np.isfinite(t)
        bright = 0.42 + 0.58 * np.maximum(normal @ light, 0)
        of = np.array([b.part for b in boxes])[which]
        seen = [np.where(hit & (of == part), bright, 0) for part in (SEAT, FRAME)]
        ground = o[~hit] - (o[~hit, 2] / towards[2])[:, None] * towards
        white = np.zeros(len(o))
        white[~hit] = np.where(np.isfinite(_nearest(ground, light, boxes)[0]), 0.8, 1)
        return weights_of(np.stack([*seen, white]))

    def colours(self, factors: Tensor) -> np.ndarray:
        """Return the colours (B, 3, 3) of seat, frame, and ground."""
        colour, frame = factors[:, 3:].numpy().T
        white = np.broadcast_to(np.uint8(WHITE), (len(colour), 3))
        return np.stack(
            [hues(12, 0.72, 0.98)[colour], np.uint8([*FRAMES.values()])[frame], white], 1
        )


def _nearest(
    o: np.ndarray, d: np.ndarray, boxes: Sequence[Box]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distances (N,), normals (N, 3), and which box (N,) parallel rays meet first.

    Only rays near a box are compared with it.
    """
    across = unit(np.cross(d, [0.3, 0.5, 0.8]))
    along = np.cross(d, across)
    a, b = o @ across, o @ along
    t, normal = np.full(len(o), np.inf), np.zeros(o.shape)
    which = np.zeros(len(o), np.int64)
    for i, (_, centre, half) in enumerate(boxes):
        c, h = np.array(centre), np.array(half)
        near = np.nonzero((a - c @ across) ** 2 + (b - c @ along) ** 2 <= h @ h)[0]
        s, n = box(o[near], np.broadcast_to(d, (len(near), 3)), c, h)
        first = s < t[near]
        chosen = near[first]
        t[chosen], normal[chosen], which[chosen] = s[first], n[first], i
    return t, normal, which
