"""Restores images of any size by a restorer of small ones, in tiles that overlap."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from gdl.corruptions import Corruption, Seen
from gdl.restoration.asked import empty
from gdl.restoration.restorer import Restorer

__all__ = ["Tiled"]

AT_ONCE = 64
"""Tiles that are restored at a time."""


class Tiled:
    """A `Restorer` of images of any size; where tiles overlap, their weighted mean is taken.

    Neighbours overlap by half a tile at least, and the weight of a pixel falls linearly to the border
    of its tile, so that no seam is seen. Draws of different tiles do not know of each other. An image
    that is smaller than a tile is continued by its last pixels.

    Args:
        restorer: Restores images of the size of a tile.
        corruption: What the images have lost.
        shape: (C, H, W) of a tile.
    """

    def __init__(self, restorer: Restorer, corruption: Corruption, shape: tuple[int, ...]) -> None:
        self._restorer, self._tile = restorer, empty(corruption, shape)

    def __call__(
        self, seen: Seen, *, draws: int = 1, seed: int = 0, indices: Sequence[int] | None = None
    ) -> Tensor:
        """Return restored images (draws, B, C, H, W) in [0, 1]."""
        whole = seen.shape
        seen = self._large_enough(seen)
        size, rows, columns = self._tile.y.shape[2:], *self._places(seen)
        channels, height, width = seen.shape
        scale = self._tile.shape[1] // size[0], self._tile.shape[2] // size[1]
        weight = _tent(self._tile.shape[1])[:, None] * _tent(self._tile.shape[2])
        weight = weight.to(seen.y)
        total, sums = torch.zeros(height, width).to(seen.y), None
        corners = [(i, j) for i in rows for j in columns]
        number = 0
        for first in range(0, len(corners), AT_ONCE):
            some = corners[first : first + AT_ONCE]
            tiles = self._cut(seen, some, size)
            names = range(number, number + len(tiles.y))
            number += len(tiles.y)
            restored = self._restorer(tiles, draws=draws, seed=seed, indices=names)
            restored = restored.unflatten(1, (len(some), -1))
            if sums is None:
                sums = restored.new_zeros(len(restored), len(seen.y), channels, height, width)
            for k, (i, j) in enumerate(some):
                down = slice(i * scale[0], i * scale[0] + self._tile.shape[1])
                right = slice(j * scale[1], j * scale[1] + self._tile.shape[2])
                sums[..., down, right] += weight * restored[:, k]
                total[down, right] += weight
        assert sums is not None
        return (sums / total)[..., : whole[1], : whole[2]]

    def _places(self, seen: Seen) -> list[list[int]]:
        """Return the first rows and the first columns of tiles, in pixels of y."""
        places = []
        for whole, tile in zip(seen.y.shape[2:], self._tile.y.shape[2:], strict=True):
            step = max(1, tile // 2)
            places.append(sorted({*range(0, whole - tile, step), whole - tile}))
        return places

    def _large_enough(self, seen: Seen) -> Seen:
        below, right = (
            max(0, tile - whole)
            for whole, tile in zip(seen.y.shape[2:], self._tile.y.shape[2:], strict=True)
        )
        if not below and not right:
            return seen
        pad = lambda t: F.pad(t, (0, right, 0, below), mode="replicate")  # noqa: E731
        masks = (None if t is None else pad(t.to(seen.y)) > 0.5 for t in (seen.known, seen.hole))
        known, hole = masks
        assert known is not None
        tall, wide = self._tile.shape[1:]
        shape = (seen.shape[0], max(tall, seen.shape[1]), max(wide, seen.shape[2]))
        return Seen(shape, pad(seen.y), known, seen.sigma, seen.names, None, hole)

    def _cut(self, seen: Seen, corners: Sequence[tuple[int, int]], size: Sequence[int]) -> Seen:
        """Return tiles (number of corners times B, C', H', W') of what is seen."""

        def cut(t: Tensor) -> Tensor:
            return torch.cat([t[..., i : i + size[0], j : j + size[1]] for i, j in corners])

        return replace(
            self._tile,
            **{"y": cut(seen.y), "known": cut(seen.known), "sigma": seen.sigma},
            hole=None if seen.hole is None else cut(seen.hole),
            copied=None if self._tile.copied is None else self._tile.copied.to(seen.y.device),
        )


def _tent(size: int) -> Tensor:
    """Return weights (size,) that rise to the middle and fall again, all of them positive."""
    at = torch.arange(size) + 0.5
    return torch.minimum(at, size - at)
