"""Products with a staircase of weights, as a few rectangles, forwards and backwards by hand."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Rectangle", "Staircase", "StaircaseProduct", "cut_staircase"]


class Rectangle(NamedTuple):
    """A part of the weights; the mask of ones and zeros says what of it is seen, None: all."""

    rows: slice
    columns: slice
    mask: Tensor | None

    def masked(self, weight: Tensor) -> Tensor:
        """Return this part of the weights, zero where it is not seen."""
        part = weight[self.rows, self.columns]
        return part if self.mask is None else part * self.mask.to(part.dtype)


class Staircase(NamedTuple):
    """Rectangles that cover the weights that are seen, and rectangles that cover the rest."""

    seen: list[Rectangle]
    unseen: list[Rectangle]


def cut_staircase(
    reach: Tensor, in_features: int, parts: int = 8, smallest: int = 64
) -> Staircase:
    """Return rectangles that cover weights (N, M), whose longer side is cut into equal parts.

    Args:
        reach: Output n sees the first reach[n] inputs, (N,), in ascending order.
        in_features: M.
        parts: At most this many parts.
        smallest: A part has at least this many rows or columns.
    """
    stairs = Staircase([], [])

    def add(r0: int, r1: int, c0: int, c1: int, seen: bool | None = None) -> None:
        if r0 < r1 and c0 < c1:
            # a factor of another type would be converted each time
            mask = (torch.arange(c0, c1) < reach[r0:r1, None]).float() if seen is None else None
            found = stairs.unseen if seen is False else stairs.seen
            found.append(Rectangle(slice(r0, r1), slice(c0, c1), mask))

    outputs, counts = len(reach), reach.tolist()
    step = max(smallest, -(-max(outputs, in_features) // parts))
    if outputs >= in_features:
        for r0 in range(0, outputs, step):
            r1 = min(r0 + step, outputs)
            add(r0, r1, 0, counts[r0], seen=True)
            add(r0, r1, counts[r0], counts[r1 - 1])
            add(r0, r1, counts[r1 - 1], in_features, seen=False)
    else:
        for c0 in range(0, in_features, step):
            c1 = min(c0 + step, in_features)
            # the first rows that see some and all of the columns
            some, all_ = (int(torch.searchsorted(reach, c)) for c in (c0 + 1, c1))
            add(0, some, c0, c1, seen=False)
            add(some, all_, c0, c1)
            add(all_, outputs, c0, c1, seen=True)
    return stairs


class StaircaseProduct(torch.autograd.Function):
    """x W^T + b for x (B, M) and W (N, M), which is zero outside of a staircase."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stairs: Staircase) -> Tensor:
        """See the class."""
        y = bias.repeat(len(x), 1)
        for p in stairs.seen:
            y[:, p.rows].addmm_(x[:, p.columns], p.masked(weight).T)
        ctx.save_for_backward(x, weight)
        ctx.stairs = stairs
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See the class."""
        (g,), (x, weight) = gs, ctx.saved_tensors
        g_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        g_weight = torch.empty_like(weight)
        for p in ctx.stairs.unseen:
            g_weight[p.rows, p.columns] = 0
        for p in ctx.stairs.seen:
            part = torch.mm(g[:, p.rows].T, x[:, p.columns], out=g_weight[p.rows, p.columns])
            if p.mask is not None:
                part *= p.mask.to(part.dtype)
            if g_x is not None:
                g_x[:, p.columns].addmm_(g[:, p.rows], p.masked(weight))
        return g_x, g_weight, g.sum(0), None
