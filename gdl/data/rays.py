"""Where rays meet simple solids, for small drawn pictures.

A ray is a point o (3,) or (N, 3) and a direction d (N, 3). Each function returns the number t (N,)
with the first point o + t d on the solid, infinite without one, and the unit normals (N, 3) there.
Solids stand upright: the third axis points up. All is float64, so that the same pixels come out on
every machine.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["Hit", "box", "capsule", "cylinder", "nearest", "sphere", "unit"]

Hit = tuple[np.ndarray, np.ndarray]

TINY = 1e-9
"""A ray that starts on a solid does not meet it there."""


def unit(v: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3) scaled to length 1."""
    return v / np.sqrt((v * v).sum(-1, keepdims=True))


def box(o: np.ndarray, d: np.ndarray, centre: np.ndarray, half: np.ndarray) -> Hit:
    """Meet a box with edges along the axes, half of which are `half` (3,) long."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (centre - half - o) / d, (centre + half - o) / d
    enter, leave = np.minimum(a, b), np.maximum(a, b)
    axis = enter.argmax(-1)
    t = np.take_along_axis(enter, axis[:, None], -1)[:, 0]
    t = np.where((t <= leave.min(-1)) & (t > TINY), t, np.inf)
    normal = np.zeros(d.shape)
    every = np.arange(len(d))
    normal[every, axis] = -np.sign(d[every, axis])
    return t, normal


def sphere(o: np.ndarray, d: np.ndarray, centre: np.ndarray, radius: float) -> Hit:
    """Meet a sphere."""
    p = o - centre
    t = _first_root((d * d).sum(-1), (p * d).sum(-1), (p * p).sum(-1) - radius**2)
    return t, (p + _finite(t)[:, None] * d) / radius


def cylinder(o: np.ndarray, d: np.ndarray, centre: np.ndarray, radius: float, half: float) -> Hit:
    """Meet an upright cylinder of height 2 `half`, with its two ends."""
    t, normal = _tube(o, d, centre, radius, half)
    p = o - centre
    for end in (-half, half):
        with np.errstate(divide="ignore", invalid="ignore"):
            s = (end - p[..., 2]) / d[:, 2]
        x, y = p[..., 0] + s * d[:, 0], p[..., 1] + s * d[:, 1]
        met = (x * x + y * y <= radius**2) & (s > TINY) & (s < t)
        t = np.where(met, s, t)
        normal[met] = (0, 0, np.sign(end))
    return t, normal


def capsule(o: np.ndarray, d: np.ndarray, centre: np.ndarray, radius: float, half: float) -> Hit:
    """Meet an upright tube of height 2 `half` with a half of a sphere at each end."""
    up = np.array([0, 0, half])
    ends = [lambda o, d, c=centre + s * up: sphere(o, d, c, radius) for s in (-1, 1)]
    t, normal, _ = nearest(o, d, [lambda o, d: _tube(o, d, centre, radius, half), *ends])
    return t, normal


def nearest(
    o: np.ndarray, d: np.ndarray, solids: list[Callable[[np.ndarray, np.ndarray], Hit]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distances (N,), normals (N, 3), and which solid (N,) each ray meets first."""
    t, normal = np.full(len(d), np.inf), np.zeros(d.shape)
    which = np.zeros(len(d), np.int64)
    for i, meet in enumerate(solids):
        s, n = meet(o, d)
        nearer = s < t
        t, which = np.where(nearer, s, t), np.where(nearer, i, which)
        normal[nearer] = n[nearer]
    return t, normal, which


def _tube(o: np.ndarray, d: np.ndarray, centre: np.ndarray, radius: float, half: float) -> Hit:
    """Meet the side of an upright cylinder."""
    p = o - centre
    flat, q = d[:, :2], p[..., :2]
    t = _first_root((flat * flat).sum(-1), (q * flat).sum(-1), (q * q).sum(-1) - radius**2)
    at = p + _finite(t)[:, None] * d
    normal = at / radius
    normal[:, 2] = 0
    return np.where(np.abs(at[:, 2]) <= half, t, np.inf), normal


def _first_root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the smaller root of a t^2 + 2 b t + c = 0, infinite if it is complex or not positive."""
    inside = b * b - a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return np.where((inside > 0) & (t > TINY), t, np.inf)


def _finite(t: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(t), t, 0)
